# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent as a process: one TaskGroup of named tasks: a poller per channel, the timetable, the store, the uplink.

Shutdown is a crash we had time to log: the open batches are sealed, the uplink gets a few seconds, the process ends.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

from collector.agent.buffer import Buffer
from collector.agent.device.factory import DeviceOnLine, build_devices
from collector.agent.notify import notify
from collector.agent.poll import Channel, Job, Sink
from collector.agent.recorder import Recorder, Source, layouts_of
from collector.agent.ticks import Timetable
from collector.agent.uplink import run_uplink
from collector.clock import Clock, SimulatedClock, clock_state
from collector.config import AgentConfig, AgentSettings
from collector.model.record import UnitLayout
from collector.points import Point
from collector.wire import Signer, load_signing_key

_LOG = logging.getLogger(__name__)
_LAST_LOOKS: Final = 60
_LAST_LOOK_S: Final = 0.05


def point_period_ms(settings: AgentSettings, built: DeviceOnLine, point: Point) -> int:
    """How often a point is read: its own period, the device's, or one per record; 104 points come as they change."""
    default_s = built.settings.period_s or settings.gateway.record_period_s
    if point.period_s is None or built.settings.protocol == "iec104":
        return default_s * 1000
    return max(1, round(point.period_s * 1000))


def sources_of(config: AgentConfig, devices: list[DeviceOnLine]) -> list[Source]:
    """Where each quantity of each unit comes from, with the age up to which a value counts."""
    gateway = config.settings.gateway
    sources = []
    for built in devices:
        for point in built.device.points:
            if point.guard:
                continue
            period_ms = max(point_period_ms(config.settings, built, point), gateway.record_period_s * 1000)
            sources.append(Source(point, point.unit or built.settings.unit, gateway.stale_after_periods * period_ms))
    return sources


def channels_of(config: AgentConfig, devices: list[DeviceOnLine], clock: Clock, sink: Sink) -> list[Channel]:
    """One channel per line, with a job per device and period; guard points are read with every job of their device."""
    lines: dict[str, list[DeviceOnLine]] = {}
    for built in devices:
        lines.setdefault(built.line, []).append(built)
    channels = []
    for line, sharing in lines.items():
        jobs = []
        for built in sharing:
            guards = [p for p in built.device.points if p.guard]
            periods: dict[int, list[Point]] = {}
            for point in built.device.points:
                if not point.guard:
                    periods.setdefault(point_period_ms(config.settings, built, point), []).append(point)
            for period_ms, points in sorted(periods.items()):
                # On a shared line no slave may take the time of the others; alone on it, the whole period is its own.
                budget_s = max(2 * built.settings.timeout_s, period_ms / 1000 / len(sharing))
                backoff_s = built.settings.backoff_max_s
                jobs.append(Job(built.device, (*guards, *points), period_ms, budget_s, backoff_s))
        channels.append(Channel(line, jobs, clock, sink))
    return channels


def load_signers(config: AgentConfig) -> dict[str, Signer | None]:
    """The signing key of each plant; None where the configuration names none.

    Raises:
        ConfigError: a key file is missing or is no key.
    """
    return {
        plant.id: load_signing_key(config.resolve(plant.signing_key_file)) if plant.signing_key_file else None
        for plant in config.settings.plant
    }


async def run_agent(config: AgentConfig, clock: Clock, *, stop: asyncio.Event | None = None) -> None:
    """Collect until SIGTERM or SIGINT, or until `stop` is set.

    Args:
        config: checked configuration.
        clock: the host's, or one a simulator keeps.
        stop: for tests; signals set it too where they can be received.

    Raises:
        ConfigError, StoreError, LinkError: it can't start, or can't go on.
    """
    stop = stop or asyncio.Event()
    with _stop_on_signals(stop):
        await _collect(config, clock, stop)


async def _collect(config: AgentConfig, clock: Clock, stop: asyncio.Event) -> None:
    devices = build_devices(config, clock)
    sources = sources_of(config, devices)
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
    loop = asyncio.get_running_loop()
    buffer = await loop.run_in_executor(executor, _open_buffer, config, clock, sources)
    try:
        await _run(config, clock, devices, sources, buffer, executor, stop)
    finally:
        await loop.run_in_executor(executor, buffer.close)
        executor.shutdown()


