# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated IEC 104 controlled station: several common addresses, interrogation, spontaneous tagged changes.

Sends within the window k, acknowledges within w or t2, tests an idle link after t3, closes one that does not
acknowledge within t1. These timers are protocol, so they run in real time also in a simulated month.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, cast

from collector.points import Point
from simulators import iec104
from simulators.audit import Audit
from simulators.encoding import RawScale
from simulators.faults import Faults, peer_name
from simulators.listener import Face
from simulators.signals import Board

_QUEUE_LIMIT: Final = 20_000
_OBJECT_BYTES: Final = 240  # of an ASDU's 249, objects only
_BROADCAST: Final = 0xFFFF
_HOUR_MS: Final = 3_600_000


@dataclass(slots=True)
class InformationObject:
    """One point of the station as it stands. `value` None: nothing measured, sent with IV."""

    common_address: int
    address: int
    type_id: int
    value: float | int | None = None
    time_utc_ms: int = 0
    deadband: float = 0.0
    reported: float | int | None = None


@dataclass(frozen=True, slots=True)
class Timing:
    """The station's parameters (IEC 60870-5-104, 9.6), seconds."""

    k: int = 12
    w: int = 8
    t1_s: float = 15.0
    t2_s: float = 10.0
    t3_s: float = 20.0


class Station(Face):
    """A port of one device of the point table; may have several links, each with its own sequence numbers."""

    def __init__(
        self, device: str, points: Sequence[Point], common_addresses: Sequence[int], audit: Audit, faults: Faults, *,
        now_utc_ms: Callable[[], int], utc_offset_min: int = 480, timing: Timing | None = None,
    ) -> None:  # fmt: skip
        super().__init__(lambda: StationLink(self))
        self.device = device
        self.audit = audit
        self.faults = faults
        self.timing = timing or Timing()
        self.sessions: set[StationLink] = set()
        self.requests = 0
        self.common_addresses = tuple(common_addresses)
        self.on_acknowledged: Callable[[], None] = lambda: None
        self.summer = False
        self.tag_shift_ms = 0
        self._now_utc_ms = now_utc_ms
        self._offset_min = utc_offset_min
        self._objects: dict[tuple[int, int], InformationObject] = {}
        self._counter_sequence = 0
        for point in points:
            place = (point.common_address or self.common_addresses[0], point.address)
            self._objects[place] = InformationObject(*place, int(point.area), deadband=float(point.deadband or 0))

    def connect(self, points: Sequence[Point], board: Board, default_unit: str) -> None:
        """Let the board's signals become values, and their changes spontaneous frames."""
        for point in points:
            place = (point.common_address or self.common_addresses[0], point.address)
            sink = self._sink(self._objects[place], RawScale(point))
            board.signal(point.unit or default_unit, point.quantity).connect(sink)

    def _sink(self, item: InformationObject, scale: RawScale) -> Callable[[int | None, int], None]:
        real = iec104.UNTAGGED.get(item.type_id, item.type_id) in (9, 13, 21)
        counter = item.type_id in iec104.COUNTER_TYPES

        def sink(stored: int | None, time_utc_ms: int) -> None:
            item.value = None if stored is None else scale.real(stored) if real else scale.whole(stored)
            item.time_utc_ms = time_utc_ms
            if counter or not self.sessions:
                return
            before, now = item.reported, item.value
            if item.deadband and before is not None and now is not None and abs(now - before) < item.deadband:
                return
            item.reported = item.value
            self._spontaneous(item)

        return sink

    def _spontaneous(self, item: InformationObject) -> None:
        if self.faults.hit(self.device, "frozen"):
            return
        asdu = iec104.encode_asdu(
            item.type_id, iec104.SPONTANEOUS, item.common_address, [self._encode(item, tagged=True)]
        )
        for session in self.sessions:
            session.send(asdu)

    def _encode(self, item: InformationObject, *, tagged: bool) -> bytes:
        type_id = item.type_id if tagged else iec104.UNTAGGED.get(item.type_id, item.type_id)
        invalid = item.value is None or self.faults.hit(self.device, "invalid") is not None
        tag = b""
        if type_id in iec104.TAGGED_TYPES:
            time_ms = (item.time_utc_ms or self._now_utc_ms()) + self.tag_shift_ms
            if fault := self.faults.hit(self.device, "clock_hour"):
                time_ms += fault.value or _HOUR_MS
            summer = self.summer or self.faults.hit(self.device, "summer_time") is not None
            tag = iec104.encode_cp56(time_ms, offset_min=self._offset_min, summer=summer)
        quality = iec104.IV if invalid else 0
        value = 0 if item.value is None else item.value
        return iec104.encode_object(item.address, type_id, value, quality, tag, sequence=self._counter_sequence)

    def interrogation_answer(self, request: iec104.Asdu) -> list[bytes]:
        """Everything the station says to a general (100) or counter (101) interrogation, in order."""
        addresses = self.common_addresses if request.common_address == _BROADCAST else (request.common_address,)
        answers = []
        for address in addresses:
            answers.append(self._confirm(request, address, iec104.ACTIVATION_CON))
            counters = request.type_id == iec104.COUNTER_INTERROGATION
            if counters:
                self._counter_sequence = (self._counter_sequence + 1) % 32
            answers.extend(self._contents(address, counters=counters))
            if not self.faults.hit(self.device, "no_termination"):
                answers.append(self._confirm(request, address, iec104.ACTIVATION_TERM))
        return answers

    def _confirm(self, request: iec104.Asdu, address: int, cause: int) -> bytes:
        return iec104.encode_asdu(request.type_id, cause, address, [request.objects], originator=request.originator)

    def _contents(self, common_address: int, *, counters: bool) -> list[bytes]:
        cause = iec104.COUNTERS_REQUESTED if counters else iec104.INTERROGATED
        by_type: dict[int, list[bytes]] = {}
        for item in self._objects.values():
            if item.common_address == common_address and (item.type_id in iec104.COUNTER_TYPES) == counters:
                type_id = item.type_id if counters else iec104.UNTAGGED.get(item.type_id, item.type_id)
                by_type.setdefault(type_id, []).append(self._encode(item, tagged=counters))
                item.reported = item.value
        answers: list[bytes] = []
        for type_id, objects in by_type.items():
            per_asdu = max(1, min(127, _OBJECT_BYTES // len(objects[0])))
            parts = (objects[start : start + per_asdu] for start in range(0, len(objects), per_asdu))
            answers.extend(iec104.encode_asdu(type_id, cause, common_address, part) for part in parts)
        return answers

    @property
    def acknowledged(self) -> bool:
        """Whether every started link has confirmed everything that fell due."""
        return all(session.settled for session in self.sessions)


class StationLink(asyncio.Protocol):
    """One connection: sequence numbers, windows, timers."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._framer = iec104.Framer()
        self._transport: asyncio.Transport | None = None
        self.peer = ""
        self._timer: asyncio.TimerHandle | None = None
        self._queue: deque[bytes] = deque()
        self._started = False
        self._next_send = 0
        self._next_receive = 0
        self._confirmed = 0
        self._acknowledged_received = 0
        self._oldest_unconfirmed_s = 0.0
        self._oldest_unacknowledged_s = 0.0
        self._last_heard_s = 0.0
        self._test_sent_s = 0.0
        self._check_s = 0.5
        self.overflowed = 0

    @property
    def settled(self) -> bool:
        """Nothing is queued or waits for its N(R); a stopped link owes nothing."""
        return not self._started or (not self._queue and self._next_send == self._confirmed)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A controlling station has come."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self.peer = peer_name(transport)
        self._station.links.add(self)
        self._station.sessions.add(self)
        self._last_heard_s = self._clock_s()
        timing = self._station.timing
        self._check_s = min(0.5, timing.t1_s / 2, timing.t2_s / 2, timing.t3_s / 2)
        self._timer = asyncio.get_running_loop().call_later(self._check_s, self._check_timers)

    def connection_lost(self, _exc: Exception | None) -> None:
        """It has gone; what it did not confirm is lost with it."""
        self._transport = None
        self._started = False
        if self._timer is not None:
            self._timer.cancel()
        self._station.links.discard(self)
        self._station.sessions.discard(self)
        self._station.on_acknowledged()

    def abort(self) -> None:
        """Reset the connection."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take frames in order; anything that is no APDU ends the link, as the standard asks."""
        station = self._station
        station.audit.chunks.append((station.device, data))
        self._last_heard_s = self._clock_s()
        self._test_sent_s = 0.0
        try:
            for frame in self._framer.feed(data):
                if frame.kind == "U":
                    self._take_u(frame.function)
                    continue
                if not self._confirm(frame.receive):
                    self.abort()
                    return
                if frame.kind == "I" and not self._take_i(frame):
                    self.abort()
                    return
        except iec104.FrameError as error:
            station.audit.forbid(station.device, data, str(error))
            self.abort()
            return
        self._pump()
        if self.settled:
            station.on_acknowledged()

    def _confirm(self, receive: int) -> bool:
        """Take an N(R); False where it confirms what was never sent."""
        if (receive - self._confirmed) % 32768 > (self._next_send - self._confirmed) % 32768:
            return False
        self._confirmed = receive
        self._oldest_unconfirmed_s = self._clock_s()
        return True

    def _take_i(self, frame: iec104.Frame) -> bool:
        if frame.send != self._next_receive or not self._started:
            return False
        if self._next_receive == self._acknowledged_received:
            self._oldest_unacknowledged_s = self._clock_s()
        self._next_receive = (self._next_receive + 1) % 32768
        self._serve(iec104.decode_asdu(frame.asdu), frame.asdu)
        if (self._next_receive - self._acknowledged_received) % 32768 >= self._station.timing.w:
            self._acknowledge()
        return True

    def _serve(self, request: iec104.Asdu, raw: bytes) -> None:
        station = self._station
        station.requests += 1
        if request.type_id not in (iec104.INTERROGATION, iec104.COUNTER_INTERROGATION):
            station.audit.forbid(station.device, raw, f"IEC 104 type {request.type_id} is not an interrogation")
            self._refuse(raw, iec104.UNKNOWN_TYPE)
        elif request.cause != iec104.ACTIVATION:
            self._refuse(raw, iec104.UNKNOWN_CAUSE)
        elif request.common_address not in (*station.common_addresses, _BROADCAST):
            self._refuse(raw, iec104.UNKNOWN_ADDRESS)
        else:
            for asdu in station.interrogation_answer(request):
                self.send(asdu)

    def _refuse(self, raw: bytes, cause: int) -> None:
        self.send(raw[:2] + bytes((cause | iec104.NEGATIVE,)) + raw[3:])

    def _take_u(self, function: int) -> None:
        if function == iec104.STARTDT_ACT:
            self._started = True
            self._write(iec104.encode_u(iec104.STARTDT_CON))
        elif function == iec104.STOPDT_ACT:
            self._started = False
            if self._next_receive != self._acknowledged_received:
                self._acknowledge()
            self._write(iec104.encode_u(iec104.STOPDT_CON))
        elif function == iec104.TESTFR_ACT:
            self._write(iec104.encode_u(iec104.TESTFR_CON))
        elif function != iec104.TESTFR_CON:
            raise iec104.FrameError(f"a U frame a controlling station never sends: {function:#04x}")

    def send(self, asdu: bytes) -> None:
        """Queue an ASDU for a started link; beyond the queue's limit the oldest is dropped and counted."""
        if not self._started:
            return
        if len(self._queue) >= _QUEUE_LIMIT:
            self._queue.popleft()
            self.overflowed += 1
        self._queue.append(asdu)
        self._pump()

    def _pump(self) -> None:
        while self._queue and self._started and (self._next_send - self._confirmed) % 32768 < self._station.timing.k:
            if self._next_send == self._confirmed:
                self._oldest_unconfirmed_s = self._clock_s()
            skip = 1 if self._station.faults.hit(self._station.device, "sequence") else 0
            frame = iec104.encode_i((self._next_send + skip) % 32768, self._next_receive, self._queue.popleft())
            self._next_send = (self._next_send + 1) % 32768
            self._acknowledged_received = self._next_receive
            self._write(frame)

    def _acknowledge(self) -> None:
        self._acknowledged_received = self._next_receive
        self._write(iec104.encode_s(self._next_receive))

    def _write(self, frame: bytes) -> None:
        if self._transport is not None:
            self._station.faults.deliver(self._transport, frame, self._station.device)

    def _check_timers(self) -> None:
        if self._transport is None:
            return
        now_s, timing = self._clock_s(), self._station.timing
        self._timer = asyncio.get_running_loop().call_later(self._check_s, self._check_timers)
        late_confirm = self._next_send != self._confirmed and now_s - self._oldest_unconfirmed_s > timing.t1_s
        if late_confirm or (self._test_sent_s and now_s - self._test_sent_s > timing.t1_s):
            self.abort()
            return
        if self._next_receive != self._acknowledged_received and now_s - self._oldest_unacknowledged_s > timing.t2_s:
            self._acknowledge()
        if now_s - self._last_heard_s > timing.t3_s and not self._test_sent_s:
            self._test_sent_s = now_s
            self._write(iec104.encode_u(iec104.TESTFR_ACT))

    def _clock_s(self) -> float:
        return asyncio.get_running_loop().time()
