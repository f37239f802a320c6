# SPDX-License-Identifier: GPL-3.0-or-later
"""The reader of a long table (records, plan, voltage band) from CSV or XLSX into columns of 64-bit integers.

The fast and the slow reader give the same integers; only blocks that need it are read by cell.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import Final

import pyarrow as pa

from collector.sheets.files import Delivered
from collector.sheets.findings import Findings
from collector.sheets.grid import open_grid
from collector.tables.columns import Column, LongTable
from collector.tables.read_by_arrow import try_quick
from collector.tables.read_by_cell import read_careful

_BLOCK_BYTES: Final = 4 << 20


def read_long(
    delivered: Delivered, columns: Sequence[Column], findings: Findings, *, threads: bool
) -> LongTable | None:
    """Read a CSV or XLSX file into integer columns named by `target`; a refused cell is null.

    None where a required column is missing. `threads`: let Arrow use all cores for this file; off where files are read
    in parallel.
    """
    if delivered.suffix != ".csv":
        table = _read_checked(delivered, columns, findings)
    elif (quick := try_quick(delivered.data, columns, threads=threads)) is not None:
        table = quick
    else:
        table = pa.concat_tables(
            [_read_block(block, columns, findings, lines_before) for block, lines_before in blocks_of(delivered)],
            promote_options="default",
        )
    if any(column.required and column.target not in table.column_names for column in columns):
        return None
    return LongTable(delivered.name, table.unify_dictionaries(), partial(_rows_in, delivered))


def blocks_of(delivered: Delivered) -> Iterator[tuple[Delivered, int]]:
    """Split a CSV file into blocks of whole lines, each with the header, and the number of lines before it.

    A file with quotes is not split: they may contain line ends.
    """
    data = delivered.data
    line_end = data.find(b"\n") + 1
    if len(data) <= 2 * _BLOCK_BYTES or not line_end or b'"' in data:
        yield delivered, 0
        return
    header, start, lines_before = data[:line_end], line_end, 0
    while start < len(data):
        end = data.find(b"\n", min(start + _BLOCK_BYTES, len(data) - 1)) + 1 or len(data)
        yield Delivered(delivered.name, header + data[start:end], ""), lines_before
        lines_before += data.count(b"\n", start, end)
        start = end


def _read_block(block: Delivered, columns: Sequence[Column], findings: Findings, lines_before: int) -> pa.Table:
    quick = try_quick(block.data, columns, threads=False)
    return _read_checked(block, columns, findings, lines_before) if quick is None else quick


def _read_checked(
    delivered: Delivered, columns: Sequence[Column], findings: Findings, lines_before: int = 0
) -> pa.Table:
    """Read by cell; an empty table where the file as a whole was refused."""
    grid = open_grid(delivered, findings, lines_before)
    return pa.table({}) if grid is None else read_careful(grid, columns, findings)


def _rows_in(delivered: Delivered, indices: Collection[int]) -> dict[int, int]:
    """The file row of each table index; the table has all rows that are not blank."""
    grid = open_grid(delivered, Findings())
    rows = grid.rows(Findings()) if grid else iter(())
    return {index: row for index, (row, _) in enumerate(rows) if index in indices}
