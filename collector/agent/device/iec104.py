# SPDX-License-Identifier: GPL-3.0-or-later
"""IEC 60870-5-104 controlling station, through c104 (lib60870 inside): it listens and interrogates, nothing else.

c104 keeps the link: start, test, windows k and w, timers t0 to t3, reconnection every second. Facts it is used by:

- `add_connection` would send a clock synchronisation, which writes the station's clock: `Init.NONE` always, and the
  interrogations are sent here, from a thread, because a call can block for a second.
- A callback runs on a foreign thread, and one that raises is never called again: each catches everything, puts what it
  got into a bounded queue and returns.
- Raw frames are told by a thread of their own, after their acknowledgement may have left; a point's callback runs
  before. So every point of the table is declared, and its callback waits until the frame is in the queue: a station
  that waits for N(R) knows that it is. The frame itself is what counts, whatever type it comes with.
- A link may stay OPEN_MUTED after its start: it is told to start once more, then rebuilt.
- Destroying a connection while it connects blocks the whole interpreter up to t0: such a one is kept until it has
  closed.
"""
# No `from __future__ import annotations` here: c104 compares the annotations of a callback with its own types.

import asyncio
import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import c104

from collector.agent.device.asdu import (
    COUNTER_INTERROGATION,
    END_OF_INITIALISATION,
    EVENT_CAUSES,
    FAMILIES,
    INTERROGATION,
    Asdu,
    Cause,
    InformationObject,
    decode_apdu,
    decode_time,
)
from collector.agent.device.base import Answer, Reading, failed
from collector.agent.device.registers import Scaling, scaling_of
from collector.clock import Clock, arrival_utc_ms
from collector.config import Device as Settings
from collector.errors import Garbled, Refused, Silent
from collector.model.record import Quality
from collector.points import Point

_LOG = logging.getLogger(__name__)
_QUEUE_MAXIMUM: Final = 100_000
_MUTED_PATIENCE_S: Final = 0.3
_MUTED_LIMIT_S: Final = 5.0
# Longest wait of the library's receiving thread for its own raw callback.
_HAND_OVER_S: Final = 1.0
# Frames remembered for it; a frame the library tells no point of stays here, so beyond this all are forgotten.
_QUEUED_MAXIMUM: Final = 1000
# Monitored types as the library names them.
_TYPES: Final = {
    1: c104.Type.M_SP_NA_1, 3: c104.Type.M_DP_NA_1, 9: c104.Type.M_ME_NA_1, 11: c104.Type.M_ME_NB_1,
    13: c104.Type.M_ME_NC_1, 15: c104.Type.M_IT_NA_1, 21: c104.Type.M_ME_ND_1, 30: c104.Type.M_SP_TB_1,
    31: c104.Type.M_DP_TB_1, 34: c104.Type.M_ME_TD_1, 35: c104.Type.M_ME_TE_1, 36: c104.Type.M_ME_TF_1,
    37: c104.Type.M_IT_TB_1,
}  # fmt: skip
# Marks between frames, where the link began and ended.
STARTED: Final = b"started"
LOST: Final = b"lost"
# A station that did not answer an interrogation in time is asked again after this long.
_RETRY_MS: Final = 30_000


class HandOver:
    """Lets the receiving thread wait until the raw callback has queued the very frame it is about to acknowledge."""

    def __init__(self, places: Mapping[tuple[int, int], int]) -> None:
        self._places = places
        self._queued: Counter[bytes] = Counter()
        self._changed = threading.Condition()

    def arrived(self, apdu: bytes) -> None:
        """The raw callback has queued this frame. Only one that a declared point will be told of is remembered."""
        if len(apdu) >= 15:
            place = int.from_bytes(apdu[10:12], "little"), int.from_bytes(apdu[12:15], "little")
            if self._places.get(place) == apdu[6]:
                with self._changed:
                    if len(self._queued) > _QUEUED_MAXIMUM:
                        self._queued.clear()
                    self._queued[apdu[6:]] += 1
                    self._changed.notify_all()

    def wait_for(self, apdu: bytes, object_address: int) -> None:
        """Return when the frame is queued; at once for all but its first object. Gives up after `_HAND_OVER_S`."""
        asdu = apdu[6:]
        if int.from_bytes(asdu[6:9], "little") != object_address:
            return
        with self._changed:
            self._changed.wait_for(lambda: self._queued[asdu] > 0, _HAND_OVER_S)
            self._queued[asdu] -= 1
            if self._queued[asdu] <= 0:
                del self._queued[asdu]


