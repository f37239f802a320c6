# SPDX-License-Identifier: GPL-3.0-or-later
"""The present value of a point: read from its device or, while an agent runs, taken from the agent.

Serial lines, 104 links and many Modbus devices accept only one master, so devices are not read beside a running agent.
The agent keeps no raw bytes and no device times; `age_s` is the age of its value.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from collector.agent.operate.doctor_buffer import is_locked
from collector.agent.operate.health import PointNow
from collector.agent.operate.read_once import read_devices
from collector.agent.operate.status_server import ask_agent
from collector.agent.operate.table_hashes import loaded_tables
from collector.agent.paths import buffer_path, socket_path
from collector.base.clock import Clock, SimulatedClock, SystemClock
from collector.base.errors import StoreError
from collector.base.text import tr
from collector.model.record import Quality
from collector.points.agent_config import AgentConfig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DEVICE, AGENT = "device", "agent"


@dataclass(frozen=True, slots=True)
class Observation:
    """An observed value. `value`: decimal text in `unit`, empty where there is none. `time_utc_ms`: when it was read.

    `age_s`: time since then, if it comes from the agent; `error`: the device's answer instead of a value.
    """

    value: str
    unit: str
    quality: str
    raw: bytes
    device_time_utc_ms: int | None
    time_utc_ms: int
    source: str
    age_s: float = 0.0
    error: str = ""

    @property
    def usable(self) -> bool:
        """True if there is a value of usable quality."""
        return bool(self.value) and Quality[self.quality.upper()].usable


Observed = Mapping[tuple[str, str], Observation]


async def observe(config: AgentConfig, device: str = "") -> tuple[Observed, int]:
    """Observe all points, or those of one device, by (device, name); also returns the instant afterwards, UTC ms.

    Raises:
        StoreError: an agent runs but can't be asked, or uses another point table than the one on the disk.
        LinkError: the running agent does not answer.
    """
    async with opened_clock(config) as clock:
        path = socket_path(config)
        answer = await asyncio.to_thread(ask_agent, path, "/points")
        if answer is not None:
            await asyncio.to_thread(_check_tables, config, device)
            return _told(answer, device, clock.now_utc_ms()), clock.now_utc_ms()
        if is_locked(buffer_path(config)):
            raise StoreError(tr("the agent runs and can't be asked: verify as its user or root"), subject=str(path))
        return await _read(config, clock, device), clock.now_utc_ms()


async def now_utc_ms(config: AgentConfig) -> int:
    """The time of the devices, UTC ms: the host's clock, or that of the simulator named in the configuration."""
    async with opened_clock(config) as clock:
        return clock.now_utc_ms()


async def _read(config: AgentConfig, clock: Clock, device: str) -> Observed:
    found = {}
    for row, point, raw in await read_devices(config, clock, device):
        if point.quantity:
            found[row.device, row.name] = Observation(
                row.value, row.unit, row.quality, raw, row.device_time_utc_ms, row.time_utc_ms, DEVICE, 0.0,
                "" if row.value else row.error,
            )  # fmt: skip
    return found


def _check_tables(config: AgentConfig, device: str) -> None:
    """Check that the running agent uses the point tables to be verified.

    Raises:
        StoreError: the agent uses another point table than the one on the disk.
    """
    answer = ask_agent(socket_path(config), "/tables")
    running = msgspec.json.decode(answer, type=dict[str, str]) if answer is not None else {}
    for name, digest in loaded_tables(config, device).items():
        if running.get(name) != digest:
            message = tr("the running agent reads it by another point table or configuration than the one on the disk")
            raise StoreError(
                tr("{message}: systemctl reload collector-agent", message=message), subject=f"device {name}"
            )


def _told(answer: bytes, device: str, now_ms: int) -> Observed:
    found = {}
    for point in msgspec.json.decode(answer, type=list[PointNow]):
        if device in ("", point.device):
            age_s = point.age_s or 0.0
            found[point.device, point.point] = Observation(
                point.value, point.unit, point.quality, b"", None, now_ms - round(age_s * 1000), AGENT, age_s
            )
    return found


@asynccontextmanager
async def opened_clock(config: AgentConfig) -> AsyncIterator[Clock]:
    """The clock of a configuration; a simulator's clock is closed at the end, so that its time can go on."""
    if not config.settings.gateway.time_server:
        yield SystemClock()
        return
    host, _, port = config.settings.gateway.time_server.rpartition(":")
    clock = await SimulatedClock.connect(host, int(port))
    try:
        yield clock
    finally:
        await clock.close()
