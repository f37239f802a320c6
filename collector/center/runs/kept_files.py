# SPDX-License-Identifier: GPL-3.0-or-later
"""Files kept under laid-out/ between runs: tables and files derived from them, each with its hash in the store.

All of them can be made again, so an altered file is logged, ignored and made anew.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import select, update

from collector.base.durable import flush, half_written
from collector.center.db.store import CenterStore, insert_new
from collector.center.db.tables_results import kept_file
from collector.center.db.verified import Altered, read_verified

T = TypeVar("T")
logger: Final = logging.getLogger("collector.center.kept")


def laid_out_folder(store: CenterStore) -> Path:
    """The folder of the files."""
    return store.directory / "laid-out"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path whose file replaces `path` at the end of the block; after an error nothing is left of it."""
    path.parent.mkdir(exist_ok=True)
    temporary = half_written(path)
    try:
        yield temporary
        flush(temporary)
        temporary.rename(path)
        flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def find_kept(store: CenterStore, name: str, use: Callable[[Path, str], T]) -> T | None:
    """The result of `use` (of verified.py) for a kept file and its hash; None where the file must be made."""
    path = laid_out_folder(store) / name
    sha256 = store.read(lambda c: c.execute(select(kept_file.c.sha256).where(kept_file.c.name == name)).scalar())
    if sha256 is None or not path.exists():
        return None
    try:
        found = use(path, sha256)
        os.utime(path)  # retention uses this time
    except Altered as error:
        logger.warning("%s; made again", error.difference)
        return None
    return found


def find_kept_bytes(store: CenterStore, name: str) -> bytes | None:
    """The bytes of a kept file; None where it must be made."""
    return find_kept(store, name, read_verified)


def keep_file(store: CenterStore, name: str, write: Callable[[Path], Any]) -> str:
    """Keep the file that `write` writes, in place of one of the same name; returns its SHA-256.

    Raises:
        OSError: the disk refuses.
    """
    path = laid_out_folder(store) / name
    with whole_file(path) as temporary:
        write(temporary)
        with temporary.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    values = {"name": name, "sha256": sha256}

    def note(connection: Any) -> None:
        connection.execute(insert_new(connection, kept_file).values(values))
        connection.execute(update(kept_file).where(kept_file.c.name == name).values(sha256=sha256))

    store.write(note).result()
    return sha256
