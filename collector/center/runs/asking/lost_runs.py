# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs whose process has gone: any process may find them, mark them interrupted and remove their unfinished folder.

The maker of a run holds a lock of the store until the run has ended, and the lock ends with the process: whoever can
take the lock knows that the run is no longer being made. Neither clocks nor process numbers are compared. A run that
was handed over (`handed_over`) has no maker until one takes it, and is never lost meanwhile.
"""

from __future__ import annotations

import shutil
from typing import Final

from sqlalchemy import Connection, select

from collector.center.db.store import CenterStore
from collector.center.db.tables_inputs import run
from collector.center.runs.run_list import RunRow, RunState, asked_run, fail_run, is_open, list_asked, runs_folder
from collector.model.interval import Month

HANDED_OVER: Final = "handed-over"
"""In place of a maker's lock: the run waits for any process that settles."""


def lock_name(worker: str) -> str:
    """The name of the lock that the maker of a run holds."""
    return f"run-{worker}"


def mark_lost(store: CenterStore) -> None:
    """Mark runs interrupted whose process has gone."""
    for run_id, worker in store.read(_open_runs):
        with store.hold(lock_name(worker), wait=False, once=True) as held:
            if held:
                _mark(store, run_id)


def runs_asked(store: CenterStore, month: Month | None = None) -> list[RunRow]:
    """Every requested run with its present state, oldest first; of one month where given."""
    found = store.read(lambda connection: list_asked(connection, month))
    if not any(row.is_open for row in found):
        return found
    mark_lost(store)
    return store.read(lambda connection: list_asked(connection, month))


def _open_runs(connection: Connection) -> list[tuple[int, str]]:
    lockable = is_open & run.c.worker.is_distinct_from(HANDED_OVER)
    query = select(run.c.id, run.c.worker).where(lockable).order_by(run.c.id)
    return [(int(row.id), str(row.worker)) for row in connection.execute(query)]


def _mark(store: CenterStore, run_id: int) -> None:
    """Mark a run interrupted whose lock this process has taken; its row is as its maker left it."""
    left = store.read(lambda connection: asked_run(connection, run_id))
    if left is None or not left.is_open:
        return  # it ended before it released the lock
    if left.folder:
        shutil.rmtree(runs_folder(store.directory) / left.folder, ignore_errors=True)
    now_ms = store.clock.now_utc_ms()
    store.write(lambda connection: fail_run(connection, run_id, RunState.INTERRUPTED, now_ms=now_ms)).result()
