# SPDX-License-Identifier: GPL-3.0-or-later
"""A Modbus line whose answers come late, twice, in another order or run together: no value is ever another's."""

from __future__ import annotations

import asyncio
import os
import socket
import tty
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import chain, cycle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus import FramerType
from pymodbus.server import ModbusTcpServer, ModbusUdpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from collector.agent.device.dlt645.line import MeterLine
from collector.agent.device.modbus.line import ModbusLine, Unsure
from collector.agent.device.modbus.plan import Block, Framing
from collector.agent.device.serial import SerialLine
from collector.base.errors import DeviceError, Garbled, Refused, Silent
from tests.contract.device_peers import crc16
from tests.patience import HANG_S

TIMEOUT_S, QUIET_S, LATE_S = 0.06, 0.03, 0.2
FRAMINGS: list[Framing] = ["tcp", "udp", "rtu", "ascii"]


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), HANG_S))


def registers(address: int, count: int, salt: int = 0) -> bytes:
    """What the device holds there: at no two addresses the same."""
    return b"".join((1000 * salt + a).to_bytes(2, "big") for a in range(address, address + count))


def lrc(data: bytes) -> bytes:
    return bytes([-sum(data) & 0xFF])


@dataclass
class Peer:
    """A device that treats each answer as `plan` says, in the order of the requests; then answers at once.

    at once | lost | late (after the time-out) | very late (after the next time-out too) | twice | refused | held (with
    the next answer in one piece) | swapped (after the next answer)
    """

    framing: Framing
    plan: list[str] = field(default_factory=list)
    own_number: int | None = None
    moves: bool = False
    asked: int = 0
    _held: list[bytes] = field(default_factory=list)

    def reply(self, request: bytes, how: str) -> bytes:
        """The framed answer."""
        if self.framing == "ascii":
            head, pdu = b"", bytes.fromhex(request[1:-4].decode())
        elif self.framing == "rtu":
            head, pdu = b"", request[:-2]
        else:
            head, pdu = request[:4], request[6:]
        slave, function = pdu[:1], pdu[1:2]
        address, count = int.from_bytes(pdu[2:4], "big"), int.from_bytes(pdu[4:6], "big")
        data = registers(address, count, self.asked if self.moves else 0)
        body = slave + (bytes([function[0] | 0x80, 2]) if how == "refused" else function + bytes([2 * count]) + data)
        if self.framing == "rtu":
            return body + crc16(body)
        if self.framing == "ascii":
            return b":" + (body + lrc(body)).hex().upper().encode() + b"\r\n"
        if self.own_number is not None:
            head = self.own_number.to_bytes(2, "big") + b"\0\0"
        return head + len(body).to_bytes(2, "big") + body

    def answers(self, request: bytes) -> tuple[float, Sequence[bytes]]:
        """Seconds to wait, and the pieces to send then."""
        how = self.plan.pop(0) if self.plan else "at once"
        self.asked += 1
        reply = self.reply(request, how)
        if how in ("held", "swapped"):
            self._held.append(reply)
            return 0.0, ()
        held, self._held = self._held, []
        pieces = [*held, reply] if how != "twice" else [*held, reply, reply]
        wait_s = {"late": 1.3 * TIMEOUT_S, "very late": 2.6 * TIMEOUT_S + QUIET_S}.get(how, 0.0)
        if self.framing == "udp":
            return wait_s, () if how == "lost" else pieces
        return wait_s, () if how == "lost" else [b"".join(pieces)]


class SocketServer(asyncio.Protocol, asyncio.DatagramProtocol):
    """Hands requests to a peer and sends its answers, one after the other as a serial line does."""

    def __init__(self, peer: Peer) -> None:
        self._peer, self._free_at = peer, 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._answer(data, lambda piece: self._transport.write(piece))  # type: ignore[attr-defined]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._answer(data, lambda piece: self._transport.sendto(piece, addr))  # type: ignore[attr-defined]

    def _answer(self, request: bytes, send: Callable[[bytes], None]) -> None:
        loop = asyncio.get_running_loop()
        wait_s, pieces = self._peer.answers(request)
        self._free_at = max(self._free_at, loop.time()) + wait_s
        for piece in pieces:
            loop.call_at(self._free_at, self._send_if_open, send, piece)

    def _send_if_open(self, send: Callable[[bytes], None], piece: bytes) -> None:
        if not self._transport.is_closing():
            send(piece)


