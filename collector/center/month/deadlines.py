# SPDX-License-Identifier: GPL-3.0-or-later
"""The due days of an edition of a month (Art. 26-28).

A month's first edition follows the days of the month after it. A correction is settled with the next disclosed results:
an edition opened before the disclosure day of some month follows that month's days. The text has no calendar for
corrections; this keeps every plant its full time to ask, and needs no second set of days.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection

from collector.center.runs.month_state import MonthStage, all_steps
from collector.model.interval import Month, local_day
from collector.settlement.rulebook.calendar import Duties, DutyDays, compute_duties


@dataclass(frozen=True, slots=True)
class Cycle:
    """The due days of an edition. `month`: the month to which these days belong."""

    month: Month
    duties: Duties
    disclosure: date
    review: date
    filing: date
    publication: date


def cycle_of(connection: Connection, month: Month, edition: int, days: DutyDays) -> Cycle:
    """The due days of an edition.

    Raises:
        RuleError: the calendar does not know a year that is needed, or the rulebook lacks one of its values.
    """
    if edition == 1:
        return _cycle(month, days)
    opened = next(
        local_day(step.at_ms)
        for step in all_steps(connection, month)
        if step.edition == edition and step.state is MonthStage.CORRECTION
    )
    # Results of the month before are disclosed in this month; after that day, the next disclosure counts.
    found = _cycle(month_before(opened), days)
    return found if opened <= found.disclosure else _cycle(Month(opened.year, opened.month), days)


def month_before(day: date) -> Month:
    """The month before a day's month: its results are worked on in that month."""
    return Month(day.year - (day.month == 1), (day.month - 2) % 12 + 1)


def _cycle(month: Month, days: DutyDays) -> Cycle:
    duties = compute_duties(month, days)
    due = {duty.id: duty.due for duty in duties.duties}
    return Cycle(month, duties, due["disclosure"], due["review"], due["filing"], due["publication"])