def _open_buffer(config: AgentConfig, clock: Clock, sources: list[Source]) -> Buffer:
    settings = config.settings
    directory = config.resolve(settings.gateway.state_dir)
    nothing = {unit.id: UnitLayout(unit.id, ()) for unit in settings.unit}
    directory.mkdir(parents=True, exist_ok=True)
    return Buffer.open(
        directory / f"{settings.gateway.id}.buffer", gateway=settings.gateway.id,
        plants_of_unit={unit.id: unit.plant for unit in settings.unit}, settings=settings.buffer,
        layouts=nothing | layouts_of(sources), signers=load_signers(config), now_utc_ms=clock.now_utc_ms(),
    )  # fmt: skip


async def _run(
    config: AgentConfig, clock: Clock, devices: list[DeviceOnLine], sources: list[Source], buffer: Buffer,
    executor: ThreadPoolExecutor, stop: asyncio.Event,
) -> None:  # fmt: skip
    gateway = config.settings.gateway
    loop = asyncio.get_running_loop()
    units = sorted({source.unit for source in sources})
    last = await loop.run_in_executor(executor, lambda: {unit: buffer.last(unit) for unit in units})
    recorder = Recorder(sources, period_ms=gateway.record_period_s * 1000, last=last)
    channels = channels_of(config, devices, clock, lambda answer: timetable.take(answer))
    timetable = Timetable(
        channels, recorder, clock, period_ms=gateway.record_period_s * 1000, reorder_ms=gateway.reorder_ms,
        in_step=isinstance(clock, SimulatedClock), on_tick=lambda: notify("WATCHDOG=1"),
    )  # fmt: skip
    collecting: Mapping[str, Callable[[], Awaitable[None]]] = {
        **{f"poll[{channel.name}]": channel.run for channel in channels},
        "ticks": timetable.run,
    }
    notify("READY=1")
    _LOG.info("gateway=%s units=%d devices=%d channels=%d", gateway.id, len(units), len(devices), len(channels))
    async with asyncio.TaskGroup() as group:
        store = group.create_task(timetable.store(buffer, executor), name="store")
        uplink = group.create_task(run_uplink(buffer, config, status=lambda: state_of(channels, clock)), name="uplink")
        tasks = [group.create_task(_named(run), name=name) for name, run in collecting.items()]
        await stop.wait()
        notify("STOPPING=1")
        for task in tasks:
            task.cancel()
        await timetable.drain()
        await loop.run_in_executor(executor, buffer.seal_all)
        await _drain(buffer, executor)
        store.cancel()
        uplink.cancel()


def state_of(channels: Iterable[Channel], clock: Clock) -> dict[str, object]:
    """What the retained state message says of this side: the clock, and how each device answers."""
    links = {
        job.device.name: {
            "good": job.error is None,
            "failures": job.health.failures,
            "last_good_utc_ms": job.health.last_good_utc_ms,
        }
        for channel in channels
        for job in channel.jobs
    }
    return {"clock": clock_state(clock).name.lower(), "links": links}


async def _drain(buffer: Buffer, executor: ThreadPoolExecutor) -> None:
    """Give the uplink a little time for what is sealed; the rest waits on disk for the next start."""
    loop = asyncio.get_running_loop()
    for _ in range(_LAST_LOOKS):
        if not (await loop.run_in_executor(executor, buffer.counts)).pending:
            return
        await asyncio.sleep(_LAST_LOOK_S)


async def _named(run: Callable[[], Awaitable[None]]) -> None:
    await run()


@contextmanager
def _stop_on_signals(stop: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    taken = []
    for name in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(name, stop.set)
        except (ValueError, RuntimeError, NotImplementedError):
            # Not in the main thread (a test, an embedding program): whoever runs us sets `stop`.
            break
        taken.append(name)
    try:
        yield
    finally:
        for name in taken:
            loop.remove_signal_handler(name)
