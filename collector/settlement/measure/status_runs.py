# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of a known status (breaker, condenser) of units with orders; what lies between two runs is unknown: a hole.

Runs join across days and months, so they are kept as events and read when the month is added up. Each lane also gives
the runs of the records soon after its end, which the last day of a month needs: there a hole that begins before the
month's end is seen whole (rules.md section 2, records after the month's end).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from collector.model.dispatch import OrderKind
from collector.settlement.measure.facts import Facts
from collector.settlement.measure.logic import Tri
from collector.settlement.measure.results import StatusRun


def measure_runs(facts: Facts, kind: OrderKind) -> None:
    """Write the runs of the status that orders of a kind look at: breaker (start_stop) or condenser."""
    ordered = facts.dispatch.orders[kind]
    lanes = [index for index, lane in enumerate(facts.axis.lanes) if ordered.get(lane.unit)]
    if not lanes:
        return
    tri = facts.on if kind is OrderKind.START_STOP else facts.condenser
    timeline, axis = facts.timeline, facts.axis
    state = np.where(tri.true, 1, np.where(tri.false, 0, -1)).astype(np.int8)
    for lane in lanes:
        a = int(timeline.cell_start[lane * axis.days])
        last = (lane + 1) * axis.days - 1
        b = int(timeline.cell_start[last] + timeline.cell_count[last])
        first = a + np.concatenate([[0], np.flatnonzero(np.diff(state[a:b])) + 1])
        start = axis.utc_ms(timeline.start[first])
        end = np.append(start[1:], axis.start_utc_ms[lane] + axis.width)
        unit = axis.lanes[lane].unit
        for begin, until, value in zip(start.tolist(), end.tolist(), state[first].tolist(), strict=True):
            if value >= 0:
                facts.results.runs.append(StatusRun(kind, unit, begin, until, value))
        facts.results.runs += _after(facts, kind, lane)


def _after(facts: Facts, kind: OrderKind, lane: int) -> list[StatusRun]:
    """The runs from a lane's end on, as far as the records that are read there show them."""
    rows, axis = facts.rows, facts.axis
    end = int(axis.start_utc_ms[lane] + axis.width)
    a, b = np.searchsorted(rows.lane, (lane, lane + 1))
    first = max(int(a + np.searchsorted(rows.time_utc_ms[a:b], end, side="left")) - 1, int(a))
    row = np.arange(first, int(b), dtype=np.int64)
    if not len(row):
        return []
    time = rows.time_utc_ms[row]
    until = np.minimum(np.append(time[1:], np.iinfo(np.int64).max), time + facts.policy.hold_ms)
    known: Tri = facts.on_at(row) if kind is OrderKind.START_STOP else facts.condenser_at(row)
    runs = [
        StatusRun(kind, axis.lanes[lane].unit, max(begin, end), stop, int(on), after=True)
        for begin, stop, on, off in zip(
            time.tolist(), until.tolist(), known.true.tolist(), known.false.tolist(), strict=True
        )
        if stop > end and (on or off)
    ]
    return join_runs(runs)


def join_runs(runs: Iterable[StatusRun]) -> list[StatusRun]:
    """Runs in order of time, those of one state that touch as one."""
    joined: list[StatusRun] = []
    for run in runs:
        if joined and joined[-1].state == run.state and joined[-1].end_ms >= run.start_ms:
            joined[-1] = joined[-1]._replace(end_ms=run.end_ms)
        else:
            joined.append(run)
    return joined
