# SPDX-License-Identifier: GPL-3.0-or-later
"""Deadlines of many waits on one timer. Times are real, so only their order and that they come is asserted."""

from __future__ import annotations

import asyncio

from collector.agent.device.deadlines import Deadlines
from tests.patience import HANG_S

SOON_S = 0.05


class Waiting:
    """Writes its name down when it expires."""

    def __init__(self, name: str, expired: list[str]) -> None:
        self._name, self._expired = name, expired
        self.done = asyncio.Event()

    def expire(self) -> None:
        self._expired.append(self._name)
        self.done.set()


def test_each_wait_expires_at_its_own_deadline_whatever_their_order() -> None:
    async def body() -> None:
        expired: list[str] = []
        late, soon, sooner = (Waiting(name, expired) for name in ("late", "soon", "sooner"))
        deadlines, now_s = Deadlines(), asyncio.get_running_loop().time()
        deadlines.begin(late, now_s + 5 * SOON_S)
        deadlines.begin(soon, now_s + 3 * SOON_S)
        deadlines.begin(sooner, now_s + SOON_S)
        async with asyncio.timeout(HANG_S):
            await late.done.wait()
        assert expired == ["sooner", "soon", "late"]
        assert asyncio.get_running_loop().time() >= now_s + 5 * SOON_S

    asyncio.run(body())


def test_a_wait_that_has_ended_never_expires_and_may_begin_again() -> None:
    async def body() -> None:
        expired: list[str] = []
        one, other = Waiting("one", expired), Waiting("other", expired)
        deadlines, now_s = Deadlines(), asyncio.get_running_loop().time()
        deadlines.begin(one, now_s + SOON_S)
        deadlines.end(one)
        deadlines.end(one)
        deadlines.begin(other, now_s + 2 * SOON_S)
        async with asyncio.timeout(HANG_S):
            await other.done.wait()
        assert expired == ["other"]
        deadlines.begin(one, asyncio.get_running_loop().time())
        async with asyncio.timeout(HANG_S):
            await one.done.wait()
        assert expired == ["other", "one"]

    asyncio.run(body())


def test_a_later_deadline_of_the_same_wait_replaces_the_first() -> None:
    async def body() -> None:
        expired: list[str] = []
        one = Waiting("one", expired)
        deadlines, now_s = Deadlines(), asyncio.get_running_loop().time()
        deadlines.begin(one, now_s + SOON_S)
        deadlines.begin(one, now_s + 4 * SOON_S)
        async with asyncio.timeout(HANG_S):
            await one.done.wait()
        assert asyncio.get_running_loop().time() >= now_s + 4 * SOON_S
        assert expired == ["one"]

    asyncio.run(body())


def test_nothing_expires_once_closed() -> None:
    async def body() -> None:
        expired: list[str] = []
        deadlines, now_s = Deadlines(), asyncio.get_running_loop().time()
        deadlines.begin(Waiting("one", expired), now_s + SOON_S)
        deadlines.close()
        await asyncio.sleep(2 * SOON_S)
        assert expired == []

    asyncio.run(body())
