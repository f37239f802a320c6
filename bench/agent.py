# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent as a process: CPU and memory at 500 devices × 50 points a second, durable; catch-up of a day's backlog.

The devices are one other process. 50 points are four units: three with all 14 quantities, one with 8; so 2 000 records
a second go to the disk, a commit a second, FULL. No broker is there: what is sent is the catch-up's figure. What counts
is the CPU time of the agent's process, over every point it read meanwhile. Catch-up is wall time from the start of the
uplink until the center has acknowledged the last batch, with broker and center as processes on the same machine; its
floor is reading the batches and publishing them with QoS 1 to a broker that nobody listens to.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import aiomqtt
import uvloop

import collector.wire as wire
from bench.center_process import running_broker
from bench.figure import Figure
from bench.process import cpu_s, peak_mb, threads_cpu_s
from bench.signals import START_MS, layouts, ticks
from collector.agent.buffer.buffer import Buffer
from collector.agent.operate.status_server import ask_agent
from collector.agent.uplink.uplink import run_uplink
from collector.model.quantity import QUANTITIES
from collector.points import agent_config
from collector.points.agent_config import AgentConfig, AgentSettings

DEVICES = 500
UNITS = (14, 14, 14, 8)
PLANTS = 10
POINTS = sum(UNITS)
WARM_UP_S = 8
SECONDS = 20
DAY_S = 86_400
DAY_UNITS = 4
AGENT = "from collector.cli.agent.commands import app; app()"
CENTER = "from collector.cli.center.commands import app; app()"
# The same reads by pymodbus alone: a client a device, a block of all its registers a second, nothing done with them.
BARE = """
import asyncio, sys, time, uvloop
from pymodbus.client import AsyncModbusTcpClient

async def poll(number, port, registers, begin_s, seconds):
    client = AsyncModbusTcpClient(f"127.0.{1 + number // 250}.{1 + number % 250}", port=port)
    await client.connect()
    for second in range(seconds):
        await asyncio.sleep(begin_s + second - time.monotonic())
        assert len((await client.read_holding_registers(0, count=registers)).registers) == registers
    client.close()

async def main(port, devices, registers, seconds):
    begin_s = time.monotonic() + 5  # all are connected by then
    async with asyncio.TaskGroup() as group:
        for number in range(devices):
            group.create_task(poll(number, port, registers, begin_s, seconds))
        await asyncio.sleep(begin_s - time.monotonic())
        before_s = time.process_time()
    print(time.process_time() - before_s)

with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(main(*map(int, sys.argv[1:])))
"""


def measure() -> list[Figure]:
    """CPU a point, memory, catch-up."""
    with tempfile.TemporaryDirectory() as name:
        cpu_us, bare_us, memory_mb = _poll(Path(name))
    with tempfile.TemporaryDirectory() as name:
        publish_s, catch_up_s, broker_us = _catch_up(Path(name))
    count = DEVICES * POINTS
    return [
        Figure(
            f"agent_cpu_per_point_{count}_durable", cpu_us, "us", "the same reads by pymodbus bare", bare_us, 1.5, True
        ),
        Figure.absolute(f"agent_memory_{count}_points", memory_mb, "MB", 90.0),
        Figure("catch_up_345600_records", catch_up_s, "s", "reading + bare publish, QoS 1", publish_s, 2.0, True),
        Figure.absolute("broker_cpu_per_batch", broker_us, "us", 1000.0),
    ]


def _poll(folder: Path) -> tuple[float, float, float]:
    """CPU a point of the agent and of pymodbus alone, us; the agent's memory, MB."""
    port = _free_port()
    path = _write_config(folder, port)
    devices = [sys.executable, "-m", "bench.agent_devices", str(port)]
    agent = [sys.executable, "-c", AGENT, "run", str(path)]
    with (
        subprocess.Popen(devices, stdout=subprocess.PIPE) as device_process,
        subprocess.Popen(agent, stderr=subprocess.DEVNULL) as agent_process,
    ):
        try:
            assert device_process.stdout is not None
            device_process.stdout.readline()
            deadline = time.monotonic() + 60
            while (_reads(folder) or 0) < DEVICES and time.monotonic() < deadline:
                time.sleep(0.5)
            time.sleep(WARM_UP_S)
            before, cpu_before = _reads(folder), cpu_s(agent_process.pid)
            time.sleep(SECONDS)
            taken_s, after = cpu_s(agent_process.pid) - cpu_before, _reads(folder)
            memory_mb = peak_mb(agent_process.pid)
            agent_process.terminate()
            agent_process.wait(30)
            numbers = map(str, (port, DEVICES, 2 * POINTS, SECONDS))
            bare = subprocess.run([sys.executable, "-c", BARE, *numbers], check=True, stdout=subprocess.PIPE, text=True)
        finally:
            agent_process.kill()
            device_process.kill()
    if before is None or after is None or after - before < 0.9 * DEVICES * SECONDS:
        raise RuntimeError(f"the agent did not keep its period: {before} to {after} reads in {SECONDS} s")
    points = (after - before) * POINTS
    return taken_s / points * 1e6, float(bare.stdout) / (DEVICES * SECONDS * POINTS) * 1e6, memory_mb


def _reads(folder: Path) -> int | None:
    """Good reads so far, None while the agent is not there."""
    answer = ask_agent(folder / "state" / "g.sock", "/status")
    if answer is None:
        return None
    return sum(int(d["reads"] - d["failures"]) for d in json.loads(answer)["devices"])


