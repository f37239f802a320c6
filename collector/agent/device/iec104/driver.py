# SPDX-License-Identifier: GPL-3.0-or-later
"""The IEC 104 driver: when the stations of a link are interrogated, and how their messages become readings of points.

Each common address is interrogated after every start of the link, after the station reports its initialisation, and
periodically. A point that an interrogation does not bring by its deadline is invalid. Where a station has several
network addresses, one link is kept; when it is lost, or does not start, the next address is tried.

Any number of points may read one information object. A guard point guards all points of its common address: after a
start of the link and after an initialisation their values are held back until every guard has matched. If a guard does
not match, or does not come with the interrogation, they are suspect until all match and the station was interrogated
again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from collector.agent.device.contract import Answer, Reading
from collector.agent.device.iec104.asdu import (
    COUNTER_INTERROGATION,
    EVENT_CAUSES,
    FAMILIES,
    INTERROGATION,
    Asdu,
    Cause,
    InformationObject,
    decode_apdu,
    decode_time,
)
from collector.agent.device.iec104.link import Answered, Initialised, Link, Lost, Started
from collector.agent.device.registers import Guard, Scaling, scaling_of
from collector.agent.log import fields
from collector.base.clock import Clock, arrival_utc_ms
from collector.base.errors import Garbled, Silent
from collector.model.record import Quality
from collector.points import Point
from collector.points.agent_config import Device as Settings

_LOG = logging.getLogger(__name__)
_MUTED_PATIENCE_S: Final = 0.3
_MUTED_LIMIT_S: Final = 5.0
# A station that did not answer an interrogation in time is asked again after this long.
_RETRY_MS: Final = 30_000
_REQUESTS: Final = {INTERROGATION: "interrogation", COUNTER_INTERROGATION: "counter interrogation"}
# How long to wait for the end of an interrogation that has brought every point; c104 may miss it, see `link.py`.
_END_PATIENCE_S: Final = 0.5
# Number of tagged changes from which the offset of a station's clock is measured.
_OFFSETS_KEPT: Final = 16


def _host_and_port(place: str) -> tuple[str, int]:
    host, _, port = place.rpartition(":")
    return host, int(port)


def _asked(kind: int, station: _Station) -> str:
    """The name of an interrogation in log lines."""
    return f"{_REQUESTS[kind]} of {station.common_address}"


@dataclass(slots=True)
class _Station:
    """One common address. `due_utc_ms`: time of the next interrogation; `waiting`: kinds of interrogation to run, the
    first one is running; `missing`: points not received since; `complete_at_s`: since when none of the running kind is
    missing; `answering`: whether the points received are valid. `unproved`: guard points that have not matched;
    `trusted`: whether values may be used, None until an interrogation shows; `held`: readings held back, in order."""

    common_address: int
    points: tuple[Point, ...]
    kinds: tuple[int, ...]
    due_utc_ms: int | None = None
    waiting: list[int] = field(default_factory=list)
    asked_at_s: float = 0.0
    number: int = 0
    complete_at_s: float | None = None
    answering: bool = False
    missing: set[str] = field(default_factory=set)
    unproved: set[str] = field(default_factory=set)
    trusted: bool | None = None
    held: list[Reading] = field(default_factory=list)

    def doubt(self) -> None:
        """Require every guard to match again before values are used."""
        self.unproved = {p.name for p in self.points if p.guard}
        self.trusted = None if self.unproved else True
        self.held = []


class Iec104Device:
    """One link to a controlled station with one or more common addresses."""

    def __init__(self, settings: Settings, points: tuple[Point, ...], clock: Clock) -> None:
        self.name, self.points = settings.id, points
        self._settings, self._clock = settings, clock
        self._places = [(settings.host, settings.port or 2404), *map(_host_and_port, settings.redundant)]
        self._place = 0
        self._leave_place = False
        self._link: Link | None = None
        self._retired: list[Link] = []
        # An interrogation blocks its thread until it ends; the link must be able to start and stop meanwhile.
        workers = 2 + 2 * len(settings.common_addresses)
        self._threads = ThreadPoolExecutor(max_workers=workers, thread_name_prefix=f"iec104[{settings.id}]")
        self._news = asyncio.Event()
        self._listening = False
        self._is_open = False
        self._muted_since_s: float | None = None
        self._fresh: list[Reading] = []
        self._reported: set[str] = set()
        self._asked = 0
        self._offsets_ms: deque[int] = deque(maxlen=_OFFSETS_KEPT)
        self._scalings: dict[str, Scaling] = {p.name: scaling_of(p) for p in points if not p.guard}
        self._guards: dict[str, Guard] = {p.name: Guard.parse(p.guard) for p in points if p.guard}
        default = settings.common_addresses[0] if len(settings.common_addresses) == 1 else 0
        self._by_place: dict[tuple[int, int], list[Point]] = {}
        for point in points:
            self._by_place.setdefault((point.common_address or default, point.address), []).append(point)
        self._stations = {address: self._station(address) for address in settings.common_addresses}
        self.counts = {"garbled": 0, "unknown_object": 0, "queue_overflow": 0}

    def _station(self, address: int) -> _Station:
        points = tuple(p for (ca, _), sharing in self._by_place.items() if ca == address for p in sharing)
        counters = any(FAMILIES[int(p.area)] == 15 for p in points)
        kinds = (INTERROGATION, COUNTER_INTERROGATION) if counters else (INTERROGATION,)
        station = _Station(address, points, kinds)
        station.doubt()
        return station

    async def open(self) -> None:
        """Connect and wait for the start of data. Once connected, the library reconnects by itself. Raises `Silent`."""
        loop = asyncio.get_running_loop()
        if self._is_open:
            return
        if self._leave_place:
            self._leave_place = False
            self._place = (self._place + 1) % len(self._places)
            await self.close()
        if self._link is None:
            self._retired = [link for link in self._retired if not link.is_closed]

            def wake() -> None:
                # Only during an interrogation: a spontaneous frame is collected later and need not wake the loop.
                if self._listening:
                    loop.call_soon_threadsafe(self._news.set)

            self._link = Link(self._settings, self._places[self._place], lambda: arrival_utc_ms(self._clock), wake)
            await loop.run_in_executor(self._threads, self._link.start)
        self._listening = True
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                while True:
                    self._news.clear()
                    if self._has_started():
                        break
                    await self._watch_muted(self._link)
                    await self._wait_news(0.05)
        except TimeoutError as error:
            self._leave_place = len(self._places) > 1
            host, port = self._places[self._place]
            raise Silent(
                f"no 104 link to {host}:{port} within {self._settings.timeout_s} s", subject=self.name
            ) from error
        finally:
            self._listening = False

    def _has_started(self) -> bool:
        self._take()
        return self._is_open

    async def _wait_news(self, longest_s: float) -> None:
        try:
            async with asyncio.timeout(longest_s):
                await self._news.wait()
        except TimeoutError:
            pass

    async def _watch_muted(self, link: Link) -> None:
        now = asyncio.get_running_loop().time()
        if not link.is_muted:
            self._muted_since_s = None
        elif self._muted_since_s is None:
            self._muted_since_s = now
        elif now - self._muted_since_s > _MUTED_LIMIT_S:
            self._log(logging.WARNING, "STARTDT", "the link stays muted and is rebuilt")
            self._muted_since_s = None
            await self.close()
            raise TimeoutError
        elif now - self._muted_since_s > _MUTED_PATIENCE_S:
            await asyncio.get_running_loop().run_in_executor(self._threads, link.unmute)

    def _on_start(self) -> None:
        self._is_open = True
        self._reported.clear()
        self._offsets_ms.clear()
        now = self._clock.now_utc_ms()
        for station in self._stations.values():
            station.due_utc_ms, station.waiting, station.answering = now, [], False
            station.doubt()

    def _on_loss(self, stamp: int) -> None:
        """Make all values invalid until the station has been interrogated again."""
        if self._is_open:
            self._log(logging.WARNING, "", "the link was lost; all values are invalid until it is back")
            self._is_open = False
            self._leave_place = len(self._places) > 1
            self._reported.clear()
            self._fresh += [Reading(p, None, Quality.INVALID, stamp) for p in self.points]
            for station in self._stations.values():
                station.answering, station.waiting = False, []
                station.doubt()

    def _log(self, level: int, request: str, message: str) -> None:
        """Log one line with the link, the device, its generating units and the request."""
        host, port = self._places[self._place]
        units = ",".join(sorted({p.unit or self._settings.unit for p in self.points} - {""}))
        _LOG.log(
            level, "%s %s", fields(channel=f"{host}:{port}", device=self.name, unit=units, request=request), message
        )

    async def close(self) -> None:
        """Disconnect and discard all state; no effect if the device is closed."""
        link, self._link = self._link, None
        self._is_open = False
        if link is not None:
            await asyncio.get_running_loop().run_in_executor(self._threads, link.stop)
            if not link.is_closed:
                self._retired.append(link)

    def collect(self) -> list[Reading]:
        """The readings received since the last call."""
        self._take()
        fresh, self._fresh = self._fresh, []
        return fresh

    async def read(self, points: Sequence[Point], *, budget_s: float) -> Answer:  # noqa: ARG002 - all come together
        """Interrogate the stations that are due, then return all readings received; see `Device.read`."""
        self._take()
        if self._link is not None and not self._is_open and self._fresh:
            # The link was lost since the last read: report it at once; reconnection continues by itself.
            lost = Silent("the link was lost", subject=self.name)
            return Answer(self.collect(), self._clock.now_utc_ms(), errors=[lost])
        await self.open()
        now = self._clock.now_utc_ms()
        for station in self._stations.values():
            if station.due_utc_ms is not None and station.due_utc_ms <= now:
                await self._interrogate(station)
            self._check_complete(station)
            if station.waiting and not station.number:
                await self._hear(station)
            self._check_deadline(station)
        readings, now = self.collect(), self._clock.now_utc_ms()
        answering = [s for s in self._stations.values() if s.answering and s.trusted]
        holding = [p for s in answering for p in s.points if p.name in self._reported]
        # Delay only makes a tag look older: the largest offset seen is the most accurate.
        offset_ms = max(self._offsets_ms, default=None)
        return Answer(readings, now, holding, clock_offset_ms=offset_ms)

    async def _interrogate(self, station: _Station) -> None:
        """Interrogate and wait up to `timeout_s` for the end; a slower station may still answer after that."""
        station.due_utc_ms = self._clock.now_utc_ms() + self._settings.interrogation_period_s * 1000
        station.waiting = list(station.kinds)
        station.missing = {p.name for p in station.points}
        station.number = 0
        await self._hear(station)

    async def _hear(self, station: _Station) -> None:
        """Send the waiting interrogations and wait for their end, at most `timeout_s`."""
        assert self._link is not None
        self._listening = True
        try:
            await self._ask(station, self._link, asyncio.get_running_loop().time() + self._settings.timeout_s)
        finally:
            self._listening = False

    async def _ask(self, station: _Station, link: Link, end: float) -> None:
        """Send the waiting kinds of interrogation, each when the one before has ended."""
        loop = asyncio.get_running_loop()
        while station.waiting and link is self._link and loop.time() < end:
            if not station.number:
                self._asked += 1
                station.number, station.asked_at_s, station.complete_at_s = self._asked, loop.time(), None
                loop.run_in_executor(
                    self._threads, link.interrogate, station.common_address, station.waiting[0], station.number
                )
            asked = station.number
            while station.waiting and station.number == asked and loop.time() < end:
                self._news.clear()
                self._take()
                self._check_complete(station)
                if station.waiting and station.number == asked:
                    complete_s = (station.complete_at_s or end) + _END_PATIENCE_S
                    await self._wait_news(min(end, complete_s) - loop.time())

    def _check_complete(self, station: _Station) -> None:
        """End an interrogation that has brought every point but whose end was missed."""
        if not station.waiting or not station.number:
            return
        counters = {p.name for p in station.points if FAMILIES[int(p.area)] == 15}
        asked_for_counters = station.waiting[0] == COUNTER_INTERROGATION
        if any((name in counters) == asked_for_counters for name in station.missing):
            return
        now = asyncio.get_running_loop().time()
        if station.complete_at_s is None:
            station.complete_at_s = now
        elif now - station.complete_at_s >= _END_PATIENCE_S:
            self._end_of_kind(station)

    def _end_of_kind(self, station: _Station) -> None:
        station.number = 0
        station.waiting.pop(0)
        if not station.waiting:
            self._end_interrogation(station)

    def _check_deadline(self, station: _Station) -> None:
        late = asyncio.get_running_loop().time() - station.asked_at_s > self._settings.t1_s
        if station.waiting and late:
            self._log(logging.WARNING, _asked(station.waiting[0], station), "it has no end; asked again later")
            self._ask_again_later(station)
            self._end_interrogation(station)

    def _ask_again_later(self, station: _Station) -> None:
        now = self._clock.now_utc_ms()
        station.due_utc_ms = min(station.due_utc_ms or now, now) + _RETRY_MS

    def _end_interrogation(self, station: _Station) -> None:
        """Make missing points invalid; points received stay valid, since the station reports their changes."""
        station.waiting, station.answering = [], True
        self._reported -= station.missing
        now = self._clock.now_utc_ms()
        self._fresh += [Reading(p, None, Quality.INVALID, now) for p in station.points if p.name in station.missing]
        station.unproved |= {p.name for p in station.points if p.guard and p.name in station.missing}
        if station.unproved and station.trusted is not False:
            self._distrust(station, now)

    def _distrust(self, station: _Station, time_utc_ms: int) -> None:
        """Make all values of the station suspect until every guard matches: one does not match, or did not come."""
        names = ", ".join(sorted(station.unproved))
        self._log(logging.WARNING, f"guard of {station.common_address}", f"does not match: {names}; values are suspect")
        station.trusted, station.held = False, []
        came = [p for p in station.points if not p.guard and p.name not in station.missing]
        self._fresh += [Reading(p, None, Quality.SUSPECT, time_utc_ms) for p in came]

    def _on_guard(self, station: _Station, guard: Reading) -> None:
        """Process the reading of a guard point: it decides whether its station's values are used."""
        self._fresh.append(guard)
        if guard.quality is not Quality.GOOD:
            station.unproved.add(guard.point.name)
            if station.trusted is not False:
                self._distrust(station, guard.time_utc_ms)
            return
        station.unproved.discard(guard.point.name)
        if station.unproved or station.trusted:
            return
        if station.trusted is None:
            self._fresh += station.held
        else:
            self._log(logging.INFO, f"guard of {station.common_address}", "matches again; interrogating again")
            station.due_utc_ms = guard.time_utc_ms
        station.trusted, station.held = True, []

    def _take(self) -> None:
        """Decode the queued frames into readings."""
        link = self._link
        if link is None:
            return
        if link.overflows:
            if link.failure is None:
                self._log(logging.ERROR, "", f"{link.overflows} messages were lost; interrogating again")
            self.counts["queue_overflow"] += link.overflows
            link.overflows = 0
            for station in self._stations.values():
                station.due_utc_ms = self._clock.now_utc_ms()
        link.catch_up()
        while link.news:
            stamp, news = link.news.popleft()
            if isinstance(news, bytes):
                self._on_message(news, stamp)
            else:
                self._on_mark(news, stamp)
        failure, link.failure = link.failure, None
        if failure is not None:
            raise failure

    def _on_mark(self, mark: Started | Lost | Initialised | Answered, stamp: int) -> None:
        if isinstance(mark, Started):
            self._on_start()
        elif isinstance(mark, Lost):
            self._on_loss(stamp)
        elif isinstance(mark, Initialised):
            if mark.common_address in self._stations:
                self._stations[mark.common_address].due_utc_ms = stamp
                self._stations[mark.common_address].doubt()
        else:
            for station in self._stations.values():
                if station.waiting and station.number == mark.number:
                    self._on_answer(station, mark)

    def _on_message(self, apdu: bytes, stamp: int) -> None:
        try:
            asdu = decode_apdu(apdu)
        except Garbled as error:
            self.counts["garbled"] += 1
            self._log(logging.WARNING, f"frame {apdu.hex()}", str(error))
            return
        if asdu is not None and not asdu.test:
            self._absorb(asdu, stamp)

    def _absorb(self, asdu: Asdu, stamp: int) -> None:
        station = self._stations.get(asdu.common_address)
        if station is None:
            self.counts["unknown_object"] += 1
            return
        for item in asdu.objects:
            sharing = self._by_place.get((asdu.common_address, item.address), ())
            if not sharing:
                self.counts["unknown_object"] += 1
                continue
            tag = self._tag(asdu, item, stamp)
            for point in sharing:
                self._reported.add(point.name)
                station.missing.discard(point.name)
                self._on_reading(station, self._reading(point, asdu, item, stamp, tag))

    def _on_reading(self, station: _Station, reading: Reading) -> None:
        """Process a reading: it is used, held back until the guards match, or made suspect."""
        if reading.point.guard:
            self._on_guard(station, reading)
        elif station.trusted is None:
            station.held.append(reading)
        elif station.trusted or not reading.quality.usable:
            self._fresh.append(reading)
        else:
            self._fresh.append(reading._replace(value=None, quality=Quality.SUSPECT, event=False))

    def _tag(self, asdu: Asdu, item: InformationObject, stamp: int) -> int | None:
        """The station's own time tag of an object, UTC ms; a tagged change also measures the offset of its clock."""
        if item.tag is None or Cause.INTERROGATED <= asdu.cause < Cause.COUNTERS_REQUESTED:
            return None
        tag = decode_time(item.tag, self._settings.utc_offset_min, stamp)
        if tag is not None and asdu.cause in EVENT_CAUSES:
            self._offsets_ms.append(tag - stamp)
        return tag

    def _on_answer(self, station: _Station, answer: Answered) -> None:
        if answer.ended:
            self._end_of_kind(station)
            return
        self._log(logging.WARNING, _asked(station.waiting[0], station), "refused, or it could not be sent")
        self._ask_again_later(station)
        station.answering, station.waiting = False, []
        if station.trusted is None:
            # Without an answer nothing shows whether spontaneous values may be trusted.
            station.trusted, station.held = False, []
        now = self._clock.now_utc_ms()
        self._fresh += [Reading(p, None, Quality.REFUSED, now) for p in station.points]

    def _reading(self, point: Point, asdu: Asdu, item: InformationObject, stamp: int, tag: int | None) -> Reading:
        value, quality = None, item.quality
        if FAMILIES[asdu.type] != FAMILIES[int(point.area)]:
            quality = Quality.GARBLED
        elif quality.usable:
            raw = item.raw
            if point.bit is not None and isinstance(raw, int):
                raw = raw >> point.bit & 1
            if (guard := self._guards.get(point.name)) is not None:
                quality = Quality.GOOD if guard.holds(point, raw) else Quality.SUSPECT
            else:
                value, judged = self._scalings[point.name].judge(raw)
                quality = quality if judged is Quality.GOOD else judged
        return Reading(point, value, quality, stamp, tag, asdu.cause in EVENT_CAUSES, item.data)
