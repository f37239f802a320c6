# SPDX-License-Identifier: GPL-3.0-or-later
"""Settlement runs in the store: month, day files, person and rulebook of each.

A finished run keeps the very folder it was computed from, its day files as links to the lake's immutable ones, and the
rulebook of its prices. So it can be repeated at any time with `collector settle`, whatever is received, resealed,
imported or decided afterwards.

Its row exists from the moment it is requested (`asking` makes the run). Functions that read a statement use finished
runs only; only `list_asked` and `asked_run` return the others too.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, exists, insert, select, update

from collector.base.errors import Missing, Problem, StoreError
from collector.base.text import Text, as_data, from_data, join, tr
from collector.center.db.seals.sealed_rows import require_rows
from collector.center.db.storage.lake_place import LakePath
from collector.center.db.store import CenterStore
from collector.center.db.tables_inputs import has_statement, run, run_file
from collector.center.db.tables_month import month_step
from collector.model.interval import Month, local_day

TRIAL: Final = "trial"
WHAT_IF: Final = "what_if"
CORRECTION: Final = "correction"
RUNNING: Final = "running"
RUN_KINDS: Final = (TRIAL, WHAT_IF, CORRECTION, RUNNING)
NEVER_DISCLOSED: Final = (WHAT_IF, RUNNING)
DISCLOSED: Final = "disclosed"


def why_never_disclosed(kind: str) -> Text:
    """The reason why a run of a kind in NEVER_DISCLOSED is never disclosed."""
    if kind == RUNNING:
        return tr("is of a month that was still running: it is never final")
    return tr("is a what-if run: it shows an effect and settles nothing")


class RunState(StrEnum):
    """The state of a requested run. Interrupted: its process ended before the run did.

    Expired: it was done, was not disclosed in time, and only its row is left (`keeping.expired_runs`).
    """

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    EXPIRED = "expired"


class Expired(Missing):
    """The run has expired: only its row is left."""


OPEN: Final = (RunState.QUEUED, RunState.RUNNING)


# Percent of the time of a run of 1 000 units without any measured day. Used only for the progress on pages: a run
# whose days are measured already skips the large steps, and ends earlier than was estimated.
_TIME_OF: Final[Mapping[str, int]] = {
    "sealing": 10, "laying_out": 5, "reading": 30, "measuring": 45, "closing": 2, "writing": 8,
}  # fmt: skip
_TOO_EARLY: Final = Fraction(1, 50)  # a smaller share is too little to estimate the time left


@dataclass(frozen=True, slots=True)
class RunProgress:
    """The progress of a run: its step, the parts of it done, and their number; 0 of 0 where it has no parts."""

    doing: str
    done: int
    of: int

    @property
    def share(self) -> Fraction:
        """The approximate part of the whole run that is done, 0..1."""
        names = list(_TIME_OF)
        if self.doing not in names:
            return Fraction(0)
        before = sum(_TIME_OF[name] for name in names[: names.index(self.doing)])
        return (before + _TIME_OF[self.doing] * Fraction(min(self.done, self.of), self.of or 1)) / 100


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run as listed. `base_run_id`: the run it is a variant of; `folder`: its name under runs/.

    `status`, the hashes and `folder` are empty where it was never done. `at_ms`: when it was done, or else requested.
    `progress`: while it is running. `error`, `problems`: the reason of a failure; each problem of the inputs is one.
    `disclosed`: a month was at some time based on it, so that it is no trial any more.
    """

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
    state: RunState
    asked_ms: int
    began_ms: int | None
    ended_ms: int | None
    expired_ms: int | None
    progress: RunProgress | None
    error: str
    problems: tuple[Problem, ...]
    disclosed: bool

    @property
    def shown_kind(self) -> str:
        """The kind shown to people: `disclosed` where a month was based on it, whatever kind it was made as."""
        return DISCLOSED if self.disclosed else self.kind

    @property
    def is_open(self) -> bool:
        """True if it is waiting or being made."""
        return self.state in OPEN

    def left_ms(self, now_ms: int) -> int | None:
        """The approximate time left, ms, from the time used so far; None where it can't be estimated."""
        if self.progress is None or self.began_ms is None:
            return None
        taken_ms, share = now_ms - self.began_ms, self.progress.share
        return round(taken_ms * (1 - share) / share) if taken_ms > 0 and share >= _TOO_EARLY else None

    @property
    def why(self) -> str:
        """The reason of a failure, every problem on a line of its own; or the day of expiry, and the remedy."""
        if self.state is RunState.EXPIRED:
            day = local_day(self.expired_ms or 0).isoformat()
            return tr("expired on {day}: its hashes are kept, settle again to see it", day=day)
        return join("\n", (self.error, *("  " + problem.text for problem in self.problems)))


