# SPDX-License-Identifier: GPL-3.0-or-later
"""The DL/T 698.45 codec, without I/O: bytes to frames, answers to data, data to numbers. It encodes only GET requests.

A frame: 68, L, C, SA, CA, HCS, APDU, FCS, 16. L (two bytes, as HCS and FCS low byte first) counts all but the first 68
and the last 16. C: bit 7 from the meter, bit 6 begun by the client, bit 5 a part of a divided APDU, bit 3 scrambled,
bits 0-2 the function (3: data exchange). SA: a byte of type (bits 6-7: 0 this meter, 1 any), logical address (bits 4-5)
and length less one (bits 0-3), then the address, low byte first. CA: the client's address. HCS and FCS: CRC-16/X.25
from L to CA, and from L to the end of the APDU.

The APDU: 05 01 PIID OAD 00 reads one attribute, 05 02 PIID n OAD … 00 several; 85 01, 85 02 answer with, for each, 00
and a reason (DAR), or 01 and the data (A-XDR: a tag, then the value, high byte first). The service number in PIID, bits
0-5, comes back, so that a late answer is told from the one waited for.

Source: DL/T 698.45-2017, data link layer and GET services.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import Final

from collector.agent.device.frames import START, StreamReader
from collector.base.errors import Garbled, Refused
from collector.base.text import Text, tr

WILDCARD: Final = "AAAAAAAAAAAA"
CLOCK: Final = 0x4000_0200
ADDRESS: Final = 0x4001_0200
SERVICE_NUMBERS: Final = 64
_PREAMBLE: Final = b"\xfe" * 4
_END: Final = 0x16
_REQUEST, _FROM_METER, _DIVIDED, _SCRAMBLED, _FUNCTION, _EXCHANGE = 0x43, 0x80, 0x20, 0x08, 0x07, 0x03
_ANY: Final = 0x40
_GET, _GET_ANSWER, _ERROR_ANSWER = 0x05, 0x85, 0xEE
_NORMAL, _LIST = 1, 2
# The longest frame a meter may send: longer ones would be divided.
_LONGEST: Final = 2048
# Data inside data: no attribute that is read here has more.
_DEEPEST: Final = 4
_DARS: Final = {
    1: tr("hardware fault"), 2: tr("temporarily unavailable"), 3: tr("access refused"), 4: tr("object undefined"),
    5: tr("object of another class"), 6: tr("object does not exist"), 7: tr("type mismatch"), 8: tr("out of bounds"),
    9: tr("data block not available"), 15: tr("wrong password or not authorised"),
    20: tr("security authentication mismatch"), 22: tr("ESAM verification failed"),
    23: tr("security authentication failed"), 27: tr("address error"), 31: tr("meter suspended"),
    32: tr("time tag invalid"), 33: tr("request timed out"), 255: tr("other reason"),
}  # fmt: skip
_ERRORS: Final = {1: tr("APDU not understood"), 2: tr("service not supported")}
TEMPORARY: Final = frozenset({1, 2, 33, 255})


def crc16(data: bytes | bytearray | memoryview) -> int:
    """CRC-16/X.25: polynomial 1021H reflected, begun with FFFFH and inverted at the end."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFF


def _table() -> tuple[int, ...]:
    table = []
    for entry in range(256):
        for _ in range(8):
            entry = entry >> 1 ^ 0x8408 if entry & 1 else entry >> 1
        table.append(entry)
    return tuple(table)


_CRC: Final = _table()


@dataclass(frozen=True, slots=True)
class MeterPlace:
    """The meter that is asked, and this client. `address`: 12 digits as on its plate, or twelve A for any meter."""

    address: str
    logical: int = 0
    client: int = 0

    @property
    def head(self) -> bytes:
        """SA and CA of a request."""
        address = bytes.fromhex(self.address)[::-1]
        kind = _ANY if self.address == WILDCARD else 0
        return bytes((kind | self.logical << 4 | len(address) - 1, *address, self.client))


@dataclass(frozen=True, slots=True)
class Dlt698Frame:
    """One frame. `address`: digits as on the meter's plate."""

    control: int
    kind: int
    logical: int
    address: str
    client: int
    apdu: bytes


