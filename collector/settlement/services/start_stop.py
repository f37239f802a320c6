# SPDX-License-Identifier: GPL-3.0-or-later
"""Stopping and restarting inside 24 hours on order: coal Art. 13(4), gas 13(5), hydro 13(7).

In our words: per order, a unit that was taken off the grid and brought back within the allowed time is paid once, by
its capacity; coal by a table of capacity and stop-to-start interval that the text does not contain (I-01). What is
certain is paid: on, then off, then on again at known times, whatever holes lie between (I-20). It belongs to the month
of the first known on again (I-06). Runs join across days and months, so orders and occurrences are matched when the
month is added up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from collector.base.text import tr
from collector.model.dispatch import Order, OrderKind
from collector.model.interval import HOUR_MS, format_time, is_covered, local_day, local_midnight_ms
from collector.settlement.measure.occurrences import (
    Occurrence,
    Span,
    certain_occurrences,
    possible_occurrences,
    without_short_holes,
)
from collector.settlement.measure.results import StatusRun
from collector.settlement.measure.status_runs import join_runs
from collector.settlement.rulebook.constant_days import ConstantDays
from collector.settlement.services.pricing import UNCERTAIN, Account, Bound, Draft, Priced
from collector.settlement.statement import FormulaStep, LineStatus

COAL, GAS, HYDRO = "coal_start_stop", "gas_start_stop", "hydro_start_stop"
_Spans = list[tuple[int, int]]


class Hidden(NamedTuple):
    """A stop and restart that holes may hide: payable at `place` if it closes (I-06: opens) there."""

    place: ConstantDays
    opening: Span
    closing: Span

    def gaps_ms(self, max_gap_ms: int) -> Span:
        """The gaps it may have."""
        return Span(
            max(1, self.closing.first - self.opening.last), min(max_gap_ms, self.closing.last - self.opening.first)
        )


@dataclass(frozen=True, slots=True)
class OrderResult:
    """The result of one start-stop order.

    `paid` is the occurrence (stop and restart) that is paid, `place` the stretch it is paid in. `used`: an occurrence
    is paid, here, in another month, or in another part of this month. `certain` lists all certain occurrences, each
    with a flag that is true if it is excluded.

    `hidden` lists occurrences that missing data may hide. If no certain occurrence can be paid, they are those that
    could close in this part of the month. If the certain one closes in this month, they are those of any part that
    could have come before it and been paid in its place.
    """

    order: Order
    certain: tuple[tuple[Occurrence, bool], ...]
    paid: Occurrence | None
    place: ConstantDays | None
    used: bool
    hidden: tuple[Hidden, ...]

    @property
    def uncertain(self) -> bool:
        """True if the order may have been fulfilled this month, but not for certain."""
        return not self.used and bool(self.hidden)


class Orders:
    """The start-stop orders of a unit and month, matched with what its breaker did."""

    def __init__(self, account: Account, service: str) -> None:
        case = account.case
        self.account, self.month = account, case.month.interval
        self.runs: list[StatusRun] = join_runs(account.runs_of(OrderKind.START_STOP))
        self.excluded = case.dispatch.excluded_spans(account.unit, service)
        self.places, self.mine = account.stretches_of(service), account.part_of(service)
        self.max_gap_ms = int(case.rulebook.number("start_stop.max_gap", case.month.first_day) * HOUR_MS)
        self._by_restart = case.policy.adopts("I-06", "month_of_restart")
        any_hole_blocks = case.policy.adopts("I-20", "any_hole_blocks")
        self._min_stop_ms = 0 if any_hole_blocks else case.policy.min_stop_ms
        self._whole = without_short_holes(self.runs, self._min_stop_ms)
        self._certain = certain_occurrences(self._whole, self.max_gap_ms, exact=any_hole_blocks)
        orders = case.dispatch.orders[OrderKind.START_STOP].get(account.unit, ())
        mine = [order for order in orders if order.start_ms < self.month.end_ms and order.end_ms > self.month.start_ms]
        self.results = [self._result(order) for order in mine]

    def _result(self, order: Order) -> OrderResult:
        inside = [one for one in self._certain if order.start_ms <= one.a and one.d < order.end_ms]
        certain = tuple((one, self._touched(one)) for one in inside)
        for one, excluded in certain:
            instant = one.d if self._by_restart else one.b
            here = self.month.start_ms <= instant < self.month.end_ms
            place = self._place_at(instant) if here else None
            if excluded or (here and place is None):
                continue
            if place is None:  # paid in another month
                return OrderResult(order, certain, None, None, True, ())
            hidden = tuple(self._hidden(Span(order.start_ms, one.d), first_only=True))
            if place not in self.mine:  # paid in another part of this month
                return OrderResult(order, certain, None, None, True, hidden)
            return OrderResult(order, certain, one, place, True, hidden)
        hidden = tuple(self._hidden(Span(order.start_ms, order.end_ms - 1), first_only=False))
        return OrderResult(order, certain, None, None, False, hidden)

    def _hidden(self, inside: Span, *, first_only: bool) -> Iterator[Hidden]:
        """List the occurrences of an order that missing data may hide, outside exclusions.

        With `first_only`, list those that could be the first of the order, in any part of the month.
        """
        free = list(_between(self.excluded, inside))
        for one in possible_occurrences(self._whole, inside, self.max_gap_ms, self._min_stop_ms):
            if first_only and one.after_off and len(free) == 1:
                continue
            for allowed in free:
                for place in self.places if first_only else self.mine:
                    opening, closing = one.opening.within(allowed), one.closing.within(allowed)
                    if self._by_restart:
                        closing = closing.within(_instants(place))
                    else:
                        opening = opening.within(_instants(place))
                    found = Hidden(place, opening, closing)
                    if opening and closing and found.gaps_ms(self.max_gap_ms):
                        yield found

    def instead(
        self, result: OrderResult, amounts: Callable[[Hidden], Iterable[Fraction | None]]
    ) -> Iterator[Fraction | None]:
        """The amounts hidden occurrences could pay in this part; zero for one that closes in another part."""
        for hidden in result.hidden:
            yield from amounts(hidden) if hidden.place in self.mine else [Fraction(0)]

    def _touched(self, one: Occurrence) -> bool:
        """True if any instant from opening to closing (both included) is excluded."""
        return any(start <= one.d and end > one.b for start, end in self.excluded)

    def _place_at(self, time_utc_ms: int) -> ConstantDays | None:
        day = local_day(time_utc_ms)
        return next((s for s in self.places if s.first_day <= day < s.until_day), None)

    @property
    def uncertain(self) -> list[OrderResult]:
        """The orders that may have been fulfilled, but not for certain."""
        return [result for result in self.results if result.uncertain]

    def empty_scope(self, service: str) -> str:
        """Why the orders leave no time of the month: none of it registered, or all of it excluded; else empty."""
        leaving = self.account.case.dispatch.excluded_spans(self.account.unit, service, own_fault=False)
        reason = "no_order"
        for result in self.results:
            for place in self.mine:
                begin = max(result.order.start_ms, self.month.start_ms, local_midnight_ms(place.first_day))
                end = min(result.order.end_ms, self.month.end_ms, local_midnight_ms(place.until_day))
                if begin < end:
                    if not is_covered(begin, end, leaving):
                        return ""
                    reason = "excluded"
        return reason


def _instants(place: ConstantDays) -> Span:
    return Span(local_midnight_ms(place.first_day), local_midnight_ms(place.until_day) - 1)


def _between(excluded: _Spans, inside: Span) -> Iterator[Span]:
    """The parts of a span without an excluded instant."""
    at = inside.first
    for start, end in sorted(excluded):
        free = Span(at, min(start - 1, inside.last))
        if free:
            yield free
        at = max(at, end)
    if at <= inside.last:
        yield Span(at, inside.last)


def price_by_capacity(account: Account, service: str) -> Draft:
    """Price each occurrence by P_N and price at its closing: gas at 260 元/MW, hydro at 20 元/MW."""
    orders, priced, beside = Orders(account, service), Priced(account, service), Priced(account, service)
    value_id, differs = f"{service}.price", False

    def yuan(place: ConstantDays) -> Fraction | None:
        price, factor = beside.price(value_id, place), beside.factor(place)
        return None if price is None or factor is None else price * Fraction(place.unit.rated_mw) * factor

    for result in orders.results:
        if result.paid is None and not result.hidden:
            continue
        seen = Fraction(0) if result.place is None else yuan(result.place)
        others = set(orders.instead(result, lambda hidden: [yuan(hidden.place)]))
        differs |= result.used and not others <= {seen}
        if account.bound is not Bound.MEASURED:
            worth = _worth(account.bound, seen, others, certain=result.paid is not None)
            priced.amount = None if priced.amount is None or worth is None else priced.amount + worth
        elif result.paid is not None and result.place is not None:
            rated, label = Fraction(result.place.unit.rated_mw), _label(result.order, result.paid)
            priced.add(value_id, result.place, rated, unit="MW", quantity=Fraction(1), label=label)
    return _settled(priced.draft(), orders, service, differs=differs)


def _label(order: Order, one: Occurrence) -> str:
    return tr("order {id}, off {off}, on {on}", id=order.id, off=format_time(one.b), on=format_time(one.d))


def price_coal(account: Account) -> Draft:
    """Price by the table of capacity and stop-to-start interval, where it was delivered (I-01)."""
    orders, priced = Orders(account, COAL), Priced(account, COAL)
    pending = differs = False
    for result in orders.results:
        seen: Fraction | None = Fraction(0)
        if result.paid is not None and result.place is not None:
            seen = _table_yuan(priced, result.place, result.paid.gap_ms, result.paid.d)
            priced.quantity += 1
            pending |= seen is None
        elif not result.hidden:
            continue
        others = set(orders.instead(result, lambda hidden: _table_amounts(priced, hidden, orders.max_gap_ms)))
        differs |= result.used and not others <= {seen}
        worth = _worth(account.bound, seen, others, certain=result.paid is not None)
        if worth is None:
            pending |= account.bound is not Bound.MEASURED
            continue
        priced.amount = (priced.amount or Fraction(0)) + worth
        if account.bound is Bound.MEASURED and result.paid is not None and result.place is not None:
            gap_h = result.paid.gap_ms / HOUR_MS
            text = tr(
                "{about}: table at {mw} MW, {gap} h",
                about=_label(result.order, result.paid),
                mw=result.place.unit.rated_mw,
                gap=f"{gap_h:.2f}",
            )
            priced.steps.append(FormulaStep(text, worth))
    draft = priced.draft()
    if pending:
        draft = Draft(priced.quantity, None, LineStatus.PENDING, _unpriced(account), rules=tuple(priced.rules))
    return _settled(draft, orders, COAL, differs=differs)


def _worth(bound: Bound, seen: Fraction | None, others: set[Fraction | None], *, certain: bool) -> Fraction | None:
    """The amount of an order as seen, or the least or most it may be; None: unknown, no row of the table says it."""
    if bound is Bound.MEASURED:
        return seen if certain else Fraction(0)
    amounts = {seen, *others} if certain else others
    known = [amount for amount in amounts if amount is not None]
    if bound is Bound.LOW:
        return min(known, default=None) if certain else Fraction(0)
    return max(known) if known and len(known) == len(amounts) else None


def _table_amounts(priced: Priced, hidden: Hidden, max_gap_ms: int) -> Iterator[Fraction | None]:
    """Every amount the table has for a hidden occurrence; None among them: it may have a gap without a row."""
    table = priced.account.case.start_stop_table
    days = {local_midnight_ms(row.from_day) for row in table}
    first, last = hidden.closing
    cuts = [first, *sorted(day for day in days if first < day <= last), last + 1]
    edges = {-(-Fraction(hours) * HOUR_MS // 1) for row in table for hours in (row.gap_from_h, row.gap_to_h)}
    for begin, until in pairwise(cuts):
        gaps = hidden._replace(closing=Span(begin, until - 1)).gaps_ms(max_gap_ms)
        if gaps:
            for gap in {gaps.first, *(edge for edge in edges if gaps.first < edge <= gaps.last)}:
                yield _table_yuan(priced, hidden.place, gap, begin)


def _table_yuan(priced: Priced, place: ConstantDays, gap_ms: int, closing_ms: int) -> Fraction | None:
    """The row that covers capacity and gap, with the latest `from` not after the closing; None: no row does."""
    day, rated, gap_h = local_day(closing_ms), place.unit.rated_mw, Fraction(gap_ms, HOUR_MS)
    fitting = [
        row
        for row in priced.account.case.start_stop_table
        if row.capacity_from_mw <= rated < row.capacity_to_mw
        and row.gap_from_h <= gap_h < row.gap_to_h
        and row.from_day <= day
    ]
    if fitting:
        wan_yuan: Fraction | None = Fraction(max(fitting, key=lambda row: row.from_day).amount_wan_yuan)
    else:
        wan_yuan = priced.price("coal_start_stop.price", place)
    factor = priced.factor(place)
    return None if wan_yuan is None or factor is None else wan_yuan * 10_000 * factor


def _settled(draft: Draft, orders: Orders, service: str, *, differs: bool = False) -> Draft:
    """The draft with uncertain orders: certain occurrences are paid and provisional; none paid: blocked."""
    if orders.account.bound is not Bound.MEASURED:
        return draft
    empty = orders.empty_scope(service)
    if empty:
        return Draft(Fraction(0), Fraction(0), LineStatus.ZERO, empty)
    paid = any(result.paid is not None for result in orders.results)
    if orders.uncertain and not paid:
        return Draft(draft.quantity, None, LineStatus.BLOCKED, UNCERTAIN, rules=draft.rules)
    if not (orders.uncertain or differs):
        return draft
    return Draft(draft.quantity, draft.amount, draft.status, draft.reason, UNCERTAIN, draft.steps, draft.rules)


@dataclass(frozen=True, slots=True)
class StartStopOutcome:
    """A row of start_stops.csv; times in UTC ms, None where the occurrence is only possible or there is none."""

    order: str
    unit: str
    service: str
    occurrence: Occurrence | None
    verdict: str
    reason: str = ""


def _unpriced(account: Account) -> str:
    """Why an occurrence has no amount: no table is loaded (Art. 13(4), I-01), or the one loaded has no row for it."""
    return "not_in_table" if account.case.start_stop_table else "table_unknown"


def list_start_stops(account: Account, service: str) -> Iterator[StartStopOutcome]:
    """List the results of each order of the month.

    There is a row for every certain occurrence; an order without one has a row that says why.
    """
    orders = Orders(account, service)
    priced = Priced(account, service)
    for result in orders.results:
        rows = list(_rows(result, orders.month.start_ms, orders.month.end_ms))
        for one, verdict, reason in rows:
            if verdict == "paid" and service == COAL and one is not None and result.place is not None:
                known = _table_yuan(priced, result.place, one.gap_ms, one.d) is not None
                verdict, reason = ("paid", "") if known else ("pending", _unpriced(account))
            yield StartStopOutcome(result.order.id, account.unit, service, one, verdict, reason)


def _rows(result: OrderResult, start_ms: int, end_ms: int) -> Iterator[tuple[Occurrence | None, str, str]]:
    used = False
    for one, excluded in result.certain:
        if excluded:
            verdict, reason = "excluded", "excluded"
        elif one is result.paid:
            verdict, reason, used = "paid", "", True
        elif used:
            verdict, reason = "repeated", "order_used_up"
        elif result.used and not start_ms <= one.d < end_ms:
            verdict, reason, used = "none", "other_month", True
        else:
            verdict, reason = "none", "not_registered"
        yield one, verdict, reason
    if result.uncertain:
        yield None, "uncertain", UNCERTAIN
    elif not result.certain:
        yield None, "none", "no_restart"
