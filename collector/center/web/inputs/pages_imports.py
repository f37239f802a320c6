# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports: upload with all findings at once, list of imports, undoing one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Final

from litestar import Response
from litestar.params import FromPath, QueryParameter
from sqlalchemy import Connection

from collector.base.errors import CollectorError, ConfigError, Denied, Missing, Problem
from collector.base.text import said_by, tr
from collector.center.inputs.imports import IMPORT_KINDS, REGISTER, Imported, known_register, list_imports
from collector.center.inputs.pending import forget_pending, keep_pending, pending_file
from collector.center.inputs.preview import Preview, preview, recognise_kinds
from collector.center.inputs.service import deliver, deliver_tables, delivered_of, take_back
from collector.center.inputs.under_way import AT_ONCE_BYTES, DONE, RUNNING, FileUnderWay, list_takings, taking_of
from collector.center.people.access import Permission
from collector.center.runs.variants.file_effect import (
    FileEffect,
    ask_for_effect,
    changes_of,
    effects_of_file,
    months_to_try,
)
from collector.center.web.context import Context, Ctx, Page
from collector.center.web.errors import ProblemOut, problems_of
from collector.center.web.inputs.import_templates import template
from collector.center.web.inputs.marked_file import marked_xlsx
from collector.center.web.listing import ListColumn, list_page
from collector.center.web.month_rules import rules_of_inputs
from collector.center.web.paging import XLSX, attachment
from collector.center.web.render import NavEntry
from collector.center.web.routes import action, page
from collector.center.web.which_month import month_at_work, month_named
from collector.model.interval import Month
from collector.sheets.efile import is_efile
from collector.sheets.efile_words import heading_of
from collector.sheets.files import Delivered

NAVIGATION: Final = (NavEntry(tr("Imports"), "/imports", Permission.SEE_ALL),)

OfKind = Annotated[str, QueryParameter(max_length=40)]
_COLUMNS: Final = (
    ListColumn("id", tr("No."), "n"),
    ListColumn("at_ms", tr("Time"), "time"),
    ListColumn("kind", tr("Kind"), words="INPUT_KINDS", choose=True),
    ListColumn("name", tr("File"), href=lambda row: f"/api/v1/imports/{row['id']}/file"),
    ListColumn("who", tr("Who"), choose=True),
    ListColumn("added", tr("Added"), "digits"),
    ListColumn("replaced", tr("Replaced"), "digits"),
    ListColumn("same", tr("There already"), "digits"),
    ListColumn(
        "state", tr("State"), "tag", words="IMPORT_STATES", choose=True, tags={"in_force": "good", "undone": ""},
        value=lambda row: "undone" if row["undone_ms"] else "in_force",
    ),
    ListColumn("undone_ms", tr("Taken back at"), "time", off=True),
    ListColumn("undone_by", tr("Taken back by"), off=True),
    ListColumn("sha256", "SHA-256", "code", off=True),
    ListColumn("act", "", "own"),
)  # fmt: skip


@page("/imports", Permission.SEE_ALL)
def imports_page(
    ctx: Ctx, done: Annotated[int | None, QueryParameter(ge=1, le=2**53)] = None
) -> Page | Response[bytes]:
    """Every import, newest first; above it the upload for those who may. `done`: the import just taken."""
    return _page(ctx, done=None if done is None else ctx.read(lambda c: _imported(c, done)))


@action("/imports", Permission.IMPORT, upload=True)
def upload_action(ctx: Ctx) -> Page | Response[bytes]:
    """Take a file, or show everything that is wrong with it."""
    name, data = ctx.upload("file")
    kind, replace = ctx.form.get("kind", ""), ctx.form.get("replace") == "1"
    try:
        if not name:
            raise ConfigError([Problem("file", 0, "", tr("choose a file"))])
        delivered = delivered_of(name, data)
        done = deliver(ctx.store, kind, delivered, actor=ctx.actor, replace=replace, rules=rules_of_inputs(ctx))
    except Denied:
        raise
    except CollectorError as error:
        return _page(ctx, status=422, kind=kind, refused=name, error=error)
    return _led_on(ctx, [done])


