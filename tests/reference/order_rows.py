# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of every AVC order and start-stop order: avc_orders.csv and start_stops.csv.

Where several reasons hold at once, the text ranks none: each is as good, so a row has the set of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from . import regulation as rule
from .avc import find_orders, judging_record
from .edges import Occurrence, coal_yuan, find_certain, is_touched, known_status, possible_instants
from .exact_numbers import Truth
from .measured import Case, of_kind
from .model import Order
from .slices import OUTSIDE


@dataclass(frozen=True, slots=True)
class AvcOrder:
    """A row of avc_orders.csv; `reasons` is empty where the order was judged. Volts, UTC ms."""

    unit: str
    time: int
    target_v: int
    previous_v: int
    judged_at: int | None
    voltage_v: int | None
    band_v: Fraction | None
    verdict: str
    reasons: frozenset[str]


def avc_orders(case: Case) -> Iterator[AvcOrder]:
    """Every order of the month while the unit is registered, with AVC or not."""
    columns = case.records().columns
    orders = find_orders(case)
    for index, order in enumerate(orders):
        if not case.span.start <= order.time < case.span.end:
            continue
        record = judging_record(case, order)
        state = case.state_at(order.time)
        if state is None:
            continue  # not in commercial operation: nobody's order
        reasons = set()
        if not state.unit.avc:
            reasons.add("outside_scope")
        if case.exclusion_at("avc", order.time) == OUTSIDE:
            reasons.add("excluded")
        band = None
        if record is None:
            reasons.add("no_record")
        else:
            if index + 1 < len(orders) and orders[index + 1].time <= record.time:
                reasons.add("superseded")
            there = case.register.in_force(case.unit, record.time) or state
            if there is not None and there.unit.nominal_kv is not None:
                band = rule.avc_band_v(there.unit.nominal_kv)
            reasons |= _missing(record.avc_in_service, False, "avc_out", "avc_out")
            reasons |= _missing(case.on_at(record), False, "off_grid", "off_grid")
            if "avc_at_limit" in columns:
                reasons |= _missing(record.avc_at_limit, True, "at_limit", "at_limit")
            if record.voltage_v is None:
                reasons |= {"no_voltage", "implausible"}
        passed = record is not None and record.voltage_v is not None and band is not None
        passed = passed and abs((record.voltage_v or 0) - order.target_v) <= (band or 0) if record else False
        yield AvcOrder(
            case.unit,
            order.time,
            order.target_v,
            order.previous_v,
            None if record is None else record.time,
            None if record is None else record.voltage_v,
            band,
            "not_judged" if reasons else "passed" if passed else "failed",
            frozenset(reasons),
        )


def _missing(status: Truth, bad: bool, reason: str, unknown: str) -> set[str]:
    return {unknown} if status is None else {reason} if status is bad else set()


@dataclass(frozen=True, slots=True)
class StartStop:
    """What an order may say: its certain occurrences, the one it pays, and whether another is possible.

    `usable`: neither excluded nor, closing in the month, out of registration or of another kind then.
    """

    order: Order
    service: str
    inside: tuple[Occurrence, ...]
    excluded: frozenset[Occurrence]
    usable: tuple[Occurrence, ...]
    paid: Occurrence | None
    pending: bool
    possible: bool


def start_stops(case: Case) -> Iterator[StartStop]:
    """Every start-stop order of the unit that overlaps the month, of each service that its kinds in the month have."""
    known = known_status(case, case.on_at)
    certain = find_certain(case, known)
    kinds = [piece.state for piece in case.all_slices if piece.state is not None]
    for service in rule.SERVICES:
        if service.order_kind != "start_stop" or not any(of_kind(state, service.kinds) for state in kinds):
            continue
        for order in case.folder.orders:
            if order.unit != case.unit or order.kind != "start_stop":
                continue
            if not (order.start < case.span.end and order.end > case.span.start):
                continue
            inside = [one for one in certain if order.start <= one.a and one.d < order.end]
            excluded = frozenset(one for one in inside if is_touched(case, service.id, one.b, one.d))
            usable = [
                one
                for one in inside
                if one not in excluded
                and (not _in_month(case, one) or (one.state and of_kind(one.state, service.kinds)))
            ]
            paid = usable[0] if usable else None
            pending = service.id == "coal_start_stop" and paid is not None and coal_yuan(case, paid.b, paid.d) is None
            possible = any(possible_instants(case, service, known, order)) if paid is None else False
            yield StartStop(order, service.id, tuple(inside), excluded, tuple(usable), paid, pending, possible)


def _in_month(case: Case, one: Occurrence) -> bool:
    return case.span.start <= one.d < case.span.end
