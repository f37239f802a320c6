# SPDX-License-Identifier: GPL-3.0-or-later
"""The order in which plants are served, and the share of the center's work that each may use.

A plant has an allowance, in rows of the store, that grows with its rate up to a burst. All work for it is subtracted:
reading a message, the time of its checks, the rows and bytes that are written. A plant without allowance rests: none of
its messages is checked until the allowance has grown again, which delays but refuses nothing. While too many of its
messages wait (`is_full`) its connection is not read, and the broker keeps the others; so the cost of a flood is bounded
by its plant's rate, whatever the flood is.

Plants with the most allowance left come first, both for checks and for the next group to commit: a plant with normal
traffic is in each group, whatever others send. Messages that are not authenticated (a wrong signature) count for one
additional plant, whatever plant they name.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from collector.center.receive.arrivals import Accepted, AgentState, Arrival

STRANGERS: Final = ""
BURST_S: Final = 2.0  # seconds of its rate: the allowance of a plant that was quiet
MESSAGE_ROWS: Final = 10  # cost of reading a message, in rows
CHECKED_SHARE: Final = 0.25  # share of the time that the checks of one plant may take
AT_ONCE: Final = 32  # messages of one plant that are taken before the cost of their checks is known
ROW_BYTES: Final = 1024
GROUP_ROWS: Final = 5_000  # rows of one transaction with more than one arrival

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Incoming:
    """A message before its checks. `plant`: the plant of its connection."""

    plant: str
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Served:
    """Counts of one plant since its start: messages taken, messages dropped for lack of room, seconds of rest."""

    messages: int
    dropped: int
    held_back_s: float


@dataclass
class _Plant:
    """The queues of one plant. `allowance`: rows it may still use, below zero it rests; `rows`: of `arrivals`."""

    allowance: float
    at_s: float
    messages: deque[Incoming] = field(default_factory=deque)
    message_bytes: int = 0
    arrivals: deque[Arrival] = field(default_factory=deque)
    rows: int = 0
    taken: int = 0
    dropped: int = 0
    held_back_s: float = 0.0
    last_served: int = 0


def rows_of(arrival: Arrival) -> int:
    """The approximate number of rows written by the commit of an arrival; ROW_BYTES of payload count as one."""
    size = len(arrival.payload) // ROW_BYTES
    if not isinstance(arrival, Accepted):
        return 1 + size
    days = len({part.day for part in arrival.parts})
    return 3 + size + 2 * days + len(arrival.parts) + sum(max(1, len(gap.units)) for gap in arrival.gaps)


class PlantTurns:
    """The queues of all plants, for one event loop. `rows_per_s`: of one plant; `now_s`: the monotonic clock.

    `max_messages`, `max_bytes`: of all messages that wait for their checks. Beyond them the newest message of the plant
    with the most is dropped; it was not acknowledged, and is sent again.
    """

    def __init__(
        self,
        *,
        rows_per_s: int,
        now_s: Callable[[], float],
        max_messages: int = 1 << 30,
        max_bytes: int = 1 << 60,
    ) -> None:
        self._rate, self._burst = rows_per_s, rows_per_s * BURST_S
        self._now_s = now_s
        self._most, self._most_bytes = max_messages, max_bytes
        self._plants: dict[str, _Plant] = {}
        # Names of plants with waiting messages, in the order in which they began to wait.
        self._unchecked: dict[str, None] = {}
        self._checked: dict[str, None] = {}
        self._count = self._bytes = self._served = 0
        self._changed = asyncio.Event()

    def put(self, message: Incoming) -> None:
        """Queue a message for its checks."""
        self._append(message)
        while self._count > self._most or (self._count > 1 and self._bytes > self._most_bytes):
            by_count = self._count > self._most
            waiting = (self._plants[name] for name in self._unchecked)
            most = max(waiting, key=lambda p: len(p.messages) if by_count else p.message_bytes)
            most.dropped += 1
            self._forget(most.messages.pop())
        self._changed.set()

    def put_back(self, messages: Sequence[Incoming]) -> None:
        """Put messages that were not checked back to the front of their queues."""
        for message in reversed(messages):
            self._append(message, first=True)

    def add(self, plant: str, arrival: Arrival | None, *, work_s: float = 0.0) -> None:
        """Queue the arrival of a checked message for the commit; charge its plant for `work_s` seconds of checks."""
        sender = self._of(plant)
        sender.taken += 1
        self._served += 1
        sender.last_served = self._served
        sender.allowance -= MESSAGE_ROWS + work_s / CHECKED_SHARE * self._rate
        if arrival is None:
            return
        vouched = isinstance(arrival, Accepted | AgentState) or arrival.authentic
        name = arrival.plant if vouched else STRANGERS
        owner, rows = self._of(name), rows_of(arrival)
        if not vouched and owner.rows + rows > self._burst and owner.arrivals:
            owner.dropped += 1
            return
        owner.allowance -= rows
        owner.arrivals.append(arrival)
        owner.rows += rows
        self._checked[name] = None
        self._changed.set()

    async def messages(self, *, most: int, most_bytes: int) -> list[Incoming]:
        """The next messages to check, as soon as there are any: at most `most`, and `most_bytes` except for the last.

        Plants that rest, or have a burst of arrivals waiting to be committed, are skipped.
        """
        return await self._next(lambda: self._take_messages(most, most_bytes))

    async def group(self, *, most: int, most_bytes: int) -> list[Arrival]:
        """The next group, as soon as there is one: at most so many arrivals, GROUP_ROWS, and bytes but for the last."""
        return await self._next(lambda: self._take_arrivals(most, most_bytes))

    def is_full(self, plant: str, messages: int, size: int) -> bool:
        """True if this number of messages of a plant, or of their bytes, waits for checks."""
        waiting = self._of(plant)
        return len(waiting.messages) >= messages or waiting.message_bytes >= size

    def rests(self, plant: str) -> bool:
        """True if a plant has used up its allowance."""
        return self._refill(self._of(plant), self._now_s()) <= 0

    def served(self) -> dict[str, Served]:
        """The counts by plant since the start. Any thread may ask."""
        return {name: Served(p.taken, p.dropped, p.held_back_s) for name, p in list(self._plants.items())}

    async def _next(self, take: Callable[[], list[T]]) -> list[T]:
        while not (taken := take()):
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._rest_s()):
                    await self._changed.wait()
        self._changed.set()
        return taken

    def _take_messages(self, most: int, most_bytes: int) -> list[Incoming]:
        turn = self._by_allowance(self._unchecked, lambda p: p.allowance > 0 and p.rows < self._burst)
        taken, size, rounds = list[Incoming](), 0, 0
        while turn and len(taken) < most and size < most_bytes and rounds < AT_ONCE:
            rounds += 1
            for _ in range(len(turn)):
                plant = self._plants[name := turn.popleft()]
                message = self._forget(plant.messages.popleft())
                taken.append(message)
                size += len(message.payload)
                if plant.messages:
                    turn.append(name)
        return taken

    def _take_arrivals(self, most: int, most_bytes: int) -> list[Arrival]:
        turn = self._by_allowance(self._checked, lambda _: True)
        taken, size, rows = list[Arrival](), 0, 0
        while turn and len(taken) < most and size < most_bytes:
            plant = self._plants[name := turn.popleft()]
            cost = rows_of(plant.arrivals[0])
            if taken and rows + cost > GROUP_ROWS:
                continue  # left for the next group; a smaller one may still fit
            arrival = plant.arrivals.popleft()
            plant.rows -= cost
            rows += cost
            size += len(arrival.payload)
            taken.append(arrival)
            if plant.arrivals:
                turn.append(name)
            else:
                del self._checked[name]
        return taken

    def _by_allowance(self, names: Iterable[str], may: Callable[[_Plant], bool]) -> deque[str]:
        """The eligible plants, the largest allowance first; among equals, the one that waited longest."""
        now_s = self._now_s()
        found = [(-self._refill(plant := self._plants[name], now_s), plant.last_served, name) for name in names]
        return deque(name for *_, name in sorted(found) if may(self._plants[name]))

    def _of(self, name: str) -> _Plant:
        if (plant := self._plants.get(name)) is None:
            plant = self._plants[name] = _Plant(self._burst, self._now_s())
        return plant

    def _append(self, message: Incoming, *, first: bool = False) -> None:
        plant = self._of(message.plant)
        (plant.messages.appendleft if first else plant.messages.append)(message)
        self._unchecked[message.plant] = None
        plant.message_bytes += len(message.payload)
        self._count += 1
        self._bytes += len(message.payload)

    def _forget(self, message: Incoming) -> Incoming:
        """Take a message out of the counts of its plant's queue."""
        plant = self._plants[message.plant]
        plant.message_bytes -= len(message.payload)
        self._count -= 1
        self._bytes -= len(message.payload)
        if not plant.messages:
            del self._unchecked[message.plant]
        return message

    def _refill(self, plant: _Plant, now_s: float) -> float:
        passed_s = now_s - plant.at_s
        if plant.messages and plant.allowance <= 0:
            plant.held_back_s += min(passed_s, -plant.allowance / self._rate)
        plant.allowance = min(self._burst, plant.allowance + passed_s * self._rate)
        plant.at_s = now_s
        return plant.allowance

    def _rest_s(self) -> float | None:
        """Seconds until the first plant with messages may go again; None where none rests."""
        waiting = (self._plants[name] for name in self._unchecked)
        waits = [-plant.allowance / self._rate for plant in waiting if plant.allowance <= 0]
        return max(0.001, min(waits)) if waits else None