@action("/imports/check", Permission.IMPORT, upload=True)
def check_action(ctx: Ctx) -> Page | Response[bytes]:
    """Keep an uploaded file as pending, and redirect to the preview of its changes. It is not in force yet."""
    name, data = ctx.upload("file")
    kind = ctx.form.get("kind", "")
    try:
        if not name:
            raise ConfigError([Problem("file", 0, "", tr("choose a file"))])
        token = keep_pending(ctx.store, name, data, actor=ctx.actor)
    except ConfigError as error:
        return _page(ctx, status=422, kind=kind, refused=name, error=error)
    return ctx.redirect(f"/imports/pending/{token}", kind=kind) if kind else ctx.redirect(f"/imports/pending/{token}")


@page("/imports/pending/{token:str}", Permission.IMPORT)
def pending_page(ctx: Ctx, token: FromPath[str], kind: OfKind = "") -> Page:
    """The preview of a pending file: its kind and changes, with yuan where known, or all its errors.

    For a file that is being imported: its progress, or the reason why the import failed.
    """
    taking = taking_of(ctx.store, token)
    if taking is not None and taking.who == ctx.actor.name:
        if taking.state == DONE:
            return _to_imports(ctx, taking.numbers)
        if taking.state == RUNNING:
            return ctx.page("import_under_way.html", taking=taking, now_ms=ctx.now_ms)
    delivered = pending_file(ctx.store, token, actor=ctx.actor)
    kinds = [kind] if kind else recognise_kinds(delivered)
    found: list[Preview] = []
    refused: list[tuple[str, list[ProblemOut], str]] = []
    several = is_efile(delivered)
    for each in kinds if several else kinds[:1]:
        try:
            rules = rules_of_inputs(ctx)
            found.append(preview(ctx.store, each, delivered, rules, with_register=several and REGISTER in kinds))
        except CollectorError as error:
            why = "" if isinstance(error, ConfigError) else said_by(error)
            refused.append((each, problems_of(error, ctx.language), why))
    offered, effects = _effects(ctx, found, delivered)
    return ctx.page(
        "import_preview.html",
        token=token,
        name=delivered.name,
        size=len(delivered.kept),
        found=found,
        heads={each.kind: [(heading_of(each.kind, column), "") for column in each.columns] for each in found},
        refused=refused,
        kinds=IMPORT_KINDS,
        kind=kind or (kinds[0] if kinds else ""),
        taken=",".join(each.kind for each in found),
        taking=taking,
        offered=[(str(month), str(month)) for month in offered],
        effects=effects,
        waiting=[each.run for each in effects if each.run.is_open],
        now_ms=ctx.now_ms,
    )


def _effects(
    ctx: Context, found: Sequence[Preview], delivered: Delivered
) -> tuple[Sequence[Month], Sequence[FileEffect]]:
    """The months a file can be tried on, its likeliest first, and its effects that were asked for."""
    kinds, touched = [each.kind for each in found], {month for each in found for month in each.months}
    if not changes_of(kinds, delivered):
        return (), ()
    months = months_to_try(ctx.store, touched)
    likely = [month for month in months if str(month) in touched] or months[-1:]
    effects = effects_of_file(ctx.store, kinds, delivered, months, actor=ctx.actor)
    return [*likely[-1:], *(month for month in months if month not in likely[-1:])], effects


@page("/imports/pending/{token:str}/marked.xlsx", Permission.IMPORT)
def marked_file(ctx: Ctx, token: FromPath[str], kind: OfKind = "") -> Response[bytes]:
    """The file with its refused cells marked."""
    delivered = pending_file(ctx.store, token, actor=ctx.actor)
    data: bytes | None = None
    try:
        preview(ctx.store, kind, delivered, rules_of_inputs(ctx))
    except ConfigError as error:
        data = marked_xlsx(kind, delivered, error.problems, ctx.language)
    if data is None:
        raise Missing(tr("nothing of it can be marked"), subject=delivered.name)
    return attachment(data, f"{delivered.name.rpartition('.')[0]}-marked.xlsx", XLSX)


@action("/imports/pending/{token:str}/effect", Permission.SETTLE)
def effect_action(ctx: Ctx, token: FromPath[str]) -> Page:
    """Settle a month as it would be with a pending file, in the background; nothing of the file is imported."""
    ctx.actor.require(Permission.IMPORT)
    delivered, kinds = pending_file(ctx.store, token, actor=ctx.actor), ctx.form.get("kind", "").split(",")
    month = month_named(ctx.form.get("month", ""))
    ctx.runs.start(partial(ask_for_effect, ctx.store, kinds, delivered, month, actor=ctx.actor))
    path = f"/imports/pending/{token}"
    if len(kinds) > 1:  # a file of several tables is shown whole
        return ctx.redirect(path, notice="run_begun")
    return ctx.redirect(path, kind=kinds[0], notice="run_begun")


