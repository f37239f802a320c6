# SPDX-License-Identifier: GPL-3.0-or-later
"""The DL/T 645 codec, without I/O: bytes to frames, answers to data, data to numbers. It encodes only reads.

A frame: FE … FE, 68, A0…A5, 68, C, L, data, CS, 16. Address and data low byte first; each data byte has 33H added; CS
is the sum modulo 256 of all bytes from the first 68. Control C: bit 7 answer, bit 6 error, bit 5 more data follow, bits
below the function; this program sends only 11H (read) and 12H (read the data that follow). The edition of 1997 has the
same frames; there these are 01H and 02H, an identifier has two bytes, and data that follow carry no frame number.

Source: DL/T 645-2007, 5.2 (frame), 7.1, 7.2 (reading), tables A.1, A.3, A.6 (identifiers), annex on ERR; DL/T 645-1997.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from collector.agent.device.frames import START, StreamReader
from collector.base.errors import Garbled, Refused
from collector.base.text import join, tr, tr_in
from collector.points.identifiers import NumberFormat as NumberFormat
from collector.points.identifiers import is_of_1997
from collector.points.identifiers import layout_of as layout_of

WILDCARD: Final = "AAAAAAAAAAAA"
_PREAMBLE: Final = b"\xfe" * 4
_END, _OFFSET = 0x16, 0x33
_OVERHEAD: Final = 12
_READ, _READ_NEXT = 0x11, 0x12
_READ_1997, _READ_NEXT_1997 = 0x01, 0x02
_ANSWER, _ERROR, _MORE, _FUNCTION = 0x80, 0x40, 0x20, 0x1F
# Function codes of the 1997 edition, whose identifiers have two bytes.
_FUNCTIONS_1997: Final = frozenset({0x01, 0x02, 0x03, 0x04, 0x0A, 0x0C, 0x0F, 0x10})
_ERRORS: Final = (
    tr("other error"), tr("no such data"), tr("password or authority"), tr("baud rate"), tr("year zones"),
    tr("day periods"), tr_in("meter", "rates"), tr("reserved"),
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
        """True if a meter sent the frame; on a two-wire line our own requests are received too."""
        return bool(self.control & _ANSWER)


class FrameReader(StreamReader[Frame]):
    """Finds frames by their length and checksum; buffers less than two of 267 bytes."""

    def __init__(self) -> None:
        super().__init__(_frame_end, _frame)


def _frame(body: bytes) -> Frame:
    return Frame(body[6:0:-1].hex().upper(), body[8], bytes((b - _OFFSET) & 0xFF for b in body[10:-2]))


def _frame_end(buffer: bytearray, start: int) -> int | None:
    """End (excluded) of the frame that begins at `start`; None while it is incomplete, 0 if no frame begins there."""
    size = len(buffer)
    if size > start + 7 and buffer[start + 7] != START:
        return 0
    if size <= start + 9:
        return None
    end = start + _OVERHEAD + buffer[start + 9]
    if size < end:
        return None
    right = buffer[end - 1] == _END and sum(buffer[start : end - 2]) & 0xFF == buffer[end - 2]
    return end if right else 0


def encode_read(address: str, identifier: int) -> bytes:
    """Encode a request for the data of an identifier (11H; 01H of 1997)."""
    if is_of_1997(identifier):
        return _encode(address, _READ_1997, identifier.to_bytes(2, "little"))
    return _encode(address, _READ, identifier.to_bytes(4, "little"))


def encode_read_next(address: str, identifier: int, sequence: int) -> bytes:
    """Encode a request for the data that follow (12H; 02H of 1997, without the number); `sequence` 1 to 255."""
    if is_of_1997(identifier):
        return _encode(address, _READ_NEXT_1997, identifier.to_bytes(2, "little"))
    return _encode(address, _READ_NEXT, identifier.to_bytes(4, "little") + bytes((sequence,)))


def _encode(address: str, control: int, data: bytes) -> bytes:
    head = bytes((START,)) + bytes.fromhex(address)[::-1] + bytes((START, control, len(data)))
    body = head + bytes((b + _OFFSET) & 0xFF for b in data)
    return _PREAMBLE + body + bytes((sum(body) & 0xFF, _END))


@dataclass(frozen=True, slots=True)
class AnswerPart:
    """The data of one answer, low byte first; `more`: further data follow."""

    data: bytes
    more: bool


def decode_answer(frame: Frame, identifier: int, sequence: int | None = None) -> AnswerPart | None:
    """Decode the answer to `encode_read` (with `sequence`: to `encode_read_next`); None: it answers another request.

    Raises:
        Refused: the meter reports an error, its ERR byte as `code`.
        Garbled: the answer does not fit the request, or a meter of 1997 was asked for an identifier of 2007.
    """
    function = frame.control & _FUNCTION
    old = is_of_1997(identifier)
    if not old and function in _FUNCTIONS_1997:
        raise Garbled(
            tr(
                "control {control:02X}H is DL/T 645-1997: write its identifiers of four digits, such as 9010",
                control=frame.control,
            ),
            subject=frame.address, code="dlt645_1997",
        )  # fmt: skip
    first, following = (_READ_1997, _READ_NEXT_1997) if old else (_READ, _READ_NEXT)
    if function != (first if sequence is None else following):
        return None
    if frame.control & _ERROR:
        if len(frame.data) != 1:
            raise Garbled(
                tr("an error frame holds one byte, got {bytes}", bytes=len(frame.data)), subject=frame.address
            )
        code = frame.data[0]
        words = join(", ", (word for bit, word in enumerate(_ERRORS) if code >> bit & 1)) or tr("no reason")
        raise Refused(tr("error {code:02X}H ({words})", code=code, words=words), subject=frame.address, code=code)
    width = 2 if old else 4
    if len(frame.data) < width:
        raise Garbled(
            tr("an answer of {bytes} bytes holds no identifier", bytes=len(frame.data)), subject=frame.address
        )
    if int.from_bytes(frame.data[:width], "little") != identifier:
        return None
    data = frame.data[width:]
    if sequence is not None and not old:
        if not data or data[-1] != sequence:
            return None
        data = data[:-1]
    return AnswerPart(data, bool(frame.control & _MORE))


# Date and time of the meter's clock, in both editions the same bytes.
CLOCK: Final = (0x0400_0101, 0x0400_0102)
CLOCK_1997: Final = (0xC010, 0xC011)
DATE_BYTES: Final = 4
TIME_BYTES: Final = 3


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
