# SPDX-License-Identifier: GPL-3.0-or-later
"""The line of DL/T 645 meters.

Frames that do not answer the present request (our own echo on two wires, frames of others, late answers) are ignored:
an answer names meter, identifier and frame number. Two late answers can't be told from the new one: one to the same
request, and an error, which names no identifier. So after a time-out the line is drained until nothing has come for
`quiet_s`, and an answer of these two kinds is believed when the request has been repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

from collector.agent.device.dlt645.codec import (
    WILDCARD,
    AnswerPart,
    Frame,
    FrameReader,
    decode_answer,
    encode_read,
    encode_read_next,
    reversed_address,
)
from collector.agent.device.meter_line import ExchangeLine
from collector.agent.device.serial import SerialLine
from collector.base.errors import Garbled, Refused, Silent
from collector.base.text import tr
from collector.points.identifiers import identifier_text

_FOLLOWING_MAXIMUM: Final = 255


class MeterLine(ExchangeLine[Frame]):
    """As `ExchangeLine`: a serial server or a serial line of this machine. `quiet_s`: silence after a time-out."""

    def __init__(
        self, name: str, *, host: str = "", port: int = 0, serial: SerialLine | None = None, quiet_s: float = 0.2
    ) -> None:
        super().__init__(name, FrameReader, host=host, port=port, serial=serial)
        self._quiet_s = quiet_s
        # Meter -> identifiers whose answers may still come.
        self._owed: dict[str, set[int]] = {}

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
        read = partial(self._read_whole, address, identifier, timeout_s, pause_s)
        async with self.lock:
            owed = self._owed.get(address)
            if owed is None:
                return await read()
            await self._drain(timeout_s)
            again = identifier in owed
            try:
                data = await read()
            except Refused:
                again = True
            if again:
                data = await read()
            del self._owed[address]
            return data

    async def _read_whole(self, address: str, identifier: int, timeout_s: float, pause_s: float) -> bytes:
        subject = f"{self.name} meter {address} {identifier_text(identifier)}"
        ask = partial(self._ask, address=address, identifier=identifier, timeout_s=timeout_s, pause_s=pause_s,
                      subject=subject)  # fmt: skip
        part = await ask(encode_read(address, identifier), accept=partial(decode_answer, identifier=identifier))
        data, sequence = part.data, 0
        while part.more:
            sequence += 1
            if sequence > _FOLLOWING_MAXIMUM or not part.data:
                raise Garbled(
                    tr("more follows after {sequence} frames and {bytes} bytes", sequence=sequence, bytes=len(data)),
                    subject=subject,
                )
            part = await ask(
                encode_read_next(address, identifier, sequence),
                accept=partial(decode_answer, identifier=identifier, sequence=sequence),
            )
            data += part.data
        return data

    async def _drain(self, timeout_s: float) -> None:
        """Wait until nothing has come for the quiet time, no longer than the longer of a time-out and four such."""
        end_s = asyncio.get_running_loop().time() + max(timeout_s, 4 * self._quiet_s)
        received = -1
        while received != self.received_bytes and asyncio.get_running_loop().time() < end_s:
            received = self.received_bytes
            await asyncio.sleep(self._quiet_s)

    async def find(self, identifier: int, timeout_s: float) -> list[str]:
        """The addresses of meters that answer the any-meter address; simultaneous answers may destroy each other."""
        async with self.lock:
            found: dict[str, None] = {}

            def note(frame: Frame) -> None:
                if frame.is_answer:
                    found[frame.address] = None

            # Always wait for the whole timeout: more than one meter may answer.
            with suppress(Silent, Garbled):
                await self._ask(
                    encode_read(WILDCARD, identifier), address=WILDCARD, identifier=identifier, accept=note,
                    timeout_s=timeout_s, pause_s=0.0, subject=self.name,
                )  # fmt: skip
            self._owed.pop(WILDCARD, None)
            return list(found)

    async def _ask(
        self, request: bytes, *, address: str, identifier: int, accept: Callable[[Frame], AnswerPart | None],
        timeout_s: float, pause_s: float, subject: str,
    ) -> AnswerPart:  # fmt: skip
        """One exchange; where it fails, its answer may still come."""
        if pause_s:
            await asyncio.sleep(pause_s)
        others: set[str] = set()

        def answer_in(frame: Frame) -> AnswerPart | None:
            if not frame.is_answer:
                return None
            if address in (frame.address, WILDCARD):
                return accept(frame)
            others.add(frame.address)
            return None

        def words() -> str:
            if (turned := reversed_address(address)) in others:
                return tr("; {address} answers: the address is noted the wrong way round", address=turned)
            return ""

        try:
            return await self.exchange(request, answer_in, timeout_s, subject, words)
        except (Silent, Garbled, asyncio.CancelledError) as error:
            if not isinstance(error.__cause__, ConnectionError):
                self._owed.setdefault(address, set()).add(identifier)
            raise
