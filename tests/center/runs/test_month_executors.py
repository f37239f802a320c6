# SPDX-License-Identifier: GPL-3.0-or-later
"""Measuring elsewhere: on a Dask cluster by `--executor dask://HOST:PORT`, with the same results; and nobody goes on
measuring for a settlement that was killed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from collector.base.errors import ConfigError
from collector.center.runs.measuring.executors import open_executor
from collector.center.runs.settle_month import ask_to_settle
from tests.center.runs.center_months import JUNE, LI, RULES, assert_as_offline, new_store
from tests.center.runs.late_changes import fill
from tests.patience import wait_until

has_dask = importlib.util.find_spec("distributed") is not None


@pytest.mark.skipif(not has_dask, reason="the `scale` extra is not installed: this says nothing of Dask")
@pytest.mark.filterwarnings("ignore")  # Dask's own
def test_a_month_measured_on_a_dask_cluster_is_the_same(tmp_path: Path) -> None:
    from distributed import LocalCluster

    with (
        LocalCluster(  # type: ignore[no-untyped-call,unused-ignore]
            n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        new_store(tmp_path / "state") as store,
    ):
        fill(store)
        address = cluster.scheduler_address.replace("tcp://", "dask://")
        run = ask_to_settle(store, JUNE, rulebook=RULES, actor=LI, executor=address).carry_out()
        assert len(run.progress.measured) == 60
        assert_as_offline(store, run, tmp_path)


def test_an_address_that_is_none_is_refused() -> None:
    for wrong in ("tcp://localhost:1", "dask://nowhere"):
        with pytest.raises(ConfigError, match="dask://HOST:PORT"), open_executor(wrong):
            raise AssertionError("it must not open")


_POOL = """
import os, time
from collector.center.runs.measuring.executors import open_executor

def main():
    with open_executor(jobs=99) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        time.sleep(3600)

if __name__ == "__main__":
    main()
"""


@pytest.mark.crash
def test_processes_that_measure_end_with_the_one_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "pool.py").write_text(_POOL, "utf-8")
    with subprocess.Popen([sys.executable, tmp_path / "pool.py"], stdout=subprocess.PIPE, text=True) as measuring:
        assert measuring.stdout is not None
        number = int(measuring.stdout.readline())
        measuring.kill()
        measuring.wait()
    wait_until(lambda: not _lives(number), "the process of the pool")


def _lives(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text("utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
