# SPDX-License-Identifier: GPL-3.0-or-later
"""Reviews (复核申请): requested by a plant, answered in time, decided by two people, appealed to the regulator.

Source: Art. 27: a plant in doubt asks by a day of the month; the center checks and answers within some working days of
receipt (both in the rulebook); a plant that still disagrees appeals to the regulator, who coordinates or rules (Art.
29). A later request is kept and marked late: it is examined if an operator admits it with a reason. A granted review is
carried out by a named import or run.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from sqlalchemy import Connection, func, insert, select

from collector.base.errors import Denied, StoreError
from collector.base.text import join, tr, tr_in
from collector.center.db.store import CenterStore
from collector.center.db.tables_inputs import effective, has_statement, imported, run
from collector.center.db.tables_month import review, review_event
from collector.center.inputs.names import named_plant, plant_names
from collector.center.month.deadlines import cycle_of
from collector.center.month.review_log import GRANTED_STATES, EventKind, Review, ReviewState, review_by_id
from collector.center.month.transitions import MAX_TEXT, begin_review
from collector.center.people import audit, four_eyes
from collector.center.people.access import Actor, Permission
from collector.center.runs.month_state import disclosed_runs, month_state
from collector.center.runs.run_list import NEVER_DISCLOSED
from collector.center.runs.run_statement import RunLine, load_run_statement
from collector.model.interval import Month, local_day
from collector.settlement.rulebook.calendar import DutyDays

MAX_OPEN: Final = 500  # of a plant and month, so that nobody fills the store
_DISPUTABLE: Final = (ReviewState.ANSWERED, ReviewState.REFUSED, ReviewState.GRANTED, ReviewState.LATE)
_NUMBER: Final = re.compile(r"\d{1,12}(\.\d{1,6})?\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class ReviewRequest:
    """A plant's request: line and run, time, its claim (`yuan` or `quantity`), and the reason."""

    run_id: int
    unit: str
    service: str
    from_ms: int
    to_ms: int
    claim_kind: str
    claim_value: str
    text: str


def submit_review(
    store: CenterStore,
    request: ReviewRequest,
    *,
    actor: Actor,
    days: DutyDays,
    now_ms: int | None = None,
    then: Callable[[Connection, int], None] | None = None,
) -> int:
    """Request the review of a line of one's own plant in a disclosed run; returns its number.

    `then`: writes more in the same transaction, given the number.

    Raises:
        Denied: the role may not ask, the line is another plant's, or the run is not disclosed.
        StoreError: there is no such line, or the request is invalid.
        RuleError: the calendar does not know the year, or the rulebook lacks one of its values.
    """
    actor.require(Permission.REVIEW_SUBMIT)
    month = Month.parse(store.read(lambda c: _month_of_run(c, request.run_id, actor)))
    _check_request(request, month)
    line = _find_line(store, request, actor)
    moment = store.clock.now_utc_ms() if now_ms is None else now_ms

    def job(connection: Connection) -> int:
        number = _insert_review(connection, request, line, month, actor=actor, days=days, now_ms=moment)
        if then is not None:
            then(connection, number)
        return number

    return store.write(job).result()


def _insert_review(
    connection: Connection,
    request: ReviewRequest,
    line: RunLine,
    month: Month,
    *,
    actor: Actor,
    days: DutyDays,
    now_ms: int,
) -> int:
    state = month_state(connection, month)
    if state.run_id != request.run_id:
        raise StoreError(
            tr("run {run_id} is disclosed since; ask about that one", run_id=state.run_id),
            subject=tr("run {number}", number=request.run_id),
        )
    mine = (review.c.month == str(month)) & (review.c.plant == line.plant)
    if connection.execute(select(func.count()).select_from(review).where(mine)).scalar_one() >= MAX_OPEN:
        raise StoreError(
            tr(
                "{max_open} reviews of {plant} in {month}: no more are taken",
                max_open=MAX_OPEN,
                plant=named_plant(line.plant, plant_names(connection)),
                month=month,
            ),
            subject=line.plant,
        )
    today = local_day(now_ms)
    cycle = cycle_of(connection, month, state.edition, days)
    deadline = cycle.review
    values: dict[str, Any] = {
        "month": str(month),
        "edition": state.edition,
        "run_id": request.run_id,
        "area": line.area,
        "plant": line.plant,
        "unit": line.unit,
        "service": line.service,
        "from_ms": request.from_ms,
        "to_ms": request.to_ms,
        "claim_kind": request.claim_kind,
        "claim_value": request.claim_value,
        "claim_unit": "yuan" if request.claim_kind == "yuan" else line.quantity_unit,
        "line_value": _said(line, request.claim_kind),
        "text": bounded_text(request.text),
        "submitted_by": actor.name,
        "submitted_ms": now_ms,
        "deadline_day": deadline.isoformat(),
        "late": today > deadline,
        "answer_due_day": days.answer_due(today, cycle.month).isoformat(),
    }
    key = connection.execute(insert(review).values(values)).inserted_primary_key
    assert key is not None
    number = int(key[0])
    audit_review(connection, actor, "review.submit", number, values, now_ms)
    # After the audit entry, whose lock lets one request at a time find the month not yet in review.
    if today <= deadline:
        begin_review(connection, month, actor=actor, now_ms=now_ms)
    return number


