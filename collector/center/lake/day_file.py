# SPDX-License-Identifier: GPL-3.0-or-later
"""A day file of the lake: Parquet columns from pieces of records, and pieces from a file again. No database here.

Columns: unit, time (UTC ms), cause, era, clock, device_time, place (-1 the last record before the day, 0 the day, 1 the
first 900 s after it), and per quantity a decimal column of its name and `<quantity>_quality`. A value is null where
there is none; a quality is null where the unit's records do not carry the quantity at all. Rows by unit, then time.
Where values were substituted, the delivered ones are in `<quantity>_original` and `<quantity>_original_quality` (null:
not substituted); a record made by a substitution has cause 2.

(unit, time) is unique within a place. Of several records for one instant the first counts in this order: one that a
person imported as a replacement, the latest first; synchronised clock; one from an earlier file (only where its
payloads are gone); the plant's gateway order, imports last; the later clock era; then epoch, sequence and position,
which mean nothing but make the choice the same in any order of arrival.
"""

from __future__ import annotations

import hashlib
import io
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from collector.base.clock_state import ClockState
from collector.center.db.storage.lake_place import LakePath, put_whole
from collector.center.db.verified import NAMED_DIGITS, read_named, read_verified
from collector.center.lake.pieces import DAY as DAY
from collector.center.lake.pieces import HEAD as HEAD
from collector.center.lake.pieces import NOT_CARRIED, Bools, Int64s, Piece, not_carried
from collector.center.lake.pieces import TAIL as TAIL
from collector.center.lake.substituted_values import (
    FILLED,
    Original,
    Substitute,
    original_quality,
    restore_cells,
    substitute_cells,
)
from collector.model.quantity import BY_NAME, QUANTITIES, Quantity, QuantityKind
from collector.model.record import USABLE_BELOW, Quality
from collector.wire import QuantityColumn, UnitColumns

LAKE_VERSION: Final = 1
FILE_RANK: Final = -1  # gateway rank of rows read back from a file
_DIGITS: Final = 18  # digits of a decimal stored as a 64-bit integer
_LIMIT: Final = 10**_DIGITS
_ROW_GROUP_ROWS: Final = 131_072
EVER: Final = (-(1 << 62), 1 << 62)


@dataclass(frozen=True, slots=True)
class DayRows:
    """A day's rows in file order, and the records that lost an instant to another record.

    `day_count`, `other_count`: those of the day itself, without head and tail.
    """

    table: pa.Table
    others: pa.Table
    day_count: int
    other_count: int


def build_day(pieces: Iterable[Piece], *, plant: str, day: str, substitutes: Sequence[Substitute] = ()) -> DayRows:
    """Choose, order and arrange the records of one plant and local day, with substituted values applied."""
    by_unit: dict[str, list[Piece]] = defaultdict(list)
    for piece in pieces:
        by_unit[piece.records.unit].append(piece)
    chosen, others = [], []
    for unit in sorted(by_unit):
        rows = _UnitPieces.joined(by_unit[unit])
        order, is_first = rows.order()
        chosen.append(rows.take(order[is_first]).with_substitutes(substitutes))
        others.append(rows.take(order[~is_first]))
    metadata = {"collector_lake": str(LAKE_VERSION), "plant": plant, "day": day}
    table = _table(chosen, metadata, with_origin=False)
    lost = _table(others, metadata, with_origin=True)
    counts = [sum(int((rows.place == DAY).sum()) for rows in part) for part in (chosen, others)]
    return DayRows(table, lost, *counts)


def choose(pieces: Iterable[Piece]) -> dict[str, UnitColumns]:
    """Per unit the records that count, one an instant and in order of time; all pieces are of one place."""
    by_unit: dict[str, list[Piece]] = defaultdict(list)
    for piece in pieces:
        by_unit[piece.records.unit].append(piece)
    chosen: dict[str, UnitColumns] = {}
    for unit, found in by_unit.items():
        rows = _UnitPieces.joined(found)
        order, is_first = rows.order()
        taken = rows.take(order[is_first])
        fixed = {attribute: taken.fixed[name] for name, attribute in _OF_RECORDS.items()}
        chosen[unit] = UnitColumns(unit=unit, columns=taken.columns, **fixed)
    return chosen


