# SPDX-License-Identifier: GPL-3.0-or-later
"""Which MQTT version a broker speaks: 5 where it has it, else 3.1.1. Used by the agent's uplink and by the center."""

from __future__ import annotations

from typing import Final

import aiomqtt
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.reasoncodes import ReasonCode

_VERSION_REFUSED: Final = (1, 132)  # 3.1.1, 5: the broker does not speak this version


async def find_protocol(bare_client_of_5: aiomqtt.Client) -> aiomqtt.ProtocolVersion:
    """Ask with a bare MQTT 5 connection: a 3.1.1 broker refuses one without properties, some hang on one with.

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
        if str(error) != "Operation timed out":  # the library has no type for it: connected, and no answer
            raise
    return aiomqtt.ProtocolVersion.V311
