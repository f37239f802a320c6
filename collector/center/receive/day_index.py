# SPDX-License-Identifier: GPL-3.0-or-later
"""The local days of a batch, and the day files that it makes stale; recorded in the committing transaction.

A late record makes stale: the file of its day; the file of the day before, where the record is within that file's tail;
and, where it became its unit's last record of the day, every later file whose head shows it: up to the unit's next day
with records (usually just the next day).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, bindparam, delete, func, select, update

from collector.center.db.store import insert_new
from collector.center.db.tables_receive import lake_day, unit_day
from collector.center.receive.arrivals import Accepted, UnitPart
from collector.center.receive.stream_state import given_rows, select_keys
from collector.model.interval import DAY_MS, LOCAL_OFFSET_MS, Interval, day_interval, local_day, local_midnight_ms
from collector.wire import BatchTimes

EDGE_MS: Final = 900_000  # of the next day, included in a day file as its tail
MINUTE_MS: Final = 60_000
MINUTES: Final = 1440
_AFTER_ALL: Final = "9999-12-31"
_BEFORE_ALL: Final = {"first_ms": 1 << 62, "last_ms": -(1 << 62)}


def parts_of(times: BatchTimes) -> tuple[UnitPart, ...]:
    """The parts of a batch by unit and day."""
    return tuple(p for u in times.units if len(u.time_utc_ms) for p in split_days(u.unit, u.time_utc_ms))


def split_days(unit: str, times_ms: npt.NDArray[np.int64]) -> tuple[UnitPart, ...]:
    """The parts of a unit's record times, one per local day, in the order of the days. Times may be in any order."""
    first, last = int(times_ms.min()), int(times_ms.max())
    number, last_number = (first + LOCAL_OFFSET_MS) // DAY_MS, (last + LOCAL_OFFSET_MS) // DAY_MS
    if number == last_number:  # the usual case: a batch is a minute
        return (_part(unit, number, times_ms, first, last),)
    numbers = (times_ms + LOCAL_OFFSET_MS) // DAY_MS
    ordered = times_ms[np.argsort(numbers, kind="stable")]
    days, starts = np.unique(np.sort(numbers), return_index=True)
    return tuple(
        _part(unit, int(day), times, int(times.min()), int(times.max()))
        for day, times in zip(days, np.split(ordered, starts[1:]), strict=True)
    )


