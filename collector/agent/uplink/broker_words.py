# SPDX-License-Identifier: GPL-3.0-or-later
"""The meaning of a broker's reason code on a gateway, and the remedy. Source: MQTT 5.0, 2.4.

paho gives the five return codes of 3.1.1 (CONNACK) the numbers of MQTT 5.
"""

from __future__ import annotations

from typing import Final

from aiomqtt.exceptions import MqttCodeError
from paho.mqtt.reasoncodes import ReasonCode

from collector.base.text import tr

_CREDENTIALS: Final = tr("user name or password: compare mqtt.username and mqtt.password_file with the broker's list")
_RIGHTS: Final = tr("rights: the broker's ACL must let this user publish …/batch and …/state and read …/ack and …/ask")
_CLIENT_ID: Final = tr("the client id, gateway.id: does the broker demand another, or the name in the certificate?")
_LATER: Final = tr("the broker's own trouble: its log says more; this agent tries again")

REMEDIES: Final = {
    133: _CLIENT_ID,
    134: _CREDENTIALS,
    135: _RIGHTS,
    136: _LATER,
    137: _LATER,
    138: tr("the broker has banned this client: its administrator knows why"),
    139: _LATER,
    140: tr("the broker wants another way to log in than user name or certificate"),
    141: tr("the broker heard nothing in time: the link loses packets, or mqtt.keepalive_s is too long for it"),
    142: tr(
        "another program connects under the same gateway.id: a second agent, a cloned disk, a test machine; stop one"
    ),
    143: tr("the broker does not take these topics: compare mqtt.root"),
    144: tr("the broker does not take these topics: compare mqtt.root"),
    149: tr(
        "the packet was too large: raise the broker's max_packet_size; batches are sealed again in parts meanwhile"
    ),
    151: tr("a quota of the broker is used up: messages, bytes, or its disk"),
    152: tr("the broker's administrator closed the connection"),
    159: tr("too many connections in a short time: is another program using the same gateway.id?"),
}


def reason_code(error: BaseException) -> ReasonCode | None:
    """The broker's reason in an error of the MQTT library; None where the link failed without one."""
    return error.rc if isinstance(error, MqttCodeError) and isinstance(error.rc, ReasonCode) else None


def spell(code: ReasonCode) -> str:
    """A reason in searchable form: MQTT's name and number."""
    return f"{code} (MQTT reason {code.value})"
