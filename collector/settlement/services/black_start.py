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
from collector.model.register import UnitKind
from collector.settlement.rulebook.constant_days import ConstantDays
from collector.settlement.services.pricing import Account, Draft, Priced, place_of
from collector.settlement.statement import LineStatus

SERVICE = "black_start"


def designated(stretch: ConstantDays) -> bool:
    """Whether the accident plan names the unit."""
    return stretch.unit.black_start


def places(account: Account) -> set[tuple[str, str]]:
    """Area and plant of each line: of a full month that of the last designated day; by days every one (I-15)."""
    stretches = account.stretches_of(SERVICE)
    if account.case.policy.adopts("I-15", "full_month"):
        paid, _ = _paid_days(account, stretches)
        return {place_of(paid[-1][1] if paid else stretches[-1])}
    return {place_of(stretch) for stretch in stretches}


def price(account: Account) -> Draft:
    """Price the monthly sum of the last designated day; by days if I-15 is adopted so."""
    full_month = account.case.policy.adopts("I-15", "full_month")
    stretches = account.stretches_of(SERVICE) if full_month else account.part_of(SERVICE)
    paid, scope_left = _paid_days(account, stretches)
    if not paid:
        return Draft(Fraction(0), Fraction(0), LineStatus.ZERO, "rounded" if scope_left else "excluded")
    priced = Priced(account, SERVICE, by_days=account.case.elapsed if full_month else Fraction(1))
    if full_month:
        _, stretch = paid[-1]
        priced.add("black_start.price", stretch, Fraction(1), key=_kind(account, stretch), unit="month")
        return priced.draft()
    month_days = len(account.case.month.days)
    for stretch in stretches:
        share = Fraction(sum(1 for _, s in paid if s is stretch), month_days)
        priced.add("black_start.price", stretch, share, key=_kind(account, stretch), unit="month")
    return priced.draft()


def _kind(account: Account, stretch: ConstantDays) -> str:
    """The kind whose sum is paid; I-16: pumped storage is hydro or, as a kind of its own, paid as other units."""
    if stretch.unit.kind is UnitKind.PUMPED_STORAGE and account.case.policy.adopts("I-16", "pumped_storage_is_its_own"):
        return str(UnitKind.OTHER)
    return str(stretch.unit.kind)


def _paid_days(account: Account, stretches: list[ConstantDays]) -> tuple[list[tuple[date, ConstantDays]], bool]:
    """The designated days that are not excluded entirely, and whether any time is left in scope."""
    own_leaves = account.case.policy.adopts("I-19", "leaves_scope")
    rows = [e for e in account.case.dispatch.exclusions if e.unit == account.unit and e.service in (SERVICE, "*")]
    leaving = [(e.start_ms, e.end_ms) for e in rows if own_leaves or e.reason is not ExclusionReason.OWN_FAULT]
    every = [(e.start_ms, e.end_ms) for e in rows]
    paid: list[tuple[date, ConstantDays]] = []
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
