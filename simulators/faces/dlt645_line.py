# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated DL/T 645 meters, of 2007 or 1997, several on one line: behind a serial server (TCP) or on a pty."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Final

from collector.points import Point
from simulators.faces import dlt645
from simulators.faces.audit import Audit
from simulators.faces.encoding import Counter, RawScale, guard_raw
from simulators.faces.meter_face import MeterFace
from simulators.faults.faults import Faults
from simulators.plant.signals import Board

_SEGMENT: Final = 200  # data bytes of an answer, identifier included, before it needs a follow-up frame


class Meter:
    """One meter: its identifiers with their present data, and its number of requests."""

    def __init__(self, device: str, address: str) -> None:
        self.device = device
        self.address = dlt645.address_bytes(address)
        self.requests = 0
        self.counters: list[Counter] = []
        self.is_old = False
        self._data: dict[int, bytes] = {}
        self._frozen: dict[int, bytes] | None = None

    def connect(self, points: Sequence[Point], board: Board, default_unit: str) -> None:
        """Connect the board's signals to the registers. Points with identifiers the meter lacks get no answer."""
        self.is_old = all(dlt645.is_old(point.address) for point in points)
        for point in points:
            layout = dlt645.layout_of(point.address)
            if layout is not None and point.guard:
                self._data[point.address] = dlt645.encode_number(guard_raw(point), layout)
            elif layout is not None:
                sink = self._sink(point.address, layout, RawScale(point))
                board.signal(point.unit or default_unit, point.quantity).connect(sink)

    def _sink(self, identifier: int, layout: dlt645.NumberFormat, scale: RawScale) -> Callable[[int | None, int], None]:
        data = self._data
        if identifier >> 12 == 9 if dlt645.is_old(identifier) else identifier >> 24 == 0:
            return self._counter(identifier, layout, scale)

        def sink(stored: int | None, _time_utc_ms: int) -> None:
            if stored is not None:
                data[identifier] = dlt645.encode_number(scale.exact(stored), layout)

        return sink

    def _counter(self, identifier: int, layout: dlt645.NumberFormat, scale: RawScale) -> Counter:
        """An energy register: counts in units of its last digit and rolls over to 0."""
        unit = 10**layout.decimals

        def write(raw: int) -> None:
            self._data[identifier] = dlt645.encode_number(Fraction(raw, unit), layout)

        counter = Counter(lambda stored: dlt645.rounded(scale.exact(stored) * unit), 10 ** (2 * layout.size), write)
        self.counters.append(counter)
        return counter

    def freeze(self, frozen: bool) -> None:
        """Keep showing the present values although the plant moves."""
        self._frozen = dict(self._data) if frozen else None

    def deny(self, request: dlt645.Frame, code: int) -> bytes:
        """The frame that answers with an error, whatever was asked for."""
        self.requests += 1
        return self._frame(request.control | dlt645.ANSWER | dlt645.ERROR, bytes((code & 0xFF,)))

    def answer(self, request: dlt645.Frame) -> bytes:
        """The answering frame."""
        self.requests += 1
        control = request.control | dlt645.ANSWER
        if self.is_old:
            return self._old_answer(control, request.data)
        content = self._content(request.data[:4])
        if content is None or len(request.data) not in (4, 5):
            return self._frame(control | dlt645.ERROR, bytes((dlt645.NO_SUCH_DATA,)))
        if request.control == dlt645.READ_NEXT:
            number = request.data[4] if len(request.data) == 5 else 0
            part = content[_SEGMENT * number : _SEGMENT * (number + 1)]
            more = dlt645.MORE_FOLLOWS if len(content) > _SEGMENT * (number + 1) else 0
            return self._frame(control | more, request.data[:4] + part + bytes((number,)))
        more = dlt645.MORE_FOLLOWS if len(content) > _SEGMENT else 0
        return self._frame(control | more, request.data[:4] + content[:_SEGMENT])

    def _old_answer(self, control: int, identifier: bytes) -> bytes:
        """As a meter of 1997 answers; none of its data is so long that more follows."""
        content = self._content(identifier) if control == dlt645.READ_1997 | dlt645.ANSWER else None
        if content is None or len(identifier) != 2:
            return self._frame(control | dlt645.ERROR, bytes((dlt645.NO_SUCH_DATA,)))
        return self._frame(control, identifier + content)

    def _content(self, identifier: bytes) -> bytes | None:
        """The data of an identifier; FF in its second or third byte reads the whole block, in order."""
        data = self._frozen if self._frozen is not None else self._data
        wanted = int.from_bytes(identifier, "little")
        if wanted in data:
            return data[wanted]
        for shift in (8, 16):
            if wanted >> shift & 0xFF == 0xFF:
                mask = ~(0xFF << shift)
                found = [data[key] for key in sorted(data) if key & mask == wanted & mask]
                return b"".join(found) or None
        return None

    def _frame(self, control: int, data: bytes) -> bytes:
        return dlt645.encode_frame(self.address, control, data)


class MeterBus(MeterFace[dlt645.Frame]):
    """A line of meters, all of which receive each request."""

    def __init__(self, name: str, meters: Sequence[Meter], audit: Audit, faults: Faults) -> None:
        super().__init__(name, dlt645.Framer, audit, faults)
        self.meters = {meter.address: meter for meter in meters}

    def answers(self, request: dlt645.Frame) -> list[tuple[bytes, str]]:
        """(frame, device) of every meter addressed; a wildcard address is answered by all of them."""
        if request.control & dlt645.ANSWER:
            return []  # on a shared line answers are received too
        old = request.control in (dlt645.READ_1997, dlt645.READ_NEXT_1997)
        if not old and request.control not in (dlt645.READ, dlt645.READ_NEXT):
            raw = request.address + bytes((request.control,)) + request.data
            self.audit.forbid(self.name, raw, f"DL/T 645 control {request.control:02X}H is not a reading one")
            return []
        wanted = int.from_bytes(request.data[:4], "little")
        return [
            (
                meter.deny(request, denied.value)
                if (denied := self.faults.hit(meter.device, "exception"))
                else meter.answer(request),
                meter.device,
            )
            for meter in self.meters.values()
            if request.address in (meter.address, dlt645.WILDCARD)
            and meter.is_old is old
            and not ((fault := self.faults.active_at(meter.device, "mute")) and fault.value == wanted)
        ]

    def echo(self, request: dlt645.Frame) -> bytes:
        """The request as it was on the line."""
        return dlt645.encode_frame(request.address, request.control, request.data)
