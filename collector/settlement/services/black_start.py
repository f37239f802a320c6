# SPDX-License-Identifier: GPL-3.0-or-later
"""Black start, Art. 18: a fixed sum a month for each unit the accident plan designates, by kind of unit.

Reading I-15: a unit designated on any day is paid the full month, at the value in force on the last designated day. No
records are needed. Excluded time leaves the scope; as one instant in scope is enough, only excluding all time leaves
the unit unpaid.
"""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction

from collector.model.dispatch import ExclusionReason
from collector.model.interval import day_interval, is_covered
from collector.settlement.rulebook.constant_days import Stretch
from collector.settlement.services.pricing import Account, Draft, Priced
from collector.settlement.statement import LineStatus

SERVICE = "black_start"


def designated(stretch: Stretch) -> bool:
    """Whether the accident plan names the unit."""
    return stretch.unit.black_start


def price(account: Account) -> Draft:
    """Price the monthly sum of the last designated day; by days if I-15 is adopted so."""
    stretches = [s for s in account.stretches_of(SERVICE) if designated(s)]
    paid, scope_left = _paid_days(account, stretches)
    if not paid:
        return Draft(Fraction(0), Fraction(0), LineStatus.ZERO, "rounded" if scope_left else "excluded")
    priced = Priced(account, SERVICE)
    if account.case.policy.adopts("I-15", "full_month"):
        _, stretch = paid[-1]
        priced.add("black_start.price", stretch, Fraction(1), key=str(stretch.unit.kind), unit="month")
        return priced.draft()
    month_days = len(account.case.month.days)
    for stretch in stretches:
        share = Fraction(sum(1 for _, s in paid if s is stretch), month_days)
        priced.add("black_start.price", stretch, share, key=str(stretch.unit.kind), unit="month")
    return priced.draft()


def _paid_days(account: Account, stretches: list[Stretch]) -> tuple[list[tuple[date, Stretch]], bool]:
    """The designated days that are not excluded entirely, and whether any time is left in scope."""
    own_leaves = account.case.policy.adopts("I-19", "leaves_scope")
    rows = [e for e in account.case.dispatch.exclusions if e.unit == account.unit and e.service in (SERVICE, "*")]
    leaving = [(e.start_ms, e.end_ms) for e in rows if own_leaves or e.reason is not ExclusionReason.OWN_FAULT]
    every = [(e.start_ms, e.end_ms) for e in rows]
    paid: list[tuple[date, Stretch]] = []
    scope_left = False
    for stretch in stretches:
        day = stretch.first_day
        while day < stretch.until_day:
            whole = day_interval(day)
            scope_left |= not is_covered(whole.start_ms, whole.end_ms, leaving)
            if not is_covered(whole.start_ms, whole.end_ms, every):
                paid.append((day, stretch))
            day += timedelta(days=1)
    return paid, scope_left
