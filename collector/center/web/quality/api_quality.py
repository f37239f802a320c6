# SPDX-License-Identifier: GPL-3.0-or-later
"""REST: what comes in and what is wrong with it: completeness, alarms, findings, substitutions."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from litestar.params import JSONBody, PathParameter, QueryParameter

from collector.base.errors import StoreError
from collector.base.text import tr
from collector.center.operate.alarms import list_alarms
from collector.center.operate.status import read_status
from collector.center.people.access import Permission
from collector.center.quality.substitution import (
    decide_substitution,
    decide_withdrawal,
    list_substitutions,
    propose_substitution,
    propose_withdrawal,
)
from collector.center.quality.validation import list_findings
from collector.center.runs.data_policy import hold_limit_s
from collector.center.runs.rulebooks import rulebook_of, rulebook_path
from collector.center.web.context import Ctx, own_plant
from collector.center.web.paging import Listed, Listing, as_row
from collector.center.web.routes import api_get, api_post
from collector.center.web.shapes import DecisionIn, DoneOut, Instant, MonthPath, NumberOut, Text
from collector.center.web.which_month import month_named
from collector.model.interval import Interval

OfPlant = Annotated[str, QueryParameter(max_length=64)]
OfUnit = Annotated[str, QueryParameter(max_length=64)]
Number = Annotated[int, PathParameter(ge=1, le=2**53)]


class UnitStatusOut(msgspec.Struct, frozen=True):
    """A unit over the elapsed part of a month. `known_min`: minutes with a record or held from one."""

    plant: str
    unit: str
    last_record_ms: int | None
    received: int
    known_min: int
    elapsed_min: int
    gaps: int


class AlarmOut(msgspec.Struct, frozen=True):
    """An alarm. `until_ms`: null while it stands."""

    id: int
    code: str
    subject: str
    since_ms: int
    until_ms: int | None
    text: str


class FindingOut(msgspec.Struct, frozen=True):
    """Something implausible in a stored day. `closed_ms`: a newer day file no longer has it."""

    id: int
    code: str
    plant: str
    unit: str
    day: str
    quantity: str
    start_ms: int
    end_ms: int
    found: str
    expected: str
    first_seen_ms: int
    last_seen_ms: int
    closed_ms: int | None


class SubstitutionOut(msgspec.Struct, frozen=True):
    """A value in place of another one; the original stays. `state`: open, refused, in_force or withdrawn."""

    id: int
    plant: str
    unit: str
    quantity: str
    start_ms: int
    end_ms: int
    value: str
    fill_s: int | None
    method: str
    reason: str
    state: str
    proposal_id: int
    prepared_by: str
    prepared_ms: int
    decided_by: str | None
    decided_ms: int | None
    withdrawn_ms: int | None
    withdrawn_by: str | None
    withdrawn_reason: str | None
    withdrawal_by: str | None
    withdrawal_reason: str | None


class SubstitutionIn(msgspec.Struct, frozen=True):
    """A value to be put in place, [start_ms, end_ms). `fill_s`: also where no record is, every so many seconds."""

    unit: Annotated[str, msgspec.Meta(max_length=64)]
    quantity: Annotated[str, msgspec.Meta(max_length=64)]
    start_ms: Instant
    end_ms: Instant
    value: Annotated[str, msgspec.Meta(max_length=40)]
    method: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    reason: Text
    fill_s: Annotated[int, msgspec.Meta(ge=1, le=3600)] | None = None


class WhyIn(msgspec.Struct, frozen=True):
    """Why."""

    reason: Text


@api_get("/months/{month:str}/completeness", Permission.SEE_OWN, own=True, table=True)
def completeness(ctx: Ctx, listing: Listing, month: MonthPath) -> Listed[UnitStatusOut]:
    """Units over a month: last record, records, known minutes, gaps; one's own for a plant's user."""
    wanted = month_named(month)
    rulebook = rulebook_of(rulebook_path(ctx.settings))
    hold_s = ctx.read(lambda c: hold_limit_s(c, wanted, rulebook))
    found = ctx.read(lambda c: read_status(c, wanted, now_ms=ctx.now_ms, hold_limit_s=hold_s)).units
    rows = [as_row(UnitStatusOut, each) for each in found if ctx.actor.may_see(each.plant)]
    return listing.of(rows, UnitStatusOut, f"completeness-{month}")


@api_get("/alarms", Permission.SEE_OWN, own=True, table=True)
def alarms(
    ctx: Ctx,
    listing: Listing,
    cleared: Annotated[bool, QueryParameter(description="those that stand no longer, too")] = False,
) -> Listed[AlarmOut]:
    """Alarms, newest first; of one's own plant for a plant's user."""
    found = ctx.read(lambda c: list_alarms(c, include_cleared=cleared, plant=own_plant(ctx)))
    rows = [as_row(AlarmOut, each) for each in found]
    return listing.of(rows, AlarmOut, "alarms")


@api_get("/findings", Permission.SEE_OWN, own=True, table=True)
def findings(
    ctx: Ctx,
    listing: Listing,
    month: Annotated[str, QueryParameter(max_length=7)] = "",
    plant: OfPlant = "",
    unit: OfUnit = "",
    closed: Annotated[bool, QueryParameter(description="those that are gone, too")] = False,
) -> Listed[FindingOut]:
    """What is implausible in the records stored, by day; of one's own plant for a plant's user."""
    wanted = month_named(month) if month else None
    whose = own_plant(ctx) or plant
    found = ctx.read(lambda c: list_findings(c, month=wanted, plant=whose, unit=unit, include_closed=closed))
    rows = [as_row(FindingOut, each) for each in found]
    return listing.of(rows, FindingOut, "findings")


@api_get("/substitutions", Permission.SEE_OWN, own=True, table=True)
def substitutions(ctx: Ctx, listing: Listing, unit: OfUnit = "") -> Listed[SubstitutionOut]:
    """Values put in place of others, oldest first; of one's own plant for a plant's user."""
    found = ctx.read(lambda c: list_substitutions(c, unit=unit, plant=own_plant(ctx)))
    rows = [as_row(SubstitutionOut, each) for each in found]
    return listing.of(rows, SubstitutionOut, "substitutions")


@api_post("/substitutions", Permission.PREPARE)
def propose(ctx: Ctx, data: JSONBody[SubstitutionIn]) -> NumberOut:
    """Propose a substitution; another person decides it."""
    if data.start_ms >= data.end_ms:
        raise StoreError(tr("end_ms is not after start_ms"), subject=data.unit)
    interval = Interval(data.start_ms, data.end_ms)
    return NumberOut(
        ctx.write(
            lambda c: propose_substitution(
                c, actor=ctx.actor, unit=data.unit, quantity=data.quantity, interval=interval, value=data.value,
                method=data.method, reason=data.reason, fill_s=data.fill_s, now_ms=ctx.now_ms,
            )
        )
    )  # fmt: skip


@api_post("/substitutions/{number:int}/decide", Permission.APPROVE)
def decide(ctx: Ctx, number: Number, data: JSONBody[DecisionIn]) -> DoneOut:
    """Grant or refuse a substitution that somebody else proposed."""
    ctx.write(
        lambda c: decide_substitution(
            c, number, actor=ctx.actor, granted=data.granted, note=data.note, now_ms=ctx.now_ms
        )
    )
    return DoneOut()


@api_post("/substitutions/{number:int}/withdraw", Permission.PREPARE)
def withdraw(ctx: Ctx, number: Number, data: JSONBody[WhyIn]) -> NumberOut:
    """Propose to take a substitution back; another person decides it."""
    return NumberOut(
        ctx.write(lambda c: propose_withdrawal(c, number, actor=ctx.actor, reason=data.reason, now_ms=ctx.now_ms))
    )


@api_post("/substitutions/{number:int}/withdraw/decide", Permission.APPROVE)
def withdrawal(ctx: Ctx, number: Number, data: JSONBody[DecisionIn]) -> DoneOut:
    """Grant or refuse taking a substitution back; granted, the original value counts again."""
    ctx.write(
        lambda c: decide_withdrawal(c, number, actor=ctx.actor, granted=data.granted, note=data.note, now_ms=ctx.now_ms)
    )
    return DoneOut()


ROUTES: Final = [completeness, alarms, findings, substitutions, propose, decide, withdraw, withdrawal]
