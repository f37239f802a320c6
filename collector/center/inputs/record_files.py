# SPDX-License-Identifier: GPL-3.0-or-later
"""A delivered file of records: everything wrong in it at once, else its records by unit, time and local day."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection, select

import collector.wire as wire
from collector.base.clock_state import ClockState
from collector.base.text import tr
from collector.center.db.tables_receive import unit_day
from collector.center.inputs.imports import known_register
from collector.center.receive.keys import enrolled_units
from collector.model.interval import DAY_MS, LOCAL_OFFSET_MS, Interval, local_day
from collector.model.quantity import QUANTITIES
from collector.model.record import Cause, Quality
from collector.sheets.files import Delivered
from collector.sheets.findings import Findings
from collector.tables.columns import LongTable
from collector.tables.parquet import CLOCK
from collector.tables.records import RECORD_SUFFIXES, read_record_file, unit_codes, unit_names

MAX_FILE_BYTES: Final = 400 * 1024**2
MAX_FILE_ROWS: Final = 3_000_000  # a month of a unit at 1 s; reading it takes about a gigabyte
_UNPACKED_BYTES: Final = 2 * 1024**3

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class UnitDayRows:
    """The rows of one unit on one local day: a stretch of the sorted table."""

    plant: str
    unit: str
    day: str
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class RecordFile:
    """A valid file: its records by unit and time, and the days they belong to.

    `quantities`: the quantities of each unit in the file. `rows_of`: the file's rows for places in the table; reads the
    whole file once.
    """

    name: str
    table: pa.Table
    time: Int64s
    parts: tuple[UnitDayRows, ...]
    quantities: Mapping[str, tuple[str, ...]]
    rows_of: Callable[[Collection[int]], Mapping[int, int]]

    def days(self) -> Iterator[tuple[str, str, list[UnitDayRows]]]:
        """Plant, day and its parts, in this order."""
        ordered = sorted(self.parts, key=lambda part: (part.plant, part.day, part.unit))
        for (plant, day), parts in groupby(ordered, key=lambda part: (part.plant, part.day)):
            yield plant, day, list(parts)

    def span(self, parts: Sequence[UnitDayRows]) -> Interval:
        """From the first record of some parts to just after their last."""
        first = min(int(self.time[part.first]) for part in parts)
        return Interval(first, max(int(self.time[part.end - 1]) for part in parts) + 1)

    def records(self, part: UnitDayRows) -> wire.UnitColumns:
        """The records of a part, in the form of a batch."""
        rows = self.table.slice(part.first, part.end - part.first)
        size = len(rows)
        clock = _cells(rows, CLOCK)[0] if CLOCK in rows.column_names else np.full(size, ClockState.SYNCHRONISED)
        zeros = np.zeros(size, dtype=np.int64)
        return wire.UnitColumns(
            unit=part.unit,
            time_utc_ms=self.time[part.first : part.end],
            era=zeros,
            cause=np.full(size, Cause.TICK, dtype=np.int64),
            clock=clock.astype(np.int64),
            tagged=np.zeros(size, dtype=np.bool_),
            device_time_utc_ms=zeros,
            columns={name: _quantity(*_cells(rows, name)) for name in self.quantities[part.unit]},
        )


def _quantity(values: Int64s, present: Bools) -> wire.QuantityColumn:
    """A person's values: substituted where there is a value, silent where there is none."""
    qualities = np.where(present, Quality.SUBSTITUTED, Quality.SILENT).astype(np.uint8)
    return wire.QuantityColumn(values, present, qualities)


def _cells(rows: pa.Table, name: str) -> tuple[Int64s, Bools]:
    """Stored integers of a column, 0 where a cell is empty, and the mask of the filled cells."""
    column = rows[name].combine_chunks()
    there = np.asarray(column.is_valid().to_numpy(zero_copy_only=False), dtype=np.bool_)
    return np.asarray(column.fill_null(0).to_numpy(zero_copy_only=False), dtype=np.int64), there


