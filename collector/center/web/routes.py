# SPDX-License-Identifier: GPL-3.0-or-later
"""Declare routes: a path, its needs, and a synchronous function that runs in a thread.

Handlers are `def`, not `async def`, so that database and files are never used on the event loop. They take the
`Context`. `notes_itself`: the code that makes the file writes the entry in the audit log, not `downloads`.

A form is carried out once, however often it is sent: each time its page is shown, it gets a new key. When done, it
redirects, so that reloading the next page repeats nothing. If the same form is sent again, it redirects to the same
place and does nothing. If it was refused or failed, it may be sent again.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from collector.base.errors import StoreError
from collector.base.text import tr
from collector.center.people.access import Permission
from collector.center.people.sent_forms import UNDER_WAY, claim_form, digest_of, led_to, let_go_of, note_led_to
from collector.center.web.context import Context
from collector.center.web.guards import Needs, Open
from collector.center.web.session import ONCE_FIELD

API: Final = "/api/v1"
FORM_BYTES: Final = 1_000_000
_LOOKS: Final = 100  # for the first of two that were sent at once
_LOOK_EVERY_S: Final = 0.1


Declare: TypeAlias = Callable[[Callable[..., Any]], HTTPRouteHandler]


def page(
    path: str,
    needs: Permission | Open,
    *,
    plant: str = "",
    own: bool = False,
    without_factor: bool = False,
    charts: bool = False,
    notes_itself: bool = False,
) -> Declare:
    """A page. `charts`: plotly writes styles of its own, which only such a page allows."""
    opt = {"needs": Needs(needs, plant, own, without_factor), "charts": charts, "notes_itself": notes_itself}
    return _over_one_view(get(path, opt=opt, sync_to_thread=True, include_in_schema=False))


def action(
    path: str,
    needs: Permission | Open,
    *,
    plant: str = "",
    own: bool = False,
    without_factor: bool = False,
    upload: bool = False,
    notes_itself: bool = False,
    again: bool = False,
) -> Declare:
    """What a page's form does, once however often it is sent; done, it leads to a page. `upload`: it may carry a file.

    `again`: nothing is wrong with doing it twice, and whoever sends it twice wants it twice: log-in, a file to keep.
    """
    opt = {"needs": Needs(needs, plant, own, without_factor), "upload": upload, "notes_itself": notes_itself}
    made = post(path, opt=opt, sync_to_thread=True, include_in_schema=False, status_code=200, **_body(upload))

    def declare(handler: Callable[..., Response[Any]]) -> HTTPRouteHandler:
        @functools.wraps(handler)
        def once(ctx: Context, **named: Any) -> Response[Any]:
            return carry_out_once(ctx, functools.partial(handler, ctx=ctx, **named))

        return made(handler if again else once)

    return declare


def api_get(
    path: str,
    needs: Permission | Open,
    *,
    plant: str = "",
    own: bool = False,
    table: bool = False,
    notes_itself: bool = False,
    **options: Any,
) -> Declare:
    """A reading of the REST interface, below /api/v1. `table`: also as CSV and XLSX."""
    opt = {"needs": Needs(needs, plant, own), "table": table, "notes_itself": notes_itself}
    return _over_one_view(get(API + path, opt=opt, sync_to_thread=True, **options))


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


def _over_one_view(made: get) -> Declare:
    """A page is of one moment: whatever its handler reads of the store, it reads over one view."""

    def declare(handler: Callable[..., Any]) -> HTTPRouteHandler:
        @functools.wraps(handler)
        def over_one_view(**named: Any) -> Any:
            ctx = named.get("ctx")
            if not isinstance(ctx, Context):
                return handler(**named)
            with ctx.store.one_view():
                return handler(**named)

        return made(over_one_view)

    return declare


def _body(upload: bool) -> dict[str, Any]:
    # The application sets the larger bound for uploads (`[web] max_upload_bytes`).
    return {} if upload else {"request_max_body_size": FORM_BYTES}


def needs_of(handler: HTTPRouteHandler) -> Needs | None:
    """The needs that a route declared."""
    found = handler.opt.get("needs")
    return found if isinstance(found, Needs) else None


# ---- forms, once -----------------------------------------------------------------------------------------------------


def carry_out_once(ctx: Context, work: Callable[[], Response[Any]]) -> Response[Any]:
    """Carry out a form with `work`, or redirect to the result if the same form was carried out before.

    Raises:
        StoreError: the form was sent before and its result is unknown: it is still being worked on, or the process
            was killed.
    """
    key = ctx.form.get(ONCE_FIELD, "")
    if not key:
        return work()
    path = ctx.request.url.path
    digest = digest_of(key, "" if ctx.caller.actor is None else ctx.caller.actor.name, path)
    before = ctx.write(lambda c: claim_form(c, digest, now_ms=ctx.now_ms))
    if before is not None:
        return Redirect(_wait_for(ctx, digest, before), status_code=303)
    address = ""
    try:
        answer = work()
        address = answer.url if isinstance(answer, Redirect) else ""
    finally:
        if not address:
            ctx.write(lambda c: let_go_of(c, digest))
    ctx.write(lambda c: note_led_to(c, digest, address))
    if ctx.caller.actor is not None:
        ctx.kept_forms.drop(ctx.caller.actor.name, path)
    return answer


def _wait_for(ctx: Context, digest: str, before: str) -> str:
    """Wait for the result of the form that was sent first, and return the address it leads to."""
    found: str | None = before
    for _ in range(_LOOKS):
        if found != UNDER_WAY:
            break
        time.sleep(_LOOK_EVERY_S)
        found = ctx.read(lambda c: led_to(c, digest))
    if found:
        return found
    raise StoreError(
        tr("was sent before; whether it was done is not known: look before you fill it in again"),
        subject=tr("this form"),
    )
