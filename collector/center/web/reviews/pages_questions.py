# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions before the disclosure (披露前问询): those of a month, one with its answers, asking one (Art. 27, I-25)."""

from __future__ import annotations

from typing import Annotated, Final

from litestar import Response
from litestar.params import FromPath, QueryParameter

from collector.base.errors import StoreError
from collector.base.text import tr, tr_in
from collector.center.month.questions.early_questions import (
    EarlyRequest,
    answer_question,
    ask_early,
    units_to_ask_about,
    withdraw_question,
)
from collector.center.month.questions.question_log import QUESTION_WORDS, list_questions, question_by_id
from collector.center.people.access import Permission, Role
from collector.center.runs.month_state import MonthStage, month_state
from collector.center.runs.stored_run import open_run
from collector.center.web.context import Context, Ctx, Page, words_of
from collector.center.web.listing import ListColumn, list_page
from collector.center.web.routes import action, page
from collector.center.web.typed import day_of
from collector.center.web.which_month import month_named
from collector.model.interval import local_day
from collector.report.words import SERVICES
from collector.settlement.rulebook.articles import clauses_cited
from collector.settlement.statement import Line

_BEFORE: Final = (MonthStage.TRIAL, MonthStage.CORRECTION)


@page("/months/{month:str}/questions", Permission.SEE_OWN, own=True)
def questions_page(
    ctx: Ctx,
    month: FromPath[str],
    unit: Annotated[str, QueryParameter(max_length=64)] = "",
    day: Annotated[str, QueryParameter(max_length=10)] = "",
    service: Annotated[str, QueryParameter(max_length=64)] = "",
) -> Page | Response[bytes]:
    """The questions of a month, and the form to ask one; `unit`, `day` and `service` fill it in."""
    wanted = month_named(month)
    words = _state_words(ctx)
    columns = (
        ListColumn("id", tr("No."), "n", href=lambda q: f"/months/{wanted}/questions/{q.id}"),
        ListColumn("plant", tr("Plant"), "plant", choose=True),
        ListColumn("unit", tr("Unit"), choose=True),
        ListColumn("day", tr("Day"), "day", value=lambda q: q.day.isoformat()),
        ListColumn("service", tr("Service"), words="SERVICES", choose=True),
        ListColumn("text", tr_in("question", "Question")),
        ListColumn("role", tr_in("question", "Asked by"), words="ROLES", choose=True),
        ListColumn("asked_ms", tr("Asked"), "time"),
        ListColumn("state", tr("State"), choose=True, value=lambda q: words[str(q.state)]),
    )
    found = ctx.read(lambda c: list_questions(c, actor=ctx.actor, month=wanted))
    stage, today = ctx.read(lambda c: month_state(c, wanted)).state, local_day(ctx.now_ms)
    regulates = ctx.actor.may(Permission.REGULATE)
    asks = regulates or ctx.actor.may(Permission.REVIEW_SUBMIT)
    last = min(today, wanted.days[-1])
    return list_page(
        ctx,
        "questions.html",
        columns,
        sorted(found, key=lambda q: (not q.is_open, q.id)),
        name=f"{wanted}-questions",
        month=wanted,
        may_ask=asks and (regulates or stage in _BEFORE) and wanted.first_day <= today,
        too_late=asks and not regulates and stage not in _BEFORE,
        units=ctx.read(lambda c: units_to_ask_about(c, ctx.actor, wanted)) if asks else {},
        services=list(SERVICES),
        filled={"unit": unit, "day": day or last.isoformat(), "service": service},
        last=last,
        clauses=clauses_cited("27"),
    )


def _state_words(ctx: Context) -> dict[str, str]:
    return {str(state): words_of(ctx, words) for state, words in QUESTION_WORDS.items()}


@action("/months/{month:str}/questions", Permission.SEE_OWN, own=True)
def ask_early_action(ctx: Ctx, month: FromPath[str]) -> Page:
    """Ask about a day of a unit; whose unit it is and whether one may ask, `ask_early` finds out."""
    wanted = month_named(month)
    form = ctx.form
    day = day_of(form.get("day", ""))
    if day not in wanted.days:
        raise StoreError(tr("no day of {month}", month=wanted), subject=day.isoformat())
    request = EarlyRequest(form.get("unit", ""), day, form.get("service", ""), form.get("text", ""))
    number = ctx.write(lambda c: ask_early(c, request, actor=ctx.actor, now_ms=ctx.now_ms))
    return ctx.redirect(f"/months/{wanted}/questions/{number}", notice="question_asked")


@page("/months/{month:str}/questions/{number:int}", Permission.SEE_OWN, own=True)
def question_page(ctx: Ctx, month: FromPath[str], number: FromPath[int]) -> Page:
    """A question with what was answered; disclosed, the lines of its unit from which it becomes a review."""
    found = ctx.read(lambda c: question_by_id(c, number, actor=ctx.actor))
    state = ctx.read(lambda c: month_state(c, found.month))
    asker = Permission.REGULATE if found.role == Role.REGULATOR else Permission.REVIEW_SUBMIT
    lines: list[Line] = []
    confirms = found.is_open and found.role == Role.PLANT and ctx.actor.may(Permission.REVIEW_SUBMIT)
    if confirms and state.run_id is not None and state.state not in _BEFORE:
        lines = [
            line
            for line in open_run(ctx.store, state.run_id).lines_of(found.unit)
            if found.service in ("", line.service) and ctx.actor.may_see(line.plant)
        ]
    return ctx.page(
        "question.html",
        month=month_named(month),
        question=found,
        state_words=_state_words(ctx),
        run_id=state.run_id,
        lines=lines,
        before=state.state in _BEFORE,
        can_answer=found.is_open and ctx.actor.may(Permission.REVIEW_ANSWER),
        can_withdraw=found.is_open and ctx.actor.may(asker),
        clauses=clauses_cited("27"),
    )


@action("/questions/{number:int}/answer", Permission.REVIEW_ANSWER)
def answer_question_action(ctx: Ctx, number: FromPath[int]) -> Page:
    """Answer a question."""
    text = ctx.form.get("text", "")
    ctx.write(lambda c: answer_question(c, number, actor=ctx.actor, text=text, now_ms=ctx.now_ms))
    return _back(ctx, number)


@action("/questions/{number:int}/withdraw", Permission.SEE_OWN, own=True)
def withdraw_question_action(ctx: Ctx, number: FromPath[int]) -> Page:
    """Take one's own question back."""
    text = ctx.form.get("text", "")
    ctx.write(lambda c: withdraw_question(c, number, actor=ctx.actor, text=text, now_ms=ctx.now_ms))
    return _back(ctx, number)


def _back(ctx: Context, number: int) -> Page:
    found = ctx.read(lambda c: question_by_id(c, number, actor=ctx.actor))
    return ctx.redirect(f"/months/{found.month}/questions/{number}", notice="review_noted")


ROUTES: Final = [questions_page, ask_early_action, question_page, answer_question_action, withdraw_question_action]
