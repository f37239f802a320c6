# SPDX-License-Identifier: GPL-3.0-or-later
"""The driver of a DL/T 645 meter, of 2007 or 1997, on a shared line: it only reads, one identifier per request.

A point's raw value is the number in its identifier's own unit (kWh, kW, kvar, V, Hz), decimals and sign applied; the
`scale` of the point table is the transformer ratio. An identifier the meter refuses as unknown, or says nothing to
while it answers others, is left alone for some time. The meter's clock is read from time to time to measure its offset;
it is never set.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from collector.agent.device.contract import Answer, Reading
from collector.agent.device.dlt645.codec import (
    CLOCK,
    CLOCK_1997,
    NO_SUCH_DATA,
    WILDCARD,
    NumberFormat,
    decode_clock,
    layout_of,
    parse_address,
    reversed_address,
)
from collector.agent.device.dlt645.line import MeterLine
from collector.agent.device.meter import Meter
from collector.agent.device.turns import FIRST_REST_S, Rest, Turns
from collector.base.clock import Clock
from collector.base.errors import ConfigError, DeviceError, Garbled, Problem, Refused, Silent
from collector.model.record import Quality
from collector.points import Point
from collector.points.agent_config import DeviceConfig as Settings
from collector.points.identifiers import identifier_text, is_of_1997

# Identifier used to search for meters when commissioning: every meter has it. Of 2007, and of 1997.
_FORWARD_ENERGY, _FORWARD_ENERGY_1997 = 0x0001_0000, 0x9010
# Date and time need two requests; around midnight they may belong to different days.
_MIDNIGHT_S: Final = 60


class Dlt645Device(Meter[MeterLine]):
    """One meter.

    Raises:
        ConfigError: a row names an identifier that is not read here.
    """

    def __init__(self, settings: Settings, line: MeterLine, points: tuple[Point, ...], clock: Clock) -> None:
        super().__init__(settings, line, points, clock)
        self._address = parse_address(settings.address)
        self._pause_s = settings.pause_ms / 1000
        self._layouts = layouts_of(points)
        self._is_of_1997 = all(is_of_1997(identifier) for identifier in self._layouts)
        # The newest data of the identifiers it ever answered.
        self._answered: dict[int, bytes] = {}
        self._turns: Turns[int] = Turns(settings.id, lambda identifier: identifier)

    def raws(self) -> dict[str, bytes]:
        """The data of each point's identifier as last received."""
        return {p.name: data for p in self.points if (data := self._answered.get(p.address)) is not None}

    async def read(self, points: Sequence[Point], *, budget_s: float) -> Answer:
        """Read as `Device.read` says. Points that did not fit into the budget are read first the next time."""
        loop = asyncio.get_running_loop()
        end = loop.time() + budget_s
        by_identifier: dict[int, list[Point]] = {}
        for point in points:
            by_identifier.setdefault(point.address, []).append(point)
        self._errors = []
        readings: list[Reading] = []
        asked, mute = self._requests(by_identifier, loop.time(), readings)

        turns = self._turns
        for identifier in turns.asked(asked, loop.time, end):
            try:
                readings += await self._read_alone(identifier, by_identifier[identifier])
            except Silent as error:
                turns.silent(identifier, error)
        for identifier, reason, is_mute in turns.unanswered():
            readings += self._failed(by_identifier[identifier], reason)
            if is_mute:
                self._apart[identifier] = (Rest(), reason)  # once more in the next read, then it rests
        for identifier in mute:
            ask = turns.heard and loop.time() < end
            readings += await self._read_mute(identifier, by_identifier[identifier], ask=ask)
        if asked and not turns.heard:
            self._forgive_silence()
        offset_ms = await self._measure_clock() if not self._errors and loop.time() < end else None
        return self._answer(readings, offset_ms)

    async def _ask(self, identifier: int) -> bytes:
        return await self._line.read(
            self._address, identifier, timeout_s=self._settings.timeout_s, pause_s=self._pause_s
        )

    async def _read_alone(self, place: int, points: Sequence[Point]) -> list[Reading]:
        """Read one identifier and make the readings of its points. Raises only `Silent`."""
        try:
            data = await self._ask(place)
            readings = self._decode(self._layouts[place], data, points)
        except Refused as error:
            if error.code is not None and error.code & NO_SUCH_DATA:
                longest_s = FIRST_REST_S if place in self._answered else self._settings.retry_refused_s
                self._leave_alone(place, error, longest_s)
            return self._failed(points, error)
        except Garbled as error:
            return self._failed(points, error)
        self._apart.pop(place, None)
        self._answered[place] = data
        return readings

    def _decode(self, layout: NumberFormat, data: bytes, points: Sequence[Point]) -> list[Reading]:
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
        """The meter's clock minus ours, ms, to about a second; None where not due or not measurable."""
        if not self._clock_is_due():
            return None
        try:
            for_date, for_time = CLOCK_1997 if self._is_of_1997 else CLOCK
            date = await self._ask(for_date)
            asked_ms = self._clock.now_utc_ms()
            time = await self._ask(for_time)
        except DeviceError:
            return None  # a meter that does not give its time is no failure: its values arrived
        shown = decode_clock(date, time)
        if shown is None:
            return None
        into_day_s = shown.hour * 3600 + shown.minute * 60 + shown.second
        if not _MIDNIGHT_S <= into_day_s <= 86_400 - _MIDNIGHT_S:
            return None
        return self._offset_ms(shown, asked_ms)

    async def find(self) -> str:
        """Find the meters that answer the any-meter address; only while nothing else polls the line."""
        found = await self._line.find(
            _FORWARD_ENERGY_1997 if self._is_of_1997 else _FORWARD_ENERGY, self._settings.timeout_s
        )
        return self._found_words(found, "" if self._address == WILDCARD else reversed_address(self._address))


def layouts_of(points: Sequence[Point]) -> dict[int, NumberFormat]:
    """The number format of each identifier of a point table.

    Raises:
        ConfigError: names every row with an identifier that is not read here.
    """
    layouts: dict[int, NumberFormat] = {}
    problems = []
    for point in points:
        layout = layout_of(point.address)
        if layout is None:
            shown = identifier_text(point.address)
            message = f"{shown} is no single value this program reads: energies, powers, voltages, ..."
            problems.append(Problem(point.file, point.row, "address", message))
        else:
            layouts[point.address] = layout
    if problems:
        raise ConfigError(problems)
    return layouts
