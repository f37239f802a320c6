# SPDX-License-Identifier: GPL-3.0-or-later
"""A month of which nothing was received: everything imported from a settlement folder settles as the folder does."""

from __future__ import annotations

import hashlib
import random
from fractions import Fraction
from pathlib import Path

import pytest

from collector.center.db.store import CenterStore
from collector.center.inputs.imports import ALL_KINDS, RECORDS, Imported
from collector.center.inputs.service import deliver, take_back
from collector.center.operate.integrity import check_store
from collector.center.quality.plausibility import DataPolicy
from collector.center.quality.validation import validate_due
from collector.center.runs.run_list import pinned_files
from collector.settlement.rulebook.load import load_rulebook
from collector.settlement.settle import settle
from collector.sheets.files import Delivered
from collector.tables.folder import load_folder
from tests.center.runs.center_months import JUNE, LI, RULES, assert_as_offline, new_store, settled
from tests.settlement.made_folders import make_folder

GOLDEN = Path(__file__).resolve().parents[2] / "golden"


def import_file(store: CenterStore, kind: str, path: Path, *, replace: bool = False) -> Imported:
    data = path.read_bytes()
    delivered = Delivered(path.name, data, hashlib.sha256(data).hexdigest())
    return deliver(store, kind, delivered, actor=LI, replace=replace, rules=None)


def import_folder(store: CenterStore, folder: Path) -> list[Imported]:
    """Everything of a settlement folder; what was done with each file of records."""
    for kind in ALL_KINDS:
        path = folder / ("register.toml" if kind == "register" else f"{kind}.csv")
        if path.exists():
            import_file(store, kind, path)
    return [import_file(store, RECORDS, path) for path in sorted((folder / "records").iterdir())]


def offline_hash(folder: Path) -> str:
    """What `collector settle` of the folder comes to."""
    return settle(JUNE, load_folder(folder), load_rulebook(RULES)).result_hash()


@pytest.mark.parametrize("case", ["start-stop-gas-390-mw", "avc-600-mw-720-h"])
def test_a_golden_month_from_imported_records_alone_is_what_the_folder_gives(case: str, tmp_path: Path) -> None:
    folder = GOLDEN / case / "when"
    with new_store(tmp_path / "state") as store:
        import_folder(store, folder)
        run = settled(store)
        assert run.row.result_hash == offline_hash(folder)
        assert_as_offline(store, run, tmp_path)
        assert check_store(store) == []


@pytest.mark.parametrize("seed", [3000, 3342])
def test_a_month_made_at_random_from_imported_records_alone_is_what_the_folder_gives(seed: int, tmp_path: Path) -> None:
    make_folder(random.Random(seed), tmp_path / "folder")
    with new_store(tmp_path / "state") as store:
        import_folder(store, tmp_path / "folder")
        run = settled(store)
        assert run.row.result_hash == offline_hash(tmp_path / "folder")


def test_an_undone_import_leaves_the_runs_made_with_it_and_the_next_run_as_if_it_never_was(tmp_path: Path) -> None:
    folder = GOLDEN / "start-stop-gas-390-mw" / "when"
    with new_store(tmp_path / "state") as store:
        import_folder(store, folder)
        before = settled(store)
        files = store.read(lambda c: pinned_files(c, before.row.id))
        bytes_of = {name: (store.lake / plant / name).read_bytes() for plant, name in files}
        late = tmp_path / "late.csv"
        late.write_text("unit,time,on_grid\nU1,2026-06-05T22:30:00+08:00,1\n", "utf-8")
        number = import_file(store, RECORDS, late, replace=True).import_id
        assert number is not None
        with_it = settled(store)
        assert with_it.row.result_hash != before.row.result_hash
        take_back(store, number, actor=LI, reason="x", rules=None)
        again = settled(store)
        assert again.row.result_hash == before.row.result_hash
        assert_as_offline(store, with_it, tmp_path)  # its folder and files are as they were
        assert {name: (store.lake / plant / name).read_bytes() for plant, name in files} == bytes_of
        assert check_store(store) == []


def test_a_month_whose_every_record_was_taken_back_is_settled_as_one_without_records(tmp_path: Path) -> None:
    folder = GOLDEN / "start-stop-gas-390-mw" / "when"
    with new_store(tmp_path / "state") as store:
        (done,) = import_folder(store, folder)
        settled(store)
        number = done.import_id
        assert number is not None
        take_back(store, number, actor=LI, reason="x", rules=None)
        run = settled(store)
        assert_as_offline(store, run, tmp_path)
        days = validate_due(store, policy_of=lambda _register, _day: DataPolicy(60_000, Fraction(1)))
        assert days == len(store.read(lambda c: pinned_files(c, run.row.id)))
        assert check_store(store) == []
        import_file(store, RECORDS, folder / "records" / "records.csv")
        assert settled(store).row.result_hash == offline_hash(folder)
