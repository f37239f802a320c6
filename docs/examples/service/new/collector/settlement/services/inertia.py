# SPDX-License-Identifier: GPL-3.0-or-later
"""Inertia, an example of a service (no law): each hour on the grid is paid by capacity.

In our words: a unit whose breaker is closed carries its rotating mass along, whatever its power; P_N · t is paid.
"""

from __future__ import annotations

from fractions import Fraction

from collector.settlement.measure.facts import Condition, Facts
from collector.settlement.services.pricing import Account, Draft, Priced

SERVICE = "inertia"
_MS_PER_HOUR = 3_600_000


def measure(facts: Facts) -> None:
    """Measure the time on the grid."""
    scope = facts.applies(lambda _: True)
    if scope is not None:
        facts.finish(facts.tally(SERVICE, scope, [Condition(facts.on, "off_grid", "no_breaker")]), None, "h")


def price(account: Account) -> Draft:
    """Price P_N · t."""
    priced = Priced(account, SERVICE)
    for stretch in account.part_of(SERVICE):
        hours = Fraction(account.measured(SERVICE, stretch), _MS_PER_HOUR)
        weight = hours * Fraction(stretch.unit.rated_mw)
        priced.add("inertia.price", stretch, weight, unit="MWh (P_N · t)", quantity=hours)
    return priced.draft()
