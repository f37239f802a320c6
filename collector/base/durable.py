# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are on the disk when a call returns: what a power cut may not take back. And a lock on a folder: many may
read what is in it, or one may take it away; it ends with the process, however it ends, and nothing is written for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

READ_ONLY: Final = 0o400  # of a file that never changes again


def flush(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk.

    Raises:
        OSError: the disk refuses.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file beside its place and let it come there: whatever happens, the old or the new one is there, whole.

    Raises:
        OSError: the disk refuses; the old file stays.
    """
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(data)
    flush(beside)
    beside.replace(path)
    flush(path.parent)


def flush_tree(folder: Path) -> None:
    """Bring every file and folder in a folder to the disk, and its name; second names of files that are there already
    cost no flush of the file.

    Raises:
        OSError: the disk refuses.
    """
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() or path.stat().st_nlink == 1:
            flush(path)
    flush(folder)
    flush(folder.parent)


def lock_folder(folder: Path, *, alone: bool = False) -> int | None:
    """A descriptor that holds the lock until it is closed; None where there is no such folder.

    `alone`: nobody else may hold it, and nobody is waited for: None too where somebody does.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB if alone else fcntl.LOCK_SH)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextlib.contextmanager
def folder_held(folder: Path, *, alone: bool = False) -> Iterator[bool]:
    """Hold the lock of a folder; gives whether it is held: always where it is shared, or there is nothing to hold."""
    descriptor = lock_folder(folder, alone=alone)
    try:
        yield descriptor is not None or not folder.exists()
    finally:
        if descriptor is not None:
            os.close(descriptor)
