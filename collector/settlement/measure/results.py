# SPDX-License-Identifier: GPL-3.0-or-later
"""The results of measuring: integers per lane, local day and determinant, events that pair across days, and segments.

Results can be added: those of two batches, or of the same units on other days, join without loss (a month is the sum of
its days), because sums are integers and facts that depend on neighbouring days are kept as events.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import IntEnum, IntFlag
from functools import cached_property
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from collector.model.dispatch import OrderKind
from collector.model.interval import local_midnight_ms
from collector.settlement.measure.logic import Ints
from collector.settlement.measure.timeline import Axis, Timeline
from collector.settlement.statement import SEGMENT_SCHEMA

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
    ("implausible", "missing"),
)
CLASS_OF: Final[dict[str, str]] = dict(REASONS)
REASON_CODES: Final[dict[str, int]] = {reason: code for code, (reason, _) in enumerate(REASONS)}
_REASON_TEXTS: Final = pa.array([reason for reason, _ in REASONS])
_CLASSES: Final = tuple(dict.fromkeys(cause for _, cause in REASONS))
_CLASS_TEXTS: Final = pa.array(_CLASSES)
_CLASS_CODES: Final = np.array([_CLASSES.index(cause) for _, cause in REASONS], dtype=np.int32)  # by reason code


@dataclass(frozen=True, slots=True)
class GroupEnergy:
    """Energy (kWms) by which a peak group ran short on one day while exactly its units `on_units` were on grid."""

    day_ordinal: int
    on_units: tuple[str, ...]
    energy_kwms: int


class StatusRun(NamedTuple):
    """[start, end) UTC ms of one unit with one known status, 1 or 0: breaker (kind start_stop) or condenser.

    `after`: seen by the records soon after the days measured; only the month's last day needs it.
    """

    kind: OrderKind
    unit: str
    start_ms: int
    end_ms: int
    state: int
    after: bool = False


class Excursion(NamedTuple):
    """A frequency excursion on one side of the dead band. Sums in kWms and µHzms; `power_before_kw` None: unknown."""

    unit: str
    start_ms: int
    end_ms: int
    above: bool
    power_before_kw: int | None
    power_kwms: int | None
    beyond_uhzms: int


class Implausible(NamedTuple):
    """Implausible values of a unit and quantity: how many, first and last, the greatest and its limit as stored."""

    unit: str
    quantity: str
    number: int
    first_ms: int
    last_ms: int
    peak: int
    limit: int


class CalledPower(NamedTuple):
    """Output of a unit on a day after a reserve of it was called: UTC ms, kW.

    `before_kw`: at the call; None: not known, or called on the day before. `rises`: the records (instant, kW) from the
    call on that exceed every earlier one of the day.
    """

    unit: str
    day_ordinal: int
    called_ms: int
    before_kw: int | None
    rises: tuple[tuple[int, int], ...]


class TargetKind(IntEnum):
    """The kind of an AVC target that is kept.

    CHANGE: the target changed, which may be an order. BEGINS: the first target of a run. BEGINS_UNSURE: the same, but
    time is missing before it, so that the run before may have continued. HELD: the target already stood when the
    measured days began.
    """

    CHANGE = 0
    BEGINS = 1
    BEGINS_UNSURE = 2
    HELD = 3


class TargetFlag(IntFlag):
    """Flags of an AVC target.

    The lowest two bits are its kind (TargetKind); the bits from CAUSE on hold the reason why it can't be judged.
    """

    KIND = 3
    SURE = 4  # an order, whatever target stood when the day began
    IN_SCOPE = 8
    EXCLUDED = 16
    UNSURE = 32  # of a change: time is missing up to the judging record; of a begin: it may be an order
    AFTER = 64  # seen by the records soon after the days measured
    CAUSE = 128


AVC_TARGET_ROWS: Final = 6
NO_VOLTAGE: Final = -(1 << 62)  # in place of a voltage that is missing: 0 V is a value


class AvcTargets(NamedTuple):
    """AVC targets of a unit from a day on; `rows` is an array of AVC_TARGET_ROWS rows, one column a target.

    The rows: time in UTC ms, target in V, flags (TargetFlag), least change in V that counts as an order, time of the
    judging record in UTC ms (-1: none), its voltage in V (or NO_VOLTAGE).
    """

    unit: str
    day_ordinal: int
    rows: Ints


class AvcOrders(NamedTuple):
    """AVC orders of a unit and month, in order of time: UTC ms, V, V before, UTC ms judged at (-1: none), voltage in V
    (or NO_VOLTAGE), band in V, verdict (1 passed, 0 failed, -1 not judged), place of the reason in REASONS there."""

    unit: str
    rows: Ints


@dataclass
class Results:
    """Integers by determinant and field, one per lane and day (row = lane), and the events."""

    units: tuple[str, ...]
    first_day_ordinals: tuple[int, ...]
    days: int
    columns: dict[str, Ints] = field(default_factory=dict)
    runs: list[StatusRun] = field(default_factory=list)
    groups: list[GroupEnergy] = field(default_factory=list)
    excursions: list[Excursion] = field(default_factory=list)
    implausible: list[Implausible] = field(default_factory=list)
    called: list[CalledPower] = field(default_factory=list)
    targets: list[AvcTargets] = field(default_factory=list)
    avc_orders: list[AvcOrders] = field(default_factory=list)

    @classmethod
    def empty(cls, axis: Axis) -> Results:
        """Results without any measurement."""
        ordinals = tuple(lane.first_day.toordinal() for lane in axis.lanes)
        return cls(tuple(lane.unit for lane in axis.lanes), ordinals, axis.days)

    def put(self, service: str, name: str, per_cell: Ints) -> None:
        """Write one field of a determinant."""
        self.columns[f"{service}.{name}"] = per_cell.reshape(len(self.units), self.days)


class Sums(dict[str, int]):
    """Sums over some days by column; zero for a column that was not measured."""

    def __missing__(self, column: str) -> int:
        return 0


class MonthTotals:
    """All results of a month by unit, with sums over any range of days."""

    def __init__(self, parts: Iterable[Results], first_day_ordinal: int, days: int) -> None:
        self._first, self._days = first_day_ordinal, days
        self.runs: dict[tuple[OrderKind, str], list[StatusRun]] = defaultdict(list)
        self.groups: dict[str, list[GroupEnergy]] = defaultdict(list)
        self.excursions: dict[str, list[Excursion]] = defaultdict(list)
        self.implausible: dict[str, list[Implausible]] = defaultdict(list)
        self.called: dict[tuple[str, int], list[CalledPower]] = defaultdict(list)  # by unit and call
        self.avc_orders: dict[str, Ints] = {}
        self._parts = list(parts)
        for part in self._parts:
            self._add_events(part)
        month_end = local_midnight_ms(date.fromordinal(first_day_ordinal + days))
        for key, runs in self.runs.items():
            measured_to = max([month_end, *(run.end_ms for run in runs if not run.after)])
            runs = [run for run in runs if not run.after or run.start_ms >= measured_to]
            self.runs[key] = sorted(runs, key=lambda run: run.start_ms)
        for excursions in self.excursions.values():
            excursions.sort(key=lambda e: e.start_ms)

    def add(self, part: Results) -> None:
        """Add what was found out only when all days were there; before any sum is asked for."""
        self._parts.append(part)
        self._add_events(part)

    @cached_property
    def _columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for part in self._parts for name in part.columns))

    @cached_property
    def _rows(self) -> dict[str, int]:
        units = dict.fromkeys(unit for part in self._parts for unit in part.units)
        return {unit: row for row, unit in enumerate(units)}

    @cached_property
    def _before(self) -> Ints:
        """Units × columns × days, cumulative sums before each day: the sum over [a, b) is a difference of two."""
        daily = np.zeros((len(self._rows), len(self._columns), self._days), dtype=np.int64)
        for part in self._parts:
            self._add_columns(part, daily)
        before = np.zeros((*daily.shape[:2], self._days + 1), dtype=np.int64)
        np.cumsum(daily, axis=2, out=before[:, :, 1:])
        return before

    def _add_columns(self, part: Results, daily: Ints) -> None:
        if not part.columns:
            return
        values = np.stack(list(part.columns.values()), axis=1)  # lanes × columns × days
        columns = np.array([self._columns.index(name) for name in part.columns])
        for lane, unit in enumerate(part.units):
            offset = part.first_day_ordinals[lane] - self._first
            a, b = max(offset, 0), min(offset + part.days, self._days)
            if a < b:
                daily[self._rows[unit], columns, a:b] += values[lane, :, a - offset : b - offset]

    def _add_events(self, part: Results) -> None:
        for run in part.runs:
            self.runs[run.kind, run.unit].append(run)
        for group in part.groups:
            if self._first <= group.day_ordinal < self._first + self._days:
                for unit in group.on_units:
                    self.groups[unit].append(group)
        for excursion in part.excursions:
            self.excursions[excursion.unit].append(excursion)
        for event in part.implausible:
            self.implausible[event.unit].append(event)
        for called in part.called:
            self.called[called.unit, called.called_ms].append(called)
        self.avc_orders |= {orders.unit: orders.rows for orders in part.avc_orders}

    def daily(self, unit: str, column: str) -> list[int]:
        """A column of a unit day by day; all zero where the column was not measured."""
        if unit not in self._rows or column not in self._columns:
            return [0] * self._days
        before: list[int] = self._before[self._rows[unit], self._columns.index(column)].tolist()
        return [b - a for a, b in pairwise(before)]

    def between(self, unit: str, first_ordinal: int, until_ordinal: int) -> Sums:
        """The sums of all columns of a unit over the days [first, until)."""
        a = min(max(first_ordinal - self._first, 0), self._days)
        b = max(min(until_ordinal - self._first, self._days), a)
        if unit not in self._rows:
            return Sums()
        before = self._before[self._rows[unit]]
        return Sums(zip(self._columns, (before[:, b] - before[:, a]).tolist(), strict=True))


class SegmentSink:
    """Collects the segments of a batch: runs of pieces of one lane with one reason, in columns."""

    def __init__(self) -> None:
        self._axis: Axis | None = None
        self._names: list[tuple[str, str]] = []  # service and unit of the value, of each determinant
        self._found: list[tuple[Ints, ...]] = []  # lane, start and end on the axis, code, value, by determinant

    def add(self, timeline: Timeline, service: str, code: np.ndarray[tuple[int], np.dtype[np.uint8]], pieces: Ints,
            unit: str) -> None:  # fmt: skip
        """Segments of one determinant; pieces of code 0 are outside its scope."""
        self._axis = axis = timeline.axis
        changes = code[1:] != code[:-1]
        changes[timeline.cell_start[axis.days :: axis.days] - 1] = True
        first = np.concatenate([[0], np.flatnonzero(changes) + 1])
        keep = code[first] != 0
        value = np.add.reduceat(pieces, first)[keep]
        last = np.append(first[1:], len(code))[keep] - 1
        first = first[keep]
        end = timeline.start[last] + timeline.length[last]
        self._names.append((service, unit))
        self._found.append((timeline.lane[first], timeline.start[first], end, code[first], value))

    def table(self) -> pa.Table:
        """All collected segments, by lane, then service, then time."""
        if self._axis is None:
            return SEGMENT_SCHEMA.empty_table()
        lane = np.concatenate([found[0] for found in self._found])
        order = np.argsort(lane, kind="stable")
        lane, begin, end, code, value = (np.concatenate(each)[order] for each in zip(*self._found, strict=True))
        start = self._axis.utc_ms(begin)
        of = np.repeat(np.arange(len(self._found)), [len(found[0]) for found in self._found])[order]
        codes = code.astype(np.int32)

        def named(names: Sequence[str], place: Ints) -> pa.Array:
            distinct = list(dict.fromkeys(names))
            at = np.array([distinct.index(name) for name in names], dtype=np.int32)
            return pa.DictionaryArray.from_arrays(pa.array(at[place]), pa.array(distinct, pa.string()))

        columns = [
            named([each.unit for each in self._axis.lanes], lane),
            named([service for service, _ in self._names], of),
            pa.array(start),
            pa.array(start + (end - begin)),
            pa.DictionaryArray.from_arrays(pa.array(_CLASS_CODES[codes]), _CLASS_TEXTS),
            pa.DictionaryArray.from_arrays(pa.array(codes), _REASON_TEXTS),
            pa.array(value),
            named([unit for _, unit in self._names], of),
        ]
        return pa.Table.from_arrays(columns, schema=SEGMENT_SCHEMA)
