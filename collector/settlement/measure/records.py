# SPDX-License-Identifier: GPL-3.0-or-later
"""Records by unit: finds each unit's rows in the input table, whatever their order, and cuts out a batch's rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from collector.base.clock_state import ClockState
from collector.model.quantity import QUANTITIES
from collector.settlement.measure.dispatch_side import arrow_values
from collector.settlement.measure.logic import Ints, Values
from collector.settlement.measure.timeline import Axis, LaneRecords

Codes = np.ndarray[tuple[int], np.dtype[np.integer[Any]]]
CLOCK_COLUMN = "clock"  # optional: model.record.ClockState of each record


class RecordBook:
    """The record table of a run, grouped by unit and ordered by time."""

    def __init__(self, table: pa.Table, *, tail_ms: int, unsynchronised_is_missing: bool = False) -> None:
        self._tail_ms = tail_ms
        self._clock = _has_unsynchronised(table)
        self._unsynchronised_is_missing = unsynchronised_is_missing
        codes, units = _unit_codes(table.column("unit"))
        time = arrow_values(table.column("time")).values
        order = _order(codes, time)
        if order is not None:
            table, codes, time = table.take(pa.array(order)), codes[order], time[order]
        self._table, self._time = table, time
        change = np.flatnonzero(codes[1:] != codes[:-1]) + 1
        first, last = (np.append(0, change), np.append(change, len(codes))) if len(codes) else (change, change)
        self._range = {units[codes[a]]: (int(a), int(b)) for a, b in zip(first.tolist(), last.tolist(), strict=True)}
        self._names = [q.name for q in QUANTITIES if q.name in table.column_names]

    def count(self, unit: str) -> int:
        """The number of records of a unit."""
        a, b = self._range.get(unit, (0, 0))
        return b - a

    def first_time_ms(self, unit: str) -> int | None:
        """The time of a unit's first record."""
        a, b = self._range.get(unit, (0, 0))
        return int(self._time[a]) if a < b else None

    def rows(self, axis: Axis) -> LaneRecords:
        """The records of a batch's lanes: the last one before each lane, those inside, and those soon after it."""
        parts: list[tuple[int, int]] = []
        for index, lane in enumerate(axis.lanes):
            a, b = self._range.get(lane.unit, (0, 0))
            begin = int(axis.start_utc_ms[index])
            time = self._time[a:b]
            first = max(int(np.searchsorted(time, begin, side="left")) - 1, 0)
            last = int(np.searchsorted(time, begin + axis.width + self._tail_ms, side="right"))
            parts.append((a + first, a + max(first, last)))
        lane_of = np.repeat(np.arange(len(parts), dtype=np.int64), [b - a for a, b in parts])
        parts = _merged(parts)
        pieces = pa.concat_tables([self._table.slice(a, b - a) for a, b in parts])
        columns = {name: arrow_values(pieces.column(name)) for name in self._names}
        if self._clock:
            clock = arrow_values(pieces.column(CLOCK_COLUMN))
            if self._unsynchronised_is_missing:
                good = ~(clock.valid & (clock.values == ClockState.UNSYNCHRONISED))
                columns = {name: Values(v.values, v.valid & good) for name, v in columns.items()}
            columns[CLOCK_COLUMN] = clock
        return LaneRecords(lane_of, _joined(self._time, parts), columns)


def _has_unsynchronised(table: pa.Table) -> bool:
    """Whether any record was stamped by a clock known to be unsynchronised (I-17)."""
    if CLOCK_COLUMN not in table.column_names:
        return False
    clock = arrow_values(table.column(CLOCK_COLUMN))
    return bool((clock.valid & (clock.values == ClockState.UNSYNCHRONISED)).any())


def _merged(parts: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Row ranges with adjacent ones merged: rows in one contiguous range need not be copied."""
    merged = [parts[0]]
    for a, b in parts[1:]:
        if a == merged[-1][1]:
            merged[-1] = (merged[-1][0], b)
        else:
            merged.append((a, b))
    return merged


def _joined(values: Ints, parts: Sequence[tuple[int, int]]) -> Ints:
    if len(parts) == 1:
        return values[parts[0][0] : parts[0][1]]
    return np.concatenate([values[a:b] for a, b in parts])


def _unit_codes(column: pa.ChunkedArray) -> tuple[Codes, list[str]]:
    """The unit column as numbers, equal for equal names, and the names."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    column = column.unify_dictionaries()
    if not column.num_chunks:
        return np.zeros(0, dtype=np.int32), []
    codes = [chunk.indices.to_numpy(zero_copy_only=False) for chunk in column.chunks]
    return np.concatenate(codes), column.chunk(0).dictionary.to_pylist()


def _order(codes: Codes, time: Ints) -> Ints | None:
    """The permutation that sorts rows by unit, then time; None where they are sorted already."""

    def ordered(codes: Codes, time: Ints) -> bool:
        same = codes[1:] == codes[:-1]
        return bool((~same | (time[1:] > time[:-1])).all())

    if not len(codes):
        return None
    starts = np.append(codes[0], codes[1:][codes[1:] != codes[:-1]])
    if len(starts) == len(np.unique(starts)) and ordered(codes, time):
        return None
    narrow = codes.astype(np.uint16) if codes.max() < 65536 else codes  # numpy sorts 16-bit integers by radix sort
    order = np.argsort(narrow, kind="stable")
    if not ordered(codes[order], time[order]):
        order = np.lexsort((time, codes))
    return order.astype(np.int64)


def tail_of(settle_ms: int, hold_ms: int) -> int:
    """The time in ms after a day's end for which records are needed: they judge an AVC order of its last instant."""
    return settle_ms + hold_ms
