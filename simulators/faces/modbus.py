# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated Modbus devices' own codec, no I/O: register images, requests, answers, all framings.

A slave's registers are byte images that change only when a signal does. Valid requests are cached by their bytes, so
that the usual poll costs one look-up and one slice. Only functions 1-4 are answered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from collector.model.quantity import BY_NAME, QuantityKind
from collector.points import Point
from simulators.faces.encoding import (
    Counter,
    RawScale,
    arrange,
    counter_turn,
    guard_raw,
    half_of,
    pack_raw,
    register_encoder,
    state_codes,
)
from simulators.plant.signals import Board, Sink

READ_FUNCTIONS: Final = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, TARGET_SILENT = 1, 2, 3, 11


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
        table.append(crc)
    return tuple(table)


_CRC: Final = _crc_table()


def crc16(data: bytes) -> bytes:
    """The RTU checksum, low byte first. Source: Modbus over Serial Line V1.02, 6.2.2."""
    crc = 0xFFFF
    for byte in data:
        crc = (crc >> 8) ^ _CRC[(crc ^ byte) & 0xFF]
    return crc.to_bytes(2, "little")


class AddressTable:
    """One of the four tables of a slave: its image (two bytes per register, one per bit), and the defined addresses."""

    def __init__(self, name: str, addresses: set[int], width: int) -> None:
        self.name = name
        self.width = width
        self.base = min(addresses, default=0)
        span = max(addresses, default=-1) + 1 - self.base
        self.image = bytearray(span * width)
        self.defined = bytearray(span)
        for address in addresses:
            self.defined[address - self.base] = 1

    def offset(self, address: int) -> int:
        """Offset of an address in the image, bytes."""
        return (address - self.base) * self.width


class Slave:
    """One Modbus unit id: its tables, filled from the board, and its number of requests.

    `strict_holes`: a request for an undefined register is refused, as in most devices; else the register reads 0.
    """

    def __init__(self, device: str, unit_id: int, points: Sequence[Point], *, strict_holes: bool = True) -> None:
        self.device = device
        self.unit_id = unit_id
        self.requests = 0
        self.strict_holes = strict_holes
        self.address_shift = 0
        self.swap_words = False
        self.counters: list[Counter] = []
        self._areas: dict[str, AddressTable] = {}
        self._frozen: dict[str, bytes] = {}
        for name in READ_FUNCTIONS.values():
            own = [p for p in points if p.area == name]
            addresses = {p.address + i for p in own for i in range(p.registers)}
            self._areas[name] = AddressTable(name, addresses, 1 if name in ("coil", "discrete") else 2)

    def connect(self, points: Sequence[Point], board: Board, default_unit: str) -> None:
        """Connect the signals of the board to the tables."""
        for point in points:
            area = self._areas[point.area]
            if point.guard:
                place = area.offset(point.address)
                raw = arrange(pack_raw(point.type, float(guard_raw(point))), point.order)
                area.image[place : place + len(raw)] = raw
            else:
                board.signal(point.unit or default_unit, point.quantity).connect(self._sink(area, point))

    def _sink(self, area: AddressTable, point: Point) -> Sink:
        if point.bit is not None or area.width == 1:
            return _bit_sink(area, point)
        if half_of(point.type) is not None:
            return _byte_sink(area, point)
        if BY_NAME[point.quantity].kind is QuantityKind.COUNTER:
            self.counters.append(_counter(area, point))
            return self.counters[-1]
        return _word_sink(area, point)

    def freeze(self, frozen: bool) -> None:
        """Keep showing the present values although the plant moves; when `frozen` is False, the true ones again."""
        self._frozen = {name: bytes(area.image) for name, area in self._areas.items()} if frozen else {}

    def window(self, function: int, address: int, count: int) -> tuple[AddressTable, int, int] | int:
        """The part of an image that a request reads, or the exception code that refuses it."""
        name = READ_FUNCTIONS.get(function)
        if name is None:
            return ILLEGAL_FUNCTION
        area = self._areas[name]
        if not 1 <= count <= (2000 if area.width == 1 else 125):
            return ILLEGAL_VALUE
        first = address - area.base
        if first < 0 or first + count > len(area.defined):
            return ILLEGAL_ADDRESS
        if self.strict_holes and 0 in area.defined[first : first + count]:
            return ILLEGAL_ADDRESS
        return area, first * area.width, (first + count) * area.width

    def answer(self, pdu: bytes) -> bytes:
        """The answering PDU. A request of another function than 1-4, or of a wrong length, is refused."""
        function = pdu[0]
        if function in READ_FUNCTIONS and len(pdu) != 5:
            return bytes((function | 0x80, ILLEGAL_VALUE))
        address, count = int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")
        window = self.window(function, address, count)
        if isinstance(window, int):
            return bytes((function & 0x7F | 0x80, window))
        area, start, end = window
        image = bytes(self._frozen.get(area.name, area.image))
        if self.address_shift:
            image = _shifted(image, self.address_shift * area.width)
        data = image[start:end]
        if area.width == 1:
            data = _pack_bits(data)
        elif self.swap_words:
            data = b"".join(data[i + 2 : i + 4] + data[i : i + 2] for i in range(0, len(data), 4))
        return bytes((function, len(data))) + data


