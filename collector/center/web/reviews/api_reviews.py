# SPDX-License-Identifier: GPL-3.0-or-later
"""REST: 复核申请, from the question to the ruling, with what lies beside it."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from litestar import Response
from litestar.params import JSONBody, PathParameter, QueryParameter

from collector.center.month.questions.early_questions import confirm_question
from collector.center.month.review_files import attach, carry_out
from collector.center.month.review_log import Review, list_reviews, read_attachment, review_by_id
from collector.center.month.reviews import (
    ReviewRequest,
    admit_review,
    answer_review,
    decide_review,
    escalate_review,
    link_remedy,
    propose_decision,
    rule_on_appeal,
    submit_review,
    withdraw_review,
)
from collector.center.people.access import Permission
from collector.center.web.context import Ctx
from collector.center.web.month_rules import days_of, rules_of_inputs
from collector.center.web.paging import Listed, Listing, as_row, attachment
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
    """A review: at which line and time it points, what is claimed, and where it stands.

    `office`: who rules on a dispute about it (Art. 29), as the register names it for the area; else empty.
    """

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
    office: str


class ReviewIn(msgspec.Struct, frozen=True):
    """A review to be asked for: a line of a disclosed run, a time, a claim and why.

    `question`: asked before the disclosure, which becomes this review.
    """

    run_id: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    unit: Code
    service: Code
    from_ms: Instant
    to_ms: Instant
    claim_kind: Literal["yuan", "quantity"]
    claim_value: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=4000)]
    question: Annotated[int, msgspec.Meta(ge=1, le=2**53)] | None = None


class TextIn(msgspec.Struct, frozen=True):
    """A text, such as an answer."""

    text: Text


class CarriedOutIn(msgspec.Struct, frozen=True):
    """The import or run that carried out a granted review."""

    import_id: Annotated[int, msgspec.Meta(ge=1, le=2**53)] | None = None
    run_id: Annotated[int, msgspec.Meta(ge=1, le=2**53)] | None = None
    text: Annotated[str, msgspec.Meta(max_length=4000)] = ""


class OutcomeIn(msgspec.Struct, frozen=True):
    """A decision to be proposed."""

    granted: bool
    text: Text


class RulingIn(msgspec.Struct, frozen=True):
    """The regulator's ruling, with its number.

    `appeal`: of the plant's letter, where it appealed to the regulator itself and not by way of the center.
    """

    granted: bool
    text: Text
    document: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    appeal: Annotated[str, msgspec.Meta(max_length=255)] = ""


@api_get("/reviews", Permission.SEE_OWN, own=True, table=True)
def reviews(
    ctx: Ctx,
    listing: Listing,
    month: Annotated[str, QueryParameter(max_length=7)] = "",
    waiting: Annotated[bool, QueryParameter(description="only those that are open")] = False,
) -> Listed[ReviewOut]:
    """Reviews, oldest first; of one's own plant for a plant's user."""
    wanted = month_named(month) if month else None
    found = ctx.read(lambda c: list_reviews(c, actor=ctx.actor, month=wanted, open_only=waiting))
    rows = [review_out(each) for each in found]
    return listing.of(rows, ReviewOut, "reviews")


@api_get("/reviews/{number:int}", Permission.SEE_OWN, own=True)
def one_review(ctx: Ctx, number: Number) -> ReviewOut:
    """A review."""
    return review_out(ctx.read(lambda c: review_by_id(c, number, actor=ctx.actor)))


@api_post("/reviews", Permission.REVIEW_SUBMIT, own=True)
def submit(ctx: Ctx, data: JSONBody[ReviewIn]) -> NumberOut:
    """Ask for a review of a line of one's own plant."""
    fields = {name: getattr(data, name) for name in data.__struct_fields__ if name != "question"}
    request, days, question = ReviewRequest(**fields), days_of(ctx), data.question
    if question is None:
        return NumberOut(submit_review(ctx.store, request, actor=ctx.actor, days=days, now_ms=ctx.now_ms))
    return NumberOut(confirm_question(ctx.store, question, request, actor=ctx.actor, days=days, now_ms=ctx.now_ms))


@api_post("/reviews/{number:int}/admit", Permission.REVIEW_ANSWER)
def admit(ctx: Ctx, number: Number, data: JSONBody[TextIn]) -> DoneOut:
    """Examine a review that was asked late, with the reason."""
    days = days_of(ctx)
    ctx.write(lambda c: admit_review(c, number, actor=ctx.actor, reason=data.text, days=days, now_ms=ctx.now_ms))
    return DoneOut()


@api_post("/reviews/{number:int}/remedy", Permission.IMPORT)
def remedy(ctx: Ctx, number: Number) -> ReviewOut:
    """Import what a granted review asks for, and say that it was carried out."""
    carry_out(ctx.store, number, actor=ctx.actor, rules=rules_of_inputs(ctx), now_ms=ctx.now_ms)
    return one_of(ctx, number)


@api_post("/reviews/{number:int}/carried-out", Permission.PREPARE)
def carried_out(ctx: Ctx, number: Number, data: JSONBody[CarriedOutIn]) -> ReviewOut:
    """Name the import, or the run, that did what was granted."""
    ctx.write(
        lambda c: link_remedy(
            c, number, actor=ctx.actor, import_id=data.import_id, run_id=data.run_id, text=data.text,
            now_ms=ctx.now_ms,
        )
    )  # fmt: skip
    return one_of(ctx, number)


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
            now_ms=ctx.now_ms, appeal=data.appeal,
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
    facts, data = ctx.read(lambda c: read_attachment(c, number, actor=ctx.actor))
    # Never shown by a browser as what it claims to be.
    return attachment(data, facts.name, "application/octet-stream")


def one_of(ctx: Ctx, number: int) -> ReviewOut:
    """A review as it stands."""
    return review_out(ctx.read(lambda c: review_by_id(c, number, actor=ctx.actor)))


def review_out(found: Review) -> ReviewOut:
    """A review with what happened to it."""
    return as_row(
        ReviewOut,
        found,
        events=[as_row(ReviewEventOut, each) for each in found.events],
        attachments=[as_row(AttachmentOut, each) for each in found.attachments],
    )


ROUTES: Final = [
    reviews, one_review, submit, admit, remedy, carried_out, answer, propose, decide, appeal, rule, withdraw,
    attach_file, attachment_file,
]  # fmt: skip
