# SPDX-License-Identifier: GPL-3.0-or-later
"""The application: every group of routes, one guard, the headers of every answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Final

from litestar import Litestar, Router
from litestar.datastructures import MutableScopeHeaders, State
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.types import Message, Scope

from collector.center.db.store import CenterStore
from collector.center.inputs.under_way import TakingsInBackground
from collector.center.receive.receiver import Counters
from collector.center.runs.asking.run_queue import RunsInBackground
from collector.center.settings import CenterSettings
from collector.center.web import render
from collector.center.web.audit import api_audit, pages_audit
from collector.center.web.context import provide_context
from collector.center.web.errors import answer_error
from collector.center.web.guards import guard
from collector.center.web.inputs import api_imports, pages_imports
from collector.center.web.month import api_books, api_months, pages_board, pages_books, pages_start
from collector.center.web.paging import provide_list_query
from collector.center.web.people import api_people, pages_account, pages_people
from collector.center.web.quality import (
    api_gaps,
    api_quality,
    pages_alarms,
    pages_completeness,
    pages_substitutions,
)
from collector.center.web.receive import api_plants, api_records, pages_asks, pages_plants
from collector.center.web.reviews import api_questions, api_reviews, pages_questions, pages_reviews
from collector.center.web.rulebook import api_rulebook, pages_rulebook
from collector.center.web.runs import (
    api_changes,
    api_files,
    api_runs,
    api_unit_days,
    pages_ask,
    pages_compare,
    pages_drawings,
    pages_evidence,
    pages_run,
    pages_running,
)
from collector.center.web.server import openapi, pages_style, static_files
from collector.center.web.server.downloads import note_download, resumable
from collector.center.web.server.openapi import openapi_config
from collector.center.web.server.slow_bodies import give_up_slow_bodies
from collector.center.web.session import KeptForms
from collector.center.web.tasks import pages_tasks

# Each has ROUTES, its handlers, and may have NAVIGATION: its entries, in the order of the groups.
GROUPS: Final[Sequence[ModuleType]] = (
    static_files,
    pages_style,
    pages_start,
    pages_board,
    pages_tasks,
    pages_books,
    pages_completeness,
    pages_compare,
    pages_drawings,
    pages_evidence,
    pages_ask,
    pages_reviews,
    pages_questions,
    pages_running,
    pages_run,
    pages_rulebook,
    pages_imports,
    pages_asks,
    pages_substitutions,
    pages_alarms,
    pages_plants,
    pages_people,
    pages_account,
    pages_audit,
    openapi,
    api_audit,
    api_imports,
    api_people,
    api_plants,
    api_records,
    api_quality,
    api_months,
    api_books,
    api_runs,
    api_files,
    api_reviews,
    api_questions,
    api_changes,
    api_gaps,
    api_rulebook,
    api_unit_days,
)

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'{styles}; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


@asynccontextmanager
async def _working(app: Litestar) -> AsyncIterator[None]:
    """Keep the background workers for runs and large files while the application runs.

    Work that is under way is finished before the application ends.
    """
    by_others = "settling" not in app.state.settings.center.parts
    app.state.runs, app.state.takings = RunsInBackground(by_others=by_others), TakingsInBackground()
    try:
        yield
    finally:
        await asyncio.to_thread(app.state.takings.close)
        await asyncio.to_thread(app.state.runs.close)


def state_of(store: CenterStore, settings: CenterSettings, counters: Counters | None = None) -> State:
    """A new state of an application: the things that its handlers share."""
    return State({"kept_forms": KeptForms(), "store": store, "settings": settings, "counters": counters})


def build_app(store: CenterStore, settings: CenterSettings, counters: Counters | None = None) -> Litestar:
    """Build the application: pages and REST interface over an open store.

    `counters` are those of the receiver in this process. A process without pages tells only how it is.
    """
    for group in GROUPS:
        render.add_navigation(getattr(group, "NAVIGATION", ()))
    secure = bool(settings.web.cert_file) or settings.web.tls_in_front

    async def add_headers(message: Message, scope: Scope) -> None:
        if message["type"] != "http.response.start":
            return
        headers = MutableScopeHeaders.from_message(message)
        handler = scope.get("route_handler")
        charts = bool(handler is not None and handler.opt.get("charts"))
        headers["content-security-policy"] = _POLICY.format(styles=" 'unsafe-inline'" if charts else "")
        for name, value in _HEADERS.items():
            headers[name] = value
        if settings.web.base_path and headers.get("location", "").startswith("/"):
            headers["location"] = settings.web.base_path + headers["location"]
        if secure:
            headers["strict-transport-security"] = "max-age=31536000"
        headers.setdefault("cache-control", "no-store")

    # All in one router: registered one by one, the first of two handlers of a path is prepared twice (Litestar 2.25),
    # and would then be run in a thread of a thread.
    pages = [route for group in GROUPS for route in group.ROUTES]
    routes = Router("/", route_handlers=pages if "pages" in settings.center.parts else pages_audit.OF_THE_PROCESS)
    return Litestar(
        route_handlers=[routes],
        guards=[guard],
        dependencies={"ctx": Provide(provide_context), "listing": Provide(provide_list_query, sync_to_thread=False)},
        exception_handlers={Exception: answer_error, HTTPException: answer_error},
        before_send=[note_download, add_headers],
        middleware=[give_up_slow_bodies, resumable],
        # A route without an upload has a smaller bound of its own (`routes`). The form around a file takes some room.
        request_max_body_size=settings.web.max_upload_bytes + 65_536,
        multipart_form_part_limit=50,
        openapi_config=openapi_config(),
        logging_config=None,
        state=state_of(store, settings, counters),
        lifespan=[_working],
    )
