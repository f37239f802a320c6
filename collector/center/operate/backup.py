# SPDX-License-Identifier: GPL-3.0-or-later
"""Backup and restore of store and lake together.

The store is copied first, in one consistent state, then the day files and the files of imports that this state lists:
they are immutable, so whatever the running center does meanwhile changes none. A restore gives the store a new id:
every agent then sends again what it still keeps and the copy may lack.

In the backup the store is an SQLite file whatever it was before; a restore makes of it again what center.toml names.
So a backup needs no programs of the database's, can be looked at like any store, and carries one from SQLite to
PostgreSQL (docs/decisions/0013-a-backup-is-a-store.md).
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, exists, select, update
from sqlalchemy.exc import DBAPIError

from collector.base.clock import Clock
from collector.base.errors import StoreError
from collector.base.text import tr
from collector.center.db.engines import make_engine
from collector.center.db.store import CenterStore, renew_store_id
from collector.center.db.store_copy import copy_tables
from collector.center.db.store_version import BACKUP_MANIFEST, has_store, lock_others_out, make_tables
from collector.center.db.tables_inputs import has_statement, run, run_file
from collector.center.db.tables_receive import SCHEMA_VERSION, lake_file
from collector.center.inputs.stored_rows import listed_files, path_of
from collector.center.runs.run_list import link_records

DATABASE: Final = "center.sqlite"


def create_backup(store: CenterStore, target: Path) -> int:
    """Copy store and lake into a new folder, also beside a running center; returns the number of day files.

    Raises:
        StoreError: the folder is there already, or a listed file is gone.
    """
    try:
        target.mkdir(parents=True)
    except FileExistsError as error:
        raise StoreError(
            tr("a backup needs a folder of its own; this one is there already"), subject=str(target)
        ) from error
    if (store.directory / DATABASE).exists():
        _copy_database(store.directory / DATABASE, target / DATABASE)
    else:
        store.read(lambda connection: _write_database(connection, target / DATABASE))
    count = _copy_lake(store, target)
    for folder in (Path("lake-others"), *(Path("runs") / name for name in _run_folders(store, target))):
        for source in sorted((store.directory / folder).rglob("*")):
            inside = source.relative_to(store.directory)
            # The records of a run are links into the lake, which is here already; a restore makes them again.
            if source.is_file() and "records" not in inside.parts:
                _copy(source, target / inside)
    (target / "receiver.lock").unlink(missing_ok=True)
    files = sorted(path for path in target.rglob("*") if path.is_file())
    manifest = {
        "collector_backup": 1,
        "schema_version": SCHEMA_VERSION,
        "store_id": store.store_id,
        "made_ms": store.clock.now_utc_ms(),
        "files": {str(path.relative_to(target)): _sha256(path) for path in files},
    }
    # Written last: a backup without it was not finished, and is not restored.
    (target / BACKUP_MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
    return count


def restore_backup(backup: Path, state: Path, *, clock: Clock, database_url: str = "") -> str:
    """Make a state directory of a backup, and the PostgreSQL store where one is named; returns the new store id.

    Raises:
        StoreError: the backup is damaged or incomplete, or there is something where the state or the store shall be.
    """
    manifest = _read_manifest(backup)
    if state.exists() and any(state.iterdir()):
        raise StoreError(tr("not empty: a restore never writes over a store; move it away first"), subject=str(state))
    for name, sha256 in manifest["files"].items():
        path = backup / name
        if not path.is_file() or _sha256(path) != sha256:
            raise StoreError(tr("missing, or not as it was when the backup was made"), subject=str(path))
    part = state.with_name(state.name + ".restoring")
    shutil.rmtree(part, ignore_errors=True)
    for name in manifest["files"]:
        _copy(backup / name, part / name)
    with CenterStore.open(part, clock=clock, create=False) as store:
        for folder, plant, name in store.read(_pinned):
            link_records(part / "runs" / folder / "data", [part / "lake" / plant / name])
        store_id = store.write(lambda connection: renew_store_id(connection, clock.now_utc_ms())).result()
        if database_url:
            store.read(lambda connection: _fill_database(connection, database_url))
    if database_url:
        for path in part.glob(f"{DATABASE}*"):
            path.unlink()
    if state.exists():
        state.rmdir()
    part.rename(state)
    return store_id


def _write_database(source: Connection, target: Path) -> None:
    """An SQLite file with the rows of any store, as one transaction sees them."""
    engine = make_engine(f"sqlite:///{target}", writing=True, foreign_keys=False)
    try:
        with engine.begin() as connection:
            make_tables(connection)
            copy_tables(source, connection)
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


def _copy_lake(store: CenterStore, target: Path) -> int:
    with CenterStore.open(target, clock=store.clock, create=False) as copy:
        listed = copy.read(_listed)
        for plant, name in listed:
            source = store.lake / plant / name
            if source.exists():
                _copy(source, target / "lake" / plant / name)
            elif not copy.write(lambda c, p=plant, n=name: _note_dropped(c, p, n, store.clock.now_utc_ms())).result():  # type: ignore[misc]
                raise _not_there(source)
        for sha256 in copy.read(listed_files):
            source = path_of(store.imported, sha256)
            if not source.exists():
                raise _not_there(source)
            _copy(source, path_of(copy.imported, sha256))
    return len(listed)


def _run_folders(store: CenterStore, target: Path) -> Sequence[str]:
    """The folders of the runs that the copy has with a statement: none that is being made meanwhile."""
    query = select(run.c.folder).where(has_statement).order_by(run.c.id)
    with CenterStore.open(target, clock=store.clock, create=False) as copy:
        return copy.read(lambda c: c.execute(query).scalars().all())


def _not_there(path: Path) -> StoreError:
    return StoreError(tr("listed and not there; `collector center check` says more"), subject=str(path))


def _read_manifest(backup: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((backup / BACKUP_MANIFEST).read_text("utf-8"))
        names = list(manifest["files"])
        if manifest["collector_backup"] != 1 or DATABASE not in names:
            raise ValueError(tr("another kind of file"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(tr("no finished backup here: {error}", error=error), subject=str(backup)) from error
    for name in names:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise StoreError(tr("names a file outside of itself: {name!r}", name=name), subject=str(backup))
    return manifest


def _note_dropped(connection: Connection, plant: str, name: str, now_ms: int) -> bool:
    """Whether a file may be gone: superseded and pinned by nobody, it was let go since the store was copied."""
    same = (lake_file.c.plant == plant) & (lake_file.c.name == name)
    current = exists().where(same & lake_file.c.superseded_ms.is_(None))
    pinned = exists().where((run_file.c.plant == plant) & (run_file.c.name == name))
    if connection.execute(select(current | pinned)).scalar():
        return False
    connection.execute(update(lake_file).where(same).values(dropped_ms=now_ms))
    return True


def _listed(connection: Connection) -> list[tuple[str, str]]:
    query = select(lake_file.c.plant, lake_file.c.name).where(lake_file.c.dropped_ms.is_(None))
    query = query.distinct().order_by(lake_file.c.plant, lake_file.c.name)
    return [(row.plant, row.name) for row in connection.execute(query)]


def _pinned(connection: Connection) -> list[tuple[str, str, str]]:
    query = select(run.c.folder, run_file.c.plant, run_file.c.name).join(run_file, run_file.c.run_id == run.c.id)
    return [(row.folder, row.plant, row.name) for row in connection.execute(query)]


def _copy_database(source: Path, target: Path) -> None:
    reading, writing = sqlite3.connect(source), sqlite3.connect(target)
    try:
        reading.backup(writing)
    finally:
        reading.close()
        writing.close()


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
