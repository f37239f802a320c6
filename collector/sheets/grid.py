# SPDX-License-Identifier: GPL-3.0-or-later
"""A header and rows of text, from any kind of file; the checks that every table shares.

`row` counts as an editor or a spreadsheet does: the header is row 1, blank lines count and are skipped.
"""

from __future__ import annotations

import contextlib
import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any, Final, Protocol

from collector.base.text import said_by, tr
from collector.model.interval import local_time_text
from collector.sheets.efile import is_efile, table_in
from collector.sheets.efile_words import COUNTING, column_of
from collector.sheets.files import Delivered, csv_rows, decode
from collector.sheets.findings import Findings, Unreadable, nearest, worded
from collector.sheets.messages import OF_GRID
from collector.sheets.xlsx import MAX_COLUMNS, Odd, Worksheet, open_workbook

MAX_UNPACKED_BYTES: Final = 512 * 1024**2
MAX_SHEET_ROWS: Final = 1_048_576  # the limit of a worksheet
ParsedRow = tuple[int, Mapping[str, Any]]
SEPARATORS: Final = (",", ";", "\t")
# Ignored columns have this name in the header: no heading in a file can be this.
PASSED_OVER: Final = "\0"
_INSTANTS: Final = frozenset({"time", "start", "end", "issued", "called"})
_DATES: Final = frozenset({*_INSTANTS, "from", "month"})
_SERIAL: Final = re.compile(r"\d{1,5}(\.\d+)?\Z", re.ASCII)  # days since 1900, to 2173; UTC ms have 12 digits


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
        """The name of the file."""
        ...

    @property
    def header(self) -> tuple[str, ...]:
        """Column names."""
        ...

    def rows(self, findings: Findings) -> Iterator[tuple[int, Sequence[str]]]:
        """(row, cells) of every row that is not blank; may be called again for another pass."""
        ...


@dataclass(frozen=True, slots=True)
class SheetGrid:
    """A worksheet that is already in memory."""

    name: str
    header: tuple[str, ...]
    body: tuple[tuple[int, tuple[str, ...]], ...]

    def rows(self, findings: Findings) -> Iterator[tuple[int, Sequence[str]]]:
        """Rows of the sheet. A sheet is rectangular, so only cells beyond the header can be wrong."""
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
    separator: str = ","

    def rows(self, findings: Findings) -> Iterator[tuple[int, Sequence[str]]]:
        """Rows of the text. A row of another length than the header is reported and left out."""
        width = len(self.header)
        try:
            for number, (line, cells) in enumerate(csv_rows(_lines(self.text), self.lines_before, self.separator)):
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
        found = table_in(delivered, delivered.table, findings)
        return found and replace(found, header=named(found.header, delivered))
    try:
        if delivered.suffix == ".xlsx":
            return _read_workbook(delivered, findings)
        text, encoding = decode(delivered.data)
    except Unreadable as refused:
        findings.refuse(delivered.name, refused)
        return None
    if "\n" not in text:
        text = text.replace("\r", "\n")  # line ends of old Macintosh files
    header, separator = csv_header(text) or ((), ",")
    if not header:
        findings.add(delivered.name, 0, "", tr("is empty; a file without rows still has its header"))
        return None
    note_separator(delivered.name, separator, findings)
    if encoding != "UTF-8":
        findings.note(delivered.name, tr("read as {encoding} text", encoding=encoding))
    return CsvGrid(delivered.name, named(header, delivered), text, lines_before, separator)


def named(header: Sequence[str], delivered: Delivered) -> tuple[str, ...]:
    """The columns that headings mean: their own names, or the Chinese words of E text.

    `PASSED_OVER` stands for ignored columns and running numbers.
    """
    columns = ((heading, column_of(delivered.table, heading)) for heading in header)
    counting = COUNTING if delivered.table else frozenset[str]()
    return tuple(
        PASSED_OVER if heading in counting or {heading, column} & delivered.ignored else column
        for heading, column in columns
    )


