# SPDX-License-Identifier: GPL-3.0-or-later
"""Deadlines of many waits on one timer of the event loop.

A timer for every request to a device cost as much as building the request. Most waits end long before their deadline,
so only the earliest deadline has a timer, and a wait that has ended is merely taken off the list.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import Final, Protocol

# Deadlines this close together are looked at together, s.
_TOGETHER_S: Final = 0.01


class Wait(Protocol):
    """A wait that must not last for ever."""

    def expire(self) -> None:
        """Called when the deadline has passed."""
        ...


class Deadlines:
    """Waits of one event loop with their deadlines, loop time in seconds. `close` when nothing will wait again."""

    __slots__ = ("_looks_at_s", "_timer", "_waits")

    def __init__(self) -> None:
        self._waits: dict[Wait, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at_s = inf

    def begin(self, wait: Wait, end_s: float) -> None:
        """Call `wait.expire` at `end_s`, or up to `_TOGETHER_S` later, unless the wait has ended before."""
        self._waits[wait] = end_s
        if end_s < self._looks_at_s:
            self._look_at(end_s)

    def end(self, wait: Wait) -> None:
        """Forget a wait that has ended; no effect where it has expired."""
        self._waits.pop(wait, None)

    def close(self) -> None:
        """Forget all waits."""
        self._waits.clear()
        self._looks_at_s = inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_at(self, time_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._looks_at_s, self._timer = time_s, asyncio.get_running_loop().call_at(time_s, self._look)

    def _look(self) -> None:
        now_s = asyncio.get_running_loop().time()
        self._looks_at_s, self._timer = inf, None
        for wait in [wait for wait, end_s in self._waits.items() if end_s <= now_s]:
            del self._waits[wait]
            wait.expire()
        if self._waits:
            self._look_at(max(min(self._waits.values()), now_s + _TOGETHER_S))
