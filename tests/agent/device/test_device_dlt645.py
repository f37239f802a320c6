# SPDX-License-Identifier: GPL-3.0-or-later
"""645 meters over real sockets and a pseudo terminal: our simulator, the PyPI package dlt645, and a scripted line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from collector.agent.device.contract import Device
from collector.agent.device.factory import build_devices
from collector.agent.operate.config_check import compute_plan, find_problems
from collector.agent.operate.read_once import read_devices
from collector.base.clock import SystemClock
from collector.base.errors import ConfigError
from collector.model.record import Quality
from collector.points.agent_config import AgentConfig, load_agent
from simulators.plant.scenario import free_ports
from simulators.run.devices import serve
from tests.patience import HANG_S

TABLE = """name,quantity,address,scale,raw_unit
e,energy_export_mwh,00010000,1000,kWh
p,active_power_mw,02030000,10000,kW
u,bus_voltage_kv,02010100,1000,V
f,frequency_hz,02800002,1,Hz
"""


def config_of(folder: Path, place: str, *addresses: str, table: str = TABLE, timeout_s: float = 60.0) -> AgentConfig:
    """Meters m1, m2, … of units U1, U2, … at one place."""
    (folder / "meter.csv").write_text(table, "utf-8")
    text = 'schema = 1\n[gateway]\nid = "g"\n[[plant]]\nid = "P"\n'
    protocol = "dlt645" if "serial" in place else "dlt645_over_tcp"
    for number, address in enumerate(addresses, 1):
        text += (
            f'[[unit]]\nid = "U{number}"\nplant = "P"\n[[device]]\nid = "m{number}"\nunit = "U{number}"\n'
            f'protocol = "{protocol}"\npoints = "meter.csv"\naddress = "{address}"\n{place}\ntimeout_s = {timeout_s}\n'
        )
    (folder / "agent.toml").write_text(text, "utf-8")
    return load_agent(folder / "agent.toml")


def at(port: int) -> str:
    return f'host = "127.0.0.1"\nport = {port}'


def devices_of(config: AgentConfig) -> list[Device]:
    return [built.device for built in build_devices(config, SystemClock())]


async def values(device: Device, budget_s: float = 5.0) -> dict[str, tuple[int | None, Quality]]:
    answer = await device.read(device.points, budget_s=budget_s)
    return {r.point.name: (r.value, r.quality) for r in answer.readings}


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), HANG_S))


@pytest.mark.parametrize("kind", ["tcp", "serial"])
def test_two_meters_of_one_line_are_read_side_by_side(kind: str, tmp_path: Path) -> None:
    place = at(free_ports(1)[0]) if kind == "tcp" else f'serial = "{tmp_path}/line"\nparity = "even"'

    async def scenario() -> None:
        config = config_of(tmp_path, place, "12", "34")
        async with serve(config) as simulated:
            show = simulated.board.show
            show("U1", "energy_export_mwh", "123456.78")
            show("U1", "active_power_mw", "-380.125")
            show("U1", "bus_voltage_kv", "220.4")
            show("U1", "frequency_hz", "49.98")
            show("U2", "energy_export_mwh", "7000")
            first, second = devices_of(config)
            found, other = await asyncio.gather(values(first), values(second))
            # Stored integers: kWh × 10^3 of a MWh with six decimals, kW, V, µHz.
            assert found == {
                "e": (123_456_780_000, Quality.GOOD), "p": (-380_125, Quality.GOOD), "u": (220_400, Quality.GOOD),
                "f": (49_980_000, Quality.GOOD),
            }  # fmt: skip
            assert other["e"] == (7_000_000_000, Quality.GOOD)
            assert other["p"] == (None, Quality.REFUSED), "the meter has nothing under it"
            await first.close()
            await second.close()

    run(scenario)


def test_a_meter_nobody_here_wrote_is_read(tmp_path: Path) -> None:
    async def scenario() -> None:
        port = free_ports(1)[0]
        from dlt645.service.serversvc.server_service import MeterServerService  # it takes a second

        meter = MeterServerService.new_tcp_server("127.0.0.1", port, 2.0)
        meter.set_address(bytes.fromhex("785634120000"))
        meter.set_00(0x00010000, 123456.78)
        meter.set_02(0x02030000, 38.0125)
        meter.set_02(0x02010100, 220.4)
        meter.set_02(0x02800002, 49.98)
        assert await asyncio.to_thread(meter.start)
        try:
            (device,) = devices_of(config_of(tmp_path, at(port), "000012345678"))
            found = await values(device)
            assert {name: value for name, (value, _) in found.items()} == {
                "e": 123_456_780_000, "p": 380_125, "u": 220_400, "f": 49_980_000,
            }  # fmt: skip
            await device.close()
        finally:
            await asyncio.to_thread(meter.stop)

    run(scenario)


class ScriptedMeter:
    """A line with the meter 000000000012: identifier -> frames of data as hex; what it was asked stays in `asked`.

    `says` replaces whole answers; `before` is sent ahead of each."""

    def __init__(self, data: dict[int, list[str]]) -> None:
        self.data, self.asked = data, list[tuple[int, int]]()
        self.says: bytes | None = None
        self.before = b""
        self.address = bytes.fromhex("120000000000")

    def frame(self, control: int, data: bytes) -> bytes:
        body = b"\x68" + self.address + b"\x68" + bytes([control, len(data)]) + bytes((b + 0x33) & 0xFF for b in data)
        return body + bytes([sum(body) & 0xFF, 0x16])

    def answer(self, request: bytes) -> bytes:
        data = bytes((b - 0x33) & 0xFF for b in request[10:-2])
        control, identifier = request[8], int.from_bytes(data[:4], "little")
        self.asked.append((control, identifier))
        if request[1:7] not in (self.address, b"\xaa" * 6):
            return b""
        if self.says is not None:
            return self.says
        parts = self.data.get(identifier)
        if parts is None:
            return self.frame(control | 0xC0, b"\x02")
        index = data[4] if control == 0x12 else 0
        more = 0x20 if index + 1 < len(parts) else 0
        tail = bytes([index]) if control == 0x12 else b""
        return self.frame(control | 0x80 | more, data[:4] + bytes.fromhex(parts[index]) + tail)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readexactly(14)
                request = head[4:] + await reader.readexactly(head[13] + 2)
                # On two wires one hears oneself first.
                writer.write(head[:4] + request + self.before + self.answer(request))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@asynccontextmanager
async def served(meter: ScriptedMeter) -> AsyncIterator[str]:
    async with await asyncio.start_server(meter.talk, "127.0.0.1", 0) as server:
        yield at(server.sockets[0].getsockname()[1])
        await asyncio.sleep(0.02)  # connections that were dropped end


async def with_meter(
    meter: ScriptedMeter, folder: Path, use: Callable[[Device], Awaitable[None]], *, address: str = "12",
    table: str = TABLE,
) -> None:  # fmt: skip
    async with served(meter) as place:
        (device,) = devices_of(config_of(folder, place, address, table=table))
        try:
            await use(device)
        finally:
            await device.close()


ENERGY_ONLY = "name,quantity,address,raw_unit\ne,energy_export_mwh,00010000,kWh\n"


def test_an_answer_in_several_frames_is_put_together(tmp_path: Path) -> None:
    meter = ScriptedMeter({0x00010000: ["5734", "12", "00"]})

    async def use(device: Device) -> None:
        assert await values(device) == {"e": (1_234_570, Quality.GOOD)}
        assert meter.asked[:3] == [(0x11, 0x00010000), (0x12, 0x00010000), (0x12, 0x00010000)]

    run(lambda: with_meter(meter, tmp_path, use, table=ENERGY_ONLY))


def test_what_the_meter_does_not_have_is_left_alone_and_the_rest_is_read(tmp_path: Path) -> None:
    meter = ScriptedMeter({0x00010000: ["57341200"]})

    async def use(device: Device) -> None:
        expected = {"e": (1_234_570_000, Quality.GOOD)} | dict.fromkeys("puf", (None, Quality.REFUSED))
        assert await values(device) == expected
        meter.asked.clear()
        assert await values(device) == expected
        assert [asked for asked in meter.asked if asked[1] >> 24 != 4] == [(0x11, 0x00010000)]

    run(lambda: with_meter(meter, tmp_path, use))


def test_noise_and_the_talk_of_another_meter_do_not_disturb_an_answer(tmp_path: Path) -> None:
    meter = ScriptedMeter({0x00010000: ["57341200"]})
    other = ScriptedMeter({})
    other.address = bytes.fromhex("340000000000")
    late = other.frame(0x91, bytes.fromhex("00000100 99999999"))
    meter.before = b"\x00\x68\x12" + late + meter.frame(0x91, bytes.fromhex("00000300 88888888"))

    async def use(device: Device) -> None:
        assert await values(device) == {"e": (1_234_570, Quality.GOOD)}

    run(lambda: with_meter(meter, tmp_path, use, table=ENERGY_ONLY))


def test_a_meter_of_1997_is_garbled_and_named(tmp_path: Path) -> None:
    meter = ScriptedMeter({})
    meter.says = meter.frame(0x81, bytes.fromhex("109078563412"))

    async def use(device: Device) -> None:
        answer = await device.read(device.points, budget_s=5)
        assert [r.quality for r in answer.readings] == [Quality.GARBLED]
        assert "DL/T 645-1997" in str(answer.errors[0])

    run(lambda: with_meter(meter, tmp_path, use, table=ENERGY_ONLY))


@pytest.mark.parametrize(("octets", "quality"), [("ffffffff", Quality.INVALID), ("0000009a", Quality.INVALID)])
def test_digits_that_are_none_are_no_value(octets: str, quality: Quality, tmp_path: Path) -> None:
    async def use(device: Device) -> None:
        assert await values(device) == {"e": (None, quality)}

    run(lambda: with_meter(ScriptedMeter({0x00010000: [octets]}), tmp_path, use, table=ENERGY_ONLY))


def test_a_guard_that_does_not_match_makes_the_meter_suspect(tmp_path: Path) -> None:
    table = "name,quantity,address,scale,raw_unit,guard\ne,energy_export_mwh,00010000,1,kWh,\nct,,04000306,1,,3000\n"
    meter = ScriptedMeter({0x00010000: ["57341200"], 0x04000306: ["003000"]})

    async def use(device: Device) -> None:
        assert (await values(device))["e"] == (1_234_570, Quality.GOOD)
        meter.data[0x04000306] = ["002000"]
        assert (await values(device))["e"] == (None, Quality.SUSPECT)

    run(lambda: with_meter(meter, tmp_path, use, table=table))


def test_what_did_not_fit_into_the_budget_comes_first_the_next_time(tmp_path: Path) -> None:
    meter = ScriptedMeter({0x00010000: ["57341200"], 0x02030000: ["563412"], 0x02010100: ["0422"]})

    async def use(device: Device) -> None:
        found = await values(device, budget_s=0.0)
        assert found["e"][1] is Quality.GOOD
        assert {found[name][1] for name in "puf"} == {Quality.SILENT}
        await values(device, budget_s=0.0)
        assert meter.asked == [(0x11, 0x00010000), (0x11, 0x02030000)]

    run(lambda: with_meter(meter, tmp_path, use))


@pytest.mark.parametrize("ahead_s", [0, 3600, -90_000])
def test_the_meters_clock_is_measured_and_never_set(ahead_s: int, tmp_path: Path) -> None:
    """A meter that shows Beijing time; around midnight nothing is measured, so noon is what this clock says."""
    noon_utc_ms = 1_795_406_400_000  # 23 November 2026 04:00 UTC
    shows = datetime(2026, 11, 23, 12, tzinfo=UTC) + timedelta(seconds=ahead_s)
    meter = ScriptedMeter(
        {
            0x00010000: ["57341200"],
            0x04000101: ["01" + shows.strftime("%d%m%y")],
            0x04000102: [shows.strftime("%S%M%H")],
        }
    )

    class Noon(SystemClock):
        def now_utc_ms(self) -> int:
            return noon_utc_ms

    async def scenario() -> None:
        async with served(meter) as place:
            config = config_of(tmp_path, place, "12", table=ENERGY_ONLY)
            (device,) = [built.device for built in build_devices(config, Noon())]
            answer = await device.read(device.points, budget_s=5)
            assert answer.clock_offset_ms == ahead_s * 1000 + 500  # it shows whole seconds: half a one more
            assert (await device.read(device.points, budget_s=5)).clock_offset_ms is None, "not due again"
            assert {control for control, _ in meter.asked} == {0x11}
            await device.close()

    run(scenario)


def test_read_tells_of_an_address_noted_the_wrong_way_round(tmp_path: Path) -> None:
    meter = ScriptedMeter({0x00010000: ["57341200"]})

    async def scenario() -> None:
        async with served(meter) as place:
            for address, said in (
                ("120000000000", "meter 000000000012 answers: the address is noted the wrong way round"),
                ("77", "meters that answer: 000000000012"),
            ):
                config = config_of(tmp_path, place, address, table=ENERGY_ONLY, timeout_s=1.0)  # waited for in vain
                ((row, _, _),) = await read_devices(config, SystemClock(), "")
                assert row.quality == "silent"
                assert said in row.error
            config = config_of(tmp_path, place, "AAAAAAAAAAAA", table=ENERGY_ONLY)
            ((row, _, _),) = await read_devices(config, SystemClock(), "")
            assert row.value == "1.23457"

    run(scenario)


def test_check_knows_what_a_meter_can_be_asked(tmp_path: Path) -> None:
    config = config_of(tmp_path, 'serial = "/dev/ttyS9"\nbaud = 1200', "12")
    (plan,) = compute_plan(config)
    # Four requests of 20 bytes, four answers of 20 bytes and 4, 3, 2 and 2 bytes of data; 11 bits a byte at 1200 baud.
    assert (plan.requests, plan.bytes, plan.cycle_s) == (4, 171, 1.5675)
    table = "name,quantity,address,raw_unit\ne,energy_export_mwh,0001FF00,kWh\n"
    config = config_of(tmp_path, at(1), "AAAAAAAAAAAA", table=table)
    found: list[Any] = find_problems(config, "agent.toml")
    assert [(p.row, p.key) for p in found] == [(0, "device[1].address"), (2, "address")]
    with pytest.raises(ConfigError, match="0001FF00"):
        build_devices(config, SystemClock())
    with pytest.raises(ConfigError, match=r"device\[1\].address: a meter's address has 12 digits"):
        config_of(tmp_path, at(1), "12B")
