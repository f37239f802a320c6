# SPDX-License-Identifier: GPL-3.0-or-later
"""Drawings: a unit's day with what was put in beside what was delivered, its month, and months side by side; REST too.

Each has the same as a table, and its figures can be read with the keyboard (`static/charts.js`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Final
from urllib.parse import quote

import msgspec
from litestar.params import FromPath, QueryParameter
from sqlalchemy import Connection

from collector.base.errors import Missing
from collector.base.text import full_width, into, tr
from collector.center.people.access import Actor, Permission
from collector.center.runs.month_state import visible_run
from collector.center.runs.run_list import NEVER_DISCLOSED, list_runs
from collector.center.runs.stored_run import OpenedRun, open_run
from collector.center.web.code_words import CURVES, LANES, LIMITS
from collector.center.web.context import Context, Ctx, Page
from collector.center.web.paging import Listed, Listing
from collector.center.web.routes import api_get, page
from collector.center.web.runs.api_runs import Number, Unit, opened_for_unit
from collector.center.web.runs.day_drawing import DayDrawing, draw_day
from collector.center.web.runs.month_drawing import MonthDrawing, draw_month
from collector.center.web.runs.pages_run import day_in, lines_seen, opened_for, unit_of
from collector.center.web.shapes import MonthPath
from collector.center.web.which_month import month_named
from collector.model.interval import HOUR_MS, Month
from collector.model.quantity import BY_NAME, from_scaled
from collector.report import words as report_words
from collector.settlement.outside_scope import OUTSIDE

MOST_MONTHS: Final = 6  # colours that are told apart
_WAN: Final = 10_000
OfService = Annotated[str, QueryParameter(max_length=40, description="whose classes of time; default the first line's")]
OfPlant = Annotated[str, QueryParameter(max_length=64)]


# ---- a day -----------------------------------------------------------------------------------------------------------


@page("/months/{month:str}/runs/{run_id:int}/days/{unit:str}/{day:str}", Permission.SEE_OWN, own=True, charts=True)
def day_page(ctx: Ctx, month: FromPath[str], run_id: FromPath[int], unit: FromPath[str], day: FromPath[str]) -> Page:
    """The timeline of a unit's day: curves, limits, hours, states, dispatch, and what each service made of it."""
    run = opened_for(ctx, month, run_id)
    plant = unit_of(ctx, run, unit)
    shown = day_in(run, day)
    assert shown is not None  # a path parameter is never empty
    drawing_of = draw_day(run, unit, shown)
    drawing = drawn(ctx, drawing_of)
    days = list(run.month.days)
    place = days.index(shown)
    return ctx.page(
        "unit_day.html",
        month=run.month,
        run=run,
        plant=plant,
        unit=unit,
        day=shown,
        before=days[place - 1] if place else None,
        after=days[place + 1] if place + 1 < len(days) else None,
        units=_units_of(ctx, run, plant),
        drawing=drawing,
        replaced=[
            (
                quantity_name(e.quantity, ctx.language),
                e.start_ms,
                e.end_ms,
                _shown(e.quantity, e.delivered),
                _shown(e.quantity, e.put_in),
            )
            for e in drawing_of.put_in
        ],
        blocks=[(lane["name"], a, b, text) for lane in drawing["lanes"] for a, b, _, text in lane["blocks"]],
        classes=_CLASSES,
        services=[line.service for line in run.lines_of(unit)],
    )


