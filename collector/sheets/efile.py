# SPDX-License-Identifier: GPL-3.0-or-later
"""E-language text (E文本, the dispatch centres' exchange format) as grids of text: one file, several tables.

    <! System=OMS Version=1.0 Code=GBK TimeZone='+08:00' !>   head: facts about the file
    <plan::华东 Date='2026-03-01'>                             a table: its name, the entity, attributes
    @ 序号 机组 开始时间 结束时间 计划功率                        headings, then one # row for each record
    # 1 U1 2026-03-01T00:00:00 2026-03-01T00:15:00 300
    </plan::华东>

`@@` heads a table of one record (# number, name, value), `@#` one whose records are columns (# number, name, value of
each). A cell with blanks is written in quotes; `NULL`, `-` and empty quotes are empty cells. `//` begins a comment
line. Several blocks of one table are one table. A time without offset is refused as everywhere, unless the head names
a TimeZone. UTF-8 or GBK. What is none of this is found with its line, never skipped. Not read: type, unit and limit
lines (`:`, `%`, `$`), because a unit in them would contradict the column's own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from collector.base.text import tr, tr_in
from collector.sheets.efile_words import COUNTING, TABLE_WORDS, column_of, table_of
from collector.sheets.files import Delivered, decode_text
from collector.sheets.findings import Findings, Unreadable, nearest

SUFFIX: Final = ".e"
MAX_E_BYTES: Final = 256 * 1024**2
_HEAD: Final = re.compile(r"<!(.*)!>\s*\Z")
_OPEN: Final = re.compile(r"<([^\s:<>/!]+)(?:::([^\s<>]+))?(\s[^<>]*)?>\Z")
_CLOSE: Final = re.compile(r"</([^\s:<>]+)(?:::([^\s<>]+))?\s*>\Z")
# A name begins after a blank or `=` only. Tried at every character, a long name would take quadratic time.
_FACT: Final = re.compile(r"(?<![^\s=])([^\s=]++)\s*=\s*('[^']*'|\"[^\"]*\"|\S+)")
_CELL: Final = re.compile(r"'([^']*)'(?=\s|\Z)|\"([^\"]*)\"(?=\s|\Z)|([^\s'\"]\S*)")
_NOTHING: Final = frozenset({"NULL", "null", "Null", "-"})
_ZONE: Final = re.compile(r"[+-]\d{2}:\d{2}\Z", re.ASCII)
_BARE_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?\Z", re.ASCII)


class _Form(Enum):
    ROWS = "@"
    ONE = "@@"
    COLUMNS = "@#"


@dataclass(frozen=True, slots=True)
class EGrid:
    """One table of an E file. A record's row is its line; where records are columns, the line of the headings."""

    name: str
    header: tuple[str, ...]
    body: tuple[tuple[int, tuple[str, ...]], ...]

    def rows(self, findings: Findings) -> Iterator[tuple[int, Sequence[str]]]:
        """Every record; `findings` stays unused, as the records were checked when the file was read."""
        del findings
        yield from self.body


@dataclass
class _OpenTable:
    """A table whose end has not been read yet."""

    line: int
    class_name: str
    entity: str
    table: str | None
    form: _Form | None = None
    form_line: int = 0
    headings: tuple[str, ...] = ()
    rows: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)


def is_efile(delivered: Delivered) -> bool:
    """True if a delivered file is E text, by the suffix of its name."""
    return delivered.suffix == SUFFIX


def read_efile(delivered: Delivered, findings: Findings) -> dict[str, EGrid] | None:
    """All tables of an E file by their names in formats.md. None where the file as a whole was refused."""
    if len(delivered.data) > MAX_E_BYTES:
        findings.add(
            delivered.name,
            0,
            "",
            tr(
                "has {count} bytes; of E text at most {max_e_bytes} are read",
                count=len(delivered.data),
                max_e_bytes=MAX_E_BYTES,
            ),
        )
        return None
    try:
        text = decode_text(delivered.data)
    except Unreadable as refused:
        findings.refuse(delivered.name, refused)
        return None
    reader = _Reader(delivered.name, findings)
    for number, line in enumerate(text.split("\n"), 1):
        reader.take(number, line.strip().lstrip("\ufeff"))
    reader.end()
    return reader.grids()


