# SPDX-License-Identifier: GPL-3.0-or-later
"""REST: the audit log and the register of decisions."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from litestar.params import QueryParameter

from collector.center.month.decisions import list_decisions
from collector.center.people import audit, four_eyes
from collector.center.people.access import Permission
from collector.center.web.context import Ctx
from collector.center.web.paging import Listed, Listing, as_row
from collector.center.web.routes import api_get

MOST: Final = 100_000
Subject = Annotated[str, QueryParameter(max_length=255)]


class AuditOut(msgspec.Struct, frozen=True):
    """An entry. `hash` is SHA-256 over the JSON list of the fields before it, in this order."""

    sequence: int
    at_ms: int
    who: str
    role: str
    action: str
    subject: str
    detail: dict[str, Any]
    previous: str
    hash: str


class ChainOut(msgspec.Struct, frozen=True):
    """The head of the chain, and what is wrong with it: nothing, where every entry is as it was written."""

    sequence: int
    hash: str
    wrong: list[str]


class ProposalOut(msgspec.Struct, frozen=True):
    """A proposal and what was decided. `decision`: granted, refused, or null while open."""

    id: int
    kind: str
    subject: str
    content: dict[str, Any]
    prepared_by: str
    prepared_ms: int
    decision: str | None
    decided_by: str | None
    decided_ms: int | None
    note: str
    document: str


class RegisterOut(msgspec.Struct, frozen=True):
    """An entry of the register of decisions. `outcome`: granted, refused, withdrawn or open; what a reading adopts.

    `office`: of a ruling, the office that rules on disputes of the area (Art. 29).
    """

    at_ms: int
    kind: str
    subject: str
    outcome: str
    prepared_by: str
    decided_by: str
    document: str
    text: str
    office: str


@api_get("/audit", Permission.SEE_AUDIT, table=True)
def list_audit(
    ctx: Ctx,
    listing: Listing,
    subject: Subject = "",
    who: Annotated[str, QueryParameter(max_length=64)] = "",
    action: Annotated[str, QueryParameter(max_length=64)] = "",
    from_ms: Annotated[int | None, QueryParameter(ge=0, le=2**53)] = None,
    to_ms: Annotated[int | None, QueryParameter(ge=0, le=2**53)] = None,
) -> Listed[AuditOut]:
    """The audit log, newest first. A file holds the newest 100 000 entries."""
    total = ctx.read(audit.head)[0]
    most = MOST if listing.is_file else listing.limit + 1
    found = ctx.read(
        lambda c: audit.list_entries(
            c, before=listing.cursor or None, limit=most, subject=subject, who=who, action=action,
            since_ms=from_ms, until_ms=to_ms,
        )
    )  # fmt: skip
    rows = [as_row(AuditOut, entry) for entry in found]
    if listing.is_file:
        return listing.of(rows, AuditOut, "audit")
    shown = rows[: listing.limit]
    return Listed(shown, shown[-1].sequence if len(rows) > listing.limit else None, total)


@api_get("/audit/chain", Permission.SEE_AUDIT)
def verify_audit(ctx: Ctx) -> ChainOut:
    """Recompute the whole chain."""
    sequence, digest = ctx.read(audit.head)
    return ChainOut(sequence, digest, ctx.read(audit.verify))


@api_get("/decisions", Permission.SEE_ALL, table=True)
def register(ctx: Ctx, listing: Listing) -> Listed[RegisterOut]:
    """The register of decisions: proposals decided and open, rulings on appeals, readings adopted; oldest first."""
    rows = [as_row(RegisterOut, each) for each in ctx.read(lambda c: list_decisions(c, actor=ctx.actor))]
    return listing.of(rows, RegisterOut, "decisions")


@api_get("/proposals", Permission.SEE_ALL, table=True)
def list_proposals(
    ctx: Ctx,
    listing: Listing,
    subject: Subject = "",
    waiting: Annotated[bool, QueryParameter(description="only what waits for a decision")] = False,
) -> Listed[ProposalOut]:
    """What was proposed to another person, oldest first."""
    found = ctx.read(lambda c: four_eyes.list_proposals(c, subject=subject, open_only=waiting))
    rows = [as_row(ProposalOut, each) for each in found]
    return listing.of(rows, ProposalOut, "proposals")


ROUTES: Final = [list_audit, verify_audit, register, list_proposals]
