# SPDX-License-Identifier: GPL-3.0-or-later
"""The books of a buffer: records and batches taken in, held, freed and lost."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from collector.base.errors import StoreError
from collector.base.text import tr


@dataclass(frozen=True, slots=True)
class Counts:
    """The buffer's own books, over all its streams; each number comes from the store.

    In records: `recorded` is counted by appends in a table of its own; `buffered` counts all records that the batches
    and the open tail held or hold, freed ones included, lost ones not. `evicted_records`: left unacknowledged, without
    those that were sealed again under another epoch. In batches: `sealed` = `freed` + `pending` + `evicted` +
    `unconfirmed` (B6). `handed`: pending batches handed over to a one-way device; `unconfirmed`: batches given up after
    that. `oldest_pending_ms`: of batches not handed over yet.
    """

    recorded: int
    buffered: int
    open_records: int
    pending_records: int
    freed_records: int
    evicted_records: int
    sealed: int
    freed: int
    pending: int
    evicted: int
    refused: int
    used_bytes: int
    oldest_pending_ms: int | None
    handed: int = 0
    unconfirmed: int = 0
    unconfirmed_records: int = 0


def compute_counts(db: sqlite3.Connection) -> Counts:
    """The books of an open buffer file."""
    sealed, freed, evicted, records_sealed, records_freed, records_evicted, records_resealed = db.execute(
        "SELECT total(sealed), total(freed), total(evicted), total(records_sealed), total(records_freed),"
        " total(records_evicted), total(records_resealed) FROM streams"
    ).fetchone()
    unconfirmed, records_unconfirmed = db.execute(
        "SELECT total(unconfirmed), total(records_unconfirmed) FROM streams"
    ).fetchone()
    on_stream = "FROM batches b JOIN streams s ON s.id = b.stream WHERE b.state = 0"
    handed = db.execute(f"SELECT count(*) {on_stream} AND b.sequence <= s.handed").fetchone()[0]
    pending, pending_records = db.execute("SELECT count(*), total(records) FROM batches WHERE state = 0").fetchone()
    open_records = int(db.execute("SELECT total(records) FROM tail").fetchone()[0])
    oldest = db.execute(
        f"SELECT b.first_ms {on_stream} AND b.sequence > s.handed ORDER BY b.stream, b.sequence LIMIT 1"
    ).fetchone()
    pages = db.execute("PRAGMA page_count").fetchone()[0] - db.execute("PRAGMA freelist_count").fetchone()[0]
    return Counts(
        recorded=db.execute("SELECT records FROM recorded").fetchone()[0],
        buffered=int(records_sealed - records_evicted - records_resealed) + open_records,
        open_records=open_records,
        pending_records=int(pending_records),
        freed_records=int(records_freed),
        evicted_records=int(records_evicted),
        sealed=int(sealed),
        freed=int(freed),
        pending=int(pending),
        evicted=int(evicted),
        refused=db.execute("SELECT count(*) FROM batches WHERE refused IS NOT NULL").fetchone()[0],
        used_bytes=pages * int(db.execute("PRAGMA page_size").fetchone()[0]),
        oldest_pending_ms=oldest[0] if oldest else None,
        handed=handed,
        unconfirmed=int(unconfirmed),
        unconfirmed_records=int(records_unconfirmed),
    )


def read_counts(directory: Path) -> Counts:
    """The books of the buffer in a state folder, read beside the agent that may be running.

    Raises:
        StoreError: no buffer there, more than one, or it can't be read.
    """
    found = sorted(directory.glob("*.buffer"))
    if len(found) != 1:
        raise StoreError(tr("{count} buffer files, expected one", count=len(found)), subject=str(directory))
    try:
        with closing(sqlite3.connect(f"{found[0].resolve().as_uri()}?mode=ro", uri=True)) as db:
            db.execute("BEGIN")
            return compute_counts(db)
    except sqlite3.Error as error:
        raise StoreError(tr("can't be read: {error}", error=error), subject=str(found[0])) from error
