# SPDX-License-Identifier: GPL-3.0-or-later
"""Backup of store and lake together; restore.py makes a store of one.

The store is copied first, in one consistent state, then the day files and the files of imports that this state lists:
they are immutable, so the running center changes none of them meanwhile. Each is checked against its hash on the way: a
day file that is missing or damaged is taken from a run with its own copy; without any copy the damaged file is saved as
it is, and the backup says so. A restore gives the store a new id: every agent then sends again the batches it still
keeps, which the copy may lack.

In the backup the store is always an SQLite file; a restore converts it to the database that center.toml names. So a
backup needs no tools of the database, can be opened like any store, and can carry a store from SQLite to PostgreSQL
(docs/decisions/0013-a-backup-is-a-store.md).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, exists, func, select, update
from sqlalchemy.exc import DBAPIError

from collector.base.durable import flush, flush_tree, folder_held
from collector.base.errors import StoreError
from collector.base.text import as_data, from_data, tr
from collector.center.db.engines import make_engine
from collector.center.db.seals.seal_key import KEY_FILE
from collector.center.db.storage.lake_place import LakePath, put_whole
from collector.center.db.store import CenterStore
from collector.center.db.store_copy import copy_tables
from collector.center.db.store_version import (
    BACKUP_MANIFEST,
    make_tables,
)
from collector.center.db.tables_inputs import has_statement, run, run_file
from collector.center.db.tables_receive import SCHEMA_VERSION, lake_file
from collector.center.db.verified import Altered, copy_verified
from collector.center.inputs.stored_rows import listed_files, path_of
from collector.center.people.heads import anchor_of
from collector.center.runs.run_list import record_name, runs_folder

DATABASE: Final = "center.sqlite"
DATA: Final = "data"
logger: Final = logging.getLogger("collector.center.operate.backup")
Note = Callable[[int, int], None]  # bytes done, of how many


class CopyProgress:
    """How far a backup or restore is: every byte passes twice, once to be copied and once to be hashed."""

    def __init__(self, note: Note, size: int) -> None:
        self._note, self._done, self._of = note, 0, 2 * max(size, 1)
        self._most = self._of // 2

    def passed(self, path: Path) -> None:
        """A file was copied, or was hashed."""
        self._done = min(self._done + path.stat().st_size, self._most)
        self._note(self._done, self._of)

    def halfway(self, size: int) -> None:
        """The other half begins, of so many bytes."""
        self._of = self._most = 2 * max(size, 1)
        self._done = self._of // 2
        self._note(self._done, self._of)


def say_nothing(_done: int, _of: int) -> None:
    """Nobody watches."""


def create_backup(store: CenterStore, target: Path, note: Note = say_nothing) -> int:
    """Copy store and lake into a new folder, also beside a running center; returns the number of day files.

    `what_is_altered` tells what could be saved only as it is. `note` hears how far it is.

    Raises:
        StoreError: the folder is there already, or a listed file is gone.
    """
    if target.exists():
        raise StoreError(tr("a backup needs a folder of its own; this one is there already"), subject=str(target))
    # renamed when it is whole; the rest of a killed try is removed first
    part = target.with_name(f".{target.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        with folder_held(runs_folder(store.directory)):  # no run expires while it is copied
            count = _fill_backup(store, part, CopyProgress(note, _size_of(store)))
        part.rename(target)
        flush(target.parent)
    except BaseException as error:
        shutil.rmtree(part, ignore_errors=True)
        if isinstance(error, OSError | sqlite3.Error | DBAPIError):
            raise StoreError(
                tr("no backup was made, and nothing is left of it: {error}", error=error), subject=str(target)
            ) from error
        raise
    return count


def _size_of(store: CenterStore) -> int:
    """About how many bytes there are to be copied."""
    folders = [store.imported, runs_folder(store.directory)]
    folders += [folder for folder in (store.lake, store.lake_others) if isinstance(folder, Path)]
    files = [path for folder in folders for path in folder.rglob("*") if "records" not in path.parts]
    size = sum(path.stat().st_size for path in (store.directory / DATABASE, *files) if path.is_file())
    if store.lake_url:
        query = select(func.sum(lake_file.c.size_bytes)).where(lake_file.c.dropped_ms.is_(None))
        size += int(store.read(lambda c: c.execute(query).scalar()) or 0)
    return size


def _fill_backup(store: CenterStore, target: Path, progress: CopyProgress) -> int:
    """Write everything of a backup into its folder, durably; returns the number of day files."""
    copy_secret(store.directory / KEY_FILE, target / KEY_FILE)
    if (store.directory / DATABASE).exists() and not store.is_read_only:
        _copy_database(store.directory / DATABASE, target / DATABASE)
    else:
        store.read(lambda connection: _write_database(connection, target / DATABASE))
    progress.passed(target / DATABASE)
    with CenterStore.open(target, clock=store.clock, create=False) as copy:  # before anything is noted in the copy
        anchor = copy.read(anchor_of)
    altered: list[str] = []
    count = _copy_lake(store, target, altered, progress)
    _copy_others(store, target)
    for folder in (Path("runs") / name for name in _run_folders(store, target)):
        for source in sorted((store.directory / folder).rglob("*")):
            inside = source.relative_to(store.directory)
            # The records of a run are links into the lake, which is here already; a restore makes them again.
            if source.is_file() and "records" not in inside.parts:
                copy_file(source, target / inside)
                progress.passed(source)
    (target / "receiver.lock").unlink(missing_ok=True)
    files = sorted(path for path in target.rglob("*") if path.is_file())
    manifest = {
        "collector_backup": 1,
        "schema_version": SCHEMA_VERSION,
        "store_id": store.store_id,
        "made_ms": store.clock.now_utc_ms(),
        "anchor": anchor,
        "altered": [as_data(words) for words in altered],
        "files": _hashes(target, files, progress),
    }
    # Written last: a backup without it was not finished, and is not restored.
    (target / BACKUP_MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
    flush_tree(target)
    return count


def _hashes(folder: Path, files: Sequence[Path], progress: CopyProgress) -> dict[str, str]:
    progress.halfway(sum(path.stat().st_size for path in files))
    found = {}
    for path in files:
        found[str(path.relative_to(folder))] = sha256_of(path)
        progress.passed(path)
    return found


def what_is_altered(backup: Path) -> list[str]:
    """Files that were altered when a backup was made, and are in it as they were, in words.

    Raises:
        StoreError: the backup is not finished.
    """
    return [from_data(words) for words in read_manifest(backup).get("altered", [])]


def _write_database(source: Connection, target: Path) -> None:
    """Write an SQLite file with the rows of any store, in the state of one transaction."""
    engine = make_engine(f"sqlite:///{target}", writing=True, foreign_keys=False)
    try:
        with engine.begin() as connection:
            make_tables(connection)
            copy_tables(source, connection)
    finally:
        engine.dispose()


def _copy_lake(store: CenterStore, target: Path, altered: list[str], progress: CopyProgress) -> int:
    """Day files and the files of imports; `altered` takes what is not as the copy lists it, in words."""
    with CenterStore.open(target, clock=store.clock, create=False) as copy:
        listed = copy.read(_listed)
        for plant, name, sha256 in listed:
            sources: list[LakePath] = [store.lake / plant / name, *_own_copies(store, copy, plant, name)]
            if _save(sources, target / "lake" / plant / name, sha256, altered):
                progress.passed(target / "lake" / plant / name)
            elif not copy.write(
                lambda c, p=plant, n=name: _note_dropped(c, p, n, store.clock.now_utc_ms())  # type: ignore[misc]
            ).result():
                raise _not_there(sources[0])
        for sha256 in copy.read(listed_files):
            source = path_of(store.imported, sha256)
            if not _save([source], path_of(copy.imported, sha256), sha256, altered):
                raise _not_there(source)
            progress.passed(source)
    return len(listed)


def _copy_others(store: CenterStore, target: Path) -> None:
    """The lists of records that lost their instant, as far as they are there; `center check` names one that is not."""
    query = select(lake_file.c.plant, lake_file.c.others).where(lake_file.c.others != "").distinct()
    with CenterStore.open(target, clock=store.clock, create=False) as copy:
        for plant, name in copy.read(lambda c: c.execute(query).all()):
            with contextlib.suppress(FileNotFoundError):
                put_whole(copy.lake_others / plant / name, (store.lake_others / plant / name).read_bytes())


def _own_copies(store: CenterStore, copy: CenterStore, plant: str, name: str) -> Iterator[Path]:
    """Copies of a day file in the folders of runs that pin it: after a disclosure these are files of their own."""
    same = (run_file.c.plant == plant) & (run_file.c.name == name)
    query = select(run.c.folder).join(run_file, run_file.c.run_id == run.c.id).where(same).order_by(run.c.id)
    for folder in copy.read(lambda c: c.execute(query).scalars().all()):
        yield runs_folder(store.directory) / folder / DATA / "records" / record_name(plant, name)


def _save(sources: Iterable[LakePath], target: Path, sha256: str, altered: list[str]) -> bool:
    """Copy the first file with the right hash; else the first that exists, reported in `altered`. False: none."""
    target.parent.mkdir(parents=True, exist_ok=True)
    damaged: tuple[LakePath, Altered] | None = None
    for source in sources:
        try:
            copy_verified(source, target, sha256)
        except Altered as error:
            if damaged is None and source.exists():
                damaged = source, error
        else:
            return True
    if damaged is None:
        return False
    target.write_bytes(damaged[0].read_bytes())
    altered.append(damaged[1].difference)
    return True


def _run_folders(store: CenterStore, target: Path) -> Sequence[str]:
    """The folders of the runs with a statement in the copy: none that is being made meanwhile."""
    query = select(run.c.folder).where(has_statement).order_by(run.c.id)
    with CenterStore.open(target, clock=store.clock, create=False) as copy:
        return copy.read(lambda c: c.execute(query).scalars().all())


def _not_there(path: LakePath) -> StoreError:
    return StoreError(tr("listed and not there; `collector center check` says more"), subject=str(path))


def read_manifest(backup: Path) -> dict[str, Any]:
    """The manifest of a finished backup; `files`: SHA-256 by path.

    Raises:
        StoreError: there is none, or it names files outside of the backup.
    """
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
    """True if a file may be missing: superseded and not pinned, it was removed since the store was copied."""
    same = (lake_file.c.plant == plant) & (lake_file.c.name == name)
    current = exists().where(same & lake_file.c.superseded_ms.is_(None))
    pinned = exists().where((run_file.c.plant == plant) & (run_file.c.name == name))
    if connection.execute(select(current | pinned)).scalar():
        return False
    connection.execute(update(lake_file).where(same).values(dropped_ms=now_ms))
    return True


def _listed(connection: Connection) -> list[tuple[str, str, str]]:
    """Plant, name and SHA-256 of each day file."""
    columns = (lake_file.c.plant, lake_file.c.name, lake_file.c.sha256)
    query = select(*columns).where(lake_file.c.dropped_ms.is_(None)).distinct()
    return [(r.plant, r.name, r.sha256) for r in connection.execute(query.order_by(*columns))]


def _copy_database(source: Path, target: Path) -> None:
    reading, writing = sqlite3.connect(source), sqlite3.connect(target)
    try:
        reading.backup(writing)
    finally:
        reading.close()
        writing.close()


def copy_file(source: Path, target: Path) -> None:
    """Copy a file, and make its folder."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def copy_secret(source: Path, target: Path) -> None:
    """Copy a key, for its owner alone."""
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(source.read_bytes())


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
