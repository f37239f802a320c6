# SPDX-License-Identifier: GPL-3.0-or-later
"""The driver of a DL/T 645-2007 meter on a shared line: it only reads, one identifier per request.

A point's raw value is the number in its identifier's own unit (kWh, kW, kvar, V, Hz), decimals and sign applied; the
`scale` of the point table is the transformer ratio. An identifier the meter refuses as unknown is not read again for
some time. The meter's clock is read from time to time to measure its offset; it is never set.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from collector.agent.device.contract import Answer, Reading, failed, suspect_where_shifted
from collector.agent.device.dlt645.codec import (
    DATE,
    NO_SUCH_DATA,
    TIME,
    WILDCARD,
    Layout,
    decode_clock,
    layout_of,
    parse_address,
    reversed_address,
)
from collector.agent.device.dlt645.line import MeterLine
from collector.agent.device.registers import Guard, Scaling, scaling_of
from collector.base.clock import Clock
from collector.base.errors import ConfigError, DeviceError, Garbled, Problem, Refused, Silent
from collector.model.record import Quality
from collector.points import Point
from collector.points.agent_config import Device as Settings

# Identifier used to search for meters when commissioning: every meter has it.
_FORWARD_ENERGY: Final = 0x0001_0000
_CLOCK_PERIOD_MS: Final = 3_600_000
# Date and time need two requests; around midnight they may belong to different days.
_MIDNIGHT_S: Final = 60


class Dlt645Device:
    """One meter.

    Raises:
        ConfigError: a row names an identifier that is not read here.
    """

    def __init__(self, settings: Settings, line: MeterLine, points: tuple[Point, ...], clock: Clock) -> None:
        self.name, self.points = settings.id, points
        self._settings, self._line, self._clock = settings, line, clock
        self._address = parse_address(settings.address)
        self._pause_s = settings.pause_ms / 1000
        self._layouts = layouts_of(points)
        self._scalings: dict[str, Scaling] = {p.name: scaling_of(p) for p in points if not p.guard}
        self._guards: dict[str, Guard] = {p.name: Guard.parse(p.guard) for p in points if p.guard}
        # Identifiers the meter refused as unknown -> real time of the next try, s.
        self._refused: dict[int, float] = {}
        self._first_identifier: int | None = None
        self._clock_due_utc_ms = 0
        self._errors: list[DeviceError] = []

    async def open(self) -> None:
        """Connect the line; no effect if it is open. Raises `Silent`."""
        await self._line.open(self._settings.timeout_s)

    async def close(self) -> None:
        """Close the line; another meter on it opens it again by itself."""
        self._line.drop()

    def collect(self) -> list[Reading]:
        """Always empty: a meter only answers requests."""
        return []

    async def read(self, points: Sequence[Point], *, budget_s: float) -> Answer:
        """Read as `Device.read` says. Points that did not fit into the budget are read first the next time."""
        loop = asyncio.get_running_loop()
        end = loop.time() + budget_s
        by_identifier: dict[int, list[Point]] = {}
        for point in points:
            by_identifier.setdefault(point.address, []).append(point)
        order = list(by_identifier)
        if self._first_identifier in by_identifier:
            first = order.index(self._first_identifier)
            order = order[first:] + order[:first]
        self._first_identifier = None
        self._errors = []
        readings: list[Reading] = []
        for position, identifier in enumerate(order):
            unasked = [p for i in order[position:] for p in by_identifier[i]]
            if position and loop.time() >= end:
                self._first_identifier = identifier
                late = Silent(f"not asked: the budget of {budget_s} s was used up", subject=self.name)
                readings += self._failed(unasked, late)
                break
            try:
                readings += await self._read_identifier(identifier, by_identifier[identifier])
            except Silent as error:
                # One missing answer costs one timeout, not one for each identifier.
                readings += self._failed(unasked, error)
                break
        offset_ms = await self._measure_clock() if not self._errors and loop.time() < end else None
        # The area column has no meaning for a meter: a guard point guards all points of its meter.
        trusted = suspect_where_shifted(readings, lambda _point: self.name)
        return Answer(trusted, self._clock.now_utc_ms(), errors=self._errors, clock_offset_ms=offset_ms)

    async def _ask(self, identifier: int) -> bytes:
        return await self._line.read(
            self._address, identifier, timeout_s=self._settings.timeout_s, pause_s=self._pause_s
        )

    def _failed(self, points: Sequence[Point], error: DeviceError) -> list[Reading]:
        self._errors.append(error)
        return failed(points, error, self._clock.now_utc_ms())

    async def _read_identifier(self, identifier: int, points: Sequence[Point]) -> list[Reading]:
        """Read one identifier and make the readings of its points. Raises only `Silent`."""
        now_s = asyncio.get_running_loop().time()
        if self._refused.get(identifier, now_s) > now_s:
            return failed(points, Refused("no such data", subject=self.name), self._clock.now_utc_ms())
        try:
            data = await self._ask(identifier)
            return self._decode(self._layouts[identifier], data, points)
        except Refused as error:
            if error.code is not None and error.code & NO_SUCH_DATA:
                self._refused[identifier] = now_s + self._settings.retry_refused_s
            return self._failed(points, error)
        except Garbled as error:
            return self._failed(points, error)

    def _decode(self, layout: Layout, data: bytes, points: Sequence[Point]) -> list[Reading]:
        now = self._clock.now_utc_ms()
        number = layout.decode(data)
        pattern = int.from_bytes(data, "little")
        readings = []
        for point in points:
            scaling = self._scalings.get(point.name)
            if scaling is None:
                holds = self._guards[point.name].holds(point, number)
                value, quality = None, Quality.GOOD if holds else Quality.SUSPECT
            else:
                value, quality = scaling.judge(number, pattern)
            readings.append(Reading(point, value, quality, now, None, False, data))
        return readings

    async def _measure_clock(self) -> int | None:
        """How far the meter's clock is ahead of ours, ms, to about a second; None where not due or not measurable."""
        if self._clock.now_utc_ms() < self._clock_due_utc_ms:
            return None
        self._clock_due_utc_ms = self._clock.now_utc_ms() + _CLOCK_PERIOD_MS
        try:
            date = await self._ask(DATE)
            asked_ms = self._clock.now_utc_ms()
            time = await self._ask(TIME)
        except DeviceError:
            return None  # a meter that does not give its time is no failure: its values arrived
        now_ms = self._clock.now_utc_ms()
        shown = decode_clock(date, time)
        if shown is None:
            return None
        into_day_s = shown.hour * 3600 + shown.minute * 60 + shown.second
        if not _MIDNIGHT_S <= into_day_s <= 86_400 - _MIDNIGHT_S:
            return None
        device_utc_ms = int(shown.timestamp()) * 1000 - self._settings.utc_offset_min * 60_000
        # The meter shows whole seconds: on average half a second more has passed.
        return device_utc_ms + 500 - (asked_ms + now_ms) // 2

    async def find(self) -> str:
        """Find the meters that answer the any-meter address; only while nothing else polls the line."""
        found = await self._line.find(_FORWARD_ENERGY, self._settings.timeout_s)
        if not found:
            return ""
        if self._address != WILDCARD and reversed_address(self._address) in found:
            return f"meter {reversed_address(self._address)} answers: the address is noted the wrong way round"
        return f"meters that answer: {', '.join(found)}"


def layouts_of(points: Sequence[Point]) -> dict[int, Layout]:
    """The number format of each identifier of a point table.

    Raises:
        ConfigError: names every row with an identifier that is not read here.
    """
    layouts: dict[int, Layout] = {}
    problems = []
    for point in points:
        layout = layout_of(point.address)
        if layout is None:
            message = f"{point.address:08X} is no single value this program reads: energies, powers, voltages, ..."
            problems.append(Problem(point.file, point.row, "address", message))
        else:
            layouts[point.address] = layout
    if problems:
        raise ConfigError(problems)
    return layouts
