# SPDX-License-Identifier: GPL-3.0-or-later
"""Deep peak shaving: single units, and peak groups that answer together.

Source: Art. 13(1)-(3), 6(2), readings I-02 to I-05, I-18.
"""

from __future__ import annotations

from fractions import Fraction

from . import regulation as rule
from .exact_numbers import Truth, all_of, less, negated, round_half_away
from .measured import Case, Measured, Tally, of_kind
from .register import State
from .slices import COUNTED, Slice

ZERO = Fraction(0)


def measure_deep_peak(case: Case) -> Measured:
    """Energy given up below the lower limit of basic peak shaving, in valley hours."""
    tally = Tally("deep_peak")
    for index, piece in enumerate(case.slices):
        state = piece.state
        if state is None or not piece.valley or not of_kind(state, rule.COAL_KINDS):
            continue
        if not tally.admit(piece):
            continue
        price = rule.DEEP_PEAK_YUAN_PER_MWH[state.area.dispatch_mode]
        if piece.inside("start_stop"):
            tally.add(piece, False, None, price)  # a ramp of a start or stop is not deep peak (I-18)
            continue
        truth, rate = _alone(piece, state) if state.unit.peak_group is None else _in_group(case, index, state)
        tally.add(piece, truth, rate, price)
    return tally.measured("no_valley")


def limits_kw(area: str, rated_mw: Fraction) -> tuple[int, int]:
    """The lower limit of basic peak shaving and the 40 % line, each rounded to whole kW."""
    lower = round_half_away(rule.LOWER_LIMIT_RATIO[area] * rated_mw * 1000)
    return lower, round_half_away(rule.DEEP_GATE_RATIO * rated_mw * 1000)


def _alone(piece: Slice, state: State) -> tuple[Truth, Fraction | None]:
    """on ∧ P < lower limit ∧ P < 0.40·P_N (both gates, I-03); energy from the lower limit."""
    lower, gate = limits_kw(state.area.id, state.unit.rated_mw)
    active = piece.record.active_kw
    truth = all_of(piece.on, less(active, lower), less(active, gate))
    return truth, None if active is None else Fraction(lower - active, 1000)


def _in_group(case: Case, index: int, state: State) -> tuple[Truth, Fraction | None]:
    """The group's ΣP of on-grid members against the ratios of their ΣP_N, and this unit's part by capacity (I-04).

    A member excluded or inside its start-stop order has left the group for this time. One unknown member makes the
    time missing for all.
    """
    running: list[tuple[Fraction, int]] = []
    for piece in _members(case, index, state):
        if piece.on is None or (piece.on and piece.record.active_kw is None):
            return None, None
        if piece.on and piece.record.active_kw is not None and piece.state is not None:
            running.append((piece.state.unit.rated_mw, piece.record.active_kw))
    if negated(case.all_slices[index].on):
        return False, None
    capacity_mw = sum((rated for rated, _ in running), ZERO)
    active = sum(active for _, active in running)
    lower, gate = limits_kw(state.area.id, capacity_mw)
    if not (active < lower and active < gate):
        return False, None
    return True, Fraction(lower - active, 1000) * state.unit.rated_mw / capacity_mw


def _members(case: Case, index: int, state: State) -> list[Slice]:
    """The members of the unit's group that count at this time, the unit itself included."""
    found = []
    for slices in case.together.values():
        other = slices[index]
        if (
            other.state is not None
            and of_kind(other.state, rule.COAL_KINDS)
            and other.state.unit.peak_group == state.unit.peak_group
            and other.state.plant.id == state.plant.id
            and other.state.area.id == state.area.id
            and other.exclusion("deep_peak") == COUNTED
            and not other.inside("start_stop")
        ):
            found.append(other)
    return found
