# SPDX-License-Identifier: GPL-3.0-or-later
"""REST: questions about a day, asked before its month is disclosed; `/reviews` takes one that is confirmed."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Final

import msgspec
from litestar.params import JSONBody, PathParameter, QueryParameter

from collector.center.month.questions.early_questions import (
    EarlyRequest,
    answer_question,
    ask_early,
    withdraw_question,
)
from collector.center.month.questions.question_log import EarlyQuestion, list_questions, question_by_id
from collector.center.people.access import Permission
from collector.center.web.context import Ctx
from collector.center.web.paging import Listed, Listing, as_row
from collector.center.web.routes import api_get, api_post
from collector.center.web.shapes import DoneOut, NumberOut, Text
from collector.center.web.which_month import month_named

Number = Annotated[int, PathParameter(ge=1, le=2**53)]


class QuestionEventOut(msgspec.Struct, frozen=True):
    """Something that happened to a question. `review_id`: the review it became."""

    number: int
    kind: str
    at_ms: int
    who: str
    text: str
    review_id: int | None


class QuestionOut(msgspec.Struct, frozen=True):
    """A question about a unit's local day. `service`: empty where all are meant; `role`: plant or regulator."""

    id: int
    month: str
    plant: str
    unit: str
    day: str
    service: str
    text: str
    role: str
    asked_by: str
    asked_ms: int
    state: str
    review_id: int | None
    events: list[QuestionEventOut]


class QuestionIn(msgspec.Struct, frozen=True):
    """A question to be asked: a unit, a local day, why; and which service, where one is meant."""

    unit: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    day: date
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=4000)]
    service: Annotated[str, msgspec.Meta(max_length=64)] = ""


class SaidIn(msgspec.Struct, frozen=True):
    """An answer or remark to a question."""

    text: Text


@api_get("/questions", Permission.SEE_OWN, own=True, table=True)
def questions(
    ctx: Ctx,
    listing: Listing,
    month: Annotated[str, QueryParameter(max_length=7)] = "",
    waiting: Annotated[bool, QueryParameter(description="only those that are open")] = False,
) -> Listed[QuestionOut]:
    """Questions, oldest first; a plant's user sees those of its own plant."""
    wanted = month_named(month) if month else None
    found = ctx.read(lambda c: list_questions(c, actor=ctx.actor, month=wanted))
    return listing.of([_out(each) for each in found if each.is_open or not waiting], QuestionOut, "questions")


@api_get("/questions/{number:int}", Permission.SEE_OWN, own=True)
def one_question(ctx: Ctx, number: Number) -> QuestionOut:
    """A question with its answers."""
    return _out(ctx.read(lambda c: question_by_id(c, number, actor=ctx.actor)))


@api_post("/questions", Permission.SEE_OWN, own=True)
def ask(ctx: Ctx, data: JSONBody[QuestionIn]) -> NumberOut:
    """Ask about a day of a unit: a plant before its month is disclosed, the regulator at any time."""
    request = EarlyRequest(data.unit, data.day, data.service, data.text)
    return NumberOut(ctx.write(lambda c: ask_early(c, request, actor=ctx.actor, now_ms=ctx.now_ms)))


@api_post("/questions/{number:int}/answer", Permission.REVIEW_ANSWER)
def answer_one(ctx: Ctx, number: Number, data: JSONBody[SaidIn]) -> DoneOut:
    """Answer a question."""
    ctx.write(lambda c: answer_question(c, number, actor=ctx.actor, text=data.text, now_ms=ctx.now_ms))
    return DoneOut()


@api_post("/questions/{number:int}/withdraw", Permission.SEE_OWN, own=True)
def withdraw_one(ctx: Ctx, number: Number, data: JSONBody[SaidIn]) -> DoneOut:
    """Take one's own question back."""
    ctx.write(lambda c: withdraw_question(c, number, actor=ctx.actor, text=data.text, now_ms=ctx.now_ms))
    return DoneOut()


def _out(found: EarlyQuestion) -> QuestionOut:
    return as_row(QuestionOut, found, events=[as_row(QuestionEventOut, each) for each in found.events])


ROUTES: Final = [questions, one_question, ask, answer_one, withdraw_one]
