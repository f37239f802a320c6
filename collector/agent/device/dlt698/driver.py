# SPDX-License-Identifier: GPL-3.0-or-later
"""The driver of a DL/T 698.45 meter on a shared line: it only reads, several attributes per request.

The point table names an element of an attribute (`00100201`: forward active energy, total); the whole attribute is
asked for, once for all rows of it, and its elements are taken from the answer. A point's raw value is the number in the
standard's unit (kWh, W, var, V, Hz), decimals applied; `scale` is the ratio of the transformers. The meter's clock is
read from time to time to measure its offset; it is never set.

Where a request for several attributes gets no answer, or none that can be read, one of them may be the reason, or the
meter knows no such requests, or its answer would be too long: each attribute is asked by itself for some time, so that
the others are read and the one is found. An attribute that is refused, or gets no answer while others do, is left alone
for some time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from collector.agent.device.contract import Answer, Reading
from collector.agent.device.dlt698.codec import (
    CLOCK,
    TEMPORARY,
    WILDCARD,
    MeterPlace,
    dar_words,
    decode_clock,
    element_of,
    number_of,
)
from collector.agent.device.dlt698.line import GetLine
from collector.agent.device.meter import Meter
from collector.agent.device.turns import FIRST_REST_S, Rest, Turns
from collector.base.clock import Clock
from collector.base.errors import ConfigError, DeviceError, Garbled, Problem, Refused, Silent
from collector.base.text import tr
from collector.model.record import Quality
from collector.points import Point
from collector.points.agent_config import DeviceConfig as Settings
from collector.points.identifiers import attribute_of

# So many attributes of energies with all their rates still make an answer that meters need not divide.
ATTRIBUTES_PER_REQUEST: Final = 6


class Dlt698Device(Meter[GetLine]):
    """One meter.

    Raises:
        ConfigError: a row names an attribute that is not read here.
    """

    def __init__(self, settings: Settings, line: GetLine, points: tuple[Point, ...], clock: Clock) -> None:
        super().__init__(settings, line, points, clock)
        self._place = MeterPlace(settings.address.zfill(12), settings.logical_address, settings.client_address)
        self._list = 1 if settings.one_point_per_request else ATTRIBUTES_PER_REQUEST
        check_attributes(points)
        self._singly = Rest()
        self._newest: dict[int, bytes] = {}
        self._turns: Turns[tuple[int, ...]] = Turns(settings.id, lambda attributes: attributes)

    def raws(self) -> dict[str, bytes]:
        """The data of each point's element as last received."""
        found = {p.name: self._element(p) for p in self.points}
        return {name: data for name, data in found.items() if data}

    def _element(self, point: Point) -> bytes:
        data = self._newest.get(_attribute(point))
        return (element_of(data, point.address & 0xFF) or b"") if data else b""

    async def read(self, points: Sequence[Point], *, budget_s: float) -> Answer:
        """Read as `Device.read` says. Points that did not fit into the budget are read first the next time."""
        loop = asyncio.get_running_loop()
        end = loop.time() + budget_s
        sharing: dict[int, list[Point]] = {}
        for point in points:
            sharing.setdefault(_attribute(point), []).append(point)
        self._errors = []
        readings: list[Reading] = []
        asked, mute = self._requests(sharing, loop.time(), readings)
        size = 1 if loop.time() < self._singly.over_at_s else self._list
        requests = [tuple(asked[start : start + size]) for start in range(0, len(asked), size)]
        turns = self._turns
        for request in turns.asked(requests, loop.time, end):
            try:
                readings += await self._read_request({a: sharing[a] for a in request})
            except Silent as error:
                turns.silent(request, error)
        for request, reason, is_mute in turns.unanswered():
            readings += self._failed([p for a in request for p in sharing[a]], reason)
            if len(request) > 1 and (is_mute or not turns.heard):
                self._ask_singly()
            elif is_mute:
                self._apart[request[0]] = (Rest(), reason)  # once more in the next read, then it rests
        for attribute in mute:
            ask = turns.heard and loop.time() < end
            readings += await self._read_mute(attribute, sharing[attribute], ask=ask)
        if asked and not turns.heard:
            self._forgive_silence()
        offset_ms = await self._measure_clock() if not self._errors and loop.time() < end else None
        return self._answer(readings, offset_ms)

    async def _get(self, attributes: Sequence[int]) -> dict[int, bytes | int]:
        pause_s = self._settings.pause_ms / 1000
        return dict(await self._line.get(self._place, attributes, timeout_s=self._settings.timeout_s, pause_s=pause_s))

    async def _read_request(self, rows: dict[int, list[Point]]) -> list[Reading]:
        """One request and the readings of its points. Raises only `Silent`."""
        try:
            results = await self._get(tuple(rows))
        except (Refused, Garbled) as error:
            if len(rows) > 1:
                self._ask_singly()
            return self._failed([p for points in rows.values() for p in points], error)
        if len(rows) > 1:
            self._singly = Rest()
        readings: list[Reading] = []
        for attribute, points in rows.items():
            result = results[attribute]
            if isinstance(result, int):
                readings += self._failed(points, self._refusal(attribute, result))
                continue
            self._apart.pop(attribute, None)
            self._newest[attribute] = result
            readings += [self._reading(point) for point in points]
        return readings

    async def _read_alone(self, place: int, points: Sequence[Point]) -> list[Reading]:
        return await self._read_request({place: list(points)})

    def _ask_singly(self) -> None:
        self._singly.lengthen(asyncio.get_running_loop().time(), self._settings.retry_refused_s)

    def _refusal(self, attribute: int, dar: int) -> Refused:
        error = Refused(
            dar_words(dar), subject=f"{self._line.name} meter {self._place.address} {attribute:08X}", code=dar
        )
        if dar not in TEMPORARY:
            longest_s = FIRST_REST_S if attribute in self._newest else self._settings.retry_refused_s
            self._leave_alone(attribute, error, longest_s)
        return error

    def _reading(self, point: Point) -> Reading:
        data, now = self._element(point), self._clock.now_utc_ms()
        known = attribute_of(point.address)
        assert known is not None  # checked when the device was made
        number = number_of(data, known.decimals) if data else None
        scaling = self._scalings.get(point.name)
        if scaling is None:
            holds = self._guards[point.name].holds(point, number)
            return Reading(point, None, Quality.GOOD if holds else Quality.SUSPECT, now, raw=data)
        # Without the tag: what a table names under no_value.
        value, quality = scaling.judge(number, int.from_bytes(data[1:], "big"))
        return Reading(point, value, quality, now, raw=data)

    async def _measure_clock(self) -> int | None:
        """The meter's clock minus ours, ms, to about a second; None where not due or not measurable."""
        if not self._clock_is_due():
            return None
        asked_ms = self._clock.now_utc_ms()
        try:
            data = (await self._get((CLOCK,)))[CLOCK]
        except DeviceError:
            return None  # a meter that does not give its time is no failure: its values arrived
        shown = decode_clock(data) if isinstance(data, bytes) else None
        return None if shown is None else self._offset_ms(shown, asked_ms)

    async def find(self) -> str:
        """Find the meters that answer the any-meter address; only while nothing else polls the line."""
        found = await self._line.find(self._settings.timeout_s)
        reverse = bytes.fromhex(self._place.address)[::-1].hex().upper()
        return self._found_words(found, "" if self._place.address == WILDCARD else reverse)


def _attribute(point: Point) -> int:
    """The whole attribute of which a point is an element."""
    return point.address & 0xFFFF_FF00


def check_attributes(points: Sequence[Point]) -> None:
    """Check that every row names an element that is read here.

    Raises:
        ConfigError: names every row that does not.
    """
    problems = [
        Problem(point.file, point.row, "address", tr(
            "{oad:08X} is no single value this program reads (energies, powers, voltages, …); the last two digits name "
            "the element: 01 the total of energies and powers, or phase A", oad=point.address,
        ))
        for point in points if attribute_of(point.address) is None
    ]  # fmt: skip
    if problems:
        raise ConfigError(problems)
