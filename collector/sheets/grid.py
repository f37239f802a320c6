# SPDX-License-Identifier: GPL-3.0-or-later
"""A header and rows of text, whatever file they came in; the checks every table shares.

`row` counts as an editor or a spreadsheet does: the header is row 1, blank lines count and are skipped.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final, Protocol

from collector.base.text import said_by, tr
from collector.sheets.efile import is_efile, table_in
from collector.sheets.files import Delivered, csv_rows, decode_text, other_delimiter
from collector.sheets.findings import Findings, Unreadable, nearest, worded
from collector.sheets.messages import OF_GRID
from collector.sheets.xlsx import MAX_COLUMNS, Odd, Worksheet, open_workbook

MAX_UNPACKED_BYTES: Final = 512 * 1024**2
MAX_SHEET_ROWS: Final = 1_048_576  # what a worksheet has
ParsedRow = tuple[int, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a file: how a cell is parsed, whether the column must exist and its cells be filled."""

    name: str
    parse: Callable[[str], Any]
    required: bool = True
    filled: bool = True


class Grid(Protocol):
    """A table of stripped text cells."""

    @property
    def name(self) -> str:
        """The file."""
        ...

    @property
    def header(self) -> tuple[str, ...]:
        """Column names."""
        ...

    def rows(self, findings: Findings) -> Iterator[tuple[int, Sequence[str]]]:
        """(row, cells) of every row that is not blank; can be asked for again."""
        ...


@dataclass(frozen=True, slots=True)
class SheetGrid:
    """A worksheet already in memory."""

    name: str
    header: tuple[str, ...]
    body: tuple[tuple[int, tuple[str, ...]], ...]

    def rows(self, findings: Findings) -> Iterator[tuple[int, Sequence[str]]]:
        """A sheet is rectangular; only cells beyond the header can be wrong."""
        width = len(self.header)
        for row, cells in self.body:
            if any(cells[width:]):
                findings.add(self.name, row, "", tr("has a cell beyond the last column of the header"), kind="ragged")
                continue
            yield row, (*cells[:width], *([""] * (width - len(cells))))


@dataclass(frozen=True, slots=True)
class CsvGrid:
    """A CSV text, parsed again for every pass, so that a long file is never held as rows.

    `lines_before`: how many lines of the file, after its header, come before this text (a file may be read in blocks).
    """

    name: str
    header: tuple[str, ...]
    text: str
    lines_before: int = 0

    def rows(self, findings: Findings) -> Iterator[tuple[int, Sequence[str]]]:
        """Rows of another length than the header are found and left out."""
        width = len(self.header)
        try:
            for number, (line, cells) in enumerate(csv_rows(_lines(self.text), self.lines_before)):
                if number == 0 or not any(cells):
                    continue
                if len(cells) != width:
                    message = tr("has {count} cells, the header has {width}", count=len(cells), width=width)
                    findings.add(self.name, line, "", message, kind="ragged")
                    continue
                yield line, cells
        except Unreadable as refused:
            findings.refuse(self.name, refused)


def _lines(text: str) -> Iterator[str]:
    """The text line by line (io.StringIO would hold it four times over)."""
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


def open_grid(delivered: Delivered, findings: Findings, lines_before: int = 0) -> Grid | None:
    """The table in a CSV, XLSX or E file. None where the file as a whole was refused."""
    if is_efile(delivered):
        return table_in(delivered, delivered.table, findings)
    try:
        if delivered.suffix == ".xlsx":
            return _read_workbook(delivered, findings)
        text = decode_text(delivered.data)
    except Unreadable as refused:
        findings.refuse(delivered.name, refused)
        return None
    if "\n" not in text:
        text = text.replace("\r", "\n")  # lines of an old Macintosh
    header = csv_header(text)
    if header is None:
        findings.add(delivered.name, 0, "", tr("is empty; a file without rows still has its header"))
        return None
    if sign := other_delimiter(header):
        findings.refuse(delivered.name, Unreadable("delimiter", text=sign))
        return None
    return CsvGrid(delivered.name, header, text, lines_before)


def _read_workbook(delivered: Delivered, findings: Findings) -> SheetGrid | None:
    """The only sheet with content. None where there is none, or more than one."""
    name, bounds = delivered.name, {"max_bytes": MAX_UNPACKED_BYTES, "max_rows": MAX_SHEET_ROWS}
    with open_workbook(delivered.data, **bounds) as sheets:
        grids = [grid for sheet in sheets if (grid := _read_sheet(name, sheet, findings)) is not None]
    if len(grids) == 1:
        return grids[0]
    findings.add(
        name, 0, "", tr("is empty") if not grids else tr("has {count} sheets with content; keep one", count=len(grids))
    )
    return None


