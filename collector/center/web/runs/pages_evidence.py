# SPDX-License-Identifier: GPL-3.0-or-later
"""The evidence files of a run as pages and by REST: AVC orders, start-stops, quarter hours, money left on the table …

A plant's user sees the rows of its own units; findings are for staff, as on the page of the run.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from typing import Annotated, Any, Final

from litestar import Response
from litestar.params import FromPath, QueryParameter

from collector.base.errors import Missing
from collector.base.text import both, full_width, tr
from collector.center.people.access import Permission
from collector.center.runs.stored_run import OpenedRun
from collector.center.web.context import Context, Ctx, Page
from collector.center.web.listing import ListColumn, list_page
from collector.center.web.paging import attachment
from collector.center.web.routes import api_get, page
from collector.center.web.runs.api_runs import Number, opened
from collector.center.web.runs.pages_run import opened_for
from collector.model.interval import instants_to_read
from collector.report import words as report_words
from collector.report.evidence import NUMBERS, TITLES, shown_cell, subject_words
from collector.report.words import Lang

_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")  # local, as everywhere on the pages


def tables_of(run: OpenedRun, *, staff: bool) -> list[str]:
    """The evidence files a run has that a person may see."""
    files = run.manifest["files"]
    return [name for name in TITLES if f"{name}.csv" in files and (staff or name != "findings")]


def _rows(ctx: Context, run: OpenedRun, name: str, unit: str) -> tuple[list[str], list[list[str]]]:
    """Columns and the rows a person may see, of one unit (of totals: its plant) where named.

    Raises:
        Missing: the run has no such file that this person may see.
    """
    staff = ctx.actor.may(Permission.SEE_ALL)
    if name not in tables_of(run, staff=staff):
        raise Missing(
            tr("no such file of the statement"), subject=both(*TITLES[name][::-1]) if name in TITLES else name[:64]
        )
    columns, *rows = csv.reader(run.statement_file(f"{name}.csv").decode("utf-8").splitlines())
    plant_of = run.plant_of
    if "unit" not in columns and "plant" in columns:  # totals of plants; those of areas are for staff
        place, mine = columns.index("plant"), plant_of.get(unit, unit)
        rows = [row for row in rows if staff or (row[place] and ctx.actor.may_see(row[place]))]
        return columns, [row for row in rows if mine in ("", row[place])]
    place = columns.index("subject" if name == "findings" else "unit")
    if not staff:
        rows = [row for row in rows if row[place] in plant_of and ctx.actor.may_see(plant_of[row[place]])]
    return columns, [row for row in rows if unit in ("", row[place])]


@page("/months/{month:str}/runs/{run_id:int}/evidence/{name:str}", Permission.SEE_OWN, own=True)
def evidence_page(
    ctx: Ctx,
    month: FromPath[str],
    run_id: FromPath[int],
    name: FromPath[str],
    unit: Annotated[str, QueryParameter(max_length=64)] = "",
) -> Page | Response[bytes]:
    """The rows of an evidence file, its codes in words."""
    run = opened_for(ctx, month, run_id)
    columns, rows = _rows(ctx, run, name, unit)
    lang, place = (Lang.ZH, 0) if ctx.language == "zh" else (Lang.EN, 1)
    # Sentences stand in the file in both languages, on a page in the reader's.
    other = "_en" if lang is Lang.ZH else "_zh"
    left = (
        ("code", f"text{other}") if name == "findings" else ()
    )  # a finding's sentence says it; its code is for programs
    kept = [i for i, column in enumerate(columns) if not column.endswith(other) and column not in left]
    columns, rows = [columns[i] for i in kept], [[row[i] for i in kept] for row in rows]
    return list_page(
        ctx,
        "evidence.html",
        [_column(c, index, lang) for index, c in enumerate(columns)],
        rows,
        name=f"{run.month}-run{run_id}-{name}",
        month=run.month,
        run=run,
        table=name,
        unit=unit,
        title=TITLES[name][place],
        units=sorted(u for u, p in run.plant_of.items() if ctx.actor.may_see(p)),
        tables=[(each, TITLES[each][place]) for each in tables_of(run, staff=ctx.actor.may(Permission.SEE_ALL))],
    )


def _column(name: str, index: int, lang: Lang) -> ListColumn:
    """A column of an evidence file: numbers as they are, codes in words; those with few values can be chosen from."""
    title = report_words.say(report_words.of(report_words.COLUMNS, name), lang) or name
    title = full_width(title) if lang is Lang.ZH else title
    if name in NUMBERS:
        return ListColumn(name, title, "yuan" if name.endswith("_yuan") else "n", value=lambda row: row[index])
    kind, choose = ("plant" if name == "plant" else "text"), name in ("unit", "plant", *report_words.CODED)
    return ListColumn(name, title, kind, value=lambda row: _cell(name, row[index], lang), choose=choose)


def _cell(column: str, text: str, lang: Lang) -> str:
    if column == "subject":
        return full_width(subject_words(text)[0]) if lang is Lang.ZH else subject_words(text)[1]
    if _INSTANT.match(text):
        return text[:10] + " " + text[11:].removesuffix("+08:00")
    said = instants_to_read(shown_cell(column, text, lang))
    return full_width(said) if lang is Lang.ZH else said


@api_get("/runs/{number:int}/evidence/{name:str}", Permission.SEE_OWN, own=True)
def evidence(
    ctx: Ctx, number: Number, name: FromPath[str], unit: Annotated[str, QueryParameter(max_length=64)] = ""
) -> Response[bytes]:
    """The CSV file of a statement's evidence, its rows of the units one may see; of one unit where named."""
    run = opened(ctx, number)
    columns, rows = _rows(ctx, run, name, unit)
    lines = [columns, *rows]
    text = "".join(",".join(_quoted(cell) for cell in line) + "\n" for line in lines)
    return attachment(text.encode(), f"{run.facts.month}-run{number}-{name}.csv", "text/csv")


def _quoted(cell: str) -> str:
    if any(sign in cell for sign in ',"\n'):
        return '"' + cell.replace('"', '""') + '"'
    return cell


ROUTES: Final[Sequence[Any]] = [evidence_page, evidence]
