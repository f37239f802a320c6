# SPDX-License-Identifier: GPL-3.0-or-later
"""Stopping and restarting inside 24 hours on order: coal Art. 13(4), gas 13(5), hydro 13(7).

In our words: per order, a unit that was taken off the grid and brought back within the allowed time is paid once, by
its capacity; coal by a table of capacity and stop-to-start interval that the text does not contain (I-01). An
occurrence is an off-grid run of the breaker between two on-grid runs, with no missing breaker time in or next to it; it
belongs to the month in which the breaker closes (I-06). Runs join across days and months, so orders and occurrences are
matched when the month is added up.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from collector.model.dispatch import Order, OrderKind
from collector.model.interval import HOUR_MS, Interval, format_time, is_covered, local_day, local_midnight_ms
from collector.settlement.measure.facts import Facts
from collector.settlement.measure.results import BreakerRun
from collector.settlement.rulebook.constant_days import Stretch
from collector.settlement.services.pricing import Account, Bound, Draft, Priced
from collector.settlement.statement import LineStatus, RuleUse, Step

COAL, GAS, HYDRO = "coal_start_stop", "gas_start_stop", "hydro_start_stop"


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A stop and restart: opening and closing of the breaker, UTC ms."""

    opening_ms: int
    closing_ms: int


def measure(facts: Facts) -> None:
    """Measure breaker runs of the units that have start-stop orders."""
    timeline, axis = facts.timeline, facts.axis
    ordered = facts.dispatch.orders[OrderKind.START_STOP]
    lanes = [index for index, lane in enumerate(axis.lanes) if ordered.get(lane.unit)]
    if not lanes:
        return
    on = facts.on
    state = np.where(on.true, 1, np.where(on.false, 0, -1)).astype(np.int8)
    for lane in lanes:
        a = int(timeline.cell_start[lane * axis.days])
        last = (lane + 1) * axis.days - 1
        b = int(timeline.cell_start[last] + timeline.cell_count[last])
        first = a + np.concatenate([[0], np.flatnonzero(np.diff(state[a:b])) + 1])
        start = axis.utc_ms(timeline.start[first])
        end = np.append(start[1:], axis.start_utc_ms[lane] + axis.width)
        unit = axis.lanes[lane].unit
        for run in zip(start.tolist(), end.tolist(), state[first].tolist(), strict=True):
            facts.results.runs.append(BreakerRun(unit, *run))


def join_runs(runs: list[BreakerRun]) -> list[BreakerRun]:
    """Join the runs of neighbouring days; time between days that were not measured is missing."""
    joined: list[BreakerRun] = []
    for run in runs:
        if joined and joined[-1].state == run.state and joined[-1].end_ms == run.start_ms:
            joined[-1] = BreakerRun(run.unit, joined[-1].start_ms, run.end_ms, run.state)
        else:
            joined.append(run)
    return joined


def occurrences(runs: list[BreakerRun], max_gap_ms: int) -> list[Occurrence]:
    """Observed stops and restarts: off directly between on and on, not longer than allowed."""
    found = []
    for before, off, after in zip(runs, runs[1:], runs[2:], strict=False):
        touching = before.end_ms == off.start_ms and off.end_ms == after.start_ms
        if touching and (before.state, off.state, after.state) == (1, 0, 1) and off.end_ms - off.start_ms <= max_gap_ms:
            found.append(Occurrence(off.start_ms, off.end_ms))
    return found


@dataclass(frozen=True, slots=True)
class _Matched:
    """The result of a unit's orders: occurrences paid this month, and the number of uncertain orders."""

    paid: list[tuple[Order, Occurrence, Stretch]]
    uncertain: int  # orders whose missing breaker time may hide an occurrence
    empty_scope: str  # why the orders leave no time in scope: no_order, excluded, or empty


