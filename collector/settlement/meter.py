# SPDX-License-Identifier: GPL-3.0-or-later
"""The meter checks the telemetry (Art. 19): a day's ∫P against the growth of the export register, per unit and day.

Compared between the first and the last register reading of the local day, where the output is known all between; only
output to the grid counts on both sides. A difference is a finding, it moves no amount.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from collector.model.interval import DAY_MS
from collector.settlement.facts import Facts

METER = "meter"
COLUMN = "energy_export_mwh"
_KWMS_PER_WH = 3_600


def measure(facts: Facts) -> None:
    """Columns: meter.register (Wh grown), meter.telemetry (kWms between the same instants), meter.days (1 compared)."""
    column = facts.rows.columns.get(COLUMN)
    if column is None or not any(facts.has_column(COLUMN)):
        return
    axis, rows, timeline = facts.axis, facts.rows, facts.timeline
    offset = rows.time_utc_ms - axis.start_utc_ms[rows.lane]
    row = np.flatnonzero(column.valid & (offset >= 0) & (offset < axis.width))
    if not len(row):
        return
    x = rows.lane[row] * axis.width + offset[row]
    cell = x // DAY_MS
    first = np.flatnonzero(np.append(True, cell[1:] != cell[:-1]))
    last = np.append(first[1:], len(row)) - 1
    cells = cell[first]
    power = facts.power
    exported = np.append(0, np.cumsum(np.maximum(power.values, 0) * timeline.length * power.valid))
    unknown = np.append(0, np.cumsum(~power.valid))
    a, b = timeline.at(x[first]), timeline.at(x[last])
    comparable = (unknown[a] == unknown[b]) & (a < b)
    grown = column.values[row[last]] - column.values[row[first]]

    def put(name: str, values: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
        result = np.zeros(axis.cells, dtype=np.int64)
        result[cells[comparable]] = values[comparable]
        facts.results.put(METER, name, result)

    put("register", grown)
    put("telemetry", exported[b] - exported[a])
    put("days", np.ones(len(cells), dtype=np.int64))


def differs(register_wh: int, telemetry_kwms: int, tolerance_ratio: Fraction) -> bool:
    """Whether the two differ by more than the tolerance, as a share of the meter's."""
    measured = Fraction(telemetry_kwms, _KWMS_PER_WH)
    return abs(measured - register_wh) > tolerance_ratio * abs(register_wh)
