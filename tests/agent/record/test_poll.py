# SPDX-License-Identifier: GPL-3.0-or-later
"""Workers and timetable: who is read when, what a dead device costs, and what reaches the store."""

from __future__ import annotations

import asyncio
import logging
import struct
import threading
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise

import pytest

from collector.agent.device.contract import Answer, Reading
from collector.agent.record import poll
from collector.agent.record.poll import Channel
from collector.base.errors import InvariantBroken, Silent
from collector.model.record import GapRecord, Quality, UnitRecord
from collector.points import Point
from tests.agent.record.fake_devices import FakeDevice, MemoryStore, SteppedClock, T, channel_of, job, operate
from tests.patience import HANG_S


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), HANG_S))


def assert_rested(device: FakeDevice) -> None:
    """The second failure in a row starts a rest of at least 0.375 s of real time, each further one twice as long."""
    for number, (before_s, after_s) in enumerate(pairwise(device.read_at_s[1:])):
        assert after_s - before_s >= 0.375 * 2**number


def test_what_a_read_measured_of_the_devices_clock_stays_known() -> None:
    class WithClock(FakeDevice):
        async def read(self, points: Sequence[Point], *, budget_s: float) -> Answer:
            answer = await super().read(points, budget_s=budget_s)
            return answer._replace(clock_offset_ms=-1500) if self.reads == 1 else answer

    async def scenario() -> None:
        clock, take = SteppedClock(), list[Callable[[Answer], None]]()
        device = WithClock("a", clock)
        channel = channel_of(clock, take, device)
        await operate(clock, [channel], take, [device])
        assert device.reads > 1
        assert channel.jobs[0].health.clock_offset_ms == -1500

    run(scenario)


def test_each_tick_reads_each_device_once_and_makes_one_record_of_each_unit() -> None:
    async def scenario() -> None:
        clock, take = SteppedClock(), list[Callable[[Answer], None]]()
        devices = [FakeDevice("a", clock), FakeDevice("b", clock)]
        store, _ = await operate(clock, [channel_of(clock, take, d) for d in devices], take, devices)
        assert [d.reads for d in devices] == [11, 11]
        # Written 200 ms after its instant: the tick at the end itself is still unwritten.
        for unit in ("a", "b"):
            assert [(r.time_utc_ms - T, r.values) for r in store.records if r.unit == unit] == [
                (1000 * i, (i + 1,)) for i in range(10)
            ]
        assert [d.closed for d in devices] == [1, 1]

    run(scenario)


def test_a_hanging_device_delays_nobody_and_never_overlaps_itself() -> None:
    async def scenario() -> None:
        clock, take = SteppedClock(), list[Callable[[Answer], None]]()
        dead, alive = FakeDevice("dead", clock), FakeDevice("alive", clock)
        dead.hanging_s = 60.0
        channels = [channel_of(clock, take, dead), channel_of(clock, take, alive)]
        store, _ = await operate(clock, channels, take, [dead, alive], in_step=False)
        assert (dead.reads, dead.most_under_way) == (1, 1)
        assert alive.reads == 11
        assert channels[0].jobs[0].health.overruns == 10
        assert {r.qualities for r in store.records if r.unit == "dead"} == {(Quality.SILENT,)}

    run(scenario)


@pytest.mark.parametrize(("lost", "failures"), [(True, 1), (False, 0)])
def test_invalid_values_fail_a_read_only_where_the_device_is_gone(lost: bool, failures: int) -> None:
    class Invalid(FakeDevice):
        async def read(self, points: Sequence[Point], *, budget_s: float) -> Answer:
            answer = await super().read(points, budget_s=budget_s)
            invalid = [r._replace(value=None, quality=Quality.INVALID) for r in answer.readings]
            gone = [Silent("the link was lost", subject=self.name)] if lost else []
            return answer._replace(readings=invalid, errors=gone)

    async def scenario() -> None:
        clock = SteppedClock()
        device, answers = Invalid("d", clock), list[Answer]()
        channel = Channel("d", [job(device)], clock, answers.append)
        task = asyncio.create_task(channel.run())
        channel.start(T)
        await channel.finished()
        health = channel.jobs[0].health
        assert (health.failures, health.last_good_utc_ms is None) == (failures, lost)
        assert [r.quality for r in answers[0].readings] == [Quality.INVALID], "told as it is in either case"
        device.hanging_s = 60.0
        channel.jobs[0].retry_at_s = 0.0
        for second in (1, 2):
            channel.start(T + 1000 * second)
            await asyncio.sleep(0)
        assert health.overruns == (0 if lost else 1), "waiting for one that is gone is no overrun"
        task.cancel()
        await asyncio.wait([task])

    run(scenario)


def test_a_silent_device_rests_and_is_silent_in_every_record_meanwhile() -> None:
    async def scenario() -> None:
        clock, take = SteppedClock(), list[Callable[[Answer], None]]()
        device = FakeDevice("d", clock)
        device.silent = True
        store, _ = await operate(clock, [channel_of(clock, take, device)], take, [device])
        assert device.reads >= 2
        assert_rested(device)
        assert {r.qualities for r in store.records} == {(Quality.SILENT,)}
        assert len(store.records) == 10

    run(scenario)


