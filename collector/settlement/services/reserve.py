# SPDX-License-Identifier: GPL-3.0-or-later
"""Spinning and hot reserve, Art. 17: F = P · t · Y for the power P the day-ahead plan reserves in peak hours.

Reading I-12: the planned power is paid while the unit is on grid (spinning reserve) or off grid (hot reserve).
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from collector.model.dispatch import ReserveKind
from collector.settlement.measure.facts import Condition, Facts
from collector.settlement.measure.logic import Bools, Ints, Tri, Values
from collector.settlement.rulebook.constant_days import scaled
from collector.settlement.services.pricing import Account, Draft, Priced

SPINNING, HOT = "spinning_reserve", "hot_reserve"
KIND_OF = {SPINNING: ReserveKind.SPINNING, HOT: ReserveKind.HOT}
_KWMS_PER_MWH = 3_600_000_000


def measure(facts: Facts) -> None:
    """Measure reserved MW × time in peak hours of reserve rows, with the unit on grid (spinning) or off (hot)."""
    for service, kind in KIND_OF.items():
        _measure(facts, service, kind)
    for service, formula in sorted(facts.rulebook.formulas.items()):
        if formula in KIND_OF:
            _measure(facts, service, KIND_OF[formula])


def _measure(facts: Facts, service: str, kind: ReserveKind) -> None:
    spans, rows = facts.dispatch.reserve_rows(facts.axis, kind)
    if not len(spans):
        return
    registered = facts.applies(lambda _: True)
    if registered is None:
        return
    row = facts.timeline.row_of(spans)
    scope: Bools = registered & (row >= 0) & facts.peak
    planned = np.array([r.power_kw or 0 for r in rows], dtype=np.int64)
    given = np.array([r.power_kw is not None for r in rows], dtype=np.bool_)
    power = Values(planned[row], given[row] & (row >= 0))
    if kind is ReserveKind.SPINNING:
        state = Condition(facts.on, "off_grid", "no_breaker")
    else:
        state = Condition(~facts.on, "on_grid", "no_breaker")
    if facts.policy.adopts("I-12", "planned_as_is"):
        state = Condition(Tri.known(scope), "not_reserved")
    needs = [(power.valid, "no_reserve_power")]
    amount = power.values
    if facts.policy.adopts("I-12", "capped_by_headroom"):
        amount = np.clip(_rated_kw(facts) - facts.power.values, 0, power.values)
        needs.append((facts.power.valid, "no_power"))
    facts.finish(
        facts.tally(service, scope, [state], needs),
        amount,
        "MWh",
        best=lambda pieces: np.where(power.valid, power.values, _rated_kw(facts))[pieces],
    )


def _rated_kw(facts: Facts) -> Ints:
    return facts.per_piece(lambda s: scaled(Fraction(s.unit.rated_mw) * 1000)).values


def price(account: Account, service: str) -> Draft:
    """P · t · Y, Y by dispatch mode."""
    priced = Priced(account, service)
    for stretch in account.part_of(service):
        energy = Fraction(account.measured(service, stretch), _KWMS_PER_MWH)
        priced.add(f"{service}.price", stretch, energy, key=str(stretch.area.dispatch_mode), unit="MWh")
    return priced.draft()
