# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated meters: frames worked by hand, and the PyPI package dlt645 as an independent reader."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.agent.device.factory import build_devices
from collector.base.clock import SystemClock
from collector.model.record import Quality
from collector.points.agent_config import AgentConfig, load_agent
from simulators.faces import dlt645
from simulators.faults.faults import Fault
from simulators.plant.scenario import free_ports
from simulators.run.devices import serve
from tests.simulators.served_config import what_arrives

TABLE = """name,quantity,address,scale,raw_unit
e,energy_export_mwh,00010000,1000,kWh
p,active_power_mw,02030000,10000,kW
q,reactive_power_mvar,02040000,10000,kvar
u,bus_voltage_kv,02010100,1000,V
f,frequency_hz,02800002,1,Hz
"""
# 68, address 000000000012 low byte first, 68, 11, 4 bytes, 00010000 +33 each; sum 68+12+68+11+04+33+33+34+33 = 1C4.
READ_ENERGY = bytes.fromhex("68 12 00 00 00 00 00 68 11 04 33 33 34 33 c4 16")


@pytest.fixture
def line(tmp_path: Path) -> AgentConfig:
    """Two meters behind one serial server."""
    (tmp_path / "meter.csv").write_text(TABLE, "utf-8")
    meter = f'protocol = "dlt645_over_tcp"\npoints = "meter.csv"\nhost = "127.0.0.1"\nport = {free_ports(1)[0]}\n'
    (tmp_path / "agent.toml").write_text(
        'schema = 1\n[gateway]\nid = "g"\n[[plant]]\nid = "P"\n'
        '[[unit]]\nid = "U1"\nplant = "P"\n[[unit]]\nid = "U2"\nplant = "P"\n'
        f'[[device]]\nid = "m1"\nunit = "U1"\naddress = "000000000012"\n{meter}'
        f'[[device]]\nid = "m2"\nunit = "U2"\naddress = "000000000034"\n{meter}',
        "utf-8",
    )
    return load_agent(tmp_path / "agent.toml")


async def exchange(config: AgentConfig, request: bytes) -> bytes:
    place = config.settings.device[0]
    reader, writer = await asyncio.open_connection(place.host, place.port)
    writer.write(request)
    data, _ = await what_arrives(reader)
    writer.close()
    return data


@pytest.mark.parametrize(
    ("value", "identifier", "octets"),
    [
        (Fraction("123456.78"), 0x00010000, "78 56 34 12"),
        (Fraction("1000000.25"), 0x00010000, "25 00 00 00"),  # six digits before the point: the register rolls over
        (Fraction("12.3456"), 0x02030000, "56 34 12"),
        (Fraction("-12.3456"), 0x02030000, "56 34 92"),  # the sign is the top bit
        (Fraction("220.05"), 0x02010100, "01 22"),  # one decimal, half away from zero
        (Fraction("49.987"), 0x02800002, "99 49"),
        (Fraction("-0.00001"), 0x02030000, "00 00 00"),  # no negative zero
    ],
)
def test_a_number_is_bcd_with_the_decimals_of_its_identifier(value: Fraction, identifier: int, octets: str) -> None:
    layout = dlt645.layout_of(identifier)
    assert layout is not None
    assert dlt645.encode_number(value, layout) == bytes.fromhex(octets)


def test_a_meter_answers_behind_its_preamble(line: AgentConfig) -> None:
    async def run() -> None:
        async with serve(line) as devices:
            devices.board.show("U1", "energy_export_mwh", "1234.5678")  # ÷ 1000 on the secondary side: 1234.57 kWh
            answer = await exchange(line, READ_ENERGY)
            # 91, 8 bytes: identifier and 57 34 12 00, all +33. Sum: 2 × 68 + 12 + 91 + 08 + CD + 169 = 3B1.
            assert answer == bytes.fromhex("fefefefe 68 120000000000 68 91 08 33333433 8a674533 b1 16")
            assert devices.requests() == {"m1": 1, "m2": 0}

    asyncio.run(run())


