# SPDX-License-Identifier: GPL-3.0-or-later
"""How a route is declared: path, what it needs, and a synchronous function that runs in a thread.

The database and the files are never touched on the loop: a handler is `def`, not `async def`, and takes the `Context`.
`notes_itself`: its file is entered in the audit log by what makes it, not by `downloads`.
"""

from __future__ import annotations

from typing import Any, Final

from litestar import get, post
from litestar.handlers import HTTPRouteHandler

from collector.center.people.access import Permission
from collector.center.web.guards import Needs, Open

API: Final = "/api/v1"
FORM_BYTES: Final = 1_000_000


def page(
    path: str,
    needs: Permission | Open,
    *,
    plant: str = "",
    own: bool = False,
    charts: bool = False,
    notes_itself: bool = False,
) -> get:
    """A page. `charts`: plotly writes styles of its own, which only such a page allows."""
    opt = {"needs": Needs(needs, plant, own), "charts": charts, "notes_itself": notes_itself}
    return get(path, opt=opt, sync_to_thread=True, include_in_schema=False)


def action(
    path: str,
    needs: Permission | Open,
    *,
    plant: str = "",
    own: bool = False,
    upload: bool = False,
    notes_itself: bool = False,
) -> post:
    """What a page's form does; it ends with a page or leads to one. `upload`: the form may carry a file."""
    opt = {"needs": Needs(needs, plant, own), "upload": upload, "notes_itself": notes_itself}
    return post(path, opt=opt, sync_to_thread=True, include_in_schema=False, status_code=200, **_body(upload))


def api_get(
    path: str,
    needs: Permission | Open,
    *,
    plant: str = "",
    own: bool = False,
    table: bool = False,
    notes_itself: bool = False,
    **options: Any,
) -> get:
    """A reading of the REST interface, below /api/v1. `table`: also as CSV and XLSX."""
    opt = {"needs": Needs(needs, plant, own), "table": table, "notes_itself": notes_itself}
    return get(API + path, opt=opt, sync_to_thread=True, **options)


def api_post(
    path: str,
    needs: Permission | Open,
    *,
    plant: str = "",
    own: bool = False,
    upload: bool = False,
    notes_itself: bool = False,
    **options: Any,
) -> post:
    """A change by the REST interface, below /api/v1."""
    opt = {"needs": Needs(needs, plant, own), "upload": upload, "notes_itself": notes_itself}
    options = {"status_code": 200} | options | _body(upload)
    return post(API + path, opt=opt, sync_to_thread=True, **options)


def _body(upload: bool) -> dict[str, Any]:
    # The application sets the larger bound for uploads (`[web] max_upload_bytes`).
    return {} if upload else {"request_max_body_size": FORM_BYTES}


def needs_of(handler: HTTPRouteHandler) -> Needs | None:
    """What a route declared."""
    found = handler.opt.get("needs")
    return found if isinstance(found, Needs) else None
