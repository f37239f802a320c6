# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps 7 to 10 in one call: a month's inputs and a rulebook become a statement.

Pure and synchronous. The center measures day by day and stores the results; `close` takes these as well as the results
that `settle` measures in one go, and both give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Final, Protocol, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from collector.model.dispatch import HISTORY_DAYS, RUN_KINDS, OrderKind, Revenue, days_after, days_before
from collector.model.interval import DAY_MS, Month, local_day, local_midnight_ms
from collector.settlement.close_units import ClosedUnits, PricedUnits, case_of, close_units, price_units, with_totals
from collector.settlement.evidence import Traces
from collector.settlement.findings import input_findings, revenue_findings
from collector.settlement.inputs import Inputs
from collector.settlement.measure.dispatch_side import DispatchSide
from collector.settlement.measure.logic import Ints
from collector.settlement.measure.records import RecordBook, tail_of
from collector.settlement.measure.results import Results
from collector.settlement.measure.timeline import Axis, Lane
from collector.settlement.measure_units import KERNEL_VERSION, LaneBatch, MeasuringContext, measure, plan
from collector.settlement.price.plants import compute_ledger, compute_plants
from collector.settlement.reserves import reserve_statistics
from collector.settlement.rulebook.constant_days import (
    ConstantDays,
    Policy,
    clip,
    compute_policy,
    compute_stretches,
    registered_spans,
)
from collector.settlement.rulebook.load import Rulebook
from collector.settlement.running import compute_running, running_findings
from collector.settlement.services import applies
from collector.settlement.services.avc_orders import order_table
from collector.settlement.services.order_trace import order_segments
from collector.settlement.services.pricing import Case, place_of
from collector.settlement.statement import (
    SEGMENT_SCHEMA,
    AreaRow,
    Line,
    MonthStatus,
    PlaceSpan,
    ReadingUse,
    Segments,
    Statement,
    check_identities,
)

_KEPT_SEGMENT_BYTES: Final = 128 << 20  # about 300 units of a month at one minute


EVERY_AREA: Final = "*"
_ORDERS_OF: Final = 10  # units whose AVC orders are made into rows together; of a month they are thousands a unit
_SegmentParts = Callable[[frozenset[str] | None], Iterator[Callable[[], Traces]]]
_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


class Spread(Protocol):
    """`map`, or a parallel version of it: the tasks are independent, the results come in the order of the tasks."""

    def __call__(self, work: Callable[[_Task], _Result], tasks: Iterable[_Task], /) -> Iterator[_Result]: ...


def settle(
    month: Month, inputs: Inputs, rulebook: Rulebook, *, spread: Spread = map, last_day: date | None = None
) -> Statement:
    """Compute the statement of a month; the same inputs give the same bytes however the measuring is spread.

    `last_day`: settle as a running month that is cut at the end of this day of it (rules.md section 6).

    Raises:
        RuleError: the rulebook has no value for a day that is measured.
        InvariantBroken: totals do not add up; there is no statement.
    """
    context = prepare(month, inputs, rulebook, last_day=last_day)
    measuring = Measuring(month, context, inputs.records, registered(context))
    closed = close_units(case_of(month, inputs, context), context, measuring.results(spread))
    return close_month(month, inputs, context, [closed], measuring.segments)


def registered(context: MeasuringContext) -> list[str]:
    """The units registered in a month, in order of id."""
    return [unit for unit, stretches in context.stretches.items() if stretches]


