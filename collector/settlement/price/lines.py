# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of a unit and how each is settled: scope, coverage gate, price, rounding (rules.md sections 2, 4)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from collector.base.text import tr
from collector.model.dispatch import Order, OrderKind, Reserve, ReserveKind
from collector.model.interval import Interval
from collector.model.money import round_to_fen
from collector.settlement.measure.results import CLASS_OF
from collector.settlement.price.citations import rules_read
from collector.settlement.price.left_on_table import left_on_table
from collector.settlement.rulebook.constant_days import ConstantDays, registered_spans
from collector.settlement.services import ServiceDef, definitions, order_trace
from collector.settlement.services.pricing import Account, Bound, Draft, place_of
from collector.settlement.statement import DeterminantRow, Finding, LeftRow, Line, LineStatus

_ZERO = Decimal("0.00")


@dataclass(frozen=True, slots=True)
class PricedLine:
    """A line with its determinants and findings."""

    line: Line
    determinants: tuple[DeterminantRow, ...]
    findings: tuple[Finding, ...]
    left: tuple[LeftRow, ...]


@dataclass(frozen=True, slots=True)
class _Times:
    """Times of one determinant over the stretches its service applies to, ms."""

    scope: int
    known: int
    counted: int
    excluded: int
    own_fault: int
    coverage: Fraction | None  # known ÷ scope; None where there is no scope


def compute_lines(account: Account) -> list[PricedLine]:
    """All lines of a unit, in the order of the regulation."""
    found = []
    for definition in definitions(account.case.rulebook):
        stretches = account.stretches_of(definition.id)
        rows = _rows_of(account, definition)
        if not stretches or (rows is not None and not _overlap(rows, [account.case.month.interval])):
            continue
        parts = _parts(account, definition, stretches, rows)
        found += [_outcome(account if part is None else replace(account, part=part), definition) for part in parts]
    return found


def _parts(
    account: Account, definition: ServiceDef, stretches: list[ConstantDays], rows: Sequence[Interval] | None
) -> list[tuple[str, str] | None]:
    """Area and plant of each line of a service, in order of time; None: they are the same all month.

    Order and reserve services have lines in the parts that a row overlaps. Where rows overlap the month but no part,
    the last one has the line that says so.
    """
    parts: dict[tuple[str, str], list[Interval]] = defaultdict(list)
    for stretch in stretches:
        parts[place_of(stretch)] += [Interval(*span) for span in registered_spans([stretch])]
    if len(parts) == 1:
        return [None]
    if definition.places is not None:
        chosen = definition.places(account)
    elif rows is None:
        chosen = set(parts)
    else:
        chosen = {place for place, spans in parts.items() if _overlap(rows, spans)} or {[*parts][-1]}
    return [place for place in parts if place in chosen]


def _overlap(rows: Sequence[Interval], spans: Sequence[Interval]) -> bool:
    return any(row.overlaps(span) for row in rows for span in spans)


def _rows_of(account: Account, definition: ServiceDef) -> list[Interval] | None:
    """The unit's rows of an order or reserve service, which has a line only where there are any; None: another one."""
    case, kind = account.case, definition.rows
    if kind is None:
        return None
    rows: Sequence[Order | Reserve | Interval]
    if isinstance(kind, ReserveKind):
        rows = case.dispatch.reserves[kind].get(account.unit, ())
    else:
        rows = case.dispatch.orders[kind].get(account.unit, ())
        if kind is OrderKind.REACTIVE and case.policy.adopts("I-09", "voltage_curve_is_order"):
            a, b = case.dispatch.band.range_of.get(account.unit, (0, 0))
            band = case.dispatch.band
            rows = [*rows, *(Interval(int(band.start_utc_ms[i]), int(band.end_utc_ms[i])) for i in range(a, b))]
    return [Interval(row.start_ms, row.end_ms) for row in rows]


