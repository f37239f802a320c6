# SPDX-License-Identifier: GPL-3.0-or-later
"""The fast reader of a long CSV: Arrow parses decimals (never binary floats), and whole columns are rounded at once.

It gives up at the first unusual cell, without a finding: `read_by_cell.py` then reads the block and decides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from collector.sheets.files import Delivered
from collector.sheets.grid import PASSED_OVER, csv_header, named
from collector.tables.cells import parse_instant
from collector.tables.columns import UNIT_TYPE, CellForm, Column, empty_table
from collector.tables.rounding import decimal_to_scaled

# Digits after the point, tried in turn: 0 (a column's own digits, without rounding); 9 suffice for any
# instrument, 20 for floats printed by a program.
_FRACTION_DIGITS: Final = (0, 9, 20)
_HOUR_24: Final = re.compile("[T ]24:")  # the end of a day, a form that Arrow does not accept


class _OddError(Exception):
    """The fast reader can't decide; the block must be read by cell."""


def try_quick(delivered: Delivered, columns: Sequence[Column], *, threads: bool) -> tuple[pa.Table, str] | None:
    """Read a table and its separator; None where anything is unusual. `threads`: use all cores."""
    try:
        return _read_quick(delivered, columns, threads=threads)
    except (_OddError, pa.ArrowException, UnicodeDecodeError):
        return None


def _read_quick(delivered: Delivered, columns: Sequence[Column], *, threads: bool) -> tuple[pa.Table, str]:
    """Read a table; raises _OddError or an Arrow error where anything is unusual, which may still be valid."""
    data = delivered.data
    line_end = data.find(b"\n")
    head = csv_header(data[: line_end + 1].decode("utf-8-sig")) if 0 < line_end < 65_536 else None
    if head is None or b"\0" in data:
        raise _OddError
    separator = head[1]
    # Ignored columns are named by their places, as two of them may have one heading.
    header = [f"{PASSED_OVER}{n}" if c == PASSED_OVER else c for n, c in enumerate(named(head[0], delivered))]
    present = [column for column in columns if column.name in header]
    wanted = [name for name in header if not name.startswith(PASSED_OVER)]
    if len(present) != len(wanted) or any(c.required and c not in present for c in columns):
        raise _OddError
    if len(data) - line_end < 256 and not data[line_end + 1 :].strip():
        return empty_table(present), separator
    more_digits, least, to_24 = iter(_FRACTION_DIGITS[1:]), _FRACTION_DIGITS[0], False
    while True:
        try:
            raw = _parse(data, header, separator, line_end, present, least, to_24=to_24, threads=threads)
            return _table(raw, present, least), separator
        except pa.ArrowInvalid as invalid:
            if least != _FRACTION_DIGITS[-1] and "Rescaling" in str(invalid):
                least = next(more_digits)
            elif not to_24 and _HOUR_24.search(str(invalid)):
                to_24 = True
            else:
                raise


def _parse(
    data: bytes,
    header: Sequence[str],
    separator: str,
    line_end: int,
    present: Sequence[Column],
    least: int,
    *,
    to_24: bool,
    threads: bool,
) -> pa.Table:
    types = {CellForm.UNIT: UNIT_TYPE, CellForm.STATUS: pa.int8()}
    first = data[line_end + 1 : line_end + 4097].split(b"\n", 1)[0].decode("utf-8").split(separator)
    chosen: dict[str, Any] = {}
    for column in present:
        if column.form is CellForm.TIME:
            place = header.index(column.name)
            text = first[place].strip().strip('"') if place < len(first) else ""
            written = UNIT_TYPE if to_24 else pa.timestamp("ms", "UTC")
            chosen[column.name] = pa.int64() if text.isascii() and text.isdigit() else written
        else:
            number = pa.decimal128(38, _digits(column, least))
            chosen[column.name] = UNIT_TYPE if column.written else types.get(column.form, number)
    return pa.csv.read_csv(
        pa.BufferReader(data),
        # names are given, because the header may have spaces around them
        read_options=pa.csv.ReadOptions(
            use_threads=threads, block_size=4 << 20, skip_rows=1, column_names=list(header)
        ),
        parse_options=pa.csv.ParseOptions(delimiter=separator),
        convert_options=pa.csv.ConvertOptions(
            column_types=chosen, null_values=[""], strings_can_be_null=True, include_columns=[c.name for c in present]
        ),
    )


def _digits(column: Column, least: int) -> int:
    """The digits after the point with which a column is read: at least those of its stored integer."""
    return max(least, len(str(column.scale)) - 1)


def _table(raw: pa.Table, present: Sequence[Column], least: int) -> pa.Table:
    found: dict[str, Any] = {}
    for column in present:
        digits = _digits(column, least)
        if column.written:
            found[column.target], found[column.written] = _numbers_and_texts(raw[column.name], column, digits)
        else:
            found[column.target] = _column(raw[column.name], column, digits)
    return pa.table(found)


def _numbers_and_texts(raw: Any, column: Column, digits: int) -> tuple[Any, Any]:
    """A column of numbers read as texts: its integers, each distinct text parsed once, and the texts, "" for null."""
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
    if column.form is CellForm.UNIT:
        unified = raw.unify_dictionaries()
        if unified.num_chunks and any(_unclean(text) for text in unified.chunk(0).dictionary.to_pylist()):
            raise _OddError
        return unified
    exact = column.form in (CellForm.TIME, CellForm.STATUS)
    if exact:
        values = _instants(raw) if pa.types.is_dictionary(raw.type) else raw.cast(pa.int64())
    else:
        values = decimal_to_scaled(raw, digits, column.scale)
    if values.null_count < len(values):
        extent = pc.min_max(values).as_py()
        low, high = column.extent
        # A value exactly at the limit may have been rounded to it; reading by cell decides.
        if extent["min"] < low + (not exact and low < 0) or extent["max"] > high - (not exact):
            raise _OddError
    return values


def _instants(raw: Any) -> Any:
    """Instants of a column of texts, each distinct text parsed once: 24:00 by our parser, all others by Arrow."""
    texts = raw.unify_dictionaries().combine_chunks()
    at_24 = pc.match_substring_regex(texts.dictionary, _HOUR_24.pattern)
    try:
        late = [parse_instant(text.strip()) for text in texts.dictionary.filter(at_24).to_pylist()]
    except ValueError as error:
        raise _OddError from error
    rest = pc.if_else(at_24, None, texts.dictionary).cast(pa.timestamp("ms", "UTC")).cast(pa.int64())
    parsed = pc.replace_with_mask(rest, at_24, pa.array(late, pa.int64()))
    return pa.chunked_array([parsed.take(texts.indices)])


def _unclean(text: str) -> bool:
    return text != text.strip() or len(text) > 64 or not text.isprintable()
