# SPDX-License-Identifier: GPL-3.0-or-later
"""`agent watch`: all points once a second, from the running agent, or read here where none runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import msgspec

from collector.agent.device.contract import Answer
from collector.agent.device.factory import build_devices
from collector.agent.operate.doctor_buffer import is_locked
from collector.agent.operate.health import PointNow, points_now
from collector.agent.operate.status_server import ask_agent
from collector.agent.paths import find_socket
from collector.agent.record.recorder import Recorder
from collector.agent.record.wiring import channels_of, sources_of
from collector.base.clock import Clock, open_clock
from collector.base.errors import StoreError
from collector.base.text import tr
from collector.points.agent_config import AgentConfig, load_agent

_PERIOD_S: Final = 1.0
_FIRST_LOOK_S: Final = 3.0


async def pictures(file: Path, *, once: bool) -> AsyncIterator[tuple[str, list[PointNow]]]:
    """(source, points) without end, or once. `file`: agent.toml, which may be bad while its agent runs.

    Raises:
        ConfigError: no agent runs, and the configuration can't be used.
        StoreError: an agent runs and can't be asked: reading beside it would disturb it.
        LinkError: an agent is there and does not answer.
    """
    path = find_socket(file)
    answer = await asyncio.to_thread(ask_agent, path, "/points")
    if answer is None and is_locked(path.with_suffix(".buffer")):
        raise StoreError(tr("the agent runs and can't be asked: look as its user or root"), subject=str(path))
    if answer is None:
        config = load_agent(file)
        clock = await open_clock(config.settings.gateway.time_server)
        async for picture in _read_here(config, clock, once=once):
            yield tr("the agent is not running: read here, nothing is sent"), picture
        return
    while answer is not None:
        yield tr("what the running agent of {gateway} knows", gateway=path.stem), _decode(answer)
        if once:
            return
        await asyncio.sleep(_PERIOD_S)
        answer = await asyncio.to_thread(ask_agent, path, "/points")


def _decode(answer: bytes) -> list[PointNow]:
    return msgspec.json.decode(answer, type=list[PointNow])


async def _read_here(config: AgentConfig, clock: Clock, *, once: bool) -> AsyncIterator[list[PointNow]]:
    devices = build_devices(config, clock)
    recorder = Recorder(sources_of(config, devices), period_ms=1000, last={})

    def take(answer: Answer) -> None:
        recorder.feed(answer.readings)
        recorder.hold(answer.holding, answer.time_utc_ms)

    channels = channels_of(config, devices, clock, take)
    workers = [asyncio.create_task(channel.run(), name=f"poll[{channel.name}]") for channel in channels]
    try:
        if once:
            for channel in channels:
                channel.start(clock.now_utc_ms())
            await asyncio.wait([asyncio.create_task(c.finished()) for c in channels], timeout=_FIRST_LOOK_S)
        while True:
            for channel in channels:
                channel.start(clock.now_utc_ms())
                recorder.feed(channel.collect())
            now_ms = clock.now_utc_ms()
            # Take in the readings that wait for their tick, as the agent would, so that they don't fill the memory.
            recorder.settle(now_ms)
            yield points_now(recorder.newest(now_ms), now_ms, channels)
            if once:
                return
            await asyncio.sleep(_PERIOD_S)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.wait(workers)
