# SPDX-License-Identifier: GPL-3.0-or-later
"""The line of meters, whatever their protocol: a serial line, or a socket to its serial server. One exchange at a time.

Frames that do not answer the present request (our own echo on two wires, frames of others, late answers) are ignored.
A server that closes the connection after each answer is connected again and the request repeated once. A socket is
closed after two time-outs in a row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Generic, TypeVar, cast

from collector.agent.device.frames import StreamReader, Unfinished
from collector.agent.device.serial import SerialLine, open_line
from collector.base.errors import Garbled, Silent
from collector.base.text import tr

F = TypeVar("F")
A = TypeVar("A")
_SILENCES_BEFORE_DROP: Final = 2


class _Ear(asyncio.Protocol, Generic[F]):
    """Receives the frames of one connection."""

    def __init__(self, reader: StreamReader[F]) -> None:
        self.reader = reader
        self.garbled = False
        self.lost = False
        self.received_bytes = 0
        self.transport: asyncio.Transport | None = None
        self._news = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport from the first moment, so that it can always be closed."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Keep received bytes until `frame` is called."""
        self.reader.feed(data)
        self.received_bytes += len(data)
        self._news.set()

    def connection_lost(self, _exc: Exception | None) -> None:
        """Wake the task that waits in `frame`."""
        self.lost = True
        self._news.set()

    def forget(self) -> None:
        """Discard everything received before a request."""
        self.reader.clear()
        self.garbled = False

    async def frame(self) -> F:
        """The next frame. Raises `ConnectionError` when the connection ends before it."""
        while True:
            found = self.reader.next()
            if not isinstance(found, Unfinished):
                return found
            if found is Unfinished.GARBLED:
                self.garbled = True
                continue
            if self.lost:
                raise ConnectionError
            self._news.clear()
            await self._news.wait()


class ExchangeLine(Generic[F]):
    """`host` and `port` of a serial server, or a serial line of this machine. `reader`: makes a reader of frames."""

    def __init__(
        self, name: str, reader: Callable[[], StreamReader[F]], *, host: str = "", port: int = 0,
        serial: SerialLine | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.lock = asyncio.Lock()
        self._host, self._port, self._serial, self._reader = host, port, serial, reader
        self._silences = 0
        self._ear = _Ear(reader())

    async def open(self, timeout_s: float) -> bool:
        """Connect; False if the line was open.

        Raises:
            Silent: the serial server does not answer, or the serial line can't be opened.
        """
        if self._ear.transport is not None and not self._ear.lost:
            return False
        self.drop()
        ear = self._ear = _Ear(self._reader())
        ear.transport = await open_line(ear, self._serial or (self._host, self._port), timeout_s, self.name)
        return True

    def drop(self) -> None:
        """Close at once; an exchange under way is lost."""
        if self._ear.transport is not None:
            self._ear.transport.abort()  # first: a line that is forgotten and not closed stays in use
        self._ear.transport = None
        self._silences = 0

    @property
    def received_bytes(self) -> int:
        """The number of bytes received on this connection."""
        return self._ear.received_bytes

    async def exchange(
        self, request: bytes, accept: Callable[[F], A | None], timeout_s: float, subject: str,
        words: Callable[[], str] = lambda: "",
    ) -> A:  # fmt: skip
        """One exchange; again where a connection that had been open before was closed under it.

        Args:
            request: the frame to send.
            accept: what an answer means, None for a frame that answers something else.
            timeout_s: wait for the answer.
            subject: of errors.
            words: what is known of a silence besides.

        Raises:
            Silent, Garbled: no answer, or bytes and no valid frame; what `accept` raises.
        """
        while True:
            is_fresh = await self.open(timeout_s)
            try:
                return await self._once(request, accept, timeout_s, subject, words)
            except ConnectionError as error:
                self.drop()
                if is_fresh:
                    raise Silent(tr("the connection was lost"), subject=subject) from error
            except asyncio.CancelledError:
                if self._serial is None:
                    self.drop()
                raise

    async def _once(
        self, request: bytes, accept: Callable[[F], A | None], timeout_s: float, subject: str, words: Callable[[], str]
    ) -> A:
        ear, transport = self._ear, self._ear.transport
        assert transport is not None
        ear.forget()
        try:
            async with asyncio.timeout(timeout_s):
                if transport.is_closing():  # closed as soon as it was open: uvloop refuses a write with RuntimeError
                    raise ConnectionError
                transport.write(request)
                while True:
                    if (answer := accept(await ear.frame())) is not None:
                        self._silences = 0
                        return answer
        except TimeoutError as error:
            self._silences += 1
            if self._serial is None and self._silences >= _SILENCES_BEFORE_DROP:
                self.drop()
            if ear.garbled or ear.reader.pending:
                raise Garbled(
                    tr("bytes came, no valid frame within {timeout_s} s", timeout_s=timeout_s), subject=subject
                ) from error
            silence = tr("no answer within {timeout_s} s", timeout_s=timeout_s)
            raise Silent(silence + words(), subject=subject) from error
