# SPDX-License-Identifier: GPL-3.0-or-later
"""A peer that hangs up as soon as it is called, met on either kind of loop: they differ in how a write then fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import pytest
import uvloop

from tests.patience import HANG_S

RunOn = Callable[[Callable[[], Awaitable[None]]], None]


def _on(loop: Callable[[], asyncio.AbstractEventLoop]) -> RunOn:
    def run(scenario: Callable[[], Awaitable[None]]) -> None:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(asyncio.wait_for(scenario(), HANG_S))

    return run


on_both_loops: Final = pytest.mark.parametrize(
    "run_on", [_on(asyncio.new_event_loop), _on(uvloop.new_event_loop)], ids=["asyncio", "uvloop"]
)


@asynccontextmanager
async def hanging_up() -> AsyncIterator[int]:
    """The port of a server that closes each connection at once."""

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        yield int(server.sockets[0].getsockname()[1])
