# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands and what is implausible: alarms, and findings in the records stored."""

from __future__ import annotations

from typing import Annotated, Final

from litestar.params import QueryParameter

from collector.base.text import tr
from collector.center.operate.alarms import list_alarms
from collector.center.people.access import Permission
from collector.center.quality.validation import list_findings
from collector.center.web.context import Ctx, Page, own_plant
from collector.center.web.paging import Cursor, window
from collector.center.web.render import NavEntry
from collector.center.web.routes import page
from collector.center.web.which_month import month_named

NAVIGATION: Final = (NavEntry(tr("Alarms"), "/alarms", Permission.SEE_OWN),)


@page("/alarms", Permission.SEE_OWN, own=True)
def alarms_page(ctx: Ctx, cleared: Annotated[bool, QueryParameter()] = False, cursor: Cursor = 0) -> Page:
    """Alarms that stand, or with those that were cleared; of one's own plant for a plant's user."""
    rows = ctx.read(lambda c: list_alarms(c, include_cleared=cleared, plant=own_plant(ctx)))
    shown, older = window(rows, cursor, ctx.settings.web.page_rows)
    return ctx.page("alarms.html", rows=shown, older=older, count=len(rows), cleared=cleared, now_ms=ctx.now_ms)


@page("/findings", Permission.SEE_OWN, own=True)
def findings_page(
    ctx: Ctx,
    month: Annotated[str, QueryParameter(max_length=7)] = "",
    unit: Annotated[str, QueryParameter(max_length=64)] = "",
    cursor: Cursor = 0,
) -> Page:
    """What is implausible in the stored days, newest day first."""
    wanted = month_named(month) if month else None
    rows = ctx.read(lambda c: list_findings(c, month=wanted, unit=unit, plant=own_plant(ctx)))[::-1]
    shown, older = window(rows, cursor, ctx.settings.web.page_rows)
    return ctx.page("findings.html", rows=shown, older=older, count=len(rows), unit=unit)


ROUTES: Final = [alarms_page, findings_page]
