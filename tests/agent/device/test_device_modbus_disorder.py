# SPDX-License-Identifier: GPL-3.0-or-later
"""Modbus lines without numbers whose answers come late in the worst order while all values move.

Time is the event loop's own here: it passes only while nothing else is left to do, so a case of minutes takes none.
"""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.agent.device.modbus.driver import ModbusDevice
from collector.agent.device.modbus.line import ModbusLine, Unsure
from collector.agent.device.modbus.plan import Block, Framing, RequestLimits
from collector.agent.device.serial import SerialLine
from collector.base.clock import SystemClock
from collector.base.errors import DeviceError, Silent
from collector.model.record import Quality
from tests.agent.device.agent_points import point
from tests.contract.device_peers import crc16

TIMEOUT_S, QUIET_S, LATE_S = 0.3, 0.05, 3.0
# What is held at address a after n requests is 1000 * (n + 1) + a, in 4 bytes: it tells its place and its age.
MOVES = 1000

Schedule = Callable[[int], list[float]]


class _Skips(selectors.DefaultSelector):
    """Waits no time."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise AssertionError("nothing will ever happen again")
        self.now_s += timeout
        return cast(list[Any], super().select(0))


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._skips = _Skips()
        super().__init__(self._skips)

    def time(self) -> float:
        return self._skips.now_s


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    with asyncio.Runner(loop_factory=_Loop) as runner:
        runner.run(cast(Any, scenario()))


class Wire(asyncio.Transport):
    """A line in memory. `schedule`: for the number of a request, after how many seconds its answer comes, each time."""

    bits_per_byte, baud = 10, 9600

    def __init__(self, framing: str, schedule: Schedule, *, moves: bool = True) -> None:
        super().__init__()
        self.framing, self.schedule, self.moves, self.asked = framing, schedule, moves, list[int]()
        self._ears: list[asyncio.Protocol] = []

    def connector(self, protocol: Callable[[], asyncio.Protocol]) -> Callable[[], Awaitable[Any]]:
        async def connect() -> Any:
            self._ears.append(protocol())
            self._ears[-1].connection_made(self)
            return self, self._ears[-1]

        return connect

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        """The wire stays."""

    abort = close

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        del name
        return default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        request = bytes(data)
        number = len(self.asked)
        head, body = b"", request[:-2]
        if self.framing == "ascii":
            body = bytes.fromhex(request[1:-4].decode())
        elif self.framing == "tcp":
            head, body = b"\0\7\0\0", request[6:]
        address, count = int.from_bytes(body[2:4], "big"), int.from_bytes(body[4:6], "big")
        self.asked.append(address)
        turn = number + 1 if self.moves else 1
        held = b"".join((MOVES * turn + a).to_bytes(4, "big") for a in range(address, address + count, 2))
        answer = body[:2] + bytes([len(held)]) + held
        if self.framing == "ascii":
            frame = b":" + (answer + bytes([-sum(answer) & 0xFF])).hex().upper().encode() + b"\r\n"
        elif self.framing == "tcp":
            frame = head + len(answer).to_bytes(2, "big") + answer
        else:
            frame = answer + crc16(answer)
        for wait_s in self.schedule(number):
            asyncio.get_running_loop().call_later(wait_s, self._send, frame)

    def _send(self, frame: bytes) -> None:
        self._ears[-1].data_received(frame)


def line_on(wire: Wire, *, quiet_s: float = QUIET_S) -> ModbusLine:
    serial = cast(SerialLine, wire)
    own = wire.framing == "tcp"
    return ModbusLine(
        "line", serial=serial, framing=cast(Framing, wire.framing), any_number=own, quiet_s=quiet_s, late_s=LATE_S
    )


def single(address: int) -> Block:
    """A block of one point: the same shape at every address."""
    return Block("holding", address, 2, (point("active_power_mw", name=f"p{address}", address=address, type="int32"),))


def double(address: int) -> Block:
    points = (single(address).points[0], single(address + 2).points[0], single(address + 4).points[0])
    return Block("holding", address, 6, points)


def places_of(data: bytes) -> list[int]:
    return [int.from_bytes(data[i : i + 4], "big") % MOVES for i in range(0, len(data), 4)]


WIRES = ["rtu", "ascii", "tcp"]


@pytest.mark.parametrize("framing", WIRES)
def test_an_answer_that_overtakes_no_other_but_comes_after_all_checks_is_never_anothers(framing: str) -> None:
    """The first answer comes while the seventh request waits: the line had been in step again for long by its order."""

    async def scenario() -> None:
        wire = Wire(framing, lambda n: [1.0] if n == 0 else [0.1] if n < 4 else [0.29])
        line = line_on(wire)
        with pytest.raises(Silent):
            await line.request(1, single(0), TIMEOUT_S)
        for _ in range(40):
            for address in (100, 0):
                try:
                    assert places_of(await line.request(1, single(address), TIMEOUT_S)) == [address]
                except DeviceError:
                    await asyncio.sleep(0.02)

    run(scenario)


@pytest.mark.parametrize("framing", WIRES)
def test_a_block_of_several_points_is_read_in_parts_of_another_shape_meanwhile(framing: str) -> None:
    async def scenario() -> None:
        wire = Wire(framing, lambda n: [] if n == 0 else [0.1])
        line = line_on(wire)
        with pytest.raises(Silent):
            await line.request(1, double(0), TIMEOUT_S)
        for _ in range(5):
            for address in (100, 0):
                data = await line.request(1, double(address), TIMEOUT_S)
                assert places_of(data) == [address, address + 2, address + 4]
        await asyncio.sleep(LATE_S)
        await line.request(1, double(0), TIMEOUT_S)
        asked = len(wire.asked)
        await line.request(1, double(100), TIMEOUT_S)
        assert len(wire.asked) == asked + 1

    run(scenario)


def test_values_that_rest_are_read_at_once_and_those_that_move_when_the_answer_can_come_no_more() -> None:
    async def scenario() -> None:
        for moves in (False, True):
            wire = Wire("rtu", lambda n: [] if n == 0 else [0.1], moves=moves)
            line, loop = line_on(wire), asyncio.get_running_loop()
            with pytest.raises(Silent):
                await line.request(1, single(0), TIMEOUT_S)
            since_s = loop.time()
            while True:
                try:
                    assert places_of(await line.request(1, single(100), TIMEOUT_S)) == [100]
                    break
                except Unsure:
                    await asyncio.sleep(0.1)
            waited_s = loop.time() - since_s
            assert waited_s > LATE_S if moves else waited_s < 1
            assert waited_s < 2 * LATE_S

    run(scenario)


def test_a_late_answer_that_came_ends_the_doubt_at_once() -> None:
    async def scenario() -> None:
        wire = Wire("rtu", lambda n: [0.6] if n == 0 else [0.1])
        line = line_on(wire)
        with pytest.raises(Silent):
            await line.request(1, single(0), TIMEOUT_S)
        await asyncio.sleep(0.5)
        assert places_of(await line.request(1, single(100), TIMEOUT_S)) == [100]

    run(scenario)


LATENESS = st.one_of(st.just(0.01), st.floats(0.001, 0.29), st.floats(0.3, LATE_S), st.none())


@pytest.mark.parametrize("framing", WIRES)
@settings(max_examples=40, deadline=None)
@given(
    waits=st.lists(LATENESS, max_size=30), order=st.randoms(use_true_random=False), quiet_ms=st.integers(1, 400),
    merged=st.booleans(),
)  # fmt: skip
def test_no_order_of_late_answers_makes_a_value_anothers(
    framing: str, waits: list[float | None], order: random.Random, quiet_ms: int, merged: bool
) -> None:
    """Each answer is lost, in time or late, by itself; `merged`: and comes twice at once."""

    async def scenario() -> None:
        def schedule(number: int) -> list[float]:
            wait_s = waits[number] if number < len(waits) else 0.01
            return [] if wait_s is None else [wait_s] * (1 + merged)

        wire = Wire(framing, schedule)
        line = line_on(wire, quiet_s=quiet_ms / 1000)
        blocks, good = [single(0), single(100), single(200), double(300), double(400)], 0
        for block in order.choices(blocks, k=600):
            try:
                data = await line.request(1, block, TIMEOUT_S)
            except DeviceError:
                good = 0
                await asyncio.sleep(order.choice([0.0, 0.01, 0.2, 1.0]))
                continue
            assert places_of(data) == [block.address + i for i in range(0, block.count, 2)]
            good += 1
            if good > 12 and len(wire.asked) > len(waits):
                return
        raise AssertionError("it never came back")

    run(scenario)


def test_a_request_that_is_held_back_does_not_make_the_device_mute_or_silent() -> None:
    """One place that never answers: its neighbour of the same shape is read in every turn that the time allows."""

    async def scenario() -> None:
        class Mute(Wire):
            def write(self, data: bytes | bytearray | memoryview) -> None:
                if bytes(data)[3] == 0:
                    self.asked.append(0)
                else:
                    super().write(data)

        wire = Mute("rtu", lambda _: [0.01])
        points = (single(0).points[0], single(100).points[0])
        device = ModbusDevice(
            "d", line_on(wire), points, SystemClock(), slave=1, timeout_s=TIMEOUT_S, limits=RequestLimits()
        )
        good = []
        for _ in range(60):
            answer = await device.read(points, budget_s=5.0)
            by_address = {r.point.address: r for r in answer.readings}
            assert by_address[0].quality is Quality.SILENT
            good.append(by_address[100].quality is not Quality.SILENT)
            await asyncio.sleep(1.0)
        assert any(good[:8])
        assert sum(good) > 40

    run(scenario)