@dataclass(frozen=True, slots=True)
class _UnitPieces:
    """All records of one unit, from every piece."""

    unit: str
    fixed: dict[str, npt.NDArray[Any]]
    columns: dict[str, QuantityColumn]
    originals: dict[str, Original]

    @property
    def place(self) -> npt.NDArray[Any]:
        return self.fixed["place"]

    @classmethod
    def joined(cls, pieces: Sequence[Piece]) -> _UnitPieces:
        sizes = [len(p.records.time_utc_ms) for p in pieces]

        def spread(values: Sequence[int], kind: type[np.generic]) -> npt.NDArray[Any]:
            return np.repeat(np.array(values, dtype=kind), sizes)

        fixed = {
            name: np.concatenate([getattr(p.records, attribute) for p in pieces])
            for name, attribute in _OF_RECORDS.items()
        }
        gateways = sorted({p.origin.gateway for p in pieces})
        fixed |= {
            "place": spread([p.place for p in pieces], np.int8),
            "rank": spread([p.origin.rank for p in pieces], np.int64),
            "gateway": np.repeat(np.array([p.origin.gateway for p in pieces], dtype=object), sizes),
            "gateway_order": spread([gateways.index(p.origin.gateway) for p in pieces], np.int64),
            "epoch": spread([p.origin.epoch for p in pieces], np.uint64),
            "sequence": spread([p.origin.sequence for p in pieces], np.int64),
            "position": np.concatenate([np.arange(size) for size in sizes]),
        }
        names = {name for p in pieces for name in p.records.columns}
        return cls(pieces[0].records.unit, fixed, {name: _join_column(name, pieces) for name in sorted(names)}, {})

    def order(self) -> tuple[npt.NDArray[np.intp], Bools]:
        """Rows by place and time, the one that counts first; and the mask of those that count."""
        f = self.fixed
        unsynchronised = f["clock"] != ClockState.SYNCHRONISED
        keys = (
            *(f["position"], f["sequence"], f["epoch"], -f["era"], f["gateway_order"], f["rank"]),
            *(unsynchronised, f["rank"] >= FILE_RANK, f["time"]),
        )
        order = np.lexsort(keys)
        time, place = f["time"][order], f["place"][order]
        first = np.ones(len(order), dtype=np.bool_)
        first[1:] = (time[1:] != time[:-1]) | (place[1:] != place[:-1])
        return order, first

    def take(self, rows: npt.NDArray[np.intp]) -> _UnitPieces:
        columns = {name: column.select(rows) for name, column in self.columns.items()}
        return _UnitPieces(self.unit, {name: values[rows] for name, values in self.fixed.items()}, columns, {})

    def with_substitutes(self, substitutes: Sequence[Substitute]) -> _UnitPieces:
        mine = [each for each in substitutes if each.unit == self.unit]
        if not mine:
            return self
        columns, originals = substitute_cells(self.fixed["time"], self.columns, mine)
        return _UnitPieces(self.unit, self.fixed, columns, originals)


# Columns of the file for each record, by their name in `UnitColumns`.
_OF_RECORDS: Final = {
    "time": "time_utc_ms",
    "era": "era",
    "cause": "cause",
    "clock": "clock",
    "tagged": "tagged",
    "device_time": "device_time_utc_ms",
}


_OF_FILE: Final = ("time", "place", "era", "cause", "clock", "device_time")
_ENDINGS: Final = ("", "_quality", "_original", "_original_quality")  # suffixes of a quantity's columns


def _join_column(name: str, pieces: Sequence[Piece]) -> QuantityColumn:
    """One quantity over all pieces of a unit."""
    columns = [p.records.columns.get(name) or not_carried(len(p.records.time_utc_ms)) for p in pieces]
    return _within_range(BY_NAME[name], _concatenated(columns))


