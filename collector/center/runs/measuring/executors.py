# SPDX-License-Identifier: GPL-3.0-or-later
"""Where measuring runs: in this process, in processes of this machine (spawned), or on a Dask cluster."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Final, TypeVar

from collector.base.errors import ConfigError, Problem
from collector.base.text import tr
from collector.center.lake.sealing_processes import end_with_parent

DASK: Final = "dask://"
_ALONE: Final = 4  # jobs up to which a pool is not worth starting
_Job = TypeVar("_Job")
_Done = TypeVar("_Done")


@contextmanager
def open_executor(where: str = "", *, jobs: int | None = None) -> Iterator[Executor | None]:
    """Where to measure: empty for this machine's cores (None for few jobs), dask://HOST:PORT for a cluster.

    Raises:
        ConfigError: the `scale` extra is not installed, or the address is none.
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


@contextmanager
def _dask(where: str) -> Iterator[Executor]:
    if not where.startswith(DASK) or ":" not in where.removeprefix(DASK):
        raise ConfigError([Problem("--executor", 0, "", tr("expected dask://HOST:PORT, got {where!r}", where=where))])
    try:
        from distributed import Client
    except ModuleNotFoundError:
        message = tr("needs the `scale` extra: pip install '.[scale]' in the checkout")
        raise ConfigError([Problem("--executor", 0, "", message)]) from None
    with Client("tcp://" + where.removeprefix(DASK)) as client:  # type: ignore[no-untyped-call,unused-ignore]
        yield client.get_executor()


def as_they_come(pool: Executor, work: Callable[[_Job], _Done], jobs: Sequence[_Job]) -> Iterator[_Done]:
    """What jobs come to, in whatever order; those not begun are dropped where one fails."""
    futures = [pool.submit(work, job) for job in jobs]
    try:
        for future in as_completed(futures):
            yield future.result()
    finally:
        for future in futures:
            future.cancel()
