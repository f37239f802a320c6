# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated stations' own IEC 60870-5-104 codec, no I/O: APCI frames, ASDUs of monitoring, time tags.

Layout: cause of transmission 2 bytes (originator address second), common address 2, information object address 3, as
IEC 60870-5-104 fixes them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

START: Final = 0x68
BROADCAST: Final = 0xFFFF  # common address of all stations of a link
# U frame functions (first control octet). Source: IEC 60870-5-104, 5.3.
STARTDT_ACT, STARTDT_CON, STOPDT_ACT, STOPDT_CON, TESTFR_ACT, TESTFR_CON = 0x07, 0x0B, 0x13, 0x23, 0x43, 0x83
# Causes of transmission. Source: IEC 60870-5-101, 7.2.3.
CYCLIC, SPONTANEOUS, INITIALISED, ACTIVATION, ACTIVATION_CON, ACTIVATION_TERM = 1, 3, 4, 6, 7, 10
INTERROGATED, COUNTERS_REQUESTED, UNKNOWN_TYPE, UNKNOWN_CAUSE, UNKNOWN_ADDRESS = 20, 37, 44, 45, 46
NEGATIVE: Final = 0x40
INTERROGATION, COUNTER_INTERROGATION, END_OF_INITIALISATION = 100, 101, 70
LOCAL_POWER_ON: Final = 0  # cause of initialisation. Source: IEC 60870-5-101, 7.2.6.21.
# Quality bits: overflow, blocked, substituted, not topical, invalid. Source: IEC 60870-5-101, 7.2.6.
OV, BL, SB, NT, IV = 0x01, 0x10, 0x20, 0x40, 0x80
COUNTER_TYPES: Final = frozenset((15, 37))
TAGGED_TYPES: Final = frozenset(range(30, 38))
# Objects of several states, each a point of its own: 16 single points, and bit strings.
BIT_TYPES: Final = frozenset((7, 20, 33))
# Answers to an interrogation carry no time tag. Source: IEC 60870-5-101, 7.4.5 and the type tables of 8.
UNTAGGED: Final = {30: 1, 31: 3, 32: 5, 33: 7, 34: 9, 35: 11, 36: 13, 37: 15}


@dataclass(frozen=True, slots=True)
class Apdu:
    """One APDU. `kind` is I, S or U; `send`, `receive` are N(S), N(R); `function` a U frame's first octet."""

    kind: str
    send: int = 0
    receive: int = 0
    function: int = 0
    asdu: bytes = b""


@dataclass(frozen=True, slots=True)
class Asdu:
    """An ASDU's head and its undecoded objects. `cause` is without the negative and test bits."""

    type_id: int
    count: int
    sequence: bool
    cause: int
    negative: bool
    originator: int
    common_address: int
    objects: bytes


class FrameError(ValueError):
    """Bytes that can't be IEC 104: the connection has to be closed."""


