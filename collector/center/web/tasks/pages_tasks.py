# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks that wait for the reader: since when, due when, and the page where each is done."""

from __future__ import annotations

from datetime import date
from typing import Final

import msgspec
from litestar import Response

from collector.base.text import into, tr
from collector.center.operate.inbox.tasks import WaitingTask
from collector.center.people.access import Permission
from collector.center.web.context import Ctx, Page
from collector.center.web.errors import language_of_program
from collector.center.web.listing import ListColumn, list_page
from collector.center.web.paging import Listed, Listing
from collector.center.web.render import NavEntry
from collector.center.web.routes import api_get, page
from collector.model.interval import local_day


class TaskOut(msgspec.Struct, frozen=True):
    """Something that waits for the caller. `path`: the page where it is done; `due`: local day, null where none is."""

    kind: str
    text: str
    since_ms: int
    due: str | None
    late: bool
    path: str


def _columns(today: date) -> tuple[ListColumn, ...]:
    def standing(row: WaitingTask) -> str:
        return "late" if row.is_late(today) else "today" if row.due == today else ""

    return (
        ListColumn("kind", tr("What is to be done"), words="TASKS", href=lambda row: row.path, choose=True),
        ListColumn("text", tr("About")),
        ListColumn("since_ms", tr("Waits since"), "time"),
        ListColumn("due", tr("Due"), "day"),
        ListColumn(
            "standing", tr("Status"), "tag", words="TASK_STANDINGS", value=standing, choose=True,
            tags={"late": "bad", "today": "warn"},
        ),
        ListColumn(
            "days_late", tr("Days late"), "digits",
            value=lambda row: (today - row.due).days if row.is_late(today) else None,
        ),
    )  # fmt: skip


@page("/tasks", Permission.SEE_OWN, own=True)
def tasks_page(ctx: Ctx) -> Page | Response[bytes]:
    """The inbox."""
    return list_page(ctx, "tasks.html", _columns(local_day(ctx.now_ms)), ctx.tasks, name="tasks")


@api_get("/tasks", Permission.SEE_OWN, own=True, table=True)
def tasks(ctx: Ctx, listing: Listing) -> Listed[TaskOut]:
    """What waits for the caller, the most urgent first."""
    language, today = language_of_program(ctx.request), local_day(ctx.now_ms)
    rows = [
        TaskOut(
            each.kind, str(into(each.text, language)), each.since_ms,
            None if each.due is None else each.due.isoformat(), each.is_late(today), each.path,
        )
        for each in ctx.tasks
    ]  # fmt: skip
    return listing.of(rows, TaskOut, "tasks")


NAVIGATION: Final = (NavEntry(tr("Tasks"), "/tasks", Permission.SEE_OWN),)
ROUTES: Final = [tasks_page, tasks]
