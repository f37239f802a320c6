# SPDX-License-Identifier: GPL-3.0-or-later
"""Implausible values in one unit's records of one local day. Pure: columns in, findings out, nothing is changed.

Unusable values (stale, silent, refused …) are not checked; a value that the gateway itself marked out of range is a
finding. A stretch begins at its first record and ends at the first record without the problem, or at its last record
plus the hold limit where the day or the records end. Codes, never renamed:

out_of_range · implausible_rate · frozen · clock_unsynchronised · clock_stepped · negative_power · register_backwards ·
meter_differs · agc_off_grid · voltage_implausible · conflicting_records (found by comparing the records of one instant)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt

from collector.base.clock_state import ClockState
from collector.center.lake.pieces import QuantityColumn
from collector.center.quality.plausibility_limits import (
    CANNOT_DRAW,
    DRAW_RATIO,
    FROZEN,
    METER_LEAST_S,
    MOST_STRETCHES,
    POWER_RATIO,
    RATES,
    VOLTAGE_HIGH,
    VOLTAGE_LOW,
    Basis,
    RateLimit,
)
from collector.model.interval import Interval
from collector.model.quantity import BY_NAME, from_scaled, to_scaled
from collector.model.record import Quality
from collector.model.register import RegisteredUnit

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

CODES: Final = (
    "out_of_range", "implausible_rate", "frozen", "conflicting_records", "clock_unsynchronised", "clock_stepped",
    "negative_power", "register_backwards", "meter_differs", "agc_off_grid", "voltage_implausible",
)  # fmt: skip
_OF_RATED: Final = frozenset({"active_power_mw", "agc_setpoint_mw", "reactive_power_mvar"})
_KWMS_PER_WH: Final = 3_600


@dataclass(frozen=True, slots=True)
class DataPolicy:
    """The values of the rulebook's data policy that the checks need."""

    hold_ms: int
    meter_difference_ratio: Fraction


@dataclass(frozen=True, slots=True)
class UnitDayRecords:
    """One unit's records of a local day in order of time. `state`: as registered that day; None where it is not."""

    unit: str
    state: RegisteredUnit | None
    day: Interval
    time: Int64s
    clock: Int64s
    era: Int64s
    columns: Mapping[str, QuantityColumn]


@dataclass(frozen=True, slots=True)
class Implausibility:
    """One finding. `quantity`: empty where the whole record is meant; `found`, `expected`: for people."""

    code: str
    unit: str
    quantity: str
    start_ms: int
    end_ms: int
    found: str
    expected: str


def check_unit_day(unit_day: UnitDayRecords, policy: DataPolicy) -> list[Implausibility]:
    """Every finding of one unit and day, by code, quantity and time; of long lists the rest is summed up in one."""
    if not len(unit_day.time):
        return []
    found: list[Implausibility] = []
    for check in (_range, _rates, _frozen, _clock, _sign, _meter, _agc, _voltage):
        by_quantity: dict[tuple[str, str], list[Implausibility]] = {}
        for one in check(unit_day, policy):
            by_quantity.setdefault((one.code, one.quantity), []).append(one)
        found += [one for group in by_quantity.values() for one in _bounded(group)]
    return found


def _bounded(found: list[Implausibility]) -> list[Implausibility]:
    """At most MOST_STRETCHES findings: the last one covers all the others and gives their number."""
    if len(found) <= MOST_STRETCHES:
        return found
    rest = found[MOST_STRETCHES - 1 :]
    first = rest[0]
    words = f"{len(rest)} stretches; the first: {first.found}"
    end_ms = max(one.end_ms for one in rest)
    summed = Implausibility(first.code, first.unit, first.quantity, first.start_ms, end_ms, words, first.expected)
    return [*found[: MOST_STRETCHES - 1], summed]


def _runs(mask: Bools) -> Iterator[tuple[int, int]]:
    """First and last index of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    yield from zip(edges[::2].tolist(), (edges[1::2] - 1).tolist(), strict=True)


def _end_ms(unit_day: UnitDayRecords, last: int, policy: DataPolicy) -> int:
    """The end of the record's hold time at `last`, within the day, UTC ms."""
    held = int(unit_day.time[last]) + policy.hold_ms
    following = int(unit_day.time[last + 1]) if last + 1 < len(unit_day.time) else unit_day.day.end_ms
    return min(held, following, unit_day.day.end_ms)


