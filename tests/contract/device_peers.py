# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripted peers for the contract suite: a Modbus slave, a 645 and a 698.45 meter (TCP and pty), 101 and 104 stations.

Each serves one value (4660 = 0x1234 kW in register 7, or as much from
a meter, or a breaker that is closed) and behaves as it is told: `good`,
`silent` (reads, never answers), `late` (answers after the timeout), `garbled`, `refused`, `short`.
"""

from __future__ import annotations

import asyncio
import os
import pty
import tty
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

LATE_S = 0.6


@dataclass
class Script:
    """How a peer behaves now, what it was asked, and the identifiers a meter says nothing to."""

    behaviour: str = "good"
    asked: list[bytes] = field(default_factory=list)
    mute: set[int] = field(default_factory=set)


def crc16(data: bytes) -> bytes:
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
    return value.to_bytes(2, "little")


async def answer_pdu(script: Script, pdu: bytes) -> bytes:
    """The reply to a Modbus request as the script wants it; empty for none."""
    script.asked.append(pdu)
    count = int.from_bytes(pdu[3:5], "big")
    if script.behaviour == "silent":
        return b""
    if script.behaviour == "late":
        await asyncio.sleep(LATE_S)
    if script.behaviour == "refused":
        return bytes([pdu[0] | 0x80, 4])
    if script.behaviour == "short":
        return bytes([pdu[0], 2 * count - 2]) + b"\x12\x34" * (count - 1)
    return bytes([pdu[0], 2 * count]) + b"\x12\x34" * count


@asynccontextmanager
async def serve(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """A TCP server on a free port; ends with its connections."""
    tasks: set[asyncio.Task[None]] = set()

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await talk(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(on_connection, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.sleep(0.05)


@asynccontextmanager
async def modbus_tcp(script: Script) -> AsyncIterator[int]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readexactly(7)
            pdu = await reader.readexactly(int.from_bytes(head[4:6], "big") - 1)
            reply = await answer_pdu(script, pdu)
            if script.behaviour == "garbled":
                reply = bytes([0x2B]) + reply[1:]
            if reply:
                writer.write(head[:4] + (len(reply) + 1).to_bytes(2, "big") + head[6:7] + reply)

    async with serve(talk) as port:
        yield port


@asynccontextmanager
async def modbus_udp(script: Script) -> AsyncIterator[int]:
    tasks: set[asyncio.Task[None]] = set()

    class Server(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self._transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            tasks.add(asyncio.create_task(self._answer(data, addr)))

        async def _answer(self, data: bytes, addr: tuple[str, int]) -> None:
            reply = await answer_pdu(script, data[7:])
            if script.behaviour == "garbled":
                reply = bytes([0x2B]) + reply[1:]
            if reply:
                framed = data[:4] + (len(reply) + 1).to_bytes(2, "big") + data[6:7] + reply
                self._transport.sendto(framed, addr)  # type: ignore[attr-defined]

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Server, ("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()
        for task in tasks:
            task.cancel()
        await asyncio.sleep(0)


async def ascii_reply(script: Script, line: bytes) -> bytes:
    body = bytes.fromhex(line[1:-2].decode())
    assert not sum(body) & 0xFF
    reply = await answer_pdu(script, body[1:-1])
    if not reply:
        return b""
    answer = body[:1] + reply
    checksum = (-sum(answer) + (script.behaviour == "garbled")) & 0xFF
    return b":" + (answer + bytes([checksum])).hex().upper().encode() + b"\r\n"


@asynccontextmanager
async def modbus_ascii_over_tcp(script: Script) -> AsyncIterator[int]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(await ascii_reply(script, await reader.readuntil(b"\r\n")))

    async with serve(talk) as port:
        yield port


@asynccontextmanager
async def modbus_ascii(script: Script) -> AsyncIterator[Path]:
    async with on_a_pty(script, ascii_reply, 17) as path:
        yield path


async def rtu_reply(script: Script, frame: bytes) -> bytes:
    assert crc16(frame[:-2]) == frame[-2:]
    reply = await answer_pdu(script, frame[1:-2])
    if not reply:
        return b""
    answer = frame[:1] + reply
    tail = crc16(answer)
    return answer + (bytes([tail[0] ^ 1, tail[1]]) if script.behaviour == "garbled" else tail)


@asynccontextmanager
async def modbus_rtu_over_tcp(script: Script) -> AsyncIterator[int]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(await rtu_reply(script, await reader.readexactly(8)))

    async with serve(talk) as port:
        yield port


METER = bytes.fromhex("785634120000")  # 000012345678, low byte first
METER_REQUEST_BYTES = 20  # with four FE before it


def offset_33(data: bytes, by: int = 0x33) -> bytes:
    return bytes((b + by) & 0xFF for b in data)


async def meter_reply(script: Script, request: bytes) -> bytes:
    frame = request.lstrip(b"\xfe")
    assert frame[1:7] == METER
    identifier = offset_33(frame[10:14], -0x33)
    script.asked.append(frame[8:9] + identifier)
    if script.behaviour == "silent" or int.from_bytes(identifier, "little") in script.mute:
        return b""
    if script.behaviour == "late":
        await asyncio.sleep(LATE_S)
    # 4.6600 kW, three bytes with four decimals; this meter has no clock.
    control, data = b"\x91", identifier + bytes.fromhex("006604")
    if script.behaviour == "refused" or identifier[3] == 4:
        control, data = b"\xd1", bytes([1 if script.behaviour == "refused" else 2])
    elif script.behaviour == "short":
        data = data[:-1]
    body = b"\x68" + METER + b"\x68" + control + bytes([len(data)]) + offset_33(data)
    checksum = (sum(body) + (script.behaviour == "garbled")) & 0xFF
    return b"\xfe\xfe" + body + bytes([checksum, 0x16])


async def old_meter_reply(script: Script, request: bytes) -> bytes:
    """What a meter of 1997 answers: 4660 in the digits that each identifier has, no clock."""
    frame = request.lstrip(b"\xfe")
    assert frame[1:7] == METER
    identifier = offset_33(frame[10:12], -0x33)
    script.asked.append(frame[8:9] + identifier)
    if script.behaviour == "silent" or int.from_bytes(identifier, "little") in script.mute:
        return b""
    if script.behaviour == "late":
        await asyncio.sleep(LATE_S)
    # B630 has three bytes with four decimals, B640 two with two.
    control, data = b"\x81", identifier + bytes.fromhex("006604" if identifier[0] == 0x30 else "6046")
    if script.behaviour == "refused" or identifier[1] == 0xC0:
        control, data = b"\xc1", bytes([1 if script.behaviour == "refused" else 2])
    elif script.behaviour == "short":
        data = data[:-1]
    body = b"\x68" + METER + b"\x68" + control + bytes([len(data)]) + offset_33(data)
    checksum = (sum(body) + (script.behaviour == "garbled")) & 0xFF
    return body + bytes([checksum, 0x16])


@asynccontextmanager
async def dlt645_1997_over_tcp(script: Script) -> AsyncIterator[int]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(await old_meter_reply(script, await reader.readexactly(METER_REQUEST_BYTES - 2)))

    async with serve(talk) as port:
        yield port


@asynccontextmanager
async def dlt645_over_tcp(script: Script) -> AsyncIterator[int]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(await meter_reply(script, await reader.readexactly(METER_REQUEST_BYTES)))

    async with serve(talk) as port:
        yield port


@asynccontextmanager
async def dlt645(script: Script) -> AsyncIterator[Path]:
    async with on_a_pty(script, meter_reply, METER_REQUEST_BYTES) as path:
        yield path


def x25(data: bytes) -> bytes:
    """CRC-16/X.25, low byte first."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0x8408 if value & 1 else value >> 1
    return (value ^ 0xFFFF).to_bytes(2, "little")


