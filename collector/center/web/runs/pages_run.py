# SPDX-License-Identifier: GPL-3.0-or-later
"""A run's statement: totals, plants, lines, and down from a line to formula, determinants, segments and records.

A plant's user sees the runs that were disclosed: of its own plant everything, of all others the totals by area and
service that are disclosed to everybody (Art. 26).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from litestar import Response
from litestar.params import FromPath, QueryParameter

from collector.base.errors import StoreError
from collector.base.text import tr
from collector.center.papers.articles import clauses_cited
from collector.center.people.access import Permission
from collector.center.runs.month_state import may_see_run, visible_run
from collector.center.runs.stored_run import OpenedRun, open_run
from collector.center.web.code_words import CURVES, LANES, LIMITS
from collector.center.web.context import Context, Ctx, Page
from collector.center.web.errors import Missing
from collector.center.web.paging import attachment, window
from collector.center.web.render import NavEntry
from collector.center.web.routes import page
from collector.center.web.runs.day_drawing import DayDrawing, draw_day
from collector.center.web.which_month import month_named
from collector.model.interval import DAY_MS, local_day, local_midnight_ms
from collector.report import words as report_words
from collector.settlement.statement import SEGMENT_VALUE_DIVISOR, Line, LineStatus

SEGMENTS_SHOWN: Final = 120
RECORDS_SHOWN: Final = 600
_FILES: Final = {
    "statement.xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "statement.html": "text/html",
    "lines.csv": "text/csv",
    "plants.csv": "text/csv",
    "determinants.csv": "text/csv",
    "ledger.csv": "text/csv",
    "primary_frequency.csv": "text/csv",
    "manifest.json": "application/json",
}


@dataclass(frozen=True, slots=True)
class ServiceTotal:
    """A service over all units: what it pays, its share of everything, and how many lines stand how."""

    service: str
    article: str
    amount_yuan: Decimal
    share: Decimal
    paid: int
    waiting: int


def opened_for(ctx: Context, month: str, run_id: int) -> OpenedRun:
    """A run this person may see, of the month its address names.

    Raises:
        Missing: there is none, it is of another month, or not disclosed: the three are told apart to nobody.
    """
    wanted = month_named(month)
    if not ctx.read(lambda c: may_see_run(c, run_id, ctx.actor)):
        raise Missing(tr("no such run that you may see"), subject=tr("run {number}", number=run_id))
    try:
        run = open_run(ctx.store, run_id)
    except StoreError as error:
        raise Missing(tr("no such run that you may see"), subject=tr("run {number}", number=run_id)) from error
    if run.facts.month != str(wanted):
        raise Missing(tr("is of {month}", month=run.facts.month), subject=tr("run {number}", number=run_id))
    return run


def unit_of(ctx: Context, run: OpenedRun, unit: str) -> str:
    """The plant of a unit this person may see.

    Raises:
        Missing: there is none, or it is another plant's: the two are told apart to nobody.
    """
    plant = run.plant_of.get(unit)
    if plant is None or not ctx.actor.may_see(plant):
        raise Missing(tr("no such unit in this run that you may see"), subject=tr("unit {unit}", unit=unit[:64]))
    return plant


@page("/months/{month:str}/runs", Permission.SEE_OWN, own=True)
def runs_page(ctx: Ctx, month: FromPath[str]) -> Page:
    """The run one looks at first; the board has the list of all."""
    wanted = month_named(month)
    run_id = ctx.read(lambda c: visible_run(c, wanted, ctx.actor))
    return ctx.redirect(f"/months/{wanted}" + (f"/runs/{run_id}" if run_id else ""))


@page("/months/{month:str}/runs/{run_id:int}", Permission.SEE_OWN, own=True, charts=True)
def run_page(ctx: Ctx, month: FromPath[str], run_id: FromPath[int]) -> Page:
    """Totals, plants, services and findings of a run."""
    run = opened_for(ctx, month, run_id)
    staff = ctx.actor.may(Permission.SEE_ALL)
    plants = [p for p in run.plants if ctx.actor.may_see(p.plant)]
    open_lines = [line for line in lines_seen(ctx, run) if line.status in (LineStatus.BLOCKED, LineStatus.PENDING)]
    by_value = sorted(lines_seen(ctx, run), key=_uncertain_yuan, reverse=True)[:20]
    return ctx.page(
        "run.html",
        month=run.month,
        run=run,
        staff=staff,
        total=sum((area.compensation_yuan for area in run.areas), Decimal(0)),
        plants=plants,
        services=service_totals(run.lines),
        open_lines=open_lines[:50],
        open_count=len(open_lines),
        uncertain=[line for line in by_value if _uncertain_yuan(line)],
        findings=run.findings if staff else [],
        files=[name for name in _FILES if staff and name in run.manifest["files"]],
        bars=_bars(ctx, run),
    )


def lines_seen(ctx: Context, run: OpenedRun) -> list[Line]:
    """The lines a person may see."""
    return [line for line in run.lines if ctx.actor.may_see(line.plant)]


def _uncertain_yuan(line: Line) -> Decimal:
    """How far apart the bounds of a line with missing time are."""
    return Decimal(0) if line.low_yuan is None or line.high_yuan is None else line.high_yuan - line.low_yuan


def service_totals(lines: Iterable[Line]) -> list[ServiceTotal]:
    """Totals by service, in the order of the articles."""
    of: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        of[line.service].append(line)
    sums = {service: _sum(found) for service, found in of.items()}
    total = sum(sums.values(), Decimal(0))
    return [
        ServiceTotal(
            service=service,
            article=of[service][0].article,
            amount_yuan=sums[service],
            share=sums[service] / total if total else Decimal(0),
            paid=sum(line.status is LineStatus.PAID for line in of[service]),
            waiting=sum(line.status in (LineStatus.BLOCKED, LineStatus.PENDING) for line in of[service]),
        )
        for service in report_words.SERVICES
        if service in of
    ]


def _sum(lines: Iterable[Line]) -> Decimal:
    """What lines pay; one that is not settled pays nothing yet."""
    return sum((line.amount_yuan for line in lines if line.amount_yuan is not None), Decimal(0))


def _bars(ctx: Context, run: OpenedRun) -> dict[str, Any] | None:
    """Net amounts by plant, for the eye; only staff compare plants."""
    rows = [p for p in run.plants if p.allocation_yuan is not None and ctx.actor.may(Permission.SEE_ALL)]
    if len(rows) < 2:
        return None
    shown = sorted(rows, key=lambda p: max(p.compensation_yuan, p.allocation_yuan or Decimal(0)), reverse=True)[:60]
    names = [p.plant if len(run.areas) < 2 else f"{p.plant} · {p.area}" for p in shown]
    return {
        "unit": tr("yuan").into(ctx.language),
        "traces": [
            {
                "name": tr("Compensation").into(ctx.language),
                "x": names,
                "y": [float(p.compensation_yuan) for p in shown],
            },
            {
                "name": tr("Allocation").into(ctx.language),
                "x": names,
                "y": [-float(p.allocation_yuan or 0) for p in shown],
            },
        ],
    }


@page("/months/{month:str}/runs/{run_id:int}/lines", Permission.SEE_OWN, own=True)
def lines_page(
    ctx: Ctx,
    month: FromPath[str],
    run_id: FromPath[int],
    plant: Annotated[str, QueryParameter(max_length=64)] = "",
    service: Annotated[str, QueryParameter(max_length=64)] = "",
    status: Annotated[str, QueryParameter(max_length=16)] = "",
    cursor: Annotated[int, QueryParameter(ge=0, le=10**9)] = 0,
) -> Page:
    """The lines of a run, by plant, service and status."""
    run = opened_for(ctx, month, run_id)
    seen = lines_seen(ctx, run)
    found = [
        line
        for line in seen
        if plant in ("", line.plant) and service in ("", line.service) and status in ("", line.status.value)
    ]
    rows, older = window(found, cursor, ctx.settings.web.page_rows)
    return ctx.page(
        "lines.html",
        month=run.month,
        run=run,
        rows=rows,
        older=older,
        count=len(found),
        total=_sum(found),
        plants=sorted({line.plant for line in seen}),
        services=[s for s in report_words.SERVICES if any(line.service == s for line in seen)],
        statuses=[status.value for status in LineStatus],
        chosen={"plant": plant, "service": service, "status": status},
    )


@page("/months/{month:str}/runs/{run_id:int}/lines/{unit:str}/{service:str}", Permission.SEE_OWN, own=True)
def line_page(
    ctx: Ctx,
    month: FromPath[str],
    run_id: FromPath[int],
    unit: FromPath[str],
    service: FromPath[str],
    day: Annotated[str, QueryParameter(max_length=10)] = "",
) -> Page:
    """One line down to its formula, rulebook rows, determinants and segments, beside the article."""
    run = opened_for(ctx, month, run_id)
    plant = unit_of(ctx, run, unit)
    if service not in {line.service for line in run.lines_of(unit)}:
        raise Missing(tr("the run has no such line"), subject=f"{unit}/{service[:64]}")
    explanation = run.explanation(unit, service)
    shown = _day_in(run, day)
    segments = explanation.segments
    rows = _of_day(segments, shown) if shown else segments
    return ctx.page(
        "line.html",
        month=run.month,
        run=run,
        plant=plant,
        unit=unit,
        e=explanation,
        line=explanation.line,
        clauses=clauses_cited(explanation.line.article),
        days=_days(segments, run),
        day=shown,
        segments=[_segment(row) for row in rows.slice(0, SEGMENTS_SHOWN).to_pylist()],
        segment_count=len(rows),
        findings=explanation.findings if ctx.actor.may(Permission.SEE_ALL) else [],
        services=[line.service for line in run.lines_of(unit)],
    )


def _day_in(run: OpenedRun, text: str) -> date | None:
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.min
    if day not in run.month.days:
        raise Missing(tr("no day of {month}", month=run.month), subject=text)
    return day


def _of_day(segments: pa.Table, day: date) -> pa.Table:
    begin = local_midnight_ms(day)
    return segments.filter(pc.and_(pc.less(segments["start"], begin + DAY_MS), pc.greater(segments["end"], begin)))


def _days(segments: pa.Table, run: OpenedRun) -> list[tuple[date, str]]:
    """Each day of the month with its marks: paid, gap."""
    first = local_midnight_ms(run.month.first_day)
    marks: dict[str, set[int]] = {}
    for mark, cause in (("paid", "counted"), ("gap", "missing")):
        rows = segments.filter(pc.equal(segments["class"].cast(pa.string()), cause))
        a = (rows["start"].to_numpy() - first) // DAY_MS
        b = (rows["end"].to_numpy() - 1 - first) // DAY_MS
        days = [np.arange(x, y + 1) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
        marks[mark] = set(np.concatenate(days).tolist()) if days else set()
    return [
        (day, " ".join(mark for mark, days in marks.items() if number in days))
        for number, day in enumerate(run.month.days)
    ]


def _segment(row: dict[str, Any]) -> dict[str, Any]:
    """A segment as shown; its value in its unit."""
    divisor = SEGMENT_VALUE_DIVISOR.get(row["value_unit"], 1)
    value = None if row["value"] is None or row["class"] != "counted" else Decimal(row["value"]) / divisor
    return row | {"shown": value, "day": local_day(row["start"]), "minutes": (row["end"] - row["start"]) / 60_000}


@page("/months/{month:str}/runs/{run_id:int}/days/{unit:str}/{day:str}", Permission.SEE_OWN, own=True, charts=True)
def day_page(ctx: Ctx, month: FromPath[str], run_id: FromPath[int], unit: FromPath[str], day: FromPath[str]) -> Page:
    """The timeline of a unit's day: curves, limits, hours, states, dispatch, and what each service made of it."""
    run = opened_for(ctx, month, run_id)
    plant = unit_of(ctx, run, unit)
    shown = _day_in(run, day)
    assert shown is not None  # a path parameter is never empty
    drawing = draw_day(run, unit, shown)
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
        units=sorted(u for u, p in run.plant_of.items() if ctx.actor.may_see(p) and p == plant),
        drawing=_drawing(ctx, drawing),
        classes=list(report_words.CLASSES),
        services=[line.service for line in run.lines_of(unit)],
    )


