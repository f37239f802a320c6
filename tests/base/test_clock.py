# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's clock while somebody sets it: nobody sleeps longer than asked for, and the step is told with its size."""

from __future__ import annotations

import asyncio
import time

import pytest

from collector.base.clock import SystemClock
from tests.patience import HANG_S
from tests.wall_clock import WallClock

TWO_YEARS_MS = 2 * 365 * 86_400_000
FAR_MS = round(4 * HANG_S * 1000)
NEAR_MS = 1000  # the two readings of the clocks around a step are not made at one instant


async def slept(clock: SystemClock, until_ms: int) -> int:
    """The step told. Who sleeps an instant out that a set clock has moved away hangs."""
    return await asyncio.wait_for(clock.sleep_until(until_ms), HANG_S)


@pytest.mark.parametrize("step_ms", [-TWO_YEARS_MS, -3_600_000, -1500, 3_600_000, TWO_YEARS_MS])
def test_a_step_while_somebody_sleeps_ends_the_sleep_within_a_second_and_is_told(step_ms: int) -> None:
    async def scenario() -> None:
        wall = WallClock()
        clock = SystemClock(wall)
        asyncio.get_running_loop().call_later(0.2, setattr, wall, "offset_ms", step_ms)
        told_ms = await slept(clock, clock.now_utc_ms() + FAR_MS)
        assert told_ms == pytest.approx(step_ms, abs=NEAR_MS)
        assert await slept(clock, clock.now_utc_ms()) == 0, "told once"

    asyncio.run(scenario())


def test_a_step_between_two_sleeps_is_told_by_the_second_at_once() -> None:
    async def scenario() -> None:
        wall = WallClock()
        clock = SystemClock(wall)
        until_ms = clock.now_utc_ms() + 100
        wall.offset_ms = -TWO_YEARS_MS
        told_ms = await slept(clock, until_ms)
        assert told_ms == pytest.approx(-TWO_YEARS_MS, abs=NEAR_MS)
        wall.offset_ms = 0
        told_ms = await slept(clock, clock.now_utc_ms() - 5)
        assert told_ms == pytest.approx(TWO_YEARS_MS, abs=NEAR_MS), "also of an instant that has passed"

    asyncio.run(scenario())


def test_a_small_step_back_is_slept_out_as_a_slew_is() -> None:
    async def scenario() -> None:
        wall = WallClock()
        clock = SystemClock(wall)
        until_ms = clock.now_utc_ms() + 300
        asyncio.get_running_loop().call_later(0.1, setattr, wall, "offset_ms", -400)
        told_ms = await slept(clock, until_ms)
        assert (told_ms, clock.now_utc_ms() >= until_ms) == (0, True)

    asyncio.run(scenario())


def test_seconds_between_two_looks_are_those_that_nobody_sets() -> None:
    wall = WallClock()
    clock = SystemClock(wall, lambda: 7.0)
    wall.offset_ms = 5000
    assert clock.monotonic_s() == 7.0
    assert clock.now_utc_ms() == pytest.approx(time.time() * 1000 + 5000, abs=NEAR_MS)
