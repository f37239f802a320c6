# SPDX-License-Identifier: GPL-3.0-or-later
"""The next step of a month, and the other steps that are possible.

The order is that of Art. 26-28: settled, disclosed, filed, effective, published. Going back (another run, a correction)
is never first. Each step tells in advance the reason it needs, and why it can't be taken yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, select

from collector.base.errors import StoreError
from collector.base.text import Text, tr
from collector.center.db.tables_month import filing
from collector.center.month.deadline_rules import against_calendar, refuse_unfinished
from collector.center.month.transitions import (
    Need,
    Transition,
    transitions_from,
    what_is_not_final,
    what_stands_open,
)
from collector.center.papers.filing_documents import FilingName
from collector.center.runs.month_state import MonthStage, MonthState
from collector.center.runs.run_list import NEVER_DISCLOSED, RunRow, RunState
from collector.settlement.rulebook.calendar import DutyDays

_ON: Final = {
    MonthStage.TRIAL: MonthStage.DISCLOSED,
    MonthStage.CORRECTION: MonthStage.DISCLOSED,
    MonthStage.DISCLOSED: MonthStage.FILED,
    MonthStage.IN_REVIEW: MonthStage.FILED,
    MonthStage.FILED: MonthStage.EFFECTIVE,
    MonthStage.EFFECTIVE: MonthStage.PUBLISHED,
}


class Doing(StrEnum):
    """The kinds of next step."""

    SETTLE = "settle"
    MAKE_FILINGS = "make_filings"
    STEP = "step"
    DONE = "done"  # published: nothing is left to do


@dataclass(frozen=True, slots=True)
class PossibleStep:
    """A step that may be proposed. `runs`: the runs it may be about, the likeliest first.

    `reasons`: why the likeliest needs a stated reason, in words; `not_yet`: why it can't be proposed today, or "".
    """

    transition: Transition
    runs: tuple[RunRow, ...]
    reasons: tuple[str, ...]
    not_yet: str

    @property
    def may_be_proposed(self) -> bool:
        """True if there is a run for it, and nothing forbids it today."""
        return bool(self.runs) and not self.not_yet


@dataclass(frozen=True, slots=True)
class NextStep:
    """The next step. `step`: for STEP; `others`: the other steps, shown less prominently."""

    doing: Doing
    step: PossibleStep | None
    others: tuple[PossibleStep, ...]


def next_step(
    connection: Connection, state: MonthState, runs: Sequence[RunRow], days: DutyDays | None, now_ms: int
) -> NextStep:
    """The next step of a month. `runs`: the month's, newest first; `days` None: the rulebook can't be read."""
    known = [run for run in runs if run.state is RunState.DONE and run.kind not in NEVER_DISCLOSED]
    possible = [_possible(connection, state, t, known, days, now_ms) for t in transitions_from(state.state)]
    on = _ON.get(state.state)
    first = next((each for each in possible if each.transition.after is on), None)
    others = tuple(each for each in possible if each is not first)
    if first is None:
        return NextStep(Doing.DONE, None, others)
    if not first.runs:
        return NextStep(Doing.SETTLE, None, others)
    if Need.FILINGS in first.transition.needs and not _filings_made(connection, state):
        return NextStep(Doing.MAKE_FILINGS, None, (first, *others))
    return NextStep(Doing.STEP, first, others)


def _possible(
    connection: Connection,
    state: MonthState,
    transition: Transition,
    known: Sequence[RunRow],
    days: DutyDays | None,
    now_ms: int,
) -> PossibleStep:
    needs = transition.needs
    if Need.SAME_RUN in needs:
        runs = tuple(run for run in known if run.id == state.run_id)
    else:
        runs = tuple(run for run in known if run.id != state.run_id)
    if not runs:
        return PossibleStep(transition, (), (), "")
    run, not_yet = runs[0], ""
    try:
        refuse_unfinished(state.month, transition.after, run, now_ms)
    except StoreError as error:
        not_yet = error.message
    return PossibleStep(transition, runs, tuple(_reasons(connection, state, transition, run, days, now_ms)), not_yet)


def _reasons(
    connection: Connection,
    state: MonthState,
    transition: Transition,
    run: RunRow,
    days: DutyDays | None,
    now_ms: int,
) -> list[str | Text]:
    found: list[str | Text] = []
    if Need.REASON in transition.needs:
        again = transition.after is MonthStage.CORRECTION
        found.append(tr("what is published is opened again") if again else tr("plants were shown another result"))
    if days is not None:
        found += against_calendar(connection, state, transition.after, days, now_ms)
    if Need.NOTHING_OPEN in transition.needs:
        found += what_stands_open(connection, state.month, run.id)
    elif Need.FINAL in transition.needs:
        found += what_is_not_final(connection, run.id)
    return found


def _filings_made(connection: Connection, state: MonthState) -> bool:
    mine = (filing.c.run_id == state.run_id) & (filing.c.edition == state.edition)
    return set(connection.execute(select(filing.c.name).where(mine)).scalars()) >= {str(name) for name in FilingName}
