# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices, a clock and a store in memory, for tests of polling and recording."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from collector.agent.device.contract import Answer, Reading
from collector.agent.record.poll import Channel, Job
from collector.agent.record.recorder import Recorder
from collector.agent.record.schedule import Timetable
from collector.agent.record.sources import QuantitySource
from collector.base.clock import Clock
from collector.base.errors import Silent
from collector.model.record import GapRecord, Quality, UnitRecord
from collector.points import Point
from tests.agent.device.agent_points import point

T = 1_700_000_000_000


class SteppedClock:
    """Goes at once where it is asked to; `jumps` says for which instants it is set to another. It tells no step: the
    timetable then sees a step back by itself. `SystemClock` tells them, see `test_clock_set.py`."""

    def __init__(self, now_utc_ms: int = T, end_utc_ms: int = T + 10_000) -> None:
        self.now, self.end = now_utc_ms, end_utc_ms
        self.jumps: dict[int, int] = {}
        self.over = asyncio.Event()

    def now_utc_ms(self) -> int:
        return self.now

    def monotonic_s(self) -> float:
        return self.now / 1000

    async def sleep_until(self, time_utc_ms: int) -> int:
        await asyncio.sleep(0.001)
        if time_utc_ms > self.end:
            self.over.set()
            await asyncio.Event().wait()
        self.now = self.jumps.pop(time_utc_ms, max(self.now, time_utc_ms))
        return 0


class FakeDevice:
    """Counts its reads; answers `value`, hangs while `hanging`, or is silent."""

    def __init__(self, name: str, clock: Clock) -> None:
        self.name, self._clock = name, clock
        self.points: tuple[Point, ...] = (point("active_power_mw", name=name, raw_unit="kW"),)
        self.reads, self.under_way, self.most_under_way, self.closed = 0, 0, 0, 0
        self.read_at_s: list[float] = []
        self.hanging_s, self.silent = 0.0, False

    async def open(self) -> None: ...

    async def close(self) -> None:
        self.closed += 1

    def collect(self) -> list[Reading]:
        return []

    async def read(self, points: Sequence[Point], *, budget_s: float) -> Answer:
        del budget_s
        self.reads += 1
        self.read_at_s.append(asyncio.get_running_loop().time())
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(self.hanging_s)
        finally:
            self.under_way -= 1
        if self.silent:
            raise Silent("no answer", subject=self.name)
        now = self._clock.now_utc_ms()
        return Answer([Reading(p, self.reads, Quality.GOOD, now) for p in points], now)


class MemoryStore:
    def __init__(self) -> None:
        self.records: list[UnitRecord] = []
        self.gaps: list[GapRecord] = []

    def append(self, records: Sequence[UnitRecord], gaps: Sequence[GapRecord] = ()) -> None:
        self.records += records
        self.gaps += gaps


def job(device: FakeDevice, period_ms: int = 1000) -> Job:
    return Job(device, device.points, period_ms, budget_s=1.0)


async def operate(
    clock: SteppedClock, channels: list[Channel], take: list[Callable[[Answer], None]], devices: Sequence[FakeDevice],
    *, in_step: bool = True, store: MemoryStore | None = None, reorder_ms: int = 200,
) -> tuple[MemoryStore, Timetable]:  # fmt: skip
    """Run the timetable until the clock's end."""
    recorder = Recorder([QuantitySource(d.points[0], d.name, 3000) for d in devices], period_ms=1000, last={})
    timetable = Timetable(channels, recorder, clock, period_ms=1000, reorder_ms=reorder_ms, in_step=in_step)
    take.append(timetable.take)
    store = store or MemoryStore()
    with ThreadPoolExecutor(1) as executor:
        tasks = [asyncio.create_task(c.run()) for c in channels]
        tasks += [asyncio.create_task(timetable.run()), asyncio.create_task(timetable.store(store, executor))]
        await clock.over.wait()
        await timetable.drain()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    return store, timetable


def channel_of(clock: SteppedClock, take: list[Callable[[Answer], None]], *devices: FakeDevice) -> Channel:
    return Channel(devices[0].name, [job(d) for d in devices], clock, lambda answer: take[0](answer))
