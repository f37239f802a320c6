# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions: the caller is known by a browser's cookie, or by a program's token (Authorization: Bearer).

A form carries a CSRF token made of a secret that only this browser has: that of its session, or before log-in that of a
cookie. The token is not stored, so it survives restarts and works with several processes. Requests with a bearer token
need none, since no browser sends such a token by itself.

A form that arrives after its session has ended is not carried out, but its fields are kept (`KeptForms`), except for
passwords, codes and files.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final, Literal

from litestar import Request
from litestar.concurrency import sync_to_thread
from litestar.datastructures import Cookie

from collector.center.db.store import CenterStore
from collector.center.people.access import Actor
from collector.center.people.sessions import account_of_ended, session_actor
from collector.center.people.tokens import token_actor
from collector.model.interval import HOUR_MS

SESSION_COOKIE: Final = "collector_session"
VISITOR_COOKIE: Final = "collector_visitor"
LANGUAGE_COOKIE: Final = "collector_language"
MONTH_COOKIE: Final = "collector_month"
CSRF_FIELD: Final = "csrf"
ONCE_FIELD: Final = "once"  # the key of a form: it is carried out once
FORM_TYPES: Final = ("application/x-www-form-urlencoded", "multipart/form-data")
CSRF_HEADER: Final = "x-csrf-token"
_MAX_SECRET: Final = 200
KEPT_MS: Final = HOUR_MS
_MOST_FORMS: Final = 256
_MOST_CHARACTERS: Final = 100_000
_NEVER_KEPT: Final = frozenset({CSRF_FIELD, ONCE_FIELD, "password", "current", "new", "again", "code", "key"})

AnyRequest = Request[Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request. `secret`: the base of its CSRF token; empty where none is needed or possible."""

    actor: Actor | None
    via: Literal["nobody", "session", "token"]
    secret: str = ""

    @property
    def csrf(self) -> str:
        """The token a form of this browser must carry."""
        return csrf_of(self.secret) if self.secret else ""


def csrf_of(secret: str) -> str:
    """The CSRF token that belongs to a browser's secret."""
    return hmac.new(secret.encode(), b"collector csrf", hashlib.sha256).hexdigest()


def find_caller(store: CenterStore, request: AnyRequest) -> Caller:
    """Find the caller of a request. A wrong or expired secret gives a caller without actor, not an error.

    It reads the store, so call it in a thread.
    """
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        actor = token_actor(store, given.strip()) if len(given) <= _MAX_SECRET else None
        return Caller(actor, "token" if actor else "nobody")
    secret = request.cookies.get(SESSION_COOKIE, "")
    if secret and len(secret) <= _MAX_SECRET:
        max_ms = int(request.app.state.settings.web.session_max_h * HOUR_MS)
        actor = session_actor(store, secret, max_ms=max_ms)
        if actor is not None:
            return Caller(actor, "session", secret)
    visitor = request.cookies.get(VISITOR_COOKIE, "")
    return Caller(None, "nobody", visitor if len(visitor) <= _MAX_SECRET else "")


def session_cookie(secret: str, *, secure: bool) -> Cookie:
    """The cookie of a session; it ends with the browser, and at the center with the session."""
    return Cookie(SESSION_COOKIE, value=secret, httponly=True, secure=secure, samesite="lax")


def end_of_session(*, secure: bool) -> Cookie:
    """The cookie that deletes the session cookie."""
    return Cookie(SESSION_COOKIE, value="", max_age=0, httponly=True, secure=secure, samesite="lax")


def visitor_cookie(*, secure: bool) -> Cookie:
    """A secret for the log-in form's CSRF token."""
    return Cookie(VISITOR_COOKIE, value=secrets.token_urlsafe(24), httponly=True, secure=secure, samesite="lax")


def month_cookie(month: str, *, secure: bool) -> Cookie:
    """Remembers the month that was looked at last, until the browser is closed."""
    return Cookie(MONTH_COOKIE, value=month, httponly=True, secure=secure, samesite="lax")


def language_cookie(language: str, *, secure: bool) -> Cookie:
    """Remembers the language for a year."""
    return Cookie(LANGUAGE_COOKIE, value=language, max_age=365 * 86_400, secure=secure, samesite="lax")


# ---- forms that came too late ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KeptForm:
    """The fields of a form that came too late.

    `path`: the address it was sent to; `had_file`: its file must be chosen again on its own page.
    """

    path: str
    fields: tuple[tuple[str, str], ...]
    had_file: bool
    at_ms: int


class KeptForms:
    """Forms that arrived after their session had ended: the last one of each person, for an hour, in this process.

    After the log-in the form is shown to the same person on any page, to be sent again. The person is known by the
    ended session, whose secret the CSRF token proves, so nobody can place a form before somebody else. If there are too
    many forms, the oldest are dropped.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forms: OrderedDict[str, KeptForm] = OrderedDict()

    def keep(self, name: str, form: KeptForm) -> None:
        """Keep a form, in place of the person's previous one."""
        with self._lock:
            self._forms[name] = form
            self._forms.move_to_end(name)
            while len(self._forms) > _MOST_FORMS:
                self._forms.popitem(last=False)

    def of(self, name: str, *, now_ms: int) -> KeptForm | None:
        """The kept form of a person, if it is not older than an hour."""
        found = self._forms.get(name)
        return found if found is not None and now_ms - found.at_ms < KEPT_MS else None

    def drop(self, name: str, path: str = "") -> None:
        """Drop the kept form of a person; with `path`, only if the form was sent to that address."""
        with self._lock:
            found = self._forms.get(name)
            if found is not None and path in ("", found.path):
                del self._forms[name]


async def keep_form(request: AnyRequest) -> None:
    """Keep the form of a request if its session ended recently and the form belongs to that session."""
    secret = request.cookies.get(SESSION_COOKIE, "")
    if not secret or len(secret) > _MAX_SECRET or request.content_type[0] not in FORM_TYPES:
        return
    given = [*(await request.form()).multi_items()]
    token = next((value for name, value in given if name == CSRF_FIELD and isinstance(value, str)), "")
    fields = tuple((n, v) for n, v in given if isinstance(v, str) and n not in _NEVER_KEPT and v)
    fits = sum(len(name) + len(value) for name, value in fields) <= _MOST_CHARACTERS
    if not fits or not hmac.compare_digest(token.encode(), csrf_of(secret).encode()):
        return
    store = request.app.state.store
    name = await sync_to_thread(account_of_ended, store, secret)
    if name:
        had_file = any(not isinstance(value, str) and value.filename for _, value in given)
        form = KeptForm(request.url.path, fields, had_file, store.clock.now_utc_ms())
        request.app.state.kept_forms.keep(name, form)
