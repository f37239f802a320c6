# SPDX-License-Identifier: GPL-3.0-or-later
"""The meter check of the telemetry (Art. 19): ∫P against the growth of the export register, per unit and day.

The two are compared between the first and the last register reading of the local day, both midnights included, where
the output between them is known throughout; only output to the grid counts on both sides. A difference is a finding and
changes no amount. Days on which the unit is not registered are not compared (Art. 3).
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np

from collector.model.interval import DAY_MS
from collector.settlement.measure.facts import Facts
from collector.settlement.measure.logic import Bools, Ints

METER = "meter"
COLUMN = "energy_export_mwh"
_KWMS_PER_WH = 3_600


def measure(facts: Facts) -> None:
    """Columns: meter.register (Wh grown), meter.telemetry (kWms between the same instants), meter.days (1 compared)."""
    column = facts.rows.columns.get(COLUMN)
    if column is None or not any(facts.has_column(COLUMN)):
        return
    registered = facts.per_day(lambda _: 1).valid
    cells, first, last = _readings(facts, column.valid)
    power, timeline = facts.power, facts.timeline
    exported = np.append(0, np.cumsum(np.maximum(power.values, 0) * timeline.length * power.valid))
    unknown = np.append(0, np.cumsum(~power.valid))
    a, b = timeline.at(_place(facts, first)), timeline.at(_place(facts, last))
    comparable = registered[cells] & (unknown[a] == unknown[b])
    grown = column.values[last] - column.values[first]

    def put(name: str, values: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
        result = np.zeros(facts.axis.cells, dtype=np.int64)
        result[cells[comparable]] = values[comparable]
        facts.results.put(METER, name, result)

    put("register", grown)
    put("telemetry", exported[b] - exported[a])
    put("days", np.ones(len(cells), dtype=np.int64))


def _readings(facts: Facts, valid: Bools) -> tuple[Ints, Ints, Ints]:
    """Cells with two or more readings, and the rows of first and last reading; one at midnight belongs to both days."""
    axis, rows = facts.axis, facts.rows
    lanes = np.searchsorted(rows.lane, np.arange(len(axis.lanes) + 1))
    midnights = axis.start_utc_ms[:, None] + np.arange(axis.days + 1, dtype=np.int64) * DAY_MS
    begin = np.empty((len(axis.lanes), axis.days), dtype=np.int64)
    until = begin.copy()
    for lane, (a, b) in enumerate(pairwise(lanes.tolist())):
        time = rows.time_utc_ms[a:b]
        begin[lane] = a + np.searchsorted(time, midnights[lane, :-1], side="left")
        until[lane] = a + np.searchsorted(time, midnights[lane, 1:], side="right")
    reading = np.flatnonzero(valid)
    a, b = np.searchsorted(reading, begin.ravel()), np.searchsorted(reading, until.ravel())
    cells = np.flatnonzero(b - a >= 2).astype(np.int64)
    return cells, reading[a[cells]], reading[b[cells] - 1]


def _place(facts: Facts, row: Ints) -> Ints:
    """The points of rows on the axis; a row at a lane's end has the point at which the next lane begins."""
    lane, axis = facts.rows.lane[row], facts.axis
    return np.asarray(lane * axis.width + facts.rows.time_utc_ms[row] - axis.start_utc_ms[lane], dtype=np.int64)


def differs(register_wh: int, telemetry_kwms: int, tolerance_ratio: Fraction) -> bool:
    """Whether the two energies differ by more than the tolerance, a share of the meter's energy."""
    register_kwms = register_wh * _KWMS_PER_WH
    difference = abs(telemetry_kwms - register_kwms) * tolerance_ratio.denominator
    return difference > abs(register_kwms) * tolerance_ratio.numerator
