# SPDX-License-Identifier: GPL-3.0-or-later
"""REST: where a month stands, its duties, steps, settling, filings and bills."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Final, Literal

import msgspec
from litestar import Response
from litestar.params import JSONBody, PathParameter

from collector.base.errors import Missing, RuleError, StoreError
from collector.base.text import tr
from collector.center.month.duties import duties_of
from collector.center.month.regulator.first_acts import act_first
from collector.center.month.transitions import approve_step, prepare_step, refuse_step
from collector.center.papers.bill_documents import bill_cells
from collector.center.papers.bills import bills_of
from collector.center.papers.filings import hand_out_filing, list_filings, make_filings
from collector.center.people import four_eyes
from collector.center.people.access import Permission
from collector.center.runs.asking.lost_runs import runs_asked
from collector.center.runs.asking.run_queue import AskedRun
from collector.center.runs.month_state import MonthStage, area_statuses, list_steps, month_state, visible_run
from collector.center.runs.rulebooks import rulebook_path
from collector.center.runs.run_list import CORRECTION, TRIAL
from collector.center.runs.settle_month import MadeRun, ask_to_settle
from collector.center.runs.variants.running_month import ask_to_settle_running
from collector.center.web.context import Ctx
from collector.center.web.errors import language_of_program
from collector.center.web.month_rules import days_of
from collector.center.web.months import known_months
from collector.center.web.paging import Listed, Listing, as_row, attachment
from collector.center.web.routes import api_get, api_post
from collector.center.web.shapes import DoneOut, JobOut, MonthPath, NumberOut, job_out
from collector.center.web.which_month import month_named
from collector.model.interval import Month

Number = Annotated[int, PathParameter(ge=1, le=2**53)]
Note = Annotated[str, msgspec.Meta(max_length=1000)]
Document = Annotated[str, msgspec.Meta(max_length=255)]
StateName = Literal["trial", "disclosed", "in_review", "filed", "effective", "published", "correction"]


class MonthOut(msgspec.Struct, frozen=True):
    """The state of a month. `visible_run_id`: the run shown to the caller first; `areas`: the status by area."""

    month: str
    state: str
    edition: int
    run_id: int | None
    since_ms: int | None
    visible_run_id: int | None
    areas: dict[str, str]


class MonthStepOut(msgspec.Struct, frozen=True):
    """A step a month took."""

    number: int
    edition: int
    state: str
    run_id: int
    result_hash: str
    at_ms: int
    prepared_by: str
    approved_by: str
    proposal_id: int | None
    reason: str
    document: str


class StepIn(msgspec.Struct, frozen=True):
    """A step to be proposed. `run_id`: default the month's present run.

    `reason`: needed of a step against the calendar, of a run that is not final, and where another run is disclosed.
    """

    to: StateName
    run_id: Annotated[int, msgspec.Meta(ge=1, le=2**53)] | None = None
    reason: Note = ""
    document: Document = ""


class StepDecisionIn(msgspec.Struct, frozen=True):
    """Granted or not. `document`: the regulator's number, where one is needed.

    `note`: why; needed to refuse, and to grant without a stated reason what has come to be against the calendar.
    """

    granted: bool
    note: Note = ""
    document: Document = ""


class RegulateIn(msgspec.Struct, frozen=True):
    """A decision of the regulator on a month: effective (for what is filed), or published.

    `document`: number of the approval. `note`: the reason, needed to return a filing, and to publish with an area that
    is not final.
    """

    to: Literal["effective", "published"]
    granted: bool
    note: Note = ""
    document: Document = ""


class DutyOut(msgspec.Struct, frozen=True):
    """A duty of the calendar. `status` and days left as of today."""

    id: str
    article: str
    chinese: str
    english: str
    due: str
    moved_from: str | None
    status: str
    done_day: str | None
    done_late: bool
    days_left: int | None
    working_days_left: int | None
    review_id: int | None


class SettleIn(msgspec.Struct, frozen=True):
    """A run to be made of what the store has now. `running`: up to the last day sealed for all units, never final.

    `last`: of a running one, at most up to this local day, to compare a month that is over with one that is not.
    """

    note: Note = ""
    running: bool = False
    last: date | None = None


class FilingOut(msgspec.Struct, frozen=True):
    """A document of Art. 28."""

    id: int
    month: str
    edition: int
    run_id: int
    name: str
    format: str
    sha256: str
    made_by: str
    made_ms: int
    filed_ms: int | None
    filed_document: str
    approved_ms: int | None
    approved_by: str
    approval_document: str
    published: bool


class BillOut(msgspec.Struct, frozen=True):
    """A net amount carried to an electricity bill (Art. 24)."""

    month: str
    edition: str
    bill_month: str
    area: str
    plant: str
    plant_name: str
    counterparty: str
    direction: str
    amount_yuan: str
    signed_yuan: str
    net_yuan: str
    carried_before_yuan: str
    run: str
    document: str
    reason: str
    tax_number: str
    vat_rate: str
    bank: str


@api_get("/months", Permission.SEE_OWN, own=True, table=True)
def months(ctx: Ctx, listing: Listing) -> Listed[MonthOut]:
    """Months there is something of, newest first."""
    rows = [_month(ctx, Month.parse(text)) for text in known_months(ctx.store)]
    return listing.of(rows, MonthOut, "months")


@api_get("/months/{month:str}", Permission.SEE_OWN, own=True)
def one_month(ctx: Ctx, month: MonthPath) -> MonthOut:
    """Where a month stands."""
    return _month(ctx, month_named(month))


def _month(ctx: Ctx, month: Month) -> MonthOut:
    state = ctx.read(lambda c: month_state(c, month))
    run_id = ctx.read(lambda c: visible_run(c, month, ctx.actor))
    areas = {} if run_id is None else ctx.read(lambda c: area_statuses(c, run_id))
    return as_row(MonthOut, state, visible_run_id=run_id, areas=areas)


@api_get("/months/{month:str}/steps", Permission.SEE_OWN, own=True, table=True)
def steps(ctx: Ctx, listing: Listing, month: MonthPath) -> Listed[MonthStepOut]:
    """The steps a month took, oldest first."""
    wanted = month_named(month)
    rows = [as_row(MonthStepOut, each) for each in ctx.read(lambda c: list_steps(c, wanted, actor=ctx.actor))]
    return listing.of(rows, MonthStepOut, f"steps-{month}")


@api_post("/months/{month:str}/steps", Permission.PREPARE)
def propose(ctx: Ctx, month: MonthPath, data: JSONBody[StepIn]) -> NumberOut:
    """Propose the next step of a month; another person decides the proposal."""
    wanted = month_named(month)
    return NumberOut(
        prepare_step(
            ctx.store, wanted, MonthStage(data.to), actor=ctx.actor, days=days_of(ctx),
            run_id=data.run_id, reason=data.reason, document=data.document,
        )
    )  # fmt: skip


# Who may decide depends on the kind of step: four_eyes.KINDS says so, and is asked.
@api_post("/months/{month:str}/proposals/{number:int}/decide", Permission.SEE_ALL)
def decide(ctx: Ctx, month: MonthPath, number: Number, data: JSONBody[StepDecisionIn]) -> MonthOut:
    """Approve or refuse a proposed step, as another person than who prepared it."""
    wanted = month_named(month)
    found = ctx.read(lambda c: four_eyes.get_proposal(c, number))
    if found.subject != str(wanted):
        raise Missing(tr("is of another month, or no step"), subject=tr("proposal {number}", number=number))
    if data.granted:
        ctx.write(
            lambda c: approve_step(
                c, number, actor=ctx.actor, now_ms=ctx.now_ms, days=days_of(ctx), note=data.note,
                document=data.document,
            )
        )  # fmt: skip
    else:
        ctx.write(lambda c: refuse_step(c, number, actor=ctx.actor, now_ms=ctx.now_ms, note=data.note))
    return _month(ctx, wanted)


@api_post("/proposals/{number:int}/withdraw", Permission.PREPARE)
def withdraw(ctx: Ctx, number: Number) -> DoneOut:
    """Take one's own proposal back while nobody decided it."""
    ctx.write(lambda c: four_eyes.withdraw(c, number, actor=ctx.actor, now_ms=ctx.now_ms))
    return DoneOut()


