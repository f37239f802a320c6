# SPDX-License-Identifier: GPL-3.0-or-later
"""What a subscriber got of the reads of the devices: which values arrived, and which arrived again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from bench.gateways.registers import POINTS

Key = tuple[int, int]  # device, read
PERIOD_MS: Final = 1000


@dataclass
class Arrivals:
    """What arrived: the points of each read, and when it is said to have been.

    `twice`: values that arrived once more with the same time. `gaps`: of each device, intervals, UTC ms, half-open, for
    which a message says that there is nothing. `bytes`: topic and payload of every message that carried values.
    """

    values: dict[Key, set[int]] = field(default_factory=dict)
    times_ms: dict[Key, int] = field(default_factory=dict)
    gaps: dict[int, set[tuple[int, int]]] = field(default_factory=dict)
    twice: int = 0
    bytes: int = 0
    _seen: set[tuple[int, int, int]] = field(default_factory=set)

    def take(self, device: int, read: int, points: Sequence[int], time_ms: int) -> None:
        """Values of one instant of a device: the numbers of their points, in `POINTS`."""
        self.values.setdefault((device, read), set()).update(points)
        self.times_ms[device, read] = time_ms
        for point in points:
            self.twice += (device, point, time_ms) in self._seen
            self._seen.add((device, point, time_ms))

    def count(self) -> int:
        """Values that arrived, each once."""
        return sum(map(len, self.values.values()))

    def lost(self, after: Sequence[int], through: Sequence[int]) -> int:
        """Values of the reads after `after` through `through`, of each device, that did not arrive."""
        return sum(map(len, self._missing(after, through).values()))

    def unnamed(self, through: Sequence[int]) -> int:
        """Values of the reads through `through` that did not arrive, with no gap between two that did."""
        missing = self._missing([0] * len(through), through)
        return sum(len(points) for (device, read), points in missing.items() if not self._is_named(device, read))

    def _missing(self, after: Sequence[int], through: Sequence[int]) -> dict[Key, set[int]]:
        every = set(range(len(POINTS)))
        keys = [
            (device, read)
            for device, (first, last) in enumerate(zip(after, through, strict=True))
            for read in range(first + 1, last + 1)
        ]
        return {key: every - self.values.get(key, set()) for key in keys}

    def _is_named(self, device: int, read: int) -> bool:
        """True if gaps fill the time between the last read before and the first read after that arrived."""
        reads = [number for known, number in self.times_ms if known == device]
        before, after = max((n for n in reads if n < read), default=0), min((n for n in reads if n > read), default=0)
        if not before or not after:
            return False
        from_ms, to_ms = self.times_ms[device, before] + PERIOD_MS, self.times_ms[device, after]
        gaps = self.gaps.get(device, set())
        return all(any(first <= at < last for first, last in gaps) for at in range(from_ms, to_ms, PERIOD_MS))


# A message's topic and payload, into arrivals; gives what is to be answered: topics and payloads.
Take = Callable[[str, bytes, Arrivals], list[tuple[str, bytes]]]
