# SPDX-License-Identifier: GPL-3.0-or-later
"""A run: a month settled from what the store holds now, its inputs pinned, its outcome listed. Whole or not at all.

runs/<folder>/data/             the settlement folder: anybody can settle it with `collector settle`
              rulebook/         the rulebook it was priced with
              statement/        the statement folder
              segments.parquet  the segments by unit, for pages
              rows.msgpack      the statement's rows as typed values, for pages
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from collector.center import audit
from collector.center.access import Actor, Permission
from collector.center.month.laying_out import PinnedFile, lay_out_folder, pin_month
from collector.center.month.measured import MonthMeasuring, Progress
from collector.center.month.run_rows import UnitDispatch, write_run_rows
from collector.center.month.segment_file import SegmentFile
from collector.center.runs import TRIAL, RunFacts, RunRow, record_run, run_by_id, runs_folder
from collector.center.store import CenterStore
from collector.model.interval import Month
from collector.report.folder import write_statement
from collector.settlement.rulebook import load_rulebook
from collector.settlement.statement import Segments, Statement

DATA: Final = "data"
RULEBOOK: Final = "rulebook"
STATEMENT: Final = "statement"
SEGMENTS: Final = "segments.parquet"


@dataclass(frozen=True)
class Settled:
    """A run that was made: how it is listed, its statement, and what had to be measured for it."""

    row: RunRow
    statement: Statement
    progress: Progress


def settle_month(
    store: CenterStore,
    month: Month,
    *,
    rulebook: Path,
    actor: Actor,
    kind: str = TRIAL,
    note: str = "",
    base_run_id: int | None = None,
    executor: str = "",
) -> RunRow:
    """Settle a month and list the run. `executor`: where to measure, as `measured.open_executor` takes it.

    Raises:
        Denied: the actor may not settle.
        StoreError: no register was imported.
        ConfigError: everything wrong in the inputs; nothing is left of the run.
        RuleError: the rulebook has no answer for the month; nothing is left of the run.
    """
    return settle_run(
        store, month, rulebook=rulebook, actor=actor, kind=kind, note=note, base_run_id=base_run_id, executor=executor
    ).row


def settle_run(
    store: CenterStore,
    month: Month,
    *,
    rulebook: Path,
    actor: Actor,
    kind: str = TRIAL,
    note: str = "",
    base_run_id: int | None = None,
    executor: str = "",
) -> Settled:
    """`settle_month`, with the statement beside the row. Raises as it does."""
    actor.require(Permission.SETTLE)
    pinned = pin_month(store, month)

    def lay_out(data: Path) -> Mapping[str, str]:
        return store.read(lambda connection: lay_out_folder(connection, store, month, pinned, data))

    making = RunMaking(store, month, rulebook, actor, kind, note, base_run_id, executor)
    return making.make(lay_out, pinned)


def measure_month(store: CenterStore, month: Month, *, rulebook: Path, executor: str = "") -> int:
    """Measure the days of a month that are not measured yet, without a run; returns how many cells that were.

    For a timer: closing then finds everything there. Raises as `settle_month`.
    """
    pinned = pin_month(store, month)
    with _new_folder(store, f".measuring-{month}") as folder:
        hashes = store.read(lambda connection: lay_out_folder(connection, store, month, pinned, folder / DATA))
        book = load_rulebook(rulebook)
        measuring = MonthMeasuring(store, month, folder / DATA, book, pinned, hashes=hashes)
        count = len(measuring.measure(executor=executor))
        shutil.rmtree(folder)
    return count


@dataclass(frozen=True)
class RunMaking:
    """How a run is made once its folder can be laid out: settled, written, listed; or nothing of it is left."""

    store: CenterStore
    month: Month
    rulebook: Path
    actor: Actor
    kind: str
    note: str
    base_run_id: int | None
    executor: str = ""

    def make(self, lay_out: Callable[[Path], Mapping[str, str]], pinned: Sequence[PinnedFile]) -> Settled:
        """`lay_out` writes the settlement folder and returns the hashes of its tables; `pinned`: its day files."""
        with _new_folder(self.store, f"{self.month}-{self.store.clock.now_utc_ms()}") as folder:
            hashes = lay_out(folder / DATA)
            _copy_rulebook(self.rulebook, folder / RULEBOOK)
            book = load_rulebook(folder / RULEBOOK)
            measuring = MonthMeasuring(self.store, self.month, folder / DATA, book, pinned, hashes=hashes)
            statement, progress = measuring.statement(executor=self.executor)
            manifest = _write(statement, measuring.dispatch(), folder)
            run_id = self._list(statement, manifest, folder, pinned)
        return Settled(self.store.read(lambda connection: run_by_id(connection, run_id)), statement, progress)

    def _list(
        self, statement: Statement, manifest: Mapping[str, Any], folder: Path, pinned: Sequence[PinnedFile]
    ) -> int:
        """The run and its entry in the audit log, in one transaction."""
        facts = RunFacts(
            month=self.month,
            who=self.actor.name,
            folder=folder.name,
            status=statement.status.value,
            result_hash=statement.result_hash(),
            manifest=json.dumps(manifest, ensure_ascii=False, indent=1) + "\n",
            rulebook_hash=statement.rulebook_hash,
            kind=self.kind,
            base_run_id=self.base_run_id,
            note=self.note,
        )
        lake_files = [self.store.lake / file.plant / file.name for file in pinned]
        now_ms = self.store.clock.now_utc_ms()

        def job(connection: Any) -> int:
            run_id = record_run(connection, facts, lake_files, now_ms=now_ms)
            detail = {
                "month": str(self.month),
                "kind": self.kind,
                "base_run": self.base_run_id,
                "result_hash": facts.result_hash,
                "rulebook_hash": facts.rulebook_hash,
                "input_hash": manifest["input_hash"],
                "note": self.note,
            }
            subject = f"run {run_id}"
            audit.append(
                connection, actor=self.actor, action="run.settle", subject=subject, detail=detail, now_ms=now_ms
            )
            return run_id

        return self.store.write(job).result()


@contextmanager
def _new_folder(store: CenterStore, name: str) -> Iterator[Path]:
    """A folder of its own under runs/; gone again where anything is raised."""
    runs = runs_folder(store.directory)
    runs.mkdir(parents=True, exist_ok=True)
    folder, number = runs / name, 1
    while True:
        try:
            folder.mkdir()
            break
        except FileExistsError:  # two runs in the same millisecond
            number += 1
            folder = runs / f"{name}-{number}"
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _copy_rulebook(source: Path, target: Path) -> None:
    """The files of a rulebook, as they are now."""
    target.mkdir()
    for path in sorted(source.glob("*.toml")) if source.is_dir() else ():
        shutil.copyfile(path, target / path.name)


def _write(statement: Statement, dispatch: Mapping[str, UnitDispatch], folder: Path) -> Mapping[str, Any]:
    """The statement folder and what pages read beside it; segments are built once for both."""
    with SegmentFile(folder / SEGMENTS) as file:
        noted = [partial(file.note, part) for part in statement.segments.parts()]
        manifest = write_statement(replace(statement, segments=Segments(lambda _: iter(noted))), folder / STATEMENT)
    write_run_rows(statement, dispatch, folder)
    return manifest
