# SPDX-License-Identifier: GPL-3.0-or-later
"""Automatic voltage control: hours in service, and the share of judged orders that passed.

Source: Art. 16, reading I-11.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise, zip_longest

from . import regulation as rule
from .exact import all_of
from .measured import BLOCKED, Case, Determinant, Measured, integrate
from .model import Record
from .services import ONE
from .slices import OUTSIDE


@dataclass(frozen=True, slots=True)
class Target:
    """An AVC order: the voltage target changed, at the time of the record that shows it."""

    time: int
    target_v: int


@dataclass(slots=True)
class Passes:
    """Orders of the month by outcome."""

    passed: int = 0
    judged: int = 0
    not_judged: int = 0


def measure_avc(case: Case) -> Measured:
    """λ · P_N · 0.1 · t_AVC."""
    tally = integrate(
        "avc",
        case.slices,
        scope=lambda _, state: state.unit.avc,
        truth=lambda piece: all_of(piece.on, piece.record.avc_in_service),
        rate=lambda *_: ONE,
        price=lambda state: rule.AVC_YUAN_PER_MWH * state.unit.rated_mw,
    )
    found = tally.measured()
    passes = count_passes(case)
    found.determinants["avc.hours"] = tally.determinant()
    for name in ("passed", "judged", "not_judged"):
        count = Fraction(getattr(passes, name))
        found.determinants[f"avc.{name}"] = Determinant(value=count, known_ms=0, scope_ms=0)
    if tally.value == 0:
        return found  # no time, no money, whatever λ is (I-11)
    delivered = case.folder.pass_rates.get((case.unit, case.month))
    rate = Fraction(passes.passed, passes.judged) if passes.judged else delivered
    if rate is None:
        found.quantity = None
        found.trouble = (BLOCKED, "no_judged_order")
        return found
    found.quantity = rate * tally.value
    found.yuan = rate * tally.yuan
    found.determinants["avc"]["value"] = found.quantity
    return found


def find_orders(case: Case) -> list[Target]:
    """Every change of target between two consecutive records, the first holding up to the second, AVC and on there."""
    return [
        Target(now.time, now.avc_target_v)
        for before, now in pairwise(case.records().records)
        if before.avc_target_v is not None
        and now.avc_target_v is not None
        and before.avc_target_v != now.avc_target_v
        and now.time - before.time <= case.folder.policy.hold_ms
        and now.avc_in_service is True
        and case.on_at(now) is True
    ]


def count_passes(case: Case) -> Passes:
    """Judges the orders of the month that lie in the scope: registered with `avc = true` at their time."""
    orders = find_orders(case)  # in order of time
    found = Passes()
    for order, following in zip_longest(orders, orders[1:]):
        state = case.state_at(order.time)
        if not case.span.start <= order.time < case.span.end or state is None or not state.unit.avc:
            continue
        record = _judging_record(case, order, following)
        outside = case.exclusion_at("avc", order.time) == OUTSIDE
        verdict = None if record is None or outside else _verdict(case, order, record)
        if verdict is None:
            found.not_judged += 1
        else:
            found.judged += 1
            found.passed += verdict
    return found


def _judging_record(case: Case, order: Target, following: Target | None) -> Record | None:
    """The first record at or after t + settle_s, if near enough and no other order came up to its time."""
    policy = case.folder.policy
    records = case.records().records
    due = order.time + policy.settle_ms
    index = bisect_left(records, due, key=lambda record: record.time)
    if index == len(records) or records[index].time > due + policy.hold_ms:
        return None
    record = records[index]
    disturbed = following is not None and following.time <= record.time
    return None if disturbed else record


def _verdict(case: Case, order: Target, record: Record) -> bool | None:
    """Passed or not at the judging record; None where it can't be judged there."""
    columns = case.records().columns
    state = case.state_at(record.time) or case.state_at(order.time)
    nominal = None if state is None else state.unit.nominal_kv
    free = record.avc_at_limit is False if "avc_at_limit" in columns else True
    in_service = record.avc_in_service is True and case.on_at(record) is True
    if not in_service or not free or record.voltage_v is None or nominal is None:
        return None
    return abs(record.voltage_v - order.target_v) <= rule.avc_band_v(nominal)