@dataclass(frozen=True, slots=True)
class RunFacts:
    """The facts kept in the row of a finished run. `manifest`: JSON text of the statement's manifest.

    `page_files`: JSON text, the SHA-256 of each file beside the statement that pages read.
    """

    status: str
    result_hash: str
    manifest: str
    rulebook_hash: str
    page_files: str | None = None


_MADE: Final = ("state", "progress", "error", "problems", "disclosed")
_PLAIN: Final = tuple(name for name in RunRow.__dataclass_fields__ if name not in _MADE)
_COLUMNS: Final = (
    *(run.c[name] for name in _PLAIN),
    *(run.c.state, run.c.doing, run.c.parts_done, run.c.parts, run.c.error, run.c.problems),
    exists().where(month_step.c.run_id == run.c.id).label("disclosed"),
)


def runs_folder(directory: Path) -> Path:
    """The folder of the runs in a state directory."""
    return directory / "runs"


def link_records(folder: Path, files: Iterable[Path]) -> None:
    """Link day files of the lake under records/ of a settlement folder, without copying their bytes."""
    records = folder / "records"
    records.mkdir(parents=True, exist_ok=True)
    for source in files:
        link_file(source, records / record_name(source.parent.name, source.name))


def record_name(plant: str, name: str) -> str:
    """The name of a day file inside a settlement folder: the plant's id, then its own name."""
    return f"{plant}-{name}"


def record_place(store: CenterStore, folder: str, plant: str, name: str) -> LakePath:
    """Where a day file of a run is read: in the run's folder, or in the object store that the lake is in.

    A disclosed run has files of its own, whatever the lake is in. `folder`: the run's, under runs/.
    """
    inside = runs_folder(store.directory) / folder / "data" / "records" / record_name(plant, name)
    return store.lake / plant / name if store.lake_url and not inside.exists() else inside


