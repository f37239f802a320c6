# SPDX-License-Identifier: GPL-3.0-or-later
"""REST: two runs beside each other, what a change would do to every plant, and a run as a package."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Final

import msgspec
from litestar.params import JSONBody, PathParameter, QueryParameter
from litestar.response import File

from collector.base.errors import Missing
from collector.base.text import tr
from collector.center.inputs.imports import ALL_KINDS
from collector.center.inputs.service import delivered_of
from collector.center.month.review_effect import ask_to_try
from collector.center.people.access import Permission
from collector.center.runs.compare import PlantEffect, compare_runs, effect_by_plant
from collector.center.runs.keeping.kept_packages import keep_package, kept_package
from collector.center.runs.variants.what_if import TableChange, ask_what_if
from collector.center.web.context import Ctx
from collector.center.web.errors import language_of_program
from collector.center.web.paging import Listed, Listing, as_row
from collector.center.web.routes import API, api_get, api_post
from collector.center.web.runs.api_runs import opened
from collector.center.web.shapes import JobOut, job_out

Number = Annotated[int, PathParameter(ge=1, le=2**53)]


class DifferenceOut(msgspec.Struct, frozen=True):
    """A line or plant that is not the same in two runs. `before`, `after`: the cells that differ."""

    subject: str
    service: str
    before: dict[str, str]
    after: dict[str, str]
    causes: list[str]


class EffectOut(msgspec.Struct, frozen=True):
    """A plant in an area, before and after; null where it can't be said."""

    area: str
    plant: str
    compensation_before_yuan: str | None
    compensation_after_yuan: str | None
    compensation_change_yuan: str
    allocation_change_yuan: str | None
    net_before_yuan: str | None
    net_after_yuan: str | None
    net_change_yuan: str | None


class EmptyIn(msgspec.Struct, frozen=True):
    """A note, kept with the run."""

    note: Annotated[str, msgspec.Meta(max_length=1000)] = ""


@api_get("/runs/{number:int}/compare/{other:int}", Permission.SEE_ALL, table=True)
def differences(ctx: Ctx, listing: Listing, number: Number, other: Number) -> Listed[DifferenceOut]:
    """Lines that differ between a run and another of its month, each with what can have caused it."""
    opened(ctx, number)
    opened(ctx, other)
    found = compare_runs(ctx.store, number, other).lines
    rows = [
        DifferenceOut(each.subject, each.service, dict(each.before), dict(each.after), list(each.causes))
        for each in found
    ]
    return listing.of(rows, DifferenceOut, f"compare-{number}-{other}")


@api_get("/runs/{number:int}/effect/{other:int}", Permission.SEE_ALL, table=True)
def effect(ctx: Ctx, listing: Listing, number: Number, other: Number) -> Listed[EffectOut]:
    """What another run of the month changes for every plant, also for those to whom nothing changes."""
    opened(ctx, number)
    opened(ctx, other)
    rows = [_effect(each) for each in effect_by_plant(ctx.store, number, other)]
    return listing.of(rows, EffectOut, f"effect-{number}-{other}")


@api_post("/runs/{number:int}/what-if/{kind:str}", Permission.SETTLE, upload=True)
def try_file(
    ctx: Ctx,
    number: Number,
    kind: Annotated[str, PathParameter(max_length=40)],
    name: Annotated[str, QueryParameter(min_length=1, max_length=200, description="file name, with its ending")],
    note: Annotated[str, QueryParameter(max_length=1000)] = "",
) -> JobOut:
    """Settle a run's inputs with the file that is the body of this request on top; nothing stored changes."""
    run = opened(ctx, number)
    if kind not in ALL_KINDS:
        raise Missing(tr("expected one of {names}", names=", ".join(ALL_KINDS)), subject=kind[:40])
    changes = [TableChange(kind, delivered_of(name, ctx.body))]
    store, actor = ctx.store, ctx.actor
    asking = partial(ask_what_if, store, run.facts.id, changes=changes, actor=actor, note=note)
    return job_out(ctx.runs.start(asking), language_of_program(ctx.request))


@api_post("/reviews/{number:int}/what-if", Permission.SETTLE)
def try_review(ctx: Ctx, number: Number, data: JSONBody[EmptyIn]) -> JobOut:
    """Settle the run a review is about with the remedies beside it: what granting it would do to every plant."""
    return job_out(
        ctx.runs.start(partial(ask_to_try, ctx.store, number, actor=ctx.actor, note=data.note)),
        language_of_program(ctx.request),
    )


@api_post("/runs/{number:int}/package", Permission.SEE_ALL, media_type="application/zip", notes_itself=True)
def package(ctx: Ctx, number: Number) -> File:
    """The run as a package that a third party verifies offline; giving it out is noted in the audit log.

    `content-location` says where the same file can be had for a day, whole or from where a transfer broke off.
    """
    opened(ctx, number)
    made = keep_package(ctx.store, number, actor=ctx.actor)
    headers = {"content-location": f"{ctx.settings.web.base_path}{API}/runs/{number}/packages/{made.made_ms}"}
    return File(made.path, filename=made.path.name, media_type="application/zip", headers=headers)


@api_get("/runs/{number:int}/packages/{made_ms:int}", Permission.SEE_ALL, media_type="application/zip")
def made_package(
    ctx: Ctx, number: Number, made_ms: Annotated[int, PathParameter(ge=0, le=2**53, description="when it was made")]
) -> File:
    """A package that was made within the last day."""
    opened(ctx, number)
    found = kept_package(ctx.store, number, made_ms)
    return File(found.path, filename=found.path.name, media_type="application/zip")


def _effect(found: PlantEffect) -> EffectOut:
    def of(row: object, name: str) -> str | None:
        value = None if row is None else getattr(row, name)
        return None if value is None else str(value)

    return as_row(
        EffectOut,
        found,
        compensation_before_yuan=of(found.before, "compensation_yuan"),
        compensation_after_yuan=of(found.after, "compensation_yuan"),
        net_before_yuan=of(found.before, "net_yuan"),
        net_after_yuan=of(found.after, "net_yuan"),
    )


ROUTES: Final = [differences, effect, try_file, try_review, package, made_package]
