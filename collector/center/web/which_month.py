# SPDX-License-Identifier: GPL-3.0-or-later
"""The month of a page: the one in its address, or the one being worked on."""

from __future__ import annotations

import re
from typing import Final

from collector.base.errors import Missing
from collector.base.text import said_by
from collector.center.db.store import CenterStore
from collector.center.web.months import known_months
from collector.center.web.session import MONTH_COOKIE, AnyRequest
from collector.model.interval import Month, local_day

# What `Month.parse` takes.
MONTH: Final = re.compile(r"20[0-9]{2}-(0[1-9]|1[0-2])\Z")
# Below a month's board: the pages that every month has.
MONTH_PAGES: Final = ("beside", "completeness", "questions", "reviews", "rulebook", "running", "runs", "what-if")


def chosen_month(request: AnyRequest) -> str:
    """The month the reader has chosen: of the address, or else the one looked at last; empty where there is none."""
    parts = request.url.path.split("/")
    of_path = parts[2] if len(parts) > 2 and parts[1] == "months" else ""
    given = (of_path, request.query_params.get("month", ""), request.cookies.get(MONTH_COOKIE, ""))
    return next((text for text in given if MONTH.match(text)), "")


def month_named(text: str) -> Month:
    """The month an address names.

    Raises:
        Missing: it names none.
    """
    try:
        return Month.parse(text)
    except ValueError as error:
        raise Missing(said_by(error), subject=text[:40]) from error


def month_at_work(store: CenterStore, request: AnyRequest) -> Month:
    """The month chosen; else the latest that is over and there is something of, else the present one."""
    if chosen := chosen_month(request):
        return Month.parse(chosen)
    today = local_day(store.clock.now_utc_ms())
    present = Month(today.year, today.month)
    known = [Month.parse(text) for text in known_months(store)]
    return next((month for month in known if month < present), present)
