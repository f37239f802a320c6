# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk full under a running agent: it stays, says so, and when there is space again the time between is a gap.

Simulated time runs on at a fixed speed meanwhile, as the world does. Once by a limit on file sizes, which needs no
privilege, and once on a file system of its own that something else fills.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.crash.arrivals import compare
from tests.crash.chain import Chain, running_chain
from tests.crash.plant_truth import truth
from tests.patience import HANG_S

SPEED = 60
SMALL_BYTES = 4 * 1024 * 1024


@contextmanager
def small_file_system(path: Path) -> Iterator[None]:
    """A file system of 4 MB at `path`; without the right to mount the test is skipped."""
    path.mkdir(parents=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SMALL_BYTES}", "tmpfs", str(path)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"a file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def fill_and_free(chain: Chain, fill: Callable[[], object], free: Callable[[], object]) -> None:
    """Some good time, some with a full disk, and what the agent says of it."""
    chain.until(lambda: (c := chain.counts()) is not None and c.recorded > 100, "100 records")
    assert chain.status()["store_error"] == ""
    fill()
    chain.until(lambda: bool(chain.status()["store_error"]), "the store refuses")
    stuck = Stuck(chain)
    chain.until(stuck.for_long, "ticks that are not made")
    assert chain.status()["store_error"] != "", "it is alive, and says so"
    free()
    chain.until(lambda: chain.status()["store_error"] == "", "the store takes again")
    recorded = chain.counts()
    assert recorded is not None
    chain.until(lambda: (c := chain.counts()) is not None and c.recorded > recorded.recorded + 100, "100 more records")
    assert chain.status()["ticks"]["missed"] > SPEED


class Stuck:
    """Looks whether the agent makes no more ticks: some are queued for the disk first, and those are not lost."""

    def __init__(self, chain: Chain) -> None:
        self._chain, self._written, self._since_ms = chain, -1, 0

    def for_long(self) -> bool:
        """For so much simulated time that the gap is longer than what the queue held."""
        written, now_ms = int(self._chain.status()["ticks"]["written"]), self._chain.now_ms
        if written != self._written:
            self._written, self._since_ms = written, now_ms
        return now_ms - self._since_ms > 150_000


def finish(chain: Chain, *reasons: str) -> None:
    """Stop, and hold what arrived against the truth: every tick once, or in a gap."""
    end_ms = chain.last_tick_ms() - 10_000
    chain.drain()
    log = chain.processes.log("g").read_text("utf-8")
    assert "store=refuses" in log
    assert "store=accepts again" in log
    journal = chain.journal()
    # Registers have moved on while an answer was under way: at this speed only instants can be compared.
    since_ms = min(row.record.time_utc_ms for row in journal.rows)
    verdict = compare(journal, truth(chain.scenario_file, end_ms), values=False, since=since_ms, beyond=end_ms)
    assert verdict.in_gaps > 2 * SPEED
    assert {gap.reason for _, gap in journal.gaps} == set(reasons)


@pytest.mark.crash
def test_with_files_that_must_not_grow_the_agent_waits_and_tells_the_gap(tmp_path: Path) -> None:
    with running_chain(tmp_path, seconds=0, seed=2, pace=f"accelerated:{SPEED}") as chain:
        chain.start_agent()
        pid = chain.processes.pid("g")
        free = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        fill_and_free(
            chain,
            lambda: resource.prlimit(pid, resource.RLIMIT_FSIZE, (100_000, free[1])),
            lambda: resource.prlimit(pid, resource.RLIMIT_FSIZE, free),
        )
        finish(chain, "missed_ticks")


@pytest.mark.crash
def test_on_a_full_file_system_the_agent_waits_ends_when_told_and_starts_again_with_space(tmp_path: Path) -> None:
    ballast = tmp_path / "state-g" / "ballast"

    def fill() -> None:
        with ballast.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass

    with (
        small_file_system(tmp_path / "state-g"),
        running_chain(tmp_path, seconds=0, seed=2, pace=f"accelerated:{SPEED}", buffer="max_bytes = 1000000") as chain,
    ):
        chain.start_agent()
        fill_and_free(chain, fill, ballast.unlink)
        fill()
        chain.until(lambda: bool(chain.status()["store_error"]), "the store refuses")
        assert chain.processes.stop("g") != -signal.SIGKILL, "told to end, it ends"
        fill()  # what it had in its log may have gone into the buffer as it ended, and left room
        command = [sys.executable, "-m", "collector.cli.main", "agent", "run", str(tmp_path / "g.toml")]
        refused = subprocess.run(command, capture_output=True, text=True, timeout=HANG_S, env=dict(os.environ))
        assert refused.returncode == 1
        assert "g.buffer" in refused.stderr
        ballast.unlink()
        chain.start_agent()
        chain.until(lambda: chain.status().get("ticks", {}).get("records", 0) > 100, "100 records more")
        finish(chain, "missed_ticks", "agent_down")