def _concatenated(columns: Sequence[QuantityColumn]) -> QuantityColumn:
    return QuantityColumn(
        np.concatenate([c.values for c in columns]),
        np.concatenate([c.present for c in columns]),
        np.concatenate([c.qualities for c in columns]),
    )


def _within_range(quantity: Quantity, column: QuantityColumn) -> QuantityColumn:
    """Turn values beyond the file's type into none, out of range; no gateway of ours sends one as usable."""
    limit = 128 if quantity.kind is QuantityKind.STATUS else _LIMIT
    beyond = column.present & ((column.values >= limit) | (column.values <= -limit))
    if not beyond.any():
        return column
    # Unusable qualities keep their own reason.
    usable = beyond & (column.qualities < USABLE_BELOW)
    qualities = np.where(usable, np.uint8(Quality.OUT_OF_RANGE), column.qualities)
    return QuantityColumn(np.where(beyond, 0, column.values), column.present & ~beyond, qualities)


def _table(units: Sequence[_UnitPieces], metadata: dict[str, str], *, with_origin: bool) -> pa.Table:
    names = [q.name for q in QUANTITIES if any(q.name in rows.columns for rows in units)]

    def fixed(name: str) -> npt.NDArray[Any]:
        return np.concatenate([rows.fixed[name] for rows in units]) if units else np.zeros(0, dtype=np.int64)

    sizes = [len(rows.fixed["time"]) for rows in units]
    indices = np.repeat(np.arange(len(units), dtype=np.int32), sizes)
    unit = pa.DictionaryArray.from_arrays(pa.array(indices), pa.array([rows.unit for rows in units], pa.string()))
    arrays: dict[str, pa.Array] = {
        "unit": unit,
        "time": pa.array(fixed("time").astype(np.int64)),
        "place": pa.array(fixed("place").astype(np.int8)),
        "cause": pa.array(fixed("cause").astype(np.uint8)),
        "era": pa.array(fixed("era").astype(np.uint16)),
        "clock": pa.array(fixed("clock").astype(np.uint8)),
        "device_time": pa.array(fixed("device_time").astype(np.int64), mask=~fixed("tagged").astype(np.bool_)),
    }
    if with_origin:
        arrays["gateway"] = pa.array(fixed("gateway").tolist(), pa.string())
        arrays["epoch"] = pa.array(fixed("epoch").astype(np.uint64))
        arrays["sequence"] = pa.array(fixed("sequence").astype(np.int64))
    for name in names:
        arrays |= _quantity_arrays(BY_NAME[name], units, sizes)
        if any(name in rows.originals for rows in units):
            arrays |= _original_arrays(BY_NAME[name], units, sizes)
    return pa.table(arrays).replace_schema_metadata(metadata)


def _quantity_arrays(quantity: Quantity, units: Sequence[_UnitPieces], sizes: Sequence[int]) -> dict[str, pa.Array]:
    parts = [rows.columns.get(quantity.name) or not_carried(n) for rows, n in zip(units, sizes, strict=True)]
    column = _concatenated(parts)
    array = _value_array(quantity, column.values, column.present)
    quality = pa.array(column.qualities, mask=column.qualities == NOT_CARRIED)
    return {quantity.name: array, f"{quantity.name}_quality": quality}


def _original_arrays(quantity: Quantity, units: Sequence[_UnitPieces], sizes: Sequence[int]) -> dict[str, pa.Array]:
    nothing = [Original(not_carried(size), np.zeros(size, dtype=np.bool_)) for size in sizes]
    parts = [rows.originals.get(quantity.name, none) for rows, none in zip(units, nothing, strict=True)]
    column, replaced = _concatenated([p.column for p in parts]), np.concatenate([p.replaced for p in parts])
    codes, absent = original_quality(Original(column, replaced))
    return {
        f"{quantity.name}_original": _value_array(quantity, column.values, column.present & replaced),
        f"{quantity.name}_original_quality": pa.array(codes.astype(np.uint8), mask=absent),
    }