def read_with_the_package(
    config: AgentConfig, address: str, identifiers: list[int], timeout_s: float = 60.0
) -> list[Any]:
    from dlt645.service.clientsvc.client_service import MeterClientService  # it takes a second

    place = config.settings.device[0]
    client = MeterClientService.new_tcp_client(place.host, place.port or 0, timeout_s)
    try:
        client.set_address(bytes.fromhex(address)[::-1].hex())  # the package takes it in the order of the line
        found = [client.read_00(i) if i >> 24 == 0 else client.read_02(i) for i in identifiers]
        return [None if item is None else item.value for item in found]
    finally:
        client.disconnect()


def test_an_independent_reader_reads_both_meters_of_a_line(line: AgentConfig) -> None:
    async def run() -> None:
        async with serve(line) as devices:
            show = devices.board.show
            show("U1", "energy_export_mwh", "123456.78")
            show("U1", "active_power_mw", "380.125")
            show("U1", "reactive_power_mvar", "-12.5")
            show("U1", "bus_voltage_kv", "220.4")
            show("U1", "frequency_hz", "49.98")
            show("U2", "energy_export_mwh", "7000")
            identifiers = [0x00010000, 0x02030000, 0x02040000, 0x02010100, 0x02800002]
            values = await asyncio.to_thread(read_with_the_package, line, "000000000012", identifiers)
            assert values == [123456.78, 38.0125, -1.25, 220.4, 49.98]
            assert await asyncio.to_thread(read_with_the_package, line, "000000000034", [0x00010000]) == [7000.0]
            assert devices.requests() == {"m1": 5, "m2": 1}

    asyncio.run(run())


def test_what_a_meter_does_not_have_is_answered_by_an_error_frame(line: AgentConfig) -> None:
    request = dlt645.encode_frame(dlt645.address_bytes("12"), 0x11, bytes.fromhex("00000204"), preamble=0)

    async def run() -> None:
        async with serve(line):
            answer = await exchange(line, request)
            assert (answer[12], answer[14] - 0x33) == (0xD1, 0x02)

    asyncio.run(run())


def test_a_write_is_not_answered_and_reported(line: AgentConfig) -> None:
    request = dlt645.encode_frame(dlt645.address_bytes("12"), 0x14, bytes(16))

    async def run() -> None:
        async with serve(line, report_to=[]) as devices:
            assert await exchange(line, request) == b""
            assert "control 14H" in devices.audit.violations[0]

    asyncio.run(run())


def test_all_meters_answer_a_wildcard_address(line: AgentConfig) -> None:
    async def run() -> None:
        async with serve(line) as devices:
            for unit in ("U1", "U2"):
                devices.board.show(unit, "energy_export_mwh", 1)
            request = dlt645.encode_frame(dlt645.WILDCARD, 0x11, bytes.fromhex("00000100"))
            frames = dlt645.Framer().feed(await exchange(line, request))
            assert [frame.address[0] for frame in frames] == [0x12, 0x34]

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["checksum", "garbage", "truncate", "silence"])
def test_a_faulty_meter_gives_no_readable_frame(line: AgentConfig, kind: str) -> None:
    async def run() -> None:
        async with serve(line) as devices:
            devices.board.show("U1", "energy_export_mwh", 1)
            assert dlt645.Framer().feed(await exchange(line, READ_ENERGY))
            devices.faults.switch_on(Fault("m1", kind))
            data = await exchange(line, READ_ENERGY)
            assert dlt645.Framer().feed(data) == []
            if kind == "checksum":  # the checksum alone is wrong, the end mark is not
                assert data[-1] == 0x16

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["silence", "checksum", "truncate", "reset", "refuse"])
def test_an_independent_reader_gets_nothing_from_a_faulty_meter(line: AgentConfig, kind: str) -> None:
    async def run() -> None:
        async with serve(line) as devices:
            devices.board.show("U1", "energy_export_mwh", 7)
            devices.faults.switch_on(Fault("m1", kind))
            try:
                values = await asyncio.to_thread(read_with_the_package, line, "000000000012", [0x00010000], 0.2)
            except OSError:
                values = [None]
            assert values == [None]

    asyncio.run(run())


