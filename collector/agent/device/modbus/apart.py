# SPDX-License-Identifier: GPL-3.0-or-later
"""Points kept out of a device's plan, because a request for them was refused or got no answer while others did.

A group of points that got no answer is asked last, at most one group in a read; still without answer it is halved, and
the halves asked in the reads that follow, until a single place is found, which then rests longer and longer. A refused
place rests likewise, each alone; a refused group is halved within the read (`driver`), since refusals cost no time-out.
A group that answers goes back into the plan.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from collector.agent.device.turns import LONGEST_REST_S, Rest
from collector.base.errors import DeviceError, Refused
from collector.points import Point


@dataclass(slots=True, eq=False)
class Group:
    """Points asked in requests of their own; `error`: the reason."""

    points: tuple[Point, ...]
    error: DeviceError
    rest: Rest = field(default_factory=Rest)

    @property
    def is_mute(self) -> bool:
        """True if it got no answer, rather than a refusal."""
        return not isinstance(self.error, Refused)


class Apart:
    """The groups of one device. `names`: all points in them."""

    def __init__(self) -> None:
        self._groups: list[Group] = []
        self.names: set[str] = set()

    def _set(self, groups: Iterable[Group]) -> None:
        self._groups = list(groups)
        self.names = {p.name for g in self._groups for p in g.points}

    def due(self, points: Collection[Point], now_s: float) -> list[Group]:
        """The groups of these points to be asked now: refused places, then one that got no answer."""
        wanted = {p.name for p in points}
        due = [g for g in self._groups if g.rest.over_at_s <= now_s and not wanted.isdisjoint(p.name for p in g.points)]
        return [g for g in due if not g.is_mute] + [g for g in due if g.is_mute][:1]

    def left_alone(self, points: Collection[Point], asked: Collection[Group]) -> list[tuple[list[Point], DeviceError]]:
        """The points of these that are not asked now, with the reason of each group."""
        wanted = {p.name for p in points}
        return [([p for p in g.points if p.name in wanted], g.error) for g in self._groups if g not in asked]

    def refuse(self, points: Iterable[Point], error: Refused, now_s: float, longest_s: float) -> None:
        """Note that a single place was refused."""
        self._lengthen(tuple(points), error, now_s, longest_s)

    def _lengthen(self, points: tuple[Point, ...], error: DeviceError, now_s: float, longest_s: float) -> None:
        names = {p.name for p in points}
        before = next((g for g in self._groups if names.issuperset(p.name for p in g.points)), None)
        group = Group(points, error)
        if before is not None and before.is_mute is group.is_mute:
            group.rest = before.rest
        group.rest.lengthen(now_s, longest_s)
        self.put_back(points)
        self._set((*self._groups, group))

    def mute(self, points: Iterable[Point], error: DeviceError) -> None:
        """Ask points apart from the next read on: their request got no answer while others did."""
        points = tuple(points)
        self.put_back(points)
        self._set((*self._groups, Group(points, error)))

    def mute_again(self, points: Iterable[Point], error: DeviceError, now_s: float) -> None:
        """Halve a group that got no answer again, or let its only place rest."""
        points = tuple(points)
        places = sorted({_place(p) for p in points})
        if len(places) == 1:
            self._lengthen(points, error, now_s, LONGEST_REST_S)
            return
        middle = places[len(places) // 2]
        for lower in (True, False):
            self.mute((p for p in points if (_place(p) < middle) is lower), error)

    def put_back(self, points: Iterable[Point]) -> bool:
        """Return answered points to the plan; True if they had been apart."""
        names = {p.name for p in points}
        if names.isdisjoint(self.names):
            return False
        for group in self._groups:
            group.points = tuple(p for p in group.points if p.name not in names)
        self._set(g for g in self._groups if g.points)
        return True

    def forgive_silence(self) -> bool:
        """Return all silent groups to the plan: the device itself is silent. True if there were any."""
        count = len(self._groups)
        self._set(g for g in self._groups if not g.is_mute)
        return len(self._groups) < count


def _place(point: Point) -> tuple[str, int, int]:
    return point.area, point.address, point.registers