@action("/imports/pending/{token:str}", Permission.IMPORT)
def take_action(ctx: Ctx, token: FromPath[str]) -> Page:
    """Import the file that was previewed, or discard it."""
    if ctx.chosen("do", "take", "forget") == "forget":
        pending_file(ctx.store, token, actor=ctx.actor)
        forget_pending(ctx.store, token)
        return ctx.redirect("/imports", notice="import_forgotten")
    delivered = pending_file(ctx.store, token, actor=ctx.actor)
    kinds, replace = ctx.form.get("kind", "").split(","), ctx.form.get("replace") == "1"
    if len(delivered.kept) > AT_ONCE_BYTES:
        rules = rules_of_inputs(ctx)
        ctx.takings.start(ctx.store, token, kinds, actor=ctx.actor, replace=replace, rules=rules)
        return ctx.redirect(f"/imports/pending/{token}")
    done = deliver_tables(
        ctx.store, kinds, delivered, actor=ctx.actor, replace=replace, rules=rules_of_inputs(ctx)
    )  # fmt: skip
    forget_pending(ctx.store, token)
    return _led_on(ctx, done)


@page("/imports/templates/{name:str}", Permission.SEE_ALL)
def template_file(ctx: Ctx, name: FromPath[str]) -> Response[bytes]:
    """A file to begin with, of a kind and a form: plan.csv, plan.xlsx, register.toml."""
    kind, _, form = name.rpartition(".")
    known = ctx.read(known_register)
    made = template(kind, form, known, month_at_work(ctx.store, ctx.request))
    if made is None:
        raise Missing(tr("there is no such template"), subject=name[:64])
    return attachment(made.data, made.name, {"csv": "text/csv", "xlsx": XLSX}.get(form, "application/toml"))


@action("/imports/{number:int}/undo", Permission.IMPORT)
def undo_action(ctx: Ctx, number: FromPath[int]) -> Page:
    """Take an import back."""
    reason = ctx.form.get("reason", "")
    take_back(ctx.store, number, actor=ctx.actor, reason=reason, rules=rules_of_inputs(ctx))
    return ctx.redirect("/imports", notice="import_undone")


def _page(
    ctx: Context,
    *,
    status: int = 200,
    kind: str = "",
    refused: str = "",
    error: CollectorError | None = None,
    done: Imported | None = None,
) -> Page | Response[bytes]:
    rows: list[dict[str, Any]] = ctx.read(list_imports)[::-1]
    return list_page(
        ctx,
        "imports.html",
        _COLUMNS,
        rows,
        name="imports",
        status=status,
        kinds=IMPORT_KINDS,
        kind=kind,
        refused=refused,
        message="" if error is None or isinstance(error, ConfigError) else said_by(error),
        problems=[] if error is None else problems_of(error, ctx.language),
        done=done,
        takings=_unfinished(ctx),
        now_ms=ctx.now_ms,
        most=ctx.settings.web.max_upload_bytes,
    )


def _led_on(ctx: Context, done: Sequence[Imported]) -> Page:
    """Redirect to the list of imports, which names those just made."""
    return _to_imports(ctx, [each.import_id for each in done if each.import_id is not None])


def _to_imports(ctx: Context, numbers: Sequence[int]) -> Page:
    return (
        ctx.redirect("/imports", done=numbers[-1]) if numbers else ctx.redirect("/imports", notice="import_nothing_new")
    )


def _unfinished(ctx: Context) -> list[FileUnderWay]:
    """Files of today that are being taken, or came to nothing, for those who import."""
    if not ctx.actor.may(Permission.IMPORT):
        return []
    return [each for each in list_takings(ctx.store, actor=ctx.actor) if each.state != DONE]


def _imported(connection: Connection, number: int) -> Imported | None:
    row = next((each for each in list_imports(connection) if each["id"] == number), None)
    return None if row is None else Imported(number, row["added"], row["same"], row["replaced"])


ROUTES: Final = [
    imports_page, upload_action, undo_action, check_action, pending_page, marked_file, effect_action, take_action,
    template_file,
]  # fmt: skip