@asynccontextmanager
async def serve(peer: Peer, *, any_number: bool = False) -> AsyncIterator[ModbusLine]:
    loop = asyncio.get_running_loop()
    server: asyncio.BaseTransport | asyncio.Server
    if peer.framing == "udp":
        server, _ = await loop.create_datagram_endpoint(lambda: SocketServer(peer), ("127.0.0.1", 0))
        port = server.get_extra_info("sockname")[1]
    else:
        server = await loop.create_server(lambda: SocketServer(peer), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
    line = ModbusLine(
        "line", host="127.0.0.1", port=port, framing=peer.framing, any_number=any_number, quiet_s=QUIET_S,
        late_s=LATE_S,
    )  # fmt: skip
    try:
        yield line
    finally:
        line.drop()
        server.close()


def block(address: int) -> Block:
    """Of the same shape at every address."""
    return Block("holding", address, 2, ())


HOW = st.sampled_from(["at once", "lost", "late", "very late", "twice", "refused", "held", "swapped"])


@pytest.mark.parametrize("framing", [*FRAMINGS, "any number"])
@settings(max_examples=6, deadline=None)
@given(plan=st.lists(HOW, max_size=8))
def test_no_answer_is_taken_for_another_and_the_line_comes_back(framing: str, plan: list[str]) -> None:
    async def scenario() -> None:
        own = framing == "any number"
        peer = Peer("tcp" if own else framing, list(plan), own_number=7 if own else None)  # type: ignore[arg-type]
        async with serve(peer, any_number=own) as line:
            good = 0
            for address in chain.from_iterable([(0, 10, 20)] * 200):
                try:
                    data = await line.request(1, block(address), TIMEOUT_S)
                except DeviceError as error:
                    if isinstance(error, Unsure):
                        await asyncio.sleep(LATE_S / 4)
                    good = 0
                    continue
                assert data == registers(address, 2)
                good += 1
                if good > 6 and not peer.plan:
                    return
            raise AssertionError("it never came back")

    run(scenario)


@pytest.mark.parametrize("framing", ["rtu", "ascii"])
def test_the_answer_to_a_block_that_was_late_is_never_the_next_blocks(framing: Framing) -> None:
    async def scenario() -> None:
        for moves in (False, True):
            peer = Peer(framing, ["late"], moves=moves)
            async with serve(peer) as line:
                with pytest.raises(Silent):
                    await line.request(1, block(101), TIMEOUT_S)
                while True:
                    try:
                        data = await line.request(1, block(10_001), TIMEOUT_S)
                    except DeviceError:
                        continue
                    break
                wanted = {registers(10_001, 2, salt) for salt in range(50)} if moves else {registers(10_001, 2)}
                assert data in wanted
                asked = peer.asked
                await line.request(1, block(101), TIMEOUT_S)
                assert peer.asked == asked + 1, "in step again, a request is made once"

    run(scenario)


def test_a_line_that_is_out_of_step_with_one_slave_reads_another_at_once() -> None:
    async def scenario() -> None:
        peer = Peer("rtu", ["lost"])
        async with serve(peer) as line:
            with pytest.raises(Silent):
                await line.request(1, block(0), TIMEOUT_S)
            assert await line.request(2, block(0), HANG_S) == registers(0, 2)
            assert peer.asked == 2

    run(scenario)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_connection_closed_after_each_reply_is_opened_again_and_the_request_repeated(framing: Framing) -> None:
    class HangsUp(SocketServer):
        def _send_if_open(self, send: Callable[[bytes], None], piece: bytes) -> None:
            super()._send_if_open(send, piece)
            self._transport.close()

    async def scenario() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: HangsUp(Peer(framing)), "127.0.0.1", 0)
        line = ModbusLine("line", host="127.0.0.1", port=server.sockets[0].getsockname()[1], framing=framing)
        for address in range(20):
            assert await line.request(1, block(address), HANG_S) == registers(address, 2)
        server.close()
        line.drop()

    if framing != "udp":
        run(scenario)


def test_a_device_that_closes_every_connection_unasked_is_silent() -> None:
    async def scenario() -> None:
        async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        line = ModbusLine("line", host="127.0.0.1", port=server.sockets[0].getsockname()[1])
        with pytest.raises(Silent, match="connection was lost"):
            await line.request(1, block(0), HANG_S)
        server.close()

    run(scenario)


@pytest.mark.parametrize(("code", "error"), [(2, Refused), (6, Refused), (10, Silent), (11, Silent)])
def test_a_gateways_word_that_nobody_answered_it_is_silence(code: int, error: type[DeviceError]) -> None:
    class Refuses(Peer):
        def reply(self, request: bytes, how: str) -> bytes:
            del how
            return request[:5] + bytes([3, request[6], request[7] | 0x80, code])

    async def scenario() -> None:
        async with serve(Refuses("tcp")) as line:
            with pytest.raises(error, match=f"exception {code}"):
                await line.request(1, block(0), HANG_S)

    run(scenario)


