# SPDX-License-Identifier: GPL-3.0-or-later
"""The center as a process behind a real broker, and a plant that sends to it; for tests that kill and restart."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from sqlalchemy import func, select

from collector import wire
from collector.base.clock import SystemClock
from collector.center.db import tables_receive
from collector.center.db.store import CenterStore
from tests.center.center_batches import batch_topic, new_signer
from tests.patience import HANG_S, HangGuard, wait_until

CENTER = (sys.executable, "-m", "collector.cli.main", "center")

_TRY_S = 5.0  # so long it waits for a broker that may be gone, then tries again


def free_port() -> int:
    """A port of loopback that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running_broker(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The embedded broker."""
    command = [sys.executable, "-m", "collector.trial.broker", "--listen", f"127.0.0.1:{port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"listening")
        try:
            yield process
        finally:
            process.terminate()
            process.wait()


def start_center(folder: Path, port: int, name: str = "center") -> subprocess.Popen[bytes]:
    """`center run` with `name`.toml, its log beside it."""
    with (folder / f"{name}.log").open("ab") as log:
        command = [*CENTER, "run", f"{folder}/{name}.toml", "--broker", f"127.0.0.1:{port}"]
        return subprocess.Popen(command, stderr=log, stdout=log)


@contextlib.contextmanager
def running_center(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """`center run`, ended in good order."""
    process = start_center(folder, port)
    try:
        yield process
    finally:
        process.terminate()
        assert process.wait(HANG_S) == 0, (folder / "center.log").read_text("utf-8")


def configured(folder: Path, *, lines: str = "") -> wire.Signer:
    """A center.toml with one signing plant; returns the plant's key."""
    signer = new_signer(folder, "plant")
    wire.generate_key_pair(folder / "center.pem", folder / "center.pub")
    text = f"""
schema = 1
[center]
state_dir = "state"
signing_key_file = "center.pem"
[receiver]
backoff_max_s = 0.5
max_age_days = 36500
max_future_s = 3e9
{lines}
[[plant]]
id = "P1"
units = ["U1", "U2"]
public_key_files = ["plant.pub"]
"""
    (folder / "center.toml").write_text(text, "utf-8")
    return signer


class Plant:
    """A gateway's sending side at its simplest: sends what is not acknowledged, again and again, in any order."""

    def __init__(self, folder: Path, port: int, payloads: dict[int, bytes]) -> None:
        self.port = port
        self.pending = dict(payloads)
        self.acks: list[wire.Ack] = []
        self.refused: dict[int, str] = {}
        self.heard = asyncio.Event()
        self._center_key = wire.load_public_key(folder / "center.pub")
        self._rng = random.Random(1)

    async def send_all(self) -> None:
        """Until everything is acknowledged or refused; survives the broker's absence, and whole lives of the center."""
        guard = HangGuard("acknowledgements", lambda: len(self.acks))
        while self.pending:
            guard.check()
            try:
                async with aiomqtt.Client("127.0.0.1", self.port, timeout=_TRY_S) as client:
                    await client.subscribe(wire.topic("collector", "P1", "g1", "ack"), qos=1)
                    await self._round(client, guard)
            except aiomqtt.MqttError:
                await asyncio.sleep(0.1)

    async def _round(self, client: aiomqtt.Client, guard: HangGuard) -> None:
        listening = asyncio.create_task(self._listen(client))
        try:
            while self.pending and not listening.done():
                for sequence in self._rng.sample(sorted(self.pending), min(20, len(self.pending))):
                    if payload := self.pending.get(sequence):
                        await client.publish(batch_topic(), payload, qos=1)
                guard.check()
                await asyncio.sleep(0.05)
        finally:
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError, aiomqtt.MqttError):
                await listening

    async def _listen(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            ack = wire.decode_ack(message.payload, self._center_key)
            self.acks.append(ack)
            self.heard.set()
            self.refused |= dict(ack.refused)
            self.pending = {n: p for n, p in self.pending.items() if not ack.covers(n)}


def stored(folder: Path, database_url: str = "") -> tuple[int, int, int]:
    """Batches, records, highest sequence up to which all are settled; from the store itself."""
    state = folder / "state"
    with CenterStore.open(state, clock=SystemClock(), database_url=database_url, create=False) as store:
        query = select(func.count(), func.sum(tables_receive.batch.c.record_count))
        batches, records = store.read(lambda c: c.execute(query).one())
        through = store.read(lambda c: c.execute(select(func.max(tables_receive.stream.c.through))).scalar())
    return int(batches), int(records or 0), int(through or 0)


def status_of(folder: Path) -> dict[str, Any]:
    """What `center status --json` says."""
    command = [*CENTER, "status", "--state", str(folder / "state"), "--json"]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


@contextlib.contextmanager
def running_mosquitto(folder: Path, port: int, also_at: str = "") -> Iterator[None]:
    """Debian's broker, which keeps what it promised. `also_at`: a further address where it listens."""
    program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if program is None:
        pytest.skip("mosquitto is not installed: nothing here proves a durable broker")
    listeners = "".join(f"listener {port} {address}\n" for address in ("127.0.0.1", also_at) if address)
    (folder / "mosquitto.conf").write_text(f"{listeners}allow_anonymous true\n", "utf-8")
    with subprocess.Popen([program, "-c", str(folder / "mosquitto.conf")], stderr=subprocess.DEVNULL) as process:
        try:
            wait_for_port(port)
            yield
        finally:
            process.terminate()
            process.wait()


def wait_for_port(port: int) -> None:
    """Until something listens."""

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens, f"a listener on {port}")


def wait_for_through(folder: Path, sequence: int, database_url: str = "") -> None:
    """Until the store is done with `sequence`."""

    def through() -> int:
        return stored(folder, database_url)[2]

    wait_until(lambda: through() >= sequence, f"sequence {sequence} in the store", progress=through)


def wait_for_log(folder: Path, text: str, times: int, name: str = "center") -> None:
    """Until the center's log says `text` so many times."""
    log = folder / f"{name}.log"

    def said() -> int:
        return log.read_text("utf-8").count(text) if log.exists() else 0

    wait_until(lambda: said() >= times, f"{times} times {text!r} in {log}", progress=said)
