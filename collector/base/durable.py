# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are on the disk when a call returns, so that a power cut can't take them back; and a lock on a folder.

Many processes may hold the lock of a folder for reading, or one alone for removing the folder. The kernel releases the
lock when its process ends, however it ends; no lock file is written.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

READ_ONLY: Final = 0o400  # of a file that never changes again
_HOST: Final = socket.gethostname().replace("-", "_").replace("/", "_") or "localhost"


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


def half_written(path: Path) -> Path:
    """A name beside `path` for the file while it is written, before it is renamed to `path`.

    Files that killed processes of this machine left under such names in the folder are removed.
    """
    for left in path.parent.glob(f".*-{_HOST}-*.tmp"):
        writer = int(left.name.rpartition(f"-{_HOST}-")[2].partition("-")[0])
        try:
            os.kill(writer, 0)
        except ProcessLookupError:
            left.unlink(missing_ok=True)
        except PermissionError:
            pass  # the process runs, as another user
    return path.with_name(f".{path.name}-{_HOST}-{os.getpid()}-{threading.get_ident():x}.tmp")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under a temporary name, then rename it: after a crash the old or the new file is there, whole.

    Raises:
        OSError: the disk refuses; the old file stays.
    """
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(data)
    flush(beside)
    beside.replace(path)
    flush(path.parent)


def flush_tree(folder: Path) -> None:
    """Flush every file and folder in a folder, and the folder's own name, to the disk.

    A file with a second name (hard link) is on the disk already and is not flushed again.

    Raises:
        OSError: the disk refuses.
    """
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() or path.stat().st_nlink == 1:
            flush(path)
    flush(folder)
    flush(folder.parent)


def lock_folder(folder: Path, *, alone: bool = False) -> int | None:
    """A descriptor that holds the lock of a folder until it is closed; None where there is no such folder.

    `alone`: take the exclusive lock. It does not wait: None too where somebody else holds the lock.
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
    """Hold the lock of a folder. Yields False only where an exclusive lock (`alone`) is held by somebody else."""
    descriptor = lock_folder(folder, alone=alone)
    try:
        yield descriptor is not None or not folder.exists()
    finally:
        if descriptor is not None:
            os.close(descriptor)
