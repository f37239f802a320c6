# SPDX-License-Identifier: GPL-3.0-or-later
"""The timeline of a batch: the time of many units cut into pieces on which nothing changes.

A *lane* is one unit over a whole number of local days; all lanes of a batch have the same number. Lanes are laid end to
end on one axis, so that one vectorised pass measures many units, or many days of one, with the same code. On this axis
    x = lane · days · DAY_MS + (time − 00:00 local of the lane's first day)
a *cell* (one lane on one local day) is x // DAY_MS, a local quarter hour x // QUARTER_HOUR_MS, the local time of day
x % DAY_MS. A piece lies inside one cell and has the record that holds on it, if any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from collector.model.interval import DAY_MS, QUARTER_HOUR_MS, local_midnight_ms
from collector.settlement.measure.logic import Bools, Ints, Values


@dataclass(frozen=True, slots=True)
class Lane:
    """One unit from `first_day` on."""

    unit: str
    first_day: date


@dataclass(frozen=True)
class LaneRecords:
    """The records of a batch, by lane, then time. They may begin before a lane's first day and end after its last.

    `columns`: stored integers by quantity name, all invalid on a lane whose unit does not have the column.
    """

    lane: npt.NDArray[np.int64]
    time_utc_ms: Ints
    columns: dict[str, Values]


class Spans:
    """Intervals on the axis of a batch, clipped to their lanes; they may overlap unless a function says otherwise."""

    __slots__ = ("end", "row", "start")

    def __init__(self, start: Ints, end: Ints, row: Ints) -> None:
        keep = start < end
        self.start, self.end, self.row = start[keep], end[keep], row[keep]

    def __len__(self) -> int:
        return len(self.start)


class Axis:
    """The axis of a batch, its lanes laid end to end: conversion between UTC and points on it."""

    def __init__(self, lanes: Sequence[Lane], days: int) -> None:
        self.lanes = tuple(lanes)
        self.days = days
        self.width = days * DAY_MS
        self.cells = len(self.lanes) * days
        self.start_utc_ms = np.array([local_midnight_ms(lane.first_day) for lane in self.lanes], dtype=np.int64)
        self.lanes_of: dict[str, list[int]] = {}
        for index, lane in enumerate(self.lanes):
            self.lanes_of.setdefault(lane.unit, []).append(index)

    def spans(self, lane: Ints, start_utc_ms: Ints, end_utc_ms: Ints, row: Ints | None = None) -> Spans:
        """Intervals of lanes on the axis, clipped; `row` is the input row of each."""
        base = lane * self.width
        origin = self.start_utc_ms[lane]
        start = base + np.clip(start_utc_ms - origin, 0, self.width)
        end = base + np.clip(end_utc_ms - origin, 0, self.width)
        return Spans(start, end, np.arange(len(lane), dtype=np.int64) if row is None else row)

    def unit_spans(self, rows: Sequence[tuple[str, int, int]]) -> Spans:
        """The spans of (unit, start, end) rows on every lane of their unit."""
        found = [(lane, s, e, i) for i, (u, s, e) in enumerate(rows) for lane in self.lanes_of.get(u, ())]
        table = np.array(found, dtype=np.int64).reshape(-1, 4)
        return self.spans(table[:, 0], table[:, 1], table[:, 2], table[:, 3])

    def utc_ms(self, x: Ints) -> Ints:
        """UTC ms of points on the axis. A lane's end is the start of the next lane: pass only starts of intervals."""
        lane = x // self.width
        return np.asarray(self.start_utc_ms[lane] + (x - lane * self.width), dtype=np.int64)

    def day(self, cell: int) -> date:
        """The local date of a cell."""
        return self.lanes[cell // self.days].first_day + timedelta(days=cell % self.days)


class RecordPlaces:
    """Index of the records of a batch: the rows of each lane and local day, and the cell of each record."""

    def __init__(self, axis: Axis, rows: LaneRecords) -> None:
        self._axis, self._rows = axis, rows

    @cached_property
    def lane_rows(self) -> Ints:
        """The first row of each lane, and the row behind the last lane."""
        return np.searchsorted(self._rows.lane, np.arange(len(self._axis.lanes) + 1)).astype(np.int64)

    @cached_property
    def midnight_rows(self) -> Ints:
        """Per lane, the first row at or after each midnight, from the start of its first to the end of its last day."""
        return self.rows_at(np.arange(self._axis.days + 1, dtype=np.int64) * DAY_MS)

    def rows_at(self, offset_ms: Ints, *, after: bool = False) -> Ints:
        """Per lane, the first row at or after each offset from the lane's start; with `after`, the first row later."""
        lanes, starts = self.lane_rows.tolist(), self._axis.start_utc_ms.tolist()
        side: Literal["left", "right"] = "right" if after else "left"
        found = [
            a + np.searchsorted(self._rows.time_utc_ms[a:b], start + offset_ms, side)
            for a, b, start in zip(lanes, lanes[1:], starts, strict=False)
        ]
        return np.array(found, dtype=np.int64)

    def inside(self, row: Ints) -> Bools:
        """Whether records lie inside the days of their lanes."""
        lane = self._rows.lane[row]
        return np.asarray((row >= self.midnight_rows[lane, 0]) & (row < self.midnight_rows[lane, -1]))

    @cached_property
    def cell(self) -> Ints:
        """The cell of each record; of one outside its lane's days the nearest."""
        cuts = self.midnight_rows.copy()
        cuts[:, 0], cuts[:, -1] = self.lane_rows[:-1], self.lane_rows[1:]
        return np.repeat(np.arange(self._axis.cells, dtype=np.int64), np.diff(cuts, axis=1).ravel())

    @cached_property
    def gap_ms(self) -> Ints:
        """From the record before it in its lane to each record; of the first of a lane the largest number."""
        gap = np.diff(self._rows.time_utc_ms, prepend=self._rows.time_utc_ms[:1])
        gap[self.lane_rows[:-1][np.diff(self.lane_rows) > 0]] = np.iinfo(np.int64).max
        return gap


class Timeline:
    """The pieces of a batch, in order; `record` is the row that holds on a piece, -1 where none does.

    `piece_of_row`: the piece that begins at each record; of one outside its lane the lane's first, or the one behind
    its last.
    """

    def __init__(self, axis: Axis, rows: LaneRecords, *, hold_ms: int, edges: Sequence[Ints], quarters: bool) -> None:
        self.axis = axis
        end = axis.cells * DAY_MS
        step = QUARTER_HOUR_MS if quarters else DAY_MS
        offset = rows.time_utc_ms - axis.start_utc_ms[rows.lane]
        is_inside = (offset >= 0) & (offset < axis.width)
        inside = np.flatnonzero(is_inside)
        x = rows.lane[inside] * axis.width + offset[inside]
        head, head_until = _heads(axis, rows, offset, hold_ms)
        lane_end = (x // axis.width + 1) * axis.width
        following = np.append(x[1:], end) if len(x) else x
        hold_end = x + hold_ms
        hold_end = hold_end[hold_end < np.minimum(following, lane_end)]
        extra = np.concatenate([np.arange(0, end, step, dtype=np.int64), hold_end, head_until, *edges])
        extra = _distinct(extra[extra < end])
        place = np.searchsorted(x, extra)
        new = np.ones(len(extra), dtype=np.bool_)
        hit = place < len(x)
        new[hit] = x[place[hit]] != extra[hit]
        extra, place = extra[new], place[new]

        count = len(x) + len(extra)
        at_extra = place + np.arange(len(extra))
        is_row = np.ones(count, dtype=np.bool_)
        is_row[at_extra] = False
        self.start: Ints = np.empty(count, dtype=np.int64)
        self.start[at_extra], self.start[is_row] = extra, x
        self.record: Ints = np.empty(count, dtype=np.int64)
        self.record[is_row] = inside
        self.record[at_extra] = _held(axis, extra, place, x, inside, head, head_until, hold_ms)
        self.length: Ints = np.diff(self.start, append=end)
        self.present: Bools = self.record >= 0
        self.all_present = bool(self.present.all())
        self.cell_start = self.at(np.arange(0, end, DAY_MS, dtype=np.int64))
        self.cell_count = np.diff(self.cell_start, append=count)
        self.piece_of_row: Ints = np.empty(len(offset), dtype=np.int64)
        self.piece_of_row[inside] = np.flatnonzero(is_row)
        outside = np.flatnonzero(~is_inside)
        lane_piece = np.append(self.cell_start[:: axis.days], count)
        self.piece_of_row[outside] = lane_piece[rows.lane[outside] + (offset[outside] >= axis.width)]

    def __len__(self) -> int:
        return len(self.start)

    @cached_property
    def lane(self) -> Ints:
        """The lane of each piece."""
        per_lane = self.cell_count.reshape(-1, self.axis.days).sum(axis=1)
        return np.repeat(np.arange(len(per_lane), dtype=np.int64), per_lane)

    @cached_property
    def quarter_start(self) -> Ints:
        """The first piece of each local quarter hour of all lanes, in order."""
        return self.at(np.arange(0, self.axis.cells * DAY_MS, QUARTER_HOUR_MS, dtype=np.int64))

    def at(self, points: Ints) -> npt.NDArray[np.int64]:
        """Indices of the pieces that begin at the given points, each of which is an edge."""
        return np.searchsorted(self.start, points).astype(np.int64)

    def cell_of(self, pieces: Ints) -> Ints:
        """The cells of some pieces."""
        return np.asarray(self.start[pieces] // DAY_MS, dtype=np.int64)

    def take(self, column: Values) -> Values:
        """A column of the records on every piece."""
        valid = column.valid[self.record]
        if not self.all_present:
            valid &= self.present
        return Values(column.values[self.record], valid)

    def sum_by_cell(self, values: Ints) -> Ints:
        """Exact sums per lane and local day."""
        return np.asarray(np.add.reduceat(values, self.cell_start), dtype=np.int64)

    def time_by_cell(self, mask: Bools) -> Ints:
        """Milliseconds per lane and local day inside `mask`."""
        if not mask.any():
            return np.zeros(self.axis.cells, dtype=np.int64)
        change = mask[1:] != mask[:-1]
        change[self.cell_start[1:] - 1] = True
        turns = change.nonzero()[0]
        first = np.zeros(len(turns) + 1, dtype=np.int64)  # runs inside and outside, cut at midnight: far fewer
        np.add(turns, 1, out=first[1:])
        edges = np.empty(len(first) + 1, dtype=np.int64)  # and not np.diff: this runs a dozen times a service
        edges[:-1], edges[-1] = self.start[first], self.axis.cells * DAY_MS
        length = (edges[1:] - edges[:-1]) * mask[first]
        return np.asarray(np.add.reduceat(length, first.searchsorted(self.cell_start)), np.int64)

    def runs(self, mask: Bools) -> Ints:
        """The first piece of each run of pieces inside `mask`; a run ends at the latest with its lane and local day."""
        before = np.append(False, mask[:-1])
        before[self.cell_start] = False
        return np.flatnonzero(mask & ~before).astype(np.int64)

    def add_by_cell(self, piece: Ints, numbers: Ints) -> Ints:
        """Sums per lane and local day of numbers that belong to single pieces."""
        result = np.zeros(self.axis.cells, dtype=np.int64)
        np.add.at(result, self.cell_of(piece), numbers)
        return result

    def spread(self, per_cell: Ints) -> Ints:
        """Numbers per cell, repeated on every piece of the cell."""
        return np.repeat(per_cell, self.cell_count)

    def spread_flags(self, per_cell: Bools) -> Bools:
        """Flags per cell, repeated on every piece of the cell."""
        return np.repeat(per_cell, self.cell_count)

    def inside(self, spans: Spans) -> Bools:
        """Mask of the pieces inside any of the spans, whose ends must be edges."""
        mask = np.zeros(len(self), dtype=np.bool_)
        for first, until in zip(self.at(spans.start).tolist(), self.at(spans.end).tolist(), strict=True):
            mask[first:until] = True
        return mask

    def row_of(self, spans: Spans) -> Ints:
        """The row of the span that covers each piece, -1 for none; the spans must not overlap."""
        order = np.argsort(spans.start, kind="stable")
        edges = np.stack([self.at(spans.start[order]), self.at(spans.end[order])], axis=1).ravel()
        rows = np.full(2 * len(order) + 1, -1, dtype=np.int64)  # of the gap before each span, and of the span
        rows[1::2] = spans.row[order]
        return np.repeat(rows, np.diff(edges, prepend=0, append=len(self)))


def _distinct(values: Ints) -> Ints:
    """The distinct values in order; sorting is three times faster here than `np.unique`."""
    ordered = np.sort(values)
    return np.asarray(ordered[np.append(True, ordered[1:] != ordered[:-1])], dtype=np.int64)


def _heads(axis: Axis, rows: LaneRecords, offset: Ints, hold_ms: int) -> tuple[Ints, Ints]:
    """Per lane: the last record before its first day (-1: none), and the point up to which it holds."""
    count = len(axis.lanes)
    base = np.arange(count, dtype=np.int64) * axis.width
    if not len(rows.lane):
        return np.full(count, -1, dtype=np.int64), base
    before = np.searchsorted(rows.lane, np.arange(count + 1))
    is_before = np.concatenate([[0], np.cumsum(offset < 0)])
    number = is_before[before[1:]] - is_before[before[:-1]]
    head = np.where(number > 0, before[:-1] + number - 1, -1).astype(np.int64)
    until = np.where(head >= 0, offset[head] + hold_ms, 0)
    head = np.where(until > 0, head, -1)
    return head, base + np.clip(until, 0, axis.width)


def _held(
    axis: Axis, extra: Ints, place: Ints, x: Ints, inside: Ints, head: Ints, head_until: Ints, hold_ms: int
) -> Ints:
    """The record that holds at each added edge: the last one before it in its lane, or the lane's head; -1: none."""
    lane = extra // axis.width
    previous = place - 1
    if len(x):
        before = x[np.maximum(previous, 0)]
        in_lane = (previous >= 0) & (before >= lane * axis.width)
        holds = in_lane & (extra - before < hold_ms)
        record = np.where(holds, inside[np.maximum(previous, 0)], -1)
    else:
        in_lane, record = np.zeros(len(extra), dtype=np.bool_), np.full(len(extra), -1, dtype=np.int64)
    from_head = ~in_lane & (extra < head_until[lane])
    return np.asarray(np.where(from_head, head[lane], record), dtype=np.int64)
