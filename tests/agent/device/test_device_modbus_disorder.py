# SPDX-License-Identifier: GPL-3.0-or-later
"""Modbus lines without numbers whose answers come late in the worst order while all values move."""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import AsyncExitStack
from typing import cast

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
from tests.agent.device.disorder import (
    LATE_S,
    LATENESS,
    MOVES,
    TIMEOUT_S,
    Disorder,
    Schedule,
    Wire,
    modbus_answer,
    run_in_made_time,
)
from tests.patience import HANG_S

QUIET_S = 0.05
# Over real lines a case takes seconds: these seeds are always tried, more of them when somebody asks.
SEEDS = int(os.environ.get("DISORDER_SEEDS", "2"))


def wire_of(framing: str, schedule: Schedule, *, moves: bool = True) -> Wire:
    return Wire(lambda request, number: modbus_answer(framing, request, number if moves else 0), schedule)


def line_on(wire: Wire, framing: str, *, quiet_s: float = QUIET_S) -> ModbusLine:
    own = framing == "tcp"
    return ModbusLine(
        "line", serial=cast(SerialLine, wire), framing=cast(Framing, framing), any_number=own, quiet_s=quiet_s,
        late_s=LATE_S,
    )  # fmt: skip


def single(address: int) -> Block:
    """A block of one point: the same shape at every address."""
    return Block(
        "holding",
        address,
        2,
        (point("active_power_mw", name=f"p{address}", address=address, type="int32", raw_unit="kW"),),
    )


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
        wire = wire_of(framing, lambda n: [1.0] if n == 0 else [0.1] if n < 4 else [0.29])
        line = line_on(wire, framing)
        with pytest.raises(Silent):
            await line.request(1, single(0), TIMEOUT_S)
        for _ in range(40):
            for address in (100, 0):
                try:
                    assert places_of(await line.request(1, single(address), TIMEOUT_S)) == [address]
                except DeviceError:
                    await asyncio.sleep(0.02)

    run_in_made_time(scenario)


@pytest.mark.parametrize("framing", WIRES)
def test_a_block_of_several_points_is_read_in_parts_of_another_shape_meanwhile(framing: str) -> None:
    async def scenario() -> None:
        wire = wire_of(framing, lambda n: [] if n == 0 else [0.1])
        line = line_on(wire, framing)
        with pytest.raises(Silent):
            await line.request(1, double(0), TIMEOUT_S)
        for _ in range(5):
            for address in (100, 0):
                data = await line.request(1, double(address), TIMEOUT_S)
                assert places_of(data) == [address, address + 2, address + 4]
        await asyncio.sleep(LATE_S)
        await line.request(1, double(0), TIMEOUT_S)
        asked = wire.asked
        await line.request(1, double(100), TIMEOUT_S)
        assert wire.asked == asked + 1

    run_in_made_time(scenario)


def test_values_that_rest_are_read_at_once_and_those_that_move_when_the_answer_can_come_no_more() -> None:
    async def scenario() -> None:
        for moves in (False, True):
            wire = wire_of("rtu", lambda n: [] if n == 0 else [0.1], moves=moves)
            line, loop = line_on(wire, "rtu"), asyncio.get_running_loop()
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

    run_in_made_time(scenario)


def test_a_late_answer_that_came_ends_the_doubt_at_once() -> None:
    async def scenario() -> None:
        wire = wire_of("rtu", lambda n: [0.6] if n == 0 else [0.1])
        line = line_on(wire, "rtu")
        with pytest.raises(Silent):
            await line.request(1, single(0), TIMEOUT_S)
        await asyncio.sleep(0.5)
        assert places_of(await line.request(1, single(100), TIMEOUT_S)) == [100]

    run_in_made_time(scenario)


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

        wire = wire_of(framing, schedule)
        line = line_on(wire, framing, quiet_s=quiet_ms / 1000)
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
            if good > 12 and wire.asked > len(waits):
                return
        raise AssertionError("it never came back")

    run_in_made_time(scenario)


