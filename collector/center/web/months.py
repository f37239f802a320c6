# SPDX-License-Identifier: GPL-3.0-or-later
"""The months that the month picker of every page offers."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection, func, select

from collector.center.db.store import CenterStore
from collector.center.db.tables_inputs import run
from collector.center.db.tables_receive import lake_day
from collector.model.interval import Month, local_day


def known_months(store: CenterStore) -> list[str]:
    """Months with records or a run, and the present and previous month (whose duties run), newest first."""
    today = local_day(store.clock.now_utc_ms())
    present = Month(today.year, today.month)
    before = present.first_day - timedelta(days=1)
    return sorted({str(present), str(Month(before.year, before.month)), *store.read(_found)}, reverse=True)


def _found(connection: Connection) -> set[str]:
    days = connection.execute(select(func.substr(lake_day.c.day, 1, 7)).distinct()).scalars()
    runs = connection.execute(select(run.c.month).distinct()).scalars()
    return {str(month) for month in (*days, *runs)}
