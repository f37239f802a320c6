# SPDX-License-Identifier: GPL-3.0-or-later
"""A plant's own copy of a statement for people: tables of its rows as XLSX, and the first of them as PDF.

The cells are those of the CSV files; headings and codes are words, numbers are numbers. `about`: the copy's month, run
and edition, as pairs of a name and a text.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

from collector.report import words
from collector.report.evidence import NUMBERS, SHEET_ROWS, shown_cell
from collector.report.numbers import format_instant, group_digits
from collector.report.pdf import make_pdf
from collector.report.sheets import Book, SheetColumn
from collector.report.words import Lang, Words

_HEADINGS: Final[Mapping[str, Words]] = {
    **words.COLUMNS,
    "article": ("条款", "article"),
    "quantity": ("计量", "quantity"),
    "quantity_unit": ("单位", "unit of measure"),
    "coverage": ("数据完整率", "coverage"),
    "amount_yuan": ("金额(元)", "amount (yuan)"),
    "status": ("状态", "status"),
    "low_yuan": ("下限(元)", "low (yuan)"),
    "high_yuan": ("上限(元)", "high (yuan)"),
    "provisional": ("暂定", "provisional"),
    "compensation_yuan": ("补偿费用(元)", "compensation (yuan)"),
    "revenue_yuan": ("上网电费等(元)", "revenue (yuan)"),
    "allocation_yuan": ("分摊费用(元)", "allocation (yuan)"),
    "net_yuan": ("结算费用(元)", "net (yuan)"),
    "determinant": ("计量项", "determinant"),
    "value": ("数值", "value"),
    "value_unit": ("单位", "unit of measure"),
    "scope_s": ("范围(s)", "scope (s)"),
    "known_s": ("已知(s)", "known (s)"),
    "counted_s": ("计入(s)", "counted (s)"),
    "excluded_s": ("剔除(s)", "excluded (s)"),
    "own_fault_s": ("自身原因(s)", "own fault (s)"),
    "duration_s": ("时长(s)", "duration (s)"),
    "debit_yuan": ("借(元)", "debit (yuan)"),
    "credit_yuan": ("贷(元)", "credit (yuan)"),
    "kind": ("类型", "kind"),
    "id": ("编号", "id"),
    "issued": ("下达时刻", "issued"),
    "entry": ("凭证号", "entry"),
    "reverses": ("冲销凭证号", "reverses"),
    "edition": ("版次", "edition"),
    "run": ("运行", "run"),
    "posted": ("记账时刻", "posted"),
    "old_final_mwh": ("旧表止度(MWh)", "old final (MWh)"),
    "new_initial_mwh": ("新表起度(MWh)", "new initial (MWh)"),
    "document": ("文号", "document"),
    "source": ("来源", "source"),
    "called": ("调用时刻", "called"),
    "agc_setpoint_mw": ("AGC指令(MW)", "AGC set-point (MW)"),
}
_NUMBERS: Final = NUMBERS | {
    *("quantity", "coverage", "low_yuan", "high_yuan", "compensation_yuan", "revenue_yuan", "allocation_yuan"),
    *("net_yuan", "value", "scope_s", "known_s", "counted_s", "excluded_s", "own_fault_s", "duration_s"),
    *("debit_yuan", "credit_yuan", "power_mw", "old_final_mwh", "new_initial_mwh"),
}
_COUNTS: Final = frozenset({"provisional", "entry", "reverses", "edition", "count"})
# Columns of inputs with instants as UTC milliseconds in the file; people see local times.
_INSTANTS: Final = frozenset({"start", "end", "issued", "time", "called"})
_STATUSES: Final = {**words.STATUSES, "blocked": words.MONTH_BLOCKED}

Table = tuple[Words, Sequence[str], Sequence[Sequence[str]]]  # title, columns, rows as in the CSV file


def copy_xlsx(about: Sequence[tuple[str, str]], tables: Sequence[Table]) -> bytes:
    """One sheet per table, at most its first SHEET_ROWS rows, after a sheet about the copy."""
    target = io.BytesIO()
    book = Book(target, about[0][1])
    book.text_sheet("说明", "", (SheetColumn("项目", "text", 24), SheetColumn("内容", "text", 80)), about)
    for (title, english), columns, rows in tables:
        sheet = [SheetColumn(_heading(name, Lang.BOTH), _kind(name), 18) for name in columns]
        cut = f",本表为前 {SHEET_ROWS} 行 (the first of them here)" if len(rows) > SHEET_ROWS else ""
        shown = [_shown(columns, row, Lang.BOTH) for row in rows[:SHEET_ROWS]]
        book.text_sheet(title, f"{english} · {len(rows)} 行 rows{cut}", sheet, shown)
    book.book.close()
    return target.getvalue()


def copy_pdf(about: Sequence[tuple[str, str]], tables: Sequence[Table]) -> bytes:
    """The tables on A4, in Chinese; call only where `why_no_pdf` gives no reason against it."""
    shown: list[dict[str, Any]] = []
    for (title, _), columns, rows in tables:
        kept = [place for place, name in enumerate(columns) if any(row[place] for row in rows)]
        numbers = ["n" if columns[place] in _NUMBERS else "t" for place in kept]
        cells = [
            [group_digits(row[place]) if columns[place].endswith("_yuan") else row[place] for place in kept]
            for row in (_shown(columns, each, Lang.ZH) for each in rows)
        ]
        head = [_heading(columns[place], Lang.ZH) for place in kept]
        shown.append({"title": title, "head": head, "align": numbers, "rows": cells})
    (_, title), *notes = about
    return make_pdf({"title": title, "head": "", "notes": [f"{k}:{v}" for k, v in notes], "tables": shown})


def _heading(name: str, lang: Lang) -> str:
    return words.say(_HEADINGS[name], lang) if name in _HEADINGS else name


def _kind(name: str) -> str:
    if name.endswith("_yuan"):
        return "yuan"
    if name in _COUNTS:
        return "count"
    return "quantity" if name in _NUMBERS else "text"


def _shown(columns: Sequence[str], row: Sequence[str], lang: Lang) -> list[str]:
    return [
        words.all_of(_STATUSES, cell, lang) if name == "status" and cell else _cell(name, cell, lang)
        for name, cell in zip(columns, row, strict=True)
    ]


def _cell(name: str, cell: str, lang: Lang) -> str:
    return format_instant(int(cell)) if name in _INSTANTS and cell.isdecimal() else shown_cell(name, cell, lang)
