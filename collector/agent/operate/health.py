# SPDX-License-Identifier: GPL-3.0-or-later
"""The health of a running agent in one snapshot, for `agent status`, `doctor`, metrics, /readyz and the state message.

The snapshot is made on request; nothing here costs anything in between.
"""

from __future__ import annotations

import resource
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from collector.agent.buffer.counts import Counts
from collector.agent.device.contract import Explaining, Showing
from collector.agent.record.poll import Channel
from collector.agent.record.recorder import Newest
from collector.base.text import tr
from collector.model.interval import format_time
from collector.model.quantity import BY_NAME, from_scaled
from collector.model.record import Quality

# Share of the buffer the center has not acknowledged, at which the agent raises its voice.
_NOTHING_CAME: Final = frozenset({Quality.SILENT, Quality.REFUSED, Quality.GARBLED})
ALARMS: Final = ((0.9, "critical"), (0.7, "warning"))


class DeviceHealth(msgspec.Struct, frozen=True):
    """One device since the start. `answers`: its last read gave a value. Durations in seconds, times in UTC ms.

    `clock_offset_ms`: its clock minus ours; None where the protocol has no time, or none came yet. `faults`: failures
    by a bug of its driver, `last_fault` the last of them, empty where there was none. `oddities`: messages of the
    device that are not values of a point, in words, with their number.
    """

    device: str
    channel: str
    answers: bool
    reads: int
    failures: int
    failures_in_a_row: int
    overruns: int
    last_error: str
    last_good_utc_ms: int | None
    last_read_s: float | None
    reading_s: float
    clock_offset_ms: int | None = None
    faults: int = 0
    last_fault: str = ""
    oddities: dict[str, int] = {}


class UplinkHealth(msgspec.Struct, frozen=True):
    """The link to the center. `last_ack_age_s`: since its last valid message.

    `unrecognised`: its codes for our batches. `broker`: its HOST:PORT, or the folder of an uplink by files.
    `broker_code`: MQTT's reason of the broker's last refusal, None where it refuses nothing; `last_error` then has the
    words. `short_sessions`: connections in a row that ended soon after they began. `divided`: batches sealed again in
    parts because they were larger than the broker takes. `is_one_way`: nothing comes back. `earlier_store`: the
    store of the center that acknowledges, where another one came after it.
    """

    broker: str
    connected: bool
    last_error: str
    published: int
    acknowledged: int
    ignored: int
    last_ack_age_s: float | None
    unrecognised: dict[str, list[str]]
    broker_code: int | None = None
    divided: int = 0
    short_sessions: int = 0
    is_one_way: bool = False
    earlier_store: str = ""


class TickHealth(msgspec.Struct, frozen=True):
    """Ticks since the start. `missed`: never recorded (a gap record names them).

    `clock_steps`: backwards. `last_step_ms`: size of the clock's last step, negative where it was set back;
    `last_step_utc_ms`: the time after it.
    """

    written: int
    missed: int
    records: int
    gaps: int
    late_tags: int
    clock_steps: int
    clock_steps_forward: int = 0
    last_step_ms: int = 0
    last_step_utc_ms: int | None = None


class Health(msgspec.Struct, frozen=True):
    """The whole agent. `store_error`: the reason why the buffer takes nothing at present, empty while it does.

    `tasks`: number of asyncio tasks; `memory_bytes`: resident, 0 where the kernel does not say. Both stay flat over
    months.
    """

    gateway: str
    version: str
    time_utc_ms: int
    running_s: float
    clock: str
    store_error: str
    ticks: TickHealth
    devices: list[DeviceHealth]
    uplink: UplinkHealth
    buffer: Counts
    max_bytes: int
    unsent_ratio: float
    reload_error: str
    tasks: int = 0
    memory_bytes: int = 0

    @property
    def alarm(self) -> str:
        """`warning` from 70 % of the buffer on, `critical` from 90 %, else empty."""
        return alarm_of(self.unsent_ratio)

    @property
    def not_ready(self) -> str:
        """The reason why this agent is not ready, empty while it is: the store refuses, or no device answers."""
        if self.store_error:
            return tr("the store refuses: {store_error}", store_error=self.store_error)
        if not any(device.answers for device in self.devices):
            return tr("no device answers")
        return ""


