# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that nothing refers to expire: their rows and hashes stay, their files go, the lake's files are let go of."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from collector.base.durable import folder_held
from collector.base.errors import StoreError
from collector.center.db.store import CenterStore
from collector.center.db.tables_inputs import run
from collector.center.lake.retention import drop_superseded_files
from collector.center.month.books_integrity import check_months
from collector.center.month.transitions import prepare_step
from collector.center.operate.backup import create_backup
from collector.center.operate.integrity import check_store
from collector.center.operate.restore import restore_backup
from collector.center.people.four_eyes import list_proposals
from collector.center.runs.keeping.expired_runs import columns_naming_a_run, expire_runs
from collector.center.runs.month_state import MonthStage
from collector.center.runs.run_list import Expired, RunRow, list_asked, pinned_files, runs_folder
from collector.center.runs.run_statement import load_run_statement
from collector.center.runs.stored_run import OpenedRun, open_run
from collector.center.runs.variants.what_if import what_if
from collector.model.interval import DAY_MS
from collector.model.record import UnitLayout
from tests.center.center_batches import FixedClock
from tests.center.made_month import DAYS, on
from tests.center.runs.center_months import JUNE, LI, settled
from tests.center.runs.kept_months import copy_state
from tests.center.runs.late_changes import NAMES, at, gateways_of, record

SETTLED = on(10, month=7)
LATER = SETTLED + 31 * DAY_MS


@pytest.fixture(scope="module")
def once(filled_june: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """June settled twice on the 10th of July, the second run as a variant of it too."""
    state = copy_state(filled_june, tmp_path_factory.mktemp("expiring") / "state")
    with CenterStore.open(state, clock=FixedClock(SETTLED)) as store:
        first, _ = settled(store), settled(store)
        what_if(store, first.row.id, actor=LI)
    return state


@pytest.fixture
def store(once: Path, tmp_path: Path) -> Iterator[CenterStore]:
    """A copy a month later: runs 1 and 2, trials of June; 3, a what-if of 1."""
    shutil.copytree(once, tmp_path / "state")
    with CenterStore.open(tmp_path / "state", clock=FixedClock(LATER)) as opened:
        yield opened


def states(store: CenterStore) -> dict[int, str]:
    return {row.id: str(row.state) for row in store.read(list_asked)}


def row_of(store: CenterStore, run_id: int) -> RunRow:
    [found] = [row for row in store.read(list_asked) if row.id == run_id]
    return found


def test_runs_expire_after_their_days_with_hashes_and_words_left(store: CenterStore) -> None:
    before = row_of(store, 2)
    store.clock = FixedClock(SETTLED + 30 * DAY_MS - 60_000)
    assert expire_runs(store, keep_days=30) == 0
    store.clock = FixedClock(LATER)
    assert expire_runs(store, keep_days=30) == 2
    assert states(store) == {1: "done", 2: "expired", 3: "expired"}  # 1 was measured against until now
    assert expire_runs(store, keep_days=30) == 1
    assert [path.name for path in runs_folder(store.directory).iterdir()] == []
    assert (row_of(store, 2).result_hash, row_of(store, 2).status) == (before.result_hash, before.status)
    assert all(store.read(lambda c, n=n: pinned_files(c, n)) == [] for n in (1, 2, 3))  # type: ignore[misc]
    for read in (open_run, load_run_statement):
        with pytest.raises(StoreError, match="expired on 2026-08-10: its hashes are kept, settle again to see it"):
            read(store, 2)
    assert (check_store(store), check_months(store)) == ([], [])
    assert settled(store).row.result_hash == before.result_hash


def test_what_a_step_a_proposal_or_a_variant_names_does_not_expire(store: CenterStore) -> None:
    prepare_step(store, JUNE, MonthStage.DISCLOSED, actor=LI, days=DAYS, run_id=2, reason="late, for a trial")
    assert store.read(lambda c: list_proposals(c, open_only=True))
    tried = what_if(store, 3, actor=LI)
    assert expire_runs(store, keep_days=30) == 0
    assert states(store) == {1: "done", 2: "done", 3: "done", tried.id: "done"}


def test_whatever_table_names_a_run_keeps_it() -> None:
    named = {column.table.name for column in columns_naming_a_run()}
    assert {"month_step", "review", "review_event"} <= named


def test_a_run_that_somebody_reads_does_not_expire(store: CenterStore) -> None:
    reading: OpenedRun | None = open_run(store, 2)
    assert expire_runs(store, keep_days=30) == 1  # run 3
    assert reading is not None
    assert reading.lines
    assert reading.statement_file("lines.csv")
    reading = None
    assert expire_runs(store, keep_days=30) == 2


def test_no_run_expires_while_a_backup_is_made(store: CenterStore, tmp_path: Path) -> None:
    with folder_held(runs_folder(store.directory)):
        assert expire_runs(store, keep_days=30) == 0
    expire_runs(store, keep_days=30)
    create_backup(store, tmp_path / "backup")
    restore_backup(tmp_path / "backup", tmp_path / "restored", clock=store.clock)
    with CenterStore.open(tmp_path / "restored", clock=store.clock) as restored:
        assert states(restored) == {1: "done", 2: "expired", 3: "expired"}
        assert (check_store(restored), check_months(restored)) == ([], [])


def test_a_day_file_that_only_expired_runs_had_is_let_go_of(store: CenterStore) -> None:
    gateways_of(store, sent=31)["P1"].send(
        [UnitLayout("U1", NAMES), UnitLayout("U2", NAMES)], [record("U1", at(7, 5), 1000), record("U2", at(7, 5), 1000)]
    )
    settled(store)
    files = len(list(((store.directory / "lake") / "P1").iterdir()))
    store.clock = FixedClock(LATER + 31 * DAY_MS)
    assert drop_superseded_files(store, keep_days=30) == 0
    while expire_runs(store, keep_days=30):
        pass
    assert set(states(store).values()) == {"expired"}
    assert drop_superseded_files(store, keep_days=30) > 0
    assert len(list(((store.directory / "lake") / "P1").iterdir())) < files
    assert (check_store(store), check_months(store)) == ([], [])


def test_a_folder_that_a_killed_round_left_is_removed_by_the_next(store: CenterStore) -> None:
    row = row_of(store, 2)
    expired = update(run).where(run.c.id == 2).values(state="expired", expired_ms=LATER)
    store.write(lambda c: c.execute(expired)).result()
    (runs_folder(store.directory) / row.folder / "statement" / "lines.csv").unlink()  # so far it came
    with pytest.raises(Expired):
        open_run(store, 2)
    expire_runs(store, keep_days=30)
    assert not (runs_folder(store.directory) / row.folder).exists()
    assert row_of(store, 2).folder == ""