def _drawing(ctx: Context, drawing: DayDrawing) -> dict[str, Any]:
    """What charts.js draws, its names in the reader's language."""
    index = int(ctx.language == "en")

    def words(table: Any, code: str) -> str:
        both = report_words.of(table, code)
        return both[index] or both[0]

    lanes = []
    for lane in drawing.lanes:
        if lane.kind == "service":
            name = words(report_words.SERVICES, lane.name)
            blocks = [
                (a, b, cause, f"{words(report_words.CLASSES, cause)} · {words(report_words.REASONS, reason)}")
                for a, b, cause, reason in lane.blocks
            ]
        else:
            name = LANES[lane.name].into(ctx.language)
            blocks = [(a, b, cause, text or name) for a, b, cause, text in lane.blocks]
        lanes.append({"name": name, "blocks": blocks, "colour": "#4a78b5" if lane.kind == "state" else "#c08a2d"})
    return {
        **{name: list(steps) for name, steps in drawing.curves.items()},
        "limits": [(LIMITS[name].into(ctx.language), kw) for name, kw in drawing.limits],
        "valley": drawing.valley,
        "peak": drawing.peak,
        "lanes": lanes,
        "words": {name: text.into(ctx.language) for name, text in CURVES.items()},
    }


@page("/months/{month:str}/runs/{run_id:int}/records/{unit:str}", Permission.SEE_OWN, own=True)
def records_page(
    ctx: Ctx,
    month: FromPath[str],
    run_id: FromPath[int],
    unit: FromPath[str],
    start: Annotated[int, QueryParameter(name="from", ge=0, le=2**53)],
    end: Annotated[int, QueryParameter(name="to", ge=0, le=2**53)],
) -> Page:
    """The records a stretch of time was measured from, as they lie in the pinned day files."""
    run = opened_for(ctx, month, run_id)
    plant = unit_of(ctx, run, unit)
    inside = run.month.interval
    start, end = max(start, inside.start_ms), min(end, inside.end_ms)
    hold_ms = int(run.policy["hold_limit_s"] * 1000)
    # The record before may hold into the stretch.
    before = run.records(unit, max(start - hold_ms, inside.start_ms), start)[-1:]
    rows = [*before, *run.records(unit, start, end, limit=RECORDS_SHOWN + 1)] if start < end else []
    names = list(dict.fromkeys(name for row in rows for name in row.values))
    return ctx.page(
        "records.html",
        month=run.month,
        run=run,
        plant=plant,
        unit=unit,
        start=start,
        end=end,
        rows=rows[:RECORDS_SHOWN],
        more=len(rows) > RECORDS_SHOWN,
        names=names,
    )


@page("/months/{month:str}/runs/{run_id:int}/files/{name:str}", Permission.SEE_ALL)
def run_file(ctx: Ctx, month: FromPath[str], run_id: FromPath[int], name: FromPath[str]) -> Response[bytes]:
    """A file of the statement."""
    run = opened_for(ctx, month, run_id)
    if name not in _FILES or name not in run.manifest["files"]:
        raise Missing(tr("no such file of the statement"), subject=name[:64])
    return attachment(run.statement_file(name), f"{run.facts.month}-run{run_id}-{name}", _FILES[name])


NAVIGATION: Final = (NavEntry(tr("Statement"), "/this/runs", Permission.SEE_OWN, "runs"),)
ROUTES: Final[Sequence[Any]] = [
    runs_page, run_page, lines_page, line_page, day_page, records_page, run_file,
]  # fmt: skip
