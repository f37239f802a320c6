# SPDX-License-Identifier: GPL-3.0-or-later
"""The data of a unit's drawing, day by day: power, plan, limits, valley and peak hours, states, segments.

Only for display: values come from the records and the register, by local day; nothing here is measured or priced.
Times are ms after 00:00 local of the day, powers in kW.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from collector.model.interval import DAY_MS, Month, local_midnight_ms
from collector.model.register import LocalSpan, UnitKind
from collector.settlement.explain import Explanation
from collector.settlement.inputs import Inputs
from collector.settlement.measure.dispatch_side import DispatchSide, arrow_values
from collector.settlement.rulebook.constant_days import ConstantDays, compute_stretches
from collector.settlement.rulebook.load import Rulebook
from collector.settlement.statement import Statement

STATES: Final = ("on_grid", "agc_in_service", "avc_in_service", "condenser", "spilling")
_MOST_STEPS: Final = 1500  # about 1.5 per pixel; a curve with more keeps only the lowest and highest of each pixel

Step = tuple[int, int, int]  # start, end, value
Block = tuple[int, int, str]  # start, end, what
DrawnSegment = tuple[int, int, str, str, int, str]  # start, end, class, reason, stored value, its unit


@dataclass(frozen=True, slots=True)
class DrawnDay:
    """One local day. `states`: by column 1 and 0 where known; `segments` cover it."""

    day: date
    power: list[Step]
    plan: list[Step]
    limits: list[tuple[str, int]]
    valley: list[Block]
    peak: list[Block]
    states: dict[str, list[Step]]
    rows: dict[str, list[Block]]
    segments: list[DrawnSegment]


def drawn_days(explanation: Explanation, statement: Statement, inputs: Inputs, rulebook: Rulebook) -> list[DrawnDay]:
    """The drawings of every day of the month for the unit of an explained line."""
    line = explanation.line
    month, unit = Month.parse(line.month), line.unit
    hold_ms = int(statement.policy["hold_limit_s"] * 1000)
    records = _UnitRecords(inputs, unit, hold_ms)
    dispatch = DispatchSide(inputs)
    stretches = compute_stretches(inputs.register, rulebook, month.first_day, month.next().first_day).get(unit, ())
    segments = explanation.segments.to_pylist()
    days = []
    for day in month.days:
        start = local_midnight_ms(day)
        stretch = next((s for s in stretches if s.first_day <= day < s.until_day), None)
        days.append(
            DrawnDay(
                day=day,
                power=fewer_steps(records.steps("active_power_mw", start)),
                plan=list(_plan(dispatch, unit, start)),
                limits=[] if stretch is None else list(_limits(stretch, rulebook, day)),
                valley=[] if stretch is None else list(_hours(stretch.area.valley_hours)),
                peak=[] if stretch is None else list(_hours(stretch.area.peak_hours)),
                states={name: records.steps(name, start) for name in STATES if records.has(name)},
                rows=_rows(dispatch, unit, start),
                segments=[
                    _clipped(row, start) for row in segments if row["start"] < start + DAY_MS and row["end"] > start
                ],
            )
        )
    return days


def _clipped(row: dict[str, Any], day_start_ms: int) -> DrawnSegment:
    """A segment's part on a day; a segment that reaches beyond the day is shown without its value."""
    a, b = row["start"] - day_start_ms, row["end"] - day_start_ms
    value = row["value"] if a >= 0 and b <= DAY_MS else 0
    return max(a, 0), min(b, DAY_MS), row["class"], row["reason"], value, row["value_unit"]


