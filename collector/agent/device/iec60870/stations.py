# SPDX-License-Identifier: GPL-3.0-or-later
"""The stations of one link, whatever carries it: their messages into readings, and what came that was no value.

A driver hands every message to `take` in order, and drives the interrogations of each `Station`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

from collector.agent.device.contract import Answer, Reading
from collector.agent.device.iec60870.asdu import (
    EVENT_CAUSES,
    FAMILIES,
    PROCESS_TYPES,
    Asdu,
    InformationObject,
    TransmissionCause,
    decode_time,
)
from collector.agent.device.iec60870.station import Log, Station
from collector.agent.device.iec60870.station_clock import StationClock
from collector.agent.device.iec60870.values import Oddities, PointValues
from collector.base.clock import Clock
from collector.base.text import tr
from collector.model.record import Quality
from collector.points import Point
from collector.points.agent_config import DeviceConfig as Settings


class Stations:
    """`log`: level, request, message; `fresh`: readings for the next `collect`; `counts`: messages without a value."""

    def __init__(self, settings: Settings, points: tuple[Point, ...], clock: Clock, log: Log) -> None:
        self.counts = {"garbled": 0, "unknown_object": 0}
        self.fresh: list[Reading] = []
        self.oddities = Oddities(lambda text: log(logging.WARNING, "", text))
        self.values = PointValues(
            points, settings.common_addresses, settings.transit_s, clock.monotonic_s, self.oddities
        )
        self._points, self._settings, self._clock = points, settings, clock
        self._station_clock = StationClock()
        self._stations = {
            address: Station(address, self.values, self.fresh, log) for address in settings.common_addresses
        }

    def __iter__(self) -> Iterator[Station]:
        return iter(self._stations.values())

    def get(self, common_address: int) -> Station | None:
        """The station of a common address; None where the configuration does not name it."""
        return self._stations.get(common_address)

    def on_start(self) -> None:
        """The link has started: everything is interrogated."""
        self._station_clock.forget()
        self.values.forget()
        now = self._clock.now_utc_ms()
        for station in self:
            station.reset(now)

    def on_loss(self, stamp: int) -> None:
        """The link was lost: all values are invalid until the stations have been interrogated again."""
        self.forget()
        self.fresh += [Reading(p, None, Quality.INVALID, stamp) for p in self._points]

    def forget(self) -> None:
        """The link was lost, which the read that noticed it reports."""
        self.values.forget()
        for station in self:
            station.reset(station.due_utc_ms)

    def begin_due(self) -> None:
        """Begin the interrogations that are due."""
        now = self._clock.now_utc_ms()
        for station in self:
            if station.due_utc_ms is not None and station.due_utc_ms <= now and not station.waiting:
                station.begin(now + self._settings.interrogation_period_s * 1000)

    def collect(self) -> list[Reading]:
        """The readings received since the last call."""
        self.fresh += self.values.travelled_too_long(self._clock.now_utc_ms())
        fresh = self.fresh.copy()
        self.fresh.clear()
        return fresh

    def answer(self) -> Answer:
        """The answer of one read: readings of all stations, points held in travel, and the clock offset."""
        readings, now = self.collect(), self._clock.now_utc_ms()
        holding = [point for station in self for point in station.holding]
        return Answer(readings, now, holding, clock_offset_ms=self._station_clock.offset_ms)

    def take(self, asdu: Asdu | None, kind: int, stamp: int) -> None:
        """Take a message. `asdu`: None where its type is not used here; `kind`: its type, 0 where it has none."""
        if asdu is None:
            if kind in PROCESS_TYPES:
                self.oddities.count(("kind", kind), lambda: tr(
                    "the station sent type {type}, which is not read here", type=kind
                ))  # fmt: skip
        elif asdu.test:
            self.oddities.count(("test",), lambda: tr(
                "the station sent values with the test bit: they are not used until it takes the bit away"
            ))  # fmt: skip
        elif asdu.type in FAMILIES:
            self._absorb(asdu, stamp)

    def _absorb(self, asdu: Asdu, stamp: int) -> None:
        station = self._stations.get(asdu.common_address)
        if station is None:
            self.counts["unknown_object"] += 1
            self.oddities.count(("station", asdu.common_address), lambda: tr(
                "the station sent values of common address {sent}; the configuration has {known}",
                sent=asdu.common_address, known=", ".join(map(str, self._stations)),
            ))  # fmt: skip
            return
        station.hear(asdu, asyncio.get_running_loop().time())
        for item in asdu.objects:
            taken = self.values.take(asdu, item, stamp, self._tag(asdu, item, stamp))
            if taken is None:
                self.counts["unknown_object"] += 1
                continue
            for point, reading in taken:
                station.take(point, reading)

    def _tag(self, asdu: Asdu, item: InformationObject, stamp: int) -> int | None:
        """The station's own time tag of an object, UTC ms; a tagged change also shows its clock."""
        if item.tag is None or TransmissionCause.INTERROGATED <= asdu.cause < TransmissionCause.COUNTERS_REQUESTED:
            return None
        tag = decode_time(item.tag, self._settings.utc_offset_min, stamp)
        if tag is not None and asdu.cause in EVENT_CAUSES:
            self._station_clock.observe(tag, stamp)
        return tag
