# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages of runs kept for a day after they were made: an interrupted download continues with the same bytes.

A package names the heads of the chains at its making, so a package made again is another file. It is handed out only
while its hash is the one in the audit log. Layout: packages/RUN-MADE_MS/MONTH-runRUN.zip below the state directory.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import select

from collector.base.errors import Missing, StoreError
from collector.base.text import tr
from collector.center.db.store import CenterStore
from collector.center.db.tables_people import audit
from collector.center.people.access import Actor
from collector.center.runs.package import MADE, export_package, package_name
from collector.center.runs.stored_run import open_run
from collector.model.interval import DAY_MS

KEPT_MS: Final = DAY_MS


@dataclass(frozen=True, slots=True)
class KeptPackage:
    """A kept package. `made_ms`: when it was made, which distinguishes it from others of its run."""

    run_id: int
    made_ms: int
    path: Path


def keep_package(store: CenterStore, run_id: int, *, actor: Actor) -> KeptPackage:
    """Make the package of a run and keep it. Raises as `export_package`."""
    name = package_name(open_run(store, run_id).facts.month, run_id)
    made_ms = store.clock.now_utc_ms()
    while True:
        folder = _folder(store) / f"{run_id}-{made_ms}"
        try:
            folder.mkdir(parents=True)
            break
        except FileExistsError:  # two packages in the same millisecond
            made_ms += 1
    try:
        return KeptPackage(run_id, made_ms, export_package(store, run_id, folder / name, actor=actor))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def kept_package(store: CenterStore, run_id: int, made_ms: int) -> KeptPackage:
    """A package that was made before.

    Raises:
        Missing: there is none of this run and moment, or no longer.
        StoreError: the file is not as it was made here.
    """
    for found in (_folder(store) / f"{run_id}-{made_ms}").glob("*.zip"):
        if not _was_made_here(store, run_id, found):
            raise StoreError(tr("is not as it was made: make it again"), subject=str(found))
        return KeptPackage(run_id, made_ms, found)
    raise Missing(tr("is not kept, or no longer: make it again"), subject=tr("package of run {number}", number=run_id))


def altered_packages(store: CenterStore) -> Iterator[str]:
    """Kept packages that are not as they were made, in words."""
    for folder in sorted(_made(store)):
        run_id = int(folder.name.partition("-")[0])
        for path in folder.glob("*.zip"):
            if not _was_made_here(store, run_id, path) and path.exists():  # it may have been removed meanwhile
                yield tr("{path}: is not as it was made; it is not handed out", path=path)


def _was_made_here(store: CenterStore, run_id: int, path: Path) -> bool:
    """True if the audit log has the package's hash among those of its run."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
        query = select(audit.c.detail).where((audit.c.subject == f"run {run_id}") & (audit.c.action == MADE))
        return any(
            json.loads(text)["sha256"] == found for text in store.read(lambda c: c.execute(query).scalars().all())
        )
    return False


def drop_packages(store: CenterStore) -> None:
    """Remove packages older than a day, and unfinished ones of that age.

    Raises:
        OSError: a folder can't be removed; the next round tries again.
    """
    over = store.clock.now_utc_ms() - KEPT_MS
    for folder in _made(store):
        if int(folder.name.rpartition("-")[2]) < over:
            shutil.rmtree(folder)


def _folder(store: CenterStore) -> Path:
    return store.directory / "packages"


def _made(store: CenterStore) -> Iterator[Path]:
    return (path for path in _folder(store).glob("*-*") if path.name.rpartition("-")[2].isdigit())
