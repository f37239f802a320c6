# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that were never disclosed expire: after `runs.keep_days` row and hashes stay, files and pins are removed.

A run does not expire while anything refers to it: a step of a month, a filing, a bill, an entry of the books, a review,
an open proposal, or a run compared with it. Nor does a run that somebody has open (`stored_run`), or any run during a
backup or check: each holds a lock of the folder (`collector.base.durable`).

First the row is marked, in the transaction that checks the references; then the folder is removed. A crash between the
two leaves a row that still names its folder, and the next round continues from there.
"""

from __future__ import annotations

import logging
import shutil
from typing import Any, Final

from sqlalchemy import Column, Connection, and_, delete, exists, or_, select, update

from collector.base.durable import folder_held
from collector.center.db.all_tables import metadata
from collector.center.db.store import CenterStore
from collector.center.db.tables_inputs import has_statement, run, run_file
from collector.center.people.four_eyes import list_proposals
from collector.center.runs.run_list import OPEN, RUNNING, RunState, runs_folder
from collector.center.runs.stored_run import forget_run
from collector.model.interval import DAY_MS

logger: Final = logging.getLogger("collector.center.runs.keeping.expired_runs")


def expire_runs(store: CenterStore, *, keep_days: int) -> int:
    """Expire runs that were done more than `keep_days` ago, and remove their files; returns the number of new ones.

    Raises:
        OSError: a folder can't be removed; the next round tries again.
    """
    now_ms, count = store.clock.now_utc_ms(), 0
    runs = runs_folder(store.directory)
    with folder_held(runs, alone=True) as nobody_reads_all:
        if not nobody_reads_all:
            return 0
        for run_id, folder in store.read(lambda c: _found(c, _over(c, now_ms - keep_days * DAY_MS))):
            forget_run(store, run_id)
            with folder_held(runs / folder, alone=True) as nobody_reads:
                if nobody_reads:
                    count += store.write(lambda c, n=run_id: _expire(c, n, keep_days, now_ms)).result()  # type: ignore[misc]
        for run_id, folder in store.read(lambda c: _found(c, (run.c.state == RunState.EXPIRED) & (run.c.folder != ""))):
            if (runs / folder).exists():
                shutil.rmtree(runs / folder)
            store.write(lambda c, n=run_id: _note_removed(c, n)).result()  # type: ignore[misc]
            logger.info("run %d has expired; its files are removed", run_id)
    return count


def columns_naming_a_run() -> list[Column[Any]]:
    """Every column of the store that refers to a run, except in the tables of runs and of their pinned files."""
    apart = (run, run_file)
    columns = [c for table in metadata.tables.values() if table not in apart for c in table.columns]
    return [c for c in columns if any(key.column is run.c.id for key in c.foreign_keys)]


def _over(connection: Connection, before_ms: int) -> Any:
    """The condition for runs that are old enough and that nothing refers to."""
    variant = run.alias("variant")
    measured_against = (variant.c.base_run_id == run.c.id) & variant.c.state.in_([*OPEN, RunState.DONE])
    named = [exists().where(column == run.c.id) for column in columns_naming_a_run()]
    proposed = {
        number
        for each in list_proposals(connection, open_only=True)
        for name, number in each.content.items()
        if name.endswith("run_id") and isinstance(number, int)
    }
    over = and_(has_statement, run.c.ended_ms < before_ms, run.c.id.not_in(proposed))
    return over & ~or_(exists().where(measured_against), *named)


def _found(connection: Connection, where: Any) -> list[tuple[int, str]]:
    query = select(run.c.id, run.c.folder).where(where).order_by(run.c.id)
    return [(int(row.id), str(row.folder)) for row in connection.execute(query)]


def _expire(connection: Connection, run_id: int, keep_days: int, now_ms: int) -> int:
    """Expire a run unless something refers to it by now; returns 1 if it expired, else 0."""
    over = _over(connection, now_ms - keep_days * DAY_MS)
    if connection.execute(select(run.c.id).where(over & (run.c.id == run_id)).with_for_update()).first() is None:
        return 0
    connection.execute(update(run).where(run.c.id == run_id).values(state=RunState.EXPIRED, expired_ms=now_ms))
    connection.execute(delete(run_file).where(run_file.c.run_id == run_id))
    return 1


def _note_removed(connection: Connection, run_id: int) -> None:
    """Note that a run's folder is gone. A running month makes a run a night: its row goes too, if unreferenced."""
    mine = run.c.id == run_id
    named = connection.execute(select(run.c.id).where(run.c.base_run_id == run_id)).first()
    kind = connection.execute(select(run.c.kind).where(mine)).scalar_one()
    if kind == RUNNING and named is None:
        connection.execute(delete(run).where(mine))
    else:
        connection.execute(update(run).where(mine).values(folder=""))
