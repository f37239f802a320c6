# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated IEC 60870-5-101 stations, several on one line, or one that sends by itself (balanced).

Unbalanced: changes and answers to interrogations wait as class 1 data, cyclic values as class 2. Balanced: one message
after the other, each repeated until it is acknowledged; the link is reset first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, cast

from collector.points import Point
from simulators.faces import iec104
from simulators.faces.audit import Audit
from simulators.faces.iec101 import codec as iec101
from simulators.faces.iec101.codec import Telegram, Widths
from simulators.faces.iec104_station import Station
from simulators.faces.listener import Face
from simulators.faults.faults import Faults, peer_name

_QUEUE_LIMIT: Final = 20_000
_READING: Final = (bytes((iec104.INTERROGATION,)), bytes((iec104.COUNTER_INTERROGATION,)))
_SERVICES: Final = (
    iec101.RESET, iec101.TEST, iec101.SEND, iec101.REQUEST_STATUS, iec101.REQUEST_1, iec101.REQUEST_2,
)  # fmt: skip
_REPEAT_S: Final = 1.0


class LineStation(Station):
    """One station: link address `address`, and the contents of a 104 one."""

    def __init__(
        self, device: str, points: Sequence[Point], common_addresses: Sequence[int], audit: Audit, faults: Faults, *,
        address: int, widths: Widths, now_utc_ms: Callable[[], int], utc_offset_min: int,
    ) -> None:  # fmt: skip
        super().__init__(
            device, points, common_addresses, audit, faults, now_utc_ms=now_utc_ms, utc_offset_min=utc_offset_min
        )
        self.address, self.widths = address, widths
        self.started, self.overflowed = False, 0  # what happens before the first reset of the link is not told
        self.happened: deque[bytes] = deque()
        self.cyclic_values: deque[bytes] = deque()
        self.on_news: Callable[[], None] = lambda: None
        self._count: int | None = None
        self._last = b""
        self.sessions.add(self)  # type: ignore[arg-type]  # of a session it has what a station calls: send, settled

    @property
    def settled(self) -> bool:
        """Time need not wait: whoever asks comes in its own time."""
        return True

    def send(self, asdu: bytes) -> None:
        """Let a message wait once the link is reset; beyond the queue's limit the oldest is dropped."""
        if not self.started:
            return
        queue = self.cyclic_values if asdu[2] == iec104.CYCLIC else self.happened
        if len(queue) >= _QUEUE_LIMIT:
            queue.popleft()
            self.overflowed += 1
        queue.append(iec101.narrow(asdu, self.widths))
        self.on_news()

    def restart(self) -> None:
        """Simulate a power loss: also what waited is gone."""
        super().restart()
        self.happened.clear()
        self.cyclic_values.clear()
        self._count, self.started = None, False

    def answer(self, telegram: Telegram) -> bytes:
        """The reply to a request, the last one again where it is repeated; empty for none."""
        self.requests += 1
        self._look_at(telegram)
        counts = telegram.control & iec101.COUNTS
        if counts and telegram.control & iec101.COUNT == self._count:
            return self._last
        self._count = telegram.control & iec101.COUNT if counts else None
        function, asdu = self._reply(telegram)
        if function is None:
            self._last = b""
            return b""
        full = iec101.FULL if self.faults.hit(self.device, "link_busy") else 0
        # A controlling station of a balanced link has a direction, and is not asked for demands.
        is_asked = not telegram.control & iec101.DIRECTION and function != iec101.NOT_IMPLEMENTED
        demand = iec101.DEMAND if self.happened and is_asked else 0
        self._last = iec101.encode(function | full | demand, self.address, self.widths, asdu)
        return self._last

    def _reply(self, telegram: Telegram) -> tuple[int | None, bytes]:
        function = telegram.function
        if not self.started and function in (iec101.TEST, iec101.REQUEST_1, iec101.REQUEST_2, iec101.SEND):
            return None, b""  # a link that was never reset, or lost its frame count, stays silent
        if function == iec101.RESET:
            self.started = True
            for asdu in self.start(self):  # type: ignore[arg-type]  # as above
                self.send(asdu)
            return iec101.ACK, b""
        if function == iec101.TEST:
            return iec101.ACK, b""
        if function == iec101.REQUEST_STATUS:
            return iec101.STATUS, b""
        if function in (iec101.REQUEST_1, iec101.REQUEST_2):
            queue = self.happened if function == iec101.REQUEST_1 else self.cyclic_values
            return (iec101.DATA, queue.popleft()) if queue else (iec101.NO_DATA, b"")
        if function == iec101.SEND:
            if self.faults.hit(self.device, "link_busy"):
                self._count = None  # not taken: the same frame counts when it comes again
                return iec101.NACK, b""
            self._serve(telegram)
            return iec101.ACK, b""
        return iec101.NOT_IMPLEMENTED, b""

    def _look_at(self, telegram: Telegram) -> None:
        """Note a request that does not only read."""
        function, asdu = telegram.function, telegram.asdu
        if function not in _SERVICES:
            self.audit.forbid(self.device, telegram.raw, f"IEC 101 link function {function} is none that reads")
        elif function == iec101.SEND and asdu[:1] not in _READING:
            self.audit.forbid(self.device, telegram.raw, f"IEC 101 type {asdu[:1].hex()}h is not an interrogation")

    def _serve(self, telegram: Telegram) -> None:
        request = iec101.widen(telegram.asdu, self.widths)
        if telegram.asdu[:1] not in _READING:
            self._refuse(request, iec104.UNKNOWN_TYPE)
        elif request.cause != iec104.ACTIVATION:
            self._refuse(request, iec104.UNKNOWN_CAUSE)
        elif request.common_address not in (*self.common_addresses, iec104.BROADCAST):
            self._refuse(request, iec104.UNKNOWN_ADDRESS)
        else:
            for asdu in self.interrogation_answer(request):
                self.send(asdu)

    def _refuse(self, request: iec104.Asdu, cause: int) -> None:
        negative = cause | iec104.NEGATIVE
        self.send(iec104.encode_asdu(request.type_id, negative, request.common_address, [request.objects]))


