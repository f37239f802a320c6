# SPDX-License-Identifier: GPL-3.0-or-later
"""One gateway through the script: undisturbed, killed once with SIGKILL and started again, the broker away and back.

Mosquitto keeps its sessions on disk and is ended as a machine's shutdown ends it, so nothing that it has confirmed is
lost by it, and a subscriber with a lasting session gets what was published while it was away itself. What is lost is
then the gateway's: a block that a device answered and whose values never reached the subscriber. What was not read
while the gateway was down is not counted; how long that took is.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiomqtt

from bench.center_process import MOSQUITTO, PATIENCE_S, free_port, wait_for_listener
from bench.gateways.arrivals import Arrivals, Take
from bench.gateways.registers import DEVICES, POINTS, Devices
from bench.process import peak_mb, threads_cpu_s

WARM_UP_S: Final = 5.0
STEADY_S: Final = 20.0
MARGIN_S: Final = 5.0  # what was read so long before a fault counts as the fault's
SETTLED_S: Final = 10.0  # after the kill, and after the broker is back
OUTAGE_S: Final = 10.0
QUIET_S: Final = 20.0  # nothing new for so long: what is missing does not come any more
NO_READS: Final = (0,) * DEVICES
_SUBSCRIBER: Final = "bench"


@dataclass(frozen=True, slots=True)
class Gateway:
    """How a gateway is started and heard. `access`: what Mosquitto's access list gives it."""

    command: Sequence[str]
    folder: Path
    environment: dict[str, str]
    access: str
    topics: Sequence[str]
    take: Take


# Makes the configuration in a folder for the ports of the broker and of the devices.
Prepare = Callable[[Path, int, int], Gateway]


@dataclass(frozen=True, slots=True)
class Found:
    """What a gateway's run came to; values are those of single points.

    `cpu_us`: for a value that was delivered, undisturbed. `wire_bytes`: topic and payload, for a value that was
    delivered. `unnamed`: lost, and no gap record says so. `restart_s`: from the kill until all devices were read again.
    """

    cpu_us: float
    memory_mb: float
    wire_bytes: float
    read: int
    lost_undisturbed: int
    lost_by_kill: int
    lost_by_outage: int
    unnamed: int
    twice: int
    restart_s: float


class Broker:
    """Mosquitto, which can be stopped and started again with its sessions."""

    def __init__(self, folder: Path, port: int, access: str) -> None:
        self._port = port
        (folder / "access").write_text(f"{access}user {_SUBSCRIBER}\ntopic readwrite #\n", "utf-8")
        (folder / "broker").mkdir()
        lines = (
            f"user {getpass.getuser()}", f"listener {port} 127.0.0.1", "allow_anonymous true",
            f"acl_file {folder}/access", "persistence true", f"persistence_location {folder}/broker/",
            "max_queued_messages 100000",
        )  # fmt: skip
        self._settings = folder / "mosquitto.conf"
        self._settings.write_text("\n".join(lines) + "\n", "utf-8")

    def start(self) -> None:
        """Until it listens."""
        assert MOSQUITTO is not None
        silent = subprocess.DEVNULL
        self._process = subprocess.Popen([MOSQUITTO, "-c", str(self._settings)], stdout=silent, stderr=silent)
        wait_for_listener(self._port)

    def stop(self) -> None:
        """As a machine's shutdown does: it writes its sessions down."""
        self._process.terminate()
        self._process.wait(PATIENCE_S)


