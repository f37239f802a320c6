# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of questions (问询, Art. 27; I-25), read from the question and all its events."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Select, exists, select

from collector.base.errors import Missing
from collector.base.text import tr
from collector.center.db.tables_month import early_question, question_event
from collector.center.people.access import Actor, Permission, Role
from collector.model.interval import Month


class QuestionState(StrEnum):
    """The state of a question: its last event, or asked."""

    ASKED = "asked"
    ANSWERED = "answered"
    CONFIRMED = "confirmed"  # it became a review
    WITHDRAWN = "withdrawn"


QUESTION_WORDS: Final = {
    QuestionState.ASKED: ("待答复", "asked"),
    QuestionState.ANSWERED: ("已答复", "answered"),
    QuestionState.CONFIRMED: ("已转为复核申请", "became a review"),
    QuestionState.WITHDRAWN: ("已撤回", "withdrawn"),
}
_CLOSED: Final = frozenset({QuestionState.CONFIRMED, QuestionState.WITHDRAWN})


@dataclass(frozen=True, slots=True)
class QuestionEvent:
    """An event of a question. `review_id`: the review it became."""

    number: int
    kind: QuestionState
    at_ms: int
    who: str
    text: str
    review_id: int | None


@dataclass(frozen=True, slots=True)
class EarlyQuestion:
    """A question about a unit's local day, with its events. `service` is empty where all services are meant.

    `role`: plant or regulator. A plant's question may become a review, the regulator's is only answered.
    """

    id: int
    month: Month
    plant: str
    unit: str
    day: date
    service: str
    text: str
    role: str
    asked_by: str
    asked_ms: int
    events: tuple[QuestionEvent, ...]

    @property
    def state(self) -> QuestionState:
        """The present state."""
        return self.events[-1].kind if self.events else QuestionState.ASKED

    @property
    def is_open(self) -> bool:
        """True if it has neither become a review nor been withdrawn."""
        return self.state not in _CLOSED

    @property
    def review_id(self) -> int | None:
        """The review it became."""
        return self.events[-1].review_id if self.events else None

    def may_be_seen(self, actor: Actor) -> bool:
        """True if the actor may read it: a plant only its own questions, not the regulator's about it."""
        return actor.may(Permission.SEE_ALL) or (actor.may_see(self.plant) and self.role == Role.PLANT)


def list_questions(connection: Connection, *, actor: Actor, month: Month | None = None) -> list[EarlyQuestion]:
    """Questions the actor may see, oldest first; of one month where given."""
    actor.require(Permission.SEE_OWN)
    query = select(early_question)
    if month is not None:
        query = query.where(early_question.c.month == str(month))
    return [each for each in _questions(connection, query) if each.may_be_seen(actor)]


def open_questions(connection: Connection) -> list[EarlyQuestion]:
    """Open questions, oldest first, for the program's own use."""
    mine = question_event.c.question_id == early_question.c.id
    closed = exists().where(mine & question_event.c.kind.in_([str(state) for state in _CLOSED]))
    return _questions(connection, select(early_question).where(~closed))


def question_by_id(connection: Connection, number: int, *, actor: Actor) -> EarlyQuestion:
    """One question.

    Raises:
        Missing: there is none with this number, or it is another's.
    """
    actor.require(Permission.SEE_OWN)
    found = _questions(connection, select(early_question).where(early_question.c.id == number))
    if not found or not found[0].may_be_seen(actor):
        raise Missing(tr("there is none with this number"), subject=tr("question {number}", number=number))
    return found[0]


def question_of_review(connection: Connection, review_id: int) -> int | None:
    """The number of the question that a review comes from; None where there was none."""
    query = select(question_event.c.question_id).where(question_event.c.review_id == review_id)
    return connection.execute(query).scalar()


def _questions(connection: Connection, query: Select[Any]) -> list[EarlyQuestion]:
    rows = connection.execute(query.order_by(early_question.c.id)).all()
    if not rows:
        return []
    events: dict[int, list[QuestionEvent]] = defaultdict(list)
    between = question_event.c.question_id.between(rows[0].id, rows[-1].id)
    for row in connection.execute(select(question_event).where(between).order_by(question_event.c.number)):
        kind, review_id = QuestionState(row.kind), None if row.review_id is None else int(row.review_id)
        event = QuestionEvent(int(row.number), kind, int(row.at_ms), row.who, row.text, review_id)
        events[int(row.question_id)].append(event)
    return [
        EarlyQuestion(
            id=int(row.id),
            month=Month.parse(row.month),
            plant=row.plant,
            unit=row.unit,
            day=date.fromisoformat(row.day),
            service=row.service,
            text=row.text,
            role=row.role,
            asked_by=row.asked_by,
            asked_ms=int(row.asked_ms),
            events=tuple(events[int(row.id)]),
        )
        for row in rows
    ]