def drawn(ctx: Context, drawing: DayDrawing) -> dict[str, Any]:
    """The data that charts.js draws for a day, with names in the reader's language."""
    lanes = []
    for lane in drawing.lanes:
        if lane.kind == "service":
            name = _words(ctx, report_words.SERVICES, lane.name)
            blocks = [(a, b, cause, _class_said(ctx, cause, reason)) for a, b, cause, reason in lane.blocks]
        else:
            name = (
                tr("put in: {quantity}", quantity=quantity_name(lane.name, ctx.language)).into(ctx.language)
                if lane.kind == "substituted"
                else LANES[lane.name].into(ctx.language)
            )
            blocks = [(a, b, cause, into(text, ctx.language) or name) for a, b, cause, text in lane.blocks]
        lanes.append({"name": name, "blocks": blocks, "kind": lane.kind})
    return {
        **{name: list(steps) for name, steps in drawing.curves.items()},
        "substitutes": [
            {
                "curve": name,
                "name": tr("{curve}: put in", curve=CURVES[name]).into(ctx.language),
                "steps": steps,
                "original": tr("{curve}: delivered", curve=CURVES[name]).into(ctx.language),
                "delivered": drawing.originals[name],
            }
            for name, steps in drawing.substitutes.items()
        ],
        "limits": [(LIMITS[name].into(ctx.language), kw) for name, kw in drawing.limits],
        "valley": drawing.valley,
        "peak": drawing.peak,
        "lanes": lanes,
        "words": {name: text.into(ctx.language) for name, text in CURVES.items()},
    }


def _class_said(ctx: Context, cause: str, reason: str) -> str:
    """A class with its reason, once where the two say the same."""
    return " · ".join(
        dict.fromkeys((_words(ctx, report_words.CLASSES, cause), _words(ctx, report_words.REASONS, reason)))
    )


def quantity_name(name: str, language: str) -> str:
    """A quantity as people call it."""
    described = BY_NAME[name]
    return described.zh if language == "zh" else name.removesuffix(f"_{described.unit.lower()}").replace("_", " ")


def _shown(name: str, values: tuple[int, int] | None) -> str:
    """Lowest and highest value with their unit; empty where there is none."""
    if values is None:
        return ""
    described = BY_NAME[name]
    low, high = (f"{from_scaled(value, described.scale).normalize():f}" for value in values)
    return f"{low if low == high else f'{low} – {high}'} {described.unit}".strip()


def _words(ctx: Context, table: Any, code: str) -> str:
    chinese, english = report_words.of(table, code)
    return english or chinese if ctx.language == "en" else full_width(chinese)


# ---- a month ---------------------------------------------------------------------------------------------------------


class UnitDayFiguresOut(msgspec.Struct, frozen=True):
    """A day of a unit: power in MW over the time that is known, and hours of a service by class."""

    day: str
    mean_mw: str | None
    lowest_mw: str | None
    highest_mw: str | None
    known_h: str
    counted_h: str
    unpaid_h: str
    missing_h: str
    excluded_h: str
    own_fault_h: str
    outside_h: str


def _days_out(drawing: MonthDrawing) -> list[UnitDayFiguresOut]:
    return [
        UnitDayFiguresOut(
            day=each.day.isoformat(),
            mean_mw=_mw(each.mean_kw),
            lowest_mw=_mw(each.lowest_kw),
            highest_mw=_mw(each.highest_kw),
            known_h=_hours(each.known_ms),
            **{f"{name}_h": _hours(each.class_ms.get(name, 0)) for name in _CLASSES},
        )
        for each in drawing.days
    ]


_CLASSES: Final = ("counted", "unpaid", "missing", "excluded", "own_fault", "outside")


def _mw(kw: int | None) -> str | None:
    return None if kw is None else f"{Decimal(kw) / 1000:.3f}"


def _hours(ms: int) -> str:
    return f"{Decimal(ms) / HOUR_MS:.2f}"


@page("/months/{month:str}/runs/{run_id:int}/units/{unit:str}", Permission.SEE_OWN, own=True, charts=True)
def unit_month_page(
    ctx: Ctx, month: FromPath[str], run_id: FromPath[int], unit: FromPath[str], service: OfService = ""
) -> Page:
    """A unit's month: power by hours with plan and limits, each day's mean, and how a service took the time."""
    run = opened_for(ctx, month, run_id)
    plant = unit_of(ctx, run, unit)
    services, chosen = _service_of(run, unit, service)
    drawing = draw_month(run, unit, chosen)
    rows = _days_out(drawing)
    return ctx.page(
        "unit_month.html",
        month=run.month,
        run=run,
        plant=plant,
        unit=unit,
        units=_units_of(ctx, run, plant),
        services=services,
        service=chosen,
        rows=rows,
        classes=_CLASSES,
        limits=[(LIMITS[name].into(ctx.language), kw) for name, kw in drawing.limits],
        power=_power_data(ctx, run, unit, drawing, rows),
        hours=_hours_data(ctx, rows),
    )


