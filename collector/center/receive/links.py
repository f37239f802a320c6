# SPDX-License-Identifier: GPL-3.0-or-later
"""The center's links: to the broker, and to a folder.

To the broker: MQTT 5 where the broker has it, else 3.1.1; fixed client ids. The client library reads as fast as
messages arrive and passes them through an unbounded queue; `PacedClient` can pause reading instead.

To a folder: batches arrive as files across an isolation device, and acknowledgements go back the same way. A batch's
file stays until an acknowledgement settles it, so after a crash or a failed commit it is read again; where it is stored
already it counts as a repeat. A batch refused with a curable code is offered again.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

import aiomqtt
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY

import collector.wire as wire
from collector.base.clock import Clock
from collector.base.config import Mqtt
from collector.base.errors import Garbled
from collector.base.mqtt import find_protocol, heed_receive_maximum, read_password, session_properties, tls_context
from collector.wire.spool import FolderClient

CONNECT_TIMEOUT_S: Final = 10.0
SESSION_EXPIRY_S: Final = 7 * 86_400

logger = logging.getLogger("collector.center.mqtt")


Deliver = Callable[[aiomqtt.Message], None]


class PacedClient(aiomqtt.Client):
    """Passes each message to `deliver` on arrival; reading from the connection can be paused.

    While reading is paused the broker can't send, keeps a queue for this connection, and drops messages beyond its
    limit. MQTT's own means, late acknowledgements within the receive maximum that is announced, would be simpler, but
    Mosquitto before 2.0.16 keeps sending at each acknowledgement whatever is in flight (its issue 2301).
    """

    def __init__(self, *args: Any, deliver: Deliver, **options: Any) -> None:
        super().__init__(*args, queue_type=cast("Any", lambda maxsize: _Handed(deliver)), **options)  # noqa: ARG005
        self.pending_calls_threshold = 1 << 30  # many acknowledgements in flight are normal: no warning
        self._is_paused = False

    def _on_connect(self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None) -> None:
        heed_receive_maximum(client, properties)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def pause(self) -> None:
        """Pause reading; no effect without a connection."""
        connection = self._client.socket()
        if connection is not None and not self._is_paused:
            self._is_paused = True
            asyncio.get_running_loop().remove_reader(connection.fileno())

    def resume(self) -> None:
        """Resume reading."""
        connection = self._client.socket()
        if connection is not None and self._is_paused:
            self._is_paused = False
            asyncio.get_running_loop().add_reader(connection.fileno(), self._read)
            self._read()  # data that TLS has decrypted already does not make the socket readable

    def _read(self) -> None:
        """Read until paused: the library's own code for this is part of a larger function."""
        try:
            while not self._is_paused:
                self._client.loop_read()
                connection = self._client.socket()
                if not (isinstance(connection, ssl.SSLSocket) and connection.pending()):
                    break
        except Exception as error:
            if not self._disconnected.done():
                self._disconnected.set_exception(error)

    async def until_lost(self) -> None:
        """Wait until the connection is lost.

        Raises:
            aiomqtt.MqttError: the connection is lost.
        """
        async for _ in self.messages:  # never yields: messages go to `deliver`
            pass


class _Handed(asyncio.Queue[aiomqtt.Message]):
    """A stand-in for the client library's queue: it passes messages on and stays empty."""

    def __init__(self, deliver: Deliver) -> None:
        super().__init__()
        self._deliver = deliver

    def put_nowait(self, item: aiomqtt.Message) -> None:
        """Pass the message to `deliver`."""
        self._deliver(item)


