# SPDX-License-Identifier: GPL-3.0-or-later
"""The board of a month: its state, duties, obstacles, runs, next step, filings and bills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from litestar import Response
from litestar.params import FromPath
from sqlalchemy import Connection

from collector.base.errors import CollectorError, ConfigError, Missing, RuleError, StoreError
from collector.base.text import said_by, tr, tr_in
from collector.center.inputs.imports import current_register, is_delivered
from collector.center.inputs.names import plant_names
from collector.center.month.duties import DutyBoard, duties_of
from collector.center.month.input_changes import InputChange, changes_since
from collector.center.month.next_step import NextStep, next_step
from collector.center.month.open_work import OpenItem, look_at_records, open_items
from collector.center.month.regulator.first_acts import FIRST_ACTS, act_first, returned_filing
from collector.center.month.review_log import list_reviews
from collector.center.month.transitions import (
    KINDS,
    approve_step,
    prepare_step,
    refuse_step,
    what_is_not_final,
)
from collector.center.papers.bills import DIRECTION_WORDS, bills_of
from collector.center.papers.filing_documents import FILING_WORDS
from collector.center.papers.filings import hand_out_filing, list_filings, make_filings
from collector.center.people import four_eyes
from collector.center.people.access import Permission
from collector.center.runs.asking.lost_runs import runs_asked
from collector.center.runs.month_state import (
    STATE_WORDS,
    MonthStage,
    MonthState,
    all_steps,
    area_statuses,
    list_steps,
    month_state,
    visible_run,
)
from collector.center.runs.rulebooks import rulebook_path
from collector.center.runs.run_list import CORRECTION, RUNNING, TRIAL, RunRow, RunState
from collector.center.runs.settle_month import ask_to_settle
from collector.center.runs.stored_run import open_run
from collector.center.runs.variants.running_month import ask_to_settle_running
from collector.center.web.code_words import INPUT_KINDS
from collector.center.web.context import Context, Ctx, Page, words_of
from collector.center.web.guards import Open
from collector.center.web.month_rules import days_of
from collector.center.web.paging import XLSX, attachment
from collector.center.web.render import NavEntry
from collector.center.web.routes import action, page
from collector.center.web.which_month import MONTH_PAGES, chosen_month, month_at_work, month_named
from collector.model.interval import HOUR_MS, Month, local_day


@page("/months", Open.LOGGED_IN, own=True)
def months_page(ctx: Ctx) -> Page:
    """The month being worked on."""
    return ctx.redirect(f"/months/{month_at_work(ctx.store, ctx.request)}")


@page("/this/{section:str}", Open.LOGGED_IN, own=True)
def this_month(ctx: Ctx, section: FromPath[str]) -> Page:
    """A page of the month being worked on."""
    kept = f"/{section}" if section in MONTH_PAGES else ""
    if section == "running" and not chosen_month(ctx.request):
        today = local_day(ctx.now_ms)
        return ctx.redirect(f"/months/{Month(today.year, today.month)}{kept}")
    return ctx.redirect(f"/months/{month_at_work(ctx.store, ctx.request)}{kept}")


@page("/months/{month:str}", Permission.SEE_OWN, own=True)
def board_page(ctx: Ctx, month: FromPath[str]) -> Page:
    """The board of a month. A plant's user sees what is disclosed, and its own data."""
    return _board(ctx, month_named(month))


@dataclass(frozen=True, slots=True)
class _Refused:
    """A form of the board that was refused. `form`: its id; `text`: why. What was typed is in the request."""

    form: str
    text: str


def _board(ctx: Context, month: Month, refused: _Refused | None = None) -> Page:
    """The board. A form that was refused is shown as it was typed, with the reason beside it."""
    actor = ctx.actor
    state = ctx.read(lambda c: month_state(c, month))
    board, calendar_error = _duties(ctx, month)
    staff = actor.may(Permission.SEE_ALL)
    run_id = ctx.read(lambda c: visible_run(c, month, actor))
    asked = list(reversed(runs_asked(ctx.store, month))) if staff else []
    changes, open_now = _open_now(ctx, month, run_id) if staff else ([], [])
    proposals = [p for p in ctx.read(four_eyes.list_proposals) if p.subject == str(month) and p.kind in KINDS]
    return ctx.page(
        "board.html",
        status=409 if refused else 200,
        month=month,
        state=state,
        states=[(s, words_of(ctx, w), _place(s, state.state)) for s, w in STATE_WORDS.items()],
        state_words={str(s): words_of(ctx, w) for s, w in STATE_WORDS.items()},
        board=board,
        calendar_error=calendar_error,
        run_id=run_id,
        areas={} if run_id is None else ctx.read(lambda c: area_statuses(c, run_id)),
        asked=asked,
        runs=[each for each in asked if each.state is RunState.DONE],
        compared=_compared(asked, run_id),
        waiting=[each for each in reversed(asked) if each.is_open],
        now_ms=ctx.now_ms,
        ended=_just_ended(asked, ctx.now_ms),
        steps=ctx.read(lambda c: list_steps(c, month, actor=actor)),
        filings=ctx.read(lambda c: list_filings(c, month, actor=actor)),
        filing_words={str(name): words_of(ctx, w) for name, w in FILING_WORDS.items()},
        bills=ctx.read(lambda c: bills_of(c, month, actor=actor)),
        directions={name: words_of(ctx, w) for name, w in DIRECTION_WORDS.items()},
        next=_next(ctx, state, asked) if actor.may(Permission.PREPARE) else None,
        open_proposals=[p for p in proposals if p.decision is None] if staff else [],
        permission_of={p.id: four_eyes.KINDS[p.kind] for p in proposals},
        first_act=_first_act(ctx, state, proposals),
        open_now=open_now,
        changes=changes,
        refused=refused,
        typed=ctx.form if refused else {},
    )


