# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections of the uplink: fixed client id, persistent session, MQTT 5 where the broker has it, else 3.1.1.

aiomqtt drops answers of an MQTT 5 broker that are needed here: the largest packet it takes (CONNACK), the reason with
which it does not take a message (PUBACK) or a subscription (SUBACK), or closes the connection (DISCONNECT). The
methods overridden here are private to aiomqtt 2.5; `tests/agent/uplink/test_broker_limits.py` fails if they are no
longer called.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import aiomqtt
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY as CLEAN_START_FIRST_ONLY
from paho.mqtt.reasoncodes import ReasonCode

from collector.base.mqtt import find_protocol, heed_receive_maximum, read_password, session_properties, tls_context
from collector.points.agent_config import AgentConfig

_SESSION_EXPIRY_S: Final = 7 * 86_400
_CALL_TIMEOUT_S: Final = 10.0
_FAREWELL_S: Final = 2.0
_INCOMING_AT_MOST: Final = 1000  # further messages are dropped: the center sends acks again
# MQTT 5.0, 2.4: codes from here on are refusals. 128 is "unspecified"; paho gives it to any lost connection.
_UNSPECIFIED: Final = 128
PACKET_TOO_LARGE: Final = 149
TAKEN_OVER: Final = 142


class BrokerClient(aiomqtt.Client):
    """One connection. `max_packet_bytes`: largest packet the broker takes, None where it names no limit.

    `on_refused`: called on the loop with the reason code of a message, subscription or connection the broker refused.
    """

    max_packet_bytes: int | None = None
    on_refused: Callable[[ReasonCode], None] | None = None

    def _on_connect(self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None) -> None:
        self.max_packet_bytes = getattr(properties, "MaximumPacketSize", None)
        heed_receive_maximum(client, properties)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_publish(self, client: Any, userdata: Any, mid: int, reason_code: Any, properties: Any) -> None:
        self._note(reason_code)
        super()._on_publish(client, userdata, mid, reason_code, properties)

    def _on_subscribe(self, client: Any, userdata: Any, mid: int, reason_codes: Any, properties: Any = None) -> None:
        for code in reason_codes:
            self._note(code)
        super()._on_subscribe(client, userdata, mid, reason_codes, properties)

    def _on_disconnect(self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None) -> None:
        self._note(reason_code)
        super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def _note(self, code: Any) -> None:
        if isinstance(code, ReasonCode) and code.value > _UNSPECIFIED and self.on_refused is not None:
            self.on_refused(code)


Farewell = Callable[[BrokerClient], Awaitable[None]]


class Connector:
    """Opens connections to the configured broker, one after the other.

    Raises:
        ConfigError: a key, certificate or password file can't be used.
    """

    def __init__(self, config: AgentConfig) -> None:
        self._mqtt = config.settings.mqtt
        self.place = f"{self._mqtt.host}:{self._mqtt.port}"
        self._client_id = config.settings.gateway.id
        self._calls_at_once = 2 * config.settings.uplink.window + 8
        self._password = read_password(self._mqtt, config.resolve)
        self._tls = tls_context(self._mqtt, config.resolve)
        self._protocol: aiomqtt.ProtocolVersion | None = None

    @asynccontextmanager
    async def connected(self, will: aiomqtt.Will, farewell: Farewell) -> AsyncIterator[BrokerClient]:
        """One connection, both versions tried anew after a failure. `farewell`: awaited before it is closed.

        Raises:
            aiomqtt.MqttError: no broker answers, or it refuses.
        """
        protocol = self._protocol or await find_protocol(
            self._client(f"{self._client_id}-probe", aiomqtt.ProtocolVersion.V5)
        )
        self._protocol = None
        mqtt5 = protocol is aiomqtt.ProtocolVersion.V5
        client = self._client(
            self._client_id,
            protocol,
            clean_session=None if mqtt5 else False,
            clean_start=False if mqtt5 else CLEAN_START_FIRST_ONLY,
            properties=session_properties(_SESSION_EXPIRY_S) if mqtt5 else None,
            max_queued_incoming_messages=_INCOMING_AT_MOST,
            will=will,
        )
        client.pending_calls_threshold = self._calls_at_once
        await client.__aenter__()
        self._protocol = protocol
        try:
            yield client
        finally:
            with suppress(aiomqtt.MqttError, OSError, TimeoutError):
                async with asyncio.timeout(_FAREWELL_S):
                    await farewell(client)
            with suppress(aiomqtt.MqttError, OSError, TimeoutError):
                async with asyncio.timeout(_FAREWELL_S):
                    await client.__aexit__(None, None, None)

    def _client(self, identifier: str, protocol: aiomqtt.ProtocolVersion, **options: Any) -> BrokerClient:
        return BrokerClient(
            self._mqtt.host,
            self._mqtt.port,
            identifier=identifier,
            username=self._mqtt.username or None,
            password=self._password,
            protocol=protocol,
            keepalive=self._mqtt.keepalive_s,
            timeout=_CALL_TIMEOUT_S,
            tls_context=self._tls,
            # Without it two small packets wait 40 ms for each other (Nagle against delayed ACK).
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
            **options,
        )