def object_request_bytes(pending: bytes) -> int:
    """How long the frame is that begins with four FE, as far as its length has come."""
    return 6 + int.from_bytes(pending[5:7], "little") if len(pending) > 6 else len(pending) + 1


async def object_reply(script: Script, request: bytes) -> bytes:
    """What a DL/T 698.45 meter answers: 4660.0 W and var in each element, no clock."""
    frame = request[4:]
    assert frame[1:] == frame[1:-3] + x25(frame[1:-3]) + b"\x16"
    assert (frame[3:5], frame[5:11], frame[11]) == (b"\x43\x05", METER, 0x10)
    assert frame[12:14] == x25(frame[1:12])
    apdu = frame[14:-3]
    script.asked.append(apdu)
    if script.behaviour == "silent":
        return b""
    if script.behaviour == "late":
        await asyncio.sleep(LATE_S)
    several = apdu[1] == 2
    oads = apdu[4:-1] if several else apdu[3:-1]
    results = b""
    for oad in (oads[i : i + 4] for i in range(0, len(oads), 4)):
        data = b"\x01\x01\x04" + b"\x05\x00\x00\xb6\x08" * 4
        if oad[:1] == b"\x40":
            data = b"\x00\x04"
        elif script.behaviour == "refused":
            data = b"\x00\x02"
        elif script.behaviour == "short":
            data = data[:-3]
        results += oad + data
    reply = b"\x85" + apdu[1 : 4 if several else 3] + results + b"\x00\x00"
    if script.behaviour == "short":
        reply = reply[:-2]
    head = (len(reply) + 15).to_bytes(2, "little") + b"\xc3\x05" + METER + b"\x10"
    body = head + x25(head) + reply
    check = x25(body)
    if script.behaviour == "garbled":
        check = bytes([check[0] ^ 1, check[1]])
    return b"\xfe\xfe\x68" + body + check + b"\x16"