class _Reader:
    """Reads an E file line by line and keeps the state between lines."""

    def __init__(self, name: str, findings: Findings) -> None:
        self._name = name
        self._findings = findings
        self._zone = ""
        self._block: _OpenTable | None = None
        self._done: list[_OpenTable] = []

    def take(self, number: int, line: str) -> None:
        """Read one line, given without its line end."""
        if not line or line.startswith("//"):
            return
        if line.startswith("<!"):
            self._take_head(number, line)
        elif line.startswith("</"):
            self._close(number, line)
        elif line.startswith("<"):
            self._open(number, line)
        elif self._block is None:
            self._wrong(number, "", tr("stands outside of any table; a table begins with <name::entity>"))
        elif line.startswith("@"):
            self._take_headings(self._block, number, line)
        elif line.startswith("#"):
            self._take_row(self._block, number, line)
        else:
            self._wrong(
                number,
                "",
                tr("begins with {line!r}: expected @, #, //, or the end of the table", line=line[:1]),
                "line",
            )

    def end(self) -> None:
        """Finish: report a table that is still open at the end of the file."""
        if self._block is not None:
            self._wrong(self._block.line, self._block.class_name, tr("this table has no end; was the file cut off?"))

    def grids(self) -> dict[str, EGrid]:
        """The tables that were read. Blocks of one table are joined, columns in the order of the first block."""
        grids: dict[str, EGrid] = {}
        for block in self._done:
            if block.table is None or block.form is None:
                continue
            header, body = self._records(block)
            before = grids.get(block.table)
            if before is None:
                grids[block.table] = EGrid(self._name, header, body)
            elif sorted(before.header) != sorted(header):
                message = tr(
                    "has other columns than the {table} table before it: {names}",
                    table=block.table,
                    names=", ".join(before.header),
                )
                self._wrong(block.form_line, block.class_name, message)
            else:
                places = [header.index(column) for column in before.header]
                moved = tuple((row, tuple(cells[place] for place in places)) for row, cells in body)
                grids[block.table] = EGrid(self._name, before.header, before.body + moved)
        return grids

    def _take_head(self, number: int, line: str) -> None:
        found = _HEAD.match(line)
        if found is None:
            self._wrong(number, "", tr("the head is written <! name=value … !> on one line"))
            return
        facts = {name.casefold(): value.strip("'\"") for name, value in _FACT.findall(found[1])}
        zone = facts.get("timezone", "")
        if zone and not _ZONE.match(zone):
            self._wrong(number, "TimeZone", tr("{zone!r} is no offset; write it like +08:00", zone=zone))
            return
        self._zone = zone or self._zone

    def _open(self, number: int, line: str) -> None:
        found = _OPEN.match(line)
        if found is None:
            self._wrong(number, "", tr("is no beginning of a table: <name::entity attribute='value'>"))
            return
        if self._block is not None:
            self._wrong(number, found[1], tr("begins inside the table of line {line}", line=self._block.line))
        table = table_of(found[1])
        if table is None:
            hint = nearest(found[1], TABLE_WORDS) or tr(
                "; there are {names} and their Chinese names", names=", ".join(TABLE_WORDS)
            )
            self._wrong(number, found[1], tr("unknown table{hint}", hint=hint))
        self._block = _OpenTable(number, found[1], found[2] or "", table)

    def _close(self, number: int, line: str) -> None:
        found, block = _CLOSE.match(line), self._block
        if block is None or found is None:
            self._wrong(number, "", tr("ends no table"))
            return
        if found[1] != block.class_name or (found[2] and found[2] != block.entity):
            self._wrong(number, found[1], tr("ends another table than the one begun in line {line}", line=block.line))
        if block.form is None and block.table is not None:
            self._wrong(block.line, block.class_name, tr("has no headings (@ …)"))
        self._done.append(block)
        self._block = None

    def _take_headings(self, block: _OpenTable, number: int, line: str) -> None:
        form = _Form.ONE if line.startswith("@@") else _Form.COLUMNS if line.startswith("@#") else _Form.ROWS
        if block.form is not None:
            self._wrong(
                number, block.class_name, tr("headings stand in line {form_line} already", form_line=block.form_line)
            )
            return
        cells = self._cells(number, line[len(form.value) :])
        if form is not _Form.ROWS and len(cells) < 3:
            self._wrong(number, block.class_name, tr("has a number, a name and at least one value"))
        block.form, block.form_line, block.headings = form, number, cells

    def _take_row(self, block: _OpenTable, number: int, line: str) -> None:
        cells = self._cells(number, line[1:])
        if block.form is None:
            self._wrong(number, block.class_name, tr("stands before the headings (@ …)"))
        elif len(cells) != len(block.headings):
            self._wrong(
                number,
                "",
                tr("has {count} cells, the headings {width}", count=len(cells), width=len(block.headings)),
                "ragged",
            )
        else:
            block.rows.append((number, cells))

    def _cells(self, number: int, text: str) -> tuple[str, ...]:
        cells: list[str] = []
        place = 0
        while place < len(text):
            if text[place].isspace():
                place += 1
                continue
            found = _CELL.match(text, place)
            if found is None:
                self._wrong(
                    number, "", tr("has a quote without its end at {text!r}", text=text[place : place + 20]), "quote"
                )
                break
            quoted = found[1] if found[1] is not None else found[2]
            cells.append(quoted.strip() if quoted is not None else "" if found[3] in _NOTHING else found[3])
            place = found.end()
        return tuple(cells)

    def _records(self, block: _OpenTable) -> tuple[tuple[str, ...], tuple[tuple[int, tuple[str, ...]], ...]]:
        """Columns and records of a finished block, in whichever of the three forms it is written."""
        assert block.table is not None
        if block.form is _Form.ROWS:
            kept = [n for n, heading in enumerate(block.headings) if heading not in COUNTING]
            header = tuple(column_of(block.table, block.headings[n]) for n in kept)
            return header, tuple((row, tuple(self._timed(cells[n]) for n in kept)) for row, cells in block.rows)
        header = tuple(column_of(block.table, cells[1]) for _, cells in block.rows)
        count = len(block.headings) - 2
        records = (tuple(self._timed(cells[2 + n]) for _, cells in block.rows) for n in range(count))
        return header, tuple((block.form_line, cells) for cells in records)

    def _timed(self, cell: str) -> str:
        """A time cell with the offset of the head's TimeZone added where the cell has none."""
        return cell + self._zone if self._zone and _BARE_TIME.match(cell) else cell

    def _wrong(self, number: int, column: str, message: str, kind: str = "") -> None:
        self._findings.add(self._name, number, column, message, kind=kind)


