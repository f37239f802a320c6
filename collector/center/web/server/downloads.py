# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are handed out: each is in the audit log before its first byte leaves, and a transfer can be resumed.

Known by its header: what a browser keeps as a file (`content-disposition: attachment`), whichever route it comes from.
Packages and filings write an entry of their own, with the file's SHA-256. What is only looked at is not noted.

Every file has an `etag` of its bytes. `range` gives one part of it (206), by `if-range` only while it is the same file;
a part beyond its end is refused (416). Several parts at once are not: whoever asks for them gets all of it.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

from litestar import Request
from litestar.concurrency import sync_to_thread
from litestar.datastructures import MutableScopeHeaders
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from collector.center.db.store import CenterStore
from collector.center.people import audit
from collector.center.web.session import AnyRequest, Caller

ACTION: Final = "file.hand_out"
_RANGE: Final = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


async def note_download(message: Message, scope: Scope) -> None:
    """Write the entry of an answer that is a file; an error there keeps the file back."""
    if message["type"] != "http.response.start" or message["status"] not in (200, 206):
        return
    disposition = MutableScopeHeaders.from_message(message).get("content-disposition") or ""
    handler = scope.get("route_handler")
    caller = scope.get("user")
    if not disposition.startswith("attachment") or handler is None or handler.opt.get("notes_itself"):
        return
    if isinstance(caller, Caller) and caller.actor is not None:
        part = MutableScopeHeaders.from_message(message).get("content-range") or ""
        await sync_to_thread(_note, Request(scope), caller, disposition, part)


def _note(request: AnyRequest, caller: Caller, disposition: str, part: str) -> None:
    store: CenterStore = request.app.state.store
    actor = caller.actor
    assert actor is not None
    detail = {
        "file": disposition.partition('filename="')[2].partition('"')[0],
        "path": request.url.path,
        "query": request.url.query,
        "via": caller.via,
    }
    if part:
        detail["part"] = part
    subject, now_ms = subject_of(request), store.clock.now_utc_ms()
    store.write(
        lambda c: audit.append(c, actor=actor, action=ACTION, subject=subject, detail=detail, now_ms=now_ms)
    ).result()


def subject_of(request: AnyRequest) -> str:
    """The subject of a file as the audit log names it: a run, a month or a plant, else its address."""
    named = request.path_params
    if "run_id" in named or "/runs/" in request.url.path:
        return f"run {named.get('run_id', named.get('number'))}"
    return str(named.get("month") or named.get("plant") or request.url.path)


# ---- parts -----------------------------------------------------------------------------------------------------------


def resumable(app: ASGIApp) -> ASGIApp:
    """The application with files that can be had in parts."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method") != "GET":
            await app(scope, receive, send)
        else:
            await app(scope, receive, _InParts(scope, send))

    return answer


class _InParts:
    """Passes an answer on; of a file, the part that was asked for."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope, self._send = scope, send
        self._start: Any = None
        self._at, self._end = 0, -1  # of the bytes that came, and where the part ends; -1: everything is passed on
        self._begin = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableScopeHeaders.from_message(message)
            if message["status"] == 200 and (headers.get("content-disposition") or "").startswith("attachment"):
                self._start = message  # until the bytes are there that it is about
                return
        elif message["type"] == "http.response.body":
            if self._start is not None:
                self._begin_part(message["body"], whole=not message["more_body"])
                start, self._start = self._start, None
                await self._send(start)
            if self._end >= 0:
                body = message["body"]
                kept = body[max(self._begin - self._at, 0) : max(self._end - self._at, 0)]
                self._at += len(body)
                message = {"type": "http.response.body", "body": kept, "more_body": message["more_body"]}
        await self._send(message)

    def _begin_part(self, body: bytes, *, whole: bool) -> None:
        """Complete the head of a file: its tag, and what of it was asked for."""
        headers = MutableScopeHeaders.from_message(self._start)
        tag = headers.get("etag")
        if tag is None and whole:
            tag = headers["etag"] = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        length = str(len(body)) if whole else headers.get("content-length") or ""
        if tag is None or not length:
            return
        headers["accept-ranges"] = "bytes"
        asked = dict(self._scope["headers"])
        found = _RANGE.fullmatch(asked.get(b"range", b"").decode("latin-1").replace(" ", ""))
        if found is None or found[1] == found[2] == "" or asked.get(b"if-range", tag.encode()) != tag.encode():
            return
        size = int(length)
        if found[1]:
            begin, end = int(found[1]), min(int(found[2] or size) + 1, size)
            malformed = bool(found[2]) and int(found[2]) < begin
        else:  # the last so many
            begin, end, malformed = max(size - int(found[2]), 0), size, False
        if malformed:
            return
        if begin >= size:
            self._start["status"], begin, end = 416, 0, 0
            headers["content-range"] = f"bytes */{size}"
            del headers["content-disposition"]
        else:
            self._start["status"] = 206
            headers["content-range"] = f"bytes {begin}-{end - 1}/{size}"
        headers["content-length"] = str(end - begin)
        self._begin, self._end = begin, end
