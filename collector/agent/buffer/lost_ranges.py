# SPDX-License-Identifier: GPL-3.0-or-later
"""Sequences whose payload is no longer in the file: the range, the reason, and whether a gap record told the center.

A row is a range of sequences of one stream with one reason. `due`: the center must be told. A row is told through one
batch (`told_stream`, `told_seq`); if that batch is lost too, the row is due again and is joined with its neighbours, so
a long outage at the size limit stays one row. All functions run inside a transaction of the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from collector.agent.buffer.buffer_file import Ledger, StreamRow
from collector.model.interval import DAY_MS
from collector.model.record import GapRecord

EVICTED: Final = "evicted"
UNREADABLE: Final = "unreadable"
RESEALED: Final = "resealed"  # sent under another epoch: closes a hole, no time is missing
UNCONFIRMED: Final = "unconfirmed"  # handed over to a one-way device: unknown whether the center has it
NOT_KEPT: Final = "not_kept"  # freed, then dropped; told only to a new store, or when asked

# Oldest time of a reported gap: a center refuses older times (400 days by default), and the whole batch with them.
REACH_MS: Final = 366 * DAY_MS

_COLUMNS: Final = "id, stream, from_seq, to_seq, from_ms, to_ms, units, reason"


@dataclass(frozen=True, slots=True)
class LostRange:
    """One range, both ends included; times as in `GapRecord`."""

    id: int
    stream: int
    from_seq: int
    to_seq: int
    from_ms: int
    to_ms: int
    units: str
    reason: str

    def gap(self, epoch: int) -> GapRecord:
        """The range as the gap record for the center."""
        units = tuple(u for u in self.units.split(",") if u)
        return GapRecord(units, self.from_ms, self.to_ms, self.reason, epoch, self.from_seq, self.to_seq)


def within_reach(gap: GapRecord, now_ms: int) -> GapRecord:
    """A gap clipped to its last 366 days; one that ended earlier keeps its sequences only, without units.

    A gateway that was stored for two years, or began with its clock in 1970, has gaps that long.
    """
    first_ms = max(now_ms, gap.to_ms) - REACH_MS
    if gap.from_ms >= first_ms:
        return gap
    units = gap.units if gap.to_ms > first_ms else ()
    return replace(gap, units=units, from_ms=min(first_ms, gap.to_ms))


def add(
    ledger: Ledger,
    stream: int,
    sequences: tuple[int, int],
    span: tuple[int, int],
    units: str,
    reason: str,
    *,
    due: bool,
) -> None:
    """Record a range; it joins a neighbour of the same reason that is not told yet."""
    ledger.db.execute(
        "INSERT INTO lost (stream, from_seq, to_seq, from_ms, to_ms, units, reason, due) VALUES (?,?,?,?,?,?,?,?)",
        (stream, *sequences, *span, units, reason, int(due)),
    )
    _join(ledger, stream, reason)


def _join(ledger: Ledger, stream: int, reason: str) -> None:
    """Join adjacent rows that are not told yet; `not_kept` rows are joined within a day only, for finer answers."""
    # No longer than a gap may be: sequences from a clock in 1970 must not be joined with this year's.
    limit_ms = DAY_MS if reason == NOT_KEPT else REACH_MS
    rows = _select(
        ledger, "stream = ? AND reason = ? AND told_seq IS NULL ORDER BY from_seq DESC LIMIT 64", stream, reason
    )
    for later, earlier in pairwise(rows):
        span = min(later.from_ms, earlier.from_ms), max(later.to_ms, earlier.to_ms)
        if earlier.to_seq + 1 != later.from_seq or span[1] - span[0] > limit_ms:
            continue
        units = ",".join(sorted(set(later.units.split(",")) | set(earlier.units.split(","))))
        ledger.db.execute(
            "UPDATE lost SET to_seq = ?, from_ms = ?, to_ms = ?, units = ?, due = max(due,"
            " (SELECT due FROM lost WHERE id = ?)) WHERE id = ?",
            (later.to_seq, *span, units.strip(","), later.id, earlier.id),
        )
        ledger.db.execute("DELETE FROM lost WHERE id = ?", (later.id,))
        return _join(ledger, stream, reason)
    return None


def due(ledger: Ledger, plant: str) -> list[LostRange]:
    """The ranges of a plant's streams that the center must still be told, a bounded number at a time."""
    condition = (
        "due = 1 AND told_seq IS NULL AND stream IN (SELECT id FROM streams WHERE plant = ?) ORDER BY id LIMIT 256"
    )
    return _select(ledger, condition, plant)


