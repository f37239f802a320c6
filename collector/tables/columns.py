# SPDX-License-Identifier: GPL-3.0-or-later
"""Long tables as Arrow columns of 64-bit integers, exactly, without Python per row.

The quick way lets Arrow's CSV reader parse decimals (never binary floats) and rounds their digits in integer
arithmetic. It gives up at the first oddity. The careful way then parses cell by cell, with the parsers of cells.py,
which alone decide what is good and say what is not; both give the same integers.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from collector.model.quantity import parse_scaled
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
from collector.tables.files import Delivered
from collector.tables.findings import Findings
from collector.tables.grid import Field, Grid, check_header, csv_header, open_grid

UNIT_TYPE: Final = pa.dictionary(pa.int32(), pa.string())
# Digits after the point tried in turn: 9 hold every instrument's text, 20 what a float exported by a program prints.
_FRACTION_DIGITS: Final = (9, 20)
_BLOCK_ROWS: Final = 65_536
_BLOCK_BYTES: Final = 4 << 20


class Form(Enum):
    """What the cells of a column are."""

    UNIT = "unit"
    TIME = "time"
    STATUS = "status"
    ANALOG = "analog"
    COUNTER = "counter"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a long table and what becomes of it: `target` is its name inside, `scale` makes its integer."""

    name: str
    form: Form
    target: str
    scale: int = 1
    required: bool = True
    filled: bool = True

    @property
    def cell(self) -> Field:
        """The column as the careful way parses it."""
        parsers: dict[Form, Callable[[str], Any]] = {
            Form.UNIT: parse_id,
            Form.TIME: parse_instant,
            Form.STATUS: parse_status,
            Form.ANALOG: partial(parse_analog, scale=self.scale),
            Form.COUNTER: partial(parse_counter, scale=self.scale),
        }
        return Field(self.name, parsers[self.form], self.required, self.filled)

    @property
    def extent(self) -> tuple[int, int]:
        """The smallest and largest stored integer that is taken."""
        return {
            Form.UNIT: (0, 0),
            Form.TIME: (EARLIEST_MS, LATEST_MS - 1),
            Form.STATUS: (0, 1),
            Form.ANALOG: (-LARGEST_ANALOG * self.scale, LARGEST_ANALOG * self.scale),
            Form.COUNTER: (0, LARGEST_COUNTER * self.scale),
        }[self.form]


@dataclass(frozen=True, slots=True)
class LongTable:
    """A checked table. `rows_of` finds the file's rows of table rows; a pass over the file, for findings only.

    `lacking`: columns of the file that a unit in it does not have (a day file serves all units of a plant).
    """

    name: str
    table: pa.Table
    rows_of: Callable[[Collection[int]], Mapping[int, int]]
    lacking: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def where(self, mask: np.ndarray[Any, Any]) -> LongTable:
        """Only the rows of `mask`, still knowing their place in the file."""
        if bool(mask.all()):
            return self
        kept = np.flatnonzero(mask)

        def rows_of(indices: Collection[int]) -> Mapping[int, int]:
            places = {int(kept[index]): index for index in indices}
            return {places[place]: row for place, row in self.rows_of(places.keys()).items()}

        return LongTable(self.name, self.table.filter(pa.array(mask)), rows_of, self.lacking)

    def filled(self, names: Sequence[str]) -> LongTable:
        """Only the rows that have a value in all of `names`: where cells were refused, others can still be checked."""
        mask = np.ones(len(self.table), bool)
        for name in names:
            mask &= self.table[name].is_valid().to_numpy()
        return self.where(mask)


class _OddError(Exception):
    """The quick way can't tell; the careful way must look."""