@asynccontextmanager
async def dlt698_over_tcp(script: Script) -> AsyncIterator[int]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readexactly(7)
            rest = await reader.readexactly(object_request_bytes(head) - 7)
            writer.write(await object_reply(script, head + rest))

    async with serve(talk) as port:
        yield port


@asynccontextmanager
async def dlt698(script: Script) -> AsyncIterator[Path]:
    async with on_a_pty(script, object_reply, object_request_bytes) as path:
        yield path


@asynccontextmanager
async def modbus_rtu(script: Script) -> AsyncIterator[Path]:
    async with on_a_pty(script, rtu_reply, 8) as path:
        yield path


@asynccontextmanager
async def on_a_pty(
    script: Script, answer: Callable[[Script, bytes], Awaitable[bytes]], request_bytes: int | Callable[[bytes], int]
) -> AsyncIterator[Path]:
    """A slave at the far end of a pty; yields the line's path."""
    near, far = pty.openpty()
    tty.setraw(far)
    os.set_blocking(near, False)
    loop = asyncio.get_running_loop()
    bytes_in: asyncio.Queue[bytes] = asyncio.Queue()

    def on_readable() -> None:
        try:
            bytes_in.put_nowait(os.read(near, 256))
        except OSError:
            return

    async def talk() -> None:
        pending = b""
        while True:
            pending += await bytes_in.get()
            while len(pending) >= (size := request_bytes if isinstance(request_bytes, int) else request_bytes(pending)):
                frame, pending = pending[:size], pending[size:]
                if reply := await answer(script, frame):
                    os.write(near, reply)

    loop.add_reader(near, on_readable)
    task = loop.create_task(talk())
    try:
        yield Path(os.ttyname(far))
    finally:
        task.cancel()
        loop.remove_reader(near)
        os.close(near)
        os.close(far)


class Station:
    """Sends 104 I frames with the right sequence numbers."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer, self.sent, self.received = writer, 0, 0

    def send(self, asdu: bytes) -> None:
        control = (self.sent << 1).to_bytes(2, "little") + (self.received << 1).to_bytes(2, "little")
        self.writer.write(bytes([0x68, len(asdu) + 4]) + control + asdu)
        self.sent += 1


@asynccontextmanager
async def iec104(script: Script, stations: list[Station] | None = None) -> AsyncIterator[int]:
    """Common address 1 with a closed breaker at address 1, answered untagged (type 1)."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        station = Station(writer)
        if stations is not None:
            stations.append(station)
        while True:
            head = await reader.readexactly(2)
            body = await reader.readexactly(head[1])
            if body[0] & 3 == 3:  # U frame: confirm STARTDT, TESTFR
                script.asked.append(body)
                if script.behaviour != "silent" and body[0] in (0x07, 0x43, 0x13):
                    confirmed = {0x07: 0x0B, 0x43: 0x83, 0x13: 0x23}[body[0]]
                    writer.write(bytes([0x68, 4, confirmed, 0, 0, 0]))
            elif not body[0] & 1:
                station.received += 1
                script.asked.append(body[4:])
                await answer_interrogation(script, station, body[4:])

    async with serve(talk) as port:
        yield port


async def answer_interrogation(script: Script, station: Station, asdu: bytes) -> None:
    if script.behaviour == "late":
        await asyncio.sleep(LATE_S)
    if script.behaviour == "refused":
        station.send(asdu[:2] + b"\x47" + asdu[3:])
        return
    station.send(asdu[:2] + b"\x07" + asdu[3:])
    value = bytes([1, 1, 20, 0, 1, 0, 1, 0, 0, 1])
    if script.behaviour == "garbled":
        value = bytes([1, 2, 20, 0, 1, 0, 1, 0, 0, 1])  # says two objects, holds one
    if script.behaviour == "short":
        value = bytes([1, 1, 20, 0, 1, 0, 9, 0, 0, 1])  # another address than the one wanted
    station.send(value)
    station.send(asdu[:2] + b"\x0a" + asdu[3:])


def link_frame(control: int, asdu: bytes = b"", *, address: int = 1) -> bytes:
    """An FT1.2 frame with a link address of one octet."""
    body = bytes([control, address]) + asdu
    head = bytes([0x68, len(body), len(body), 0x68]) if asdu else b"\x10"
    return head + body + bytes([sum(body) & 0xFF, 0x16])


