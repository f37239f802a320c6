# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated 101 stations: frames put together by hand, and the agent's driver at them, with and without faults."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import uvloop

from collector.agent.device.contract import Answer, Device, Reading
from collector.agent.device.factory import build_devices
from collector.agent.operate.config_check import find_problems
from collector.base.clock import SystemClock
from collector.base.errors import ConfigError, DeviceError
from collector.model.interval import parse_time_ms
from collector.model.record import Quality
from collector.points.agent_config import AgentConfig, load_agent
from simulators.faults.faults import Fault
from simulators.plant.scenario import free_ports
from simulators.run.devices import Devices, serve
from simulators.run.pytest_plugin import ServedDevices
from tests.patience import HANG_S

TABLE = """name,quantity,area,type,address,raw_unit,scale,norm_base,guard
on,on_grid,31,bit,1,,,,
p,active_power_mw,36,float32,2,MW,,,
u,bus_voltage_kv,34,,3,kV,300,32768,
e,energy_export_mwh,37,,4,kWh,,,
version,,11,,9,,,,7
"""
# Stored: kW, V; Wh.
SHOWN = {"on": 1, "p": 180_500, "u": 150_000, "e": 1_234_000}
WIDE = "link_address_octets = 2\ncause_octets = 2\ncommon_address_octets = 2\nobject_address_octets = 3\n"
NARROW = "cause_octets = 1\ncommon_address_octets = 1\nobject_address_octets = 1\n"
BALANCED = 'link_mode = "balanced"\n'


def config_of(folder: Path, *more: str, table: str = TABLE, serial: str = "") -> AgentConfig:
    """A device for each item of `more`, which holds further lines of it; all on one line."""
    (folder / "points.csv").write_text(table, "utf-8")
    where = f'protocol = "iec101_over_tcp"\nhost = "127.0.0.1"\nport = {free_ports(1)[0]}\n'
    if serial:
        where = f'protocol = "iec101"\nserial = "{serial}"\n'
    text = 'schema = 1\n[gateway]\nid = "g"\n[[plant]]\nid = "P"\n'
    for number, lines in enumerate(more, 1):
        text += f'[[unit]]\nid = "U{number}"\nplant = "P"\n[[device]]\nid = "d{number}"\nunit = "U{number}"\n'
        text += f'points = "points.csv"\ncommon_addresses = [{number}]\nlink_address = {number}\n{where}{lines}'
    (folder / "agent.toml").write_text(text, "utf-8")
    return load_agent(folder / "agent.toml")


def show(devices: Devices, unit: str = "U1") -> None:
    for quantity, value in (("on_grid", "1"), ("active_power_mw", "180.5"), ("bus_voltage_kv", "150"),
                            ("energy_export_mwh", "1.234")):  # fmt: skip
        devices.board.show(unit, quantity, value, time_utc_ms=0)


async def newest(device: Device, wanted: Callable[[dict[str, Reading]], bool]) -> dict[str, Reading]:
    """Poll as the poller would until the newest readings are as wanted."""
    found: dict[str, Reading] = {}
    while not wanted(found):
        try:
            readings = list((await device.read(device.points, budget_s=1.0)).readings)
        except DeviceError:
            found.clear()
            continue
        found |= {r.point.name: r for r in [*readings, *device.collect()]}
        await asyncio.sleep(0.01)
    return found


def is_shown(found: dict[str, Reading]) -> bool:
    values = {name: r.value for name, r in found.items() if name != "version"}
    return values == SHOWN and all(r.quality is Quality.GOOD for r in found.values())


def play(config: AgentConfig, scenario: Callable[[Devices, Sequence[Device]], Awaitable[None]]) -> None:
    async def body() -> None:
        async with serve(config) as devices, AsyncExitStack() as stack:
            built = [b.device for b in build_devices(config, SystemClock())]
            for device in built:
                stack.push_async_callback(device.close)
            await scenario(devices, built)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(body(), HANG_S))