def _service_of(run: OpenedRun, unit: str, service: str) -> tuple[list[str], str]:
    """The services of a unit, and the one whose time is shown.

    Raises:
        Missing: it has no such line.
    """
    services = list(dict.fromkeys(line.service for line in run.lines_of(unit)))
    if service and service not in services:
        raise Missing(tr("the run has no such line"), subject=tr("unit {unit}", unit=unit[:64]))
    return services, service or next(iter(services), "")


def _units_of(ctx: Context, run: OpenedRun, plant: str) -> list[str]:
    return sorted(u for u, p in run.plant_of.items() if ctx.actor.may_see(p) and p == plant)


def _power_data(
    ctx: Context, run: OpenedRun, unit: str, drawing: MonthDrawing, rows: Sequence[UnitDayFiguresOut]
) -> dict[str, Any]:
    """The data that charts.js draws for a month."""
    words = {
        "range": tr("active power by the hour"), "lowest": tr("lowest"), "highest": tr("highest"),
        "mean": tr("mean of the day"), "plan": CURVES["plan"], "known": tr("known"),
    }  # fmt: skip
    word = {name: text.into(ctx.language) for name, text in words.items()}
    base = ctx.settings.web.base_path
    return {
        "first": run.month.first_day.isoformat(),
        "hours": drawing.hours,
        "plan": drawing.plan,
        "limits": [(LIMITS[name].into(ctx.language), kw) for name, kw in drawing.limits],
        "days": [
            {
                "day": row.day,
                "mean": each.mean_kw,
                "href": f"{base}/months/{run.month}/runs/{run.facts.id}/days/{quote(unit, safe='')}/{row.day}",
                "said": [
                    (word["mean"], f"{row.mean_mw or '—'} MW"),
                    (word["lowest"], f"{row.lowest_mw or '—'} MW"),
                    (word["highest"], f"{row.highest_mw or '—'} MW"),
                    (word["known"], f"{row.known_h} h"),
                ],
            }
            for each, row in zip(drawing.days, rows, strict=True)
        ],
        "words": word,
    }


def _hours_data(ctx: Context, rows: Sequence[UnitDayFiguresOut]) -> dict[str, Any]:
    """Hours of each day by class, as bars."""
    traces = [
        {
            "name": _words(ctx, report_words.CLASSES, name),
            "code": name,
            "x": [row.day[5:] for row in rows],
            "y": [float(getattr(row, f"{name}_h")) for row in rows],
        }
        for name in _CLASSES
        if name != OUTSIDE  # the rest of the day: drawn, it would leave no room for what is asked about
    ]
    return {"kind": "stack", "unit": "h", "rare": True, "traces": [each for each in traces if any(each["y"])]}


@api_get("/runs/{number:int}/units/{unit:str}/days", Permission.SEE_OWN, own=True, table=True)
def unit_days(
    ctx: Ctx, listing: Listing, number: Number, unit: Unit, service: OfService = ""
) -> Listed[UnitDayFiguresOut]:
    """The days of a unit in the month of a run: power, and how a service took the time."""
    run = opened_for_unit(ctx, number, unit)
    rows = _days_out(draw_month(run, unit, _service_of(run, unit, service)[1]))
    return listing.of(rows, UnitDayFiguresOut, f"days-{unit}")


# ---- months side by side ---------------------------------------------------------------------------------------------


class ServiceBesideOut(msgspec.Struct, frozen=True):
    """A service in the months of `MonthsBesideOut`, in their order. Null: nothing of it; `unsettled`: lines without."""

    service: str
    amounts_yuan: list[str | None]
    unsettled: list[int]


class MonthsBesideOut(msgspec.Struct, frozen=True):
    """Months side by side, the oldest first, each by the run a person looks at first."""

    months: list[str]
    run_ids: list[int]
    services: list[ServiceBesideOut]


@dataclass(frozen=True, slots=True)
class _Beside:
    """The rows of `MonthsBesideOut` for a page.

    `amounts`: by service, then by month; None where there is no line, or none is settled.
    """

    runs: tuple[OpenedRun, ...]
    amounts: dict[str, list[Decimal | None]]
    unsettled: dict[str, list[int]]


