# SPDX-License-Identifier: GPL-3.0-or-later
"""Our 104 driver at lib60870's server: interrogation, counters, spontaneous changes, quality, two common addresses.

About one in six of the library's own starts stays muted, so the driver asks for the start: every fresh start must reach
data. 10 starts, or as many as STARTS says (in the soak 50).
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from collector.agent.device.contract import Device, Reading
from collector.base.errors import DeviceError
from collector.model.record import Quality
from simulators.plant.scenario import free_ports
from tests.interop.interop_peers import Found, device_of, script, with_device

STARTS = int(os.environ.get("STARTS", "10"))


def table() -> str:
    """Unit U1 behind common address 1, U2 behind 2."""
    lines = ["name,quantity,unit,area,address,common_address,scale,raw_unit"]
    for ca in (1, 2):
        lines += [
            f"breaker{ca},on_grid,U{ca},30,1,{ca},,", f"agc{ca},agc_in_service,U{ca},1,2,{ca},,",
            f"power{ca},active_power_mw,U{ca},36,10,{ca},,MW", f"voltage{ca},bus_voltage_kv,U{ca},11,11,{ca},100,V",
            f"energy{ca},energy_export_mwh,U{ca},37,20,{ca},,kWh",
        ]  # fmt: skip
    return "\n".join(lines) + "\n"


# kW, V (2204 × 100), Wh of 1000 and 2000 kWh.
AT_START: Found = {
    "breaker1": (1, Quality.GOOD), "agc1": (0, Quality.GOOD), "power1": (180_500, Quality.GOOD),
    "voltage1": (220_400, Quality.GOOD), "energy1": (1_000_000, Quality.GOOD),
    "breaker2": (1, Quality.GOOD), "agc2": (0, Quality.GOOD), "power2": (280_500, Quality.GOOD),
    "voltage2": (220_400, Quality.GOOD), "energy2": (2_000_000, Quality.GOOD),
}  # fmt: skip


async def read_until(device: Device, wanted: Found) -> list[Reading]:
    """Poll as the poller would until the newest readings hold what is wanted; everything that came."""
    newest: Found = {}
    came: list[Reading] = []
    while not wanted.items() <= newest.items():
        try:
            answer = await device.read(device.points, budget_s=5.0)
        except DeviceError:
            continue
        came += answer.readings
        newest |= {r.point.name: (r.value, r.quality) for r in answer.readings}
        await asyncio.sleep(0.02)
    return came


def test_lib60870_is_interrogated_and_its_changes_are_taken(tmp_path: Path) -> None:
    (port,) = free_ports(1)

    async def scenario(device: Device) -> None:
        await read_until(device, AT_START)
        assert station.stdin is not None
        station.stdin.write("1 1 0\n2 10 -12.25\n2 11 2210 Invalid\n1 10 181 Substituted\n")
        station.stdin.flush()
        came = await read_until(
            device,
            {
                "breaker1": (0, Quality.GOOD), "power2": (-12_250, Quality.GOOD), "voltage2": (None, Quality.INVALID),
                "power1": (181_000, Quality.SUBSTITUTED),
            },
        )  # fmt: skip
        (opened,) = [r for r in came if r.point.name == "breaker1"]
        assert opened.event
        assert opened.device_time_utc_ms is not None
        assert abs(opened.device_time_utc_ms - opened.time_utc_ms) < 5_000

    with script("lib60870_station.py", port) as station:
        place = {"host": "127.0.0.1", "port": port, "common_addresses": [1, 2], "utc_offset_min": 0}
        with_device(lambda: device_of(tmp_path, table(), protocol="iec104", **place), scenario)


def test_every_fresh_start_reaches_data(tmp_path: Path) -> None:
    (port,) = free_ports(1)

    async def scenario(device: Device) -> None:
        await read_until(device, AT_START)

    with script("lib60870_station.py", port):
        place = {"host": "127.0.0.1", "port": port, "common_addresses": [1, 2], "utc_offset_min": 0}
        for _ in range(STARTS):
            with_device(lambda: device_of(tmp_path, table(), protocol="iec104", **place), scenario)
