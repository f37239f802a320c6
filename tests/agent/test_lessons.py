# SPDX-License-Identifier: GPL-3.0-or-later
"""Acceptance checks of the plant side that no other file holds; docs/lessons-acceptance.md lists all of them by row."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tracemalloc
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from collector.agent.device.contract import Answer
from collector.agent.log import fields
from collector.agent.operate.read_once import read_devices
from collector.agent.record.poll import Channel
from collector.agent.record.recorder import Recorder
from collector.agent.record.schedule import Timetable
from collector.agent.record.sources import QuantitySource
from collector.agent.uplink.uplink import Uplink
from collector.base.clock import SystemClock
from collector.model.record import GapRecord, Quality, UnitRecord
from collector.points.agent_config import load_agent
from simulators.run.pytest_plugin import ServedDevices
from tests.agent.buffer.agent_buffers import open_buffer, pending, record, seal_one, times
from tests.agent.record.fake_devices import FakeDevice, MemoryStore, SteppedClock, T, channel_of, operate
from tests.agent.running_agent import TABLE, WIDER, agent_at, buffered, recorded, run, write_agent
from tests.agent.uplink.uplink_world import Center, agent_config, all_acknowledged, broker, free_port, running
from tests.patience import HANG_S, until

Serve = Callable[..., ServedDevices]


def test_with_one_device_silent_the_others_are_read_every_period_and_the_log_names_what_fails(
    modbus_device: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good, black, partly = modbus_device(TABLE), modbus_device(TABLE), modbus_device(TABLE)
    black.fault("half_open")
    # d3's table names an address its device does not have.
    path = write_agent(tmp_path, [good.port, black.port, partly.port], tables=[TABLE, TABLE, WIDER])

    async def scenario() -> None:
        async with agent_at(path):
            await until(lambda: recorded(path) >= 27)

    with caplog.at_level(logging.INFO):
        run(scenario())
    records, _ = buffered(path)
    ticks = [r for _, r in records if r.unit == "U1"]
    first = next(i for i, r in enumerate(ticks) if r.qualities[0] is Quality.GOOD)
    assert {r.qualities[0] for r in ticks[first:]} == {Quality.GOOD}
    assert good.requests() == pytest.approx(len(ticks), abs=max(2, len(ticks) // 10))
    assert {r.qualities for _, r in records if r.unit == "U2"} == {(Quality.SILENT,)}
    assert [r.qualities for _, r in records if r.unit == "U3"][-1] == (Quality.GOOD, Quality.REFUSED)
    silent, refused = f"127.0.0.1:{black.port}", f"127.0.0.1:{partly.port}"
    lines = [r.getMessage() for r in caplog.records if r.name == "collector.agent.record.poll"]
    assert any(
        line.startswith(f'channel={silent} device=d2 unit=U2 request="{silent} slave 1 holding') for line in lines
    )
    (line,) = (line for line in lines if "device=d3" in line)
    assert (
        line
        == f'channel={refused} device=d3 unit=U3 request="{refused} slave 1 holding 2+2" '
        + line[line.index("exception 2") :]
    )


def test_a_device_that_takes_one_field_at_a_time_gets_a_request_for_each(modbus_device: Serve, tmp_path: Path) -> None:
    device = modbus_device(WIDER)
    path = write_agent(tmp_path, [device.port], tables=[WIDER])
    asyncio.run(read_devices(load_agent(path), SystemClock(), ""))
    assert device.requests() == 1
    path.write_text(path.read_text("utf-8") + "one_point_per_request = true\npause_ms = 1\n", "utf-8")
    asyncio.run(read_devices(load_agent(path), SystemClock(), ""))
    assert device.requests() == 1 + 2


def test_log_fields_are_quoted_where_they_must_be_and_left_out_where_empty() -> None:
    assert fields(channel="/dev/ttyS1", unit="", request='a "b"') == 'channel=/dev/ttyS1 request="a \\"b\\""'


def test_a_day_without_the_center_loses_no_record(tmp_path: Path) -> None:
    """24 hours of ticks a minute apart in compressed time, the broker away; afterwards all of them arrive, once."""
    path = tmp_path / "g1.buffer"
    port = free_port()
    minutes = 24 * 60

    async def scenario() -> None:
        with closing(open_buffer(path, max_age_s=900)) as buffer:
            uplink = asyncio.create_task(Uplink(buffer, agent_config(port, tmp_path)).run())
            for minute in range(minutes):
                await asyncio.to_thread(buffer.append, [record(60 * minute, unit=u) for u in ("U1", "V1")])
            buffer.seal_all()
            assert buffer.counts().freed == 0
            uplink.cancel()
            await asyncio.wait([uplink])
            before = {plant: times(pending(buffer, plant)) for plant in ("P1", "P2")}
            assert before == {plant: [60.0 * m for m in range(minutes)] for plant in ("P1", "P2")}
            center = Center(port)
            with broker(port):
                async with running(buffer, agent_config(port, tmp_path), center):
                    await all_acknowledged(buffer)
            counts = buffer.counts()
            assert (counts.recorded, counts.evicted_records) == (2 * minutes, 0)
            for plant in ("P1", "P2"):
                assert center.sequences(plant) == list(range(1, len(center.sequences(plant)) + 1))

    asyncio.run(scenario())


class Proxy:
    """TCP to `port`; what is connected while `swallow` holds loses every byte both ways, and hears nothing of it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.swallow = False
        self.swallowed = 0

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[int]:
        """Its own port."""
        tasks: set[asyncio.Task[None]] = set()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            with contextlib.suppress(OSError, asyncio.CancelledError):
                other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self._port)
                both = [self._pump(reader, other_writer), self._pump(other_reader, writer)]
                pumps = [asyncio.create_task(pump) for pump in both]
                try:
                    await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for pump in pumps:
                        pump.cancel()
                    await asyncio.gather(*pumps, return_exceptions=True)
                    writer.close()
                    other_writer.close()

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for task in list(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        doomed = False
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                doomed = doomed or self.swallow
                if doomed:
                    self.swallowed += len(data)
                    continue
                writer.write(data)
                await writer.drain()


def test_a_link_that_swallows_everything_both_ways_is_rebuilt_and_nothing_is_lost(tmp_path: Path) -> None:
    async def scenario() -> None:
        port = free_port()
        proxy = Proxy(port)
        with broker(port), closing(open_buffer(tmp_path / "g1.buffer")) as buffer:
            async with proxy.serve() as through:
                config = agent_config(through, tmp_path)
                mqtt = config.settings.mqtt.model_copy(update={"keepalive_s": 1})
                settings = config.settings.model_copy(update={"mqtt": mqtt})
                center = Center(port)
                config = type(config)(settings, config.points, config.directory)
                async with running(buffer, config, center) as uplink:
                    seal_one(buffer, 1)
                    await all_acknowledged(buffer)
                    assert uplink.is_connected
                    proxy.swallow = True
                    for second in range(2, 6):
                        seal_one(buffer, second)
                    await until(lambda: proxy.swallowed > 0 and not uplink.is_connected)
                    proxy.swallow = False
                    await all_acknowledged(buffer)
                assert center.sequences() == [1, 2, 3, 4, 5]

    asyncio.run(scenario())


@pytest.mark.parametrize("step_ms", [3_600_000, -3_600_000])
def test_a_step_of_the_clock_by_an_hour_is_a_gap_or_an_era_and_no_time_is_made_up(step_ms: int) -> None:
    async def scenario() -> None:
        clock, take = SteppedClock(), list[Callable[[Answer], None]]()
        clock.jumps = {T + 4000: T + 4000 + step_ms}
        device = FakeDevice("d", clock)
        # Reached once where the clock steps back; the end then lies behind what is asked for until it is moved.
        clock.end = T + 4000 if step_ms < 0 else T + 10_000 + step_ms
        task = asyncio.create_task(operate(clock, [channel_of(clock, take, device)], take, [device]))
        await until(lambda: not clock.jumps)
        clock.end = T + 10_000 + step_ms
        store, _ = await task
        for era in (0, 1):
            of_era = [r.time_utc_ms for r in store.records if r.era == era]
            assert of_era == sorted(set(of_era))
        if step_ms > 0:
            assert {r.era for r in store.records} == {0}
            assert store.gaps == [GapRecord(("d",), T + 3000, T + 4000 + step_ms, "missed_ticks")]
        else:
            assert [r.time_utc_ms - T for r in store.records if r.era == 0] == [0, 1000, 2000, 3000]
            assert min(r.time_utc_ms for r in store.records if r.era == 1) == T + 4000 + step_ms

    asyncio.run(asyncio.wait_for(scenario(), HANG_S))


def test_memory_and_tasks_stay_flat_while_devices_come_and_go() -> None:
    """A short soak: what a tick leaves behind would show after a thousand; `make soak` runs the long one."""

    class Counting(MemoryStore):
        def append(self, records: Sequence[UnitRecord], gaps: Sequence[GapRecord] = ()) -> None:
            del records, gaps

    async def scenario() -> None:
        clock, take = SteppedClock(end_utc_ms=T + 1_200_000), list[Callable[[Answer], None]]()
        devices = [FakeDevice(f"d{i}", clock) for i in range(3)]
        channels: list[Channel] = [channel_of(clock, take, device) for device in devices]
        recorder = Recorder([QuantitySource(d.points[0], d.name, 3000) for d in devices], period_ms=1000, last={})
        timetable = Timetable(channels, recorder, clock, period_ms=1000, reorder_ms=200, in_step=True)
        take.append(timetable.take)
        measured: list[tuple[int, int]] = []
        tracemalloc.start()
        with ThreadPoolExecutor(1) as executor:
            work = [*(c.run() for c in channels), timetable.run(), timetable.store(Counting(), executor)]
            tasks = [asyncio.create_task(w) for w in work]
            while not clock.over.is_set():
                # Each device is silent every third of a while, in turn.
                for index, device in enumerate(devices):
                    device.silent = timetable.counts.ticks // 20 % 3 == index
                await asyncio.sleep(0.01)
                if timetable.counts.ticks >= 400 * (len(measured) + 1):
                    measured.append((tracemalloc.get_traced_memory()[0], len(asyncio.all_tasks())))
            tracemalloc.stop()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        assert len({count for _, count in measured}) == 1, measured
        assert measured[-1][0] <= measured[0][0] + 200_000, measured

    asyncio.run(asyncio.wait_for(scenario(), HANG_S))


def test_the_sample_of_schema_1_is_still_read() -> None:
    """A copy as first shipped: a later version reads it, or warns for one release before it does not."""
    kept = Path(__file__).parent / "samples" / "schema-1" / "agent.toml"
    assert load_agent(kept).settings.schema_version == 1
