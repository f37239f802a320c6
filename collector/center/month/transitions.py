# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a month: allowed order, articles, who prepares and who approves, and the conditions.

A step is proposed by one person and approved by another (four eyes); it is about one run, pinned by its result hash. A
proposal is valid only while the month is still in the same state: of two steps approved at once one is taken. A step
against the calendar needs a written reason (`timing`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, insert, select

from collector.base.errors import Missing, StoreError
from collector.base.text import Text, as_data, both, join, tr, tr_in
from collector.center.db.store import CenterStore
from collector.center.db.tables_inputs import has_statement, run
from collector.center.db.tables_month import filing, month_step
from collector.center.month.deadline_rules import against_calendar, refuse_unfinished
from collector.center.month.review_log import all_reviews
from collector.center.papers.bills import scheme_rows
from collector.center.papers.books import post_result
from collector.center.papers.filing_documents import FilingName
from collector.center.people import audit, four_eyes
from collector.center.people.access import Actor, Permission
from collector.center.runs.keeping.own_files import own_files
from collector.center.runs.month_state import MonthStage, MonthState, all_steps, area_statuses, month_state
from collector.center.runs.run_list import NEVER_DISCLOSED, RunState, asked_run, why_never_disclosed
from collector.model.interval import Month
from collector.report import words
from collector.report.page import month_status
from collector.settlement.rulebook.calendar import DutyDays

STEP: Final = "month_step"
FILING: Final = "month_filing"
PUBLICATION: Final = "month_publication"
KINDS: Final = (STEP, FILING, PUBLICATION)
FINAL: Final = "final"
MAX_TEXT: Final = 4000


class Need(StrEnum):
    """The conditions of a step."""

    ANOTHER_RUN = "another_run"  # a run of the month that is not the present one
    SAME_RUN = "same_run"  # the run the month is based on
    REASON = "reason"
    FILINGS = "filings"  # the three documents were made of the run
    NOTHING_OPEN = "nothing_open"  # or a reason: see `what_stands_open`
    FINAL = "final"  # every settlement area, or a reason: see `what_is_not_final`


@dataclass(frozen=True, slots=True)
class Transition:
    """An allowed step. `kind`: the kind of its proposal, which decides who prepares and who approves it."""

    before: MonthStage
    after: MonthStage
    article: str
    kind: str
    needs: frozenset[Need]
    text: Text


def _t(
    before: MonthStage, after: MonthStage, article: str, kind: str, needs: tuple[Need, ...], text: Text
) -> Transition:
    return Transition(before, after, article, kind, frozenset(needs), text)


_FILED: Final = (Need.SAME_RUN, Need.FILINGS, Need.NOTHING_OPEN)
_ANOTHER: Final = (Need.ANOTHER_RUN, Need.FINAL)
_AGAIN: Final = (Need.ANOTHER_RUN, Need.REASON)

TRANSITIONS: Final = (
    _t(MonthStage.TRIAL, MonthStage.DISCLOSED, "26", STEP, _ANOTHER, tr("disclose the result")),
    _t(MonthStage.DISCLOSED, MonthStage.DISCLOSED, "26", STEP, _AGAIN, tr("disclose another run")),
    _t(MonthStage.DISCLOSED, MonthStage.IN_REVIEW, "27", STEP, (Need.SAME_RUN,), tr("open the reviews")),
    _t(MonthStage.IN_REVIEW, MonthStage.IN_REVIEW, "27", STEP, _AGAIN, tr("disclose another run after reviews")),
    _t(MonthStage.DISCLOSED, MonthStage.FILED, "28", STEP, _FILED, tr("file with the regulator")),
    _t(MonthStage.IN_REVIEW, MonthStage.FILED, "28", STEP, _FILED, tr("file with the regulator")),
    _t(MonthStage.FILED, MonthStage.DISCLOSED, "28", STEP, _AGAIN, tr("returned: disclose another run")),
    _t(MonthStage.FILED, MonthStage.EFFECTIVE, "28", FILING, (Need.SAME_RUN,), tr("approved by the regulator")),
    _t(
        MonthStage.EFFECTIVE,
        MonthStage.PUBLISHED,
        "28",
        PUBLICATION,
        (Need.SAME_RUN, Need.FINAL),
        tr("published by the regulator"),
    ),
    _t(MonthStage.PUBLISHED, MonthStage.CORRECTION, "24", STEP, (Need.SAME_RUN, Need.REASON), tr("open a correction")),
    _t(MonthStage.CORRECTION, MonthStage.DISCLOSED, "26", STEP, _ANOTHER, tr("disclose the correction")),
)


def transitions_from(state: MonthStage) -> tuple[Transition, ...]:
    """The steps that may follow a state."""
    return tuple(t for t in TRANSITIONS if t.before is state)


def find_transition(before: MonthStage, after: MonthStage) -> Transition:
    """The step from one state to another.

    Raises:
        StoreError: it is not allowed.
    """
    for transition in TRANSITIONS:
        if (transition.before, transition.after) == (before, after):
            return transition
    allowed = ", ".join(t.after for t in transitions_from(before))
    raise StoreError(
        tr("from {before} a month goes to {allowed}, not to {after}", before=before, allowed=allowed, after=after),
        subject=tr_in("subject", "month"),
    )


def prepare_step(
    store: CenterStore,
    month: Month,
    to_state: MonthStage,
    *,
    actor: Actor,
    days: DutyDays,
    run_id: int | None = None,
    reason: str = "",
    document: str = "",
) -> int:
    """`propose_step` on a store; for a disclosure, the run's files are first made its own. Raises as that, and:

    Raises:
        Altered: a file of the run is not the one it was made from.
        OSError: the disk refuses.
    """
    actor.require(Permission.PREPARE)
    asked = None if run_id is None else store.read(lambda c: asked_run(c, run_id))
    if to_state is MonthStage.DISCLOSED and asked is not None and asked.state is RunState.DONE:
        own_files(store, asked.id)
    now_ms = store.clock.now_utc_ms()
    return store.write(
        lambda c: propose_step(
            c, month, to_state, actor=actor, now_ms=now_ms, days=days, run_id=run_id, reason=reason, document=document
        )
    ).result()


def propose_step(
    connection: Connection,
    month: Month,
    to_state: MonthStage,
    *,
    actor: Actor,
    now_ms: int,
    days: DutyDays,
    run_id: int | None = None,
    reason: str = "",
    document: str = "",
) -> int:
    """Prepare a step for another person to approve; returns the proposal's number.

    `run_id`: default the month's present run. `document`: a number of the center's own, e.g. of the filing letter.

    Raises:
        Denied: the role may not prepare it.
        StoreError: the month does not allow the step, or a condition is not met; against the calendar, the reason is
            missing.
    """
    state = month_state(connection, month)
    transition = find_transition(state.state, to_state)
    actor.require(four_eyes.KINDS[transition.kind].prepare)
    content = step_content(
        connection, state, transition, now_ms=now_ms, days=days, run_id=run_id, reason=reason, document=document
    )  # fmt: skip
    return four_eyes.propose(
        connection, actor=actor, kind=transition.kind, subject=str(month), content=content, now_ms=now_ms
    )


def step_content(
    connection: Connection,
    state: MonthState,
    transition: Transition,
    *,
    now_ms: int,
    days: DutyDays,
    run_id: int | None = None,
    reason: str = "",
    document: str = "",
) -> dict[str, Any]:
    """The content of a step's proposal, after all of its conditions were checked.

    Raises:
        StoreError: as `propose_step`.
    """
    content: dict[str, Any] = {
        "from": str(state.state),
        "to": str(transition.after),
        "number": state.number + 1,
        "run_id": state.run_id if run_id is None else run_id,
        "reason": _bounded(reason),
        "document": document.strip()[:255],
    }
    content["result_hash"] = _check(connection, state, transition, content, now_ms)
    content["areas"] = area_statuses(connection, content["run_id"])
    against = against_calendar(connection, state, transition.after, days, now_ms)
    _need_reason(against, content["reason"], str(state.month))
    # In words for programs, and as data for pages in either language.
    content["against"] = list(against)
    content["against_texts"] = [as_data(each) for each in against]
    return content


def approve_step(
    connection: Connection,
    proposal_id: int,
    *,
    actor: Actor,
    now_ms: int,
    days: DutyDays,
    note: str = "",
    document: str = "",
) -> MonthState:
    """Approve a proposed step as another person, and take it. `document`: the regulator's number, where one is needed.

    Where the step was in time when proposed and is late now, `note` is the reason it then needs.

    Raises:
        Denied: the role may not approve it, or the person prepared it.
        StoreError: decided already, the month moved on since, or a condition is no longer met.
    """
    _check_kind(connection, proposal_id)
    decided = four_eyes.decide(
        connection, proposal_id, actor=actor, granted=True, note=_bounded(note), document=document[:255], now_ms=now_ms
    )
    # From here on the audit log's lock keeps other writers out: data read now stays unchanged until the commit.
    month, content = Month.parse(decided.subject), decided.content
    state = month_state(connection, month)
    if (state.number + 1, str(state.state)) != (content["number"], content["from"]):
        raise StoreError(
            tr(
                "the month stands at {state} since the proposal was made; refuse it and propose anew", state=state.state
            ),
            subject=tr("proposal {number}", number=proposal_id),
        )
    transition = find_transition(state.state, MonthStage(content["to"]))
    if _check(connection, state, transition, content, now_ms) != content["result_hash"]:
        raise StoreError(
            tr("the run is not the one that was proposed"), subject=tr("run {number}", number=content["run_id"])
        )
    reason = content["reason"] or decided.note
    against = against_calendar(connection, state, transition.after, days, now_ms)
    _need_reason(against, reason, f"proposal {proposal_id}")
    step = {
        "edition": state.edition + (transition.after is MonthStage.CORRECTION),
        "state": str(transition.after),
        "run_id": content["run_id"],
        "result_hash": content["result_hash"],
        "prepared_by": decided.prepared_by,
        "approved_by": actor.name,
        "proposal_id": proposal_id,
        "reason": reason if against else content["reason"],
        "document": decided.document or content["document"],
    }
    take_step(connection, state, step, actor=actor, now_ms=now_ms, against=against)
    if transition.after is MonthStage.EFFECTIVE:
        run_id, edition = int(step["run_id"]), int(step["edition"])
        result = scheme_rows(connection, run_id, edition)
        post_result(connection, month, result, edition=edition, run_id=run_id, actor=actor, now_ms=now_ms)
    return month_state(connection, month)


def refuse_step(connection: Connection, proposal_id: int, *, actor: Actor, now_ms: int, note: str) -> None:
    """Refuse a proposed step as another person; the month stays in its state.

    Raises:
        Denied: the role may not decide it, or the person prepared it.
        StoreError: decided already, or the note with the reason is missing.
    """
    _check_kind(connection, proposal_id)
    if not note.strip():
        raise StoreError(tr("say why it is refused"), subject=tr("proposal {number}", number=proposal_id))
    four_eyes.decide(connection, proposal_id, actor=actor, granted=False, note=_bounded(note), now_ms=now_ms)


def begin_review(connection: Connection, month: Month, *, actor: Actor, now_ms: int) -> None:
    """Move a disclosed month into review at its first review; no decision is needed for that (Art. 27)."""
    state = month_state(connection, month)
    if state.state is not MonthStage.DISCLOSED:
        return
    last = all_steps(connection, month)[-1]
    step = {
        "edition": state.edition,
        "state": str(MonthStage.IN_REVIEW),
        "run_id": last.run_id,
        "result_hash": last.result_hash,
        "prepared_by": actor.name,
        "approved_by": actor.name,
        "proposal_id": None,
        "reason": "",
        "document": "",
    }
    take_step(connection, state, step, actor=actor, now_ms=now_ms)


def take_step(
    connection: Connection,
    state: MonthState,
    step: Mapping[str, Any],
    *,
    actor: Actor,
    now_ms: int,
    against: Sequence[str] = (),
) -> None:
    """Append a step after `state`; its number is unique, so that of two appends at once the second fails.

    `against`: how it violated the calendar; kept in the audit log beside its reason.
    """
    values = {**step, "month": str(state.month), "number": state.number + 1, "at_ms": now_ms}
    connection.execute(insert(month_step).values(values))
    audit.append(
        connection,
        actor=actor,
        action=f"month.{step['state']}",
        subject=str(state.month),
        detail={"from": str(state.state), "number": state.number + 1, **step, "against": list(against)},
        now_ms=now_ms,
    )


def what_stands_open(connection: Connection, month: Month, run_id: int) -> list[str]:
    """The reasons against filing a run as it is, in words; filing it then needs a reason.

    Areas that are not final; reviews not done; plants with an amount and no grid company to settle it with (Art. 24).
    """
    found = what_is_not_final(connection, run_id)
    waiting = [review.id for review in all_reviews(connection, month) if review.is_open]
    if waiting:
        found.append(tr("reviews not done: {numbers}", numbers=join(", ", map(str, waiting))))
    edition = month_state(connection, month).edition
    lost = [row.plant for row in scheme_rows(connection, run_id, edition) if row.net_yuan and not row.counterparty]
    if lost:
        found.append(tr("no grid company in the register (settles_with): {plants}", plants=join(", ", lost)))
    return found


def what_is_not_final(connection: Connection, run_id: int) -> list[str]:
    """The settlement areas of a run that are not final, in words; the run's own status where it is worse."""
    found: list[str] = [
        tr("{area} is {status}", area=area_words(area), status=_status_words(status))
        for area, status in area_statuses(connection, run_id).items()
        if status != FINAL
    ]
    status = str(connection.execute(select(run.c.status).where(run.c.id == run_id)).scalar_one())
    if not found and status != FINAL:
        found = [tr("run {run_id} is {status}", run_id=run_id, status=_status_words(status))]
    return found


def area_words(area: str) -> Text:
    """The name of a settlement area."""
    chinese, english = words.of(words.AREAS, area)
    return both(english or area, chinese)


def _status_words(status: str) -> Text:
    return both(status, month_status(status)[0])


def _check(
    connection: Connection, state: MonthState, transition: Transition, content: Mapping[str, Any], now_ms: int
) -> str:
    """Check all conditions of a step; returns the result hash of its run."""
    run_id, reason = content["run_id"], content["reason"]
    if run_id is None:
        raise StoreError(tr("name the run"), subject=str(state.month))
    row = connection.execute(select(run).where((run.c.id == run_id) & has_statement)).one_or_none()
    if row is None:
        raise Missing(tr("there is none with this number"), subject=tr("run {number}", number=run_id))
    if row.month != str(state.month):
        raise StoreError(
            tr("is of {found}, not of {wanted}", found=row.month, wanted=state.month),
            subject=tr("run {number}", number=run_id),
        )
    if row.kind in NEVER_DISCLOSED:
        raise StoreError(why_never_disclosed(row.kind), subject=tr("run {number}", number=run_id))
    refuse_unfinished(state.month, transition.after, row, now_ms)
    needs = transition.needs
    if Need.SAME_RUN in needs and run_id != state.run_id:
        raise StoreError(
            tr("the month stands on run {run_id}; disclose another one first", run_id=state.run_id),
            subject=tr("run {number}", number=run_id),
        )
    if Need.ANOTHER_RUN in needs and run_id == state.run_id:
        raise StoreError(
            tr("is the one the month stands on; settle anew first"), subject=tr("run {number}", number=run_id)
        )
    if Need.REASON in needs and not reason:
        raise StoreError(tr("say why"), subject=f"{transition.before} to {transition.after}")
    if Need.FILINGS in needs:
        _check_filings(connection, run_id, state.edition)
    if Need.FINAL in needs and not reason and (still := what_is_not_final(connection, run_id)):
        raise StoreError(
            tr("{names}: a step with an area that is not final needs a stated reason", names=join("; ", still)),
            subject=tr("run {number}", number=run_id),
        )
    if Need.NOTHING_OPEN in needs and not reason and (still := what_stands_open(connection, state.month, run_id)):
        raise StoreError(
            tr("{names}: filing it needs a stated reason", names=join("; ", still)),
            subject=tr("run {number}", number=run_id),
        )
    return str(row.result_hash)


def _need_reason(against: Sequence[str], reason: str, subject: str) -> None:
    if against and not reason:
        raise StoreError(tr("{names}: needs a stated reason", names=join("; ", against)), subject=subject)


def _check_filings(connection: Connection, run_id: int, edition: int) -> None:
    mine = (filing.c.run_id == run_id) & (filing.c.edition == edition)
    made = set(connection.execute(select(filing.c.name).where(mine)).scalars())
    if missing := [str(name) for name in FilingName if name not in made]:
        raise StoreError(
            tr("make the filings first: {names} of edition {edition}", names=join(", ", missing), edition=edition),
            subject=tr("run {number}", number=run_id),
        )


def _check_kind(connection: Connection, proposal_id: int) -> None:
    kind = four_eyes.get_proposal(connection, proposal_id).kind
    if kind not in KINDS:
        raise StoreError(
            tr("is no step of a month but a {kind}", kind=kind),
            subject=tr("proposal {number}", number=proposal_id),
        )


def _bounded(text: str) -> str:
    text = text.strip()
    if len(text) > MAX_TEXT:
        raise StoreError(
            tr("{count} characters; at most {max_text} are kept", count=len(text), max_text=MAX_TEXT),
            subject=tr_in("subject", "text"),
        )
    return text
