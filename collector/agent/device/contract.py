# SPDX-License-Identifier: GPL-3.0-or-later
"""What every driver promises, whatever its protocol.

`open` and `close` may be called at any time and any number of times. `read` never gives a value it did not get: what
could not be read comes as a reading with a bad quality, or, where nothing at all could be read, as a `DeviceError`.
Every wait ends by its own timeout, and a cancelled `read` ends within a second and leaves the device usable.

Whatever else a driver raises is a mistake in it, and the failure of its device alone: who calls a driver does so inside
`contained`, the one place where that is turned into a `DeviceError`. A driver itself catches nothing for this reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from traceback import walk_tb
from typing import NamedTuple, Protocol, overload, runtime_checkable

from collector.base.errors import DeviceError, DriverFault, Garbled, Refused
from collector.model.record import Quality
from collector.points import Point


class Reading(NamedTuple):
    """One point, once. `value` is the stored integer of the point's quantity, None unless the quality is usable.

    `time_utc_ms`: our time when the reply was complete. `device_time_utc_ms`: the device's own tag of this value.
    `event`: the device reported a change by itself. `raw`: the bytes of this value as they came, for people.
    """

    point: Point
    value: int | None
    quality: Quality
    time_utc_ms: int
    device_time_utc_ms: int | None = None
    event: bool = False
    raw: bytes = b""


class _Readings(Sequence[Reading]):
    """Readings that are made when somebody looks at them one by one; the recorder takes them by columns."""

    __slots__ = ()

    @overload
    def __getitem__(self, index: int) -> Reading: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Reading]: ...
    def __getitem__(self, index: int | slice) -> Reading | Sequence[Reading]:
        return list(self)[index]


@dataclass(slots=True, eq=False)
class BlockReadings(_Readings):
    """What one request gave, all at one instant, untagged and asked for. The columns run along `points`.

    `points`: the same tuple each time the same is read, so that what is done with it need be worked out once. `data`:
    the answer, out of which `cut` takes the bytes of each value, for people.
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
    """What one read of a device gave: by request where it could be read, one by one where not."""

    blocks: list[BlockReadings] = field(default_factory=list)
    others: list[Reading] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.others) + sum(map(len, self.blocks))

    def __iter__(self) -> Iterator[Reading]:
        return chain(*self.blocks, self.others)


class Answer(NamedTuple):
    """What one `read` gave. `holding`: points whose last reported value the device still vouches for at `time_utc_ms`
    (a protocol that reports by exception repeats nothing while nothing changes). `errors`: requests that gave nothing;
    the `subject` of each is the request. `clock_offset_ms`: how far the device's clock is ahead of ours, where this
    read measured it; None: not measured now, what was known still holds."""

    readings: Sequence[Reading]
    time_utc_ms: int
    holding: Sequence[Point] = ()
    errors: Sequence[DeviceError] = ()
    clock_offset_ms: int | None = None


class Device(Protocol):
    """One governor, AVC controller or meter."""

    @property
    def name(self) -> str:
        """Its id in the configuration."""
        ...

    @property
    def points(self) -> tuple[Point, ...]:
        """Everything that is read from it."""
        ...

    async def open(self) -> None:
        """Connect. Nothing happens if it is open.

        Raises:
            Silent: nobody answers there.
        """
        ...

    async def close(self) -> None:
        """Disconnect. Nothing happens if it is closed."""
        ...

    async def read(self, points: Sequence[Point], *, budget_s: float) -> Answer:
        """Ask for `points` and wait; opens first where needed. No new request starts after `budget_s` seconds.

        Raises:
            DeviceError: nothing could be read.
        """
        ...

    def collect(self) -> list[Reading]:
        """What the device reported by itself since the last call; never waits."""
        ...


@runtime_checkable
class Findable(Protocol):
    """A device whose line can be asked who is there. For commissioning, never while the line is polled."""

    async def find(self) -> str:
        """What answers under other addresses than the configured one, in words; empty where nothing does."""
        ...


@contextmanager
def contained(device: str) -> Iterator[None]:
    """Calls to a driver. `device`: its id.

    Raises:
        DeviceError: as the driver raised it; `DriverFault`: for anything else, with that as its cause.
        CancelledError: the task was asked to end.
    """
    try:
        yield
    except DeviceError:
        raise
    except (Exception, asyncio.CancelledError) as error:
        if isinstance(error, asyncio.CancelledError):
            # Nobody asked this task to end: a library cancelled what the driver waited for.
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
        frame, line = list(walk_tb(error.__traceback__))[-1]
        place = f"{Path(frame.f_code.co_filename).name}:{line}"
        raised = ": ".join(filter(None, (type(error).__name__, str(error))))
        raise DriverFault(f"the driver failed at {place}: {raised}", subject=device, place=place) from error


def suspect_where_shifted(readings: Sequence[Reading], block_of: Callable[[Point], object]) -> Sequence[Reading]:
    """Where a guard point does not match, or could not be read, the values of its block are not trusted."""
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
    """A failed exchange as the quality of what should have come."""
    if isinstance(error, Refused):
        return Quality.REFUSED
    return Quality.GARBLED if isinstance(error, Garbled | DriverFault) else Quality.SILENT


def failed(points: Iterable[Point], error: DeviceError, time_utc_ms: int) -> list[Reading]:
    """Readings without value for points that could not be read, and why."""
    quality = quality_of(error)
    return [Reading(point, None, quality, time_utc_ms) for point in points]
