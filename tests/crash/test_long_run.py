# SPDX-License-Identifier: GPL-3.0-or-later
"""Hours of collecting in compressed time, with lines that break and a broker that goes: nothing grows, nothing is lost.

A quarter of an hour, or as many hours as HOURS says (`make soak`: 24). Memory and tasks are what the running agent says
of itself.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from tests.crash.arrivals import compare
from tests.crash.chain import Chain, running_chain
from tests.crash.plant_truth import START_MS, truth

HOURS = float(os.environ.get("HOURS", "0.25"))
SPAN_MS = round(HOURS * 3_600_000)
STEP_MS = 600_000 if HOURS > 1 else 150_000
GROWTH_BYTES = 5_000_000


def at_rest(chain: Chain) -> tuple[int, int]:
    """Tasks and memory once everything sealed is acknowledged and nobody waits for anything."""
    chain.settle()
    found: list[tuple[int, int]] = []
    for _ in range(5):
        status = chain.status()
        found.append((int(status["tasks"]), int(status["memory_bytes"])))
        time.sleep(0.1)
    return min(found)


def pass_step(chain: Chain, dice: random.Random, to_ms: int, *, outage: bool) -> None:
    """Some minutes in which one governor takes no connection for a while and, at an outage, the broker dies."""
    device = dice.choice(("U1-governor", "U2-governor"))
    chain.run_to(chain.now_ms + STEP_MS // 5)
    chain.ask("fault", device=device, kind="refuse")
    if outage:
        chain.broker.kill()
    chain.run_to(chain.now_ms + dice.randrange(3000, STEP_MS // 5))
    chain.ask("clear", device=device, kind="refuse")
    if outage:
        chain.broker.start()
    chain.run_to(to_ms)


@pytest.mark.crash
def test_after_hours_memory_and_tasks_are_as_after_the_first_tenth(tmp_path: Path) -> None:
    dice = random.Random(24)
    begun_s, tenth_ms = time.monotonic(), max(SPAN_MS // 10, STEP_MS)
    series: list[tuple[int, int]] = []
    with running_chain(tmp_path, seconds=SPAN_MS // 1000, seed=24) as chain:
        chain.start_agent()
        for number, to_ms in enumerate(range(START_MS + STEP_MS, START_MS + SPAN_MS + 1, STEP_MS)):
            pass_step(chain, dice, to_ms, outage=number % 6 == 1)
            if to_ms - START_MS >= tenth_ms * (len(series) + 1):
                series.append(at_rest(chain))
        late = at_rest(chain)
        end_ms = chain.last_tick_ms()
        chain.drain()
        verdict = compare(chain.journal(), truth(chain.scenario_file, end_ms))
    early = series[0]
    print(f"{HOURS} h in {time.monotonic() - begun_s:.0f} s; (tasks, bytes) {series} {late}; {verdict}")
    assert verdict.in_gaps == 0
    assert verdict.recorded > 2 * SPAN_MS / 1000 - 10
    assert late[0] == early[0]
    assert late[1] <= early[1] + GROWTH_BYTES
