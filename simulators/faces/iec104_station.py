# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated IEC 104 controlled station: several common addresses, interrogation, spontaneous tagged changes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from collector.points import Point
from simulators.faces import iec104
from simulators.faces.audit import Audit
from simulators.faces.encoding import Counter, RawScale, guard_raw, state_codes
from simulators.faces.iec104_link import StationLink, Timing
from simulators.faces.listener import Face, Listener
from simulators.faults.faults import Faults
from simulators.plant.signals import Board

_OBJECT_BYTES: Final = 240  # of an ASDU's 249, objects only
_HOUR_MS: Final = 3_600_000
_COUNTER_TURN: Final = 2**31  # of a binary counter reading
_WAITING_LIMIT: Final = 20_000
_JUST: Final = 1 - 1e-9  # a step of exactly the dead band is reported despite floating point errors


@dataclass(slots=True)
class PointState:
    """The present state of one point of the station. `value` None: nothing measured, sent with IV."""

    common_address: int
    address: int
    type_id: int
    value: float | int | None = None
    time_utc_ms: int = 0
    deadband: float = 0.0
    reported: float | int | None = None


def _is_real(item: PointState) -> bool:
    """Whether the object's type carries a real number."""
    return iec104.UNTAGGED.get(item.type_id, item.type_id) == 13


