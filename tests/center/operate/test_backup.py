# SPDX-License-Identifier: GPL-3.0-or-later
"""Backup, restore, check, and what comes back out of quarantine."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import delete, select, update
from typer.testing import CliRunner

from collector.base.errors import StoreError
from collector.center.db import tables_receive
from collector.center.db.store import CenterStore
from collector.center.lake.seal import count_records, list_files, seal_month_of
from collector.center.month.books_integrity import check_months
from collector.center.operate.backup import create_backup, what_is_altered
from collector.center.operate.integrity import check_store
from collector.center.operate.restore import restore_backup
from collector.center.receive.journal import readmit
from collector.center.receive.quarantine import list_quarantine
from collector.center.runs.month_state import MonthStage
from collector.center.runs.run_statement import load_run_statement
from collector.cli.center.commands import app
from collector.model.interval import Month
from tests.center.center_batches import (
    EPOCH,
    NOON,
    FixedClock,
    deliver,
    minutes,
    new_signer,
    new_store,
    open_admission,
    payload_of,
)
from tests.center.made_month import on, step
from tests.center.runs.center_months import JUNE, settled
from tests.center.runs.kept_months import copy_state
from tests.size import in_turn

MARCH = Month(2026, 3)


def _filled(state: Path, database_url: str = "") -> None:
    with new_store(state, database_url=database_url) as store:
        deliver(store, [payload_of(n, minutes("U1", NOON + n * 43_200_000, 5)) for n in range(1, 7)])
        seal_month_of(store, MARCH)


def _assert_restored(store: CenterStore, files: list[str], store_id: str) -> None:
    assert store.store_id == store_id
    assert check_store(store) == []
    listed = store.read(lambda c: list_files(c, store.lake, MARCH.days))
    assert [p.name for p in listed] == files
    assert count_records(listed) == 30
    lacking = deliver(store, [payload_of(7, minutes("U1", NOON, 5))])  # the agent sends again what the copy lacks
    assert (lacking.committed, lacking.settled[0].through) == (1, 7)


def test_a_restored_store_has_everything_and_a_new_id(
    database_url: str, new_postgresql_url: Callable[[], str], tmp_path: Path
) -> None:
    _filled(tmp_path / "state", database_url)
    with new_store(tmp_path / "state", database_url=database_url) as store:
        old_id = store.store_id
        files = [p.name for p in store.read(lambda c: list_files(c, store.lake, MARCH.days))]
        assert create_backup(store, tmp_path / "backup") == len(files)
        deliver(store, [payload_of(7, minutes("U1", NOON, 5))])  # after the backup
    again = new_postgresql_url() if database_url else ""
    new_id = restore_backup(tmp_path / "backup", tmp_path / "again", clock=FixedClock(), database_url=again)
    assert new_id != old_id
    with new_store(tmp_path / "again", database_url=again) as store:
        _assert_restored(store, files, new_id)


def test_backup_and_restore_say_how_far_they_are(tmp_path: Path) -> None:
    _filled(tmp_path / "state")
    told: list[tuple[int, int]] = []

    def note(done: int, of: int) -> None:
        told.append((done, of))

    with new_store(tmp_path / "state") as store:
        create_backup(store, tmp_path / "backup", note)
    _assert_grows_to_its_end(told)
    size = sum(path.stat().st_size for path in (tmp_path / "backup").rglob("*") if path.is_file())
    manifest = (tmp_path / "backup" / "backup.json").stat().st_size
    told.clear()
    restore_backup(tmp_path / "backup", tmp_path / "again", clock=FixedClock(), note=note)
    _assert_grows_to_its_end(told)
    assert told[-1][1] == 2 * (size - manifest)  # every file is hashed, then copied


def _assert_grows_to_its_end(told: list[tuple[int, int]]) -> None:
    shares = [done / of for done, of in told]
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.5
    assert any(0.4 < share < 0.6 for share in shares)
    assert told[-1][0] == told[-1][1]


def test_a_backup_is_a_store_that_can_be_checked(database_url: str, tmp_path: Path) -> None:
    _filled(tmp_path / "state", database_url)
    with new_store(tmp_path / "state", database_url=database_url) as store:
        create_backup(store, tmp_path / "backup")
    with CenterStore.open(tmp_path / "backup", clock=FixedClock(), create=False) as copy:
        assert check_store(copy) == []
    restore_backup(tmp_path / "backup", tmp_path / "again", clock=FixedClock())


def test_a_backup_carries_a_store_from_one_database_to_the_other(postgresql_url: str, tmp_path: Path) -> None:
    _filled(tmp_path / "sqlite")
    with new_store(tmp_path / "sqlite") as store:
        files = [p.name for p in store.read(lambda c: list_files(c, store.lake, MARCH.days))]
        create_backup(store, tmp_path / "backup")
    clock = FixedClock()
    first = restore_backup(tmp_path / "backup", tmp_path / "there", clock=clock, database_url=postgresql_url)
    assert not list((tmp_path / "there").glob("*.sqlite"))
    with new_store(tmp_path / "there", database_url=postgresql_url) as store:
        _assert_restored(store, files, first)
        create_backup(store, tmp_path / "second")
    with pytest.raises(StoreError, match="never writes over a store"):
        restore_backup(tmp_path / "second", tmp_path / "elsewhere", clock=clock, database_url=postgresql_url)
    restore_backup(tmp_path / "second", tmp_path / "back", clock=clock)
    with new_store(tmp_path / "back") as store:
        assert count_records(seal_month_of(store, MARCH)) == 35
        assert check_store(store) == []


def test_a_restore_into_postgresql_killed_after_it_was_filled_is_finished_by_the_next(
    postgresql_url: str, tmp_path: Path
) -> None:
    """Killed where only the folder is left to be moved to its place."""
    state = tmp_path / "restored"
    with new_store(tmp_path / "state") as store:
        deliver(store, [payload_of(1, minutes("U1", NOON, 5))])
        seal_month_of(store, Month(2026, 3))
        create_backup(store, tmp_path / "backup")
    child = os.fork()
    if child == 0:

        def look(name: str, arguments: tuple[Any, ...]) -> None:
            if name == "os.rename" and Path(str(arguments[1])).parent == state:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(look)
        restore_backup(tmp_path / "backup", state, clock=FixedClock(), database_url=postgresql_url)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    found = restore_backup(tmp_path / "backup", state, clock=FixedClock(), database_url=postgresql_url)
    with CenterStore.open(state, clock=FixedClock(), database_url=postgresql_url) as store:
        assert store.store_id == found
        assert check_store(store) == []


def test_a_damaged_or_unfinished_backup_is_not_restored(tmp_path: Path) -> None:
    _filled(tmp_path / "state")
    with new_store(tmp_path / "state") as store:
        create_backup(store, tmp_path / "backup")
        with pytest.raises(StoreError, match="folder of its own"):
            create_backup(store, tmp_path / "backup")
    day_file = next((tmp_path / "backup" / "lake").rglob("*.parquet"))
    whole = day_file.read_bytes()
    day_file.write_bytes(whole[:-1] + b"\x00")
    with pytest.raises(StoreError, match="not as it was"):
        restore_backup(tmp_path / "backup", tmp_path / "again", clock=FixedClock())
    day_file.write_bytes(whole)
    with pytest.raises(StoreError, match="never writes over a store"):
        restore_backup(tmp_path / "backup", tmp_path / "state", clock=FixedClock())
    (tmp_path / "backup" / "backup.json").unlink()
    with pytest.raises(StoreError, match="no finished backup"):
        restore_backup(tmp_path / "backup", tmp_path / "again", clock=FixedClock())
    assert not (tmp_path / "again").exists()


def test_a_backup_that_points_outside_of_itself_is_not_restored(tmp_path: Path) -> None:
    (tmp_path / "backup").mkdir()
    files = '{"center.sqlite": "", "../../etc/passwd": ""}'
    (tmp_path / "backup" / "backup.json").write_text(f'{{"collector_backup": 1, "files": {files}}}', "utf-8")
    with pytest.raises(StoreError, match="outside of itself"):
        restore_backup(tmp_path / "backup", tmp_path / "again", clock=FixedClock())


def test_check_finds_what_was_damaged(database_url: str, tmp_path: Path) -> None:
    _filled(tmp_path, database_url)
    with new_store(tmp_path, database_url=database_url) as store:
        assert check_store(store) == []
        one, two, *_ = store.read(lambda c: list_files(c, store.lake, MARCH.days))
        one.write_bytes(one.read_bytes() + b"x")
        two.unlink()
        text = "\n".join(check_store(store))
        assert f"{one}: is not the file the store lists" in text
        assert f"{two}: listed and not there" in text
        store.write(lambda c: c.execute(update(tables_receive.stream).values(through=9))).result()
        store.write(lambda c: c.execute(delete(tables_receive.covered))).result()
        changed = update(tables_receive.payload).where(tables_receive.payload.c.sequence == 2)
        other = payload_of(3, minutes("U1", NOON, 1))
        store.write(lambda c: c.execute(changed.values(bytes=other))).result()
        text = "\n".join(check_store(store))
    assert f"stream P1/g1/{EPOCH:016x}: a stored batch is not covered" in text
    assert f"stream P1/g1/{EPOCH:016x}: through is 9, its ranges give 0" in text
    assert f"batch P1/g1/{EPOCH:016x}/2: its payload is another batch" in text


def test_what_a_missing_key_kept_out_is_readmitted_once_the_key_is_enrolled(tmp_path: Path) -> None:
    old, new = new_signer(tmp_path, "old"), new_signer(tmp_path, "new")
    payloads = [payload_of(n, minutes("U1", NOON + n * 600_000, 4), signer=new) for n in (1, 2)]
    with new_store(tmp_path / "state") as store:
        assert deliver(store, payloads, admission=open_admission(signer=old)).refused == 2
        today = open_admission(signer=new)
        result = store.write(lambda c: readmit(c, today.admit, now_ms=NOON)).result()
        assert (result.committed, result.records, result.settled[0].through) == (2, 8, 2)
        assert store.read(list_quarantine) == []
        assert deliver(store, payloads, admission=today).repeated == 2


def test_a_conflict_stays_in_quarantine(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        deliver(store, [payload_of(1, minutes("U1", NOON, 3)), payload_of(1, minutes("U1", NOON, 4))])
        store.write(lambda c: readmit(c, open_admission().admit, now_ms=NOON)).result()
        [row] = store.read(list_quarantine)
        assert (row["code"], row["sequence"], row["repeats"]) == ("epoch_conflict", 1, 0)
        assert store.read(lambda c: c.execute(select(tables_receive.batch.c.record_count)).scalar_one()) == 3


# ---- a disclosed run's own files -------------------------------------------------------------------------------------

DAY: Final = "2026-06-05"


@pytest.fixture(scope="module")
def disclosed(filled_june: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a store with a disclosed run, whose files are its own."""
    state = copy_state(filled_june, tmp_path_factory.mktemp("disclosed") / "state")
    with CenterStore.open(state, clock=FixedClock(on(10, month=7))) as store:
        step(store, MonthStage.DISCLOSED, settled(store).row.id, at=on(10, month=7), month=JUNE, reason="for a trial")
    return state


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    path.write_bytes(data)