def _beside(ctx: Context, month: Month, plant: str, unit: str) -> _Beside:
    """Compare a month with earlier months that have a run, at most as many as there are distinct colours."""
    numbers = ctx.read(lambda c: _visible_runs(c, month, ctx.actor))
    runs = tuple(open_run(ctx.store, number) for number in reversed(numbers))
    amounts: dict[str, list[Decimal | None]] = {}
    unsettled: dict[str, list[int]] = {}
    for place, run in enumerate(runs):
        for line in lines_seen(ctx, run):
            if plant not in ("", line.plant) or unit not in ("", line.unit):
                continue
            row = amounts.setdefault(line.service, [None] * len(runs))
            missing = unsettled.setdefault(line.service, [0] * len(runs))
            if line.amount_yuan is None:
                missing[place] += 1
            else:
                row[place] = (row[place] or Decimal(0)) + line.amount_yuan
    order = report_words.in_order(amounts)
    return _Beside(runs, {name: amounts[name] for name in order}, {name: unsettled[name] for name in order})


def _visible_runs(connection: Connection, month: Month, actor: Actor) -> list[int]:
    """The run of each month that a person looks at first, newest first."""
    settled = {
        row.month for row in list_runs(connection) if row.kind not in NEVER_DISCLOSED and row.month <= str(month)
    }
    found: list[int] = []
    for each in sorted(settled, reverse=True):
        number = visible_run(connection, Month.parse(each), actor)
        found += [] if number is None else [number]
        if len(found) == MOST_MONTHS:
            break
    return found


@page("/months/{month:str}/beside", Permission.SEE_OWN, own=True, charts=True)
def beside_page(ctx: Ctx, month: FromPath[str], plant: OfPlant = "", unit: OfPlant = "") -> Page:
    """A month beside those before it: what each service pays, for all, a plant or a unit."""
    wanted = month_named(month)
    found = _beside(ctx, wanted, plant, unit)
    newest = found.runs[-1] if found.runs else None
    seen = {} if newest is None else {u: p for u, p in newest.plant_of.items() if ctx.actor.may_see(p)}
    return ctx.page(
        "beside.html",
        month=wanted,
        runs=found.runs,
        amounts=found.amounts,
        unsettled=found.unsettled,
        totals=[_known(row[n] for row in found.amounts.values()) for n in range(len(found.runs))],
        plant=plant,
        unit=unit,
        plants=sorted(set(seen.values())),
        units=sorted(u for u, p in seen.items() if plant in ("", p)) if plant or len(seen) <= _FEW_UNITS else [],
        bars={
            "kind": "grouped",
            "unit": tr("10 000 yuan").into(ctx.language),
            "digits": 4,
            "traces": [
                {
                    "name": run.facts.month,
                    "x": [_words(ctx, report_words.SERVICES, name) for name in found.amounts],
                    "y": [None if (of := row[n]) is None else float(of) / _WAN for row in found.amounts.values()],
                }
                for n, run in enumerate(found.runs)
            ],
        },
    )


_FEW_UNITS: Final = 60  # in one list to choose from


def _known(amounts: Iterable[Decimal | None]) -> Decimal | None:
    known = [each for each in amounts if each is not None]
    return sum(known, Decimal(0)) if known else None


@api_get("/months/{month:str}/beside", Permission.SEE_OWN, own=True)
def beside(ctx: Ctx, month: MonthPath, plant: OfPlant = "", unit: OfPlant = "") -> MonthsBesideOut:
    """A month beside those before it: what each service pays; one's own lines for a plant's user."""
    found = _beside(ctx, month_named(month), plant, unit)
    return MonthsBesideOut(
        months=[run.facts.month for run in found.runs],
        run_ids=[run.facts.id for run in found.runs],
        services=[
            ServiceBesideOut(name, [None if a is None else str(a) for a in row], found.unsettled[name])
            for name, row in found.amounts.items()
        ],
    )


ROUTES: Final[Sequence[Any]] = [day_page, unit_month_page, unit_days, beside_page, beside]