def test_a_request_that_is_held_back_does_not_make_the_device_mute_or_silent() -> None:
    """One place that never answers: its neighbour of the same shape is read in every turn that the time allows."""

    async def scenario() -> None:
        wire = Wire(lambda request, n: b"" if request[3] == 0 else modbus_answer("rtu", request, n), lambda _: [0.01])
        points = (single(0).points[0], single(100).points[0])
        device = ModbusDevice(
            "d", line_on(wire, "rtu"), points, SystemClock(), slave=1, timeout_s=TIMEOUT_S, limits=RequestLimits()
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

    run_in_made_time(scenario)


@pytest.mark.parametrize("framing", WIRES)
@pytest.mark.parametrize("late_s", [1.1 * TIMEOUT_S, 2 * TIMEOUT_S])
@pytest.mark.parametrize("late", range(4))
def test_one_late_answer_costs_its_line_two_reads(framing: str, late_s: float, late: int) -> None:
    """Four places of one shape that move, the worst there is. Counted twice, an answer cost six seconds, then more."""
    points = tuple(single(address).points[0] for address in (0, 100, 200, 300))

    async def scenario() -> None:
        wire = wire_of(framing, lambda n: [late_s if n == 40 + late else 0.01])
        device = ModbusDevice(
            "d", line_on(wire, framing), points, SystemClock(), slave=1, timeout_s=TIMEOUT_S, limits=RequestLimits()
        )
        spoilt = 0
        for _ in range(100):
            answer = await device.read(points, budget_s=5.0)
            spoilt += any(not reading.quality.usable for reading in answer.readings)
            await asyncio.sleep(1.0)
        assert 1 <= spoilt <= 2

    run_in_made_time(scenario)


def request_bytes(framing: str, pending: bytes) -> int:
    if framing == "ascii":
        return pending.find(b"\n") + 1 or len(pending) + 1
    return 12 if framing == "tcp" else 8


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize(("framing", "carrier"), [("rtu", "socket"), ("ascii", "socket"), ("tcp", "socket"),
                                                  ("rtu", "pty"), ("ascii", "pty")])  # fmt: skip
def test_over_real_lines_no_disorder_makes_a_value_anothers_and_all_come_back(
    framing: str, carrier: str, seed: int
) -> None:
    """Two slaves on a line, each with places of one shape and a wider block, read by the driver as the agent does."""
    points = tuple(single(address).points[0] for address in (0, 100, 200)) + double(300).points

    async def scenario() -> None:
        disorder = Disorder(
            lambda request, n: modbus_answer(framing, request, n), lambda pending: request_bytes(framing, pending),
            random.Random(seed),
        )  # fmt: skip
        async with AsyncExitStack() as stack:
            form, own = cast(Framing, framing), framing == "tcp"
            if carrier == "pty":
                serial = SerialLine(await stack.enter_async_context(disorder.on_a_pty()), 115_200, "even")
                line = ModbusLine("line", serial=serial, framing=form, quiet_s=QUIET_S, late_s=LATE_S)
            else:
                port = await stack.enter_async_context(disorder.on_a_socket())
                line = ModbusLine(
                    "line", host="127.0.0.1", port=port, framing=form, any_number=own, quiet_s=QUIET_S, late_s=LATE_S
                )
            stack.callback(line.drop)
            slaves = {
                number: ModbusDevice(
                    f"d{number}",
                    line,
                    points,
                    SystemClock(),
                    slave=number,
                    timeout_s=disorder.TIMEOUT_S,
                    limits=RequestLimits(),
                )
                for number in (1, 2)
            }
            good: dict[tuple[int, str], int] = {}

            async def have_all_come_back() -> bool:
                for number, slave in slaves.items():
                    try:
                        answer = await slave.read(points, budget_s=5.0)
                    except DeviceError:
                        good.clear()
                        continue
                    for reading in answer.readings:
                        named = (number, reading.point.name)
                        if not reading.quality.usable:
                            good.clear()
                            continue
                        assert reading.value is not None
                        assert reading.value % MOVES == reading.point.address + 500 * (number - 1), named
                        good[named] = good.get(named, 0) + 1
                everything = len(good) == len(slaves) * len(points) and min(good.values()) > 2
                return everything and disorder.asked > disorder.disorderly

            while not await have_all_come_back():  # noqa: ASYNC110 - it reads
                await asyncio.sleep(0.02)

    asyncio.run(asyncio.wait_for(scenario(), HANG_S))
