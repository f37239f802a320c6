# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the files of a run to be disclosed its own: no links to files of the lake, read-only, flushed to the disk.

Other runs share their day files with the lake. A disclosed run must stay unchanged whatever happens to the lake, so
before the step is proposed each day file is copied (as a clone where the file system can), verified on the way, and
everything in the folder is made read-only.
"""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Final

from sqlalchemy import select

from collector.base.durable import READ_ONLY, flush, flush_tree
from collector.base.errors import StoreError
from collector.center.db.storage.lake_place import ObjectPath, put_whole
from collector.center.db.store import CenterStore
from collector.center.db.tables_month import month_step
from collector.center.db.verified import copy_verified, read_verified, verify_file
from collector.center.runs.run_list import run_by_id, runs_folder
from collector.center.runs.settle_month import DATA, pinned_of

WRITABLE: Final = 0o222
_CLONE: Final = 0x40049409  # FICLONE: two files share their bytes, on file systems that support it


def own_files(store: CenterStore, run_id: int) -> None:
    """Make every file of a run its own and read-only; no effect where this is done already.

    Raises:
        StoreError: there is no such run.
        Altered: a day file is not the one that the run pinned.
        OSError: the disk refuses; finished files stay.
    """
    row = store.read(lambda connection: run_by_id(connection, run_id))
    folder = runs_folder(store.directory) / row.folder
    shared = [
        file for file in pinned_of(store, row) if isinstance(file.path, ObjectPath) or file.path.stat().st_nlink > 1
    ]
    for file in shared:
        if isinstance(file.path, ObjectPath):
            put_whole(folder / DATA / "records" / file.record_name, read_verified(file.path, file.sha256))
        else:
            copy_in_place(file.path, file.sha256)
    open_files = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_mode & WRITABLE]
    for path in open_files:
        path.chmod(READ_ONLY)
    if shared or open_files:
        flush_tree(folder)


def own_disclosed(store: CenterStore) -> list[str]:
    """`own_files` for every run that a step of a month names; returns the failures, in words.

    Failed runs stay as they are, and `center check` names them.

    Raises:
        OSError: the disk refuses.
    """
    found = []
    for number in store.read(lambda c: c.execute(select(month_step.c.run_id).distinct()).scalars().all()):
        try:
            own_files(store, number)
        except (StoreError, FileNotFoundError) as error:
            found.append(f"run {number}: {error}")
    return found


def copy_in_place(path: Path, sha256: str) -> None:
    """Replace a hard link by a file of its own.

    Raises:
        Altered: it is not the file of this hash.
        OSError: the disk refuses; the link stays.
    """
    temporary = path.with_name(f".{path.name}.tmp")  # after a kill, the next try overwrites it
    try:
        if not _clone(path, temporary):
            copy_verified(path, temporary, sha256)
        else:
            verify_file(temporary, sha256)
        flush(temporary)
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)


def _clone(source: Path, target: Path) -> bool:
    """Clone a file; False where the file system can't."""
    with source.open("rb") as file, target.open("wb") as copy:
        try:
            fcntl.ioctl(copy.fileno(), _CLONE, file.fileno())
        except OSError:
            return False
    return True
