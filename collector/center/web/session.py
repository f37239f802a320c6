# SPDX-License-Identifier: GPL-3.0-or-later
"""Who asks: the session of a browser (cookie) or a program's token (Authorization: Bearer).

A form carries a CSRF token made of a secret that only this browser has: the session's, or before log-in a cookie of its
own. Nothing of it is stored, so restarts and several processes change nothing. A bearer token needs none: no browser
sends it by itself.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Any, Final, Literal

from litestar import Request
from litestar.datastructures import Cookie

from collector.center.db.store import CenterStore
from collector.center.people.access import Actor
from collector.center.people.accounts import session_actor, token_actor

SESSION_COOKIE: Final = "collector_session"
VISITOR_COOKIE: Final = "collector_visitor"
LANGUAGE_COOKIE: Final = "collector_language"
CSRF_FIELD: Final = "csrf"
CSRF_HEADER: Final = "x-csrf-token"
_MAX_SECRET: Final = 200

AnyRequest = Request[Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request. `secret`: what its CSRF token is made of; empty where none is needed or possible."""

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
    """Who asks. A wrong or outworn secret is nobody, never an error. Reads the store: call it in a thread."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        actor = token_actor(store, given.strip()) if len(given) <= _MAX_SECRET else None
        return Caller(actor, "token" if actor else "nobody")
    secret = request.cookies.get(SESSION_COOKIE, "")
    if secret and len(secret) <= _MAX_SECRET:
        actor = session_actor(store, secret)
        if actor is not None:
            return Caller(actor, "session", secret)
    visitor = request.cookies.get(VISITOR_COOKIE, "")
    return Caller(None, "nobody", visitor if len(visitor) <= _MAX_SECRET else "")


def session_cookie(secret: str, *, secure: bool) -> Cookie:
    """The cookie of a session; it ends with the browser, and at the center with the session."""
    return Cookie(SESSION_COOKIE, value=secret, httponly=True, secure=secure, samesite="lax")


def end_of_session(*, secure: bool) -> Cookie:
    """The cookie that takes a session's away."""
    return Cookie(SESSION_COOKIE, value="", max_age=0, httponly=True, secure=secure, samesite="lax")


def visitor_cookie(*, secure: bool) -> Cookie:
    """A secret for the log-in form's CSRF token."""
    return Cookie(VISITOR_COOKIE, value=secrets.token_urlsafe(24), httponly=True, secure=secure, samesite="lax")


def language_cookie(language: str, *, secure: bool) -> Cookie:
    """Remembers the language for a year."""
    return Cookie(LANGUAGE_COOKIE, value=language, max_age=365 * 86_400, secure=secure, samesite="lax")
