# SPDX-License-Identifier: GPL-3.0-or-later
"""The IEC 60870-5-101 driver: one link with its station or stations, interrogated when due, readings handed on.

Unbalanced: the station speaks only when asked. A read asks for class 1 data while the station says that some wait, then
for class 2, until it has none; while an interrogation runs, until that has ended, or the time of this read is used up.
Several devices may share the line, each with a link address of its own.

Balanced: the station sends by itself, and each of its messages is acknowledged as it comes. A read sends what
interrogations are due, and tests a link that has been quiet for `t3_s`.

Where a link ends (no answer after all repeats), the read fails, and all is interrogated again after the next start.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Final

from collector.agent.device.contract import Answer, Reading, Why, failed
from collector.agent.device.iec101.ft12 import LinkPlace
from collector.agent.device.iec101.line import LinkLine
from collector.agent.device.iec101.link import PrimaryLink
from collector.agent.device.iec101.secondary import Inbox
from collector.agent.device.iec60870.asdu import (
    COUNTER_INTERROGATION,
    END_OF_INITIALISATION,
    INTERROGATION,
    Asdu,
    AsduLayout,
    TransmissionCause,
    decode_asdu,
)
from collector.agent.device.iec60870.station import END_PATIENCE_S, Station
from collector.agent.device.iec60870.stations import Stations
from collector.agent.log import fields
from collector.base.clock import Clock
from collector.base.errors import DeviceError, Garbled, Refused, Silent
from collector.base.text import tr
from collector.points import Point
from collector.points.agent_config import DeviceConfig as Settings

_LOG = logging.getLogger(__name__)
# How long a station that gathers the answer to an interrogation is left alone, having had nothing yet.
_GATHERING_S: Final = 0.05
# Causes of what a station sends again and again, so that it never has nothing.
_CYCLIC: Final = (TransmissionCause.PERIODIC, TransmissionCause.BACKGROUND)
# Causes of a station that does not know the type, the cause, the common address or the object address asked for.
_UNKNOWN: Final = range(44, 48)


def layout_of(settings: Settings) -> AsduLayout:
    """The widths of the fields of a device's messages."""
    return AsduLayout(settings.cause_octets, settings.common_address_octets, settings.object_address_octets)


def place_of(settings: Settings) -> LinkPlace:
    """The link of a device."""
    return LinkPlace(settings.link_address, settings.link_address_octets, settings.link_mode == "balanced")


