# SPDX-License-Identifier: GPL-3.0-or-later
"""The line of DL/T 645 meters: a serial line, or a socket to its serial server. One exchange at a time.

Frames that do not answer the present request (our own echo on two wires, frames of others, late answers) are ignored:
an answer names meter, identifier and frame number. Only a late answer to the same request can't be told from the new
one. So a socket is closed after a timeout, and on a serial line waiting bytes are discarded before the next request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, cast

from collector.agent.device.dlt645.codec import (
    WILDCARD,
    Frame,
    FrameReader,
    Part,
    Unfinished,
    decode_answer,
    encode_read,
    encode_read_next,
    reversed_address,
)
from collector.agent.device.serial import SerialLine
from collector.base.errors import Garbled, Silent

_FOLLOWING_MAXIMUM: Final = 255


class _Ear(asyncio.Protocol):
    """The frames received on one connection."""

    def __init__(self) -> None:
        self.reader = FrameReader()
        self.garbled = False
        self.lost = False
        self._news = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        """Keep received bytes until `frame` is called."""
        self.reader.feed(data)
        self._news.set()

    def connection_lost(self, _exc: Exception | None) -> None:
        """Wake the task that waits in `frame`."""
        self.lost = True
        self._news.set()

    def forget(self) -> None:
        """Discard everything received before a request."""
        self.reader.clear()
        self.garbled = False

    async def frame(self) -> Frame:
        """The next frame. Raises `ConnectionError` when the connection ends before it."""
        while True:
            found = self.reader.next()
            if isinstance(found, Frame):
                return found
            if found is Unfinished.GARBLED:
                self.garbled = True
                continue
            if self.lost:
                raise ConnectionError
            self._news.clear()
            await self._news.wait()


class MeterLine:
    """`host` and `port` of a serial server, or a serial line of this machine."""

    def __init__(self, name: str, *, host: str = "", port: int = 0, serial: SerialLine | None = None) -> None:
        self.name = name
        self._host, self._port, self._serial = host, port, serial
        self._transport: asyncio.Transport | None = None
        self._ear = _Ear()
        self._lock = asyncio.Lock()

    async def open(self, timeout_s: float) -> None:
        """Connect; no effect if the line is open.

        Raises:
            Silent: the serial server does not answer, or the serial line can't be opened.
        """
        if self._transport is not None and not self._ear.lost:
            return
        self.drop()
        ear = _Ear()
        try:
            async with asyncio.timeout(timeout_s):
                if self._serial is not None:
                    transport: object = (await self._serial.connect(lambda: ear))[0]
                else:
                    loop = asyncio.get_running_loop()
                    transport = (await loop.create_connection(lambda: ear, self._host, self._port))[0]
        except TimeoutError as error:
            raise Silent(f"no connection within {timeout_s} s", subject=self.name) from error
        except OSError as error:
            raise Silent(f"no connection: {error}", subject=self.name) from error
        self._transport, self._ear = cast(asyncio.Transport, transport), ear

    def drop(self) -> None:
        """Close at once; an exchange under way is lost."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    async def read(self, address: str, identifier: int, *, timeout_s: float, pause_s: float = 0.0) -> bytes:
        """Read all data of an identifier, follow-up frames included, low byte first.

        Args:
            address: the meter's 12 digits.
            identifier: DI3 DI2 DI1 DI0.
            timeout_s: wait for each answer.
            pause_s: pause before each frame we send.

            Raises:
                Silent, Refused, Garbled: no answer, an error answer, a wrong answer.
        """
        subject = f"{self.name} meter {address} {identifier:08X}"
        async with self._lock:
            await self.open(timeout_s)
            part = await self._ask(
                encode_read(address, identifier), address, partial(decode_answer, identifier=identifier), timeout_s,
                pause_s, subject,
            )  # fmt: skip
            data, sequence = part.data, 0
            while part.more:
                sequence += 1
                if sequence > _FOLLOWING_MAXIMUM or not part.data:
                    raise Garbled(f"more follows after {sequence} frames and {len(data)} bytes", subject=subject)
                part = await self._ask(
                    encode_read_next(address, identifier, sequence), address,
                    partial(decode_answer, identifier=identifier, sequence=sequence), timeout_s, pause_s, subject,
                )  # fmt: skip
                data += part.data
            return data

    async def find(self, identifier: int, timeout_s: float) -> list[str]:
        """The addresses of meters that answer the any-meter address; simultaneous answers may destroy each other."""
        async with self._lock:
            await self.open(timeout_s)
            found: dict[str, None] = {}

            def note(frame: Frame) -> None:
                if frame.is_answer:
                    found[frame.address] = None

            # Always wait for the whole timeout: more than one meter may answer.
            with suppress(Silent, Garbled):
                await self._ask(encode_read(WILDCARD, identifier), WILDCARD, note, timeout_s, 0.0, self.name)
            return list(found)

    async def _ask(
        self, request: bytes, address: str, accept: Callable[[Frame], Part | None], timeout_s: float, pause_s: float,
        subject: str,
    ) -> Part:  # fmt: skip
        if pause_s:
            await asyncio.sleep(pause_s)
        ear = self._ear
        assert self._transport is not None
        ear.forget()
        others: set[str] = set()
        try:
            async with asyncio.timeout(timeout_s):
                self._transport.write(request)
                while True:
                    frame = await ear.frame()
                    if not frame.is_answer:
                        continue
                    if address not in (frame.address, WILDCARD):
                        others.add(frame.address)
                    elif (part := accept(frame)) is not None:
                        return part
        except TimeoutError as error:
            self._let_go()
            if ear.garbled or ear.reader.pending:
                raise Garbled(f"bytes came, no valid frame within {timeout_s} s", subject=subject) from error
            words = f"no answer within {timeout_s} s"
            if reversed_address(address) in others:
                words += f"; {reversed_address(address)} answers: the address is noted the wrong way round"
            raise Silent(words, subject=subject) from error
        except ConnectionError as error:
            self.drop()
            raise Silent("the connection was lost", subject=subject) from error
        except asyncio.CancelledError:
            self._let_go()
            raise

    def _let_go(self) -> None:
        if self._serial is None:
            self.drop()
