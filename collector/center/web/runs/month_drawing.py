# SPDX-License-Identifier: GPL-3.0-or-later
"""A unit's month out of a run as things to draw: power by hours, and each day's mean, limits, and time by class.

Only for the eye: nothing here is measured or priced. Times are ms after 00:00 local of the first day, powers kW. A
record holds until the next one, at most for the hold limit, as in the measuring.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from collector.center.runs.stored_run import OpenedRun
from collector.center.web.runs.day_drawing import limits_on
from collector.model.interval import DAY_MS, HOUR_MS, local_midnight_ms
from collector.model.record import USABLE_BELOW
from collector.report.timeline.drawing import Step
from collector.settlement.outside_scope import OUTSIDE

POWER: Final = "active_power_mw"
Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class DayFigures:
    """A day of a unit. Powers: mean over the time that is known, lowest, highest, kW; None where nothing is known.

    `known_ms`: of the day; `class_ms`: of a service, by class.
    """

    day: date
    mean_kw: int | None
    lowest_kw: int | None
    highest_kw: int | None
    known_ms: int
    class_ms: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class MonthDrawing:
    """A month of a unit. `hours`: start, end, lowest and highest of each hour that is known; `limits`: name and kW."""

    days: tuple[DayFigures, ...]
    hours: tuple[tuple[int, int, int, int], ...]
    plan: tuple[Step, ...]
    limits: tuple[tuple[str, int], ...]


def draw_month(run: OpenedRun, unit: str, service: str) -> MonthDrawing:
    """The drawing of a unit's month; classes of time are those of one service.

    Raises:
        StoreError: the run does not speak of the unit.
    """
    interval, begin = run.month.interval, run.month.interval.start_ms
    hold_ms = int(run.policy["hold_limit_s"] * 1000)
    table = run.record_table(unit, begin - hold_ms, interval.end_ms, quantities=(POWER,))
    start, end, kw = _power(table, begin, interval.end_ms - begin, hold_ms)
    plan = [
        (max(s.start_ms - begin, 0), min(s.end_ms, interval.end_ms) - begin, s.power_kw)
        for s in run.plan(unit, begin, interval.end_ms)
        if s.power_kw is not None
    ]
    segments = run.segments(unit, service)
    days = tuple(_day(number, day, start, end, kw, segments) for number, day in enumerate(run.month.days))
    state = next((s for s in run.states(unit) if s.until_day > run.month.first_day), None)
    limits = () if state is None else tuple(limits_on(state, run.rulebook, max(state.first_day, run.month.first_day)))
    return MonthDrawing(days, tuple(_hours(start, end, kw)), tuple(plan), limits)


def _power(table: pa.Table, begin: int, length: int, hold_ms: int) -> tuple[Int64s, Int64s, Int64s]:
    """Start, end and value of each record that is known, inside the month."""
    if POWER not in table.column_names or not len(table):
        nothing = np.zeros(0, dtype=np.int64)
        return nothing, nothing, nothing
    time: Int64s = table["time"].to_numpy() - begin
    until = np.minimum(np.append(time[1:], np.iinfo(np.int64).max), time + hold_ms)
    quality = table[f"{POWER}_quality"].fill_null(USABLE_BELOW).to_numpy()
    start, end = np.maximum(time, 0), np.minimum(until, length)
    known = ~table[POWER].is_null().to_numpy() & (quality < USABLE_BELOW) & (end > start)
    values: Int64s = table[POWER].fill_null(0).to_numpy()
    return start[known], end[known], values[known]


def _hours(start: Int64s, end: Int64s, kw: Int64s) -> list[tuple[int, int, int, int]]:
    """Lowest and highest of the records that begin in each hour; one that holds for hours stands for all of them."""
    if not len(start):
        return []
    firsts = np.flatnonzero(np.append(True, start[1:] // HOUR_MS != start[:-1] // HOUR_MS))
    lows, highs = np.minimum.reduceat(kw, firsts), np.maximum.reduceat(kw, firsts)
    ends = np.maximum.reduceat(end, firsts)
    return list(zip(start[firsts].tolist(), ends.tolist(), lows.tolist(), highs.tolist(), strict=True))


def _day(number: int, day: date, start: Int64s, end: Int64s, kw: Int64s, segments: pa.Table) -> DayFigures:
    first = number * DAY_MS
    length = np.minimum(end, first + DAY_MS) - np.maximum(start, first)
    mine = length > 0
    known = int(length[mine].sum())
    values = kw[mine]
    return DayFigures(
        day=day,
        mean_kw=round(int((values * length[mine]).sum()) / known) if known else None,
        lowest_kw=int(values.min()) if known else None,
        highest_kw=int(values.max()) if known else None,
        known_ms=known,
        class_ms=_class_ms(segments, local_midnight_ms(day)),
    )


def _class_ms(segments: pa.Table, begin: int) -> dict[str, int]:
    """The time per class and day, in ms; time that no segment covers is outside the scope of the service."""
    inside = pc.and_(pc.less(segments["start"], begin + DAY_MS), pc.greater(segments["end"], begin))
    rows = segments.filter(inside)
    length = np.minimum(rows["end"].to_numpy(), begin + DAY_MS) - np.maximum(rows["start"].to_numpy(), begin)
    found: dict[str, int] = {}
    for cause, taken in zip(rows["class"].cast(pa.string()).to_pylist(), length.tolist(), strict=True):
        found[cause] = found.get(cause, 0) + taken
    spans = sorted(zip(rows["start"].to_pylist(), rows["end"].to_pylist(), strict=True))
    covered, until = 0, begin
    for start, end in spans:
        covered += max(min(end, begin + DAY_MS) - max(start, until), 0)
        until = max(until, end)
    return found | {OUTSIDE: DAY_MS - covered}
