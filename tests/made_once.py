# SPDX-License-Identifier: GPL-3.0-or-later
"""What many tests begin with, made once in a run of the tests, whatever number of processes share them."""

from __future__ import annotations

import atexit
import fcntl
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

_shared: list[Path] = []


def share(folder: Path) -> None:
    """Keep what is made in this folder, which all processes of the run name."""
    _shared[:] = [folder]


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """The folder that `make` filled when the first process asked for it: to be copied, never to be changed."""
    if not _shared:  # asked by no test
        share(Path(tempfile.mkdtemp()))
        atexit.register(shutil.rmtree, _shared[0])
    folder = _shared[0] / name
    with folder.with_name(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            making = folder.with_name(f"{name}.making")
            shutil.rmtree(making, ignore_errors=True)  # of one that failed
            making.mkdir()
            make(making)
            making.rename(folder)
    return folder
