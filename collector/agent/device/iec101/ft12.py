# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames of IEC 60870-5-101 (FT1.2 of IEC 60870-5-1, link services of -2): pure, no I/O; only what reads is encoded.

    fixed       10 C A CS 16                A: link address, 0 to 2 octets; CS: sum of C to the last octet before it
    variable    68 L L 68 C A ASDU CS 16    L: octets from C to the end of the ASDU
    single      E5                          an acknowledgement, or "no data"

C of the primary (who asks): DIR, 1, FCB, FCV, function. C of the secondary (who answers): DIR, 0, ACD, DFC, function.
DIR is 1 from the controlling station where both ends are primaries (balanced), else 0. FCB alternates with each new
request, so that a repeated one is known by its FCB and answered as before.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from collector.agent.device.frames import Unfinished
from collector.agent.device.iec60870.asdu import COUNTER_INTERROGATION, INTERROGATION, AsduLayout

_FIXED, _VARIABLE, _SINGLE, _END = 0x10, 0x68, 0xE5, 0x16
_DIR, _PRM, _FCB, _FCV = 0x80, 0x40, 0x20, 0x10
_ACD, _DFC = 0x20, 0x10
_ACTIVATION: Final = 6
# QOI 20: the whole station. QCC 5: all counters as they are, no freeze, no reset.
_QUALIFIERS: Final = {INTERROGATION: 20, COUNTER_INTERROGATION: 5}


class LinkService(IntEnum):
    """Functions of a primary. Others (reset of the user process, access demand) are not encoded here."""

    RESET = 0
    TEST = 2
    SEND = 3
    SEND_WITHOUT_REPLY = 4
    STATUS = 9
    CLASS_1 = 10
    CLASS_2 = 11


class LinkReply(IntEnum):
    """Functions of a secondary."""

    ACK = 0
    NACK = 1
    USER_DATA = 8
    NO_DATA = 9
    STATUS = 11
    NOT_FUNCTIONING = 14
    NOT_IMPLEMENTED = 15


@dataclass(frozen=True, slots=True)
class LinkPlace:
    """A link: its address, how many octets that has, and whether both ends are primaries."""

    address: int = 1
    octets: int = 1
    balanced: bool = False


@dataclass(frozen=True, slots=True)
class LinkFrame:
    """A received frame. `control`: its C octet, of a single character that of an acknowledgement; `address`: None in a
    single character; `data`: the ASDU of a variable frame."""

    control: int
    address: int | None
    data: bytes = b""

    @property
    def is_primary(self) -> bool:
        """Whether a primary sent it: a request, not an answer."""
        return bool(self.control & _PRM)

    @property
    def is_ours(self) -> bool:
        """Whether it carries the direction of a controlling station: on a balanced line our own, come back."""
        return bool(self.control & _DIR)

    @property
    def function(self) -> int:
        """A `LinkService` of a primary, a `LinkReply` of a secondary."""
        return self.control & 0x0F

    @property
    def fcb(self) -> bool:
        """The frame count bit of a primary; of a secondary ACD, class 1 data wait."""
        return bool(self.control & _FCB)

    @property
    def fcv(self) -> bool:
        """Whether the frame count bit counts; of a secondary DFC, no more user data can be taken."""
        return bool(self.control & _FCV)

    acd = fcb
    dfc = fcv


def encode_status_request(place: LinkPlace) -> bytes:
    """Ask for the status of the link."""
    return _fixed(place, _PRM | LinkService.STATUS)


def encode_reset(place: LinkPlace) -> bytes:
    """Reset the link: the next frame that counts has FCB 1. Nothing but the link's frame count is reset by this."""
    return _fixed(place, _PRM | LinkService.RESET)


def encode_test(place: LinkPlace, fcb: bool) -> bytes:
    """Test whether the link is alive (balanced)."""
    return _fixed(place, _PRM | _FCV | fcb << 5 | LinkService.TEST)


def encode_class_1(place: LinkPlace, fcb: bool) -> bytes:
    """Ask for what has happened (unbalanced)."""
    return _fixed(place, _PRM | _FCV | fcb << 5 | LinkService.CLASS_1)


def encode_class_2(place: LinkPlace, fcb: bool) -> bytes:
    """Ask for values (unbalanced)."""
    return _fixed(place, _PRM | _FCV | fcb << 5 | LinkService.CLASS_2)


