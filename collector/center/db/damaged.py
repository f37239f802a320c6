# SPDX-License-Identifier: GPL-3.0-or-later
"""A damaged database, reported in words with the remedy, wherever it is found."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy.exc import DBAPIError

from collector.base.errors import StoreError
from collector.base.text import tr

_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_REFUSED: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE)
_DISK_FULL: Final = "53100"  # PostgreSQL's code
# Bytes in place of text, and a schema unlike that of its version, are signs of foreign writes too.
_ELSEWHERE: Final = ("UTF-8", "utf-8", "no such column", "no such table", "already exists", "duplicate column name")


class DamagedDatabase(StoreError):  # noqa: N818 - a state of the file, as the other errors' names are
    """The database file is not as SQLite wrote it, or nothing can be written to it."""


class UnwritableDatabase(DamagedDatabase):
    """The database can be read but not written: file rights, or a file system that the kernel made read-only."""


class FullDatabase(UnwritableDatabase):
    """The disk is full or refuses a write. Everything committed before is kept."""


@contextmanager
def said_if_damaged(directory: Path) -> Iterator[None]:
    """Turn errors of a damaged database of this state directory into words with the remedy.

    Raises:
        DamagedDatabase: in place of SQLite's error.
        UnwritableDatabase: this user may not write it, or the disk is full.
    """
    try:
        yield
    except (DBAPIError, sqlite3.DatabaseError, UnicodeDecodeError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        code = getattr(cause, "sqlite_errorcode", 0) or 0
        if code & 0xFF == sqlite3.SQLITE_READONLY:
            message = tr("may be read and not written: {cause}", cause=cause)
            raise UnwritableDatabase(message, subject=str(directory / "center.sqlite")) from error
        if code in _REFUSED or getattr(cause, "sqlstate", None) == _DISK_FULL:
            message = tr("nothing was written: {cause}. Make room, and do it again; what was there stands", cause=cause)
            raise FullDatabase(message, subject=str(directory)) from error
        if code & 0xFF not in _DAMAGED and not any(words in str(cause) for words in _ELSEWHERE):
            raise
        message = tr(
            "the database is damaged ({cause}). Stop the center and keep this file; `collector center restore` makes a "
            "store of the last backup, and the plants then send again what it lacks",
            cause=cause,
        )
        raise DamagedDatabase(message, subject=str(directory / "center.sqlite")) from error
