# SPDX-License-Identifier: GPL-3.0-or-later
"""The table in a maker's sheet: below cover, titles and notes, above signatures, under one or two rows of headings.

Merged cells are filled: a heading over two columns, a device or a function code beside many rows. A row with a single
text is the title of a section, and is kept with the rows below it: "遥测", "Input registers (function 04)".
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from collector.base.text import Text, tr
from collector.points.convert.words import role_of
from collector.sheets.files import csv_rows, decode_text, read_regular
from collector.sheets.findings import Unreadable
from collector.sheets.xlsx import OLE, ZIP, Odd, open_workbook

MAX_BYTES: Final = 16 * 1024**2
MAX_UNPACKED_BYTES: Final = 64 * 1024**2
MAX_ROWS: Final = 20_000
_HEADER_WITHIN: Final = 80
_SIGNED: Final = re.compile(
    r"编制|审核|批准|会签|签字|签名|日期[::]|校对|prepared by|approved|checked by|signature|reviewed", re.IGNORECASE
)
_RANGE: Final = re.compile(r"([A-Z]{1,3})(\d+):([A-Z]{1,3})(\d+)\Z")
_USEFUL: Final = frozenset(
    {"name", "description", "address", "hex", "registers", "bytes", "type", "scale", "raw_unit", "access", "area",
     "bit", "order", "remark", "common_address"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class MakerRow:
    """One row. `cells`: by role, line breaks between several columns of one role; `section`: the title above it."""

    number: int
    cells: dict[str, str]
    section: str

    def text(self, *roles: str) -> str:
        """The cells of some roles, joined into one line."""
        return " ".join(filter(None, (self.cells.get(role, "") for role in roles)))


@dataclass(slots=True)
class MakerSheet:
    """A table as found. `headings`: role -> headings; `notes`: the texts around it; `passed_over`: (row, text, why)."""

    title: str
    header_row: int
    headings: dict[str, list[str]]
    rows: list[MakerRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    passed_over: list[tuple[int, str, Text]] = field(default_factory=list)


def read_maker_sheets(path: Path, sheet: str = "") -> list[MakerSheet]:
    """The tables of a file, the largest first; only those of one sheet where it is named.

    Raises:
        Unreadable: the file can't be read, has no such sheet, or no sheet holds a table.
    """
    data = read_regular(path, MAX_BYTES)
    grids: list[tuple[str, list[tuple[str, ...]]]] = []
    if data.startswith((ZIP, OLE)):
        with open_workbook(data, max_bytes=MAX_UNPACKED_BYTES, max_rows=MAX_ROWS) as sheets:
            known = [ws.title for ws in sheets]
            if sheet and sheet not in known:
                raise Unreadable("unreadable", reason=f"no sheet {sheet!r}; it has {', '.join(known)}")
            for ws in sheets:
                if sheet in ("", ws.title):
                    rows = [list(cells) for _, cells in ws.rows(_shown)]
                    _fill(rows, [place for place, _, _ in ws.merges()])
                    grids.append((ws.title, [tuple(row) for row in rows]))
    else:
        rows_of_text = csv_rows(io.StringIO(decode_text(data), newline=""))
        grids.append((path.name, [tuple(cells) for _, cells in rows_of_text]))
    found = [table for title, rows in grids if (table := find_table(title, rows)) is not None]
    if not found:
        raise Unreadable("unreadable", reason="no row names both a point and its address")
    around = [
        cell for title, rows in grids if title not in {t.title for t in found} for row in rows for cell in row if cell
    ]
    for table in found:
        table.notes += around
    return sorted(found, key=lambda table: -len(table.rows))


def _shown(_odd: Odd) -> str:
    """An empty text: a formula, an error or a date has no text that can be trusted."""
    return ""


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number - 1


def _fill(rows: list[list[str]], merges: Sequence[str]) -> None:
    """Give every cell of a merged range the text of its first one."""
    for place in merges:
        found = _RANGE.match(place)
        if found is None:
            continue
        left, top, right, bottom = _column(found[1]), int(found[2]) - 1, _column(found[3]), int(found[4]) - 1
        if top >= len(rows) or left >= len(rows[top]):
            continue
        text = rows[top][left]
        for row in rows[top : bottom + 1]:
            row.extend([""] * (right + 1 - len(row)))
            row[left : right + 1] = [text] * (right + 1 - left)


def find_table(title: str, rows: Sequence[tuple[str, ...]]) -> MakerSheet | None:
    """The table in the rows of a sheet; None where no row names a point and its address."""
    best: tuple[int, int, list[str | None], list[str]] | None = None
    score = 0
    for at in range(min(len(rows), _HEADER_WITHIN)):
        for height in (1, 2):
            headings = _joined(rows[at : at + height])
            roles = [role_of(heading) if heading else None for heading in headings]
            known = {role for role in roles if role in _USEFUL}
            named = bool(known & {"name", "description", "remark"}) and bool(known & {"address", "hex"})
            if height == 2 and any(re.search(r"\d{2}", cell) for row in rows[at + 1 : at + 2] for cell in row):
                continue
            if named and len(known) >= 3 and len(known) > score:
                best, score = (at, height, roles, headings), len(known)
    if best is None:
        return None
    at, height, roles, headings = best
    table = MakerSheet(title, at + height, {})
    for role, heading in zip(roles, headings, strict=True):
        if role:
            table.headings.setdefault(role, []).append(heading)
    table.notes = list(dict.fromkeys([title, *(cell for row in rows[: at + height] for cell in row if cell)]))
    _take_rows(table, rows, at + height, roles)
    return table


def _joined(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """One heading per column: of two heading rows the texts are joined, upper first, where both are filled."""
    width = max((len(row) for row in rows), default=0)
    columns = ([row[index].strip() if index < len(row) else "" for row in rows] for index in range(width))
    found = []
    for texts in columns:
        said = list(dict.fromkeys(filter(None, texts)))
        # A sub-heading that is a heading in itself counts alone: "Modbus address" over "Hex" and "Decimal".
        found.append(said[-1] if len(said) > 1 and role_of(said[-1]) else " ".join(said))
    return found


def _take_rows(table: MakerSheet, rows: Sequence[tuple[str, ...]], begin: int, roles: Sequence[str | None]) -> None:
    header = [cell for cell in rows[begin - 1] if cell]
    section = ""
    for number, row in enumerate(rows[begin:], begin + 1):
        texts = list(dict.fromkeys(filter(None, row)))
        if not texts:
            continue
        shown = " | ".join(texts)
        if [cell for cell in row if cell] == header:
            table.passed_over.append((number, shown, tr("the headings again")))
            continue
        cells: dict[str, str] = {}
        for role, cell in zip(roles, row, strict=False):
            if role and cell:
                cells[role] = f"{cells[role]}\n{cell}" if role in cells and cells[role] != cell else cell
        if "name" not in cells and "description" not in cells and "remark" in cells:
            cells["name"] = cells["remark"]
        address = cells.get("address") or cells.get("hex") or ""
        if address and re.search(r"\d", address) and len(texts) > 1 and not _SIGNED.search(texts[0]):
            table.rows.append(MakerRow(number, cells, section))
        elif _SIGNED.search(shown):
            table.passed_over.append((number, shown, tr("a signature")))
        elif len(texts) <= 2 and not re.search(r"\d", address):
            section = shown
            table.notes.append(shown)
            table.passed_over.append((number, shown, tr("a title or a note")))
        else:
            table.passed_over.append((number, shown, tr("no address")))
