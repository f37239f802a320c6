# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated DL/T 698.45 meters: frames that other makes publish, and the agent's driver over socket and line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from collector.agent.operate.config_check import find_problems
from collector.agent.operate.read_once import PointReading, read_devices
from collector.base.clock import SystemClock
from collector.base.errors import ConfigError
from collector.points.agent_config import AgentConfig, load_agent
from simulators.faces import dlt698
from simulators.faults.faults import Fault
from simulators.plant.scenario import free_ports
from simulators.run.devices import Devices, serve
from tests.patience import HANG_S
from tests.simulators.served_config import what_arrives

TABLE = """name,unit,quantity,address,scale,raw_unit,guard
e,U1,energy_export_mwh,00100201,1,kWh,
precise,U2,energy_export_mwh,00200401,1,kWh,
p,U1,active_power_mw,20040201,1000,W,
q,U1,reactive_power_mvar,20050201,1000,var,
u,U1,bus_voltage_kv,20000202,1000,V,
f,U1,frequency_hz,200F0200,1,Hz,
phase,,,20000203,1,,100
"""
# The manual of a public C++ library: requests to a meter at address 0, and what it answers with these values.
PUBLISHED = [
    ("68 17 00 43 05 00 00 00 00 00 00 00 72 79 05 01 00 00 10 02 01 00 0D 04 16",
     "68 1E 00 C3 05 00 00 00 00 00 00 00 9E 54 85 01 00 00 10 02 01 01 06 00 01 E2 40 00 00 5A D4 16"),
    ("68 17 00 43 05 00 00 00 00 00 00 00 72 79 05 01 00 20 00 02 01 00 3D A7 16",
     "68 1C 00 C3 05 00 00 00 00 00 00 00 BC FF 85 01 00 20 00 02 01 01 12 09 6D 00 00 DE F1 16"),
]  # fmt: skip


def config_of(folder: Path, table: str = TABLE, *, where: str = "", more: str = "") -> AgentConfig:
    (folder / "meter.csv").write_text(table, "utf-8")
    where = where or f'protocol = "dlt698_over_tcp"\nhost = "127.0.0.1"\nport = {free_ports(1)[0]}\n'
    units = "".join(f'[[unit]]\nid = "{unit}"\nplant = "P"\n' for unit in ("U1", "U2"))
    (folder / "agent.toml").write_text(
        f'schema = 1\n[gateway]\nid = "g"\n[[plant]]\nid = "P"\n{units}'
        f'[[device]]\nid = "meter"\npoints = "meter.csv"\nunit = "U1"\ntimeout_s = 60\n{where}{more}',
        "utf-8",
    )
    return load_agent(folder / "agent.toml")


def show(devices: Devices) -> None:
    for quantity, value in (("energy_export_mwh", "1.23456"), ("active_power_mw", "-380.5"), ("frequency_hz", "50.02"),
                            ("reactive_power_mvar", "12.3"), ("bus_voltage_kv", "220.1")):  # fmt: skip
        devices.board.show("U1", quantity, value)
    devices.board.show("U2", "energy_export_mwh", "0.001235")


def read(config: AgentConfig, prepare: Callable[[Devices], None] = show) -> list[PointReading]:
    async def scenario() -> list[PointReading]:
        async with asyncio.timeout(HANG_S), serve(config) as devices:
            prepare(devices)
            return [row for row, _, _ in await read_devices(config, SystemClock(), "")]

    return asyncio.run(scenario())


GOOD = {"e": "1.23456", "precise": "0.001235", "p": "-380.5", "q": "12.3", "u": "220.1", "f": "50.02", "phase": ""}


@pytest.mark.parametrize(
    "single", ["", "one_point_per_request = true\n", "logical_address = 1\n", "client_address = 0\n"]
)
def test_every_attribute_is_served_and_read_by_the_same_table(single: str, tmp_path: Path) -> None:
    config = config_of(tmp_path, more='address = "20240001"\n' + single)
    assert find_problems(config, "agent.toml") == []
    rows = read(config)
    assert {row.name: (row.value, row.quality) for row in rows} == {n: (value, "good") for n, value in GOOD.items()}
    assert {row.name: row.raw for row in rows}["f"] == "12 13 8a"
    assert {row.name: row.address for row in rows}["f"] == "200F0200"


def test_meters_of_one_serial_line_are_read_each_by_its_address(tmp_path: Path) -> None:
    line = tmp_path / "line"
    where = f'protocol = "dlt698"\nserial = "{line}"\nparity = "none"\n'
    second = f'[[device]]\nid = "second"\npoints = "meter.csv"\nunit = "U1"\ntimeout_s = 60\n{where}address = "2"\n'
    table = "name,unit,quantity,address,scale,raw_unit\np,U1,active_power_mw,20040201,1000,W\n"
    config = config_of(tmp_path, table, where=where, more='address = "1"\n' + second)
    rows = read(config)
    assert [(row.device, row.value, row.quality) for row in rows] == [
        ("meter", "-380.5", "good"), ("second", "-380.5", "good"),
    ]  # fmt: skip


