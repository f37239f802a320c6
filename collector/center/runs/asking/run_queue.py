# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue of runs: a process enters a run, waits for its turn, makes it, and records the result.

One run at a time is made on a store, in the order of the requests of all processes. A run that is requested again while
it waits, or while nothing new has arrived since it began, is made once.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import Connection, exists, func, or_, select
from sqlalchemy.exc import DBAPIError

from collector.base.errors import CollectorError, ConfigError, InvariantBroken, StoreError
from collector.base.text import said_by, tr
from collector.center.db.store import CenterStore
from collector.center.db.tables_inputs import imported, run
from collector.center.db.tables_receive import lake_day
from collector.center.people import audit
from collector.center.people.access import Actor, Permission
from collector.center.runs.asking.handed_over import Errand, hand_over
from collector.center.runs.asking.lost_runs import lock_name, mark_lost
from collector.center.runs.run_list import (
    TRIAL,
    RunProgress,
    RunRow,
    RunState,
    asked_run,
    begin_run,
    enter_run,
    fail_run,
    is_open,
    note_progress,
    run_by_id,
    runs_folder,
)
from collector.model.interval import Month

T = TypeVar("T")
"""Takes the step a run is at, and how many of how many parts of it are done."""

INTERNAL_FAULT: Final = tr("an internal fault; it is in the log of the center")
_TELL_EVERY_S: Final = 1.0
_LOOK_EVERY_S: Final = 0.2  # polls for the run's turn, or the end of another's run
_MOST_OPEN: Final = 20  # each holds a lock, with PostgreSQL on a connection of its own

logger: Final = logging.getLogger("collector.center.runs.asking.run_queue")


class Stopped(StoreError):  # noqa: N818 - a state of the run
    """A waiting run was not made: its process is stopping."""


@dataclass(frozen=True, slots=True)
class Asking:
    """A run to be made. `made_of`: hashes of its inputs outside the store: rulebook, changed inputs."""

    month: Month
    actor: Actor
    made_of: Sequence[str]
    kind: str = TRIAL
    note: str = ""
    base_run_id: int | None = None

    @property
    def job(self) -> str:
        """The hash by which two equal requests are recognised."""
        wanted = [str(self.month), self.kind, self.base_run_id, self.note, *self.made_of]
        return hashlib.sha256(json.dumps(wanted).encode()).hexdigest()


class RunUnderWay:
    """A run that this process is making. `folder`: its own, empty at first; removed unless the run is `finish`ed."""

    def __init__(self, store: CenterStore, run_id: int, asking: Asking, folder: Path) -> None:
        self.id, self.asking, self.folder = run_id, asking, folder
        self.is_finished = False
        self._store = store
        self._told, self._told_s = "", 0.0

    def tell(self, doing: str, done: int = 0, of: int = 0) -> None:
        """Record the progress: every step, and within a step once a second. Does not wait for the write."""
        now_s = self._store.clock.monotonic_s()
        if doing == self._told and now_s - self._told_s < _TELL_EVERY_S:
            return
        self._told, self._told_s = doing, now_s
        progress = RunProgress(doing, done, of)
        self._store.write(lambda connection: note_progress(connection, self.id, progress))

    def finish(self, job: Callable[[Connection, int], None]) -> RunRow:
        """List the run as done: `job` calls `finish_run` and writes all that must be committed with it, at one time."""
        now_ms = self._store.clock.now_utc_ms()

        def finish(connection: Connection) -> RunRow:
            job(connection, now_ms)
            return run_by_id(connection, self.id)

        row = self._store.write(finish).result()
        self.is_finished = True
        return row


