# SPDX-License-Identifier: GPL-3.0-or-later
"""Reviews (复核申请): the inbox of a month, one review with all that happened to it, asking for one (Art. 27, 29)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Final

from litestar import Response
from litestar.params import FromPath, QueryParameter

from collector.base.errors import ConfigError, Problem, StoreError
from collector.base.text import tr, tr_in
from collector.center.inputs.imports import ALL_KINDS
from collector.center.month.attachments import MAX_FILES, check_attachment
from collector.center.month.questions.early_questions import confirm_question
from collector.center.month.questions.question_log import question_of_review
from collector.center.month.review_files import attach, carry_out
from collector.center.month.review_log import (
    GRANTED_STATES,
    REVIEW_WORDS,
    Review,
    ReviewState,
    list_reviews,
    read_attachment,
    review_by_id,
)
from collector.center.month.reviews import (
    ReviewRequest,
    admit_review,
    answer_review,
    decide_review,
    escalate_review,
    link_remedy,
    may_be_appealed,
    propose_decision,
    rule_on_appeal,
    submit_review,
    withdraw_review,
)
from collector.center.people import four_eyes
from collector.center.people.access import Permission
from collector.center.runs.month_state import visible_run
from collector.center.web.context import Context, Ctx, Page, words_of
from collector.center.web.listing import ListColumn, list_page
from collector.center.web.month_rules import days_of, rules_of_inputs
from collector.center.web.paging import attachment
from collector.center.web.render import NavEntry
from collector.center.web.routes import action, page
from collector.center.web.which_month import month_named
from collector.model.interval import local_day, parse_time_ms
from collector.settlement.rulebook.articles import clauses_cited

_OFFSET: Final = "+08:00"


@page("/months/{month:str}/reviews", Permission.SEE_OWN, own=True)
def reviews_page(
    ctx: Ctx,
    month: FromPath[str],
    all_of_them: Annotated[bool, QueryParameter(name="all")] = False,
) -> Page | Response[bytes]:
    """The reviews of a month, those that wait for something first; a plant's user sees its own."""
    wanted = month_named(month)
    found = ctx.read(lambda c: list_reviews(c, actor=ctx.actor, month=wanted))
    shown = [r for r in found if all_of_them or r.is_open or r.state is ReviewState.LATE]
    today, state_words = local_day(ctx.now_ms), _state_words(ctx)

    def overdue(review: Review) -> str:
        late = review.is_open and review.state is ReviewState.ASKED and today > review.answer_due
        return f"{review.answer_due}" + (f" {tr('overdue').into(ctx.language)}" if late else "")

    columns = (
        ListColumn("id", tr("No."), "n", href=lambda r: f"/months/{wanted}/reviews/{r.id}"),
        ListColumn("plant", tr("Plant"), "plant", choose=True),
        ListColumn("unit", tr("Unit"), choose=True),
        ListColumn("service", tr("Service"), words="SERVICES", choose=True),
        ListColumn("from_ms", tr_in("stretch", "From"), "time"),
        ListColumn("to_ms", tr_in("stretch", "To"), "time"),
        ListColumn("line_value", tr("The run says"), "n"),
        ListColumn("claim_value", tr("Claimed"), "n"),
        ListColumn("claim_unit", tr_in("measure", "Unit"), choose=True),
        ListColumn("submitted_ms", tr("Asked"), "time"),
        ListColumn("answer_due", tr("Answer due"), value=overdue),
        ListColumn("state", tr("State"), choose=True, value=lambda r: state_words[str(r.state)]),
    )
    return list_page(
        ctx,
        "reviews.html",
        columns,
        sorted(shown, key=lambda r: (r.answer_due, r.id)),
        name=f"{wanted}-reviews",
        month=wanted,
        all_of_them=all_of_them,
        run_id=ctx.read(lambda c: visible_run(c, wanted, ctx.actor)),
    )


def _state_words(ctx: Context) -> Mapping[str, str]:
    return {str(state): words_of(ctx, words) for state, words in REVIEW_WORDS.items()}


