# SPDX-License-Identifier: GPL-3.0-or-later
"""A real broker in a process of its own, and a center that can be told to misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiomqtt

from collector.agent.buffer.buffer import Buffer
from collector.agent.uplink.uplink import Uplink
from collector.base.tasks import heed_cancellation
from collector.points.agent_config import AgentConfig, AgentSettings
from collector.wire import Ack, Ask, Envelope, Signer, encode_ack, encode_ask, epoch_text, open_envelope, topic
from tests.patience import HANG_S, until, wait_until

ROOT = Path(__file__).parents[3]


def free_port() -> int:
    """A loopback port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def broker(
    port: int, *, mosquitto: str | None = None, directory: Path | None = None, settings: str = "allow_anonymous true"
) -> Iterator[subprocess.Popen[bytes]]:
    """The embedded broker, or mosquitto (MQTT 5)."""
    command = [sys.executable, "-m", "collector.trial.broker", "--listen", f"127.0.0.1:{port}"]
    if mosquitto and directory:
        conf = directory / "mosquitto.conf"
        conf.write_text(f"listener {port} 127.0.0.1\n{settings}\n")
        command = [mosquitto, "-c", str(conf)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for_port(port)
            yield process
        finally:
            process.kill()


def wait_for_port(port: int) -> None:
    """Until somebody accepts connections there."""

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens, f"a listener on {port}")


def agent_config(port: int, directory: Path, **uplink: object) -> AgentConfig:
    """Gateway g1 with plants P1 and P2."""
    data = {
        "schema": 1,
        "gateway": {"id": "g1"},
        "mqtt": {"port": port},
        "uplink": {"ack_timeout_s": 1.0, "backoff_max_s": 0.5, **uplink},
        "plant": [{"id": "P1"}, {"id": "P2"}],
        "unit": [{"id": u, "plant": p} for u, p in (("U1", "P1"), ("U2", "P1"), ("V1", "P2"))],
        "device": [],
    }
    return AgentConfig(AgentSettings.model_validate(data), {}, directory)


@dataclass
class Center:
    """Commits what arrives and acknowledges; the tests change how."""

    port: int
    signer: Signer | None = None
    store_id: str = "store-1"
    committed: dict[tuple[str, int], dict[int, bytes]] = field(default_factory=dict)
    arrivals: list[tuple[str, int]] = field(default_factory=list)
    states: dict[str, bytes] = field(default_factory=dict)
    drop_first: int = 0
    ack_every: int = 1
    acks_twice: bool = False
    strangers: bool = False
    silent: bool = False
    refuse: dict[int, str] = field(default_factory=dict)
    open_holes: bool = False  # what is refused is not settled
    _dropped: dict[bytes, int] = field(default_factory=dict)
    _count: int = 0
    _client: aiomqtt.Client | None = None

    async def run(self) -> None:
        """Until cancelled; connects again when the broker comes back."""
        while True:
            with contextlib.suppress(aiomqtt.MqttError):
                nodelay = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
                async with aiomqtt.Client(
                    "127.0.0.1", self.port, identifier="center", socket_options=nodelay
                ) as client:
                    self._client = client
                    await client.subscribe([("collector/v1/+/+/batch", 1), ("collector/v1/+/+/state", 1)])
                    async for message in client.messages:
                        heed_cancellation()
                        assert isinstance(message.payload, bytes)
                        if str(message.topic).endswith("/state"):
                            self.states[str(message.topic)] = message.payload
                        else:
                            await self._take(client, message.payload)
                        heed_cancellation()
            heed_cancellation()
            await asyncio.sleep(0.1)

    async def _take(self, client: aiomqtt.Client, payload: bytes) -> None:
        envelope = open_envelope(payload)
        self.arrivals.append((envelope.stream.plant, envelope.sequence))
        if self._dropped.setdefault(payload, 0) < self.drop_first:
            self._dropped[payload] += 1
            return
        if envelope.sequence not in self.refuse:
            key = (envelope.stream.plant, envelope.stream.epoch)
            held = self.committed.setdefault(key, {})
            assert held.setdefault(envelope.sequence, payload) == payload
        self._count += 1
        if self.silent or self._count % self.ack_every:
            return
        for _ in range(2 if self.acks_twice else 1):
            await self._acknowledge(client, envelope)

    async def _acknowledge(self, client: aiomqtt.Client, envelope: Envelope) -> None:
        stream = envelope.stream
        held = self.committed.get((stream.plant, stream.epoch), {})
        through = 0
        while through + 1 in held or (through + 1 in self.refuse and not self.open_holes):
            through += 1
        also = tuple((n, n) for n in sorted(held) if n > through)
        refused = tuple(self.refuse.items())
        ack = Ack(self.store_id, epoch_text(stream.epoch), through, also, refused)
        where = topic("collector", stream.plant, stream.gateway, "ack")
        if self.strangers:
            await client.publish(where, b"not an ack", qos=1)
            stranger = Ack(self.store_id, epoch_text(stream.epoch ^ 1), 10_000)
            await client.publish(where, encode_ack(stranger, self.signer), qos=1)
        await client.publish(where, encode_ack(ack, self.signer), qos=1)

    async def ask(self, ask: Ask) -> None:
        """Publish an ask."""
        assert self._client is not None
        await self._client.publish(
            topic("collector", ask.plant, ask.gateway, "ask"), encode_ask(ask, self.signer), qos=1
        )

    def sequences(self, plant: str = "P1") -> list[int]:
        """What is committed of a plant, over its epochs."""
        return sorted(n for (name, _), held in self.committed.items() if name == plant for n in held)


@contextlib.asynccontextmanager
async def running(buffer: Buffer, config: AgentConfig, center: Center) -> AsyncIterator[Uplink]:
    """Center and uplink, started in this order and ended together."""
    uplink = Uplink(buffer, config)
    tasks = [asyncio.create_task(center.run())]
    try:
        await until(lambda: center._client is not None)
        tasks.append(asyncio.create_task(uplink.run()))
        yield uplink
    finally:
        for task in reversed(tasks):
            task.cancel()
        _, left = await asyncio.wait(tasks, timeout=HANG_S)
        assert not left, "a task did not heed its cancellation"


async def all_acknowledged(buffer: Buffer) -> None:
    """Wait until nothing sealed is left to be sent; that takes what it takes, as long as it goes on."""
    await until(lambda: buffer.counts().pending == 0, progress=lambda: buffer.counts().pending)
