# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of one unit out of day files: as columns for curves, and row by row for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np
import pyarrow as pa

from collector.center.db.storage.lake_place import LakePath
from collector.center.lake.day_file import EVER, read_units
from collector.center.lake.pieces import DAY, HEAD, NOT_CARRIED
from collector.model.quantity import BY_NAME, QUANTITIES, from_scaled
from collector.model.record import Quality
from collector.wire import UnitColumns

_FIXED: Final = ("time", "cause", "era", "clock", "device_time")


@dataclass(frozen=True, slots=True)
class ShownValue:
    """A quantity of a record in the quantity's own unit; None: no value. A status is 0 or 1."""

    value: Decimal | None
    quality: Quality


@dataclass(frozen=True, slots=True)
class RecordShown:
    """A record for display. `cause`, `clock`: codes of model.record; times UTC ms."""

    time_ms: int
    cause: int
    era: int
    clock: int
    device_time_ms: int | None
    values: Mapping[str, ShownValue]


def read_record_table(
    files: Sequence[tuple[LakePath, str]],
    unit: str,
    from_ms: int,
    to_ms: int,
    *,
    head: bool = False,
    as_delivered: bool = False,
    quantities: Sequence[str] | None = None,
) -> pa.Table:
    """Records of a unit in [from_ms, to_ms) as 64-bit columns by time; quantities it does not carry are left out.

    `files`: day files and their SHA-256; empty where the name contains it. `head`: also the last record before the
    first file's day, which may hold into it. `as_delivered`: without substituted values. `quantities`: only these;
    None: all.

    Raises:
        Altered: a file is not the one with this hash.
    """
    tables: list[pa.Table] = []
    for number, (path, sha256) in enumerate(files):
        places: list[tuple[int, int, int]] = [(DAY, from_ms, to_ms)]
        if head and not number:
            places.append((HEAD, *EVER))
        for place, first_ms, end_ms in places:
            found = read_units(
                path, sha256, place=place, units=(unit,), from_ms=first_ms, to_ms=end_ms, as_delivered=as_delivered,
                quantities=quantities,
            )  # fmt: skip
            tables += [_integers(records) for records in found]
    if not tables:
        return pa.table({name: pa.array([], pa.int64()) for name in _FIXED})
    table = pa.concat_tables(tables, promote_options="default").combine_chunks().sort_by("time")
    carried = [q.name for q in QUANTITIES if q.name in table.column_names]
    return table.select([*_FIXED, *(column for name in carried for column in (name, f"{name}_quality"))])


def _integers(records: UnitColumns) -> pa.Table:
    """Records as 64-bit columns, null where there is no value, or no such quantity."""
    arrays = {
        "time": pa.array(records.time_utc_ms),
        "cause": pa.array(records.cause),
        "era": pa.array(records.era),
        "clock": pa.array(records.clock),
        "device_time": pa.array(records.device_time_utc_ms, mask=~records.tagged),
    }
    for name, column in records.columns.items():
        arrays[name] = pa.array(column.values, mask=~column.present)
        arrays[f"{name}_quality"] = pa.array(column.qualities.astype(np.int64), mask=column.qualities == NOT_CARRIED)
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
