# SPDX-License-Identifier: GPL-3.0-or-later
"""Stored records of one unit over a short time, or its newest: 对点 compares values with them.

Read from the journal, so that a record is visible as soon as it is committed, sealed or not. Substituted values are not
included: they are in day files.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, select

from collector.base.errors import StoreError
from collector.base.text import tr
from collector.center.db.storage.lake_place import LakePath
from collector.center.db.tables_receive import unit_day
from collector.center.lake.pieces import NOT_CARRIED
from collector.center.lake.stored_records import source_of
from collector.model.interval import HOUR_MS, Interval, day_interval, local_day
from collector.model.quantity import BY_NAME, from_scaled
from collector.model.record import Quality
from collector.wire import UnitColumns

MAX_MS: Final = 2 * HOUR_MS


@dataclass(frozen=True, slots=True)
class StoredValue:
    """One quantity of one record. `value`: None where there is none; the quality says why."""

    plant: str
    unit: str
    quantity: str
    time_ms: int
    value: str | None
    quality: str


def stored_values(
    connection: Connection, lake: LakePath, plant: str, unit: str, interval: Interval, quantity: str = ""
) -> list[StoredValue]:
    """Every value of a unit (or of one quantity of it) in an interval, by time.

    Raises:
        StoreError: the interval is empty, or longer than two hours.
    """
    if not 0 < interval.end_ms - interval.start_ms <= MAX_MS:
        raise StoreError(tr("the end lies after the start, at most two hours"), subject=unit)
    source = source_of(connection, lake, plant)
    found: list[StoredValue] = []
    day = local_day(interval.start_ms)
    while day_interval(day).start_ms < interval.end_ms:
        records = source.counting(day.isoformat(), interval, (unit,)).get(unit)
        if records is not None:
            found += _values(plant, records, quantity)
        day += timedelta(days=1)
    return found


def newest_instant(connection: Connection, plant: str, unit: str) -> Interval | None:
    """The instant of a unit's newest record; None where none has come."""
    query = select(unit_day.c.last_ms).where((unit_day.c.plant == plant) & (unit_day.c.unit == unit))
    last_ms = connection.execute(query.order_by(unit_day.c.day.desc()).limit(1)).scalar()
    return None if last_ms is None else Interval(int(last_ms), int(last_ms) + 1)


def _values(plant: str, records: UnitColumns, wanted: str) -> list[StoredValue]:
    names = [name for name in records.columns if wanted in ("", name)]
    found = []
    for index, time_ms in enumerate(records.time_utc_ms.tolist()):
        for name in names:
            column = records.columns[name]
            code = int(column.qualities[index])
            if code == NOT_CARRIED:
                continue
            value = None
            if column.present[index]:
                value = f"{from_scaled(int(column.values[index]), BY_NAME[name].scale):f}"
            found.append(StoredValue(plant, records.unit, name, time_ms, value, Quality(code).name.lower()))
    return found
