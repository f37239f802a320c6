# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway's live page: who gets in, what it shows, in both languages, in a real browser, on a phone's width."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from collector.agent.operate.page.gate import read_token
from collector.base.errors import ConfigError, StoreError
from simulators.run.pytest_plugin import ServedDevices
from tests.agent.running_agent import TABLE, agent_at, recorded, run, write_agent
from tests.agent.uplink.uplink_world import free_port
from tests.headless import chromium
from tests.patience import until, wait_until

Serve = Callable[..., ServedDevices]


@contextmanager
def live(path: Path, place: str) -> Iterator[None]:
    """The agent with its page, in a loop of a thread of its own."""
    begun, ended = threading.Event(), threading.Event()

    async def scenario() -> None:
        async with agent_at(path, page=place):
            await until(lambda: recorded(path) >= 3)
            begun.set()
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=run, args=(scenario(),))
    thread.start()
    try:
        wait_until(lambda: begun.is_set() or not thread.is_alive(), "the agent to begin")
        yield
    finally:
        ended.set()
        thread.join()


@pytest.fixture
def gateway(modbus_device: Serve, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Address and token of a page: d1 answers, d2 does not, the broker is away."""
    good, dead = modbus_device(TABLE), modbus_device(TABLE)
    good.show("active_power_mw", "380")
    dead.fault("refuse")
    path = write_agent(tmp_path, [good.port, dead.port])
    port = free_port()
    with live(path, f":{port}"):
        yield f"http://127.0.0.1:{port}", read_token(tmp_path / "state" / "g.page-token")


def test_only_who_shows_the_token_sees_the_page_and_nobody_changes_anything(gateway: tuple[str, str]) -> None:
    address, token = gateway
    with httpx.Client(base_url=address) as client:
        for wrong in ("/", "/?token=", f"/?token={token}x", f"/?token={token[:-1]}"):
            answer = client.get(wrong)
            assert (answer.status_code, "380" in answer.text) == (403, False)
            assert "page-token" in answer.text  # where it lies
        assert client.get("/", headers={"Cookie": f"collector_page={token[:-1]}"}).status_code == 403
        for path in ("/status", "/points", "/metrics", "/capacity"):
            assert client.get(path).status_code == 404  # the other server's, behind no token
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert client.request(method, "/").status_code == 405
        entered = client.get("/", params={"token": token})
        assert (entered.status_code, entered.headers["location"]) == (303, "/")
        assert {"HttpOnly", "SameSite=Strict"} <= set(entered.headers["set-cookie"].split("; "))
        page = client.get("/")
        assert page.status_code == 200
        assert token not in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]


def test_the_page_shows_problems_links_devices_and_points_in_both_languages(gateway: tuple[str, str]) -> None:
    address, token = gateway
    with httpx.Client(base_url=address, follow_redirects=True) as client:
        client.get("/", params={"token": token})
        english = client.get("/?lang=en").text
        assert "<td class='number'>380</td><td>MW</td><td class='good'>good</td>" in english
        assert "<td>d2</td><td class='bad'>silent</td>" in english
        # 380 MW: 380 000 kW in 32 bits; of the dead device nothing came.
        assert [raw for raw in re.findall(r"<code>([^<]*)</code>", english) if raw] == ["00 05 cc 60"]
        assert "not connected" in english
        chinese = client.get("/?lang=zh").text
        assert client.get("/").text.startswith('<!doctype html><html lang="zh">')  # the choice is kept
        assert "有功功率" in chinese
        shown = re.sub(r"<[^>]+>", " ", chinese)
        assert "代理服务器" in shown
        assert not re.findall(r"\b(silent|good|never|Buffer|Devices|connected|clock|broker|failures|cable)\b", shown)


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_a_phone_and_keeps_itself_fresh(width: int, gateway: tuple[str, str], tmp_path: Path) -> None:
    address, token = gateway
    with chromium() as browser:
        page = browser.new_page(viewport={"width": width, "height": 800}, locale="zh-CN")
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        page.fill("input[name=token]", token)
        page.click("button")
        page.wait_for_selector("main table")
        first = page.inner_text("#now")
        page.wait_for_function("before => document.querySelector('#now').innerText !== before", arg=first)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.screenshot(path=tmp_path / f"page-{width}.png", full_page=True)
    # The first visit is refused for want of the token, which the browser notes.
    assert [c for c in complaints if "403" not in c] == []


def test_a_place_that_is_none_is_refused_before_anything_starts(modbus_device: Serve, tmp_path: Path) -> None:
    path = write_agent(tmp_path, [modbus_device(TABLE).port])

    async def scenario() -> None:
        async with agent_at(path, page="everywhere"):
            pass

    with pytest.raises(ConfigError, match="HOST:PORT"):
        run(scenario())


def test_the_token_is_made_once_for_its_owner_alone_and_a_short_one_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "g.page-token"
    token = read_token(place)
    assert read_token(place) == token
    assert place.stat().st_mode & 0o777 == 0o600
    place.write_text("short\n")
    with pytest.raises(StoreError, match="delete the file"):
        read_token(place)
