# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of a unit and how each is settled: scope, coverage gate, price, rounding (rules.md sections 2, 4)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from collector.model.dispatch import Order, OrderKind, Reserve, ReserveKind
from collector.model.interval import Interval
from collector.model.money import round_to_fen
from collector.settlement.measure.results import CLASS_OF
from collector.settlement.price.citations import rules_read
from collector.settlement.rulebook.constant_days import Stretch
from collector.settlement.services import SERVICES, ServiceDef, start_stop_trace
from collector.settlement.services.pricing import Account, Bound, Draft
from collector.settlement.statement import DeterminantRow, Finding, Line, LineStatus

_ZERO = Decimal("0.00")


@dataclass(frozen=True, slots=True)
class Outcome:
    """A line with its determinants and findings."""

    line: Line
    determinants: tuple[DeterminantRow, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class _Times:
    """Times of one determinant over the stretches its service applies to, ms."""

    scope: int
    known: int
    counted: int
    excluded: int
    own_fault: int
    coverage: Fraction | None  # known ÷ scope; None where there is no scope


def compute_lines(account: Account) -> list[Outcome]:
    """All lines of a unit, in the order of the regulation."""
    found = []
    bounds = replace(account, bound=Bound.LOW), replace(account, bound=Bound.HIGH)
    for definition in SERVICES:
        stretches = account.stretches_of(definition.id)
        if stretches and _has_rows(account, definition):
            found.append(_outcome(account, bounds, definition, stretches))
    return found


def _has_rows(account: Account, definition: ServiceDef) -> bool:
    """Whether a unit has a line: for order and reserve services only if it has such rows overlapping the month."""
    case, kind = account.case, definition.rows
    if kind is None:
        return True
    rows: Sequence[Order | Reserve | Interval]
    if isinstance(kind, ReserveKind):
        rows = case.dispatch.reserves[kind].get(account.unit, ())
    else:
        rows = case.dispatch.orders[kind].get(account.unit, ())
        if kind is OrderKind.REACTIVE and case.policy.adopts("I-09", "voltage_curve_is_order"):
            a, b = case.dispatch.band.range_of.get(account.unit, (0, 0))
            band = case.dispatch.band
            rows = [*rows, *(Interval(int(band.start_utc_ms[i]), int(band.end_utc_ms[i])) for i in range(a, b))]
    return bool(rows) and any(case.month.interval.overlaps(Interval(row.start_ms, row.end_ms)) for row in rows)


def _outcome(
    account: Account, bounds: tuple[Account, Account], definition: ServiceDef, stretches: list[Stretch]
) -> Outcome:
    times = _times(account, definition.id, stretches)
    draft = _judge(account, definition, times)
    low, high = (_bound(bound, definition, times, draft) for bound in bounds)
    # One line per unit, service and month: its area and plant are those of the unit's last registered day.
    home = account.stretches[-1]
    amount, status, reason = _settle(draft)
    gated = definition.gated and bool(times.scope)
    service = account.case.rulebook.services[definition.id]
    line = Line(
        month=str(account.case.month),
        area=home.area.id,
        plant=home.plant.id,
        unit=account.unit,
        service=definition.id,
        article=service.article,
        quantity=draft.quantity,
        quantity_unit=service.quantity_unit,
        coverage=times.coverage if gated else None,
        amount_yuan=amount,
        status=status,
        reason=reason,
        steps=draft.steps,
        rules=(*draft.rules, *rules_read(account, definition, stretches))
        if draft.rules or times.scope
        else draft.rules,
        low_yuan=low,
        high_yuan=high,
    )
    return Outcome(line, _determinants(account, definition, line, times), _findings(account, definition, line, draft))


def _times(account: Account, service: str, stretches: list[Stretch]) -> _Times:
    of_stretches = [account.sums(stretch) for stretch in stretches]

    def total(name: str) -> int:
        column = f"{service}.{name}"
        return sum([sums[column] for sums in of_stretches])

    scope, known = total("scope"), total("known")
    coverage = Fraction(known, scope) if scope else None
    return _Times(scope, known, total("counted"), total("excluded"), total("own_fault"), coverage)


def _judge(account: Account, definition: ServiceDef, times: _Times) -> Draft:
    """Price a line after checking for empty scope, then coverage; start-stop and black start have no coverage gate."""
    if not definition.gated:
        return definition.price(account)
    coverage = times.coverage
    if coverage is None:
        reason = "excluded" if times.excluded else definition.empty
        return Draft(Fraction(0), Fraction(0), LineStatus.ZERO, reason)
    draft = definition.price(account)
    if coverage < account.case.policy.min_coverage:
        return Draft(draft.quantity, None, LineStatus.BLOCKED, "coverage", steps=draft.steps, rules=draft.rules)
    return draft


def _bound(account: Account, definition: ServiceDef, times: _Times, draft: Draft) -> Decimal | None:
    """The least or the most a line with gaps could be; None where nothing is missing or no bound can be computed.

    A service without a price in the rulebook has no bound.
    """
    uncertain = "uncertain_edge" in (draft.reason, draft.provisional)
    if not (times.known < times.scope or uncertain):
        return None
    amount = definition.price(account).amount
    return None if amount is None else round_to_fen(amount)


def _settle(draft: Draft) -> tuple[Decimal | None, LineStatus, str]:
    """Round a line's amount once, half away from zero; an amount that rounds to 0 makes the line zero."""
    if draft.amount is None:
        return None, draft.status or LineStatus.BLOCKED, draft.reason
    if draft.status is LineStatus.ZERO:
        return _ZERO, LineStatus.ZERO, draft.reason
    amount = round_to_fen(draft.amount)
    if not amount:
        return _ZERO, LineStatus.ZERO, draft.reason or "rounded"
    return amount, LineStatus.PAID, draft.reason


def _determinants(account: Account, definition: ServiceDef, line: Line, times: _Times) -> tuple[DeterminantRow, ...]:
    """The determinant of a line and the figures beside it: on-grid hours (I-07), AVC orders, judged or why not."""

    def row(name: str, value: Fraction | None, unit: str) -> DeterminantRow:
        place = (line.month, line.area, line.plant, account.unit, definition.id)
        spans = (times.scope, times.known, times.counted, times.excluded, times.own_fault)
        return DeterminantRow(*place, name, value, unit, *spans)

    def total(column: str) -> int:
        name = f"{definition.id}.{column}"
        return sum([sums[name] for sums in of_stretches])

    if not definition.determinant:
        return ()
    if definition.rows is OrderKind.START_STOP:
        return (_start_stop_row(account, definition, line),)
    of_stretches = [account.sums(stretch) for stretch in account.stretches_of(definition.id)]
    # A group member's energy is its share of the group's energy, which only the priced quantity holds.
    main = line.quantity if definition.id == "deep_peak" else Fraction(total("value"), definition.divisor)
    beside = [row(b.determinant, Fraction(total(b.column), b.divisor), b.value_unit) for b in definition.beside]
    return (row(definition.determinant, main, definition.value_unit), *beside)


def _start_stop_row(account: Account, definition: ServiceDef, line: Line) -> DeterminantRow:
    """The determinant of a start-stop line: occurrences and times of orders, known only after runs are joined."""
    times: dict[str, int] = defaultdict(int)
    count = 0
    for piece in start_stop_trace.trace(account, definition.id):
        times[CLASS_OF[piece.reason]] += piece.end_ms - piece.start_ms
        count += piece.count
    excluded, missing = times.pop("excluded", 0), times["missing"]
    scope = sum(times.values())
    return DeterminantRow(
        *(line.month, line.area, line.plant, account.unit, definition.id),
        *(definition.determinant, Fraction(count), definition.value_unit),
        *(scope, scope - missing, times["counted"], excluded, times["own_fault"]),
    )


def _findings(account: Account, definition: ServiceDef, line: Line, draft: Draft) -> tuple[Finding, ...]:
    """The findings of a line, such as why it keeps the month from being final."""
    subject = f"{account.unit}/{definition.id}"

    def finding(code: str, message: str) -> Finding:
        return Finding(code, subject, message)

    found = []
    if line.status in (LineStatus.PENDING, LineStatus.BLOCKED):
        found.append(finding(str(line.status), f"no amount: {line.reason}"))
    elif line.coverage is not None and line.coverage < account.case.policy.provisional_coverage:
        found.append(finding("low_coverage", f"only {float(line.coverage):.2%} of its time is known"))
    if draft.provisional:
        found.append(finding(draft.provisional, "an order's breaker edge can't be told for certain"))
    if definition.id == "black_start":
        designated = [s for s in account.stretches_of("black_start") if s.unit.black_start]
        if any(s.unit.black_start_document is None for s in designated):
            found.append(finding("no_document", "the accident plan that designates the unit is not named"))
    return tuple(found)
