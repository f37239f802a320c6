# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated meters' own DL/T 645 codec, of 2007 and 1997, no I/O: frames, and the number format of an identifier.

A frame is 68 A0…A5 68 C L data CS 16, address and data low byte first, every data byte +33H, CS the sum modulo 256 of
all from the first 68. Numbers are BCD with the decimals their identifier fixes; the sign is the top bit of the most
significant byte. A point's raw value is the number in the identifier's own unit (kWh, kW, V, Hz), decimals applied;
its `scale` is the transformer ratio.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

READ, READ_NEXT = 0x11, 0x12
READ_1997, READ_NEXT_1997 = 0x01, 0x02
ANSWER, MORE_FOLLOWS, ERROR = 0x80, 0x20, 0x40
NO_SUCH_DATA: Final = 0x02
WILDCARD: Final = b"\xaa" * 6
_OFFSET: Final = 0x33


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """Number format of an identifier: bytes, decimals, signed or not. Source: DL/T 645-2007, tables A.1, A.3."""

    size: int
    decimals: int
    signed: bool


ENERGY: Final = NumberFormat(4, 2, signed=False)
_SIGNED_ENERGY: Final = NumberFormat(4, 2, signed=True)
# The upper two of an identifier's four bytes decide the layout of instantaneous values.
_INSTANT: Final = {
    0x0201: NumberFormat(2, 1, signed=False),  # voltage, V
    0x0202: NumberFormat(3, 3, signed=True),  # current, A
    0x0203: NumberFormat(3, 4, signed=True),  # active power, kW
    0x0204: NumberFormat(3, 4, signed=True),  # reactive power, kvar
    0x0205: NumberFormat(3, 4, signed=True),  # apparent power, kVA
    0x0206: NumberFormat(2, 3, signed=True),  # power factor
}
_FREQUENCY: Final = 0x02800002
# Parameters that a guard point may read. Source: DL/T 645-2007, table A.5.
_PARAMETERS: Final = {
    0x04000306: NumberFormat(3, 0, signed=False),  # ratio of the current transformers
    0x04000307: NumberFormat(3, 0, signed=False),  # ratio of the voltage transformers
    0x04000401: NumberFormat(6, 0, signed=False),  # address
    0x04000402: NumberFormat(6, 0, signed=False),  # number of the meter
}


# Of 1997, by the first three of the four digits. Energies begin with 9, and nothing has a sign.
_OLD: Final = {
    "B61": NumberFormat(2, 0, signed=False),  # V, three digits
    "B62": NumberFormat(2, 2, signed=False),  # A, 2 decimals
    "B63": NumberFormat(3, 4, signed=False),  # kW, 4 decimals
    "B64": NumberFormat(2, 2, signed=False),  # kvar, 2 decimals
    "B65": NumberFormat(2, 3, signed=False),  # power factor, 3 decimals
    **dict.fromkeys(("901", "902", "911", "912", "913", "914", "915", "916"), ENERGY),
}


def is_old(identifier: int) -> bool:
    """Whether an identifier is one of the edition of 1997, which has two bytes."""
    return 0x9000 <= identifier < 0x10000


def layout_of(identifier: int) -> NumberFormat | None:
    """The layout of a data identifier; None where these meters do not have it."""
    if is_old(identifier):
        return _OLD.get(f"{identifier:X}"[:3])
    if identifier == _FREQUENCY:
        return NumberFormat(2, 2, signed=False)
    kind = identifier >> 24
    if kind == 0x00:
        combined = identifier >> 16 in (0x0000, 0x0003, 0x0004)
        return _SIGNED_ENERGY if combined else ENERGY
    return _PARAMETERS.get(identifier) or _INSTANT.get(identifier >> 16)


def encode_number(value: Fraction | int | float, layout: NumberFormat) -> bytes:
    """Encode a number as BCD, low byte first, rounded half away from zero; beyond its digits it rolls over."""
    digits = abs(rounded(Fraction(value) * 10**layout.decimals))
    limit = 10 ** (2 * layout.size) if not layout.signed else 8 * 10 ** (2 * layout.size - 1)
    data = bytearray(bytes.fromhex(f"{digits % limit:0{2 * layout.size}d}"))
    if value < 0 and layout.signed and digits:
        data[0] |= 0x80
    return bytes(reversed(data))


def rounded(value: Fraction) -> int:
    """Round half away from zero."""
    whole = (2 * abs(value.numerator) + value.denominator) // (2 * value.denominator)
    return whole if value >= 0 else -whole


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame. `address` is low byte first as on the line; `data` without the offset of 33H."""

    address: bytes
    control: int
    data: bytes


def encode_frame(address: bytes, control: int, data: bytes, *, preamble: int = 4) -> bytes:
    """Encode a frame with its FE preamble."""
    body = bytes((0x68,)) + address + bytes((0x68, control, len(data))) + bytes((b + _OFFSET) & 0xFF for b in data)
    return b"\xfe" * preamble + body + bytes((sum(body) & 0xFF, 0x16))


def address_bytes(text: str) -> bytes:
    """The bytes of a meter's 12-digit address, low byte first as on the line."""
    return bytes(reversed(bytes.fromhex(text.zfill(12))))


class Framer:
    """Finds frames in a byte stream by their length; drops other bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Add received bytes; returns the frames completed."""
        buffer = self._buffer
        buffer += data
        frames: list[Frame] = []
        while (start := buffer.find(0x68)) >= 0:
            del buffer[:start]
            if len(buffer) < 10:
                return frames
            size = buffer[9] + 12
            if buffer[7] != 0x68:
                del buffer[:1]
            elif len(buffer) < size:
                return frames
            elif buffer[size - 1] == 0x16 and sum(buffer[: size - 2]) & 0xFF == buffer[size - 2]:
                content = bytes((b - _OFFSET) & 0xFF for b in buffer[10 : size - 2])
                frames.append(Frame(bytes(buffer[1:7]), buffer[8], content))
                del buffer[:size]
            else:
                del buffer[:1]
        buffer.clear()
        return frames
