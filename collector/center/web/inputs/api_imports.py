# SPDX-License-Identifier: GPL-3.0-or-later
"""REST: what people deliver. A file is the body of the request; the answer says what it changed, or all findings."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from litestar import Response
from litestar.params import FromPath, JSONBody, PathParameter, QueryParameter

from collector.base.errors import ConfigError, Missing
from collector.base.text import into, tr
from collector.center.inputs.imports import IMPORT_KINDS, KINDS, known_register, list_imports, rows_in_force
from collector.center.inputs.pending import keep_pending
from collector.center.inputs.preview import preview
from collector.center.inputs.service import deliver, delivered_of, read_import, take_back
from collector.center.inputs.under_way import DONE, FileUnderWay, list_takings, needed_taking
from collector.center.people.access import Permission
from collector.center.web.context import Context, Ctx
from collector.center.web.errors import ProblemOut, language_of_program, problem_rows
from collector.center.web.inputs.import_templates import template
from collector.center.web.inputs.marked_file import marked_xlsx
from collector.center.web.month_rules import rules_of_inputs
from collector.center.web.paging import XLSX, Listed, Listing, as_row, attachment
from collector.center.web.routes import api_get, api_post
from collector.center.web.which_month import month_at_work

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
    """The result of an import. `import_id` is null if every row was there already and nothing changed.

    `notes`: how the file was read, where there was a choice.
    """

    import_id: int | None
    added: int
    same: int
    replaced: int
    notes: list[str]


class YuanChangeOut(msgspec.Struct, frozen=True):
    """The revenue of a plant and month after and before an import; null where none is in force."""

    plant: str
    month: str
    before_yuan: str | None
    after_yuan: str


class PreviewOut(msgspec.Struct, frozen=True):
    """The preview of an import. `first`: its first rows, in the order of `columns`; `rows`: their total number.

    `added`, `same` and `replaced` count the new rows, those already in force, and those in force that would be
    replaced; `conflicts` lists the first of these. `changes`: changes of a register or of records, in words. `yuan`:
    changes of revenue.
    """

    kind: str
    columns: list[str]
    first: list[list[str]]
    rows: int
    added: int
    same: int
    replaced: int
    conflicts: list[ProblemOut]
    months: list[str]
    changes: list[str]
    yuan: list[YuanChangeOut]
    notes: list[str]


class TakingOut(msgspec.Struct, frozen=True):
    """A file that is being taken, or was within a day. `state`: running, done, failed, or interrupted (nothing counts).

    `step`: waiting, reading, comparing or writing; `share`: about how much is done, 0 to 1; `left_s`: about how long it
    still takes, null where that can't be said. `import_ids`: what it became. `error`, `problems`: why it failed.
    """

    token: str
    who: str
    name: str
    kinds: list[str]
    asked_ms: int
    began_ms: int | None
    ended_ms: int | None
    state: str
    step: str
    share: float
    left_s: int | None
    import_ids: list[int]
    error: str
    problems: list[ProblemOut]


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
    listing: Listing,
    kind: Annotated[str, QueryParameter(max_length=40)] = "",
) -> Listed[ImportOut]:
    """Every import, newest first."""
    rows = [as_row(ImportOut, each) for each in reversed(ctx.read(list_imports)) if kind in ("", each["kind"])]
    return listing.of(rows, ImportOut, "imports")


@api_get("/imports/{number:int}/file", Permission.SEE_ALL, media_type="application/octet-stream")
def import_file(ctx: Ctx, number: Number) -> Response[bytes]:
    """The file as it was delivered."""
    facts, data = ctx.read(lambda c: read_import(c, number))
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
    result = deliver(ctx.store, kind, delivered, actor=ctx.actor, replace=replace, rules=rules_of_inputs(ctx))
    return as_row(ImportedOut, result)


@api_post("/imports/{kind:str}/later", Permission.IMPORT, upload=True)
def take_later(
    ctx: Ctx,
    kind: ImportKind,
    name: Annotated[str, QueryParameter(min_length=1, max_length=200, description="file name, with its ending")],
    replace: Annotated[bool, QueryParameter(description="conflicting rows take the place of stored ones")] = False,
) -> TakingOut:
    """Have a large file taken that is the body of this request; how far it is stands at `/imports/takings/{token}`."""
    token = keep_pending(ctx.store, name, ctx.body, actor=ctx.actor)
    rules = rules_of_inputs(ctx)
    return _taking_out(ctx, ctx.takings.start(ctx.store, token, [kind], actor=ctx.actor, replace=replace, rules=rules))


@api_get("/imports/takings", Permission.IMPORT, table=True)
def takings(ctx: Ctx, listing: Listing) -> Listed[TakingOut]:
    """The large files that are being taken or were within a day, the latest first."""
    rows = [_taking_out(ctx, each) for each in list_takings(ctx.store, actor=ctx.actor)]
    return listing.of(rows, TakingOut, "takings")


@api_get("/imports/takings/{token:str}", Permission.IMPORT)
def one_taking(ctx: Ctx, token: FromPath[str]) -> TakingOut:
    """How far a large file is."""
    return _taking_out(ctx, needed_taking(ctx.store, token, actor=ctx.actor))


def _taking_out(ctx: Context, taking: FileUnderWay) -> TakingOut:
    language, left_ms = language_of_program(ctx.request), taking.left_ms(ctx.now_ms)
    return TakingOut(
        token=taking.token, who=taking.who, name=taking.name, kinds=taking.kinds, asked_ms=taking.asked_ms,
        began_ms=taking.began_ms, ended_ms=taking.ended_ms, state=taking.state, step=taking.step,
        share=1.0 if taking.state == DONE else float(taking.share), left_s=None if left_ms is None else left_ms // 1000,
        import_ids=taking.numbers, error=into(taking.why, language), problems=problem_rows(taking.found, language),
    )  # fmt: skip


@api_post("/imports/{kind:str}/check", Permission.IMPORT, upload=True)
def check(
    ctx: Ctx,
    kind: ImportKind,
    name: Annotated[str, QueryParameter(min_length=1, max_length=200, description="file name, with its ending")],
) -> PreviewOut:
    """What taking the file that is the body of this request would change; nothing is stored, all findings are told."""
    found = preview(ctx.store, kind, delivered_of(name, ctx.body), rules_of_inputs(ctx))
    language = language_of_program(ctx.request)
    return as_row(
        PreviewOut,
        found,
        first=[list(row) for row in found.first],
        conflicts=problem_rows(found.conflicts, language),
        changes=[str(into(each, language)) for each in found.changes],
        notes=[str(into(each, language)) for each in found.notes],
        yuan=[as_row(YuanChangeOut, each) for each in found.yuan],
    )


@api_post("/imports/{kind:str}/marked", Permission.IMPORT, upload=True, media_type=XLSX)
def marked(
    ctx: Ctx,
    kind: ImportKind,
    name: Annotated[str, QueryParameter(min_length=1, max_length=200, description="file name, with its ending")],
) -> Response[bytes]:
    """The file that is the body of this request as XLSX, its refused cells marked; nothing is stored."""
    delivered, data = delivered_of(name, ctx.body), None
    try:
        preview(ctx.store, kind, delivered, rules_of_inputs(ctx))
    except ConfigError as error:
        data = marked_xlsx(kind, delivered, error.problems, language_of_program(ctx.request))
    if data is None:
        raise Missing(tr("nothing of it can be marked"), subject=delivered.name)
    return attachment(data, f"{delivered.name.rpartition('.')[0]}-marked.xlsx", XLSX)


@api_get("/imports/templates/{name:str}", Permission.SEE_ALL, media_type="application/octet-stream")
def template_file(ctx: Ctx, name: FromPath[str]) -> Response[bytes]:
    """A file to begin with, of a kind and a form: plan.csv, plan.xlsx, register.toml."""
    kind, _, form = name.rpartition(".")
    made = template(kind, form, ctx.read(known_register), month_at_work(ctx.store, ctx.request))
    if made is None:
        raise Missing(tr("there is no such template"), subject=name[:64])
    return attachment(made.data, made.name, "application/octet-stream")


@api_post("/imports/{number:int}/undo", Permission.IMPORT)
def undo(ctx: Ctx, number: Number, data: JSONBody[ReasonIn]) -> ImportOut:
    """Take an import back; what it had replaced is in force again."""
    take_back(ctx.store, number, actor=ctx.actor, reason=data.reason, rules=rules_of_inputs(ctx))
    return as_row(ImportOut, ctx.read(lambda c: read_import(c, number))[0])


@api_get("/inputs/{kind:str}", Permission.SEE_ALL, table=True)
def in_force(ctx: Ctx, listing: Listing, kind: FromPath[str]) -> Listed[RowOut]:
    """The rows of a kind that are in force, as a month settled now would take them."""
    if kind not in KINDS:
        raise Missing(tr("expected one of {names}", names=", ".join(KINDS)), subject=kind[:40])
    columns = list(KINDS[kind].columns)
    cells = ctx.read(lambda c: rows_in_force(c, ctx.store.imported, kind)) or ()
    rows = [RowOut(columns, list(row)) for row in cells]
    return listing.of(rows, RowOut, kind)


ROUTES: Final = [
    list_all, import_file, take, take_later, takings, one_taking, check, marked, template_file, undo, in_force,
]  # fmt: skip
