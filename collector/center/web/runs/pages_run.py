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
from urllib.parse import quote, urlencode

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from litestar import Response
from litestar.params import FromPath, QueryParameter

from collector.base.errors import Missing, StoreError
from collector.base.text import full_width, into, tr, tr_in
from collector.center.inputs.names import named_plant, plant_names
from collector.center.month.review_log import list_reviews
from collector.center.month.transitions import area_words
from collector.center.papers.bills import DIRECTION_WORDS
from collector.center.papers.plant_tables import PLANT_TABLES
from collector.center.people.access import Permission
from collector.center.runs.month_state import may_see_run, visible_run
from collector.center.runs.run_list import Expired
from collector.center.runs.stored_run import OpenedRun, open_run
from collector.center.web.context import Context, Ctx, Page, words_of
from collector.center.web.listing import ListColumn, list_page
from collector.center.web.paging import attachment
from collector.center.web.render import NavEntry
from collector.center.web.routes import page
from collector.center.web.runs.own_statement import differences, disclosure_of, own_bill, own_bills, own_file, own_files
from collector.center.web.typed import day_of
from collector.center.web.which_month import month_named
from collector.model.interval import DAY_MS, instants_to_read, local_day, local_midnight_ms
from collector.report import words as report_words
from collector.report.evidence import TITLES, finding_texts, subject_words
from collector.report.explained import rule_words
from collector.settlement.rulebook.articles import clauses_cited
from collector.settlement.statement import SEGMENT_VALUE_DIVISOR, Finding, Line, LineStatus
from collector.settlement.units import unit_text
from collector.sheets.efile_writer import efile_text, etable_of_csv

SEGMENTS_SHOWN: Final = 120
E_TEXT: Final = "statement.e"  # made when it is asked for: no file of the run
_WAN: Final = 10_000
RECORDS_SHOWN: Final = 600
STATEMENT_FILES: Final = {
    "statement.xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "statement.html": "text/html",
    **{
        f"{name}.csv": "text/csv"
        for name in ("lines", "plants", "determinants", "segments", "not_paid", "ledger", *TITLES)
    },
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


def files_of_statement(run: OpenedRun) -> list[str]:
    """The files of a whole statement that one may take."""
    return [*(name for name in STATEMENT_FILES if name in run.manifest["files"]), E_TEXT]


def file_of_statement(run: OpenedRun, name: str) -> tuple[bytes, str]:
    """A file of the whole statement, and its media type.

    Raises:
        Missing: the run has no such file.
    """
    if name not in files_of_statement(run):
        raise Missing(tr("no such file of the statement"), subject=name[:64])
    if name != E_TEXT:
        return run.statement_file(name), STATEMENT_FILES[name]
    month = run.facts.month
    tables = [etable_of_csv(each, month, run.statement_file(f"{each}.csv")) for each in ("lines", "plants", "summary")]
    facts = {"Data": month, "Run": str(run.facts.id), "Result": str(run.manifest["result_hash"])}
    return efile_text(facts, tables), "text/plain"


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
    except Expired:
        raise
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
    if not staff:
        return _own_page(ctx, run)
    plants = run.plants
    open_lines = [line for line in lines_seen(ctx, run) if line.status in (LineStatus.BLOCKED, LineStatus.PENDING)]
    by_value = sorted(lines_seen(ctx, run), key=_uncertain_yuan, reverse=True)[:20]
    return ctx.page(
        "run.html",
        month=run.month,
        run=run,
        total=sum((area.compensation_yuan for area in run.areas), Decimal(0)),
        plants=plants,
        services=service_totals(run.lines),
        open_lines=open_lines[:50],
        open_count=len(open_lines),
        uncertain=[line for line in by_value if _uncertain_yuan(line)],
        findings=told(ctx, run.findings, run.lines),
        files=files_of_statement(run),
        bars=_bars(ctx, run),
        evidence=_evidence(ctx, run),
    )


def _evidence(ctx: Context, run: OpenedRun) -> list[tuple[str, str]]:
    """The evidence files a person may see, with their titles; findings are for staff."""
    staff = ctx.actor.may(Permission.SEE_ALL)
    files = run.manifest["files"]
    return [(n, words_of(ctx, w)) for n, w in TITLES.items() if f"{n}.csv" in files and (staff or n != "findings")]


def _own_page(ctx: Context, run: OpenedRun) -> Page:
    """The statement of the plant whose user asks."""
    plant = ctx.actor.plant or ""
    found = disclosure_of(ctx, run)
    return ctx.page(
        "own_statement.html",
        month=run.month,
        run=run,
        plants=[p for p in run.plants if p.plant == plant],
        lines=lines_seen(ctx, run),
        disclosed=found,
        changes=[] if found is None or found.before is None else differences(ctx, run, plant, found.before),
        bills=own_bills(ctx, run.month, plant),
        directions={name: words_of(ctx, w) for name, w in DIRECTION_WORDS.items()},
        reviews=len(ctx.read(lambda c: list_reviews(c, actor=ctx.actor, month=run.month))),
        files=own_files(run),
        titles={name: words_of(ctx, w) for name, w in PLANT_TABLES.items()},
        services=service_totals(run.lines),
        evidence=_evidence(ctx, run),
    )


def told(ctx: Context, findings: Sequence[Finding], lines: Iterable[Line]) -> list[tuple[Finding, str, str]]:
    """Findings, each with its subject and what it says in the reader's language; their codes are in CSV and REST."""
    place = 0 if ctx.language == "zh" else 1
    texts = finding_texts(findings, lines)
    rows = [(f, subject_words(f.subject)[place], text[place]) for f, text in zip(findings, texts, strict=True)]
    rows = [(f, subject, instants_to_read(text)) for f, subject, text in rows]
    return rows if place else [(f, full_width(subject), full_width(text)) for f, subject, text in rows]


def lines_seen(ctx: Context, run: OpenedRun) -> list[Line]:
    """The lines a person may see."""
    return [line for line in run.lines if ctx.actor.may_see(line.plant)]


def _uncertain_yuan(line: Line) -> Decimal:
    """The distance in yuan between the bounds of a line with missing time; infinite without an upper bound."""
    if line.low_yuan is None:
        return Decimal(0)
    return Decimal("Infinity") if line.high_yuan is None else line.high_yuan - line.low_yuan


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
        for service in report_words.in_order(of)
    ]


