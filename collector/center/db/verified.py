# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes of stored files, hashed while they are read and compared with the SHA-256 in the store.

A name proves nothing and a disk may return other bytes than were written, so every file that decides money is read
through here: read once, hashed, and only then parsed.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import Final

from collector.base.errors import StoreError
from collector.base.text import join, tr
from collector.center.db.storage.lake_place import LakePath, ObjectPath
from collector.model.interval import format_time

ABSENT: Final = tr("no file")  # shown in place of the hash that was found
UNLISTED: Final = tr("no such file")  # shown in place of the hash that was expected
NAMED_DIGITS: Final = 12  # of the SHA-256, in a file's name
_PIECE: Final = 1 << 20


class Altered(StoreError):  # noqa: N818 - a state of the file, as the other errors' names are
    """A stored file is not the one the store lists. `difference`: the message without its remedy.

    The remedy is left out for files that are simply made again.
    """

    difference: str = ""


def altered(path: LakePath, expected: str, found: str) -> Altered:
    """The error for a file whose hash is not the one in the store."""
    difference = tr(
        "is not the file the store lists: expected SHA-256 {expected}, found {found}", expected=expected, found=found
    )
    if isinstance(path, Path):
        with contextlib.suppress(OSError):
            changed = format_time(int(path.stat().st_mtime_ns // 1_000_000))
            difference = tr("{difference}; last changed {time}", difference=difference, time=changed)
    remedy = tr("put this file back from a backup (it has the same place there) and try again")
    message = tr(
        "{difference}. Nothing was computed from it, and what was settled before stands; {remedy}",
        difference=difference,
        remedy=remedy,
    )
    error = Altered(message, subject=str(path))
    error.difference = join(": ", (str(path), difference))
    return error


def check_hash(path: LakePath, expected: str, found: str) -> None:
    """Raise `Altered` where the hash of the bytes read is not the listed one."""
    if found != expected:
        raise altered(path, expected, found or ABSENT)


def read_verified(path: LakePath, sha256: str) -> bytes:
    """The bytes of a file, whose hash is `sha256`.

    Raises:
        Altered: it is another file, or none.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise altered(path, sha256, tr("no file ({strerror})", strerror=error.strerror)) from error
    check_hash(path, sha256, hashlib.sha256(data).hexdigest())
    return data


def read_named(path: LakePath) -> bytes:
    """The bytes of a file named by its content: after the last hyphen its name has the first digits of its SHA-256.

    Raises:
        Altered: it is another file, or none.
    """
    expected = path.stem.rpartition("-")[2]
    try:
        data = path.read_bytes()
    except OSError as error:
        raise altered(path, expected, tr("no file ({strerror})", strerror=error.strerror)) from error
    check_hash(path, expected, hashlib.sha256(data).hexdigest()[:NAMED_DIGITS])
    return data


def verify_file(path: LakePath, sha256: str) -> None:
    """Check the hash of a file of any size without keeping its bytes.

    Raises:
        Altered: it is another file, or none.
    """
    if isinstance(path, ObjectPath):
        read_verified(path, sha256)
        return
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise altered(path, sha256, tr("no file ({strerror})", strerror=error.strerror)) from error
    check_hash(path, sha256, found)


def copy_verified(source: LakePath, target: Path, sha256: str) -> None:
    """Copy a file whose hash is `sha256`, or leave nothing. Writing to the copy changes no other file.

    Raises:
        Altered: it is another file, or none.
        OSError: the copy can't be written.
    """
    if isinstance(source, ObjectPath):
        target.write_bytes(read_verified(source, sha256))
        return
    digest = hashlib.sha256()
    try:
        file = source.open("rb")
    except OSError as error:
        raise altered(source, sha256, tr("no file ({strerror})", strerror=error.strerror)) from error
    with file, target.open("wb") as copy:
        while piece := file.read(_PIECE):
            digest.update(piece)
            copy.write(piece)
    if digest.hexdigest() != sha256:
        target.unlink()
        raise altered(source, sha256, digest.hexdigest())