class Measuring:
    """The measuring of a month, for all or some of its units; the units of a peak group stay together."""

    def __init__(self, month: Month, context: MeasuringContext, records: pa.Table, units: Sequence[str]) -> None:
        self.month, self.context, self.units = month, context, units
        policy = context.policy
        self.book = RecordBook(
            records,
            tail_ms=tail_of(policy.settle_ms, policy.hold_ms),
            unsynchronised_is_missing=policy.adopts("I-17", "missing"),
        )
        self._kept: list[tuple[tuple[str, ...], Traces]] = []  # segments of the first batches, with their units

    def results(self, spread: Spread) -> Iterator[Results]:
        """Measure everything once; segments of the same pass are kept up to `_KEPT_SEGMENT_BYTES`."""
        left = _KEPT_SEGMENT_BYTES
        for results, traces in self.batches(spread):
            if traces is not None:
                left -= traces.segments.nbytes + sum(table.nbytes for table in traces.evidence.values())
                if left >= 0:
                    self._kept.append((results.units, traces))
            yield results

    def batches(self, spread: Spread = map) -> Iterator[tuple[Results, Traces | None]]:
        """Measure everything once: results and, for whole months, segments, in the order of the statement."""
        return spread(self._measure, self._plan())

    def _measure(self, make: Callable[[], LaneBatch]) -> tuple[Results, Traces | None]:
        return measure(self.context, make())

    def _plan(self) -> list[Callable[[], LaneBatch]]:
        """Functions that make the batches; the process that measures a batch cuts out its rows."""
        batches = self._whole(self.units)
        batches += self._history()
        if self.context.policy.adopts("I-06", "month_of_stop"):
            batches += self._restarts()
        return batches

    def _whole(self, units: Sequence[str]) -> list[Callable[[], LaneBatch]]:
        """Functions that make the batches of some units over the month."""
        first, days = self.month.first_day, len(self.month.days)
        return plan(self.context, self.book, first, days, units=units, segments=True)

    def _runs_only(self, unit: str, first_day: date, days: int) -> LaneBatch:
        lanes = (Lane(unit, first_day),)
        return LaneBatch(lanes, days, self.book.rows(Axis(lanes, days)), runs_only=True)

    def _history(self) -> Iterator[Callable[[], LaneBatch]]:
        """Batches of runs of breaker and condenser before the month, for units with orders that look there."""
        month, min_stop_ms = self.month, self.context.policy.min_stop_ms
        for unit in self.units:
            orders = [order for kind in RUN_KINDS for order in self.context.dispatch.orders[kind].get(unit, ())]
            days = [d for o in orders for d in days_before(month, o.kind, o.start_ms, o.end_ms, min_stop_ms)]
            first_record = self.book.first_time_ms(unit)
            if not days or first_record is None or first_record >= month.interval.start_ms:
                continue
            first_day = max(min(days), local_day(first_record))
            yield partial(self._runs_only, unit, first_day, (month.first_day - first_day).days)

    def _restarts(self) -> Iterator[Callable[[], LaneBatch]]:
        """Batches of breaker runs after the month, if a stop counts in its own month though restarts come later."""
        for unit in self.units:
            orders = self.context.dispatch.orders[OrderKind.START_STOP].get(unit, ())
            if days := {d for o in orders for d in days_after(self.month, o.kind, o.start_ms, o.end_ms)}:
                yield partial(self._runs_only, unit, min(days), len(days))

    def segments(self, units: frozenset[str] | None) -> Iterator[Callable[[], Traces]]:
        """Segments batch by batch: those kept, then the others, measured again (all may not fit into memory)."""
        kept = {unit for members, _ in self._kept for unit in members}
        for members, traces in self._kept:
            if units is None or not units.isdisjoint(members):
                yield partial(_some, traces, units)
        wanted = None if units is None and not kept else frozenset(self.units if units is None else units) - kept
        chosen = [unit for unit in self.units if wanted is None or unit in wanted]
        if units is not None:  # members of a chosen unit's peak group are measured with it
            chosen = self._with_groups(chosen)
        for make in self._whole(chosen):
            yield partial(self._measure_again, make, wanted)

    def _measure_again(self, make: Callable[[], LaneBatch], units: frozenset[str] | None) -> Traces:
        traces = self._measure(make)[1]
        assert traces is not None
        return _some(traces, units)

    def _with_groups(self, chosen: list[str]) -> list[str]:
        plants = {s.plant.id for unit in chosen for s in self.context.stretches[unit]}
        return [u for u in self.units if any(s.plant.id in plants for s in self.context.stretches[u])]


def _some(traces: Traces, units: frozenset[str] | None) -> Traces:
    """The rows of the wanted units."""
    if units is None:
        return traces
    wanted = pa.array(sorted(units))

    def of(table: pa.Table) -> pa.Table:
        return table.filter(pc.is_in(table.column("unit").cast(pa.string()), value_set=wanted))

    return Traces(of(traces.segments), {name: of(table) for name, table in traces.evidence.items()})


