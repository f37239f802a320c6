# SPDX-License-Identifier: GPL-3.0-or-later
"""One suite over every driver: what `collector.agent.device.contract` promises, against scripted peers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from collector.agent.device.contract import Device, Reading, Showing
from collector.base.errors import DeviceError
from collector.model.record import Quality
from tests.contract.device_peers import (
    Script,
    Station,
    iec104,
    modbus_rtu,
)
from tests.contract.every_driver import (
    BALANCED,
    DEVICE_S,
    OLD_METER,
    PEERS,
    PROTOCOLS,
    TELECONTROL,
    build,
    driver,
    read,
    run,
    until_good,
)

# Of a device that is waited for in vain. A 104 link has to start first, and some starts only when asked a second time.
TIMEOUT_S, LINK_TIMEOUT_S = 0.25, 2.0


def short(protocol: str) -> float:
    """A time-out that is waited for."""
    return LINK_TIMEOUT_S if protocol == "iec104" else TIMEOUT_S


async def qualities(device: Device) -> set[Quality]:
    """What a read comes to: the qualities of its readings, or of the error it raised."""
    from collector.agent.device.contract import quality_of

    try:
        answer = await read(device)
    except DeviceError as error:
        return {quality_of(error)}
    assert all(r.value is None for r in answer.readings if not r.quality.usable)
    return {r.quality for r in answer.readings}


@pytest.mark.parametrize("protocol", [*PROTOCOLS, OLD_METER])
def test_a_good_device_gives_every_point_with_its_raw_bytes(protocol: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with driver(protocol, tmp_path, Script()) as device:
            answer = await read(device)
            assert {r.point.name: r.value for r in answer.readings} == (
                {"breaker": 1} if protocol in TELECONTROL else {"power": 0x1234, "q": 0x1234}
            )
            assert all(r.quality is Quality.GOOD and r.raw for r in answer.readings)
            assert isinstance(device, Showing)
            assert device.raws() == {r.point.name: r.raw for r in answer.readings}

    run(scenario)


def test_a_pty_line_opens_at_even_parity_through_the_door_left_in_pymodbus(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with modbus_rtu(Script()) as line:
            device = build("modbus_rtu", tmp_path, line, parity="even")
            assert await qualities(device) == {Quality.GOOD}
            await device.close()

    run(scenario)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_open_and_close_may_be_called_twice_and_a_closed_device_opens_again(protocol: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with driver(protocol, tmp_path, Script()) as device:
            await device.close()
            await device.open()
            await device.open()
            await device.close()
            await device.close()
            assert await qualities(device) == {Quality.GOOD}

    run(scenario)


@pytest.mark.parametrize("protocol", ["modbus_rtu", "modbus_ascii", "dlt645", "dlt698", "iec101"])
def test_a_line_that_was_let_go_of_opens_again_at_once(protocol: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with driver(protocol, tmp_path, Script()) as device:
            for _ in range(20):
                await device.open()
                await device.close()

    run(scenario)


@pytest.mark.parametrize("protocol", [*PROTOCOLS, OLD_METER])
@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        ("silent", {Quality.SILENT}),
        ("refused", {Quality.REFUSED}),
        ("garbled", {Quality.GARBLED}),
        ("short", {Quality.GARBLED}),
        ("late", {Quality.SILENT}),
    ],
)
def test_a_failed_read_is_a_quality_and_the_device_recovers(
    protocol: str, behaviour: str, expected: set[Quality], tmp_path: Path
) -> None:
    async def scenario() -> None:
        script = Script(behaviour)
        wanted = expected
        if (protocol == "iec104" and behaviour == "garbled") or (protocol in TELECONTROL and behaviour == "short"):
            wanted = {Quality.INVALID}  # what could not be read of an interrogation is missing from it
        elif protocol == "iec104" and behaviour == "late":
            wanted = {Quality.GOOD}  # an interrogation may take its time
        async with driver(protocol, tmp_path, script, timeout_s=short(protocol)) as device:
            found = await qualities(device)
            while Quality.SILENT not in wanted and not found - {Quality.SILENT}:
                # A busy machine may take longer than the time-out.
                await asyncio.sleep(0.02)
                found = await qualities(device)
            assert found == wanted
            script.behaviour = "good"
            await device.close()
            await asyncio.sleep(0.7)  # what was late comes in between, and must not be taken for an answer
            await until_good(device)

    run(scenario)


@pytest.mark.parametrize(
    "protocol",
    [
        "modbus_tcp",
        "modbus_udp",
        "modbus_rtu_over_tcp",
        "modbus_ascii_over_tcp",
        "dlt645_over_tcp",
        "dlt698_over_tcp",
        OLD_METER,
    ],
)
def test_a_late_answer_is_never_taken_for_the_next_one(protocol: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        script = Script("late")
        async with driver(protocol, tmp_path, script, timeout_s=TIMEOUT_S) as device:
            assert await qualities(device) == {Quality.SILENT}
            script.behaviour = "silent"
            for _ in range(3):
                assert await qualities(device) == {Quality.SILENT}

    run(scenario)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_cancelled_read_ends_long_before_its_timeout_and_leaves_the_device_usable(
    protocol: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        script = Script("silent")
        async with driver(protocol, tmp_path, script) as device:
            task = asyncio.create_task(read(device))
            while not script.asked:  # noqa: ASYNC110 - the peer hears it in its own time
                await asyncio.sleep(0.01)
            task.cancel()
            # Long for any machine, and still long before.
            done, _ = await asyncio.wait([task], timeout=DEVICE_S / 2)
            assert done
            assert task.cancelled()
            script.behaviour = "good"
            await device.close()
            await until_good(device)

    run(scenario)


@pytest.mark.parametrize(
    "protocol",
    [
        "modbus_tcp",
        "modbus_udp",
        "modbus_rtu_over_tcp",
        "modbus_ascii_over_tcp",
        "dlt645_over_tcp",
        "dlt698_over_tcp",
        "iec104",
        "iec101_over_tcp",
        BALANCED,
    ],
)
def test_nobody_there_is_silent(protocol: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with PEERS[protocol](Script()) as port:
            pass
        device = build(protocol, tmp_path, port, timeout_s=short(protocol))
        try:
            assert await qualities(device) == {Quality.SILENT}
        finally:
            await device.close()

    run(scenario)


def test_a_104_change_comes_by_itself_with_the_devices_own_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        stations: list[Station] = []
        async with iec104(Script(), stations) as port:
            device = build("iec104", tmp_path, port)
            await read(device)
            # Breaker opened at 23 November 2026 10:30:00.999 by the station's clock, which shows Beijing time.
            stations[0].send(bytes([30, 1, 3, 0, 1, 0, 1, 0, 0, 0]) + bytes.fromhex("e7031e0a170b1a"))
            found: list[Reading] = []
            while not found:
                await asyncio.sleep(0.01)
                found = device.collect()
            assert [(r.value, r.event, r.device_time_utc_ms) for r in found] == [(0, True, 1795401000999)]
            await device.close()

    run(scenario)


def test_104_values_are_invalid_when_the_link_is_lost_and_good_after_a_new_interrogation(tmp_path: Path) -> None:
    async def scenario() -> None:
        stations: list[Station] = []
        script = Script()
        async with iec104(script, stations) as port:
            device = build("iec104", tmp_path, port)
            await read(device)
            stations[0].writer.transport.abort()
            found: list[Reading] = []
            while not found:
                await asyncio.sleep(0.01)
                found = device.collect()
            assert [(r.value, r.quality) for r in found] == [(None, Quality.INVALID)]
            values: set[int | None] = set()
            while values != {1}:
                try:
                    values = {r.value for r in (await read(device)).readings}
                except DeviceError:
                    continue
            await device.close()
            sent = {asked[0] for asked in script.asked if len(asked) > 4}
            assert sent == {100}, "anything but general interrogations was sent"

    run(scenario)


def test_104_end_of_initialisation_brings_a_new_interrogation(tmp_path: Path) -> None:
    async def scenario() -> None:
        stations: list[Station] = []
        script = Script()
        async with iec104(script, stations) as port:
            device = build("iec104", tmp_path, port)
            await read(device)
            stations[0].send(bytes([70, 1, 4, 0, 1, 0, 0, 0, 0, 0]))
            while sum(asked[:1] == b"\x64" for asked in script.asked) < 2:
                await asyncio.sleep(0.01)
                await read(device)
            await device.close()

    run(scenario)


def test_104_fifty_fresh_starts_all_reach_data(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with iec104(Script()) as port:
            for _ in range(50):
                device = build("iec104", tmp_path, port)
                await until_good(device)
                await device.close()

    run(scenario)
