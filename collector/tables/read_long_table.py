# SPDX-License-Identifier: GPL-3.0-or-later
"""The reader of a long table (records, plan, voltage band) from CSV or XLSX into columns of 64-bit integers.

The fast and the slow reader give the same integers; only blocks that need it are read by cell.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Final

import pyarrow as pa

from collector.sheets.files import Delivered
from collector.sheets.findings import Findings
from collector.sheets.grid import note_separator, open_grid
from collector.tables.columns import Column, LongTable
from collector.tables.read_by_arrow import try_quick
from collector.tables.read_by_cell import read_careful

_BLOCK_BYTES: Final = 1 << 20
_BLOCKS_A_ROUND: Final = 16


def read_long(
    delivered: Delivered, columns: Sequence[Column], findings: Findings, *, threads: bool
) -> LongTable | None:
    """Read a CSV or XLSX file into integer columns named by `target`; a refused cell is null.

    None where a required column is missing. `threads`: let Arrow use all cores for this file; off where files are read
    in parallel.
    """
    if delivered.suffix != ".csv":
        table = _read_checked(delivered, columns, findings)
    elif not delivered.packed and (quick := try_quick(delivered, columns, threads=threads)) is not None:
        table, separator = quick
        note_separator(delivered.name, separator, findings)
    else:
        blocks = (_read_block(block, columns, findings, before) for block, before in blocks_of(delivered))
        # In two rounds: the allocator frees no memory of small pieces while one of them is in use.
        table = _joined([_joined(some) for some in iter(lambda: list(islice(blocks, _BLOCKS_A_ROUND)), [])])
    if any(column.required and column.target not in table.column_names for column in columns):
        return None
    return LongTable(delivered.name, table.unify_dictionaries(), partial(_rows_in, delivered))


def _joined(blocks: list[pa.Table]) -> pa.Table:
    """Concatenate blocks, each column into one piece; the blocks' memory is freed column by column."""
    whole = pa.concat_tables(blocks, promote_options="default")
    blocks.clear()
    columns = {name: whole[name] for name in whole.column_names}
    del whole
    for name in list(columns):
        columns[name] = columns.pop(name).unify_dictionaries().combine_chunks()
        pa.default_memory_pool().release_unused()  # else the process keeps the memory of the pieces
    return pa.table(columns)


def blocks_of(delivered: Delivered) -> Iterator[tuple[Delivered, int]]:
    """Split a CSV file into blocks of whole lines, each with the header, and the number of lines before it.

    A file with quotes is not split: they may contain line ends.
    """
    short = not delivered.packed and len(delivered.kept) <= 2 * _BLOCK_BYTES
    if short or any(b'"' in piece for piece in delivered.pieces()):
        yield delivered, 0
        return
    header, rest, lines_before = b"", b"", 0
    for piece in _pieces_of_blocks(delivered):
        whole = rest + piece
        end = whole.rfind(b"\n") + 1
        if not header and end:
            header = whole[: whole.find(b"\n") + 1]
            whole, end = whole[len(header) :], end - len(header)
        if end:
            yield replace(delivered, kept=header + whole[:end], sha256="", packed=False), lines_before
            lines_before += whole.count(b"\n", 0, end)
        rest = whole[end:]
    if rest or not lines_before:
        yield replace(delivered, kept=header + rest, sha256="", packed=False), lines_before


def _pieces_of_blocks(delivered: Delivered) -> Iterator[bytes]:
    """The bytes of a file in pieces of about one block."""
    some = bytearray()
    for piece in delivered.pieces():
        for start in range(0, len(piece), _BLOCK_BYTES):
            some += piece[start : start + _BLOCK_BYTES]
            if len(some) >= _BLOCK_BYTES:
                yield bytes(some)
                some.clear()
    yield bytes(some)


def _read_block(block: Delivered, columns: Sequence[Column], findings: Findings, lines_before: int) -> pa.Table:
    quick = try_quick(block, columns, threads=False)
    if quick is None:
        return _read_checked(block, columns, findings, lines_before)
    note_separator(block.name, quick[1], findings)
    return quick[0]


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
