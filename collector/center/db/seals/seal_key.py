# SPDX-License-Identifier: GPL-3.0-or-later
"""The key that seals the links of the chain of rows: a secret file of the state directory, outside the database.

Anybody can compute the hashes of the chain. Without a key, a person who can write to the database could add a row and
its link, and both would be accepted. With the key in a file apart, such a link fails. The store keeps the key's
SHA-256, so that another file in its place is noticed. A backup includes the file as it includes the store.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, select, update

from collector.base.durable import flush
from collector.base.errors import StoreError
from collector.base.text import said_by, tr
from collector.center.db.tables_receive import store

KEY_FILE: Final = "seal.key"
KEY_OPTION: Final = "seal_key"  # execution option of a connection, with the key
_KEY_BYTES: Final = 32


def seal_key_of(connection: Connection) -> bytes:
    """The key that the store of this connection was opened with."""
    return bytes(connection.get_execution_options()[KEY_OPTION])


def mac_of(key: bytes, link_hash: str) -> str:
    """The seal of a link: HMAC-SHA256 (hex) of its hash."""
    return hmac.digest(key, link_hash.encode(), hashlib.sha256).hex()


def fingerprint_of(key: bytes) -> str:
    """The fingerprint of a key that the store keeps: SHA-256 (hex)."""
    return hashlib.sha256(key).hexdigest()


def read_key(connection: Connection, directory: Path) -> bytes:
    """Read the key of an existing store.

    Raises:
        StoreError: the key is not in its file.
    """
    expected = connection.execute(select(store.c.seal_key_sha256)).scalar()
    path = directory / KEY_FILE
    remedy = tr(
        "put the file back from a backup (it has the same place there); where nobody has it, "
        "`collector center renew --new-key` makes another one"
    )
    try:
        key = path.read_bytes()
    except FileNotFoundError as error:
        message = tr("the key that the store's rows are sealed with is not there: {remedy}", remedy=remedy)
        raise StoreError(message, subject=str(path)) from error
    if fingerprint_of(key) != expected:
        message = tr("is not the key that the store's rows are sealed with: {remedy}", remedy=remedy)
        raise StoreError(message, subject=str(path))
    return key


def make_key(connection: Connection, directory: Path, *, anew: bool = False) -> bytes:
    """Make the key of a store that has none yet, in both places; with `anew` replace an existing key.

    A key file without a store that names it was left by a kill before the commit, and is used.

    Raises:
        OSError: the disk refuses.
    """
    path = directory / KEY_FILE
    if anew:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        key = b""
    if len(key) != _KEY_BYTES:
        key = secrets.token_bytes(_KEY_BYTES)
        _write_key(path, key)
    connection.execute(update(store).values(seal_key_sha256=fingerprint_of(key)))
    return key


def with_key(connection: Connection, key: bytes) -> Connection:
    """The connection with the option to seal with this key."""
    options: dict[str, Any] = {KEY_OPTION: key}
    return connection.execution_options(**options)


def find_altered_key(connection: Connection, directory: Path) -> str | None:
    """The present problem of the key's file, in words; None where it is right."""
    try:
        read_key(connection, directory)
    except (StoreError, OSError) as error:
        return said_by(error)
    return None


def _write_key(path: Path, key: bytes) -> None:
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    flush(path.parent)