def _write_config(folder: Path, port: int) -> Path:
    """500 devices that share one point table by its columns; each has its own four units."""
    units, devices = [], []
    for number in range(DEVICES):
        address, rows = itertools.count(step=2), []
        for index, count in enumerate(UNITS):
            unit = f"u{number}-{index}"
            units.append(f'[[unit]]\nid = "{unit}"\nplant = "P{number % PLANTS}"\n')
            for quantity in QUANTITIES[:count]:
                raw = "" if quantity.unit in ("", "1") else quantity.unit
                scale = "" if quantity.scale == 1 else "0.001"
                rows.append(
                    f"{unit}-{quantity.name},{quantity.name},{unit},holding,int32,{next(address)},{scale},{raw}"
                )
        table = "name,quantity,unit,area,type,address,scale,raw_unit\n" + "\n".join(rows) + "\n"
        (folder / f"d{number}.csv").write_text(table, "utf-8")
        devices.append(
            f'[[device]]\nid = "d{number}"\nprotocol = "modbus_tcp"\npoints = "d{number}.csv"\n'
            f'host = "127.0.{1 + number // 250}.{1 + number % 250}"\nport = {port}\n'
        )
    head = f'schema = 1\n[gateway]\nid = "g"\nstate_dir = "state"\n[mqtt]\nport = {_free_port()}\n'
    head += "".join(f'[[plant]]\nid = "P{number}"\n' for number in range(PLANTS))
    path = folder / "agent.toml"
    path.write_text(head + "".join(units) + "".join(devices), "utf-8")
    return path


def _catch_up(folder: Path) -> tuple[float, float, float]:
    """Seconds of the floor and of catching up; CPU of the broker for a batch of the floor, us."""
    port = _free_port()
    wire.generate_key_pair(folder / "plant.pem", folder / "plant.pub")
    settings = {
        "schema": 1, "gateway": {"id": "g1"}, "mqtt": {"port": port},
        "plant": [{"id": "P1"}], "unit": [{"id": u.unit, "plant": "P1"} for u in layouts(DAY_UNITS)], "device": [],
    }  # fmt: skip
    gateway = AgentConfig(AgentSettings.model_validate(settings), {}, folder)
    with closing(_day(folder)) as buffer:
        start = time.perf_counter()
        position, payloads = None, []
        while (position := buffer.next_batch("P1", position)) is not None:
            payloads.append(buffer.read(position).payload)  # type: ignore[union-attr]
        reading_s, own = time.perf_counter() - start, _free_port()
        with running_broker(folder, own) as pid, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            floor_s = reading_s + runner.run(_publish_all(own, payloads))
            broker_us = threads_cpu_s(pid) / len(payloads) * 1e6
        with _broker_and_center(folder, port), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return floor_s, runner.run(_send_all(buffer, gateway)), broker_us


async def _publish_all(port: int, payloads: list[bytes]) -> float:
    """Seconds until the broker has acknowledged all of them, as many under way as the uplink has."""
    window = asyncio.Semaphore(agent_config.UplinkConfig().window)
    async with aiomqtt.Client("127.0.0.1", port, max_inflight_messages=agent_config.UplinkConfig().window) as client:
        client.pending_calls_threshold = len(payloads)

        async def publish(payload: bytes) -> None:
            async with window:
                await client.publish("bench/batch", payload, qos=1, timeout=60)

        start = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for payload in payloads:
                group.create_task(publish(payload))
        return time.perf_counter() - start


def _day(folder: Path) -> Buffer:
    """A day of four units in a buffer, a minute to a batch."""
    known = {layout.unit: layout for layout in layouts(DAY_UNITS)}
    buffer = Buffer.open(
        folder / "b", gateway="g1", plants_of_unit=dict.fromkeys(known, "P1"), settings=agent_config.BufferConfig(),
        layouts=known, signers={"P1": wire.load_signing_key(folder / "plant.pem")}, now_utc_ms=START_MS,
    )  # fmt: skip
    seconds = ticks(DAY_S, units=DAY_UNITS)
    while minute := list(itertools.islice(seconds, 60)):
        buffer.append([record for tick in minute for record in tick])
    buffer.seal_all()
    return buffer


async def _send_all(buffer: Buffer, gateway: AgentConfig) -> float:
    start = time.perf_counter()
    uplink = asyncio.create_task(run_uplink(buffer, gateway))
    async with asyncio.timeout(120):
        while await asyncio.to_thread(lambda: buffer.counts().pending):  # noqa: ASYNC110 - acks change it
            await asyncio.sleep(0.05)
    elapsed = time.perf_counter() - start
    uplink.cancel()
    await asyncio.wait([uplink])
    return elapsed


@contextmanager
def _broker_and_center(folder: Path, port: int) -> Iterator[None]:
    units = ", ".join(f'"{layout.unit}"' for layout in layouts(DAY_UNITS))
    plant = f'[[plant]]\nid = "P1"\nunits = [{units}]\npublic_key_files = ["plant.pub"]\n'
    receiver = "[receiver]\nmax_age_days = 36500\n"
    (folder / "center.toml").write_text(f'schema = 1\n[center]\nstate_dir = "state"\n{receiver}{plant}', "utf-8")
    broker = [sys.executable, "-m", "collector.trial.broker", "--listen", f"127.0.0.1:{port}"]
    center = [sys.executable, "-c", CENTER, "run", str(folder / "center.toml"), "--broker", f"127.0.0.1:{port}"]
    with (
        subprocess.Popen(broker, stdout=subprocess.PIPE) as broker_process,
        subprocess.Popen(center, stderr=subprocess.PIPE, text=True) as center_process,
    ):
        try:
            assert center_process.stderr is not None
            while "connected" not in center_process.stderr.readline():
                if center_process.poll() is not None:
                    raise RuntimeError("the center did not start")
            yield
        finally:
            center_process.terminate()
            broker_process.terminate()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
