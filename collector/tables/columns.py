# SPDX-License-Identifier: GPL-3.0-or-later
"""The columns of long tables, the form of their cells, and the type of the checked table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa

from collector.sheets.grid import Field
from collector.tables.cells import (
    EARLIEST_MS,
    LARGEST_ANALOG,
    LARGEST_COUNTER,
    LATEST_MS,
    parse_analog,
    parse_counter,
    parse_id,
    parse_instant,
    parse_status,
)

UNIT_TYPE: Final = pa.dictionary(pa.int32(), pa.string())


class CellForm(Enum):
    """The form of a column's cells."""

    UNIT = "unit"
    TIME = "time"
    STATUS = "status"
    ANALOG = "analog"
    COUNTER = "counter"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a long table. `target`: its name inside the program; `scale`: factor to its stored integer.

    `written`: the name under which its texts are kept unchanged beside the integers; empty: they are not kept.
    """

    name: str
    form: CellForm
    target: str
    scale: int = 1
    required: bool = True
    filled: bool = True
    written: str = ""

    @property
    def cell(self) -> Field:
        """The column as a field for `read_by_cell.py`."""
        parsers: dict[CellForm, Callable[[str], Any]] = {
            CellForm.UNIT: parse_id,
            CellForm.TIME: parse_instant,
            CellForm.STATUS: parse_status,
            CellForm.ANALOG: partial(parse_analog, scale=self.scale),
            CellForm.COUNTER: partial(parse_counter, scale=self.scale),
        }
        return Field(self.name, parsers[self.form], self.required, self.filled)

    @property
    def extent(self) -> tuple[int, int]:
        """The smallest and largest stored integer allowed."""
        return {
            CellForm.UNIT: (0, 0),
            CellForm.TIME: (EARLIEST_MS, LATEST_MS - 1),
            CellForm.STATUS: (0, 1),
            CellForm.ANALOG: (-LARGEST_ANALOG * self.scale, LARGEST_ANALOG * self.scale),
            CellForm.COUNTER: (0, LARGEST_COUNTER * self.scale),
        }[self.form]


@dataclass(frozen=True, slots=True)
class LongTable:
    """A checked table. `rows_of`: file rows of table rows; it reads the file again, so it is used only for findings.

    `lacking`: per unit, the columns of the file that the unit does not have (a day file holds all units of a plant).
    """

    name: str
    table: pa.Table
    rows_of: Callable[[Collection[int]], Mapping[int, int]]
    lacking: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def where(self, mask: np.ndarray[Any, Any]) -> LongTable:
        """The table with only the rows of `mask`; their rows in the file stay known."""
        if bool(mask.all()):
            return self
        kept = np.flatnonzero(mask)

        def rows_of(indices: Collection[int]) -> Mapping[int, int]:
            places = {int(kept[index]): index for index in indices}
            return {places[place]: row for place, row in self.rows_of(places.keys()).items()}

        return LongTable(self.name, self.table.filter(pa.array(mask)), rows_of, self.lacking)

    def filled(self, names: Sequence[str]) -> LongTable:
        """The table with only the rows that have a value in all of `names`.

        After a cell was refused, a check of several columns can still be made on the other rows.
        """
        lacking = [name for name in names if self.table[name].null_count]
        if not lacking:
            return self
        mask = np.ones(len(self.table), bool)
        for name in lacking:
            mask &= self.table[name].is_valid().to_numpy()
        return self.where(mask)


def with_texts(columns: Sequence[Column]) -> tuple[Column, ...]:
    """The columns, changed so that the texts of analog values are kept beside their integers."""
    return tuple(replace(c, written=c.name) if c.form is CellForm.ANALOG else c for c in columns)


def empty_table(columns: Sequence[Column]) -> pa.Table:
    """A table without rows, with the right types."""
    types = {c.target: UNIT_TYPE if c.form is CellForm.UNIT else pa.int64() for c in columns}
    types |= {c.written: UNIT_TYPE for c in columns if c.written}
    return pa.table({name: pa.array([], type_) for name, type_ in types.items()})
