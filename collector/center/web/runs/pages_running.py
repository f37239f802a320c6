# SPDX-License-Identifier: GPL-3.0-or-later
"""The running month as it is looked at every morning, by the center and by each plant; a page and REST of the same.

All of it is provisional and said to be. What a plant sees before the disclosure is `web.plants_see_running`.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Annotated, Final
from urllib.parse import urlencode

import msgspec
from litestar import Response
from litestar.params import FromPath, QueryParameter

from collector.base.errors import Missing
from collector.base.text import tr, tr_in
from collector.center.people.access import Permission
from collector.center.quality.gap_map import map_month
from collector.center.runs.asking.lost_runs import runs_asked
from collector.center.runs.rulebooks import rulebook_path
from collector.center.runs.run_list import RUNNING, RunState
from collector.center.runs.stored_run import open_run
from collector.center.runs.variants.month_so_far import (
    MonthSoFar,
    latest_running,
    month_before,
    month_so_far,
    same_days,
)
from collector.center.runs.variants.running_month import ask_to_settle_running
from collector.center.web.code_words import REMEDIES
from collector.center.web.context import Context, Ctx, Page
from collector.center.web.listing import ListColumn, list_file, make_listing
from collector.center.web.month_rules import hold_of
from collector.center.web.paging import as_row
from collector.center.web.render import NavEntry
from collector.center.web.routes import action, api_get, page
from collector.center.web.shapes import MonthPath
from collector.center.web.which_month import month_named
from collector.model.interval import Month, local_day
from collector.report.numbers import format_percent

PlantQuery = Annotated[str, QueryParameter(max_length=64, description="one plant; default all, a plant's user its own")]


# The services are no list: a dozen rows in the order of the articles, with their sum.
def _plant_columns(here: str, *, staff: bool) -> tuple[ListColumn, ...]:
    leads = (lambda row: f"{here}?{urlencode({'plant': row.plant})}") if staff else None
    return (
        ListColumn("area", tr("Area"), words="AREAS", choose=True),
        ListColumn("plant", tr("Plant"), "plant", href=leads),
        ListColumn("compensation_yuan", tr("Compensation"), "yuan"),
        ListColumn("allocation_yuan", tr("Allocation"), "yuan"),
        ListColumn("net_yuan", tr("Net"), "yuan"),
    )


_UNITS: Final = (
    ListColumn("plant", tr("Plant"), "plant", choose=True),
    ListColumn("unit", tr("Unit")),
    ListColumn("agc_ratio", tr("AGC in service, of the time on grid"), "percent"),
    ListColumn("avc_ratio", tr("AVC orders passed"), "percent"),
    ListColumn("judged", tr("judged"), "digits", value=lambda row: row.judged or None),
    ListColumn("failed", tr("failed"), "digits", value=lambda row: row.failed if row.judged else None),
)
_LEFT: Final = (
    ListColumn("plant", tr("Plant"), "plant", choose=True),
    ListColumn("service", tr("Service"), words="SERVICES", choose=True),
    ListColumn("reason", tr("Reason"), words="REASONS", choose=True),
    ListColumn("minutes", tr("Minutes"), "digits", value=lambda row: int(row.minutes.partition(".")[0])),
    ListColumn("yuan", tr("Amount (yuan)"), "yuan"),
    ListColumn("remedy", tr_in("remedy", "What can be done"), value=lambda row: REMEDIES.get(row.reason, "")),
)


class ServiceSoFarOut(msgspec.Struct, frozen=True):
    """A service up to the cut. `forecast_yuan`: a plain extrapolation by days; `estimate`: of `yesterday_yuan`."""

    service: str
    amount_yuan: str
    unsettled: int
    yesterday_yuan: str | None
    estimate: bool
    before_yuan: str | None
    forecast_yuan: str


class UnitRatesOut(msgspec.Struct, frozen=True):
    """A unit's AGC in-service rate and AVC pass rate, 0..1; AVC orders judged and failed."""

    plant: str
    unit: str
    agc_ratio: str | None
    avc_ratio: str | None
    judged: int
    failed: int


class LeftSoFarOut(msgspec.Struct, frozen=True):
    """The amount lost by one reason, taken alone; amounts of several reasons must not be added up."""

    plant: str
    service: str
    reason: str
    minutes: str
    yuan: str | None


class MonthSoFarOut(msgspec.Struct, frozen=True):
    """A month up to its cut: provisional, nothing is posted. `before_run_id`: of the same days of the month before."""

    month: str
    run_id: int
    cut_ms: int
    elapsed_days: int
    revenue_month: str
    before_run_id: int | None
    services: list[ServiceSoFarOut]
    units: list[UnitRatesOut]
    left: list[LeftSoFarOut]


def _whose(ctx: Context, plant: str) -> str:
    """The plant whose figures are shown; empty: all.

    Raises:
        Missing: plants are shown nothing before the disclosure.
    """
    if ctx.actor.may(Permission.SEE_ALL):
        return plant
    if ctx.settings.web.plants_see_running == "nothing":
        raise Missing(tr("the running month is not shown to plants here"), subject=ctx.actor.name)
    return ctx.actor.plant or "\0"