def table_in(delivered: Delivered, table: str, findings: Findings) -> EGrid | None:
    """One table of an E file. None where the file was refused, or has no such table: that is a finding."""
    before = bool(findings)
    grids = read_efile(delivered, findings)
    if grids is None:
        return None
    if table not in grids:
        if not findings or before:
            there = ", ".join(sorted(grids)) or tr_in("tables", "none")
            findings.add(delivered.name, 0, table, tr("has no such table; there are: {there}", there=there))
        return None
    return grids[table]


def tables_in(delivered: Delivered) -> tuple[str, ...]:
    """The names of the tables of an E file, in its order; empty where it can't be read."""
    return tuple(read_efile(delivered, Findings()) or ())


def register_text(grids: Mapping[str, EGrid]) -> str:
    """The register's tables as the text of register.toml, which is then checked like one.

    Lists are separated by `;`, booleans are 0 or 1.
    """
    lines: list[str] = []
    for name in ("policy", "area", "plant", "unit"):
        grid = grids.get(name)
        if grid is None:
            continue
        rows = []
        for _, cells in grid.body:
            pairs = [(k, _toml_value(k, v)) for k, v in zip(grid.header, cells, strict=True) if v]
            rows.append(", ".join(f"{json.dumps(k, ensure_ascii=False)} = {v}" for k, v in pairs))
        if name == "policy":
            lines += ["policy = {" + ", ".join(rows) + "}"]
        else:
            lines += [f"{name} = [", *(f"  {{{row}}}," for row in rows), "]"]
    return "\n".join(lines) + "\n"


_LISTS: Final = frozenset({"valley_hours", "peak_hours", "ignore_columns"})
_TRUTHS: Final = {"0": "false", "1": "true", "false": "false", "true": "true", "否": "false", "是": "true"}
_TRUTH_KEYS: Final = frozenset({"shares", "avc", "black_start"})
_DATE_KEYS: Final = frozenset({"from", "until"})


def _toml_value(key: str, text: str) -> str:
    if key in _LISTS:
        return json.dumps([part.strip() for part in re.split("[;；]", text)], ensure_ascii=False)
    if key in _TRUTH_KEYS and text in _TRUTHS:
        return _TRUTHS[text]
    if key in _DATE_KEYS and re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
        return text
    return json.dumps(text, ensure_ascii=False)
