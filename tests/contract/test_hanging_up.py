# SPDX-License-Identifier: GPL-3.0-or-later
"""A peer that hangs up as soon as it is called, before anything could be written, as on a busy machine: a silence.

On either kind of loop, as they differ in how a write then fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvloop

from collector.agent.device.dlt645.line import MeterLine
from collector.agent.device.iec101.ft12 import LinkFrame, LinkPlace, encode_status_request
from collector.agent.device.iec101.line import LinkLine
from collector.agent.device.modbus.line import ModbusLine
from collector.agent.device.modbus.link import ModbusLink
from collector.agent.device.modbus.plan import Block
from collector.base.errors import Silent
from tests.patience import HANG_S, until


class _Meter(MeterLine):
    async def open(self, timeout_s: float) -> bool:
        is_fresh = await super().open(timeout_s)
        await until(lambda: self._ear.lost)
        return is_fresh


class _Station(LinkLine):
    async def open(self, timeout_s: float) -> bool:
        is_fresh = await super().open(timeout_s)
        await until(lambda: not self.is_open)
        return is_fresh


class _Modbus(ModbusLine):
    async def _connect(self, timeout_s: float) -> ModbusLink:
        link = await super()._connect(timeout_s)
        await until(lambda: link.transport is None)
        return link


def _none(_frame: LinkFrame) -> bool:
    return False


async def ask_meter(port: int) -> None:
    line = _Meter("line", host="127.0.0.1", port=port)
    try:
        await line.read("000012345678", 0x0203_0000, timeout_s=HANG_S)  # DL/T 645: total active power
    finally:
        line.drop()


async def ask_station(port: int) -> None:
    place = LinkPlace()
    line = _Station("line", place.octets, host="127.0.0.1", port=port)
    try:
        await line.exchange(encode_status_request(place), _none, _none, HANG_S, "station")
    finally:
        line.drop()


async def ask_modbus(port: int) -> None:
    line = _Modbus("line", host="127.0.0.1", port=port)
    try:
        await line.request(1, Block("holding", 0, 2, ()), HANG_S)
    finally:
        line.drop()


@asynccontextmanager
async def hanging_up() -> AsyncIterator[int]:
    """The port of a server that closes each connection at once."""

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        yield int(server.sockets[0].getsockname()[1])


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("ask", [ask_meter, ask_station, ask_modbus])
def test_a_connection_that_is_closed_before_the_request_is_written_is_a_silence(
    ask: Callable[[int], Awaitable[None]], loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def scenario() -> None:
        async with hanging_up() as port:
            with pytest.raises(Silent, match="the connection was lost"):
                await ask(port)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(asyncio.wait_for(scenario(), HANG_S))
