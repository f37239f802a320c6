# SPDX-License-Identifier: GPL-3.0-or-later
"""What a proposal is made of, and the table to be, as rows of text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from collector.base.text import Text, join, tr

COLUMNS: Final = (
    "name", "device", "unit", "quantity", "area", "type", "address", "bit", "order", "scale", "offset", "raw_unit",
    "sign", "norm_base", "map", "remark",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Options:
    """What a person has decided beforehand; empty where not."""

    protocol: str = ""
    device: str = ""
    unit: str = ""
    base: int | None = None
    order: str = ""
    area: str = ""
    type: str = ""


@dataclass(slots=True)
class ProposedRow:
    """One row of the table to be. `why`: a sentence per guess; `rank`: among rows of the same quantity."""

    source: int
    cells: dict[str, str]
    why: list[Text]
    rank: int
    machine: str
    decisions: dict[str, Text] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row of the sheet that is not in the proposal."""

    row: int
    text: str
    reason: Text


@dataclass(slots=True)
class TableProposal:
    """A proposed table. `decisions`: what a person must decide, each once."""

    protocol: str
    rows: list[ProposedRow] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    decisions: dict[str, Text] = field(default_factory=dict)
    about: list[Text] = field(default_factory=list)


def table_of(proposal: TableProposal, language: str) -> list[list[str]]:
    """The proposed table as rows of text, headings first; the last column says why, for its readers."""
    rows = [list(COLUMNS)]
    for row in proposal.rows:
        why = join("; ", [tr("row {row}", row=row.source), *row.why])
        rows.append([*(row.cells.get(column, "") for column in COLUMNS[:-1]), why.into(language)])
    return [[cell for cell, used in zip(row, _used(rows), strict=True) if used] for row in rows]


def _used(rows: list[list[str]]) -> list[bool]:
    """Columns in which some row says something, and those a table must have."""
    return [index < 7 or any(row[index] for row in rows[1:]) for index in range(len(rows[0]))]
