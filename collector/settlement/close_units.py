# SPDX-License-Identifier: GPL-3.0-or-later
"""Step 8 of some units of a month: what joins across days is found, then every line is priced.

Units of different peak groups do not know of each other, so they may be closed apart, in any process, and are as closed
together. What concerns plants and areas comes after (settle.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from collector.model.interval import Month
from collector.settlement.findings import unit_findings
from collector.settlement.inputs import Inputs
from collector.settlement.measure.results import MonthTotals, Results
from collector.settlement.measure_units import MeasuringContext
from collector.settlement.meter_days import meter_days, meter_findings
from collector.settlement.price.lines import PricedLine, compute_lines
from collector.settlement.rulebook.constant_days import clip
from collector.settlement.rulebook.in_force import RulesInForce
from collector.settlement.services import applies, primary_frequency
from collector.settlement.services.avc_orders import find_orders
from collector.settlement.services.implausible import list_implausible
from collector.settlement.services.order_trace import find_starts, stop_services
from collector.settlement.services.pricing import Account, Case
from collector.settlement.services.start_stop import list_start_stops
from collector.settlement.statement import (
    Finding,
    MeterDay,
    PrimaryFrequencyRow,
    PrimaryFrequencyService,
    StartStopEvidence,
)


@dataclass
class PricedUnits:
    """The rows of a statement that units have by themselves, in order of unit and the regulation's services."""

    outcomes: list[PricedLine] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    excursions: list[PrimaryFrequencyRow] = field(default_factory=list)
    in_service: list[PrimaryFrequencyService] = field(default_factory=list)
    meter_days: list[MeterDay] = field(default_factory=list)
    start_stops: list[StartStopEvidence] = field(default_factory=list)

    def sort(self) -> None:
        """Put the lines into the order of the statement: by area, plant and unit."""
        self.outcomes.sort(key=lambda o: (o.line.area, o.line.plant, o.line.unit))

    def extend(self, other: PricedUnits) -> None:
        """Add the rows of units that come after these in order of id."""
        self.outcomes += other.outcomes
        self.findings += other.findings
        self.excursions += other.excursions
        self.in_service += other.in_service
        self.meter_days += other.meter_days
        self.start_stops += other.start_stops


@dataclass(frozen=True)
class ClosedUnits:
    """Units with all their days. `results`: the days, and what was found when they were joined."""

    results: Sequence[Results]
    rows: PricedUnits


def case_of(month: Month, inputs: Inputs, context: MeasuringContext) -> Case:
    """The case of a month, of which nothing is measured yet."""
    first, days = month.first_day, len(month.days)
    return Case(
        month=month,
        rulebook=context.rulebook,
        rules=RulesInForce(context.rulebook),
        policy=context.policy,
        totals=MonthTotals((), first.toordinal(), days),
        dispatch=context.dispatch,
        stretches={unit: clip(parts, first) for unit, parts in context.stretches.items()},
        columns_of=inputs.unit_columns,
        rates=inputs.rates or (),
        start_stop_table=inputs.start_stop_table or (),
        elapsed=Fraction(1) if context.cut is None else Fraction((context.cut - first).days, days),
    )


def with_totals(case: Case, results: Iterable[Results]) -> Case:
    """The case with these results measured."""
    return replace(case, totals=MonthTotals(results, case.month.first_day.toordinal(), len(case.month.days)))


def close_units(case: Case, context: MeasuringContext, results: Iterable[Results]) -> ClosedUnits:
    """Join the days of all units that the case has stretches of, and price them.

    Raises:
        RuleError: the rulebook has no value for a day that is priced.
    """
    found = list(results)
    found += find_orders(case.month, found, case.stretches, context.around, case.rulebook)
    case = with_totals(case, found)
    starts = find_starts(case, applies(case.policy, case.rulebook))
    case.totals.add(starts)
    return ClosedUnits([*found, starts], price_units(case))


def price_units(case: Case) -> PricedUnits:
    """Price every unit of a case."""
    closed = PricedUnits()
    tests = applies(case.policy, case.rulebook)
    for unit in sorted(case.stretches):
        account = Account(case, unit, tests)
        outcomes = compute_lines(account)
        closed.outcomes += outcomes
        closed.findings += [finding for outcome in outcomes for finding in outcome.findings]
        days = meter_days(account)
        closed.meter_days += days
        closed.findings += [*meter_findings(account, days), *list_implausible(account)]
        closed.findings += unit_findings(account)
        rows, service = primary_frequency.report(account)
        closed.excursions += rows
        closed.in_service.append(service)
        services = [service for service in stop_services(case.rulebook) if account.stretches_of(service)]
        closed.start_stops += [row for service in services for row in _starts(account, service)]
    closed.sort()
    return closed


def _starts(account: Account, service: str) -> Iterator[StartStopEvidence]:
    """The results of each start-stop order of a unit, as rows of evidence."""
    for row in list_start_stops(account, service):
        one = row.occurrence
        a, b, c, d, gap = (None,) * 5 if one is None else (one.a, one.b, one.c, one.d, one.gap_ms)
        yield StartStopEvidence(row.order, row.unit, row.service, a, b, c, d, gap, row.verdict, row.reason)