def _read_sheet(name: str, sheet: Worksheet, findings: Findings) -> SheetGrid | None:
    """One sheet; None where it has no content."""
    header: tuple[str, ...] = ()
    header_row = 0
    body: list[tuple[int, tuple[str, ...]]] = []

    def text_of(odd: Odd) -> str:
        column = header[odd.index] if odd.index < len(header) else f"column {odd.index + 1}"
        if odd.code != "date":
            findings.take(worded(OF_GRID, odd.code, name, odd.row, column, place=odd.place, text=odd.value), "cell")
            return ""
        try:
            return _date_text(odd.value, column)
        except ValueError as error:
            findings.add(name, odd.row, column, said_by(error), kind="cell")
            return ""

    for row, cells in sheet.rows(text_of):
        if cells and not header:
            header, header_row = cells, row
        elif cells:
            body.append((row, cells))
    if not header:
        return None
    last_row = body[-1][0] if body else header_row
    for place, top, bottom in sheet.merges():
        if bottom >= header_row and top <= last_row:
            findings.take(worded(OF_GRID, "merged", name, top, "", place=place), "merged")
    return SheetGrid(name, header, tuple(body))


def _date_text(value: date | time | timedelta, column: str) -> str:
    """Excel turns typed months and days into dates; an instant it can't hold, for want of an offset."""
    if not isinstance(value, datetime):
        return str(value)
    if column == "month" and (value.day, value.time()) == (1, time()):
        return f"{value:%Y-%m}"
    if column == "from" and value.time() == time():
        return f"{value:%Y-%m-%d}"
    remedy = tr("write it as text like 2026-03-01T00:00:00+08:00")
    raise ValueError(
        tr("holds an Excel date ({value}), which has no offset; {remedy}", value=value.isoformat(), remedy=remedy)
    )


def csv_header(text: str) -> tuple[str, ...] | None:
    """The cells of the first line; None where there is none."""
    try:
        cells = next(csv.reader(io.StringIO(text[:65_536], newline="")), [])
    except csv.Error:
        return None
    header = tuple(cell.strip() for cell in cells)
    return header if any(header) else None


def check_header(name: str, header: Sequence[str], fields: Sequence[Field], findings: Findings) -> dict[str, int]:
    """Where each known column is. Unknown, doubled and missing ones are found."""
    known = [field.name for field in fields]
    places: dict[str, int] = {}
    if len(header) > MAX_COLUMNS:
        findings.add(
            name,
            1,
            "",
            tr("has {count} columns; no table has more than {max_columns}", count=len(header), max_columns=MAX_COLUMNS),
        )
        return places
    for index, column in enumerate(header):
        if column in places:
            findings.add(name, 1, column, tr("is there twice; keep one"))
        elif column in known:
            places[column] = index
        elif not column:
            findings.add(name, 1, "", tr("column {index} has no name in the header", index=index + 1))
        else:
            findings.add(
                name,
                1,
                column,
                tr(
                    "unknown column{hint}",
                    hint=nearest(column, known) or tr("; expected {names}", names=", ".join(known)),
                ),
            )
    for field in fields:
        if field.required and field.name not in places:
            findings.add(name, 1, field.name, tr("column is missing"))
    return places


def parse_rows(grid: Grid, fields: Sequence[Field], findings: Findings) -> list[ParsedRow]:
    """Every row of a short table: (row, values by column).

    An empty or absent optional cell is None. A cell that was refused is not among the values, so that what else is
    wrong with its row is found in the same pass (`having`).
    """
    places = check_header(grid.name, grid.header, fields, findings)
    result: list[ParsedRow] = []
    for row, cells in grid.rows(findings):
        values: dict[str, Any] = {}
        for field in fields:
            text = cells[places[field.name]] if field.name in places else ""
            if text:
                try:
                    values[field.name] = field.parse(text)
                except ValueError as error:
                    findings.add(grid.name, row, field.name, said_by(error), kind="cell")
            elif not field.filled:
                values[field.name] = None
            elif field.name in places:
                findings.add(grid.name, row, field.name, tr("is empty; a value is needed here"), kind="empty")
        result.append((row, values))
    return result


def having(rows: Iterable[ParsedRow], names: Iterable[str]) -> list[ParsedRow]:
    """The rows none of whose cells in `names` was refused."""
    wanted = frozenset(names)
    return [(row, values) for row, values in rows if wanted <= values.keys()]
