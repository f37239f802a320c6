# SPDX-License-Identifier: GPL-3.0-or-later
"""Sealing in separate processes, so that it takes neither the interpreter nor memory from the receiver.

A plant-day of four units at one record a second is 345 600 records: about two seconds of a core and 350 MB for that
time. After midnight a whole region becomes quiet within minutes. The processes run at a lower priority, each opens the
store itself, and they end a minute after the last day was sealed; a process takes one day at a time, so memory is
bounded by `seal_processes`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Final

from collector.base.clock import SystemClock
from collector.base.errors import StoreError
from collector.center.db.store import CenterStore
from collector.center.lake.seal import StaleDay, seal_day

NICENESS: Final = 10
IDLE_S: Final = 60.0
DAYS_PER_PROCESS: Final = 100  # then a fresh process starts, and the old one's memory is freed

logger: Final = logging.getLogger("collector.center.lake.sealing_processes")
_opened: list[CenterStore] = []  # the store of a sealing process


class SealingProcesses:
    """The processes: started for the first day to be sealed, kept for `IDLE_S` after the last, then ended.

    A process takes a second of a core to start, as long as it takes for most days.
    """

    def __init__(self, state_dir: Path, database_url: str, lake_url: str, *, processes: int) -> None:
        self._begins, self._processes = (str(state_dir), database_url, lake_url), processes
        self._pool: ProcessPoolExecutor | None = None
        self._used_s = 0.0

    async def seal(self, days: Sequence[StaleDay]) -> int:
        """Seal these days; returns how many were. A full disk ends it, and is logged.

        Raises:
            InvariantBroken: a stored batch can't be read back.
        """
        if not days:
            if time.monotonic() - self._used_s > IDLE_S:
                await self.end()
            return 0
        loop = asyncio.get_running_loop()
        done = 0
        try:
            for first in range(0, len(days), self._processes):
                portion = days[first : first + self._processes]
                pool = self._started()
                names = await asyncio.gather(*(loop.run_in_executor(pool, _seal, day) for day in portion))
                done += len(names)
                for name in names:
                    logger.info("sealed %s", name)
        except (OSError, StoreError, BrokenProcessPool) as error:
            # The next round tries again; a killed process (for its memory, say) does not end the others.
            logger.error("%d of %d days not sealed: %s", len(days) - done, len(days), error)
            await self.end()
        self._used_s = time.monotonic()
        return done

    async def end(self) -> None:
        """End the processes; the next day starts others."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            await asyncio.to_thread(pool.shutdown, cancel_futures=True)

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._processes,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_begin,
                initargs=self._begins,
                max_tasks_per_child=DAYS_PER_PROCESS,
            )
        return self._pool


async def seal_apart(
    state_dir: Path, database_url: str, days: Sequence[StaleDay], *, processes: int, lake_url: str = ""
) -> int:
    """Seal these days in separate processes, once; see `SealingProcesses.seal`."""
    apart = SealingProcesses(state_dir, database_url, lake_url, processes=processes)
    try:
        return await apart.seal(days)
    finally:
        await apart.end()


def _begin(state_dir: str, database_url: str, lake_url: str) -> None:
    """Prepare a sealing process."""
    with contextlib.suppress(PermissionError):  # where a supervisor forbids it, sealing goes on all the same
        os.nice(NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the receiver's process ends us
    end_with_parent()
    where = {"database_url": database_url, "lake_url": lake_url}
    _opened.append(CenterStore.open(Path(state_dir), clock=SystemClock(), **where, create=False))


def end_with_parent() -> None:
    """End this process with its parent, even if the parent is killed."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)


def _seal(day: StaleDay) -> str:
    return seal_day(_opened[0], day).name