@api_post("/months/{month:str}/regulate", Permission.REGULATE)
def regulate(ctx: Ctx, month: MonthPath, data: JSONBody[RegulateIn]) -> MonthOut:
    """Approve or return a filing, or publish, as the regulator, without waiting for a proposal of the center."""
    wanted, days = month_named(month), days_of(ctx)
    ctx.write(
        lambda c: act_first(
            c, wanted, MonthStage(data.to), actor=ctx.actor, granted=data.granted, now_ms=ctx.now_ms, days=days,
            note=data.note, document=data.document,
        )
    )  # fmt: skip
    return _month(ctx, wanted)


@api_get("/months/{month:str}/duties", Permission.SEE_OWN, own=True, table=True)
def duties(ctx: Ctx, listing: Listing, month: MonthPath) -> Listed[DutyOut]:
    """The calendar's duties of a month, with the days left."""
    wanted = month_named(month)
    try:
        board = ctx.read(lambda c: duties_of(c, wanted, days_of(ctx), actor=ctx.actor, now_ms=ctx.now_ms))
    except RuleError as error:
        raise StoreError(error.message, subject=error.subject) from error
    rows = [as_row(DutyOut, each) for each in board.rows]
    return listing.of(rows, DutyOut, f"duties-{month}")


@api_post("/months/{month:str}/settle", Permission.SETTLE)
def settle(ctx: Ctx, month: MonthPath, data: JSONBody[SettleIn]) -> JobOut:
    """Ask for a run of what the store has, made in the background: `/runs/{number}` tells how far it is.

    Where the same run is asked for already, the answer is that one.
    """
    wanted = month_named(month)
    state = ctx.read(lambda c: month_state(c, wanted))
    kind = CORRECTION if state.state is MonthStage.CORRECTION or state.edition > 1 else TRIAL
    store, rulebook, actor = ctx.store, rulebook_path(ctx.settings), ctx.actor

    def wish() -> AskedRun[MadeRun]:
        if data.running:
            return ask_to_settle_running(store, wanted, rulebook=rulebook, actor=actor, note=data.note, last=data.last)
        return ask_to_settle(
            store, wanted, rulebook=rulebook, actor=actor, kind=kind, note=data.note, base_run_id=state.run_id
        )

    return job_out(ctx.runs.start(wish), language_of_program(ctx.request))


