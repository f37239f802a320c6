# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps of a month against its calendar (Art. 26-28): refused steps, and steps that need a written reason.

Refused: disclosing a month that is not over, or a run made before its end; no reason makes a part of a month its
result. With a reason: disclosing late, filing while plants may still ask or late, and any of them where the calendar of
the year is missing. Publication is the regulator's: the duties show it late, the center gives no reason for it.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection

from collector.base.errors import RuleError, StoreError
from collector.base.text import tr
from collector.center.month.deadlines import cycle_of
from collector.center.runs.month_state import MonthStage, MonthState
from collector.model.interval import Month, local_day
from collector.settlement.rulebook.calendar import DutyDays

_FIRST: Final = (MonthStage.TRIAL, MonthStage.CORRECTION)


def refuse_unfinished(month: Month, after: MonthStage, run: Any, now_ms: int) -> None:
    """Refuse to disclose a run that can't be the month's result yet.

    Raises:
        StoreError: the month is not over, or its run was made before it was.
    """
    end_ms = month.interval.end_ms
    if after is not MonthStage.DISCLOSED:
        return
    if now_ms < end_ms:
        raise StoreError(
            tr("is not over before {day}: disclose it then", day=local_day(end_ms)),
            subject=str(month),
        )
    if run.at_ms < end_ms:
        raise StoreError(
            tr("was made before {month} was over: settle anew", month=month),
            subject=tr("run {number}", number=run.id),
        )


def against_calendar(
    connection: Connection, state: MonthState, after: MonthStage, days: DutyDays, now_ms: int
) -> tuple[str, ...]:
    """The ways in which a step taken now violates the calendar, in words; empty where it does not."""
    disclosing = after is MonthStage.DISCLOSED and state.state in _FIRST
    if not disclosing and after is not MonthStage.FILED:
        return ()
    today = local_day(now_ms)
    try:
        cycle = cycle_of(connection, state.month, state.edition, days)
    except RuleError as error:
        return (tr("{message}: whether the step is in time can't be told", message=error.message),)
    if disclosing and today > cycle.disclosure:
        return (tr("disclosed on {today}, due by {due}", today=today, due=cycle.disclosure),)
    if after is MonthStage.FILED and today <= cycle.review:
        return (tr("filed on {today}, while plants may ask until {until}", today=today, until=cycle.review),)
    if after is MonthStage.FILED and today > cycle.filing:
        return (tr("filed on {today}, due by {due}", today=today, due=cycle.filing),)
    return ()