@pytest.mark.parametrize("shared", [1, 3])
def test_devices_on_one_line_are_read_one_after_the_other(shared: int) -> None:
    async def scenario() -> None:
        clock, take = SteppedClock(end_utc_ms=T + 2000), list[Callable[[Answer], None]]()
        devices = [FakeDevice(f"d{i}", clock) for i in range(shared)]
        await operate(clock, [channel_of(clock, take, *devices)], take, devices)
        assert {d.reads for d in devices} == {3}

    run(scenario)


class MistakenDevice(FakeDevice):
    """A driver with a mistake in it: `mistake` is raised by the calls named in `mistaken`."""

    def __init__(self, name: str, clock: SteppedClock, mistake: Callable[[], BaseException], *mistaken: str) -> None:
        super().__init__(name, clock)
        self.mistake, self.mistaken = mistake, mistaken

    async def close(self) -> None:
        await super().close()
        self._err("close")

    def collect(self) -> list[Reading]:
        self._err("collect")
        return []

    async def read(self, points: Sequence[Point], *, budget_s: float) -> Answer:
        answer = await super().read(points, budget_s=budget_s)
        self._err("read")
        return answer

    def _err(self, call: str) -> None:
        if call in self.mistaken:
            raise self.mistake()


@pytest.mark.parametrize("calls", [("read",), ("collect",), ("close",), ("read", "collect", "close")])
@pytest.mark.parametrize(
    "mistake",
    [lambda: KeyError(16385), lambda: struct.error("short"), AssertionError, MemoryError,
     lambda: InvariantBroken("of a driver"), asyncio.CancelledError],
    ids=["KeyError", "struct.error", "AssertionError", "MemoryError", "InvariantBroken", "CancelledError"],
)  # fmt: skip
def test_a_mistake_in_a_driver_is_the_failure_of_its_device_alone(
    mistake: Callable[[], BaseException], calls: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        clock, take = SteppedClock(), list[Callable[[Answer], None]]()
        wrong, sound = MistakenDevice("wrong", clock, mistake, *calls), FakeDevice("sound", clock)
        channels = [channel_of(clock, take, d) for d in (wrong, sound)]
        store, _ = await operate(clock, channels, take, [wrong, sound])
        assert [r.values for r in store.records if r.unit == "sound"] == [(i + 1,) for i in range(10)]
        assert sound.reads == 11
        health = channels[0].jobs[0].health
        if calls == ("close",):
            assert (health.faults, wrong.reads) == (0, 11)
            return
        assert {r.qualities for r in store.records if r.unit == "wrong"} <= {(Quality.GARBLED,), (Quality.GOOD,)}
        assert health.faults > 1
        assert health.faults == health.failures
        assert type(mistake()).__name__ in health.last_fault
        assert wrong.closed > 1, "it is closed before it is read again"
        if "read" in calls:
            assert_rested(wrong)
            assert {r.qualities for r in store.records if r.unit == "wrong"} == {(Quality.GARBLED,)}

    with caplog.at_level(logging.INFO, "collector.agent.record.poll"):
        run(scenario)
    told = [record for record in caplog.records if record.exc_info]
    if calls == ("close",) and mistake is asyncio.CancelledError:
        assert not told, "its worker was told to end just then"
        return
    assert [record.levelno for record in told] == [logging.ERROR], "one place raised, one traceback is told"
    assert told[0].exc_info
    assert told[0].exc_info[0] is type(mistake())
    assert "channel=wrong device=wrong " in told[0].getMessage()


def test_a_driver_that_errs_once_gives_values_again_at_the_next_read() -> None:
    async def scenario() -> None:
        clock, take = SteppedClock(), list[Callable[[Answer], None]]()
        device = MistakenDevice("d", clock, KeyError)
        channel = channel_of(clock, take, device)
        task = asyncio.create_task(operate(clock, [channel], take, [device]))
        while device.reads < 3:  # noqa: ASYNC110
            await asyncio.sleep(0)
        device.mistaken = ("read",)
        while not channel.jobs[0].health.faults:  # noqa: ASYNC110
            await asyncio.sleep(0)
        device.mistaken = ()
        store, _ = await task
        assert [r.qualities[0] for r in store.records].count(Quality.GARBLED) == 1
        assert store.records[-1].qualities == (Quality.GOOD,)
        assert (channel.jobs[0].health.faults, channel.jobs[0].health.failures_in_a_row) == (1, 0)

    run(scenario)


def test_a_driver_that_is_stuck_is_let_go_of_and_the_line_is_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poll, "_STUCK_S", 0.02)

    async def scenario() -> None:
        clock, answers = SteppedClock(), list[Answer]()
        stuck, other = FakeDevice("stuck", clock), FakeDevice("other", clock)
        stuck.hanging_s = 3600.0
        channel = Channel("line", [job(stuck), job(other)], clock, answers.append)
        for each in channel.jobs:
            each.budget_s, each.backoff_max_s = 0.01, 0.0
        task = asyncio.create_task(channel.run())
        channel.start(T)
        await channel.finished()
        health = channel.jobs[0].health
        assert (health.faults, health.failures, other.reads) == (1, 1, 1)
        assert "was stuck" in health.last_fault
        assert [reading.quality for reading in answers[0].readings] == [Quality.GARBLED]
        stuck.hanging_s = 0.0
        clock.now += 2000
        channel.start(clock.now)
        await channel.finished()
        assert stuck.closed == 1, "it is closed before it is read again"
        assert [reading.quality for reading in answers[2].readings] == [Quality.GOOD]
        assert (health.faults, health.failures_in_a_row) == (1, 0)
        task.cancel()
        await asyncio.wait([task])

    run(scenario)


