# SPDX-License-Identifier: GPL-3.0-or-later
"""Settlement runs as the store lists them: what was settled, from which day files, by whom, on which rulebook.

A run that was made keeps the very folder it was computed from, its day files as links to the lake's immutable ones, and
the rulebook it was priced with. So it can be repeated at any time with `collector settle`, whatever is received,
resealed, imported or decided afterwards.

Its row is there from the moment it is asked for (`asking` makes the run). Whoever reads a statement takes runs that are
done; only `list_asked` and `asked_run` give the others too.
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
    """Why a run of a kind in NEVER_DISCLOSED is never more than looked at."""
    if kind == RUNNING:
        return tr("is of a month that was still running: it is never final")
    return tr("is a what-if run: it shows an effect and settles nothing")


class RunState(StrEnum):
    """What became of an asking. Interrupted: the process that was to make the run ended before it did.

    Expired: it was done, nobody disclosed it in its days, and but for its row it is gone (`keeping.expired_runs`).
    """

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    EXPIRED = "expired"


class Expired(Missing):
    """The run was there: only its row is left."""


OPEN: Final = (RunState.QUEUED, RunState.RUNNING)


# Percent of the time of a run of 1 000 units of which no day was measured before. It only shares out the time on
# pages: a run that finds its days measured passes by the large steps, and its end comes sooner than was said.
_TIME_OF: Final[Mapping[str, int]] = {
    "sealing": 10, "laying_out": 5, "reading": 30, "measuring": 45, "closing": 2, "writing": 8,
}  # fmt: skip
_TOO_EARLY: Final = Fraction(1, 50)  # to say from so little how long the rest takes


@dataclass(frozen=True, slots=True)
class RunProgress:
    """How far a run is: the step it is at, and so many parts of it done of so many; 0 of 0 where it has no parts."""

    doing: str
    done: int
    of: int

    @property
    def share(self) -> Fraction:
        """About how much of the whole run is done, 0..1."""
        names = list(_TIME_OF)
        if self.doing not in names:
            return Fraction(0)
        before = sum(_TIME_OF[name] for name in names[: names.index(self.doing)])
        return (before + _TIME_OF[self.doing] * Fraction(min(self.done, self.of), self.of or 1)) / 100


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run as it is listed. `base_run_id`: the run it is a variant of; `folder`: its name under runs/.

    `status`, the hashes and `folder` are empty where it was never done. `at_ms`: when it was done, or else asked for.
    `progress`: while it is running. `error`, `problems`: why it failed; each problem of the inputs is one.
    `disclosed`: a month stood on it at some time, so that it is no trial any more.
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
        """Its kind as people call it: `disclosed` where a month stood on it, whatever it was made as."""
        return DISCLOSED if self.disclosed else self.kind

    @property
    def is_open(self) -> bool:
        """Whether it is still to be made, or being made."""
        return self.state in OPEN

    def left_ms(self, now_ms: int) -> int | None:
        """About how long it will still take, by what it took so far; None where that can't be said."""
        if self.progress is None or self.began_ms is None:
            return None
        taken_ms, share = now_ms - self.began_ms, self.progress.share
        return round(taken_ms * (1 - share) / share) if taken_ms > 0 and share >= _TOO_EARLY else None

    @property
    def why(self) -> str:
        """Why it failed, every problem in a line of its own; or since when it is gone, and what to do."""
        if self.state is RunState.EXPIRED:
            day = local_day(self.expired_ms or 0).isoformat()
            return tr("expired on {day}: its hashes are kept, settle again to see it", day=day)
        return join("\n", (self.error, *("  " + problem.text for problem in self.problems)))


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is kept of a run that was made, beside its folder. `manifest`: JSON text of the statement's manifest.

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
    """List a run that is asked for; returns its number. `job`: what it is known by; `worker`: the lock of its maker."""
    values = {
        "month": str(month), "kind": kind, "who": who[:64], "note": note[:1000], "base_run_id": base_run_id,
        "at_ms": now_ms, "asked_ms": now_ms, "state": RunState.QUEUED, "job": job, "worker": worker,
        "folder": "", "status": "", "result_hash": "", "rulebook_hash": "", "manifest": "",
    }  # fmt: skip
    key = connection.execute(insert(run).values(values)).inserted_primary_key
    assert key is not None
    return int(key[0])


def begin_run(connection: Connection, run_id: int, folder: str, *, now_ms: int) -> None:
    """From queued to running, in a folder of this name.

    Raises:
        StoreError: it is not queued any more.
    """
    values = {"state": RunState.RUNNING, "began_ms": now_ms, "folder": folder}
    _change(connection, run_id, RunState.QUEUED, values)


def note_progress(connection: Connection, run_id: int, progress: RunProgress) -> None:
    """Write down how far a run is; nothing where it has ended."""
    values = {"doing": progress.doing, "parts_done": progress.done, "parts": progress.of}
    connection.execute(update(run).where((run.c.id == run_id) & (run.c.state == RunState.RUNNING)).values(values))


def finish_run(connection: Connection, run_id: int, facts: RunFacts, files: Sequence[Path], *, now_ms: int) -> None:
    """From running to done, with the day files it pinned.

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
    """To failed or interrupted, its folder being gone; returns whether it was open until now."""
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
        Expired: it was, and its files are gone.
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
    """A run in whatever state; None where nobody asked for one of this number."""
    row = connection.execute(select(*_COLUMNS).where(run.c.id == run_id)).mappings().one_or_none()
    return None if row is None else _row(row)


def list_runs(connection: Connection, month: Month | None = None) -> list[RunRow]:
    """Runs that have a statement, oldest first; of one month where given."""
    return [each for each in list_asked(connection, month) if each.state is RunState.DONE]


def list_asked(connection: Connection, month: Month | None = None) -> list[RunRow]:
    """Every run that was asked for, oldest first; of one month where given."""
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
    """SHA-256 by name of the files beside a run's statement that pages read; empty where none were written down."""
    text = connection.execute(select(run.c.page_files).where(run.c.id == run_id)).scalar_one()
    return {} if text is None else json.loads(text)


def note_page_hashes(connection: Connection, run_id: int, hashes: Mapping[str, str]) -> None:
    """Write down what these files hash to now that they were made again."""
    connection.execute(update(run).where(run.c.id == run_id).values(page_files=json.dumps(dict(hashes))))
