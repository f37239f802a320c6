# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody sets the gateway's clock, an hour forward and back, while it collects: no reading is lost or told twice."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from tests.crash.chain import Chain, running_chain
from tests.crash.plant_truth import PERIOD_MS, START_MS, UNITS, truth
from tests.crash.stepped_time import SteppedTime, stepped_time

HOUR_MS = 3_600_000


@pytest.mark.crash
def test_a_clock_set_forward_and_back_keeps_every_reading_its_order_and_opens_eras(tmp_path: Path) -> None:
    clocks: list[SteppedTime] = []
    with ExitStack() as stack:

        def between(chain: Chain) -> None:
            clocks.append(stack.enter_context(stepped_time(chain.time_port)))
            chain.agent_time_port = clocks[0].port

        chain = stack.enter_context(running_chain(tmp_path, seconds=0, seed=6, ports=between))
        chain.start_agent()
        phases: list[tuple[int, int]] = []  # (true instant it ends at, offset)
        for offset_ms in (0, HOUR_MS, 0, -HOUR_MS, 0):
            clocks[0].offset_ms = offset_ms
            chain.run_to(chain.now_ms + 40_000)
            phases.append((chain.now_ms, offset_ms))
        end_ms = chain.last_tick_ms()
        chain.drain()
        journal = chain.journal()
    true = truth(chain.scenario_file, end_ms)
    # Forward is a gap, back an era: 0, +1 h | 0 | -1 h, 0.
    assert [row.record.era for row in journal.rows] == sorted(row.record.era for row in journal.rows)
    assert {row.record.era for row in journal.rows} == {0, 1, 2}
    offsets_of_era = {0: (0, HOUR_MS), 1: (0,), 2: (-HOUR_MS, 0)}
    ends = [START_MS, *(end for end, _ in phases)]
    found: dict[str, list[int]] = defaultdict(list)
    times: dict[tuple[str, int], list[int]] = defaultdict(list)
    for row in journal.rows:
        record = row.record
        times[record.unit, record.era].append(record.time_utc_ms)
        (at_ms,) = {
            record.time_utc_ms - offset
            for (begin, end), (_, offset) in zip(pairwise(ends), phases, strict=True)
            if offset in offsets_of_era[record.era] and begin - PERIOD_MS < record.time_utc_ms - offset <= end
        }
        found[record.unit].append(at_ms)
        wrong = {name: value for name, value in row.values.items() if value != true[record.unit][at_ms].values[name]}
        assert not wrong, (record, wrong)
    for unit in UNITS:
        assert [at_ms for at_ms in found[unit] if at_ms <= end_ms] == sorted(true[unit])
    assert all(a < b for row in times.values() for a, b in pairwise(row))
    jumps = [(gap.reason, gap.to_ms - gap.from_ms) for _, gap in journal.gaps]
    assert {reason for reason, _ in jumps} == {"missed_ticks"}
    assert len(jumps) == 2 * len(UNITS)
    assert all(HOUR_MS <= length <= HOUR_MS + 2 * PERIOD_MS for _, length in jumps)
