# SPDX-License-Identifier: GPL-3.0-or-later
"""What people deliver: upload with all findings at once, the list of imports, taking one back."""

from __future__ import annotations

from typing import Any, Final

from litestar.params import FromPath

from collector.base.errors import CollectorError, ConfigError, Denied, Problem
from collector.base.text import said_by, tr
from collector.center.inputs.imports import IMPORT_KINDS, Imported, list_imports
from collector.center.inputs.service import deliver, delivered_of, take_back
from collector.center.people.access import Permission
from collector.center.web.context import Context, Ctx, Page
from collector.center.web.errors import problems_of
from collector.center.web.paging import Cursor, window
from collector.center.web.render import NavEntry
from collector.center.web.routes import action, page
from collector.settlement.rulebook.catalogue import SERVICES

NAVIGATION: Final = (NavEntry(tr("Imports"), "/imports", Permission.SEE_ALL),)


@page("/imports", Permission.SEE_ALL)
def imports_page(ctx: Ctx, cursor: Cursor = 0) -> Page:
    """Every import, newest first; above it the upload for those who may."""
    return _page(ctx, cursor)


@action("/imports", Permission.IMPORT, upload=True)
def upload_action(ctx: Ctx) -> Page:
    """Take a file, or show everything that is wrong with it."""
    name, data = ctx.upload("file")
    kind, replace = ctx.form.get("kind", ""), ctx.form.get("replace") == "1"
    try:
        if not name:
            raise ConfigError([Problem("file", 0, "", tr("choose a file"))])
        delivered = delivered_of(name, data)
        done = deliver(ctx.store, kind, delivered, actor=ctx.actor, replace=replace, services=SERVICES)
    except Denied:
        raise
    except CollectorError as error:
        return _page(ctx, 0, status=422, kind=kind, refused=name, error=error)
    return _page(ctx, 0, kind=kind, done=done)


@action("/imports/{number:int}/undo", Permission.IMPORT)
def undo_action(ctx: Ctx, number: FromPath[int]) -> Page:
    """Take an import back."""
    reason = ctx.form.get("reason", "")
    take_back(ctx.store, number, actor=ctx.actor, reason=reason)
    return ctx.redirect("/imports", notice="import_undone")


def _page(
    ctx: Context,
    cursor: int,
    *,
    status: int = 200,
    kind: str = "",
    refused: str = "",
    error: CollectorError | None = None,
    done: Imported | None = None,
) -> Page:
    rows: list[dict[str, Any]] = ctx.read(list_imports)[::-1]
    shown, older = window(rows, cursor, ctx.settings.web.page_rows)
    return ctx.page(
        "imports.html",
        status=status,
        imports=shown,
        older=older,
        count=len(rows),
        kinds=IMPORT_KINDS,
        kind=kind,
        refused=refused,
        message="" if error is None or isinstance(error, ConfigError) else said_by(error),
        problems=[] if error is None else problems_of(error, ctx.language),
        done=done,
        most=ctx.settings.web.max_upload_bytes,
    )


ROUTES: Final = [imports_page, upload_action, undo_action]
