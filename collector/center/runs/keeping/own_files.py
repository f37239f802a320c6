# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a run that is to be disclosed, made its own: no second names of the lake's, read-only, on the disk.

A run that nobody disclosed shares its day files with the lake. What is disclosed must be there as it was whatever
becomes of the lake, so before the step is proposed each day file is copied (shared by the file system where it can),
verified on the way, and everything in the folder may be written by nobody any more.
"""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Final

from sqlalchemy import select

from collector.base.durable import READ_ONLY, flush, flush_tree
from collector.base.errors import StoreError
from collector.center.db.store import CenterStore
from collector.center.db.tables_month import month_step
from collector.center.db.verified import copy_verified, verify_file
from collector.center.runs.run_list import run_by_id, runs_folder
from collector.center.runs.settle_month import pinned_of

WRITABLE: Final = 0o222
_CLONE: Final = 0x40049409  # FICLONE: the bytes once, two files; on file systems that can


def own_files(store: CenterStore, run_id: int) -> None:
    """Make every file of a run its own and read-only; done already, nothing is done.

    Raises:
        StoreError: there is no such run.
        Altered: a day file is not the one that the run pinned.
        OSError: the disk refuses; what was done stays done.
    """
    row = store.read(lambda connection: run_by_id(connection, run_id))
    folder = runs_folder(store.directory) / row.folder
    shared = [file for file in pinned_of(store, row) if file.path.stat().st_nlink > 1]
    for file in shared:
        copy_in_place(file.path, file.sha256)
    open_files = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_mode & WRITABLE]
    for path in open_files:
        path.chmod(READ_ONLY)
    if shared or open_files:
        flush_tree(folder)


def own_disclosed(store: CenterStore) -> list[str]:
    """`own_files` of every run that a step of a month names, in words which could not be made so: those stay as they
    are, and `center check` names them.

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
    """Put a file of its own in the place of a second name of another one.

    Raises:
        Altered: it is not the file of this hash.
        OSError: the disk refuses; the second name stays.
    """
    temporary = path.with_name(f".{path.name}.tmp")  # what a kill left is taken up by the next try
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
    """Whether the file system lent the bytes of one file to another."""
    with source.open("rb") as file, target.open("wb") as copy:
        try:
            fcntl.ioctl(copy.fileno(), _CLONE, file.fileno())
        except OSError:
            return False
    return True
