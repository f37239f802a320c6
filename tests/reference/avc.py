# SPDX-License-Identifier: GPL-3.0-or-later
"""Automatic voltage control: hours in service, and the share of judged orders that passed.

Source: Art. 16, reading I-11.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from fractions import Fraction
from itertools import zip_longest

from . import regulation as rule
from .exact_numbers import all_of, round_half_away
from .measured import BLOCKED, Case, Determinant, Measured, integrate
from .model import Record
from .services import ONE
from .slices import OUTSIDE


@dataclass(frozen=True, slots=True)
class Target:
    """An AVC order: the voltage target changed, at the time of the record that shows it."""

    time: int
    target_v: int
    previous_v: int


@dataclass(slots=True)
class Passes:
    """Orders of the month by outcome."""

    passed: int = 0
    judged: int = 0
    not_judged: int = 0


def measure_avc(case: Case, *, all_passed: bool = False) -> Measured:
    """λ · P_N · 0.1 · t_AVC. `all_passed`: as if every judged order had passed."""
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
    if all_passed:
        rate = ONE
    if rate is None:
        found.quantity = None
        found.trouble = (BLOCKED, "no_judged_order")
        return found
    found.quantity = rate * tally.value
    found.yuan = rate * tally.yuan
    found.determinants["avc"]["value"] = found.quantity
    return found


def find_orders(case: Case) -> list[Target]:
    """Every target of a run that differs enough from the standing one, which it then replaces (I-21).

    A run: records with target, AVC and on known and in, each at most the hold limit after the one before. It begins
    at the earliest with the last record before the month.
    """
    found: list[Target] = []
    standing: int | None = None
    before: Record | None = None
    for record in _of_month(case):
        in_run = record.avc_target_v is not None and record.avc_in_service is True and case.on_at(record) is True
        broken = before is None or record.time - before.time > case.folder.policy.hold_ms
        if not in_run or record.avc_target_v is None:
            standing = None
        elif broken or standing is None:
            standing = record.avc_target_v
        elif abs(record.avc_target_v - standing) >= _least_change_v(case, record.time):
            found.append(Target(record.time, record.avc_target_v, standing))
            standing = record.avc_target_v
        before = record
    return found


def _of_month(case: Case) -> list[Record]:
    """The last record before the month, those in it, and those used after it."""
    policy, span, records = case.folder.policy, case.span, case.records().records
    first = max(bisect_left(records, span.start, key=lambda record: record.time) - 1, 0)
    last = span.end + policy.settle_ms + policy.hold_ms
    return [record for record in records[first:] if record.time <= last]


def _least_change_v(case: Case, time: int) -> int:
    """A share of the band in whole volts, at least 1 V; 1 V where no nominal voltage is registered."""
    state = case.register.in_force(case.unit, time)
    if state is None or state.unit.nominal_kv is None:
        return 1
    return max(round_half_away(case.folder.policy.order_min_ratio * rule.avc_band_v(state.unit.nominal_kv)), 1)


def count_passes(case: Case) -> Passes:
    """Judges the orders of the month that lie in the scope: registered with `avc = true` at their time."""
    orders = find_orders(case)  # in order of time
    found = Passes()
    for order, following in zip_longest(orders, orders[1:]):
        state = case.state_at(order.time)
        if not case.span.start <= order.time < case.span.end or state is None or not state.unit.avc:
            continue
        record = judging_record(case, order)
        if record is not None and following is not None and following.time <= record.time:
            record = None  # disturbed
        outside = case.exclusion_at("avc", order.time) == OUTSIDE
        verdict = None if record is None or outside else _verdict(case, order, record)
        if verdict is None:
            found.not_judged += 1
        else:
            found.judged += 1
            found.passed += verdict
    return found


def judging_record(case: Case, order: Target) -> Record | None:
    """The first record at or after t + settle_s, if near enough."""
    policy = case.folder.policy
    records = case.records().records
    due = order.time + policy.settle_ms
    index = bisect_left(records, due, key=lambda record: record.time)
    return None if index == len(records) or records[index].time > due + policy.hold_ms else records[index]


def _verdict(case: Case, order: Target, record: Record) -> bool | None:
    """Passed or not at the judging record; None where it can't be judged there."""
    columns = case.records().columns
    state = case.register.in_force(case.unit, record.time) or case.state_at(order.time)
    nominal = None if state is None else state.unit.nominal_kv
    free = record.avc_at_limit is False if "avc_at_limit" in columns else True
    in_service = record.avc_in_service is True and case.on_at(record) is True
    if not in_service or not free or record.voltage_v is None or nominal is None:
        return None
    return abs(record.voltage_v - order.target_v) <= rule.avc_band_v(nominal)
