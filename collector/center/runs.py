# SPDX-License-Identifier: GPL-3.0-or-later
"""A month's inputs out of the store, as a settlement folder; and the runs made from them.

A run keeps the very folder it was computed from, its day files as links to the lake's immutable ones. So it can be
repeated at any time with `collector settle`, whatever is received, resealed or imported afterwards.
"""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select

from collector.center.import_schema import run, run_file
from collector.center.imports import KINDS, current_register, rows_in_force
from collector.errors import StoreError
from collector.model.interval import Month


def lay_out_folder(connection: Connection, files: Sequence[Path], target: Path) -> None:
    """Write register.toml, one CSV per kind ever delivered, and link the day files of the lake under records/.

    Raises:
        StoreError: no register was imported.
    """
    register = current_register(connection)
    if register is None:
        raise StoreError("no register yet: `collector center import register register.toml`", subject=str(target))
    target.mkdir(parents=True)
    (target / "register.toml").write_bytes(register)
    for kind in KINDS:
        rows = rows_in_force(connection, kind)
        if rows is None:
            continue  # not delivered, and the statement will say so
        with (target / f"{kind}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(KINDS[kind].columns)
            writer.writerows(rows)
    link_records(target, files)


def link_records(folder: Path, files: Sequence[Path]) -> None:
    """Put day files of the lake under records/ of a settlement folder, without a second copy of their bytes."""
    records = folder / "records"
    records.mkdir(parents=True, exist_ok=True)
    for source in files:
        target = records / f"{source.parent.name}-{source.name}"
        try:
            os.link(source, target)
        except OSError:  # another file system
            shutil.copyfile(source, target)


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is kept of a run beside its folder. `manifest`: JSON text of the statement's manifest."""

    month: Month
    who: str
    folder: str
    status: str
    result_hash: str
    manifest: str


def record_run(connection: Connection, facts: RunFacts, files: Sequence[Path], *, now_ms: int) -> int:
    """List a run with the day files it pinned; returns its number."""
    values = {
        "month": str(facts.month),
        "at_ms": now_ms,
        "who": facts.who[:64],
        "folder": facts.folder,
        "status": facts.status,
        "result_hash": facts.result_hash,
        "manifest": facts.manifest,
    }
    key = connection.execute(insert(run).values(values)).inserted_primary_key
    assert key is not None
    pinned = [{"run_id": key[0], "plant": path.parent.name, "name": path.name} for path in files]
    if pinned:
        connection.execute(insert(run_file), pinned)
    return int(key[0])


def list_runs(connection: Connection, month: Month | None = None) -> list[dict[str, Any]]:
    """Runs, oldest first; of one month where given."""
    names = ("id", "month", "at_ms", "who", "folder", "status", "result_hash")
    query = select(*(run.c[name] for name in names)).order_by(run.c.id)
    if month is not None:
        query = query.where(run.c.month == str(month))
    return [{name: getattr(row, name) for name in names} for row in connection.execute(query)]
