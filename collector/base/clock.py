# SPDX-License-Identifier: GPL-3.0-or-later
"""Time: the only place that reads a clock.

Stamps are UTC ms of `Clock.now_utc_ms`; durations come from `Clock.monotonic_s`. Only schedules and stamps use a
`Clock`: timeouts of I/O, keep-alives and back-off are real time (`asyncio.timeout`), also in a simulated run.

In a simulated run the simulator process keeps the time. `SimulatedClock` asks it over a local socket to advance; the
protocol is 8 bytes, a big-endian signed UTC ms, each way: on connection the server says what time it is; the client
sends the instant it waits for; the server answers with the instant reached once every connected client waits.
"""

from __future__ import annotations

import asyncio
import ctypes
import functools
import time
from collections.abc import Callable
from typing import Final, Protocol, cast

from collector.base.clock_state import ClockState
from collector.base.errors import LinkError
from collector.base.text import tr

# Smaller steps of the wall clock are treated like a slew: none makes two records carry the same time.
STEP_MS: Final = 1000
_TIME_BYTES: Final = 8  # of an instant on the simulator's time socket
_TOGETHER_S: Final = 0.05  # two clocks read within this time count as read together


def _told(step_ms: int) -> int:
    return step_ms if abs(step_ms) >= STEP_MS else 0


class Clock(Protocol):
    """A source of time for schedules and time stamps."""

    def now_utc_ms(self) -> int:
        """UTC milliseconds since 1970."""
        ...

    def monotonic_s(self) -> float:
        """Seconds of a clock that never steps, for durations."""
        ...

    async def sleep_until(self, time_utc_ms: int) -> int:
        """Sleep until the instant: return at once if it has passed, and early if the clock stepped back meanwhile.

        Returns the step of the clock since the last return, in ms, negative where it was set back; 0 where no step was
        `STEP_MS` or more.
        """
        ...


