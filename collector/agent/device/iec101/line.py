# SPDX-License-Identifier: GPL-3.0-or-later
"""The line of 101 stations: a serial line, or a socket to its serial server. One exchange at a time.

Requests of a primary at the other end (balanced) are answered as they come, whatever waits; on a shared line the
requests seen are our own, come back on two wires, and are ignored. An answer that comes between two exchanges, because
it is late, is kept: if it carries user data the station counts it as delivered.

A server that closes the connection is connected again and the request repeated once. A socket is closed after two
time-outs in a row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

from collector.agent.device.frames import Unfinished
from collector.agent.device.iec101.ft12 import LinkFrame, LinkReader
from collector.agent.device.iec101.secondary import BalancedSecondary
from collector.agent.device.serial import SerialLine, open_line
from collector.base.errors import Garbled, Silent
from collector.base.text import tr

_SILENCES_BEFORE_DROP: Final = 2
_FRAMES_KEPT: Final = 1000
_FRAME_BYTES: Final = 261

Accept = Callable[[LinkFrame], bool]


class _Ear(asyncio.Protocol):
    """The frames received on one connection. `secondary`: None where the other end is no primary."""

    def __init__(self, reader: LinkReader, secondary: BalancedSecondary | None) -> None:
        self.reader = reader
        self.garbled = self.lost = False
        self.heard_at_s = 0.0
        self.transport: asyncio.Transport | None = None
        self.failure: Exception | None = None
        self.frames: list[LinkFrame] = []
        self.news = asyncio.Event()
        self._secondary = secondary

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what is open from the first moment: what is not known here can't be closed."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take the frames of received bytes; an exception is kept for the next exchange, the line goes on."""
        try:
            self.reader.feed(data)
            while (found := self.reader.next()) is not Unfinished.NEED_MORE:
                if found is Unfinished.GARBLED:
                    self.garbled = True
                elif isinstance(found, LinkFrame):
                    self._take(found)
        except Exception as error:
            self.failure = error
        self.news.set()

    def _take(self, frame: LinkFrame) -> None:
        if not frame.is_primary:
            self.heard_at_s = asyncio.get_running_loop().time()
            if len(self.frames) < _FRAMES_KEPT:
                self.frames.append(frame)
        elif self._secondary is not None and not frame.is_ours:
            self.heard_at_s = asyncio.get_running_loop().time()
            if (reply := self._secondary.respond(frame)) and self.transport is not None:
                self.transport.write(reply)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Wake the task that waits for a frame."""
        self.lost = True
        self.news.set()


class LinkLine:
    """`host` and `port` of a serial server, or a serial line of this machine. `octets`: of the link address.

    `secondary`: answers the other end's own requests (balanced).
    """

    def __init__(
        self, name: str, octets: int, *, host: str = "", port: int = 0, serial: SerialLine | None = None,
        secondary: BalancedSecondary | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self._host, self._port, self._serial, self._octets = host, port, serial, octets
        self._secondary = secondary
        self._lock = asyncio.Lock()
        self._silences = 0
        self._ear = _Ear(LinkReader(octets), secondary)

    @property
    def frame_s(self) -> float:
        """How long the longest frame is on its way; 0 where the line's speed is not known here."""
        return _FRAME_BYTES * self._serial.bits_per_byte / self._serial.baud if self._serial is not None else 0.0

    @property
    def is_open(self) -> bool:
        """Whether the line is connected."""
        return self._ear.transport is not None and not self._ear.lost

    @property
    def heard_at_s(self) -> float:
        """When the last frame came, loop time."""
        return self._ear.heard_at_s

    @property
    def news(self) -> asyncio.Event:
        """Set when anything comes, or the connection ends."""
        return self._ear.news

    def raise_failure(self) -> None:
        """Raise what went wrong while bytes were taken, once."""
        failure, self._ear.failure = self._ear.failure, None
        if failure is not None:
            raise failure

    async def open(self, timeout_s: float) -> bool:
        """Connect; False if the line was open.

        Raises:
            Silent: the serial server does not answer, or the serial line can't be opened.
        """
        if self.is_open:
            return False
        self.drop()
        if self._secondary is not None:
            self._secondary.forget()
        ear = self._ear = _Ear(LinkReader(self._octets), self._secondary)
        ear.transport = await open_line(ear, self._serial or (self._host, self._port), timeout_s, self.name)
        return True

    def drop(self) -> None:
        """Close at once; an exchange under way is lost."""
        if self._ear.transport is not None:
            self._ear.transport.abort()  # first: a line that is forgotten and not closed stays in use
        self._ear.transport = None
        self._silences = 0

    def late(self) -> list[LinkFrame]:
        """The answers that came since the last exchange, in order."""
        frames, self._ear.frames = self._ear.frames, []
        return frames

    async def exchange(
        self, request: bytes, accept: Accept, stray: Accept, timeout_s: float, subject: str
    ) -> LinkFrame:
        """One exchange; again where a connection that had been open before was closed under it.

        Args:
            request: the frame to send.
            accept: whether a frame answers it.
            stray: takes an answer that came before the request, because it was late.
            timeout_s: wait for the answer.
            subject: of errors.

        Raises:
            Silent, Garbled: no answer, or bytes and no valid frame.
        """
        async with self._lock:
            while True:
                is_fresh = await self.open(timeout_s)
                for frame in self.late():
                    stray(frame)
                try:
                    return await self._once(request, accept, timeout_s, subject)
                except ConnectionError as error:
                    self.drop()
                    if is_fresh:
                        raise Silent(tr("the connection was lost"), subject=subject) from error
                except asyncio.CancelledError:
                    if self._serial is None:
                        self.drop()
                    raise

    async def _once(self, request: bytes, accept: Accept, timeout_s: float, subject: str) -> LinkFrame:
        ear, transport = self._ear, self._ear.transport
        assert transport is not None
        if self._secondary is None:
            ear.reader.clear()
        ear.garbled = False
        try:
            async with asyncio.timeout(timeout_s):
                if transport.is_closing():  # closed as soon as it was open: uvloop refuses a write with RuntimeError
                    raise ConnectionError
                transport.write(request)
                frame = await self._next(accept)
        except TimeoutError as error:
            self._silences += 1
            if self._serial is None and self._silences >= _SILENCES_BEFORE_DROP:
                self.drop()
            if ear.garbled or ear.reader.pending:
                raise Garbled(
                    tr("bytes came, no valid frame within {timeout_s} s", timeout_s=timeout_s), subject=subject
                ) from error
            raise Silent(tr("no answer within {timeout_s} s", timeout_s=timeout_s), subject=subject) from error
        self._silences = 0
        return frame

    async def _next(self, accept: Accept) -> LinkFrame:
        """The next frame that `accept` takes; others are dropped. Raises `ConnectionError` when the connection ends."""
        ear = self._ear
        while True:
            ear.news.clear()
            while ear.frames:
                frame = ear.frames.pop(0)
                if accept(frame):
                    return frame
            self.raise_failure()
            if ear.lost:
                raise ConnectionError
            await ear.news.wait()

    async def owed(self, accept: Accept, count: int, timeout_s: float) -> list[LinkFrame]:
        """Answers to repeated requests that may still come: at most `count`, each within `timeout_s`."""
        came: list[LinkFrame] = []
        async with self._lock:
            try:
                while len(came) < count:
                    async with asyncio.timeout(timeout_s):
                        came.append(await self._next(accept))
            except (TimeoutError, ConnectionError):
                pass
        return came
