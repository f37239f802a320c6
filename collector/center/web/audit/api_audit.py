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
from collector.center.web.paging import Cursor, Format, Limit, Listed, as_file, as_row, listed
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
    """An entry of the register of decisions. `outcome`: granted, refused, withdrawn or open; what a reading adopts."""

    at_ms: int
    kind: str
    subject: str
    outcome: str
    prepared_by: str
    decided_by: str
    document: str
    text: str


@api_get("/audit", Permission.SEE_AUDIT, table=True)
def list_audit(
    ctx: Ctx,
    subject: Subject = "",
    cursor: Cursor = 0,
    limit: Limit = 100,
    format: Format = "json",  # noqa: A002
) -> Listed[AuditOut]:
    """The audit log, newest first. A file holds the newest 100 000 entries."""
    total = ctx.read(audit.head)[0]
    whole = format != "json"
    most = MOST if whole else limit + 1
    found = ctx.read(lambda c: audit.list_entries(c, before=cursor or None, limit=most, subject=subject))
    rows = [as_row(AuditOut, entry) for entry in found]
    if whole:
        return as_file(rows, AuditOut, format, "audit")  # type: ignore[return-value]  # sent as it is
    return Listed(rows[:limit], rows[limit - 1].sequence if len(rows) > limit else None, total)


@api_get("/audit/chain", Permission.SEE_AUDIT)
def verify_audit(ctx: Ctx) -> ChainOut:
    """Recompute the whole chain."""
    sequence, digest = ctx.read(audit.head)
    return ChainOut(sequence, digest, ctx.read(audit.verify))


@api_get("/decisions", Permission.SEE_ALL, table=True)
def register(
    ctx: Ctx,
    cursor: Cursor = 0,
    limit: Limit = 100,
    format: Format = "json",  # noqa: A002
) -> Listed[RegisterOut]:
    """The register of decisions: proposals decided and open, rulings on appeals, readings adopted; oldest first."""
    rows = [as_row(RegisterOut, each) for each in ctx.read(lambda c: list_decisions(c, actor=ctx.actor))]
    return listed(rows, row=RegisterOut, cursor=cursor, limit=limit, form=format, name="decisions")


@api_get("/proposals", Permission.SEE_ALL, table=True)
def list_proposals(
    ctx: Ctx,
    subject: Subject = "",
    waiting: Annotated[bool, QueryParameter(description="only what waits for a decision")] = False,
    cursor: Cursor = 0,
    limit: Limit = 100,
    format: Format = "json",  # noqa: A002
) -> Listed[ProposalOut]:
    """What was proposed to another person, oldest first."""
    found = ctx.read(lambda c: four_eyes.list_proposals(c, subject=subject, open_only=waiting))
    rows = [as_row(ProposalOut, each) for each in found]
    return listed(rows, row=ProposalOut, cursor=cursor, limit=limit, form=format, name="proposals")


ROUTES: Final = [list_audit, verify_audit, register, list_proposals]
