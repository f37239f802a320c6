# SPDX-License-Identifier: GPL-3.0-or-later
"""Supervision, the register of decisions, the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Final

from litestar import Response
from litestar.params import QueryParameter

from collector.base.text import full_width, join, tr, tr_in
from collector.center.inputs.names import plant_names
from collector.center.month.decisions import READING, Decision, list_decisions
from collector.center.operate.metrics import render_metrics
from collector.center.operate.readiness import why_not_ready
from collector.center.people import audit
from collector.center.people.access import Permission
from collector.center.runs.rulebooks import rulebook_of, rulebook_path
from collector.center.web.audit.audit_words import ACTIONS, said_action, said_detail, said_subject
from collector.center.web.context import Ctx, Page
from collector.center.web.guards import Open
from collector.center.web.listing import ListColumn, list_page
from collector.center.web.render import NavEntry
from collector.center.web.routes import page
from collector.center.web.typed import day_of
from collector.model.interval import DAY_MS, local_midnight_ms

NAVIGATION: Final = (
    NavEntry(tr("Decisions"), "/decisions", Permission.SEE_ALL),
    NavEntry(tr("Audit"), "/audit", Permission.SEE_AUDIT),
)

# Actions on accounts of persons, whose names are no names of plants.
_OF_PERSONS: Final = ("account", "digest", "second_factor", "session", "token")


def _decisions(names: Mapping[str, str]) -> tuple[ListColumn, ...]:
    def text(row: Decision) -> str:
        return join("; ", filter(None, (row.note, said_detail(row.content, names))))

    return (
        ListColumn("at_ms", tr("Time"), "time"),
        ListColumn("kind", tr("Kind"), words="PROPOSALS", choose=True),
        ListColumn("subject", tr("Subject"), value=lambda row: said_subject(row.subject, names)),
        ListColumn(
            "outcome", tr("Decision"), "tag", words="DECISIONS", choose=True,
            tags={"granted": "good", "refused": "bad", "open": "warn"},
        ),
        ListColumn("prepared_by", tr("Prepared by"), choose=True),
        ListColumn("decided_by", tr("Decided by"), choose=True),
        ListColumn("office", tr("Rules on a dispute (Art. 29)"), choose=True),
        ListColumn("document", tr_in("number", "Document")),
        ListColumn("text", tr("Note"), value=text),
    )  # fmt: skip


@page("/healthz", Open.LOOPBACK)
def health() -> Response[str]:
    """Answer as long as the process runs."""
    return Response("ok\n", media_type="text/plain")


@page("/readyz", Open.LOOPBACK)
def ready(ctx: Ctx) -> Response[str]:
    """Answer 200 if the store can be read and can commit, else 503 with all reasons."""
    found = why_not_ready(ctx.store)
    return Response("\n".join(found or ["ready"]) + "\n", media_type="text/plain", status_code=503 if found else 200)


@page("/audit", Permission.SEE_AUDIT)
def audit_page(
    ctx: Ctx,
    before: Annotated[int | None, QueryParameter(ge=1, le=2**62)] = None,
    subject: Annotated[str, QueryParameter(max_length=255)] = "",
    who: Annotated[str, QueryParameter(max_length=64)] = "",
    doing: Annotated[str, QueryParameter(name="action", max_length=64)] = "",
    since: Annotated[str, QueryParameter(max_length=10)] = "",
    until: Annotated[str, QueryParameter(max_length=10)] = "",
    verify: Annotated[bool, QueryParameter()] = False,
) -> Page:
    """The audit log (changes and disclosures), newest first, filtered by person, action and days.

    With `verify`, the hash chain of all entries is recomputed.
    """
    rows = ctx.settings.web.page_rows
    first, last = (None if not text else local_midnight_ms(day_of(text)) for text in (since, until))
    entries = ctx.read(
        lambda c: audit.list_entries(
            c, before=before, limit=rows + 1, subject=subject, who=who, action=doing,
            since_ms=first, until_ms=None if last is None else last + DAY_MS,
        )
    )  # fmt: skip
    sequence, digest = ctx.read(audit.head)
    names = ctx.read(plant_names)
    return ctx.page(
        "audit.html",
        entries=[
            (
                each,
                said_action(each["action"]),
                said_detail(each["detail"], names),
                said_subject(each["subject"], {} if each["action"].partition(".")[0] in _OF_PERSONS else names),
            )
            for each in entries[:rows]
        ],
        older=entries[rows - 1]["sequence"] if len(entries) > rows else None,
        chosen={"subject": subject, "who": who, "action": doing, "since": since, "until": until},
        actions=ACTIONS,
        head=(sequence, digest),
        wrong=ctx.read(audit.verify) if verify else None,
    )


@page("/metrics", Open.LOOPBACK)
def metrics(ctx: Ctx) -> Response[bytes]:
    """The metrics of this machine for a Prometheus scrape."""
    counters = ctx.request.app.state.counters
    text = ctx.read(lambda c: render_metrics(c, counters, now_ms=ctx.now_ms))
    return Response(text, media_type="text/plain")


@page("/decisions", Permission.SEE_ALL)
def decisions_page(ctx: Ctx) -> Page | Response[bytes]:
    """The register of decisions, newest first."""
    readings = rulebook_of(rulebook_path(ctx.settings)).readings

    def adopted(row: Decision) -> Decision:
        """Replace the code of an adopted reading by its text in the reader's language."""
        reading = readings.get(row.subject) if row.kind == READING else None
        if reading is None or ctx.language != "zh":
            return row
        return replace(row, outcome=full_width(reading.choices_zh.get(row.outcome, row.outcome)))

    rows = [adopted(each) for each in ctx.read(lambda c: list_decisions(c, actor=ctx.actor))[::-1]]
    return list_page(ctx, "decisions.html", _decisions(ctx.read(plant_names)), rows, name="decisions")


OF_THE_PROCESS: Final = [health, ready, metrics]  # a process without pages answers these too
ROUTES: Final = [*OF_THE_PROCESS, decisions_page, audit_page]
