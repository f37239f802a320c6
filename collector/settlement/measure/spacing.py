# SPDX-License-Identifier: GPL-3.0-or-later
"""Spacing of a unit's records, compared with the hold limit of the data policy.

If records are usually further apart than a record holds, most time counts as missing. No amount depends on these
columns: they feed a finding that names both numbers, so that the data policy can be corrected.
"""

from __future__ import annotations

import numpy as np

from collector.settlement.measure.facts import Facts
from collector.settlement.measure.logic import Ints

SPACING = "spacing"


def measure(facts: Facts) -> None:
    """Columns of the records of a day: spacing.records, and spacing.late, late_ms of those that came too late.

    Late is a record further than the hold limit from the one before it, which may be of an earlier day.
    """
    places = facts.places
    if not len(facts.rows.lane):
        return
    records = np.diff(places.midnight_rows, axis=1).ravel()
    first = places.lane_rows[:-1][np.diff(places.lane_rows) > 0]  # of a lane: it follows none
    records[places.cell[first[places.inside(first)]]] -= 1
    facts.results.put(SPACING, "records", records)
    late = np.setdiff1d(np.flatnonzero(places.gap_ms > facts.policy.hold_ms), first, assume_unique=True)
    late = late[places.inside(late)]

    def put(name: str, weight: Ints) -> None:
        found = np.zeros(facts.axis.cells, dtype=np.int64)
        np.add.at(found, places.cell[late], weight)
        facts.results.put(SPACING, name, found)

    if len(late):
        put("late", np.ones(len(late), dtype=np.int64))
        put("late_ms", places.gap_ms[late])
