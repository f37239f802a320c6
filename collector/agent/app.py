# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent as a process: one TaskGroup of named tasks: a poller per channel, the timetable, the store, the uplink.

SIGHUP loads the configuration again; devices, points and units change between two records, and no tick is lost.
Shutdown is a crash we had time to log: the open batches are sealed, the uplink gets a few seconds, the process ends.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from collector import __version__
from collector.agent.buffer.buffer import Buffer
from collector.agent.buffer.buffer_file import Unusable
from collector.agent.buffer.capacity import Capacity, compute_capacity
from collector.agent.buffer.ledger_schema import make_apart
from collector.agent.buffer.salvage import is_new
from collector.agent.device.factory import DeviceOnLine, build_devices
from collector.agent.operate.alarm import watch_buffer
from collector.agent.operate.health import (
    Health,
    PointNow,
    TickHealth,
    UplinkHealth,
    devices_of,
    points_now,
    resident_bytes,
)
from collector.agent.operate.reload import kept_lines, load_again, merge_devices
from collector.agent.operate.status_server import JSON, TEXT, StatusPage, StatusRequest, StatusServer, loopback
from collector.agent.operate.table_hashes import loaded_tables
from collector.agent.paths import buffer_path, socket_path
from collector.agent.record.poll import Channel
from collector.agent.record.recorder import Recorder
from collector.agent.record.schedule import Store, Timetable
from collector.agent.record.sources import QuantitySource
from collector.agent.record.wiring import channels_of, layouts_with_all_units, load_signers, plants_of_unit, sources_of
from collector.agent.uplink.uplink import Uplink
from collector.base.clock import Clock, SimulatedClock, clock_state
from collector.base.errors import CollectorError, ConfigError, StoreError
from collector.base.notify import notify, watchdog
from collector.base.text import into
from collector.points.agent_config import AgentConfig

if TYPE_CHECKING:
    from collector.agent.operate.page.server import LivePageServer

_LOG = logging.getLogger(__name__)
_LAST_LOOKS: Final = 60
_LAST_LOOK_S: Final = 0.05
_LAST_COMMITS_S: Final = 5.0
_TIDY_PERIOD_S: Final = 60.0


def look_for_cycles_rarely() -> None:
    """Make Python's cycle collector run rarely: readings live for a tick and form no cycles.

    Scanning for cycles at every 700 objects costs more than the readings. Much rarer would be too rare: broken
    connections do leave cycles, 4 KB for each Modbus connection refused.
    """
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


async def run_agent(
    config: AgentConfig, clock: Clock, *, path: Path | None = None, stop: asyncio.Event | None = None,
    reload: asyncio.Event | None = None, page: str = "",
) -> None:  # fmt: skip
    """Collect until SIGTERM or SIGINT, or until `stop` is set.

    Args:
        config: checked configuration.
        clock: the host's, or one a simulator keeps.
        path: the configuration's file, loaded again at SIGHUP or when `reload` is set; None: never again.
        stop, reload: for tests; signals set them too where they can be received.
        page: HOST:PORT of the live page, empty for none.

    Raises:
        ConfigError, StoreError, LinkError: it can't start, or can't go on.
    """
    stop, reload = stop or asyncio.Event(), reload or asyncio.Event()
    with _on_signals({signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGHUP: reload}):
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        loop = asyncio.get_running_loop()
        agent, buffer = await _make_agent(config, clock, executor)
        try:
            await agent.run(path, stop, reload, page)
        except BaseExceptionGroup as group:
            # Several tasks notice a damaged buffer; one reports it, and the next start sets the file aside.
            if (damaged := next(iter(_leaves(group, Unusable)), None)) is not None:
                raise damaged from None
            raise
        finally:
            await loop.run_in_executor(executor, buffer.close)
            executor.shutdown()


def _leaves(group: BaseExceptionGroup[BaseException], kind: type[CollectorError]) -> list[CollectorError]:
    """The errors of a kind in a group, where it holds no others."""
    found: list[CollectorError] = []
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            if not (inner := _leaves(error, kind)):
                return []
            found += inner
        elif isinstance(error, kind):
            found.append(error)
        else:
            return []
    return found


