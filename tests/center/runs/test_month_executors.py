# SPDX-License-Identifier: GPL-3.0-or-later
"""Measuring elsewhere: on a Dask cluster of real processes, some of them stopped or killed, to the same bytes; and
nobody goes on measuring for a settlement that was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, select

from collector.base.errors import CollectorError, ConfigError, StoreError
from collector.center.db.store import CenterStore
from collector.center.db.tables_results import day_result, day_segments
from collector.center.runs.keeping.own_files import own_files
from collector.center.runs.measuring import measure_days
from collector.center.runs.measuring.executors import open_executor
from collector.center.runs.measuring.measure_plant import PlantDays, PlantJob
from collector.center.runs.settle_month import MadeRun, ask_to_settle
from tests.center.center_batches import NOON, FixedClock
from tests.center.object_store import ObjectStore
from tests.center.runs.center_months import JUNE, LI, RULES, assert_as_offline, new_store
from tests.center.runs.kept_months import copy_state
from tests.center.runs.late_changes import fill, measured_days
from tests.patience import wait_until


@dataclass
class Cluster:
    """A scheduler and its workers, each the leader of a process group of its own."""

    where: str
    scheduler: subprocess.Popen[bytes]
    folder: Path
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def add_worker(self) -> subprocess.Popen[bytes]:
        """By the verb that the manual names; returns when the scheduler has it."""
        from distributed import Client

        command = [sys.executable, "-m", "collector.cli.main", "center", "worker", self.where, "--processes", "1"]
        with (self.folder / "workers.log").open("ab") as log:
            worker = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, env=os.environ | {"TMPDIR": str(self.folder)}
            )
        self.workers.append(worker)
        with Client(self.where.replace("dask://", "tcp://"), set_as_default=False) as client:
            client.wait_for_workers(len(self.workers))
        return worker

    def wait_for_jobs(self, on_workers: int) -> None:
        """Until so many workers have a job."""
        from distributed import Client

        with Client(self.where.replace("dask://", "tcp://"), set_as_default=False) as client:
            wait_until(lambda: sum(map(bool, client.processing().values())) >= on_workers, "jobs on workers")


def signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


@contextmanager
def cluster_of(folder: Path) -> Iterator[Cluster]:
    """A scheduler; its end, and that of all workers, at the end."""
    file = folder / "scheduler.json"
    command = [
        sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0",
        "--scheduler-file", str(file), "--no-dashboard", "--no-show",
    ]  # fmt: skip
    with ExitStack() as ends, (folder / "scheduler.log").open("ab") as log:
        scheduler = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        made = Cluster("", scheduler, folder)

        def end() -> None:
            for process in (*made.workers, scheduler):
                signal_group(process, signal.SIGKILL)
                process.wait()

        ends.callback(end)
        wait_until(lambda: file.exists() and b'"address"' in file.read_bytes(), "the scheduler")
        address = json.loads(file.read_text("utf-8"))["address"]
        made.where = address.replace("tcp://", "dask://")
        yield made


@pytest.fixture
def store(filled_june: Path, tmp_path: Path) -> Iterator[CenterStore]:
    """A month of two plants, which are two jobs; nothing of it is measured."""
    with new_store(copy_state(filled_june, tmp_path / "state")) as made:
        yield made


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A scheduler without workers."""
    with cluster_of(tmp_path) as made:
        yield made


def read_files(store: CenterStore) -> None:
    """Have the day files read, so that only measuring is left to do: one job a plant."""
    settle_on(store, "")
    tables = (day_result, day_segments)
    store.write(lambda c: [c.execute(delete(table)) for table in tables]).result()


def settle_on(store: CenterStore, where: str) -> MadeRun:
    return ask_to_settle(store, JUNE, rulebook=RULES, actor=LI, executor=where).carry_out()


