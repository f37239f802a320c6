# SPDX-License-Identifier: GPL-3.0-or-later
"""A sealed day file as columns per unit, for whoever looks at a day: checks, gap maps, pages. Reads, never writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from collector.center.lake.day_file import stored_integers
from collector.center.lake.pieces import DAY, NOT_CARRIED
from collector.model.quantity import QUANTITIES, Kind
from collector.model.record import USABLE_BELOW

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class QuantityColumn:
    """One quantity along the records: stored integers, which of them count, quality (NOT_CARRIED: none)."""

    values: Int64s
    usable: npt.NDArray[np.bool_]
    quality: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class UnitColumns:
    """One unit's own records of the day in order of time. `columns`: the quantities that any of them carries."""

    unit: str
    time: Int64s
    clock: Int64s
    era: Int64s
    columns: Mapping[str, QuantityColumn]


def read_day_columns(path: Path) -> tuple[UnitColumns, ...]:
    """The day's own records of a file (no head, no tail), by unit.

    Raises:
        OSError: there is no such file.
    """
    table = pq.read_table(path, filters=[("place", "=", DAY)]).combine_chunks()
    unit = table.column("unit").combine_chunks().dictionary_encode() if len(table) else None
    if unit is None:
        return ()
    encoded = unit.chunk(0) if isinstance(unit, pa.ChunkedArray) else unit
    names = encoded.dictionary.to_pylist()
    codes = np.asarray(encoded.indices.to_numpy(zero_copy_only=False))
    # Rows are by unit, then time: each unit is one slice.
    starts = np.flatnonzero(np.append(True, codes[1:] != codes[:-1]))
    ends = np.append(starts[1:], len(codes))
    return tuple(_unit(table.slice(a, b - a), str(names[codes[a]])) for a, b in zip(starts, ends, strict=True))


def _unit(table: pa.Table, unit: str) -> UnitColumns:
    columns = {q.name: _quantity(table, q.name, q.kind) for q in QUANTITIES if q.name in table.column_names}
    return UnitColumns(
        unit=unit,
        time=_integers(table, "time"),
        clock=_integers(table, "clock"),
        era=_integers(table, "era"),
        columns={name: column for name, column in columns.items() if (column.quality != NOT_CARRIED).any()},
    )


def _quantity(table: pa.Table, name: str, kind: Kind) -> QuantityColumn:
    array = _single(table, name)
    values = _integers(table, name) if kind is Kind.STATUS else stored_integers(array)
    quality = _integers(table, f"{name}_quality", NOT_CARRIED).astype(np.uint8)
    present = np.asarray(array.is_valid().to_numpy(zero_copy_only=False), dtype=np.bool_)
    return QuantityColumn(values, present & (quality < USABLE_BELOW), quality)


def _integers(table: pa.Table, name: str, absent: int = 0) -> Int64s:
    return np.asarray(_single(table, name).fill_null(absent).to_numpy(zero_copy_only=False), dtype=np.int64)


def _single(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [pa.array([], column.type)])
