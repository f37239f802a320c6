# SPDX-License-Identifier: GPL-3.0-or-later
"""Events read from edges of a status: start-stop occurrences and condenser starts.

Source: Art. 13(4), (5), (7), 15(3)1, readings I-01, I-06.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from . import regulation as rule
from .measured import BLOCKED, PENDING, Case, Measured, integrate, of_kind
from .model import Order, TablePrice
from .register import State
from .slices import COUNTED, Slice, condenser
from .times import HOUR_MS

ZERO = Fraction(0)


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A stop and restart: the times of the first records that show the opened and the closed breaker."""

    opening: int
    closing: int
    excluded: bool
    state: State

    @property
    def gap_ms(self) -> int:
        """From stop to start."""
        return self.closing - self.opening


def find_occurrences(case: Case, service: rule.Service) -> list[Occurrence]:
    """All certain occurrences up to the month's end while the unit, of the right kind, is registered at the closing.

    Both edges observed: the state before holds up to the record that changes it. No missing breaker time between: a
    record without breaker status, or a hole longer than the hold limit, forgets the opening.
    """
    found: list[Occurrence] = []
    opening: int | None = None
    for before, now in pairwise(record for record in case.records().records if record.time < case.span.end):
        was, is_on = case.on_at(before), case.on_at(now)
        if now.time - before.time > case.folder.policy.hold_ms or was is None or is_on is None:
            opening = None
        elif was and not is_on:
            opening = now.time
        elif is_on and not was and opening is not None:
            state = case.state_at(now.time)
            if now.time - opening <= rule.START_STOP_LIMIT_MS and state and of_kind(state, service.kinds):
                found.append(Occurrence(opening, now.time, _touched(case, service.id, opening, now.time), state))
            opening = None
    return found


def _touched(case: Case, service: str, first: int, last: int) -> bool:
    """Whether any instant from `first` to `last`, both included, is excluded, for whatever reason."""
    rows = [row for row in case.folder.exclusions if row.unit == case.unit and row.service in (service, "*")]
    return any(row.start <= last and row.end > first for row in rows)


def measure_start_stop(case: Case, service: rule.Service) -> Measured:
    """One payment per order for a stop and restart inside 24 h, in the month of the restart (I-06)."""

    def scope(piece: Slice, state: State) -> bool:
        return of_kind(state, service.kinds) and piece.inside("start_stop")

    tally = integrate(
        service.id, case.slices, scope=scope, truth=lambda piece: None if piece.on is None else False,
        rate=lambda *_: None, price=lambda _: ZERO,
    )  # fmt: skip
    occurrences = find_occurrences(case, service)
    paid: list[Occurrence] = []
    uncertain = False
    for order in sorted((row for row in case.folder.orders if _is(row, case, "start_stop")), key=lambda row: row.start):
        inside = [one for one in occurrences if order.start <= one.opening and one.closing < order.end]
        countable = [one for one in inside if not one.excluded]
        if countable and countable[0].closing >= case.span.start:  # else paid in an earlier month: one per order
            paid.append(countable[0])
        uncertain |= not inside and _missing_breaker(case, service, order)
    found = tally.measured("no_order")
    found.quantity = Fraction(len(paid))
    found.determinants[service.id]["value"] = Fraction(len(paid))
    _price(case, service.id, paid, found)
    if uncertain:
        found.provisional.append("uncertain_edge")
        if not paid:
            found.trouble = (BLOCKED, "uncertain_edge")
    return found


def _is(order: Order, case: Case, kind: str) -> bool:
    return order.unit == case.unit and order.kind == kind


def _missing_breaker(case: Case, service: rule.Service, order: Order) -> bool:
    """Whether breaker time is missing outside exclusions in the order's part of the month."""
    return any(
        order in piece.orders
        and piece.state is not None
        and of_kind(piece.state, service.kinds)
        and piece.exclusion(service.id) == COUNTED
        and piece.on is None
        for piece in case.slices
    )


def _price(case: Case, service: str, paid: list[Occurrence], found: Measured) -> None:
    """Prices the occurrences with the register and the table in force at the closing."""
    if service == "gas_start_stop":
        found.yuan = sum((rule.GAS_START_STOP_YUAN_PER_MW * one.state.unit.rated_mw for one in paid), ZERO)
    elif service == "hydro_start_stop":
        found.yuan = sum((rule.HYDRO_START_STOP_YUAN_PER_MW * one.state.unit.rated_mw for one in paid), ZERO)
    else:
        prices = [coal_yuan(case.folder.price_table, one) for one in paid]
        found.yuan = sum((price for price in prices if price is not None), ZERO)
        if None in prices:
            # The table is lost from the text; without a row for it an occurrence stays pending (I-01).
            found.trouble = (PENDING, "table_unknown")


def coal_yuan(table: tuple[TablePrice, ...], one: Occurrence) -> Fraction | None:
    """The table's amount for an occurrence: of the rows that cover it the latest `from` not after the closing."""
    gap_h = Fraction(one.gap_ms, HOUR_MS)
    rows = [
        row
        for row in table
        if row.capacity_from_mw <= one.state.unit.rated_mw < row.capacity_to_mw
        and row.gap_from_h <= gap_h < row.gap_to_h
        and row.start <= one.closing
    ]
    return max(rows, key=lambda row: row.start).amount_wan_yuan * 10_000 if rows else None


def measure_condenser_start(case: Case) -> Measured:
    """Observed rising edges of condenser status inside condenser orders; 14 · P_N each. Source: Art. 15(3)1."""
    mine = case.records()
    tally = integrate(
        "condenser_start", case.slices, scope=lambda piece, _: piece.inside("condenser"),
        truth=lambda piece: None if piece.condenser is None else False, rate=lambda *_: None, price=lambda _: ZERO,
    )  # fmt: skip
    orders = [row for row in case.folder.orders if _is(row, case, "condenser")]
    for before, now in pairwise(mine.records):
        rises = condenser(before, mine.columns) is False and condenser(now, mine.columns) is True
        if not rises or now.time - before.time > case.folder.policy.hold_ms:
            continue
        state = case.state_at(now.time)
        ordered = any(order.start <= now.time < order.end for order in orders)
        counted = case.exclusion_at("condenser_start", now.time) == COUNTED
        if state and ordered and counted and case.span.start <= now.time < case.span.end:
            tally.value += 1
            tally.yuan += rule.CONDENSER_START_YUAN_PER_MW * state.unit.rated_mw
    return tally.measured("no_order")
