# SPDX-License-Identifier: GPL-3.0-or-later
"""In which turn plants are served, and how much of the center each may ask for.

A plant has an allowance, in rows of the store, that grows with its rate up to a burst. Everything done for it is taken
off: the reading of a message, the time of its checks, the rows and bytes that are written. A plant whose allowance is
used up rests: nothing more of it is checked until that has grown again, which delays and refuses nothing. Where some
of its messages wait (`is_full`) its connection is read no further, and the broker keeps the others; so what a flood
costs the center is bounded by its plant's rate, whatever the flood is.

Those who have asked for least come first, both to the checks and to the group that is committed next: a plant that
sends what a plant sends is in each group, whatever others send. What nobody vouches for (a wrong signature) is written
as of one more plant, whatever plant it names.
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
BURST_S: Final = 2.0  # of its rate, for a plant that was quiet
MESSAGE_ROWS: Final = 10  # what the reading of a message takes, in rows
CHECKED_SHARE: Final = 0.25  # of the time there is, for the checks of one plant
AT_ONCE: Final = 32  # messages of one plant that are taken before it is known what their checks cost
ROW_BYTES: Final = 1024
GROUP_ROWS: Final = 5_000  # of one transaction, if it is of more than one arrival

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Incoming:
    """A message before its checks. `plant`: whose connection brought it."""

    plant: str
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Served:
    """Of one plant since the start: messages taken; let go because too much waited; seconds for which it rested."""

    messages: int
    dropped: int
    held_back_s: float


@dataclass
class _Plant:
    """What waits of one plant. `allowance`: rows it may still ask for, below zero it rests; `rows`: of `arrivals`."""

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
    """About how many rows of the store committing it writes; so many bytes count as one."""
    size = len(arrival.payload) // ROW_BYTES
    if not isinstance(arrival, Accepted):
        return 1 + size
    days = len({part.day for part in arrival.parts})
    return 3 + size + 2 * days + len(arrival.parts) + sum(max(1, len(gap.units)) for gap in arrival.gaps)


class PlantTurns:
    """Used in one event loop. `rows_per_s`: of one plant; `now_s`: the monotonic clock.

    `max_messages`, `max_bytes`: of what waits for its checks. Beyond them the newest of the plant that has most goes;
    it was not acknowledged, and is sent again.
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
        # Names only of those with something in their queue, in the order in which it began to wait.
        self._unchecked: dict[str, None] = {}
        self._checked: dict[str, None] = {}
        self._count = self._bytes = self._served = 0
        self._changed = asyncio.Event()

    def put(self, message: Incoming) -> None:
        """Let it wait for its checks."""
        self._append(message)
        while self._count > self._most or (self._count > 1 and self._bytes > self._most_bytes):
            by_count = self._count > self._most
            waiting = (self._plants[name] for name in self._unchecked)
            most = max(waiting, key=lambda p: len(p.messages) if by_count else p.message_bytes)
            most.dropped += 1
            self._forget(most.messages.pop())
        self._changed.set()

    def put_back(self, messages: Sequence[Incoming]) -> None:
        """These were not checked after all, and come before what came since."""
        for message in reversed(messages):
            self._append(message, first=True)

    def add(self, plant: str, arrival: Arrival | None, *, work_s: float = 0.0) -> None:
        """What became of a message of a plant's connection, in so many seconds of work; it waits to be committed."""
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
        """What is to be checked next, as soon as there is something: of no plant that rests, or of which a burst waits
        to be committed. At most so many, and so many bytes but for the last."""
        return await self._next(lambda: self._take_messages(most, most_bytes))

    async def group(self, *, most: int, most_bytes: int) -> list[Arrival]:
        """The next group, as soon as there is one: at most so many arrivals, GROUP_ROWS, and bytes but for the last."""
        return await self._next(lambda: self._take_arrivals(most, most_bytes))

    def is_full(self, plant: str, messages: int, size: int) -> bool:
        """Whether so many messages of a plant, or so many bytes of them, wait for their checks."""
        waiting = self._of(plant)
        return len(waiting.messages) >= messages or waiting.message_bytes >= size

    def rests(self, plant: str) -> bool:
        """Whether a plant has used its allowance up."""
        return self._refill(self._of(plant), self._now_s()) <= 0

    def served(self) -> dict[str, Served]:
        """By plant, what was done for it since the start. Any thread may ask."""
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
                continue  # it is in the next one; what is smaller may still go
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
        """Those that may go, who has asked for least first; where that is nothing, who waited longest."""
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
        """It waits no more: it was taken out of its plant's queue."""
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
        """How long until the first plant with messages has rested; None where none rests."""
        waiting = (self._plants[name] for name in self._unchecked)
        waits = [-plant.allowance / self._rate for plant in waiting if plant.allowance <= 0]
        return max(0.001, min(waits)) if waits else None