class SystemClock:
    """The host's clock. Only one task may sleep on it at a time: that task is told of a step.

    Args:
        wall_ns: the wall clock in ns since 1970, which people and NTP may set.
        monotonic_s: seconds of a clock that nobody can set.
    """

    def __init__(
        self, wall_ns: Callable[[], int] = time.time_ns, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall_ns, self._monotonic_s = wall_ns, monotonic_s
        self._ahead_ms = self._measure_ahead_ms()

    def now_utc_ms(self) -> int:
        """UTC milliseconds since 1970."""
        return self._wall_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Seconds since an arbitrary start."""
        return self._monotonic_s()

    def _measure_ahead_ms(self) -> int:
        """The wall clock minus the monotonic clock, ms. Only a step changes it: both clocks are slewed alike."""
        while True:
            before_s = self._monotonic_s()
            wall_ns = self._wall_ns()
            if self._monotonic_s() - before_s < _TOGETHER_S:  # else the scheduler paused us between the two
                return wall_ns // 1_000_000 - round(before_s * 1000)

    async def sleep_until(self, time_utc_ms: int) -> int:
        """Sleep by the monotonic clock, at most a second at a time; a step of the wall clock is seen after each."""
        while True:
            step_ms = self._measure_ahead_ms() - self._ahead_ms
            wait_ms = time_utc_ms - self.now_utc_ms()
            if wait_ms <= 0 or step_ms <= -STEP_MS:
                break
            await asyncio.sleep(min(wait_ms / 1000, 1.0))
        self._ahead_ms += step_ms
        return _told(step_ms)


class SimulatedClock(asyncio.Protocol):
    """A clock kept by the simulator. Made by `connect`; only one task may wait on it at a time.

    The protocol of the connection itself: an instant is asked for at every tick, and streams took half of what that
    costs.
    """

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._now_utc_ms = 0
        self._waiting_for_utc_ms = 0
        self._lock = asyncio.Lock()

    @property
    def waiting_for_utc_ms(self) -> int:
        """The instant last asked for, UTC ms, reached or not."""
        return self._waiting_for_utc_ms

    @classmethod
    async def connect(cls, host: str, port: int) -> SimulatedClock:
        """Connect to the time socket of a simulator and receive its present time.

        Raises:
            LinkError: no simulator answers there.
        """
        clock: SimulatedClock | None = None
        try:
            async with asyncio.timeout(10):
                _, clock = await asyncio.get_running_loop().create_connection(cls, host, port)
                await clock._answer
        except (OSError, TimeoutError) as error:
            if clock is not None:
                await clock.close()
            raise LinkError(tr("no simulated time here: {error!r}", error=error), subject=f"{host}:{port}") from error
        return clock

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The simulator sends its present time next."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transport does not inherit from it

    def data_received(self, data: bytes) -> None:
        """Take the instants reached."""
        received = self._received + data
        while len(received) >= _TIME_BYTES:
            self._now_utc_ms = self._waiting_for_utc_ms = int.from_bytes(received[:_TIME_BYTES], "big", signed=True)
            received = received[_TIME_BYTES:]
            if not self._answer.done():
                self._answer.set_result(None)
        self._received = received

    def connection_lost(self, error: Exception | None) -> None:
        """Tell whoever waits that the simulator has gone."""
        self._transport = None
        if not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError("closed by the simulator"))

    def now_utc_ms(self) -> int:
        """The simulated instant last reached, UTC ms."""
        return self._now_utc_ms

    def monotonic_s(self) -> float:
        """Simulated seconds; simulated time never steps back."""
        return self._now_utc_ms / 1000

    async def sleep_until(self, time_utc_ms: int) -> int:
        """Ask the simulator to advance. Waits without a limit: the simulator may be held on purpose.

        Raises:
            LinkError: the simulator has gone.
        """
        async with self._lock:
            if time_utc_ms <= self._now_utc_ms:
                return 0
            try:
                if self._transport is None:
                    raise ConnectionResetError("closed by the simulator")
                self._waiting_for_utc_ms = time_utc_ms
                answer = self._answer = asyncio.get_running_loop().create_future()
                self._transport.write(time_utc_ms.to_bytes(_TIME_BYTES, "big", signed=True))
                await answer
            except OSError as error:
                raise LinkError(tr("the simulator that keeps the time has gone"), subject="time") from error
            return _told(min(0, self._now_utc_ms - time_utc_ms))  # followed quickly, time overshoots

    async def close(self) -> None:
        """Disconnect; simulated time no longer waits for this process."""
        self._answer.cancel()
        if self._transport is not None:
            self._transport.close()


def arrival_utc_ms(clock: Clock) -> int:
    """The time stamp, UTC ms, of a message that a device sends unasked and that arrives now.

    While a simulated clock waits, simulated time may stand anywhere up to the instant waited for. The program learns of
    the arrival at that instant, so that instant is the stamp.
    """
    return clock.waiting_for_utc_ms if isinstance(clock, SimulatedClock) else clock.now_utc_ms()


class _Timex(ctypes.Structure):
    """The first fields of struct timex of adjtimex(2); the kernel fills 208 bytes on 64-bit machines."""

    _fields_ = (
        ("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long), ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long), ("status", ctypes.c_int), ("rest", ctypes.c_char * 256),
    )  # fmt: skip


_STA_UNSYNC: Final = 0x0040
_TIME_ERROR: Final = 5


def clock_state(clock: Clock) -> ClockState:
    """The state of the clock: simulated time is exact, the host's clock is as good as its kernel reports."""
    if isinstance(clock, SimulatedClock):
        return ClockState.SYNCHRONISED
    if not isinstance(clock, SystemClock):
        return ClockState.UNKNOWN
    timex = _Timex()  # modes 0: read, change nothing
    state = _libc_adjtimex()(ctypes.byref(timex))
    if state < 0:
        return ClockState.UNKNOWN
    unsynchronised = state == _TIME_ERROR or timex.status & _STA_UNSYNC
    return ClockState.UNSYNCHRONISED if unsynchronised else ClockState.SYNCHRONISED


@functools.cache
def _libc_adjtimex() -> Callable[[object], int]:
    function = getattr(ctypes.CDLL(None, use_errno=True), "adjtimex", None)
    return function if function is not None else lambda _: -1


async def open_clock(time_server: str) -> Clock:
    """The host's clock, or the clock of the simulator at `time_server` (HOST:PORT) where one is named.

    Raises:
        LinkError: no simulator answers there.
    """
    if not time_server:
        return SystemClock()
    host, _, port = time_server.rpartition(":")
    return await SimulatedClock.connect(host, int(port))
