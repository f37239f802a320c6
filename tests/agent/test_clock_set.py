# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody sets the clock of a gateway, while the agent runs and while it does not: it goes on within seconds, opens
an era, tells the silence in a gap and the step in its log, status and doctor."""

from __future__ import annotations

import asyncio
import logging
from itertools import pairwise
from pathlib import Path

import pytest

from collector.agent.app import run_agent
from collector.agent.operate.doctor import examine
from collector.base.clock import SystemClock
from collector.points.agent_config import load_agent
from tests.agent.running_agent import buffered, recorded, run, write_agent
from tests.agent.uplink.uplink_world import free_port
from tests.patience import until
from tests.wall_clock import WallClock

PERIOD_MS = 1000
TWO_YEARS_MS = 2 * 365 * 86_400_000


async def collect(path: Path, wall: WallClock, *offsets_ms: int) -> list[str]:
    """The agent over a clock that is set to one offset after the other; what its doctor says of clock and ticks."""
    stop = asyncio.Event()
    task = asyncio.create_task(run_agent(load_agent(path), SystemClock(wall), path=path, stop=stop))
    enough = recorded(path) + 3
    await until(lambda: recorded(path) >= enough)
    for offset_ms in offsets_ms:
        wall.offset_ms = offset_ms
        enough = recorded(path) + 3
        await until(lambda enough=enough: recorded(path) >= enough)  # type: ignore[misc]
    found = await asyncio.to_thread(examine, path)
    stop.set()
    await task
    return [f.message for f in found if f.subject in ("clock", "ticks")]


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage().split(" to_utc_ms")[0] for r in caplog.records if r.getMessage().startswith("clock=set_")]


def test_a_clock_set_back_two_years_and_right_again_costs_seconds_and_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path, wall = write_agent(tmp_path, [free_port()]), WallClock()
    said: list[str] = []

    async def scenario() -> None:
        said.extend(await collect(path, wall, -TWO_YEARS_MS, 0))

    run(scenario())
    records, gaps = [record for _, record in buffered(path)[0]], buffered(path)[1]
    assert {r.era for r in records} == {0, 1}
    stamps = [(r.era, r.time_utc_ms) for r in records]
    assert stamps == sorted(set(stamps)), "B9"
    early_ms = records[0].time_utc_ms - TWO_YEARS_MS // 2
    true_ms = [t if t > early_ms else t + TWO_YEARS_MS for _, t in stamps]
    silent = [(a, b) for a, b in pairwise(true_ms) if b - a > PERIOD_MS]
    assert all(b - a <= 4 * PERIOD_MS for a, b in silent), silent
    told = [(g.from_ms, g.to_ms) for g in gaps]
    for a, b in silent:
        ways = [(a, b), (a - TWO_YEARS_MS, b - TWO_YEARS_MS), (a - TWO_YEARS_MS, b)]
        assert any(f <= w[0] + 10 and w[1] <= t for f, t in told for w in ways), (a, b, told)
    assert logged(caplog) == ["clock=set_back by_s=63072000.0", "clock=set_forward by_s=63072000.0"]
    assert any("was set forward by 63,072,000.0 s" in message and "2 steps" in message for message in said), said


def test_the_silence_before_a_start_is_a_gap_also_where_the_clock_was_set_back_meanwhile(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, wall = write_agent(tmp_path, [free_port()]), WallClock()
    said: list[str] = []

    async def scenario() -> None:
        await collect(path, wall)
        wall.offset_ms = -3_600_000
        said.extend(await collect(path, wall))

    run(scenario())
    records, gaps = buffered(path)
    first_ms = min(r.time_utc_ms for _, r in records if r.era == 1)
    (gap,) = [g for g in gaps if g.reason == "agent_down"]
    assert (gap.units, gap.from_ms, gap.to_ms) == (("U1",), first_ms - PERIOD_MS, first_ms)
    (line,) = logged(caplog)
    assert 3590 < float(line.removeprefix("clock=set_back by_s=")) < 3600, "at least: how long it was down nobody knows"
    assert any("was set back by 3,59" in message for message in said), said
    assert any("hold records of times to come" in message for message in said), said
