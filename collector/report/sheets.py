# SPDX-License-Identifier: GPL-3.0-or-later
"""Spreadsheets as the trade expects them: title, note, frozen header, print set-up, totals as formulas.

Text is always written as text. A text that a spreadsheet could take for a formula has the quote prefix, so that it
stays text when the cell is edited. The file has no timestamps: the same rows give the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import xlsxwriter
from xlsxwriter.packager import Packager
from xlsxwriter.sharedstrings import SharedStrings
from xlsxwriter.utility import xl_col_to_name
from xlsxwriter.worksheet import Worksheet

from collector.report.numbers import QUANTITY_DIGITS, scaled

_NOT_IN_A_NAME: Final = re.compile(r"[\[\]:*?/\\\x00-\x1f\x7f]|'")  # of a sheet, as Excel has it
_MARK_COLOUR: Final = "#6B2FA0"
_NAME_LIMIT: Final = 31  # UTF-16 units
_CELL_LIMIT: Final = 32_767  # UTF-16 units
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
class SheetColumn:
    """A column: its title, the kind of its cells, its width in characters."""

    title: str
    kind: str
    width: int = 14


class Book:
    """A workbook being written; one method per kind of cell."""

    def __init__(self, target: Path | BytesIO, title: str, mark: str = "") -> None:
        """`mark`: printed across the head of every sheet, and what the reader sees first of its title; "": none."""
        self._mark = mark
        options = {
            "in_memory": True,
            "strings_to_formulas": False,
            "strings_to_urls": False,
            "strings_to_numbers": False,
        }
        self.book = _Workbook(str(target) if isinstance(target, Path) else target, options)
        self.book.set_properties({"title": title, "created": datetime(2000, 1, 1, tzinfo=UTC)})
        base = {"font_size": 10, "border": 1, "valign": "top"}
        self.formats = {kind: self.book.add_format({**base, **extra}) for kind, extra in _FORMATS.items()}
        self.totals = {
            kind: self.book.add_format({**base, **extra, "bold": True, "top": 2}) for kind, extra in _FORMATS.items()
        }
        self.header = self.book.add_format({**base, "bold": True, "bg_color": "#E7E6E6", "text_wrap": True})
        colour = {"font_color": _MARK_COLOUR} if mark else {}
        self.title = self.book.add_format({"bold": True, "font_size": 14, **colour})
        self.note = self.book.add_format({"font_size": 9, "font_color": "#555555"})

    def sheet(
        self, name: str, note: str, columns: Sequence[SheetColumn], rows: Iterable[Sequence[Any]]
    ) -> tuple[Any, int, int]:
        """Add a sheet: title, note, frozen header and rows; returns it, its first and its last data row (0-based)."""
        sheet = self._headed(name, note, columns)
        last = 2
        for last, row in enumerate(rows, 3):
            for index, (column, value) in enumerate(zip(columns, row, strict=True)):
                self.cell(sheet, last, index, column.kind, value)
        if last > 2:
            sheet.autofilter(2, 0, last, len(columns) - 1)
        return sheet, 3, last

    def plain_sheet(self, name: str, note: str, columns: Sequence[SheetColumn], rows: Iterable[Sequence[Any]]) -> None:
        """Add a sheet like that of `sheet`, below whose rows nothing is written."""
        written = [
            [
                "" if value is None else str(value) if column.kind == "text" else repr(shown(value))
                for column, value in zip(columns, row, strict=True)
            ]
            for row in rows
        ]
        self.text_sheet(name, note, columns, written)

    def text_sheet(self, name: str, note: str, columns: Sequence[SheetColumn], rows: Sequence[Sequence[str]]) -> None:
        """Add a sheet like that of `plain_sheet`, every value given as text, also numbers."""
        sheet = self._headed(name, note, columns, _TextRowsSheet)
        if rows:
            numbers = [None if column.kind == "text" else self.formats[column.kind] for column in columns]
            sheet.put_rows(3, rows, numbers, self._text_format)
            sheet.autofilter(2, 0, 2 + len(rows), len(columns) - 1)

    def _headed(self, name: str, note: str, columns: Sequence[SheetColumn], kind: type | None = None) -> Any:
        sheet = self.book.add_worksheet(_sheet_name(name), kind)
        sheet.set_landscape()
        sheet.set_paper(9)  # A4
        sheet.fit_to_pages(1, 0)
        sheet.set_margins(left=0.4, right=0.4, top=0.6, bottom=0.6)
        sheet.set_footer("&L&A&R&P / &N")
        if self._mark:
            sheet.set_header(f"&C&36&K{_MARK_COLOUR[1:]}{self._mark}")
            sheet.set_tab_color(_MARK_COLOUR)
        sheet.write_string(0, 0, f"{self._mark} · {name}" if self._mark else name, self.title)
        sheet.write_string(1, 0, note, self.note)
        for index, column in enumerate(columns):
            sheet.set_column(index, index, column.width)
            sheet.write_string(2, index, column.title, self.header)
        sheet.freeze_panes(3, 0)
        sheet.repeat_rows(2)
        return sheet

    def cell(self, sheet: Any, row: int, column: int, kind: str, value: Any) -> None:
        """Write one cell; None stays blank, text never becomes a formula."""
        if value is None or (isinstance(value, str) and not value):  # comparing a Fraction with "" is slow
            sheet.write_blank(row, column, None, self.formats["text"])
        elif kind == "text":
            text = str(value)
            sheet.write_string(row, column, text, self._text_format(text))
        else:
            sheet.write_number(row, column, shown(value), self.formats[kind])

    def _text_format(self, text: str) -> Any:
        return self.formats["quoted" if text.startswith(FORMULA_STARTS) else "text"]

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
        return -size if value.numerator < 0 else size
    return float(value)


def plain_text(text: str) -> str:
    """A text cell of a CSV for spreadsheets: an apostrophe keeps it from becoming a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def _sheet_name(name: str) -> str:
    allowed = _NOT_IN_A_NAME.sub("_", name).encode("utf-16-le")[: 2 * _NAME_LIMIT]
    return allowed.decode("utf-16-le", "ignore")