def tell(ledger: Ledger, row: LostRange, stream: int, sequence: int) -> None:
    """Record the batch that tells the center of a range."""
    ledger.db.execute("UPDATE lost SET due = 1, told_stream = ?, told_seq = ? WHERE id = ?", (stream, sequence, row.id))


def require_told(ledger: Ledger, current: StreamRow, following: int, open_gaps: Sequence[GapRecord]) -> None:
    """Require that each range said to be told in the open tail, or in a batch, is told there.

    Args:
        ledger: the file.
        current: a current stream.
        following: the sequence of its open tail.
        open_gaps: what the tail tells.

    Raises:
        ValueError: a range is told nowhere; the center would never hear of it.
    """
    named = {(gap.epoch, gap.from_seq, gap.to_seq) for gap in open_gaps}
    for row in _select(ledger, "told_stream = ? AND told_seq >= ?", current.id, following):
        epoch = int(ledger.value("SELECT epoch FROM streams WHERE id = ?", row.stream), 16)
        if (epoch, row.from_seq, row.to_seq) not in named:
            raise ValueError(f"the lost range {row.from_seq} to {row.to_seq} is told nowhere")


def untell(ledger: Ledger, stream: int, sequence: int) -> None:
    """Mark ranges due again whose telling batch is lost itself."""
    touched = _select(ledger, "told_stream = ? AND told_seq = ?", stream, sequence)
    for row in touched:
        ledger.db.execute("UPDATE lost SET told_stream = NULL, told_seq = NULL, due = 1 WHERE id = ?", (row.id,))
    for other, reason in {(row.stream, row.reason) for row in touched}:
        _join(ledger, other, reason)


def retell(ledger: Ledger, old: tuple[int, int], new: tuple[int, int]) -> None:
    """Record the new name of a batch that tells of ranges."""
    ledger.db.execute(
        "UPDATE lost SET told_stream = ?, told_seq = ? WHERE told_stream = ? AND told_seq = ?", (*new, *old)
    )


def overlapping(ledger: Ledger, stream: int, first: int, last: int) -> list[LostRange]:
    """Ranges that overlap the sequences `first`..`last`."""
    return _select(ledger, "stream = ? AND from_seq <= ? AND to_seq >= ? ORDER BY from_seq", stream, last, first)


def in_time(ledger: Ledger, streams: list[int], unit: str, from_ms: int, to_ms: int) -> list[LostRange]:
    """Ranges that touch a unit's interval."""
    marks = ",".join("?" * len(streams))
    rows = _select(ledger, f"stream IN ({marks}) AND from_ms < ? AND to_ms > ? ORDER BY id", *streams, to_ms, from_ms)
    return [row for row in rows if unit in row.units.split(",")]


def due_to_new_store(ledger: Ledger, stream: int, through: int) -> None:
    """Mark ranges due that a new store does not know: beyond its `through`, and their telling batch is gone."""
    for row in _select(ledger, "stream = ? AND to_seq > ?", stream, through):
        if row.from_seq <= through:
            ledger.db.execute(
                f"INSERT INTO lost ({_COLUMNS[4:]}, due) SELECT stream, from_seq, ?, from_ms, to_ms, units, reason, 0"
                " FROM lost WHERE id = ?",
                (through, row.id),
            )
            ledger.db.execute("UPDATE lost SET from_seq = ? WHERE id = ?", (through + 1, row.id))
        ledger.db.execute(
            "UPDATE lost SET due = 1, told_stream = NULL, told_seq = NULL WHERE id = ? AND NOT EXISTS"
            " (SELECT 1 FROM batches WHERE batches.stream = told_stream AND batches.sequence = told_seq)"
            " AND NOT EXISTS (SELECT 1 FROM streams WHERE streams.id = told_stream AND next_sequence = told_seq)",
            (row.id,),
        )


def _select(ledger: Ledger, condition: str, *parameters: object) -> list[LostRange]:
    return [LostRange(*row) for row in ledger.db.execute(f"SELECT {_COLUMNS} FROM lost WHERE {condition}", parameters)]