async def _make_agent(config: AgentConfig, clock: Clock, executor: ThreadPoolExecutor) -> tuple[Agent, Buffer]:
    """The agent and its open buffer. The source objects are dropped here: the recorder's columns take a fifth."""
    loop = asyncio.get_running_loop()
    devices = build_devices(config, clock)
    sources = sources_of(config, devices)
    buffer = await loop.run_in_executor(executor, _open_buffer, config, clock, sources)
    if buffer.salvaged is not None:
        _LOG.error("buffer=damaged %s", buffer.salvaged)
    try:
        last = await loop.run_in_executor(executor, lambda: {s.unit: buffer.last(s.unit) for s in sources})
        return Agent(config, clock, devices, sources, buffer, executor, last), buffer
    except BaseException:
        await loop.run_in_executor(executor, buffer.close)
        raise


def _open_buffer(config: AgentConfig, clock: Clock, sources: Sequence[QuantitySource]) -> Buffer:
    settings = config.settings
    path = buffer_path(config)
    path.parent.mkdir(parents=True, exist_ok=True)
    if is_new(path):
        make_apart(path)
    return Buffer.open(
        path, gateway=settings.gateway.id,
        plants_of_unit=plants_of_unit(config), settings=settings.buffer,
        layouts=layouts_with_all_units(config, sources), signers=load_signers(config), now_utc_ms=clock.now_utc_ms(),
        outlives_power_cuts=not isinstance(clock, SimulatedClock),
    )  # fmt: skip


