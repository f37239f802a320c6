# SPDX-License-Identifier: GPL-3.0-or-later
"""A run: a month settled from what the store holds now, its inputs pinned, its statement listed. Whole or not at all.

runs/<folder>/data/             the settlement folder: anybody can settle it with `collector settle`
              rulebook/         the rulebook it was priced with
              statement/        the statement folder
              segments.parquet  the segments by unit, for pages
              rows.msgpack      the statement's rows as typed values, for pages
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection

from collector.base.durable import flush_tree
from collector.base.errors import StoreError
from collector.base.text import tr
from collector.center.db.store import CenterStore
from collector.center.db.verified import check_hash
from collector.center.people import audit
from collector.center.people.access import Actor
from collector.center.runs.asking.handed_over import Errand
from collector.center.runs.asking.run_queue import AskedRun, Asking, RunUnderWay, ask
from collector.center.runs.data_policy import reach_of
from collector.center.runs.input_folder import PinnedFile, lay_out_folder, pin_month
from collector.center.runs.measuring.measure_days import MeasuredCells, MonthMeasuring
from collector.center.runs.run_list import (
    TRIAL,
    WHAT_IF,
    RunFacts,
    RunRow,
    finish_run,
    manifest_text,
    note_page_hashes,
    pinned_files,
    record_name,
    record_place,
    runs_folder,
)
from collector.center.runs.run_rows import NAME as ROWS
from collector.center.runs.run_rows import UnitDispatch, write_run_rows
from collector.center.runs.segment_file import SegmentFile
from collector.model.interval import Month
from collector.report.folder import write_statement
from collector.report.words import Paper
from collector.settlement.rulebook.load import hash_of_files, load_rulebook, read_rulebook_files, rulebook_of
from collector.settlement.statement import Segments, Statement

DATA: Final = "data"
RULEBOOK: Final = "rulebook"
STATEMENT: Final = "statement"
SEGMENTS: Final = "segments.parquet"


SETTLING: Final = "settle"  # the verb of its errand
SEALING: Final = "sealing"
LAYING_OUT: Final = "laying_out"
WRITING: Final = "writing"


@dataclass(frozen=True)
class MadeRun:
    """A finished run: its row, its statement, and the cells that were measured for it."""

    row: RunRow
    statement: Statement
    progress: MeasuredCells


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
    """Settle a month; returns the finished run. `executor`: the place of measuring, as for `executors.open_executor`.

    Raises:
        Denied: the actor may not settle.
        StoreError: no register was imported.
        ConfigError: everything wrong in the inputs; only the run's row is left, with the reason.
        RuleError: the rulebook has no answer for the month; only the run's row is left.
    """
    return ask_to_settle(
        store, month, rulebook=rulebook, actor=actor, kind=kind, note=note, base_run_id=base_run_id, executor=executor
    ).ended()


def ask_to_settle(
    store: CenterStore,
    month: Month,
    *,
    rulebook: Path,
    actor: Actor,
    kind: str = TRIAL,
    note: str = "",
    base_run_id: int | None = None,
    executor: str = "",
) -> AskedRun[MadeRun]:
    """Request a run, made of the store's content when it begins; nothing is begun yet.

    Raises:
        Denied: the actor may not settle.
    """

    made_of = [hash_of_files(read_rulebook_files(rulebook))]
    asking = Asking(month, actor, made_of, kind=kind, note=note, base_run_id=base_run_id)
    return ask(store, asking, settling(store, month, rulebook, executor=executor), Errand(SETTLING))


def settling(
    store: CenterStore, month: Month, rulebook: Path, *, executor: str = ""
) -> Callable[[RunUnderWay], MadeRun]:
    """The work of a run that settles a month from the store's content."""

    def work(run: RunUnderWay) -> MadeRun:
        run.tell(SEALING)
        files = read_rulebook_files(rulebook)
        reach = store.read(lambda connection: reach_of(connection, month, rulebook_of(files, str(rulebook))))
        pinned = pin_month(store, month, reach, tell=partial(run.tell, SEALING))

        def lay_out(data: Path) -> Mapping[str, str]:
            return store.read(lambda connection: lay_out_folder(connection, store, month, pinned, data))

        return make_run(store, run, lay_out, pinned, files, executor=executor)

    return work


