# SPDX-License-Identifier: GPL-3.0-or-later
"""The reader of records as Parquet: from any program, and the day files of the lake.

Types accepted: unit text or dictionary; time integer UTC ms, timestamp with time zone, or text; values decimals,
integers or floats (read as the shortest decimal of the float), statuses integers or booleans. A day file of the lake
also has the quality of each quantity (an unusable value is missing) and the `place` of a row: 0 the day itself, -1 and
1 copies of rows of the neighbouring days. Values as delivered before substitution (`_original`) are not read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from collector.base.text import Text, said_by, tr
from collector.model.quantity import BY_NAME
from collector.model.record import USABLE_BELOW
from collector.sheets.files import Delivered
from collector.sheets.findings import Findings, nearest
from collector.tables.cells import EARLIEST_MS, LATEST_MS, parse_instant
from collector.tables.columns import UNIT_TYPE, CellForm, Column, LongTable
from collector.tables.rounding import decimal_to_scaled, floats_to_scaled, with_nulls

MAX_ROWS: Final = 200_000_000
MAX_UNCOMPRESSED_BYTES: Final = 16 * 1024**3
_ROWS_TOGETHER: Final = 262_144
_UNREAD: Final = ("cause", "era", "device_time")
# Columns of a day file that the settlement does not use.
_SIDES: Final = ("quality", "original", "original_quality")
LAKE_COLUMNS: Final = frozenset({*_UNREAD, *(f"{name}_{side}" for name in BY_NAME for side in _SIDES)})
PLACE: Final = "place"
CLOCK: Final = "clock"  # model.record.ClockState; a reading of I-17 may ask for it


class _WrongError(Exception):
    """A column can't be converted: message, and index of the first bad row or None."""

    def __init__(self, message: str, index: int | None = None) -> None:
        super().__init__(message)
        self.index = index


def read_parquet(
    group: Sequence[tuple[Delivered, Findings]], columns: Mapping[str, Column], *, threads: bool
) -> list[LongTable | None]:
    """Read Parquet files of records into integer columns, and `place` where a file has it. None for a refused file.

    Small files of one layout are converted together: a month of day files would be thousands of columns.
    """
    done: list[LongTable | None] = []
    together: list[tuple[Delivered, Findings, pa.Table]] = []
    for delivered, findings in group:
        table = _load(delivered, columns, findings, threads=threads)
        if table is not None and together and not _joins(table, [other for _, _, other in together]):
            done += _convert_together(together, columns, threads=threads)
            together = []
        if table is None:
            done += _convert_together(together, columns, threads=threads)
            together = []
            done.append(None)
        else:
            together.append((delivered, findings, table))
    return done + _convert_together(together, columns, threads=threads)


def _joins(table: pa.Table, others: Sequence[pa.Table]) -> bool:
    """True if a table can be converted together with others."""
    return len(table) + sum(len(other) for other in others) <= _ROWS_TOGETHER and table.schema.equals(others[0].schema)


def _convert_together(
    files: Sequence[tuple[Delivered, Findings, pa.Table]], columns: Mapping[str, Column], *, threads: bool
) -> list[LongTable | None]:
    """Convert the files as one table and split it again; on any error one by one, to find the file and the row."""
    if len(files) > 1:
        whole = pa.concat_tables([table for _, _, table in files]).unify_dictionaries()
        built, wrong = _built(whole, columns, threads=threads)
        if not wrong:
            ends = np.cumsum([len(table) for _, _, table in files]).tolist()
            cut = [built.slice(end - len(table), len(table)) for end, (_, _, table) in zip(ends, files, strict=True)]
            return [_long(delivered.name, raw, table) for (delivered, _, raw), table in zip(files, cut, strict=True)]
    done: list[LongTable | None] = []
    for delivered, findings, raw in files:
        table, wrong = _built(raw, columns, threads=threads)
        for column, error in wrong:
            row = 0 if error.index is None else error.index + 1
            findings.add(delivered.name, row, column.name, said_by(error), kind="cell")
        done.append(None if wrong else _long(delivered.name, raw, table))
    return done


