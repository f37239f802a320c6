# SPDX-License-Identifier: GPL-3.0-or-later
"""The records of a trial center, read from the bytes of its journal after it has stopped, not by its own interface."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from collector.base.errors import StoreError
from collector.base.text import tr
from collector.model.interval import Month, local_day
from collector.model.record import Cause, GapRecord, Quality
from collector.wire import decode_batch, open_envelope

CENTER_FILE = "center.sqlite"


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """One record at the center; rows are in order of arrival in their stream."""

    unit: str
    time_ms: int
    cause: Cause
    device_time_ms: int | None
    values: Mapping[str, tuple[int | None, Quality]]


@dataclass
class StoredRecords:
    """All committed records. `by_place`: rows by unit and instant; more than one row is a doubled record."""

    rows: list[StoredRecord] = field(default_factory=list)
    by_place: dict[tuple[str, int], list[StoredRecord]] = field(default_factory=lambda: defaultdict(list))
    gaps: list[GapRecord] = field(default_factory=list)
    batches: int = 0
    repeats: int = 0
    size_bytes: int = 0
    quarantined: dict[str, int] = field(default_factory=dict)

    def in_gap(self, unit: str, time_ms: int) -> bool:
        """True if a gap record covers this unit and instant."""
        return any(unit in gap.units and gap.from_ms <= time_ms < gap.to_ms for gap in self.gaps)


def read_stored(center_dir: Path) -> StoredRecords:
    """Read the journal of a center.

    Raises:
        StoreError: the journal can't be read.
    """
    database = center_dir / CENTER_FILE
    found = StoredRecords()
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as db:
            payloads = [row[0] for row in db.execute("SELECT bytes FROM payload ORDER BY stream_id, sequence")]
            found.repeats = int(db.execute("SELECT total(repeats) FROM batch").fetchone()[0])
            rows = db.execute("SELECT code, count(*) FROM quarantine GROUP BY code").fetchall()
            found.quarantined = {str(code): int(count) for code, count in rows}
    except sqlite3.Error as error:
        raise StoreError(tr("can't be read: {error}", error=error), subject=str(database)) from error
    found.batches, found.size_bytes = len(payloads), sum(map(len, payloads))
    for payload in payloads:
        _take(found, payload)
    return found


def _take(found: StoredRecords, payload: bytes) -> None:
    batch = decode_batch(open_envelope(payload))
    names = {layout.unit: layout.quantities for layout in batch.layouts}
    for record in batch.records:
        pairs = zip(record.values, record.qualities, strict=True)
        values = dict(zip(names[record.unit], pairs, strict=True))
        row = StoredRecord(record.unit, record.time_utc_ms, record.cause, record.device_time_utc_ms, values)
        found.rows.append(row)
        found.by_place[row.unit, row.time_ms].append(row)
    found.gaps += batch.gaps


def count_in_lake(center_dir: Path, stored: StoredRecords) -> int:
    """Records of their own day in the day files, sealed now; the center must have stopped."""
    from collector.center.lake.seal import count_records, seal_month

    months = {Month(day.year, day.month) for day in {local_day(row.time_ms) for row in stored.rows}}
    return sum(count_records(seal_month(center_dir, month)) for month in sorted(months, key=str))