class ApduFramer:
    """Splits a byte stream into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Apdu]:
        """Add received bytes; returns the frames completed.

        Raises:
            FrameError: wrong start octet or length.
        """
        buffer = self._buffer
        buffer += data
        frames = []
        while buffer and buffer[0] == START and len(buffer) >= 2:
            size = buffer[1] + 2
            if not 6 <= size <= 255:
                raise FrameError(f"not an APDU's length: {bytes(buffer[:6]).hex(' ')}")
            if len(buffer) < size:
                break
            frames.append(_decode_frame(bytes(buffer[2:size])))
            del buffer[:size]
        if buffer and buffer[0] != START:
            raise FrameError(f"not an APDU's start: {bytes(buffer[:6]).hex(' ')}")
        return frames


def _decode_frame(body: bytes) -> Apdu:
    first = body[0]
    receive = int.from_bytes(body[2:4], "little") >> 1
    if not first & 1:
        return Apdu("I", send=int.from_bytes(body[:2], "little") >> 1, receive=receive, asdu=body[4:])
    if first & 3 == 1:
        return Apdu("S", receive=receive)
    return Apdu("U", function=first)


def encode_i(send: int, receive: int, asdu: bytes) -> bytes:
    """Encode an I frame."""
    return struct.pack("<BBHH", START, len(asdu) + 4, send << 1, receive << 1) + asdu


def encode_s(receive: int) -> bytes:
    """Encode an S frame."""
    return struct.pack("<BBHH", START, 4, 1, receive << 1)


def encode_u(function: int) -> bytes:
    """Encode a U frame."""
    return bytes((START, 4, function, 0, 0, 0))


def decode_asdu(data: bytes) -> Asdu:
    """Decode the head of an ASDU.

    Raises:
        FrameError: the ASDU is too short.
    """
    if len(data) < 6:
        raise FrameError(f"an ASDU of {len(data)} bytes")
    type_id, vsq, cause, originator, common_address = struct.unpack_from("<BBBBH", data)
    return Asdu(
        type_id,
        vsq & 0x7F,
        bool(vsq & 0x80),
        cause & 0x3F,
        bool(cause & NEGATIVE),
        originator,
        common_address,
        data[6:],
    )


def encode_asdu(
    type_id: int, cause: int, common_address: int, objects: Sequence[bytes], *, originator: int = 0
) -> bytes:
    """Encode an ASDU of separately addressed objects (SQ = 0), each preceded by its 3-byte address."""
    return struct.pack("<BBBBH", type_id, len(objects), cause, originator, common_address) + b"".join(objects)


def encode_object(
    address: int, type_id: int, value: float | int, quality: int, tag: bytes = b"", *, sequence: int = 0
) -> bytes:
    """Encode one information object: address, element, and time tag if the type has one.

    `value`: 0/1 for types 1, 3, 30, 31; the states as bits for 7, 20, 33; the code for normalised; integer for step
    positions, scaled and counters; real for short float.
    """
    return address.to_bytes(3, "little") + _element(UNTAGGED.get(type_id, type_id), value, quality, sequence) + tag


def _element(base: int, value: float | int, quality: int, sequence: int) -> bytes:
    if base == 1:
        return bytes((int(value) & 1 | quality & 0xF0,))
    if base == 3:
        return bytes(((2 if value else 1) | quality & 0xF0,))
    if base in (9, 21):
        element = struct.pack("<h", _clamp16(round(value)))
        return element if base == 21 else element + bytes((quality,))
    if base == 5:
        return bytes((min(max(round(value), -64), 63) & 0x7F, quality))
    if base == 7:
        return struct.pack("<IB", int(value), quality)
    if base == 20:
        return struct.pack("<HHB", int(value), 0, quality)
    if base == 11:
        return struct.pack("<hB", _clamp16(round(value)), quality)
    if base == 13:
        return struct.pack("<fB", value, quality)
    wrapped = (int(value) + 2**31) % 2**32 - 2**31
    return struct.pack("<iB", wrapped, sequence & 0x1F | quality & IV)


def _clamp16(value: int) -> int:
    return min(max(value, -32768), 32767)


def encode_cp56(time_utc_ms: int, *, offset_min: int, invalid: bool = False, summer: bool = False) -> bytes:
    """Encode CP56Time2a, seven octets of local time of the station. Source: IEC 60870-5-101, 7.2.6.18.

    Bits: minute octet IV 0x80, hour octet SU 0x80, day of week 1 = Monday in the upper three bits of the day octet.
    """
    moment = datetime(1970, 1, 1) + timedelta(milliseconds=time_utc_ms + offset_min * 60_000)
    return struct.pack(
        "<HBBBBB",
        moment.second * 1000 + moment.microsecond // 1000,
        moment.minute | (0x80 if invalid else 0),
        moment.hour | (0x80 if summer else 0),
        moment.day | moment.isoweekday() << 5,
        moment.month,
        moment.year % 100,
    )
