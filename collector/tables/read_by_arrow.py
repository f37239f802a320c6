# SPDX-License-Identifier: GPL-3.0-or-later
"""The fast reader of a long CSV: Arrow parses decimals (never binary floats), and whole columns are rounded at once.

It gives up at the first unusual cell, without a finding: `read_by_cell.py` then reads the block and decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from collector.sheets.grid import csv_header
from collector.tables.columns import UNIT_TYPE, Column, Form, empty_table
from collector.tables.rounding import decimal_to_scaled

# Digits after the point, tried in turn: 9 suffice for any instrument, 20 for floats printed by a program.
_FRACTION_DIGITS: Final = (9, 20)


class _OddError(Exception):
    """The fast reader can't decide; the block must be read by cell."""


def try_quick(data: bytes, columns: Sequence[Column], *, threads: bool) -> pa.Table | None:
    """Read a table; None where anything is unusual. `threads`: let Arrow use all cores."""
    try:
        return _read_quick(data, columns, threads=threads)
    except (_OddError, pa.ArrowException, UnicodeDecodeError):
        return None


def _read_quick(data: bytes, columns: Sequence[Column], *, threads: bool) -> pa.Table:
    """Read a table; raises _OddError or an Arrow error where anything is unusual, which may still be valid."""
    line_end = data.find(b"\n")
    header = csv_header(data[: line_end + 1].decode("utf-8-sig")) if 0 < line_end < 65_536 else None
    if header is None or b"\0" in data:
        raise _OddError
    present = [column for column in columns if column.name in header]
    if len(present) != len(header) or any(c.required and c not in present for c in columns):
        raise _OddError
    if len(data) - line_end < 256 and not data[line_end + 1 :].strip():
        return empty_table(present)
    error: Exception = _OddError()
    for digits in _FRACTION_DIGITS:
        try:
            raw = _parse(data, header, line_end, present, digits, threads=threads)
            return _table(raw, present, digits)
        except pa.ArrowInvalid as invalid:
            error = invalid
            if "Rescaling" not in str(invalid):
                break
    raise error


def _parse(
    data: bytes, header: Sequence[str], line_end: int, present: Sequence[Column], digits: int, *, threads: bool
) -> pa.Table:
    types = {
        Form.UNIT: UNIT_TYPE,
        Form.STATUS: pa.int8(),
        Form.ANALOG: pa.decimal128(38, digits),
        Form.COUNTER: pa.decimal128(38, digits),
    }
    first = data[line_end + 1 : line_end + 4097].split(b"\n", 1)[0].decode("utf-8").split(",")
    chosen: dict[str, Any] = {}
    for column in present:
        if column.form is Form.TIME:
            place = header.index(column.name)
            text = first[place].strip().strip('"') if place < len(first) else ""
            chosen[column.name] = pa.int64() if text.isascii() and text.isdigit() else pa.timestamp("ms", "UTC")
        else:
            chosen[column.name] = UNIT_TYPE if column.written else types[column.form]
    return pa.csv.read_csv(
        pa.BufferReader(data),
        # names are given, because the header may have spaces around them
        read_options=pa.csv.ReadOptions(
            use_threads=threads, block_size=4 << 20, skip_rows=1, column_names=list(header)
        ),
        convert_options=pa.csv.ConvertOptions(
            column_types=chosen, null_values=[""], strings_can_be_null=True, include_columns=[c.name for c in present]
        ),
    )


def _table(raw: pa.Table, present: Sequence[Column], digits: int) -> pa.Table:
    found: dict[str, Any] = {}
    for column in present:
        if column.written:
            found[column.target], found[column.written] = _numbers_and_texts(raw[column.name], column, digits)
        else:
            found[column.target] = _column(raw[column.name], column, digits)
    return pa.table(found)


def _numbers_and_texts(raw: Any, column: Column, digits: int) -> tuple[Any, Any]:
    """Numbers read as texts: as integers, each distinct text parsed once, and as texts, empty where there is none."""
    if column.filled and raw.null_count:
        raise _OddError
    texts = raw.unify_dictionaries().combine_chunks()
    parsed = _column(pa.chunked_array([texts.dictionary.cast(pa.decimal128(38, digits))]), column, digits)
    codes = pc.fill_null(texts.indices, len(texts.dictionary))
    written = pa.DictionaryArray.from_arrays(codes, pa.concat_arrays([texts.dictionary, pa.array([""])]))
    return parsed.take(texts.indices), written


def _column(raw: Any, column: Column, digits: int) -> Any:
    """A parsed column as checked integers."""
    if column.filled and raw.null_count:
        raise _OddError
    if column.form is Form.UNIT:
        unified = raw.unify_dictionaries()
        if unified.num_chunks and any(_unclean(text) for text in unified.chunk(0).dictionary.to_pylist()):
            raise _OddError
        return unified
    exact = column.form in (Form.TIME, Form.STATUS)
    values = raw.cast(pa.int64()) if exact else decimal_to_scaled(raw, digits, column.scale)
    if values.null_count < len(values):
        extent = pc.min_max(values).as_py()
        low, high = column.extent
        # A value exactly at the limit may have been rounded to it; reading by cell decides.
        if extent["min"] < low + (not exact and low < 0) or extent["max"] > high - (not exact):
            raise _OddError
    return values


def _unclean(text: str) -> bool:
    return text != text.strip() or len(text) > 64 or not text.isprintable()