class BrokerLink:
    """Makes clients for one broker; the first one finds out the broker's protocol version."""

    def __init__(self, settings: Mqtt) -> None:
        self._settings = settings
        self._protocol: aiomqtt.ProtocolVersion | None = None
        self._password = read_password(settings)
        self._tls = tls_context(settings)

    async def client(
        self, identifier: str, deliver: Deliver | None = None, *, session_expiry_s: int = 0
    ) -> PacedClient:
        """A client to be entered; call again for every attempt. Without `deliver` nothing is received.

        `session_expiry_s`: how long the broker keeps subscriptions and messages while the client is away; 0: not at
        all.

        Raises:
            aiomqtt.MqttError: no broker answers.
        """
        deliver = deliver or _pass_over
        if self._protocol is None:
            probe = self._make(f"{identifier}-probe", aiomqtt.ProtocolVersion.V5, deliver)
            self._protocol = await find_protocol(probe)
        five = self._protocol is aiomqtt.ProtocolVersion.V5
        fresh = not session_expiry_s
        return self._make(
            identifier,
            self._protocol,
            deliver,
            clean_session=None if five else fresh,
            clean_start=fresh if five else MQTT_CLEAN_START_FIRST_ONLY,
            properties=session_properties(session_expiry_s) if five else None,
        )

    def _make(
        self, identifier: str, protocol: aiomqtt.ProtocolVersion, deliver: Deliver, **options: Any
    ) -> PacedClient:
        return PacedClient(
            self._settings.host,
            self._settings.port,
            deliver=deliver,
            username=self._settings.username or None,
            password=self._password,
            identifier=identifier,
            protocol=protocol,
            keepalive=self._settings.keepalive_s,
            timeout=CONNECT_TIMEOUT_S,
            tls_context=self._tls,
            # Nagle's algorithm would delay each acknowledgement, and cost its plant about 40 ms a batch.
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
            logger=logger,
            **options,
        )


def _pass_over(_: aiomqtt.Message) -> None:
    pass


# A batch not acknowledged, or refused for now, is read again after this time.
_AGAIN_S: Final = 60.0

Key = tuple[str, str, int]  # plant, gateway, epoch


class FolderLink(FolderClient):
    """The center's side of `receiver.folder`: batches are read from `in`, acknowledgements written to `out`."""

    def __init__(self, folder: Path, root: str, clock: Clock) -> None:
        super().__init__(folder / "in", folder / "out")
        self._root, self._clock = root, clock
        self._read_at_s: dict[str, float] = {}
        self._batches: dict[Key, dict[int, Path]] = {}

    def _is_due(self, path: Path) -> bool:
        read_s = self._read_at_s.get(path.name)
        return read_s is None or self._clock.monotonic_s() - read_s >= _AGAIN_S

    async def _dealt_with(self, path: Path, message: aiomqtt.Message) -> None:
        if message.topic.value.endswith("/state"):
            await super()._dealt_with(path, message)
            return
        try:
            envelope = wire.open_envelope(bytes(message.payload))
        except Garbled as error:
            # Nobody can be informed; the quarantine has its bytes.
            logger.warning("%s is no batch: %s", path.name, error)
            await super()._dealt_with(path, message)
            return
        self._read_at_s[path.name] = self._clock.monotonic_s()
        stream = envelope.stream
        self._batches.setdefault((stream.plant, stream.gateway, stream.epoch), {})[envelope.sequence] = path

    def brought(self, plant: str, gateway: str, epoch: int) -> bool:
        """True if batches of a stream arrived by this folder."""
        return (plant, gateway, epoch) in self._batches

    async def publish(self, topic: str, payload: bytes, qos: int = 1, *, retain: bool = False) -> None:
        """Write an acknowledgement, and remove the files of the batches that it settles."""
        address, ack = wire.parse_topic(self._root, topic), wire.decode_ack(payload, None)
        await super().publish(topic, payload, qos, retain=retain)
        batches = self._batches.get((address.plant, address.gateway, ack.epoch), {})
        refused = dict(ack.refused)
        for sequence in [n for n in batches if ack.covers(n)]:
            if not ack.settles(sequence) and refused.get(sequence) not in wire.FINAL:
                continue
            path = batches.pop(sequence)
            self._read_at_s.pop(path.name, None)
            await asyncio.to_thread(path.unlink, missing_ok=True)
