# SPDX-License-Identifier: GPL-3.0-or-later
"""Missing data for pages: plant × day of a month, unit × hour of a day, and each gap with its reason.

The hold limit is a parameter (from the data policy), so that a map and the settlement agree on the missing time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, select

from collector.center.db.storage.lake_place import LakePath
from collector.center.db.tables_receive import gap, lake_file, unit_day
from collector.center.lake.day_file import read_units
from collector.center.lake.pieces import NOT_CARRIED, UnitColumns
from collector.center.quality.completeness import count_in, elapsed_part
from collector.center.quality.known_minutes import known_by_day, known_by_unit
from collector.center.receive.keys import enrolled_units
from collector.model.interval import HOUR_MS, Interval, Month, day_interval
from collector.model.record import USABLE_BELOW, Quality

NO_RECORD: Final = "no_record"  # no record came, and no gap record gives a reason
_UNCONFIRMED: Final = "unconfirmed"  # a gap record's reason: a one-way device took it, and it never arrived
_HOURS: Final = 24


@dataclass(frozen=True, slots=True)
class PlantDay:
    """A cell of the month's map: known and elapsed minutes, summed over the plant's units."""

    plant: str
    day: str
    known_min: int
    elapsed_min: int

    @property
    def ratio(self) -> float | None:
        """The known part of the elapsed time, 0..1; None before the day has begun."""
        return self.known_min / self.elapsed_min if self.elapsed_min else None


@dataclass(frozen=True, slots=True)
class UnitHours:
    """A row of the day's map: per local hour known and elapsed minutes."""

    plant: str
    unit: str
    known_min: tuple[int, ...]
    elapsed_min: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch without a usable value.

    `quantity`: empty where there is no record at all; `reason`: from a gap record, a quality (stale, silent, refused
    …), or `no_record`.
    """

    unit: str
    quantity: str
    start_ms: int
    end_ms: int
    reason: str


def map_month(connection: Connection, month: Month, *, now_ms: int, hold_limit_s: int) -> list[PlantDay]:
    """Every plant and day of a month, by plant and day."""
    span = elapsed_part(month.interval, _now(connection, now_ms))
    known = known_by_day(connection, span, hold_limit_s)
    days = month.days
    elapsed = [count_in(0, span, day_interval(day))[1] for day in days]
    names = [day.isoformat() for day in days]
    cells: list[PlantDay] = []
    for plant, units in sorted(_units(connection, known).items()):
        counted = [known[plant, unit] for unit in units if (plant, unit) in known]
        sums = [sum(of_day) for of_day in zip(*counted, strict=True)]
        sums += [0] * (len(days) - len(sums))  # days that have not begun
        for day, elapsed_min, known_min in zip(names, elapsed, sums, strict=True):
            cells.append(PlantDay(plant, day, known_min, elapsed_min * len(units)))
    return cells


def map_day(connection: Connection, day: date, *, now_ms: int, hold_limit_s: int, plant: str = "") -> list[UnitHours]:
    """Every unit (of one plant, where given) over the hours of a local day."""
    whole = day_interval(day)
    span = elapsed_part(whole, _now(connection, now_ms))
    known = known_by_unit(connection, span, hold_limit_s)
    hours = [Interval(whole.start_ms + h * HOUR_MS, whole.start_ms + (h + 1) * HOUR_MS) for h in range(_HOURS)]
    rows: list[UnitHours] = []
    for owner, units in sorted(_units(connection, known).items()):
        for unit in units if plant in ("", owner) else ():
            counts = [count_in(known.get((owner, unit), 0), span, hour) for hour in hours]
            rows.append(UnitHours(owner, unit, tuple(k for k, _ in counts), tuple(n for _, n in counts)))
    return rows


def list_gaps(connection: Connection, interval: Interval, *, plant: str = "", unit: str = "") -> list[dict[str, Any]]:
    """Gap records touching an interval, by time: losses that gateways report, with reasons."""
    query = select(gap).where((gap.c.from_ms < interval.end_ms) & (gap.c.to_ms > interval.start_ms))
    for column, wanted in ((gap.c.plant, plant), (gap.c.unit, unit)):
        if wanted:
            query = query.where(column == wanted)
    names = ("plant", "unit", "from_ms", "to_ms", "reason", "epoch", "from_seq", "to_seq")
    rows = connection.execute(query.order_by(gap.c.from_ms, gap.c.unit, gap.c.id)).mappings()
    return [{name: row[name] for name in names} for row in rows]


def find_gaps(
    connection: Connection, lake: LakePath, unit: str, plant: str, day: date, *, now_ms: int, hold_limit_s: int
) -> list[Gap]:
    """Every stretch of a unit's day without a usable value, per quantity, from the sealed file, by time.

    For a day without a file (nothing came, or not sealed yet) the received minutes are used, without quantities.

    Raises:
        Altered: the listed file is another one, or is not there.
    """
    span = elapsed_part(day_interval(day), _now(connection, now_ms))
    told = list_gaps(connection, span, plant=plant, unit=unit)
    current = (lake_file.c.plant == plant) & (lake_file.c.day == day.isoformat()) & lake_file.c.superseded_ms.is_(None)
    file = connection.execute(select(lake_file.c.name, lake_file.c.sha256).where(current)).one_or_none()
    mine = next(read_units(lake / plant / file.name, file.sha256, units=(unit,)), None) if file else None
    hold_ms = hold_limit_s * 1000
    if mine is None:
        known = known_by_unit(connection, span, hold_limit_s).get((plant, unit), 0)
        holes = _unset_minutes(known, span)
    else:
        before = _last_before(connection, plant, unit, day)
        holes = _silences(mine.time_utc_ms.tolist(), before, span, hold_ms)
    found = [Gap(unit, "", a, b, reason) for start, end in holes for a, b, reason in _best_explained(start, end, told)]
    if mine is not None:
        found += _unusable(mine, span, hold_ms)
    return sorted(found, key=lambda each: (each.start_ms, each.quantity, each.end_ms))


def _now(connection: Connection, now_ms: int) -> int:
    """The present time, or the latest record's: a simulated month may be ahead of the center's own clock."""
    latest = select(unit_day.c.last_ms).order_by(unit_day.c.day.desc(), unit_day.c.last_ms.desc()).limit(1)
    return max(now_ms, int(connection.execute(latest).scalar() or 0))


def _units(connection: Connection, known: Collection[tuple[str, str]]) -> dict[str, list[str]]:
    """The enrolled units by plant, and units that sent without being enrolled."""
    units = {plant: set(names) for plant, names in enrolled_units(connection).items()}
    for plant, unit in known:
        units.setdefault(plant, set()).add(unit)
    return {plant: sorted(names) for plant, names in units.items()}


def _last_before(connection: Connection, plant: str, unit: str, day: date) -> int | None:
    where = (unit_day.c.plant == plant) & (unit_day.c.unit == unit) & (unit_day.c.day < day.isoformat())
    query = select(unit_day.c.last_ms).where(where).order_by(unit_day.c.day.desc()).limit(1)
    found = connection.execute(query).scalar()
    return None if found is None else int(found)


def _silences(times: Sequence[int], before: int | None, span: Interval, hold_ms: int) -> Iterator[tuple[int, int]]:
    """Stretches without a valid record: from the end of a record's hold time to the next record."""
    known_to = span.start_ms if before is None else max(span.start_ms, before + hold_ms)
    for time in times:
        if time > known_to:
            yield known_to, min(time, span.end_ms)
        known_to = max(known_to, time + hold_ms)
    if known_to < span.end_ms:
        yield known_to, span.end_ms


