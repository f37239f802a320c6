# SPDX-License-Identifier: GPL-3.0-or-later
"""The facts of a batch, piece by piece: the unit's states, the hours, the orders. Each is computed on first use.

The services read only these facts of the input. A column the unit does not have is not a missing value:
without a breaker column the power (or the condenser status) tells whether the unit is on grid, without a condenser
column it is never a condenser (rules.md section 2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Final, TypeVar

import numpy as np

from collector.model.dispatch import OrderKind
from collector.model.interval import DAY_MS
from collector.model.register import LocalSpan
from collector.settlement.measure.dispatch_side import DispatchSide, no_flags
from collector.settlement.measure.evidence import EvidenceSink
from collector.settlement.measure.logic import Bools, Ints, Tri, Values
from collector.settlement.measure.plausible import Plausible, by_row
from collector.settlement.measure.results import REASON_CODES, Results, SegmentSink
from collector.settlement.measure.timeline import Axis, LaneRecords, RecordPlaces, Spans, Timeline
from collector.settlement.rulebook.constant_days import ConstantDays, Policy, scaled
from collector.settlement.rulebook.rules import Rulebook

_T = TypeVar("_T")
# The reasons given where a value of each quantity with a plausible range is missing.
_LACKS: Final = {
    "active_power_mw": ("no_power", "no_breaker"),
    "reactive_power_mvar": ("no_reactive_power",),
    "bus_voltage_kv": ("no_voltage", "no_band"),
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a conjunction: `unpaid` is the reason where it is false, `missing` where it is unknown."""

    tri: Tri
    unpaid: str
    missing: str = "no_value"


@dataclass(frozen=True, slots=True)
class Tally:
    """Masks of the pieces of a determinant. `within`: in scope and not excluded; `own`: own fault, known and unpaid."""

    service: str
    within: Bools
    own: Bools | None
    counted: Bools
    missing: Bools
    would: Bools | None  # of the own-fault time: what the data would have counted
    code: np.ndarray[tuple[int], np.dtype[np.uint8]] | None