@dataclass(frozen=True, slots=True)
class _FirstAct:
    """The decision that the regulator may take now.

    `reasons`: why publishing needs a stated reason; `returned`: how the filing was sent back.
    """

    to: MonthStage
    filed_by: str
    reasons: Sequence[str]
    returned: four_eyes.Proposal | None


def _first_act(ctx: Context, state: MonthState, proposals: Sequence[four_eyes.Proposal]) -> _FirstAct | None:
    to_state, run_id = FIRST_ACTS.get(state.state), state.run_id
    waits = any(each.decision is None for each in proposals)
    if to_state is None or run_id is None or waits or not ctx.actor.may(Permission.SEE_ALL):
        return None
    step = ctx.read(lambda c: all_steps(c, state.month))[-1]
    publishes = to_state is MonthStage.PUBLISHED
    back = None if publishes else ctx.read(lambda c: returned_filing(c, state.month, step.at_ms))
    reasons = ctx.read(lambda c: what_is_not_final(c, run_id)) if publishes else ()
    return _FirstAct(to_state, step.prepared_by, reasons, back)


def _just_ended(asked: Sequence[RunRow], now_ms: int) -> RunRow | None:
    """The run requested last, if it failed, or was done less than an hour ago. `asked`: newest first."""
    last = asked[0] if asked else None
    if last is None or last.ended_ms is None:
        return None
    return last if last.state is not RunState.DONE or now_ms - last.ended_ms < HOUR_MS else None


def _compared(asked: Sequence[RunRow], run_id: int | None) -> tuple[int, int]:
    """The two runs that are offered to be compared: the one the month stands on, and the newest other.

    A running month covers other days than the rest, so is offered only where nothing else is. `asked`: newest first.
    """
    done = sorted((each for each in asked if each.state is RunState.DONE), key=lambda each: each.kind == RUNNING)
    other = next((each.id for each in done if each.id != run_id), run_id or 0)
    rest = (each.id for each in done if each.id != other)
    return (next(rest, other) if run_id is None else run_id), other


def _place(state: MonthStage, now: MonthStage) -> str:
    order = list(MonthStage)
    if state is now:
        return "now"
    return "done" if order.index(state) < order.index(now) else ""


def _duties(ctx: Context, month: Month) -> tuple[DutyBoard | None, str]:
    """The duties of a month; or, if the working days are unknown, the reason why there are none."""
    try:
        days = days_of(ctx)
        return ctx.read(lambda c: duties_of(c, month, days, actor=ctx.actor, now_ms=ctx.now_ms)), ""
    except (ConfigError, RuleError) as error:
        return None, said_by(error)


def _open_now(ctx: Context, month: Month, run_id: int | None) -> tuple[list[InputChange], list[OpenItem]]:
    """Input changes since the run shown, and all open items of the month with their money."""
    opened, unread = None if run_id is None else open_run(ctx.store, run_id), []
    changes = [] if opened is None else changes_since(ctx.store, opened.facts, rulebook=rulebook_path(ctx.settings))
    try:
        lines, areas = ((), ()) if opened is None else (opened.lines, opened.areas)
    except CollectorError as error:  # a run that is not whole; the month can be worked on all the same
        lines, areas, unread = (), (), [OpenItem("unreadable", 1, None, said_by(error), "")]
    items = open_items(
        None if opened is None else opened.facts,
        lines=lines,
        areas=areas,
        changes=changes,
        records=ctx.read(lambda c: look_at_records(c, month, ctx.now_ms)),
        missing=[INPUT_KINDS[kind] for kind in ctx.read(_missing_kinds)],
        reviews=ctx.read(lambda c: list_reviews(c, actor=ctx.actor, month=month, open_only=True)),
        names=ctx.read(plant_names),
    )
    return changes, [*unread, *items]


