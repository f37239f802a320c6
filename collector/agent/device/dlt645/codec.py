# SPDX-License-Identifier: GPL-3.0-or-later
"""The DL/T 645-2007 codec, without I/O: bytes to frames, answers to data, data to numbers. It encodes only reads.

A frame: FE … FE, 68, A0…A5, 68, C, L, data, CS, 16. Address and data low byte first; each data byte has 33H added; CS
is the sum modulo 256 of all bytes from the first 68. Control C: bit 7 answer, bit 6 error, bit 5 more data follow, bits
below the function; this program sends only 11H (read) and 12H (read the data that follow).

Source: DL/T 645-2007, 5.2 (frame), 7.1, 7.2 (reading), tables A.1, A.3, A.6 (identifiers), annex on ERR.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from fractions import Fraction
from typing import Final

from collector.base.errors import Garbled, Refused

WILDCARD: Final = "AAAAAAAAAAAA"
_PREAMBLE: Final = b"\xfe" * 4
_START, _END, _OFFSET = 0x68, 0x16, 0x33
_OVERHEAD: Final = 12
_READ, _READ_NEXT = 0x11, 0x12
_ANSWER, _ERROR, _MORE, _FUNCTION = 0x80, 0x40, 0x20, 0x1F
# Function codes of the 1997 edition, whose identifiers have two bytes.
_FUNCTIONS_1997: Final = frozenset({0x01, 0x02, 0x03, 0x04, 0x0A, 0x0C, 0x0F, 0x10})
_ERRORS: Final = (
    "other error", "no such data", "password or authority", "baud rate", "year zones", "day periods", "rates",
    "reserved",
)  # fmt: skip
NO_SUCH_DATA: Final = 0x02
_ADDRESS: Final = re.compile(r"\d{1,12}\Z|A{12}\Z", re.ASCII)


def parse_address(text: str) -> str:
    """Parse a meter's address: 12 digits, leading zeros optional, or twelve A for any meter.

    Raises:
        ValueError: the text is neither.
    """
    if _ADDRESS.match(text) is None:
        raise ValueError(f"a meter's address has 12 digits, got {text!r}")
    return text.zfill(12)


def reversed_address(address: str) -> str:
    """The address with its bytes in reverse order, a usual mistake when it is copied from a meter."""
    return bytes.fromhex(address)[::-1].hex().upper()


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame. `address`: 12 digits as on the meter's plate; `data`: without the offset of 33H."""

    address: str
    control: int
    data: bytes

    @property
    def is_answer(self) -> bool:
        """Whether a meter sent the frame; on a two-wire line our own requests are received too."""
        return bool(self.control & _ANSWER)


class Unfinished(Enum):
    """Why `FrameReader.next` has no frame. GARBLED: bytes were dropped that belong to no frame."""

    NEED_MORE = "need more"
    GARBLED = "garbled"


