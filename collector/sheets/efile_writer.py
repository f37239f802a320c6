# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables as E text (E文本), the form in which dispatch centres exchange tables.

Source: Q/GDW 215-2008 (电力系统数据标记语言——E语言规范): a head `<!…!>`, per table `<class::entity>`, a line of
headings (`@`, the form in which a record is a row), a line `#` for each record with its number first, and the end of
the table. Blanks separate cells, so a cell with blanks is quoted; an empty cell is NULL.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

NUMBER: Final = "序号"
_LITERAL: Final = frozenset({"-", "null"})  # text that a reader would take for an empty cell


@dataclass(frozen=True, slots=True)
class ETable:
    """A table to write: its class, its entity, headings, and its records as text."""

    name: str
    entity: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def etable_of_csv(name: str, entity: str, data: bytes) -> ETable:
    """The table to write from a CSV file of ours."""
    header, *rows = csv.reader(data.decode("utf-8-sig").splitlines())
    return ETable(name, entity, header, rows)


def efile_text(facts: Mapping[str, str], tables: Iterable[ETable]) -> bytes:
    """An E file in UTF-8 with line feeds. `facts`: what the head states, by name.

    Raises:
        ValueError: a cell holds a line feed, or both kinds of quotes: E text can't express that.
    """
    head = {"System": "collector", "Version": "1.0", "Code": "UTF-8", "TimeZone": "+08:00", **facts}
    lines = ["<! " + " ".join(f"{name}={_cell(value)}" for name, value in head.items()) + " !>"]
    for table in tables:
        place = f"{table.name}::{table.entity}"
        lines += [f"<{place}>", f"@ {NUMBER} " + " ".join(map(_cell, table.header))]
        lines += [f"# {number} " + " ".join(map(_cell, row)) for number, row in enumerate(table.rows, 1)]
        lines.append(f"</{place}>")
    return ("\n".join(lines) + "\n").encode()


def _cell(text: str) -> str:
    if not text:
        return "NULL"
    if "\n" in text or "\r" in text or ("'" in text and '"' in text):
        raise ValueError(f"E text has no way to write {text!r}")
    is_plain = not any(c.isspace() or c in "'\"<>" for c in text) and text.casefold() not in _LITERAL
    return text if is_plain else f'"{text}"' if "'" in text else f"'{text}'"