class AskedRun(Generic[T]):
    """A requested run that is listed. `is_ours`: this process makes it, by `carry_out`, or hands it over.

    `errand`: what another process needs to make it.
    """

    def __init__(
        self, store: CenterStore, row: RunRow, asking: Asking, work: Callable[[RunUnderWay], T],
        claim: contextlib.ExitStack | None, errand: Errand | None = None,
    ) -> None:  # fmt: skip
        self.row, self.is_ours, self.errand = row, claim is not None, errand
        self._store, self._asking, self._work = store, asking, work
        self._claim = claim or contextlib.ExitStack()
        self._stopping = threading.Event()

    def carry_out(self) -> T:
        """Wait for the run's turn and make it; returns the result of the work.

        Raises:
            StoreError: another process makes it.
            Stopped: `stop` was called before its turn.
            CollectorError: any error of the work; only the run's row is left, with the reason.
        """
        if not self.is_ours:
            raise StoreError(
                tr("asked for already by {who}: wait for it", who=self.row.who),
                subject=tr("run {number}", number=self.row.id),
            )
        with self._claim:
            try:
                return self._make()
            except ConfigError as error:
                self._fail(error.head, error)
                raise
            except Stopped:
                self._end(RunState.INTERRUPTED)
                raise
            except (CollectorError, OSError) as error:  # e.g. a full disk: its own message is shown
                self._fail(said_by(error), error)
                raise
            except Exception as error:
                logger.exception("run %d failed", self.row.id)
                self._fail(INTERNAL_FAULT, error)
                raise
            except BaseException:
                self._end(RunState.INTERRUPTED)
                raise

    def hand_over(self) -> None:
        """Leave the run to any process that settles; from then on it waits whatever becomes of this process."""
        if self.errand is None:
            raise InvariantBroken(tr("has no errand"), subject=tr("run {number}", number=self.row.id))
        with self._claim:
            hand_over(self._store, self.row.id, self._asking.actor, self.errand)

    def ended(self) -> RunRow:
        """The run once it is done: made here, or waited for where another process makes it.

        Raises:
            CollectorError: as `carry_out`; a StoreError gives the reason where another's run failed.
        """
        if self.is_ours:
            self.carry_out()
        while (row := self._now()).is_open:
            mark_lost(self._store)
            time.sleep(_LOOK_EVERY_S)
        if row.state is not RunState.DONE:
            why = tr("failed: {why}", why=row.why) if row.state is RunState.FAILED else tr("interrupted")
            raise StoreError(why, subject=tr("run {number}", number=row.id))
        return row

    def stop(self) -> None:
        """Prevent a waiting run from beginning."""
        self._stopping.set()

    def _now(self) -> RunRow:
        found = self._store.read(lambda connection: asked_run(connection, self.row.id))
        assert found is not None  # the row of an open run is never removed
        return found

    def _make(self) -> T:
        folder = self._wait_for_turn()
        run = RunUnderWay(self._store, self.row.id, self._asking, folder)
        try:
            folder.mkdir(parents=True)
            return self._work(run)
        finally:
            if not run.is_finished:
                shutil.rmtree(folder, ignore_errors=True)

    def _wait_for_turn(self) -> Path:
        """The run's folder, as soon as the run is listed as running."""
        while not self._stopping.is_set():
            now_ms = self._store.clock.now_utc_ms()
            name = f"{self.row.month}-{now_ms}-{self.row.id}"
            if self._store.write(lambda c, n=name, t=now_ms: _begin_if_first(c, self.row.id, n, t)).result():  # type: ignore[misc]
                return runs_folder(self._store.directory) / name
            mark_lost(self._store)
            self._stopping.wait(_LOOK_EVERY_S)
        raise Stopped(tr("not begun: the center was stopped"), subject=tr("run {number}", number=self.row.id))

    def _fail(self, text: str, error: Exception) -> None:
        self._end(RunState.FAILED, text, error)

    def _end(self, state: RunState, text: str = "", error: Exception | None = None) -> None:
        now_ms = self._store.clock.now_utc_ms()
        problems = error.problems if isinstance(error, ConfigError) else ()

        def job(connection: Connection) -> None:
            ended = fail_run(connection, self.row.id, state, now_ms=now_ms, error=text, problems=problems)
            if ended and state is RunState.FAILED:
                detail = {"month": self.row.month, "kind": self.row.kind, "error": text}
                subject, actor = f"run {self.row.id}", self._asking.actor
                audit.append(connection, actor=actor, action="run.fail", subject=subject, detail=detail, now_ms=now_ms)

        with contextlib.suppress(DBAPIError):  # otherwise the next process finds it lost, by its free lock
            self._store.write(job).result()


