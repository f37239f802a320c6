# SPDX-License-Identifier: GPL-3.0-or-later
"""Spreadsheets as the trade expects them: title, note, frozen header, print set-up, totals as formulas.

Text is always written as text. A text that a spreadsheet could take for a formula has the quote prefix, so that it
stays text when the cell is edited. The file has no timestamps: the same rows give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import xlsxwriter
from xlsxwriter.utility import xl_col_to_name

from collector.report.numbers import QUANTITY_DIGITS, scaled

# Includes the full-width forms, which spreadsheets treat like the others under Chinese input.
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_FORMATS: Final[dict[str, dict[str, Any]]] = {
    "text": {},
    "quoted": {"quote_prefix": True},
    "yuan": {"num_format": "#,##0.00"},
    "quantity": {"num_format": "#,##0.000000"},
    "percent": {"num_format": "0.00%"},
    "hours": {"num_format": "#,##0.000"},
    "count": {"num_format": "0"},
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its title, the kind of its cells, its width in characters."""

    title: str
    kind: str
    width: int = 14


class Book:
    """A workbook being written; one method per kind of cell."""

    def __init__(self, target: Path | BytesIO, title: str) -> None:
        options = {
            "in_memory": True,
            "strings_to_formulas": False,
            "strings_to_urls": False,
            "strings_to_numbers": False,
        }
        self.book = xlsxwriter.Workbook(str(target) if isinstance(target, Path) else target, options)
        self.book.set_properties({"title": title, "created": datetime(2000, 1, 1, tzinfo=UTC)})
        base = {"font_size": 10, "border": 1, "valign": "top"}
        self.formats = {kind: self.book.add_format({**base, **extra}) for kind, extra in _FORMATS.items()}
        self.totals = {
            kind: self.book.add_format({**base, **extra, "bold": True, "top": 2}) for kind, extra in _FORMATS.items()
        }
        self.header = self.book.add_format({**base, "bold": True, "bg_color": "#E7E6E6", "text_wrap": True})
        self.title = self.book.add_format({"bold": True, "font_size": 14})
        self.note = self.book.add_format({"font_size": 9, "font_color": "#555555"})

    def sheet(
        self, name: str, note: str, columns: Sequence[Column], rows: Iterable[Sequence[Any]]
    ) -> tuple[Any, int, int]:
        """Add a sheet: title, note, frozen header and rows; returns it, its first and its last data row (0-based)."""
        sheet = self.book.add_worksheet(name)
        sheet.set_landscape()
        sheet.set_paper(9)  # A4
        sheet.fit_to_pages(1, 0)
        sheet.set_margins(left=0.4, right=0.4, top=0.6, bottom=0.6)
        sheet.set_footer("&L&A&R&P / &N")
        sheet.write_string(0, 0, name, self.title)
        sheet.write_string(1, 0, note, self.note)
        for index, column in enumerate(columns):
            sheet.set_column(index, index, column.width)
            sheet.write_string(2, index, column.title, self.header)
        sheet.freeze_panes(3, 0)
        sheet.repeat_rows(2)
        last = 2
        for last, row in enumerate(rows, 3):
            for index, (column, value) in enumerate(zip(columns, row, strict=True)):
                self.cell(sheet, last, index, column.kind, value)
        if last > 2:
            sheet.autofilter(2, 0, last, len(columns) - 1)
        return sheet, 3, last

    def cell(self, sheet: Any, row: int, column: int, kind: str, value: Any) -> None:
        """Write one cell; None stays blank, text never becomes a formula."""
        if value is None or (isinstance(value, str) and not value):  # comparing a Fraction with "" is slow
            sheet.write_blank(row, column, None, self.formats["text"])
        elif kind == "text":
            text = str(value)
            sheet.write_string(row, column, text, self.formats["quoted" if text.startswith(FORMULA_STARTS) else "text"])
        else:
            sheet.write_number(row, column, shown(value), self.formats[kind])

    def total(self, sheet: Any, row: int, column: int, first: int, last: int, kind: str, value: Any) -> None:
        """Write a sum over the column's rows, with its value for programs that do not calculate formulas."""
        name = xl_col_to_name(column)
        sheet.write_formula(row, column, f"=SUM({name}{first + 1}:{name}{last + 1})", self.totals[kind], shown(value))

    def label(self, sheet: Any, row: int, column: int, text: str) -> None:
        """Write a text into a totals row."""
        sheet.write_string(row, column, text, self.totals["text"])


def shown(value: Decimal | Fraction | int) -> float:
    """The float a sheet stores, as XLSX has only binary numbers; it shows the same digits as the CSV."""
    if isinstance(value, Fraction):
        size = scaled(value) / 10**QUANTITY_DIGITS  # division of two integers gives the nearest float
        return -size if value < 0 else size
    return float(value)


def plain_text(text: str) -> str:
    """A text cell of a CSV for spreadsheets: an apostrophe keeps it from becoming a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