class Agent:
    """One gateway at work. Made by `run_agent`."""

    def __init__(
        self, config: AgentConfig, clock: Clock, devices: list[DeviceOnLine], sources: list[QuantitySource],
        buffer: Buffer, executor: ThreadPoolExecutor, last: Mapping[str, tuple[int, int] | None],
    ) -> None:  # fmt: skip
        gateway = config.settings.gateway
        self._config, self._clock, self._devices = config, clock, devices
        self._buffer, self._executor = buffer, executor
        self._started_s = asyncio.get_running_loop().time()
        self._recorder = Recorder(sources, period_ms=gateway.record_period_ms, last=last)
        self._channels = channels_of(config, devices, clock, lambda answer: self._timetable.take(answer))
        self._timetable = Timetable(
            self._channels, self._recorder, clock, period_ms=gateway.record_period_ms,
            reorder_ms=gateway.reorder_ms, in_step=isinstance(clock, SimulatedClock),
            on_tick=watchdog(),
        )  # fmt: skip
        self._uplink = Uplink(buffer, config, status=self._state, echo=self._echo)
        self._workers: dict[Channel, asyncio.Task[None]] = {}
        self._reload_error = ""
        self._tables: tuple[AgentConfig, dict[str, str]] | None = None  # computed at the first request
        self._live_page: LivePageServer | None = None
        self._status_server = StatusServer(
            {
                "/capacity": self._page_capacity,
                "/healthz": self._page_health,
                "/metrics": self._page_metrics,
                "/points": self._page_points,
                "/readyz": self._page_ready,
                "/status": self._page_status,
                "/tables": self._page_tables,
            }
        )

    async def run(self, path: Path | None, stop: asyncio.Event, reload: asyncio.Event, page: str = "") -> None:
        """Run until `stop` is set."""
        try:
            await self._listen(page)
            async with asyncio.TaskGroup() as group:
                store = group.create_task(self._timetable.store(self._buffer, self._executor), name="store")
                uplink = group.create_task(self._uplink.run(), name="uplink")
                ticks = group.create_task(self._timetable.run(), name="ticks")
                others = [group.create_task(watch_buffer(lambda: compute_capacity(self._config)), name="alarms")]
                others.append(group.create_task(_tidy(), name="tidy"))
                if path is not None:
                    others.append(group.create_task(self._reload_when_told(path, reload, group), name="reload"))
                for channel in self._channels:
                    self._start(channel, group)
                notify("READY=1")
                await stop.wait()
                notify("STOPPING=1")
                for task in (*others, *self._workers.values(), ticks):
                    task.cancel()
                await self._settle()
                store.cancel()
                uplink.cancel()
        finally:
            await self._status_server.close()
            if self._live_page is not None:
                await self._live_page.close()

    async def _listen(self, page: str) -> None:
        gateway = self._config.settings.gateway
        if gateway.metrics_listen:
            await self._status_server.listen(*loopback(gateway.metrics_listen))
        if page:
            from collector.agent.operate.page.server import LivePageServer

            self._live_page = LivePageServer(self._look, buffer_path(self._config).with_suffix(".page-token"))
            await self._live_page.listen(page)
        await self._status_server.listen_in(socket_path(self._config))
        _LOG.info(
            "gateway=%s units=%d devices=%d channels=%d", gateway.id, len(self._config.settings.unit),
            len(self._devices), len(self._channels),
        )  # fmt: skip

    def _start(self, channel: Channel, group: asyncio.TaskGroup) -> None:
        self._workers[channel] = group.create_task(channel.run(), name=f"poll[{channel.name}]")

    async def _call(self, function: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)

    async def _settle(self) -> None:
        """Commit waiting records, seal them, and let them go out; a disk that refuses does not hold up the exit."""
        try:
            async with asyncio.timeout(_LAST_COMMITS_S):
                await self._timetable.drain()
            await self._call(self._buffer.seal_all)
        except (TimeoutError, StoreError) as error:
            # The next start finds the time since the last record missing, and reports it.
            _LOG.error("the store takes nothing; ending without what waits for it: %s", error or "timeout")
        else:
            await self._drain()

    async def _drain(self) -> None:
        """Give the uplink a short time for the sealed batches; the rest waits on disk for the next start."""
        for _ in range(_LAST_LOOKS):
            if not (await self._call(self._buffer.counts)).pending:
                return
            await asyncio.sleep(_LAST_LOOK_S)

    async def _reload_when_told(self, path: Path, told: asyncio.Event, group: asyncio.TaskGroup) -> None:
        while True:
            await told.wait()
            told.clear()
            try:
                config = await asyncio.to_thread(load_again, path, self._config)
                await self._exchange(config, group)
            except ConfigError as error:
                self._reload_error = str(error)
                for problem in error.problems:
                    _LOG.error("reload=refused %s", problem)
                _LOG.error("reload=refused; the configuration in force goes on")
            else:
                self._reload_error = ""
                _LOG.info("reload=done devices=%d channels=%d", len(self._devices), len(self._channels))

    async def _exchange(self, config: AgentConfig, group: asyncio.TaskGroup) -> None:
        """Apply a new configuration between two records."""
        kept = kept_lines(self._config, config)
        devices = merge_devices(self._devices, build_devices(config, self._clock), kept)
        sources = sources_of(config, devices)
        running = {channel.name: channel for channel in self._channels}
        channels = [
            running[channel.name] if channel.name in kept else channel
            for channel in channels_of(config, devices, self._clock, lambda answer: self._timetable.take(answer))
        ]
        last = await self._call(lambda: {s.unit: self._buffer.last(s.unit) for s in sources})
        recorder = Recorder(sources, period_ms=config.settings.gateway.record_period_ms, last=last)
        plants, layouts = plants_of_unit(config), layouts_with_all_units(config, sources)

        def on_store(store: Store) -> None:
            del store
            self._buffer.change_units(plants, layouts)

        await self._timetable.change(channels, recorder, on_store)
        leaving = [channel for channel in self._channels if channel not in channels]
        coming = [channel for channel in channels if channel not in self._channels]
        self._config, self._devices, self._channels, self._recorder = config, devices, channels, recorder
        # A line has one master: the old one must close it before the new one opens it.
        for task in (gone := [self._workers.pop(channel) for channel in leaving]):
            task.cancel()
        if gone:
            await asyncio.wait(gone)
        for channel in coming:
            self._start(channel, group)

    def _state(self) -> Mapping[str, Any]:
        """The agent's part of the retained state message: the clock, and how each device answers."""
        links = {
            d.device: {"good": d.answers, "failures": d.failures, "last_good_utc_ms": d.last_good_utc_ms}
            for d in devices_of(self._channels)
        }
        return {"clock": clock_state(self._clock).name.lower(), "links": links}

    def _echo(self, device: str, point: str) -> Mapping[str, Any]:
        """The present state of one point, for 对点 from the center."""
        now = self._clock.now_utc_ms()
        for known in points_now(self._recorder.newest(now), now):
            if (known.device, known.point) == (device, point):
                return {**msgspec.to_builtins(known), "time_utc_ms": now}
        return {"device": device, "point": point, "error": "no such point here"}

    async def health(self) -> Health:
        """The present health of this agent.

        Raises:
            StoreError: the buffer can't be read.
        """
        counts = await self._call(self._buffer.counts)
        capacity = await asyncio.to_thread(compute_capacity, self._config)
        uplink, now_s, done = self._uplink, asyncio.get_running_loop().time(), self._timetable.counts
        return Health(
            gateway=self._config.settings.gateway.id, version=__version__, time_utc_ms=self._clock.now_utc_ms(),
            running_s=now_s - self._started_s, clock=clock_state(self._clock).name.lower(),
            store_error=self._timetable.store_error,
            ticks=TickHealth(
                done.ticks, done.missed, done.records, done.gaps, self._recorder.late_tags, done.clock_steps,
                done.clock_steps_forward, done.last_step_ms, done.last_step_utc_ms,
            ),
            devices=devices_of(self._channels),
            uplink=UplinkHealth(
                uplink.place, uplink.is_connected, uplink.last_error, uplink.published,
                uplink.acknowledged, uplink.ignored,
                None if uplink.last_ack_s is None else now_s - uplink.last_ack_s,
                {plant: sorted(codes) for plant, codes in uplink.unrecognised.items() if codes},
                uplink.broker_code, uplink.divided, uplink.short_sessions, self._config.settings.uplink.is_one_way,
                uplink.earlier_store,
            ),
            buffer=counts, max_bytes=capacity.max_bytes, unsent_ratio=capacity.unsent_ratio,
            reload_error=self._reload_error, tasks=len(asyncio.all_tasks()), memory_bytes=resident_bytes(),
        )  # fmt: skip

    async def _page_health(self, _request: StatusRequest) -> StatusPage:
        """Answer that the process runs and its event loop works; nothing more."""
        return StatusPage(200, TEXT, b"ok\n")

    async def _page_ready(self, _request: StatusRequest) -> StatusPage:
        reason = (await self.health()).not_ready
        return StatusPage(503 if reason else 200, TEXT, f"{reason or 'ready'}\n".encode())

    async def _page_metrics(self, _request: StatusRequest) -> StatusPage:
        # Imported at the first request: two megabytes that many gateways never need.
        from collector.agent.operate.metrics import CONTENT_TYPE, render_metrics

        return StatusPage(200, CONTENT_TYPE, render_metrics(await self.health()))

    async def _page_status(self, request: StatusRequest) -> StatusPage:
        """The agent's health; its error texts are Chinese where the client prefers Chinese."""
        language = "zh" if request.headers.get("accept-language", "").startswith("zh") else "en"
        data = msgspec.json.encode(await self.health(), enc_hook=lambda text: into(text, language))
        return StatusPage(200, JSON, data)

    async def _page_points(self, _request: StatusRequest) -> StatusPage:
        return StatusPage(200, JSON, msgspec.json.encode(self._points_now()))

    def _points_now(self) -> list[PointNow]:
        now = self._clock.now_utc_ms()
        return points_now(self._recorder.newest(now), now, self._channels)

    async def _page_capacity(self, _request: StatusRequest) -> StatusPage:
        found = await asyncio.to_thread(compute_capacity, self._config)
        return StatusPage(200, "application/msgpack", msgspec.msgpack.encode(found))

    async def _look(self) -> tuple[Health, Capacity, list[PointNow]]:
        """The data of the live page."""
        return await self.health(), await asyncio.to_thread(compute_capacity, self._config), self._points_now()

    async def _page_tables(self, _request: StatusRequest) -> StatusPage:
        if self._tables is None or self._tables[0] is not self._config:
            config = self._config
            self._tables = config, await asyncio.to_thread(loaded_tables, config)
        return StatusPage(200, JSON, msgspec.json.encode(self._tables[1]))


async def _tidy() -> None:
    """Collect cycles now and then: those of long-lived broken connections are in the oldest generation."""
    while True:
        await asyncio.sleep(_TIDY_PERIOD_S)
        gc.collect()


@contextmanager
def _on_signals(wanted: Mapping[signal.Signals, asyncio.Event]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    taken = []
    for name, event in wanted.items():
        try:
            loop.add_signal_handler(name, event.set)
        except (ValueError, RuntimeError, NotImplementedError):
            # Not in the main thread (a test, an embedding program): the caller sets the events.
            break
        taken.append(name)
    try:
        yield
    finally:
        for name in taken:
            loop.remove_signal_handler(name)