class FrameReader:
    """Finds frames in a byte stream by their length and resynchronises after garbage.

    A complete frame with a correct checksum is taken even if it begins inside the apparent start of another: a false
    start must not hide the answer behind it. Buffers less than two frames of 267 bytes.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._dropped = 0

    def feed(self, data: bytes) -> None:
        """Add received bytes."""
        self._buffer += data

    def next(self) -> Frame | Unfinished:
        """The next frame. GARBLED reports dropped bytes once; call again."""
        buffer = self._buffer
        found = self._find()
        if isinstance(found, int):
            self._drop(found)
            if not self._dropped:
                return Unfinished.NEED_MORE
            self._dropped = 0
            return Unfinished.GARBLED
        start, end = found
        self._drop(start)
        body = bytes(buffer[: end - start])
        del buffer[: end - start]
        self._dropped = 0
        return Frame(body[6:0:-1].hex().upper(), body[8], bytes((b - _OFFSET) & 0xFF for b in body[10:-2]))

    @property
    def pending(self) -> int:
        """Number of buffered bytes that may become a frame."""
        return len(self._buffer)

    def clear(self) -> None:
        """Discard all buffered bytes."""
        self._buffer.clear()
        self._dropped = 0

    def _drop(self, count: int) -> None:
        # Preamble bytes (FE) are no garbage, wherever a meter puts them.
        self._dropped += count - self._buffer.count(0xFE, 0, count)
        del self._buffer[:count]

    def _find(self) -> tuple[int, int] | int:
        """Start and end (excluded) of the first complete frame, or how many leading bytes belong to no frame."""
        buffer = self._buffer
        keep: int | None = None
        start = buffer.find(_START)
        while start >= 0:
            end = _frame_end(buffer, start)
            if end is None:
                keep = start if keep is None else keep
            elif end:
                return start, end
            start = buffer.find(_START, start + 1)
        return len(buffer) if keep is None else keep


def _frame_end(buffer: bytearray, start: int) -> int | None:
    """End (excluded) of the frame that begins at `start`; None while it is incomplete, 0 if no frame begins there."""
    size = len(buffer)
    if size > start + 7 and buffer[start + 7] != _START:
        return 0
    if size <= start + 9:
        return None
    end = start + _OVERHEAD + buffer[start + 9]
    if size < end:
        return None
    right = buffer[end - 1] == _END and sum(buffer[start : end - 2]) & 0xFF == buffer[end - 2]
    return end if right else 0


def encode_read(address: str, identifier: int) -> bytes:
    """Encode a request for the data of an identifier (11H)."""
    return _encode(address, _READ, identifier.to_bytes(4, "little"))


def encode_read_next(address: str, identifier: int, sequence: int) -> bytes:
    """Encode a request for the data that follow (12H); `sequence` 1 to 255."""
    return _encode(address, _READ_NEXT, identifier.to_bytes(4, "little") + bytes((sequence,)))


def _encode(address: str, control: int, data: bytes) -> bytes:
    head = bytes((_START,)) + bytes.fromhex(address)[::-1] + bytes((_START, control, len(data)))
    body = head + bytes((b + _OFFSET) & 0xFF for b in data)
    return _PREAMBLE + body + bytes((sum(body) & 0xFF, _END))


@dataclass(frozen=True, slots=True)
class Part:
    """The data of one answer, low byte first; `more`: further data follow."""

    data: bytes
    more: bool


def decode_answer(frame: Frame, identifier: int, sequence: int | None = None) -> Part | None:
    """Decode the answer to `encode_read` (with `sequence`: to `encode_read_next`); None: it answers another request.

    Raises:
        Refused: the meter reports an error, its ERR byte as `code`.
        Garbled: the answer does not fit the request, or the meter speaks the 1997 edition.
    """
    function = frame.control & _FUNCTION
    if function in _FUNCTIONS_1997:
        raise Garbled(
            f"control {frame.control:02X}H is DL/T 645-1997 (two-byte identifiers); only meters of 2007 can be read",
            subject=frame.address, code="dlt645_1997",
        )  # fmt: skip
    if function != (_READ if sequence is None else _READ_NEXT):
        return None
    if frame.control & _ERROR:
        if len(frame.data) != 1:
            raise Garbled(f"an error frame holds one byte, got {len(frame.data)}", subject=frame.address)
        code = frame.data[0]
        words = ", ".join(word for bit, word in enumerate(_ERRORS) if code >> bit & 1) or "no reason"
        raise Refused(f"error {code:02X}H ({words})", subject=frame.address, code=code)
    if len(frame.data) < 4:
        raise Garbled(f"an answer of {len(frame.data)} bytes holds no identifier", subject=frame.address)
    if int.from_bytes(frame.data[:4], "little") != identifier:
        return None
    data = frame.data[4:]
    if sequence is not None:
        if not data or data[-1] != sequence:
            return None
        data = data[:-1]
    return Part(data, bool(frame.control & _MORE))


@dataclass(frozen=True, slots=True)
class Layout:
    """The number format of an identifier: bytes of BCD, decimals, and whether its top bit is the sign."""

    size: int
    decimals: int
    signed: bool

    def decode(self, data: bytes) -> Fraction | None:
        """Decode the number, in the identifier's own unit; None where the data are no BCD (FF … FF: no value).

        Raises:
            Garbled: the data have the wrong length for this identifier.
        """
        if len(data) != self.size:
            raise Garbled(f"{len(data)} bytes came, the identifier has {self.size}", subject="dlt645")
        digits = bytearray(reversed(data))
        # FF … FF is "no value" also where the top bit would be a sign.
        negative = self.signed and bool(digits[0] & 0x80)
        if negative:
            digits[0] &= 0x7F
        text = digits.hex()
        return Fraction(-int(text) if negative else int(text), 10**self.decimals) if text.isdecimal() else None


# Combined active and reactive energies, total and per phase, may be negative.
_SIGNED_ENERGIES: Final = frozenset({0x00, 0x03, 0x04, 0x17, 0x18, 0x2B, 0x2C, 0x3F, 0x40})
_TOTAL_AND_PHASES: Final = frozenset(range(4))
_PHASES: Final = frozenset({1, 2, 3})
# DI3 DI2 -> (layout, DI1 that exist)
_INSTANTANEOUS: Final[dict[int, tuple[Layout, frozenset[int]]]] = {
    0x0201: (Layout(2, 1, signed=False), _PHASES),  # voltage, V
    0x0202: (Layout(3, 3, signed=True), _PHASES),  # current, A
    0x0203: (Layout(3, 4, signed=True), _TOTAL_AND_PHASES),  # active power, kW
    0x0204: (Layout(3, 4, signed=True), _TOTAL_AND_PHASES),  # reactive power, kvar
    0x0205: (Layout(3, 4, signed=True), _TOTAL_AND_PHASES),  # apparent power, kVA
    0x0206: (Layout(2, 3, signed=True), _TOTAL_AND_PHASES),  # power factor
}
_SINGLE: Final[dict[int, Layout]] = {
    0x0280_0001: Layout(3, 3, signed=True),  # neutral current, A
    0x0280_0002: Layout(2, 2, signed=False),  # frequency, Hz
    0x0280_0003: Layout(3, 4, signed=True),  # mean active power of a minute, kW
    0x0400_0306: Layout(3, 0, signed=False),  # current transformers' ratio
    0x0400_0307: Layout(3, 0, signed=False),  # voltage transformers' ratio
    0x0400_0401: Layout(6, 0, signed=False),  # the meter's own address
    0x0400_0402: Layout(6, 0, signed=False),  # the meter's number
}
_RATES: Final = 0x3F
_BILLING_DAYS: Final = 12
DATE: Final = 0x0400_0101
TIME: Final = 0x0400_0102
DATE_BYTES: Final = 4
TIME_BYTES: Final = 3


def layout_of(identifier: int) -> Layout | None:
    """The number format of an identifier; None for one that is not read here (blocks, records, parameters)."""
    if identifier in _SINGLE:
        return _SINGLE[identifier]
    kind, third, last = identifier >> 16, identifier >> 8 & 0xFF, identifier & 0xFF
    if kind >> 8 == 0:  # energies: kind, rate, billing day
        known = third <= _RATES and last <= _BILLING_DAYS
        return Layout(4, 2, signed=(kind & 0xFF) in _SIGNED_ENERGIES) if known else None
    layout, places = _INSTANTANEOUS.get(kind, (None, frozenset()))
    return layout if third in places and last == 0 else None


def decode_clock(date: bytes, time: bytes) -> datetime | None:
    """Decode the meter's clock (the time zone of the result has no meaning); None where the bytes are no valid time.

    Args:
        date: weekday, day, month, year of the century, BCD, in the order received.
        time: second, minute, hour, BCD.
    """
    text = (date[1:][::-1] + time[::-1]).hex()
    if (len(date), len(time)) != (DATE_BYTES, TIME_BYTES) or not text.isdecimal():
        return None
    year, month, day, hour, minute, second = (int(text[i : i + 2]) for i in range(0, 12, 2))
    try:
        return datetime(2000 + year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