def _built(
    table: pa.Table, columns: Mapping[str, Column], *, threads: bool
) -> tuple[pa.Table, list[tuple[Column, _WrongError]]]:
    """The converted columns, and the errors of those that failed."""
    present = [columns[name] for name in table.column_names if name in columns]

    def attempt(column: Column) -> Any:
        return _attempt(_usable(table, column.name), column)

    if threads:  # numpy and Arrow release the interpreter lock, so columns are converted in parallel
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
            outcomes = list(pool.map(attempt, present))
    else:
        outcomes = list(map(attempt, present))
    pairs = list(zip(present, outcomes, strict=True))
    built = {column.target: outcome for column, outcome in pairs if not isinstance(outcome, _WrongError)}
    built |= {name: table[name].cast(pa.int64()) for name in (PLACE, CLOCK) if name in table.column_names}
    return pa.table(built), [(column, outcome) for column, outcome in pairs if isinstance(outcome, _WrongError)]


def _long(name: str, raw: pa.Table, table: pa.Table) -> LongTable:
    return LongTable(name, table, lambda indices: {i: i + 1 for i in indices}, _lacking(raw, table["unit"]))


def _usable(table: pa.Table, name: str) -> Any:
    """The column with null where its quality is not usable."""
    if f"{name}_quality" not in table.column_names:
        return table[name]
    quality = table[f"{name}_quality"]
    if not pa.types.is_uint8(quality.type):
        quality = quality.cast(pa.int64())
    usable = pc.less(quality, pa.scalar(USABLE_BELOW, quality.type))
    # Most unusable values are null already: checking that is cheaper than copying the column.
    if not pc.any(pc.and_not(table[name].is_valid(), pc.fill_null(usable, False))).as_py():
        return table[name]
    return pc.if_else(usable, table[name], pa.scalar(None, table[name].type))


def _lacking(table: pa.Table, unit: Any) -> dict[str, frozenset[str]]:
    """The quantities that each unit's records do not carry: their quality is null throughout."""
    lacking: dict[str, set[str]] = {}
    there = set(table.column_names)
    for name in [name for name in BY_NAME if f"{name}_quality" in there and name in there]:
        quality = table[f"{name}_quality"]
        if not quality.null_count:
            continue
        carriers = set(pc.unique(unit.cast(pa.string()).filter(quality.is_valid())).to_pylist())
        for other in set(pc.unique(unit.cast(pa.string())).to_pylist()) - carriers:
            lacking.setdefault(other, set()).add(name)
    return {name: frozenset(quantities) for name, quantities in lacking.items()}


def _load(delivered: Delivered, columns: Mapping[str, Column], findings: Findings, *, threads: bool) -> pa.Table | None:
    try:
        file = pq.ParquetFile(pa.BufferReader(delivered.data), read_dictionary=["unit"])
        groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
        size = sum(group.total_byte_size for group in groups)
        if file.metadata.num_rows > MAX_ROWS or size > MAX_UNCOMPRESSED_BYTES:
            message = tr(
                "has {num_rows} rows, {size} bytes unpacked; split it (at most {max_rows} rows)",
                num_rows=file.metadata.num_rows,
                size=size,
                max_rows=MAX_ROWS,
            )
            findings.add(delivered.name, 0, "", message)
            return None
        names = [name for name in file.schema_arrow.names if name not in delivered.ignored]
        if not _check_columns(delivered.name, names, columns, findings):
            return None
        wanted = [name for name in names if name not in _UNREAD and "_original" not in name]
        return file.read(columns=wanted, use_threads=threads)
    except Exception as error:  # on damaged bytes the library raises many types, even KeyError
        findings.add(delivered.name, 0, "", tr("is no Parquet file that can be read: {error}", error=error))
        return None


def _check_columns(name: str, header: list[str], columns: Mapping[str, Column], findings: Findings) -> bool:
    good = True
    for column in header:
        if header.count(column) > 1:
            findings.add(name, 0, column, tr("is there twice; keep one"))
            good = False
        elif column not in columns and column not in LAKE_COLUMNS and column not in (PLACE, CLOCK):
            findings.add(name, 0, column, tr("unknown column{hint}", hint=nearest(column, columns)))
            good = False
    for wanted in columns.values():
        if wanted.required and wanted.name not in header:
            findings.add(name, 0, wanted.name, tr("column is missing"))
            good = False
    return good


def _attempt(raw: Any, column: Column) -> Any:
    """The converted column, or the error that prevents it."""
    try:
        return _convert(raw, column)
    except _WrongError as wrong:
        return wrong
    except pa.ArrowException as error:
        return _WrongError(tr("can't be read: {error}", error=error))


