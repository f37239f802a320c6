# SPDX-License-Identifier: GPL-3.0-or-later
"""The IEC 104 driver: keeps the link, interrogates its stations when they are due, and hands their readings on.

Each common address is interrogated after every start of the link, after the station reports its initialisation, and
periodically (`station.py`); `values.py` turns objects into readings. Where a station has several network addresses, one
link is kept; when it is lost, or does not start, the next address is tried.

A link has the one profile of IEC 60870-5-104, 7.1: cause 2 octets, common address 2, information object address 3. c104
knows no other; a station set to 1-octet causes or 2-octet addresses can't be read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from collector.agent.device.contract import Answer, Reading, Why
from collector.agent.device.iec104.apdu import decode_apdu, type_of
from collector.agent.device.iec104.link import Answered, Dropped, Initialised, Link, LinkLost, Started
from collector.agent.device.iec60870.station import END_PATIENCE_S, Station
from collector.agent.device.iec60870.stations import Stations
from collector.agent.log import fields
from collector.base.clock import Clock, arrival_utc_ms
from collector.base.errors import Garbled, Silent
from collector.base.text import tr
from collector.points import Point
from collector.points.agent_config import DeviceConfig as Settings

_LOG = logging.getLogger(__name__)
_MUTED_LIMIT_S: Final = 5.0


def _host_and_port(place: str) -> tuple[str, int]:
    host, _, port = place.rpartition(":")
    return host, int(port)


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
        self._asked = 0
        self._stations = Stations(settings, points, clock, self._log)
        self.counts = self._stations.counts
        self.counts["queue_overflow"] = 0

    @property
    def oddities(self) -> Mapping[str, int]:
        """Messages that were no value of any point, in words."""
        return self._stations.oddities.counts

    def why(self, point: Point) -> Why | None:
        """Why the point's value is not good, in the station's own terms."""
        return self._stations.values.why(point)

    def raws(self) -> dict[str, bytes]:
        """The octets of each point's newest object as received."""
        return self._stations.values.raws()

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
                tr(
                    "no 104 link to {host}:{port} within {timeout_s} s",
                    host=host,
                    port=port,
                    timeout_s=self._settings.timeout_s,
                ),
                subject=self.name,
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
            return
        if self._muted_since_s is None:
            self._muted_since_s = now
        if now - self._muted_since_s > _MUTED_LIMIT_S:
            self._log(logging.WARNING, "STARTDT", "the link stays muted and is rebuilt")
            self._muted_since_s = None
            await self.close()
            raise TimeoutError
        await asyncio.get_running_loop().run_in_executor(self._threads, link.start_transfer)

    def _on_start(self) -> None:
        self._is_open = True
        self._stations.on_start()

    def _on_loss(self, stamp: int) -> None:
        """Make all values invalid until the station has been interrogated again."""
        if self._is_open:
            self._log(logging.WARNING, "", "the link was lost; all values are invalid until it is back")
            self._is_open = False
            self._leave_place = len(self._places) > 1
            self._stations.on_loss(stamp)

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
        return self._stations.collect()

    async def read(self, points: Sequence[Point], *, budget_s: float) -> Answer:  # noqa: ARG002 - all come together
        """Interrogate the stations that are due, then return all readings received; see `Device.read`."""
        self._take()
        if self._link is not None and not self._is_open and self._stations.fresh:
            # The link was lost since the last read: report it at once; reconnection continues by itself.
            lost = Silent(tr("the link was lost"), subject=self.name)
            return Answer(self.collect(), self._clock.now_utc_ms(), errors=[lost])
        await self.open()
        loop = asyncio.get_running_loop()
        self._stations.begin_due()
        for station in self._stations:
            station.check_complete(loop.time(), self._clock.now_utc_ms())
            if station.waiting and not station.number:
                await self._hear(station)
            station.check_deadline(loop.time(), self._clock.now_utc_ms(), self._settings.t1_s)
        if self._stations.values.puzzled and self._link is not None:
            self._stations.values.puzzled = False
            self._link.look()
        self._take()
        return self._stations.answer()

    async def _hear(self, station: Station) -> None:
        """Send the waiting interrogations and wait for their end, at most `timeout_s`."""
        assert self._link is not None
        self._listening = True
        try:
            await self._ask(station, self._link, asyncio.get_running_loop().time() + self._settings.timeout_s)
        finally:
            self._listening = False

    async def _ask(self, station: Station, link: Link, end: float) -> None:
        """Send the waiting kinds of interrogation, each when the one before has ended."""
        loop = asyncio.get_running_loop()
        while station.waiting and link is self._link and loop.time() < end:
            if not station.number:
                self._asked += 1
                station.send(self._asked, loop.time())
                loop.run_in_executor(
                    self._threads, link.interrogate, station.common_address, station.waiting[0], station.number
                )
            asked = station.number
            while station.waiting and station.number == asked and loop.time() < end:
                self._news.clear()
                self._take()
                station.check_complete(loop.time(), self._clock.now_utc_ms())
                if station.waiting and station.number == asked:
                    complete_s = (station.complete_at_s or end) + END_PATIENCE_S
                    await self._wait_news(min(end, complete_s) - loop.time())

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
            for station in self._stations:
                station.due_utc_ms, station.waiting = self._clock.now_utc_ms(), []
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

    def _on_mark(self, mark: Started | LinkLost | Initialised | Dropped | Answered, stamp: int) -> None:
        if isinstance(mark, Started):
            self._on_start()
        elif isinstance(mark, LinkLost):
            self._on_loss(stamp)
        elif isinstance(mark, Initialised):
            if station := self._stations.get(mark.common_address):
                station.initialised(stamp)
        elif isinstance(mark, Dropped):
            self._stations.oddities.count(("dropped", mark.type), lambda: tr(
                "the station sent type {sent} for {address}, which 104 does not have (its time tag has no hour); it "
                "can't be read: set the station to the types 1 to 37 of 104", sent=mark.type, address=mark.address,
            ))  # fmt: skip
        else:
            for station in self._stations:
                if station.waiting and station.number == mark.number:
                    end = station.end_of_kind if mark.ended else station.refuse
                    end(self._clock.now_utc_ms())

    def _on_message(self, apdu: bytes, stamp: int) -> None:
        try:
            asdu = decode_apdu(apdu)
        except Garbled as error:
            self.counts["garbled"] += 1
            self._log(logging.WARNING, f"frame {apdu.hex()}", str(error))
            return
        self._stations.take(asdu, type_of(apdu), stamp)
