# SPDX-License-Identifier: GPL-3.0-or-later
"""granian in the center's own loop. TLS where `[web]` names a certificate; loopback only unless told otherwise."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.server.embed import Server
from litestar import Litestar
from litestar.concurrency import set_asyncio_executor

from collector.base.errors import ConfigError, Problem
from collector.base.text import tr
from collector.center.settings import CenterSettings, parse_listen

logger = logging.getLogger("collector.center.web")
HEADER_TIMEOUT_MS: Final = 10_000
RETRY_S: Final = 10.0
STOP_S: Final = 5.0
THREADS: Final = 8
UNDER_WAY: Final = 4096  # requests at once; granian's own 256 could all be bodies that never come


def use_own_threads() -> None:
    """Give pages threads of their own, so that many slow ones never keep the receiver waiting. Before the loop runs."""
    set_asyncio_executor(ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="center-web"))


async def serve_web(app: Litestar, settings: CenterSettings) -> None:
    """Answer requests until cancelled. A port that is taken is tried again: receiving goes on without pages.

    Raises:
        ConfigError: the certificate can't be used.
    """
    if not settings.center.listen:
        await asyncio.Event().wait()
    host, port = parse_listen(settings.center.listen)
    _say_where(settings, host, port)
    while True:
        server = _server(app, settings, host, port)
        try:
            await _serve(server)
            logger.error("the web server came to an end by itself; it is started again")
        except OSError as error:
            logger.error("no pages: can't listen on %s: %s", settings.center.listen, error)
        await asyncio.sleep(RETRY_S)


async def _serve(server: Server) -> None:
    serving = asyncio.create_task(server.serve(), name="granian")
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        # Granian ends by being told, and finishes what it is answering; cancelled, it would leave its socket open.
        server.stop()  # type: ignore[no-untyped-call]
        await asyncio.wait([serving], timeout=STOP_S)
        serving.cancel()
        raise


def _server(app: Litestar, settings: CenterSettings, host: str, port: int) -> Server:
    cert, key = settings.web.cert_file, settings.web.key_file
    try:
        return Server(
            app,
            address=host,
            port=port,
            interface=Interfaces.ASGI,
            http=HTTPModes.auto if cert else HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=HEADER_TIMEOUT_MS, keep_alive=True),
            websockets=False,
            backlog=1024,
            backpressure=UNDER_WAY,
            log_enabled=False,
            ssl_cert=Path(cert) if cert else None,
            ssl_key=Path(key) if key else None,
            ssl_protocol_min=SSLProtocols.tls12,
        )
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(
            [Problem("center.toml", 0, "web.cert_file", tr("can't be used: {error}", error=error))]
        ) from error


def _say_where(settings: CenterSettings, host: str, port: int) -> None:
    tls = bool(settings.web.cert_file)
    what = "pages" if "pages" in settings.center.parts else "/healthz, /readyz and /metrics"
    logger.info("%s at %s://%s:%d/", what, "https" if tls else "http", host, port)
    try:
        near = ipaddress.ip_address(host).is_loopback
    except ValueError:
        near = host == "localhost"
    if not near and not tls and not settings.web.tls_in_front:
        logger.warning("passwords cross the network in the clear: name web.cert_file, or set web.tls_in_front")
