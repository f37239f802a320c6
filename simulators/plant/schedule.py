# SPDX-License-Identifier: GPL-3.0-or-later
"""The events of a unit in a month, drawn once from the seed: plan, stops, AGC and AVC in and out, AVC orders.

Switches happen at a millisecond between two ticks, never on a tick. In the scenario's quiet hours nothing switches, so
that a gap made there on purpose hides no edge and no order.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final

from collector.model.dispatch import Order, OrderKind
from collector.model.interval import DAY_MS, HOUR_MS, QUARTER_HOUR_MS, local_midnight_ms, parse_time_ms
from collector.model.quantity import BY_NAME, parse_scaled
from simulators.plant.scenario import Scenario
from simulators.plant.scenario_model import Unit
from simulators.plant.sequence import unloading_ms

MINUTE_MS: Final = 60_000
_AT_TICKS: Final = frozenset({"active_power_mw", "reactive_power_mvar", "bus_voltage_kv", "avc_at_limit"})


@dataclass(frozen=True, slots=True)
class Switch:
    """At `time_ms` a status, target or forced analog of a unit becomes `value` (stored integer); None: release it."""

    time_ms: int
    unit: str
    quantity: str
    value: int | None


@dataclass(frozen=True, slots=True)
class AvcOutcome:
    """The result of an AVC order: reached as far as the machine allows, or missed by a wrong measurement."""

    time_ms: int
    held: bool


@dataclass(slots=True)
class Schedule:
    """A unit's month. `plan_kw` per quarter hour from `plan_from_ms`; `stops`: [opening, closing) in UTC ms."""

    unit: str
    plan_from_ms: int
    plan_kw: list[int] = field(default_factory=list)
    switches: list[Switch] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    stops: list[tuple[int, int]] = field(default_factory=list)
    outcomes: list[AvcOutcome] = field(default_factory=list)

    def plan_at(self, time_ms: int) -> int:
        """The plan in force, kW."""
        return self.plan_kw[(time_ms - self.plan_from_ms) // QUARTER_HOUR_MS]


def make_schedule(scenario: Scenario, unit: Unit) -> Schedule:
    """Draw the month of one unit, from the scenario's seed only."""
    dice = random.Random(f"{scenario.settings.seed}/{unit.id}/schedule")
    days = [local_midnight_ms(day) for day in scenario.month.days]
    schedule = Schedule(unit.id, days[0] - DAY_MS)
    deep = [dice.random() < unit.moves.deep_nights for _ in range(len(days) + 3)]
    _draw_stops(schedule, unit, days, dice)
    if unit.kind == "pumped_storage":
        _draw_idle_hours(schedule, unit, days, dice)
    _draw_plan(schedule, unit, len(days) + 2, deep, dice)
    if unit.agc_lower_mw is not None:
        _draw_agc(schedule, unit, days, deep, dice)
    if unit.avc:
        _draw_avc(schedule, scenario, unit, days, dice)
    _take_rows(schedule, scenario, unit)
    schedule.switches.sort(key=lambda switch: (switch.time_ms, switch.quantity))
    return schedule


def _take_rows(schedule: Schedule, scenario: Scenario, unit: Unit) -> None:
    """Add the scenario's own rows for this unit to the drawn events."""
    for event in scenario.settings.event:
        if event.unit == unit.id:
            value = parse_scaled(event.value, BY_NAME[event.quantity].scale) if event.value else None
            time_ms = parse_time_ms(event.at)
            if event.quantity in _AT_TICKS:
                time_ms = -(-time_ms // MINUTE_MS) * MINUTE_MS
            schedule.switches.append(Switch(time_ms, unit.id, event.quantity, value))
    for row in scenario.settings.order:
        if row.unit == unit.id:
            span = parse_time_ms(row.start), parse_time_ms(row.end)
            schedule.orders.append(Order(row.id, unit.id, OrderKind(row.kind), *span))


def _instant(dice: random.Random, low_ms: int, high_ms: int) -> int:
    """A random UTC ms in the range that lies on no tick."""
    moment = dice.randrange(low_ms, high_ms)
    return moment + 1 if moment % MINUTE_MS == 0 else moment


def _draw_stops(schedule: Schedule, unit: Unit, days: list[int], dice: random.Random) -> None:
    for number, stop in enumerate(unit.moves.stop, 1):
        midnight = days[stop.day - 1]
        opening = _instant(dice, midnight + 22 * HOUR_MS, midnight + 22 * HOUR_MS + 40 * MINUTE_MS)
        closing = opening + _instant(dice, int(stop.hours * HOUR_MS), int(stop.hours * HOUR_MS) + 9 * MINUTE_MS)
        if closing % MINUTE_MS == 0:
            closing += 1
        schedule.stops.append((opening, closing))
        schedule.switches += [
            Switch(opening, unit.id, "on_grid", 0),
            Switch(closing, unit.id, "on_grid", 1),
        ]
        if stop.order == "none":
            continue
        start = midnight + 21 * HOUR_MS
        end = (closing // QUARTER_HOUR_MS + 4) * QUARTER_HOUR_MS
        if stop.order == "late":
            end = (closing // QUARTER_HOUR_MS - 1) * QUARTER_HOUR_MS
        schedule.orders.append(Order(f"{unit.id}-{number}", unit.id, OrderKind.START_STOP, start, end))


def _draw_idle_hours(schedule: Schedule, unit: Unit, days: list[int], dice: random.Random) -> None:
    """Draw the off-grid hours of a pumped storage unit: it leaves the grid where its plan is 0."""
    idle = []
    for midnight in days:
        for hour, ratio in enumerate(unit.moves.day_ratio):
            if ratio == 0:
                idle.append((midnight + hour * HOUR_MS, midnight + (hour + 1) * HOUR_MS))
    for start, end in _union(idle):
        opening = _instant(dice, start + MINUTE_MS, start + 4 * MINUTE_MS)
        closing = _instant(dice, end - 4 * MINUTE_MS, end - MINUTE_MS)
        if any(a < closing and opening < b for a, b in schedule.stops):
            continue
        schedule.stops.append((opening, closing))
        schedule.switches += [Switch(opening, unit.id, "on_grid", 0), Switch(closing, unit.id, "on_grid", 1)]
    schedule.stops.sort()


def _draw_plan(schedule: Schedule, unit: Unit, days: int, deep: list[bool], dice: random.Random) -> None:
    rated_kw = int(float(unit.rated_mw) * 1000)
    moves = unit.moves
    for day in range(days):
        level = 1 + dice.gauss(0, 0.03) if moves.plan_noise else 1.0
        for quarter in range(96):
            hour, part = divmod(quarter, 4)
            ratio = moves.day_ratio[hour]
            if unit.kind != "pumped_storage":  # pumped storage changes its mode on the hour
                ratio += (moves.day_ratio[(hour + 1) % 24] - ratio) * part / 4
            if deep[day] and 2 <= quarter < 26:
                ratio = moves.deep_night_ratio + dice.gauss(0, 0.008)
            elif moves.plan_noise and ratio > 0:
                ratio = min(max(ratio * level, 0.3), 1.0)
            start = schedule.plan_from_ms + day * DAY_MS + quarter * QUARTER_HOUR_MS
            off = any(a < start + QUARTER_HOUR_MS and start < b for a, b in schedule.stops)
            schedule.plan_kw.append(0 if off else round(rated_kw * ratio / 100) * 100)


def _draw_agc(schedule: Schedule, unit: Unit, days: list[int], deep: list[bool], dice: random.Random) -> None:
    """Draw AGC times: out of service around deep valley nights and stops, with rare failures by day."""
    out: list[tuple[int, int]] = []
    for index, midnight in enumerate(days):
        if deep[index + 1]:
            leaves = midnight - 25 * MINUTE_MS if index else midnight + 2 * MINUTE_MS
            out.append(
                (_instant(dice, leaves, leaves + 20 * MINUTE_MS),
                 _instant(dice, midnight + 7 * HOUR_MS, midnight + 7 * HOUR_MS + 30 * MINUTE_MS))
            )  # fmt: skip
        if dice.random() < unit.moves.agc_drops:
            start = _instant(dice, midnight + 14 * HOUR_MS + 10 * MINUTE_MS, midnight + 18 * HOUR_MS)
            out.append((start, _instant(dice, start + 5 * MINUTE_MS, start + 50 * MINUTE_MS)))
    leaves_ms = max(unloading_ms(unit), 20 * MINUTE_MS) + 137
    out += [(a - leaves_ms, b + 45 * MINUTE_MS + 211) for a, b in schedule.stops]
    if unit.kind == "pumped_storage":
        out += _pumping(schedule)
    for start, end in _union(out):
        schedule.switches += [
            Switch(_off_tick(start), unit.id, "agc_in_service", 0),
            Switch(_off_tick(end), unit.id, "agc_in_service", 1),
        ]


def _pumping(schedule: Schedule) -> list[tuple[int, int]]:
    """The intervals with a negative plan (pumping), in which AGC is out: it regulates turbines only."""
    starts = enumerate(schedule.plan_kw)
    at = schedule.plan_from_ms
    spans = [(at + n * QUARTER_HOUR_MS, at + (n + 1) * QUARTER_HOUR_MS) for n, kw in starts if kw < 0]
    return [(start - 3_011, end + 3_011) for start, end in _union(spans)]


def _draw_avc(schedule: Schedule, scenario: Scenario, unit: Unit, days: list[int], dice: random.Random) -> None:
    """Draw AVC target orders by day outside the quiet hours; AVC is out in some nights and around stops."""
    out = [(a - 25 * MINUTE_MS - 411, b + 60 * MINUTE_MS + 17) for a, b in schedule.stops]
    nominal_v = int(float(unit.nominal_kv) * 1000)
    target = nominal_v * 102 // 100
    for midnight in days:
        if dice.random() < unit.moves.avc_drops:
            start = _instant(dice, midnight + 2 * HOUR_MS, midnight + 3 * HOUR_MS)
            out.append((start, _instant(dice, start + 20 * MINUTE_MS, start + 2 * HOUR_MS)))
        for moment in _order_instants(scenario, unit, midnight, dice):
            step = dice.choice((-3, -2, 2, 3)) * nominal_v // 1000
            if not nominal_v * 1005 // 1000 <= target + step <= nominal_v * 1035 // 1000:
                step = -step
            target += step
            schedule.switches.append(Switch(moment, unit.id, "avc_target_kv", target))
            schedule.outcomes.append(AvcOutcome(moment, dice.random() >= unit.moves.avc_missed))
    for start, end in _union(out):
        schedule.switches += [
            Switch(_off_tick(start), unit.id, "avc_in_service", 0),
            Switch(_off_tick(end), unit.id, "avc_in_service", 1),
        ]


def _order_instants(scenario: Scenario, unit: Unit, midnight: int, dice: random.Random) -> list[int]:
    """Instants of a day's AVC orders, 08:00 to 22:00, at least 16 minutes apart, none in the quiet hours."""
    count = unit.moves.avc_orders_per_day
    if not count:
        return []
    slot = 14 * HOUR_MS // count
    quiet_from, quiet_to = (hour * HOUR_MS for hour in scenario.settings.quiet_hours)
    instants = []
    for number in range(count):
        start = 8 * HOUR_MS + number * slot
        of_day = dice.randrange(start, start + max(slot - 16 * MINUTE_MS, 1))
        if not quiet_from - 15 * MINUTE_MS <= of_day < quiet_to:
            instants.append(_off_tick(midnight + of_day))
    return instants


def _off_tick(time_ms: int) -> int:
    return time_ms + 1 if time_ms % MINUTE_MS == 0 else time_ms


def _union(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1] + MINUTE_MS:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged
