# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's only timetable: when devices are polled and when the records of a tick are written.

A tick at T: devices due at T are handed to their workers, and the timetable does not wait for them; at T + `reorder_ms`
the spontaneous readings are collected, and the records of T are made and queued for the store. In a simulated run the
timetable waits for the reads before the next instant, and makes the commits itself, so that the records do not depend
on the speed of the machine: nothing else is due while time stands, and handing a commit over cost more than making it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final, Protocol

from collector.agent.buffer.buffer_file import Unusable
from collector.agent.device.contract import Answer
from collector.agent.record.poll import Channel, next_due_ms
from collector.agent.record.recorder import Recorder
from collector.base.clock import STEP_MS, Clock, clock_state
from collector.base.clock_state import ClockState
from collector.base.errors import StoreError
from collector.base.text import said_by
from collector.model.record import GapRecord, UnitRecord

_LOG = logging.getLogger(__name__)
# Ticks that may wait for the disk. When the queue is full the timetable waits; a gap record names the missed ticks.
_STORE_QUEUE_MAXIMUM: Final = 64
_STORE_RETRY_S: Final = 1.0


class Store(Protocol):
    """The store of records: the buffer."""

    def append(self, records: Sequence[UnitRecord], gaps: Sequence[GapRecord] = ()) -> None:
        """Store records and gaps durably, in one transaction."""
        ...


@dataclass(slots=True)
class TickCounts:
    """Counters of the timetable; they only grow.

    `clock_steps`: steps backwards. `last_step_ms`: size of the last step, negative where the clock was set back;
    `last_step_utc_ms`: the time after it.
    """

    ticks: int = 0
    records: int = 0
    gaps: int = 0
    missed: int = 0
    clock_steps: int = 0
    clock_steps_forward: int = 0
    last_step_ms: int = 0
    last_step_utc_ms: int | None = None


@dataclass(frozen=True, slots=True)
class _Reload:
    """The new lines and the new recorder that a reload asks for."""

    channels: tuple[Channel, ...]
    recorder: Recorder
    on_store: Callable[[Store], None]
    done: asyncio.Future[None]


