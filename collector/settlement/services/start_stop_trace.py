# SPDX-License-Identifier: GPL-3.0-or-later
"""Segments of the time inside start-stop orders, from breaker runs and matched orders.

Runs join across days and months, so these segments are made when the month is added up, not while it is measured. Off
time of an occurrence paid this month has the class counted, and its last piece carries the count 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from collector.model.dispatch import Order, OrderKind
from collector.model.interval import local_midnight_ms
from collector.settlement.measure.results import CLASS_OF, BreakerRun
from collector.settlement.rulebook.constant_days import Stretch
from collector.settlement.services.pricing import Account, Case
from collector.settlement.services.start_stop import COAL, GAS, HYDRO, Occurrence, join_runs, paid_occurrences
from collector.settlement.statement import SEGMENT_SCHEMA

SERVICES_OF: Final = (COAL, GAS, HYDRO)


@dataclass(frozen=True, slots=True)
class TracedPiece:
    """[start, end) UTC ms inside an order: `reason` as in results.REASONS; `count`: occurrences paid on it."""

    start_ms: int
    end_ms: int
    reason: str
    count: int = 0


def trace(account: Account, service: str) -> list[TracedPiece]:
    """The pieces of all orders of the month while the unit is registered, in order of time, without gap or overlap."""
    runs = join_runs(list(account.runs))
    paid = paid_occurrences(account, service)
    pieces: list[TracedPiece] = []
    for order in account.case.dispatch.orders[OrderKind.START_STOP].get(account.unit, ()):
        mine = [occurrence for of, occurrence in paid if of is order]
        pieces += _counted(list(_of_order(account, service, order, runs, mine)), mine)
    return pieces


def start_stop_segments(
    case: Case, tests: Mapping[str, Callable[[Stretch], bool]], units: frozenset[str] | None
) -> pa.Table:
    """Segments (statement.SEGMENT_SCHEMA) of every unit and start-stop service that has a line; or of some units."""
    rows: list[dict[str, object]] = []
    for unit in sorted(case.stretches if units is None else units & case.stretches.keys()):
        if not case.dispatch.orders[OrderKind.START_STOP].get(unit):
            continue
        account = Account(case, unit, tests)
        for service in SERVICES_OF:
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
    account: Account, service: str, order: Order, runs: list[BreakerRun], paid: list[Occurrence]
) -> Iterator[TracedPiece]:
    month, dispatch = account.case.month.interval, account.case.dispatch
    every = dispatch.excluded_spans(account.unit, service)
    leaving = dispatch.excluded_spans(account.unit, service, own_fault=False)
    if account.case.policy.adopts("I-19", "leaves_scope"):
        leaving = every
    edges = {edge for span in every for edge in span} | {e for run in runs for e in (run.start_ms, run.end_ms)}
    for stretch in account.stretches_of(service):
        begin = max(order.start_ms, month.start_ms, local_midnight_ms(stretch.first_day))
        end = min(order.end_ms, month.end_ms, local_midnight_ms(stretch.until_day))
        if begin >= end:
            continue
        cuts = sorted({begin, end} | {edge for edge in edges if begin < edge < end})
        for start, until in itertools.pairwise(cuts):
            yield TracedPiece(start, until, _reason(start, runs, paid, every, leaving))


def _reason(
    at_ms: int,
    runs: list[BreakerRun],
    paid: list[Occurrence],
    every: list[tuple[int, int]],
    leaving: list[tuple[int, int]],
) -> str:
    if any(a <= at_ms < b for a, b in leaving):
        return "excluded"
    if any(a <= at_ms < b for a, b in every):
        return "own_fault"
    state = next((run.state for run in runs if run.start_ms <= at_ms < run.end_ms), -1)
    if state == -1:
        return "no_breaker"
    if state == 1:
        return "on_grid"
    return "counted" if any(o.opening_ms <= at_ms < o.closing_ms for o in paid) else "no_restart"


def _counted(pieces: list[TracedPiece], paid: list[Occurrence]) -> list[TracedPiece]:
    """Put the count 1 of each occurrence on its last off piece, or on the piece at the restart if it has none here."""
    if not paid or not pieces:
        return pieces
    off = [index for index, piece in enumerate(pieces) if piece.reason == "counted"]
    at = off[-1] if off else next((i for i, p in enumerate(pieces) if p.start_ms >= paid[0].closing_ms), 0)
    pieces[at] = TracedPiece(pieces[at].start_ms, pieces[at].end_ms, "counted", 1)
    return pieces