def exchange(config: AgentConfig, request: bytes, prepare: Callable[[Devices], None] = show) -> tuple[bytes, list[str]]:
    told: list[str] = []

    async def scenario() -> bytes:
        async with asyncio.timeout(HANG_S), serve(config, report_to=told) as devices:
            prepare(devices)
            device = config.settings.device[0]
            reader, writer = await asyncio.open_connection(device.host, device.port)
            writer.write(request)
            data, _ = await what_arrives(reader)
            writer.close()
            return data

    return asyncio.run(scenario()), told


@pytest.mark.parametrize(("request_", "answer"), PUBLISHED)
def test_the_meter_answers_as_published_byte_for_byte(request_: str, answer: str, tmp_path: Path) -> None:
    table = "name,quantity,address,scale,raw_unit\ne,energy_export_mwh,00100201,,kWh\nu,bus_voltage_kv,20000201,10,V\n"
    config = config_of(tmp_path, table, more='address = "0"\n')

    def prepare(devices: Devices) -> None:
        devices.board.show("U1", "energy_export_mwh", "1.23456")
        devices.board.show("U1", "bus_voltage_kv", "2.413")

    found, told = exchange(config, bytes.fromhex(request_), prepare)
    assert found.lstrip(b"\xfe") == bytes.fromhex(answer)
    assert told == []


def test_an_attribute_that_the_meter_lacks_is_a_reason_and_a_wildcard_finds_the_meter(tmp_path: Path) -> None:
    config = config_of(tmp_path, more='address = "12"\n')
    apdu = bytes.fromhex("05 02 07 02 20 10 02 00 40 01 02 00 00")
    found, _ = exchange(config, dlt698.encode_frame(0x43, 0x45, dlt698.WILDCARD, 16, apdu))
    (answer,) = dlt698.Framer().feed(found)
    assert answer.address == bytes.fromhex("120000000000")
    assert answer.apdu.hex(" ") == "85 02 07 02 20 10 02 00 00 04 40 01 02 00 01 09 06 00 00 00 00 00 12 00 00"


@pytest.mark.parametrize("apdu", [
    "06 01 02 40 00 02 00 1C 07 E0 01 14 10 1B 0B 00",  # SET of the clock
    "07 01 05 00 10 01 00 0F 00 00",  # ACTION: energies to zero
    "02 00 00 10", "05 03 00 50 04 02 00 00", "05 01 00 20 04 02 00",
])  # fmt: skip
def test_anything_but_reading_attributes_is_told_and_not_answered(apdu: str, tmp_path: Path) -> None:
    config = config_of(tmp_path, more='address = "12"\n')
    request = dlt698.encode_frame(0x43, 5, bytes.fromhex("120000000000"), 16, bytes.fromhex(apdu))
    found, told = exchange(config, request)
    assert found == b""
    assert len(told) == 1
    assert "not GET" in told[0]


@pytest.mark.parametrize("kind", ["echo", "glue"])
def test_a_disturbed_line_changes_no_value(kind: str, tmp_path: Path) -> None:
    def prepare(devices: Devices) -> None:
        show(devices)
        devices.faults.switch_on(Fault("meter", kind))

    rows = read(config_of(tmp_path, more='address = "12"\n'), prepare)
    assert {row.name: row.value for row in rows} == GOOD


@pytest.mark.parametrize(
    ("dar", "words"), [(2, "DAR 2 (temporarily unavailable)"), (3, "DAR 3 (access refused)"), (16, "DAR 16 (reserved)")]
)
def test_a_meter_that_denies_is_refused_with_its_reason(dar: int, words: str, tmp_path: Path) -> None:
    def deny(devices: Devices) -> None:
        show(devices)
        devices.faults.switch_on(Fault("meter", "exception", dar))

    rows = read(config_of(tmp_path, more='address = "12"\n'), deny)
    assert {row.quality for row in rows} == {"refused"}
    assert {row.value for row in rows} == {""}
    assert all(words in row.error for row in rows)


def test_a_register_that_has_no_value_is_invalid_and_one_that_rolled_over_is_read(tmp_path: Path) -> None:
    def prepare(devices: Devices) -> None:
        show(devices)
        devices.board.show("U1", "active_power_mw", None)
        devices.faults.switch_on(Fault("meter", "roll_over", 3))

    found = {row.name: (row.value, row.quality) for row in read(config_of(tmp_path, more='address = "12"\n'), prepare)}
    assert found["p"] == ("", "invalid")
    # 2^32 - 3 hundredths of a kWh.
    assert found["e"] == ("42949.67293", "good")


@pytest.mark.parametrize(
    "address", ["00100200", "00100301", "20000204", "200F0201", "00010201", "40000200", "20040205"]
)
def test_a_row_that_names_no_single_value_is_told_by_check(address: str, tmp_path: Path) -> None:
    config = config_of(
        tmp_path, f"name,unit,quantity,address,raw_unit\np,U1,active_power_mw,{address},W\n", more='address = "1"\n'
    )
    (problem,) = [p for p in find_problems(config, "agent.toml") if p.key == "address"]
    assert address in problem.message


def test_a_meter_without_an_address_or_a_line_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        config_of(tmp_path, where='protocol = "dlt698"\nhost = "127.0.0.1"\nport = 1\n')
    assert [p.key for p in caught.value.problems] == ["device[1].serial", "device[1].address"]