@pytest.mark.parametrize("widths", ["", WIDE, NARROW])
@pytest.mark.parametrize("mode", ["", BALANCED, BALANCED + "link_address_octets = 0\n"])
def test_every_kind_of_value_is_read_in_all_widths(mode: str, widths: str, tmp_path: Path) -> None:
    if "octets = 0" in mode:
        widths = widths.replace("link_address_octets = 2\n", "")

    async def scenario(devices: Devices, built: Sequence[Device]) -> None:
        show(devices)
        found = await newest(built[0], is_shown)
        assert found["version"].quality is Quality.GOOD
        devices.board.show("U1", "on_grid", "0", time_utc_ms=parse_time_ms("2026-11-23T10:30:00.999+08:00"))
        found = await newest(built[0], lambda found: "on" in found and found["on"].value == 0)
        assert found["on"].event
        assert found["on"].device_time_utc_ms == parse_time_ms("2026-11-23T10:30:00.999+08:00")
        assert not devices.audit.violations

    play(config_of(tmp_path, mode + widths), scenario)


@pytest.mark.parametrize("mode", ["", BALANCED])
def test_a_station_on_a_serial_line_is_read(mode: str, tmp_path: Path) -> None:
    config = config_of(tmp_path, mode, serial="line")
    config = AgentConfig(
        config.settings.model_copy(update={
            "device": [d.model_copy(update={"serial": str(tmp_path / "line")}) for d in config.settings.device]
        }),
        config.points, config.directory,
    )  # fmt: skip

    async def scenario(devices: Devices, built: Sequence[Device]) -> None:
        show(devices)
        await newest(built[0], is_shown)

    play(config, scenario)


def test_several_stations_on_a_line_are_told_apart(tmp_path: Path) -> None:
    async def scenario(devices: Devices, built: Sequence[Device]) -> None:
        for unit in ("U1", "U2", "U3"):
            show(devices, unit)
        devices.board.show("U2", "active_power_mw", "-20")
        devices.faults.switch_on(Fault("d3", "silence"))
        await newest(built[0], is_shown)
        found = await newest(built[1], lambda found: len(found) == 5)
        assert (found["p"].value, found["on"].value) == (-20_000, 1)
        with pytest.raises(DeviceError):
            await built[2].read(built[2].points, budget_s=1.0)
        devices.faults.switch_off("d3", "silence")
        await newest(built[2], is_shown)

    play(config_of(tmp_path, *["timeout_s = 0.3\nlink_retries = 0\n"] * 3), scenario)


@pytest.mark.parametrize("mode", ["", BALANCED])
@pytest.mark.parametrize(("kind", "value", "share"), [
    ("checksum", 0, 0.2), ("truncate", 0, 0.2), ("garbage", 7, 0.2), ("glue", 0, 0.5), ("silence", 0, 0.2),
    ("delay", 30, 0.5), ("reset", 0, 0.1), ("echo", 0, 1.0), ("hang_up", 0, 0.3), ("link_busy", 0, 0.3),
])  # fmt: skip
def test_on_a_bad_line_every_change_arrives_once_and_in_order(
    kind: str, value: int, share: float, mode: str, tmp_path: Path
) -> None:
    async def scenario(devices: Devices, built: Sequence[Device]) -> None:
        show(devices)
        await newest(built[0], is_shown)
        devices.faults.switch_on(Fault("d1", kind, value, share))
        steps = list(range(1, 21))
        seen: list[int] = []
        for step in steps:
            devices.board.show("U1", "active_power_mw", str(step))
        while len(seen) < len(steps):
            await asyncio.sleep(0.01)
            try:
                readings = list((await built[0].read(built[0].points, budget_s=1.0)).readings)
            except DeviceError:
                readings = []
            of_p = [r for r in [*readings, *built[0].collect()] if r.point.name == "p" and r.value is not None]
            seen += [r.value for r in of_p if r.event and r.value is not None]
            if of_p and of_p[-1].value == 20_000:
                break
        wanted = [1000 * step for step in steps]
        # A link that was lost starts anew: changes may be missing (the last state comes with the interrogation),
        # never out of order, and twice only where they came on both sides of a start.
        assert seen == sorted(seen)
        if kind in ("checksum", "truncate", "garbage", "glue", "silence", "delay", "echo") and not mode:
            assert seen == wanted

    play(config_of(tmp_path, mode + "timeout_s = 0.2\nlink_retries = 10\n"), scenario)


def test_a_busy_station_is_asked_again_and_told_of(tmp_path: Path) -> None:
    async def scenario(devices: Devices, built: Sequence[Device]) -> None:
        show(devices)
        devices.faults.switch_on(Fault("d1", "link_busy"))
        answers: list[Answer] = []
        while not any(r.quality is Quality.REFUSED for answer in answers for r in answer.readings):
            answers.append(await built[0].read(built[0].points, budget_s=0.2))
        assert "DFC" in str(answers[-1].errors[0])

    play(config_of(tmp_path, "t1_s = 1\n"), scenario)


