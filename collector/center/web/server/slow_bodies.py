# SPDX-License-Identifier: GPL-3.0-or-later
"""A request's body comes in time or is given up (408): whoever sends a byte a minute keeps no place from others.

A request whose body breaks off or is given up is one line in the log, and no fault.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final
from urllib.parse import quote

from litestar.exceptions import ClientException
from litestar.types import ASGIApp, Receive, Scope, Send

from collector.center.web.guards import SAFE_METHODS

WAIT_S: Final = 15.0  # for any body
SLOWEST_BYTES_PER_S: Final = 32_000  # a large file gets the time a poor line needs

logger: Final = logging.getLogger("collector.center.web")


def give_up_slow_bodies(app: ASGIApp, *, wait_s: float = WAIT_S) -> ASGIApp:
    """The application behind a limit on the time a body may take, by the length that its head announces."""

    async def limited(scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")[:12]
        seconds = wait_s + (int(length) if length.isdigit() else 0) / SLOWEST_BYTES_PER_S
        until = asyncio.get_running_loop().time() + seconds
        whole = scope.get("method", "GET") in SAFE_METHODS

        async def receive_in_time() -> Any:
            nonlocal whole
            if whole:
                return await receive()
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError as error:
                _note(scope, "did not come in time")
                raise ClientException("the body did not come in time", status_code=408) from error
            if message["type"] == "http.disconnect":
                _note(scope, "broke off")
                raise ClientException("the body broke off", status_code=400)
            whole = not message.get("more_body")
            return message

        await app(scope, receive_in_time, send)

    return limited


def _note(scope: Scope, what: str) -> None:
    client = scope.get("client")
    path = quote(scope["path"])  # it comes decoded: a line feed in it must not begin a line of the log
    logger.warning("%s %s from %s: the body %s", scope.get("method"), path, client[0] if client else "-", what)