def ask(
    store: CenterStore, asking: Asking, work: Callable[[RunUnderWay], T], errand: Errand | None = None
) -> AskedRun[T]:
    """List a run that `work` makes, or find an equal run that was requested before. Nothing is begun yet.

    `work` makes the run in its folder and ends with `finish`; `errand` says the same to another process.

    Raises:
        Denied: the actor may not settle.
        StoreError: too many runs wait.
    """
    asking.actor.require(Permission.SETTLE)
    worker = secrets.token_hex(8)
    with contextlib.ExitStack() as claiming:
        claiming.enter_context(store.hold(lock_name(worker), once=True))
        with store.hold("run-asking"):  # of two equal requests at once, the second finds the first
            mark_lost(store)
            row, is_new = store.write(lambda c: _enter_or_find(c, asking, worker, store.clock.now_utc_ms())).result()
        claim = claiming.pop_all() if is_new else None
    return AskedRun(store, row, asking, work, claim, errand)


class RunsInBackground:
    """Makes runs in the background, one after the other, in a thread of its own.

    `by_others`: this process makes none; runs requested here are handed over to a process that settles.
    """

    def __init__(self, *, by_others: bool = False) -> None:
        self._by_others = by_others
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="center-run")
        self._lock = threading.Lock()
        self._waiting: list[tuple[AskedRun[Any], Future[Any]]] = []

    def start(self, asking: Callable[[], AskedRun[Any]]) -> RunRow:
        """Request a run and have it made; returns its row.

        Raises:
            CollectorError: as `asking` raises.
        """
        with self._lock:  # runs are made in the order of their numbers, else one would wait for the one behind it
            asked = asking()
            if asked.is_ours and self._by_others:
                asked.hand_over()
            elif asked.is_ours:
                left = [each for each in self._waiting if not each[1].done()]
                self._waiting = [*left, (asked, self._pool.submit(asked.carry_out))]
        return asked.row

    def close(self) -> None:
        """Wait for the run in progress; waiting runs are not begun."""
        for asked, _ in self._waiting:
            asked.stop()
        self._pool.shutdown(wait=True)


def _enter_or_find(connection: Connection, asking: Asking, worker: str, now_ms: int) -> tuple[RunRow, bool]:
    """The row of a request, and whether it was inserted now."""
    same = select(run.c.id, run.c.began_ms).where(is_open & (run.c.job == asking.job)).order_by(run.c.id.desc())
    for found in connection.execute(same):
        if found.began_ms is None or not _has_come_in(connection, str(asking.month), int(found.began_ms)):
            row = asked_run(connection, int(found.id))
            assert row is not None  # read within this transaction
            return row, False
    if connection.execute(select(func.count()).where(is_open)).scalar_one() >= _MOST_OPEN:
        raise StoreError(tr("{most_open} runs wait already", most_open=_MOST_OPEN), subject=str(asking.month))
    run_id = enter_run(
        connection, month=asking.month, kind=asking.kind, who=asking.actor.name, note=asking.note,
        base_run_id=asking.base_run_id, now_ms=now_ms, job=asking.job, worker=worker,
    )  # fmt: skip
    entered = asked_run(connection, run_id)
    assert entered is not None
    return entered, True


def _has_come_in(connection: Connection, month: str, since_ms: int) -> bool:
    """True if anything was imported, undone, received or decided since, so that the month's run may lack it."""
    days = lake_day.c.day.startswith(f"{month}-") & (lake_day.c.changed_ms >= since_ms)
    tables = (imported.c.at_ms >= since_ms, imported.c.undone_ms >= since_ms, days)
    return bool(connection.execute(select(or_(*(exists().where(each) for each in tables)))).scalar())


def _begin_if_first(connection: Connection, run_id: int, folder: str, now_ms: int) -> bool:
    """Begin the run if it is its turn; True if it has begun."""
    first = connection.execute(select(func.min(run.c.id)).where(is_open)).scalar()
    if first is not None and first < run_id:
        return False
    begin_run(connection, run_id, folder, now_ms=now_ms)
    return True