def admit_review(
    connection: Connection, number: int, *, actor: Actor, reason: str, days: DutyDays, now_ms: int
) -> None:
    """Examine a late review after all; the working days of the answer count from now."""
    actor.require(Permission.REVIEW_ANSWER)
    found = _in_state(connection, number, actor, ReviewState.LATE)
    due = days.answer_due(local_day(now_ms), cycle_of(connection, found.month, found.edition, days).month)
    _append(connection, found, EventKind.ADMITTED, actor=actor, now_ms=now_ms, text=_needed(reason), due=due)
    begin_review(connection, found.month, actor=actor, now_ms=now_ms)


def answer_review(connection: Connection, number: int, *, actor: Actor, text: str, now_ms: int) -> None:
    """Answer a review (Art. 27: checked, and answered in time); may be done again."""
    actor.require(Permission.REVIEW_ANSWER)
    found = _in_state(connection, number, actor, ReviewState.ASKED, ReviewState.ANSWERED)
    _append(connection, found, EventKind.ANSWERED, actor=actor, now_ms=now_ms, text=_needed(text))


def propose_decision(
    connection: Connection, number: int, *, actor: Actor, granted: bool, text: str, now_ms: int
) -> int:
    """Prepare the decision of a review for another person to approve; returns the proposal's number."""
    actor.require(Permission.REVIEW_ANSWER)
    found = _in_state(connection, number, actor, ReviewState.ASKED, ReviewState.ANSWERED)
    content = {"outcome": "granted" if granted else "refused", "text": _needed(text), "month": str(found.month)}
    return four_eyes.propose(
        connection, actor=actor, kind="review_decision", subject=f"review {number}", content=content, now_ms=now_ms
    )


def decide_review(
    connection: Connection, proposal_id: int, *, actor: Actor, approved: bool, note: str = "", now_ms: int
) -> Review:
    """Approve the proposed decision, which then is the center's, or send it back; by another person.

    Raises:
        Denied: the role may not, or the person prepared it.
        StoreError: decided already, or the review moved on since.
    """
    waiting = four_eyes.get_proposal(connection, proposal_id)
    if waiting.kind != "review_decision":
        raise StoreError(
            tr("decides no review but is a {kind}", kind=waiting.kind),
            subject=tr("proposal {number}", number=proposal_id),
        )
    if not approved:
        _needed(note)
    number = int(waiting.subject.removeprefix("review "))
    lock_review(connection, number, actor=actor)
    decided = four_eyes.decide(
        connection, proposal_id, actor=actor, granted=approved, note=bounded_text(note), now_ms=now_ms
    )
    if approved:
        found = _in_state(connection, number, actor, ReviewState.ASKED, ReviewState.ANSWERED)
        kind = EventKind(decided.content["outcome"])
        text = decided.content["text"]
        _append(connection, found, kind, actor=actor, now_ms=now_ms, text=text, proposal_id=proposal_id)
    return review_by_id(connection, number, actor=actor)


def escalate_review(connection: Connection, number: int, *, actor: Actor, text: str, now_ms: int) -> None:
    """Appeal to the regulator: after the answer or the refusal, or where no answer came in time (Art. 27, 29)."""
    actor.require(Permission.REVIEW_SUBMIT)
    found = _in_state(connection, number, actor, ReviewState.ASKED, *_DISPUTABLE)
    if not may_be_appealed(found, now_ms):
        raise StoreError(
            tr("the answer is due on {answer_due}; wait for it", answer_due=found.answer_due),
            subject=tr("review {number}", number=number),
        )
    _append(connection, found, EventKind.APPEALED, actor=actor, now_ms=now_ms, text=_needed(text))


