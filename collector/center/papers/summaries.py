# SPDX-License-Identifier: GPL-3.0-or-later
"""The summary for the regulator (Art. 10(6)): results of a year in effect, by month, quarter and year."""

from __future__ import annotations

from collections.abc import Iterator

from collector.center.db.store import CenterStore
from collector.center.people.access import Actor, Permission
from collector.center.runs.month_state import months_known, run_in_effect
from collector.center.runs.run_statement import RunStatement, load_run_statement
from collector.model.interval import Month
from collector.report.summary import SummaryRow, SummedLine, sum_up


def summary_of_year(store: CenterStore, year: int, *, actor: Actor) -> tuple[list[Month], list[SummaryRow]]:
    """The months of a year that are in effect, and their sums by month, quarter and year.

    Raises:
        Denied: the actor may not see all plants' data.
        ConfigError, InvariantBroken: a statement in effect is not the one its manifest names.
    """
    actor.require(Permission.SEE_ALL)
    months = sorted(month for month in store.read(months_known) if month.year == year)
    runs = {month: store.read(lambda c, m=month: run_in_effect(c, m)) for month in months}  # type: ignore[misc]
    in_effect = {month: load_run_statement(store, run) for month, run in runs.items() if run is not None}
    return list(in_effect), sum_up(line for found in in_effect.values() for line in _lines(found))


def _lines(statement: RunStatement) -> Iterator[SummedLine]:
    allocated = {row.area for row in statement.plants if row.allocation_yuan is not None}
    for line in statement.lines:
        row = (str(statement.month), line.area, line.service, line.unit, line.amount_yuan)
        yield SummedLine(*row, line.area in allocated)
