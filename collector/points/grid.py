# SPDX-License-Identifier: GPL-3.0-or-later
"""A point table as header and rows of cells, from a CSV or a workbook (the sheet 点表, else its first).

The content decides the format, not the file name. Rows count as a spreadsheet shows them (the first line is row 1,
blank ones count). Title lines above the header are tolerated when the header is among the first ten rows.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from collector.points.findings import TableFindings
from collector.points.words import HEADINGS, column_of, fold
from collector.sheets.files import csv_rows, decode_text, other_delimiter, read_regular
from collector.sheets.findings import Unreadable
from collector.sheets.xlsx import OLE, ZIP, Odd, open_workbook

MAX_BYTES: Final = 16 * 1024**2
MAX_UNPACKED_BYTES: Final = 64 * 1024**2
MAX_ROWS: Final = 100_000
SHEET_NAME: Final = "点表"
HEADER_WITHIN: Final = 10


@dataclass(frozen=True, slots=True)
class Sheet:
    """Rows of text, the first at index 0. `merges`: (range, first row, last row) as the spreadsheet counts.

    `ragged`: rows may differ in length, as in a CSV; a worksheet is rectangular.
    """

    rows: list[tuple[str, ...]]
    merges: tuple[tuple[str, int, int], ...] = ()
    ragged: bool = False


@dataclass(frozen=True, slots=True)
class PointSheet:
    """A table under its headings.

    `headings`: column -> heading in the file; `rows`: (row, cells by column), blank rows left out.
    """

    file: str
    header_row: int
    headings: Mapping[str, str]
    rows: tuple[tuple[int, Mapping[str, str]], ...]


def read_table(path: Path, findings: TableFindings, ignored: Iterable[str] = ()) -> PointSheet | None:
    """The table in a file; None where the file was refused. `ignored`: headings of columns to ignore."""
    sheet = read_sheet(path, findings)
    return None if sheet is None else _table(sheet, findings, frozenset(map(fold, ignored)))


def read_sheet(path: Path, findings: TableFindings) -> Sheet | None:
    """The rows of a file, with whatever headings. None where the file as a whole was refused."""
    try:
        data = read_regular(path, MAX_BYTES)
        return _read_workbook(data, findings) if data.startswith((ZIP, OLE)) else _read_csv(data)
    except Unreadable as refused:
        findings.refuse(findings.file, refused)
        return None


def _read_csv(data: bytes) -> Sheet:
    rows = []
    for _, cells in csv_rows(io.StringIO(decode_text(data), newline="")):
        rows.append(tuple(cells))
        if len(rows) > MAX_ROWS:
            raise Unreadable("too_big", size=f"more than {MAX_ROWS} rows", limit=f"{MAX_ROWS} rows")
    return Sheet(rows, ragged=True)


def _read_workbook(data: bytes, findings: TableFindings) -> Sheet:
    def text_of(odd: Odd) -> str:
        findings.find(odd.code, odd.row, place=odd.place, text=odd.value)
        return ""

    with open_workbook(data, max_bytes=MAX_UNPACKED_BYTES, max_rows=MAX_ROWS) as sheets:
        sheet = next((sheet for sheet in sheets if sheet.title.strip() == SHEET_NAME), sheets[0])
        return Sheet([cells for _, cells in sheet.rows(text_of)], tuple(sheet.merges()))


def _table(sheet: Sheet, findings: TableFindings, ignored: frozenset[str]) -> PointSheet | None:
    at = _header_index(sheet.rows)
    if at is None:
        _no_header(sheet.rows, findings)
        return None
    header = sheet.rows[at]
    places = _columns(at + 1, header, findings, ignored)
    headings = {key: header[index] for key, index in places.items()}
    findings.headings = headings
    for place, top, bottom in sheet.merges:
        if bottom > at and top <= len(sheet.rows):
            findings.find("merged", top, place=place)
    rows = []
    for number, cells in enumerate(sheet.rows[at + 1 :], at + 2):
        if any(cells) and _fits(number, cells, header, sheet.ragged, findings):
            filled = {key: cells[index] if index < len(cells) else "" for key, index in places.items()}
            _check_characters(number, filled, findings)
            rows.append((number, filled))
    return PointSheet(findings.file, at + 1, headings, tuple(rows))


def _header_index(rows: Sequence[Sequence[str]]) -> int | None:
    """The first row that names both name and address; else the row that names most columns, at least two."""
    known = [{column_of(cell) for cell in cells if cell} - {None, ""} for cells in rows[:HEADER_WITHIN]]
    full = [index for index, columns in enumerate(known) if {"name", "address"} <= columns]
    if full:
        return full[0]
    best = max(range(len(known)), key=lambda index: len(known[index]), default=None)
    return best if best is not None and len(known[best]) >= 2 else None


def _no_header(rows: Sequence[Sequence[str]], findings: TableFindings) -> None:
    first = next((cells for cells in rows[:HEADER_WITHIN] if any(cells)), ())
    if sign := other_delimiter(first):
        findings.find("delimiter", text=sign)
    else:
        findings.find("no_header", limit=HEADER_WITHIN)


def _columns(row: int, header: Sequence[str], findings: TableFindings, ignored: frozenset[str]) -> dict[str, int]:
    """The place of each known column; unknown columns, and two of one meaning, are reported."""
    places: dict[str, int] = {}
    for index, heading in enumerate(header):
        key = column_of(heading) if heading and fold(heading) not in ignored else ""
        if key is None:
            known = [*HEADINGS, *(word for words in HEADINGS.values() for word in words)]
            findings.near("column_unknown", row, heading, heading, known)
        elif key in places:
            findings.find("column_twice", row, heading, column_key=key, first=header[places[key]])
        elif key:
            places[key] = index
    return places


def _fits(row: int, cells: Sequence[str], header: Sequence[str], ragged: bool, findings: TableFindings) -> bool:
    """True if every cell is below a heading, and every heading above a cell."""
    if ragged and len(cells) != len(header):
        findings.find("cell_count", row, count=len(cells), expected=len(header))
        return False
    if any(cells[len(header) :]):
        findings.find("cell_beyond", row)
        return False
    for index, cell in enumerate(cells[: len(header)]):
        if cell and not header[index]:
            findings.find("column_unnamed", row, number=index + 1)
            return False
    return True


def _check_characters(row: int, cells: Mapping[str, str], findings: TableFindings) -> None:
    """Refuse control characters other than line breaks: a cell may be shown in a terminal and in pages."""
    for key, cell in cells.items():
        allowed = "\n\r\t" if key == "description" else ""
        odd = next((c for c in cell if not c.isprintable() and c not in allowed and c != "\u3000"), None)
        if odd is not None:
            findings.find("control_character", row, key, text=f"U+{ord(odd):04X}")