class Dlt698Reader(StreamReader[Dlt698Frame]):
    """Finds frames by their length and both checks."""

    def __init__(self) -> None:
        super().__init__(_frame_end, _frame)


def _frame_end(buffer: bytearray, start: int) -> int | None:
    """End (excluded) of the frame that begins at `start`; None while it is incomplete, 0 if no frame begins there."""
    size = len(buffer)
    if size < start + 5:
        return None
    length = int.from_bytes(buffer[start + 1 : start + 3], "little") & 0x3FFF
    head = start + 5 + (buffer[start + 4] & 0x0F) + 2  # where HCS stands
    end = start + length + 2
    if length + 2 > _LONGEST or end < head + 2 + 3:
        return 0
    if size < head + 2:
        return None
    if crc16(buffer[start + 1 : head]) != int.from_bytes(buffer[head : head + 2], "little"):
        return 0
    if size < end:
        return None
    check = int.from_bytes(buffer[end - 3 : end - 1], "little")
    return end if buffer[end - 1] == _END and crc16(buffer[start + 1 : end - 3]) == check else 0


def _frame(body: bytes) -> Dlt698Frame:
    kind, length = body[4], (body[4] & 0x0F) + 1
    address = body[5 : 5 + length][::-1].hex().upper()
    return Dlt698Frame(body[3], kind >> 6, kind >> 4 & 3, address, body[5 + length], body[8 + length : -3])


def encode_get(place: MeterPlace, service: int, attributes: Sequence[int]) -> bytes:
    """Encode a request for one or several attributes. `service`: its number, 0 to 63; `attributes`: OADs."""
    oads = b"".join(oad.to_bytes(4, "big") for oad in attributes)
    if len(attributes) == 1:
        return _encode(place, bytes((_GET, _NORMAL, service)) + oads + b"\0")
    return _encode(place, bytes((_GET, _LIST, service, len(attributes))) + oads + b"\0")


def _encode(place: MeterPlace, apdu: bytes) -> bytes:
    head = place.head
    # Length itself, control, head check, frame check.
    length = 2 + 1 + len(head) + 2 + len(apdu) + 2
    covered = length.to_bytes(2, "little") + bytes((_REQUEST,)) + head
    covered += crc16(covered).to_bytes(2, "little") + apdu
    return _PREAMBLE + bytes((START,)) + covered + crc16(covered).to_bytes(2, "little") + bytes((_END,))


def dar_words(code: int) -> Text:
    """The meaning of a DAR."""
    return tr("DAR {code} ({words})", code=code, words=_DARS.get(code, tr("reserved")))


def decode_get(
    frame: Dlt698Frame, place: MeterPlace, service: int, attributes: Sequence[int]
) -> Mapping[int, bytes | int] | None:
    """Decode the answer to `encode_get`: per attribute its data, or the DAR; None: it answers another request.

    Raises:
        Refused: the meter answers the whole request with an error, its number as `code`.
        Garbled: the answer does not fit the request, is divided or scrambled.
    """
    if not frame.control & _FROM_METER or frame.control & _FUNCTION != _EXCHANGE or frame.client != place.client:
        return None
    if place.address != WILDCARD and (frame.address, frame.logical) != (place.address, place.logical):
        return None
    subject, apdu = frame.address, frame.apdu
    if frame.control & (_DIVIDED | _SCRAMBLED):
        words = tr("a divided answer: one_point_per_request makes it shorter")
        raise Garbled(words if frame.control & _DIVIDED else tr("a scrambled answer"), subject=subject)
    if len(apdu) < 3 or apdu[0] not in (_GET_ANSWER, _ERROR_ANSWER):
        return None
    if apdu[0] == _ERROR_ANSWER:
        if apdu[1] & 0x3F != service:
            return None
        words = _ERRORS.get(apdu[2], tr("other error"))
        raise Refused(tr("error answer {code} ({words})", code=apdu[2], words=words), subject=subject, code=apdu[2])
    if apdu[2] & 0x3F != service:
        return None
    wanted = _NORMAL if len(attributes) == 1 else _LIST
    if apdu[1] != wanted:
        raise Garbled(tr("answer {got} of GET to a request {wanted}", got=apdu[1], wanted=wanted), subject=subject)
    results = _results(apdu[3:] if wanted == _NORMAL else apdu[4:], 1 if wanted == _NORMAL else _at(apdu, 3), subject)
    if set(results) != set(attributes):
        got = ", ".join(f"{oad:08X}" for oad in results)
        raise Garbled(tr("the answer is of {oads}", oads=got), subject=subject)
    return results