def read_file(connection: Connection, delivered: Delivered) -> RecordFile:
    """Read and check the file.

    Raises:
        ConfigError: everything wrong in it.
    """
    findings = Findings()
    _check_size(delivered, findings)
    findings.refuse_if_any()
    known = known_register(connection)
    owners = _owners(connection)
    units = owners.keys() | (known.units or set() if known else set())
    ignored = known.ignored if known else frozenset[str]()
    read = read_record_file(replace(delivered, ignored=ignored), units, findings)
    findings.refuse_if_any()
    assert read is not None
    long, records = read
    names = unit_names(long.table)
    if known is not None and known.register is not None:
        owners = {state.id: state.plant for state in known.register.units} | owners
    for unit in sorted(names):
        if not (wire.is_name(unit) and wire.is_name(owners[unit])):
            message = tr(
                "{unit!r} of plant {owners!r} is no name records can be stored under: letters, digits, _ . -",
                unit=unit,
                owners=owners[unit],
            )
            findings.add(delivered.name, 0, "unit", message)
    quantities = {
        unit: tuple(q.name for q in QUANTITIES if q.name in records.unit_columns[unit]) for unit in sorted(names)
    }
    if names and not any(quantities.values()):
        findings.add(delivered.name, 0, "", tr("has no column of a quantity, such as active_power_mw"))
    if CLOCK in records.table.column_names:
        clock, there = _cells(records.table, CLOCK)
        if not there.all() or not np.isin(clock, [int(state) for state in ClockState]).all():
            findings.add(delivered.name, 0, CLOCK, tr("is no state of a clock: expected 0, 1 or 2"))
    findings.refuse_if_any()
    return _sorted_file(long, records.table, owners, quantities)


def _check_size(delivered: Delivered, findings: Findings) -> None:
    """Check size and type, before anything is decompressed."""
    name, data = delivered.name, delivered.data
    if delivered.suffix not in RECORD_SUFFIXES:
        findings.add(
            name, 0, "", tr("is no file of records: expected one of {names}", names=", ".join(RECORD_SUFFIXES))
        )
        return
    if len(data) > MAX_FILE_BYTES:
        findings.add(
            name,
            0,
            "",
            tr(
                "has {count} bytes; at most {max_file_bytes} are taken at once; split it",
                count=len(data),
                max_file_bytes=MAX_FILE_BYTES,
            ),
        )
        return
    rows, unpacked_bytes = data.count(b"\n"), 0
    if delivered.suffix == ".parquet":
        try:
            metadata = pq.ParquetFile(io.BytesIO(data)).metadata
        except Exception:  # damaged bytes raise many types of error in the library; the reader reports them
            return
        rows = metadata.num_rows
        unpacked_bytes = sum(metadata.row_group(n).total_byte_size for n in range(metadata.num_row_groups))
    if rows > MAX_FILE_ROWS + 1 or unpacked_bytes > _UNPACKED_BYTES:
        findings.add(
            name,
            0,
            "",
            tr(
                "has {rows} rows; at most {max_file_rows} are taken at once; split it",
                rows=rows,
                max_file_rows=MAX_FILE_ROWS,
            ),
        )


def _owners(connection: Connection) -> dict[str, str]:
    """The plant of each unit: by center.toml, else by the batches that were received."""
    sent = connection.execute(select(unit_day.c.plant, unit_day.c.unit).distinct())
    owners = {str(row.unit): str(row.plant) for row in sent}
    return owners | {unit: plant for plant, units in enrolled_units(connection).items() for unit in units}


def _sorted_file(
    long: LongTable, table: pa.Table, owners: Mapping[str, str], quantities: Mapping[str, tuple[str, ...]]
) -> RecordFile:
    """The table by unit and time, with each unit's days."""
    units = sorted(quantities)
    code, time = unit_codes(table, units), table["time"].to_numpy()
    order = np.lexsort((time, code))
    if not (order[1:] > order[:-1]).all():
        table, code, time = table.take(pa.array(order)), code[order], time[order]
    number = (time + LOCAL_OFFSET_MS) // DAY_MS
    edges = np.flatnonzero((np.diff(code) != 0) | (np.diff(number) != 0)) + 1
    bounds = [0, *edges.tolist(), len(time)] if len(time) else [0]
    parts = tuple(
        UnitDayRows(owners[units[code[first]]], units[code[first]], local_day(int(time[first])).isoformat(), first, end)
        for first, end in pairwise(bounds)
    )
    own_code, own_time = unit_codes(long.table, units), long.table["time"].to_numpy()

    def rows_of(indices: Collection[int]) -> Mapping[int, int]:
        own = {n: int(np.flatnonzero((own_code == code[n]) & (own_time == time[n]))[0]) for n in indices}
        rows = long.rows_of(own.values())
        return {n: rows[place] for n, place in own.items() if place in rows}

    return RecordFile(long.name, table, time, parts, quantities, rows_of)
