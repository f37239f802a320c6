# SPDX-License-Identifier: GPL-3.0-or-later
"""Access to the live page: a person shows the token that lies beside the buffer once, then a cookie."""

from __future__ import annotations

import hmac
import secrets
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Final

from collector.agent.operate.status_server import StatusPage, StatusRequest
from collector.base.errors import StoreError
from collector.base.text import tr

COOKIE: Final = "collector_page"
_TOKEN_BYTES: Final = 24
_LEAST_LETTERS: Final = 16


def read_token(path: Path) -> str:
    """The token of a gateway; made at its first use, readable by the agent's own user alone.

    Raises:
        StoreError: the token can't be read or written, or is too short to be safe.
    """
    try:
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_urlsafe(_TOKEN_BYTES) + "\n", "ascii")
        token = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(tr("the page's token can't be used: {error}", error=error), subject=str(path)) from error
    if len(token) < _LEAST_LETTERS:
        raise StoreError(
            tr("the page's token has fewer than {count} letters: delete the file", count=_LEAST_LETTERS),
            subject=str(path),
        )
    return token


def is_known(request: StatusRequest, token: str) -> bool:
    """True if the request carries the token as its cookie."""
    try:
        morsel = SimpleCookie(request.headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return False
    return morsel is not None and hmac.compare_digest(morsel.value.encode(), token.encode())


def admit(request: StatusRequest, token: str) -> StatusPage | None:
    """The answer to a request with the right token: a cookie and a redirect to the page; None without it."""
    if not hmac.compare_digest(request.query.get("token", "").encode(), token.encode()):
        return None
    cookie = f"Set-Cookie: {COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict\r\n"
    return StatusPage(303, "text/plain", b"", f"Location: /\r\n{cookie}")
