# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps 7 to 10 in one call: a month's inputs and a rulebook become a statement.

Pure and synchronous. The center measures day by day and stores the results; `close` takes these as well as the results
that `settle` measures in one go, and both give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Final, Protocol, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from collector.model.dispatch import OrderKind
from collector.model.interval import Month, local_day
from collector.settlement.inputs import Inputs
from collector.settlement.measure import meter
from collector.settlement.measure.dispatch_side import DispatchSide
from collector.settlement.measure.records import RecordBook, tail_of
from collector.settlement.measure.results import MonthTotals, Results
from collector.settlement.measure.timeline import Axis, Lane
from collector.settlement.measure_units import KERNEL_VERSION, Batch, Context, measure, plan
from collector.settlement.price.lines import Outcome, compute_lines
from collector.settlement.price.plants import compute_ledger, compute_plants
from collector.settlement.rulebook.constant_days import (
    Policy,
    Stretch,
    compute_policy,
    compute_stretches,
    registered_spans,
)
from collector.settlement.rulebook.in_force import RulesInForce
from collector.settlement.rulebook.load import Rulebook
from collector.settlement.services import applies, primary_frequency
from collector.settlement.services.clock_state import CLOCK
from collector.settlement.services.pricing import Account, Case
from collector.settlement.services.start_stop_trace import start_stop_segments
from collector.settlement.statement import (
    Finding,
    MonthStatus,
    PrimaryFrequencyRow,
    PrimaryFrequencyService,
    ReadingUse,
    Segments,
    Statement,
    check_identities,
)

_KEPT_SEGMENT_BYTES: Final = 128 << 20  # about 300 units of a month at one minute
_RESTART_DAYS: Final = 2  # days after the month, if a stop counts in its own month: restarts follow within 24 hours
_HISTORY_DAYS: Final = 62  # days before the month whose breaker runs are measured for orders that began there


_SegmentParts = Callable[[frozenset[str] | None], Iterator[Callable[[], pa.Table]]]
_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


class Spread(Protocol):
    """`map`, or a parallel version of it: the tasks are independent, the results come in the order of the tasks."""

    def __call__(self, work: Callable[[_Task], _Result], tasks: Iterable[_Task], /) -> Iterator[_Result]: ...


def settle(month: Month, inputs: Inputs, rulebook: Rulebook, *, spread: Spread = map) -> Statement:
    """Compute the statement of a month; the same inputs give the same bytes however the measuring is spread.

    Raises:
        RuleError: the rulebook has no value for a day that is measured.
        InvariantBroken: totals do not add up; there is no statement.
    """
    context = prepare(month, inputs, rulebook)
    measuring = Measuring(month, context, inputs.records, registered(context))
    return _close(month, inputs, context, measuring.results(spread), measuring.segments)


def registered(context: Context) -> list[str]:
    """The units registered in a month, in order of id."""
    return [unit for unit, stretches in context.stretches.items() if stretches]


