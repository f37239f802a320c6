# SPDX-License-Identifier: GPL-3.0-or-later
"""A month settled from day files in an object store: the same bytes as from a folder, disclosed, packed, backed up."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.center.db.storage import lake_place
from collector.center.db.storage.lake_place import ObjectStoreFault
from collector.center.db.store import CenterStore
from collector.center.month.books_integrity import check_months
from collector.center.operate.backup import create_backup
from collector.center.operate.integrity import check_store
from collector.center.operate.restore import restore_backup
from collector.center.runs.keeping.own_files import own_files
from collector.center.runs.package import export_package
from collector.center.runs.settle_month import MadeRun, ask_to_settle
from collector.center.runs.stored_run import open_run
from collector.model.interval import DAY_MS
from tests.center.center_batches import NOON, FixedClock
from tests.center.object_store import FaultyWay, ObjectStore
from tests.center.runs.center_months import JUNE, LI, RULES, assert_as_offline, settled
from tests.center.runs.kept_months import KeptMonth
from tests.center.runs.late_changes import fill


@pytest.fixture
def bucket(object_store: ObjectStore) -> str:
    return object_store.new_bucket()


@pytest.fixture
def way(object_store: ObjectStore) -> Iterator[FaultyWay]:
    made = FaultyWay(object_store.port)
    yield made
    made.close()


@pytest.fixture
def store(object_store: ObjectStore, bucket: str, way: FaultyWay, tmp_path: Path) -> Iterator[CenterStore]:
    url = object_store.url(bucket, way.port)
    with CenterStore.open(tmp_path / "state", clock=FixedClock(NOON), lake_url=url) as made:
        fill(made)
        yield made


def statement_of(store: CenterStore, run: MadeRun) -> dict[str, bytes]:
    folder = store.directory / "runs" / run.row.folder / "statement"
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_statement_is_byte_for_byte_that_of_a_folder_and_disclosed_packed_and_restored_it_stays_so(
    store: CenterStore, object_store: ObjectStore, bucket: str, way: FaultyWay, settled_june: KeptMonth, tmp_path: Path
) -> None:
    of_a_folder = settled_june.state / "runs" / settled_june.run.row.folder / "statement"
    expected = {path.name: path.read_bytes() for path in of_a_folder.iterdir()}
    run = settled(store)
    assert statement_of(store, run) == expected
    assert not [line for line in way.requests if "list-type" in line]
    records = store.directory / "runs" / run.row.folder / "data" / "records"
    assert list(records.iterdir()) == []
    day_ms = JUNE.interval.start_ms + 4 * DAY_MS
    opened = open_run(store, run.row.id)
    shown = opened.records("U1", day_ms, day_ms + DAY_MS)
    assert shown

    export_package(store, run.row.id, tmp_path / "package.zip", actor=LI)
    with zipfile.ZipFile(tmp_path / "package.zip") as package:
        package.extractall(tmp_path / "package")
    packed = list((tmp_path / "package" / "data" / "records").iterdir())
    assert len(packed) == len([name for name in object_store.objects(bucket) if "/lake/" in name])
    sums = [line.split("  ") for line in (tmp_path / "package" / "SHA256SUMS").read_text("utf-8").splitlines()]
    for sha256, name in sums:
        assert hashlib.sha256((tmp_path / "package" / name).read_bytes()).hexdigest() == sha256

    create_backup(store, tmp_path / "backup")
    again = object_store.new_bucket()
    url = object_store.url(again)
    restore_backup(tmp_path / "backup", tmp_path / "restored", clock=FixedClock(NOON), lake_url=url)
    restore_backup(tmp_path / "backup", tmp_path / "to-folder", clock=FixedClock(NOON))
    assert not (tmp_path / "restored" / "lake").exists()
    for directory, lake_url in ((tmp_path / "restored", url), (tmp_path / "to-folder", "")):
        with CenterStore.open(directory, clock=FixedClock(NOON), lake_url=lake_url) as restored:
            assert [*check_store(restored), *check_months(restored)] == []
            assert open_run(restored, run.row.id).records("U1", day_ms, day_ms + DAY_MS) == shown
    moved = {name.replace(again, bucket): data for name, data in object_store.objects(again).items()}
    assert moved == object_store.objects(bucket)

    own_files(store, run.row.id)  # what a disclosure does first
    assert len(list(records.iterdir())) == len(packed)
    assert_as_offline(store, run, tmp_path)
    way.standing = "refused"  # whatever becomes of the lake
    assert open_run(store, run.row.id).records("U1", day_ms, day_ms + DAY_MS) == shown


def test_a_store_that_goes_away_under_a_settlement_leaves_no_run_and_the_next_is_as_if_nothing_was(
    store: CenterStore, way: FaultyWay, settled_june: KeptMonth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake_place, "FIRST_S", 0.01)
    asked = ask_to_settle(store, JUNE, rulebook=RULES, actor=LI)
    way.standing = "busy"
    with pytest.raises(ObjectStoreFault, match="What is sealed and settled stands"):
        asked.carry_out()
    assert list((store.directory / "runs").iterdir()) == []
    way.standing = ""
    way.faults.extend(["busy", "refused", "", "", "busy"])
    run = settled(store)
    assert run.row.result_hash == settled_june.run.row.result_hash