class Link:
    """One c104 client with one connection. What it got waits in `frames`: (stamp, APDU, or STARTED or LOST)."""

    def __init__(
        self, settings: Settings, places: Mapping[tuple[int, int], int], stamp: Callable[[], int],
        wake: Callable[[], None],
    ) -> None:  # fmt: skip
        """`places`: (common address, object address) of every point, with its type; `stamp`, `wake`: thread-safe."""
        self.frames: deque[tuple[int, bytes]] = deque()
        self.overflows = 0
        self._seen_open = False
        self._client = c104.Client(tick_rate_ms=100, command_timeout_ms=1000)
        connection = self._client.add_connection(ip=settings.host, port=settings.port or 2404, init=c104.Init.NONE)
        if connection is None:
            raise Silent("c104 takes no connection to this address", subject=settings.id)
        self._connection = connection
        parameters = connection.protocol_parameters
        parameters.send_window_size, parameters.receive_window_size = settings.k, settings.w
        parameters.connection_timeout, parameters.message_timeout = settings.t0_s, settings.t1_s
        parameters.confirm_interval, parameters.keep_alive_interval = settings.t2_s, settings.t3_s
        self._handed_over = HandOver(places)
        self._listen(connection, stamp, wake)
        self._declare(connection, places)

    def _declare(self, connection: c104.Connection, places: Mapping[tuple[int, int], int]) -> None:
        handed_over = self._handed_over

        def on_point(
            point: c104.Point,
            previous_info: c104.Information,  # noqa: ARG001 - its signature
            message: c104.IncomingMessage,
        ) -> c104.ResponseState:
            try:
                handed_over.wait_for(bytes(message.raw), point.io_address)
            except BaseException:
                self.overflows += 1
            return c104.ResponseState.SUCCESS

        for common_address in dict.fromkeys(address for address, _ in places):
            station = connection.add_station(common_address=common_address)
            for (address, object_address), kind in places.items():
                if address == common_address and station is not None:
                    point = station.add_point(io_address=object_address, type=_TYPES[kind])
                    if point is not None:
                        point.on_receive(callable=on_point)

    def _listen(self, connection: c104.Connection, stamp: Callable[[], int], wake: Callable[[], None]) -> None:
        frames = self.frames

        def on_frame(connection: c104.Connection, data: bytes) -> None:  # noqa: ARG001 - its signature
            try:
                if len(data) > 6:  # S and U frames carry nothing
                    if len(frames) < _QUEUE_MAXIMUM:
                        frames.append((stamp(), data))
                    else:
                        self.overflows += 1
                    self._handed_over.arrived(data)
                    wake()
            except BaseException:
                self.overflows += 1

        def on_state(connection: c104.Connection, state: c104.ConnectionState) -> None:  # noqa: ARG001
            try:
                # States are told late and in order: only a link that was seen open can be lost.
                if (state == c104.ConnectionState.OPEN) != self._seen_open:
                    self._seen_open = not self._seen_open
                    frames.append((stamp(), STARTED if self._seen_open else LOST))
                wake()
            except BaseException:
                self.overflows += 1

        connection.on_receive_raw(callable=on_frame)
        connection.on_state_change(callable=on_state)

    @property
    def is_muted(self) -> bool:
        """Whether the socket is up and the start has not been confirmed."""
        return bool(self._connection.state == c104.ConnectionState.OPEN_MUTED)

    @property
    def is_closed(self) -> bool:
        """Whether nothing of it runs any more."""
        return bool(self._connection.state == c104.ConnectionState.CLOSED)

    def start(self) -> None:
        """Connect and keep connecting, in the library's threads."""
        self._client.start()

    def stop(self) -> None:
        """Disconnect; may block shortly."""
        self._client.stop()

    def unmute(self) -> None:
        """Ask for data once more (STARTDT)."""
        self._connection.unmute()

    def interrogate(self, common_address: int, kind: int) -> None:
        """Send a general or a counter interrogation; may block shortly. Counters are read as they are, not frozen."""
        if kind == COUNTER_INTERROGATION:
            self._connection.counter_interrogation(
                common_address=common_address, freeze=c104.Frz.READ, wait_for_response=False
            )
        else:
            self._connection.interrogation(common_address=common_address, wait_for_response=False)


@dataclass(slots=True)
class _Station:
    """One common address. `due_utc_ms`: when to interrogate next; `waiting`: kinds sent or to send, first one sent."""

    common_address: int
    points: tuple[Point, ...]
    kinds: tuple[int, ...]
    due_utc_ms: int | None = None
    waiting: list[int] = field(default_factory=list)
    asked_at_s: float = 0.0
    answering: bool = False