def test_the_systems_reason_is_given_where_a_line_can_not_be_opened(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = tmp_path / "file"
        file.write_bytes(b"")
        near, far = os.openpty()
        tty.setraw(far)
        first = SerialLine(os.ttyname(far), 9600, "none")
        transport, _ = await first.connect(asyncio.Protocol)
        for path, words in (
            (str(tmp_path / "ttyS9"), "No such file.*adapter"), (str(file), "this is no serial line"),
            (os.ttyname(far), "busy.*another program"),
        ):  # fmt: skip
            serial = SerialLine(path, 9600, "even")
            for line in (ModbusLine("line", serial=serial, framing="rtu"), MeterLine("line", serial=serial)):
                with pytest.raises(Silent, match=words):
                    await line.open(HANG_S)
        transport.abort()
        await transport.wait_closed()
        for end in (near, far):
            os.close(end)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            for line in (ModbusLine("l", host="127.0.0.1", port=port), MeterLine("l", host="127.0.0.1", port=port)):
                with pytest.raises(Silent, match="Connection refused"):
                    await line.open(HANG_S)

    run(scenario)


@pytest.mark.parametrize("made", [ModbusLine, MeterLine])
def test_a_line_whose_opening_came_to_nothing_is_not_in_use_by_ourselves(made: type[ModbusLine | MeterLine]) -> None:
    """A mistake of ours after the system opened it: the port is exclusive, and nobody else would ever close it."""

    class Mistaken(SerialLine):
        mistakes = 1

        async def connect(self, protocol_factory: Callable[[], asyncio.Protocol]) -> Any:
            opened = await super().connect(protocol_factory)
            if self.mistakes:
                self.mistakes -= 1
                raise RuntimeError("a mistake")
            return opened

    async def scenario() -> None:
        near, far = os.openpty()
        tty.setraw(far)
        serial = Mistaken(os.ttyname(far), 9600, "none")
        line = ModbusLine("l", serial=serial, framing="rtu") if made is ModbusLine else MeterLine("l", serial=serial)
        with pytest.raises(RuntimeError):
            await line.open(HANG_S)
        line.drop()
        await line.open(HANG_S)
        line.drop()
        for end in (near, far):
            os.close(end)

    run(scenario)


@pytest.mark.parametrize("framing", ["udp", "ascii"])
def test_pymodbuss_own_server_is_read_over_udp_and_in_ascii(framing: Framing) -> None:
    async def scenario() -> None:
        words = [0x42F6, 0xE979]
        device = SimDevice(id=1, simdata=[SimData(0, values=words, datatype=DataType.REGISTERS)])
        if framing == "udp":
            server: ModbusUdpServer | ModbusTcpServer = ModbusUdpServer(device, address=("127.0.0.1", 0))
        else:
            server = ModbusTcpServer(device, framer=FramerType.ASCII, address=("127.0.0.1", 0))
        await server.serve_forever(background=True)
        transport = server.transport
        port = (
            transport.get_extra_info("sockname")[1] if framing == "udp"
            else transport.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        )  # fmt: skip
        line = ModbusLine("line", host="127.0.0.1", port=port, framing=framing)
        assert await line.request(1, block(0), HANG_S) == bytes.fromhex("42f6e979")
        with pytest.raises(Refused):
            await line.request(1, block(500), HANG_S)
        line.drop()
        await server.shutdown()  # type: ignore[no-untyped-call]
        await asyncio.sleep(0.05)

    run(scenario)


def test_a_line_that_never_becomes_silent_is_garbled() -> None:
    async def scenario() -> None:
        chatter = cycle([b"\1\3\0"])

        class Chatters(SocketServer):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                self._chat()

            def _chat(self) -> None:
                if not self._transport.is_closing():
                    self._transport.write(next(chatter))  # type: ignore[attr-defined]
                    asyncio.get_running_loop().call_later(QUIET_S / 4, self._chat)

        server = await asyncio.get_running_loop().create_server(
            lambda: Chatters(Peer("rtu", ["lost"] * 9)), "127.0.0.1", 0
        )
        line = ModbusLine(
            "line", host="127.0.0.1", port=server.sockets[0].getsockname()[1], framing="rtu", quiet_s=QUIET_S
        )
        for words in ("no valid answer", "does not become silent"):
            with pytest.raises(Garbled, match=words):
                await line.request(1, block(0), TIMEOUT_S)
        line.drop()
        server.close()

    run(scenario)
