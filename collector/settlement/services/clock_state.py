# SPDX-License-Identifier: GPL-3.0-or-later
"""Time of records whose gateway knew that its clock was not synchronised: flagged, counted, used (reading I-17).

This is no service and moves no money: the statement reports the duration so that a plant can check its clock.
"""

from __future__ import annotations

from collector.base.clock_state import ClockState
from collector.settlement.measure.facts import Facts
from collector.settlement.measure.records import CLOCK_COLUMN

CLOCK = "clock"


def measure(facts: Facts) -> None:
    """Measure the column clock.unsynchronised: ms per unit and day."""
    registered = facts.applies(lambda _: True)
    if registered is None or CLOCK_COLUMN not in facts.rows.columns:
        return
    state = facts.value(CLOCK_COLUMN)
    flagged = registered & state.valid & (state.values == ClockState.UNSYNCHRONISED)
    facts.results.put(CLOCK, "unsynchronised", facts.timeline.time_by_cell(flagged))