class Measuring:
    """The measuring of a month, for all or some of its units; the units of a peak group stay together."""

    def __init__(self, month: Month, context: Context, records: pa.Table, units: Sequence[str]) -> None:
        self.month, self.context, self.units = month, context, units
        policy = context.policy
        self.book = RecordBook(
            records,
            tail_ms=tail_of(policy.settle_ms, policy.hold_ms),
            unsynchronised_is_missing=policy.adopts("I-17", "missing"),
        )
        self._kept: list[tuple[tuple[str, ...], pa.Table]] = []  # segments of the first batches, with their units

    def results(self, spread: Spread) -> Iterator[Results]:
        """Measure everything once; segments of the same pass are kept up to `_KEPT_SEGMENT_BYTES`."""
        left = _KEPT_SEGMENT_BYTES
        for results, segments in self.batches(spread):
            if segments is not None:
                left -= segments.nbytes
                if left >= 0:
                    self._kept.append((results.units, segments))
            yield results

    def batches(self, spread: Spread = map) -> Iterator[tuple[Results, pa.Table | None]]:
        """Measure everything once: results and, for whole months, segments, in the order of the statement."""
        return spread(self._measure, self._plan())

    def _measure(self, make: Callable[[], Batch]) -> tuple[Results, pa.Table | None]:
        return measure(self.context, make())

    def _plan(self) -> list[Callable[[], Batch]]:
        """Functions that make the batches; the process that measures a batch cuts out its rows."""
        batches = self._whole(self.units)
        batches += self._history()
        if self.context.policy.adopts("I-06", "month_of_stop"):
            batches += self._restarts()
        return batches

    def _whole(self, units: Sequence[str]) -> list[Callable[[], Batch]]:
        """Functions that make the batches of some units over the month."""
        first, days = self.month.first_day, len(self.month.days)
        return plan(self.context, self.book, first, days, units=units, segments=True)

    def _runs_only(self, unit: str, first_day: date, days: int) -> Batch:
        lanes = (Lane(unit, first_day),)
        return Batch(lanes, days, self.book.rows(Axis(lanes, days)), runs_only=True)

    def _history(self) -> Iterator[Callable[[], Batch]]:
        """Batches of breaker runs before the month, for units with start-stop orders that began there."""
        begin = self.month.interval.start_ms
        for unit in self.units:
            orders = self.context.dispatch.orders[OrderKind.START_STOP].get(unit, ())
            starts = [o.start_ms for o in orders if o.start_ms < begin < o.end_ms]
            first_record = self.book.first_time_ms(unit)
            if not starts or first_record is None or first_record >= begin:
                continue
            first_day = local_day(max(min(starts), first_record))
            days = min((self.month.first_day - first_day).days, _HISTORY_DAYS)
            begins = date.fromordinal(self.month.first_day.toordinal() - days)
            yield partial(self._runs_only, unit, begins, days)

    def _restarts(self) -> Iterator[Callable[[], Batch]]:
        """Batches of breaker runs after the month, if a stop counts in its own month though restarts come later."""
        end = self.month.interval.end_ms
        for unit in self.units:
            orders = self.context.dispatch.orders[OrderKind.START_STOP].get(unit, ())
            if any(o.start_ms < end < o.end_ms for o in orders):
                yield partial(self._runs_only, unit, self.month.next().first_day, _RESTART_DAYS)

    def segments(self, units: frozenset[str] | None) -> Iterator[Callable[[], pa.Table]]:
        """Segments batch by batch: those kept, then the others, measured again (all may not fit into memory)."""
        kept = {unit for members, _ in self._kept for unit in members}
        for members, table in self._kept:
            if units is None or not units.isdisjoint(members):
                yield partial(_some, table, units)
        wanted = None if units is None and not kept else frozenset(self.units if units is None else units) - kept
        chosen = [unit for unit in self.units if wanted is None or unit in wanted]
        if units is not None:  # members of a chosen unit's peak group are measured with it
            chosen = self._with_groups(chosen)
        for make in self._whole(chosen):
            yield partial(self._measure_again, make, wanted)

    def _measure_again(self, make: Callable[[], Batch], units: frozenset[str] | None) -> pa.Table:
        table = self._measure(make)[1]
        assert table is not None
        return _some(table, units)

    def _with_groups(self, chosen: list[str]) -> list[str]:
        plants = {s.plant.id for unit in chosen for s in self.context.stretches[unit]}
        return [u for u in self.units if any(s.plant.id in plants for s in self.context.stretches[u])]


def _some(table: pa.Table, units: frozenset[str] | None) -> pa.Table:
    """The rows of the wanted units."""
    if units is None:
        return table
    names = table.column("unit").cast(pa.string())
    return table.filter(pc.is_in(names, value_set=pa.array(sorted(units))))


