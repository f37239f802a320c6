# SPDX-License-Identifier: GPL-3.0-or-later
"""What measuring yields: integers per lane, local day and determinant, events that pair across days, and segments.

Everything here adds up: results of two batches, or of the same units on other days, join without loss (a month is the
sum of its days), because sums are integers and facts that need their neighbours are kept as events.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa

from collector.settlement.logic import Ints
from collector.settlement.statement import SEGMENT_SCHEMA
from collector.settlement.timeline import Axis, Timeline

# Reason codes of segments and their classes; the order matters: from "no_value" on, time is missing.
REASONS: Final[tuple[tuple[str, str], ...]] = (
    ("", ""),
    ("counted", "counted"),
    ("off_grid", "unpaid"),
    ("on_grid", "unpaid"),
    ("above_lower_limit", "unpaid"),
    ("above_gate", "unpaid"),
    ("start_stop_order", "unpaid"),
    ("agc_off", "unpaid"),
    ("avc_off", "unpaid"),
    ("netted_other_way", "unpaid"),
    ("deep_peak_paid", "unpaid"),
    ("condenser", "unpaid"),
    ("not_condenser", "unpaid"),
    ("negative_power", "unpaid"),
    ("within_free_q", "unpaid"),
    ("voltage_out_of_band", "unpaid"),
    ("not_spilling", "unpaid"),
    ("not_reserved", "unpaid"),
    ("no_edge", "unpaid"),
    ("no_restart", "unpaid"),
    ("own_fault", "own_fault"),
    ("excluded", "excluded"),
    ("no_value", "missing"),
    ("no_record", "missing"),
    ("no_breaker", "missing"),
    ("no_power", "missing"),
    ("no_status", "missing"),
    ("no_plan", "missing"),
    ("no_band", "missing"),
    ("no_voltage", "missing"),
    ("no_reactive_power", "missing"),
    ("no_reserve_power", "missing"),
    ("group_member_missing", "missing"),
)
CLASS_OF: Final[dict[str, str]] = dict(REASONS)
REASON_CODES: Final[dict[str, int]] = {reason: code for code, (reason, _) in enumerate(REASONS)}


@dataclass(frozen=True, slots=True)
class GroupEnergy:
    """Energy (kWms) a peak group fell short on one cell's day while exactly `on_units` of it were on grid."""

    day_ordinal: int
    on_units: tuple[str, ...]
    energy_kwms: int


@dataclass(frozen=True, slots=True)
class BreakerRun:
    """[start, end) UTC ms of one unit with one breaker state: 1 on, 0 off, -1 missing."""

    unit: str
    start_ms: int
    end_ms: int
    state: int


@dataclass(frozen=True, slots=True)
class Excursion:
    """A stretch of time beyond the dead band, one side. Sums in kWms and µHzms; `power_before_kw` None: unknown."""

    unit: str
    start_ms: int
    end_ms: int
    above: bool
    power_before_kw: int | None
    power_kwms: int | None
    beyond_uhzms: int


@dataclass
class Results:
    """Integers by determinant and field, one per lane and day (row = lane), and the events beside them."""

    units: tuple[str, ...]
    first_day_ordinals: tuple[int, ...]
    days: int
    columns: dict[str, Ints] = field(default_factory=dict)
    runs: list[BreakerRun] = field(default_factory=list)
    groups: list[GroupEnergy] = field(default_factory=list)
    excursions: list[Excursion] = field(default_factory=list)

    @classmethod
    def empty(cls, axis: Axis) -> Results:
        """Nothing measured yet."""
        ordinals = tuple(lane.first_day.toordinal() for lane in axis.lanes)
        return cls(tuple(lane.unit for lane in axis.lanes), ordinals, axis.days)

    def put(self, service: str, name: str, per_cell: Ints) -> None:
        """Write one field of a determinant."""
        self.columns[f"{service}.{name}"] = per_cell.reshape(len(self.units), self.days)


