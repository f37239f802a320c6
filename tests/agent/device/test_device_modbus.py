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

from collector.agent.device.factory import build_devices
from collector.agent.device.modbus.driver import ModbusDevice
from collector.agent.device.modbus.line import ModbusLine
from collector.agent.device.modbus.plan import Block, RequestLimits
from collector.base.clock import SystemClock
from collector.base.errors import Refused, Silent
from collector.model.record import Quality
from collector.points import Point
from simulators.run.pytest_plugin import ServedDevices
from tests.agent.device.agent_points import point
from tests.patience import HANG_S


class ScriptedLine(ModbusLine):
    """Answers from a register map; refuses what is not in it. `asked`: requests in order."""

    def __init__(self, registers: dict[int, int], illegal: frozenset[int] = frozenset(), *, code: int = 2) -> None:
        super().__init__("line")
        self.registers, self.illegal, self.asked = registers, illegal, list[tuple[int, int]]()
        self.silent, self.delay_s, self.code = False, 0.0, code
        self.mute: frozenset[int] = frozenset()

    async def request(self, slave: int, block: Block, timeout_s: float) -> bytes:
        await asyncio.sleep(self.delay_s)
        self.asked.append((block.address, block.count))
        places = range(block.address, block.address + block.count)
        if self.silent or self.mute.intersection(places):
            raise Silent("no answer", subject=f"slave {slave} within {timeout_s}")
        if self.illegal.intersection(places):
            raise Refused("illegal data address", code=self.code)
        return struct.pack(f">{block.count}H", *(self.registers.get(a, 0) for a in places))


