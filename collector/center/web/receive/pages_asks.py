# SPDX-License-Identifier: GPL-3.0-or-later
"""补召: ask gateways again for records, and see what came of it."""

from __future__ import annotations

from typing import Final

from litestar import Response

from collector.base.errors import LinkError, StoreError
from collector.base.text import join, said_by, tr, tr_in
from collector.center.people.access import Permission
from collector.center.receive.asks import ask_again, list_asks
from collector.center.receive.keys import enrolled_units
from collector.center.web.code_words import GAP_REASONS
from collector.center.web.context import Context, Ctx, Page, own_plant
from collector.center.web.listing import ListColumn, list_page
from collector.center.web.render import NavEntry
from collector.center.web.routes import action, page
from collector.center.web.typed import asked_interval, instant_typed

_ASKS: Final = Permission.IMPORT
NAVIGATION: Final = (NavEntry(tr("Ask again"), "/asks", Permission.SEE_OWN),)


def _reason(code: str) -> str:
    return GAP_REASONS.get(code, code)


_COLUMNS: Final = (
    ListColumn("at_ms", tr_in("time", "Asked"), "time"),
    ListColumn("plant", tr("Plant"), "plant", choose=True),
    ListColumn("gateway", tr("Gateway"), choose=True),
    ListColumn("unit", tr("Unit"), choose=True),
    ListColumn("from_ms", tr_in("stretch", "From"), "time"),
    ListColumn("to_ms", tr_in("stretch", "To"), "time"),
    ListColumn("who", tr("Who"), choose=True),
    ListColumn("state", tr("State"), "tag", words="ASK_STATES", choose=True, tags={"answered": "good", "open": "warn"}),
    ListColumn("new_batches", tr("New batches"), "digits"),
    ListColumn("repeats", tr("Repeats"), "digits"),
    ListColumn("gap_reasons", tr("Gap records"), value=lambda row: join(", ", map(_reason, row["gap_reasons"]))),
)


@page("/asks", Permission.SEE_OWN, own=True)
def asks_page(ctx: Ctx) -> Page | Response[bytes]:
    """Repeat requests (补召), newest first, with the form to make one, filled in from the address of a gap."""
    return _page(ctx, typed={**ctx.request.query_params})


@action("/asks", _ASKS)
def ask_action(ctx: Ctx) -> Page | Response[bytes]:
    """Ask again for records of a unit and interval."""
    form = ctx.form
    try:
        start, end = (instant_typed(form.get(name, "")) for name in ("from", "to"))
        unit = form.get("unit", "")
        ask_again(ctx.store, ctx.settings, unit, asked_interval(unit, start, end), actor=ctx.actor)
    except (StoreError, LinkError) as error:
        return _page(ctx, status=422, refused=said_by(error), typed=form)
    return ctx.redirect("/asks", notice="asked")


def _page(ctx: Context, *, typed: dict[str, str], status: int = 200, refused: str = "") -> Page | Response[bytes]:
    rows = ctx.read(lambda c: list_asks(c, plant=own_plant(ctx)))
    units = sorted(unit for each in ctx.read(enrolled_units).values() for unit in each) if ctx.actor.may(_ASKS) else []
    return list_page(
        ctx, "asks.html", _COLUMNS, rows, name="asks", status=status, typed=typed, refused=refused, units=units
    )


ROUTES: Final = [asks_page, ask_action]