def may_be_appealed(found: Review, now_ms: int) -> bool:
    """True if a review is in dispute: answered or decided, not examined as late, or not answered in time (Art. 27)."""
    overdue = found.state is ReviewState.ASKED and local_day(now_ms) > found.answer_due
    return overdue or found.state in _DISPUTABLE


def rule_on_appeal(
    connection: Connection,
    number: int,
    *,
    actor: Actor,
    granted: bool,
    text: str,
    document: str,
    now_ms: int,
    appeal: str = "",
) -> None:
    """Decide an appeal as the regulator, with the number of the ruling (Art. 29).

    `appeal`: number or date of the plant's letter, where it appealed to the regulator directly and not through the
    center (Art. 27 sends it there): it is recorded with the review, which must be one that could be appealed now.

    Raises:
        Denied: not the regulator, or a person who had a part in the review.
        StoreError: there is no appeal, or the document is not named.
    """
    actor.require(Permission.REGULATE)
    found = lock_review(connection, number, actor=actor)
    if not (appeal.strip() and may_be_appealed(found, now_ms)):
        found = _in_state(connection, number, actor, ReviewState.APPEALED)
    prepared = four_eyes.list_proposals(connection, kind="review_decision", subject=f"review {number}")
    took_part = {found.submitted_by, *(event.who for event in found.events), *(p.prepared_by for p in prepared)}
    if actor.name in took_part:
        raise Denied(tr("who asked, answered, prepared or decided can't rule on the appeal"), subject=actor.name)
    if not document.strip():
        raise StoreError(
            tr("name the document (number and date) of the ruling"), subject=tr("review {number}", number=number)
        )
    if found.state is not ReviewState.APPEALED:
        letter = appeal.strip()[:255]
        _append(connection, found, EventKind.APPEALED, actor=actor, now_ms=now_ms, text="", document=letter)
        found = review_by_id(connection, number, actor=actor)
    kind = EventKind.RULED_GRANTED if granted else EventKind.RULED_REFUSED
    _append(connection, found, kind, actor=actor, now_ms=now_ms, text=_needed(text), document=document.strip()[:255])


def withdraw_review(connection: Connection, number: int, *, actor: Actor, text: str = "", now_ms: int) -> None:
    """Withdraw a review or its appeal, before the final decision."""
    actor.require(Permission.REVIEW_SUBMIT)
    states = (ReviewState.LATE, ReviewState.ASKED, ReviewState.ANSWERED, ReviewState.APPEALED)
    found = _in_state(connection, number, actor, *states)
    _append(connection, found, EventKind.WITHDRAWN, actor=actor, now_ms=now_ms, text=bounded_text(text))


def link_remedy(
    connection: Connection,
    number: int,
    *,
    actor: Actor,
    import_id: int | None = None,
    run_id: int | None = None,
    text: str = "",
    now_ms: int,
) -> None:
    """Record the import or the run that carries out a granted review.

    Raises:
        StoreError: the review is not granted, neither or both are named, or the named one does not exist.
    """
    actor.require(Permission.PREPARE)
    found = _in_state(connection, number, actor, *GRANTED_STATES)
    subject = tr("review {number}", number=number)
    if (import_id is None) == (run_id is None):
        raise StoreError(tr("name the import, or the run, that carries it out"), subject=subject)
    if import_id is not None:
        query = select(imported.c.id).where((imported.c.id == import_id) & effective)
    else:
        query = select(run.c.id).where((run.c.id == run_id) & (run.c.month == str(found.month)))
        query = query.where(run.c.kind.not_in(NEVER_DISCLOSED) & has_statement)
    if connection.execute(query).scalar() is None:
        what = (
            tr("no import {import_id} is in force", import_id=import_id)
            if run_id is None
            else tr("no run {run_id} settles {month}", run_id=run_id, month=found.month)
        )
        raise StoreError(what, subject=subject)
    links = (import_id, run_id)
    _append(connection, found, EventKind.CARRIED_OUT, actor=actor, now_ms=now_ms, text=bounded_text(text), links=links)


def note_what_if(connection: Connection, number: int, *, actor: Actor, run_id: int, now_ms: int) -> None:
    """Record with a review the what-if run that shows the effect of granting it on every plant."""
    actor.require(Permission.SETTLE)
    found = lock_review(connection, number, actor=actor)
    _append(connection, found, EventKind.TRIED, actor=actor, now_ms=now_ms, text="", links=(None, run_id))


