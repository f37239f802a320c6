# SPDX-License-Identifier: GPL-3.0-or-later
"""A Modbus slave beyond the contract: illegal addresses, guard points, budgets, and an independent server."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from collector.agent.device.modbus.driver import ModbusDevice, ModbusLine
from collector.agent.device.modbus.plan import Block, Limits
from collector.base.clock import SystemClock
from collector.base.errors import Refused, Silent
from collector.model.record import Quality
from collector.points import Point
from simulators.run.pytest_plugin import ServedDevices
from tests.agent.device.agent_points import point
from tests.patience import HANG_S


class ScriptedLine(ModbusLine):
    """Answers from a register map; refuses what is not in it. `asked`: requests in order."""

    def __init__(self, registers: dict[int, int], illegal: frozenset[int] = frozenset()) -> None:
        super().__init__("line")
        self.registers, self.illegal, self.asked = registers, illegal, list[tuple[int, int]]()
        self.silent, self.delay_s = False, 0.0

    async def request(self, slave: int, block: Block, timeout_s: float) -> bytes:
        await asyncio.sleep(self.delay_s)
        self.asked.append((block.address, block.count))
        places = range(block.address, block.address + block.count)
        if self.silent:
            raise Silent("no answer", subject=f"slave {slave} within {timeout_s}")
        if self.illegal.intersection(places):
            raise Refused("illegal data address", code=2)
        return struct.pack(f">{block.count}H", *(self.registers.get(a, 0) for a in places))


def slave(
    line: ModbusLine, points: Sequence[Point], *, retry_refused_s: float = 600, limits: Limits | None = None
) -> ModbusDevice:
    return ModbusDevice(
        "d", line, tuple(points), SystemClock(), slave=1, timeout_s=HANG_S, limits=limits or Limits(),
        retry_refused_s=retry_refused_s,
    )  # fmt: skip


def row(address: int, **fields: object) -> Point:
    return point("active_power_mw", name=f"p{address}", address=address, raw_unit="kW", **fields)


async def values(device: ModbusDevice) -> dict[str, tuple[int | None, Quality]]:
    answer = await device.read(device.points, budget_s=60)
    return {r.point.name: (r.value, r.quality) for r in answer.readings}


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), HANG_S))


@given(st.sets(st.integers(0, 39)), st.dictionaries(st.integers(0, 39), st.integers(1, 4), min_size=1))
def test_illegal_addresses_are_found_isolated_and_left_alone(illegal: set[int], wanted: dict[int, int]) -> None:
    """`wanted`: how many rows read each address."""

    async def scenario() -> None:
        line = ScriptedLine({a: a for a in range(40)}, frozenset(illegal))
        rows = [replace(row(a), name=f"p{a} {n}") for a, count in sorted(wanted.items()) for n in range(count)]
        device = slave(line, rows)
        expected = {
            p.name: (None, Quality.REFUSED) if p.address in illegal else (p.address, Quality.GOOD) for p in rows
        }
        assert await values(device) == expected
        line.asked.clear()
        assert await values(device) == expected
        assert not [place for start, count in line.asked for place in range(start, start + count) if place in illegal]

    run(scenario)


def test_a_refused_address_is_asked_again_after_its_rest() -> None:
    async def scenario() -> None:
        line = ScriptedLine({1: 7, 2: 8}, frozenset({2}))
        device = slave(line, [row(1), row(2)], retry_refused_s=0.05)
        assert (await values(device))["p2"] == (None, Quality.REFUSED)
        line.illegal = frozenset()
        await asyncio.sleep(0.06)
        assert await values(device) == {"p1": (7, Quality.GOOD), "p2": (8, Quality.GOOD)}

    run(scenario)


def test_a_map_shifted_by_one_makes_the_values_around_its_guard_suspect() -> None:
    async def scenario() -> None:
        line = ScriptedLine({0: 500, 1: 600, 2: 2026})
        guard = point("", name="version", address=2, guard="2026")
        device = slave(line, [row(0), row(1), guard])
        assert (await values(device))["p0"] == (500, Quality.GOOD)
        line.registers = {1: 500, 2: 600, 3: 2026}
        assert {name: found for name, found in (await values(device)).items() if name != "version"} == {
            "p0": (None, Quality.SUSPECT), "p1": (None, Quality.SUSPECT),
        }  # fmt: skip

    run(scenario)


def test_a_silent_slave_costs_one_timeout_however_many_requests_it_has() -> None:
    async def scenario() -> None:
        line = ScriptedLine({})
        line.silent = True
        device = slave(line, [row(a) for a in (0, 10, 20, 30)])
        assert {quality for _, quality in (await values(device)).values()} == {Quality.SILENT}
        assert line.asked == [(0, 1)]

    run(scenario)


def test_what_did_not_fit_into_the_budget_comes_first_the_next_time() -> None:
    async def scenario() -> None:
        line = ScriptedLine({0: 1, 10: 2, 20: 3})
        line.delay_s = 0.03
        device = slave(line, [row(a) for a in (0, 10, 20)])
        first = await device.read(device.points, budget_s=0.01)
        assert [r.quality for r in first.readings] == [Quality.GOOD, Quality.SILENT, Quality.SILENT]
        await device.read(device.points, budget_s=0.01)
        assert line.asked == [(0, 1), (10, 1)]

    run(scenario)


def test_pymodbuss_own_server_is_read_as_it_should_be() -> None:
    async def scenario() -> None:
        registers = SimData(0, values=[0x42F6, 0xE979, 0xFFFE, 0x0008], datatype=DataType.REGISTERS)
        server = ModbusTcpServer(SimDevice(id=1, simdata=[registers]), address=("127.0.0.1", 0))
        await server.serve_forever(background=True)
        port = server.transport.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        device = slave(
            ModbusLine("server", host="127.0.0.1", port=port),
            [
                point("active_power_mw", name="float", type="float32", raw_unit="MW"),
                point("reactive_power_mvar", name="int", address=2, type="int16", raw_unit="kvar"),
                point("on_grid", name="bit", address=3, type="bit", bit=3),
            ],
        )
        # 0x42F6E979 is 123.45600128… MW: 123 456 kW
        assert await values(device) == {
            "float": (123456, Quality.GOOD),
            "int": (-2, Quality.GOOD),
            "bit": (1, Quality.GOOD),
        }
        await device.close()
        await server.shutdown()  # type: ignore[no-untyped-call]
        await asyncio.sleep(0.05)

    run(scenario)


@pytest.mark.parametrize("protocol", ["modbus_tcp", "modbus_rtu_over_tcp"])
def test_a_connection_reset_under_a_request_is_known_at_once(
    modbus_device: Callable[..., ServedDevices], protocol: str
) -> None:
    served = modbus_device("name,quantity,area,type,address,raw_unit\nP,active_power_mw,holding,int32,0,kW\n",
                           protocol=protocol)  # fmt: skip
    served.fault("reset")

    async def scenario() -> None:
        line = ModbusLine("line", host=served.host, port=served.port, rtu=protocol != "modbus_tcp")
        # The limit of the whole scenario is far below the time this request may take.
        with pytest.raises(Silent, match="connection was lost"):
            await line.request(1, Block("holding", 0, 2, ()), timeout_s=600)
        served.clear("reset")
        assert len(await line.request(1, Block("holding", 0, 2, ()), timeout_s=HANG_S)) == 4
        line.drop()

    run(scenario)
