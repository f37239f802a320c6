# SPDX-License-Identifier: GPL-3.0-or-later
"""Information objects of a link into readings of the points that read them; other messages are counted.

Any number of points may read one object; an object is a value only for rows that name its family of types, and nothing
at all for the others. A double point that is between its two positions (00) keeps the last definite position for up to
`transit_s`, and a step position in transient state likewise: the change is then reported with the tag of the position
that was reached. A position without one before it, or an impossible one (11), is invalid at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from collector.agent.device.contract import Reading, Why
from collector.agent.device.iec60870.asdu import (
    BLOCKED,
    EVENT_CAUSES,
    FAMILIES,
    INVALID,
    NOT_TOPICAL,
    OVERFLOW,
    SUBSTITUTED,
    Asdu,
    InformationObject,
)
from collector.agent.device.registers import Guard, Scaling, scaling_of
from collector.base.text import Text, tr
from collector.model.quantity import BY_NAME, QuantityKind
from collector.model.record import Quality
from collector.points import Point

# Kinds of odd message that are told apart; a hostile station may send any number.
_ODDITIES_KEPT: Final = 100
# The bit that decides comes first.
_WHY: Final = (
    (INVALID, Why.INVALID), (OVERFLOW, Why.OVERFLOW), (NOT_TOPICAL, Why.NOT_TOPICAL), (BLOCKED, Why.BLOCKED),
    (SUBSTITUTED, Why.SUBSTITUTED),
)  # fmt: skip


class Oddities:
    """Messages that are no value of any point, in words, each with its count. `tell`: called once for each kind."""

    def __init__(self, tell: Callable[[Text], None]) -> None:
        self.counts: dict[str, int] = {}
        self._tell = tell
        self._known: dict[tuple[object, ...], Text] = {}

    def count(self, key: tuple[object, ...], text: Callable[[], Text]) -> None:
        """Count a message of the kind `key`; `text` gives its words."""
        if (known := self._known.get(key)) is None:
            if len(self._known) >= _ODDITIES_KEPT:
                return
            known = self._known[key] = text()
            self._tell(known)
        self.counts[known] = self.counts.get(known, 0) + 1


@dataclass(slots=True)
class _PointState:
    """A point and its present state.

    `family`: of its type; `usable`: its last reading had a value, `value`; `since_s`: when it left its last position;
    `why`: see `Why`; `other_type`: the station sends its object as this type only; `data`: the newest object's octets.
    """

    point: Point
    family: int
    scaling: Scaling | None
    guard: Guard | None
    is_status: bool
    usable: bool = False
    value: int | None = None
    since_s: float | None = None
    why: Why | None = None
    other_type: int = 0
    data: bytes = b""

    @classmethod
    def of(cls, point: Point) -> _PointState:
        """A point without any state yet."""
        quantity = BY_NAME.get(point.quantity)
        return cls(
            point, FAMILIES[int(point.area)], None if point.guard else scaling_of(point),
            Guard.parse(point.guard) if point.guard else None,
            quantity is not None and quantity.kind is QuantityKind.STATUS,
        )  # fmt: skip

    def forget(self) -> None:
        """Forget what was received."""
        self.usable, self.value, self.since_s, self.why, self.other_type = False, None, None, None, 0
        self.data = b""


class PointValues:
    """The points of a link by the objects they read.

    `puzzled`: a point did not come, or changed without a report; why may show in the next frames.

    Args:
        points: of all stations of the link.
        common_addresses: of the stations; a row that names none belongs to the only one.
        transit_s: how long a point may be between two positions.
        clock_s: seconds of a clock that never steps.
        oddities: where odd messages are counted.
    """

    def __init__(
        self, points: Sequence[Point], common_addresses: Sequence[int], transit_s: float,
        clock_s: Callable[[], float], oddities: Oddities,
    ) -> None:  # fmt: skip
        self.puzzled = False
        self._several = len(common_addresses) > 1
        self._transit_s, self._clock_s, self._oddities = transit_s, clock_s, oddities
        self._at: dict[tuple[int, int], list[_PointState]] = {}
        self._states: dict[str, _PointState] = {}
        self._travelling: list[_PointState] = []
        default = 0 if self._several else common_addresses[0]
        for point in points:
            state = self._states[point.name] = _PointState.of(point)
            self._at.setdefault((point.common_address or default, point.address), []).append(state)

    def of_station(self, common_address: int) -> tuple[Point, ...]:
        """The points that read objects of a common address."""
        return tuple(s.point for (ca, _), sharing in self._at.items() if ca == common_address for s in sharing)

    def why(self, point: Point) -> Why | None:
        """The station's own reason for a bad value; None where the value is good, or nothing is known."""
        return self._states[point.name].why

    def raws(self) -> dict[str, bytes]:
        """The elements of each point's newest object as received, quality and time tag included."""
        return {name: state.data for name, state in self._states.items()}

    def forget(self) -> None:
        """Start anew, after a loss of the link."""
        self._travelling.clear()
        for state in self._states.values():
            state.forget()

    def take(
        self, asdu: Asdu, item: InformationObject, stamp: int, tag: int | None
    ) -> list[tuple[Point, Reading | None]] | None:
        """The points with this object as their value, each with its reading; no reading: the last value stays.

        None: no row reads the object's address.
        """
        sharing = self._at.get((asdu.common_address, item.address))
        if sharing is None:
            return None
        family = FAMILIES[asdu.type]
        found = []
        for state in sharing:
            if state.family == family:
                found.append((state.point, self._reading(state, asdu, item, stamp, tag)))
            else:
                self._on_other_type(state, asdu.type)
        return found

    def _on_other_type(self, state: _PointState, kind: int) -> None:
        if state.other_type or not state.usable:
            state.other_type, point = kind, state.point
            where = f"{point.common_address}/{point.address}" if self._several else point.address
            self._oddities.count((point.address, point.area, kind), lambda: tr(
                "the station sent type {sent} for {address}; the table says {area}",
                sent=kind, address=where, area=point.area,
            ))  # fmt: skip

    def _reading(
        self, state: _PointState, asdu: Asdu, item: InformationObject, stamp: int, tag: int | None
    ) -> Reading | None:
        point, raw, quality, value = state.point, item.raw, item.quality, None
        state.other_type, state.data = 0, item.data
        if item.travelling and not item.bits & INVALID and state.usable and state.guard is None:
            if state.since_s is None:
                state.since_s = self._clock_s()
                self._travelling.append(state)
            return None
        if state.since_s is not None:
            self._arrive(state)
        state.why = _why(item) if item.bits or raw is None else None
        if quality.usable:
            if point.bit is not None and isinstance(raw, int):
                raw = raw >> point.bit & (1 << point.bit_count) - 1
            if state.scaling is not None:
                value, judged = state.scaling.judge(raw)
                quality = quality if judged is Quality.GOOD else judged
            elif state.guard is not None:
                quality = Quality.GOOD if state.guard.holds(point, raw) else Quality.SUSPECT
        event, usable = asdu.cause in EVENT_CAUSES, quality.usable
        if state.is_status and not event and state.usable and usable and state.value != value:
            self._on_unreported(point)
        state.usable, state.value = usable, value
        return Reading(point, value, quality, stamp, tag, event, item.data)

    def _arrive(self, state: _PointState) -> None:
        state.since_s = None
        self._travelling = [other for other in self._travelling if other is not state]

    def _on_unreported(self, point: Point) -> None:
        self.puzzled = True
        self._oddities.count(("unreported", point.name), lambda: tr(
            "{point} changed and the station did not report it: the change came with the next interrogation",
            point=point.name,
        ))  # fmt: skip

    def travelled_too_long(self, time_utc_ms: int) -> list[Reading]:
        """Invalid readings of the points that left their last position `transit_s` ago and reached no other."""
        if not self._travelling:
            return []
        limit_s = self._clock_s() - self._transit_s
        late = [state for state in self._travelling if state.since_s is not None and state.since_s <= limit_s]
        for state in late:
            self._arrive(state)
            state.forget()
            state.why = Why.TRAVELLING
        return [Reading(state.point, None, Quality.INVALID, time_utc_ms) for state in late]

    def absent(self, point: Point, time_utc_ms: int) -> Reading:
        """The reading of a point that an interrogation did not bring."""
        state = self._states[point.name]
        other_type = state.other_type
        self._arrive(state)
        state.forget()
        state.other_type, state.why = other_type, Why.OTHER_TYPE if other_type else Why.ABSENT
        self.puzzled |= not other_type
        return Reading(point, None, Quality.GARBLED if other_type else Quality.INVALID, time_utc_ms)


def _why(item: InformationObject) -> Why | None:
    for bit, why in _WHY:
        if item.bits & bit:
            return why
    if item.raw is None:
        return Why.TRAVELLING if item.travelling else Why.UNDEFINED
    return None
