# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions about a day: asked by a plant before its month is disclosed, or by the regulator at any time.

Source: Art. 27 lets a plant ask for a review of a disclosed result, and sets the center's days for that only. A
question before the disclosure has no deadline of its own (I-25): the center answers it when it can. Confirmed after the
disclosure it becomes the review of a line, whose days count from then. The regulator, who supervises (Art. 4), asks in
the same way; its questions are answered by the center and never become a review.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from sqlalchemy import Connection, func, insert, select

from collector.base.errors import Denied, StoreError
from collector.base.text import tr
from collector.center.db.store import CenterStore
from collector.center.db.tables_month import early_question, question_event
from collector.center.inputs.imports import known_register
from collector.center.inputs.names import named_plant, plant_names
from collector.center.month.questions.question_log import EarlyQuestion, QuestionState, question_by_id
from collector.center.month.reviews import ReviewRequest, bounded_text, submit_review
from collector.center.people import audit
from collector.center.people.access import Actor, Permission, Role
from collector.center.receive.keys import enrolled_units
from collector.center.runs.month_state import MonthStage, month_state
from collector.model.interval import Month, local_day
from collector.report.words import SERVICES
from collector.settlement.rulebook.calendar import DutyDays

MAX_QUESTIONS: Final = 500  # of a plant and month, so that nobody fills the store
_BEFORE: Final = (MonthStage.TRIAL, MonthStage.CORRECTION)


@dataclass(frozen=True, slots=True)
class EarlyRequest:
    """A question about a unit's local day: about one service or, where `service` is empty, all of them."""

    unit: str
    day: date
    service: str
    text: str


def ask_early(connection: Connection, request: EarlyRequest, *, actor: Actor, now_ms: int) -> int:
    """Ask about a day of a unit; returns the question's number.

    Raises:
        Denied: the role may not ask, or the unit is not of the actor's plant.
        StoreError: the day is not over or begun, the month is disclosed, or the question is invalid.
    """
    if not actor.may(Permission.REGULATE):
        actor.require(Permission.REVIEW_SUBMIT)
    role = Role.REGULATOR if actor.role is Role.REGULATOR else Role.PLANT
    plant = _plant_of(connection, request.unit, request.day)
    if plant is None or not actor.may_see(plant):
        # The error is the same for another plant's unit and for one that does not exist.
        raise Denied(
            tr("no unit {unit} of your plant on {day}", unit=request.unit[:64], day=request.day), subject=actor.name
        )
    month = Month(request.day.year, request.day.month)
    if request.day > local_day(now_ms):
        raise StoreError(tr("has not begun yet"), subject=request.day.isoformat())
    if role is Role.PLANT and month_state(connection, month).state not in _BEFORE:
        raise StoreError(tr("is disclosed: ask for the review of a line of the statement"), subject=str(month))
    if request.service and request.service not in SERVICES:
        raise StoreError(tr("there is no such service"), subject=request.service[:64])
    mine = (early_question.c.month == str(month)) & (early_question.c.plant == plant)
    if connection.execute(select(func.count()).select_from(early_question).where(mine)).scalar_one() >= MAX_QUESTIONS:
        raise StoreError(
            tr("{count} questions about {plant} in {month}: no more are taken",
               count=MAX_QUESTIONS, plant=named_plant(plant, plant_names(connection)), month=month),
            subject=plant,
        )  # fmt: skip
    values: dict[str, Any] = {
        "month": str(month),
        "plant": plant,
        "unit": request.unit,
        "day": request.day.isoformat(),
        "service": request.service,
        "text": _said(request.text),
        "role": str(role),
        "asked_by": actor.name,
        "asked_ms": now_ms,
    }
    key = connection.execute(insert(early_question).values(values)).inserted_primary_key
    assert key is not None
    _note(connection, actor, "question.ask", int(key[0]), values, now_ms)
    return int(key[0])


def answer_question(connection: Connection, number: int, *, actor: Actor, text: str, now_ms: int) -> None:
    """Answer a question; may be done again."""
    actor.require(Permission.REVIEW_ANSWER)
    found = _open(connection, number, actor)
    _append(connection, found, QuestionState.ANSWERED, actor=actor, now_ms=now_ms, text=_said(text))


