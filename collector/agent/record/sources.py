# SPDX-License-Identifier: GPL-3.0-or-later
"""The source of each quantity of each unit: one as the configuration says it, and a compact table of all."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from collector.agent.record.unit_state import UnitState
from collector.points import Point

Place = tuple[UnitState, int]


@dataclass(frozen=True, slots=True)
class QuantitySource:
    """The point that gives a quantity of a unit. `stale_ms`: greatest age of a usable value; `backup`: second choice.

    `device`: the id of the device the point is read from.
    """

    point: Point
    unit: str
    stale_ms: int
    device: str = ""

    @property
    def key(self) -> tuple[object, ...]:
        """A key that is equal for sources of the same value, also after a reload.

        It holds all fields except the point's row, file and description.
        """
        return (self.device, self.unit, replace(self.point, file="", row=0, description=""))

    @property
    def backup(self) -> bool:
        """True if another point has priority."""
        return self.point.backup


class SourceTable:
    """All sources of a gateway with unit and slot, in columns: a fifth of the memory of one object per source.

    Points are known by identity: two devices may read by the same table, whose rows are then equal.
    """

    def __init__(self, sources: Sequence[QuantitySource], places: Mapping[int, Place]) -> None:
        """`places`: unit and slot of each source, by the `id()` of its point."""
        self._points = tuple(s.point for s in sources)
        self._devices = tuple(s.device for s in sources)
        self._units = tuple(places[id(p)][0] for p in self._points)
        self._slots = array("H", (places[id(p)][1] for p in self._points))
        self._by_id = array("I", sorted(range(len(sources)), key=lambda index: id(self._points[index])))

    def __len__(self) -> int:
        return len(self._points)

    def __iter__(self) -> Iterator[tuple[QuantitySource, UnitState, int]]:
        """Each source with its unit and slot, in the order they were given."""
        for point, device, unit, slot in zip(self._points, self._devices, self._units, self._slots, strict=True):
            yield QuantitySource(point, unit.layout.unit, unit.stale_ms[slot], device), unit, slot

    def find(self, point: Point) -> Place | None:
        """Unit and slot of a point's values; None for a point that is no source, e.g. a guard."""
        position = bisect_left(self._by_id, id(point), key=lambda index: id(self._points[index]))
        if position == len(self._by_id) or self._points[index := self._by_id[position]] is not point:
            return None
        return self._units[index], self._slots[index]