def _stretches(
    unit_day: UnitDayRecords, policy: DataPolicy, code: str, quantity: str, mask: Bools,
    words: Callable[[int, int], str], expected: str,
) -> Iterator[Implausibility]:  # fmt: skip
    for first, last in _runs(mask):
        start_ms = int(unit_day.time[first])
        yield Implausibility(
            code, unit_day.unit, quantity, start_ms, _end_ms(unit_day, last, policy), words(first, last), expected
        )


def _text(quantity: str, value: int) -> str:
    described = BY_NAME[quantity]
    return f"{from_scaled(value, described.scale).normalize():f} {described.unit}".strip()


def _worst(quantity: str, column: QuantityColumn, middle: int) -> Callable[[int, int], str]:
    """A function that words the value farthest from the middle of the expected range."""

    def words(first: int, last: int) -> str:
        values, usable = column.values[first : last + 1], column.usable[first : last + 1]
        if not usable.any():
            return "marked out of range by the gateway"
        chosen = values[usable]
        return _text(quantity, int(chosen[np.argmax(np.abs(chosen - middle))]))

    return words


def _state_of(unit_day: UnitDayRecords, name: str, wanted: int) -> Bools:
    """Mask of the records where a status is known to be `wanted`; all False for a unit without the column."""
    column = unit_day.columns.get(name)
    if column is None:
        return np.zeros(len(unit_day.time), dtype=np.bool_)
    mask: Bools = column.usable & (column.values == wanted)
    return mask


