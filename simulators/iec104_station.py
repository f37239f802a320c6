# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated IEC 104 controlled station: several common addresses, interrogation, spontaneous tagged changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from collector.points import Point
from simulators import iec104
from simulators.audit import Audit
from simulators.encoding import RawScale
from simulators.faults import Faults
from simulators.iec104_link import StationLink, Timing
from simulators.listener import Face
from simulators.signals import Board

_OBJECT_BYTES: Final = 240  # of an ASDU's 249, objects only
_HOUR_MS: Final = 3_600_000
_JUST: Final = 1 - 1e-9  # a step of the very dead band is reported, whatever its doubles are


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
        self._cyclic: list[tuple[int, InformationObject]] = []
        self._cycled_ms = now_utc_ms()
        for point in points:
            place = (point.common_address or self.common_addresses[0], point.address)
            item = InformationObject(*place, int(point.area), deadband=float(point.deadband or 0) * _JUST)
            self._objects[place] = item
            if point.period_s:
                self._cyclic.append((int(point.period_s * 1000), item))

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
            self._report(item, iec104.SPONTANEOUS)

        return sink

    @property
    def cyclic(self) -> bool:
        """Whether it has points to send periodically."""
        return bool(self._cyclic)

    def cycle(self, time_utc_ms: int) -> None:
        """Send what has a `period_s` and falls due at a multiple of it since the last call, once."""
        before, self._cycled_ms = self._cycled_ms, max(self._cycled_ms, time_utc_ms)
        for period_ms, item in self._cyclic:
            if time_utc_ms // period_ms > before // period_ms:
                self._report(item, iec104.CYCLIC)

    def _report(self, item: InformationObject, cause: int) -> None:
        if not self.faults.hit(self.device, "frozen"):
            asdu = iec104.encode_asdu(item.type_id, cause, item.common_address, [self._encode(item, tagged=True)])
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
        """Whether every started link has confirmed everything that fell due."""
        return all(session.settled for session in self.sessions)