class Iec101Device:
    """One link address with one or more common addresses behind it. `inbox`: messages that the line has taken."""

    def __init__(
        self, settings: Settings, line: LinkLine, inbox: Inbox, points: tuple[Point, ...], clock: Clock
    ) -> None:
        self.name, self.points = settings.id, points
        self._settings, self._line, self._clock = settings, line, clock
        self._layout, self._place = layout_of(settings), place_of(settings)
        self._stations = Stations(settings, points, clock, self._log)
        self.counts = self._stations.counts
        self._inbox = inbox
        self._link = PrimaryLink(
            line, self._place, settings.id, timeout_s=settings.timeout_s + line.frame_s, retries=settings.link_retries,
            pause_s=settings.pause_ms / 1000, on_data=self._keep,
        )  # fmt: skip
        self._heard: set[bytes] = set()  # what was sent cyclically in this read, by its first object
        self._repeats = False
        self._asked = 0
        self._errors: list[DeviceError] = []
        self._busy_since_s: float | None = None

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

    def _log(self, level: int, request: str, message: str) -> None:
        """Log one line with the line, the device, its generating units and the request."""
        units = ",".join(sorted({p.unit or self._settings.unit for p in self.points} - {""}))
        named = fields(channel=self._line.name, device=self.name, unit=units, request=request)
        _LOG.log(level, "%s %s", named, message)

    async def open(self) -> None:
        """Connect the line and start the link; no effect if both are. Raises `Silent`, `Garbled`, `Refused`."""
        if self._link.is_up and self._place.balanced and not self._line.is_open:
            self._lose()
        if not self._link.is_up:
            await self._line.open(self._settings.timeout_s)
            await self._link.start()
            self._stations.on_start()

    async def close(self) -> None:
        """Close the line; another station on it opens it again by itself."""
        self._line.drop()
        self._lose()

    def _lose(self) -> None:
        self._link.down()
        self._stations.forget()

    def collect(self) -> list[Reading]:
        """The readings received since the last call."""
        self._take()
        return self._stations.collect()

    async def read(self, points: Sequence[Point], *, budget_s: float) -> Answer:  # noqa: ARG002 - all come together
        """Interrogate the stations that are due, take what they have, and return all readings; see `Device.read`."""
        loop = asyncio.get_running_loop()
        self._errors = []
        self._line.raise_failure()
        try:
            await self.open()
            self._stations.begin_due()
            if self._place.balanced:
                await self._hear(loop.time() + min(budget_s, self._settings.timeout_s))
            else:
                await self._poll(loop.time() + budget_s)
        except (Silent, Garbled, Refused) as error:
            return self._failed(error)
        self._take()
        for station in self._stations:
            if station.number:
                station.check_deadline(loop.time(), self._clock.now_utc_ms(), self._settings.t1_s)
        return self._stations.answer()._replace(errors=self._errors)

    def _failed(self, error: DeviceError) -> Answer:
        """The readings that came before a failure, then the failure of every point; raises it where none came."""
        came = self.collect()
        if not self._link.is_up:
            self._stations.forget()
        if not came:
            raise error
        now = self._clock.now_utc_ms()
        readings = [*came, *failed((p for p in self.points if not p.guard), error, now)]
        return Answer(readings, now, errors=[*self._errors, error])

    async def _poll(self, end_s: float) -> None:
        """Ask for data until the station has no more, as the head of this file says."""
        loop = asyncio.get_running_loop()
        self._heard.clear()
        is_barren = False  # the station says that class 1 data wait, and gives none
        while True:
            await self._interrogate()
            self._repeats = False
            of_class_1 = self._link.has_class_1 and not is_barren
            has_data = await (self._link.ask_class_2() if is_barren else self._link.ask())
            is_barren = self._link.has_class_1 and not has_data if of_class_1 else is_barren and self._link.has_class_1
            self._take()
            is_waiting = self._check_complete()
            if loop.time() >= end_s:
                return
            if self._link.has_class_1 and not is_barren:
                continue
            if not is_waiting and (not has_data or self._repeats):
                return
            if not has_data or self._repeats:
                await asyncio.sleep(_GATHERING_S)

    async def _hear(self, end_s: float) -> None:
        """Send the waiting interrogations of a balanced link and wait for their end; test a quiet link."""
        loop = asyncio.get_running_loop()
        while True:
            await self._interrogate()
            self._line.news.clear()
            await asyncio.sleep(0)  # a quiet link is waited for by nothing else here: what has come is let in
            self._take()
            is_waiting = self._check_complete()
            if not self._line.is_open:
                self._lose()
                raise Silent(tr("the link was lost"), subject=self.name)
            left_s = end_s - loop.time()
            if not is_waiting or left_s <= 0:
                break
            completes = [s.complete_at_s + END_PATIENCE_S - loop.time() for s in self._stations if s.complete_at_s]
            try:
                async with asyncio.timeout(max(0.001, min(left_s, *completes)) if completes else left_s):
                    await self._line.news.wait()
            except TimeoutError:
                pass
        if loop.time() - self._line.heard_at_s > self._settings.t3_s:
            await self._link.test()

    def _check_complete(self) -> bool:
        """Whether any interrogation is waiting still, once those that brought everything are ended."""
        for station in self._stations:
            station.check_complete(asyncio.get_running_loop().time(), self._clock.now_utc_ms())
        return any(station.waiting for station in self._stations)

    async def _interrogate(self) -> None:
        """Send the interrogations that wait to be sent: one station after the other, each kind after the one before."""
        for station in self._stations:
            if any(other.number for other in self._stations if other.waiting):
                return
            if station.waiting:
                await self._send(station)

    async def _send(self, station: Station) -> None:
        loop = asyncio.get_running_loop()
        self._asked += 1
        station.send(self._asked, loop.time())
        try:
            taken = await self._link.interrogate(station.waiting[0], station.common_address, self._layout)
        except Refused as error:
            self._errors.append(error)
            station.refuse(self._clock.now_utc_ms())
            return
        if taken:
            self._busy_since_s = None
            return
        station.number = 0
        if self._busy_since_s is None:
            self._busy_since_s = loop.time()
        elif loop.time() - self._busy_since_s > self._settings.t1_s:
            self._busy_since_s = None
            self._errors.append(Refused(tr("the station's link takes no requests (DFC or NACK)"), subject=self.name))
            station.refuse(self._clock.now_utc_ms())

    def _keep(self, asdu: bytes) -> None:
        self._inbox.put(asdu)

    def _take(self) -> None:
        """Decode the messages received."""
        for data, stamp in self._inbox.take():
            try:
                asdu = decode_asdu(data, self._layout, self.name)
            except Garbled as error:
                self.counts["garbled"] += 1
                self._errors.append(error)
                self._log(logging.WARNING, f"message {data.hex()}", str(error))
                continue
            if data[2] & 0x3F in _CYCLIC:
                head = data[: self._layout.head + self._layout.object_address]
                self._repeats |= head in self._heard
                self._heard.add(head)
            if asdu is not None and asdu.type in (INTERROGATION, COUNTER_INTERROGATION):
                self._on_answered(asdu)
            elif asdu is not None and asdu.type == END_OF_INITIALISATION:
                if station := self._stations.get(asdu.common_address):
                    station.initialised(stamp)
            else:
                self._stations.take(asdu, data[0], stamp)

    def _on_answered(self, asdu: Asdu) -> None:
        """Take the confirmation or the end of an interrogation; of another than the one that runs, nothing."""
        station = self._stations.get(asdu.common_address)
        if station is None or not station.number or not station.waiting or station.waiting[0] != asdu.type:
            return
        now = self._clock.now_utc_ms()
        if asdu.cause == TransmissionCause.ACTIVATION_TERMINATED:
            station.end_of_kind(now)
        elif asdu.cause in _UNKNOWN or (asdu.negative and asdu.cause == TransmissionCause.ACTIVATION_CONFIRMED):
            self._errors.append(Refused(
                tr("the station refuses the interrogation (cause {cause})", cause=asdu.cause), subject=station.request,
                code=asdu.cause,
            ))  # fmt: skip
            station.refuse(now)
