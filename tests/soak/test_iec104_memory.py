# SPDX-License-Identifier: GPL-3.0-or-later
"""Long frames over a 104 link, as many as months bring: every value comes, in order, and memory stays as it was.

30 000 frames of 252 octets, or as many as LINK_FRAMES says (`make soak`: 500 000), with an interrogation every second.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import uvloop

from collector.agent.device.contract import Device
from collector.agent.device.factory import build_devices
from collector.base.clock import SystemClock
from collector.base.errors import DeviceError
from collector.points import load_points
from collector.points.agent_config import AgentConfig, AgentSettings
from simulators.plant.scenario import free_ports

FRAMES = int(os.environ.get("LINK_FRAMES", "30000"))
GROWTH_BYTES = 5_000_000
STATION = Path(__file__).parent / "flooding_station.py"
TABLE = "name,quantity,area,type,address,raw_unit\npower,active_power_mw,36,float32,10,kW\nbreaker,on_grid,30,bit,1,\n"


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def device_at(port: int, folder: Path) -> Device:
    (folder / "points.csv").write_text(TABLE, "utf-8")
    place = {"host": "127.0.0.1", "port": port, "common_addresses": [1], "interrogation_period_s": 1}
    settings = AgentSettings.model_validate(
        {
            "schema": 1, "gateway": {"id": "g"}, "plant": [{"id": "P"}], "unit": [{"id": "U", "plant": "P"}],
            "device": [{"id": "d", "protocol": "iec104", "points": "points.csv", "unit": "U"} | place],
        }
    )  # fmt: skip
    points = load_points(folder / "points.csv", "iec104", "d")
    (built,) = build_devices(AgentConfig(settings, {"d": points}, folder), SystemClock())
    return built.device


async def all_reported(device: Device) -> list[int]:
    """Memory at each tenth of the changes; every change is the one after the one before."""
    series: list[int] = []
    newest = 0
    while newest < FRAMES:
        try:
            answer = await device.read(device.points, budget_s=5.0)
        except DeviceError:
            continue
        for reading in answer.readings:
            if reading.event:
                newest += 1
                assert reading.value == newest
        if newest >= FRAMES // 10 * (len(series) + 1):
            series.append(resident_bytes())
        await asyncio.sleep(0.01)
    return series


def test_a_link_of_many_frames_keeps_its_memory(tmp_path: Path) -> None:
    (port,) = free_ports(1)

    async def body() -> list[int]:
        device = device_at(port, tmp_path)
        try:
            return await all_reported(device)
        finally:
            await device.close()

    begun_s = time.monotonic()
    command = [sys.executable, str(STATION), str(port), str(FRAMES)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as station:
        try:
            assert station.stdout is not None
            assert station.stdout.readline() == b"ready\n"
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                series = runner.run(body())
        finally:
            station.kill()
    print(f"{FRAMES} frames in {time.monotonic() - begun_s:.1f} s; bytes {series}")
    assert series[-1] <= series[0] + GROWTH_BYTES
