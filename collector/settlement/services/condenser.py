# SPDX-License-Identifier: GPL-3.0-or-later
"""Running as a synchronous condenser on order, Art. 15(3).

In our words: 15(3)1 pays each start into condenser mode by capacity; 15(3)2 pays 15 元/MWh · P_N for the hours of it.
A start is a rising edge, from a known 0 that ends inside the order to the first record that shows 1; a hole of
`min_stop_s` or more between them may hide further starts: counted once, provisional.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from collector.model.dispatch import OrderKind
from collector.settlement.measure.facts import Condition, Facts
from collector.settlement.measure.logic import Bools, Tri
from collector.settlement.services.pricing import UNCERTAIN, Account, Bound, Draft, Priced

START, RUN = "condenser_start", "condenser_run"
_MS_PER_HOUR = 3_600_000


def measure(facts: Facts) -> None:
    """Measure starts and hours inside condenser orders."""
    if not len(facts.order_spans[OrderKind.CONDENSER]):
        return
    registered = facts.applies(lambda _: True)
    if registered is None:
        return
    scope = registered & facts.ordered(OrderKind.CONDENSER)
    running = Condition(facts.condenser, "not_condenser", "no_status")
    facts.finish(facts.tally(RUN, scope, [running]), None, "h")
    _measure_starts(facts, scope)


def _measure_starts(facts: Facts, scope: Bools) -> None:
    """Measure the time in which starts can be seen. The starts themselves are found when the month is added up."""
    status = facts.condenser
    # Time is known wherever the status is known; a start takes no time, so no piece counts as paid.
    seen = Tri(status.true & False, status.true | status.false)
    tally = facts.tally(START, scope, [Condition(seen, "no_edge", "no_status")])
    if tally.missing.any():
        _put_hidden_starts(facts, tally.missing)


def _put_hidden_starts(facts: Facts, missing: Bools) -> None:
    """Write the most starts missing time can hide: one per two records, at its own records or one per hold limit.

    Nothing limits how often a unit can start, but a start needs one record with 0 and one with 1.
    """
    timeline, hold = facts.timeline, facts.policy.hold_ms
    first = timeline.runs(missing)
    begins = np.append(True, timeline.record[1:] != timeline.record[:-1])
    begins[timeline.cell_start] = True  # a record that holds over midnight counts on both days in any batching
    begins &= timeline.present
    # Gaps without a record, not pieces: the result must not depend on edges of other units in the batch.
    hole = missing & ~timeline.present
    start = timeline.runs(hole)
    unheld = np.zeros(len(timeline), dtype=np.int64)
    if len(start):
        unheld[start] = -(-np.add.reduceat(timeline.length * hole, start) // hold)
    records = np.add.reduceat((begins + unheld) * missing, first)
    facts.results.put(START, "best", timeline.add_by_cell(first, records // 2 + 1))


def price_start(account: Account) -> Draft:
    """Price each start at 14 元/MW."""
    priced = Priced(account, START)
    for stretch in account.part_of(START):
        count = Fraction(account.measured(START, stretch))
        weight = count * Fraction(stretch.unit.rated_mw)
        priced.add("condenser_start.price", stretch, weight, unit="MW", quantity=count)
    draft = priced.draft()
    unsure = any(account.sum(f"{START}.unsure", stretch) for stretch in account.part_of(START))
    return replace(draft, provisional=UNCERTAIN) if unsure and account.bound is Bound.MEASURED else draft


def price_run(account: Account) -> Draft:
    """Price 15 元/MWh · P_N · t."""
    priced = Priced(account, RUN)
    for stretch in account.part_of(RUN):
        hours = Fraction(account.measured(RUN, stretch), _MS_PER_HOUR)
        weight = hours * Fraction(stretch.unit.rated_mw)
        priced.add("condenser_run.price", stretch, weight, unit="MWh (P_N · t)", quantity=hours)
    return priced.draft()
