# SPDX-License-Identifier: GPL-3.0-or-later
"""The form by which a plant asks for the review of a line: what the line says, its curve, until when, and files."""

from __future__ import annotations

from typing import Annotated, Any, Final

from litestar.params import FromPath, QueryParameter

from collector.base.errors import Missing, StoreError
from collector.base.text import tr
from collector.center.month.questions.question_log import question_by_id
from collector.center.people.access import Permission
from collector.center.web.context import Ctx, Page
from collector.center.web.routes import page
from collector.center.web.runs.day_drawing import draw_day
from collector.center.web.runs.own_statement import disclosure_of
from collector.center.web.runs.pages_drawings import drawn
from collector.center.web.runs.pages_run import opened_for, unit_of
from collector.center.web.typed import day_of
from collector.model.interval import DAY_MS, format_time, local_midnight_ms
from collector.settlement.rulebook.articles import clauses_cited


@page("/months/{month:str}/reviews/new", Permission.REVIEW_SUBMIT, own=True, charts=True)
def ask_page(
    ctx: Ctx,
    month: FromPath[str],
    run: Annotated[int, QueryParameter(ge=1, le=2**53)],
    unit: Annotated[str, QueryParameter(max_length=64)],
    service: Annotated[str, QueryParameter(max_length=64)],
    day: Annotated[str, QueryParameter(max_length=10)] = "",
    question: Annotated[int | None, QueryParameter(ge=1, le=2**53)] = None,
) -> Page:
    """The form of a question about a line of one's own plant; with `day` that day's curve, and its hours filled in.

    `question`: asked before the disclosure, which becomes this review; its text is filled in.
    """
    opened = opened_for(ctx, month, run)
    lines = [n for n in opened.lines if (n.unit, n.service) == (unit, service) and ctx.actor.may_see(n.plant)]
    if not lines:
        raise Missing(tr("no such line in this run that you may see"), subject=tr("unit {unit}", unit=unit[:64]))
    shown = day_of(day) if day else None
    if shown is not None and shown not in opened.month.days:
        raise Missing(tr("no day of {month}", month=opened.month), subject=day)
    inside = opened.month.interval
    first, last = (inside.start_ms, inside.end_ms)
    drawing: dict[str, Any] | None = None
    if shown is not None:
        first = local_midnight_ms(shown)
        last = first + DAY_MS
        try:
            unit_of(ctx, opened, unit)
            drawing = drawn(ctx, draw_day(opened, unit, shown))
        except StoreError:  # it changed hands in the month: its lines are shown, not its curve
            drawing = None
    asked = None if question is None else ctx.read(lambda c: question_by_id(c, question, actor=ctx.actor))
    return ctx.page(
        "review_new.html",
        question=asked,
        month=opened.month,
        run_id=run,
        unit=unit,
        service=service,
        lines=lines,
        disclosed=disclosure_of(ctx, opened),
        first=format_time(first)[:16],
        last=format_time(last)[:16],
        day=shown,
        drawing=drawing,
        clauses=clauses_cited("27"),
    )


ROUTES: Final = [ask_page]