def _convert(raw: Any, column: Column) -> Any:
    if column.filled and raw.null_count:
        raise _WrongError(tr("is empty; a value is needed here"), pc.index(raw.is_null(), True).as_py())
    converters: Mapping[CellForm, Callable[[Any], Any]] = {
        CellForm.UNIT: _unit,
        CellForm.TIME: _time,
        CellForm.STATUS: _status,
        CellForm.ANALOG: partial(_number, column=column),
        CellForm.COUNTER: partial(_number, column=column),
    }
    return converters[column.form](raw)


def _unit(raw: Any) -> Any:
    kind = raw.type.value_type if pa.types.is_dictionary(raw.type) else raw.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise _WrongError(tr("is {type}, expected text", type=raw.type))
    return raw.cast(UNIT_TYPE).unify_dictionaries()


def _time(raw: Any) -> Any:
    kind = raw.type
    if pa.types.is_timestamp(kind):
        if kind.tz is None:
            raise _WrongError(tr("is a timestamp without time zone; store it with UTC, or as integer UTC ms"))
        try:
            values = raw.cast(pa.timestamp("ms", "UTC")).cast(pa.int64())
        except pa.ArrowInvalid:
            raise _WrongError(tr("has times finer than a millisecond")) from None
    elif pa.types.is_int64(kind):
        values = raw
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pa.chunked_array([_parsed_times(raw)], pa.int64())
    else:
        raise _WrongError(tr("is {kind}, expected integer UTC ms, a timestamp with time zone, or text", kind=kind))
    _check_extent(values, EARLIEST_MS, LATEST_MS - 1, tr("is no plausible time; expected UTC milliseconds"))
    return values


def _parsed_times(raw: Any) -> Any:
    times: list[int] = []
    for index, text in enumerate(raw.to_pylist()):
        try:
            times.append(parse_instant(text.strip()))
        except ValueError as error:
            raise _WrongError(said_by(error), index) from None
    return pa.array(times, pa.int64())


def _status(raw: Any) -> Any:
    kind = raw.type
    if pa.types.is_null(kind) or pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        values = raw.cast(pa.int64())
    elif pa.types.is_floating(kind):  # pandas turns integers with gaps into floats
        try:
            values = raw.cast(pa.int64())
        except pa.ArrowInvalid:
            raise _WrongError(tr("is no boolean: expected 0 or 1")) from None
    else:
        raise _WrongError(tr("is {kind}, expected 0 or 1", kind=kind))
    _check_extent(values, 0, 1, tr("is no boolean: expected 0 or 1"))
    return values


def _number(raw: Any, column: Column) -> Any:
    kind, scale = raw.type, column.scale
    if pa.types.is_null(kind):
        return raw.cast(pa.int64())
    low, high = column.extent
    if pa.types.is_integer(kind):
        values = raw.cast(pa.int64())
        _check_extent(values, low // scale, high // scale, tr("is beyond any plausible value"))
        return pc.multiply(values, scale)
    if pa.types.is_decimal(kind):
        wide = raw if pa.types.is_decimal128(kind) else raw.cast(pa.decimal128(38, kind.scale))
        values = decimal_to_scaled(wide, kind.scale, scale)
    elif pa.types.is_float32(kind) or pa.types.is_float64(kind):
        values = pa.chunked_array([_floats(chunk, scale, high) for chunk in raw.chunks], pa.int64())
    else:
        raise _WrongError(tr("is {kind}, expected a decimal or a number", kind=kind))
    _check_extent(values, low, high, tr("is beyond any plausible value; check unit and decimal point"))
    return values


def _floats(chunk: Any, scale: int, high: int) -> Any:
    values = (chunk.fill_null(0) if chunk.null_count else chunk).to_numpy(zero_copy_only=False)
    if not len(values):
        return pa.array([], pa.int64())
    low, top = values.min(), values.max()  # one NaN makes both NaN
    if not np.isfinite(low) or not np.isfinite(top):
        raise _WrongError(tr("holds NaN or infinity; store null where the value is missing"))
    if max(-low, top) > 2.0 * high / scale:
        raise _WrongError(tr("is beyond any plausible value; check unit and decimal point"))
    return with_nulls(floats_to_scaled(values, scale), chunk)


def _check_extent(values: Any, low: int, high: int, message: Text) -> None:
    if values.null_count == len(values):
        return
    extent = pc.min_max(values).as_py()
    if extent["min"] < low or extent["max"] > high:
        outside = pc.fill_null(pc.or_(pc.less(values, low), pc.greater(values, high)), False)
        raise _WrongError(message, pc.index(outside, True).as_py())
