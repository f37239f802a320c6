# SPDX-License-Identifier: GPL-3.0-or-later
"""The board of a month: where it stands, what is due, what blocks it, its runs, its next step, filings and bills."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from litestar import Response
from litestar.params import FromPath
from sqlalchemy import Connection

from collector.base.errors import ConfigError, RuleError, StoreError
from collector.base.text import said_by, tr, tr_in
from collector.center.inputs.imports import ALL_KINDS, current_register, is_delivered
from collector.center.month.deadline_rules import against_calendar
from collector.center.month.duties import DutyBoard, duties_of
from collector.center.month.review_log import list_reviews
from collector.center.month.transitions import (
    KINDS,
    approve_step,
    propose_step,
    refuse_step,
    transitions_from,
    what_stands_open,
)
from collector.center.papers.bills import DIRECTION_WORDS, bills_of
from collector.center.papers.filing_documents import FILING_WORDS
from collector.center.papers.filings import hand_out_filing, list_filings, make_filings
from collector.center.people import four_eyes
from collector.center.people.access import Permission
from collector.center.runs.asking.lost_runs import runs_asked
from collector.center.runs.month_state import STATE_WORDS, MonthState, State, list_steps, month_state, visible_run
from collector.center.runs.rulebooks import rulebook_path
from collector.center.runs.run_list import CORRECTION, TRIAL, RunRow, RunState
from collector.center.runs.settle_month import ask_to_settle
from collector.center.web.context import Context, Ctx, Page, words_of
from collector.center.web.guards import Open
from collector.center.web.month_rules import days_of
from collector.center.web.paging import XLSX, attachment
from collector.center.web.render import NavEntry
from collector.center.web.routes import action, page
from collector.center.web.which_month import month_at_work, month_named
from collector.model.interval import HOUR_MS, Month

SECTIONS: Final = ("", "completeness", "reviews", "rulebook", "runs")


@page("/months", Open.LOGGED_IN, own=True)
def months_page(ctx: Ctx) -> Page:
    """The month being worked on."""
    return ctx.redirect(f"/months/{month_at_work(ctx.store)}")


@page("/this/{section:str}", Open.LOGGED_IN, own=True)
def this_month(ctx: Ctx, section: FromPath[str]) -> Page:
    """A page of the month being worked on."""
    kept = f"/{section}" if section in SECTIONS else ""
    return ctx.redirect(f"/months/{month_at_work(ctx.store)}{kept}")


@page("/months/{month:str}", Permission.SEE_OWN, own=True)
def board_page(ctx: Ctx, month: FromPath[str]) -> Page:
    """Everything about where a month stands; a plant's user sees what is disclosed and its own."""
    wanted = month_named(month)
    actor = ctx.actor
    state = ctx.read(lambda c: month_state(c, wanted))
    board, calendar_error = _duties(ctx, wanted)
    staff = actor.may(Permission.SEE_ALL)
    asked = list(reversed(runs_asked(ctx.store, wanted))) if staff else []
    proposals = [p for p in ctx.read(four_eyes.list_proposals) if p.subject == str(wanted) and p.kind in KINDS]
    return ctx.page(
        "board.html",
        month=wanted,
        state=state,
        states=[(s, words_of(ctx, w), _place(s, state.state)) for s, w in STATE_WORDS.items()],
        state_words={str(s): words_of(ctx, w) for s, w in STATE_WORDS.items()},
        board=board,
        calendar_error=calendar_error,
        run_id=ctx.read(lambda c: visible_run(c, wanted, actor)),
        asked=asked,
        runs=[each for each in asked if each.state is RunState.DONE],
        waiting=[each for each in reversed(asked) if each.is_open],
        ended=_just_ended(asked, ctx.now_ms),
        steps=ctx.read(lambda c: list_steps(c, wanted, actor=actor)),
        reviews=ctx.read(lambda c: list_reviews(c, actor=actor, month=wanted, open_only=True)),
        filings=ctx.read(lambda c: list_filings(c, wanted, actor=actor)),
        filing_words={str(name): words_of(ctx, w) for name, w in FILING_WORDS.items()},
        bills=ctx.read(lambda c: bills_of(c, wanted, actor=actor)),
        directions={name: words_of(ctx, w) for name, w in DIRECTION_WORDS.items()},
        next_steps=[(t, t.text.into(ctx.language)) for t in transitions_from(state.state)],
        against=_against(ctx, state) if staff else [],
        open_proposals=[p for p in proposals if p.decision is None] if staff else [],
        permission_of={p.id: four_eyes.KINDS[p.kind] for p in proposals},
        stands_open=_stands_open(ctx, wanted, state.run_id) if staff else [],
        missing=ctx.read(_missing_kinds) if staff else [],
    )


def _just_ended(asked: Sequence[RunRow], now_ms: int) -> RunRow | None:
    """The run asked for last, newest first, where people will want to know what became of it."""
    last = asked[0] if asked else None
    if last is None or last.ended_ms is None:
        return None
    return last if last.state is not RunState.DONE or now_ms - last.ended_ms < HOUR_MS else None


def _place(state: State, now: State) -> str:
    order = list(State)
    if state is now:
        return "now"
    return "done" if order.index(state) < order.index(now) else ""


def _duties(ctx: Context, month: Month) -> tuple[DutyBoard | None, str]:
    """The duties; where the calendar does not know the year, or the rulebook the days, why there are none."""
    try:
        days = days_of(ctx)
        return ctx.read(lambda c: duties_of(c, month, days, actor=ctx.actor, now_ms=ctx.now_ms)), ""
    except (ConfigError, RuleError) as error:
        return None, said_by(error)