class Station(Face):
    """One device of the point table. Each link has its own sequence numbers and, usually, its own data stream.

    With a second address (`second`) its links form a redundancy group (IEC 60870-5-104, 10): only the link started last
    carries data, and ASDUs that a link leaves unconfirmed go to the next one that starts.
    """

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
        self.counters: list[Counter] = []
        self._wrap_shift_ms = 0
        self._initialised = True
        self._second: Listener | None = None
        self._waiting: deque[bytes] = deque(maxlen=_WAITING_LIMIT)
        self._now_utc_ms = now_utc_ms
        self._offset_min = utc_offset_min
        self._objects: dict[tuple[int, int], PointState] = {}
        self._counter_sequence = 0
        self._cyclic: list[tuple[int, PointState]] = []
        self._cycled_ms = now_utc_ms()
        for point in points:
            place = (point.common_address or self.common_addresses[0], point.address)
            if place in self._objects:
                continue  # several rows read this object; the first one defines it
            item = PointState(
                *place, int(point.area), deadband=float((point.deadband or 0) / abs(point.factor)) * _JUST
            )
            self._objects[place] = item
            if point.period_s:
                self._cyclic.append((int(point.period_s * 1000), item))

    def connect(self, points: Sequence[Point], board: Board, default_unit: str) -> None:
        """Connect the board's signals to the objects; changes are sent as spontaneous frames."""
        for point in points:
            place = (point.common_address or self.common_addresses[0], point.address)
            item = self._objects[place]
            if point.guard:
                raw = guard_raw(point)
                item.value = float(raw) if _is_real(item) else int(raw)
                continue
            counts = item.type_id in iec104.COUNTER_TYPES
            sink = self._counter(item, RawScale(point)) if counts else self._sink(item, point)
            board.signal(point.unit or default_unit, point.quantity).connect(sink)

    def _counter(self, item: PointState, scale: RawScale) -> Callable[[int | None, int], None]:
        def write(raw: int) -> None:
            item.value = raw

        def miss() -> None:
            item.value = None

        counter = Counter(scale.whole, _COUNTER_TURN, write, miss)
        self.counters.append(counter)

        def sink(stored: int | None, time_utc_ms: int) -> None:
            item.time_utc_ms = time_utc_ms
            counter(stored, time_utc_ms)

        return sink

    def _sink(self, item: PointState, point: Point) -> Callable[[int | None, int], None]:
        real, scale = _is_real(item), RawScale(point)
        codes = state_codes(point) if point.states else {}
        lowest = (point.bit or 0) if item.type_id in iec104.BIT_TYPES else 0
        mask = (1 << point.bit_count) - 1 << lowest if point.bit is not None and item.type_id in iec104.BIT_TYPES else 0

        def sink(stored: int | None, time_utc_ms: int) -> None:
            raw: float | None
            if codes:
                raw = None if stored is None else codes[stored]
            else:
                raw = None if stored is None else scale.real(stored) if real else scale.whole(stored)
            if mask and raw is not None:
                raw = int(item.value or 0) & ~mask | int(raw) << lowest & mask
            item.value = raw
            item.time_utc_ms = time_utc_ms
            if not self.sessions and self._second is None:
                return
            before, now = item.reported, item.value
            if item.deadband and before is not None and now is not None and abs(now - before) < item.deadband:
                return
            item.reported = item.value
            self._report(item, iec104.SPONTANEOUS)

        return sink

    @property
    def cyclic(self) -> bool:
        """Whether the station has points to send periodically."""
        return bool(self._cyclic)

    def cycle(self, time_utc_ms: int) -> None:
        """Send once every point with a `period_s` of which a multiple has passed since the last call."""
        before, self._cycled_ms = self._cycled_ms, max(self._cycled_ms, time_utc_ms)
        for period_ms, item in self._cyclic:
            if time_utc_ms // period_ms > before // period_ms:
                self._report(item, iec104.CYCLIC)

    def _report(self, item: PointState, cause: int) -> None:
        if not self.faults.hit(self.device, "frozen"):
            asdu = iec104.encode_asdu(item.type_id, cause, item.common_address, [self._encode(item, tagged=True)])
            for session in self.sessions:
                session.send(asdu)
            if self._second is not None and not any(session.started for session in self.sessions):
                self._waiting.append(asdu)

    def _encode(self, item: PointState, *, tagged: bool) -> bytes:
        type_id = item.type_id if tagged else iec104.UNTAGGED.get(item.type_id, item.type_id)
        invalid = item.value is None or self.faults.hit(self.device, "invalid") is not None
        tag = b""
        if type_id in iec104.TAGGED_TYPES:
            time_ms = (item.time_utc_ms or self._now_utc_ms()) + self.tag_shift_ms + self._wrap_shift_ms
            if fault := self.faults.hit(self.device, "clock_hour"):
                time_ms += fault.value or _HOUR_MS
            summer = self.summer or self.faults.hit(self.device, "summer_time") is not None
            unset = self.faults.hit(self.device, "invalid_time") is not None
            tag = iec104.encode_cp56(time_ms, offset_min=self._offset_min, invalid=unset, summer=summer)
        quality = iec104.IV if invalid else 0
        value = 0 if item.value is None else item.value
        return iec104.encode_object(item.address, type_id, value, quality, tag, sequence=self._counter_sequence)

    async def listen_second(self, host: str, port: int) -> int:
        """Open the redundant address; port 0 takes a free one. Returns the port."""
        self._second = Listener(lambda: StationLink(self, 2))
        return await self._second.open(host, port)

    def refuse(self, number: int = 0) -> None:
        """Refuse connections at the first (1) or second (2) address; 0: at both."""
        for address, listener in ((1, self._listener), (2, self._second)):
            if listener is not None and number in (0, address):
                listener.refuse()
        for session in tuple(self.sessions):
            if number in (0, session.address):
                session.abort()

    def accept(self) -> None:
        """Accept connections at every address again."""
        super().accept()
        if self._second is not None:
            self._second.accept()

    async def close(self) -> None:
        """Close all addresses."""
        if self._second is not None:
            self._second.close()
        await super().close()

    def start(self, link: StationLink) -> list[bytes]:
        """Let a link carry data; returns the ASDUs that wait for it. In a redundancy group all other links stop."""
        waiting: list[bytes] = []
        if not self._initialised:
            self._initialised = True
            content = bytes((0, 0, 0, iec104.LOCAL_POWER_ON))
            kind, cause = iec104.END_OF_INITIALISATION, iec104.INITIALISED
            waiting += [iec104.encode_asdu(kind, cause, address, [content]) for address in self.common_addresses]
        if self._second is not None:
            for other in self.sessions - {link}:
                self.keep(other.stop())
            waiting += self._waiting
            self._waiting.clear()
        return waiting

    def keep(self, unconfirmed: Sequence[bytes]) -> None:
        """Keep the unconfirmed ASDUs of a link for the next one of the group; without a group they are lost."""
        if self._second is not None:
            self._waiting.extend(unconfirmed)

    def restart(self) -> None:
        """Simulate a power loss: counters start at 0, nothing counts as reported, and end of initialisation is sent."""
        self._initialised = False
        self._counter_sequence = 0
        self._waiting.clear()
        for counter in self.counters:
            counter.restart()
        for item in self._objects.values():
            item.reported = None

    def wrap_year(self, before_ms: int | None) -> None:
        """Set the station's clock to `before_ms` before New Year; None: set it right again."""
        self._wrap_shift_ms = 0
        if before_ms is not None:
            now_ms = self._now_utc_ms() + self.tag_shift_ms
            local = datetime(1970, 1, 1) + timedelta(milliseconds=now_ms + self._offset_min * 60_000)
            self._wrap_shift_ms = (datetime(local.year + 1, 1, 1) - local) // timedelta(milliseconds=1) - before_ms

    def interrogation_answer(self, request: iec104.Asdu) -> list[bytes]:
        """The ASDUs that answer a general (100) or counter (101) interrogation, in order."""
        addresses = self.common_addresses if request.common_address == iec104.BROADCAST else (request.common_address,)
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
        """Whether every started link has confirmed all frames sent so far."""
        return all(session.settled for session in self.sessions)
