# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract of every driver, whatever its protocol.

`open` and `close` may be called at any time and any number of times. `read` never invents a value: a point that could
not be read gives a reading with a bad quality; a read that got nothing at all raises a `DeviceError`. Every wait has
its own timeout, and a cancelled `read` ends within a second and leaves the device usable.

Any other exception of a driver is a bug in it and fails its device only: drivers are called inside `contained`, the one
place that turns such an exception into a `DeviceError`. A driver itself catches nothing for this reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from pathlib import Path
from traceback import walk_tb
from typing import NamedTuple, Protocol, overload, runtime_checkable

from collector.base.errors import DeviceError, DriverFault, Garbled, Refused
from collector.base.text import tr
from collector.model.record import Quality
from collector.points import Point


class Reading(NamedTuple):
    """One value of one point. `value`: the stored integer of the point's quantity, None unless the quality is usable.

    `time_utc_ms`: our time when the reply was complete. `device_time_utc_ms`: the device's own time tag of the value.
    `event`: the device reported a change spontaneously. `raw`: the bytes of the value as received, for display.
    """

    point: Point
    value: int | None
    quality: Quality
    time_utc_ms: int
    device_time_utc_ms: int | None = None
    event: bool = False
    raw: bytes = b""


class _Readings(Sequence[Reading]):
    """Readings that are created only on access; the recorder uses the columns instead."""

    __slots__ = ()

    @overload
    def __getitem__(self, index: int) -> Reading: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Reading]: ...
    def __getitem__(self, index: int | slice) -> Reading | Sequence[Reading]:
        return list(self)[index]


@dataclass(slots=True, eq=False)
class BlockReadings(_Readings):
    """The readings of one polled request, all of one instant, without time tags. The columns have one entry per point.

    `points`: the same tuple each time the same block is read, so that results derived from it can be cached. `data`:
    the answer, from which `cut` takes the bytes of each value, for display.
    """

    points: tuple[Point, ...]
    values: Sequence[int | None]
    qualities: Sequence[Quality]
    time_utc_ms: int
    data: bytes
    cut: Callable[[bytes], Sequence[bytes]]

    def __len__(self) -> int:
        return len(self.points)

    def __iter__(self) -> Iterator[Reading]:
        raws = self.cut(self.data)
        for point, value, quality, raw in zip(self.points, self.values, self.qualities, raws, strict=False):
            yield Reading(point, value, quality, self.time_utc_ms, raw=raw)


@dataclass(slots=True, eq=False)
class ReadingsByBlock(_Readings):
    """The readings of one read of a device: per request where it succeeded, single readings where it failed."""

    blocks: list[BlockReadings] = field(default_factory=list)
    others: list[Reading] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.others) + sum(map(len, self.blocks))

    def __iter__(self) -> Iterator[Reading]:
        return chain(*self.blocks, self.others)

    @property
    def is_all_good(self) -> bool:
        """Whether every request succeeded with good values only; no reading has to be created to see that."""
        good = Quality.GOOD
        return not self.others and all(b.qualities.count(good) == len(b.qualities) for b in self.blocks)


class Answer(NamedTuple):
    """The result of one `read`. `holding`: points whose last reported value is still valid at `time_utc_ms`
    (a protocol that reports by exception repeats nothing while nothing changes). `errors`: failed requests; the
    `subject` of each is the request. `clock_offset_ms`: how far the device's clock is ahead of ours; None: not measured
    by this read, the last offset still holds."""

    readings: Sequence[Reading]
    time_utc_ms: int
    holding: Sequence[Point] = ()
    errors: Sequence[DeviceError] = ()
    clock_offset_ms: int | None = None


