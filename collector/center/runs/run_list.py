# SPDX-License-Identifier: GPL-3.0-or-later
"""Settlement runs as the store lists them: what was settled, from which day files, by whom, on which rulebook.

A run keeps the very folder it was computed from, its day files as links to the lake's immutable ones, and the rulebook
it was priced with. So it can be repeated at any time with `collector settle`, whatever is received, resealed, imported
or decided afterwards.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, insert, select, update

from collector.base.errors import StoreError
from collector.base.text import tr
from collector.center.db.tables_inputs import run, run_file
from collector.model.interval import Month

TRIAL: Final = "trial"
WHAT_IF: Final = "what_if"
CORRECTION: Final = "correction"
RUN_KINDS: Final = (TRIAL, WHAT_IF, CORRECTION)


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run as it is listed. `base_run_id`: the run it is a variant of; `folder`: its name under runs/."""

    id: int
    month: str
    at_ms: int
    who: str
    kind: str
    base_run_id: int | None
    status: str
    result_hash: str
    rulebook_hash: str
    note: str
    folder: str


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is kept of a run beside its folder. `manifest`: JSON text of the statement's manifest.

    `page_files`: JSON text, the SHA-256 of each file beside the statement that pages read.
    """

    month: Month
    who: str
    folder: str
    status: str
    result_hash: str
    manifest: str
    rulebook_hash: str
    kind: str = TRIAL
    base_run_id: int | None = None
    note: str = ""
    page_files: str | None = None


_COLUMNS: Final = tuple(run.c[name] for name in RunRow.__dataclass_fields__)


def runs_folder(directory: Path) -> Path:
    """Where the runs of a state directory are."""
    return directory / "runs"


def link_records(folder: Path, files: Iterable[Path]) -> None:
    """Put day files of the lake under records/ of a settlement folder, without a second copy of their bytes."""
    records = folder / "records"
    records.mkdir(parents=True, exist_ok=True)
    for source in files:
        link_file(source, records / record_name(source.parent.name, source.name))


def record_name(plant: str, name: str) -> str:
    """The name of a day file inside a settlement folder: its plant's before its own."""
    return f"{plant}-{name}"


def link_file(source: Path, target: Path) -> None:
    """A second name for a file that never changes; its bytes again where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)


def record_run(connection: Connection, facts: RunFacts, files: Sequence[Path], *, now_ms: int) -> int:
    """List a run with the day files it pinned; returns its number."""
    values = asdict(facts) | {"month": str(facts.month), "who": facts.who[:64], "note": facts.note[:1000]}
    key = connection.execute(insert(run).values(values | {"at_ms": now_ms})).inserted_primary_key
    assert key is not None
    pinned = [{"run_id": key[0], "plant": path.parent.name, "name": path.name} for path in files]
    if pinned:
        connection.execute(insert(run_file), pinned)
    return int(key[0])


def run_by_id(connection: Connection, run_id: int) -> RunRow:
    """A run.

    Raises:
        StoreError: there is none with this number.
    """
    row = connection.execute(select(*_COLUMNS).where(run.c.id == run_id)).mappings().one_or_none()
    if row is None:
        raise StoreError(
            tr("there is no run with this number; `collector center runs` lists them"),
            subject=tr("run {number}", number=run_id),
        )
    return RunRow(**row)


def list_runs(connection: Connection, month: Month | None = None) -> list[RunRow]:
    """Runs, oldest first; of one month where given."""
    query = select(*_COLUMNS).order_by(run.c.id)
    if month is not None:
        query = query.where(run.c.month == str(month))
    return [RunRow(**row) for row in connection.execute(query).mappings()]


def latest_run(connection: Connection, month: Month, *, kinds: Sequence[str] = (TRIAL, CORRECTION)) -> RunRow | None:
    """The newest run of a month of the given kinds; None where there is none."""
    where = (run.c.month == str(month)) & run.c.kind.in_(kinds)
    row = connection.execute(select(*_COLUMNS).where(where).order_by(run.c.id.desc()).limit(1)).mappings().one_or_none()
    return None if row is None else RunRow(**row)


def pinned_files(connection: Connection, run_id: int) -> list[tuple[str, str]]:
    """Plant and name of each day file a run pinned."""
    query = select(run_file.c.plant, run_file.c.name).where(run_file.c.run_id == run_id)
    return [(r.plant, r.name) for r in connection.execute(query.order_by(run_file.c.plant, run_file.c.name))]


def manifest_text(connection: Connection, run_id: int) -> str:
    """The manifest of a run's statement, JSON."""
    found: Any = connection.execute(select(run.c.manifest).where(run.c.id == run_id)).scalar_one()
    return str(found)


def page_hashes(connection: Connection, run_id: int) -> dict[str, str]:
    """SHA-256 by name of the files beside a run's statement that pages read; empty where none were written down."""
    text = connection.execute(select(run.c.page_files).where(run.c.id == run_id)).scalar_one()
    return {} if text is None else json.loads(text)


def note_page_hashes(connection: Connection, run_id: int, hashes: Mapping[str, str]) -> None:
    """Write down what these files hash to now that they were made again."""
    connection.execute(update(run).where(run.c.id == run_id).values(page_files=json.dumps(dict(hashes))))