class Timetable:
    """The timetable of a gateway.

    Args:
        channels: the lines to read.
        recorder: makes the records; `take` feeds it.
        clock: schedules and stamps.
        period_ms, reorder_ms: time between ticks; how long after its instant a tick is written.
        in_step: wait for reads and commits before asking for the next instant (simulated time).
        on_tick: called after each written tick, e.g. for a watchdog.
    """

    def __init__(
        self, channels: Sequence[Channel], recorder: Recorder, clock: Clock, *, period_ms: int, reorder_ms: int,
        in_step: bool, on_tick: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._channels, self._recorder, self._clock = channels, recorder, clock
        self._period_ms, self._reorder_ms, self._in_step, self._on_tick = period_ms, reorder_ms, in_step, on_tick
        self._queue: asyncio.Queue[Callable[[Store], None]] = asyncio.Queue(_STORE_QUEUE_MAXIMUM)
        self._queued = 0  # commits in the queue or under way from it
        self._direct: Store | None = None  # in simulated time: where commits are made without the queue
        self._next_tick_ms = 0
        self._unwritten: deque[int] = deque()
        self._last_tick_s: float | None = None  # monotonic clock
        self._clock_state: ClockState | None = None
        self._is_new_era = False  # until its first tick
        self._silent_ms = 0  # before that tick
        self._changes: deque[_Reload] = deque()
        self.counts = TickCounts()
        self.store_error = ""

    async def change(self, channels: Sequence[Channel], recorder: Recorder, on_store: Callable[[Store], None]) -> None:
        """Use other lines and another recorder from the next record on; it continues where the old one stops.

        Args:
            channels: channels that are kept continue unchanged; new ones are first due now.
            recorder: new; takes over the state of the present one.
            on_store: called with the store between the last record of the old recorder and the first of the new.
        """
        change = _Reload(tuple(channels), recorder, on_store, asyncio.get_running_loop().create_future())
        self._changes.append(change)
        await change.done

    async def _apply_changes(self) -> None:
        """Apply a change in the timetable's own task, so that no record of the old recorder follows `on_store`."""
        while self._changes:
            change = self._changes.popleft()
            await self._put(change.on_store)
            change.recorder.succeed(self._recorder)
            now_ms = self._clock.now_utc_ms()
            for channel in change.channels:
                if channel not in self._channels:
                    for job in channel.jobs:
                        job.begin_at(now_ms)
            self._channels, self._recorder = change.channels, change.recorder
            if not change.done.done():
                change.done.set_result(None)

    def take(self, answer: Answer) -> None:
        """Pass the answer of a device to the recorder."""
        self._recorder.feed(answer.readings)
        self._recorder.hold(answer.holding, answer.time_utc_ms)

    async def run(self) -> None:
        """Run the timetable until cancelled."""
        self._look_at_last_record()
        self._start_over()
        while True:
            written_ms = self._unwritten[0] + self._reorder_ms if self._unwritten else self._next_tick_ms
            instant = min(self._next_tick_ms, written_ms, next_due_ms(self._channels))
            if self._in_step and self._queued and instant == written_ms:
                # The store refused a tick: time stands until it takes it.
                await self._queue.join()
            step_ms = await self._clock.sleep_until(instant)
            await self._apply_changes()
            now_ms = self._clock.now_utc_ms()
            if step_ms:
                self._tell_step(step_ms, now_ms)
            if step_ms < 0 or now_ms < instant:
                await self._on_step_back(now_ms)
                continue
            await self._on_instant(now_ms)
            if self._in_step:
                for channel in self._channels:
                    if channel.is_busy:
                        await channel.finished()

    def _start_over(self) -> None:
        now_ms = self._clock.now_utc_ms()
        self._next_tick_ms = -(-now_ms // self._period_ms) * self._period_ms
        for channel in self._channels:
            for job in channel.jobs:
                job.begin_at(now_ms)

    def _look_at_last_record(self) -> None:
        """Open a new era if the clock is behind the last record: it was set back while no agent ran."""
        now_ms = self._clock.now_utc_ms()
        last_ms = self._recorder.last_ms
        if last_ms is not None and now_ms - last_ms <= -STEP_MS:
            self._tell_step(now_ms - last_ms, now_ms)

    def _tell_step(self, step_ms: int, now_ms: int) -> None:
        counts = self.counts
        counts.last_step_ms, counts.last_step_utc_ms = step_ms, now_ms
        if step_ms < 0:
            counts.clock_steps += 1
            _LOG.warning("clock=set_back by_s=%.1f to_utc_ms=%d; a new era begins", -step_ms / 1000, now_ms)
        else:
            counts.clock_steps_forward += 1
            _LOG.warning("clock=set_forward by_s=%.1f to_utc_ms=%d; a gap tells it", step_ms / 1000, now_ms)

    async def _on_step_back(self, now_ms: int) -> None:
        """Handle a step back of the clock: write the waiting records in the old era, then start the timetable anew."""
        while self._unwritten:
            await self._write(self._unwritten.popleft())
        self._recorder.open_era(now_ms)
        self._is_new_era = True
        self._start_over()

    async def _on_instant(self, now_ms: int) -> None:
        for channel in self._channels:
            channel.start(now_ms)
        if self._unwritten and self._unwritten[0] + self._reorder_ms <= now_ms:
            # The workers send their requests first: devices answer while the records are made. What they answer is of
            # this instant, later than the records'.
            await asyncio.sleep(0)
            while self._unwritten and self._unwritten[0] + self._reorder_ms <= now_ms:
                await self._write(self._unwritten.popleft())
        if self._next_tick_ms <= now_ms:
            tick_ms = now_ms // self._period_ms * self._period_ms
            self.counts.missed += (tick_ms - self._next_tick_ms) // self._period_ms
            tick_s = self._clock.monotonic_s() - (now_ms - tick_ms) / 1000
            if self._is_new_era and self._last_tick_s is not None:
                self._silent_ms = round((tick_s - self._last_tick_s) * 1000)
            self._last_tick_s, self._is_new_era = tick_s, False
            self._unwritten.append(tick_ms)
            self._next_tick_ms = tick_ms + self._period_ms

    async def _write(self, tick_ms: int) -> None:
        for channel in self._channels:
            if readings := channel.collect():
                self._recorder.feed(readings)
        state = clock_state(self._clock)
        if state is not self._clock_state:
            self._clock_state = state
            level = logging.INFO if state is ClockState.SYNCHRONISED else logging.WARNING
            _LOG.log(level, "clock=%s; every record says so", state.name.lower())
        records, gaps = self._recorder.record(tick_ms, state, silent_ms=self._silent_ms)
        self._silent_ms = 0
        self.counts.ticks += 1
        self.counts.records += len(records)
        self.counts.gaps += len(gaps)
        await self._put(lambda store: store.append(records, gaps))
        self._on_tick()

    async def _put(self, put: Callable[[Store], None]) -> None:
        """Queue a commit; in simulated time make it at once, unless the store refuses it or another waits."""
        if self._direct is not None and not self._queued:
            try:
                put(self._direct)
                return
            except Unusable:
                raise
            except StoreError:
                pass  # `store` tries again and says why
        self._queued += 1
        await self._queue.put(put)

    async def store(self, store: Store, executor: Executor) -> None:
        """Commit queued ticks in order, in the store's own thread (in simulated time in this one), until cancelled.

        A store that refuses (disk full) is retried until it takes the tick: waiting ticks are not lost.

        Raises:
            StoreError: the store is damaged or taken over; this process is at its end.
        """
        loop = asyncio.get_running_loop()
        self._direct = store if self._in_step else None
        while True:
            put = await self._queue.get()
            while True:
                try:
                    if self._in_step:
                        put(store)
                    else:
                        await loop.run_in_executor(executor, put, store)
                    break
                except Unusable:
                    raise
                except StoreError as error:
                    if not self.store_error:
                        _LOG.error("store=refuses %s", error)
                    self.store_error = said_by(error)
                    # The watchdog must not restart us: that would only lose the ticks that wait here.
                    self._on_tick()
                    await asyncio.sleep(_STORE_RETRY_S)
            if self.store_error:
                _LOG.warning("store=accepts again")
                self.store_error = ""
            self._queued -= 1
            self._queue.task_done()

    async def drain(self) -> None:
        """Wait until all queued ticks are committed."""
        await self._queue.join()
