# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of one unit out of day files: as columns for curves, and row by row for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from collector.center.db.verified import read_verified
from collector.center.lake.day_file import stored_integers
from collector.center.lake.pieces import DAY, HEAD
from collector.model.quantity import BY_NAME, QUANTITIES, Kind, from_scaled
from collector.model.record import Quality

_FIXED: Final = ("time", "cause", "era", "clock", "device_time")


@dataclass(frozen=True, slots=True)
class ShownValue:
    """A quantity of a record in the quantity's own unit; None: no value. A status is 0 or 1."""

    value: Decimal | None
    quality: Quality


@dataclass(frozen=True, slots=True)
class RecordShown:
    """A record as people read it. `cause`, `clock`: codes of model.record; times UTC ms."""

    time_ms: int
    cause: int
    era: int
    clock: int
    device_time_ms: int | None
    values: Mapping[str, ShownValue]


def read_record_table(
    files: Sequence[tuple[Path, str]], unit: str, from_ms: int, to_ms: int, *, head: bool = False
) -> pa.Table:
    """Records of a unit in [from_ms, to_ms) as 64-bit columns by time; quantities it does not carry are left out.

    `files`: day files and their SHA-256. `head`: also the last record before the first file's day, which may hold into
    it.

    Raises:
        Altered: a file is not the one with this hash.
    """
    of_unit = ("unit", "=", unit)
    filters = [of_unit, ("place", "=", DAY), ("time", ">=", from_ms), ("time", "<", to_ms)]
    tables = []
    for place, (path, sha256) in enumerate(files):
        data = pa.BufferReader(read_verified(path, sha256))
        tables.append(_stored(pq.read_table(data, filters=filters)))
        if head and not place:
            tables.append(_stored(pq.read_table(data, filters=[of_unit, ("place", "=", HEAD)])))
    if not tables:
        return pa.table({name: pa.array([], pa.int64()) for name in _FIXED})
    table = pa.concat_tables(tables, promote_options="default").combine_chunks().sort_by("time")
    absent = [q.name for q in QUANTITIES if q.name in table.column_names and _nothing(table, f"{q.name}_quality")]
    return table.drop_columns([column for name in absent for column in (name, f"{name}_quality")])


def _nothing(table: pa.Table, name: str) -> bool:
    return bool(table[name].null_count == len(table))


def _stored(table: pa.Table) -> pa.Table:
    """Decimals as stored integers, everything else as it is, 64 bits wide."""
    arrays: dict[str, Any] = {name: table[name].cast(pa.int64()) for name in _FIXED}
    for quantity in QUANTITIES:
        if quantity.name not in table.column_names:
            continue
        column = table[quantity.name].combine_chunks()
        array = column.chunk(0) if isinstance(column, pa.ChunkedArray) and column.num_chunks else column
        if quantity.kind is Kind.STATUS or not len(table):
            arrays[quantity.name] = table[quantity.name].cast(pa.int64()) if len(table) else pa.array([], pa.int64())
        else:
            missing = np.asarray(array.is_null().to_numpy(zero_copy_only=False))
            arrays[quantity.name] = pa.array(stored_integers(array), mask=missing)
        arrays[f"{quantity.name}_quality"] = table[f"{quantity.name}_quality"].cast(pa.int64())
    return pa.table(arrays)


def shown(table: pa.Table) -> list[RecordShown]:
    """The rows of a record table, decoded."""
    names = [name for name in table.column_names if name in BY_NAME]
    rows = []
    for row in table.to_pylist():
        values = {
            name: ShownValue(
                None if row[name] is None else from_scaled(row[name], BY_NAME[name].scale),
                Quality(row[f"{name}_quality"]),
            )
            for name in names
            if row[f"{name}_quality"] is not None
        }
        rows.append(RecordShown(row["time"], row["cause"], row["era"], row["clock"], row["device_time"], values))
    return rows
