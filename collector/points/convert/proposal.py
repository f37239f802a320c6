# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of a proposal, and the proposed table as rows of text."""

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
    """Decisions that a person has already taken; a field is empty where none was taken."""

    protocol: str = ""
    device: str = ""
    unit: str = ""
    base: int | None = None
    order: str = ""
    area: str = ""
    type: str = ""


@dataclass(slots=True)
class ProposedRow:
    """One row of the proposed table. `why`: a sentence per guess; `rank`: among rows of the same quantity."""

    source: int
    cells: dict[str, str]
    why: list[Text]
    rank: int
    machine: str
    decisions: dict[str, Text] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row of the sheet that the proposal leaves out."""

    row: int
    text: str
    reason: Text


@dataclass(slots=True)
class TableProposal:
    """A proposed table. `decisions`: each decision left to a person, once."""

    protocol: str
    rows: list[ProposedRow] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    decisions: dict[str, Text] = field(default_factory=dict)
    about: list[Text] = field(default_factory=list)


def table_of(proposal: TableProposal, language: str) -> list[list[str]]:
    """The proposed table as rows of text, headings first; the last column gives the reasons."""
    rows = [list(COLUMNS)]
    for row in proposal.rows:
        why = join("; ", [tr("row {row}", row=row.source), *row.why])
        rows.append([*(row.cells.get(column, "") for column in COLUMNS[:-1]), why.into(language)])
    return [[cell for cell, used in zip(row, _used(rows), strict=True) if used] for row in rows]


def _used(rows: list[list[str]]) -> list[bool]:
    """True for each column that some row fills, and for the seven that every table must have."""
    return [index < 7 or any(row[index] for row in rows[1:]) for index in range(len(rows[0]))]