def link_frame_bytes(pending: bytes) -> int:
    """How long the frame is that begins here, as far as its head has come."""
    if pending[:1] in (b"\x10", b"\xe5"):
        return 5 if pending[0] == 0x10 else 1
    return pending[1] + 6 if len(pending) > 1 else len(pending) + 1


def interrogation_answer(script: Script, asdu: bytes) -> list[bytes]:
    """Messages of 101 (cause 1 octet, common address 1, object address 2) with a closed breaker at 1, untagged."""
    if script.behaviour == "refused":
        return [asdu[:2] + b"\x47" + asdu[3:]]
    value = bytes([1, 1, 20, 1, 9 if script.behaviour == "short" else 1, 0, 1])
    return [asdu[:2] + b"\x07" + asdu[3:], value, asdu[:2] + b"\x0a" + asdu[3:]]


class AskedStation:
    """The secondary of an unbalanced 101 link with address 1: messages wait as class 1 data."""

    def __init__(self) -> None:
        self.waiting: list[bytes] = []
        self._fcb: int | None = None
        self._last = b""

    async def reply(self, script: Script, request: bytes) -> bytes:
        control = request[4] if request[0] == 0x68 else request[1]
        assert control & 0x40
        assert request[-2] == sum(request[4 if request[0] == 0x68 else 1 : -2]) & 0xFF
        script.asked.append(request)
        if script.behaviour == "silent":
            return b""
        if script.behaviour == "late":
            await asyncio.sleep(LATE_S)
        if not (control & 0x10 and control & 0x20 == self._fcb):
            self._fcb = control & 0x20 if control & 0x10 else None
            self._last = self._answer(script, control & 0x0F, request)
        if script.behaviour == "garbled":
            return self._last[:-2] + bytes([self._last[-2] ^ 1]) + self._last[-1:]
        return self._last

    def _answer(self, script: Script, function: int, request: bytes) -> bytes:
        if function == 3:
            self.waiting += interrogation_answer(script, request[6:-2])
        if function in (10, 11) and self.waiting:
            asdu = self.waiting.pop(0)
            return link_frame(0x28 if self.waiting else 0x08, asdu)
        wait = 0x20 if self.waiting else 0
        return link_frame(wait | {0: 0, 3: 0, 9: 11, 10: 9, 11: 9}[function])


@asynccontextmanager
async def iec101_over_tcp(script: Script) -> AsyncIterator[int]:
    station = AskedStation()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readexactly(2)
            writer.write(await station.reply(script, head + await reader.readexactly(link_frame_bytes(head) - 2)))

    async with serve(talk) as port:
        yield port


@asynccontextmanager
async def iec101(script: Script) -> AsyncIterator[Path]:
    async with on_a_pty(script, AskedStation().reply, link_frame_bytes) as path:
        yield path


class SendingStation:
    """Both primary and secondary of a balanced 101 link with address 1; sends one message after the other."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer, self.waiting, self._fcb = writer, list[bytes](), 0x20
        self._under_way = False

    def send(self, *asdus: bytes) -> None:
        self.waiting += asdus
        self._next()

    def _next(self) -> None:
        if self.waiting and not self._under_way:
            self._under_way = True
            self.writer.write(link_frame(0x53 | self._fcb, self.waiting.pop(0)))
            self._fcb ^= 0x20

    async def take(self, script: Script, frame: bytes) -> None:
        control = 0 if frame == b"\xe5" else frame[4] if frame[0] == 0x68 else frame[1]
        if not control & 0x40:
            self._under_way = False
            self._next()
            return
        script.asked.append(frame)
        assert control & 0x80, "a controlling station"
        if script.behaviour == "silent":
            return
        if script.behaviour == "late":
            await asyncio.sleep(LATE_S)
        reply = link_frame({0: 0, 2: 0, 3: 0, 9: 11}[control & 0x0F])
        if script.behaviour == "garbled":
            reply = reply[:-2] + bytes([reply[-2] ^ 1, 0x16])
        self.writer.write(reply)
        if control & 0x0F == 3:
            self.send(*interrogation_answer(script, frame[6:-2]))


@asynccontextmanager
async def iec101_balanced_over_tcp(script: Script, stations: list[SendingStation] | None = None) -> AsyncIterator[int]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        station = SendingStation(writer)
        if stations is not None:
            stations.append(station)
        while True:
            frame = await reader.readexactly(1)
            while len(frame) < (size := link_frame_bytes(frame)):
                frame += await reader.readexactly(size - len(frame))
            await station.take(script, frame)

    async with serve(talk) as port:
        yield port
