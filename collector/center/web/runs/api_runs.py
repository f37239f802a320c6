# SPDX-License-Identifier: GPL-3.0-or-later
"""REST: settlement runs, from their totals down to records. A plant's user sees disclosed runs, its own plant's rows in
them, and the totals of each area.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Literal

from litestar.params import PathParameter, QueryParameter

from collector.base.errors import Missing, RuleError, StoreError
from collector.base.text import tr
from collector.center.people.access import Permission
from collector.center.runs.asking.lost_runs import mark_lost, runs_asked
from collector.center.runs.month_state import may_see_run
from collector.center.runs.run_list import Expired, asked_run
from collector.center.runs.stored_run import OpenedRun, open_run
from collector.center.web.context import Context, Ctx
from collector.center.web.errors import language_of_program
from collector.center.web.paging import Listed, Listing, as_row
from collector.center.web.routes import api_get
from collector.center.web.runs.api_runs_rows import (
    AreaOut,
    DeterminantOut,
    ExplanationOut,
    LineOut,
    PlantRowOut,
    QuantityOut,
    ReadingOut,
    RecordOut,
    RuleOut,
    RunFindingOut,
    RunOut,
    SegmentOut,
    StepOut,
    UnpaidOut,
    determinant_out,
    run_out,
    segment_rows,
)
from collector.center.web.which_month import month_named

LISTED_PROBLEMS: Final = 5
Number = Annotated[int, PathParameter(ge=1, le=2**53)]
Unit = Annotated[str, PathParameter(max_length=64)]
Service = Annotated[str, PathParameter(max_length=64)]
InState = Annotated[
    Literal["", "queued", "running", "done", "failed", "interrupted", "expired"], QueryParameter(name="state")
]
OfService = Annotated[str, QueryParameter(max_length=64)]
Instant = Annotated[int, QueryParameter(ge=0, le=4_102_444_800_000, description="UTC milliseconds")]


@api_get("/runs", Permission.SEE_OWN, own=True, table=True)
def runs(
    ctx: Ctx,
    listing: Listing,
    month: Annotated[str, QueryParameter(max_length=7)] = "",
    in_state: InState = "",
) -> Listed[RunOut]:
    """Runs, newest first, from the moment they are asked for; those disclosed for a plant's user."""
    wanted = month_named(month) if month else None
    asked = [each for each in reversed(runs_asked(ctx.store, wanted)) if in_state in ("", each.state)]
    found = ctx.read(lambda c: [each for each in asked if may_see_run(c, each.id, ctx.actor)])
    rows = [
        run_out(each, language_of_program(ctx.request), now_ms=ctx.now_ms, most_problems=LISTED_PROBLEMS)
        for each in found
    ]
    return listing.of(rows, RunOut, "runs")


@api_get("/runs/{number:int}", Permission.SEE_OWN, own=True)
def one_run(ctx: Ctx, number: Number) -> RunOut:
    """A run, in whatever state."""
    if not ctx.read(lambda c: may_see_run(c, number, ctx.actor)):
        raise Missing(tr("no such run that you may see"), subject=tr("run {number}", number=number))
    found = ctx.read(lambda c: asked_run(c, number))
    if found is not None and found.is_open:
        mark_lost(ctx.store)
        found = ctx.read(lambda c: asked_run(c, number))
    if found is None:
        raise Missing(tr("no such run that you may see"), subject=tr("run {number}", number=number))
    return run_out(found, language_of_program(ctx.request), now_ms=ctx.now_ms)


@api_get("/runs/{number:int}/lines", Permission.SEE_OWN, own=True, table=True)
def lines(
    ctx: Ctx,
    listing: Listing,
    number: Number,
    plant: Annotated[str, QueryParameter(max_length=64)] = "",
    unit: Annotated[str, QueryParameter(max_length=64)] = "",
    service: OfService = "",
) -> Listed[LineOut]:
    """A line per unit and service; one's own for a plant's user."""
    chosen = [
        as_row(LineOut, line)
        for line in opened(ctx, number).lines
        if ctx.actor.may_see(line.plant)
        and plant in ("", line.plant)
        and unit in ("", line.unit)
        and service in ("", line.service)
    ]
    return listing.of(chosen, LineOut, f"lines-run-{number}")


@api_get("/runs/{number:int}/plants", Permission.SEE_OWN, own=True, table=True)
def plants(ctx: Ctx, listing: Listing, number: Number) -> Listed[PlantRowOut]:
    """Compensation, allocation and net by plant; one's own for a plant's user."""
    rows = [as_row(PlantRowOut, row) for row in opened(ctx, number).plants if ctx.actor.may_see(row.plant)]
    return listing.of(rows, PlantRowOut, f"plants-run-{number}")


@api_get("/runs/{number:int}/areas", Permission.SEE_OWN, own=True, table=True)
def areas(ctx: Ctx, listing: Listing, number: Number) -> Listed[AreaOut]:
    """The totals of each settlement area, which are disclosed to all."""
    rows = [as_row(AreaOut, row) for row in opened(ctx, number).areas]
    return listing.of(rows, AreaOut, f"areas-run-{number}")


@api_get("/runs/{number:int}/findings", Permission.SEE_ALL, table=True)
def run_findings(ctx: Ctx, listing: Listing, number: Number) -> Listed[RunFindingOut]:
    """What a reader of the statement must know."""
    rows = [as_row(RunFindingOut, row) for row in opened(ctx, number).findings]
    return listing.of(rows, RunFindingOut, f"findings-run-{number}")


