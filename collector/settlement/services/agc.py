# SPDX-License-Identifier: GPL-3.0-or-later
"""Automatic generation control, Art. 14.

14(2) in our words: every month each unit is paid for the product of its AGC in-service rate and the capacity AGC can
move, the upper less the lower limit of its AGC range. The rate is a share of the hours on grid (I-07).
14(3): the energy by which AGC moved the unit above or below its original plan is paid, each at its own price; within a
local quarter hour the two are netted (I-08b). Measured output is the curve after AGC (I-08a), the plan is a step
(I-08d).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache, partial

import numpy as np

from collector.base.text import tr
from collector.model.interval import DAY_MS, QUARTER_HOUR_MS
from collector.settlement.measure.facts import Condition, Facts, Tally
from collector.settlement.measure.logic import Bools, Ints, Tri, Values
from collector.settlement.measure.results import REASON_CODES
from collector.settlement.rulebook.constant_days import ConstantDays, scaled
from collector.settlement.services.evidence.agc import put_commands, put_quarter_hours
from collector.settlement.services.pricing import Account, Bound, Draft, Priced, plain
from collector.settlement.statement import FormulaStep

BASIC, UP, DOWN = "agc_basic", "agc_up", "agc_down"
_KWMS_PER_MWH = 3_600_000_000
_QUARTERS_A_DAY = DAY_MS // QUARTER_HOUR_MS


def has_agc(stretch: ConstantDays) -> bool:
    """Whether AGC limits are registered on a stretch."""
    return stretch.unit.agc_lower_mw is not None and stretch.unit.agc_upper_mw is not None


def capacity_kw(stretch: ConstantDays) -> int:
    """Art. 14(2): the adjustable capacity is the upper less the lower limit of the range AGC may work in."""
    upper, lower = stretch.unit.agc_upper_mw, stretch.unit.agc_lower_mw
    assert upper is not None and lower is not None  # has_agc  # noqa: PT018
    return _kw(upper) - _kw(lower)


@lru_cache  # each bound of a line needs the range, and units of one type share it
def _kw(mw: Decimal) -> int:
    return scaled(Fraction(mw) * 1000)


def measure(facts: Facts, deep_peak: Bools | None) -> None:
    """Measure AGC hours, on-grid hours, and energy above and below plan."""
    scope = facts.applies(has_agc)
    if scope is None:
        return
    agc = facts.status("agc_in_service")
    _measure_basic(facts, scope, agc)
    _measure_energy(facts, scope, agc, deep_peak)
    put_commands(facts, scope)


def _measure_basic(facts: Facts, scope: Bools, agc: Tri) -> None:
    """Measure time on grid with AGC, and time on grid. Where breaker or (on grid) AGC is unknown, both are missing."""
    on = facts.on
    # A unit known to be off grid has AGC out of service; AGC known to be out decides nothing without the breaker.
    in_service = Tri(agc.true, agc.false & ~on.missing)
    conditions = [Condition(on, "off_grid", "no_breaker"), Condition(in_service, "agc_off", "no_status")]
    tally = facts.tally(BASIC, scope, conditions)
    known = on.false | (on.true & ~agc.missing)
    on_grid = on.true
    if tally.own is not None:
        # I-19: at the unit's own fault AGC counts as out of service, while on-grid hours follow the breaker alone.
        # Where it is missing they count as on grid, so that lost records never pay more.
        known = known | tally.own
        on_grid = on_grid | (tally.own & on.missing)
    hours = tally.within
    if facts.policy.adopts("I-07", "on_grid_hours"):
        hours = hours & known & on_grid
        facts.put_open(tally, on.missing)
        if tally.own is not None:  # without the fault this would be missing, and in no hours on grid
            untold = hours & tally.own & on.true & agc.missing
            facts.results.put(BASIC, "untold", facts.timeline.time_by_cell(untold))
    facts.results.put(BASIC, "on_grid", facts.timeline.time_by_cell(hours))
    _put_out(facts, tally, agc)
    facts.finish(tally, None, "h")


def _put_out(facts: Facts, tally: Tally, agc: Tri) -> None:
    """Write the time on grid with AGC out, own fault apart: what it cost is left on the table."""
    out = tally.within & facts.on.true & agc.false
    out = out if tally.own is None else out & ~tally.own
    facts.results.put(tally.service, "agc_off", facts.timeline.time_by_cell(out))


def _measure_energy(facts: Facts, scope: Bools, agc: Tri, deep_peak: Bools | None) -> None:
    """Measure ∫(P − plan) over each local quarter hour; its sign decides whether it counts as up or down."""
    plan = _plan(facts)
    setpoint = facts.policy.adopts("I-08a", "set_point")
    after = facts.value("agc_setpoint_mw") if setpoint else facts.power
    moved = after - plan
    conditions = [Condition(facts.on, "off_grid", "no_breaker"), Condition(agc, "agc_off", "no_status")]
    if deep_peak is not None and facts.policy.adopts("I-08c", "deep_peak_first"):
        conditions.append(Condition(Tri.known(~deep_peak), "deep_peak_paid"))
    needs = [(plan.valid, "no_plan"), (after.valid, "no_power")]
    reach = partial(_reach_kw, facts, plan, after)
    up = facts.tally(UP, scope, conditions, needs)
    put_quarter_hours(facts, up, plan, after)
    down = facts.tally_for(DOWN, up, scope, conditions, needs)
    for service, tally, sign in ((UP, up, 1), (DOWN, down, -1)):
        signed = facts.timeline.length * moved.values * sign
        energy = signed * tally.counted
        if facts.policy.adopts("I-08b", "per_record"):
            side = energy > 0
            facts.results.put(service, "value", facts.timeline.sum_by_cell(np.where(side, energy, 0)))
            facts.put_would(tally, np.maximum(signed, 0))
            facts.put_best(tally, partial(reach, sign))
        else:
            side = _net_by_quarter(facts, tally, signed, partial(reach, sign), partial(reach, -sign))
        if tally is up or tally.within is not up.within or tally.own is not up.own:
            _put_out(facts, tally, agc)
        else:  # judged as one
            facts.results.put(service, "agc_off", facts.results.columns[f"{UP}.agc_off"])
        facts.results.put(service, "in_service", facts.results.columns[f"{service}.counted"])
        # Time whose quarter hour went the other way is known, and not counted in this direction.
        facts.results.put(service, "counted", facts.timeline.time_by_cell(tally.counted & side))
        _trace(facts, tally, side, energy)


def _reach_kw(facts: Facts, plan: Values, after: Values, sign: int, pieces: Ints) -> Ints:
    """The most AGC could have moved a unit up (1) or down (-1) on some pieces where time is missing.

    Known output and plan are used; an unknown one may be any value of the AGC range.
    """
    cell = facts.timeline.cell_of(pieces)
    lower = facts.per_day(lambda s: _kw(s.unit.agc_lower_mw or Decimal(0))).values[cell]
    upper = facts.per_day(lambda s: _kw(s.unit.agc_upper_mw or Decimal(0))).values[cell]
    far = np.where(after.valid[pieces], after.values[pieces], upper if sign > 0 else lower)
    near = np.where(plan.valid[pieces], plan.values[pieces], lower if sign > 0 else upper)
    return np.asarray(np.maximum((far - near) * sign, 0), dtype=np.int64)


def _net_by_quarter(
    facts: Facts, tally: Tally, signed: Ints, along: Callable[[Ints], Ints], against: Callable[[Ints], Ints]
) -> Bools:
    """Write the energy of the quarter hours whose net has this direction, and return the mask of their pieces.

    Missing time may have moved the net of its quarter hour in this direction (`along`) or `against` it.
    """
    first = facts.timeline.quarter_start
    net = np.add.reduceat(signed * tally.counted, first)
    paid = np.maximum(net, 0)

    def put(name: str, by_quarter: Ints) -> None:
        facts.results.put(tally.service, name, by_quarter.reshape(-1, _QUARTERS_A_DAY).sum(axis=1))

    put("value", paid)
    if tally.would is not None:
        would = np.add.reduceat(signed * tally.would, first)
        put("own_value", np.maximum(net + would, 0) - paid)
    unknown = np.flatnonzero(tally.missing)
    if len(unknown):
        put("best", np.maximum(net + _moved_by_quarter(facts, unknown, along(unknown)), 0) - paid)
        put("worst", paid - np.maximum(net - _moved_by_quarter(facts, unknown, against(unknown)), 0))
    return np.repeat(net > 0, np.diff(first, append=len(facts.timeline)))


def _moved_by_quarter(facts: Facts, pieces: Ints, moved_kw: Ints) -> Ints:
    """The energy of some pieces in each quarter hour, kWms."""
    energy = np.zeros(len(facts.timeline.quarter_start), dtype=np.int64)
    np.add.at(energy, facts.timeline.start[pieces] // QUARTER_HOUR_MS, facts.timeline.length[pieces] * moved_kw)
    return energy


def _trace(facts: Facts, tally: Tally, side: Bools, energy: Ints) -> None:
    if tally.code is not None:
        tally.code[tally.counted & ~side] = REASON_CODES["netted_other_way"]
        facts.trace(tally, energy * side, "MWh")


def _plan(facts: Facts) -> Values:
    """The original plan on every piece, kW."""
    row = facts.timeline.row_of(facts.plan_spans)
    column = facts.dispatch.plan.columns["power_kw"]
    if not len(column.values):
        return Values(np.zeros(len(row), dtype=np.int64), np.zeros(len(row), dtype=np.bool_))
    valid = (row >= 0) & column.valid[row]
    if facts.policy.adopts("I-08d", "step"):
        return Values(column.values[row], valid)
    return Values(_on_the_line(facts, row, column), valid)


def _on_the_line(facts: Facts, row: Ints, column: Values) -> Ints:
    """I-08d, linear plan: interpolated between starts at the middle of a piece, rounded to kW."""
    plan, timeline = facts.dispatch.plan, facts.timeline
    following = np.minimum(row + 1, len(column.values) - 1)
    last_of_unit = np.zeros(len(column.values), dtype=np.bool_)
    last_of_unit[[last - 1 for _, last in plan.range_of.values()]] = True  # the next row belongs to another unit
    meets = plan.start_utc_ms[following] == plan.end_utc_ms[row]
    joined = ~last_of_unit[row] & meets & column.valid[following]
    here, there = column.values[row], np.where(joined, column.values[following], column.values[row])
    span = plan.end_utc_ms[row] - plan.start_utc_ms[row]
    middle2 = 2 * (facts.axis.utc_ms(timeline.start) - plan.start_utc_ms[row]) + timeline.length
    rise = (there - here) * middle2
    size = (np.abs(rise) + span) // (2 * span)
    return np.asarray(here + np.where(rise < 0, -size, size), dtype=np.int64)


def price_basic(account: Account) -> Draft:
    """Price 240 × rate × capacity: Σ over days of price × ∫capacity over AGC time, ÷ on-grid time of the month.

    On-grid time is that of all parts of the unit.
    """
    priced = Priced(account, BASIC, by_days=account.case.elapsed)
    whole, stretches = account.stretches_of(BASIC), account.part_of(BASIC)
    hours_on = sum(account.sum(f"{BASIC}.on_grid", stretch) for stretch in whole)
    missing = [account.sum(f"{BASIC}.best", stretch) for stretch in stretches]
    in_gaps = [0] * len(stretches)
    if account.case.policy.adopts("I-07", "calendar_hours"):  # the hours of the scope are known
        in_gaps = missing if account.bound is Bound.HIGH else in_gaps
    elif account.bound is Bound.LOW:  # missing time counts as on grid with AGC out
        hours_on += sum(account.sum(f"{BASIC}.best", stretch) for stretch in whole)
    elif account.bound is Bound.HIGH:  # at own fault a lost breaker may have been open
        hours_on -= sum(account.sum(f"{BASIC}.open", stretch) for stretch in whole)
        in_gaps = _worth_most(priced, stretches, missing, hours_on)
        hours_on += sum(in_gaps)
    for stretch, gap in zip(stretches, in_gaps, strict=True):
        in_service = account.sum(f"{BASIC}.value", stretch) + gap
        share = Fraction(in_service * capacity_kw(stretch), hours_on * 1000) if hours_on else Fraction(0)
        priced.add("agc_basic.price", stretch, share, unit="MW")
    total = sum(account.sum(f"{BASIC}.value", stretch) for stretch in whole)

    def hours(time_ms: int) -> str:
        return plain(Fraction(time_ms, 3_600_000))

    if hours_on and account.bound is Bound.MEASURED:
        on_grid = hours(hours_on)
        text = tr("in-service rate = {hours} h ÷ {on_grid} h on grid", hours=hours(total), on_grid=on_grid)
        priced.steps.insert(0, FormulaStep(text, Fraction(total, hours_on)))
    return priced.draft()


def _worth_most(priced: Priced, stretches: Sequence[ConstantDays], missing: Sequence[int], hours_on: int) -> list[int]:
    """Missing time of each stretch to count as AGC in service so that the mean over on-grid time is largest, ms.

    The rest counts as off grid: a stretch whose capacity is below the mean would lower it.
    """
    worth = [(priced.price("agc_basic.price", s) or Fraction(0)) * capacity_kw(s) for s in stretches]
    paid = sum(
        (w * priced.account.sum(f"{BASIC}.value", s) for w, s in zip(worth, stretches, strict=True)), Fraction(0)
    )
    taken = [0] * len(stretches)
    for index in sorted(range(len(stretches)), key=lambda i: worth[i], reverse=True):
        if worth[index] * hours_on >= paid:
            taken[index] = missing[index]
            hours_on += missing[index]
            paid += worth[index] * missing[index]
    return taken


def price_up(account: Account) -> Draft:
    """Price E_up at the price of the area's dispatch mode."""
    return _price_energy(account, UP)


def price_down(account: Account) -> Draft:
    """Price E_down at the price of the area's dispatch mode."""
    return _price_energy(account, DOWN)


def _price_energy(account: Account, service: str) -> Draft:
    priced = Priced(account, service)
    for stretch in account.part_of(service):
        energy = Fraction(account.measured(service, stretch), _KWMS_PER_MWH)
        priced.add(f"{service}.price", stretch, energy, key=str(stretch.area.dispatch_mode), unit="MWh")
    return priced.draft()
