# SPDX-License-Identifier: GPL-3.0-or-later
"""Paid reactive energy, Art. 15(1)-(2), with the basic power factor of Art. 6(3).

In our words: a unit that on order supplies (lag) or absorbs (lead) more reactive power than the basic power factor
gives at its output is paid for the excess energy, provided that the bus voltage is in its band or the unit is at its
limit. Pumping (P < 0) and running as a condenser are not paid here (I-10).
"""

from __future__ import annotations

from fractions import Fraction
from functools import partial

import numpy as np

from collector.model.dispatch import OrderKind
from collector.settlement.measure.facts import Condition, Facts
from collector.settlement.measure.logic import Bools, Ints, Tri, Values
from collector.settlement.rulebook.constant_days import ConstantDays, scaled
from collector.settlement.services.pricing import Account, Draft, Priced

LAG, LEAD = "reactive_lag", "reactive_lead"
_KVARMS_PER_MVARH = 3_600_000_000


def measure(facts: Facts) -> None:
    """Measure excess reactive energy, supplied and absorbed, inside reactive orders."""
    curve_is_order = facts.policy.adopts("I-09", "voltage_curve_is_order")
    if not len(facts.order_spans[OrderKind.REACTIVE]) and not (curve_is_order and len(facts.band_spans)):
        return
    registered = facts.applies(lambda _: True)
    if registered is None:
        return
    ordered = facts.ordered(OrderKind.REACTIVE)
    if curve_is_order:
        ordered = ordered | facts.timeline.inside(facts.band_spans)
    scope = registered & ordered
    power, reactive, voltage = facts.power, facts.value("reactive_power_mvar"), facts.value("bus_voltage_kv")
    by_means = facts.policy.adopts("I-09", "quarter_hour_mean")
    if by_means:
        running = scope & facts.on.true & facts.condenser.false
        known = running & power.valid & reactive.valid & voltage.valid
        unknown = scope & ~facts.on.false & ~facts.condenser.true & ~known
        power, reactive, voltage = (facts.quarter_mean(v, running) for v in (power, reactive, voltage))
    in_band = _in_band(facts, voltage)
    for service in (LAG, LEAD):
        supplied = reactive if service == LAG else Values(-reactive.values, reactive.valid)
        excess = Values(supplied.values - _free(facts, service, power.values), supplied.valid & power.valid)
        conditions = [
            Condition(facts.on, "off_grid", "no_breaker"),
            Condition(~facts.condenser, "condenser", "no_status"),
            Condition(power.at_least(0), "negative_power", "no_power"),
            Condition(excess.above(0), "within_free_q", "no_reactive_power"),
            Condition(in_band | _at_limit(facts, service, supplied), "voltage_out_of_band", "no_band"),
        ]
        tally = facts.tally(service, scope, conditions)
        facts.finish(tally, excess.values, "Mvarh", best=partial(_best_kvar, facts, service, supplied, excess))
        if by_means:
            counted = facts.timeline.length * excess.values * tally.counted
            facts.put_shaken(tally, counted, _most_kvar(facts, service, supplied), unknown)


def _best_kvar(facts: Facts, service: str, supplied: Values, excess: Values, pieces: Ints) -> Ints:
    """The most that could be paid on some pieces, kvar: the excess, else the reactive power supplied (or absorbed).

    Where that is unknown too: the registered limit, else the number of the rated output.
    """
    limit = facts.per_day(partial(_limit_kvar, service)).values[facts.timeline.cell_of(pieces)]
    at_most = np.where(supplied.valid[pieces], supplied.values[pieces], limit)
    return np.maximum(np.where(excess.valid[pieces], excess.values[pieces], at_most), 0)


def _most_kvar(facts: Facts, service: str, supplied: Values) -> Ints:
    """The most that a mean over a quarter hour could pay, kvar: the limit, or what is known if that is more."""
    limit = facts.per_piece(partial(_limit_kvar, service)).values
    return np.maximum(limit, np.where(supplied.valid, supplied.values, 0))


def _limit_kvar(service: str, stretch: ConstantDays) -> int:
    """The registered limit, else the number of the rated output."""
    limit = stretch.unit.q_max_mvar if service == LAG else stretch.unit.q_min_mvar
    return scaled(abs(Fraction(stretch.unit.rated_mw if limit is None else limit)) * 1000)


def _free(facts: Facts, service: str, power_kw: Ints) -> Ints:
    """Art. 6(3): the unpaid reactive power, by the basic power factor at this output, rounded to kvar."""
    which = "lag" if service == LAG else "lead"
    terms: dict[Fraction, int] = {}

    def ratio(stretch: ConstantDays) -> Fraction:
        area = stretch.area.id
        return facts.rulebook.number(f"reactive.free_ratio_{which}", stretch.first_day, area=area)

    def index(stretch: ConstantDays) -> int:
        return terms.setdefault(ratio(stretch), len(terms))

    which_term = facts.per_piece(index).values
    free = power_kw * 0
    for term, number in terms.items():
        # 64 bits are enough: kW below 2·10^6 × 2 × numerator; P < 0 is not paid, so its rounding does not matter.
        product = (2 * term.numerator * power_kw + term.denominator) // (2 * term.denominator)
        free = product if len(terms) == 1 else free + product * (which_term == number)
    return free


def _in_band(facts: Facts, voltage: Values) -> Tri:
    """Whether low ≤ U ≤ high of the band row in force; missing where no row is in force.

    Each limit is judged by itself: if U is above the known high limit, the answer is false even if the low limit is
    missing.
    """
    row = facts.timeline.row_of(facts.band_spans)
    columns = facts.dispatch.band.columns
    low, high = (_column_at(columns[name], row) for name in ("low_v", "high_v"))
    above = Tri(*_compared(voltage, low, voltage.values >= low.values))
    below = Tri(*_compared(voltage, high, voltage.values <= high.values))
    return above & below


def _column_at(column: Values, row: Ints) -> Values:
    if not len(column.values):
        return Values(row * 0, row < -1)
    return Values(column.values[row], column.valid[row] & (row >= 0))


def _compared(left: Values, right: Values, outcome: Bools) -> tuple[Bools, Bools]:
    valid = left.valid & right.valid
    return valid & outcome, valid & ~outcome


def _at_limit(facts: Facts, service: str, supplied: Values) -> Tri:
    """Whether the unit supplies (or absorbs) up to its registered limit; false where no limit is registered."""

    def limit(stretch: ConstantDays) -> int | None:
        mvar = stretch.unit.q_max_mvar if service == LAG else stretch.unit.q_min_mvar
        if mvar is None:
            return None
        bound = scaled(Fraction(mvar) * 1000)
        return (bound if service == LAG else -bound) - facts.policy.at_limit_kvar

    bound = facts.per_piece(limit)
    reached = supplied.at_least(bound.values)
    return Tri(reached.true & bound.valid, reached.false | ~bound.valid)


def price_lag(account: Account) -> Draft:
    """Price reactive energy supplied beyond the basic power factor at 15 元/Mvarh."""
    return _price(account, LAG)


def price_lead(account: Account) -> Draft:
    """Price reactive energy absorbed beyond the basic power factor at 15 元/Mvarh."""
    return _price(account, LEAD)


def _price(account: Account, service: str) -> Draft:
    priced = Priced(account, service)
    for stretch in account.part_of(service):
        energy = Fraction(account.measured(service, stretch), _KVARMS_PER_MVARH)
        priced.add(f"{service}.price", stretch, energy, unit="Mvarh")
    return priced.draft()
