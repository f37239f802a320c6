# SPDX-License-Identifier: GPL-3.0-or-later
"""补召: ask gateways again for records, and see what came of it."""

from __future__ import annotations

from typing import Final

from collector.base.errors import LinkError, StoreError
from collector.base.text import said_by, tr
from collector.center.people.access import Permission
from collector.center.receive.asks import ask_again, list_asks
from collector.center.web.context import Context, Ctx, Page, own_plant
from collector.center.web.paging import Cursor, window
from collector.center.web.render import NavEntry
from collector.center.web.routes import action, page
from collector.center.web.typed import asked_interval, instant_typed

NAVIGATION: Final = (NavEntry(tr("Ask again"), "/asks", Permission.SEE_OWN),)


@page("/asks", Permission.SEE_OWN, own=True)
def asks_page(ctx: Ctx, cursor: Cursor = 0) -> Page:
    """What was asked again, newest first; the form for those who may ask, filled from the address of a gap."""
    return _page(ctx, cursor, typed={**ctx.request.query_params})


@action("/asks", Permission.IMPORT)
def ask_action(ctx: Ctx) -> Page:
    """Ask again for records of a unit and interval."""
    form = ctx.form
    try:
        start, end = (instant_typed(form.get(name, "")) for name in ("from", "to"))
        unit = form.get("unit", "")
        ask_again(ctx.store, ctx.settings, unit, asked_interval(unit, start, end), actor=ctx.actor)
    except (StoreError, LinkError) as error:
        return _page(ctx, 0, status=422, refused=said_by(error), typed=form)
    return ctx.redirect("/asks", notice="asked")


def _page(ctx: Context, cursor: int, *, typed: dict[str, str], status: int = 200, refused: str = "") -> Page:
    rows = ctx.read(lambda c: list_asks(c, plant=own_plant(ctx)))
    shown, older = window(rows, cursor, ctx.settings.web.page_rows)
    return ctx.page("asks.html", status=status, rows=shown, older=older, count=len(rows), typed=typed, refused=refused)


ROUTES: Final = [asks_page, ask_action]
