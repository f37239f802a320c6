# SPDX-License-Identifier: GPL-3.0-or-later
"""A body that does not come, or breaks off, ends its request; one that comes in time is the application's."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from litestar.exceptions import ClientException

from collector.center.web.server.slow_bodies import give_up_slow_bodies
from tests.center.web.web_browser import site
from tests.center.web.web_world import World
from tests.patience import HANG_S, wait_until


def ask(messages: list[dict[str, Any]], method: str = "POST", length: str = "", path: str = "/asks") -> list[Any]:
    """What an application that reads to the end is given; after the messages nothing comes any more."""
    given: list[Any] = []

    async def receive() -> Any:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop(0)

    async def send(_message: Any) -> None:
        raise AssertionError

    async def read(_scope: Any, receive: Any, _send: Any) -> None:
        while not given or given[-1].get("more_body"):
            given.append(await receive())

    async def run() -> None:
        scope: Any = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": [(b"content-length", length.encode())],
        }
        async with asyncio.timeout(HANG_S):
            await give_up_slow_bodies(read, wait_s=0.01)(scope, receive, send)

    asyncio.run(run())
    return given


def part(more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": b"a", "more_body": more}


def test_a_body_that_never_ends_is_given_up() -> None:
    for messages in ([], [part(True)], [part(True), part(True)]):
        with pytest.raises(ClientException) as raised:
            ask(messages)
        assert raised.value.status_code == 408


@pytest.mark.parametrize("length", ["", "3", "-1", "many"])
def test_a_body_in_time_arrives_whole(length: str) -> None:
    assert len(ask([part(True), part(True), part(False)], length=length)) == 3


def test_a_client_that_goes_away_is_no_fault_of_ours_and_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ClientException, match="broke off"):
        ask([part(True), {"type": "http.disconnect"}])
    with pytest.raises(ClientException, match="broke off"):
        ask([{"type": "http.disconnect"}], path="/asks\n2026-12-01 all is well")
    assert [each.getMessage() for each in caplog.records] == [
        "POST /asks from -: the body broke off",
        "POST /asks%0A2026-12-01%20all%20is%20well from -: the body broke off",
    ]


def test_a_form_that_is_half_sent_over_a_socket_is_one_line_in_the_log(
    worked: World, caplog: pytest.LogCaptureFixture
) -> None:
    head = (
        "POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n"
    )
    caplog.set_level(logging.INFO, "collector")

    def lines() -> list[str]:
        return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]

    with site(worked) as address:
        where = urlsplit(address)
        with socket.create_connection((str(where.hostname), int(where.port or 0))) as connection:
            connection.sendall(f"{head}\r\nname=a".encode())
        wait_until(lambda: bool(lines()), "the line")
        assert httpx.get(f"{address}/login", timeout=HANG_S).status_code == 200
    assert lines() == ["POST /login from 127.0.0.1: the body broke off"]
