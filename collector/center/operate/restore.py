# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore of a backup: a state directory made whole, or nothing of it; beside it the PostgreSQL store and the bucket.

Everything is written into a folder inside the state directory and moved to its place at the end; a killed restore is
finished by the next try. The store has a new id then (see backup.py).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from collector.base.clock import Clock
from collector.base.durable import flush, flush_tree, write_whole
from collector.base.errors import StoreError
from collector.base.text import tr
from collector.center.db.engines import make_engine
from collector.center.db.seals.seal_key import KEY_FILE
from collector.center.db.storage.lake_place import lake_folder, put_whole
from collector.center.db.store import CenterStore
from collector.center.db.store_copy import copy_tables
from collector.center.db.store_version import (
    BACKUP_MANIFEST,
    RESTORING,
    has_store,
    lock_others_out,
    make_tables,
    store_id_of,
)
from collector.center.db.tables_inputs import run, run_file
from collector.center.operate.anchors import renew_store
from collector.center.operate.backup import (
    DATA,
    DATABASE,
    CopyProgress,
    Note,
    copy_file,
    copy_secret,
    read_manifest,
    say_nothing,
    sha256_of,
)
from collector.center.people.access import Actor
from collector.center.runs.keeping.own_files import own_disclosed
from collector.center.runs.run_list import link_records

_MARK: Final = "restored.json"
_OF_LAKE: Final = ("lake", "lake-others")
_RESTORE: Final = Actor.at_command_line("restore")
logger: Final = logging.getLogger("collector.center.operate.restore")


@dataclass(frozen=True, slots=True)
class _Destination:
    """Where a restore goes beside the state directory: a PostgreSQL and an object store, where they are named."""

    clock: Clock
    database_url: str
    lake_url: str


def restore_backup(
    backup: Path, state: Path, *, clock: Clock, database_url: str = "", lake_url: str = "", note: Note = say_nothing
) -> str:
    """Make a state directory of a backup, and the PostgreSQL store where one is named; returns the new store id.

    `note` hears how far it is.

    `lake_url`: the object store that the day files go to; what it has already under a name is the same file.

    Raises:
        StoreError: the backup is damaged or incomplete, or the state or the store exists already.
    """
    names = read_manifest(backup)["files"]
    part = state / RESTORING  # inside, so that the owner of the state directory needs no rights in its parent folder
    with contextlib.suppress(OSError):
        part.rmdir()  # empty: a kill came between the last two steps
    store_id = _filled_before(part, backup, database_url)
    if store_id is None:
        if state.exists() and any(path != part for path in state.iterdir()):
            raise StoreError(
                tr("not empty: a restore never writes over a store; move it away first"), subject=str(state)
            )
        size = sum((backup / name).stat().st_size for name in names if (backup / name).is_file())
        into = _Destination(clock, database_url, lake_url)
        store_id = _fill_whole(part, backup, names, into, CopyProgress(note, size))
    for path in part.glob(f"{DATABASE}*") if database_url else ():
        path.unlink()
    # Until this folder is gone, other programs refuse the state; after a kill, a retry continues from here.
    for path in sorted(part.iterdir()):
        if path.name != _MARK:
            path.rename(state / path.name)
    flush(state)
    (part / _MARK).unlink()
    part.rmdir()
    flush(state)
    return store_id


def _fill_whole(part: Path, backup: Path, names: Mapping[str, str], into: _Destination, progress: CopyProgress) -> str:
    """Check what can be checked before anything is copied, then fill the folder; a failure leaves nothing of it."""
    for name, sha256 in names.items():
        path = backup / name
        if not path.is_file() or sha256_of(path) != sha256:
            raise StoreError(tr("missing, or not as it was when the backup was made"), subject=str(path))
        progress.passed(path)
    progress.halfway(sum((backup / name).stat().st_size for name in names))
    if into.database_url:
        _refuse_unless_empty(into.database_url)
    was_there = part.parent.exists()
    try:
        return _fill_state(part, backup, names, into, progress)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        if not was_there:
            with contextlib.suppress(OSError):
                part.parent.rmdir()
        raise