def test_a_driver_that_is_stuck_after_reads_that_ended_and_beside_longer_ones_is_let_go_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(poll, "_STUCK_S", 0.02)

    async def scenario() -> None:
        clock, answers = SteppedClock(), list[Answer]()
        patient, hasty = FakeDevice("patient", clock), FakeDevice("hasty", clock)
        channel = Channel("line", [job(patient), job(hasty)], clock, answers.append)
        for each, budget_s in zip(channel.jobs, (3600.0, 0.01), strict=True):
            each.budget_s, each.backoff_max_s = budget_s, 0.0
        task = asyncio.create_task(channel.run())
        for round_ in range(4):  # the first device's timer would let the second hang for hours
            hasty.hanging_s = 3600.0 if round_ % 2 else 0.0
            channel.start(clock.now)
            await channel.finished()
            clock.now += 2000
        assert (patient.reads, hasty.reads) == (4, 4)
        assert (channel.jobs[0].health.faults, channel.jobs[1].health.faults) == (0, 2)
        task.cancel()
        await asyncio.wait([task])

    run(scenario)


@pytest.mark.parametrize("error", [InvariantBroken("a record would follow itself"), KeyError("of the recorder")])
def test_what_fails_after_the_driver_still_stops_the_process(error: Exception) -> None:
    def take(_answer: Answer) -> None:
        raise error

    async def scenario() -> None:
        clock = SteppedClock()
        channel = Channel("d", [job(FakeDevice("d", clock))], clock, take)
        channel.start(T)
        with pytest.raises(type(error)):
            await channel.run()

    run(scenario)


def test_a_worker_that_is_told_to_end_ends_although_its_driver_waits() -> None:
    async def scenario() -> None:
        clock, device = SteppedClock(), FakeDevice("d", SteppedClock())
        device.hanging_s = 60.0
        channel = Channel("d", [job(device)], clock, lambda _: None)
        task = asyncio.create_task(channel.run())
        channel.start(T)
        while not device.under_way:  # noqa: ASYNC110
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert (channel.jobs[0].health.faults, device.closed) == (0, 1)

    run(scenario)


@pytest.mark.parametrize(("at_once", "reads"), [(False, 1), (True, 2)])
def test_a_device_that_reports_changes_is_listened_to_from_the_start(at_once: bool, reads: int) -> None:
    async def scenario() -> None:
        # T is 20 s after a minute: the next multiple of the period comes after 40 s.
        clock, take = SteppedClock(end_utc_ms=T + 50_000), list[Callable[[Answer], None]]()
        device = FakeDevice("d", clock)
        channel = channel_of(clock, take, device)
        channel.jobs[0].period_ms, channel.jobs[0].at_once = 60_000, at_once
        await operate(clock, [channel], take, [device])
        assert device.reads == reads

    run(scenario)


def test_devices_are_asked_before_the_records_of_the_tick_before_are_made() -> None:
    class WatchedStore(MemoryStore):
        def append(self, records: Sequence[UnitRecord], gaps: Sequence[GapRecord] = ()) -> None:
            asked.append(device.reads)
            super().append(records, gaps)

    asked: list[int] = []
    clock, take = SteppedClock(), list[Callable[[Answer], None]]()
    device = FakeDevice("d", clock)

    async def scenario() -> None:
        channels, store = [channel_of(clock, take, device)], WatchedStore()
        await operate(clock, channels, take, [device], store=store, reorder_ms=1000)
        # FakeDevice answers the number of its reads: no record has the answer that came while it was made.
        assert [r.values for r in store.records] == [(i + 1,) for i in range(10)]

    run(scenario)
    assert asked == [i + 2 for i in range(10)]


@pytest.mark.parametrize("in_step", [True, False])
def test_only_in_simulated_time_commits_are_made_in_the_timetables_own_thread(in_step: bool) -> None:
    threads: set[int] = set()

    class WatchedStore(MemoryStore):
        def append(self, records: Sequence[UnitRecord], gaps: Sequence[GapRecord] = ()) -> None:
            threads.add(threading.get_ident())
            super().append(records, gaps)

    async def scenario() -> None:
        clock, take = SteppedClock(), list[Callable[[Answer], None]]()
        device = FakeDevice("d", clock)
        store = WatchedStore()
        await operate(clock, [channel_of(clock, take, device)], take, [device], in_step=in_step, store=store)
        assert len(store.records) == 10

    run(scenario)
    assert len(threads) == 1
    assert (threading.get_ident() in threads) is in_step
