# SPDX-License-Identifier: GPL-3.0-or-later
"""The place where measuring runs: this process, processes of this machine (spawned), or a Dask cluster.

The cluster is a scheduler (`dask scheduler`) and workers that see the lake under the same path (`collector center
worker`). Results are stored as they arrive: a worker that dies loses its jobs in progress, a scheduler that dies loses
those not stored yet.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Final, TypeVar

from collector.base.errors import ConfigError, Problem, StoreError
from collector.base.text import tr
from collector.center.lake.sealing_processes import end_with_parent

DASK: Final = "dask://"
CONNECT_S: Final = 10
WORKER_S: Final = 60  # how long to wait for the first worker of a cluster
_RETRIES: Final = 5  # retries of a job whose worker died
_ALONE: Final = 4  # jobs up to which a pool is not worth starting
_Job = TypeVar("_Job")
_Done = TypeVar("_Done")


@contextmanager
def open_executor(where: str = "", *, jobs: int | None = None) -> Iterator[Executor | None]:
    """The executor of a place: empty for this machine's cores (None for few jobs), dask://HOST:PORT for a cluster.

    Raises:
        ConfigError: the `scale` extra is not installed, or the address is invalid.
        StoreError: the cluster can't be reached, has no worker, or was lost; earlier results are stored.
    """
    if where:
        with _dask(where) as executor:
            yield executor
        return
    if jobs is not None and jobs <= _ALONE:
        yield None
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count() or 1, mp_context=spawn, initializer=end_with_parent) as pool:
        yield pool


def scheduler_of(where: str, option: str) -> str:
    """The address of a Dask scheduler in Dask's notation.

    Raises:
        ConfigError: the address is invalid; `option` is named.
    """
    host, colon, port = where.removeprefix(DASK).rpartition(":")
    if not where.startswith(DASK) or not colon or not host or not port.isdecimal():
        raise ConfigError([Problem(option, 0, "", tr("expected dask://HOST:PORT, got {where!r}", where=where))])
    return f"tcp://{host}:{port}"


def require_dask(option: str) -> None:
    """Raise ConfigError where Dask is not installed."""
    if importlib.util.find_spec("distributed") is None:
        message = tr("needs the `scale` extra: pip install '.[scale]' in the checkout")
        raise ConfigError([Problem(option, 0, "", message)])


@contextmanager
def _dask(where: str) -> Iterator[Executor]:
    address = scheduler_of(where, "--executor")
    require_dask("--executor")
    from distributed import Client
    from distributed.comm import CommClosedError
    from distributed.scheduler import KilledWorker

    lost = tr("the cluster was lost; what it had measured is stored, settle again")
    try:
        client = Client(address, timeout=CONNECT_S, set_as_default=False)
    except OSError as error:
        raise StoreError(tr("can't be reached; is `dask scheduler` running there?"), subject=where) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=WORKER_S)
        except OSError as error:
            message = tr("has no worker; start some with `collector center worker {where}`", where=where)
            raise StoreError(message, subject=where) from error
        try:
            yield client.get_executor(retries=_RETRIES)
        except KilledWorker as error:
            message = tr("workers die while they measure; their logs say why (memory?)")
            raise StoreError(message, subject=where) from error
        except (CancelledError, CommClosedError) as error:  # not every OSError: a full disk is not the cluster's fault
            raise StoreError(lost, subject=where) from error


def as_they_come(pool: Executor, work: Callable[[_Job], _Done], jobs: Sequence[_Job]) -> Iterator[_Done]:
    """The results of jobs in the order in which they end; after a failure, jobs not begun are cancelled."""
    futures = [pool.submit(work, job) for job in jobs]
    try:
        for future in as_completed(futures):
            yield future.result()
    finally:
        for future in futures:
            future.cancel()