def slave(
    line: ModbusLine, points: Sequence[Point], *, retry_refused_s: float = 600, limits: RequestLimits | None = None
) -> ModbusDevice:
    return ModbusDevice(
        "d", line, tuple(points), SystemClock(), slave=1, timeout_s=HANG_S, limits=limits or RequestLimits(),
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


def test_a_silent_slave_costs_two_timeouts_then_one_in_a_read_at_another_block_each_time() -> None:
    async def scenario() -> None:
        line = ScriptedLine({})
        line.silent = True
        device = slave(line, [row(a) for a in (0, 10, 20, 30)])
        asked = []
        for _ in range(5):
            line.asked.clear()
            assert {quality for _, quality in (await values(device)).values()} == {Quality.SILENT}
            asked.append([address for address, _ in line.asked])
        assert asked == [[0, 10], [20], [30], [0], [10]]
        line.silent = False
        assert {quality for _, quality in (await values(device)).values()} == {Quality.GOOD}

    run(scenario)


def test_a_block_without_answer_spoils_no_other_and_is_asked_last_and_rarely() -> None:
    async def scenario() -> None:
        line = ScriptedLine({0: 1, 10: 2, 20: 3})
        line.mute = frozenset({0})
        device = slave(line, [row(a) for a in (0, 10, 20)])
        good = {"p0": (None, Quality.SILENT), "p10": (2, Quality.GOOD), "p20": (3, Quality.GOOD)}
        for _ in range(20):
            assert await values(device) == good
        addresses = [address for address, _ in line.asked]
        # In the first read, in its turn; in the second, last; then it rests five seconds.
        assert addresses[:6] == [0, 10, 20, 10, 20, 0]
        assert addresses.count(0) == 2

    run(scenario)


def test_a_block_that_answers_again_is_read_as_before() -> None:
    async def scenario() -> None:
        line = ScriptedLine({0: 1, 10: 2})
        device = slave(line, [row(a) for a in (0, 10)])
        line.mute = frozenset({0})
        await values(device)
        line.mute = frozenset()
        for _ in range(2):
            assert (await values(device))["p0"] == (1, Quality.GOOD)
        assert [address for address, _ in line.asked][-2:] == [0, 10]

    run(scenario)


@given(st.sets(st.integers(0, 15), max_size=3), st.sets(st.integers(0, 15), min_size=1))
def test_only_the_registers_a_slave_says_nothing_to_are_lost(mute: set[int], wanted: set[int]) -> None:
    """Each read asks one of the requests that got no answer, and halves it: four halvings find one of 16 registers."""

    async def scenario() -> None:
        line = ScriptedLine({a: a for a in range(16)} | {100: 1})
        line.mute = frozenset(mute)
        device = slave(line, [row(a) for a in sorted(wanted | {100})])
        for _ in range(2 + 2 * 5 * 3):
            found = await values(device)
        lost = {name for name, (_, quality) in found.items() if quality is Quality.SILENT}
        assert lost == {f"p{a}" for a in mute & wanted}
        assert all(quality is Quality.GOOD for name, (_, quality) in found.items() if name not in lost)

    run(scenario)


@pytest.mark.parametrize("code", [1, 2, 3, 4])
def test_what_answered_before_is_not_illegal_when_it_is_refused_for_some_seconds(code: int) -> None:
    async def scenario() -> None:
        line = ScriptedLine({0: 1, 1: 2}, code=code)
        device = slave(line, [row(0), row(1)])
        await values(device)
        line.illegal = frozenset({0, 1})
        for _ in range(3):
            assert await values(device) == {"p0": (None, Quality.REFUSED), "p1": (None, Quality.REFUSED)}
        line.illegal = frozenset()
        assert await values(device) == {"p0": (1, Quality.GOOD), "p1": (2, Quality.GOOD)}
        assert set(line.asked) == {(0, 2)}

    run(scenario)


@pytest.mark.parametrize("code", [1, 2, 3, 4])
def test_a_refusal_of_the_request_is_halved_until_the_place_is_found(code: int) -> None:
    async def scenario() -> None:
        line = ScriptedLine({0: 1, 1: 2, 2: 3}, frozenset({1}), code=code)
        found = await values(slave(line, [row(0), row(1), row(2)]))
        assert found == {"p0": (1, Quality.GOOD), "p1": (None, Quality.REFUSED), "p2": (3, Quality.GOOD)}

    run(scenario)


@pytest.mark.parametrize("code", [5, 6, 8])
def test_a_busy_device_is_asked_the_same_again_in_the_next_read(code: int) -> None:
    async def scenario() -> None:
        line = ScriptedLine({0: 1, 1: 2}, frozenset({1}), code=code)
        device = slave(line, [row(0), row(1)])
        assert {quality for _, quality in (await values(device)).values()} == {Quality.REFUSED}
        line.illegal = frozenset()
        assert {quality for _, quality in (await values(device)).values()} == {Quality.GOOD}
        assert line.asked == [(0, 2), (0, 2)]

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
        line = ModbusLine(
            "line", host=served.host, port=served.port, framing="tcp" if protocol == "modbus_tcp" else "rtu"
        )
        # The limit of the whole scenario is far below the time this request may take.
        with pytest.raises(Silent, match="connection was lost"):
            await line.request(1, Block("holding", 0, 2, ()), timeout_s=600)
        served.clear("reset")
        assert len(await line.request(1, Block("holding", 0, 2, ()), timeout_s=HANG_S)) == 4
        line.drop()

    run(scenario)


HALVES = """name,quantity,area,type,address,bit,order,scale,raw_unit
p,active_power_mw,holding,uint8_hi,0,,,1,MW
q,reactive_power_mvar,holding,int8_lo,0,,,1,Mvar
on,on_grid,holding,uint32,1,20,CDAB,1,
agc,agc_in_service,holding,uint32,1,3,CDAB,1,
"""


def test_halves_of_a_register_and_the_upper_bits_of_two_are_read_as_the_simulator_shows_them(
    modbus_device: Callable[..., ServedDevices],
) -> None:
    served = modbus_device(HALVES)
    for name, value in (("active_power_mw", "250"), ("reactive_power_mvar", "-3"), ("on_grid", 1)):
        served.show(name, value)

    async def scenario() -> None:
        line = ModbusLine("line", host=served.host, port=served.port)
        device = slave(line, served.config.points[served.first])
        found = await values(device)
        assert {name: value for name, (value, _) in found.items()} == {"p": 250_000, "q": -3_000, "on": 1, "agc": 0}
        # 250 = FAh, -3 = FDh; bit 20 is bit 4 of the upper register, which comes second.
        assert await line.request(1, Block("holding", 0, 3, ()), HANG_S) == bytes.fromhex("fafd 0000 0010")
        line.drop()

    run(scenario)


@pytest.mark.parametrize("protocol", ["modbus_tcp", "modbus_udp", "modbus_rtu_over_tcp", "modbus_ascii_over_tcp"])
def test_every_framing_reads_what_the_simulator_shows_past_echo_and_hang_ups(
    modbus_device: Callable[..., ServedDevices], protocol: str
) -> None:
    served = modbus_device(HALVES, protocol=protocol)
    served.show("active_power_mw", "250")
    faults = {"modbus_tcp": ["hang_up"], "modbus_udp": []}.get(protocol, ["hang_up", "echo"])
    for kind in faults:
        served.fault(kind)

    async def scenario() -> None:
        (built,) = build_devices(served.config, SystemClock())
        for _ in range(3):
            answer = await built.device.read(built.device.points, budget_s=60)
            assert {r.point.name: r.value for r in answer.readings}["p"] == 250_000
        await built.device.close()

    run(scenario)
