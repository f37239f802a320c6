# SPDX-License-Identifier: GPL-3.0-or-later
"""Events read from edges of a status: start-stop occurrences and condenser starts.

Source: Art. 13(4), (5), (7), 15(3)1, readings I-01, I-06.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

from . import regulation as rule
from .exact_numbers import Truth
from .measured import BLOCKED, PENDING, Case, Measured, integrate, of_kind
from .model import Order, Record
from .register import State
from .slices import COUNTED, Slice, condenser, held_records
from .times import HOUR_MS, Span

ZERO = Fraction(0)
FAR = 1 << 60


@dataclass(frozen=True, slots=True)
class Known:
    """A stretch of time at which a status is known. FAR away on both sides nothing is."""

    start: int
    end: int
    state: bool | None


@dataclass(frozen=True, slots=True)
class Occurrence:
    """On, off, on again: the last on ends at a, off is known from b to c, on again from d. The unit's state at d."""

    a: int
    b: int
    c: int
    d: int
    state: State | None


def known_status(case: Case, status: Callable[[Record, int], Truth]) -> list[Known]:
    """The stretches at which a status is known, neighbours of one value joined, of all records that a month may use.

    A status is told of a record and an instant at which it holds: without a breaker column P_N at that instant decides.
    Records after the month's end: up to end + settle_s + hold_limit_s, no others.
    """
    policy = case.folder.policy
    last = case.span.end + policy.settle_ms + policy.hold_ms
    usable = [record for record in case.records().records if record.time <= last]
    found: list[Known] = []
    for held in held_records(usable, policy.hold_ms):
        cuts = case.register.changes(Span(held.start, held.end))
        for start, end in pairwise([held.start, *sorted(cuts), held.end]):
            state = status(held.record, start)
            if state is None:
                continue
            if found and found[-1].state == state and found[-1].end == start:
                found[-1] = Known(found[-1].start, end, state)
            else:
                found.append(Known(start, end, state))
    return found


def find_certain(case: Case, known: list[Known]) -> list[Occurrence]:
    """Known on, then known off, then known on again, with at most 24 h from the last on to the next."""
    found: list[Occurrence] = []
    on_end: int | None = None
    off: list[Known] = []
    for stretch in known:
        if not stretch.state:
            off.append(stretch)
            continue
        if on_end is not None and off and stretch.start - on_end <= rule.START_STOP_LIMIT_MS:
            state = case.state_at(stretch.start)
            found.append(Occurrence(on_end, off[0].start, off[-1].end, stretch.start, state))
        on_end, off = stretch.end, []
    return found


def _excluded_spans(case: Case, service: str) -> list[tuple[int, int]]:
    return [(x.start, x.end) for x in case.folder.exclusions if x.unit == case.unit and x.service in (service, "*")]


def is_touched(case: Case, service: str, first: int, last: int) -> bool:
    """Whether any instant from `first` to `last`, both included, is excluded, for whatever reason."""
    return any(start <= last and end > first for start, end in _excluded_spans(case, service))


@dataclass(frozen=True, slots=True)
class Hole:
    """Nothing is known from `start` to `end`; without missing time between two states it is one instant."""

    start: int
    end: int
    before: bool | None
    after: bool | None


def _holes(known: list[Known]) -> list[Hole]:
    edges = [Known(-FAR, -FAR, None), *known, Known(FAR, FAR, None)]
    return [Hole(one.end, two.start, one.state, two.state) for one, two in pairwise(edges)]


def _may_change(hole: Hole, to: bool, min_stop_ms: int) -> tuple[int, int] | None:
    """From when to when inside a hole the breaker may change to a state; None: it can't."""
    if hole.end - hole.start < min_stop_ms:  # hides nothing but its one edge
        return (hole.start, hole.end) if (hole.before, hole.after) == (not to, to) else None
    # In a longer one anything may happen: it may have been `to` at first and has to leave it, or leave `to` at the end.
    first = hole.start + 1 if hole.before is to else hole.start
    last = hole.end - 1 if hole.after is (not to) else hole.end
    return (first, last) if first <= last else None


