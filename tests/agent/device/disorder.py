# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines whose answers come late, twice, run together and in the worst order, in memory and over real ones.

In memory time is the event loop's own: it passes only while nothing else is left to do; a case of minutes takes none.
"""

from __future__ import annotations

import asyncio
import os
import pty
import random
import selectors
import tty
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

from hypothesis import strategies as st

from tests.contract.device_peers import crc16

TIMEOUT_S, LATE_S = 0.3, 3.0
# What a Modbus slave holds at address a after n requests is 1000 * (n + 1) + a, in 4 bytes: it tells place and age.
MOVES = 1000

Schedule = Callable[[int], list[float]]
# The answer to a request, by its bytes and its number; empty: none.
Answering = Callable[[bytes, int], bytes]
LATENESS = st.one_of(st.just(0.01), st.floats(0.001, 0.29), st.floats(0.3, LATE_S), st.none())


class _Skips(selectors.DefaultSelector):
    """Waits no time."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise AssertionError("nothing will ever happen again")
        self.now_s += timeout
        return cast(list[Any], super().select(0))


class MadeTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._skips = _Skips()
        super().__init__(self._skips)

    def time(self) -> float:
        return self._skips.now_s


def run_in_made_time(scenario: Callable[[], Awaitable[None]]) -> None:
    with asyncio.Runner(loop_factory=MadeTimeLoop) as runner:
        runner.run(cast(Any, scenario()))


class Wire(asyncio.Transport):
    """A line in memory. `schedule`: for the number of a request, after how many seconds its answer comes, each time."""

    bits_per_byte, baud = 10, 9600

    def __init__(self, answer: Answering, schedule: Schedule) -> None:
        super().__init__()
        self.answer, self.schedule, self.asked = answer, schedule, 0
        self._ears: list[asyncio.Protocol] = []

    async def connect(self, protocol: Callable[[], asyncio.Protocol]) -> Any:
        """As `SerialLine.connect`."""
        self._ears.append(protocol())
        self._ears[-1].connection_made(self)
        return self, self._ears[-1]

    def connector(self, protocol: Callable[[], asyncio.Protocol]) -> Callable[[], Awaitable[Any]]:
        """As `SerialLine.connector`."""
        return lambda: self.connect(protocol)

    def is_closing(self) -> bool:
        """The wire stays."""
        return False

    def close(self) -> None:
        """The wire stays."""

    abort = close

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Nothing is known of a wire."""
        del name
        return default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take one whole request."""
        number, self.asked = self.asked, self.asked + 1
        if frame := self.answer(bytes(data), number):
            for wait_s in self.schedule(number):
                asyncio.get_running_loop().call_later(wait_s, self._send, frame)

    def _send(self, frame: bytes) -> None:
        self._ears[-1].data_received(frame)


def modbus_answer(framing: str, request: bytes, number: int) -> bytes:
    """What a Modbus slave answers to the request of this number.

    `framing`: rtu, ascii, or tcp with a transaction number of its own. The second slave of a line holds 500 more.
    """
    head, body = b"", request[:-2]
    if framing == "ascii":
        body = bytes.fromhex(request[1:-4].decode())
    elif framing == "tcp":
        head, body = b"\0\7\0\0", request[6:]
    slave, address, count = body[0], int.from_bytes(body[2:4], "big"), int.from_bytes(body[4:6], "big")
    first = MOVES * (number + 1) + 500 * (slave - 1)
    held = b"".join((first + a).to_bytes(4, "big") for a in range(address, address + count, 2))
    answer = body[:2] + bytes([len(held)]) + held
    if framing == "ascii":
        return b":" + (answer + bytes([-sum(answer) & 0xFF])).hex().upper().encode() + b"\r\n"
    if framing == "tcp":
        return head + len(answer).to_bytes(2, "big") + answer
    return answer + crc16(answer)


class Disorder:
    """Answers of a device over real lines: each soon, slow, late, lost or twice, as chance wills, later all at once.

    `request_bytes`: how long the request is that begins with the bytes given; more than they are while that is unknown.
    An answer that this machine made later than `LATE_S` is not sent: no line promises anything beyond what it is told.
    """

    TIMEOUT_S = 0.1
    _LATEST_S = 0.5
    _MARGIN_S = 1.0

    def __init__(self, answer: Answering, request_bytes: Callable[[bytes], int], chance: random.Random) -> None:
        self._answer, self._request_bytes, self._chance = answer, request_bytes, chance
        self.disorderly = chance.randrange(1, 80)
        self.asked = 0

    def feed(self, pending: bytes, send: Callable[[bytes], None]) -> bytes:
        """Answer each whole request in what came; gives what is left."""
        while pending and len(pending) >= (size := self._request_bytes(pending)):
            self._on_request(pending[:size], send)
            pending = pending[size:]
        return pending

    def _on_request(self, request: bytes, send: Callable[[bytes], None]) -> None:
        loop, number = asyncio.get_running_loop(), self.asked
        self.asked += 1
        frame, end_s = self._answer(request, number), loop.time() + LATE_S - self._MARGIN_S
        waits = [0.0]
        if number < self.disorderly:
            slow_s = self._chance.uniform(self.TIMEOUT_S / 2, self.TIMEOUT_S)
            late_s = self._chance.uniform(self.TIMEOUT_S, self._LATEST_S)
            wait_s = self._chance.choice([0.0, slow_s, slow_s, late_s])
            waits = self._chance.choice([[wait_s], [wait_s], [wait_s], [wait_s, wait_s], []])

        def send_in_time() -> None:
            if loop.time() < end_s:
                send(frame)

        for wait_s in waits if frame else ():
            loop.call_later(wait_s, send_in_time)

    @asynccontextmanager
    async def on_a_socket(self) -> AsyncIterator[int]:
        """Serve on a free port as a serial server does: what comes from its line goes to whoever is connected then."""
        disorder = self
        newest: list[asyncio.Transport] = []

        def send(frame: bytes) -> None:
            if newest and not newest[-1].is_closing():
                newest[-1].write(frame)

        class Server(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                newest.append(cast(asyncio.Transport, transport))
                self._pending = b""

            def data_received(self, data: bytes) -> None:
                self._pending = disorder.feed(self._pending + data, send)

        server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()

    @asynccontextmanager
    async def on_a_pty(self) -> AsyncIterator[str]:
        """Serve at the far end of a pty; yields the line's path."""
        near, far = pty.openpty()
        tty.setraw(far)
        os.set_blocking(near, False)
        loop, pending, is_open = asyncio.get_running_loop(), b"", True

        def send(frame: bytes) -> None:
            if is_open:
                os.write(near, frame)

        def on_readable() -> None:
            nonlocal pending
            try:
                pending = self.feed(pending + os.read(near, 1024), send)
            except OSError:
                return

        loop.add_reader(near, on_readable)
        try:
            yield os.ttyname(far)
        finally:
            is_open = False
            loop.remove_reader(near)
            os.close(near)
            os.close(far)
