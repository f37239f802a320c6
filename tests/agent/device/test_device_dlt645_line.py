# SPDX-License-Identifier: GPL-3.0-or-later
"""A meter's line whose answers come late, twice or run together, and identifiers that a meter says nothing to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.agent.device.dlt645.line import MeterLine
from collector.base.errors import DeviceError, Refused, Silent
from collector.model.record import Quality
from tests.contract.device_peers import METER, METER_REQUEST_BYTES, Script, dlt645_over_tcp, offset_33
from tests.contract.every_driver import build
from tests.patience import HANG_S

TIMEOUT_S, QUIET_S, ADDRESS = 0.06, 0.03, "000012345678"
POWER, REACTIVE, LACKS = 0x0203_0000, 0x0204_0000, 0x0206_0000


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), HANG_S))


def frame(control: int, data: bytes) -> bytes:
    body = b"\x68" + METER + b"\x68" + bytes([control, len(data)]) + offset_33(data)
    return body + bytes([sum(body) & 0xFF, 0x16])


def value_of(identifier: int) -> bytes:
    return bytes([identifier >> 16 & 0xFF, 0x00, 0x10])


@dataclass
class Meter:
    """Treats each answer as `plan` says, then answers at once; has no power factor."""

    plan: list[str] = field(default_factory=list)
    hangs_up: bool = False
    _held: bytes = b""

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop, free_at = asyncio.get_running_loop(), 0.0
        try:
            while True:
                request = (await reader.readexactly(METER_REQUEST_BYTES)).lstrip(b"\xfe")
                identifier = offset_33(request[10:14], -0x33)
                number = int.from_bytes(identifier, "little")
                reply = frame(0xD1, b"\2") if number == LACKS else frame(0x91, identifier + value_of(number))
                how = self.plan.pop(0) if self.plan else "at once"
                if how == "lost":
                    continue
                if how == "held":
                    self._held += reply
                    continue
                wait_s = {"late": 1.3 * TIMEOUT_S, "very late": 2.6 * TIMEOUT_S + QUIET_S}.get(how, 0.0)
                free_at = max(free_at, loop.time()) + wait_s
                data, self._held = self._held + reply * (2 if how == "twice" else 1), b""
                loop.call_at(free_at, self._send, writer, request + data if how == "echo" else data)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        if not writer.transport.is_closing():
            writer.write(data)
            if self.hangs_up:
                writer.close()


@asynccontextmanager
async def serve(meter: Meter) -> AsyncIterator[MeterLine]:
    server = await asyncio.start_server(meter.talk, "127.0.0.1", 0)
    line = MeterLine("line", host="127.0.0.1", port=server.sockets[0].getsockname()[1], quiet_s=QUIET_S)
    try:
        yield line
    finally:
        line.drop()
        server.close()


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(["at once", "lost", "late", "very late", "twice", "held", "echo"]), max_size=8))
def test_no_answer_and_no_refusal_is_taken_for_another(plan: list[str]) -> None:
    async def scenario() -> None:
        meter = Meter(list(plan))
        async with serve(meter) as line:
            good = 0
            for identifier in chain.from_iterable([(POWER, LACKS, REACTIVE)] * 20):
                try:
                    data = await line.read(ADDRESS, identifier, timeout_s=TIMEOUT_S)
                except Refused:
                    assert identifier == LACKS
                except DeviceError:
                    good = 0
                    continue
                else:
                    assert data == value_of(identifier)
                good += 1
                if good > 5 and not meter.plan:
                    return
            raise AssertionError("it never came back")

    run(scenario)


def test_a_server_that_hangs_up_after_each_answer_is_connected_again() -> None:
    async def scenario() -> None:
        async with serve(Meter(hangs_up=True)) as line:
            for _ in range(10):
                assert await line.read(ADDRESS, POWER, timeout_s=HANG_S) == value_of(POWER)

    run(scenario)


def test_an_identifier_without_answer_spoils_no_other_and_is_asked_last_and_rarely(tmp_path: Path) -> None:
    async def scenario() -> None:
        script = Script()
        script.mute.add(POWER)
        async with dlt645_over_tcp(script) as port:
            device = build("dlt645_over_tcp", tmp_path, port, timeout_s=0.2)
            for _ in range(8):
                found = {r.point.name: r.quality for r in (await device.read(device.points, budget_s=5.0)).readings}
                assert found == {"power": Quality.SILENT, "q": Quality.GOOD}
            power = bytes([0x11]) + POWER.to_bytes(4, "little")
            assert script.asked.count(power) == 2
            script.mute.clear()
            await device.close()

    run(scenario)


def test_a_meter_that_says_nothing_costs_two_timeouts_then_one(tmp_path: Path) -> None:
    async def scenario() -> None:
        script = Script("silent")
        async with dlt645_over_tcp(script) as port:
            device = build("dlt645_over_tcp", tmp_path, port, timeout_s=0.1)
            counts = []
            for _ in range(3):
                before = len(script.asked)
                answer = await device.read(device.points, budget_s=5.0)
                assert {r.quality for r in answer.readings} == {Quality.SILENT}
                counts.append(len(script.asked) - before)
            assert counts == [2, 1, 1]
            script.behaviour = "good"
            answer = await device.read(device.points, budget_s=5.0)
            assert {r.quality for r in answer.readings} == {Quality.GOOD}
            await device.close()

    run(scenario)


def test_a_meter_nobody_hears_is_silent() -> None:
    async def scenario() -> None:
        async with serve(Meter(["lost"])) as line:
            with pytest.raises(Silent):
                await line.read(ADDRESS, POWER, timeout_s=TIMEOUT_S)

    run(scenario)