def possible_instants(case: Case, service: rule.Service, known: list[Known], order: Order) -> Iterator[tuple[int, int]]:
    """Openings and closings that the known status allows inside an order: the corners of all that is possible.

    Every pair given can have happened; an amount that depends on the gap takes all of its values on them. Only those
    that close in the month while the unit, of the right kind, is registered, and that touch no exclusion.
    """
    min_stop_ms = case.folder.policy.min_stop_ms
    holes = _holes(known)
    borders = [case.span.start, case.span.end, case.folder.revised, *case.register.changes(case.span)]
    borders += [price.start for price in case.folder.price_table]
    for start, end in _excluded_spans(case, service.id):
        borders += [start, end]
    gaps = [h * HOUR_MS for row in case.folder.price_table for h in (row.gap_from_h, row.gap_to_h)]
    wanted = {1, rule.START_STOP_LIMIT_MS, *(-(-gap // 1) for gap in gaps), *(-(-gap // 1) - 1 for gap in gaps)}
    for i, one in enumerate(holes):
        opening = _may_change(one, False, min_stop_ms)
        for two in holes[i:] if opening else ():
            if two is not one and two.before:
                break  # on is known between the two
            closing = _may_change(two, True, min_stop_ms)
            if closing is None or opening is None or (two is one and one.end - one.start < min_stop_ms):
                continue
            openings = _corners(opening, order.start, order.end - 1, borders)
            closings = _corners(closing, order.start, order.end - 1, borders)
            pairs = {(o, c) for o in openings for c in closings}
            pairs |= {(o, o + gap) for o in openings for gap in wanted} | {
                (c - gap, c) for c in closings for gap in wanted
            }
            for o, c in sorted(pairs):
                inside = opening[0] <= o <= opening[1] and closing[0] <= c <= closing[1]
                inside &= order.start <= o and c < order.end and 0 < c - o <= rule.START_STOP_LIMIT_MS
                state = case.state_at(c) if case.span.start <= c < case.span.end else None
                inside &= state is not None and case.holds(state) and of_kind(state, service.kinds)
                if inside and not is_touched(case, service.id, o, c):
                    yield o, c


def _corners(span: tuple[int, int], first: int, last: int, borders: list[int]) -> list[int]:
    """The first and last instants of a span and on both sides of every border in it."""
    low, high = max(span[0], first), min(span[1], last)
    return [at for at in {low, high, *borders, *(b - 1 for b in borders)} if low <= at <= high]


def measure_start_stop(case: Case, service: rule.Service) -> Measured:
    """One payment per order for a stop and restart inside 24 h, in the month of the restart (I-06, I-20)."""

    def scope(piece: Slice, state: State) -> bool:
        return of_kind(state, service.kinds) and piece.inside("start_stop")

    tally = integrate(
        service.id, case.slices, scope=scope, truth=lambda piece: None if piece.on is None else False,
        rate=lambda *_: None, price=lambda _: ZERO,
    )  # fmt: skip
    known = known_status(case, case.on_at)
    occurrences = find_certain(case, known)
    paid: list[Occurrence] = []
    uncertain = differs = False
    for order in sorted((row for row in case.folder.orders if _is(row, case, "start_stop")), key=lambda row: row.start):
        if not (order.start < case.span.end and order.end > case.span.start):
            continue
        first = _first_payable(case, service, occurrences, order)
        possible = list(possible_instants(case, service, known, order))
        if first is None:
            uncertain |= bool(possible)
        elif first.state is not None and case.span.start <= first.d < case.span.end:
            # else paid in another month: one per order, in the area at its closing
            paid += [first] if case.holds(first.state) else []
            differs |= _could_differ(case, service, known, first, order)
    found = tally.measured("no_order")
    found.quantity = Fraction(len(paid))
    found.determinants[service.id]["value"] = Fraction(len(paid))
    _price(case, service.id, paid, found)
    if uncertain or differs:
        found.provisional.append("uncertain_edge")
    if uncertain and not paid:
        found.trouble = (BLOCKED, "uncertain_edge")
    return found


def _first_payable(case: Case, service: rule.Service, occurrences: list[Occurrence], order: Order) -> Occurrence | None:
    """The first certain occurrence inside an order that is not excluded, of a unit of the right kind, registered."""
    for one in occurrences:
        if not (order.start <= one.a and one.d < order.end) or is_touched(case, service.id, one.b, one.d):
            continue
        if not case.span.start <= one.d < case.span.end or (one.state and of_kind(one.state, service.kinds)):
            return one
    return None


def _could_differ(case: Case, service: rule.Service, known: list[Known], paid: Occurrence, order: Order) -> bool:
    """Whether the part is paid something else if another occurrence was the first of its order.

    Another row of the table, another price or P_N on its day, or none, as it closed in another part.

    One that opens in a hole after a known off is not the first: the unit must have come back before, unless that one
    is excluded.
    """
    seen = _yuan_in_part(case, service.id, paid.b, paid.d)
    free = not is_touched(case, service.id, order.start, paid.d)
    after_off = [(hole.start, hole.end) for hole in _holes(known) if hole.before is False]
    return any(
        _yuan_in_part(case, service.id, o, c) != seen
        for o, c in possible_instants(replace(case, part=None), service, known, order)
        if c <= paid.d and not (free and any(start < o <= end for start, end in after_off))
    )


def _yuan_in_part(case: Case, service: str, opening: int, closing: int) -> Fraction | None:
    """What the part is paid for a stop and restart: nothing if it closes in another."""
    state = case.state_at(closing)
    if state is None or not case.holds(state):
        return ZERO
    if service == "coal_start_stop":
        return coal_yuan(case, opening, closing)
    return _per_mw(case, service, closing) * state.unit.rated_mw


def _per_mw(case: Case, service: str, closing: int) -> Fraction:
    """The price of a start-stop that closes then, yuan/MW."""
    if service == "hydro_start_stop":
        return rule.HYDRO_START_STOP_YUAN_PER_MW
    revised = closing >= case.folder.revised
    return rule.REVISED_GAS_START_STOP_YUAN_PER_MW if revised else rule.GAS_START_STOP_YUAN_PER_MW


def _is(order: Order, case: Case, kind: str) -> bool:
    return order.unit == case.unit and order.kind == kind


def _price(case: Case, service: str, paid: list[Occurrence], found: Measured) -> None:
    """Prices the occurrences with the register and the table in force at the closing."""
    if service != "coal_start_stop":
        found.yuan = sum(
            (_per_mw(case, service, one.d) * one.state.unit.rated_mw for one in paid if one.state is not None), ZERO
        )
    else:
        prices = [coal_yuan(case, one.b, one.d) for one in paid]
        found.yuan = sum((price for price in prices if price is not None), ZERO)
        if None in prices:
            # The table is lost from the text; without a row for it an occurrence stays pending (I-01).
            found.trouble = (PENDING, "not_in_table" if case.folder.price_table else "table_unknown")


def coal_yuan(case: Case, opening: int, closing: int) -> Fraction | None:
    """The table's amount for a stop and restart: of the rows that cover it the latest `from` not after the closing."""
    state = case.state_at(closing)
    gap_h = Fraction(closing - opening, HOUR_MS)
    rows = [
        row
        for row in case.folder.price_table
        if state is not None
        and row.capacity_from_mw <= state.unit.rated_mw < row.capacity_to_mw
        and row.gap_from_h <= gap_h < row.gap_to_h
        and row.start <= closing
    ]
    return max(rows, key=lambda row: row.start).amount_wan_yuan * 10_000 if rows else None


def measure_condenser_start(case: Case) -> Measured:
    """Rising edges of condenser status, known 0 to known 1, inside condenser orders; 14 · P_N each. Art. 15(3)1."""
    mine = case.records()
    tally = integrate(
        "condenser_start", case.slices, scope=lambda piece, _: piece.inside("condenser"),
        truth=lambda piece: None if piece.condenser is None else False, rate=lambda *_: None, price=lambda _: ZERO,
    )  # fmt: skip
    found = tally.measured("no_order")
    known = known_status(case, lambda record, _: condenser(record, mine.columns))
    for order in (row for row in case.folder.orders if _is(row, case, "condenser")):
        for before, now in pairwise(known):
            if before.state or not now.state or before.end < order.start or now.start >= order.end:
                continue
            state = case.state_at(now.start) if case.span.start <= now.start < case.span.end else None
            if state is None or not case.holds(state) or case.exclusion_at("condenser_start", now.start) != COUNTED:
                continue
            found.quantity = (found.quantity or ZERO) + 1
            found.yuan += rule.CONDENSER_START_YUAN_PER_MW * state.unit.rated_mw
            if now.start - before.end >= max(case.folder.policy.min_stop_ms, 1):
                found.provisional.append("uncertain_edge")  # further starts may have come before it
    found.determinants["condenser_start"]["value"] = found.quantity or ZERO
    return found