class MonthTotals:
    """All results of a month, looked up by unit: sums over any run of its days."""

    def __init__(self, parts: Iterable[Results], first_day_ordinal: int, days: int) -> None:
        self._first, self._days = first_day_ordinal, days
        self._table: dict[str, dict[str, Ints]] = {}
        self._sums: dict[tuple[str, str], list[int]] = {}  # up to each day, of columns that were asked for
        self.runs: dict[str, list[BreakerRun]] = {}
        self.groups: dict[str, list[GroupEnergy]] = {}
        self.excursions: dict[str, list[Excursion]] = {}
        for part in parts:
            self._add(part)
        for runs in self.runs.values():
            runs.sort(key=lambda run: run.start_ms)
        for excursions in self.excursions.values():
            excursions.sort(key=lambda e: e.start_ms)

    def _add(self, part: Results) -> None:
        for lane, unit in enumerate(part.units):
            offset = part.first_day_ordinals[lane] - self._first
            a, b = max(offset, 0), min(offset + part.days, self._days)
            if a >= b:
                continue
            mine = self._table.setdefault(unit, {})
            for name, values in part.columns.items():
                row = values[lane, a - offset : b - offset]
                if row.any():
                    mine.setdefault(name, np.zeros(self._days, dtype=np.int64))[a:b] += row
        for run in part.runs:
            self.runs.setdefault(run.unit, []).append(run)
        for group in part.groups:
            if self._first <= group.day_ordinal < self._first + self._days:
                for unit in group.on_units:
                    self.groups.setdefault(unit, []).append(group)
        for excursion in part.excursions:
            self.excursions.setdefault(excursion.unit, []).append(excursion)

    def daily(self, unit: str, column: str) -> Ints | None:
        """A column day by day; None: all zero."""
        return self._table.get(unit, {}).get(column)

    def sum(self, unit: str, column: str, first_ordinal: int | None = None, until_ordinal: int | None = None) -> int:
        """A column's sum over [first, until) (default: the month)."""
        sums = self._sums.get((unit, column))
        if sums is None:
            daily = self.daily(unit, column)
            sums = [] if daily is None else [0, *np.cumsum(daily).tolist()]
            self._sums[unit, column] = sums
        if not sums:
            return 0
        a = 0 if first_ordinal is None else max(first_ordinal - self._first, 0)
        b = self._days if until_ordinal is None else min(until_ordinal - self._first, self._days)
        return sums[b] - sums[a] if a < b else 0


class SegmentSink:
    """Collects segments: runs of pieces of one lane with one reason, in columns."""

    def __init__(self) -> None:
        self._tables: list[pa.Table] = []
        self._lanes: list[Ints] = []

    def add(self, timeline: Timeline, service: str, code: np.ndarray[tuple[int], np.dtype[np.uint8]], pieces: Ints,
            unit: str) -> None:  # fmt: skip
        """Segments of one determinant; pieces of code 0 are outside its scope."""
        axis = timeline.axis
        lane = timeline.lane
        changes = code[1:] != code[:-1]
        changes[timeline.cell_start[axis.days :: axis.days] - 1] = True
        first = np.concatenate([[0], np.flatnonzero(changes) + 1])
        keep = code[first] != 0
        value = np.add.reduceat(pieces, first)[keep]
        last = np.append(first[1:], len(code))[keep] - 1
        first = first[keep]
        start = axis.utc_ms(timeline.start[first])
        end = axis.utc_ms(timeline.start[last]) + timeline.length[last]
        units = list(dict.fromkeys(x.unit for x in axis.lanes))
        index = {name: i for i, name in enumerate(units)}
        of_lane = np.array([index[x.unit] for x in axis.lanes], dtype=np.int32)
        count = len(first)
        self._lanes.append(lane[first])
        zeros = pa.array(np.zeros(count, dtype=np.int32))
        codes = code[first].astype(np.int32)
        classes = list(dict.fromkeys(c for _, c in REASONS))
        class_of = np.array([classes.index(c) for _, c in REASONS], dtype=np.int32)
        self._tables.append(
            pa.Table.from_arrays(
                [
                    pa.DictionaryArray.from_arrays(pa.array(of_lane[lane[first]]), pa.array(units, pa.string())),
                    pa.DictionaryArray.from_arrays(zeros, pa.array([service])),
                    pa.array(start),
                    pa.array(end),
                    pa.DictionaryArray.from_arrays(pa.array(class_of[codes]), pa.array(classes)),
                    pa.DictionaryArray.from_arrays(pa.array(codes), pa.array([r for r, _ in REASONS])),
                    pa.array(value),
                    pa.DictionaryArray.from_arrays(zeros, pa.array([unit])),
                ],
                schema=SEGMENT_SCHEMA,
            )
        )

    def table(self) -> pa.Table:
        """Everything collected, by lane, then service, then time."""
        if not self._tables:
            return SEGMENT_SCHEMA.empty_table()
        order = np.argsort(np.concatenate(self._lanes), kind="stable")
        return pa.concat_tables(self._tables).unify_dictionaries().take(pa.array(order))
