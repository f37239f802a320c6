# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are on the disk when a call returns: what a power cut may not take back."""

from __future__ import annotations

import os
from pathlib import Path


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