@action("/months/{month:str}/reviews", Permission.REVIEW_SUBMIT, own=True, upload=True)
def ask_action(ctx: Ctx, month: FromPath[str]) -> Page:
    """Ask for a review, with evidence attached; `submit_review` refuses lines of other plants."""
    form = ctx.form
    files = ctx.uploads("file")
    for name, data in files:  # before anything is asked: a refused file leaves no half of it
        check_attachment(name, data)
    if len(files) > MAX_FILES:
        raise StoreError(tr("at most {count} files", count=MAX_FILES), subject=tr_in("subject", "file"))
    request = ReviewRequest(
        run_id=ctx.number("run"),
        unit=form.get("unit", ""),
        service=form.get("service", ""),
        from_ms=_instant(form.get("from", "")),
        to_ms=_instant(form.get("to", "")),
        claim_kind=form.get("claim_kind", ""),
        claim_value=form.get("claim_value", ""),
        text=form.get("text", ""),
    )
    question, days = ctx.number_or_none("question"), days_of(ctx)
    if question is None:
        number = submit_review(ctx.store, request, actor=ctx.actor, days=days, now_ms=ctx.now_ms)
    else:
        number = confirm_question(ctx.store, question, request, actor=ctx.actor, days=days, now_ms=ctx.now_ms)
    for name, data in files:
        ctx.write(partial(attach, number=number, actor=ctx.actor, name=name, data=data, now_ms=ctx.now_ms))
    return ctx.redirect(f"/months/{month_named(month)}/reviews/{number}", notice="review_asked")


def _instant(text: str) -> int:
    """A local time as a browser's field gives it."""
    try:
        return parse_time_ms((text if text.count(":") > 1 else f"{text}:00") + _OFFSET)
    except ValueError as error:
        raise StoreError(tr("expected a date and a time"), subject=text[:40]) from error


@page("/months/{month:str}/reviews/{number:int}", Permission.SEE_OWN, own=True)
def review_page(ctx: Ctx, month: FromPath[str], number: FromPath[int]) -> Page:
    """A review with everything said and done about it."""
    found = ctx.read(lambda c: review_by_id(c, number, actor=ctx.actor))
    subject = f"review {number}"
    waiting = ctx.read(lambda c: four_eyes.list_proposals(c, kind="review_decision", subject=subject, open_only=True))
    return ctx.page(
        "review.html",
        month=month_named(month),
        review=found,
        state_words=_state_words(ctx),
        proposal=waiting[0] if waiting and ctx.actor.may(Permission.SEE_ALL) else None,
        today=local_day(ctx.now_ms),
        can=_can(ctx, found),
        kinds=ALL_KINDS,
        question=ctx.read(lambda c: question_of_review(c, number)),
        clauses=clauses_cited("27, 29"),
    )


def _can(ctx: Context, found: Review) -> frozenset[str]:
    """The actions this person may take on a review in its present state; they are checked again when carried out."""
    state, may = found.state, ctx.actor.may
    undecided, disputed = state in (ReviewState.ASKED, ReviewState.ANSWERED), may_be_appealed(found, ctx.now_ms)
    possible = {
        "admit": may(Permission.REVIEW_ANSWER) and state is ReviewState.LATE,
        "answer": may(Permission.REVIEW_ANSWER) and undecided,
        "decide": may(Permission.APPROVE) and undecided,
        "appeal": may(Permission.REVIEW_SUBMIT) and disputed,
        "rule": may(Permission.REGULATE) and (state is ReviewState.APPEALED or disputed),
        "withdraw": may(Permission.REVIEW_SUBMIT)
        and state in (ReviewState.LATE, ReviewState.ASKED, ReviewState.ANSWERED, ReviewState.APPEALED),
        "import": may(Permission.IMPORT) and may(Permission.PREPARE) and state in GRANTED_STATES
        and not found.carried_out and any(a.purpose == "remedy" for a in found.attachments),
        "carry_out": may(Permission.PREPARE) and state in GRANTED_STATES and not found.carried_out,
        "attach": (may(Permission.REVIEW_ANSWER) or may(Permission.REVIEW_SUBMIT))
        and (found.is_open or state is ReviewState.LATE),
        "remedy": may(Permission.REVIEW_ANSWER) and (found.is_open or state is ReviewState.LATE),
        "try": may(Permission.SETTLE) and any(a.purpose == "remedy" for a in found.attachments),
    }  # fmt: skip
    return frozenset(name for name, allowed in possible.items() if allowed)


@action("/reviews/{number:int}/answer", Permission.REVIEW_ANSWER)
def answer_action(ctx: Ctx, number: FromPath[int]) -> Page:
    """Answer, propose a decision, or take a late one: what an operator does."""
    text, do = ctx.form.get("text", ""), ctx.chosen("do", "admit", "answer", "grant", "refuse")
    actor, now_ms = ctx.actor, ctx.now_ms
    if do == "admit":
        ctx.write(lambda c: admit_review(c, number, actor=actor, reason=text, days=days_of(ctx), now_ms=now_ms))
    elif do in ("grant", "refuse"):
        granted = do == "grant"
        ctx.write(lambda c: propose_decision(c, number, actor=actor, granted=granted, text=text, now_ms=now_ms))
    else:
        ctx.write(lambda c: answer_review(c, number, actor=actor, text=text, now_ms=now_ms))
    return _back(ctx, number)