class Device(Protocol):
    """One governor, AVC controller or meter."""

    @property
    def name(self) -> str:
        """The id of the device in the configuration."""
        ...

    @property
    def points(self) -> tuple[Point, ...]:
        """All points read from the device."""
        ...

    async def open(self) -> None:
        """Connect; no effect if the device is open.

        Raises:
            Silent: no answer from its address.
        """
        ...

    async def close(self) -> None:
        """Disconnect; no effect if the device is closed."""
        ...

    async def read(self, points: Sequence[Point], *, budget_s: float) -> Answer:
        """Read `points`, opening the device first where needed. No new request starts after `budget_s` seconds.

        Raises:
            DeviceError: no point could be read.
        """
        ...

    def collect(self) -> list[Reading]:
        """The readings the device reported spontaneously since the last call; never waits."""
        ...


@runtime_checkable
class Findable(Protocol):
    """A device whose line can be searched for other addresses. For commissioning, never while the line is polled."""

    async def find(self) -> str:
        """A sentence about devices that answer at other addresses than the configured one; empty where none does."""
        ...


class Why(StrEnum):
    """The device's own reason for a bad value, where a quality says too little."""

    INVALID = "IV"
    OVERFLOW = "OV"
    NOT_TOPICAL = "NT"
    BLOCKED = "BL"
    SUBSTITUTED = "SB"
    TRAVELLING = "travelling"
    UNDEFINED = "undefined"
    OTHER_TYPE = "other type"
    ABSENT = "absent"


@runtime_checkable
class Explaining(Protocol):
    """A device that reports more about its points than a quality."""

    @property
    def oddities(self) -> Mapping[str, int]:
        """Received messages that were no value of any point: a sentence for each kind, with the number so far."""
        ...

    def why(self, point: Point) -> Why | None:
        """The reason why the point's value is not good; None where it is, or its quality says all that is known."""
        ...


@runtime_checkable
class Showing(Protocol):
    """A device that keeps the bytes of its newest answers, for display."""

    def raws(self) -> Mapping[str, bytes]:
        """The bytes of each point's newest value as received, by its name; called only for display."""
        ...


class contained:  # noqa: N801 - a context, written as one
    """Context of every call to a driver. `device`: the device's id.

    Raises:
        DeviceError: as the driver raised it; any other exception as a `DriverFault` caused by it.
        CancelledError: the task was asked to end.
    """

    # A class: entered at each read, it costs a third of a generator.
    __slots__ = ("_device",)

    def __init__(self, device: str) -> None:
        self._device = device

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        """Turn an exception that no driver may raise into a `DriverFault`."""
        if error is None or isinstance(error, DeviceError) or not isinstance(error, Exception | asyncio.CancelledError):
            return
        if isinstance(error, asyncio.CancelledError):
            # This task was not asked to end: a library cancelled the future the driver waited for.
            task = asyncio.current_task()
            if task is None or task.cancelling():
                return
        frame, line = list(walk_tb(error.__traceback__))[-1]
        place = f"{Path(frame.f_code.co_filename).name}:{line}"
        raised = ": ".join(filter(None, (type(error).__name__, str(error))))
        raise DriverFault(
            tr("the driver failed at {place}: {raised}", place=place, raised=raised), subject=self._device, place=place
        ) from error


def suspect_where_shifted(readings: Sequence[Reading], block_of: Callable[[Point], object]) -> Sequence[Reading]:
    """The readings, with quality suspect in each block whose guard point does not match or could not be read."""
    if isinstance(readings, ReadingsByBlock) and readings.is_all_good:
        return readings
    shifted = {block_of(r.point) for r in readings if r.point.guard and r.quality is not Quality.GOOD}
    if not shifted:
        return readings
    return [
        r._replace(value=None, quality=Quality.SUSPECT)
        if r.quality.usable and block_of(r.point) in shifted and not r.point.guard
        else r
        for r in readings
    ]


def quality_of(error: DeviceError) -> Quality:
    """The quality of values that a failed exchange should have given."""
    if isinstance(error, Refused):
        return Quality.REFUSED
    return Quality.GARBLED if isinstance(error, Garbled | DriverFault) else Quality.SILENT


def failed(points: Iterable[Point], error: DeviceError, time_utc_ms: int) -> list[Reading]:
    """Readings without value for points that could not be read; the quality tells the reason."""
    quality = quality_of(error)
    return [Reading(point, None, quality, time_utc_ms) for point in points]
