# SPDX-License-Identifier: GPL-3.0-or-later
"""REST: the account of every plant over all months and editions (Art. 20), and the regulator's summary (Art. 10(6))."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from litestar.params import QueryParameter

from collector.center.papers.books import account_cells, accounts_of
from collector.center.papers.summaries import summary_of_year
from collector.center.people.access import Permission
from collector.center.web.context import Ctx
from collector.center.web.paging import Listed, Listing, as_row
from collector.center.web.routes import api_get
from collector.model.money import format_yuan

Plant = Annotated[str, QueryParameter(max_length=64, description="one plant; default all the caller may see")]
FromMs = Annotated[int, QueryParameter(ge=0, le=2**53, description="posted at or after, UTC ms")]
Year = Annotated[int, QueryParameter(ge=1970, le=9999, description="of the settled months")]
UntilMs = Annotated[int | None, QueryParameter(ge=0, le=2**53, description="posted before, UTC ms")]


class AccountEntryOut(msgspec.Struct, frozen=True):
    """An entry of a plant's account; `balance_yuan` after it, positive where the plant is owed."""

    plant: str
    area: str
    posted: str
    entry: str
    month: str
    edition: str
    debit_yuan: str
    credit_yuan: str
    balance_yuan: str


class BalanceOut(msgspec.Struct, frozen=True):
    """The opening balance of a plant's account, the number of entries in the period, and the closing balance."""

    plant: str
    opening_yuan: str
    entries: int
    closing_yuan: str


@api_get("/account", Permission.SEE_OWN, own=True, table=True)
def account(
    ctx: Ctx, listing: Listing, plant: Plant = "", from_ms: FromMs = 0, until_ms: UntilMs = None
) -> Listed[AccountEntryOut]:
    """Entries of the accounts in their order, each with the balance after it; one's own for a plant's user."""
    found = ctx.read(lambda c: accounts_of(c, actor=ctx.actor, plant=plant, from_ms=from_ms, until_ms=until_ms))
    rows = [as_row(AccountEntryOut, account_cells(row)) for each in found for row in each.rows]
    return listing.of(rows, AccountEntryOut, "account")


@api_get("/account/balances", Permission.SEE_OWN, own=True, table=True)
def balances(
    ctx: Ctx, listing: Listing, plant: Plant = "", from_ms: FromMs = 0, until_ms: UntilMs = None
) -> Listed[BalanceOut]:
    """Opening and closing balance of each account; one's own for a plant's user."""
    found = ctx.read(lambda c: accounts_of(c, actor=ctx.actor, plant=plant, from_ms=from_ms, until_ms=until_ms))
    rows = [
        BalanceOut(each.plant, format_yuan(each.opening_yuan), len(each.rows), format_yuan(each.closing_yuan))
        for each in found
    ]
    return listing.of(rows, BalanceOut, "balances")


class SummaryOut(msgspec.Struct, frozen=True):
    """A service in an area over a month, quarter or year. `units`: how many were paid; `share`: of the area's sum.

    An amount is null where none is known.
    """

    period: str
    area: str
    service: str
    compensation_yuan: str | None
    allocation_yuan: str | None
    units: int
    share: str | None


@api_get("/summary", Permission.SEE_ALL, table=True)
def summary(ctx: Ctx, listing: Listing, year: Year) -> Listed[SummaryOut]:
    """What is in effect of a year, summed by month, quarter and year, area and service."""
    _, rows = summary_of_year(ctx.store, year, actor=ctx.actor)
    shown = [as_row(SummaryOut, row) for row in rows]
    return listing.of(shown, SummaryOut, f"summary-{year}")


ROUTES: Final = [account, balances, summary]
