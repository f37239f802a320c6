# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs handed over: requested by a process that makes none (`center.parts` without settling), made by one that does.

The request lies in a file of the state directory, `runs-asked/NUMBER.json`, and not in the database: whoever can write
the database alone must not be able to have anything computed in another's name. The file is on the disk before the row
says that the run waits for anybody; from then on it outlives every process. A maker that dies leaves the run
interrupted, as any run.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, select, update

from collector.base.durable import write_whole
from collector.base.errors import StoreError
from collector.base.text import tr
from collector.center.db.store import CenterStore
from collector.center.db.tables_inputs import run
from collector.center.people.access import Actor, Permission, Role
from collector.center.runs.asking.lost_runs import HANDED_OVER, lock_name, mark_lost
from collector.center.runs.run_list import RunRow, RunState, asked_run, is_open

FOLDER: Final = "runs-asked"


@dataclass(frozen=True, slots=True)
class Errand:
    """A request as another process can act on it, beside the run's row. `said`: JSON values, by the verb's names."""

    verb: str
    said: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TakenRun:
    """A handed-over run that this process has taken. `claim`: holds the maker's lock."""

    row: RunRow
    claim: contextlib.ExitStack


def hand_over(store: CenterStore, run_id: int, actor: Actor, errand: Errand) -> None:
    """Leave a waiting run to any process that settles.

    Raises:
        OSError: the disk refuses; the run is still its maker's.
    """
    folder = store.directory / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    data = {"verb": errand.verb, "said": dict(errand.said), "actor": _actor_as_data(actor)}
    write_whole(_file(store, run_id), json.dumps(data, ensure_ascii=False).encode())
    where = (run.c.id == run_id) & (run.c.state == RunState.QUEUED)
    store.write(lambda c: c.execute(update(run).where(where).values(worker=HANDED_OVER)) and None).result()


def take_next(store: CenterStore) -> TakenRun | None:
    """The oldest open run where it was handed over and waits; None otherwise. Two takers never get the same."""
    first = store.read(_first_open)
    if first is None:
        return None
    run_id, worker = first
    if worker != HANDED_OVER:
        mark_lost(store)  # else a dead maker would keep the queue waiting
        return None
    own = secrets.token_hex(8)
    with contextlib.ExitStack() as claiming:
        claiming.enter_context(store.hold(lock_name(own), once=True))
        mine = (run.c.id == run_id) & (run.c.state == RunState.QUEUED) & (run.c.worker == HANDED_OVER)
        if not store.write(lambda c: c.execute(update(run).where(mine).values(worker=own)).rowcount).result():
            return None
        row = store.read(lambda connection: asked_run(connection, run_id))
        assert row is not None  # an open run's row is never removed
        return TakenRun(row, claiming.pop_all())


def read_errand(store: CenterStore, run_id: int) -> tuple[Actor, Errand]:
    """The person who asked for a handed-over run, and the request.

    Raises:
        StoreError: there is no such file here, or it can't be read.
    """
    try:
        data = json.loads(_file(store, run_id).read_bytes())
        return _actor_of(data["actor"]), Errand(data["verb"], data["said"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = tr("its request can't be read: {error}; is state_dir the same on all machines?", error=error)
        raise StoreError(message, subject=str(_file(store, run_id))) from error


def drop_errands(store: CenterStore) -> None:
    """Remove the requests of runs that have ended."""
    files = {int(path.stem): path for path in (store.directory / FOLDER).glob("[0-9]*.json")}
    if files:
        # Only now what is open: a request is written after its row.
        open_runs = store.read(lambda c: set(c.execute(select(run.c.id).where(is_open)).scalars()))
        for run_id in files.keys() - open_runs:
            files[run_id].unlink(missing_ok=True)


def left_waiting(connection: Connection, before_ms: int) -> list[int]:
    """Handed-over runs that were requested before an instant and that nobody has taken yet."""
    query = select(run.c.id).where((run.c.worker == HANDED_OVER) & is_open & (run.c.asked_ms < before_ms))
    return list(connection.execute(query.order_by(run.c.id)).scalars())


def _file(store: CenterStore, run_id: int) -> Path:
    return store.directory / FOLDER / f"{run_id}.json"


def _first_open(connection: Connection) -> tuple[int, str | None] | None:
    row = connection.execute(select(run.c.id, run.c.worker).where(is_open).order_by(run.c.id).limit(1)).first()
    return None if row is None else (int(row.id), row.worker)


def _actor_as_data(actor: Actor) -> dict[str, Any]:
    scope = None if actor.scope is None else sorted(actor.scope)
    return {
        "name": actor.name, "role": actor.role, "plant": actor.plant, "local": actor.local, "login": actor.login,
        "shared_login": actor.shared_login, "scope": scope, "second_factor": actor.second_factor,
    }  # fmt: skip


def _actor_of(data: Mapping[str, Any]) -> Actor:
    scope = None if data["scope"] is None else frozenset(Permission(each) for each in data["scope"])
    return Actor(**{**data, "role": Role(data["role"]), "scope": scope})