def _shifted(image: bytes, by: int) -> bytes:
    """The image shifted `by` bytes up (down if negative), filled with zeros: a firmware with another register map."""
    if by > 0:
        return (bytes(by) + image)[: len(image)]
    return (image + bytes(-by))[-by:]


def _pack_bits(bits: bytes) -> bytes:
    packed = bytearray((len(bits) + 7) // 8)
    for index, bit in enumerate(bits):
        if bit:
            packed[index >> 3] |= 1 << (index & 7)
    return bytes(packed)


def _counter(area: AddressTable, point: Point) -> Counter:
    image, place, no_value = area.image, area.offset(point.address), register_encoder(point)(None)
    end = place + 2 * point.registers

    def write(raw: int) -> None:
        image[place:end] = arrange(pack_raw(point.type, raw), point.order)

    def miss() -> None:
        if no_value is not None:
            image[place:end] = no_value

    return Counter(RawScale(point).whole, counter_turn(point.type), write, miss)


def _word_sink(area: AddressTable, point: Point) -> Callable[[int | None, int], None]:
    image, place, encode = area.image, area.offset(point.address), register_encoder(point)
    end = place + 2 * point.registers

    def sink(value: int | None, _time_utc_ms: int) -> None:
        raw = encode(value)
        if raw is not None:
            image[place:end] = raw

    return sink


def _byte_sink(area: AddressTable, point: Point) -> Callable[[int | None, int], None]:
    """Half a register; the other half belongs to somebody else."""
    image, scale = area.image, RawScale(point)
    index = area.offset(point.address) + arrange(b"\0\1", point.order).index(half_of(point.type) or 0)

    def sink(value: int | None, _time_utc_ms: int) -> None:
        if value is not None:
            image[index : index + 1] = pack_raw(point.type, scale.whole(value))

    return sink


def _bit_sink(area: AddressTable, point: Point) -> Callable[[int | None, int], None]:
    image, place, scale = area.image, area.offset(point.address), RawScale(point)
    codes = state_codes(point) if point.states else {}
    mask, lowest = (1 << point.bit_count) - 1, point.bit or 0

    def bits_of(value: int | None) -> int:
        if codes:
            return codes[value] & mask
        return 0 if value is None else scale.whole(value) & mask

    if area.width == 1:

        def coil_sink(value: int | None, _time_utc_ms: int) -> None:
            image[place] = bits_of(value)

        return coil_sink
    end = place + 2 * point.registers

    def bit_sink(value: int | None, _time_utc_ms: int) -> None:
        # Arranging twice gives the bytes as they were.
        whole = int.from_bytes(arrange(bytes(image[place:end]), point.order), "big")
        whole = whole & ~(mask << lowest) | bits_of(value) << lowest
        image[place:end] = arrange(whole.to_bytes(end - place, "big"), point.order)

    return bit_sink


class TcpFramer:
    """Modbus TCP (MBAP): splits a stream into (transaction, unit id, PDU). Source: Messaging on TCP/IP V1.0b, 3.1.3."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[bytes, int, bytes]] | None:
        """Add received bytes; returns complete requests, None if the stream can't be Modbus and must be closed."""
        buffer = self._buffer
        buffer += data
        frames: list[tuple[bytes, int, bytes]] = []
        while len(buffer) >= 7:
            length = int.from_bytes(buffer[4:6], "big")
            if buffer[2:4] != b"\0\0" or not 2 <= length <= 254:
                return None
            if len(buffer) < 6 + length:
                break
            frames.append((bytes(buffer[:2]), buffer[6], bytes(buffer[7 : 6 + length])))
            del buffer[: 6 + length]
        return frames

    @property
    def empty(self) -> bool:
        """Whether nothing is half received."""
        return not self._buffer

    @staticmethod
    def frame(transaction: bytes, unit_id: int, pdu: bytes) -> bytes:
        """A response as sent."""
        return transaction + b"\0\0" + (len(pdu) + 1).to_bytes(2, "big") + bytes((unit_id,)) + pdu


class RtuFramer:
    """Finds Modbus RTU requests in a stream without 3.5 character gaps, by length, and checks their CRC."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[bytes, int, bytes]] | None:
        """Add received bytes; returns complete requests, transaction empty. Noise before a valid frame is dropped."""
        buffer = self._buffer
        buffer += data
        frames: list[tuple[bytes, int, bytes]] = []
        while len(buffer) >= 4:
            size = _rtu_request_size(buffer)
            if size > len(buffer):
                break
            frame = bytes(buffer[:size])
            if crc16(frame[:-2]) == frame[-2:]:
                frames.append((b"", frame[0], frame[1:-2]))
                del buffer[:size]
            else:
                del buffer[:1]
        return frames

    @property
    def empty(self) -> bool:
        """Whether nothing is half received."""
        return not self._buffer

    @staticmethod
    def frame(_transaction: bytes, unit_id: int, pdu: bytes) -> bytes:
        """A response as sent."""
        body = bytes((unit_id,)) + pdu
        return body + crc16(body)


class AsciiFramer:
    """Modbus ASCII: splits a stream into requests between a colon and CR LF, and checks their LRC.

    Source: Modbus over Serial Line V1.02, 2.5.2.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[bytes, int, bytes]] | None:
        """Add received bytes; returns complete requests, transaction empty. Anything else is dropped."""
        self._buffer += data
        *lines, rest = bytes(self._buffer).split(b"\r\n")
        self._buffer = bytearray(rest)
        frames = []
        for line in lines:
            text = line[line.rfind(b":") + 1 :]
            try:
                body = bytes.fromhex(text.decode("ascii"))
            except ValueError:
                continue
            if len(body) > 2 and lrc(body[:-1]) == body[-1:]:
                frames.append((b"", body[0], body[1:-1]))
        return frames

    @property
    def empty(self) -> bool:
        """Whether nothing is half received."""
        return not self._buffer

    @staticmethod
    def frame(_transaction: bytes, unit_id: int, pdu: bytes) -> bytes:
        """A response as sent."""
        body = bytes((unit_id,)) + pdu
        return b":" + (body + lrc(body)).hex().upper().encode() + b"\r\n"


def lrc(data: bytes) -> bytes:
    """The ASCII checksum: the two's complement of the sum. Source: Modbus over Serial Line V1.02, 6.2.1."""
    return bytes((-sum(data) & 0xFF,))


def _rtu_request_size(buffer: bytearray) -> int:
    """Length of the request at the start, by its function code. Source: Modbus Application Protocol V1.1b3, 6."""
    function = buffer[1]
    if function in (15, 16):
        return 9 + buffer[6] if len(buffer) > 6 else 9
    if function == 23:
        return 13 + buffer[10] if len(buffer) > 10 else 13
    if function in (7, 11, 12, 17):
        return 4
    if function == 22:
        return 10
    return 8