def _match(account: Account, service: str) -> _Matched:
    """Match orders and occurrences in order of time, one payment per order; excluded ones are certain but unpaid."""
    case, month = account.case, account.case.month.interval
    runs = join_runs(list(account.runs))
    gap_h = case.rulebook.number("start_stop.max_gap", case.month.first_day)
    found = occurrences(runs, int(gap_h * HOUR_MS))
    excluded = case.dispatch.excluded_spans(account.unit, service)
    stretches = account.stretches_of(service)
    paid: list[tuple[Order, Occurrence, Stretch]] = []
    uncertain = 0
    by_restart = case.policy.adopts("I-06", "month_of_restart")

    def instant_of(occurrence: Occurrence) -> int:
        """I-06: the instant that decides an occurrence's month: its restart or, if so adopted, its stop."""
        return occurrence.closing_ms if by_restart else occurrence.opening_ms

    for order in case.dispatch.orders[OrderKind.START_STOP].get(account.unit, ()):
        if order.start_ms >= month.end_ms or order.end_ms <= month.start_ms:
            continue
        inside = [o for o in found if order.start_ms <= o.opening_ms and o.closing_ms < order.end_ms]
        inside = [o for o in inside if instant_of(o) < month.end_ms]
        good = [o for o in inside if not _touches(o, excluded)]
        certain = bool(inside)
        if good:
            stretch = _stretch_at(stretches, instant_of(good[0]))
            if month.start_ms <= instant_of(good[0]) and stretch is not None:
                paid.append((order, good[0], stretch))
        if not certain and _missing_time(runs, order, month, excluded, stretches):
            uncertain += 1
    return _Matched(paid, uncertain, _empty_scope(account, service, stretches))


def paid_occurrences(account: Account, service: str) -> list[tuple[Order, Occurrence]]:
    """The occurrences paid this month, each with its order."""
    return [(order, occurrence) for order, occurrence, _ in _match(account, service).paid]


def _empty_scope(account: Account, service: str, stretches: list[Stretch]) -> str:
    """Why the unit's orders leave no time of the month: none of it registered, or all of it excluded."""
    month = account.case.month.interval
    leaving = account.case.dispatch.excluded_spans(account.unit, service, own_fault=False)
    reason = "no_order"
    for order in account.case.dispatch.orders[OrderKind.START_STOP].get(account.unit, ()):
        for stretch in stretches:
            begin = max(order.start_ms, month.start_ms, local_midnight_ms(stretch.first_day))
            end = min(order.end_ms, month.end_ms, local_midnight_ms(stretch.until_day))
            if begin < end:
                if not is_covered(begin, end, leaving):
                    return ""
                reason = "excluded"
    return reason


def _touches(occurrence: Occurrence, spans: list[tuple[int, int]]) -> bool:
    """Whether any instant from opening to closing, both included, is excluded."""
    return any(start <= occurrence.closing_ms and end > occurrence.opening_ms for start, end in spans)


def _stretch_at(stretches: list[Stretch], time_utc_ms: int) -> Stretch | None:
    day = local_day(time_utc_ms)
    return next((s for s in stretches if s.first_day <= day < s.until_day), None)


def _missing_time(
    runs: list[BreakerRun], order: Order, month: Interval, excluded: list[tuple[int, int]], stretches: list[Stretch]
) -> bool:
    """Whether breaker time is missing in the order's registered part of the month, outside exclusions."""
    for stretch in stretches:
        begin = max(order.start_ms, month.start_ms, local_midnight_ms(stretch.first_day))
        end = min(order.end_ms, month.end_ms, local_midnight_ms(stretch.until_day))
        for run in runs:
            a, b = max(run.start_ms, begin), min(run.end_ms, end)
            if run.state == -1 and a < b and not is_covered(a, b, excluded):
                return True
    return False


def price_gas(account: Account) -> Draft:
    """Price each occurrence at 260 元/MW."""
    return _price_by_capacity(account, GAS)


def price_hydro(account: Account) -> Draft:
    """Price each occurrence at 20 元/MW."""
    return _price_by_capacity(account, HYDRO)


