# SPDX-License-Identifier: GPL-3.0-or-later
"""Polling of devices: one worker per channel, so that a dead or slow device delays only its own line.

Schedules run on the `Clock`; timeouts and back-off are real time. A worker does one read at a time: a job that is due
again before it was read is read once. A failed read becomes the quality of every point it should have given. A silent
device is polled less and less often (back-off up to its `backoff_max_s`) but never given up. The same holds for a
driver that fails by a bug of its own; it is closed before it is polled again, and its traceback is logged once.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from collector.agent.device.contract import Answer, Device, Reading, ReadingsByBlock, contained, failed
from collector.agent.device.deadlines import Deadlines
from collector.agent.log import fields
from collector.base.backoff import backoff_s
from collector.base.clock import Clock
from collector.base.errors import DeviceError, DriverFault, Silent
from collector.base.text import said_by, tr
from collector.model.record import Quality
from collector.points import Point

_LOG = logging.getLogger(__name__)
# Back-off begins with the second failure in a row: a single lost answer is no reason to wait.
_PATIENCE: Final = 2
# A driver without a result for this long beyond its own time limit is stuck, s.
_STUCK_S: Final = 30.0
_BACKOFF_FIRST_S: Final = 0.5
_NO_ANSWER: Final = frozenset({Quality.SILENT, Quality.GARBLED})

Sink = Callable[[Answer], None]


@dataclass(slots=True)
class ReadCounts:
    """Counters of the reads of one device; they only grow.

    `last_read_s`: duration of the last read that gave a value; `reading_s`: duration of all reads, real time.
    `clock_offset_ms`: the device's clock minus ours at the last measurement. `faults`: failures by a bug of the driver,
    `last_fault` the last of them.
    """

    reads: int = 0
    failures: int = 0
    overruns: int = 0
    failures_in_a_row: int = 0
    last_error: str = ""
    last_good_utc_ms: int | None = None
    last_read_s: float | None = None
    reading_s: float = 0.0
    clock_offset_ms: int | None = None
    faults: int = 0
    last_fault: str = ""


@dataclass(slots=True)
class Job:
    """The points of one device with one period. `next_ms`: when they are due; `budget_s`: real time allowed per cycle.

    `told`: failing requests already logged, so that each is logged once until all succeed again; `faults_told`: places
    where its driver failed, each logged once. `reopen`: close the device before it is read again. `at_once`: first due
    when the timetable starts, not at a multiple of the period: a device that reports changes is listened to from then.
    """

    device: Device
    points: Sequence[Point]
    period_ms: int
    budget_s: float
    backoff_max_s: float = 10.0
    units: Sequence[str] = ()
    next_ms: int = 0
    health: ReadCounts = field(default_factory=ReadCounts)
    retry_at_s: float = 0.0
    error: DeviceError | None = None
    told: set[str] = field(default_factory=set)
    faults_told: set[str] = field(default_factory=set)
    reopen: bool = False
    at_once: bool = False

    def begin_at(self, time_utc_ms: int) -> None:
        """Set when the job is due first, as the timetable starts at this instant."""
        self.start_at(time_utc_ms)
        if self.at_once:
            self.next_ms = time_utc_ms

    def start_at(self, time_utc_ms: int) -> None:
        """Make the job due at the first multiple of its period at or after this instant."""
        self.next_ms = -(-time_utc_ms // self.period_ms) * self.period_ms


class Channel:
    """One socket or serial line with the devices on it, read one after the other."""

    def __init__(self, name: str, jobs: Sequence[Job], clock: Clock, sink: Sink) -> None:
        self.name, self.jobs = name, tuple(jobs)
        self._first_jobs = tuple({id(job.device): job for job in reversed(self.jobs)}.values())  # one of each device
        self._clock, self._sink = clock, sink
        self._due: dict[int, Job] = {}
        self._deadlines = Deadlines()
        self._now_s: Callable[[], float] = lambda: 0.0  # loop time, once the worker runs
        self._task: asyncio.Task[object] | None = None
        self._wanted = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def start(self, now_ms: int) -> None:
        """Hand the jobs that are due to the worker; returns at once."""
        for job in self.jobs:
            if job.next_ms > now_ms:
                continue
            # A job that waits for a silent device is no overrun: its silence is reported already.
            if id(job) in self._due and job.error is None:
                job.health.overruns += 1
            self._due[id(job)] = job
            # After a forward step of the clock, missed reads are skipped.
            job.start_at(now_ms + 1)
        if self._due:
            self._idle.clear()
            self._wanted.set()

    @property
    def is_busy(self) -> bool:
        """True while a read is due or under way."""
        return bool(self._due)

    async def finished(self) -> None:
        """Wait until no read is due or under way."""
        await self._idle.wait()

    def collect(self) -> list[Reading]:
        """The readings that the devices reported spontaneously."""
        readings: list[Reading] = []
        for job in self._first_jobs:
            try:
                with contained(job.device.name):
                    readings += job.device.collect()
            except DeviceError as error:
                self._on_failure(job, error)
                self._give_failed(job, error)
        return readings

    async def run(self) -> None:
        """Read the jobs that are due, until cancelled; then close the devices."""
        self._now_s, self._task = asyncio.get_running_loop().time, asyncio.current_task()
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                while self._due:
                    key, job = next(iter(self._due.items()))
                    await self._serve(job)
                    del self._due[key]
                self._idle.set()
        finally:
            # `finished` must not wait for a line that was given up.
            self._due.clear()
            self._idle.set()
            self._deadlines.close()
            for job in self._first_jobs:
                await self._close(job)

    async def _close(self, job: Job) -> None:
        try:
            with contained(job.device.name):
                await job.device.close()
        except DeviceError as error:
            self._tell(job, error)

    async def _serve(self, job: Job) -> None:
        if job.reopen:
            job.reopen = False
            await self._close(job)
        begin_s = self._now_s()
        if job.error is not None and begin_s < job.retry_at_s:
            self._give_failed(job, job.error)
            return
        job.health.reads += 1
        try:
            with contained(job.device.name):
                answer = await self._read(job, begin_s)
                failure = _failure_in(answer, job.device.name)
        except DeviceError as error:
            job.health.reading_s += self._now_s() - begin_s
            self._on_failure(job, error)
            self._give_failed(job, error)
            return
        took_s = self._now_s() - begin_s
        job.health.reading_s += took_s
        if failure is not None:
            self._on_failure(job, failure)
        else:
            self._on_success(job, answer, took_s)
        self._sink(answer)

    async def _read(self, job: Job, begin_s: float) -> Answer:
        """Read a job's points. `begin_s`: now, loop time.

        Raises:
            DriverFault: the driver is stuck. Its last request has ended long before this, whatever the line does; a
                wait that nothing ends would keep every device of the channel from being read until the agent is
                restarted.
        """
        longest_s = 4 * job.budget_s + _STUCK_S
        task = self._task
        assert task is not None
        cancelled_before = task.cancelling()
        read = _StuckRead(task)
        self._deadlines.begin(read, begin_s + longest_s)
        try:
            return await job.device.read(job.points, budget_s=job.budget_s)
        except asyncio.CancelledError as error:
            if not read.is_stuck or task.uncancel() > cancelled_before:
                raise
            message = f"the driver was stuck for {longest_s:g} s: its device is closed and read anew"
            raise DriverFault(message, subject=job.device.name, place="stuck") from error
        finally:
            self._deadlines.end(read)

    def _on_success(self, job: Job, answer: Answer, took_s: float) -> None:
        health = job.health
        if job.error is not None:
            self._log(logging.INFO, job, job.error.subject, f"answers again after {health.failures_in_a_row} failures")
        job.error, health.failures_in_a_row = None, 0
        health.last_good_utc_ms, health.last_read_s = answer.time_utc_ms, took_s
        if answer.clock_offset_ms is not None:
            health.clock_offset_ms = answer.clock_offset_ms
        for error in answer.errors:
            if error.subject not in job.told:
                job.told.add(error.subject)
                health.last_error = said_by(error)
                self._log(logging.WARNING, job, error.subject, error.message)

    def _on_failure(self, job: Job, error: DeviceError) -> None:
        health = job.health
        health.failures += 1
        health.failures_in_a_row += 1
        if isinstance(error, DriverFault):
            health.faults, health.last_fault, job.reopen = health.faults + 1, error.message, True
        if isinstance(error, DriverFault) or health.failures_in_a_row == 1 or str(error) != health.last_error:
            self._tell(job, error)
        health.last_error, job.error = said_by(error), error
        beyond = health.failures_in_a_row - _PATIENCE
        if beyond >= 0:
            rest_s = backoff_s(beyond, _BACKOFF_FIRST_S, job.backoff_max_s, random.uniform(0.0, 0.5))
            job.retry_at_s = asyncio.get_running_loop().time() + rest_s

    def _tell(self, job: Job, error: DeviceError) -> None:
        """Log a failure; for a bug of the driver with its traceback, once for each place in the program."""
        if not isinstance(error, DriverFault):
            self._log(logging.WARNING, job, error.subject, error.message)
        elif error.place not in job.faults_told:
            job.faults_told.add(error.place)
            self._log(logging.ERROR, job, "", error.message, error.__cause__)

    def _log(self, level: int, job: Job, request: str, message: str, cause: BaseException | None = None) -> None:
        """Log one line with channel, device, generating units and request, and below it the traceback of `cause`."""
        units = ",".join(sorted({p.unit for p in job.points if p.unit} or set(job.units)))
        named = fields(channel=self.name, device=job.device.name, unit=units, request=request)
        _LOG.log(level, "%s %s", named, message, exc_info=cause)

    def _give_failed(self, job: Job, error: DeviceError) -> None:
        now = self._clock.now_utc_ms()
        self._sink(Answer(failed((p for p in job.points if not p.guard), error, now), now))


class _StuckRead:
    """A read whose driver may be stuck: it is cancelled then."""

    __slots__ = ("_task", "is_stuck")

    def __init__(self, task: asyncio.Task[object]) -> None:
        self._task, self.is_stuck = task, False

    def expire(self) -> None:
        """Cancel the read: the driver should have returned long ago."""
        self.is_stuck = self._task.cancel()


def _failure_in(answer: Answer, device: str) -> DeviceError | None:
    """The error of a failed read (every request failed, or one was silent and no value is usable), else None."""
    readings = answer.readings
    if isinstance(readings, ReadingsByBlock) and any(Quality.GOOD in block.qualities for block in readings.blocks):
        return None  # the usual case, for which no reading has to be created
    if not readings or any(r.quality.usable for r in readings):
        return None
    if all(r.quality in _NO_ANSWER for r in answer.readings):
        return answer.errors[0] if answer.errors else Silent(tr("no point could be read"), subject=device)
    return next((error for error in answer.errors if isinstance(error, Silent)), None)


def next_due_ms(channels: Sequence[Channel]) -> int:
    """The earliest instant at which a job is due, UTC ms."""
    return min(job.next_ms for channel in channels for job in channel.jobs)
