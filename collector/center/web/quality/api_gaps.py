# SPDX-License-Identifier: GPL-3.0-or-later
"""REST: where records are missing, plant by day, unit by hour and each gap with its reason; 补召."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from litestar.params import JSONBody, PathParameter, QueryParameter

from collector.center.people.access import Permission
from collector.center.quality.gap_map import find_gaps, list_gaps, map_day, map_month
from collector.center.receive.asks import ask_again, list_asks
from collector.center.web.context import Ctx, own_plant
from collector.center.web.month_rules import hold_of
from collector.center.web.paging import Cursor, Format, Limit, Listed, Listing, ListQuery, as_row
from collector.center.web.routes import api_get, api_post
from collector.center.web.shapes import Instant, MonthPath
from collector.center.web.typed import Day, asked_interval, day_of
from collector.center.web.which_month import month_named
from collector.model.interval import Month

Plant = Annotated[str, PathParameter(max_length=64)]
Unit = Annotated[str, PathParameter(max_length=64)]


class PlantDayOut(msgspec.Struct, frozen=True):
    """A plant's day: known and elapsed minutes over its units."""

    plant: str
    day: str
    known_min: int
    elapsed_min: int


class UnitHoursOut(msgspec.Struct, frozen=True):
    """A unit's day: known and elapsed minutes of its 24 hours."""

    plant: str
    unit: str
    known_min: list[int]
    elapsed_min: list[int]


class GapRecordOut(msgspec.Struct, frozen=True):
    """Time of a unit that a gateway said it will never deliver, and why."""

    plant: str
    unit: str
    from_ms: int
    to_ms: int
    reason: str
    epoch: str | None
    from_seq: int | None
    to_seq: int | None


class GapOut(msgspec.Struct, frozen=True):
    """A stretch without a usable value. `quantity`: empty where there is no record at all."""

    unit: str
    quantity: str
    start_ms: int
    end_ms: int
    reason: str


class AskIn(msgspec.Struct, frozen=True):
    """Records of a unit to be sent again, [from_ms, to_ms), at most 31 days."""

    unit: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    from_ms: Instant
    to_ms: Instant


class AskOut(msgspec.Struct, frozen=True):
    """A gateway that was asked."""

    id: str
    plant: str
    gateway: str


class AskedOut(msgspec.Struct, frozen=True):
    """An ask and what came since. `state`: open or answered."""

    id: str
    plant: str
    gateway: str
    unit: str
    from_ms: int
    to_ms: int
    who: str
    at_ms: int
    state: str
    new_batches: int
    repeats: int
    gap_reasons: list[str]


@api_get("/months/{month:str}/map", Permission.SEE_OWN, own=True, table=True)
def month_map(
    ctx: Ctx,
    month: MonthPath,
    cursor: Cursor = 0,
    limit: Limit = 1000,
    format: Format = "json",  # noqa: A002
) -> Listed[PlantDayOut]:
    """Completeness of every plant and day of a month; of one's own plant for a plant's user."""
    wanted = month_named(month)
    hold_s = hold_of(ctx, wanted)
    found = ctx.read(lambda c: map_month(c, wanted, now_ms=ctx.now_ms, hold_limit_s=hold_s))
    rows = [as_row(PlantDayOut, each) for each in found if ctx.actor.may_see(each.plant)]
    return ListQuery(cursor, limit, format).of(rows, PlantDayOut, f"map-{month}")


@api_get("/days/{day:str}/map", Permission.SEE_OWN, own=True, table=True)
def day_map(
    ctx: Ctx,
    day: Day,
    cursor: Cursor = 0,
    limit: Limit = 1000,
    format: Format = "json",  # noqa: A002
) -> Listed[UnitHoursOut]:
    """Completeness of every unit and hour of a local day; of one's own plant for a plant's user."""
    shown = day_of(day)
    hold_s = hold_of(ctx, Month(shown.year, shown.month))
    found = ctx.read(lambda c: map_day(c, shown, now_ms=ctx.now_ms, hold_limit_s=hold_s, plant=own_plant(ctx)))
    rows = [UnitHoursOut(each.plant, each.unit, list(each.known_min), list(each.elapsed_min)) for each in found]
    return ListQuery(cursor, limit, format).of(rows, UnitHoursOut, f"map-{day}")


@api_get("/months/{month:str}/gap-records", Permission.SEE_OWN, own=True, table=True)
def gap_records(
    ctx: Ctx,
    listing: Listing,
    month: MonthPath,
    unit: Annotated[str, QueryParameter(max_length=64)] = "",
) -> Listed[GapRecordOut]:
    """Gap records that touch a month; of one's own plant for a plant's user."""
    interval = month_named(month).interval
    found = ctx.read(lambda c: list_gaps(c, interval, plant=own_plant(ctx), unit=unit))
    rows = [as_row(GapRecordOut, each) for each in found]
    return listing.of(rows, GapRecordOut, f"gap-records-{month}")


@api_get("/plants/{plant:str}/units/{unit:str}/days/{day:str}/gaps", Permission.SEE_OWN, plant="plant", table=True)
def gaps(ctx: Ctx, listing: Listing, plant: Plant, unit: Unit, day: Day) -> Listed[GapOut]:
    """Every gap of a unit's local day, per quantity, with its reason."""
    shown = day_of(day)
    hold_s = hold_of(ctx, Month(shown.year, shown.month))
    lake = ctx.store.lake
    found = ctx.read(lambda c: find_gaps(c, lake, unit, plant, shown, now_ms=ctx.now_ms, hold_limit_s=hold_s))
    rows = [as_row(GapOut, each) for each in found]
    return listing.of(rows, GapOut, f"gaps-{day}")


@api_get("/asks", Permission.SEE_OWN, own=True, table=True)
def asks(
    ctx: Ctx,
    listing: Listing,
    unit: Annotated[str, QueryParameter(max_length=64)] = "",
) -> Listed[AskedOut]:
    """What was asked again and what came of it, newest first; of one's own plant for a plant's user."""
    found = ctx.read(lambda c: list_asks(c, plant=own_plant(ctx), unit=unit))
    rows = [as_row(AskedOut, each) for each in found]
    return listing.of(rows, AskedOut, "asks")


@api_post("/asks", Permission.IMPORT)
def ask(ctx: Ctx, data: JSONBody[AskIn]) -> list[AskOut]:
    """补召: ask the plant's gateways again for records; they answer with batches, or with a gap record."""
    interval = asked_interval(data.unit, data.from_ms, data.to_ms)
    made = ask_again(ctx.store, ctx.settings, data.unit, interval, actor=ctx.actor)
    return [as_row(AskOut, each) for each in made]


ROUTES: Final = [month_map, day_map, gap_records, gaps, asks, ask]
