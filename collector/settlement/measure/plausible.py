# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that can't be: power beyond a multiple of P_N, voltage of a running unit far from nominal. They are missing.

The limits are those in force at a record's own time; exactly at a limit is a value (rules.md section 2). A folder with
power in kW is the kind this is for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor
from typing import Final

import numpy as np

from collector.model.interval import local_midnight_ms
from collector.settlement.measure.logic import Bools, Ints, Tri, Values
from collector.settlement.measure.results import Implausible
from collector.settlement.measure.timeline import Axis, LaneRecords
from collector.settlement.rulebook.constant_days import ConstantDays, Policy, scaled

POWERS: Final = ("active_power_mw", "reactive_power_mvar")
VOLTAGE: Final = "bus_voltage_kv"
_NO_LIMIT: Final = 1 << 62


def by_row(
    axis: Axis,
    rows: LaneRecords,
    around: Mapping[str, Sequence[ConstantDays]],
    compute: Callable[[ConstantDays], int],
    absent: int,
) -> Ints:
    """A number of each record's unit at the record's own time; `absent` where the unit is not registered then."""
    time = rows.time_utc_ms
    result = np.full(len(time), absent, dtype=np.int64)
    starts = np.searchsorted(rows.lane, np.arange(len(axis.lanes) + 1)).tolist()
    for lane, (a, b) in enumerate(pairwise(starts)):
        for part in around.get(axis.lanes[lane].unit, ()) if a < b else ():
            edges = local_midnight_ms(part.first_day), local_midnight_ms(part.until_day)
            first, until = (a + np.searchsorted(time[a:b], edges)).tolist()
            if first < until:
                result[first:until] = compute(part)
    return result


class Plausible:
    """The records of a batch without their implausible values. `bad`: masks of the rows where one was taken out."""

    def __init__(
        self, axis: Axis, rows: LaneRecords, around: Mapping[str, Sequence[ConstantDays]], policy: Policy
    ) -> None:
        self.bad: dict[str, Bools] = {}
        self._axis, self._rows, self._around, self._policy = axis, rows, around, policy
        self._limits: dict[str, Ints] = {}
        columns = dict(rows.columns)
        for name in POWERS:
            column = columns.get(name)
            if column is not None and len(column.values) and self._may_exceed(column.values):
                limits = self._power_limits()
                self._take_out(columns, name, column.valid & (np.abs(column.values) > limits), limits)
        self.rows = LaneRecords(rows.lane, rows.time_utc_ms, columns)

    def check_voltage(self, on_at: Callable[[Ints], Tri]) -> None:
        """Take out voltages too; `on_at`: whether the unit is on at single records, its power checked already."""
        column = self.rows.columns.get(VOLTAGE)
        if column is None or not len(column.values):
            return
        if not self._may_be_beyond(column):
            return
        low, high = self._voltage_limits()
        beyond = np.flatnonzero(column.valid & ((column.values < low) | (column.values > high)))
        if not len(beyond):
            return
        bad = np.zeros(len(column.values), dtype=np.bool_)
        bad[beyond[on_at(beyond).true]] = True
        self._take_out(self.rows.columns, VOLTAGE, bad, high)

    def events(self) -> list[Implausible]:
        """The implausible values of each lane and quantity."""
        found: list[Implausible] = []
        if not self.bad:
            return found
        axis, rows = self._axis, self._rows
        offset = rows.time_utc_ms - axis.start_utc_ms[rows.lane]
        inside = (offset >= 0) & (offset < axis.width)
        for name, bad in self.bad.items():
            at = np.flatnonzero(bad & inside)
            size = np.abs(rows.columns[name].values)
            for lane in np.unique(rows.lane[at]).tolist():
                mine = at[rows.lane[at] == lane]
                peak = int(mine[np.argmax(size[mine])])
                first, last = (int(rows.time_utc_ms[row]) for row in (mine[0], mine[-1]))
                unit, limit = axis.lanes[lane].unit, int(self._limits[name][peak])
                found.append(Implausible(unit, name, len(mine), first, last, int(size[peak]), limit))
        return found

    def _take_out(self, columns: dict[str, Values], name: str, bad: Bools, limits: Ints) -> None:
        if bad.any():
            columns[name] = Values(columns[name].values, columns[name].valid & ~bad)
            self.bad[name], self._limits[name] = bad, limits

    def _power_limit(self, stretch: ConstantDays) -> int:
        return scaled(self._policy.plausible_ratio * Fraction(stretch.unit.rated_mw) * 1000)

    def _power_limits(self) -> Ints:
        return self._by_row(self._power_limit, _NO_LIMIT)

    def _may_exceed(self, values: Ints) -> bool:
        """A quick test: true if any power is above the smallest limit of the batch.

        In most batches no power is, and then no row has to be checked against its own limit.
        """
        parts = [part for lane in self._axis.lanes for part in self._around.get(lane.unit, ())]
        least = min(map(self._power_limit, parts), default=_NO_LIMIT)
        return bool(values.max() > least or values.min() < -least)

    def _may_be_beyond(self, voltage: Values) -> bool:
        """The same for voltages: true if any is beyond the narrowest limits of the batch."""
        parts = [part for lane in self._axis.lanes for part in self._around.get(lane.unit, ())]
        low = max(map(self._lowest_voltage, parts), default=-_NO_LIMIT)
        high = min(map(self._highest_voltage, parts), default=_NO_LIMIT)
        return bool((voltage.valid & ((voltage.values < low) | (voltage.values > high))).any())

    def _lowest_voltage(self, stretch: ConstantDays) -> int:
        kv, (ratio, _) = stretch.unit.nominal_kv, self._policy.plausible_voltage
        return -_NO_LIMIT if kv is None else ceil(ratio * Fraction(kv) * 1000)

    def _highest_voltage(self, stretch: ConstantDays) -> int:
        kv, (_, ratio) = stretch.unit.nominal_kv, self._policy.plausible_voltage
        return _NO_LIMIT if kv is None else floor(ratio * Fraction(kv) * 1000)

    def _voltage_limits(self) -> tuple[Ints, Ints]:
        return self._by_row(self._lowest_voltage, -_NO_LIMIT), self._by_row(self._highest_voltage, _NO_LIMIT)

    def _by_row(self, compute: Callable[[ConstantDays], int], absent: int) -> Ints:
        return by_row(self._axis, self._rows, self._around, compute, absent)
