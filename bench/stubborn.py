# SPDX-License-Identifier: GPL-3.0-or-later
"""How much one misbehaving device in ten costs the others: their period, over the second that is asked for.

100 Modbus slaves, five on each of 20 serial servers (RTU over TCP), read every second for half a minute, once the
back-off has reached its longest. On ten of the lines one slave says nothing, answers after its time-out, or has an
adapter that echoes, in turns. The floor is the same installation with nothing wrong.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path

import uvloop

from bench.figure import Figure
from collector.agent.device.contract import Answer
from collector.agent.device.factory import build_devices
from collector.agent.record.wiring import channels_of
from collector.base.clock import SystemClock
from collector.points.agent_config import load_agent
from simulators.faults.faults import Fault
from simulators.plant.scenario import free_ports
from simulators.run.devices import serve

_LINES, _SLAVES, _SECONDS, _WARM_UP_S = 20, 5, 30, 25
_TABLE = """name,quantity,area,type,address,raw_unit
p,active_power_mw,holding,float32,0,MW
f,frequency_hz,holding,float32,10,Hz
s,agc_setpoint_mw,holding,float32,20,MW
"""
_FAULTS = (("silence", 0), ("delay", 1300), ("echo", 0))
# The first slave of every second line: one device in ten.
_WRONG = tuple(f"d{line}-1" for line in range(0, _LINES, 2))


def _write_config(folder: Path) -> Path:
    (folder / "points.csv").write_text(_TABLE, "utf-8")
    text = 'schema = 1\n[gateway]\nid = "g"\n[[plant]]\nid = "P"\n'
    for line, port in enumerate(free_ports(_LINES)):
        for slave in range(1, _SLAVES + 1):
            text += (
                f'[[unit]]\nid = "U{line}-{slave}"\nplant = "P"\n[[device]]\nid = "d{line}-{slave}"\n'
                f'protocol = "modbus_rtu_over_tcp"\npoints = "points.csv"\nunit = "U{line}-{slave}"\nslave = {slave}\n'
                f'host = "127.0.0.1"\nport = {port}\n'
            )
    path = folder / "agent.toml"
    path.write_text(text, "utf-8")
    return path


def _serve(path: Path, there: Connection, *, wrong: bool) -> None:
    async def run() -> None:
        config = load_agent(path)
        async with serve(config) as devices:
            for device in config.settings.device:
                for quantity, value in (("active_power_mw", "100"), ("frequency_hz", "50"), ("agc_setpoint_mw", "90")):
                    devices.board.show(device.unit, quantity, value)
            for number, name in enumerate(_WRONG if wrong else ()):
                devices.faults.switch_on(Fault(name, *_FAULTS[number % len(_FAULTS)]))
            there.send(True)
            await asyncio.Event().wait()

    uvloop.run(run())


async def _period_s(path: Path) -> float:
    """The mean period of a good read of the devices with nothing wrong, seconds."""
    config, clock = load_agent(path), SystemClock()
    good: dict[str, int] = {}

    def take(answer: Answer) -> None:
        for reading in answer.readings:
            if reading.point.name == "p" and reading.quality.usable:
                good[answering[id(reading.point)]] = good.get(answering[id(reading.point)], 0) + 1

    devices = build_devices(config, clock)
    answering = {id(p): built.settings.id for built in devices for p in built.device.points}
    channels = channels_of(config, devices, clock, take)
    workers = [asyncio.create_task(channel.run(), name=channel.name) for channel in channels]
    for second in range(_WARM_UP_S + _SECONDS):
        if second == _WARM_UP_S:
            good.clear()
        now_ms = clock.now_utc_ms()
        for channel in channels:
            channel.start(now_ms)
        await asyncio.sleep(1 - clock.now_utc_ms() % 1000 / 1000)
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    return statistics.mean(_SECONDS / max(good.get(d.id, 0), 1) for d in config.settings.device if d.id not in _WRONG)


def _measure(*, wrong: bool) -> float:
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name:
        path = _write_config(Path(name))
        here, there = context.Pipe()
        server = context.Process(target=_serve, args=(path, there), kwargs={"wrong": wrong}, daemon=True)
        server.start()
        try:
            here.recv()
            return uvloop.run(_period_s(path))
        finally:
            server.terminate()
            server.join()


def measure() -> list[Figure]:
    """The others' period with one device in ten misbehaving on a line that they share with it."""
    sound_s, wrong_s = _measure(wrong=False), _measure(wrong=True)
    return [
        Figure("period_beside_a_misbehaving_device", wrong_s, "s", "nothing wrong", sound_s, 1.1, of_ratio=True),
    ]  # fmt: skip