def measure_month(store: CenterStore, month: Month, *, rulebook: Path, executor: str = "") -> int:
    """Measure the days of a month that are not measured yet, without a run; returns the number of cells.

    For a timer: a later closing then finds everything measured. Raises as `settle_month`.
    """
    with store.hold("measuring"):
        for left in runs_folder(store.directory).glob(".measuring-*"):  # left by a killed process
            shutil.rmtree(left)
        book = load_rulebook(rulebook)
        pinned = pin_month(store, month, store.read(lambda connection: reach_of(connection, month, book)))
        with _new_folder(store, f".measuring-{month}") as folder:
            hashes = store.read(lambda connection: lay_out_folder(connection, store, month, pinned, folder / DATA))
            measuring = MonthMeasuring(store, month, folder / DATA, book, pinned, hashes=hashes)
            count = len(measuring.measure(executor=executor))
            shutil.rmtree(folder)
    return count


def make_run(
    store: CenterStore,
    run: RunUnderWay,
    lay_out: Callable[[Path], Mapping[str, str]],
    pinned: Sequence[PinnedFile],
    rulebook: Mapping[str, bytes],
    *,
    executor: str = "",
    then: Callable[[Connection], None] | None = None,
    last_day_of: Callable[[Path], date] | None = None,
) -> MadeRun:
    """Settle in the run's folder, write the statement, list the run as done.

    `lay_out` writes the settlement folder and returns the hashes of its tables; `pinned`: its day files; `rulebook`:
    its files; `then`: runs in the transaction that lists the run. `last_day_of`: for a running month, whose run pins no
    day file, the last day before its cut, from the folder written.
    """
    folder = run.folder
    run.tell(LAYING_OUT)
    (folder / RULEBOOK).mkdir()
    for name, data in rulebook.items():
        (folder / RULEBOOK / name).write_bytes(data)
    book = rulebook_of(rulebook, str(folder / RULEBOOK))
    hashes = lay_out(folder / DATA)
    last_day = None if last_day_of is None else last_day_of(folder / DATA)
    measuring = MonthMeasuring(
        store, run.asking.month, folder / DATA, book, pinned, hashes=hashes, tell=run.tell, last_day=last_day
    )
    statement, progress = measuring.statement(executor=executor)
    run.tell(WRITING)
    paper = Paper(run.id, run.asking.kind == WHAT_IF)
    manifest, page_files = _write(statement, measuring.dispatch(), folder, paper)
    facts = RunFacts(
        status=statement.status.value,
        result_hash=statement.result_hash(),
        manifest=json.dumps(manifest, ensure_ascii=False, indent=1) + "\n",
        rulebook_hash=statement.rulebook_hash,
        page_files=json.dumps(page_files),
    )
    flush_tree(folder)  # on the disk before the run is listed
    files = [] if last_day else [store.lake / file.plant / file.name for file in pinned]

    def job(connection: Connection, now_ms: int) -> None:
        finish_run(connection, run.id, facts, files, now_ms=now_ms)
        detail = {
            "month": str(run.asking.month),
            "kind": run.asking.kind,
            "base_run": run.asking.base_run_id,
            "result_hash": facts.result_hash,
            "rulebook_hash": facts.rulebook_hash,
            "input_hash": manifest["input_hash"],
            "note": run.asking.note,
        }
        audit.append(
            connection,
            actor=run.asking.actor,
            action="run.settle",
            subject=f"run {run.id}",
            detail=detail,
            now_ms=now_ms,
        )
        if then is not None:
            then(connection)

    return MadeRun(run.finish(job), statement, progress)


@contextmanager
def _new_folder(store: CenterStore, name: str) -> Iterator[Path]:
    """A new folder under runs/; removed again after an error."""
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