def read_long(
    delivered: Delivered, columns: Sequence[Column], findings: Findings, *, threads: bool
) -> LongTable | None:
    """A CSV or XLSX file as integer columns named by `target`; a refused cell is null there.

    None where a column that is needed can't be had. `threads`: let Arrow use all cores for this one file; off where
    files are read side by side.
    """
    if delivered.suffix != ".csv":
        table = _read_checked(delivered, columns, findings)
    elif (quick := _try_quick(delivered.data, columns, threads=threads)) is not None:
        table = quick
    else:
        table = pa.concat_tables(
            [_read_block(block, columns, findings, lines_before) for block, lines_before in _split(delivered)],
            promote_options="default",
        )
    if any(column.required and column.target not in table.column_names for column in columns):
        return None
    return LongTable(delivered.name, table.unify_dictionaries(), partial(_rows_in, delivered))


def _try_quick(data: bytes, columns: Sequence[Column], *, threads: bool) -> pa.Table | None:
    try:
        return _read_quick(data, columns, threads=threads)
    except (_OddError, pa.ArrowException, UnicodeDecodeError):
        return None


def _split(delivered: Delivered) -> Iterator[tuple[Delivered, int]]:
    """The file in blocks of whole lines with the header, and the lines before each: only odd ones take the long way.

    A file with quotes stays whole: a line end may be inside them.
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
    quick = _try_quick(block.data, columns, threads=False)
    return _read_checked(block, columns, findings, lines_before) if quick is None else quick


def _read_checked(
    delivered: Delivered, columns: Sequence[Column], findings: Findings, lines_before: int = 0
) -> pa.Table:
    """The careful way; an empty table where the file as a whole was refused."""
    grid = open_grid(delivered, findings, lines_before)
    return pa.table({}) if grid is None else _read_careful(grid, columns, findings)


def _rows_in(delivered: Delivered, indices: Collection[int]) -> dict[int, int]:
    """The row of the file for each index of the table, which has every row that is not blank."""
    grid = open_grid(delivered, Findings())
    rows = grid.rows(Findings()) if grid else iter(())
    return {index: row for index, (row, _) in enumerate(rows) if index in indices}


# ---- the quick way -------------------------------------------------------------------------------------------------


def _read_quick(data: bytes, columns: Sequence[Column], *, threads: bool) -> pa.Table:
    """Raises _OddError or an Arrow error where anything is unusual; then nothing is known yet."""
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
            return pa.table({column.target: _column(raw[column.name], column, digits) for column in present})
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
            chosen[column.name] = types[column.form]
    return pa.csv.read_csv(
        pa.BufferReader(data),
        # names are given, because a header may hold spaces around them
        read_options=pa.csv.ReadOptions(
            use_threads=threads, block_size=4 << 20, skip_rows=1, column_names=list(header)
        ),
        convert_options=pa.csv.ConvertOptions(
            column_types=chosen, null_values=[""], strings_can_be_null=True, include_columns=[c.name for c in present]
        ),
    )


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
        # A value at the very limit may have been rounded to it; the careful way tells.
        if extent["min"] < low + (not exact and low < 0) or extent["max"] > high - (not exact):
            raise _OddError
    return values


def _unclean(text: str) -> bool:
    return text != text.strip() or len(text) > 64 or not text.isprintable()


def decimal_to_scaled(column: Any, digits: int, scale: int) -> Any:
    """A chunked decimal128 column with `digits` after the point as int64 stored integers, half away from zero."""
    return pa.chunked_array([_chunk_to_scaled(chunk, digits, scale) for chunk in column.chunks], pa.int64())


def _chunk_to_scaled(chunk: Any, digits: int, scale: int) -> Any:
    kept = len(str(scale)) - 1
    low, high = _words(chunk)
    if digits < kept or digits - kept > 17 or not np.array_equal(high, low >> 63):
        # rare: more digits than 64 bits hold; Arrow rounds in 128 bits, several times slower
        chunk = pc.round(chunk, ndigits=kept, round_mode="half_towards_infinity").cast(pa.decimal128(38, kept))
        return _with_nulls(_words(chunk)[0], chunk)
    step = 10 ** (digits - kept)
    size = np.abs(low)
    rounded = size // step
    rounded += size - rounded * step >= (step + 1) // 2
    return _with_nulls(np.where(low < 0, -rounded, rounded), chunk)


def _words(chunk: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The low and high 64 bits of each decimal128; where the high is only the sign, the low is the number."""
    words = np.frombuffer(chunk.buffers()[1], np.int64)[2 * chunk.offset : 2 * (chunk.offset + len(chunk))]
    return words[::2], words[1::2]


