# SPDX-License-Identifier: GPL-3.0-or-later
"""REST: 复核申请, from the question to the ruling, with what lies beside it."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from litestar import Response
from litestar.params import JSONBody, PathParameter, QueryParameter

from collector.base.errors import StoreError
from collector.center.month.review_files import attach
from collector.center.month.review_log import Review, list_reviews, read_attachment, review_by_id
from collector.center.month.reviews import (
    ReviewRequest,
    answer_review,
    decide_review,
    escalate_review,
    propose_decision,
    rule_on_appeal,
    submit_review,
    withdraw_review,
)
from collector.center.people.access import Permission
from collector.center.web.context import Ctx
from collector.center.web.errors import Missing
from collector.center.web.month_rules import days_of
from collector.center.web.paging import Cursor, Format, Limit, Listed, as_row, attachment, listed
from collector.center.web.routes import api_get, api_post
from collector.center.web.shapes import DecisionIn, DoneOut, Instant, NumberOut, Text
from collector.center.web.which_month import month_named

Number = Annotated[int, PathParameter(ge=1, le=2**53)]
Code = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class ReviewEventOut(msgspec.Struct, frozen=True):
    """Something that happened to a review."""

    number: int
    kind: str
    at_ms: int
    who: str
    text: str
    document: str
    proposal_id: int | None


class AttachmentOut(msgspec.Struct, frozen=True):
    """A file beside a review. `input_kind`: what it could be imported as."""

    id: int
    name: str
    media_type: str
    size_bytes: int
    input_kind: str
    added_by: str
    added_ms: int


class ReviewOut(msgspec.Struct, frozen=True):
    """A review: at which line and time it points, what is claimed, and where it stands."""

    id: int
    month: str
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
    deadline: str
    late: bool
    answer_due: str
    state: str
    events: list[ReviewEventOut]
    attachments: list[AttachmentOut]


class ReviewIn(msgspec.Struct, frozen=True):
    """A review to be asked for: a line of a disclosed run, a time, a claim and why."""

    run_id: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    unit: Code
    service: Code
    from_ms: Instant
    to_ms: Instant
    claim_kind: Literal["yuan", "quantity"]
    claim_value: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=4000)]


class TextIn(msgspec.Struct, frozen=True):
    """What is said."""

    text: Text


class OutcomeIn(msgspec.Struct, frozen=True):
    """A decision to be proposed."""

    granted: bool
    text: Text


class RulingIn(msgspec.Struct, frozen=True):
    """The regulator's ruling, with its number."""

    granted: bool
    text: Text
    document: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


@api_get("/reviews", Permission.SEE_OWN, own=True, table=True)
def reviews(
    ctx: Ctx,
    month: Annotated[str, QueryParameter(max_length=7)] = "",
    waiting: Annotated[bool, QueryParameter(description="only those that are open")] = False,
    cursor: Cursor = 0,
    limit: Limit = 100,
    format: Format = "json",  # noqa: A002
) -> Listed[ReviewOut]:
    """Reviews, oldest first; of one's own plant for a plant's user."""
    wanted = month_named(month) if month else None
    found = ctx.read(lambda c: list_reviews(c, actor=ctx.actor, month=wanted, open_only=waiting))
    rows = [review_out(each) for each in found]
    return listed(rows, row=ReviewOut, cursor=cursor, limit=limit, form=format, name="reviews")


@api_get("/reviews/{number:int}", Permission.SEE_OWN, own=True)
def one_review(ctx: Ctx, number: Number) -> ReviewOut:
    """A review."""
    try:
        return review_out(ctx.read(lambda c: review_by_id(c, number, actor=ctx.actor)))
    except StoreError as error:
        raise Missing(error.message, subject=error.subject) from error


@api_post("/reviews", Permission.REVIEW_SUBMIT, own=True)
def submit(ctx: Ctx, data: JSONBody[ReviewIn]) -> NumberOut:
    """Ask for a review of a line of one's own plant."""
    request = ReviewRequest(**{name: getattr(data, name) for name in data.__struct_fields__})
    return NumberOut(submit_review(ctx.store, request, actor=ctx.actor, days=days_of(ctx), now_ms=ctx.now_ms))