def _price_by_capacity(account: Account, service: str) -> Draft:
    matched = _match(account, service)
    priced = Priced(account, service)
    for order, occurrence, stretch in matched.paid:
        rated, label = Fraction(stretch.unit.rated_mw), _label(order, occurrence)
        priced.add(f"{service}.price", stretch, rated, unit="MW", quantity=Fraction(1), label=label)
    if account.bound is Bound.MEASURED:
        return _settled(priced.draft(), matched)
    if account.bound is Bound.HIGH:  # each uncertain order may have been fulfilled once
        stretch = max(account.stretches_of(service), key=lambda s: s.unit.rated_mw)
        priced.add(f"{service}.price", stretch, matched.uncertain * Fraction(stretch.unit.rated_mw), unit="MW")
    return priced.draft()


def _label(order: Order, occurrence: Occurrence) -> str:
    opening, closing = format_time(occurrence.opening_ms), format_time(occurrence.closing_ms)
    return f"order {order.id}, off {opening}, on {closing}"


def price_coal(account: Account) -> Draft:
    """Price by the table of capacity and stop-to-start interval, where it was delivered (I-01)."""
    matched = _match(account, COAL)
    priced = Priced(account, COAL)
    pending = False
    for order, occurrence, stretch in matched.paid:
        gap_h = Fraction(occurrence.closing_ms - occurrence.opening_ms, HOUR_MS)
        amount = _table_yuan(account, stretch, gap_h, occurrence)
        priced.quantity += 1
        factor = priced.factor(stretch)
        if amount is None:
            price = priced.price("coal_start_stop.price", stretch)
            amount = None if price is None else price * 10_000
        if amount is None or factor is None:
            pending = True
            continue
        priced.amount = (priced.amount or Fraction(0)) + amount * factor
        text = f"{_label(order, occurrence)}: table at {stretch.unit.rated_mw} MW, {float(gap_h):.2f} h"
        priced.steps.append(Step(text, amount * factor))
    if account.bound is Bound.HIGH and matched.uncertain:
        best = _best_table_yuan(account)
        pending |= best is None
        priced.amount = (priced.amount or Fraction(0)) + matched.uncertain * (best or Fraction(0))
    draft = priced.draft()
    if pending:
        draft = Draft(priced.quantity, None, LineStatus.PENDING, "table_unknown", rules=tuple(priced.rules))
    return _settled(draft, matched) if account.bound is Bound.MEASURED else draft


def _best_table_yuan(account: Account) -> Fraction | None:
    """The most an uncertain order could be worth: any row for a capacity of the unit; None: no row covers one."""
    stretches = account.stretches_of(COAL)
    last_day = account.case.month.days[-1]
    worth = [
        Fraction(row.amount_wan_yuan) * 10_000 * (Priced(account, COAL).factor(stretch) or Fraction(0))
        for stretch in stretches
        for row in account.case.start_stop_table
        if row.capacity_from_mw <= stretch.unit.rated_mw < row.capacity_to_mw and row.from_day <= last_day
    ]
    return max(worth) if worth else None


def _table_yuan(account: Account, stretch: Stretch, gap_h: Fraction, occurrence: Occurrence) -> Fraction | None:
    """The row that covers capacity and gap, with the latest `from` not after the closing; None: no row does."""
    day = local_day(occurrence.closing_ms)
    rated = stretch.unit.rated_mw
    fitting = [
        row
        for row in account.case.start_stop_table
        if row.capacity_from_mw <= rated < row.capacity_to_mw
        and row.gap_from_h <= gap_h < row.gap_to_h
        and row.from_day <= day
    ]
    if not fitting:
        return None
    return Fraction(max(fitting, key=lambda row: row.from_day).amount_wan_yuan) * 10_000


def _settled(draft: Draft, matched: _Matched) -> Draft:
    """The draft with uncertain orders: certain occurrences are paid, the month provisional; none certain: blocked."""
    if matched.empty_scope:
        return Draft(Fraction(0), Fraction(0), LineStatus.ZERO, matched.empty_scope)
    if not matched.uncertain:
        return draft
    if not matched.paid:
        rules: tuple[RuleUse, ...] = draft.rules
        return Draft(draft.quantity, None, LineStatus.BLOCKED, "uncertain_edge", rules=rules)
    return Draft(draft.quantity, draft.amount, draft.status, draft.reason, "uncertain_edge", draft.steps, draft.rules)
