# SPDX-License-Identifier: GPL-3.0-or-later
"""Spilling water on order, Art. 13(6): F = 0.5 · P_N · t · C, C the approved tariff, t the hours spilt inside orders.

A unit without the spilling signal is taken to spill throughout its order: the order is then the only evidence.
"""

from __future__ import annotations

from fractions import Fraction

from collector.base.text import tr
from collector.model.dispatch import OrderKind
from collector.settlement.measure.facts import Condition, Facts
from collector.settlement.services.pricing import Account, Draft, Priced, plain
from collector.settlement.statement import FormulaStep, LineStatus

SERVICE = "hydro_spill"
_MS_PER_HOUR = 3_600_000


def measure(facts: Facts) -> None:
    """Measure spilling hours inside spill orders."""
    if not len(facts.order_spans[OrderKind.SPILL]):
        return
    registered = facts.applies(lambda _: True)
    if registered is None:
        return
    scope = registered & facts.ordered(OrderKind.SPILL)
    tally = facts.tally(SERVICE, scope, [Condition(facts.spilling, "not_spilling", "no_status")])
    facts.finish(tally, None, "h")


def price(account: Account) -> Draft:
    """Price 0.5 · P_N · t · C, day by day; without a tariff there is no amount."""
    priced = Priced(account, SERVICE)
    for stretch in account.part_of(SERVICE):
        hours = Fraction(account.measured(SERVICE, stretch), _MS_PER_HOUR)
        ordered = account.sum(f"{SERVICE}.scope", stretch)
        priced.quantity += hours
        ratio, factor = priced.price("hydro_spill.ratio", stretch), priced.factor(stretch)
        tariff = stretch.unit.tariff_yuan_per_mwh
        if ordered and tariff is None:
            return Draft(_hours(account), None, LineStatus.BLOCKED, "no_tariff", rules=tuple(priced.rules))
        if tariff is None or not hours:
            continue
        if ratio is None or factor is None:
            priced.unknown = "hydro_spill.ratio"
            continue
        product = ratio * Fraction(stretch.unit.rated_mw) * hours * Fraction(tariff) * factor
        priced.amount = (priced.amount or Fraction(0)) + product
        text = tr(
            "{ratio} × {mw} MW × {hours} h × {tariff} yuan/MWh",
            ratio=plain(ratio),
            mw=stretch.unit.rated_mw,
            hours=plain(hours),
            tariff=tariff,
        )
        priced.steps.append(FormulaStep(text, product))
    return priced.draft()


def _hours(account: Account) -> Fraction:
    total = sum(account.measured(SERVICE, s) for s in account.part_of(SERVICE))
    return Fraction(total, _MS_PER_HOUR)