@api_get("/months/{month:str}/job", Permission.SEE_ALL)
def last_job(ctx: Ctx, month: MonthPath) -> JobOut:
    """The run of a month that was asked for last, by whatever way."""
    found = runs_asked(ctx.store, month_named(month))
    if not found:
        raise Missing(tr("no run was asked for yet"), subject=month)
    return job_out(found[-1], language_of_program(ctx.request))


@api_get("/months/{month:str}/filings", Permission.SEE_OWN, own=True, table=True)
def filings(ctx: Ctx, listing: Listing, month: MonthPath) -> Listed[FilingOut]:
    """The documents of a month; a plant's user sees the scheme once it is published."""
    wanted = month_named(month)
    rows = [as_row(FilingOut, each) for each in ctx.read(lambda c: list_filings(c, wanted, actor=ctx.actor))]
    return listing.of(rows, FilingOut, f"filings-{month}")


@api_post("/months/{month:str}/filings", Permission.PREPARE)
def file_run(ctx: Ctx, month: MonthPath) -> DoneOut:
    """Make the documents of the run the month stands on."""
    wanted = month_named(month)
    state = ctx.read(lambda c: month_state(c, wanted))
    if state.run_id is None:
        raise StoreError(tr("disclose a run first: the filings are made of it"), subject=str(wanted))
    make_filings(ctx.store, state.run_id, actor=ctx.actor)
    return DoneOut()


@api_get(
    "/filings/{number:int}/file",
    Permission.SEE_OWN,
    own=True,
    media_type="application/octet-stream",
    notes_itself=True,
)
def filing_file(ctx: Ctx, number: Number) -> Response[bytes]:
    """A document as it was made."""
    _, file = ctx.write(lambda c: hand_out_filing(c, number, actor=ctx.actor, now_ms=ctx.now_ms))
    return attachment(file.data, file.name, "application/octet-stream")


@api_get("/months/{month:str}/bills", Permission.SEE_OWN, own=True, table=True)
def bills(ctx: Ctx, listing: Listing, month: MonthPath) -> Listed[BillOut]:
    """Net amounts carried to the electricity bill; one's own for a plant's user."""
    wanted = month_named(month)
    found = ctx.read(lambda c: bills_of(c, wanted, actor=ctx.actor))
    rows = [as_row(BillOut, bill_cells(each)) for each in found]
    return listing.of(rows, BillOut, f"bills-{month}")


ROUTES: Final = [
    months, one_month, steps, propose, decide, withdraw, regulate, duties, settle, last_job, filings, file_run,
    filing_file, bills,
]  # fmt: skip