def withdraw_question(connection: Connection, number: int, *, actor: Actor, text: str = "", now_ms: int) -> None:
    """Withdraw a question of one's own plant, or as the regulator one's own."""
    found = _open(connection, number, actor)
    if not actor.may(Permission.REGULATE if found.role == Role.REGULATOR else Permission.REVIEW_SUBMIT):
        raise Denied(tr("only who asked takes a question back"), subject=actor.name)
    _append(connection, found, QuestionState.WITHDRAWN, actor=actor, now_ms=now_ms, text=bounded_text(text))


def confirm_question(
    store: CenterStore, number: int, request: ReviewRequest, *, actor: Actor, days: DutyDays, now_ms: int
) -> int:
    """Request the review that a question becomes, now that its month is disclosed; returns the review's number.

    Raises:
        As `submit_review`, and StoreError: the question is closed, a regulator's, or of another unit or month.
    """
    actor.require(Permission.REVIEW_SUBMIT)
    asked = store.read(lambda c: _open(c, number, actor))
    inside = asked.month.interval
    if asked.role != Role.PLANT or asked.unit != request.unit or not inside.start_ms <= request.from_ms < inside.end_ms:
        raise StoreError(tr("was not asked about this unit and month"), subject=tr("question {number}", number=number))

    def confirm(connection: Connection, review_id: int) -> None:
        found = _open(connection, number, actor)  # again: of two confirmations at once the second is refused
        _append(
            connection, found, QuestionState.CONFIRMED, actor=actor, now_ms=now_ms, text="", review_id=review_id
        )  # fmt: skip

    return submit_review(store, request, actor=actor, days=days, now_ms=now_ms, then=confirm)


def units_to_ask_about(connection: Connection, actor: Actor, month: Month) -> dict[str, tuple[str, ...]]:
    """The units an actor may ask about, in order, each with the plants that own it on days of the month."""
    found: dict[str, tuple[str, ...]] = {}
    for unit, owners in sorted(_owners(connection).items()):
        plants = dict.fromkeys(owner for day in month.days if (owner := _owner_on(owners, day)) is not None)
        if seen := tuple(plant for plant in plants if actor.may_see(plant)):
            found[unit] = seen
    return found


def _plant_of(connection: Connection, unit: str, day: date) -> str | None:
    """The plant of a unit on a day."""
    return _owner_on(_owners(connection).get(unit, ()), day)


def _owner_on(owners: Sequence[tuple[str, date, date]], day: date) -> str | None:
    return next((plant for plant, from_day, until_day in owners if from_day <= day < until_day), None)


def _owners(connection: Connection) -> dict[str, list[tuple[str, date, date]]]:
    """The owners of each unit, with first day and day after the last; the first that fits counts.

    By the register in force; on days without an entry by center.toml, which also decides on records.
    """
    owners: dict[str, list[tuple[str, date, date]]] = {}
    known = known_register(connection)
    if known is not None and known.register is not None:
        for row in known.register.units:
            owners.setdefault(row.id, []).append((row.plant, row.from_day or date.min, row.until_day or date.max))
    for plant, units in enrolled_units(connection).items():
        for unit in units:
            owners.setdefault(unit, []).append((plant, date.min, date.max))
    return owners


def _open(connection: Connection, number: int, actor: Actor) -> EarlyQuestion:
    """An open question, locked until the commit."""
    connection.execute(select(early_question.c.id).where(early_question.c.id == number).with_for_update())
    found = question_by_id(connection, number, actor=actor)
    if not found.is_open:
        raise StoreError(tr("is closed already"), subject=tr("question {number}", number=number))
    return found


def _said(text: str) -> str:
    kept = bounded_text(text)
    if not kept:
        raise StoreError(tr("a text must say what is meant"), subject=tr("this form"))
    return kept


def _append(
    connection: Connection,
    found: EarlyQuestion,
    kind: QuestionState,
    *,
    actor: Actor,
    now_ms: int,
    text: str,
    review_id: int | None = None,
) -> None:
    """Append the next event of a question; its number is unique, so that of two appends at once the second fails."""
    values: dict[str, Any] = {
        "question_id": found.id,
        "number": len(found.events) + 1,
        "kind": str(kind),
        "at_ms": now_ms,
        "who": actor.name,
        "text": text,
        "review_id": review_id,
    }
    connection.execute(insert(question_event).values(values))
    _note(connection, actor, f"question.{kind}", found.id, values, now_ms)


def _note(connection: Connection, actor: Actor, action: str, number: int, detail: dict[str, Any], now_ms: int) -> None:
    subject = f"question {number}"
    audit.append(connection, actor=actor, action=action, subject=subject, detail=detail, now_ms=now_ms)