@api_get("/runs/{number:int}/readings", Permission.SEE_OWN, own=True, table=True)
def readings(ctx: Ctx, listing: Listing, number: Number) -> Listed[ReadingOut]:
    """The readings of open clauses that were adopted; the same for all."""
    rows = [as_row(ReadingOut, row) for row in opened(ctx, number).readings]
    return listing.of(rows, ReadingOut, f"readings-run-{number}")


@api_get("/runs/{number:int}/units/{unit:str}/determinants", Permission.SEE_OWN, own=True, table=True)
def determinants(
    ctx: Ctx, listing: Listing, number: Number, unit: Unit, service: OfService = ""
) -> Listed[DeterminantOut]:
    """What was measured of a unit."""
    run = opened_for_unit(ctx, number, unit)
    rows = [determinant_out(row) for row in run.determinants(unit, service or None)]
    return listing.of(rows, DeterminantOut, f"determinants-{unit}")


@api_get("/runs/{number:int}/units/{unit:str}/segments", Permission.SEE_OWN, own=True, table=True)
def segments(ctx: Ctx, listing: Listing, number: Number, unit: Unit, service: OfService = "") -> Listed[SegmentOut]:
    """The stretches of a unit's month with what they count for, and why not."""
    run = opened_for_unit(ctx, number, unit)
    rows = segment_rows(run.segments(unit, service or None))
    return listing.of(rows, SegmentOut, f"segments-{unit}")


@api_get("/runs/{number:int}/units/{unit:str}/records", Permission.SEE_OWN, own=True, table=True)
def records(
    ctx: Ctx, listing: Listing, number: Number, unit: Unit, from_ms: Instant, to_ms: Instant
) -> Listed[RecordOut]:
    """Records of a unit as the run pinned them, [from_ms, to_ms), at most 2 000 of them."""
    run = opened_for_unit(ctx, number, unit)
    rows = [
        RecordOut(
            time_ms=each.time_ms,
            device_time_ms=each.device_time_ms,
            era=each.era,
            values=[
                QuantityOut(name, None if v.value is None else str(v.value), v.quality.name.lower())
                for name, v in each.values.items()
            ],
        )
        for each in run.records(unit, from_ms, to_ms)
    ]
    return listing.of(rows, RecordOut, f"records-{unit}")


@api_get("/runs/{number:int}/units/{unit:str}/explanation/{service:str}", Permission.SEE_OWN, own=True)
def explanation(
    ctx: Ctx,
    number: Number,
    unit: Unit,
    service: Service,
    area: Annotated[str, QueryParameter(max_length=64)] = "",
    plant: Annotated[str, QueryParameter(max_length=64)] = "",
) -> ExplanationOut:
    """Everything behind one line: steps, rulebook values with their articles, determinants, time not paid.

    `area`, `plant`: which line, where the unit changed one of them in the month; both or none.
    """
    run = opened_for_unit(ctx, number, unit)
    try:
        found = run.explanation(unit, service, (area, plant) if area or plant else None)
    except RuleError as error:
        raise Missing(error.message, subject=error.subject) from error
    return ExplanationOut(
        line=as_row(LineOut, found.line),
        steps=[as_row(StepOut, step) for step in found.line.steps],
        rules=[as_row(RuleOut, rule) for rule in found.line.rules],
        determinant=None if found.determinant is None else determinant_out(found.determinant),
        beside=[determinant_out(row) for row in found.beside],
        readings=[as_row(ReadingOut, row) for row in found.readings],
        not_paid=[UnpaidOut(cause, reason, ms) for (cause, reason), ms in sorted(found.not_paid_ms.items())],
    )


@api_get("/runs/{number:int}/manifest", Permission.SEE_ALL)
def manifest(ctx: Ctx, number: Number) -> dict[str, Any]:
    """The manifest of the statement: versions, hashes of inputs and rulebook, result hash."""
    found: dict[str, Any] = json.loads(json.dumps(opened(ctx, number).manifest))
    return found


def opened(ctx: Context, number: int) -> OpenedRun:
    """A run that the caller may see.

    Raises:
        Missing: there is none, or it is not disclosed: the two are told apart to nobody.
    """
    if not ctx.read(lambda c: may_see_run(c, number, ctx.actor)):
        raise Missing(tr("no such run that you may see"), subject=tr("run {number}", number=number))
    try:
        return open_run(ctx.store, number)
    except Expired:
        raise
    except StoreError as error:
        raise Missing(tr("no such run that you may see"), subject=error.subject) from error


def opened_for_unit(ctx: Context, number: int, unit: str) -> OpenedRun:
    """A run whose rows of a unit the caller may see.

    Raises:
        Missing: there is no such run, it is not disclosed, or it has no such unit, or none of this person's plant.
    """
    run = opened(ctx, number)
    plant = run.plant_of.get(unit)
    if plant is None or not ctx.actor.may_see(plant):
        raise Missing(tr("no such unit in this run that you may see"), subject=tr("unit {unit}", unit=unit))
    return run


ROUTES: Final = [
    runs, one_run, lines, plants, areas, run_findings, readings, determinants, segments, records, explanation, manifest,
]  # fmt: skip