def _sum(lines: Iterable[Line]) -> Decimal:
    """The sum paid for lines; a line that is not settled pays nothing yet."""
    return sum((line.amount_yuan for line in lines if line.amount_yuan is not None), Decimal(0))


def _bars(ctx: Context, run: OpenedRun) -> dict[str, Any] | None:
    """Net amounts by plant, for the eye; only staff compare plants."""
    rows = [p for p in run.plants if p.allocation_yuan is not None and ctx.actor.may(Permission.SEE_ALL)]
    if len(rows) < 2:
        return None
    shown = sorted(rows, key=lambda p: max(p.compensation_yuan, p.allocation_yuan or Decimal(0)), reverse=True)[:60]
    known_as = ctx.read(plant_names)
    named = [(named_plant(p.plant, known_as), area_words(p.area).into(ctx.language)) for p in shown]
    names = [plant if len(run.areas) < 2 else f"{plant} · {area}" for plant, area in named]
    return {
        "unit": tr("10 000 yuan").into(ctx.language),
        "traces": [
            {
                "name": tr("Compensation").into(ctx.language),
                "x": names,
                "y": [float(p.compensation_yuan) / _WAN for p in shown],
            },
            {
                "name": tr("Allocation").into(ctx.language),
                "x": names,
                # What is not allocated has no bar: a bar of 0 would say that it costs nothing.
                "y": [None if p.allocation_yuan is None else -float(p.allocation_yuan) / _WAN for p in shown],
            },
        ],
    }