def test_the_faults_of_values_and_clocks_are_seen_as_at_104(tmp_path: Path) -> None:
    async def scenario(devices: Devices, built: Sequence[Device]) -> None:
        show(devices)
        await newest(built[0], is_shown)
        devices.faults.switch_on(Fault("d1", "invalid"))
        devices.board.show("U1", "active_power_mw", "3")
        await newest(built[0], lambda found: "p" in found and found["p"].quality is Quality.INVALID)
        devices.faults.switch_off("d1", "invalid")
        devices.faults.switch_on(Fault("d1", "restart", 0))
        devices.board.show("U1", "active_power_mw", "4")
        await newest(built[0], lambda found: "p" in found and found["p"].value == 4000)

    play(config_of(tmp_path, "timeout_s = 0.5\n"), scenario)


@pytest.mark.parametrize(("request_frame", "answer", "forbidden"), [
    ("10 49 01 4a 16", "10 0b 01 0c 16", False),
    ("10 40 01 41 16", "10 00 01 01 16", False),
    ("10 7b 01 7c 16", "10 09 01 0a 16", False),
    ("10 49 02 4b 16", "", False),
    # reset of the user process; user data without reply; a command; a clock synchronisation
    ("10 41 01 42 16", "10 0f 01 10 16", True),
    ("68 09 09 68 44 01 64 01 06 01 00 00 14 c5 16", "10 0f 01 10 16", True),
    ("68 09 09 68 73 01 2d 01 06 01 01 00 01 ab 16", "10 20 01 21 16", True),
    ("68 0f 0f 68 73 01 67 01 06 01 00 00 00 00 00 00 01 01 1a ff 16", "10 20 01 21 16", True),
])  # fmt: skip
def test_a_station_answers_as_the_standard_says_and_notes_what_does_not_only_read(
    request_frame: str, answer: str, forbidden: bool, iec101_line: Callable[..., ServedDevices]
) -> None:
    report: list[str] = []
    served = iec101_line("name,quantity,area,type,address\non,on_grid,30,bit,1\n", report_to=report)
    with socket.create_connection((served.host, served.port)) as peer:
        peer.settimeout(HANG_S)
        peer.sendall(bytes.fromhex("10 40 01 41 16"))
        assert peer.recv(5, socket.MSG_WAITALL) == bytes.fromhex("10 00 01 01 16")
        peer.settimeout(HANG_S if answer else 0.2)
        peer.sendall(bytes.fromhex(request_frame))
        expected = bytes.fromhex(answer)
        if not answer:
            with pytest.raises(TimeoutError):
                peer.recv(1)
            return
        assert peer.recv(len(expected), socket.MSG_WAITALL) == expected
    assert bool(report) is forbidden


def test_a_repeated_request_gets_the_same_answer_and_the_next_one_the_next(
    iec101_line: Callable[..., ServedDevices],
) -> None:
    served = iec101_line("name,quantity,area,type,address\non,on_grid,30,bit,1\n")
    served.show("on_grid", 1)
    with socket.create_connection((served.host, served.port)) as peer:
        peer.settimeout(HANG_S)

        def ask(request: str, size: int) -> str:
            peer.sendall(bytes.fromhex(request))
            return peer.recv(size, socket.MSG_WAITALL).hex(" ")

        assert ask("10 40 01 41 16", 5) == "10 00 01 01 16", "nothing waits: what was shown came before the first reset"
        served.show("on_grid", 0)
        ask("68 09 09 68 73 01 64 01 06 01 00 00 14 f4 16", 5)
        first = ask("10 5a 01 5b 16", 22)
        assert ask("10 5a 01 5b 16", 22) == first
        assert ask("10 7a 01 7b 16", 15) != first


def test_a_link_that_can_not_be_is_refused_in_words(tmp_path: Path) -> None:
    for lines, words in (
        ("link_address_octets = 0\n", "only a balanced link"),
        ("object_address_octets = 1\n", "1 octets hold up to 255"),
    ):
        table = TABLE.replace(",31,bit,1,", ",31,bit,300,")
        with pytest.raises(ConfigError, match=words):
            config_of(tmp_path, lines, table=table)
    config = config_of(tmp_path, BALANCED, BALANCED)
    assert any("line for itself" in str(problem) for problem in find_problems(config, "agent.toml"))
    config = config_of(tmp_path, "", "")
    assert not find_problems(config, "agent.toml")