class Running:
    """The gateway's process and whatever it starts."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.peak_mb = 0.0

    def start(self) -> None:
        """Start it; what it says goes to a log."""
        with (self._gateway.folder / "gateway.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._gateway.command, cwd=self._gateway.folder, env={**os.environ, **self._gateway.environment},
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def kill(self) -> None:
        """SIGKILL, at whatever it is; nothing where it has ended by itself."""
        if self._process.poll() is not None:
            return
        self.peak_mb = max(self.peak_mb, peak_mb(self._process.pid))
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def cpu_s(self) -> float:
        """CPU seconds of its threads so far."""
        return threads_cpu_s(self._process.pid)


def run(prepare: Prepare) -> Found:
    """The script, a minute and a half.

    Raises:
        TimeoutError: the gateway did not read all devices, or delivered nothing.
    """
    devices = Devices()
    try:
        with tempfile.TemporaryDirectory() as name:
            return asyncio.run(_run(Path(name), devices, prepare))
    finally:
        devices.stop()


async def _run(folder: Path, devices: Devices, prepare: Prepare) -> Found:
    port = free_port()
    gateway = prepare(folder, port, devices.port)
    broker, running, arrivals = Broker(folder, port, gateway.access), Running(gateway), Arrivals()
    broker.start()
    listening = asyncio.create_task(_listen(port, gateway, arrivals), name="subscriber")
    try:
        running.start()
        await _until_read(devices, time.monotonic())
        await asyncio.sleep(WARM_UP_S)
        warm, warm_cpu_s = devices.answered(), running.cpu_s()
        await asyncio.sleep(STEADY_S)
        steady, cpu_s = devices.answered(), running.cpu_s() - warm_cpu_s
        await asyncio.sleep(MARGIN_S)
        killed_s = time.monotonic()
        running.kill()
        running.start()
        restart_s = await _until_read(devices, killed_s) - killed_s
        await asyncio.sleep(SETTLED_S)
        restarted = devices.answered()
        await asyncio.sleep(MARGIN_S)
        broker.stop()
        await asyncio.sleep(OUTAGE_S)
        broker.start()
        await asyncio.sleep(SETTLED_S)
        devices.stop()
        end = devices.answered()
        await _until_quiet(arrivals, end)
    finally:
        running.kill()
        broker.stop()
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening  # what went wrong there is raised here
    delivered = (sum(steady) - sum(warm)) * len(POINTS) - arrivals.lost(warm, steady)
    if not delivered:
        raise TimeoutError(f"delivered nothing: {(folder / 'gateway.log').read_text('utf-8', 'replace')[-2000:]}")
    return Found(
        cpu_us=cpu_s / delivered * 1e6,
        memory_mb=running.peak_mb,
        wire_bytes=arrivals.bytes / arrivals.count(),
        read=sum(end) * len(POINTS),
        lost_undisturbed=arrivals.lost(NO_READS, steady),
        lost_by_kill=arrivals.lost(steady, restarted),
        lost_by_outage=arrivals.lost(restarted, end),
        unnamed=arrivals.unnamed(end),
        twice=arrivals.twice,
        restart_s=restart_s,
    )


async def _until_read(devices: Devices, since_s: float) -> float:
    """When every device had been read since then, monotonic."""
    while not devices.are_read_since(since_s):
        if time.monotonic() > since_s + PATIENCE_S:
            raise TimeoutError("the gateway does not read all devices")
        await asyncio.sleep(0.02)
    return time.monotonic()


async def _until_quiet(arrivals: Arrivals, end: Sequence[int]) -> None:
    """Until all that was read has arrived, or nothing new came for long."""
    count, since_s = 0, time.monotonic()
    while arrivals.lost(NO_READS, end) and time.monotonic() < since_s + QUIET_S:
        if arrivals.count() > count:
            count, since_s = arrivals.count(), time.monotonic()
        await asyncio.sleep(0.5)


async def _listen(port: int, gateway: Gateway, arrivals: Arrivals) -> None:
    """Subscribe and answer, with a session that outlasts the broker's absence."""
    while True:
        with contextlib.suppress(aiomqtt.MqttError):
            async with aiomqtt.Client(
                "127.0.0.1", port, identifier=_SUBSCRIBER, username=_SUBSCRIBER, clean_session=False
            ) as client:
                for topic in gateway.topics:
                    await client.subscribe(topic, qos=1)
                async for message in client.messages:
                    assert isinstance(message.payload, bytes)
                    for topic, payload in gateway.take(str(message.topic), message.payload, arrivals):
                        await client.publish(topic, payload, qos=1)
        await asyncio.sleep(0.1)
