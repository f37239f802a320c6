# SPDX-License-Identifier: GPL-3.0-or-later
"""The worksheets of a workbook as rows of text, with the limits a hostile workbook needs.

A workbook is a ZIP of XML: its uncompressed size is bounded before anything is parsed (a ZIP member never yields more
than it declares), rows and columns while they are read. A number is read as its shortest decimal form, written out, as
a person sees it in the sheet. Cells whose display differs from the stored value are reported with their place: formulas
(the value depends on the program that computed them last), errors, numbers that became dates, merged cells.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

from collector.sheets.findings import Unreadable

MAX_MEMBERS: Final = 1000
MAX_COLUMNS: Final = 256
ZIP, OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"

_PIECE_BYTES: Final = 1024**2
_COLUMN: Final = re.compile(rb'r="([A-Z]{1,3})\d')
# A cell with content: `<c r="B7" s="1"/>` has only a style.
_FILLED_CELL: Final = re.compile(rb'<(?:\w+:)?c\s(?:[^<>]*\s)?r="([A-Z]{1,3})\d+"[^<>]*(?<!/)>')
_UNPLACED_CELL: Final = re.compile(rb'<(?:\w+:)?c(?:>|\s(?![^<>]*\br="))')
_MERGE: Final = re.compile(rb'<(?:\w+:)?mergeCell\s+ref="([A-Z]{1,3}(\d{1,7}):[A-Z]{1,3}(\d{1,7}))"')


@dataclass(frozen=True, slots=True)
class Odd:
    """A cell that a CSV would not hold as people see it. `code`: formula, error_value or date; `index`: from 0."""

    code: str
    row: int
    index: int
    value: Any

    @property
    def place(self) -> str:
        """The cell's name in a spreadsheet, e.g. C4."""
        return f"{_letters(self.index)}{self.row}"


class Worksheet:
    """One sheet, read as often as asked. Rows and columns count as a spreadsheet does."""

    def __init__(self, sheet: Any, archive: zipfile.ZipFile, max_rows: int) -> None:
        self.title: str = sheet.title
        self._sheet = sheet
        self._archive = archive
        self._max_rows = max_rows

    def rows(self, text_of_odd: Callable[[Odd], str]) -> Iterator[tuple[int, tuple[str, ...]]]:
        """(row, cells) of every row, including blank rows before the last, without empty cells at the row's end.

        Raises:
            Unreadable: more rows or columns than the limits.
        """
        limit = f"{self._max_rows} rows, {MAX_COLUMNS} columns"
        width = self._width()
        if width > MAX_COLUMNS:
            raise Unreadable("too_big", size=f"a cell in column {_letters(width - 1)}", limit=limit)
        self._sheet.reset_dimensions()  # the declared size may be wrong
        # Never read the 16 384 columns that each of a million crafted rows may claim, nor rows up to a claimed number.
        rows = self._sheet.iter_rows(max_row=self._max_rows + 1, max_col=max(width, 1))
        for row, cells in enumerate(rows, 1):
            if row > self._max_rows:
                raise Unreadable("too_big", size=f"more than {self._max_rows} rows", limit=limit)
            texts = [_text(cell, row, index, text_of_odd) for index, cell in enumerate(cells)]
            while texts and not texts[-1]:
                texts.pop()
            yield row, tuple(texts)

    def date_of(self, days: float) -> date | time | timedelta:
        """The date of a number of days, by the era of the workbook (1900 or 1904).

        Raises:
            ValueError: there is none.
        """
        from openpyxl.utils.datetime import from_excel

        try:
            found: date | time | timedelta = from_excel(days, self._sheet.parent.epoch)
        except OverflowError as error:
            raise ValueError(str(error)) from error
        return found

    def merges(self) -> Iterator[tuple[str, int, int]]:
        """(range, first row, last row) of merged cells."""
        for piece in self._pieces():
            for place, top, bottom in _MERGE.findall(piece) if b"mergeCell" in piece else ():
                yield place.decode(), int(top), int(bottom)

    def _width(self) -> int:
        """The number of columns with content; up to the limit, columns with only a style count too (quicker)."""
        width = 0
        for piece in self._pieces():
            if _UNPLACED_CELL.search(piece):
                return MAX_COLUMNS
            names = set(_COLUMN.findall(piece))
            if any(_number(name) > MAX_COLUMNS for name in names):
                names = set(_FILLED_CELL.findall(piece))
            width = max(width, *map(_number, names), 0)
        return width

    def _pieces(self) -> Iterator[bytes]:
        """The sheet's XML in pieces, none of which ends within a tag: openpyxl's read-only mode leaves parts out."""
        rest = b""
        with self._archive.open(self._sheet._worksheet_path) as part:
            while read := part.read(_PIECE_BYTES):
                whole, sign, tail = (rest + read).rpartition(b"<")
                rest = sign + tail
                if len(rest) > _PIECE_BYTES:
                    raise Unreadable("not_workbook", reason="a part of its XML has no end")
                yield whole
        yield rest


@contextmanager
def open_workbook(data: bytes, *, max_bytes: int, max_rows: int) -> Iterator[list[Worksheet]]:
    """The worksheets of a workbook, at least one, without charts.

    `max_bytes`: limit of the unpacked size; `max_rows`: of one sheet.

    Raises:
        Unreadable: not a workbook, or one that unpacks to more than the limit.
    """
    if data.startswith(OLE):
        raise Unreadable("old_excel")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, warnings.catch_warnings():
            members = archive.infolist()
            total = sum(member.file_size for member in members)
            if total > max_bytes or len(members) > MAX_MEMBERS:
                size = f"{total} bytes unpacked, {len(members)} parts"
                raise Unreadable("too_big", size=size, limit=f"{max_bytes} bytes, {MAX_MEMBERS} parts")
            warnings.simplefilter("ignore")  # openpyxl warns of styles and validations it does not keep
            import openpyxl  # here: not needed where every table is CSV

            book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=False, keep_links=False)
            try:
                sheets = [ws for ws in book.worksheets if hasattr(ws, "reset_dimensions")]
                if not sheets:
                    raise Unreadable("not_workbook", reason="no sheet")
                yield [Worksheet(sheet, archive, max_rows) for sheet in sheets]
            finally:
                book.close()
    except Unreadable:
        raise
    except zipfile.BadZipFile as error:
        raise Unreadable("not_workbook", reason=error) from error
    except Exception as error:  # openpyxl raises whatever its XML and ZIP parsers raise
        raise Unreadable("not_workbook", reason=f"{type(error).__name__}: {error}") from error


def _text(cell: Any, row: int, index: int, text_of_odd: Callable[[Odd], str]) -> str:
    """The cell as a CSV would hold it."""
    value = cell.value
    if value is None:
        return ""
    if cell.data_type in ("f", "e"):
        return text_of_odd(Odd("formula" if cell.data_type == "f" else "error_value", row, index, value))
    if isinstance(value, datetime | date | time | timedelta):
        return text_of_odd(Odd("date", row, index, value))
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        return f"{Decimal(int(value) if value.is_integer() and abs(value) < 2**53 else repr(value)):f}"
    return str(value).strip()


def _number(letters: bytes) -> int:
    """The number of a column: A -> 1, AA -> 27."""
    number = 0
    for letter in letters:
        number = number * 26 + letter - ord("A") + 1
    return number


def _letters(index: int) -> str:
    """The name of a column in a spreadsheet: 0 -> A, 26 -> AA."""
    name, rest = "", index + 1
    while rest:
        rest, digit = divmod(rest - 1, 26)
        name = chr(ord("A") + digit) + name
    return name
