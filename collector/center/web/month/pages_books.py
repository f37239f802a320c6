# SPDX-License-Identifier: GPL-3.0-or-later
"""The books: the account of each plant over all months and editions, with its running balance (Art. 20)."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import quote

from litestar import Response
from litestar.params import QueryParameter

from collector.base.text import tr
from collector.center.papers.books import PlantAccount, accounts_of
from collector.center.people.access import Permission
from collector.center.web.context import Ctx, Page
from collector.center.web.listing import ListColumn, list_file, make_listing
from collector.center.web.paging import Cursor, window
from collector.center.web.routes import page

_ACCOUNTS: Final = (
    ListColumn("plant", tr("Plant"), "plant", href=lambda row: f"/books?plant={quote(row.plant)}"),
    ListColumn("entries", tr("Entries"), "n", value=lambda row: len(row.rows)),
    ListColumn("closing_yuan", tr("Balance (yuan)"), "yuan", total=True),
)


@page("/books", Permission.SEE_OWN, own=True)
def books_page(
    ctx: Ctx, plant: Annotated[str, QueryParameter(max_length=64)] = "", cursor: Cursor = 0
) -> Page | Response[bytes]:
    """Every account's balance; of one plant its entries, newest first, with what stood before and after the page."""
    accounts = ctx.read(lambda c: accounts_of(c, actor=ctx.actor, plant=plant))
    chosen: PlantAccount | None = accounts[0] if len(accounts) == 1 else None
    listing = make_listing(ctx, _ACCOUNTS, accounts, of="accounts")
    if (file := list_file(ctx, listing, "accounts")) is not None:
        return file
    rows = () if chosen is None else chosen.rows[::-1]
    shown, older = window(rows, cursor, ctx.settings.web.page_rows)
    return ctx.page(
        "books.html",
        listing=listing,
        chosen=chosen,
        rows=shown,
        opening=shown[-1].balance_yuan - shown[-1].entry.signed_yuan if shown else None,
        older=older,
        count=len(rows),
    )


ROUTES: Final = [books_page]
