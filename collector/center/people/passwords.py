# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords: argon2id hashes, checked in a time that tells nothing of which names exist."""

from __future__ import annotations

import functools
import secrets
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from collector.base.errors import StoreError
from collector.base.text import tr

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
            subject="password",
        )
    return _hasher.hash(password)


def renewed_hash(password_hash: str, password: str) -> str | None:
    """A hash by today's parameters of a password just checked; None where the present one is by them."""
    return _hasher.hash(password) if _hasher.check_needs_rehash(password_hash) else None


def is_password(password_hash: str | None, password: str) -> bool:
    """Whether a password has this hash. None: there is no such account, and the answer takes as long."""
    try:
        return len(password) <= MAX_PASSWORD and _hasher.verify(password_hash or _hash_of_nobody(), password)
    except (VerificationError, InvalidHashError):
        return False


@functools.cache
def _hash_of_nobody() -> str:
    return _hasher.hash(secrets.token_hex(16))