class _UnitRecords:
    """One unit's records in order of time, each with the instant up to which it holds."""

    def __init__(self, inputs: Inputs, unit: str, hold_ms: int) -> None:
        names = inputs.records.column("unit").cast(pa.string())
        self._table = inputs.records.filter(pc.equal(names, unit)).sort_by("time")
        self._start = arrow_values(self._table.column("time")).values
        following = np.append(self._start[1:], np.iinfo(np.int64).max)
        self._end = np.minimum(following, self._start + hold_ms)
        self._columns = inputs.unit_columns.get(unit, frozenset())

    def has(self, name: str) -> bool:
        """Whether the unit has a column."""
        return name in self._columns and name in self._table.column_names

    def steps(self, name: str, day_start_ms: int) -> list[Step]:
        """The known values of a column over a day; equal neighbours are one step."""
        if not self.has(name):
            return []
        column = arrow_values(self._table.column(name))
        inside = np.flatnonzero(column.valid & (self._end > day_start_ms) & (self._start < day_start_ms + DAY_MS))
        start = np.maximum(self._start[inside] - day_start_ms, 0).tolist()
        end = np.minimum(self._end[inside] - day_start_ms, DAY_MS).tolist()
        steps: list[Step] = []
        for a, b, value in zip(start, end, column.values[inside].tolist(), strict=True):
            if steps and steps[-1][1] == a and steps[-1][2] == value:
                steps[-1] = (steps[-1][0], b, value)
            else:
                steps.append((a, b, value))
        return steps


def fewer_steps(steps: list[Step]) -> list[Step]:
    """A curve that looks the same: where there are more steps than pixels, the lowest and highest of each pixel."""
    if len(steps) <= _MOST_STEPS:
        return steps
    width = DAY_MS // (_MOST_STEPS // 2)
    buckets: dict[int, list[Step]] = {}
    for step in steps:
        buckets.setdefault(step[0] // width, []).append(step)
    fewer: list[Step] = []
    for bucket in buckets.values():
        start, end = bucket[0][0], bucket[-1][1]
        values = [value for *_, value in bucket]
        middle = (start + end) // 2
        fewer += [(start, middle, min(values)), (middle, end, max(values))]
    return fewer


def _plan(dispatch: DispatchSide, unit: str, start: int) -> Iterator[Step]:
    first, last = dispatch.plan.range_of.get(unit, (0, 0))
    power = dispatch.plan.columns["power_kw"]
    for row in range(first, last):
        a, b = int(dispatch.plan.start_utc_ms[row]) - start, int(dispatch.plan.end_utc_ms[row]) - start
        if a < DAY_MS and b > 0 and power.valid[row]:
            yield max(a, 0), min(b, DAY_MS), int(power.values[row])


def _limits(stretch: ConstantDays, rulebook: Rulebook, day: date) -> Iterator[tuple[str, int]]:
    unit, area = stretch.unit, stretch.area.id
    rated_kw = Fraction(unit.rated_mw) * 1000
    yield "P_N", round(rated_kw)
    if unit.kind is UnitKind.COAL:
        for name, value_id in (("lower limit", "deep_peak.lower_limit_ratio"), ("gate", "deep_peak.gate_ratio")):
            ratio = rulebook.value(value_id, day, area=area, key=area if name == "lower limit" else "")
            if ratio is not None:
                yield name, round(ratio * rated_kw)
    for name, mw in (("AGC upper", unit.agc_upper_mw), ("AGC lower", unit.agc_lower_mw)):
        if mw is not None:
            yield name, round(mw * 1000)


def _hours(spans: Sequence[LocalSpan]) -> Iterator[Block]:
    for span in spans:
        a, b = span.start_min * 60_000, span.end_min * 60_000
        for start, end in [(a, b)] if a < b else [(a, DAY_MS), (0, b)]:
            if start < end:
                yield start, end, ""


def _rows(dispatch: DispatchSide, unit: str, start: int) -> dict[str, list[Block]]:
    """Orders, reserves and exclusions that touch the day."""
    found = [("order", o.start_ms, o.end_ms, f"{o.kind} {o.id}") for by in dispatch.orders.values() for o in by[unit]]
    found += [
        ("reserve", r.start_ms, r.end_ms, f"{r.kind} {'-' if r.power_kw is None else r.power_kw / 1000} MW")
        for by in dispatch.reserves.values()
        for r in by[unit]
    ]
    found += [
        ("exclusion", e.start_ms, e.end_ms, f"{e.reason} {e.service}") for e in dispatch.exclusions if e.unit == unit
    ]
    rows: dict[str, list[Block]] = {}
    for name, a, b, what in found:
        if a < start + DAY_MS and b > start:
            rows.setdefault(name, []).append((max(a - start, 0), min(b - start, DAY_MS), what))
    return rows
