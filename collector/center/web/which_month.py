# SPDX-License-Identifier: GPL-3.0-or-later
"""Which month a page is about: the one its address names, or the one being worked on."""

from __future__ import annotations

from collector.base.text import tr
from collector.center.db.store import CenterStore
from collector.center.web.errors import Missing
from collector.center.web.months import known_months
from collector.model.interval import Month, local_day


def month_named(text: str) -> Month:
    """The month an address names.

    Raises:
        Missing: it names none.
    """
    try:
        return Month.parse(text)
    except ValueError as error:
        raise Missing(tr("expected a month as YYYY-MM"), subject=text[:40]) from error


def month_at_work(store: CenterStore) -> Month:
    """The latest month that is over and there is something of; the present one where there is nothing else."""
    today = local_day(store.clock.now_utc_ms())
    present = Month(today.year, today.month)
    known = [Month.parse(text) for text in known_months(store)]
    return next((month for month in known if month < present), present)