def _next(ctx: Context, state: MonthState, asked: Sequence[RunRow]) -> NextStep:
    """The next step of the month, without working days if the rulebook is damaged."""
    try:
        days = days_of(ctx)
    except ConfigError:
        days = None
    return ctx.read(lambda c: next_step(c, state, asked, days, ctx.now_ms))


def _missing_kinds(connection: Connection) -> list[str]:
    """Kinds of input that were never delivered: each makes a month provisional."""
    wanted = ("plan", "orders", "reserve", "voltage_band", "exclusions", "revenue")
    absent = [kind for kind in wanted if not is_delivered(connection, kind)]
    return absent if current_register(connection) is not None else ["register", *absent]


@action("/months/{month:str}/settle", Permission.SETTLE)
def settle_action(ctx: Ctx, month: FromPath[str]) -> Page:
    """Ask for a run of the month, made in the background; the board tells how far it is."""
    wanted = month_named(month)
    state = ctx.read(lambda c: month_state(c, wanted))
    kind = CORRECTION if state.state is MonthStage.CORRECTION or state.edition > 1 else TRIAL
    base = ctx.number_or_none("compare") or state.run_id
    note, actor, store, rulebook = ctx.form.get("note", "")[:1000], ctx.actor, ctx.store, rulebook_path(ctx.settings)
    if ctx.form.get("running"):
        ctx.runs.start(lambda: ask_to_settle_running(store, wanted, rulebook=rulebook, actor=actor, note=note))
    else:
        ctx.runs.start(
            lambda: ask_to_settle(store, wanted, rulebook=rulebook, actor=actor, kind=kind, note=note, base_run_id=base)
        )
    return ctx.redirect(f"/months/{wanted}", notice="run_begun")


@action("/months/{month:str}/step", Permission.PREPARE)
def propose_action(ctx: Ctx, month: FromPath[str]) -> Page:
    """Propose the next step of the month to another person."""
    wanted = month_named(month)
    to_state = _state_named(ctx.form.get("to", ""))
    run_id = ctx.number_or_none("run")
    reason, document = ctx.form.get("reason", ""), ctx.form.get("document", "")
    try:
        prepare_step(
            ctx.store, wanted, to_state, actor=ctx.actor, days=days_of(ctx), run_id=run_id, reason=reason,
            document=document,
        )  # fmt: skip
    except StoreError as error:
        return _board(ctx, wanted, _Refused(f"to-{to_state}", said_by(error)))
    return ctx.redirect(f"/months/{wanted}", notice="step_proposed")


def _state_named(text: str) -> MonthStage:
    try:
        return MonthStage(text)
    except ValueError as error:
        raise StoreError(tr("there is no such state"), subject=text[:40]) from error


# Who may decide depends on the kind of step: four_eyes.KINDS says so, and is asked.
@action("/proposals/{number:int}/decide", Permission.SEE_ALL)
def decide_action(ctx: Ctx, number: FromPath[int]) -> Page:
    """Approve or refuse a proposed step, as another person than who prepared it."""
    found = ctx.read(lambda c: four_eyes.get_proposal(c, number))
    note, document = ctx.form.get("note", ""), ctx.form.get("document", "")
    granted = ctx.chosen("decision", "approve", "refuse") == "approve"
    month = month_named(found.subject)
    try:
        if granted:
            ctx.write(
                lambda c: approve_step(
                    c, number, actor=ctx.actor, now_ms=ctx.now_ms, days=days_of(ctx), note=note, document=document
                )
            )
        else:
            ctx.write(lambda c: refuse_step(c, number, actor=ctx.actor, now_ms=ctx.now_ms, note=note))
    except StoreError as error:
        if isinstance(error, Missing) or found.kind not in KINDS:
            raise
        return _board(ctx, month, _Refused(f"decide-{number}", said_by(error)))
    return ctx.redirect(f"/months/{month}", notice="decided")


@action("/months/{month:str}/regulate", Permission.REGULATE)
def regulate_action(ctx: Ctx, month: FromPath[str]) -> Page:
    """Approve or return a filing, or publish, as the regulator, without waiting for a proposal of the center."""
    wanted, days = month_named(month), days_of(ctx)
    to_state, granted = _state_named(ctx.form.get("to", "")), ctx.chosen("decision", "approve", "refuse") == "approve"
    note, document = ctx.form.get("note", ""), ctx.form.get("document", "")
    try:
        ctx.write(
            lambda c: act_first(
                c, wanted, to_state, actor=ctx.actor, granted=granted, now_ms=ctx.now_ms, days=days, note=note,
                document=document,
            )
        )  # fmt: skip
    except StoreError as error:
        return _board(ctx, wanted, _Refused("regulate", said_by(error)))
    return ctx.redirect(f"/months/{wanted}", notice="decided")


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
    months_page, this_month, board_page, settle_action, propose_action, decide_action, regulate_action, withdraw_action,
    filings_action,
    filing_file,
]  # fmt: skip