class StationBus(Face):
    """A line of stations; `balanced`: of one, which is a primary too."""

    def __init__(
        self, name: str, stations: Sequence[LineStation], audit: Audit, faults: Faults, *, balanced: bool
    ) -> None:
        super().__init__(lambda: (SendingLink if balanced else BusLink)(self))
        self.name, self.stations, self.audit, self.faults = name, tuple(stations), audit, faults
        self.widths = stations[0].widths


class BusLink(asyncio.Protocol):
    """One connection to a line."""

    def __init__(self, bus: StationBus) -> None:
        self._bus, self._framer = bus, iec101.Framer(bus.widths)
        self._transport: asyncio.Transport | None = None
        self.peer = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A master has connected."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transport does not inherit from it
        self.peer = peer_name(transport)
        self._bus.links.add(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        """The master has disconnected."""
        self._transport = None
        self._bus.links.discard(self)

    def abort(self) -> None:
        """Reset the connection."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Process every complete frame."""
        self._bus.audit.chunks.append((self._bus.name, data))
        for telegram in self._framer.feed(data):
            self._take(telegram)

    def _take(self, telegram: Telegram) -> None:
        if not telegram.by_primary:
            return  # on a shared line answers are received too
        for station in self._bus.stations:
            if station.address == telegram.address or not self._bus.widths.link:
                self._write(station.answer(telegram), station, telegram.raw)

    def _write(self, frame: bytes, station: LineStation, request: bytes = b"") -> None:
        if frame and self._transport is not None:
            self._bus.faults.deliver(self._transport, frame, station.device, checksum_at=-2, request=request)


class SendingLink(BusLink):
    """One connection to a balanced line: the station sends what happens, one message after the other."""

    def __init__(self, bus: StationBus) -> None:
        super().__init__(bus)
        (self._station,) = bus.stations
        self._count = iec101.COUNT
        self._under_way = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A master has connected: the link is reset first."""
        super().connection_made(transport)
        self._station.on_news = self._next
        self._send(iec101.PRIMARY | iec101.RESET, b"")

    def connection_lost(self, exc: Exception | None) -> None:
        """The master has disconnected; what was not acknowledged is lost."""
        super().connection_lost(exc)
        self._station.on_news = lambda: None
        if self._timer is not None:
            self._timer.cancel()

    def _take(self, telegram: Telegram) -> None:
        if telegram.by_primary:
            super()._take(telegram)
        elif telegram.function == iec101.ACK:
            self._under_way = b""
            self._next()

    def _next(self) -> None:
        station = self._station
        if self._under_way or self._transport is None:
            return
        queue = station.happened or station.cyclic_values
        if queue:
            self._send(iec101.PRIMARY | iec101.COUNTS | self._count | iec101.SEND, queue.popleft())
            self._count ^= iec101.COUNT

    def _send(self, control: int, asdu: bytes) -> None:
        self._under_way = iec101.encode(control, self._station.address, self._bus.widths, asdu)
        self._repeat()

    def _repeat(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._under_way and self._transport is not None:
            self._write(self._under_way, self._station)
            self._timer = asyncio.get_running_loop().call_later(_REPEAT_S, self._repeat)
