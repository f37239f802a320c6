# SPDX-License-Identifier: GPL-3.0-or-later
"""The decoder of IEC 60870-5-104 messages: one APDU to its ASDU. Pure; lengths are checked first.

c104 runs the link (start, windows, timers, acknowledgement); the messages are decoded here and in `iec60870/asdu.py`.
The library's own points would lose facts we need: the IV and SU bits of a time tag, an object whose type differs from
the one declared for its address (untagged when interrogated, tagged when it changes), and the original quality bits.

Layout: 68, length, four control octets, ASDU.
"""

from __future__ import annotations

from collector.agent.device.iec60870.asdu import SHORT_TAGGED, Asdu, decode_asdu
from collector.base.errors import Garbled
from collector.base.text import tr


def decode_apdu(apdu: bytes) -> Asdu | None:
    """Decode the message in an APDU; None for S and U frames, which carry none, and for types not used here.

    Raises:
        Garbled: the length does not fit the type and number of objects.
    """
    if len(apdu) < 6 or apdu[0] != 0x68 or apdu[1] != len(apdu) - 2:
        raise Garbled(tr("no APDU: {octets}", octets=apdu[:16].hex()), subject="iec104")
    if apdu[2] & 1:
        return None
    if len(apdu) < 12:
        raise Garbled(tr("an I frame of {bytes} bytes holds no ASDU", bytes=len(apdu)), subject="iec104")
    return None if apdu[6] in SHORT_TAGGED else decode_asdu(apdu[6:])


def type_of(apdu: bytes) -> int:
    """The type of the message in an APDU; 0 where it holds none."""
    return apdu[6] if len(apdu) >= 12 and not apdu[2] & 1 else 0
