# SPDX-License-Identifier: GPL-3.0-or-later
"""A center that was lost with its disk and comes back from a backup: a real agent sends again what the backup lacks."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.arrivals import compare, read_journal
from tests.crash.chain import running_chain
from tests.crash.plant_truth import truth

STEP_MS = 90_000


def center(*words: str) -> None:
    """A verb of the center, as an operator types it."""
    subprocess.run([sys.executable, "-m", "collector.cli.main", "center", *words], check=True, capture_output=True)


@pytest.mark.crash
def test_agents_send_again_what_a_restored_center_lacks(tmp_path: Path) -> None:
    state, backup = tmp_path / "center", tmp_path / "backup"
    with running_chain(tmp_path, seconds=600, seed=5) as chain:
        chain.start_agent()
        chain.run_to(chain.now_ms + STEP_MS)
        chain.settle()
        center("backup", str(backup), "--state", str(state))  # beside the running center
        chain.run_to(chain.now_ms + STEP_MS)
        chain.settle()  # freed at the agent, and not in the backup
        chain.processes.kill("center")
        lacking = len(read_journal(state).rows) - len(read_journal(backup).rows)
        shutil.rmtree(state)
        center("restore", str(backup), "--state", str(state))
        chain.start_center()
        chain.run_to(chain.now_ms + STEP_MS // 3)
        end_ms = chain.last_tick_ms()
        chain.drain()
        verdict = compare(chain.journal(), truth(chain.scenario_file, end_ms))
    assert lacking > STEP_MS // 1000
    assert verdict.in_gaps == 0
    center("check", "--state", str(state))
