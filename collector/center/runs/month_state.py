# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a month, read from its steps; and the runs of it that a person may see.

A month without a step is in trial. Editions count from 1; a correction opens the next. Plants see the run last
disclosed: a trial run, also of a correction, is internal to the center until then (Art. 26).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, select

from collector.center.db.seals.sealed_rows import require_rows
from collector.center.db.tables_inputs import has_statement, run
from collector.center.db.tables_month import month_step
from collector.center.db.views import once_a_view
from collector.center.people.access import Actor, Permission
from collector.center.runs.run_list import NEVER_DISCLOSED, manifest_text
from collector.model.interval import Month


class MonthStage(StrEnum):
    """The states of a month, in their order."""

    TRIAL = "trial"
    DISCLOSED = "disclosed"
    IN_REVIEW = "in_review"
    FILED = "filed"
    EFFECTIVE = "effective"
    PUBLISHED = "published"
    CORRECTION = "correction"


# The regulation's terms, Chinese and English.
STATE_WORDS: Final = {
    MonthStage.TRIAL: ("试算中", "trial"),
    MonthStage.DISCLOSED: ("已披露", "disclosed"),
    MonthStage.IN_REVIEW: ("复核中", "in review"),
    MonthStage.FILED: ("已报送", "filed"),
    MonthStage.EFFECTIVE: ("已生效", "effective"),
    MonthStage.PUBLISHED: ("已发布", "published"),
    MonthStage.CORRECTION: ("更正中", "correction"),
}


@dataclass(frozen=True, slots=True)
class MonthStep:
    """A step of a month. `approved_by` is another person than `prepared_by`, unless a review began by itself."""

    month: Month
    number: int
    edition: int
    state: MonthStage
    run_id: int
    result_hash: str
    at_ms: int
    prepared_by: str
    approved_by: str
    proposal_id: int | None
    reason: str
    document: str


@dataclass(frozen=True, slots=True)
class MonthState:
    """The state of a month. `number` counts its steps; in trial no run is pinned and `since_ms` is None."""

    month: Month
    state: MonthStage
    edition: int
    run_id: int | None
    since_ms: int | None
    number: int
    document: str = ""


@once_a_view
def month_state(connection: Connection, month: Month) -> MonthState:
    """The present state of a month.

    Raises:
        StoreError: its last step was written by something else: the run that people see as the month's depends on it.
    """
    query = select(month_step).where(month_step.c.month == str(month)).order_by(month_step.c.number.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    if row is None:
        return MonthState(month, MonthStage.TRIAL, 1, None, None, 0)
    require_rows(connection, month_step, [(row.id,)])
    step = _step(row)
    return MonthState(month, step.state, step.edition, step.run_id, step.at_ms, step.number, step.document)


def list_steps(connection: Connection, month: Month, *, actor: Actor) -> list[MonthStep]:
    """The history of a month, oldest first. Reasons may name plants: they are hidden from a plant's user."""
    actor.require(Permission.SEE_OWN)
    steps = all_steps(connection, month)
    if actor.may(Permission.SEE_ALL):
        return steps
    return [replace(step, reason="", prepared_by="", approved_by="") for step in steps]


def all_steps(connection: Connection, month: Month) -> list[MonthStep]:
    """The history of a month, oldest first, for the program's own use.

    Raises:
        StoreError: one of the steps was written, or changed, by something else.
    """
    return [*_all_steps(connection, month)]


@once_a_view
def _all_steps(connection: Connection, month: Month) -> tuple[MonthStep, ...]:
    query = select(month_step).where(month_step.c.month == str(month)).order_by(month_step.c.number)
    rows = connection.execute(query).all()
    require_rows(connection, month_step, [(row.id,) for row in rows])
    return tuple(_step(row) for row in rows)


def months_known(connection: Connection) -> list[Month]:
    """Every month that has a run, newest first."""
    query = select(run.c.month).where(has_statement).distinct().order_by(run.c.month.desc())
    return [Month.parse(text) for text in connection.execute(query).scalars()]


def effective_steps(steps: Sequence[MonthStep]) -> list[MonthStep]:
    """The steps by which an edition took effect, in order."""
    return [step for step in steps if step.state is MonthStage.EFFECTIVE]


def run_in_effect(connection: Connection, month: Month) -> int | None:
    """The run of the latest edition that took effect; None where none did."""
    effective = effective_steps(all_steps(connection, month))
    return effective[-1].run_id if effective else None


def disclosed_runs(connection: Connection, month: Month) -> list[int]:
    """Every run that was ever disclosed, the latest last."""
    return list(dict.fromkeys(step.run_id for step in all_steps(connection, month)))


def visible_run(connection: Connection, month: Month, actor: Actor) -> int | None:
    """The run to show a person first: the one last disclosed; to staff the newest run while none is pinned."""
    actor.require(Permission.SEE_OWN)
    state = month_state(connection, month)
    if not actor.may(Permission.SEE_ALL) or state.state not in (MonthStage.TRIAL, MonthStage.CORRECTION):
        return state.run_id
    settled = (run.c.month == str(month)) & run.c.kind.not_in(NEVER_DISCLOSED) & has_statement
    newest = connection.execute(select(run.c.id).where(settled).order_by(run.c.id.desc()).limit(1)).scalar()
    return state.run_id if newest is None else int(newest)


def area_statuses(connection: Connection, run_id: int) -> dict[str, str]:
    """The status of each settlement area in a run: final, provisional or blocked."""
    manifest = json.loads(manifest_text(connection, run_id))
    return {area["area"]: area["status"] for area in manifest.get("areas", ())}


def may_see_run(connection: Connection, run_id: int, actor: Actor) -> bool:
    """True if a person may see a run at all (a plant sees only the totals of other plants)."""
    if actor.may(Permission.SEE_ALL):
        return True
    pinned = select(month_step.c.id).where(month_step.c.run_id == run_id).limit(1)
    return actor.may(Permission.SEE_OWN) and connection.execute(pinned).scalar() is not None


def _step(row: Any) -> MonthStep:
    return MonthStep(
        month=Month.parse(row.month),
        number=int(row.number),
        edition=int(row.edition),
        state=MonthStage(row.state),
        run_id=int(row.run_id),
        result_hash=row.result_hash,
        at_ms=int(row.at_ms),
        prepared_by=row.prepared_by,
        approved_by=row.approved_by,
        proposal_id=None if row.proposal_id is None else int(row.proposal_id),
        reason=row.reason,
        document=row.document,
    )