def _range(unit_day: UnitDayRecords, policy: DataPolicy) -> Iterator[Implausibility]:
    """Values outside the quantity's plausible range, or power beyond the unit's ability."""
    for name, column in unit_day.columns.items():
        described = BY_NAME[name]
        low, high = described.low_scaled, described.high_scaled
        if unit_day.state is not None and name in _OF_RATED:
            most = to_scaled(POWER_RATIO * unit_day.state.rated_mw, described.scale)
            low, high = max(low, -most), min(high, most)
        mask = column.usable & ((column.values < low) | (column.values > high))
        mask |= column.qualities == Quality.OUT_OF_RANGE
        words = _worst(name, column, (low + high) // 2)
        expected = f"{_text(name, low)} … {_text(name, high)}"
        yield from _stretches(unit_day, policy, "out_of_range", name, mask, words, expected)


def _basis(unit_day: UnitDayRecords, basis: Basis) -> Decimal | None:
    if basis is Basis.ABSOLUTE:
        return Decimal(1)
    if unit_day.state is None:
        return None
    return unit_day.state.rated_mw if basis is Basis.RATED else unit_day.state.nominal_kv


def _rates(unit_day: UnitDayRecords, _policy: DataPolicy) -> Iterator[Implausibility]:
    """Changes between two consecutive known values that are faster than the quantity can move."""
    for limit in RATES:
        column, basis = unit_day.columns.get(limit.quantity), _basis(unit_day, limit.basis)
        if column is None or basis is None:
            continue
        known = np.flatnonzero(column.usable)
        time, values = unit_day.time[known], column.values[known]
        # In thousandths of the stored integer: a day's value fits 64 bits; a wild change times a million may not.
        per_s = to_scaled(limit.per_s * basis, BY_NAME[limit.quantity].scale * 1000)
        fast = np.abs(np.diff(values)) > per_s * np.maximum(np.diff(time), limit.least_s * 1000) // 1_000_000
        if limit.on_grid:
            closed = _state_of(unit_day, "on_grid", 1)[known]
            fast &= closed[1:] & closed[:-1]
        yield from _fast(unit_day, limit, time, values, fast, f"at most {limit.per_s * basis:.6g} a second")


def _fast(
    unit_day: UnitDayRecords, limit: RateLimit, time: Int64s, values: Int64s, fast: Bools, expected: str
) -> Iterator[Implausibility]:
    for first, last in _runs(fast):
        name = limit.quantity
        steepest = first + int(np.argmax(np.abs(np.diff(values[first : last + 2]))))
        took = Decimal(int(time[steepest + 1] - time[steepest])) / 1000
        words = f"{_text(name, int(values[steepest]))} to {_text(name, int(values[steepest + 1]))} in {took:f} s"
        start_ms, end_ms = int(time[first]), int(time[last + 1])
        yield Implausibility("implausible_rate", unit_day.unit, name, start_ms, end_ms, words, expected)


def _frozen(unit_day: UnitDayRecords, policy: DataPolicy) -> Iterator[Implausibility]:
    """Values that stay equal to the last digit for too long, on the grid, while another quantity moves."""
    closed = _state_of(unit_day, "on_grid", 1)
    names = [limit.quantity for limit in FROZEN if limit.quantity in unit_day.columns]
    unbroken = np.diff(unit_day.time) <= policy.hold_ms
    for limit in FROZEN:
        column = unit_day.columns.get(limit.quantity)
        if column is None:
            continue
        good = column.usable & closed & ~_at_limit(unit_day, limit.quantity)
        same = (np.diff(column.values) == 0) & good[1:] & good[:-1] & unbroken
        for first, last in _runs(same):
            start_ms, end_ms = int(unit_day.time[first]), int(unit_day.time[last + 1])
            others = [unit_day.columns[n] for n in names if n != limit.quantity]
            if end_ms - start_ms >= limit.longest_s * 1000 and any(_moves(c, first, last + 1) for c in others):
                words = f"{_text(limit.quantity, int(column.values[first]))} for {(end_ms - start_ms) // 1000} s"
                expected = f"a change within {limit.longest_s} s while others move"
                yield Implausibility("frozen", unit_day.unit, limit.quantity, start_ms, end_ms, words, expected)


def _at_limit(unit_day: UnitDayRecords, quantity: str) -> Bools:
    """Mask of the records where a unit's reactive power is at a registered limit, or the equipment reports a limit."""
    nowhere = np.zeros(len(unit_day.time), dtype=np.bool_)
    if quantity != "reactive_power_mvar":
        return nowhere
    limits = (unit_day.state.q_max_mvar, unit_day.state.q_min_mvar) if unit_day.state else ()
    scaled = [to_scaled(each, BY_NAME[quantity].scale) for each in limits if each is not None]
    return np.isin(unit_day.columns[quantity].values, scaled) | _state_of(unit_day, "avc_at_limit", 1)


def _moves(column: QuantityColumn, first: int, last: int) -> bool:
    values = column.values[first : last + 1][column.usable[first : last + 1]]
    return len(values) > 1 and bool((values != values[0]).any())


def _clock(unit_day: UnitDayRecords, policy: DataPolicy) -> Iterator[Implausibility]:
    """Records stamped by a clock not known to be synchronised, and backward steps of it."""
    for state in (ClockState.UNSYNCHRONISED, ClockState.UNKNOWN):
        words = _always(f"clock {state.name.lower()}")
        mask = unit_day.clock == state
        yield from _stretches(unit_day, policy, "clock_unsynchronised", "", mask, words, "clock synchronised")
    for at in np.flatnonzero(np.diff(unit_day.era)).tolist():
        start_ms, end_ms = int(unit_day.time[at]), int(unit_day.time[at + 1])
        text = f"clock era {int(unit_day.era[at])} to {int(unit_day.era[at + 1])}"
        yield Implausibility("clock_stepped", unit_day.unit, "", start_ms, end_ms, text, "one clock era")


def _sign(unit_day: UnitDayRecords, policy: DataPolicy) -> Iterator[Implausibility]:
    """Power drawn by a kind of unit that can't draw, and a meter register that runs backwards."""
    power, state = unit_day.columns.get("active_power_mw"), unit_day.state
    if power is not None and state is not None and state.kind in CANNOT_DRAW:
        limit = to_scaled(-DRAW_RATIO * state.rated_mw, BY_NAME["active_power_mw"].scale)
        # A synchronous condenser does draw its losses.
        mask = power.usable & (power.values < limit) & _state_of(unit_day, "on_grid", 1)
        mask &= ~_state_of(unit_day, "condenser", 1)
        words = _worst("active_power_mw", power, 0)
        expected = f"at least {_text('active_power_mw', limit)}: {state.kind} generates"
        yield from _stretches(unit_day, policy, "negative_power", "active_power_mw", mask, words, expected)
    register = unit_day.columns.get("energy_export_mwh")
    if register is not None:
        known = np.flatnonzero(register.usable)
        for at in np.flatnonzero(np.diff(register.values[known]) < 0).tolist():
            before, after = known[at], known[at + 1]
            name = "energy_export_mwh"
            words_text = f"{_text(name, int(register.values[before]))} to {_text(name, int(register.values[after]))}"
            start_ms, end_ms = int(unit_day.time[before]), int(unit_day.time[after])
            yield Implausibility("register_backwards", unit_day.unit, name, start_ms, end_ms, words_text, "never less")


def _meter(unit_day: UnitDayRecords, policy: DataPolicy) -> Iterator[Implausibility]:
    """The day's ∫P compared with the growth of the register, as in the settlement (Art. 19), but earlier.

    Compared between the first and the last reading of the day, where the output is known in between; only output
    counts. A day with few records so far is not compared.
    """
    register, power = unit_day.columns.get("energy_export_mwh"), unit_day.columns.get("active_power_mw")
    if register is None or power is None:
        return
    known = np.flatnonzero(register.usable)
    if len(known) < 2:
        return
    first, last = int(known[0]), int(known[-1])
    if unit_day.time[last] - unit_day.time[first] < METER_LEAST_S * 1000:
        return
    length = np.diff(unit_day.time[first : last + 1])
    if not power.usable[first:last].all() or int(length.max(initial=0)) > policy.hold_ms:
        return
    exported = int((np.maximum(power.values[first:last], 0) * length).sum())
    grown = int(register.values[last] - register.values[first])
    if abs(Fraction(exported, _KWMS_PER_WH) - grown) <= policy.meter_difference_ratio * abs(grown):
        return
    words = f"telemetry {Decimal(exported) / (_KWMS_PER_WH * 1_000_000):.6f} MWh"
    expected = f"meter {from_scaled(grown, 1_000_000):.6f} MWh ± {float(policy.meter_difference_ratio):.2%}"
    start_ms, end_ms = int(unit_day.time[first]), int(unit_day.time[last])
    yield Implausibility("meter_differs", unit_day.unit, "energy_export_mwh", start_ms, end_ms, words, expected)


def _agc(unit_day: UnitDayRecords, policy: DataPolicy) -> Iterator[Implausibility]:
    """AGC reported in service by a unit that is off the grid."""
    mask = _state_of(unit_day, "agc_in_service", 1) & _state_of(unit_day, "on_grid", 0)
    yield from _stretches(
        unit_day,
        policy,
        "agc_off_grid",
        "agc_in_service",
        mask,
        _always("AGC in service"),
        "out of service off the grid",
    )


def _voltage(unit_day: UnitDayRecords, policy: DataPolicy) -> Iterator[Implausibility]:
    """Bus voltage of a unit on the grid that is impossible for its nominal voltage."""
    column, state = unit_day.columns.get("bus_voltage_kv"), unit_day.state
    if column is None or state is None or state.nominal_kv is None:
        return
    scale = BY_NAME["bus_voltage_kv"].scale
    low, high = to_scaled(VOLTAGE_LOW * state.nominal_kv, scale), to_scaled(VOLTAGE_HIGH * state.nominal_kv, scale)
    mask = column.usable & ((column.values < low) | (column.values > high)) & _state_of(unit_day, "on_grid", 1)
    name = "bus_voltage_kv"
    words, expected = _worst(name, column, (low + high) // 2), f"{_text(name, low)} … {_text(name, high)}"
    yield from _stretches(unit_day, policy, "voltage_implausible", name, mask, words, expected)


def _always(text: str) -> Callable[[int, int], str]:
    def words(_first: int, _last: int) -> str:
        return text

    return words
