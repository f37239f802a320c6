# SPDX-License-Identifier: GPL-3.0-or-later
"""SIGKILL of the whole agent at random moments, over real sockets, against the simulators' truth.

20 kills, or as many as KILLS says (`make soak`: 200).
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from tests.crash.arrivals import compare
from tests.crash.chain import running_chain
from tests.crash.plant_truth import truth
from tests.size import sized

KILLS = int(os.environ.get("KILLS", sized(6, 20)))


@pytest.mark.crash
def test_killed_at_random_moments_every_true_record_arrives_once_or_lies_in_a_gap(tmp_path: Path) -> None:
    dice = random.Random(20260301)
    with running_chain(tmp_path, seconds=400 * KILLS, seed=7) as chain:
        chain.start_agent()
        chain.run_to(chain.now_ms + 5_000)  # on a slow machine no start may live long enough to record anything
        chain.processes.kill("g")
        for _ in range(KILLS):
            chain.start_agent()
            # From the first moments of a start, while the file is opened, to well into the work.
            if dice.random() < 0.8:
                chain.until(lambda: chain.ask("status")["clients"] == 1, "it works")
            time.sleep(dice.uniform(0.0, 0.6))
            chain.processes.kill("g")
            chain.pass_time(dice.choice((0, 0, 100, 700, 5000)))
        chain.start_agent()
        chain.run_to(chain.now_ms + 30_000)
        end_ms = chain.last_tick_ms()
        chain.drain()
        journal = chain.journal()
        since_ms = min(row.record.time_utc_ms for row in journal.rows)  # kills before the first record lose none
        verdict = compare(journal, truth(chain.scenario_file, end_ms), since=since_ms)
    assert verdict.recorded > 50  # the last 30 seconds alone, however slow the machine was before
    assert verdict.in_gaps > 0
    assert verdict.usable_values > 3 * verdict.recorded
    print(f"{KILLS} kills: {verdict}")