def bounded_text(text: str) -> str:
    """A text written by a person: bounded, and without control characters other than line ends and tabs."""
    kept = "".join(c for c in text.replace("\r\n", "\n").strip() if c.isprintable() or c in "\n\t")
    if len(kept) > MAX_TEXT:
        raise StoreError(
            tr("{count} characters; at most {max_text} are kept", count=len(kept), max_text=MAX_TEXT),
            subject=tr_in("subject", "text"),
        )
    return kept


def _needed(text: str) -> str:
    kept = bounded_text(text)
    if not kept:
        raise StoreError(tr("a text must say why"), subject=tr_in("subject", "review"))
    return kept


def _month_of_run(connection: Connection, run_id: int, actor: Actor) -> str:
    month = connection.execute(select(run.c.month).where(run.c.id == run_id)).scalar()
    # Before a disclosure, a plant is not told whether the run exists.
    if month is None or run_id not in disclosed_runs(connection, Month.parse(month)):
        raise Denied(tr("run {run_id} is not disclosed", run_id=run_id), subject=actor.name)
    return str(month)


def _check_request(request: ReviewRequest, month: Month) -> None:
    inside = month.interval
    if not inside.start_ms <= request.from_ms < request.to_ms <= inside.end_ms:
        raise StoreError(
            tr("the interval must lie in {month} and end after it begins", month=month),
            subject=tr_in("subject", "interval"),
        )
    if request.claim_kind not in ("yuan", "quantity"):
        raise StoreError(
            tr("expected yuan or quantity, got {claim_kind!r}", claim_kind=request.claim_kind),
            subject=tr_in("subject", "claim"),
        )
    digits = 2 if request.claim_kind == "yuan" else 6
    if not _NUMBER.match(request.claim_value) or len(request.claim_value.partition(".")[2]) > digits:
        raise StoreError(
            tr("expected a number with at most {digits} decimals", digits=digits), subject=tr_in("subject", "claim")
        )
    _needed(request.text)


def _find_line(store: CenterStore, request: ReviewRequest, actor: Actor) -> RunLine:
    for line in load_run_statement(store, request.run_id).lines:
        if (line.unit, line.service) == (request.unit, request.service) and actor.may_see(line.plant):
            return line
    # The error is the same for another plant's line and for one that does not exist.
    raise Denied(
        tr(
            "run {run_id} has no line {unit}/{service} of your plant",
            run_id=request.run_id,
            unit=request.unit,
            service=request.service,
        ),
        subject=actor.name,
    )


def _said(line: RunLine, claim_kind: str) -> str:
    if claim_kind == "quantity":
        return line.quantity
    return "" if line.amount_yuan is None else str(line.amount_yuan)


def lock_review(connection: Connection, number: int, *, actor: Actor) -> Review:
    """A review, locked until the commit; without the lock, of two acts at once one would fail midway."""
    connection.execute(select(review.c.id).where(review.c.id == number).with_for_update())
    return review_by_id(connection, number, actor=actor)


def _in_state(connection: Connection, number: int, actor: Actor, *states: ReviewState) -> Review:
    found = lock_review(connection, number, actor=actor)
    if found.state not in states:
        raise StoreError(
            tr("is {state}; this is for {names}", state=found.state, names=join(", ", states)),
            subject=tr("review {number}", number=number),
        )
    return found


def _append(
    connection: Connection,
    found: Review,
    kind: EventKind,
    *,
    actor: Actor,
    now_ms: int,
    text: str,
    document: str = "",
    due: date | None = None,
    proposal_id: int | None = None,
    links: tuple[int | None, int | None] = (None, None),
) -> None:
    """Append the next event of a review; its number is unique, so that of two appends at once the second fails."""
    values: dict[str, Any] = {
        "review_id": found.id,
        "number": len(found.events) + 1,
        "kind": str(kind),
        "at_ms": now_ms,
        "who": actor.name,
        "text": text,
        "document": document,
        "answer_due_day": None if due is None else due.isoformat(),
        "proposal_id": proposal_id,
        "link_import_id": links[0],
        "link_run_id": links[1],
    }
    connection.execute(insert(review_event).values(values))
    audit_review(connection, actor, f"review.{kind}", found.id, values, now_ms)


def audit_review(
    connection: Connection, actor: Actor, action: str, number: int, detail: dict[str, Any], now_ms: int
) -> None:
    subject = f"review {number}"
    audit.append(connection, actor=actor, action=action, subject=subject, detail=detail, now_ms=now_ms)