@pytest.mark.crash
def test_of_two_workers_one_is_killed_under_its_job_and_the_other_is_slow(
    store: CenterStore, cluster: Cluster, tmp_path: Path
) -> None:
    read_files(store)
    slow, dying = cluster.add_worker(), cluster.add_worker()
    for worker in (slow, dying):
        signal_group(worker, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        settling = pool.submit(settle_on, store, cluster.where)
        cluster.wait_for_jobs(2)
        signal_group(dying, signal.SIGKILL)
        signal_group(slow, signal.SIGCONT)
        run = settling.result()
    assert len(run.progress.measured) == 60
    assert_as_offline(store, run, tmp_path)


@pytest.mark.crash
@pytest.mark.full
def test_a_scheduler_that_dies_is_said_and_what_was_measured_is_not_measured_again(
    store: CenterStore, cluster: Cluster, tmp_path: Path
) -> None:
    read_files(store)
    stuck = cluster.add_worker()
    cluster.add_worker()
    signal_group(stuck, signal.SIGSTOP)
    asked = ask_to_settle(store, JUNE, rulebook=RULES, actor=LI, executor=cluster.where)

    def days_done() -> int:
        return store.read(lambda c: c.execute(select(func.count()).select_from(day_result)).scalar_one())

    with ThreadPoolExecutor(1) as pool:
        settling = pool.submit(asked.carry_out)
        wait_until(days_done, "the days of one plant, stored as they come")
        signal_group(cluster.scheduler, signal.SIGKILL)
        with pytest.raises(StoreError, match="cluster was lost"):
            settling.result()
    run = settle_on(store, "")
    assert len({plant for plant, _ in measured_days(run)}) == 1
    assert len(run.progress.measured) == 30
    assert_as_offline(store, run, tmp_path)


@pytest.mark.crash
def test_a_cluster_that_is_not_there_or_has_no_worker_is_said(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.center.runs.measuring.executors.WORKER_S", 0.1)
    with pytest.raises(StoreError, match="has no worker"), open_executor(cluster.where):
        raise AssertionError("it must not open")
    monkeypatch.setattr("collector.center.runs.measuring.executors.CONNECT_S", 0.5)
    with pytest.raises(StoreError, match="can't be reached"), open_executor("dask://127.0.0.1:1"):
        raise AssertionError("it must not open")


@pytest.mark.crash
@pytest.mark.full
def test_workers_read_the_day_files_from_an_object_store(
    cluster: Cluster, object_store: ObjectStore, tmp_path: Path
) -> None:
    url = object_store.url(object_store.new_bucket())
    with CenterStore.open(tmp_path / "state", clock=FixedClock(NOON), lake_url=url) as store:
        fill(store)
        cluster.add_worker()
        run = settle_on(store, cluster.where)
        assert len(run.progress.measured) == 60
        own_files(store, run.row.id)
        assert_as_offline(store, run, tmp_path)


def of_another_version(job: PlantJob) -> PlantJob:
    return replace(job, kernel="1")


def without_the_lake(job: PlantJob) -> PlantJob:
    def elsewhere(cell: PlantDays) -> PlantDays:
        return replace(cell, files=tuple(replace(file, path=Path("/nowhere") / file.path.name) for file in cell.files))

    return replace(job, cells=tuple(map(elsewhere, job.cells)))


def test_a_worker_of_another_version_or_without_the_lake_says_so(
    store: CenterStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another version measured would be stored under the keys of this one."""
    change = of_another_version

    class Elsewhere(Executor):
        def submit(self, work: Any, *jobs: Any) -> Future[Any]:  # type: ignore[override]
            done: Future[Any] = Future()
            done.set_result(work(*(change(job) for job in jobs)))
            return done

    @contextmanager
    def elsewhere(*_: object, **__: object) -> Iterator[Executor | None]:
        yield Elsewhere()

    read_files(store)
    monkeypatch.setattr(measure_days, "open_executor", elsewhere)
    with pytest.raises(CollectorError, match="asked for was 1: give it this version"):
        settle_on(store, "")
    change = without_the_lake
    with pytest.raises(CollectorError, match=r"/nowhere.*see the lake"):
        settle_on(store, "")


def test_an_address_that_is_none_is_refused() -> None:
    for wrong in ("tcp://localhost:1", "dask://nowhere", "dask://:1", "dask://h:x"):
        with pytest.raises(ConfigError, match="dask://HOST:PORT"), open_executor(wrong):
            raise AssertionError("it must not open")


_POOL = """
import os, time
from collector.center.db.tables_results import day_result, day_segments
from collector.center.runs.measuring import measure_days
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
