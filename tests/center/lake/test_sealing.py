# SPDX-License-Identifier: GPL-3.0-or-later
"""Sealing beside the receiver: its processes may be killed, and end with the center that is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import pytest

from collector.center.lake.seal import StaleDay, count_records, find_stale_days, seal_month_of
from collector.center.lake.sealing_processes import seal_apart
from collector.model.interval import DAY_MS, Month
from tests.center.center_batches import NOON, deliver, minutes, new_store, open_admission, payload_of
from tests.center.center_process import configured, free_port, running_broker, start_center, status_of, wait_for_log
from tests.patience import wait_until

DAYS = 200


def filled(folder: Path) -> None:
    """A store with many days to be sealed."""
    signer = configured(folder, lines="[lake]\nseal_after_s = 0.0\ncheck_every_s = 0.2")
    payloads = [payload_of(n + 1, minutes("U1", NOON - n * DAY_MS, 5), signer=signer) for n in range(DAYS)]
    with new_store(folder / "state") as store:
        deliver(store, payloads, admission=open_admission(signer=signer))


def children_of(pid: int) -> set[int]:
    """Its sealing processes, once they are at work; the resource tracker of multiprocessing is none."""
    pids = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    return {int(p) for p in pids if b"spawn_main" in Path(f"/proc/{p}/cmdline").read_bytes()}


def wait_until_gone(pids: set[int]) -> None:
    wait_until(lambda: not any(_lives(pid) for pid in pids), f"the end of {pids}")


def _lives(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.crash
def test_a_killed_sealing_process_takes_nobody_with_it_and_none_outlives_a_killed_center(tmp_path: Path) -> None:
    filled(tmp_path)
    port = free_port()
    with running_broker(port):
        center = start_center(tmp_path, port)
        try:
            wait_for_log(tmp_path, "sealed 20", 1)
            for pid in children_of(center.pid):
                os.kill(pid, signal.SIGKILL)
            wait_for_log(tmp_path, "not sealed", 1)
            wait_for_log(tmp_path, "sealed 20", 30)  # by those of the next round
            assert center.poll() is None
            sealing = children_of(center.pid)
        finally:
            center.kill()
            center.wait()
    assert sealing
    wait_until_gone(sealing)
    with new_store(tmp_path / "state") as store:
        assert count_records(seal_month_of(store, Month(2026, 3))) == 10 * 5
    assert status_of(tmp_path)["unsealed_days"] < DAYS


def test_days_are_sealed_by_several_processes_as_by_one(tmp_path: Path) -> None:
    for name in ("one", "several"):
        filled_folder = tmp_path / name
        filled_folder.mkdir()
        with new_store(filled_folder) as store:
            deliver(store, [payload_of(n + 1, minutes("U1", NOON - n * DAY_MS, 5)) for n in range(10)])
            stale = store.read(find_stale_days)
            if name == "one":
                seal_month_of(store, Month(2026, 3))
            else:
                assert asyncio.run(seal_apart(store.directory, "", stale, processes=3)) == 10
                assert store.read(find_stale_days) == []
    made = [sorted(p.name for p in (tmp_path / name).rglob("*.parquet")) for name in ("one", "several")]
    assert made[0] == made[1]
    assert len(made[0]) == 10


def test_a_disk_that_refuses_ends_the_round_and_not_the_center(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        deliver(store, [payload_of(1, minutes("U1", NOON, 5))])
        (tmp_path / "lake").write_text("a file where the folder should be", "utf-8")
        stale = store.read(find_stale_days)
        assert asyncio.run(seal_apart(store.directory, "", stale, processes=1)) == 0
        (tmp_path / "lake").unlink()
        assert asyncio.run(seal_apart(store.directory, "", stale, processes=1)) == 1
        assert asyncio.run(seal_apart(store.directory, "", list[StaleDay](), processes=1)) == 0