def step_words(ticks: TickHealth) -> str:
    """The last step of the clock in words, empty where there was none."""
    if ticks.last_step_utc_ms is None:
        return ""
    size, at = f"{abs(ticks.last_step_ms) / 1000:,.1f}", format_time(ticks.last_step_utc_ms)
    if ticks.last_step_ms < 0:
        return tr("was set back by {size} s, to {at}", size=size, at=at)
    return tr("was set forward by {size} s, to {at}", size=size, at=at)


def resident_bytes() -> int:
    """Resident memory of this process; 0 where the kernel does not say."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return 0


def alarm_of(unsent_ratio: float) -> str:
    """The alarm for a fill ratio of the buffer."""
    return next((name for limit, name in ALARMS if unsent_ratio >= limit), "")


def devices_of(channels: Iterable[Channel]) -> list[DeviceHealth]:
    """Health per device, summed over its jobs (one per period)."""
    found = []
    for channel in channels:
        for name in dict.fromkeys(job.device.name for job in channel.jobs):
            jobs = [job for job in channel.jobs if job.device.name == name]
            device = jobs[0].device
            health = [job.health for job in jobs]
            good = [h.last_good_utc_ms for h in health if h.last_good_utc_ms is not None]
            found.append(
                DeviceHealth(
                    device=name, channel=channel.name,
                    answers=bool(good) and any(job.error is None for job in jobs),
                    reads=sum(h.reads for h in health), failures=sum(h.failures for h in health),
                    failures_in_a_row=max(h.failures_in_a_row for h in health),
                    overruns=sum(h.overruns for h in health),
                    last_error=next((h.last_error for h in health if h.failures_in_a_row), "")
                    or next((h.last_error for h in health if h.last_error), ""),
                    last_good_utc_ms=max(good, default=None),
                    last_read_s=max((h.last_read_s for h in health if h.last_read_s is not None), default=None),
                    reading_s=sum(h.reading_s for h in health),
                    clock_offset_ms=next((h.clock_offset_ms for h in health if h.clock_offset_ms is not None), None),
                    faults=sum(h.faults for h in health),
                    last_fault=next((h.last_fault for h in health if h.last_fault), ""),
                    oddities=dict(device.oddities) if isinstance(device, Explaining) else {},
                )
            )  # fmt: skip
    return found


class PointNow(msgspec.Struct, frozen=True):
    """The present state of one point. `value`: decimal text in `unit`, empty where there is none.

    `why`: the device's own reason for its quality, see `contract.Why`; empty where the quality says it all. `raw`: the
    bytes of the newest value as received, hexadecimal; empty where nothing came.
    """

    device: str
    point: str
    generating_unit: str
    quantity: str
    value: str
    unit: str
    quality: str
    age_s: float | None
    why: str = ""
    raw: str = ""


def points_now(newest: Sequence[Newest], now_utc_ms: int, channels: Iterable[Channel] = ()) -> list[PointNow]:
    """The present state of every point. `channels`: with the devices that give reasons for their points."""
    devices = {job.device.name: job.device for channel in channels for job in channel.jobs}
    raws = {name: device.raws() for name, device in devices.items() if isinstance(device, Showing)}
    found = []
    for known in newest:
        point, quantity = known.source.point, BY_NAME[known.source.point.quantity]
        value = "" if known.value is None else f"{from_scaled(known.value, quantity.scale):f}"
        age_s = None if known.at_utc_ms is None else max(0, now_utc_ms - known.at_utc_ms) / 1000
        device = devices.get(known.source.device)
        why = device.why(point) if isinstance(device, Explaining) else None
        raw = raws.get(known.source.device, {}).get(point.name, b"") if known.quality not in _NOTHING_CAME else b""
        found.append(
            PointNow(
                known.source.device, point.name, known.source.unit, quantity.name, value, quantity.unit,
                known.quality.name.lower(), age_s, why or "", raw.hex(" "),
            )
        )  # fmt: skip
    return found
