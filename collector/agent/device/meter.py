# SPDX-License-Identifier: GPL-3.0-or-later
"""Common code of the drivers of meters, whatever their protocol: shared lines, guards, failures, the clock.

Identifiers (or attributes of DL/T 698.45) that a meter refuses as unknown, or does not answer while it answers others,
are left alone for some time (`_apart`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

from collector.agent.device.contract import Answer, Reading, failed, suspect_where_shifted
from collector.agent.device.meter_line import ExchangeLine
from collector.agent.device.registers import Guard, Scaling, scaling_of
from collector.agent.device.turns import LONGEST_REST_S, Rest
from collector.base.clock import Clock
from collector.base.errors import DeviceError, Refused, Silent
from collector.base.text import tr
from collector.points import Point
from collector.points.agent_config import DeviceConfig as Settings

_CLOCK_PERIOD_MS: Final = 3_600_000

L = TypeVar("L", bound=ExchangeLine[Any])


class Meter(Generic[L]):
    """One meter on a line that it may share."""

    def __init__(self, settings: Settings, line: L, points: tuple[Point, ...], clock: Clock) -> None:
        self.name, self.points = settings.id, points
        self._settings, self._line, self._clock = settings, line, clock
        self._scalings: dict[str, Scaling] = {p.name: scaling_of(p) for p in points if not p.guard}
        self._guards: dict[str, Guard] = {p.name: Guard.parse(p.guard) for p in points if p.guard}
        self._clock_due_utc_ms = 0
        self._errors: list[DeviceError] = []
        self._apart: dict[int, tuple[Rest, DeviceError]] = {}

    async def open(self) -> None:
        """Connect the line; no effect if it is open. Raises `Silent`."""
        await self._line.open(self._settings.timeout_s)

    async def close(self) -> None:
        """Close the line; another meter on it opens it again by itself."""
        self._line.drop()

    def collect(self) -> list[Reading]:
        """Always empty: a meter only answers requests."""
        return []

    def _failed(self, points: Sequence[Point], error: DeviceError) -> list[Reading]:
        self._errors.append(error)
        return failed(points, error, self._clock.now_utc_ms())

    def _requests(
        self, sharing: Mapping[int, Sequence[Point]], now_s: float, readings: list[Reading]
    ) -> tuple[list[int], list[int]]:
        """The requests to send now; at most one more that got no answer before; readings of those at rest.

        `sharing`: the points of each identifier or attribute; `now_s`: real time.
        """
        asked, mute = [], list[int]()
        for place, points in sharing.items():
            rest, error = self._apart.get(place, (None, None))
            if rest is None or (rest.over_at_s <= now_s and isinstance(error, Refused)):
                asked.append(place)
            elif rest.over_at_s <= now_s and not mute:
                mute.append(place)
            elif error is not None:
                readings += failed(points, error, self._clock.now_utc_ms())
        return (asked, mute) if asked else (mute, [])

    def _leave_alone(self, place: int, error: DeviceError, longest_s: float) -> None:
        rest, before = self._apart.get(place, (Rest(), error))
        if isinstance(before, Refused) is not isinstance(error, Refused):
            rest = Rest()
        rest.lengthen(asyncio.get_running_loop().time(), longest_s)
        self._apart[place] = (rest, error)

    async def _read_mute(self, place: int, points: Sequence[Point], *, ask: bool) -> list[Reading]:
        """Ask again for an identifier that got no answer in earlier reads, unless nothing answers or time is up."""
        if not ask:
            return failed(points, self._apart[place][1], self._clock.now_utc_ms())
        try:
            return await self._read_alone(place, points)
        except Silent as error:
            self._leave_alone(place, error, LONGEST_REST_S)
            return self._failed(points, error)

    async def _read_alone(self, place: int, points: Sequence[Point]) -> list[Reading]:
        """Ask for one identifier or attribute, and make the readings of its points. Raises only `Silent`."""
        raise NotImplementedError

    def _forgive_silence(self) -> None:
        """Forget silent identifiers: nothing answers at all, so the meter itself is silent."""
        self._apart = {place: found for place, found in self._apart.items() if isinstance(found[1], Refused)}

    def _answer(self, readings: list[Reading], clock_offset_ms: int | None) -> Answer:
        # The area column has no meaning for a meter: a guard point guards all points of its meter.
        trusted = suspect_where_shifted(readings, lambda _point: self.name)
        return Answer(trusted, self._clock.now_utc_ms(), errors=self._errors, clock_offset_ms=clock_offset_ms)

    def _clock_is_due(self) -> bool:
        """True if the meter's clock is to be measured now; it is due again an hour later, whatever the result."""
        now_ms = self._clock.now_utc_ms()
        if now_ms < self._clock_due_utc_ms:
            return False
        self._clock_due_utc_ms = now_ms + _CLOCK_PERIOD_MS
        return True

    def _offset_ms(self, shown: datetime, asked_ms: int) -> int:
        """The meter's clock minus ours, ms, to about a second. `shown`: its local time; `asked_ms`: when we asked."""
        device_utc_ms = int(shown.timestamp()) * 1000 - self._settings.utc_offset_min * 60_000
        # The meter shows whole seconds: on average half a second more has passed.
        return device_utc_ms + 500 - (asked_ms + self._clock.now_utc_ms()) // 2

    @staticmethod
    def _found_words(found: Sequence[str], reverse: str) -> str:
        """The result of a search for meters, in words. `reverse`: our address reversed, empty for any meter."""
        if reverse and reverse in found:
            return tr("meter {address} answers: the address is noted the wrong way round", address=reverse)
        return tr("meters that answer: {addresses}", addresses=", ".join(found)) if found else ""
