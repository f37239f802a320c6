# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of reviews (复核申请, Art. 27), read from the request and all its events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, select

from collector.base.errors import Denied, Missing
from collector.base.text import tr
from collector.center.db.tables_month import attachment, review, review_event
from collector.center.db.views import once_a_view
from collector.center.inputs.imports import known_register
from collector.center.people.access import Actor, Permission
from collector.model.interval import Month


class EventKind(StrEnum):
    """The kinds of event of a review."""

    ADMITTED = "admitted"  # a late review is examined after all
    ANSWERED = "answered"
    GRANTED = "granted"
    REFUSED = "refused"
    APPEALED = "appealed"
    RULED_GRANTED = "ruled_granted"
    RULED_REFUSED = "ruled_refused"
    WITHDRAWN = "withdrawn"
    TRIED = "tried"  # a what-if run showed the effect of granting it
    CARRIED_OUT = "carried_out"  # an import or a run carried it out


class ReviewState(StrEnum):
    """The states of a review."""

    LATE = "late"
    ASKED = "asked"
    ANSWERED = "answered"
    GRANTED = "granted"
    REFUSED = "refused"
    APPEALED = "appealed"
    RULED_GRANTED = "ruled_granted"
    RULED_REFUSED = "ruled_refused"
    WITHDRAWN = "withdrawn"


REVIEW_WORDS: Final = {
    ReviewState.LATE: ("逾期", "late"),
    ReviewState.ASKED: ("待答复", "asked"),
    ReviewState.ANSWERED: ("已答复", "answered"),
    ReviewState.GRANTED: ("准予", "granted"),
    ReviewState.REFUSED: ("不予支持", "refused"),
    ReviewState.APPEALED: ("已申诉", "appealed"),
    ReviewState.RULED_GRANTED: ("裁决准予", "granted by ruling"),
    ReviewState.RULED_REFUSED: ("裁决不予支持", "refused by ruling"),
    ReviewState.WITHDRAWN: ("已撤回", "withdrawn"),
}
# These events do not change the state.
_BESIDE: Final = frozenset({EventKind.TRIED, EventKind.CARRIED_OUT})
GRANTED_STATES: Final = frozenset({ReviewState.GRANTED, ReviewState.RULED_GRANTED})
REMEDY: Final = "remedy"
_UNDECIDED: Final = frozenset({ReviewState.ASKED, ReviewState.ANSWERED, ReviewState.APPEALED})


@dataclass(frozen=True, slots=True)
class ReviewEvent:
    """An event of a review."""

    number: int
    kind: EventKind
    at_ms: int
    who: str
    text: str
    document: str
    proposal_id: int | None
    link_import_id: int | None
    link_run_id: int | None


@dataclass(frozen=True, slots=True)
class AttachmentFacts:
    """An attachment of a review, without its bytes. `input_kind`: for a remedy, the kind of its import."""

    id: int
    purpose: str
    input_kind: str
    name: str
    media_type: str
    size_bytes: int
    sha256: str
    added_by: str
    added_ms: int


@dataclass(frozen=True, slots=True)
class Review:
    """A request to review a line of a disclosed run, with its events.

    `claim_kind`: yuan or quantity; `line_value`: the run's value of it. `answer_due` moves when a late review is
    admitted. `office`: the one that rules on a dispute about it, from the register in force for the area (Art. 29);
    else empty.
    """

    id: int
    month: Month
    edition: int
    run_id: int
    area: str
    plant: str
    unit: str
    service: str
    from_ms: int
    to_ms: int
    claim_kind: str
    claim_value: str
    claim_unit: str
    line_value: str
    text: str
    submitted_by: str
    submitted_ms: int
    deadline: date
    late: bool
    answer_due: date
    state: ReviewState
    events: tuple[ReviewEvent, ...]
    attachments: tuple[AttachmentFacts, ...]
    office: str

    @property
    def answered_ms(self) -> int | None:
        """The time of its first answer."""
        return next((e.at_ms for e in self.events if e.kind is EventKind.ANSWERED), None)

    @property
    def carried_out(self) -> bool:
        """True if a granted review was carried out."""
        return any(event.kind is EventKind.CARRIED_OUT for event in self.events)

    @property
    def is_open(self) -> bool:
        """True if something is still to be decided or carried out."""
        return self.state in _UNDECIDED or (self.state in GRANTED_STATES and not self.carried_out)


def list_reviews(
    connection: Connection, *, actor: Actor, month: Month | None = None, open_only: bool = False
) -> list[Review]:
    """Reviews the actor may see, oldest first; of one month where given."""
    actor.require(Permission.SEE_OWN)
    found = [r for r in all_reviews(connection, month) if actor.may_see(r.plant)]
    return [r for r in found if r.is_open] if open_only else found


def review_by_id(connection: Connection, number: int, *, actor: Actor) -> Review:
    """One review.

    Raises:
        Missing: there is none with this number, or it is another plant's.
    """
    actor.require(Permission.SEE_OWN)
    found = _reviews(connection, review.c.id == number)
    if not found or not actor.may_see(found[0].plant):
        raise Missing(tr("there is none with this number"), subject=tr("review {number}", number=number))
    return found[0]


