# SPDX-License-Identifier: GPL-3.0-or-later
"""The slow reader of a long table: cell by cell with the parsers of cells.py, the only ones that report findings.

Equal texts are parsed once; one block of rows is held at a time.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Any, Final

import pyarrow as pa

from collector.base.text import said_by, tr
from collector.sheets.findings import Findings
from collector.sheets.grid import Grid, check_header
from collector.tables.columns import UNIT_TYPE, CellForm, Column

_BLOCK_ROWS: Final = 65_536


def read_careful(grid: Grid, columns: Sequence[Column], findings: Findings) -> pa.Table:
    """Read the columns that exist; a refused cell becomes a finding and null."""
    fields = [column.cell for column in columns]
    places = check_header(grid.name, grid.header, fields, findings)
    present = [column for column in columns if column.name in places]
    parsers = [_CellParser(grid.name, column, findings) for column in present]
    chunks: list[list[Any]] = [[] for _ in present]
    texts: dict[str, list[Any]] = {column.written: [] for column in present if column.written}
    for rows, block in _blocks(grid, findings):
        for column, parser, chunk in zip(present, parsers, chunks, strict=True):
            of_column = [cells[places[column.name]] for cells in block]
            chunk.append(parser.parse(rows, of_column))
            if column.written:
                texts[column.written].append(pa.array(of_column, pa.string()).dictionary_encode())
    types = {column: pa.string() if column.form is CellForm.UNIT else pa.int64() for column in present}
    built = {c.target: pa.chunked_array(chunk, types[c]) for c, chunk in zip(present, chunks, strict=True)}
    built |= {name: pa.chunked_array(chunk, UNIT_TYPE).unify_dictionaries() for name, chunk in texts.items()}
    if "unit" in built:
        built["unit"] = built["unit"].dictionary_encode().cast(UNIT_TYPE).unify_dictionaries()
    return pa.table(built)


def _blocks(grid: Grid, findings: Findings) -> Iterator[tuple[array[int], list[Sequence[str]]]]:
    rows, block = array("q"), list[Sequence[str]]()
    for row, cells in grid.rows(findings):
        rows.append(row)
        block.append(cells)
        if len(block) == _BLOCK_ROWS:
            yield rows, block
            rows, block = array("q"), []
    if block:
        yield rows, block


class _CellParser:
    """Parses one column, with a cache of limited size for equal texts."""

    def __init__(self, file: str, column: Column, findings: Findings) -> None:
        self._file = file
        self._column = column
        self._parse = column.cell.parse
        self._findings = findings
        self._known: dict[str, Any] = {}

    def parse(self, rows: Sequence[int], texts: Sequence[str]) -> Any:
        known = self._known
        if len(known) > 4 * _BLOCK_ROWS:
            known.clear()
        values: list[Any] = []
        for row, text in zip(rows, texts, strict=True):
            if text in known:
                values.append(known[text])
            else:
                values.append(self._first(row, text))
        return pa.array(values, pa.string() if self._column.form is CellForm.UNIT else pa.int64())

    def _first(self, row: int, text: str) -> Any:
        """Parse a text that is not cached; a bad text is not cached, so every cell with it gets a finding."""
        if not text:
            if self._column.filled:
                message = tr("is empty; a value is needed here")
                self._findings.add(self._file, row, self._column.name, message, kind="empty")
            else:
                self._known[text] = None
            return None
        try:
            value = self._parse(text)
        except ValueError as error:
            self._findings.add(self._file, row, self._column.name, said_by(error), kind="cell")
            return None
        self._known[text] = value
        return value
