# SPDX-License-Identifier: GPL-3.0-or-later
"""The driver: one connection, one question at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from collector.agent.device.contract import Answer, Reading, failed
from collector.agent.device.registers import scaling_of
from collector.agent.device.textline.codec import MOST_BYTES, decode_answer, encode_request
from collector.base.clock import Clock
from collector.base.errors import DeviceError, Garbled, Refused, Silent
from collector.model.record import Quality
from collector.points import Point
from collector.points.agent_config import DeviceConfig as Settings


class TextLineDevice:
    """One device. After a missed or broken answer the connection is closed: what comes late must answer nothing."""

    def __init__(self, settings: Settings, points: tuple[Point, ...], clock: Clock) -> None:
        self.name, self.points = settings.id, points
        self._settings, self._clock = settings, clock
        self._scalings = {point.name: scaling_of(point) for point in points if not point.guard}
        self._stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(self) -> None:
        """Connect; no effect if it is open.

        Raises:
            Silent: nobody answers there.
        """
        if self._stream is not None:
            return
        host, port = self._settings.host, self._settings.port
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                self._stream = await asyncio.open_connection(host, port, limit=MOST_BYTES)
        except (OSError, TimeoutError) as error:
            raise Silent(f"no connection: {error}", subject=f"{host}:{port}") from error

    async def close(self) -> None:
        """Disconnect; no effect if it is closed."""
        self._drop()

    def collect(self) -> list[Reading]:
        """Always empty: the device only answers questions."""
        return []

    async def read(self, points: Sequence[Point], *, budget_s: float) -> Answer:
        """Ask for each point. Those beyond the budget are silent; a device that says nothing at all raises."""
        await self.open()
        end_s = asyncio.get_running_loop().time() + budget_s
        readings: list[Reading] = []
        errors: list[DeviceError] = []
        for point in points:
            try:
                if errors and isinstance(errors[-1], Silent):
                    raise errors[-1]
                if asyncio.get_running_loop().time() >= end_s:
                    raise Silent("no time left", subject=self.name)
                readings.append(self._reading(point, await self._ask(point.address)))
            except DeviceError as error:
                errors += [error] if error not in errors else []
                readings += failed([point], error, self._clock.now_utc_ms())
        if errors and all(isinstance(error, Silent) for error in errors) and not any(r.value for r in readings):
            raise errors[0]
        return Answer(readings, self._clock.now_utc_ms(), errors=errors)

    async def _ask(self, address: int) -> int:
        """One exchange.

        Raises:
            DeviceError: as `decode_answer`; Silent where nothing came.
        """
        await self.open()
        assert self._stream is not None
        reader, writer = self._stream
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                writer.write(encode_request(address))
                await writer.drain()
                line = await reader.readuntil(b"\n")
            return decode_answer(line, address)
        except (asyncio.LimitOverrunError, asyncio.IncompleteReadError) as error:
            self._drop()
            raise Garbled("no whole line came", subject=self.name) from error
        except (OSError, TimeoutError) as error:
            self._drop()
            raise Silent("no answer in time", subject=self.name) from error
        except Refused:
            raise
        except BaseException:  # garbled or cancelled: whatever comes now answers nothing
            self._drop()
            raise

    def _reading(self, point: Point, number: int) -> Reading:
        value, quality = self._scalings[point.name].judge(number)
        raw = str(number).encode()
        return Reading(point, value if quality is Quality.GOOD else None, quality, self._clock.now_utc_ms(), raw=raw)

    def _drop(self) -> None:
        if self._stream is not None:
            self._stream[1].close()
            self._stream = None
