# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords: argon2id hashes. A check takes equally long for unknown names, so that it does not reveal names."""

from __future__ import annotations

import functools
import secrets
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from collector.base.errors import StoreError
from collector.base.text import tr, tr_in

MIN_PASSWORD: Final = 10
MAX_PASSWORD: Final = 256

_hasher: Final = PasswordHasher()


def hash_password(password: str) -> str:
    """argon2id hash of a new password.

    Raises:
        StoreError: too short or too long.
    """
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise StoreError(
            tr("{min_password} to {max_password} characters", min_password=MIN_PASSWORD, max_password=MAX_PASSWORD),
            subject=tr_in("subject", "password"),
        )
    return _hasher.hash(password)


def renewed_hash(password_hash: str, password: str) -> str | None:
    """A new hash of a password just checked, where its present one has outdated parameters; else None."""
    return _hasher.hash(password) if _hasher.check_needs_rehash(password_hash) else None


def is_password(password_hash: str | None, password: str) -> bool:
    """True if a password has this hash. None means no such account: the check then takes as long and fails."""
    try:
        return len(password) <= MAX_PASSWORD and _hasher.verify(password_hash or _hash_of_nobody(), password)
    except (VerificationError, InvalidHashError):
        return False


@functools.cache
def _hash_of_nobody() -> str:
    return _hasher.hash(secrets.token_hex(16))