def prepare(month: Month, inputs: Inputs, rulebook: Rulebook, *, last_day: date | None = None) -> MeasuringContext:
    """Make the context that all batches of a month share. Stretches include the days of earlier breaker runs.

    Behind the month as many days are known as records are looked at there.

    `last_day`: of a running month; nothing is registered after it, so that every scope ends there.
    """
    cut = None if last_day is None else last_day + timedelta(days=1)
    first, until = month.first_day, month.next().first_day
    policy = compute_policy(rulebook, inputs.register, first)
    early = max(date.fromordinal(first.toordinal() - HISTORY_DAYS), min(rulebook.change_days()))
    behind = until + timedelta(days=1 + tail_of(policy.settle_ms, policy.hold_ms) // DAY_MS)
    around = compute_stretches(inputs.register, rulebook, min(early, first), behind)
    whole = {unit: clip(parts, date.min, until) for unit, parts in around.items()}
    with_avc = frozenset(unit for unit, parts in whole.items() if any(s.unit.avc for s in clip(parts, first)))
    if cut is not None:
        whole = {unit: clip(parts, date.min, cut) for unit, parts in whole.items()}
    inside = {unit: clip(stretches, first) for unit, stretches in whole.items()}
    stretches = {unit: parts for unit, parts in whole.items() if inside[unit]}
    side = DispatchSide(inputs)
    return MeasuringContext(rulebook, policy, side, stretches, around, inputs.unit_columns, with_avc, cut)


def close(
    month: Month,
    inputs: Inputs,
    rulebook: Rulebook,
    results: Iterable[Results],
    segments: _SegmentParts | None = None,
    *,
    context: MeasuringContext | None = None,
) -> Statement:
    """Add measured days up, price, allocate, and check the identities.

    `segments`: gives the segments of the measured days, as `Segments` asks for them; without it the statement has only
    the segments of start-stop orders, which are made here. `context`: from `prepare` for the same month, inputs and
    rulebook.

    Raises:
        RuleError: the rulebook has no value for a day that is priced.
        InvariantBroken: totals do not add up.
    """
    context = context or prepare(month, inputs, rulebook)
    closed = close_units(case_of(month, inputs, context), context, results)
    return close_month(month, inputs, context, [closed], segments or no_segments)


def close_month(
    month: Month,
    inputs: Inputs,
    context: MeasuringContext,
    units: Iterable[ClosedUnits],
    segments: _SegmentParts,
) -> Statement:
    """Put the units of a month together, in order of id: allocate, and check the identities.

    Raises:
        InvariantBroken: totals do not add up.
    """
    rulebook, first = context.rulebook, month.first_day
    closed = PricedUnits()
    parts: list[Results] = []
    for some in units:
        parts += some.results
        closed.extend(some.rows)
    closed.sort()
    case = with_totals(case_of(month, inputs, context), parts)
    stretches, called = case.stretches, case.totals.called
    findings = [*input_findings(month, inputs), *closed.findings]
    lines = [outcome.line for outcome in closed.outcomes]
    running = None
    revenue: Sequence[Revenue] | None = inputs.revenue
    if context.cut is not None:
        running, revenue = compute_running(case, context.cut, inputs, lines, _lines_before(case, context.cut))
        findings += running_findings(month, running)
    open_areas = {area for f in findings if f.provisional for area in f.areas or (EVERY_AREA,)}
    plants, areas = compute_plants(
        month=month,
        register=inputs.register,
        stretches=stretches,
        lines=lines,
        revenue=revenue or (),
        provisional=lambda area: not open_areas.isdisjoint((area, EVERY_AREA)),
    )
    if inputs.revenue is not None:
        findings += revenue_findings(areas, rulebook)
    statement = Statement(
        month=str(month),
        status=_worst(areas, MonthStatus.PROVISIONAL if open_areas else MonthStatus.FINAL),
        lines=tuple(lines),
        plants=tuple(plants),
        areas=tuple(areas),
        determinants=tuple(row for outcome in closed.outcomes for row in outcome.determinants),
        segments=Segments(lambda units: _with_start_stops(segments, case, units)),
        primary_frequency=tuple(closed.excursions),
        primary_frequency_service=tuple(closed.in_service),
        ledger=() if running else tuple(compute_ledger(month, plants)),
        left_on_table=tuple(row for outcome in closed.outcomes for row in outcome.left),
        findings=tuple(findings),
        readings=_readings(rulebook, first),
        policy=_policy_texts(context.policy),
        rulebook_hash=rulebook.hash,
        kernel_version=KERNEL_VERSION,
        sources=dict(inputs.sources),
        formulas=rulebook.formulas,
        places={unit: tuple(map(_place_span, parts)) for unit, parts in stretches.items()},
        registered={unit: registered_spans(parts) for unit, parts in stretches.items()},
        running=running,
        meter_days=tuple(closed.meter_days),
        start_stops=tuple(closed.start_stops),
        reserve_statistics=tuple(
            reserve_statistics(inputs, stretches, called, month.interval.start_ms, _end_ms(month, context.cut))
        ),
    )
    check_identities(statement)
    return statement


def _place_span(stretch: ConstantDays) -> PlaceSpan:
    return PlaceSpan(*registered_spans([stretch])[0], *place_of(stretch))


def _end_ms(month: Month, cut: date | None) -> int:
    """The end of the month, or of the part of it that is settled."""
    return month.interval.end_ms if cut is None else local_midnight_ms(cut)


def _lines_before(case: Case, cut: date) -> list[Line]:
    """The lines of the month to a day before the cut, from the same measured days."""
    first, day = case.month.first_day, cut - timedelta(days=1)
    stretches = {unit: parts for unit, all_ in case.stretches.items() if (parts := clip(all_, first, day))}
    elapsed = Fraction((day - first).days, len(case.month.days))
    return [outcome.line for outcome in price_units(replace(case, stretches=stretches, elapsed=elapsed)).outcomes]


def _worst(areas: Sequence[AreaRow], otherwise: MonthStatus) -> MonthStatus:
    """The status of the month: that of its worst area, blocked ranking worst; `otherwise`: of a month without any."""
    statuses = {area.status for area in areas} or {otherwise}
    ranked = (MonthStatus.BLOCKED, MonthStatus.PROVISIONAL, MonthStatus.FINAL)
    return next(status for status in ranked if status in statuses)


def _with_start_stops(
    segments: _SegmentParts, case: Case, units: frozenset[str] | None
) -> Iterator[Callable[[], Traces]]:
    """The segments of measuring, then what joins across days: orders that are matched with runs, and AVC orders."""
    yield from segments(units)
    yield lambda: Traces(order_segments(case, applies(case.policy, case.rulebook), units), {})
    orders = case.totals.avc_orders
    names = sorted(orders if units is None else units & orders.keys())
    for first in range(0, len(names), _ORDERS_OF):
        yield partial(avc_orders, orders, frozenset(names[first : first + _ORDERS_OF]))


def avc_orders(orders: Mapping[str, Ints], units: frozenset[str] | None = None) -> Traces:
    """The rows of the AVC orders of all units, or some."""
    return Traces(SEGMENT_SCHEMA.empty_table(), {"avc_orders": order_table(orders, units)})


def no_segments(_: frozenset[str] | None) -> Iterator[Callable[[], Traces]]:
    """The segments of measuring, where they are not asked for, or are written already."""
    return iter(())


def _readings(rulebook: Rulebook, day: date) -> tuple[ReadingUse, ...]:
    uses = []
    for ident, reading in sorted(rulebook.readings.items()):
        row = rulebook.reading_row(ident, day)
        text, text_zh = reading.choices[row.adopted], reading.choices_zh[row.adopted]
        adopted = (ident, reading.clause, row.adopted, row.from_day.isoformat(), text, text_zh)
        uses.append(ReadingUse(*adopted, reading.question, reading.question_zh))
    return tuple(uses)


def _policy_texts(policy: Policy) -> dict[str, Decimal]:
    def decimal(numerator: int, denominator: int) -> Decimal:
        return Decimal(numerator) / Decimal(denominator)

    return {
        "hold_limit_s": decimal(policy.hold_ms, 1000),
        "settle_s": decimal(policy.settle_ms, 1000),
        "at_limit_tolerance_mvar": decimal(policy.at_limit_kvar, 1000),
        "min_coverage": decimal(policy.min_coverage.numerator, policy.min_coverage.denominator),
        "provisional_coverage": decimal(policy.provisional_coverage.numerator, policy.provisional_coverage.denominator),
        "min_stop_s": decimal(policy.min_stop_ms, 1000),
        "order_min_ratio": decimal(policy.order_min_ratio.numerator, policy.order_min_ratio.denominator),
        "plausible_ratio": decimal(policy.plausible_ratio.numerator, policy.plausible_ratio.denominator),
    }