def _so_far(ctx: Context, month: Month, plant: str) -> MonthSoFar | None:
    """The newest running settlement of a month beside the same days of the month before; None: there is none."""
    row = ctx.read(lambda c: latest_running(c, month))
    if row is None:
        return None
    run, earlier = open_run(ctx.store, row.id), month_before(month)
    days = min(int(run.manifest["running"]["elapsed_days"]), len(earlier.days))
    before = ctx.read(lambda c: same_days(c, earlier, days))
    return month_so_far(run, None if before is None else open_run(ctx.store, before.id), plant=plant)


@page("/months/{month:str}/running", Permission.SEE_OWN, own=True)
def running_page(ctx: Ctx, month: FromPath[str], plant: PlantQuery = "") -> Page | Response[bytes]:
    """The month so far."""
    wanted, staff = month_named(month), ctx.actor.may(Permission.SEE_ALL)
    whose = _whose(ctx, plant)
    found = _so_far(ctx, wanted, whose)
    plants = make_listing(
        ctx, _plant_columns(ctx.request.url.path, staff=staff), () if found is None else found.plants, of="plants"
    )
    units = make_listing(ctx, _UNITS, () if found is None else found.units, of="units")
    left = make_listing(ctx, _LEFT, () if found is None else found.left, of="left")
    for listing, name in ((plants, "plants"), (units, "units"), (left, "left-on-table")):
        if file := list_file(ctx, listing, f"{wanted}-so-far-{name}"):
            return file
    earlier = month_before(wanted)
    limit_s = hold_of(ctx, wanted)
    cells = [
        each
        for each in ctx.read(lambda c: map_month(c, wanted, now_ms=ctx.now_ms, hold_limit_s=limit_s))
        if whose in ("", each.plant)
    ]
    asked = (
        [each for m in (earlier, wanted) for each in runs_asked(ctx.store, m) if each.kind == RUNNING] if staff else []
    )
    elapsed = sum(each.elapsed_min for each in cells)
    return ctx.page(
        "running.html",
        month=wanted,
        earlier=earlier,
        found=found,
        plant=whose,
        plants=sorted({each.plant for each in cells}) if staff else [],
        total=_totals(found),
        areas=open_run(ctx.store, found.run.id).areas if found and _shows_areas(ctx) else (),
        last_day=None if found is None else local_day(found.cut_ms - 1),
        elapsed=elapsed,
        share=format_percent(Fraction(sum(each.known_min for each in cells), elapsed or 1)),
        so_far=plants,
        units=units,
        left=left,
        waiting=[each for each in asked if each.is_open],
        now_ms=ctx.now_ms,
        lost=[each for each in asked[-1:] if each.state in (RunState.FAILED, RunState.INTERRUPTED)],
    )


def _shows_areas(ctx: Context) -> bool:
    return ctx.actor.may(Permission.SEE_ALL) or ctx.settings.web.plants_see_running == "own_and_areas"


def _totals(found: MonthSoFar | None) -> dict[str, Decimal | None]:
    """Sums over services; None where one of them is not known."""
    rows = () if found is None else found.services
    sums: dict[str, Decimal | None] = {}
    for name in ("amount_yuan", "yesterday_yuan", "before_yuan", "forecast_yuan"):
        values: list[Decimal | None] = [getattr(row, name) for row in rows]
        known = [value for value in values if value is not None]
        sums[name] = sum(known, Decimal("0.00")) if rows and len(known) == len(values) else None
    return sums


@action("/months/{month:str}/running", Permission.SETTLE)
def settle_running_action(ctx: Ctx, month: FromPath[str]) -> Page:
    """Settle the month so far; or the same days of the month before, to be compared with."""
    wanted, days = month_named(month), ctx.number_or_none("days")
    of = wanted if days is None else month_before(wanted)
    last = None if days is None else of.days[min(max(days, 1), len(of.days)) - 1]
    book, actor = rulebook_path(ctx.settings), ctx.actor
    ctx.runs.start(partial(ask_to_settle_running, ctx.store, of, rulebook=book, actor=actor, last=last))
    return ctx.redirect(f"/months/{wanted}/running", notice="run_begun")


@api_get("/months/{month:str}/running", Permission.SEE_OWN, own=True)
def running(ctx: Ctx, month: MonthPath, plant: PlantQuery = "") -> MonthSoFarOut:
    """The month so far, provisional; one's own figures for a plant's user."""
    wanted = month_named(month)
    found = _so_far(ctx, wanted, _whose(ctx, plant))
    if found is None:
        raise Missing(tr("not settled up to now yet"), subject=str(wanted))
    return MonthSoFarOut(
        month=str(wanted),
        run_id=found.run.id,
        cut_ms=found.cut_ms,
        elapsed_days=found.elapsed_days,
        revenue_month=found.revenue_month,
        before_run_id=None if found.before is None else found.before.id,
        services=[as_row(ServiceSoFarOut, each) for each in found.services],
        units=[as_row(UnitRatesOut, each) for each in found.units],
        left=[as_row(LeftSoFarOut, each) for each in found.left],
    )


NAVIGATION: Final = (NavEntry(tr("Running month"), "/this/running", Permission.SEE_OWN, "running"),)
ROUTES: Final = [running_page, settle_running_action, running]
