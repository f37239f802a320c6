# SPDX-License-Identifier: GPL-3.0-or-later
"""c104's bare callback beside our IEC 104 driver: CPU for a changed value, from the same simulated station.

The station sends `POINTS` changed floats with time tags as soon as the last ones are confirmed, `ROUNDS` times. The
bare client has a callback that counts; our driver decodes, checks quality and time tag, and hands readings to the
recorder. Both confirm every frame at once (w = 1), run on c104 in a process of their own and count their CPU once the
first round has come.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import uvloop

from bench.figure import Figure
from collector.agent.device.iec104.driver import Iec104Device
from collector.agent.record.recorder import Recorder
from collector.agent.record.sources import QuantitySource
from collector.base.clock import SystemClock
from collector.points.agent_config import AgentConfig, load_agent
from simulators.plant.scenario import free_ports
from simulators.run.devices import serve

POINTS: Final = 100
ROUNDS: Final = 200
_BARE: Final = f"""
import sys, time, c104
seen = 0
def on_receive(point: c104.Point, previous_info: c104.Information, message: c104.IncomingMessage) -> c104.ResponseState:
    global seen
    seen += 1
    return c104.ResponseState.SUCCESS
client = c104.Client()
connection = client.add_connection(ip="127.0.0.1", port=int(sys.argv[1]), init=c104.Init.NONE)
connection.protocol_parameters.receive_window_size = 1
station = connection.add_station(common_address=1)
for number in range(1, {POINTS} + 1):
    station.add_point(io_address=number, type=c104.Type.M_ME_TF_1).on_receive(callable=on_receive)
client.start()
while seen < {POINTS}:
    time.sleep(0.01)
    if connection.state == c104.ConnectionState.OPEN_MUTED:
        connection.unmute()
begun_s, before = time.process_time(), seen
while seen < {POINTS * ROUNDS}:
    time.sleep(0.01)
print((time.process_time() - begun_s) / (seen - before) * 1e6)
client.stop()
"""


def write_station(folder: Path) -> Path:
    """agent.toml with one station of `POINTS` active powers, a unit each."""
    rows = "".join(f"p{n},u{n},active_power_mw,36,float32,{n},MW\n" for n in range(1, POINTS + 1))
    (folder / "points.csv").write_text(f"name,unit,quantity,area,type,address,raw_unit\n{rows}", "utf-8")
    units = "".join(f'[[unit]]\nid = "u{n}"\nplant = "P"\n' for n in range(1, POINTS + 1))
    path = folder / "agent.toml"
    path.write_text(
        f'schema = 1\n[gateway]\nid = "g"\n[[plant]]\nid = "P"\n{units}[[device]]\nid = "d"\nprotocol = "iec104"\n'
        f'unit = "u1"\npoints = "points.csv"\nhost = "127.0.0.1"\nport = {free_ports(1)[0]}\n'
        "common_addresses = [1]\nw = 1\n",
        "utf-8",
    )
    return path


async def send(config: AgentConfig) -> None:
    """The station, until killed: a round of changed values whenever all before are confirmed."""
    async with serve(config, now_utc_ms=lambda: time.time_ns() // 1_000_000) as devices:
        print("listening", flush=True)
        station, value = devices.stations["d"], 0
        signals = [devices.board.signal(f"u{n}", "active_power_mw") for n in range(1, POINTS + 1)]
        while True:
            if station.sessions and all(link.started and link.settled for link in station.sessions):
                value = value % 1000 + 1
                for signal in signals:
                    signal.set(1000 * value, time.time_ns() // 1_000_000)
            await asyncio.sleep(0.001)


async def receive(config: AgentConfig) -> float:
    """CPU, us, of our driver and recorder for a changed value."""
    points = config.points["d"]
    device = Iec104Device(config.settings.device[0], points, SystemClock())
    recorder = Recorder([QuantitySource(p, p.unit, 3000) for p in points], period_ms=1000, last={})
    seen, begun_s, before = 0, 0.0, 0
    await device.open()
    await device.read(points, budget_s=5.0)  # the interrogation
    while seen < POINTS * ROUNDS:
        readings = device.collect()
        recorder.feed(readings)
        recorder.settle(time.time_ns() // 1_000_000)
        seen += len(readings)
        if not before and seen >= POINTS:
            begun_s, before = time.process_time(), seen
        await asyncio.sleep(0.01)
    taken_s = time.process_time() - begun_s
    await device.close()
    return taken_s / (seen - before) * 1e6


def measure_104(python: str, times: int) -> tuple[list[float], list[float]]:
    """CPU, us, for a changed value: by the bare callback in the environment of `python`, and by ours, in turns."""
    with tempfile.TemporaryDirectory() as name:
        path = write_station(Path(name))
        port = str(load_agent(path).settings.device[0].port)
        ours = [sys.executable, "-m", "bench.peers_104", str(path)]
        bare_us, ours_us = [], []
        with subprocess.Popen([*ours, "send"], stdout=subprocess.PIPE) as station:
            assert station.stdout is not None
            station.stdout.readline()
            try:
                for _ in range(times):
                    bare_us.append(float(subprocess.check_output([python, "-c", _BARE, port])))
                    ours_us.append(float(subprocess.check_output(ours)))
            finally:
                station.kill()
    return bare_us, ours_us


def figure(version: str, bare_us: float, ours_us: float) -> Figure:
    """The peer's figure over ours; no target."""
    name = f"c104 {version}, bare callback: a changed value with its time, CPU"
    return Figure(name, bare_us, "us", "ours decodes and records it", ours_us, 0.0, of_ratio=True, at_most=False)


if __name__ == "__main__":
    loaded = load_agent(Path(sys.argv[1]))
    if len(sys.argv) > 2:
        uvloop.run(send(loaded))
    else:
        print(uvloop.run(receive(loaded)))