def test_an_independent_reader_sees_a_meter_freeze_restart_and_roll_over(line: AgentConfig) -> None:
    async def run() -> list[Any]:
        seen = []
        async with serve(line) as devices:
            steps = (("", 0, 7), ("frozen", 0, 9), ("restart", 0, 12), ("roll_over", 100, 12), ("", 0, 14))
            for kind, value, mwh in steps:
                devices.faults.switch_off("m1", "frozen")
                if kind:
                    devices.faults.switch_on(Fault("m1", kind, value))
                    await asyncio.sleep(0.01)
                devices.board.show("U1", "energy_export_mwh", mwh)
                if kind != "roll_over":  # of 999 999.00 the package takes the topmost bit for a sign
                    seen += await asyncio.to_thread(read_with_the_package, line, "000000000012", [0x00010000])
        return seen

    # kWh behind a ratio of 1000: 7 frozen; from 9 on again, 3 later; 1 kWh before 1 000 000.00, and 2 kWh later 1.
    assert asyncio.run(run()) == [7.0, 7.0, 3.0, 1.0]


@given(st.binary(max_size=40), st.binary(max_size=20))
def test_a_frame_is_found_behind_noise_and_no_bytes_break_the_framer(noise: bytes, data: bytes) -> None:
    frame = dlt645.encode_frame(bytes(range(6)), 0x11, data)
    found = dlt645.Framer().feed(noise + b"\x16" * 300 + frame + bytes(300))
    assert dlt645.Frame(bytes(range(6)), 0x11, data) in found


OLD_TABLE = """name,quantity,address,scale,raw_unit
e,energy_export_mwh,9010,1000,kWh
p,active_power_mw,B630,10000,kW
q,reactive_power_mvar,B640,10000,kvar
u,bus_voltage_kv,B611,1000,V
"""


@pytest.mark.usefixtures("line")
def test_a_meter_of_1997_beside_one_of_2007_answers_and_is_read_by_the_agents_own_codec(tmp_path: Path) -> None:
    async def run() -> None:
        (tmp_path / "meter.csv").write_text(OLD_TABLE, "utf-8")
        (tmp_path / "new.csv").write_text(TABLE, "utf-8")
        file = tmp_path / "agent.toml"
        head, second = file.read_text("utf-8").split('id = "m2"')
        file.write_text(f'{head}id = "m2"{second.replace("meter.csv", "new.csv")}', "utf-8")
        config = load_agent(file)
        async with serve(config) as devices:
            board = devices.board
            board.show("U1", "energy_export_mwh", "1234.5678")
            board.show("U1", "active_power_mw", "123.4567")
            board.show("U1", "reactive_power_mvar", "12.3")
            board.show("U1", "bus_voltage_kv", "223.4")
            board.show("U2", "energy_export_mwh", "1")
            # ÷ 1000 on the secondary side 9010 is 1234.57 kWh: 57 34 12 00, each +33; the address is in both frames.
            answer = await exchange(config, bytes.fromhex("68 12 00 00 00 00 00 68 01 02 43 C3 EB 16"))
            assert answer[4:-2] == bytes.fromhex("68 12 00 00 00 00 00 68 81 06 43 C3 8A 67 45 33")
            assert await exchange(config, READ_ENERGY) == b"", "it does not know the functions of 2007"
            old, new = (built.device for built in build_devices(config, SystemClock()))
            found = {r.point.name: (r.value, r.quality) for r in (await old.read(old.points, budget_s=5)).readings}
            await old.close()
            assert found == {
                "e": (1_234_570_000, Quality.GOOD), "p": (123_457, Quality.GOOD), "q": (12_300, Quality.GOOD),
                "u": (223_000, Quality.GOOD),
            }  # fmt: skip
            answers = (await new.read(new.points[:1], budget_s=5)).readings
            await new.close()
            assert [(r.value, r.quality) for r in answers] == [(1_000_000, Quality.GOOD)]
            assert devices.audit.violations == []

    asyncio.run(run())


def test_a_meter_that_denies_answers_with_its_error(line: AgentConfig) -> None:
    async def run() -> None:
        async with serve(line) as devices:
            devices.faults.switch_on(Fault("m1", "exception", 2))
            answer = await exchange(line, READ_ENERGY)
            # D1: the answer to 11 with the error bit; 02 + 33. Sum 2 x 68, 12, D1, 01, 35: 1E9.
            assert answer[4:] == bytes.fromhex("68 12 00 00 00 00 00 68 D1 01 35 E9 16")

    asyncio.run(run())
