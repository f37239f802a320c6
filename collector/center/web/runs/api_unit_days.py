# SPDX-License-Identifier: GPL-3.0-or-later
"""REST: a unit's day as register and dispatch say it, time not paid, excursions; ledger and corrections."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from litestar.params import QueryParameter

from collector.center.papers.corrections import correction_of
from collector.center.people.access import Permission
from collector.center.web.context import Ctx
from collector.center.web.paging import Listed, Listing, as_row
from collector.center.web.routes import api_get
from collector.center.web.runs.api_runs import Number, OfService, Unit, opened, opened_for_unit
from collector.center.web.runs.api_runs_rows import UnpaidOut
from collector.center.web.shapes import MonthPath
from collector.center.web.typed import Day, day_of
from collector.center.web.which_month import month_named


class PlanOut(msgspec.Struct, frozen=True):
    """A plan row, [start_ms, end_ms). `power_kw`: null where the cell was empty."""

    start_ms: int
    end_ms: int
    power_kw: int | None
    issued_ms: int | None


class SpanOut(msgspec.Struct, frozen=True):
    """An order, a reserve or an exclusion, [start_ms, end_ms). `subject`: the order's id, the service excluded."""

    what: str
    subject: str
    kind: str
    start_ms: int
    end_ms: int


class UnitDayOut(msgspec.Struct, frozen=True):
    """A unit's local day. `registered`: false where it was not in commercial operation then."""

    day: str
    registered: bool
    rated_mw: str | None
    agc_lower_mw: str | None
    agc_upper_mw: str | None
    plan: list[PlanOut]
    spans: list[SpanOut]


class ExcursionOut(msgspec.Struct, frozen=True):
    """A stretch beyond the dead band of the frequency."""

    unit: str
    start_ms: int
    end_ms: int
    actual_mwh: str | None
    theoretical_mwh: str | None
    ratio: str | None


class LedgerOut(msgspec.Struct, frozen=True):
    """A posting (Art. 20)."""

    month: str
    plant: str
    debit_yuan: str
    credit_yuan: str


class DeltaOut(msgspec.Struct, frozen=True):
    """A line that a correction changes."""

    area: str
    plant: str
    unit: str
    service: str
    before_yuan: str | None
    after_yuan: str | None
    delta_yuan: str
    before_status: str
    after_status: str


@api_get("/runs/{number:int}/units/{unit:str}/days/{day:str}", Permission.SEE_OWN, own=True)
def unit_day(ctx: Ctx, number: Number, unit: Unit, day: Day) -> UnitDayOut:
    """What register and dispatch say of a unit's local day; its records and segments have routes of their own."""
    found = opened_for_unit(ctx, number, unit).unit_day(unit, day_of(day))
    said, state = found.dispatch, found.state
    spans = [SpanOut("order", row[0], row[1], row[2], row[3]) for row in said.orders]
    spans += [SpanOut("reserve", "", row[0], row[1], row[2]) for row in said.reserves]
    spans += [SpanOut("exclusion", row[0], row[3], row[1], row[2]) for row in said.exclusions]
    return UnitDayOut(
        day=day,
        registered=state is not None,
        rated_mw=None if state is None else str(state.rated_mw),
        agc_lower_mw=None if state is None or state.agc_lower_mw is None else str(state.agc_lower_mw),
        agc_upper_mw=None if state is None or state.agc_upper_mw is None else str(state.agc_upper_mw),
        plan=[as_row(PlanOut, step) for step in found.plan],
        spans=spans,
    )


@api_get("/runs/{number:int}/units/{unit:str}/unpaid", Permission.SEE_OWN, own=True, table=True)
def unpaid(ctx: Ctx, listing: Listing, number: Number, unit: Unit, service: OfService = "") -> Listed[UnpaidOut]:
    """Time of a unit that was not paid, by class and reason."""
    found = opened_for_unit(ctx, number, unit).unpaid(unit, service or None)
    rows = [UnpaidOut(each.cause, each.reason, each.duration_ms) for each in found]
    return listing.of(rows, UnpaidOut, f"unpaid-{unit}")


@api_get("/runs/{number:int}/units/{unit:str}/excursions", Permission.SEE_OWN, own=True, table=True)
def excursions(ctx: Ctx, listing: Listing, number: Number, unit: Unit) -> Listed[ExcursionOut]:
    """Excursions of the frequency, and what a unit did in each."""
    found, _ = opened_for_unit(ctx, number, unit).primary_frequency(unit)
    rows = [as_row(ExcursionOut, each) for each in found]
    return listing.of(rows, ExcursionOut, f"excursions-{unit}")


@api_get("/runs/{number:int}/ledger", Permission.SEE_OWN, own=True, table=True)
def ledger(ctx: Ctx, listing: Listing, number: Number) -> Listed[LedgerOut]:
    """The postings of a run, which balance; one's own for a plant's user."""
    rows = [as_row(LedgerOut, row) for row in opened(ctx, number).ledger if ctx.actor.may_see(row.plant)]
    return listing.of(rows, LedgerOut, f"ledger-run-{number}")


@api_get("/months/{month:str}/correction", Permission.SEE_ALL, table=True)
def correction(
    ctx: Ctx,
    listing: Listing,
    month: MonthPath,
    run_id: Annotated[int | None, QueryParameter(ge=1, le=2**53, description="default: the newest")] = None,
) -> Listed[DeltaOut]:
    """The lines that a correction of a month changes, as deltas to the run in effect."""
    wanted = month_named(month)
    found = correction_of(ctx.store, wanted, actor=ctx.actor, run_id=run_id)
    rows = [as_row(DeltaOut, each) for each in found.lines]
    return listing.of(rows, DeltaOut, f"correction-{month}")


ROUTES: Final = [unit_day, unpaid, excursions, ledger, correction]
