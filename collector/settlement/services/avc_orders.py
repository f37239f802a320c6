# SPDX-License-Identifier: GPL-3.0-or-later
"""The AVC orders of a month: found among its targets by the standing target, and judged (Art. 16, I-11, I-21).

The standing target is the first of a run; an order is a target that differs from it by at least `order_min_v`, and
becomes the standing one. Since a run may last for days, this is done when the days are added up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from collector.model.interval import DAY_MS, Month, local_midnight_ms
from collector.settlement.evidence import schema_of
from collector.settlement.measure.logic import Bools, Ints
from collector.settlement.measure.results import NO_VOLTAGE, AvcOrders, AvcTargets, Results, TargetFlag, TargetKind
from collector.settlement.rulebook.constant_days import ConstantDays
from collector.settlement.rulebook.rules import Rulebook
from collector.settlement.services.avc import NOT_JUDGED, SERVICE, band_v

OUTSIDE: Final = "outside_scope"
REASONS: Final = (*NOT_JUDGED, OUTSIDE)
_JUDGED: Final = len(REASONS)
_FAR: Final = 1 << 62
_MILLI: Final = 1000
_UNITS_TOGETHER: Final = 10  # whose targets are looked at in one pass: each has thousands a month


def order_table(orders: Mapping[str, Ints], units: frozenset[str] | None) -> pa.Table:
    """The table avc_orders (settlement/evidence.py) from `MonthTotals.avc_orders`, of all units or some.

    A cell is empty where an order has no judging record, voltage or band; `reason` is empty for a judged order.
    """
    schema = schema_of("avc_orders")
    names = sorted(unit for unit in orders if units is None or unit in units)
    if not names:
        return schema.empty_table()
    rows = np.concatenate([orders[unit] for unit in names], axis=1)
    time, target, before, judged_at, voltage, band, verdict, reason = rows
    of_unit = np.repeat(np.arange(len(names), dtype=np.int64), [orders[unit].shape[1] for unit in names])
    reasons = [*REASONS, ""]
    seen = (judged_at >= 0) & (voltage != NO_VOLTAGE)
    verdicts = ("failed", "passed", "not_judged")

    def texts(places: Ints, words: Sequence[str]) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pa.array(places.astype(np.int32)), pa.array(list(words), pa.string()))

    columns = [
        texts(of_unit, names),
        pa.array(time),
        pa.array(target),
        pa.array(before),
        pa.array(judged_at, mask=judged_at < 0),
        pa.array(voltage, mask=~seen),
        pa.array(band, mask=band < 0),
        texts(np.where((verdict == 0) | (verdict == 1), verdict, 2), verdicts),
        texts(reason, reasons),
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def find_orders(
    month: Month,
    parts: Iterable[Results],
    stretches: Mapping[str, Sequence[ConstantDays]],
    around: Mapping[str, Sequence[ConstantDays]],
    rulebook: Rulebook,
) -> Iterator[Results]:
    """The orders of every unit, and their numbers by day, as further results of the month, some units at a time.

    `around`: what is in force at judging records, also behind the month or its cut.
    """
    by_unit: dict[str, list[AvcTargets]] = defaultdict(list)
    for part in parts:
        for targets in part.targets:
            by_unit[targets.unit].append(targets)
    units = sorted(by_unit)
    for first in range(0, len(units), _UNITS_TOGETHER):
        some = {unit: by_unit[unit] for unit in units[first : first + _UNITS_TOGETHER]}
        yield _find_some(month, some, stretches, around, rulebook)


def _find_some(
    month: Month,
    by_unit: Mapping[str, Sequence[AvcTargets]],
    stretches: Mapping[str, Sequence[ConstantDays]],
    around: Mapping[str, Sequence[ConstantDays]],
    rulebook: Rulebook,
) -> Results:
    units, days = tuple(by_unit), len(month.days)
    found = Results(units, (month.first_day.toordinal(),) * len(units), days)
    # Units one after the other, so that one pass finds the orders of all; the first target of each begins a run.
    of_units = [sorted(by_unit[unit], key=lambda t: t.day_ordinal) for unit in units]
    rows = np.concatenate([t.rows for of_unit in of_units for t in of_unit], axis=1)
    unit = np.repeat(np.arange(len(units)), [sum(t.rows.shape[1] for t in of_unit) for of_unit in of_units])
    kind = rows[2] & TargetFlag.KIND
    # Only the month's first day has no day before that knows the standing target.
    held = (kind == TargetKind.HELD) & np.append(False, unit[1:] == unit[:-1])
    keep = ~held & (((rows[2] & TargetFlag.AFTER) == 0) | (rows[0] >= month.interval.end_ms))
    rows, unit, kind = rows[:, keep], unit[keep], kind[keep]
    accepted, unsure, hidden = _accepted(rows, kind)
    standing = np.where(accepted | (kind != TargetKind.CHANGE), np.arange(len(unit)), -1)
    before = np.append(-1, np.maximum.accumulate(standing)[:-1])
    at = np.flatnonzero(accepted)
    of = _Orders(rows[:, at], unit[at], rows[1][before[at]], unsure[at])
    inside = (of.time < month.interval.end_ms) & _registered(of, units, stretches)
    superseded = (np.append(of.time[1:], _FAR) <= of.judged_at) & np.append(of.unit[1:] == of.unit[:-1], False)
    of, superseded = of.where(inside), superseded[inside]
    cuts = np.searchsorted(of.unit, np.arange(len(units) + 1)).tolist()
    spans = list(zip(units, cuts, cuts[1:], strict=False))
    bands = [_bands(rulebook, around.get(name, ()), of.time[a:b], of.judged_at[a:b]) for name, a, b in spans]
    band = np.concatenate(bands)
    reason = _reasons(of, superseded)
    judged = reason == _JUDGED
    passed = judged & (np.abs(of.rows[5] - of.rows[1]) * _MILLI <= band)

    def count(name: str, of_unit: Ints, time: Ints) -> None:
        cell = of_unit * days + (time - month.interval.start_ms) // DAY_MS
        numbers = np.bincount(cell, minlength=len(units) * days).astype(np.int64)
        found.columns[f"{SERVICE}.{name}"] = numbers.reshape(len(units), days)

    in_scope = reason != REASONS.index(OUTSIDE)
    open_ = in_scope & (reason != REASONS.index("excluded")) & (((of.rows[2] & TargetFlag.UNSURE) > 0) | of.unsure)
    masks = {"orders": in_scope, "judged": judged, "passed": passed, "unsure": open_}
    masks |= {"unsure_judged": open_ & judged, "unsure_passed": open_ & passed}
    masks |= {f"not_judged_{name}": reason == index for index, name in enumerate(NOT_JUDGED)}
    for name, mask in masks.items():
        count(name, of.unit[mask], of.time[mask])
    hidden &= (rows[0] >= month.interval.start_ms) & (rows[0] < month.interval.end_ms)
    count("hidden_among", unit[hidden], rows[0][hidden])
    verdict = np.where(judged, passed.astype(np.int64), -1)
    shown = np.stack([of.time, of.rows[1], of.previous, of.judged_at, of.rows[5], band, verdict, reason])
    found.avc_orders = [AvcOrders(name, shown[:, a:b]) for name, a, b in spans]
    return found


class _Orders(NamedTuple):
    """Orders by unit and time: rows of their targets, place of the unit, target before, if missing time decides."""

    rows: Ints
    unit: Ints
    previous: Ints
    unsure: Bools

    @property
    def time(self) -> Ints:
        """UTC ms."""
        return np.asarray(self.rows[0], dtype=np.int64)

    @property
    def judged_at(self) -> Ints:
        """UTC ms; -1: no record judges it."""
        return np.asarray(self.rows[4], dtype=np.int64)

    def where(self, mask: Bools) -> _Orders:
        """Some of the orders."""
        return _Orders(self.rows[:, mask], self.unit[mask], self.previous[mask], self.unsure[mask])


def _registered(of: _Orders, units: Sequence[str], stretches: Mapping[str, Sequence[ConstantDays]]) -> Bools:
    """Orders on days on which their unit is registered; on others nothing is told of it (Art. 3)."""
    found = np.zeros(len(of.unit), dtype=np.bool_)
    cuts = np.searchsorted(of.unit, np.arange(len(units) + 1)).tolist()
    for name, a, b in zip(units, cuts, cuts[1:], strict=False):
        for stretch in stretches.get(name, ()):
            begin, end = local_midnight_ms(stretch.first_day), local_midnight_ms(stretch.until_day)
            found[a:b] |= (of.time[a:b] >= begin) & (of.time[a:b] < end)
    return found


def _reasons(of: _Orders, superseded: Bools) -> Ints:
    """Why each order is not judged, the first reason in the order of checking; _JUDGED where it is."""
    flags = of.rows[2]
    reason = np.where(flags // TargetFlag.CAUSE > 0, flags // TargetFlag.CAUSE, _JUDGED)
    for name, mask in (
        ("superseded", superseded),
        ("no_record", of.judged_at < 0),
        ("excluded", (flags & TargetFlag.EXCLUDED) > 0),
        (OUTSIDE, (flags & TargetFlag.IN_SCOPE) == 0),
    ):
        reason[mask] = REASONS.index(name)
    return np.asarray(reason, dtype=np.int64)


def _accepted(rows: Ints, kind: Ints) -> tuple[Bools, Bools, Bools]:
    """Masks of the targets: orders; orders that are none, and none that are one, if missing time hid another target."""
    target, least = rows[1], rows[3]
    sure = (rows[2] & TargetFlag.SURE) > 0
    counted = (rows[2] & (TargetFlag.IN_SCOPE | TargetFlag.EXCLUDED)) == TargetFlag.IN_SCOPE
    anchor = sure | (kind != TargetKind.CHANGE)
    anchor_of = np.maximum.accumulate(np.where(anchor, np.arange(len(kind)), 0))
    accepted, unsure = sure.copy(), np.zeros(len(kind), dtype=np.bool_)
    hidden = (kind == TargetKind.BEGINS_UNSURE) & counted & ((rows[2] & TargetFlag.UNSURE) > 0)
    at = -1
    standing = low = high = 0
    for index in np.flatnonzero(~anchor).tolist():
        if anchor_of[index] != at:
            at = int(anchor_of[index])
            standing = int(target[at])
            spread = int(least[at]) - 1 if kind[at] == TargetKind.BEGINS_UNSURE else 0
            low, high = standing - spread, standing + spread
        x, limit = int(target[index]), int(least[index])
        accepted[index] = abs(x - standing) >= limit
        if accepted[index]:
            standing = x
        if x >= low + limit or x <= high - limit:  # an order after some target that missing time may hide
            low, high = max(low, x - limit + 1), min(high, x + limit - 1)
            if low > high:
                low = high = x
            else:
                unsure[index], hidden[index] = accepted[index], not accepted[index] and counted[index]
                low, high = min(low, x), max(high, x)
    return accepted, unsure, hidden


def _bands(rulebook: Rulebook, stretches: Sequence[ConstantDays], time: Ints, judged_at: Ints) -> Ints:
    """The band in force at each judging record, in whole millivolts, which compare as the exact band does; -1: none.

    Where the unit is not registered at that record: the band at the order.
    """
    found = np.full(len(time), -1, dtype=np.int64)
    known = [(s, band) for s in stretches if (band := band_v(rulebook, s)) is not None]
    for instants in (time, judged_at):
        for stretch, band in known:
            begin, end = local_midnight_ms(stretch.first_day), local_midnight_ms(stretch.until_day)
            found[(instants >= begin) & (instants < end)] = int(band * _MILLI)
    return found