def read_attachment(connection: Connection, number: int, *, actor: Actor) -> tuple[AttachmentFacts, bytes]:
    """An attachment and its bytes.

    Raises:
        Missing: there is none with this number, or it belongs to another plant's review.
        Denied: it is a remedy, which no plant reads.
    """
    actor.require(Permission.SEE_OWN)
    query = (
        select(attachment, review.c.plant)
        .join(review, review.c.id == attachment.c.review_id)
        .where(attachment.c.id == number)
    )
    row = connection.execute(query).one_or_none()
    if row is None or not actor.may_see(row.plant):
        raise Missing(tr("there is none with this number"), subject=tr("attachment {number}", number=number))
    if row.purpose == REMEDY and not actor.may(Permission.SEE_ALL):
        raise Denied(tr("a remedy may hold rows of other plants"), subject=actor.name)
    return _attachment(row), bytes(row.bytes)


def all_reviews(connection: Connection, month: Month | None = None) -> list[Review]:
    """Reviews of a month or of all, oldest first, for the program's own use."""
    return [*_all_reviews(connection, month)]


@once_a_view
def _all_reviews(connection: Connection, month: Month | None) -> tuple[Review, ...]:
    return tuple(_reviews(connection, None if month is None else review.c.month == str(month)))


def _reviews(connection: Connection, where: Any) -> list[Review]:
    query = select(review).order_by(review.c.id)
    rows = connection.execute(query if where is None else query.where(where)).all()
    if not rows:
        return []
    first, last = int(rows[0].id), int(rows[-1].id)
    events: dict[int, list[Any]] = defaultdict(list)
    between = review_event.c.review_id.between(first, last)
    for row in connection.execute(select(review_event).where(between).order_by(review_event.c.number)):
        events[int(row.review_id)].append(row)
    files: dict[int, list[AttachmentFacts]] = defaultdict(list)
    columns = [column for column in attachment.c if column.name != "bytes"]
    query = select(*columns).where(attachment.c.review_id.between(first, last)).order_by(attachment.c.id)
    for row in connection.execute(query):
        files[int(row.review_id)].append(_attachment(row))
    offices = _offices(connection)
    return [_review(row, events[int(row.id)], files[int(row.id)], offices.get(row.area, "")) for row in rows]


def _offices(connection: Connection) -> dict[str, str]:
    """The office that rules on disputes, by area, from the register: the area's last row that names one."""
    known = known_register(connection)
    states = () if known is None or known.register is None else known.register.areas
    return {state.id: state.regulator for state in states if state.regulator}


def _review(row: Any, events: list[Any], files: list[AttachmentFacts], office: str) -> Review:
    moved = [event.answer_due_day for event in events if event.answer_due_day]
    return Review(
        id=int(row.id),
        month=Month.parse(row.month),
        edition=int(row.edition),
        run_id=int(row.run_id),
        area=row.area,
        plant=row.plant,
        unit=row.unit,
        service=row.service,
        from_ms=int(row.from_ms),
        to_ms=int(row.to_ms),
        claim_kind=row.claim_kind,
        claim_value=row.claim_value,
        claim_unit=row.claim_unit,
        line_value=row.line_value,
        text=row.text,
        submitted_by=row.submitted_by,
        submitted_ms=int(row.submitted_ms),
        deadline=date.fromisoformat(row.deadline_day),
        late=bool(row.late),
        answer_due=date.fromisoformat(moved[-1] if moved else row.answer_due_day),
        state=state_after(bool(row.late), [EventKind(event.kind) for event in events]),
        events=tuple(_event(event) for event in events),
        attachments=tuple(files),
        office=office,
    )


def state_after(late: bool, kinds: Collection[EventKind]) -> ReviewState:
    """The state of a review after its events."""
    state = ReviewState.LATE if late else ReviewState.ASKED
    for kind in kinds:
        if kind is EventKind.ADMITTED:
            state = ReviewState.ASKED
        elif kind not in _BESIDE:
            state = ReviewState(kind.value)
    return state


def _event(row: Any) -> ReviewEvent:
    def number(value: Any) -> int | None:
        return None if value is None else int(value)

    return ReviewEvent(
        number=int(row.number),
        kind=EventKind(row.kind),
        at_ms=int(row.at_ms),
        who=row.who,
        text=row.text,
        document=row.document,
        proposal_id=number(row.proposal_id),
        link_import_id=number(row.link_import_id),
        link_run_id=number(row.link_run_id),
    )


def _attachment(row: Any) -> AttachmentFacts:
    return AttachmentFacts(
        id=int(row.id),
        purpose=row.purpose,
        input_kind=row.input_kind,
        name=row.name,
        media_type=row.media_type,
        size_bytes=int(row.size_bytes),
        sha256=row.sha256,
        added_by=row.added_by,
        added_ms=int(row.added_ms),
    )
