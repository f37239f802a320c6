# SPDX-License-Identifier: GPL-3.0-or-later
"""The live page's own small server: token check, page, style and script."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import Path
from typing import Final

from collector.agent.buffer.capacity import Capacity
from collector.agent.operate.health import Health, PointNow
from collector.agent.operate.page.gate import admit, is_known, read_token
from collector.agent.operate.status_server import StatusPage, StatusRequest, StatusServer, is_loopback, split_place
from collector.base.text import LANGUAGES

_LOG = logging.getLogger(__name__)
_HTML: Final = "text/html; charset=utf-8"
_SAFE: Final = (
    "Content-Security-Policy: default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'\r\n"
    "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
)
_LANGUAGE_COOKIE: Final = "collector_language"
Look = Callable[[], Awaitable[tuple[Health, Capacity, list[PointNow]]]]


class LivePageServer:
    """Serves the live page of one agent. `look`: returns the data to show; `token_file`: see `gate`."""

    def __init__(self, look: Look, token_file: Path) -> None:
        self._look = look
        self._token_file = token_file
        self._token = read_token(token_file)
        self._server = StatusServer(
            {
                "/": self._page,
                "/page.css": _file("page.css", "text/css"),
                "/page.js": _file("page.js", "text/javascript"),
            }
        )

    async def listen(self, place: str) -> None:
        """Answer on HOST:PORT, or on :PORT of this machine alone.

        Raises:
            ConfigError: `place` is not an address.
            LinkError: the port is in use.
        """
        host, port = split_place(place, "--page")
        await self._server.listen(host, port)
        _LOG.info("page=http://%s:%d/ token in %s", host, port, self._token_file)
        if not is_loopback(host):
            _LOG.warning("page=%s is seen by others than this machine, and the line is not encrypted", place)

    async def close(self) -> None:
        """Stop answering."""
        await self._server.close()

    async def _page(self, request: StatusRequest) -> StatusPage:
        # Imported at the first request: many gateways never need it.
        from collector.agent.operate.doctor import seen_from_inside
        from collector.agent.operate.page.render import LivePage

        if admitted := admit(request, self._token):
            return admitted
        language, cookie = _language(request)
        page = LivePage(language)
        if not is_known(request, self._token):
            return StatusPage(403, _HTML, page.ask_for_token(str(self._token_file)).encode(), _SAFE + cookie)
        health, capacity, points = await self._look()
        text = page.render(health, capacity, points, seen_from_inside(health, points))
        return StatusPage(200, _HTML, text.encode(), _SAFE + cookie)


def _language(request: StatusRequest) -> tuple[str, str]:
    """The reader's language, and a cookie header that keeps it where it was just chosen."""
    chosen = request.query.get("lang", "")
    if chosen in LANGUAGES:
        return chosen, f"Set-Cookie: {_LANGUAGE_COOKIE}={chosen}; Path=/; SameSite=Strict\r\n"
    cookies = request.headers.get("cookie", "")
    for language in LANGUAGES:
        if f"{_LANGUAGE_COOKIE}={language}" in cookies:
            return language, ""
    return "zh" if request.headers.get("accept-language", "").startswith("zh") else "en", ""


def _file(name: str, kind: str) -> Callable[[StatusRequest], Awaitable[StatusPage]]:
    async def page(_request: StatusRequest) -> StatusPage:
        return StatusPage(200, f"{kind}; charset=utf-8", files(__package__).joinpath(name).read_bytes(), _SAFE)

    return page
