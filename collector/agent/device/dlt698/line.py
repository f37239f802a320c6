# SPDX-License-Identifier: GPL-3.0-or-later
"""The line of DL/T 698.45 meters. An answer names meter, client and service number, so that a late one is never taken
for another's: each request has the next of 64 numbers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

from collector.agent.device.dlt698.codec import (
    ADDRESS,
    SERVICE_NUMBERS,
    WILDCARD,
    Dlt698Frame,
    Dlt698Reader,
    MeterPlace,
    decode_get,
    encode_get,
)
from collector.agent.device.meter_line import ExchangeLine
from collector.agent.device.serial import SerialLine
from collector.base.errors import Garbled, Silent


class GetLine(ExchangeLine[Dlt698Frame]):
    """As `ExchangeLine`: `host` and `port` of a serial server, or a serial line of this machine."""

    def __init__(self, name: str, *, host: str = "", port: int = 0, serial: SerialLine | None = None) -> None:
        super().__init__(name, Dlt698Reader, host=host, port=port, serial=serial)
        self._service = 0

    async def get(
        self, place: MeterPlace, attributes: Sequence[int], *, timeout_s: float, pause_s: float = 0.0
    ) -> Mapping[int, bytes | int]:
        """Read attributes in one request: per attribute its data, or the DAR with which the meter refuses it.

        Args:
            place: the meter and this client.
            attributes: OADs.
            timeout_s: wait for the answer.
            pause_s: pause before the request.

        Raises:
            Silent, Refused, Garbled: no answer, an error answer, a wrong answer.
        """
        subject = f"{self.name} meter {place.address} {attributes[0]:08X}" + (" …" if len(attributes) > 1 else "")
        async with self.lock:
            service = self._service = (self._service + 1) % SERVICE_NUMBERS
            if pause_s:
                await asyncio.sleep(pause_s)
            accept = partial(decode_get, place=place, service=service, attributes=attributes)
            return await self.exchange(encode_get(place, service, attributes), accept, timeout_s, subject)

    async def find(self, timeout_s: float) -> list[str]:
        """The addresses of meters that answer the any-meter address; simultaneous answers may destroy each other."""
        found: dict[str, None] = {}

        def note(frame: Dlt698Frame) -> None:
            if frame.control & 0x80:
                found[frame.address] = None

        async with self.lock:
            # Always wait for the whole timeout: more than one meter may answer.
            with suppress(Silent, Garbled):
                await self.exchange(encode_get(MeterPlace(WILDCARD), 0, (ADDRESS,)), note, timeout_s, self.name)
        return list(found)
