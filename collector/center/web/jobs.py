# SPDX-License-Identifier: GPL-3.0-or-later
"""Work that takes longer than a page may: one job at a time in a thread of its own, told about on the month's page.

A job is a settlement run. It is whole or not at all, so a center that stops meanwhile leaves nothing half done; who
asked for it presses the button again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from collector.base.errors import CollectorError, Problem, StoreError
from collector.base.text import said_by, tr

logger = logging.getLogger("collector.center.web")


@dataclass(frozen=True, slots=True)
class Job:
    """A job of a month. `base`: of a what-if; `run_id`: what came of it; `error`, `problems`: why nothing did."""

    month: str
    what: str
    who: str
    began_ms: int
    base: int | None = None
    done: bool = False
    run_id: int | None = None
    error: str = ""
    problems: tuple[Problem, ...] = ()


class Jobs:
    """The jobs of this process, the last of each month."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="center-job")
        self._lock = threading.Lock()
        self._last: dict[str, Job] = {}

    def start(self, job: Job, work: Callable[[], int]) -> None:
        """Do `work`, which returns the run it made, after the jobs that wait already.

        Raises:
            StoreError: one of this month is under way.
        """
        with self._lock:
            before = self._last.get(job.month)
            if before is not None and not before.done:
                raise StoreError(tr("{who} has a run under way; wait for it", who=before.who), subject=job.month)
            self._last[job.month] = job
        self._pool.submit(self._do, job, work)

    def of(self, month: str) -> Job | None:
        """The last job of a month."""
        with self._lock:
            return self._last.get(month)

    def close(self) -> None:
        """Wait for the job under way; those behind it are not begun."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _do(self, job: Job, work: Callable[[], int]) -> None:
        try:
            ended = replace(job, done=True, run_id=work())
        except CollectorError as error:
            ended = replace(job, done=True, error=said_by(error), problems=tuple(getattr(error, "problems", ())))
        except Exception:
            logger.exception("%s of %s failed", job.what, job.month)
            ended = replace(job, done=True, error=tr("an internal fault; it is in the log of the center"))
        with self._lock:
            self._last[job.month] = ended
