# SPDX-License-Identifier: GPL-3.0-or-later
"""A file as header and rows of cells, whether CSV in UTF-8 or GBK, or a workbook; what a file says, before its meaning.

What is read decides, not the name of the file. Rows count as a spreadsheet shows them (the first line is row 1, blank
ones count). Title lines above the header are tolerated when the header is among the first ten rows.
"""

from __future__ import annotations

import csv
import io
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from collector.points.findings import Findings
from collector.points.words import HEADINGS, column_of
from collector.points.workbook import MAX_ROWS, Sheet, read_workbook

MAX_BYTES: Final = 16 * 1024**2
HEADER_WITHIN: Final = 10
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"


@dataclass(frozen=True, slots=True)
class Table:
    """`headings`: column -> heading as the file writes it; `rows`: (row, cells by column), blank rows left out."""

    file: str
    header_row: int
    headings: Mapping[str, str]
    rows: tuple[tuple[int, Mapping[str, str]], ...]


def read_table(path: Path, findings: Findings) -> Table | None:
    """The table in a file. None where the file as a whole was refused."""
    sheet = read_sheet(path, findings)
    return None if sheet is None else _table(sheet, findings)


def read_sheet(path: Path, findings: Findings) -> Sheet | None:
    """The rows of a file, whatever their headings. None where the file as a whole was refused."""
    data = _read(path, findings)
    if data is None:
        return None
    if data.startswith(_OLE):
        findings.add("old_excel")
        return None
    return read_workbook(data, findings) if data.startswith(_ZIP) else _read_csv(data, findings)


def _read(path: Path, findings: Findings) -> bytes | None:
    try:
        # Opening a pipe must not wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                findings.add("unreadable", reason="is not a regular file")
                return None
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        findings.add("unreadable", reason=error.strerror)
        return None
    if len(data) > MAX_BYTES:
        findings.add("too_big", size=f"more than {MAX_BYTES} bytes", limit=f"{MAX_BYTES} bytes")
        return None
    return data


def _read_csv(data: bytes, findings: Findings) -> Sheet | None:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            text = data.decode("gb18030")
        except UnicodeDecodeError:
            findings.add("encoding")
            return None
    if "\0" in text:
        findings.add("encoding")
        return None
    try:
        rows = [
            tuple(cell.strip() for cell in cells) for cells in csv.reader(io.StringIO(text, newline=""), strict=True)
        ]
    except csv.Error as error:
        findings.add("not_csv", reason=str(error))
        return None
    if len(rows) > MAX_ROWS:
        findings.add("too_big", size=f"{len(rows)} rows", limit=f"{MAX_ROWS} rows")
        return None
    return Sheet(rows, ragged=True)


def _table(sheet: Sheet, findings: Findings) -> Table | None:
    at = _header_index(sheet.rows)
    if at is None:
        _no_header(sheet.rows, findings)
        return None
    header = sheet.rows[at]
    places = _columns(at + 1, header, findings)
    headings = {key: header[index] for key, index in places.items()}
    findings.headings = headings
    for place, top, bottom in sheet.merges:
        if bottom > at and top <= len(sheet.rows):
            findings.add("merged", top, place=place)
    rows = []
    for number, cells in enumerate(sheet.rows[at + 1 :], at + 2):
        if any(cells) and _fits(number, cells, header, sheet.ragged, findings):
            filled = {key: cells[index] if index < len(cells) else "" for key, index in places.items()}
            _check_characters(number, filled, findings)
            rows.append((number, filled))
    return Table(findings.file, at + 1, headings, tuple(rows))


def _header_index(rows: Sequence[Sequence[str]]) -> int | None:
    """The first row that names both name and address; failing that, the one that names most columns, at least two."""
    known = [{column_of(cell) for cell in cells if cell} - {None, ""} for cells in rows[:HEADER_WITHIN]]
    full = [index for index, columns in enumerate(known) if {"name", "address"} <= columns]
    if full:
        return full[0]
    best = max(range(len(known)), key=lambda index: len(known[index]), default=None)
    return best if best is not None and len(known[best]) >= 2 else None


def _no_header(rows: Sequence[Sequence[str]], findings: Findings) -> None:
    first = next((cells for cells in rows[:HEADER_WITHIN] if any(cells)), ())
    for sign, name in (("\t", "TAB"), (";", ";")):
        if len(first) == 1 and first[0].count(sign) >= 2:
            findings.add("delimiter", text=name)
            return
    findings.add("no_header", limit=HEADER_WITHIN)


def _columns(row: int, header: Sequence[str], findings: Findings) -> dict[str, int]:
    """Where each known column is; unknown ones and two of one meaning are found."""
    places: dict[str, int] = {}
    for index, heading in enumerate(header):
        key = column_of(heading) if heading else ""
        if key is None:
            known = [*HEADINGS, *(word for words in HEADINGS.values() for word in words)]
            findings.near("column_unknown", row, heading, heading, known)
        elif key in places:
            findings.add("column_twice", row, heading, column_key=key, first=header[places[key]])
        elif key:
            places[key] = index
    return places


def _fits(row: int, cells: Sequence[str], header: Sequence[str], ragged: bool, findings: Findings) -> bool:
    """Whether every cell stands below a heading, and every heading above a cell."""
    if ragged and len(cells) != len(header):
        findings.add("cell_count", row, count=len(cells), expected=len(header))
        return False
    if any(cells[len(header) :]):
        findings.add("cell_beyond", row)
        return False
    for index, cell in enumerate(cells[: len(header)]):
        if cell and not header[index]:
            findings.add("column_unnamed", row, number=index + 1)
            return False
    return True


def _check_characters(row: int, cells: Mapping[str, str], findings: Findings) -> None:
    """A cell may be shown in a terminal and in pages: control characters other than line breaks have no business."""
    for key, cell in cells.items():
        allowed = "\n\r\t" if key == "description" else ""
        odd = next((c for c in cell if not c.isprintable() and c not in allowed and c != "\u3000"), None)
        if odd is not None:
            findings.add("control_character", row, key, text=f"U+{ord(odd):04X}")
