# SPDX-License-Identifier: GPL-3.0-or-later
"""Backup, restore, check, and what comes back out of quarantine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update

from collector.base.errors import StoreError
from collector.center.db import tables_receive
from collector.center.db.store import CenterStore
from collector.center.lake.seal import count_records, list_files, seal_month_of
from collector.center.operate.backup import create_backup, restore_backup
from collector.center.operate.integrity import check_store
from collector.center.receive.journal import readmit
from collector.center.receive.quarantine import list_quarantine
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
        assert f"{one}: not as it was sealed" in text
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