def _value_array(quantity: Quantity, values: Int64s, present: Bools) -> pa.Array:
    if quantity.kind is QuantityKind.STATUS:
        return pa.array(values.astype(np.int8), mask=~present)
    return decimal_array(values, present, len(str(quantity.scale)) - 1)


def decimal_array(values: Int64s, present: Bools, digits: int) -> pa.Array:
    """Stored integers as exact decimals with `digits` places: 128 bits each, the upper ones the sign."""
    wide = np.empty((len(values), 2), dtype="<i8")
    wide[:, 0] = np.where(present, values, 0)
    wide[:, 1] = wide[:, 0] >> 63
    validity = pa.py_buffer(np.packbits(present, bitorder="little").tobytes())
    return pa.Array.from_buffers(pa.decimal128(_DIGITS, digits), len(values), [validity, pa.py_buffer(wide.tobytes())])


def stored_integers(array: pa.Array) -> Int64s:
    """The 64-bit integers of a decimal column, 0 where null: the inverse of `decimal_array`."""
    buffer = array.buffers()[1]
    wide = np.frombuffer(buffer, dtype="<i8").reshape(-1, 2)[array.offset : array.offset + len(array), 0]
    return np.where(_valid(array), wide, 0)


def _valid(array: pa.Array) -> Bools:
    return np.asarray(array.is_valid().to_numpy(zero_copy_only=False), dtype=np.bool_)


def write_table(table: pa.Table, folder: LakePath, day: str) -> tuple[LakePath, str, int]:
    """Write a file named by its content; it appears whole or not at all. Returns its path, SHA-256 and size.

    Raises:
        OSError: the disk refuses.
        ObjectStoreFault: the object store can't be used.
    """
    decimals = [f.name for f in table.schema if pa.types.is_decimal(f.type)]
    integers = [*decimals, "time", "device_time"]
    written = io.BytesIO()
    pq.write_table(
        table,
        written,
        compression="zstd",
        compression_level=5,
        row_group_size=_ROW_GROUP_ROWS,
        use_dictionary=[n for n in table.column_names if n not in integers],
        column_encoding=dict.fromkeys(integers, "DELTA_BINARY_PACKED"),
        store_decimal_as_integer=True,
        version="2.6",
    )
    data = written.getvalue()
    sha256 = hashlib.sha256(data).hexdigest()
    path = folder / f"{day}-{sha256[:NAMED_DIGITS]}.parquet"
    put_whole(path, data)
    return path, sha256, len(data)


def read_unit_tables(
    path: LakePath, sha256: str = "", *, columns: Sequence[str] | None = None, units: Collection[str] | None = None
) -> Iterator[tuple[str, pa.Table]]:
    """The rows of a file, unit by unit in the order of their names: the center's only reader of day files.

    No more than a row group and one unit is in memory beside the compressed bytes.

    Args:
        path: the file.
        sha256: its hash in the store; empty where the store has only a name, which contains a part of the hash.
        columns: the columns to read; None: all.
        units: the units to read; None: all.

    Raises:
        Altered: it is another file, or none.
    """
    data = read_verified(path, sha256) if sha256 else read_named(path)
    with pq.ParquetFile(pa.BufferReader(data)) as file:
        names = file.schema_arrow.names
        wanted = [name for name in names if columns is None or name in (*columns, "unit")]
        rows: list[pa.Table] = []
        before = ""
        for group in range(file.num_row_groups):
            if units is not None and not _may_hold(file.metadata.row_group(group).column(names.index("unit")), units):
                continue
            for unit, part in _by_unit(file.read_row_group(group, columns=wanted)):
                if unit != before and rows:
                    yield before, pa.concat_tables(rows).combine_chunks()
                    rows = []
                before = unit
                if units is None or unit in units:
                    rows.append(part)
        if rows:
            yield before, pa.concat_tables(rows).combine_chunks()


