# SPDX-License-Identifier: GPL-3.0-or-later
"""Where everybody begins, and where the month picker leads."""

from __future__ import annotations

import re
from typing import Annotated, Final

from litestar.params import QueryParameter

from collector.center.web import render
from collector.center.web.context import Ctx, Page
from collector.center.web.guards import Open
from collector.center.web.routes import page

MONTH: Final = r"^[0-9]{4}-(0[1-9]|1[0-2])\Z"


@page("/", Open.LOGGED_IN, own=True)
def start(ctx: Ctx) -> Page:
    """The first of the pages one may see."""
    mine = [entry.path for entry in render.NAVIGATION if ctx.actor.may(entry.permission)]
    return ctx.redirect(mine[0] if mine else "/account")


@page("/go", Open.LOGGED_IN, own=True)
def go_to_month(
    ctx: Ctx,
    month: Annotated[str, QueryParameter(pattern=MONTH)],
    origin: Annotated[str, QueryParameter(name="from", max_length=2000)] = "",
) -> Page:
    """The same page of another month; from a page that has none the month's own."""
    if re.match(r"/months/[0-9]{4}-[0-9]{2}(/|$)", origin) and "//" not in origin:
        parts = origin.split("/")
        # What is named by a number (a run, a review) belongs to its month; its list is what the other month has.
        kept = parts[3:4]
        return ctx.redirect("/".join(["/months", month, *kept]))
    return ctx.redirect(f"/months/{month}")


ROUTES: Final = [start, go_to_month]
