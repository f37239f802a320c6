# SPDX-License-Identifier: GPL-3.0-or-later
"""A delivered table: everything wrong in it at once (the readers of a settlement folder), else its rows by the column.

Cells are kept as they were written, but for instants, which are UTC ms. A long file is read in blocks: one without any
oddity by Arrow, another one row by row.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from collector.center.inputs.conflicts import Rows, distinct
from collector.center.inputs.kinds import KINDS, RECORDS, REGISTER, TIMES
from collector.sheets.efile import is_efile, read_efile, register_text, tables_in
from collector.sheets.files import Delivered
from collector.sheets.findings import Findings
from collector.sheets.grid import csv_header, open_grid
from collector.tables.cells import parse_instant
from collector.tables.dispatch import (
    read_exclusions,
    read_orders,
    read_rates,
    read_reserves,
    read_revenue,
    read_start_stop_table,
)
from collector.tables.read_long_table import blocks_of
from collector.tables.register import RegisterFile, load_register
from collector.tables.schedules import read_plan, read_voltage_band

_REGISTER_TABLES: Final = frozenset({"area", "plant", "unit", "policy"})
_BLOCK_ROWS: Final = 65_536
# What Python takes for white space and Arrow doesn't.
_ODD: Final = (b'"', b"\x1c", b"\x1d", b"\x1e", b"\x1f")
_CELL_TYPE: Final = pa.dictionary(pa.int32(), pa.string())

Int64s = npt.NDArray[np.int64]
_Block = tuple[Int64s, Mapping[str, Any]]


def kinds_in(delivered: Delivered) -> tuple[str, ...]:
    """What an E file has tables of, in the order in which they can be imported."""
    there = tables_in(delivered)
    register = (REGISTER,) if set(there) & _REGISTER_TABLES else ()
    return (*register, *(kind for kind in (*KINDS, RECORDS) if kind in there))


def as_toml(delivered: Delivered) -> Delivered:
    """A register in E text as register.toml, which is what a settlement folder holds.

    Raises:
        ConfigError: it can't be read.
    """
    if not is_efile(delivered):
        return delivered
    findings = Findings()
    tables = read_efile(delivered, findings) or {}
    findings.refuse_if_any()
    data = register_text(tables).encode()
    return Delivered(delivered.name, data, hashlib.sha256(data).hexdigest())


def read_table(
    kind: str, delivered: Delivered, known: RegisterFile | None, services: Collection[str]
) -> tuple[Delivered, Rows]:
    """A file as it is kept, and its rows. `known`: the register it is checked against; a register needs none.

    Raises:
        ConfigError: everything wrong in it.
    """
    if kind != REGISTER:
        assert known is not None
        delivered = replace(delivered, table=kind)
        check_file(known, kind, delivered, services)
        return delivered, read_rows(kind, delivered)
    delivered = as_toml(delivered)
    load_delivered(delivered)
    nought = np.zeros(1, np.int64)
    return delivered, Rows(nought, nought, nought, (pa.array([json.dumps(delivered.sha256)]).dictionary_encode(),))


def load_delivered(register: Delivered) -> RegisterFile:
    """A register found good.

    Raises:
        ConfigError: everything wrong in it.
    """
    findings = Findings()
    known = load_register(register, findings)
    findings.refuse_if_any()
    return known


def check_file(known: RegisterFile, kind: str, delivered: Delivered, services: Collection[str]) -> None:
    """Look at a file as a settlement folder's file is looked at. `services`: what exclusions may name.

    Raises:
        ConfigError: everything wrong in it.
    """
    findings = Findings()
    readers: Mapping[str, Callable[[], Any]] = {
        "plan": lambda: read_plan(delivered, known.units, findings),
        "orders": lambda: read_orders(delivered, known.units, findings),
        "reserve": lambda: read_reserves(delivered, known.units, findings),
        "voltage_band": lambda: read_voltage_band(delivered, known.units, findings),
        "exclusions": lambda: read_exclusions(delivered, known.units, services, findings),
        "revenue": lambda: read_revenue(delivered, known, findings),
        "rates": lambda: read_rates(delivered, known.units, findings),
        "start_stop_table": lambda: read_start_stop_table(delivered, findings),
    }
    readers[kind]()
    findings.refuse_if_any()


def read_rows(kind: str, delivered: Delivered) -> Rows:
    """The rows of a file that was found good; a row that is there twice counts once."""
    names = KINDS[kind].columns
    numbers = [np.empty(0, np.int64)]
    parts: dict[str, list[Any]] = {name: [pa.array([], _CELL_TYPE)] for name in names}
    for rows, texts in _blocks(delivered, names):
        numbers.append(rows)
        for name in names:
            column = texts[name] if name in texts else pa.repeat("", len(rows))
            parts[name].append(column.dictionary_encode())
    columns = {name: pa.chunked_array(part).unify_dictionaries().combine_chunks() for name, part in parts.items()}
    instants = {name: _instants(columns[name]) for name in names if name in TIMES}
    row = np.concatenate(numbers)
    start_ms, end_ms = (
        instants[name][columns[name].indices.to_numpy()] if name in instants else np.zeros(len(row), np.int64)
        for name in ("start", "end")
    )
    cells = tuple(_cells(columns[name], instants.get(name)) for name in names)
    return distinct(KINDS[kind], Rows(row, start_ms, end_ms, cells))


def _instants(column: Any) -> Int64s:
    """UTC ms of each distinct text; 0 where it is empty."""
    texts = column.dictionary.to_pylist()
    return np.array([parse_instant(text) if text else 0 for text in texts], np.int64)


def _cells(column: Any, instants: Int64s | None) -> Any:
    """The column with its distinct texts as JSON."""
    texts = column.dictionary.to_pylist()
    if instants is not None:
        texts = [str(time_utc_ms) if time_utc_ms else "" for time_utc_ms in instants.tolist()]
    quoted = pa.array([json.dumps(text, ensure_ascii=False) for text in texts], pa.string())
    return pa.DictionaryArray.from_arrays(column.indices, quoted)


def _blocks(delivered: Delivered, names: Sequence[str]) -> Iterator[_Block]:
    """Rows of the file and the texts of its columns, a block at a time."""
    if delivered.suffix != ".csv":
        yield from _row_by_row(delivered, 0)
        return
    for block, lines_before in blocks_of(delivered):
        quick = _at_once(block, names, lines_before)
        if quick is None:
            yield from _row_by_row(block, lines_before)
        else:
            yield quick


def _at_once(block: Delivered, names: Sequence[str], lines_before: int) -> _Block | None:
    """A block without any oddity: no quotes, no blank lines, one line a row; None where that is not so."""
    data = block.data
    if any(sign in data for sign in _ODD):
        return None
    line_end = data.find(b"\n") + 1
    try:
        header = csv_header(data[:line_end].decode("utf-8-sig"))
        if header is None or not data[line_end:].strip():
            return None
        table = pa.csv.read_csv(
            pa.BufferReader(data),
            read_options=pa.csv.ReadOptions(use_threads=False, skip_rows=1, column_names=list(header)),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), include_columns=[n for n in header if n in names]
            ),
        )
    except (pa.ArrowException, UnicodeDecodeError):
        return None
    lines = data.count(b"\n", line_end) + (not data.endswith(b"\n"))
    if lines != len(table):
        return None
    texts = {name: pc.utf8_trim_whitespace(table[name]).combine_chunks() for name in table.column_names}
    return np.arange(len(table)) + 2 + lines_before, texts


def _row_by_row(delivered: Delivered, lines_before: int) -> Iterator[_Block]:
    grid = open_grid(delivered, Findings(), lines_before)
    assert grid is not None
    rows = grid.rows(Findings())
    while some := list(islice(rows, _BLOCK_ROWS)):
        columns = zip(*(cells for _, cells in some), strict=True)
        texts = {name: pa.array(cells, pa.string()) for name, cells in zip(grid.header, columns, strict=True)}
        yield np.array([number for number, _ in some], np.int64), texts
