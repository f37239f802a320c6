# SPDX-License-Identifier: GPL-3.0-or-later
"""Which months there is something of: for the month picker of every page."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from collector.center.db.store import CenterStore
from collector.center.db.tables_inputs import run
from collector.center.db.tables_receive import lake_day
from collector.model.interval import Month, local_day


def known_months(store: CenterStore) -> list[str]:
    """From the first month with records to the present one, and every month with a run; newest first."""
    days, runs = store.read(_found)
    today = local_day(store.clock.now_utc_ms())
    present = Month(today.year, today.month)
    months = {str(present), *runs}
    if days is not None:
        month, last = Month.parse(days[0][:7]), max(Month.parse(days[1][:7]), present, key=str)
        while str(month) <= str(last):
            months.add(str(month))
            month = month.next()
    return sorted(months, reverse=True)


def _found(connection: Connection) -> tuple[tuple[str, str] | None, list[str]]:
    first, last = connection.execute(select(func.min(lake_day.c.day), func.max(lake_day.c.day))).one()
    runs = connection.execute(select(run.c.month).distinct()).scalars()
    return (None if first is None else (str(first), str(last))), [str(month) for month in runs]