@api_post("/reviews/{number:int}/answer", Permission.REVIEW_ANSWER)
def answer(ctx: Ctx, number: Number, data: JSONBody[TextIn]) -> DoneOut:
    """Answer what was asked."""
    ctx.write(lambda c: answer_review(c, number, actor=ctx.actor, text=data.text, now_ms=ctx.now_ms))
    return DoneOut()


@api_post("/reviews/{number:int}/decision", Permission.REVIEW_ANSWER)
def propose(ctx: Ctx, number: Number, data: JSONBody[OutcomeIn]) -> NumberOut:
    """Prepare the decision; another person approves the proposal."""
    return NumberOut(
        ctx.write(
            lambda c: propose_decision(
                c, number, actor=ctx.actor, granted=data.granted, text=data.text, now_ms=ctx.now_ms
            )
        )
    )


@api_post("/review-proposals/{number:int}/decide", Permission.APPROVE)
def decide(ctx: Ctx, number: Number, data: JSONBody[DecisionIn]) -> ReviewOut:
    """Approve the proposed decision of a review, or send it back."""
    return review_out(
        ctx.write(
            lambda c: decide_review(
                c, number, actor=ctx.actor, approved=data.granted, note=data.note, now_ms=ctx.now_ms
            )
        )
    )


@api_post("/reviews/{number:int}/appeal", Permission.REVIEW_SUBMIT, own=True)
def appeal(ctx: Ctx, number: Number, data: JSONBody[TextIn]) -> DoneOut:
    """Appeal to the regulator."""
    ctx.write(lambda c: escalate_review(c, number, actor=ctx.actor, text=data.text, now_ms=ctx.now_ms))
    return DoneOut()


@api_post("/reviews/{number:int}/ruling", Permission.REGULATE)
def rule(ctx: Ctx, number: Number, data: JSONBody[RulingIn]) -> DoneOut:
    """Decide an appeal as the regulator."""
    ctx.write(
        lambda c: rule_on_appeal(
            c, number, actor=ctx.actor, granted=data.granted, text=data.text, document=data.document,
            now_ms=ctx.now_ms,
        )
    )  # fmt: skip
    return DoneOut()


@api_post("/reviews/{number:int}/withdraw", Permission.REVIEW_SUBMIT, own=True)
def withdraw(ctx: Ctx, number: Number, data: JSONBody[TextIn]) -> DoneOut:
    """Take a review of one's own plant back."""
    ctx.write(lambda c: withdraw_review(c, number, actor=ctx.actor, text=data.text, now_ms=ctx.now_ms))
    return DoneOut()


@api_post("/reviews/{number:int}/attachments", Permission.SEE_OWN, own=True, upload=True)
def attach_file(
    ctx: Ctx,
    number: Number,
    name: Annotated[str, QueryParameter(min_length=1, max_length=200, description="file name, with its ending")],
    input_kind: Annotated[str, QueryParameter(max_length=40, description="what it could be imported as")] = "",
) -> NumberOut:
    """Put the file that is the body of this request beside a review."""
    return NumberOut(
        ctx.write(
            lambda c: attach(
                c, number, actor=ctx.actor, name=name, data=ctx.body, input_kind=input_kind, now_ms=ctx.now_ms
            )
        )
    )


@api_get("/attachments/{number:int}/file", Permission.SEE_OWN, own=True, media_type="application/octet-stream")
def attachment_file(ctx: Ctx, number: Number) -> Response[bytes]:
    """A file that lies beside a review."""
    try:
        facts, data = ctx.read(lambda c: read_attachment(c, number, actor=ctx.actor))
    except StoreError as error:
        raise Missing(error.message, subject=error.subject) from error
    # Never shown by a browser as what it claims to be.
    return attachment(data, facts.name, "application/octet-stream")


def review_out(found: Review) -> ReviewOut:
    """A review with what happened to it."""
    return as_row(
        ReviewOut,
        found,
        events=[as_row(ReviewEventOut, each) for each in found.events],
        attachments=[as_row(AttachmentOut, each) for each in found.attachments],
    )


ROUTES: Final = [
    reviews, one_review, submit, answer, propose, decide, appeal, rule, withdraw, attach_file, attachment_file,
]  # fmt: skip