def _with_nulls(values: np.ndarray[Any, Any], chunk: Any) -> Any:
    """int64 values with the validity of `chunk`."""
    if not chunk.null_count:
        return pa.array(values, pa.int64())
    return pa.array(values, pa.int64(), mask=chunk.is_null().to_numpy(zero_copy_only=False))


# ---- the careful way -----------------------------------------------------------------------------------------------


def _read_careful(grid: Grid, columns: Sequence[Column], findings: Findings) -> pa.Table:
    fields = [column.cell for column in columns]
    places = check_header(grid.name, grid.header, fields, findings)
    present = [column for column in columns if column.name in places]
    parsers = [_CellParser(grid.name, column, findings) for column in present]
    chunks: list[list[Any]] = [[] for _ in present]
    for rows, block in _blocks(grid, findings):
        for column, parser, chunk in zip(present, parsers, chunks, strict=True):
            chunk.append(parser.parse(rows, [cells[places[column.name]] for cells in block]))
    types = {column: pa.string() if column.form is Form.UNIT else pa.int64() for column in present}
    built = {c.target: pa.chunked_array(chunk, types[c]) for c, chunk in zip(present, chunks, strict=True)}
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
    """Parses one column; equal texts once, up to a bound."""

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
        return pa.array(values, pa.string() if self._column.form is Form.UNIT else pa.int64())

    def _first(self, row: int, text: str) -> Any:
        """A text not seen before; a bad one is found again wherever it stands."""
        if not text:
            if self._column.filled:
                message = "is empty; a value is needed here"
                self._findings.add(self._file, row, self._column.name, message, kind="empty")
            else:
                self._known[text] = None
            return None
        try:
            value = self._parse(text)
        except ValueError as error:
            self._findings.add(self._file, row, self._column.name, str(error), kind="cell")
            return None
        self._known[text] = value
        return value


def empty_table(columns: Sequence[Column]) -> pa.Table:
    """No rows, the right types."""
    return pa.table(
        {c.target: pa.array([], UNIT_TYPE if c.form is Form.UNIT else pa.int64()) for c in columns},
    )


def floats_to_scaled(values: np.ndarray[Any, Any], scale: int) -> np.ndarray[Any, Any]:
    """Finite floats as stored integers: the decimal a reader sees (the shortest naming the float), half away from zero.

    float × scale rounds right unless it lies near a tie; there, and only there, the decimal text is needed.
    """
    result = np.empty(len(values), np.int64)
    for start in range(0, len(values), _BLOCK_ROWS):  # a block's intermediates stay in the processor's cache
        block = slice(start, start + _BLOCK_ROWS)
        result[block] = _block_to_scaled(values[block], scale)
    return result


def _block_to_scaled(values: np.ndarray[Any, Any], scale: int) -> np.ndarray[Any, Any]:
    product = values.astype(np.float64) * scale
    whole = np.rint(product)
    result: np.ndarray[Any, Any] = whole.astype(np.int64)
    # The shortest decimal is within half an ulp of the float; the doubt is four times that.
    largest = max(-float(product.min()), float(product.max())) if len(product) else 0.0
    doubt = largest * (2.0**-22 if values.dtype == np.float32 else 2.0**-51) + 2.0**-60
    np.subtract(product, whole, out=product)
    near_tie = np.flatnonzero(np.abs(product, out=product) >= 0.5 - doubt)
    if len(near_tie):
        distinct, place = np.unique(values[near_tie], return_inverse=True)
        exact = np.array([parse_scaled(str(value), scale) for value in distinct], np.int64)
        result[near_tie] = exact[place]
    return result
