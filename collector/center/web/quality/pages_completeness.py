# SPDX-License-Identifier: GPL-3.0-or-later
"""Completeness maps: plant by day of a month, unit by hour of a day, and each gap with its reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Final
from urllib.parse import urlencode

from litestar.params import FromPath, QueryParameter

from collector.base.errors import Missing
from collector.base.text import tr
from collector.center.people.access import Permission
from collector.center.quality.gap_map import PlantDay, find_gaps, map_day, map_month
from collector.center.quality.validation import list_findings
from collector.center.web.context import Ctx, Page
from collector.center.web.month_rules import hold_of
from collector.center.web.paging import window
from collector.center.web.render import NavEntry
from collector.center.web.routes import page
from collector.center.web.typed import day_of
from collector.center.web.which_month import month_named
from collector.model.interval import Month, day_interval

_STEPS: Final = ((0.999, "c4"), (0.98, "c3"), (0.9, "c2"), (0.5, "c1"))


@dataclass(frozen=True, slots=True)
class MapSquare:
    """A cell of a map. `shade`: its class; `text`: percent, cut and never rounded, empty before its time has begun."""

    shade: str
    text: str


_WHOLE: Final = MapSquare("c4", "100")
_NOT_YET: Final = MapSquare("cx", "")


def cell(known_min: int, elapsed_min: int) -> MapSquare:
    """How much of a cell's elapsed time is known; 100 only where all of it is, 0 only where none is.

    Between 99 and 100 two decimals tell what the colours tell apart.
    """
    if known_min == elapsed_min:
        return _WHOLE if elapsed_min else _NOT_YET
    shade = next((name for least, name in _STEPS if known_min >= least * elapsed_min), "c0")
    return MapSquare(shade, _percent(known_min, elapsed_min))


def _percent(known_min: int, elapsed_min: int) -> str:
    hundredths = known_min * 10_000 // elapsed_min
    if 9_900 <= hundredths < 10_000:
        return f"{hundredths // 100}.{hundredths % 100:02d}"
    return "<1" if known_min and hundredths < 100 else str(hundredths // 100)


@page("/months/{month:str}/completeness", Permission.SEE_OWN, own=True)
def completeness_page(ctx: Ctx, month: FromPath[str]) -> Page:
    """Plant by day; a plant's user sees its own row."""
    wanted = month_named(month)
    limit_s = hold_of(ctx, wanted)
    found = ctx.read(lambda c: map_month(c, wanted, now_ms=ctx.now_ms, hold_limit_s=limit_s))
    seen = [each for each in found if ctx.actor.may_see(each.plant)]
    plants = _by_plant(seen)
    return ctx.page(
        "completeness.html",
        month=wanted,
        limit_s=limit_s,
        days=wanted.days,
        rows={plant: _row(days, f"/months/{wanted}/completeness/", plant) for plant, days in plants.items()},
        totals={plant: _total(days) for plant, days in plants.items()},
        whole=_total(seen),
    )


def _by_plant(days: list[PlantDay]) -> Mapping[str, list[PlantDay]]:
    found: dict[str, list[PlantDay]] = defaultdict(list)
    for each in days:
        found[each.plant].append(each)
    return found


def _row(days: list[PlantDay], below: str, plant: str) -> list[tuple[str, str, str]]:
    """Shade, text and address of each day of a plant."""
    query = f"?{urlencode({'plant': plant})}"
    squares = [(each.day, cell(each.known_min, each.elapsed_min)) for each in days]
    return [(square.shade, square.text, f"{below}{day}{query}") for day, square in squares]


def _total(days: list[PlantDay]) -> MapSquare:
    return cell(sum(d.known_min for d in days), sum(d.elapsed_min for d in days))


@page("/months/{month:str}/completeness/{day:str}", Permission.SEE_OWN, own=True)
def hours_page(
    ctx: Ctx,
    month: FromPath[str],
    day: FromPath[str],
    plant: Annotated[str, QueryParameter(max_length=64)] = "",
    cursor: Annotated[int, QueryParameter(ge=0, le=10**9)] = 0,
) -> Page:
    """Unit by hour of a day."""
    wanted, shown = day_named(month, day)
    limit_s = hold_of(ctx, wanted)
    found = ctx.read(lambda c: map_day(c, shown, now_ms=ctx.now_ms, hold_limit_s=limit_s, plant=plant))
    seen = [row for row in found if ctx.actor.may_see(row.plant)]
    rows, older = window(seen, cursor, ctx.settings.web.page_rows)
    return ctx.page(
        "completeness_day.html",
        month=wanted,
        day=shown,
        plant=plant,
        rows=[(r, [cell(k, n) for k, n in zip(r.known_min, r.elapsed_min, strict=True)]) for r in rows],
        older=older,
        count=len(seen),
    )


def day_named(month: str, day: str) -> tuple[Month, date]:
    """The month and the day an address names.

    Raises:
        Missing: it names none, or a day of another month.
    """
    wanted = month_named(month)
    shown = day_of(day)
    if shown not in wanted.days:
        raise Missing(tr("no day of {wanted}", wanted=wanted), subject=day[:40])
    return wanted, shown


@page("/months/{month:str}/completeness/{day:str}/{plant:str}/{unit:str}", Permission.SEE_OWN, plant="plant")
def gaps_page(
    ctx: Ctx,
    month: FromPath[str],
    day: FromPath[str],
    plant: FromPath[str],
    unit: FromPath[str],
    cursor: Annotated[int, QueryParameter(ge=0, le=10**9)] = 0,
) -> Page:
    """Every gap of a unit's day, per quantity, with why; what was found implausible; what was asked again."""
    wanted, shown = day_named(month, day)
    limit_s = hold_of(ctx, wanted)
    lake = ctx.store.lake
    found = ctx.read(lambda c: find_gaps(c, lake, unit, plant, shown, now_ms=ctx.now_ms, hold_limit_s=limit_s))
    rows, older = window(found, cursor, ctx.settings.web.page_rows)
    return ctx.page(
        "gaps.html",
        month=wanted,
        day=shown,
        plant=plant,
        unit=unit,
        rows=rows,
        older=older,
        count=len(found),
        begun=day_interval(shown).start_ms < ctx.now_ms,
        findings=ctx.read(lambda c: list_findings(c, plant=plant, unit=unit, day=str(shown))),
    )


NAVIGATION: Final = (NavEntry(tr("Completeness"), "/this/completeness", Permission.SEE_OWN, "completeness"),)
ROUTES: Final = [completeness_page, hours_page, gaps_page]