def prepare(month: Month, inputs: Inputs, rulebook: Rulebook) -> Context:
    """Make the context that all batches of a month share. Stretches include the days of earlier breaker runs."""
    first, until = month.first_day, month.next().first_day
    policy = compute_policy(rulebook, inputs.register, first)
    early = max(date.fromordinal(first.toordinal() - _HISTORY_DAYS), min(rulebook.change_days()))
    whole = compute_stretches(inputs.register, rulebook, min(early, first), until)
    inside = {unit: _clip(stretches, first) for unit, stretches in whole.items()}
    stretches = {unit: parts for unit, parts in whole.items() if inside[unit]}
    return Context(rulebook, policy, DispatchSide(inputs), stretches, inputs.unit_columns)


def _clip(stretches: Sequence[Stretch], first: date) -> tuple[Stretch, ...]:
    """The parts of stretches from a day on."""
    parts = [s for s in stretches if s.until_day > first]
    return tuple(Stretch(s.unit, s.plant, s.area, max(s.first_day, first), s.until_day) for s in parts)


def close(
    month: Month,
    inputs: Inputs,
    rulebook: Rulebook,
    results: Iterable[Results],
    segments: _SegmentParts | None = None,
    *,
    context: Context | None = None,
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
    return _close(month, inputs, context, results, segments or _no_segments)


def _close(
    month: Month,
    inputs: Inputs,
    context: Context,
    results: Iterable[Results],
    segments: _SegmentParts,
) -> Statement:
    rulebook = context.rulebook
    first, days = month.first_day, len(month.days)
    stretches = {unit: _clip(parts, first) for unit, parts in context.stretches.items()}
    case = Case(
        month=month,
        rulebook=rulebook,
        rules=RulesInForce(rulebook),
        policy=context.policy,
        totals=MonthTotals(results, first.toordinal(), days),
        dispatch=context.dispatch,
        stretches=stretches,
        columns_of=inputs.unit_columns,
        rates=inputs.rates or (),
        start_stop_table=inputs.start_stop_table or (),
    )
    closed = _close_units(case)
    findings = [*_undelivered(inputs), *_filings(month, inputs), *closed.findings]
    homes = {unit: parts[-1] for unit, parts in stretches.items()}
    lines = [outcome.line for outcome in closed.outcomes]
    plants, areas = compute_plants(
        month=month,
        register=inputs.register,
        homes=homes,
        lines=lines,
        revenue=inputs.revenue or (),
        provisional=any(finding.provisional for finding in findings),
    )
    statuses = {row.status for row in plants}
    worst = (MonthStatus.BLOCKED, MonthStatus.PROVISIONAL, MonthStatus.FINAL)
    statement = Statement(
        month=str(month),
        status=next((s for s in worst if s in statuses), MonthStatus.FINAL),
        lines=tuple(lines),
        plants=tuple(plants),
        areas=tuple(areas),
        determinants=tuple(row for outcome in closed.outcomes for row in outcome.determinants),
        segments=Segments(lambda units: _with_start_stops(segments, case, units)),
        primary_frequency=tuple(closed.excursions),
        primary_frequency_service=tuple(closed.in_service),
        ledger=tuple(compute_ledger(month, plants)),
        findings=tuple(findings),
        readings=_readings(rulebook, first),
        policy=_policy_texts(context.policy),
        rulebook_hash=rulebook.hash,
        kernel_version=KERNEL_VERSION,
        sources=dict(inputs.sources),
        registered={unit: registered_spans(parts) for unit, parts in stretches.items()},
    )
    check_identities(statement)
    return statement


def _with_start_stops(
    segments: _SegmentParts, case: Case, units: frozenset[str] | None
) -> Iterator[Callable[[], pa.Table]]:
    """The segments of measuring, then those of start-stop orders, whose runs join across days."""
    yield from segments(units)
    yield partial(start_stop_segments, case, applies(case.policy), units)


def _no_segments(_: frozenset[str] | None) -> Iterator[Callable[[], pa.Table]]:
    return iter(())


@dataclass
class _Closed:
    outcomes: list[Outcome]
    findings: list[Finding]
    excursions: list[PrimaryFrequencyRow]
    in_service: list[PrimaryFrequencyService]


def _close_units(case: Case) -> _Closed:
    """Price every unit; lines in order of area, plant, unit and the regulation's services."""
    closed = _Closed([], [], [], [])
    tests = applies(case.policy)
    for unit in sorted(case.stretches):
        account = Account(case, unit, tests)
        outcomes = compute_lines(account)
        closed.outcomes += outcomes
        closed.findings += [finding for outcome in outcomes for finding in outcome.findings]
        closed.findings += [*_meter_findings(account), *_clock_findings(account)]
        rows, service = primary_frequency.report(account)
        closed.excursions += rows
        closed.in_service.append(service)
    closed.outcomes.sort(key=lambda o: (o.line.area, o.line.plant, o.line.unit))
    return closed


def _meter_findings(account: Account) -> list[Finding]:
    """Days whose telemetry and meter differ by more than the policy allows (Art. 19)."""
    case = account.case
    names = ("days", "register", "telemetry")
    daily = [case.totals.daily(account.unit, f"{meter.METER}.{name}") for name in names]
    found = []
    for day, compared, grown, seen in zip(case.month.days, *daily, strict=True):
        if compared and meter.differs(grown, seen, case.policy.meter_difference_ratio):
            message = f"telemetry {Decimal(seen) / 3_600_000_000:.6f} MWh, meter {Decimal(grown) / 1_000_000:.6f} MWh"
            found.append(Finding("meter_differs", f"{account.unit}/{day}", message))
    return found


def _clock_findings(account: Account) -> list[Finding]:
    """Findings of how long records of an unsynchronised clock were used, or left out (I-17); none is provisional."""
    total_ms = account.sum_of_month(f"{CLOCK}.unsynchronised")
    if not total_ms:
        return []
    done = "counted and used" if account.case.policy.adopts("I-17", "counted") else "taken as missing"
    message = f"{Decimal(total_ms) / 3_600_000:.3f} h stamped by a clock that was not synchronised: {done} (I-17)"
    return [Finding("unsynchronised_clock", account.unit, message, provisional=False)]


def _undelivered(inputs: Inputs) -> list[Finding]:
    """Findings of files that were not delivered: the month stays provisional."""
    given = {
        "plan.csv": inputs.plan,
        "orders.csv": inputs.orders,
        "reserve.csv": inputs.reserves,
        "voltage_band.csv": inputs.voltage_band,
        "exclusions.csv": inputs.exclusions,
        "revenue.csv": inputs.revenue,
        "rates.csv": inputs.rates,
        "start_stop_table.csv": inputs.start_stop_table,
    }
    return [Finding("not_delivered", name, "not delivered") for name, rows in given.items() if rows is None]


def _filings(month: Month, inputs: Inputs) -> list[Finding]:
    """Findings about valley and peak hours, which are filed with the regulator (Art. 13(3), 17(3))."""
    first, until = month.first_day, month.next().first_day
    return [
        Finding("no_hours_filing", area.id, "valley and peak hours without a filing")
        for area in inputs.register.areas
        if area.hours_filing is None and (area.from_day or date.min) < until and (area.until_day or date.max) > first
    ]


def _readings(rulebook: Rulebook, day: date) -> tuple[ReadingUse, ...]:
    uses = []
    for ident, reading in sorted(rulebook.readings.items()):
        row = rulebook.reading_row(ident, day)
        text, text_zh = reading.choices[row.adopted], reading.choices_zh[row.adopted]
        uses.append(ReadingUse(ident, reading.clause, row.adopted, row.from_day.isoformat(), text, text_zh))
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
    }
