# SPDX-License-Identifier: GPL-3.0-or-later
"""A damaged day file is put right by two people, from the journal or a backup, and the log says so."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collector.base.errors import Denied, StoreError
from collector.center.db.store import CenterStore
from collector.center.lake.retention import drop_old_payloads
from collector.center.month.books_integrity import check_months
from collector.center.operate.backup import create_backup
from collector.center.operate.integrity import check_store
from collector.center.operate.repair import JOURNAL, approve_repair, propose_repair, refuse_repair
from collector.center.people import audit
from collector.center.people.access import Actor, Role
from collector.center.runs.keeping.own_files import own_files
from collector.center.runs.run_list import record_name
from collector.center.runs.run_statement import load_run_statement
from collector.center.runs.settle_month import settle_month
from collector.center.runs.stored_run import OpenedRun
from collector.model.interval import DAY_MS
from tests.center.center_batches import FixedClock
from tests.center.runs.center_months import JUNE, RULES, new_store, settled
from tests.center.runs.center_months import LI as AT_COMMAND_LINE
from tests.center.runs.kept_months import KeptMonth, copy_state
from tests.size import in_turn

LI, WANG = Actor("li", Role.OPERATOR), Actor("wang", Role.APPROVER)
DAY = "2026-06-05"


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.fixture(scope="module")
def backup(settled_june: KeptMonth, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of a settled month, to be copied."""
    folder = tmp_path_factory.mktemp("backup")
    with new_store(settled_june.copy_to(folder / "state")) as opened:
        create_backup(opened, folder / "backup")
    return folder / "backup"


@pytest.fixture
def store(settled_june: KeptMonth, backup: Path, tmp_path: Path) -> Iterator[CenterStore]:
    """A settled month, of which a backup was made."""
    copy_state(backup, tmp_path / "backup")
    with new_store(settled_june.copy_to(tmp_path / "state")) as opened:
        yield opened


def day_file(store: CenterStore) -> Path:
    [path] = ((store.directory / "lake") / "P1").glob(f"{DAY}-*.parquet")
    return path


def propose(store: CenterStore, source: str = JOURNAL) -> int:
    return propose_repair(store, "P1", DAY, source=source, reason="a disk was bad", actor=LI)


@pytest.mark.parametrize(("source", "damage"), in_turn(["journal", "backup"], [flip, Path.unlink]))
def test_the_very_file_comes_back_and_the_runs_that_pin_it_have_it_too(
    store: CenterStore, tmp_path: Path, source: str, damage: Callable[[Path], None]
) -> None:
    path = day_file(store)
    good = path.read_bytes()
    damage(path)
    assert check_store(store)
    done = approve_repair(
        store, propose(store, JOURNAL if source == "journal" else str(tmp_path / "backup")), actor=WANG
    )
    assert (path.read_bytes(), done.after) == (good, done.expected)
    assert [*check_store(store), *check_months(store)] == []
    [entry] = store.read(lambda c: audit.list_entries(c, limit=1))
    assert (entry["action"], entry["who"], entry["detail"]["expected"]) == ("repair.done", "wang", done.expected)
    assert settled(store).row.result_hash == store.read(lambda c: load_run_statement(store, 1)).result_hash  # noqa: ARG005


def test_a_run_with_files_of_its_own_gets_one_of_its_own_again(store: CenterStore, tmp_path: Path) -> None:
    own_files(store, 1)
    path = day_file(store)
    good = path.read_bytes()
    [own] = (store.directory / "runs").glob(f"*/data/records/{record_name('P1', path.name)}")
    own.chmod(0o600)
    flip(own)
    own.chmod(0o400)
    flip(path)
    approve_repair(store, propose(store, str(tmp_path / "backup")), actor=WANG)
    assert (path.read_bytes(), own.read_bytes()) == (good, good)
    assert (own.stat().st_nlink, own.stat().st_mode & 0o777) == (1, 0o400)
    flip(path)
    assert own.read_bytes() == good, "what becomes of the lake is nothing to it"


def test_nobody_repairs_alone_and_nothing_is_done_before_the_second_person(store: CenterStore) -> None:
    path = day_file(store)
    flip(path)
    bad, number = path.read_bytes(), propose(store)
    with pytest.raises(Denied):
        approve_repair(store, number, actor=LI)
    with pytest.raises(Denied, match="another person"):
        approve_repair(store, number, actor=Actor("li", Role.APPROVER))
    assert path.read_bytes() == bad
    refuse_repair(store, number, actor=WANG, note="ask first")
    with pytest.raises(StoreError, match="decided already"):
        approve_repair(store, number, actor=WANG)
    assert path.read_bytes() == bad


def test_what_can_not_be_repaired_so_is_not_approved(store: CenterStore, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nothing to repair"):
        propose(store)
    flip(day_file(store))
    assert isinstance(store.clock, FixedClock)
    store.clock.now_ms += 100 * DAY_MS
    drop_old_payloads(store, keep_days=62)
    number = propose(store)
    with pytest.raises(StoreError, match="name a backup"):
        approve_repair(store, number, actor=WANG)
    refuse_repair(store, number, actor=WANG, note="from the backup")
    flip(tmp_path / "backup" / "lake" / "P1" / day_file(store).name)
    with pytest.raises(StoreError, match="is not the file the store lists"):
        approve_repair(store, propose(store, str(tmp_path / "backup")), actor=WANG)


# ---- rows at use -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE run SET result_hash = 'x'",
        "UPDATE run SET manifest = replace(manifest, '2026', '2027')",
        "UPDATE run SET page_files = '{}'",
    ],
)
def test_a_run_whose_row_was_changed_is_not_read(store: CenterStore, statement: str) -> None:
    row = OpenedRun(store, settled(store).row).facts
    force(store, statement)
    with pytest.raises(StoreError, match="run 1: is not as this program wrote it"):
        load_run_statement(store, 1)
    assert row.id == 2


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE imported SET bytes = substr(bytes, 1, 100) WHERE kind = 'plan'",
        "UPDATE imported SET rows_sha256 = 'x' WHERE kind = 'plan'",
        "DELETE FROM imported WHERE kind = 'rates'",
        "UPDATE lake_file SET sha256 = 'x' WHERE day = '2026-06-05'",
    ],
)
def test_a_month_is_not_settled_from_rows_that_were_changed(store: CenterStore, statement: str) -> None:
    force(store, statement)
    if statement.startswith("DELETE"):
        assert any("imported" in each and "is gone" in each for each in check_store(store))
        return
    with pytest.raises(StoreError, match="is not as this program wrote it"):
        settle_month(store, JUNE, rulebook=RULES, actor=AT_COMMAND_LINE)


def force(store: CenterStore, statement: str) -> None:
    with sqlite3.connect(store.directory / "center.sqlite", isolation_level=None) as connection:
        connection.execute(statement)
    connection.close()
