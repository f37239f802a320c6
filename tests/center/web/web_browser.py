# SPDX-License-Identifier: GPL-3.0-or-later
"""A world's pages on a real port, and tabs of a browser to look at them; what a browser complains of is kept."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
import uvloop
from playwright.sync_api import Browser, Page, expect

from collector.center.web.app import build_app
from collector.center.web.server.serve import serve_web
from simulators.plant.scenario import free_ports
from tests.center.web.web_world import PASSWORD, World, settings_of
from tests.patience import HANG_S, wait_until


@contextmanager
def site(world: World, **web: Any) -> Iterator[str]:
    """The address of the world's pages, served as the center does, in a loop of a thread of its own."""
    (port,) = free_ports(1)
    settings = settings_of(world.store.directory, f"127.0.0.1:{port}", **web)
    stop: list[asyncio.AbstractEventLoop | asyncio.Event] = []
    begun = threading.Event()

    async def serve() -> None:
        ended = asyncio.Event()
        stop.extend((asyncio.get_running_loop(), ended))
        serving = asyncio.create_task(serve_web(build_app(world.store, settings), settings))
        begun.set()
        await ended.wait()
        serving.cancel()
        await asyncio.wait([serving])

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run, name="site")
    thread.start()
    begun.wait()
    loop, ended = stop
    try:
        _wait_for(f"http://127.0.0.1:{port}/readyz")
        yield f"http://127.0.0.1:{port}"
    finally:
        assert isinstance(loop, asyncio.AbstractEventLoop)
        assert isinstance(ended, asyncio.Event)
        loop.call_soon_threadsafe(ended.set)
        thread.join()


def _wait_for(address: str) -> None:

    def answers() -> bool:
        try:
            httpx.get(address, timeout=HANG_S)
        except httpx.TransportError:
            return False
        return True

    wait_until(answers, address)


# What is expected of a page comes about in its time, as everywhere; Playwright's own five seconds are none.
expect.set_options(timeout=1000 * HANG_S)


@dataclass
class Seen:
    """What a page did besides what was asked of it."""

    complaints: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)


@contextmanager
def tab(browser: Browser, address: str, *, width: int = 1280) -> Iterator[tuple[Page, Seen]]:
    """A browser of its own that has never been here, and what it complains of."""
    seen = Seen()
    context = browser.new_context(base_url=address, viewport={"width": width, "height": 900}, locale="zh-CN")
    context.set_default_timeout(1000 * HANG_S)
    page = context.new_page()
    page.on("request", lambda request: seen.hosts.add(urlsplit(request.url).netloc or request.url[:40]))
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on("console", lambda message: _note(seen, message.type, message.text))
    yield page, seen
    context.close()


def _note(seen: Seen, kind: str, text: str) -> None:
    # A refused form answers with 422 or 403, which the console repeats: meant so.
    if kind in ("error", "warning") and "server responded with a status of 4" not in text:
        seen.complaints.append(f"{kind}: {text}")


def log_in(page: Page, name: str, base_path: str = "", *, code: str = "", at_hand: bool = False) -> None:
    """Through the log-in, as a person does. `at_hand`: the log-in is shown already, to lead back where one was."""
    if not at_hand:
        page.goto(f"{base_path}/login")
    page.fill("input[name=name]", name)
    page.fill("input[name=password]", PASSWORD)
    page.fill("input[name=code]", code)
    page.click("main button")
    page.wait_for_url(lambda url: "/login" not in url)
