# SPDX-License-Identifier: GPL-3.0-or-later
"""Supervision, the register of decisions, the audit log."""

from __future__ import annotations

from typing import Annotated, Final

from litestar import Response
from litestar.params import QueryParameter

from collector.base.text import tr
from collector.center.month.decisions import list_decisions
from collector.center.operate.metrics import render_metrics
from collector.center.people import audit
from collector.center.people.access import Permission
from collector.center.web.context import Ctx, Page
from collector.center.web.guards import Open
from collector.center.web.paging import Cursor, window
from collector.center.web.render import NavEntry
from collector.center.web.routes import page

NAVIGATION: Final = (
    NavEntry(tr("Decisions"), "/decisions", Permission.SEE_ALL),
    NavEntry(tr("Audit"), "/audit", Permission.SEE_AUDIT),
)


@page("/healthz", Open.LOOPBACK)
def health() -> Response[str]:
    """The process answers."""
    return Response("ok\n", media_type="text/plain")


@page("/readyz", Open.LOOPBACK)
def ready(ctx: Ctx) -> Response[str]:
    """The store answers too."""
    ctx.read(audit.head)
    return Response("ready\n", media_type="text/plain")


@page("/audit", Permission.SEE_AUDIT)
def audit_page(
    ctx: Ctx,
    before: Annotated[int | None, QueryParameter(ge=1, le=2**62)] = None,
    subject: Annotated[str, QueryParameter(max_length=255)] = "",
    verify: Annotated[bool, QueryParameter()] = False,
) -> Page:
    """Who changed and disclosed what, newest first; with `verify` the whole chain is recomputed."""
    rows = ctx.settings.web.page_rows
    entries = ctx.read(lambda c: audit.list_entries(c, before=before, limit=rows + 1, subject=subject))
    sequence, digest = ctx.read(audit.head)
    return ctx.page(
        "audit.html",
        entries=entries[:rows],
        older=entries[rows - 1]["sequence"] if len(entries) > rows else None,
        before=before,
        subject=subject,
        head=(sequence, digest),
        wrong=ctx.read(audit.verify) if verify else None,
    )


@page("/metrics", Open.LOOPBACK)
def metrics(ctx: Ctx) -> Response[bytes]:
    """What a scrape of this machine gets."""
    counters = ctx.request.app.state.counters
    text = ctx.read(lambda c: render_metrics(c, counters, now_ms=ctx.now_ms))
    return Response(text, media_type="text/plain")


@page("/decisions", Permission.SEE_ALL)
def decisions_page(ctx: Ctx, cursor: Cursor = 0) -> Page:
    """The register of decisions, newest first."""
    rows = ctx.read(lambda c: list_decisions(c, actor=ctx.actor))[::-1]
    shown, older = window(rows, cursor, ctx.settings.web.page_rows)
    return ctx.page("decisions.html", rows=shown, older=older, count=len(rows))


ROUTES: Final = [health, ready, metrics, decisions_page, audit_page]