def _results(data: bytes, count: int, subject: str) -> dict[int, bytes | int]:
    """Decode `count` attributes with data or DAR each. The rest (a report, a time tag) is ignored."""
    results: dict[int, bytes | int] = {}
    at = 0
    for _ in range(count):
        oad, is_data = int.from_bytes(data[at : at + 4], "big"), _at(data, at + 4)
        at += 5
        if not is_data:
            results[oad] = _at(data, at)
            at += 1
            continue
        end = data_end(data, at)
        results[oad] = data[at:end]
        at = end
    if at > len(data):
        raise Garbled(tr("the answer ends before its last attribute"), subject=subject)
    return results


# Bytes of a value after its tag; None: a count of bytes, or of bits, stands before it.
_WIDTHS: Final[dict[int, int | None]] = {
    0: 0, 3: 1, 5: 4, 6: 4, 15: 1, 16: 2, 17: 1, 18: 2, 20: 8, 21: 8, 22: 1, 23: 4, 24: 8, 25: 10, 26: 5, 27: 3, 28: 7,
    80: 2, 81: 4, 4: None, 9: None, 10: None, 12: None,
}  # fmt: skip
_ARRAY, _STRUCTURE, _BITS = 1, 2, 4
# tag -> how a number is laid out
_NUMBERS: Final = {
    5: ">i", 6: ">I", 15: ">b", 16: ">h", 17: ">B", 18: ">H", 20: ">q", 21: ">Q", 22: ">B", 23: ">f", 24: ">d",
}  # fmt: skip
_DATE_TIME_S: Final = 28


def _at(data: bytes, index: int) -> int:
    if index >= len(data):
        raise Garbled(tr("the answer ends after {bytes} bytes", bytes=len(data)), subject="dlt698")
    return data[index]


def data_end(data: bytes, at: int, depth: int = 0) -> int:
    """End (excluded) of the data that begin at `at`.

    Raises:
        Garbled: they run past the end, nest too deep, or are of a type that no attribute read here has.
    """
    tag = _at(data, at)
    at += 1
    if tag in (_ARRAY, _STRUCTURE):
        if depth == _DEEPEST:
            raise Garbled(tr("data nest more than {depth} deep", depth=_DEEPEST), subject="dlt698")
        count, at = _at(data, at), at + 1
        for _ in range(count):
            at = data_end(data, at, depth + 1)
        return at
    if tag not in _WIDTHS:
        raise Garbled(tr("data of type {tag}", tag=tag), subject="dlt698")
    width = _WIDTHS[tag]
    if width is None:
        width, at = _at(data, at), at + 1
        if width > 0x7F:
            raise Garbled(tr("a text of length {length:02X}H", length=width), subject="dlt698")
        width = (width + 7) // 8 if tag == _BITS else width
    if at + width > len(data):
        raise Garbled(tr("data of type {tag} end after {bytes} bytes", tag=tag, bytes=len(data)), subject="dlt698")
    return at + width


def element_of(data: bytes, index: int) -> bytes | None:
    """Element `index` (from 1) of an array, or the data themselves for index 0; None where there is no such."""
    if index == 0:
        return data
    if data[0] != _ARRAY or index > data[1]:
        return None
    at = 2
    for _ in range(index - 1):
        at = data_end(data, at)
    return data[at : data_end(data, at)]


def number_of(data: bytes, decimals: int) -> Fraction | None:
    """The number in data, decimals applied; None where there is none (NULL, a text, infinity)."""
    layout = _NUMBERS.get(data[0])
    if layout is None:
        return None
    value = struct.unpack(layout, data[1:])[0]
    return Fraction(value) / 10**decimals if value - value == 0 else None


def decode_clock(data: bytes) -> datetime | None:
    """A date and time (the zone of the result has no meaning); None where the data are none."""
    if data[0] != _DATE_TIME_S or len(data) != 8:
        return None
    year, month, day, hour, minute, second = struct.unpack(">HBBBBB", data[1:])
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
