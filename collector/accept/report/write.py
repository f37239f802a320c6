# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of the report: accept.html to print and sign; accept.csv, accept.xlsx, accept.json: the same data."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from collector.accept.outcome import CheckOutcome
from collector.accept.report.facts import Fact, facts_of, hashes
from collector.accept.report.page import page_html
from collector.accept.run import Acceptance

SCHEMA: Final = 1
HEADINGS: Final = ("code", "name", "标题", "title", "做法", "done", "measured", "limit", "verdict", "reason",
                   "duration_s", "evidence")  # fmt: skip
_WIDTHS: Final = (6, 16, 22, 30, 40, 50, 50, 40, 14, 40, 10, 60)


def write_report(acceptance: Acceptance, *, started: str, ended: str) -> Path:
    """Write all files of the report into the folder of the run. Returns the path of the page."""
    out = acceptance.out
    facts = facts_of(acceptance, started=started, ended=ended)
    files = hashes(acceptance)
    rows = acceptance.rows()
    cells = [_cells(row) for row in rows]
    page = out / "accept.html"
    page.write_text(page_html(acceptance, facts, files), "utf-8")
    with (out / "accept.csv").open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([HEADINGS, *cells])
    _write_workbook(out / "accept.xlsx", facts, cells)
    data = {
        "schema": SCHEMA,
        "passed": acceptance.passed,
        "broken_off": acceptance.broken_off,
        **{fact.key: fact.value for fact in facts},
        "checks": [
            {
                "code": row.check.code, "name": row.check.name, "title_zh": row.check.zh, "title": row.check.en,
                "done_zh": row.check.done_zh, "done": row.check.done_en, "verdict": row.verdict.value,
                "measured": row.measured, "limit": row.limit, "reason": row.reason,
                "duration_s": round(row.duration_s, 1), "evidence": list(row.evidence),
            }
            for row in rows
        ],
        "changed_for_the_run": list(acceptance.changes),
        "sha256": files,
        "plan": acceptance.plan.settings.model_dump(by_alias=True),
    }  # fmt: skip
    (out / "accept.json").write_text(json.dumps(data, ensure_ascii=False, indent=2) + "\n", "utf-8")
    return page


def _cells(row: CheckOutcome) -> tuple[str, ...]:
    check = row.check
    return (
        check.code, check.name, check.zh, check.en, check.done_zh, check.done_en, row.measured, row.limit,
        row.verdict.value, row.reason, f"{row.duration_s:.1f}", "\n".join(row.evidence),
    )  # fmt: skip


def _write_workbook(path: Path, facts: Sequence[Fact], cells: Sequence[tuple[str, ...]]) -> None:
    import openpyxl
    from openpyxl.styles import Alignment, Font
    from openpyxl.utils import get_column_letter
    from openpyxl.worksheet.properties import PageSetupProperties

    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.title = "验收 acceptance"
    rows: list[Sequence[str]] = [(f"{fact.zh} {fact.en}", "", fact.value) for fact in facts]
    rows += [(), HEADINGS, *cells]
    head = len(facts) + 2
    for number, row in enumerate(rows, 1):
        for column, text in enumerate(row, 1):
            cell = sheet.cell(number, column, text)
            cell.data_type = "s"  # a text that begins with = must stay text
            cell.alignment = Alignment(vertical="top", wrap_text=number > head)
            if number == head:
                cell.font = Font(bold=True)
    for column, width in enumerate(_WIDTHS, 1):
        sheet.column_dimensions[get_column_letter(column)].width = width
    sheet.freeze_panes = f"C{head + 1}"
    sheet.page_setup.orientation = "landscape"
    sheet.page_setup.fitToHeight = 0
    sheet.sheet_properties.pageSetUpPr = PageSetupProperties(fitToPage=True)
    book.save(path)