def _write(
    statement: Statement, dispatch: Mapping[str, UnitDispatch], folder: Path, paper: Paper
) -> tuple[Mapping[str, Any], dict[str, str]]:
    """Write the statement folder and the files for pages beside it; segments are built once for both.

    Returns the manifest, and the SHA-256 of each file for pages.
    """
    with SegmentFile(folder / SEGMENTS) as file:
        noted = [partial(file.note, part) for part in statement.segments.parts()]
        once = replace(statement, segments=Segments(lambda _: iter(noted)))
        manifest = write_statement(once, folder / STATEMENT, paper=paper)
    rows_sha256 = write_run_rows(statement, dispatch, folder)
    with (folder / SEGMENTS).open("rb") as written:
        return manifest, {ROWS: rows_sha256, SEGMENTS: hashlib.file_digest(written, "sha256").hexdigest()}


# ---- what a run pinned, read again ---------------------------------------------------------------------------------


def read_pinned_rulebook(folder: Path, sha256: str) -> dict[str, bytes]:
    """The files of a rulebook that must hash to `sha256`.

    Raises:
        Altered: it is another one, or none.
    """
    files = read_rulebook_files(folder)
    check_hash(folder, sha256, hash_of_files(files))
    return files


def pinned_of(store: CenterStore, row: RunRow) -> tuple[PinnedFile, ...]:
    """The day files of a run in its folder, with the hashes its manifest names."""
    hashes = manifest_of_run(store, row.id)["inputs"]
    found = []
    for plant, name in store.read(lambda connection: pinned_files(connection, row.id)):
        place = record_place(store, row.folder, plant, name)
        found.append(PinnedFile(plant, name[:10], name, place, hashes[f"records/{record_name(plant, name)}"]))
    return tuple(sorted(found))


def manifest_of_run(store: CenterStore, run_id: int) -> dict[str, Any]:
    """The manifest of a run's statement in the store."""
    found: dict[str, Any] = json.loads(store.read(lambda connection: manifest_text(connection, run_id)))
    return found


def pinned_tables(manifest: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 by name of the register and the tables of a run, without its day files."""
    return {name: sha256 for name, sha256 in manifest["inputs"].items() if not name.startswith("records/")}


def make_pages_again(store: CenterStore, row: RunRow) -> None:
    """Settle a run's pinned folder once more, to make its files for pages again: rows.msgpack and segments.parquet.

    Raises:
        Altered: a pinned input was changed.
        StoreError: the result is not the run's statement; its folder is left as it is.
    """
    folder, manifest = runs_folder(store.directory) / row.folder, manifest_of_run(store, row.id)
    if not (folder / DATA).is_dir():
        raise StoreError(
            tr("its folder is not whole: there is no data/ to make its rows from"),
            subject=tr("run {number}", number=row.id),
        )
    book = rulebook_of(read_pinned_rulebook(folder / RULEBOOK, row.rulebook_hash), str(folder / RULEBOOK))
    hashes, pinned = pinned_tables(manifest), pinned_of(store, row)
    with _new_folder(store, f".again-{row.id}") as work:
        measuring = MonthMeasuring(store, Month.parse(row.month), folder / DATA, book, pinned, hashes=hashes)
        statement, _ = measuring.statement()
        paper = Paper(row.id, row.kind == WHAT_IF)
        written, page_files = _write(statement, measuring.dispatch(), work, paper)
        expected, found = (
            {"result": each["result_hash"]} | {n: h for n, h in each["files"].items() if n.endswith(".csv")}
            for each in (manifest, written)
        )
        wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        if wrong or written["result_hash"] != row.result_hash:
            told = ", ".join(f"{n}: expected {expected.get(n)}, found {found.get(n)}" for n in wrong or ["result"])
            raise StoreError(
                tr(
                    "its rows can't be made again: settling what it pinned gives another statement ({told}). "
                    "Its statement/ stands, checked by its manifest; the program it was settled with, "
                    "collector {version}, makes the rows, or put {rows} and {segments} back from a backup",
                    told=told,
                    version=manifest["versions"]["collector"],
                    rows=ROWS,
                    segments=SEGMENTS,
                ),
                subject=tr("run {number}", number=row.id),
            )
        for name in page_files:
            shutil.copymode(folder / DATA / "register.toml", work / name)  # the folder of a disclosed run is read-only
            (work / name).replace(folder / name)
        shutil.rmtree(work)
    store.write(lambda connection: note_page_hashes(connection, row.id, page_files)).result()
