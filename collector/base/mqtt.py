# SPDX-License-Identifier: GPL-3.0-or-later
"""MQTT connection settings shared by the agent's uplink and the center's broker link.

The protocol version a broker speaks (5 if possible, else 3.1.1), TLS from the files of `[mqtt]`, the password file.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import aiomqtt
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from collector.base.config import Mqtt
from collector.base.errors import ConfigError, Problem
from collector.base.text import tr

RECEIVE_MAXIMUM: Final = 64  # messages on their way to us that we have not acknowledged; the broker keeps the others
_VERSION_REFUSED: Final = (1, 132)  # 3.1.1, 5: the broker does not speak this version


async def find_protocol(bare_client_of_5: aiomqtt.Client) -> aiomqtt.ProtocolVersion:
    """Try an MQTT 5 connection without properties: a 3.1.1 broker refuses it; with properties some brokers hang.

    Raises:
        aiomqtt.MqttError: no broker answers, or it refuses for another reason than the version.
    """
    try:
        async with bare_client_of_5:
            return aiomqtt.ProtocolVersion.V5
    except MqttConnectError as error:
        code = error.rc.value if isinstance(error.rc, ReasonCode) else error.rc
        if code not in _VERSION_REFUSED:
            raise
    except aiomqtt.MqttError as error:
        if str(error) != "Operation timed out":  # aiomqtt has no error type for "connected, but no answer"
            raise
    return aiomqtt.ProtocolVersion.V311


def tls_context(settings: Mqtt, resolve: Callable[[str], Path] = Path) -> ssl.SSLContext | None:
    """A TLS context that trusts only the configured CA and presents our certificate; None where neither is named.

    `resolve`: gives the path of a file named in the configuration.

    Raises:
        ConfigError: a file can't be used, or a certificate is named without a CA: without a CA there is no TLS.
    """
    if not settings.ca_file:
        if settings.cert_file:
            message = tr("a certificate is shown over TLS only: name the broker's authority, too")
            raise ConfigError([Problem(settings.cert_file, 0, "mqtt.ca_file", message)])
        return None
    try:
        context = ssl.create_default_context(cafile=str(resolve(settings.ca_file)))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.cert_file:
            context.load_cert_chain(resolve(settings.cert_file), resolve(settings.key_file or settings.cert_file))
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ConfigError(
            [Problem(settings.ca_file, 0, "mqtt", tr("TLS files can't be used: {error}", error=error))]
        ) from error
    return context


def read_password(settings: Mqtt, resolve: Callable[[str], Path] = Path) -> str | None:
    """The broker password, the only content of its file; None where no file is named.

    Raises:
        ConfigError: the file can't be read.
    """
    if not settings.password_file:
        return None
    path = resolve(settings.password_file)
    try:
        return path.read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Problem(str(path), 0, "mqtt.password_file", tr("can't be read"))]) from error


def session_properties(expiry_s: int) -> Properties:
    """The properties of an MQTT 5 CONNECT: how long the broker keeps the session, and how much it may send at once."""
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = expiry_s
    properties.ReceiveMaximum = RECEIVE_MAXIMUM
    return properties


def heed_receive_maximum(client: Any, properties: Any) -> None:
    """Send no more messages at once than the broker takes unacknowledged; it ends a connection that does (code 147).

    paho knows a limit of its own only, 20, which is more than some brokers take.

    Args:
        client: paho's.
        properties: of the broker's CONNACK.
    """
    most = getattr(properties, "ReceiveMaximum", None)
    if most is not None:
        client._max_inflight_messages = min(client.max_inflight_messages, most)
