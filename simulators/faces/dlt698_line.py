# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated DL/T 698.45 meters, several on one line: behind a serial server (TCP) or on a pseudo terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from collector.points import Point
from simulators.faces import dlt698
from simulators.faces.audit import Audit
from simulators.faces.dlt645 import address_bytes, rounded
from simulators.faces.encoding import Counter, RawScale, guard_raw
from simulators.faces.meter_face import MeterFace
from simulators.faults.faults import Faults
from simulators.plant.signals import Board

_LOGICAL: Final = 0x30


class ObjectMeter:
    """One meter: its attributes with their present elements, and its number of requests.

    `now_utc_ms`, `offset_min`: the time of its own clock, and what it shows of it, minutes east of UTC.
    """

    def __init__(self, device: str, address: str, logical: int, now_utc_ms: Callable[[], int], offset_min: int) -> None:
        self.device = device
        self.address, self.logical = address_bytes(address), logical
        self.requests = 0
        self.counters: list[Counter] = []
        self._now_utc_ms, self._offset_min = now_utc_ms, offset_min
        self._elements: dict[int, list[int | None]] = {}
        self._frozen: dict[int, list[int | None]] | None = None

    def connect(self, points: Sequence[Point], board: Board, default_unit: str) -> None:
        """Connect the board's signals to the elements. Attributes that the meter lacks get a refusal."""
        for point in points:
            layout = dlt698.layout_of(point.address)
            if layout is None:
                continue
            elements = self._elements.setdefault(point.address & ~0xFF, [0] * (layout.elements or 1))
            place = max(point.address & 0xFF, 1) - 1
            if point.guard:
                elements[place] = rounded(guard_raw(point) * 10**layout.decimals)
            else:
                sink = self._sink(elements, place, layout, RawScale(point))
                board.signal(point.unit or default_unit, point.quantity).connect(sink)

    def _sink(
        self, elements: list[int | None], place: int, layout: dlt698.AttributeLayout, scale: RawScale
    ) -> Callable[[int | None, int], None]:
        def whole(stored: int) -> int:
            return rounded(scale.exact(stored) * 10**layout.decimals)

        def write(raw: int) -> None:
            elements[place] = raw

        def sink(stored: int | None, _time_utc_ms: int) -> None:
            elements[place] = None if stored is None else whole(stored)

        if layout.tag in (0x06, 0x15):  # an energy register rolls over to 0
            self.counters.append(Counter(whole, 1 << 8 * layout.size, write, lambda: sink(None, 0)))
            return self.counters[-1]
        return sink

    def freeze(self, frozen: bool) -> None:
        """Keep showing the present values although the plant moves."""
        self._frozen = {oad: list(numbers) for oad, numbers in self._elements.items()} if frozen else None

    def answer(self, request: dlt698.Request, oads: Sequence[int], dar: int | None = None) -> bytes:
        """The answering frame. `dar`: the reason why it gives nothing, in place of the data of each attribute."""
        self.requests += 1
        results = [
            oad.to_bytes(4, "big") + (self._result(oad) if dar is None else bytes((0, dar & 0xFF))) for oad in oads
        ]
        count = bytes((len(oads),)) if request.apdu[1] == dlt698.LIST else b""
        apdu = bytes((dlt698.GET_ANSWER, request.apdu[1], request.apdu[2])) + count + b"".join(results) + b"\0\0"
        flag = request.flag & _LOGICAL | len(self.address) - 1
        return dlt698.encode_frame(dlt698.FROM_METER, flag, self.address, request.client, apdu)

    def _result(self, oad: int) -> bytes:
        if oad == dlt698.CLOCK:
            local = datetime(1970, 1, 1) + timedelta(milliseconds=self._now_utc_ms() + self._offset_min * 60_000)
            return (
                b"\1\x1c"
                + local.year.to_bytes(2, "big")
                + bytes((local.month, local.day, local.hour, local.minute, local.second))
            )
        if oad == dlt698.ADDRESS:
            return b"\1\x09\6" + self.address[::-1]
        layout = dlt698.layout_of(oad)
        elements = (self._frozen or self._elements).get(oad & ~0xFF)
        if layout is None or elements is None:
            return bytes((0, dlt698.UNDEFINED_OBJECT))
        if oad & 0xFF and layout.elements:
            one = dlt698.AttributeLayout(0, layout.tag, layout.size, layout.decimals, layout.signed)
            return b"\1" + dlt698.encode_attribute(one, [elements[(oad & 0xFF) - 1]])
        return b"\1" + dlt698.encode_attribute(layout, elements)


class ObjectMeterBus(MeterFace[dlt698.Request]):
    """A line of meters, all of which receive each request."""

    checksum_at = -3

    def __init__(self, name: str, meters: Sequence[ObjectMeter], audit: Audit, faults: Faults) -> None:
        super().__init__(name, dlt698.Framer, audit, faults)
        self.meters = tuple(meters)

    def answers(self, request: dlt698.Request) -> list[tuple[bytes, str]]:
        """(frame, device) of every meter addressed; a wildcard address is answered by all of them."""
        if request.control & 0x80:
            return []  # on a shared line answers are received too
        oads = request.oads
        if request.control != dlt698.FROM_CLIENT or oads is None:
            raw = bytes((request.control, request.flag)) + request.address + request.apdu
            self.audit.forbid(self.name, raw, "DL/T 698.45: not GET of one or several attributes")
            return []
        return [
            (meter.answer(request, oads, self._reason(meter)), meter.device)
            for meter in self.meters
            if (request.address == dlt698.WILDCARD
                or (request.address, request.flag >> 4 & 3) == (meter.address, meter.logical))
            and not ((fault := self.faults.active_at(meter.device, "mute")) and fault.value in oads)
        ]  # fmt: skip

    def _reason(self, meter: ObjectMeter) -> int | None:
        """The DAR with which a meter denies everything; None while it does not."""
        fault = self.faults.hit(meter.device, "exception")
        return fault.value if fault else None

    def echo(self, request: dlt698.Request) -> bytes:
        """The request as it was on the line."""
        return dlt698.encode_frame(request.control, request.flag, request.address, request.client, request.apdu)
