# SPDX-License-Identifier: GPL-3.0-or-later
"""Run by test_dropped_packets.py inside the first of its network namespaces; the broker is two hops away."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from tests.crash.arrivals import compare
from tests.crash.chain import Chain, running_chain
from tests.crash.plant_truth import truth

STEP_MS = 60_000


def test_packets_dropped_without_a_word_lose_and_double_nothing(tmp_path: Path) -> None:
    here, router, there, near, far = os.environ["COLLECTOR_NAMESPACES"].split(",")
    assert here

    def away(chain: Chain) -> None:
        chain.broker.host, chain.broker.through = far, ("ip", "netns", "exec", there)

    with running_chain(tmp_path, seconds=600, seed=13, ports=away) as chain:
        chain.start_agent()
        # Each takes a connection's whole time-out of 10 s, which here nobody can shorten.
        one_way = ((far,), (near,)) if os.environ.get("SOAK") else ()
        for dropped in ((far, near), *one_way):
            chain.run_to(chain.now_ms + STEP_MS // 2)
            for address in dropped:
                subprocess.run(["ip", "-n", router, "route", "add", "blackhole", f"{address}/32"], check=True)
            chain.run_to(chain.now_ms + STEP_MS)
            chain.until(lambda: chain.status().get("uplink", {}).get("connected") is False, "the agent finds out")
            for address in dropped:
                subprocess.run(["ip", "-n", router, "route", "del", "blackhole", f"{address}/32"], check=True)
            healed_s = time.monotonic()
            chain.settle()
            print(f"dropped to {dropped}: all acknowledged {time.monotonic() - healed_s:.1f} s later")
        chain.run_to(chain.now_ms + 5000)
        end_ms = chain.last_tick_ms()
        chain.drain()
        verdict = compare(chain.journal(), truth(chain.scenario_file, end_ms))
    assert verdict.in_gaps == 0
    assert verdict.recorded > 2 * STEP_MS / 1000