def _part(unit: str, day_number: int, times_ms: npt.NDArray[np.int64], first_ms: int, last_ms: int) -> UnitPart:
    midnight_ms = day_number * DAY_MS - LOCAL_OFFSET_MS
    bits = np.zeros(MINUTES, dtype=np.uint8)
    bits[(times_ms - midnight_ms) // MINUTE_MS] = 1
    day = local_day(midnight_ms).isoformat()
    return UnitPart(unit, day, len(times_ms), first_ms, last_ms, np.packbits(bits).tobytes())


@dataclass
class _Sum:
    count: int = 0
    first_ms: int = 1 << 62
    last_ms: int = -(1 << 62)
    minutes: int = 0

    def add(self, part: UnitPart) -> None:
        self.count += part.count
        self.first_ms = min(self.first_ms, part.first_ms)
        self.last_ms = max(self.last_ms, part.last_ms)
        self.minutes |= int.from_bytes(part.minutes, "big")


_UnitDay = tuple[str, str, str]  # plant, unit, day
_Span = tuple[str, str, str]  # plant, first and last day


def record_parts(connection: Connection, fresh: Sequence[Accepted], now_ms: int) -> None:
    """Add committed batches to the days of their units and mark the day files they make stale."""
    sums: dict[_UnitDay, _Sum] = defaultdict(_Sum)
    for arrival in fresh:
        for part in arrival.parts:
            sums[arrival.plant, part.unit, part.day].add(part)
    if sums:
        became_last = _merge_unit_days(connection, sums)
        _mark_stale(connection, sums, became_last, now_ms)


def _merge_unit_days(connection: Connection, sums: dict[_UnitDay, _Sum]) -> list[_UnitDay]:
    """Add batches to the days of their units; returns the unit days whose last record changed."""
    stored = _lock_unit_days(connection, sums)
    missing = [key for key in sorted(sums) if key not in stored]
    if missing:
        # Insert an empty row first: two receivers with the same new day then wait for its lock instead of failing.
        empty = {"received": 0, "minutes": bytes(MINUTES // 8)} | _BEFORE_ALL
        rows = [empty | dict(zip(("plant", "unit", "day"), key, strict=True)) for key in missing]
        connection.execute(insert_new(connection, unit_day), rows)
        stored |= _lock_unit_days(connection, missing)
    changed = []
    for (plant, unit, day), total in sorted(sums.items()):
        row = stored[plant, unit, day]
        minutes = total.minutes | int.from_bytes(row.minutes, "big")
        values = {
            "received": total.count + int(row.received),
            "first_ms": min(total.first_ms, int(row.first_ms)),
            "last_ms": max(total.last_ms, int(row.last_ms)),
            "minutes": minutes.to_bytes(MINUTES // 8, "big"),
        }
        changed.append({"key_plant": plant, "key_unit": unit, "key_day": day} | values)
    connection.execute(_UPDATE_UNIT_DAY, changed)
    return [key for key, total in sums.items() if total.last_ms > int(stored[key].last_ms)]


# Built once: building an expression takes longer than running it.
_UPDATE_UNIT_DAY: Final = (
    update(unit_day)
    .where(unit_day.c.plant == bindparam("key_plant"), unit_day.c.unit == bindparam("key_unit"))
    .where(unit_day.c.day == bindparam("key_day"))
    .values({name: bindparam(name) for name in ("received", "first_ms", "last_ms", "minutes")})
)
_MARK_LAKE_DAY: Final = (
    update(lake_day)
    .where(lake_day.c.plant == bindparam("key_plant"), lake_day.c.day == bindparam("key_day"))
    .values(wanted=lake_day.c.wanted + 1, changed_ms=bindparam("now_ms"))
)


def _lock_unit_days(connection: Connection, keys: Iterable[_UnitDay]) -> dict[_UnitDay, Any]:
    columns = (unit_day.c.plant, unit_day.c.unit, unit_day.c.day)
    rows = select_keys(connection, select(unit_day).with_for_update(of=unit_day), columns, keys)
    return {(r.plant, r.unit, r.day): r for r in rows}


def _mark_stale(
    connection: Connection, sums: dict[_UnitDay, _Sum], became_last: Sequence[_UnitDay], now_ms: int
) -> None:
    """Mark the stale day files: three statements, whatever the number of days, and an update per existing day file."""
    days = {(plant, day) for plant, _, day in sums}
    edge_ms = {day: local_midnight_ms(date.fromisoformat(day)) + EDGE_MS for _, day in days}
    spans = {(plant, day, day) for plant, day in days}
    for (plant, _, day), total in sums.items():
        if total.first_ms < edge_ms[day]:
            before = (date.fromisoformat(day) - timedelta(days=1)).isoformat()
            spans.add((plant, before, before))
    fresh = [{"plant": p, "day": d, "wanted": 0, "sealed": 0, "changed_ms": now_ms} for p, d in sorted(days)]
    connection.execute(insert_new(connection, lake_day), fresh)
    spans.update((plant, day, until) for (plant, _, day), until in _next_days(connection, became_last).items())
    stale = _lake_days_in(connection, _disjoint(spans))
    connection.execute(_MARK_LAKE_DAY, [{"key_plant": p, "key_day": d, "now_ms": now_ms} for p, d in stale])


def _next_days(connection: Connection, became_last: Iterable[_UnitDay]) -> dict[_UnitDay, str]:
    """Each unit's next day with records: the head of that day's file shows the record that is now the last."""
    later = unit_day.alias("later")
    same_unit = (later.c.plant == unit_day.c.plant) & (later.c.unit == unit_day.c.unit)
    following = select(func.min(later.c.day)).where(same_unit & (later.c.day > unit_day.c.day)).scalar_subquery()
    columns = (unit_day.c.plant, unit_day.c.unit, unit_day.c.day)
    query = select(*columns, following.label("following"))
    rows = select_keys(connection, query, columns, became_last)
    return {(r.plant, r.unit, r.day): r.following or _AFTER_ALL for r in rows}


def _disjoint(spans: Iterable[_Span]) -> list[_Span]:
    """Spans of the same days without overlap, so that each day is found once."""
    merged: list[_Span] = []
    for plant, first, last in sorted(spans):
        if merged and merged[-1][0] == plant and first <= merged[-1][2]:
            merged[-1] = (plant, merged[-1][1], max(last, merged[-1][2]))
        else:
            merged.append((plant, first, last))
    return merged


def _lake_days_in(connection: Connection, spans: Iterable[_Span]) -> list[tuple[str, str]]:
    """Plant and day of the day files, sealed or due, in disjoint spans; in the order in which they are locked."""
    columns = (lake_day.c.plant, lake_day.c.day)
    given, (plant, first, last) = given_rows(connection, spans, (*columns, lake_day.c.day))
    inside = (lake_day.c.plant == plant) & lake_day.c.day.between(first, last)
    query = select(*columns).join_from(given, lake_day, inside).order_by(*columns).with_for_update(of=lake_day)
    return [(row.plant, row.day) for row in connection.execute(query)]


def mark_interval_stale(
    connection: Connection, plant: str, unit: str, interval: Interval, now_ms: int, *, make_days: bool
) -> None:
    """Mark every day file stale that shows values of a unit in an interval.

    These are the interval's days, the day before (as its tail may reach in) and later ones up to the unit's next day
    with records (as its head may show the last record). `make_days`: also days of the interval for which nothing was
    ever received.
    """
    first, last = local_day(interval.start_ms), local_day(interval.end_ms - 1)
    if make_days:
        inside = [(first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]
        rows = [{"plant": plant, "day": day, "wanted": 0, "sealed": 0, "changed_ms": now_ms} for day in inside]
        connection.execute(insert_new(connection, lake_day), rows)
    until = _next_day_of(connection, plant, unit, last.isoformat())
    where = (lake_day.c.plant == plant) & (lake_day.c.day >= (first - timedelta(days=1)).isoformat())
    if until is not None:
        where &= lake_day.c.day <= until
    connection.execute(update(lake_day).where(where).values(wanted=lake_day.c.wanted + 1, changed_ms=now_ms))


def rewrite_unit_days(
    connection: Connection, keys: Collection[_UnitDay], kept: Iterable[tuple[str, UnitPart]], now_ms: int
) -> None:
    """Reset days of units to the content of `kept` (plants and parts), after some batches were removed from them.

    Every day file with records of the removed batches is marked stale. `kept` is read after the rows are locked: a
    receiver that adds to them waits, and adds afterwards.
    """
    _lock_unit_days(connection, keys)
    sums: dict[_UnitDay, _Sum] = defaultdict(_Sum)
    for plant, part in kept:
        if (plant, part.unit, part.day) in keys:
            sums[plant, part.unit, part.day].add(part)
    for plant, unit, day in sorted(set(keys) - sums.keys()):
        # Delete the row, as before the first record: a row means that the day has a last record.
        where = (unit_day.c.plant == plant) & (unit_day.c.unit == unit) & (unit_day.c.day == day)
        connection.execute(delete(unit_day).where(where))
    changed = [
        {
            **dict(zip(("key_plant", "key_unit", "key_day"), key, strict=True)),
            "received": total.count,
            "first_ms": total.first_ms,
            "last_ms": total.last_ms,
            "minutes": total.minutes.to_bytes(MINUTES // 8, "big"),
        }
        for key, total in sorted(sums.items())
    ]
    if changed:
        connection.execute(_UPDATE_UNIT_DAY, changed)
    for plant, unit, interval in _stretches(keys):
        mark_interval_stale(connection, plant, unit, interval, now_ms, make_days=False)


def _stretches(keys: Iterable[_UnitDay]) -> list[tuple[str, str, Interval]]:
    """Days of units as intervals, consecutive days joined."""
    found: list[tuple[str, str, Interval]] = []
    for plant, unit, day in sorted(keys):
        interval = day_interval(date.fromisoformat(day))
        if found and found[-1][:2] == (plant, unit) and found[-1][2].end_ms == interval.start_ms:
            interval = Interval(found.pop()[2].start_ms, interval.end_ms)
        found.append((plant, unit, interval))
    return found


def mark_resealed(connection: Connection, plant: str, days: Iterable[str]) -> None:
    """Make stale the files of these days, and files that show their records at the head or at the tail.

    They are due at once, without the usual waiting time.
    """
    stale: set[str] = set()
    for day in days:
        units = select(unit_day.c.unit).where((unit_day.c.plant == plant) & (unit_day.c.day == day))
        nexts = [_next_day_of(connection, plant, unit, day) for unit in connection.execute(units).scalars()]
        before = (date.fromisoformat(day) - timedelta(days=1)).isoformat()
        shown = (lake_day.c.plant == plant) & (lake_day.c.day >= before)
        if None not in nexts:
            shown &= lake_day.c.day <= max([day, *(n for n in nexts if n is not None)])
        stale.update(connection.execute(select(lake_day.c.day).where(shown)).scalars())
    where = (lake_day.c.plant == plant) & lake_day.c.day.in_(sorted(stale))
    connection.execute(update(lake_day).where(where).values(wanted=lake_day.c.wanted + 1))


def _next_day_of(connection: Connection, plant: str, unit: str, day: str) -> str | None:
    where = (unit_day.c.plant == plant) & (unit_day.c.unit == unit) & (unit_day.c.day > day)
    found = connection.execute(select(func.min(unit_day.c.day)).where(where)).scalar()
    return None if found is None else str(found)