class Iec104Device:
    """One link to a controlled station with one or more common addresses."""

    def __init__(self, settings: Settings, points: tuple[Point, ...], clock: Clock) -> None:
        self.name, self.points = settings.id, points
        self._settings, self._clock = settings, clock
        self._link: Link | None = None
        self._retired: list[Link] = []
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"iec104[{settings.id}]")
        self._news = asyncio.Event()
        self._listening = False
        self._is_open = False
        self._muted_since_s: float | None = None
        self._fresh: list[Reading] = []
        self._reported: set[str] = set()
        self._scalings: dict[str, Scaling] = {p.name: scaling_of(p) for p in points if not p.guard}
        default = settings.common_addresses[0] if len(settings.common_addresses) == 1 else 0
        self._by_place = {(p.common_address or default, p.address): p for p in points}
        self._stations = {address: self._station(address) for address in settings.common_addresses}
        self.counts = {"garbled": 0, "unknown_object": 0, "queue_overflow": 0}

    def _station(self, address: int) -> _Station:
        points = tuple(p for (ca, _), p in self._by_place.items() if ca == address)
        counters = any(FAMILIES[int(p.area)] == 15 for p in points)
        return _Station(address, points, (INTERROGATION, COUNTER_INTERROGATION) if counters else (INTERROGATION,))

    async def open(self) -> None:
        """Connect and wait for the start of data. Once connected, the library reconnects by itself. Raises `Silent`."""
        loop = asyncio.get_running_loop()
        if self._is_open:
            return
        if self._link is None:
            self._retired = [link for link in self._retired if not link.is_closed]

            def wake() -> None:
                # Only while somebody waits: a frame that is merely collected later need not wake the loop.
                if self._listening:
                    loop.call_soon_threadsafe(self._news.set)

            places = {place: int(point.area) for place, point in self._by_place.items()}
            self._link = Link(self._settings, places, lambda: arrival_utc_ms(self._clock), wake)
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
            raise Silent(f"no 104 link within {self._settings.timeout_s} s", subject=self.name) from error
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
            _LOG.warning("%s: the link stays muted and is rebuilt", self.name)
            self._muted_since_s = None
            await self.close()
            raise TimeoutError
        elif now - self._muted_since_s > _MUTED_PATIENCE_S:
            await asyncio.get_running_loop().run_in_executor(self._threads, link.unmute)

    def _on_start(self) -> None:
        self._is_open = True
        self._reported.clear()
        now = self._clock.now_utc_ms()
        for station in self._stations.values():
            station.due_utc_ms, station.waiting, station.answering = now, [], False

    def _on_loss(self, stamp: int) -> None:
        """All values are invalid until the station has been interrogated again."""
        if self._is_open:
            self._is_open = False
            self._reported.clear()
            self._fresh += [Reading(p, None, Quality.INVALID, stamp) for p in self.points]
            for station in self._stations.values():
                station.answering, station.waiting = False, []

    async def close(self) -> None:
        """Disconnect and forget; nothing happens if it is closed."""
        link, self._link = self._link, None
        self._is_open = False
        if link is not None:
            await asyncio.get_running_loop().run_in_executor(self._threads, link.stop)
            if not link.is_closed:
                self._retired.append(link)

    def collect(self) -> list[Reading]:
        """What has come since the last call."""
        self._take()
        fresh, self._fresh = self._fresh, []
        return fresh

    async def read(self, points: Sequence[Point], *, budget_s: float) -> Answer:  # noqa: ARG002 - all come together
        """Interrogate where it is due, then hand over what has come; see `Device.read`."""
        self._take()
        if self._link is not None and not self._is_open and self._fresh:
            # The link was lost since the last read: say so at once, reconnection goes on by itself.
            return Answer(self.collect(), self._clock.now_utc_ms())
        await self.open()
        now = self._clock.now_utc_ms()
        for station in self._stations.values():
            if station.due_utc_ms is not None and station.due_utc_ms <= now:
                await self._interrogate(station)
            self._check_deadline(station)
        readings, now = self.collect(), self._clock.now_utc_ms()
        holding = [p for s in self._stations.values() if s.answering for p in s.points if p.name in self._reported]
        return Answer(readings, now, holding)

    async def _interrogate(self, station: _Station) -> None:
        """Ask and wait up to `timeout_s` for the end; a slower station goes on answering meanwhile."""
        assert self._link is not None
        loop = asyncio.get_running_loop()
        station.due_utc_ms = self._clock.now_utc_ms() + self._settings.interrogation_period_s * 1000
        station.waiting = list(station.kinds)
        end = loop.time() + self._settings.timeout_s
        self._listening = True
        try:
            await self._ask(station, end)
        finally:
            self._listening = False

    async def _ask(self, station: _Station, end: float) -> None:
        loop = asyncio.get_running_loop()
        while station.waiting and self._link is not None and loop.time() < end:
            asked = len(station.waiting)
            station.asked_at_s = loop.time()
            await loop.run_in_executor(
                self._threads, self._link.interrogate, station.common_address, station.waiting[0]
            )
            while len(station.waiting) == asked and loop.time() < end:
                self._news.clear()
                self._take()
                if len(station.waiting) == asked:
                    await self._wait_news(end - loop.time())

    def _check_deadline(self, station: _Station) -> None:
        late = asyncio.get_running_loop().time() - station.asked_at_s > self._settings.t1_s
        if station.waiting and late:
            self._give_up(station, Quality.INVALID)

    def _give_up(self, station: _Station, quality: Quality) -> None:
        station.answering, station.waiting = False, []
        now = self._clock.now_utc_ms()
        station.due_utc_ms = min(station.due_utc_ms or now, now) + _RETRY_MS
        self._fresh += [Reading(p, None, quality, now) for p in station.points]

    def _take(self) -> None:
        """Turn the frames that wait into readings."""
        link = self._link
        if link is None:
            return
        if link.overflows:
            _LOG.error("%s: %d frames did not fit into the queue; interrogating again", self.name, link.overflows)
            self.counts["queue_overflow"] += link.overflows
            link.overflows = 0
            for station in self._stations.values():
                station.due_utc_ms = self._clock.now_utc_ms()
        while link.frames:
            stamp, data = link.frames.popleft()
            if data is STARTED:
                self._on_start()
                continue
            if data is LOST:
                self._on_loss(stamp)
                continue
            try:
                asdu = decode_apdu(data)
            except Garbled as error:
                self.counts["garbled"] += 1
                _LOG.warning("%s: %s", self.name, error)
                continue
            if asdu is not None and not asdu.test:
                self._absorb(asdu, stamp)

    def _absorb(self, asdu: Asdu, stamp: int) -> None:
        station = self._stations.get(asdu.common_address)
        if station is None:
            self.counts["unknown_object"] += 1
        elif asdu.type == END_OF_INITIALISATION:
            station.due_utc_ms = stamp
        elif asdu.type in (INTERROGATION, COUNTER_INTERROGATION):
            self._on_command_answer(station, asdu)
        else:
            for item in asdu.objects:
                point = self._by_place.get((asdu.common_address, item.address))
                if point is None:
                    self.counts["unknown_object"] += 1
                else:
                    self._reported.add(point.name)
                    self._fresh.append(self._reading(point, asdu, item, stamp))

    def _on_command_answer(self, station: _Station, asdu: Asdu) -> None:
        if not station.waiting or asdu.type != station.waiting[0]:
            return
        if asdu.negative or asdu.cause > Cause.COUNTERS_REQUESTED + 4:
            error = Refused(
                f"interrogation {asdu.type} of {station.common_address} refused, cause {asdu.cause}", subject=self.name
            )
            _LOG.warning("%s", error)
            self._give_up(station, Quality.REFUSED)
        elif asdu.cause == Cause.ACTIVATION_TERMINATED:
            station.waiting.pop(0)
            if not station.waiting:
                station.answering = True
                missing = [p for p in station.points if p.name not in self._reported]
                lost = failed(missing, Silent("not in the interrogation", subject=self.name), self._clock.now_utc_ms())
                self._fresh += [r._replace(quality=Quality.INVALID) for r in lost]

    def _reading(self, point: Point, asdu: Asdu, item: InformationObject, stamp: int) -> Reading:
        tag = None
        if item.tag is not None and not Cause.INTERROGATED <= asdu.cause < Cause.COUNTERS_REQUESTED:
            tag = decode_time(item.tag, self._settings.utc_offset_min, stamp)
        event = asdu.cause in EVENT_CAUSES
        value, quality = None, item.quality
        if FAMILIES[asdu.type] != FAMILIES[int(point.area)]:
            quality = Quality.GARBLED
        elif quality.usable:
            raw = item.raw
            if point.bit is not None and isinstance(raw, int):
                raw = raw >> point.bit & 1
            value, judged = self._scalings[point.name].judge(raw)
            quality = quality if judged is Quality.GOOD else judged
        return Reading(point, value, quality, stamp, tag, event, item.data)