class _TextRowsSheet(Worksheet):  # type: ignore[misc]  # xlsxwriter has no types
    """A sheet whose last rows are texts, of numbers in some columns; it is the library's own, byte for byte.

    The tables of evidence have up to a million cells: the library takes five times as long for them and keeps each as
    an object until the file is closed.
    """

    dim_rowmax: Any
    _rows: Sequence[Sequence[str]] = ()

    def put_rows(
        self, first: int, rows: Sequence[Sequence[str]], numbers: Sequence[Any], text_format: Callable[[str], Any]
    ) -> None:
        """Take the rows, to be shown from row `first` (0-based) on.

        Args:
            first: the row below the header.
            rows: at least one; an empty text is a blank cell.
            numbers: for each column the format of its numbers, None where it is of texts.
            text_format: the format of a text, and of a blank cell.
        """
        self._first, self._rows, self._numbers, self._text_format = first, rows, numbers, text_format
        self._check_dimensions(first + len(rows) - 1, len(numbers) - 1)
        index_of = self.str_table._get_shared_string_index
        places = [place for place, number in enumerate(numbers) if number is None]
        texts = [row[place] for row in rows for place in places if row[place]]
        self._shared = {text: index_of(_fitting(text)) for text in dict.fromkeys(texts)}
        self.str_table.count += len(texts) - len(self._shared)

    def _write_rows(self) -> None:
        last: int = self.dim_rowmax
        self.dim_rowmax = last - len(self._rows)
        super()._write_rows()
        self.dim_rowmax = last
        if not self._rows:
            return
        marks = [str(n) for n in range(self._first + 1, self._first + 1 + len(self._rows))]
        columns = [
            self._cells(xl_col_to_name(place), number, marks, texts)
            for place, (number, texts) in enumerate(zip(self._numbers, zip(*self._rows, strict=True), strict=True))
        ]
        spans = f'spans="1:{len(columns)}"'
        rows = zip(marks, zip(*columns, strict=True), strict=True)
        self.fh.write("".join([f'<row r="{mark}" {spans}>{"".join(cells)}</row>' for mark, cells in rows]))

    def _cells(self, name: str, number: Any, marks: Sequence[str], texts: Sequence[str]) -> list[str]:
        """The cells of a column; a text that comes again has the same behind its place."""
        if number is None:
            ends = {text: self._text_end(text) for text in set(texts)}
        else:
            style = f'" s="{number._get_xf_index()}"><v>'
            ends = {text: f"{style}{float(text):.16G}</v></c>" for text in set(texts) if text}
            ends[""] = self._text_end("")
        return [f'<c r="{name}{mark}{ends[text]}' for mark, text in zip(marks, texts, strict=True)]

    def _text_end(self, text: str) -> str:
        style = f'" s="{self._text_format(text)._get_xf_index()}"'
        return f'{style} t="s"><v>{self._shared[text]}</v></c>' if text else f"{style}/>"


def _fitting(text: str) -> str:
    if 2 * len(text) <= _CELL_LIMIT:
        return text
    return text.encode("utf-16-le")[: 2 * _CELL_LIMIT].decode("utf-16-le", "ignore")


class _Workbook(xlsxwriter.Workbook):  # type: ignore[misc]  # as above
    """The library's own but for how fast its texts are written."""

    def _get_packager(self) -> Packager:
        return _Packager()


class _Packager(Packager):  # type: ignore[misc]
    def _write_shared_strings_file(self) -> None:
        if self.workbook.str_table.count:
            texts = _SharedTexts()
            texts.string_table = self.workbook.str_table
            texts._set_xml_writer(self._filename("xl/sharedStrings.xml"))
            texts._assemble_xml_file()


class _SharedTexts(SharedStrings):  # type: ignore[misc]
    """The texts of all sheets, ten thousands of them, escaped as one text where none is unusual; the same bytes."""

    def _write_sst_strings(self) -> None:
        texts = self.string_table.string_array
        whole = "".join(texts)
        unusual = not whole.isprintable() or "_x" in whole or "<r>" in whole
        if unusual or any(text[:1] == " " or text[-1:] == " " for text in texts):
            super()._write_sst_strings()
        else:
            cells = self._escape_data("\n".join(texts)).replace("\n", "</t></si><si><t>")
            self.fh.write(f"<si><t>{cells}</t></si>")