@pytest.mark.parametrize(("damage", "when"), in_turn([flip, Path.unlink], ["before", "after"]))
def test_a_day_file_that_the_lake_lost_is_saved_from_the_run_that_was_disclosed(
    disclosed: Path, tmp_path: Path, damage: Callable[[Path], None], when: str
) -> None:
    shutil.copytree(disclosed, tmp_path / "state")
    with CenterStore.open(tmp_path / "state", clock=FixedClock(on(11, month=7))) as store:
        [of_lake] = ((store.directory / "lake") / "P1").glob(f"{DAY}-*")
        [own] = (store.directory / "runs").rglob(f"P1-{DAY}-*")
        good = own.read_bytes()
        if when == "before":
            damage(of_lake)
        create_backup(store, tmp_path / "backup")
        if when == "after":
            damage(of_lake)
        assert check_store(store)
        assert check_months(store) == [], "the run is whole whatever becomes of the lake"
    assert what_is_altered(tmp_path / "backup") == []
    restore_backup(tmp_path / "backup", tmp_path / "again", clock=FixedClock())
    with CenterStore.open(tmp_path / "again", clock=FixedClock(), create=False) as store:
        assert [*check_store(store), *check_months(store)] == []
        [own] = (store.directory / "runs").rglob(f"P1-{DAY}-*")
        assert (own.read_bytes(), own.stat().st_nlink, own.stat().st_mode & 0o777) == (good, 1, 0o400)
        assert load_run_statement(store, 1).lines


def test_what_nobody_has_any_more_is_saved_as_it_is_and_said(disclosed: Path, tmp_path: Path) -> None:
    shutil.copytree(disclosed, tmp_path / "state")
    with CenterStore.open(tmp_path / "state", clock=FixedClock(on(11, month=7))) as store:
        [of_lake] = ((store.directory / "lake") / "P1").glob(f"{DAY}-*")
        [own] = (store.directory / "runs").rglob(f"P1-{DAY}-*")
        flip(of_lake)
        flip(own)
    runner = CliRunner()
    made = runner.invoke(app, ["backup", str(tmp_path / "backup"), "--state", str(tmp_path / "state")])
    assert (made.exit_code, f"{of_lake}: is not the file the store lists" in made.stderr) == (1, True)
    again = runner.invoke(app, ["restore", str(tmp_path / "backup"), "--state", str(tmp_path / "again")])
    assert (again.exit_code, f"{of_lake}: is not the file the store lists" in again.stderr) == (1, True)
    with CenterStore.open(tmp_path / "again", clock=FixedClock(), create=False) as store:
        named = [each for each in [*check_store(store), *check_months(store)] if DAY in each]
        assert len(named) >= 2, "day file and run"