def _unset_minutes(known: int, span: Interval) -> Iterator[tuple[int, int]]:
    size = (span.end_ms - span.start_ms) // 60_000
    bits = np.array([(known >> (size - 1 - n)) & 1 for n in range(size)], dtype=np.int8)
    edges = np.flatnonzero(np.diff(np.concatenate(([1], bits, [1]))))
    for first, after in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        yield span.start_ms + first * 60_000, span.start_ms + after * 60_000


def _best_explained(start_ms: int, end_ms: int, told: Sequence[dict[str, Any]]) -> Iterator[tuple[int, int, str]]:
    """As `_explained`; the reason `unconfirmed` is used only where there is no other."""
    sure = [record for record in told if record["reason"] != _UNCONFIRMED]
    unsure = [record for record in told if record["reason"] == _UNCONFIRMED]
    for from_ms, to_ms, reason in _explained(start_ms, end_ms, sure):
        if reason == NO_RECORD:
            yield from _explained(from_ms, to_ms, unsure)
        else:
            yield from_ms, to_ms, reason


def _explained(start_ms: int, end_ms: int, told: Sequence[dict[str, Any]]) -> Iterator[tuple[int, int, str]]:
    """A stretch without records, split by the gap records that explain parts of it."""
    at_ms = start_ms
    for record in told:  # by time
        from_ms, to_ms = max(int(record["from_ms"]), at_ms), min(int(record["to_ms"]), end_ms)
        if from_ms >= to_ms:
            continue
        if at_ms < from_ms:
            yield at_ms, from_ms, NO_RECORD
        yield from_ms, to_ms, str(record["reason"])
        at_ms = to_ms
    if at_ms < end_ms:
        yield at_ms, end_ms, NO_RECORD


def _unusable(columns: UnitColumns, span: Interval, hold_ms: int) -> Iterator[Gap]:
    """Stretches where a record has no usable value, per quantity and quality."""
    following = np.append(columns.time_utc_ms[1:], span.end_ms)
    ends = np.minimum(columns.time_utc_ms + hold_ms, following)
    for name, column in columns.columns.items():
        bad = ~column.usable
        if not bad.any():
            continue
        quality = np.where(bad, column.qualities.astype(np.int64), -1)
        first = np.flatnonzero(np.append(True, quality[1:] != quality[:-1]))
        last = np.append(first[1:], len(quality)) - 1
        for a, b in zip(first.tolist(), last.tolist(), strict=True):
            if quality[a] >= 0:
                yield Gap(columns.unit, name, int(columns.time_utc_ms[a]), int(ends[b]), _word(int(quality[a])))


def _word(quality: int) -> str:
    if quality == NOT_CARRIED:
        return "not_carried"
    # A usable quality without a value: the cell was empty.
    return "empty" if quality < USABLE_BELOW else Quality(quality).name.lower()