class Facts:
    """The batch as the services see it."""

    def __init__(
        self,
        *,
        axis: Axis,
        rows: LaneRecords,
        columns_of: Mapping[str, frozenset[str]],
        with_avc: frozenset[str],
        stretches: Mapping[str, Sequence[ConstantDays]],
        around: Mapping[str, Sequence[ConstantDays]],
        dispatch: DispatchSide,
        policy: Policy,
        rulebook: Rulebook,
        sink: SegmentSink | None = None,
        together: Sequence[Sequence[int]] = (),
    ) -> None:
        plausible = Plausible(axis, rows, around, policy)
        rows = plausible.rows
        self.axis, self.rows, self.policy, self.rulebook, self.dispatch = axis, rows, policy, rulebook, dispatch
        self.columns_of, self.with_avc, self.sink, self._around = columns_of, with_avc, sink, around
        self.evidence = None if sink is None else EvidenceSink(axis)
        self.results = Results.empty(axis)
        self.lane_stretches = [
            [(c0, c1, s) for s in stretches.get(lane.unit, ()) for c0, c1 in [_cells(axis, index, s)] if c0 < c1]
            for index, lane in enumerate(axis.lanes)
        ]
        self.places = RecordPlaces(axis, rows)
        plausible.check_voltage(self.on_at)
        self.plausible = plausible
        self.order_spans = {kind: dispatch.order_spans(axis, kind) for kind in OrderKind}
        self.plan_spans, self.band_spans = dispatch.plan.on_axis(axis), dispatch.band.on_axis(axis)
        self._excluded: dict[tuple[str, bool], Bools | None] = {}
        self._values: dict[str, Values] = {}
        spans = [*self.order_spans.values(), self.plan_spans, self.band_spans, self._valley, self._peak]
        spans += [dispatch.reserve_rows(axis, kind)[0] for kind in dispatch.reserves]
        services = {"*"} | {e.service for e in dispatch.exclusions}
        spans += [dispatch.exclusion_spans(axis, s, own_fault=own) for s in services for own in (False, True)]
        edges = [points for span in spans if len(span) for points in (span.start, span.end)]
        build = {"hold_ms": policy.hold_ms, "edges": edges}
        quarters = True  # always: the pieces of a lane must not depend on the needs of other units in the batch
        self.timeline = Timeline(axis, rows, quarters=quarters, **build)  # type: ignore[arg-type]
        if together:
            edges.append(_shared_edges(axis, self.timeline, together))
            self.timeline = Timeline(axis, rows, quarters=quarters, **build)  # type: ignore[arg-type]

    # -- numbers that are constant over a day ------------------------------------------------------------------------

    def per_day(self, compute: Callable[[ConstantDays], int | None]) -> Values:
        """A whole number per lane and day, from the stretch in force; invalid where there is none."""
        values = np.zeros(self.axis.cells, dtype=np.int64)
        valid = np.zeros(self.axis.cells, dtype=np.bool_)
        for lane in self.lane_stretches:
            for first, until, stretch in lane:
                number = compute(stretch)
                if number is not None:
                    values[first:until], valid[first:until] = number, True
        return Values(values, valid)

    def per_piece(self, compute: Callable[[ConstantDays], int | None]) -> Values:
        """A whole number on every piece, from the stretch in force; invalid where there is none."""
        daily = self.per_day(compute)
        return Values(self.timeline.spread(daily.values), self.timeline.spread_flags(daily.valid))

    def applies(self, test: Callable[[ConstantDays], bool]) -> Bools | None:
        """Mask of the pieces whose stretch passes a test; None: none in this batch."""
        daily = self.per_day(lambda stretch: 1 if test(stretch) else None).valid
        return self.timeline.spread_flags(daily) if daily.any() else None

    # -- records -----------------------------------------------------------------------------------------------------

    def has_column(self, name: str) -> list[bool]:
        """Per lane, whether its unit has a column."""
        return [name in self.columns_of.get(lane.unit, frozenset()) for lane in self.axis.lanes]

    def value(self, name: str) -> Values:
        """A quantity on every piece."""
        if name not in self._values:
            column = self.rows.columns.get(name)
            if column is None or not len(column.values):
                count = len(self.timeline)
                self._values[name] = Values(np.zeros(count, dtype=np.int64), no_flags(count))
            else:
                self._values[name] = self.timeline.take(column)
        return self._values[name]

    def status(self, name: str) -> Tri:
        """A status on every piece: 1 is true, 0 is false."""
        found = self.value(name)
        on = found.values == 1
        return Tri(found.valid & on, found.valid & ~on)

    def row_before(self, lane: int) -> int:
        """The row of the record that holds up to a lane's first instant; -1: none does."""
        start, head = int(self.axis.start_utc_ms[lane]), int(self.places.midnight_rows[lane, 0]) - 1
        holds = head >= self.places.lane_rows[lane] and self.rows.time_utc_ms[head] + self.policy.hold_ms >= start
        return head if holds else -1

    def lanes_with(self, name: str) -> Bools:
        """Mask of the pieces of lanes whose unit has a column."""
        return np.repeat(np.array(self.has_column(name)), self._lane_count)

    @cached_property
    def _lane_count(self) -> Ints:
        per_lane = self.timeline.cell_count.reshape(len(self.axis.lanes), self.axis.days)
        return np.asarray(per_lane.sum(axis=1), dtype=np.int64)

    @cached_property
    def power(self) -> Values:
        """Active power, kW."""
        return self.value("active_power_mw")

    @cached_property
    def condenser(self) -> Tri:
        """Whether the unit runs as a synchronous condenser."""
        return self._status_or("condenser", False)

    @cached_property
    def spilling(self) -> Tri:
        """Whether the unit spills water. A unit without this signal is taken to spill during its whole order."""
        return self._status_or("spilling", True)

    def _status_or(self, name: str, absent: bool) -> Tri:
        has = self.has_column(name)
        constant = Tri.known(np.full(len(self.timeline), absent))
        if not any(has):
            return constant
        return self.status(name) if all(has) else self.status(name).where(self.lanes_with(name), constant)

    @cached_property
    def on(self) -> Tri:
        """Whether the unit is on grid.

        The breaker decides if its status is recorded. Otherwise the unit is on grid if its output is above a small
        share of P_N, or if it runs as a condenser.
        """
        has = self.has_column("on_grid")
        if all(has):
            return self.status("on_grid")
        threshold = self.per_piece(lambda s: scaled(self.policy.on_grid_ratio * 1000 * _rated(s)))
        size = Values(np.abs(self.power.values), self.power.valid & threshold.valid)
        derived = size.above(threshold.values) | self.condenser
        return derived if not any(has) else self.status("on_grid").where(self.lanes_with("on_grid"), derived)

    def on_at(self, row: Ints) -> Tri:
        """Whether the unit is on grid at the given records, by the rule of `on`."""
        direct = self._status_at("on_grid", row)
        has = np.array(self.has_column("on_grid"))
        if has.all():
            return direct
        lanes = self.rows.lane[row]
        least = self._on_threshold_kw[row]
        power = self.rows.columns.get("active_power_mw")
        kw = Values(row * 0, row < 0) if power is None else Values(np.abs(power.values[row]), power.valid[row])
        size = Values(kw.values, kw.valid & (least >= 0))
        return direct.where(has[lanes], size.above(least) | self.condenser_at(row))

    @cached_property
    def on_of_rows(self) -> Tri:
        """Whether the unit is on grid at every record, by the rule of `on`."""
        breaker = self.rows.columns.get("on_grid")
        if breaker is None or not all(self.has_column("on_grid")):
            return self.on_at(np.arange(len(self.rows.lane), dtype=np.int64))
        return Tri(breaker.valid & (breaker.values == 1), breaker.valid & (breaker.values == 0))

    def condenser_at(self, row: Ints) -> Tri:
        """Whether the unit runs as a condenser at the given records, by the rule of `condenser`."""
        running = self._status_at("condenser", row)
        absent = ~np.array(self.has_column("condenser"))[self.rows.lane[row]]
        return Tri(running.true & ~absent, running.false | absent)

    def _status_at(self, name: str, row: Ints) -> Tri:
        found = self.rows.columns.get(name)
        if found is None:
            return Tri(row < 0, row < 0)
        values, valid = found.values[row], found.valid[row]
        return Tri(valid & (values == 1), valid & (values == 0))

    @cached_property
    def _on_threshold_kw(self) -> Ints:
        """The output at each record above which a unit without breaker status is on grid; -1: not registered."""
        return self.at_rows(lambda s: scaled(self.policy.on_grid_ratio * 1000 * _rated(s)), -1)

    def at_rows(self, compute: Callable[[ConstantDays], int], absent: int) -> Ints:
        """A number of each record's unit at the record's own time; `absent` where the unit is not registered then."""
        return by_row(self.axis, self.rows, self._around, compute, absent)

    # -- hours, orders, exclusions -----------------------------------------------------------------------------------

    def _hours(self, spans_of: Callable[[ConstantDays], Sequence[LocalSpan]]) -> Spans:
        """The daily local spans of each lane's area on the axis; one that crosses midnight is cut there."""
        starts: list[Ints] = []
        ends: list[Ints] = []
        for lane in self.lane_stretches:
            for first, until, stretch in lane:
                midnight = np.arange(first, until, dtype=np.int64) * DAY_MS
                for span in spans_of(stretch):
                    a, b = span.start_min * 60_000, span.end_min * 60_000
                    for begin, end in [(a, b)] if a < b else [(a, DAY_MS), (0, b)]:
                        starts.append(midnight + begin)
                        ends.append(midnight + end)
        if not starts:
            none = np.zeros(0, dtype=np.int64)
            return Spans(none, none, none)
        start = np.concatenate(starts)
        return Spans(start, np.concatenate(ends), np.arange(len(start), dtype=np.int64))

    @cached_property
    def _valley(self) -> Spans:
        return self._hours(lambda stretch: stretch.area.valley_hours)

    @cached_property
    def _peak(self) -> Spans:
        return self._hours(lambda stretch: stretch.area.peak_hours)

    @cached_property
    def valley(self) -> Bools:
        """Mask of the valley hours of the unit's area."""
        return self.timeline.inside(self._valley)

    @cached_property
    def peak(self) -> Bools:
        """Mask of the peak hours of the unit's area."""
        return self.timeline.inside(self._peak)

    def ordered(self, kind: OrderKind) -> Bools:
        """Mask of the time inside an order of a kind."""
        return self.timeline.inside(self.order_spans[kind])

    def excluded(self, service: str, *, own_fault: bool) -> Bools | None:
        """Mask of excluded time; None: nowhere. Test, dispatch and grid prevail over own fault where they overlap."""
        if self.policy.adopts("I-19", "leaves_scope"):
            if own_fault:
                return None
            return _either(self._inside(service, own_fault=False), self._inside(service, own_fault=True))
        found = self._inside(service, own_fault=own_fault)
        leaves = self._inside(service, own_fault=False) if own_fault else None
        return found & ~leaves if found is not None and leaves is not None else found

    def _inside(self, service: str, *, own_fault: bool) -> Bools | None:
        key = (self.dispatch.exclusion_class(service), own_fault)
        if key not in self._excluded:
            spans = self.dispatch.exclusion_spans(self.axis, service, own_fault=own_fault)
            self._excluded[key] = self.timeline.inside(spans) if len(spans) else None
        return self._excluded[key]

    # -- measuring ---------------------------------------------------------------------------------------------------

    def tally(
        self, service: str, scope: Bools, conditions: Sequence[Condition], needs: Sequence[tuple[Bools, str]] = ()
    ) -> Tally:
        """Judge every piece of a scope, and write the times of the determinant.

        `needs`: masks where a value to integrate is present, each with the reason to give where it is not.
        """
        timeline, put = self.timeline, self.results.put
        scope = self._while_paid(service, scope)
        leaves, own = self.excluded(service, own_fault=False), self.excluded(service, own_fault=True)
        within = scope if leaves is None else scope & ~leaves
        rest = within
        if own is not None:
            own = own & within
            rest = within & ~own
        together = conditions[0].tri
        for condition in conditions[1:]:
            together = together & condition.tri
        counted = rest & together.true
        for valid, _ in needs:
            counted = counted & valid
        missing = rest & ~(together.false | counted)
        would = None
        if own is not None:
            would = own & together.true
            for valid, _ in needs:
                would = would & valid
        scope_ms, missing_ms = timeline.time_by_cell(within), timeline.time_by_cell(missing)
        put(service, "scope", scope_ms)
        put(service, "known", scope_ms - missing_ms)
        put(service, "counted", timeline.time_by_cell(counted))
        if leaves is not None:
            put(service, "excluded", timeline.time_by_cell(scope & leaves))
        if own is not None:
            put(service, "own_fault", timeline.time_by_cell(own))
        code = None
        if self.sink is not None:
            code = self._codes(conditions, needs)
            if own is not None:
                code[own] = REASON_CODES["own_fault"]
            if leaves is not None:
                code[leaves] = REASON_CODES["excluded"]
            code[~scope] = 0
        return Tally(service, within, own, counted, missing, would, code)

    def tally_for(self, service: str, like: Tally, scope: Bools, conditions: Sequence[Condition],
                  needs: Sequence[tuple[Bools, str]]) -> Tally:  # fmt: skip
        """The tally of a service judged by the same scope, conditions and needs as that of `like`."""
        classes = {self.dispatch.exclusion_class(name) for name in (service, like.service)}
        stretches = [stretch for lane in self.lane_stretches for _, _, stretch in lane]
        if len(classes) > 1 or any(self._pays(service, s) != self._pays(like.service, s) for s in stretches):
            return self.tally(service, scope, conditions, needs)
        for name in ("scope", "known", "counted", "excluded", "own_fault"):
            if (times := self.results.columns.get(f"{like.service}.{name}")) is not None:
                self.results.put(service, name, times)
        return replace(like, service=service, code=None if like.code is None else like.code.copy())

    def _while_paid(self, service: str, scope: Bools) -> Bools:
        """The part of a scope in which the rulebook pays the service."""
        if all(self._pays(service, stretch) for lane in self.lane_stretches for _, _, stretch in lane):
            return scope
        return scope & self.per_piece(lambda stretch: 1 if self._pays(service, stretch) else None).valid

    def _pays(self, service: str, stretch: ConstantDays) -> bool:
        """Whether the rulebook pays a service on a stretch: to units of its kinds, on days it is in force."""
        return self.rulebook.pays(service, str(stretch.unit.kind), stretch.first_day, stretch.area.id)

    def _codes(
        self, conditions: Sequence[Condition], needs: Sequence[tuple[Bools, str]]
    ) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
        """The reason code of each piece: of the first false condition, else of the first unknown one, else paid."""
        code = np.full(len(self.timeline), REASON_CODES["counted"], dtype=np.uint8)
        for valid, reason in reversed(needs):
            code[~valid] = REASON_CODES[reason]
        for condition in reversed(conditions):
            code[condition.tri.missing] = REASON_CODES[condition.missing]
        if not self.timeline.all_present:
            code[~self.timeline.present & (code >= REASON_CODES["no_value"])] = REASON_CODES["no_record"]
        self._name_implausible(code)
        for condition in reversed(conditions):
            code[condition.tri.false] = REASON_CODES[condition.unpaid]
        return code

    def _name_implausible(self, code: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> None:
        """Give missing time the reason `implausible` where the value it lacks was taken out as such."""
        for name, bad in self.plausible.bad.items():
            here = bad[self.timeline.record] & self.timeline.present
            for reason in _LACKS[name]:
                lacks = here & (code == REASON_CODES[reason])
                if reason == "no_breaker":  # then the power tells whether the unit is on
                    lacks &= ~self.lanes_with("on_grid")
                code[lacks] = REASON_CODES["implausible"]

    def finish(
        self, tally: Tally, integrand: Ints | None, unit: str, *, best: Callable[[Ints], Ints] | None = None
    ) -> None:
        """Write a determinant's value (integrand × paid time), its segments, and the most that missing time could add.

        `best`: the largest integrand the unit's limits allow in missing time; without it, the time itself is written.
        """
        pieces = self.timeline.length if integrand is None else self.timeline.length * integrand
        self.put_would(tally, pieces)
        pieces = pieces * tally.counted
        self.results.put(tally.service, "value", self.timeline.sum_by_cell(pieces))
        self.put_best(tally, best)
        self.trace(tally, pieces, unit)

    def put_would(self, tally: Tally, pieces: Ints) -> None:
        """Write what own-fault time would have added to a determinant, had there been no fault."""
        if tally.would is not None:
            self.results.put(tally.service, "own_value", self.timeline.sum_by_cell(pieces * tally.would))

    def put_best(self, tally: Tally, best: Callable[[Ints], Ints] | None) -> None:
        """Write the most that missing time could add; `best` gives it for some pieces."""
        pieces = np.flatnonzero(tally.missing)
        if len(pieces):
            length = self.timeline.length[pieces]
            most = self.timeline.add_by_cell(pieces, length if best is None else length * best(pieces))
            self.results.put(tally.service, "best", most)

    def put_shaken(self, tally: Tally, pieces: Ints, most: Ints, unknown: Bools) -> None:
        """Write the bounds where the mean of a quarter hour counts that is missing in part (I-05, I-09).

        With another mean any of its time may count, or none. `pieces`: what was counted, integrated; `most`: the
        largest integrand of each piece; `unknown`: the pieces that a mean may lack, whether or not they would be paid
        (a ramp that is not paid is in the mean of its quarter hour).
        """
        first = self.timeline.quarter_start
        some = np.logical_or.reduceat(tally.missing | unknown, first)
        shaken = tally.within & np.repeat(some, np.diff(first, append=len(self.timeline)))
        shaken = shaken if tally.own is None else shaken & ~tally.own
        gain = self.timeline.length * most - pieces
        self.results.put(tally.service, "best", self.timeline.sum_by_cell(gain * shaken))
        self.results.put(tally.service, "worst", self.timeline.sum_by_cell(pieces * shaken))

    def put_open(self, tally: Tally, unknown: Bools) -> None:
        """Write the own-fault time that is known by rule but lacks values which could move the line (I-19)."""
        if tally.own is not None:
            self.results.put(tally.service, "open", self.timeline.time_by_cell(tally.own & unknown))

    def trace(self, tally: Tally, pieces: Ints, unit: str) -> None:
        """Write a determinant's segments, if the batch asks for segments."""
        if self.sink is not None and tally.code is not None:
            self.sink.add(self.timeline, tally.service, tally.code, pieces, unit)

    def quarter_mean(self, values: Values, mask: Bools) -> Values:
        """The mean of the known values inside `mask` per local quarter hour, rounded like every stored integer."""
        first = self.timeline.quarter_start
        count = np.diff(first, append=len(self.timeline))
        used = self.timeline.length * (mask & values.valid)
        total, time = np.add.reduceat(values.values * used, first), np.add.reduceat(used, first)
        size = (2 * np.abs(total) + time) // np.maximum(2 * time, 1)
        mean = np.repeat(np.where(total < 0, -size, size), count)
        return Values(mean, values.valid & mask)


def _either(left: Bools | None, right: Bools | None) -> Bools | None:
    return right if left is None else left if right is None else left | right


def _rated(stretch: ConstantDays) -> Fraction:
    return Fraction(stretch.unit.rated_mw)


def _cells(axis: Axis, lane: int, stretch: ConstantDays) -> tuple[int, int]:
    """The cells of a lane that a stretch covers: first and last + 1."""
    first_day = axis.lanes[lane].first_day
    a = min(max((stretch.first_day - first_day).days, 0), axis.days)
    b = min(max((stretch.until_day - first_day).days, 0), axis.days)
    return lane * axis.days + a, lane * axis.days + b


def _shared_edges(axis: Axis, timeline: Timeline, together: Sequence[Sequence[int]]) -> Ints:
    """The edges of all lanes of a group, repeated on each of them, so that their pieces begin and end together."""
    lane_of = timeline.start // axis.width
    edges: list[Ints] = []
    for lanes in together:
        offsets = np.unique(np.concatenate([timeline.start[lane_of == lane] - lane * axis.width for lane in lanes]))
        edges += [offsets + lane * axis.width for lane in lanes]
    return np.concatenate(edges)
