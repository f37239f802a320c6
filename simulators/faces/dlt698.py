# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated meters' own DL/T 698.45 codec, no I/O: frames, requests to read, and how each attribute is laid out.

A frame is 68 L L C SA CA HCS HCS APDU FCS FCS 16. L counts what lies between 68 and 16; HCS and FCS, low byte first,
cover all before them but 68. SA is one byte that says how long the address is, and the address.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from typing import Final

FROM_CLIENT, FROM_METER = 0x43, 0xC3
GET, GET_ANSWER, NORMAL, LIST = 5, 0x85, 1, 2
UNDEFINED_OBJECT: Final = 4
WILDCARD: Final = b"\xaa" * 6
CLOCK, ADDRESS = 0x40000200, 0x40010200
_REVERSED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def check_of(data: bytes) -> bytes:
    """The check of a frame's head or of all of it, as on the line.

    It is the CRC-CCITT that runs over bytes with their bits in reverse; the standard library has the plain one.
    """
    crc = binascii.crc_hqx(data.translate(_REVERSED), 0xFFFF) ^ 0xFFFF
    return crc.to_bytes(2, "big").translate(_REVERSED)


@dataclass(frozen=True, slots=True)
class AttributeLayout:
    """How many elements an attribute has (0: it is no array), their tag and size, and the decimals of its numbers."""

    elements: int
    tag: int
    size: int
    decimals: int
    signed: bool


_LONG: Final = {
    0x2000: AttributeLayout(3, 0x12, 2, 1, signed=False),  # voltage of the phases, 0.1 V
    0x2001: AttributeLayout(3, 0x05, 4, 3, signed=True),  # current, 0.001 A
    0x2004: AttributeLayout(4, 0x05, 4, 1, signed=True),  # active power, total first, 0.1 W
    0x2005: AttributeLayout(4, 0x05, 4, 1, signed=True),  # reactive power
    0x2006: AttributeLayout(4, 0x05, 4, 1, signed=True),  # apparent power
    0x200A: AttributeLayout(4, 0x10, 2, 3, signed=True),  # power factor
    0x200F: AttributeLayout(0, 0x12, 2, 2, signed=False),  # frequency, 0.01 Hz
}


def layout_of(oad: int) -> AttributeLayout | None:
    """The layout of the attribute that an OAD names; None where these meters do not have it."""
    thing, attribute = oad >> 16, oad >> 8 & 0xFF
    if thing < 0x00B0:  # energies: the total and four rates
        signed = thing >> 4 in (0, 3, 4)
        if attribute == 2:
            return AttributeLayout(5, 0x05 if signed else 0x06, 4, 2, signed)
        return AttributeLayout(5, 0x14 if signed else 0x15, 8, 4, signed) if attribute == 4 else None
    return _LONG.get(thing) if attribute == 2 else None


def encode_attribute(layout: AttributeLayout, numbers: list[int | None]) -> bytes:
    """Encode the elements of an attribute, each in units of its last digit; None is NULL."""
    parts = []
    for number in numbers:
        low = -(1 << 8 * layout.size - 1) if layout.signed else 0
        kept = None if number is None else min(max(number, low), low + (1 << 8 * layout.size) - 1)
        parts.append(
            b"\0" if kept is None else bytes((layout.tag,)) + kept.to_bytes(layout.size, "big", signed=layout.signed)
        )
    return (bytes((1, len(parts))) if layout.elements else b"") + b"".join(parts)


@dataclass(frozen=True, slots=True)
class Request:
    """One frame received. `address` is low byte first as on the line, `flag` the byte before it."""

    control: int
    flag: int
    address: bytes
    client: int
    apdu: bytes

    @property
    def oads(self) -> list[int] | None:
        """What a request to read asks for; None where it is anything else."""
        apdu = self.apdu
        if apdu[:2] == bytes((GET, NORMAL)) and len(apdu) == 8:
            return [int.from_bytes(apdu[3:7], "big")]
        if apdu[:2] == bytes((GET, LIST)) and len(apdu) > 4 and len(apdu) == 5 + 4 * apdu[3]:
            return [int.from_bytes(apdu[4 + 4 * i : 8 + 4 * i], "big") for i in range(apdu[3])]
        return None


def encode_frame(control: int, flag: int, address: bytes, client: int, apdu: bytes) -> bytes:
    """Encode a frame with four FE before it."""
    head = bytes((control, flag)) + address + bytes((client,))
    covered = (len(head) + len(apdu) + 6).to_bytes(2, "little") + head
    covered += check_of(covered) + apdu
    return b"\xfe\xfe\xfe\xfe\x68" + covered + check_of(covered) + b"\x16"


class Framer:
    """Finds frames in a byte stream by their length; drops other bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Request]:
        """Add received bytes; returns the frames completed."""
        buffer, found = self._buffer, list[Request]()
        buffer += data
        while (start := buffer.find(0x68)) >= 0:
            del buffer[:start]
            if len(buffer) < 5:
                return found
            size = int.from_bytes(buffer[1:3], "little") + 2
            head = 6 + (buffer[4] & 15) + 1
            if not head + 5 <= size <= 600:
                del buffer[:1]
            elif len(buffer) < size:
                return found
            elif self._is_whole(bytes(buffer[:size]), head):
                frame = bytes(buffer[:size])
                found.append(Request(frame[3], frame[4], frame[5 : head - 1], frame[head - 1], frame[head + 2 : -3]))
                del buffer[:size]
            else:
                del buffer[:1]
        buffer.clear()
        return found

    @staticmethod
    def _is_whole(frame: bytes, head: int) -> bool:
        checks = frame[head : head + 2], frame[-3:-1]
        return frame[-1] == 0x16 and checks == (check_of(frame[1:head]), check_of(frame[1:-3]))
