# SPDX-License-Identifier: GPL-3.0-or-later
"""Output of a unit after its reserve was called (Art. 7(5)(6)): what shows when it came, day by day. Evidence, unpaid.

Looked at are the local day of the call and the one after. Kept are the records that exceed every earlier one of their
day, which answer for any power called, so that a day need not know what the day before saw.
"""

from __future__ import annotations

import numpy as np

from collector.model.interval import DAY_MS
from collector.settlement.measure.facts import Facts
from collector.settlement.measure.results import CalledPower


def measure(facts: Facts) -> None:
    """One event per call and day of the lanes."""
    rows, axis = facts.rows, facts.axis
    power = rows.columns.get("active_power_mw")
    if power is None:
        return
    for index, lane in enumerate(axis.lanes):
        first, last = np.searchsorted(rows.lane, (index, index + 1)).tolist()
        time, known, kw = (each[first:last] for each in (rows.time_utc_ms, power.valid, power.values))
        for called in facts.dispatch.reserve_calls.get(lane.unit, ()):
            called_on = (called - int(axis.start_utc_ms[index])) // DAY_MS
            head = int(np.searchsorted(time, called, side="right")) - 1
            holds = head >= 0 and bool(known[head]) and int(time[head]) + facts.policy.hold_ms > called
            for day in range(max(called_on, 0), min(called_on + 2, axis.days)):
                start = int(axis.start_utc_ms[index]) + day * DAY_MS
                a, b = np.searchsorted(time, (max(called, start), start + DAY_MS))
                seen = a + np.flatnonzero(known[a:b])
                highest = np.maximum.accumulate(kw[seen])
                rises = seen[np.append(True, highest[1:] > highest[:-1])[: len(seen)]]
                before = int(kw[head]) if day == called_on and holds else None
                steps = tuple(zip(time[rises].tolist(), kw[rises].tolist(), strict=True))
                ordinal = lane.first_day.toordinal() + day
                facts.results.called.append(CalledPower(lane.unit, ordinal, called, before, steps))
