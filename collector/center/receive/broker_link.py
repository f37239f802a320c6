# SPDX-License-Identifier: GPL-3.0-or-later
"""The center's connection to the broker: MQTT 5 where the broker has it, else 3.1.1; persistent session, fixed id.

A receiver that shares its subscription with others keeps no session: what a broker would hold back for one that is dead
is sent again by the plant and reaches one that lives.

One trap of the client library is dealt with here: it hands messages over through an unbounded queue. Ours has limits
in messages and bytes; what finds it full is dropped, which loses nothing, because only the center's acknowledgement
frees data at the plant and the batch comes again.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any, Final, cast

import aiomqtt
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from collector.base.config import Mqtt
from collector.base.mqtt import find_protocol, read_password, tls_context

CONNECT_TIMEOUT_S: Final = 10.0
SESSION_EXPIRY_S: Final = 7 * 86_400

logger = logging.getLogger("collector.center.mqtt")


class Inbox(asyncio.Queue[aiomqtt.Message]):
    """Messages waiting for admission. Overflow decision: drop the newest; its batch is sent again by the plant."""

    def __init__(self, *, max_messages: int, max_bytes: int) -> None:
        super().__init__(maxsize=max_messages)
        self._max_bytes = max_bytes
        self._held_bytes = 0
        self.dropped = 0

    def put_nowait(self, item: aiomqtt.Message) -> None:
        """As the queue's, with the limit in bytes; what doesn't fit is counted and let go."""
        size = _size(item)
        if self.full() or (self._held_bytes and self._held_bytes + size > self._max_bytes):
            self.dropped += 1
            return
        self._held_bytes += size
        super().put_nowait(item)

    def _get(self) -> aiomqtt.Message:  # asyncio's own hook for subclasses
        item: aiomqtt.Message = super()._get()
        self._held_bytes -= _size(item)
        return item


def _size(message: aiomqtt.Message) -> int:
    return len(message.payload) if isinstance(message.payload, bytes | bytearray) else 0


class BrokerLink:
    """Makes clients for one broker, once it is known which protocol version that speaks.

    `session_expiry_s`: how long the broker keeps subscriptions and messages while we are away; 0: not at all.
    """

    def __init__(
        self, settings: Mqtt, *, client_id: str, inbox: Inbox, session_expiry_s: int = SESSION_EXPIRY_S
    ) -> None:
        self._settings = settings
        self._session_expiry_s = session_expiry_s
        self._client_id = client_id
        self._inbox = inbox
        self._protocol: aiomqtt.ProtocolVersion | None = None
        self._password = read_password(settings)
        self._tls = tls_context(settings)

    async def connect(self) -> aiomqtt.Client:
        """A client to be entered; call again for every attempt.

        Raises:
            aiomqtt.MqttError: no broker answers.
        """
        if self._protocol is None:
            self._protocol = await find_protocol(self._client(f"{self._client_id}-probe", aiomqtt.ProtocolVersion.V5))
        five = self._protocol is aiomqtt.ProtocolVersion.V5
        fresh = not self._session_expiry_s
        client = self._client(
            self._client_id,
            self._protocol,
            clean_session=None if five else fresh,
            clean_start=fresh if five else MQTT_CLEAN_START_FIRST_ONLY,
            properties=_session_expiry(self._session_expiry_s) if five else None,
            queue_type=cast("type[asyncio.Queue[aiomqtt.Message]]", lambda maxsize: self._inbox),  # noqa: ARG005
        )
        client.pending_calls_threshold = 1 << 30  # many acknowledgements in flight are no news
        return client

    def _client(self, identifier: str, protocol: aiomqtt.ProtocolVersion, **options: Any) -> aiomqtt.Client:
        return aiomqtt.Client(
            self._settings.host,
            self._settings.port,
            username=self._settings.username or None,
            password=self._password,
            identifier=identifier,
            protocol=protocol,
            keepalive=self._settings.keepalive_s,
            timeout=CONNECT_TIMEOUT_S,
            tls_context=self._tls,
            # An acknowledgement held back by Nagle's algorithm costs its plant about 40 ms a batch.
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
            logger=logger,
            **options,
        )


def _session_expiry(seconds: int) -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = seconds
    return properties
