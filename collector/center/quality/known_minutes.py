# SPDX-License-Identifier: GPL-3.0-or-later
"""Known minutes of units out of the unit_day table: as bits over a span, and counted by day.

Most days of most units have a record in every minute, and then nothing need be worked out: the database counts them,
and only the others are read. For 1 000 units of a month 1 000 rows come in the place of 32 000.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from datetime import date, timedelta
from typing import Final

from sqlalchemy import Connection, case, func, select

from collector.center.db.tables_receive import unit_day
from collector.center.quality.completeness import count_by_day, held_minutes
from collector.center.receive.day_index import MINUTES
from collector.model.interval import DAY_MS, Interval, day_interval, local_day

UnitKey = tuple[str, str]  # plant, unit
_FULL: Final = b"\xff" * (MINUTES // 8)  # of a day with a record in every minute
_FEW: Final = 500  # units that are asked for by name


def known_by_unit(
    connection: Connection, span: Interval, hold_limit_s: int, units: Collection[str] | None = None
) -> dict[UnitKey, int]:
    """The bits of a span (`held_minutes`) of every unit that has sent; of some of them where given."""
    first = local_day(span.start_ms) - timedelta(days=1)  # it holds into the span
    last = local_day(max(span.end_ms - 1, span.start_ms))
    columns = (unit_day.c.plant, unit_day.c.unit, unit_day.c.day, unit_day.c.minutes)
    query = select(*columns).where(unit_day.c.day.between(str(first), str(last)))
    if units is not None and len(units) <= _FEW:
        query = query.where(unit_day.c.unit.in_(units))
    days: dict[UnitKey, dict[str, bytes]] = defaultdict(dict)
    # Row by row they take three times as long; all at once they are so many that Python looks for garbage among them.
    for rows in connection.execute(query).partitions(1000):
        for plant, unit, day, minutes in rows:
            days[plant, unit][day] = minutes
    return {key: held_minutes(minutes, span, hold_limit_s) for key, minutes in days.items()}


def known_by_day(connection: Connection, span: Interval, hold_limit_s: int) -> dict[UnitKey, list[int]]:
    """Known minutes of each local day that a span from a local midnight touches, of every unit that has sent."""
    first, whole = local_day(span.start_ms), (span.end_ms - span.start_ms) // DAY_MS
    sent = _days_sent(connection, first, whole, local_day(max(span.end_ms - 1, span.start_ms)))
    gapless = {key for key, (count, _) in sent.items() if count == whole} if whole else set()
    found = {key: [MINUTES] * whole for key in gapless}
    for key, days in _not_full(connection, first, whole).items() if gapless else ():
        if key in gapless:
            counted = _count_not_full(days, first, hold_limit_s, is_full_before=sent[key][1])
            for place, minutes in counted:
                found[key][place] = minutes
    rest = Interval(span.start_ms + whole * DAY_MS, span.end_ms)  # the day that has begun
    if gapless and rest.start_ms < rest.end_ms:
        bits = known_by_unit(connection, rest, hold_limit_s)
        for key in gapless:
            found[key].append(bits[key].bit_count())
    others = {unit for plant, unit in sent.keys() - gapless}
    if others:
        bits = known_by_unit(connection, span, hold_limit_s, others)
        found |= {key: count_by_day(known, span) for key, known in bits.items() if key not in gapless}
    return found


def _days_sent(connection: Connection, first: date, whole: int, last: date) -> dict[UnitKey, tuple[int, bool]]:
    """By unit, of how many of the whole days from `first` on it has records, and whether the day before has no hole."""
    eve, end = str(first - timedelta(days=1)), str(first + timedelta(days=whole))
    day = unit_day.c.day
    count = func.sum(case(((day > eve) & (day < end), 1), else_=0))
    full = func.sum(case(((day == eve) & (unit_day.c.minutes == _FULL), 1), else_=0))
    query = select(unit_day.c.plant, unit_day.c.unit, count, full).where(day.between(eve, str(last)))
    rows = connection.execute(query.group_by(unit_day.c.plant, unit_day.c.unit))
    return {(plant, unit): (int(n), bool(is_full)) for plant, unit, n, is_full in rows}


def _not_full(connection: Connection, first: date, whole: int) -> dict[UnitKey, dict[date, bytes]]:
    """The days that have a minute without a record, from the day before `first`, and their minutes."""
    days = unit_day.c.day.between(str(first - timedelta(days=1)), str(first + timedelta(days=whole - 1)))
    columns = (unit_day.c.plant, unit_day.c.unit, unit_day.c.day, unit_day.c.minutes)
    found: dict[UnitKey, dict[date, bytes]] = defaultdict(dict)
    for plant, unit, day, minutes in connection.execute(
        select(*columns).where(days & (unit_day.c.minutes != _FULL))
    ).all():
        found[plant, unit][date.fromisoformat(day)] = minutes
    return found


def _count_not_full(
    days: Mapping[date, bytes], first: date, hold_limit_s: int, *, is_full_before: bool
) -> Iterator[tuple[int, int]]:
    """Place and known minutes of such days of a unit that has records of every day; the others have no hole."""
    for day, minutes in days.items():
        if day < first:
            continue
        eve = day - timedelta(days=1)
        around = {str(day): minutes}
        if eve in days:
            around[str(eve)] = days[eve]
        elif eve >= first or is_full_before:
            around[str(eve)] = _FULL
        yield (day - first).days, held_minutes(around, day_interval(day), hold_limit_s).bit_count()