def _fill_state(part: Path, backup: Path, names: Mapping[str, str], into: _Destination, progress: CopyProgress) -> str:
    """Do a restore up to its last step: the folder whole on the disk, the database filled."""
    if part.exists():  # what a killed try left; of another user it can't go, and the error says whose it is
        shutil.rmtree(part)
    for name in names:
        if into.lake_url and Path(name).parts[0] in _OF_LAKE:
            _upload(backup / name, name, into.lake_url)
        else:
            (copy_secret if name == KEY_FILE else copy_file)(backup / name, part / name)
        progress.passed(backup / name)
    with CenterStore.open(part, clock=into.clock, lake_url=into.lake_url, create=False) as store:
        for folder, plant, name in [] if into.lake_url else store.read(_pinned):
            link_records(part / "runs" / folder / DATA, [part / "lake" / plant / name])
        for words in own_disclosed(store):
            logger.warning("%s", words)
        store_id = store.write(lambda c: renew_store(c, actor=_RESTORE, now_ms=into.clock.now_utc_ms())).result()
        flush_tree(part)
        # After a kill from here on, the next try sees by this file that the database is filled.
        write_whole(part / _MARK, json.dumps({"backup": sha256_of(backup / BACKUP_MANIFEST), "id": store_id}).encode())
        if into.database_url:
            store.read(lambda connection: _fill_database(connection, into.database_url))
    return store_id


def _upload(source: Path, name: str, lake_url: str) -> None:
    """Put a file of the lake into an object store; a file damaged in the backup replaces nothing that is there."""
    top, plant, file = Path(name).parts
    target, data = lake_folder(Path(), lake_url, top) / plant / file, source.read_bytes()
    is_named_so = hashlib.sha256(data).hexdigest().startswith(source.stem.rpartition("-")[2])
    if is_named_so or not target.exists():
        put_whole(target, data)


def _filled_before(part: Path, backup: Path, database_url: str) -> str | None:
    """The id of a store that a killed restore of this backup has finished except for the move to its place."""
    try:
        mark = json.loads((part / _MARK).read_bytes())
    except (OSError, ValueError):
        return None
    if mark["backup"] != sha256_of(backup / BACKUP_MANIFEST):
        return None
    if not database_url:
        return str(mark["id"])
    engine = make_engine(database_url, writing=False)
    try:
        with engine.begin() as connection:
            return mark["id"] if has_store(connection) and store_id_of(connection) == mark["id"] else None
    finally:
        engine.dispose()


def _refuse_unless_empty(database_url: str) -> None:
    engine = make_engine(database_url, writing=False)
    try:
        with engine.begin() as connection:
            if has_store(connection):
                raise StoreError(tr("not empty: a restore never writes over a store"), subject=str(engine.url.database))
    except DBAPIError as error:
        raise StoreError(tr("not restored: {orig}", orig=error.orig), subject=str(engine.url.database)) from error
    finally:
        engine.dispose()


def _fill_database(source: Connection, database_url: str) -> None:
    engine = make_engine(database_url, writing=True)
    try:
        with engine.begin() as connection:
            lock_others_out(connection)
            if has_store(connection):
                raise StoreError(tr("not empty: a restore never writes over a store"), subject=str(engine.url.database))
            make_tables(connection)
            copy_tables(source, connection)
    except DBAPIError as error:
        raise StoreError(tr("not restored: {orig}", orig=error.orig), subject=str(engine.url.database)) from error
    finally:
        engine.dispose()


def _pinned(connection: Connection) -> list[tuple[str, str, str]]:
    query = select(run.c.folder, run_file.c.plant, run_file.c.name).join(run_file, run_file.c.run_id == run.c.id)
    return [(row.folder, row.plant, row.name) for row in connection.execute(query)]
