# SPDX-License-Identifier: GPL-3.0-or-later
"""The sheet of a workbook as rows of text: the one named 点表, else the first.

A workbook is a ZIP of XML and may be hostile: what it unpacks to is bounded before anything is parsed (a member never
yields more than it declares), rows and columns while they are read. What a spreadsheet shows and a file does not hold
is refused with its place: formulas, cells hidden by a merge, numbers that became dates.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from collector.points.findings import Findings

MAX_UNPACKED_BYTES: Final = 64 * 1024**2
MAX_MEMBERS: Final = 1000
MAX_ROWS: Final = 100_000
MAX_COLUMNS: Final = 256
SHEET_NAME: Final = "点表"

Rows = list[tuple[str, ...]]

# A cell that holds something: `<c r="B7" s="1"/>` is only painted.
_CELL = re.compile(rb'<(?:\w+:)?c\s(?:[^>]*\s)?r="([A-Z]{1,3})\d{1,7}"[^>]*(?<!/)>')
_UNPLACED_CELL = re.compile(rb'<(?:\w+:)?c(?:>|\s(?![^>]*\br="))')


@dataclass(frozen=True, slots=True)
class Sheet:
    """Rows of text, the first at index 0. `merges`: (range, first row, last row) as the spreadsheet counts.

    `ragged`: rows may differ in length, as in a CSV; a worksheet is rectangular.
    """

    rows: Rows
    merges: tuple[tuple[str, int, int], ...] = ()
    ragged: bool = False


_MERGE = re.compile(rb'<(?:\w+:)?mergeCell\s+ref="([A-Z]{1,3})(\d{1,7}):([A-Z]{1,3})(\d{1,7})"')


def read_workbook(data: bytes, findings: Findings) -> Sheet | None:
    """The sheet that holds the table. None where the workbook as a whole was refused."""
    if not _bounded(data, findings):
        return None
    import openpyxl  # here: not needed where every table is CSV

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl warns of styles and validations it does not keep
            book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=False, keep_links=False)
            try:
                sheets = [ws for ws in book.worksheets if hasattr(ws, "reset_dimensions")]  # the others are charts
                if not sheets:
                    findings.add("not_workbook", reason="no sheet")
                    return None
                sheet: Any = next((ws for ws in sheets if ws.title.strip() == SHEET_NAME), sheets[0])
                # What openpyxl does not tell of in its read-only way stands in the part itself.
                with zipfile.ZipFile(io.BytesIO(data)) as archive:
                    xml = archive.read(sheet._worksheet_path)
                rows = _rows(sheet, xml, findings)
                return None if rows is None else Sheet(rows, tuple(_merges(xml)))
            finally:
                book.close()
    except Exception as error:  # openpyxl raises whatever its XML and ZIP parsers raise
        findings.add("not_workbook", reason=f"{type(error).__name__}: {error}")
        return None


def _bounded(data: bytes, findings: Findings) -> bool:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OverflowError, NotImplementedError) as error:
        findings.add("not_workbook", reason=str(error))
        return False
    total = sum(member.file_size for member in members)
    if total > MAX_UNPACKED_BYTES or len(members) > MAX_MEMBERS:
        limit = f"{MAX_UNPACKED_BYTES} bytes, {MAX_MEMBERS} parts"
        findings.add("too_big", size=f"{total} bytes unpacked, {len(members)} parts", limit=limit)
        return False
    return True


def _rows(sheet: Any, xml: bytes, findings: Findings) -> Rows | None:
    sheet.reset_dimensions()  # the declared size may be wrong
    rows: Rows = []
    limit = f"{MAX_ROWS} rows, {MAX_COLUMNS} columns"
    width = _width(xml)
    if width > MAX_COLUMNS:
        findings.add("too_big", size=f"a cell in column {_letters(width - 1)}", limit=limit)
        return None
    # Never the 16 384 columns each of a million crafted rows may claim.
    for number, cells in enumerate(sheet.iter_rows(max_col=width), 1):
        if number > MAX_ROWS:
            findings.add("too_big", size="more rows", limit=limit)
            return None
        texts = [_text(cell, number, index, findings) for index, cell in enumerate(cells)]
        while texts and not texts[-1]:
            texts.pop()
        rows.append(tuple(texts))
    return rows


def _text(cell: Any, row: int, index: int, findings: Findings) -> str:
    """The cell as a CSV would hold it; a number as the shortest decimal that names it."""
    value = cell.value
    if value is None:
        return ""
    place = f"{_letters(index)}{row}"
    if cell.data_type == "f":
        findings.add("formula", row, place=place)
        return ""
    if cell.data_type == "e":
        findings.add("error_value", row, place=place, text=value)
        return ""
    if isinstance(value, datetime | date | time | timedelta):
        findings.add("date", row, place=place)
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    return str(value).strip()


def _width(xml: bytes) -> int:
    """How many columns hold something."""
    if _UNPLACED_CELL.search(xml):
        return MAX_COLUMNS
    return 1 + max((_index(name.decode()) for name in set(_CELL.findall(xml))), default=0)


def _index(letters: str) -> int:
    """The other way round: A -> 0, AA -> 26."""
    index = 0
    for letter in letters:
        index = index * 26 + ord(letter) - ord("A") + 1
    return index - 1


def _letters(index: int) -> str:
    """The name a spreadsheet gives its column: 0 -> A, 26 -> AA."""
    name, rest = "", index + 1
    while rest:
        rest, digit = divmod(rest - 1, 26)
        name = chr(ord("A") + digit) + name
    return name


def _merges(xml: bytes) -> Iterator[tuple[str, int, int]]:
    """(range, first row, last row) of merged cells."""
    for found in _MERGE.finditer(xml):
        left, top, right, bottom = (part.decode() for part in found.groups())
        yield f"{left}{top}:{right}{bottom}", int(top), int(bottom)