def _may_hold(chunk: pq.ColumnChunkMetaData, units: Collection[str]) -> bool:
    """True if a row group may hold rows of one of the units, by its statistics of unit names."""
    known = chunk.statistics
    return known is None or not known.has_min_max or any(known.min <= unit <= known.max for unit in units)


def _by_unit(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each unit as a slice: rows are grouped by unit."""
    if not len(table):
        return
    encoded = _single(table, "unit")
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    starts = np.flatnonzero(np.append(True, codes[1:] != codes[:-1])).tolist()
    rest = table.drop_columns(["unit"])
    for start, end in zip(starts, [*starts[1:], len(codes)], strict=True):
        yield encoded.dictionary[int(codes[start])].as_py(), rest.slice(start, end - start)


def read_units(
    path: LakePath,
    sha256: str = "",
    *,
    place: int = DAY,
    units: Collection[str] | None = None,
    from_ms: int = EVER[0],
    to_ms: int = EVER[1],
    as_delivered: bool = False,
    quantities: Sequence[str] | None = None,
) -> Iterator[UnitColumns]:
    """The records of one place of a file in [from_ms, to_ms), by unit; units without any are left out.

    `columns` of each: the quantities that any of its records carries. `as_delivered`: without substituted values, and
    without records made by substitutions. `quantities`: only these; None: all. Other arguments and errors as
    `read_unit_tables`.
    """
    columns = None if quantities is None else [*_OF_FILE, *(f"{name}{end}" for name in quantities for end in _ENDINGS)]
    for unit, table in read_unit_tables(path, sha256, columns=columns, units=units):
        time = _integers(table, "time")
        keep = (_integers(table, "place") == place) & (time >= from_ms) & (time < to_ms)
        if as_delivered:
            keep &= _integers(table, "cause") != FILLED
        if keep.any():
            yield _unit_columns(unit, table if keep.all() else table.filter(pa.array(keep)), as_delivered=as_delivered)


def count_rows(path: LakePath, sha256: str = "") -> tuple[int, int]:
    """The number of records of the day itself, and of delivered ones among them. Raises as `read_unit_tables`."""
    count = delivered = 0
    for _, table in read_unit_tables(path, sha256, columns=("place", "cause")):
        causes = _integers(table, "cause")[_integers(table, "place") == DAY]
        count += len(causes)
        delivered += int((causes != FILLED).sum())
    return count, delivered


def _unit_columns(unit: str, table: pa.Table, *, as_delivered: bool) -> UnitColumns:
    columns = {}
    for quantity in QUANTITIES:
        if quantity.name not in table.column_names:
            continue
        column = _column_from(table, quantity, quantity.name)
        if as_delivered and f"{quantity.name}_original_quality" in table.column_names:
            replaced = _valid(_single(table, f"{quantity.name}_original_quality"))
            column = restore_cells(
                column, Original(_column_from(table, quantity, f"{quantity.name}_original"), replaced)
            )
        if (column.qualities != NOT_CARRIED).any():
            columns[quantity.name] = column
    return UnitColumns(
        unit=unit,
        time_utc_ms=_integers(table, "time"),
        era=_integers(table, "era"),
        cause=_integers(table, "cause"),
        clock=_integers(table, "clock"),
        tagged=_valid(_single(table, "device_time")),
        device_time_utc_ms=_integers(table, "device_time"),
        columns=columns,
    )


def _column_from(table: pa.Table, quantity: Quantity, name: str) -> QuantityColumn:
    array = _single(table, name)
    values = _integers(table, name) if quantity.kind is QuantityKind.STATUS else stored_integers(array)
    return QuantityColumn(values, _valid(array), _integers(table, f"{name}_quality", NOT_CARRIED).astype(np.uint8))


def _integers(table: pa.Table, name: str, absent: int = 0) -> Int64s:
    filled = _single(table, name).fill_null(absent)
    return np.asarray(filled.to_numpy(zero_copy_only=False), dtype=np.int64)


def _single(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [pa.array([], column.type)])
