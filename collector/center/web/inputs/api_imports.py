# SPDX-License-Identifier: GPL-3.0-or-later
"""REST: what people deliver. A file is the body of the request; the answer says what it changed, or all findings."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from litestar import Response
from litestar.params import FromPath, JSONBody, PathParameter, QueryParameter

from collector.base.errors import StoreError
from collector.base.text import tr
from collector.center.inputs.imports import IMPORT_KINDS, KINDS, list_imports, rows_in_force
from collector.center.inputs.service import deliver, delivered_of, read_import, take_back
from collector.center.people.access import Permission
from collector.center.web.context import Ctx
from collector.center.web.errors import Missing
from collector.center.web.paging import Cursor, Format, Limit, Listed, as_row, attachment, listed
from collector.center.web.routes import api_get, api_post
from collector.settlement.rulebook.catalogue import SERVICES

Number = Annotated[int, PathParameter(ge=1, le=2**53)]
ImportKind = Annotated[str, PathParameter(max_length=40, description=", ".join(IMPORT_KINDS))]


class ImportOut(msgspec.Struct, frozen=True):
    """An import: who delivered which file when, and what it changed. `undone_ms`: taken back."""

    id: int
    kind: str
    name: str
    sha256: str
    who: str
    at_ms: int
    added: int
    same: int
    replaced: int
    undone_ms: int | None
    undone_by: str | None


class ImportedOut(msgspec.Struct, frozen=True):
    """What a delivery did. `import_id`: null where every row was there already and nothing changed."""

    import_id: int | None
    added: int
    same: int
    replaced: int


class ReasonIn(msgspec.Struct, frozen=True):
    """Why."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class RowOut(msgspec.Struct, frozen=True):
    """A row in force. `cells`: along the kind's columns; times as UTC milliseconds."""

    columns: list[str]
    cells: list[str]


@api_get("/imports", Permission.SEE_ALL, table=True)
def list_all(
    ctx: Ctx,
    kind: Annotated[str, QueryParameter(max_length=40)] = "",
    cursor: Cursor = 0,
    limit: Limit = 100,
    format: Format = "json",  # noqa: A002
) -> Listed[ImportOut]:
    """Every import, newest first."""
    rows = [as_row(ImportOut, each) for each in reversed(ctx.read(list_imports)) if kind in ("", each["kind"])]
    return listed(rows, row=ImportOut, cursor=cursor, limit=limit, form=format, name="imports")


@api_get("/imports/{number:int}/file", Permission.SEE_ALL, media_type="application/octet-stream")
def import_file(ctx: Ctx, number: Number) -> Response[bytes]:
    """The file as it was delivered."""
    try:
        facts, data = ctx.read(lambda c: read_import(c, number))
    except StoreError as error:
        raise Missing(error.message, subject=error.subject) from error
    return attachment(data, facts["name"], "application/octet-stream")


@api_post("/imports/{kind:str}", Permission.IMPORT, upload=True)
def take(
    ctx: Ctx,
    kind: ImportKind,
    name: Annotated[str, QueryParameter(min_length=1, max_length=200, description="file name, with its ending")],
    replace: Annotated[bool, QueryParameter(description="conflicting rows take the place of stored ones")] = False,
) -> ImportedOut:
    """Take a file (CSV, XLSX, E text, register TOML, records Parquet) that is the body of this request, or nothing."""
    delivered = delivered_of(name, ctx.body)
    result = deliver(ctx.store, kind, delivered, actor=ctx.actor, replace=replace, services=SERVICES)
    return as_row(ImportedOut, result)


@api_post("/imports/{number:int}/undo", Permission.IMPORT)
def undo(ctx: Ctx, number: Number, data: JSONBody[ReasonIn]) -> ImportOut:
    """Take an import back; what it had replaced is in force again."""
    take_back(ctx.store, number, actor=ctx.actor, reason=data.reason)
    return as_row(ImportOut, ctx.read(lambda c: read_import(c, number))[0])


@api_get("/inputs/{kind:str}", Permission.SEE_ALL, table=True)
def in_force(
    ctx: Ctx,
    kind: FromPath[str],
    cursor: Cursor = 0,
    limit: Limit = 100,
    format: Format = "json",  # noqa: A002
) -> Listed[RowOut]:
    """The rows of a kind that are in force, as a month settled now would take them."""
    if kind not in KINDS:
        raise Missing(tr("expected one of {names}", names=", ".join(KINDS)), subject=kind[:40])
    columns = list(KINDS[kind].columns)
    cells = ctx.read(lambda c: rows_in_force(c, ctx.store.imported, kind)) or ()
    rows = [RowOut(columns, list(row)) for row in cells]
    return listed(rows, row=RowOut, cursor=cursor, limit=limit, form=format, name=kind)


ROUTES: Final = [list_all, import_file, take, undo, in_force]