@page("/months/{month:str}/runs/{run_id:int}/lines", Permission.SEE_OWN, own=True)
def lines_page(ctx: Ctx, month: FromPath[str], run_id: FromPath[int]) -> Page | Response[bytes]:
    """The lines of a run, as the address chooses them."""
    run = opened_for(ctx, month, run_id)
    here = f"/months/{run.month}/runs/{run_id}/lines"

    def explained(line: Line) -> str:
        return f"{here}/{quote(line.unit, safe='')}/{line.service}?{urlencode({'of': f'{line.area}/{line.plant}'})}"

    columns = (
        ListColumn("area", tr("Area"), words="AREAS", choose=True),
        ListColumn("plant", tr("Plant"), "plant", choose=True),
        ListColumn("unit", tr("Unit"), choose=True),
        ListColumn("service", tr("Service"), words="SERVICES", choose=True, href=explained),
        ListColumn("article", tr("Clause")),
        ListColumn("quantity", tr("Quantity"), "quantity"),
        ListColumn("quantity_unit", tr_in("measure", "Unit"), words="UNITS"),
        ListColumn("coverage", tr("Coverage"), "percent"),
        ListColumn("amount_yuan", tr("Amount (yuan)"), "yuan", total=True),
        ListColumn("low_yuan", tr("Low"), "yuan", off=True),
        ListColumn("high_yuan", tr("High"), "yuan", off=True),
        ListColumn("status", tr("Status"), "tag", words="STATUSES", choose=True),
        ListColumn("reason", tr("Reason"), words="REASONS", choose=True),
    )
    name = f"{run.month}-run{run_id}-lines"
    return list_page(ctx, "lines.html", columns, lines_seen(ctx, run), name=name, month=run.month, run=run)


@page("/months/{month:str}/runs/{run_id:int}/lines/{unit:str}/{service:str}", Permission.SEE_OWN, own=True)
def line_page(
    ctx: Ctx,
    month: FromPath[str],
    run_id: FromPath[int],
    unit: FromPath[str],
    service: FromPath[str],
    day: Annotated[str, QueryParameter(max_length=10)] = "",
    of: Annotated[str, QueryParameter(max_length=129)] = "",
) -> Page:
    """One line down to its formula, rulebook rows, determinants and segments, beside the article.

    `of`: AREA/PLANT of the line, where the unit changed one of them in the month.
    """
    run = opened_for(ctx, month, run_id)
    plant = unit_of(ctx, run, unit)
    place = partition(of)
    if not any(place in (None, (x.area, x.plant)) for x in run.lines_of(unit) if x.service == service):
        raise Missing(tr("the run has no such line"), subject=tr("unit {unit}", unit=unit[:64]))
    explanation = run.explanation(unit, service, place)
    shown = day_in(run, day)
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
        rules=[
            (*(full_width(str(into(word, ctx.language))) for word in rule_words(rule)), rule.from_day)
            for rule in explanation.line.rules
        ],
        in_words=lambda unit: str(into(unit_text(unit), ctx.language)),
        clauses=clauses_cited(explanation.line.article),
        days=_days(segments, run),
        day=shown,
        segments=[_segment(row) for row in rows.slice(0, SEGMENTS_SHOWN).to_pylist()],
        segment_count=len(rows),
        findings=told(ctx, explanation.findings, run.lines_of(unit)) if ctx.actor.may(Permission.SEE_ALL) else [],
        services=list(dict.fromkeys(line.service for line in run.lines_of(unit))),
    )


def partition(of: str) -> tuple[str, str] | None:
    """Area and plant from AREA/PLANT; None where nothing is named."""
    area, _, plant = of.partition("/")
    return (area, plant) if of else None


def day_in(run: OpenedRun, text: str) -> date | None:
    """A day of the run's month; None where none is named.

    Raises:
        Missing: it is no day of it.
    """
    if not text:
        return None
    day = day_of(text)
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
    data, media_type = file_of_statement(run, name)
    return attachment(data, f"{run.facts.month}-run{run_id}-{name}", media_type)


@page("/months/{month:str}/runs/{run_id:int}/own/{name:str}", Permission.SEE_OWN, own=True)
def own_run_file(ctx: Ctx, month: FromPath[str], run_id: FromPath[int], name: FromPath[str]) -> Response[bytes]:
    """A file of a plant's own rows: of the statement, its evidence, the inputs behind them, or the bill."""
    run = opened_for(ctx, month, run_id)
    plant = ctx.actor.plant
    if plant is None:
        raise Missing(tr("only a plant's user has files of its own"), subject=name[:64])
    data, media_type = own_bill(ctx, run, plant, name) or own_file(ctx, run, plant, name)
    return attachment(data, f"{run.facts.month}-run{run_id}-{plant}-{name}", media_type)


NAVIGATION: Final = (NavEntry(tr("Statement"), "/this/runs", Permission.SEE_OWN, "runs"),)
ROUTES: Final[Sequence[Any]] = [
    runs_page, run_page, lines_page, line_page, records_page, run_file, own_run_file,
]  # fmt: skip
