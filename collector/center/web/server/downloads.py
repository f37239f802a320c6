# SPDX-License-Identifier: GPL-3.0-or-later
"""Every file that is handed out is in the audit log before its first byte leaves: who took which, and what of it.

Known by its header: what a browser keeps as a file (`content-disposition: attachment`), whichever route it comes from.
Packages and filings write an entry of their own, with the file's SHA-256. What is only looked at is not noted.
"""

from __future__ import annotations

from typing import Final

from litestar import Request
from litestar.concurrency import sync_to_thread
from litestar.datastructures import MutableScopeHeaders
from litestar.types import Message, Scope

from collector.center.db.store import CenterStore
from collector.center.people import audit
from collector.center.web.session import AnyRequest, Caller

ACTION: Final = "file.hand_out"


async def note_download(message: Message, scope: Scope) -> None:
    """Write the entry of an answer that is a file; an error there keeps the file back."""
    if message["type"] != "http.response.start" or message["status"] != 200:
        return
    disposition = MutableScopeHeaders.from_message(message).get("content-disposition") or ""
    handler = scope.get("route_handler")
    caller = scope.get("user")
    if not disposition.startswith("attachment") or handler is None or handler.opt.get("notes_itself"):
        return
    if isinstance(caller, Caller) and caller.actor is not None:
        await sync_to_thread(_note, Request(scope), caller, disposition)


def _note(request: AnyRequest, caller: Caller, disposition: str) -> None:
    store: CenterStore = request.app.state.store
    actor = caller.actor
    assert actor is not None
    detail = {
        "file": disposition.partition('filename="')[2].partition('"')[0],
        "path": request.url.path,
        "query": request.url.query,
        "via": caller.via,
    }
    subject, now_ms = subject_of(request), store.clock.now_utc_ms()
    store.write(
        lambda c: audit.append(c, actor=actor, action=ACTION, subject=subject, detail=detail, now_ms=now_ms)
    ).result()


def subject_of(request: AnyRequest) -> str:
    """What a file is about, as other entries name it: a run, a month, a plant; else its address."""
    named = request.path_params
    if "run_id" in named or "/runs/" in request.url.path:
        return f"run {named.get('run_id', named.get('number'))}"
    return str(named.get("month") or named.get("plant") or request.url.path)