def link_file(source: Path, target: Path) -> None:
    """A hard link to a file that never changes; a copy where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)


# ---- a run's way ---------------------------------------------------------------------------------------------------


def enter_run(
    connection: Connection,
    *,
    month: Month,
    kind: str,
    who: str,
    note: str,
    base_run_id: int | None,
    now_ms: int,
    job: str | None = None,
    worker: str | None = None,
) -> int:
    """Insert a requested run; returns its number. `job`: hash of the request; `worker`: the lock of its maker."""
    values = {
        "month": str(month), "kind": kind, "who": who[:64], "note": note[:1000], "base_run_id": base_run_id,
        "at_ms": now_ms, "asked_ms": now_ms, "state": RunState.QUEUED, "job": job, "worker": worker,
        "folder": "", "status": "", "result_hash": "", "rulebook_hash": "", "manifest": "",
    }  # fmt: skip
    key = connection.execute(insert(run).values(values)).inserted_primary_key
    assert key is not None
    return int(key[0])


def begin_run(connection: Connection, run_id: int, folder: str, *, now_ms: int) -> None:
    """Move a run from queued to running, in a folder of this name.

    Raises:
        StoreError: it is not queued any more.
    """
    values = {"state": RunState.RUNNING, "began_ms": now_ms, "folder": folder}
    _change(connection, run_id, RunState.QUEUED, values)


def note_progress(connection: Connection, run_id: int, progress: RunProgress) -> None:
    """Store the progress of a run; no effect where it has ended."""
    values = {"doing": progress.doing, "parts_done": progress.done, "parts": progress.of}
    connection.execute(update(run).where((run.c.id == run_id) & (run.c.state == RunState.RUNNING)).values(values))


def finish_run(connection: Connection, run_id: int, facts: RunFacts, files: Sequence[LakePath], *, now_ms: int) -> None:
    """Move a run from running to done, with the day files it pinned.

    Raises:
        StoreError: it is not running any more: it was taken for lost.
    """
    values = asdict(facts) | {"state": RunState.DONE, "at_ms": now_ms, "ended_ms": now_ms}
    _change(connection, run_id, RunState.RUNNING, values)
    pinned = [{"run_id": run_id, "plant": path.parent.name, "name": path.name} for path in files]
    if pinned:
        connection.execute(insert(run_file), pinned)


def fail_run(
    connection: Connection,
    run_id: int,
    state: RunState,
    *,
    now_ms: int,
    error: str = "",
    problems: Iterable[Problem] = (),
) -> bool:
    """Move a run to failed or interrupted, after its folder was removed; returns whether it was open until now."""
    listed = [[p.file, p.row, p.key, as_data(p.message)] for p in problems]
    values = {"state": state, "ended_ms": now_ms, "folder": ""}
    values["error"] = json.dumps(as_data(error), ensure_ascii=False) if error else None
    values["problems"] = json.dumps(listed, ensure_ascii=False) if listed else None
    return connection.execute(update(run).where((run.c.id == run_id) & is_open).values(values)).rowcount > 0


is_open: Final = run.c.state.in_(OPEN)


def _change(connection: Connection, run_id: int, before: RunState, values: Mapping[str, Any]) -> None:
    where = (run.c.id == run_id) & (run.c.state == before)
    if not connection.execute(update(run).where(where).values(values)).rowcount:
        raise StoreError(
            tr("is not {before} any more: it was taken for interrupted", before=before),
            subject=tr("run {number}", number=run_id),
        )


# ---- runs that are there -------------------------------------------------------------------------------------------


def run_by_id(connection: Connection, run_id: int) -> RunRow:
    """A run that has a statement.

    Raises:
        StoreError: there is none with this number, or it is not done.
        Expired: it had one, and its files are removed.
    """
    found = asked_run(connection, run_id)
    if found is not None:
        require_rows(connection, run, [(run_id,)])
    if found is None:
        raise StoreError(
            tr("there is no run with this number; `collector center runs` lists them"),
            subject=tr("run {number}", number=run_id),
        )
    if found.state is RunState.EXPIRED:
        raise Expired(found.why, subject=tr("run {number}", number=run_id))
    if found.state is not RunState.DONE:
        raise StoreError(
            tr("has no statement, it is {state}", state=found.state), subject=tr("run {number}", number=run_id)
        )
    return found


def asked_run(connection: Connection, run_id: int) -> RunRow | None:
    """A run in any state; None where there is none of this number."""
    row = connection.execute(select(*_COLUMNS).where(run.c.id == run_id)).mappings().one_or_none()
    return None if row is None else _row(row)


def list_runs(connection: Connection, month: Month | None = None) -> list[RunRow]:
    """Runs that have a statement, oldest first; of one month where given."""
    return [each for each in list_asked(connection, month) if each.state is RunState.DONE]


def list_asked(connection: Connection, month: Month | None = None) -> list[RunRow]:
    """Every requested run, oldest first; of one month where given."""
    query = select(*_COLUMNS).order_by(run.c.id)
    if month is not None:
        query = query.where(run.c.month == str(month))
    return [_row(row) for row in connection.execute(query).mappings()]


def latest_run(connection: Connection, month: Month, *, kinds: Sequence[str] = (TRIAL, CORRECTION)) -> RunRow | None:
    """The newest run of a month of the given kinds that has a statement; None where there is none."""
    where = (run.c.month == str(month)) & run.c.kind.in_(kinds) & has_statement
    row = connection.execute(select(*_COLUMNS).where(where).order_by(run.c.id.desc()).limit(1)).mappings().one_or_none()
    return None if row is None else _row(row)


def _row(row: Mapping[Any, Any]) -> RunRow:
    state = RunState(row["state"])
    progress = None
    if state is RunState.RUNNING and row["doing"] is not None:
        progress = RunProgress(row["doing"], row["parts_done"], row["parts"])
    return RunRow(
        **{name: row[name] for name in _PLAIN},
        state=state,
        progress=progress,
        error=from_data(json.loads(row["error"])) if row["error"] else "",
        problems=tuple(
            Problem(file, line, key, from_data(message))
            for file, line, key, message in json.loads(row["problems"] or "[]")
        ),
        disclosed=bool(row["disclosed"]),
    )


def pinned_files(connection: Connection, run_id: int) -> list[tuple[str, str]]:
    """Plant and name of each day file a run pinned."""
    query = select(run_file.c.plant, run_file.c.name).where(run_file.c.run_id == run_id)
    return [(r.plant, r.name) for r in connection.execute(query.order_by(run_file.c.plant, run_file.c.name))]


def manifest_text(connection: Connection, run_id: int) -> str:
    """The manifest of a run's statement, JSON."""
    found: Any = connection.execute(select(run.c.manifest).where(run.c.id == run_id)).scalar_one()
    return str(found)


def page_hashes(connection: Connection, run_id: int) -> dict[str, str]:
    """SHA-256 by name of the files beside a run's statement that pages read; empty where none were stored."""
    text = connection.execute(select(run.c.page_files).where(run.c.id == run_id)).scalar_one()
    return {} if text is None else json.loads(text)


def note_page_hashes(connection: Connection, run_id: int, hashes: Mapping[str, str]) -> None:
    """Store the hashes of files that were made again."""
    connection.execute(update(run).where(run.c.id == run_id).values(page_files=json.dumps(dict(hashes))))
