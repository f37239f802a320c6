# SPDX-License-Identifier: GPL-3.0-or-later
"""Decisions of the regulator without a proposal of the center: a filing, and the publication of results in effect.

Source: Art. 28: the filing is sent to the regulator, and takes effect when approved; the regulator publishes. The
filing itself, prepared by one person of the center and approved by another, is the request for approval. No other act
of a month begins with the regulator (docs/decisions/0052).
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

from collector.base.errors import StoreError
from collector.base.text import tr
from collector.center.month.transitions import approve_step, find_transition, refuse_step, step_content
from collector.center.people import four_eyes
from collector.center.people.access import Actor, Permission
from collector.center.runs.month_state import MonthStage, MonthState, all_steps, month_state
from collector.model.interval import Month
from collector.settlement.rulebook.calendar import DutyDays

# State of the month -> the state that the regulator may move it to.
FIRST_ACTS: Final = {MonthStage.FILED: MonthStage.EFFECTIVE, MonthStage.EFFECTIVE: MonthStage.PUBLISHED}


def act_first(
    connection: Connection,
    month: Month,
    to_state: MonthStage,
    *,
    actor: Actor,
    granted: bool,
    now_ms: int,
    days: DutyDays,
    note: str = "",
    document: str = "",
) -> MonthState:
    """Approve or return a filing, or publish results in effect; this also decides a proposal of the center.

    `note`: the reason; needed to return a filing, and to publish a result with an area that is not final. `document`:
    the number of the approval.

    Raises:
        Denied: not the regulator, or the person who prepared the matter.
        StoreError: the month is in another state, or something the step needs is missing.
    """
    actor.require(Permission.REGULATE)
    state = month_state(connection, month)
    if FIRST_ACTS.get(state.state) is not to_state:
        raise StoreError(
            tr("stands at {state}: the regulator decides what is filed, and publishes what took effect",
               state=state.state),
            subject=str(month),
        )  # fmt: skip
    transition = find_transition(state.state, to_state)
    waiting = four_eyes.list_proposals(connection, kind=transition.kind, subject=str(month), open_only=True)
    if waiting:
        number = waiting[0].id
    else:
        content = step_content(connection, state, transition, now_ms=now_ms, days=days, reason=note)
        number = four_eyes.put_down_first(
            connection, actor=actor, prepared_by=all_steps(connection, month)[-1].prepared_by, kind=transition.kind,
            subject=str(month), content=content, now_ms=now_ms,
        )  # fmt: skip
    if granted:
        return approve_step(
            connection, number, actor=actor, now_ms=now_ms, days=days, note=note, document=document
        )  # fmt: skip
    refuse_step(connection, number, actor=actor, now_ms=now_ms, note=note)
    return month_state(connection, month)


def returned_filing(connection: Connection, month: Month, since_ms: int) -> four_eyes.Proposal | None:
    """The regulator's refusal of the filing made at `since_ms`, with time and reason; None where there is none."""
    kind = find_transition(MonthStage.FILED, MonthStage.EFFECTIVE).kind
    found = four_eyes.list_proposals(connection, kind=kind, subject=str(month))
    refused = [each for each in found if each.decision == "refused" and each.prepared_ms >= since_ms]
    return refused[-1] if refused else None
