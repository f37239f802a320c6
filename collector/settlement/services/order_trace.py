# SPDX-License-Identifier: GPL-3.0-or-later
"""Segments of the time inside start-stop and condenser orders, as far as they are matched with runs; condenser starts.

Runs join across days and months, so these segments are made when the month is added up, not while it is measured. Off
time of an occurrence paid this month has the class counted, and its last piece carries the count 1; of a condenser
start the run that it begins is counted, and its first piece carries the count.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from collector.model.dispatch import Order, OrderKind
from collector.model.interval import DAY_MS, local_midnight_ms
from collector.settlement.measure.logic import Ints
from collector.settlement.measure.results import CLASS_OF, Results, StatusRun
from collector.settlement.measure.status_runs import join_runs
from collector.settlement.rulebook.constant_days import ConstantDays, registered_spans
from collector.settlement.rulebook.rules import Rulebook
from collector.settlement.services.condenser import START
from collector.settlement.services.pricing import Account, Case
from collector.settlement.services.start_stop import COAL, GAS, HYDRO, Orders
from collector.settlement.statement import SEGMENT_SCHEMA

_STOPS: Final = (COAL, GAS, HYDRO)
Tests = Mapping[str, Callable[[ConstantDays], bool]]


def stop_services(rulebook: Rulebook) -> tuple[str, ...]:
    """The services paid for a stop and restart on order, those that the rulebook adds behind the others."""
    return (*_STOPS, *sorted(ident for ident, formula in rulebook.formulas.items() if formula in _STOPS))


@dataclass(frozen=True, slots=True)
class TracedPiece:
    """[start, end) UTC ms inside an order: `reason` as in results.REASONS; `count`: occurrences paid on it."""

    start_ms: int
    end_ms: int
    reason: str
    count: int = 0


def trace(account: Account, service: str) -> list[TracedPiece]:
    """The pieces of all orders of the month while the unit is registered, in order of time, without gap or overlap.

    Of a part of the unit's month: those inside it.
    """
    whole = replace(account, part=None)
    pieces = trace_starts(whole)[0] if service == START else _trace_stops(whole, service)
    if account.part is None:
        return pieces
    spans = registered_spans(account.part_of(service))
    return [piece for piece in pieces if any(start <= piece.start_ms < end for start, end in spans)]


def _trace_stops(account: Account, service: str) -> list[TracedPiece]:
    orders = Orders(account, service)
    pieces: list[TracedPiece] = []
    for result in orders.results:
        counted = [] if result.paid is None else [(result.paid.b, result.paid.d)]
        names = ("on_grid", "no_restart", "no_breaker")
        mine = list(_of_order(account, service, result.order, orders.runs, counted, names, counted_state=0))
        if result.paid is not None and mine:
            off = [index for index, piece in enumerate(mine) if piece.reason == "counted"]
            later = (index for index, piece in enumerate(mine) if piece.start_ms >= result.paid.d)
            at = off[-1] if off else next(later, 0)
            mine[at] = replace(mine[at], reason="counted", count=1)
        pieces += mine
    return pieces


def order_segments(case: Case, tests: Tests, units: frozenset[str] | None) -> pa.Table:
    """Segments (statement.SEGMENT_SCHEMA) of every unit, or some, and every service of such orders with a line."""
    rows: list[dict[str, object]] = []
    for unit in sorted(case.stretches if units is None else units & case.stretches.keys()):
        services = stop_services(case.rulebook) if case.dispatch.orders[OrderKind.START_STOP].get(unit) else ()
        if case.dispatch.orders[OrderKind.CONDENSER].get(unit):
            services = (*services, START)
        account = Account(case, unit, tests)
        for service in services:
            rows += [
                {
                    "unit": unit,
                    "service": service,
                    "start": piece.start_ms,
                    "end": piece.end_ms,
                    "class": CLASS_OF[piece.reason],
                    "reason": piece.reason,
                    "value": piece.count,
                    "value_unit": "count",
                }
                for piece in trace(account, service)
            ]
    return pa.Table.from_pylist(rows, SEGMENT_SCHEMA)


def _of_order(
    account: Account,
    service: str,
    order: Order,
    runs: Sequence[StatusRun],
    counted: Sequence[tuple[int, int]],
    names: tuple[str, str, str],
    *,
    counted_state: int,
) -> Iterator[TracedPiece]:
    """The pieces of one order. `names`: reasons of status 1, status 0 and an unknown one; `counted`: spans that are."""
    month, dispatch = account.case.month.interval, account.case.dispatch
    every = dispatch.excluded_spans(account.unit, service)
    leaving = dispatch.excluded_spans(account.unit, service, own_fault=False)
    if account.case.policy.adopts("I-19", "leaves_scope"):
        leaving = every
    mine = [run for run in runs if run.start_ms < order.end_ms and run.end_ms > order.start_ms]

    def reason(at_ms: int) -> str:
        if any(a <= at_ms < b for a, b in leaving):
            return "excluded"
        if any(a <= at_ms < b for a, b in every):
            return "own_fault"
        place = bisect_right(mine, at_ms, key=lambda run: run.start_ms) - 1
        if place < 0 or at_ms >= mine[place].end_ms:
            return names[2]
        state = mine[place].state
        if state == counted_state and any(a <= at_ms < b for a, b in counted):
            return "counted"
        return names[0] if state else names[1]

    edges = {edge for span in (*every, *counted) for edge in span} | {e for r in mine for e in (r.start_ms, r.end_ms)}
    for stretch in account.stretches_of(service):
        begin = max(order.start_ms, month.start_ms, local_midnight_ms(stretch.first_day))
        end = min(order.end_ms, month.end_ms, local_midnight_ms(stretch.until_day))
        if begin < end:
            cuts = sorted({begin, end} | {edge for edge in edges if begin < edge < end})
            for start, until in itertools.pairwise(cuts):
                yield TracedPiece(start, until, reason(start))


# ---- condenser starts ----------------------------------------------------------------------------------------------


class Start(NamedTuple):
    """A start into condenser mode: the known 0 before it ends at `since_ms`; counted at `at_ms` (I-23)."""

    since_ms: int
    start_ms: int
    end_ms: int
    at_ms: int


def trace_starts(account: Account) -> tuple[list[TracedPiece], list[Start]]:
    """The pieces of condenser orders with the starts of the month, and these starts."""
    runs = join_runs(account.runs_of(OrderKind.CONDENSER))
    pieces: list[TracedPiece] = []
    starts: list[Start] = []
    for order in account.case.dispatch.orders[OrderKind.CONDENSER].get(account.unit, ()):
        mine = [start for start in _starts_of(account, order, runs) if _is_counted(account, start.at_ms)]
        counted = [(start.start_ms, start.end_ms) for start in mine]
        names = ("no_edge", "no_edge", "no_status")
        found = list(_of_order(account, START, order, runs, counted, names, counted_state=1))
        for start in mine:
            at = next((i for i, piece in enumerate(found) if piece.end_ms > start.start_ms), None)
            if at is not None:
                found[at] = replace(found[at], count=found[at].count + 1)
        pieces += found
        starts += mine
    return pieces, starts


def _starts_of(account: Account, order: Order, runs: Sequence[StatusRun]) -> Iterator[Start]:
    """From known 0 to known 1, both inside the order, its start instant included."""
    at_stop = account.case.policy.adopts("I-23", "at_stop")
    for index, (before, run) in enumerate(itertools.pairwise(runs)):
        inside = order.start_ms <= before.end_ms and run.start_ms < order.end_ms
        if (before.state, run.state) != (0, 1) or not inside:
            continue
        stop = next((later for later in runs[index + 2 :] if later.state == 0), None)
        if not at_stop:
            yield Start(before.end_ms, run.start_ms, run.end_ms, run.start_ms)
        elif stop is not None:
            yield Start(before.end_ms, run.start_ms, run.end_ms, stop.start_ms)


def _is_counted(account: Account, at_ms: int) -> bool:
    """True if a start at this instant counts for the month: the service is registered, and nothing excludes it."""
    month = account.case.month.interval
    here = month.start_ms <= at_ms < month.end_ms and any(
        local_midnight_ms(s.first_day) <= at_ms < local_midnight_ms(s.until_day) for s in account.stretches_of(START)
    )
    return here and not any(a <= at_ms < b for a, b in account.case.dispatch.excluded_spans(account.unit, START))


def find_starts(case: Case, tests: Tests) -> Results:
    """The condenser starts of every unit by day, as further results of the month.

    Columns: value, counted (ms), unsure (a long hole before it may hide further ones), worst (it may have been at an
    excluded instant).
    """
    orders = case.dispatch.orders[OrderKind.CONDENSER]
    units = tuple(unit for unit in sorted(case.stretches) if orders.get(unit))
    begin, days = case.month.interval.start_ms, len(case.month.days)
    found = Results(units, (case.month.first_day.toordinal(),) * len(units), days)
    columns: dict[str, Ints] = defaultdict(lambda: np.zeros((len(units), days), dtype=np.int64))
    for lane, unit in enumerate(units):
        account = Account(case, unit, tests)
        excluded = case.dispatch.excluded_spans(unit, START)
        pieces, starts = trace_starts(account)
        for start in starts:
            day = (start.at_ms - begin) // DAY_MS
            columns["value"][lane, day] += 1
            columns["unsure"][lane, day] += start.start_ms - start.since_ms >= max(case.policy.min_stop_ms, 1)
            columns["worst"][lane, day] += any(a < start.start_ms and b > start.since_ms for a, b in excluded)
        for piece in pieces:
            if piece.reason == "counted":
                for day in range((piece.start_ms - begin) // DAY_MS, (piece.end_ms - 1 - begin) // DAY_MS + 1):
                    a, b = max(piece.start_ms, begin + day * DAY_MS), min(piece.end_ms, begin + (day + 1) * DAY_MS)
                    columns["counted"][lane, day] += b - a
    found.columns = {f"{START}.{name}": values for name, values in columns.items()}
    return found