@action("/reviews/decide", Permission.APPROVE)
def decide_action(ctx: Ctx) -> Page:
    """Approve the proposed decision or send it back, as another person."""
    proposal = ctx.number("proposal")
    approved = ctx.chosen("decision", "approve", "refuse") == "approve"
    note = ctx.form.get("note", "")
    decided = ctx.write(
        lambda c: decide_review(c, proposal, actor=ctx.actor, approved=approved, note=note, now_ms=ctx.now_ms)
    )
    return _back(ctx, decided.id)


@action("/reviews/{number:int}/appeal", Permission.REVIEW_SUBMIT, own=True)
def appeal_action(ctx: Ctx, number: FromPath[int]) -> Page:
    """Appeal to the regulator, or take the review back: what the plant does."""
    text = ctx.form.get("text", "")
    if ctx.chosen("do", "appeal", "withdraw") == "withdraw":
        ctx.write(lambda c: withdraw_review(c, number, actor=ctx.actor, text=text, now_ms=ctx.now_ms))
    else:
        ctx.write(lambda c: escalate_review(c, number, actor=ctx.actor, text=text, now_ms=ctx.now_ms))
    return _back(ctx, number)


@action("/reviews/{number:int}/rule", Permission.REGULATE)
def rule_action(ctx: Ctx, number: FromPath[int]) -> Page:
    """Rule on an appeal as the regulator."""
    granted = ctx.chosen("decision", "grant", "refuse") == "grant"
    ctx.write(
        lambda c: rule_on_appeal(
            c, number, actor=ctx.actor, granted=granted, text=ctx.form.get("text", ""),
            document=ctx.form.get("document", ""), now_ms=ctx.now_ms, appeal=ctx.form.get("appeal", ""),
        )
    )  # fmt: skip
    return _back(ctx, number)


@action("/reviews/{number:int}/carried-out", Permission.PREPARE)
def carried_out_action(ctx: Ctx, number: FromPath[int]) -> Page:
    """Name the import or run that did what was granted."""
    import_id, run_id, text = ctx.number_or_none("import_id"), ctx.number_or_none("run_id"), ctx.form.get("text", "")
    ctx.write(
        lambda c: link_remedy(
            c, number, actor=ctx.actor, import_id=import_id, run_id=run_id, text=text, now_ms=ctx.now_ms
        )
    )  # fmt: skip
    return _back(ctx, number)


@action("/reviews/{number:int}/remedy", Permission.IMPORT)
def remedy_action(ctx: Ctx, number: FromPath[int]) -> Page:
    """Import what a granted review asks for, and say that it was carried out."""
    carry_out(ctx.store, number, actor=ctx.actor, rules=rules_of_inputs(ctx), now_ms=ctx.now_ms)
    return _back(ctx, number)


@action("/reviews/{number:int}/files", Permission.SEE_OWN, own=True, upload=True)
def attach_action(ctx: Ctx, number: FromPath[int]) -> Page:
    """Put a file beside a review: evidence, or the remedy as a file to import."""
    name, data = ctx.upload("file")
    if not data:
        raise ConfigError([Problem(name or "file", 0, "", tr("empty, or none was chosen"))])
    kind = ctx.form.get("input_kind", "")
    ctx.write(lambda c: attach(c, number, actor=ctx.actor, name=name, data=data, now_ms=ctx.now_ms, input_kind=kind))
    return _back(ctx, number)


@page("/reviews/files/{number:int}", Permission.SEE_OWN, own=True)
def attached_file(ctx: Ctx, number: FromPath[int]) -> Response[bytes]:
    """A file beside a review."""
    facts, data = ctx.read(lambda c: read_attachment(c, number, actor=ctx.actor))
    return attachment(data, facts.name, facts.media_type)


def _back(ctx: Context, number: int) -> Page:
    found = ctx.read(lambda c: review_by_id(c, number, actor=ctx.actor))
    return ctx.redirect(f"/months/{found.month}/reviews/{number}", notice="review_noted")


NAVIGATION: Final = (NavEntry(tr("Reviews"), "/this/reviews", Permission.SEE_OWN, "reviews"),)
ROUTES: Final = [
    reviews_page, ask_action, review_page, answer_action, decide_action, appeal_action, rule_action,
    carried_out_action, remedy_action, attach_action, attached_file,
]  # fmt: skip