def _outcome(account: Account, definition: ServiceDef) -> PricedLine:
    stretches = account.part_of(definition.id)
    times, whole = (_times(account, definition.id, s) for s in (stretches, account.stretches_of(definition.id)))
    draft = _judge(account, definition, times, whole)
    low, high = (_bound(account, bound, definition, (times, whole), draft) for bound in (Bound.LOW, Bound.HIGH))
    area, plant = account.part or place_of(stretches[-1])
    amount, status, reason = _settle(draft)
    coverage = whole.coverage if definition.gated and times.scope else None
    service = account.case.rulebook.services[definition.id]
    line = Line(
        month=str(account.case.month),
        area=area,
        plant=plant,
        unit=account.unit,
        service=definition.id,
        article=service.article,
        quantity=draft.quantity,
        quantity_unit=service.quantity_unit,
        coverage=coverage,
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
    findings = _findings(account, definition, line, draft)
    if any(finding.provisional for finding in findings):
        line = replace(line, provisional=True)
    determinants = _determinants(account, definition, line, times)
    left = tuple(left_on_table(account, definition, line, determinants[0] if determinants else None))
    return PricedLine(line, determinants, findings, left)


def _times(account: Account, service: str, stretches: list[ConstantDays]) -> _Times:
    of_stretches = [account.sums(stretch) for stretch in stretches]

    def total(name: str) -> int:
        column = f"{service}.{name}"
        return sum([sums[column] for sums in of_stretches])

    scope, known = total("scope"), total("known")
    coverage = Fraction(known, scope) if scope else None
    return _Times(scope, known, total("counted"), total("excluded"), total("own_fault"), coverage)


def _judge(account: Account, definition: ServiceDef, times: _Times, whole: _Times) -> Draft:
    """Price a line after checking for empty scope, then coverage; start-stop and black start have no coverage gate.

    `times` of the line's part, `whole` of all parts of the unit: coverage is the unit's.
    """
    if not definition.gated:
        return definition.price(account)
    coverage = whole.coverage
    if coverage is None or not times.scope:
        reason = "excluded" if times.excluded else definition.empty
        return Draft(Fraction(0), Fraction(0), LineStatus.ZERO, reason)
    draft = definition.price(account)
    if coverage < account.case.policy.min_coverage:
        return Draft(draft.quantity, None, LineStatus.BLOCKED, "coverage", steps=draft.steps, rules=draft.rules)
    return draft


def _bound(
    account: Account, bound: Bound, definition: ServiceDef, times: tuple[_Times, _Times], draft: Draft
) -> Decimal | None:
    """The least or the most a line with gaps could be; None where nothing is missing or no bound can be computed.

    `times`: of the line's part and of all parts of the unit, whose on-grid time and λ they share. A service without a
    price in the rulebook has no bound.
    """
    part, whole = times
    uncertain = "uncertain_edge" in (draft.reason, draft.provisional)
    is_open = any(account.sum(f"{definition.id}.open", s) for s in account.stretches_of(definition.id))
    if not ((part.scope and (whole.known < whole.scope or is_open)) or uncertain):
        return None
    amount = definition.price(replace(account, bound=bound)).amount
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
    of_stretches = [account.sums(stretch) for stretch in account.part_of(definition.id)]
    # A group member's energy is its share of the group's energy, which only the priced quantity holds.
    main = line.quantity if definition.id == "deep_peak" else Fraction(total("value"), definition.divisor)
    beside = [row(b.determinant, Fraction(total(b.column), b.divisor), b.value_unit) for b in definition.beside]
    return (row(definition.determinant, main, definition.value_unit), *beside)


def _start_stop_row(account: Account, definition: ServiceDef, line: Line) -> DeterminantRow:
    """The determinant of a start-stop line: occurrences and times of orders, known only after runs are joined."""
    times: dict[str, int] = defaultdict(int)
    count = 0
    for piece in order_trace.trace(account, definition.id):
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
        return Finding(code, subject, message, areas=(line.area,))

    found = []
    if line.status in (LineStatus.PENDING, LineStatus.BLOCKED):
        found.append(finding(str(line.status), tr("there is no amount")))
    elif line.coverage is not None and line.coverage < account.case.policy.provisional_coverage:
        found.append(
            finding("low_coverage", tr("only {ratio} of its time is known", ratio=f"{float(line.coverage):.2%}"))
        )
    if draft.provisional:
        found.append(finding(draft.provisional, tr("an order's breaker edge can't be told for certain")))
    designated = account.stretches_of("black_start") if definition.id == "black_start" else []
    if any(s.unit.black_start_document is None for s in designated):
        found.append(finding("no_document", tr("the accident plan that designates the unit is not named")))
    return tuple(found)