def _stands_open(ctx: Context, month: Month, run_id: int | None) -> list[str]:
    return [] if run_id is None else ctx.read(lambda c: what_stands_open(c, month, run_id))


def _against(ctx: Context, state: MonthState) -> list[str]:
    """In what the steps that may follow would be against the calendar today; nothing where the rulebook is damaged."""
    try:
        days = days_of(ctx)
    except ConfigError:
        return []
    return [
        each
        for transition in transitions_from(state.state)
        for each in ctx.read(lambda c, t=transition: against_calendar(c, state, t.after, days, ctx.now_ms))  # type: ignore[misc]
    ]


def _missing_kinds(connection: Connection) -> list[str]:
    """Kinds of input that were never delivered: each makes a month provisional."""
    absent = [k for k in ALL_KINDS if k != "register" and not is_delivered(connection, k)]
    return absent if current_register(connection) is not None else ["register", *absent]


@action("/months/{month:str}/settle", Permission.SETTLE)
def settle_action(ctx: Ctx, month: FromPath[str]) -> Page:
    """Ask for a run of the month, made in the background; the board tells how far it is."""
    wanted = month_named(month)
    state = ctx.read(lambda c: month_state(c, wanted))
    kind = CORRECTION if state.state is State.CORRECTION or state.edition > 1 else TRIAL
    note, actor, store, rulebook = ctx.form.get("note", "")[:1000], ctx.actor, ctx.store, rulebook_path(ctx.settings)
    ctx.runs.start(
        lambda: ask_to_settle(
            store, wanted, rulebook=rulebook, actor=actor, kind=kind, note=note, base_run_id=state.run_id
        )
    )
    return ctx.redirect(f"/months/{wanted}", notice="run_begun")


@action("/months/{month:str}/step", Permission.PREPARE)
def propose_action(ctx: Ctx, month: FromPath[str]) -> Page:
    """Propose the next step of the month to another person."""
    wanted = month_named(month)
    to_state = _state_named(ctx.form.get("to", ""))
    run_id = ctx.number_or_none("run")
    ctx.write(
        lambda c: propose_step(
            c, wanted, to_state, actor=ctx.actor, now_ms=ctx.now_ms, days=days_of(ctx), run_id=run_id,
            reason=ctx.form.get("reason", ""), document=ctx.form.get("document", ""),
        )
    )  # fmt: skip
    return ctx.redirect(f"/months/{wanted}", notice="step_proposed")


def _state_named(text: str) -> State:
    try:
        return State(text)
    except ValueError as error:
        raise StoreError(tr("there is no such state"), subject=text[:40]) from error


# Who may decide depends on the kind of step: four_eyes.KINDS says so, and is asked.
@action("/proposals/{number:int}/decide", Permission.SEE_ALL)
def decide_action(ctx: Ctx, number: FromPath[int]) -> Page:
    """Approve or refuse a proposed step, as another person than who prepared it."""
    found = ctx.read(lambda c: four_eyes.get_proposal(c, number))
    note, document = ctx.form.get("note", ""), ctx.form.get("document", "")
    if ctx.chosen("decision", "approve", "refuse") == "approve":
        ctx.write(
            lambda c: approve_step(
                c, number, actor=ctx.actor, now_ms=ctx.now_ms, days=days_of(ctx), note=note, document=document
            )
        )
    else:
        ctx.write(lambda c: refuse_step(c, number, actor=ctx.actor, now_ms=ctx.now_ms, note=note))
    return ctx.redirect(f"/months/{month_named(found.subject)}", notice="decided")


@action("/proposals/{number:int}/withdraw", Permission.PREPARE)
def withdraw_action(ctx: Ctx, number: FromPath[int]) -> Page:
    """Take one's own proposal back."""
    found = ctx.read(lambda c: four_eyes.get_proposal(c, number))
    ctx.write(lambda c: four_eyes.withdraw(c, number, actor=ctx.actor, now_ms=ctx.now_ms))
    return ctx.redirect(f"/months/{month_named(found.subject)}", notice="withdrawn")


@action("/months/{month:str}/filings", Permission.PREPARE)
def filings_action(ctx: Ctx, month: FromPath[str]) -> Page:
    """Make the three documents of the run the month stands on."""
    wanted = month_named(month)
    state = ctx.read(lambda c: month_state(c, wanted))
    if state.run_id is None:
        raise StoreError(tr("disclose a run first: the filings are made of it"), subject=str(wanted))
    make_filings(ctx.store, state.run_id, actor=ctx.actor)
    return ctx.redirect(f"/months/{wanted}", notice="filings_made")


@page("/filings/{number:int}", Permission.SEE_OWN, own=True, notes_itself=True)
def filing_file(ctx: Ctx, number: FromPath[int]) -> Response[bytes]:
    """A filed document as it was made."""
    _, file = ctx.write(lambda c: hand_out_filing(c, number, actor=ctx.actor, now_ms=ctx.now_ms))
    return attachment(file.data, file.name, XLSX if file.name.endswith(".xlsx") else "text/csv")


NAVIGATION: Final = (NavEntry(tr_in("navigation", "Month"), "/months", Permission.SEE_OWN, ""),)
ROUTES: Final = [
    months_page, this_month, board_page, settle_action, propose_action, decide_action, withdraw_action, filings_action,
    filing_file,
]  # fmt: skip