def note_separator(file: str, separator: str, findings: Findings) -> None:
    """Note the separator of cells where it is not a comma."""
    if separator != ",":
        semicolons = tr("cells are separated by semicolons, as the header shows")
        findings.note(file, semicolons if separator == ";" else tr("cells are separated by tabs, as the header shows"))


def _read_workbook(delivered: Delivered, findings: Findings) -> SheetGrid | None:
    """The only sheet with content. None where there is none, or more than one."""
    name, bounds = delivered.name, {"max_bytes": MAX_UNPACKED_BYTES, "max_rows": MAX_SHEET_ROWS}
    with open_workbook(delivered.data, **bounds) as sheets:
        grids = [grid for sheet in sheets if (grid := _read_sheet(delivered, sheet, findings)) is not None]
    if len(grids) == 1:
        return grids[0]
    findings.add(
        name, 0, "", tr("is empty") if not grids else tr("has {count} sheets with content; keep one", count=len(grids))
    )
    return None


def _read_sheet(delivered: Delivered, sheet: Worksheet, findings: Findings) -> SheetGrid | None:
    """One sheet; None where it has no content."""
    name = delivered.name
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

    dated: list[int] = []
    for row, cells in sheet.rows(text_of):
        if cells and not header:
            header, header_row = named(cells, delivered), row
            dated = [index for index, column in enumerate(header) if column in _DATES]
        elif cells:
            body.append((row, _without_serials(cells, header, dated, sheet)))
    if not header:
        return None
    last_row = body[-1][0] if body else header_row
    for place, top, bottom in sheet.merges():
        if bottom >= header_row and top <= last_row:
            findings.take(worded(OF_GRID, "merged", name, top, "", place=place), "merged")
    return SheetGrid(name, header, tuple(body))


def _without_serials(
    cells: tuple[str, ...], header: Sequence[str], dated: Sequence[int], sheet: Worksheet
) -> tuple[str, ...]:
    """A row with dates restored where cells lost their date format and show a number of days."""
    there = [index for index in dated if index < len(cells) and _SERIAL.match(cells[index])]
    if not there:
        return cells
    changed = list(cells)
    for index in there:
        with contextlib.suppress(ValueError):  # not a date in that column: the number stays and is refused
            changed[index] = _date_text(sheet.date_of(float(cells[index])), header[index])
    return tuple(changed)


def _date_text(value: date | time | timedelta, column: str) -> str:
    """A date cell as text: the local time in a column of instants, else the month or day that a typed text became."""
    if not isinstance(value, datetime):
        value = datetime.combine(value, time()) if isinstance(value, date) else value
    if isinstance(value, datetime):
        if column in _INSTANTS:
            return local_time_text(value)
        if column == "month" and (value.day, value.time()) == (1, time()):
            return f"{value:%Y-%m}"
        if column == "from" and value.time() == time():
            return f"{value:%Y-%m-%d}"
        raise ValueError(tr("holds an Excel date ({value}), which no date belongs to", value=value.isoformat()))
    if column in _DATES:
        raise ValueError(tr("holds a time of day ({value}) without its date; write both", value=value))
    return str(value)


def csv_header(text: str) -> tuple[tuple[str, ...], str] | None:
    """The cells of the first line and their separator: the one that gives most cells. None where there is no line."""
    found: list[tuple[tuple[str, ...], str]] = []
    for separator in SEPARATORS:
        with contextlib.suppress(csv.Error):
            cells = next(csv.reader(io.StringIO(text[:65_536], newline=""), delimiter=separator), [])
            found.append((tuple(cell.strip() for cell in cells), separator))
    header, separator = max(found, key=lambda each: len(each[0]), default=((), ","))
    return (header, separator) if any(header) else None


def check_header(name: str, header: Sequence[str], fields: Sequence[Field], findings: Findings) -> dict[str, int]:
    """The place of each known column. Unknown, doubled and missing columns are reported."""
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
        if column == PASSED_OVER:
            continue
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

    An empty or absent optional cell is None. A refused cell is left out of the values, so that other problems of its
    row are found in the same pass (`having`).
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
