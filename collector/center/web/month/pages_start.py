# SPDX-License-Identifier: GPL-3.0-or-later
"""The start page, and the target of the month picker."""

from __future__ import annotations

from typing import Annotated, Final

from litestar.params import QueryParameter

from collector.center.web import render
from collector.center.web.context import Ctx, Page
from collector.center.web.guards import Open
from collector.center.web.routes import page
from collector.center.web.which_month import MONTH, MONTH_PAGES


@page("/", Open.LOGGED_IN, own=True)
def start(ctx: Ctx) -> Page:
    """Redirect to where a role begins: a plant at its statement, others at the first page that they may see."""
    if ctx.actor.plant:
        return ctx.redirect("/this/runs")
    mine = [entry.path for entry in render.NAVIGATION if ctx.actor.may(entry.permission)]
    return ctx.redirect(mine[0] if mine else "/account")


@page("/go", Open.LOGGED_IN, own=True)
def go_to_month(
    ctx: Ctx,
    month: Annotated[str, QueryParameter(pattern=f"^{MONTH.pattern}")],
    origin: Annotated[str, QueryParameter(name="from", max_length=2000)] = "",
) -> Page:
    """Redirect to the same page for another month.

    A page that belongs to no month stays, and the month is kept for the next page.
    """
    parts = origin.split("/")
    if len(parts) > 2 and parts[1] == "months" and MONTH.match(parts[2]) and "//" not in origin:
        # What is named by a number (a run, a review) belongs to its month; its list is what the other month has. Two
        # runs beside each other are of their month too, and there is no list of those.
        kept = [part for part in parts[3:4] if part in MONTH_PAGES]
        return ctx.redirect("/".join(["/months", month, *kept]))
    if any(entry.path == origin and entry.part is None for entry in render.NAVIGATION):
        return ctx.redirect(origin, month=month)
    return ctx.redirect(f"/months/{month}")


ROUTES: Final = [start, go_to_month]