def encode_interrogation(place: LinkPlace, fcb: bool, kind: int, common_address: int, layout: AsduLayout) -> bytes:
    """Interrogate a station: the only user data that is sent.

    Args:
        place: the link.
        fcb: frame count bit.
        kind: `INTERROGATION` or `COUNTER_INTERROGATION`.
        common_address: of the station.
        layout: widths of the message's fields.
    """
    head = bytes((kind, 1, _ACTIVATION)) + bytes(layout.cause - 1)
    address = common_address.to_bytes(layout.common_address, "little") + bytes(layout.object_address)
    asdu = head + address + bytes((_QUALIFIERS[kind],))
    control = (_DIR if place.balanced else 0) | _PRM | _FCV | fcb << 5 | LinkService.SEND
    body = bytes((control,)) + _address(place) + asdu
    return bytes((_VARIABLE, len(body), len(body), _VARIABLE)) + body + bytes((sum(body) & 0xFF, _END))


def encode_reply(place: LinkPlace, reply: LinkReply) -> bytes:
    """Answer a primary of the other end (balanced): acknowledge, tell the status, or decline."""
    return _fixed(place, reply)


def _fixed(place: LinkPlace, control: int) -> bytes:
    body = bytes((control | (_DIR if place.balanced else 0),)) + _address(place)
    return bytes((_FIXED,)) + body + bytes((sum(body) & 0xFF, _END))


def _address(place: LinkPlace) -> bytes:
    return place.address.to_bytes(place.octets, "little") if place.octets else b""


class LinkReader:
    """Finds frames in a byte stream. `octets`: of the link address.

    A single character has no check of its own, so it counts only where nothing else came before it: in noise it is
    noise. Octets that belong to no frame are dropped one by one until a frame follows.
    """

    def __init__(self, octets: int) -> None:
        self._octets = octets
        self._buffer = bytearray()
        self._noisy = self._dropped = False

    def feed(self, data: bytes) -> None:
        """Add received bytes."""
        self._buffer += data

    def next(self) -> LinkFrame | Unfinished:
        """The next frame. GARBLED reports dropped octets once; call again."""
        buffer = self._buffer
        while buffer:
            size = self._size()
            if size is None:
                break
            if size:
                frame = self._decode(bytes(buffer[:size]))
                del buffer[:size]
                self._noisy = self._dropped = False
                return frame
            del buffer[0]
            self._noisy = self._dropped = True
        if self._dropped:
            self._dropped = False
            return Unfinished.GARBLED
        return Unfinished.NEED_MORE

    @property
    def pending(self) -> int:
        """Number of buffered bytes that may become a frame."""
        return len(self._buffer)

    def clear(self) -> None:
        """Discard all buffered bytes."""
        self._buffer.clear()
        self._noisy = self._dropped = False

    def _size(self) -> int | None:
        """Octets of the frame at the head of the buffer; 0 where none begins there, None while it is incomplete."""
        buffer, octets = self._buffer, self._octets
        if buffer[0] == _SINGLE:
            return 0 if self._noisy else 1
        if buffer[0] == _FIXED:
            first, size = 1, 4 + octets
        elif buffer[0] == _VARIABLE:
            if len(buffer) < 4:
                return None if _is_head(buffer) else 0
            if not _is_head(buffer) or buffer[1] < 1 + octets:
                return 0
            first, size = 4, buffer[1] + 6
        else:
            return 0
        if len(buffer) < size:
            return None
        is_whole = buffer[size - 1] == _END and buffer[size - 2] == sum(buffer[first : size - 2]) & 0xFF
        return size if is_whole else 0

    def _decode(self, frame: bytes) -> LinkFrame:
        if frame[0] == _SINGLE:
            return LinkFrame(LinkReply.ACK, None)
        first = 4 if frame[0] == _VARIABLE else 1
        data = first + 1 + self._octets
        return LinkFrame(frame[first], int.from_bytes(frame[first + 1 : data], "little"), frame[data:-2])


def _is_head(buffer: bytearray) -> bool:
    """Whether the buffer can begin with the head of a variable frame, as far as it has come."""
    return (len(buffer) < 3 or buffer[1] == buffer[2]) and (len(buffer) < 4 or buffer[3] == _VARIABLE)
