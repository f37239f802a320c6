# SPDX-License-Identifier: GPL-3.0-or-later
"""Stretches: runs of local days over which a unit's register states and every rulebook value stay the same.

All of them change at 00:00 local, so within a stretch every limit and price is one number; measuring and pricing look
each up once per stretch. Days on which the unit, its plant or its area is not registered belong to no stretch
(Art. 3: commercial operation).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from itertools import pairwise
from typing import Protocol, TypeVar

from collector.base.errors import RuleError
from collector.base.text import tr
from collector.model.interval import local_midnight_ms
from collector.model.register import AreaState, PlantState, Register, RegisteredUnit
from collector.settlement.rulebook.rules import Rulebook


@dataclass(frozen=True, slots=True)
class ConstantDays:
    """The days [first_day, until_day) of one unit with its register states: unit, plant and area."""

    unit: RegisteredUnit
    plant: PlantState
    area: AreaState
    first_day: date
    until_day: date


@dataclass(frozen=True)
class Policy:
    """The data policy of a month: the rulebook's, with the folder's overrides and the readings adopted."""

    hold_ms: int
    settle_ms: int
    at_limit_kvar: int
    min_coverage: Fraction
    provisional_coverage: Fraction
    on_grid_ratio: Fraction
    meter_difference_ratio: Fraction
    min_stop_ms: int
    order_min_ratio: Fraction
    plausible_ratio: Fraction
    plausible_voltage: tuple[Fraction, Fraction]  # of nominal_kv
    readings: Mapping[str, str]
    overridden: frozenset[str] = frozenset()  # names that the folder's [policy] overrides

    def adopts(self, reading: str, choice: str) -> bool:
        """Whether `choice` is the adopted choice of a reading."""
        return self.readings[reading] == choice


def compute_policy(rulebook: Rulebook, register: Register, day: date) -> Policy:
    """The policy of the month that begins on `day`.

    Raises:
        RuleError: no value or reading holds on that day, or a duration is no whole number of milliseconds.
    """
    readings = {ident: rulebook.adopted(ident, day) for ident in rulebook.readings}

    def chosen(name: str, value_id: str) -> Fraction:
        given = register.policy.get(name)
        return rulebook.number(value_id, day) if given is None else Fraction(given)

    hold, settle = chosen("hold_limit_s", "policy.hold_limit"), chosen("settle_s", "policy.settle")
    min_stop = chosen("min_stop_s", "policy.min_stop")
    for name, seconds in (("hold_limit_s", hold), ("settle_s", settle), ("min_stop_s", min_stop)):
        if (seconds * 1000).denominator != 1 or seconds < 0 or (name == "hold_limit_s" and not seconds):
            raise RuleError(
                tr("expected a duration in whole milliseconds, got {seconds} s", seconds=float(seconds)), subject=name
            )
    return Policy(
        hold_ms=int(hold * 1000),
        settle_ms=int(settle * 1000),
        at_limit_kvar=scaled(chosen("at_limit_tolerance_mvar", "policy.at_limit_tolerance") * 1000),
        min_coverage=chosen("min_coverage", "policy.min_coverage"),
        provisional_coverage=chosen("provisional_coverage", "policy.provisional_coverage"),
        on_grid_ratio=rulebook.number("policy.on_grid_ratio", day),
        meter_difference_ratio=rulebook.number("policy.meter_difference_ratio", day),
        min_stop_ms=int(min_stop * 1000),
        order_min_ratio=chosen("order_min_ratio", "policy.order_min_ratio"),
        plausible_ratio=chosen("plausible_ratio", "policy.plausible_ratio"),
        plausible_voltage=(
            rulebook.number("policy.plausible_voltage_low", day),
            rulebook.number("policy.plausible_voltage_high", day),
        ),
        readings=readings,
        overridden=frozenset(register.policy),
    )


def scaled(value: Fraction) -> int:
    """Round to a whole number, half away from zero (rules.md section 2)."""
    magnitude = (2 * abs(value.numerator) + value.denominator) // (2 * value.denominator)
    return magnitude if value.numerator >= 0 else -magnitude


class _Dated(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def from_day(self) -> date | None: ...
    @property
    def until_day(self) -> date | None: ...


_State = TypeVar("_State", bound=_Dated)


def state_on(states: Iterable[_State], day: date) -> _State | None:
    """The state in force on a day; None: not registered."""
    for state in states:
        if (state.from_day is None or state.from_day <= day) and (state.until_day is None or day < state.until_day):
            return state
    return None


def by_id(states: Sequence[_State]) -> dict[str, list[_State]]:
    """States grouped by id."""
    groups: dict[str, list[_State]] = defaultdict(list)
    for state in states:
        groups[state.id].append(state)
    return groups


def compute_stretches(
    register: Register, rulebook: Rulebook, first_day: date, until_day: date
) -> dict[str, tuple[ConstantDays, ...]]:
    """The stretches of every unit inside [first_day, until_day), in order of time; units in order of id."""
    areas, plants, units = by_id(register.areas), by_id(register.plants), by_id(register.units)
    rule_days = {day for day in rulebook.change_days() if first_day < day < until_day}
    result: dict[str, tuple[ConstantDays, ...]] = {}
    for unit_id in sorted(units):
        states = units[unit_id]
        plant_states = [p for s in states for p in plants.get(s.plant, [])]
        area_ids = {s.area for s in states if s.area} | {p.area for p in plant_states}
        dated: list[_Dated] = [*states, *plant_states, *(a for i in area_ids for a in areas.get(i, []))]
        edges = {d for s in dated for d in (s.from_day, s.until_day) if d is not None and first_day < d < until_day}
        cuts = sorted(edges | rule_days | {first_day, until_day})
        stretches = []
        for first, until in pairwise(cuts):
            unit = state_on(states, first)
            plant = unit and state_on(plants.get(unit.plant, []), first)
            area = unit and plant and state_on(areas.get(unit.area or plant.area, []), first)
            if unit and plant and area:
                stretches.append(ConstantDays(unit, plant, area, first, until))
        result[unit_id] = tuple(stretches)
    return result


def stretch_on(stretches: Iterable[ConstantDays], day: date) -> ConstantDays | None:
    """The stretch of a unit that a day lies in; None: it is not registered then."""
    return next((s for s in stretches if s.first_day <= day < s.until_day), None)


def clip(stretches: Sequence[ConstantDays], first: date, until: date = date.max) -> tuple[ConstantDays, ...]:
    """The parts of stretches in [first, until)."""
    parts = [s for s in stretches if s.until_day > first and s.first_day < until]
    return tuple(ConstantDays(s.unit, s.plant, s.area, max(s.first_day, first), min(s.until_day, until)) for s in parts)


def registered_spans(stretches: Sequence[ConstantDays]) -> tuple[tuple[int, int], ...]:
    """The spans [start, end), UTC ms, in which a unit is registered; adjacent stretches form one span."""
    spans: list[tuple[int, int]] = []
    for stretch in stretches:
        start, end = local_midnight_ms(stretch.first_day), local_midnight_ms(stretch.until_day)
        if spans and spans[-1][1] == start:
            start = spans.pop()[0]
        spans.append((start, end))
    return tuple(spans)
