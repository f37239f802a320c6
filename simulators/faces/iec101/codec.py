# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated stations' own IEC 60870-5-101 codec, no I/O: frames of FT1.2, and messages in the widths of a link.

Source: IEC 60870-5-1, 6.2.4.2 (FT1.2), IEC 60870-5-2 (functions), IEC 60870-5-101, 6 and 7.1 (widths). The messages of
a station are made by `iec104.py`; `narrow` and `widen` change their head and addresses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from simulators.faces import iec104

# Functions of a primary and of a secondary.
RESET, TEST, SEND, SEND_ONLY, REQUEST_STATUS, REQUEST_1, REQUEST_2 = 0, 2, 3, 4, 9, 10, 11
ACK, NACK, DATA, NO_DATA, STATUS, NOT_IMPLEMENTED = 0, 1, 8, 9, 11, 15
PRIMARY, COUNT, COUNTS = 0x40, 0x20, 0x10
DIRECTION, DEMAND, FULL = 0x80, 0x20, 0x10
SINGLE: Final = b"\xe5"


@dataclass(frozen=True, slots=True)
class Widths:
    """Octets of link address, cause, common address and object address."""

    link: int = 1
    cause: int = 1
    common: int = 1
    object: int = 2


@dataclass(frozen=True, slots=True)
class Telegram:
    """A received frame, with its octets as they came."""

    control: int
    address: int
    asdu: bytes
    raw: bytes

    @property
    def function(self) -> int:
        """The lower four bits of the control octet."""
        return self.control % 16

    @property
    def by_primary(self) -> bool:
        """Whether it is a request."""
        return self.control & PRIMARY > 0


def encode(control: int, address: int, widths: Widths, asdu: bytes = b"") -> bytes:
    """A frame: of variable length where it carries an ASDU, else of fixed length."""
    content = bytes([control, *address.to_bytes(2, "little")[: widths.link], *asdu])
    tail = bytes([sum(content) % 256, 0x16])
    return (bytes([0x68, len(content), len(content), 0x68]) if asdu else b"\x10") + content + tail


class Framer:
    """Finds frames in a byte stream; passes over octets that begin none."""

    def __init__(self, widths: Widths) -> None:
        self._widths, self._stream = widths, b""

    def feed(self, data: bytes) -> list[Telegram]:
        """Add received bytes; returns the frames completed."""
        self._stream += data
        found = []
        while self._stream:
            telegram, used = self._first()
            if telegram is not None:
                found.append(telegram)
            elif used == 0:
                break
            self._stream = self._stream[used:]
        return found

    def _first(self) -> tuple[Telegram | None, int]:
        """The frame at the head, and how many octets are done with; (None, 0) while it is incomplete."""
        stream = self._stream
        if stream[:1] == SINGLE:
            return Telegram(ACK, 0, b"", SINGLE), 1
        if stream[0] == 0x10:
            begin, end = 1, 2 + self._widths.link
        elif stream[0] == 0x68:
            if len(stream) < 4:
                return None, 0
            begin, end = 4, 4 + stream[1]
            if stream[1] != stream[2] or stream[3] != 0x68 or stream[1] <= self._widths.link:
                return None, 1
        else:
            return None, 1
        if len(stream) < end + 2:
            return None, 0
        content = stream[begin:end]
        if stream[end] != sum(content) % 256 or stream[end + 1] != 0x16:
            return None, 1
        address = int.from_bytes(content[1 : 1 + self._widths.link], "little")
        return Telegram(content[0], address, content[1 + self._widths.link :], stream[: end + 2]), end + 2


def narrow(asdu: bytes, widths: Widths) -> bytes:
    """A message of 104, objects addressed one by one, in the widths of a link."""
    count = asdu[1]
    size = (len(asdu) - 6) // count
    objects = b"".join(asdu[at : at + widths.object] + asdu[at + 3 : at + size] for at in range(6, len(asdu), size))
    return asdu[: 2 + widths.cause] + asdu[4 : 4 + widths.common] + objects


def widen(asdu: bytes, widths: Widths) -> iec104.Asdu:
    """A request of one object as 104 has it.

    Raises:
        FrameError: it is too short.
    """
    head = 2 + widths.cause + widths.common
    if len(asdu) < head + widths.object:
        raise iec104.FrameError(f"an ASDU of {len(asdu)} bytes")
    common = int.from_bytes(asdu[2 + widths.cause : head], "little")
    if common == 256**widths.common - 1:
        common = iec104.BROADCAST
    address = asdu[head : head + widths.object] + bytes(3 - widths.object)
    cause, originator = asdu[2], asdu[3] if widths.cause == 2 else 0
    return iec104.Asdu(
        asdu[0], asdu[1] & 0x7F, bool(asdu[1] & 0x80), cause & 0x3F, bool(cause & iec104.NEGATIVE), originator, common,
        address + asdu[head + widths.object :],
    )  # fmt: skip
