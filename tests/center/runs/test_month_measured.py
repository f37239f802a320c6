# SPDX-License-Identifier: GPL-3.0-or-later
"""Closing from stored day results: the same bytes as settling the run's folder offline, whatever is in it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from collector.center.db.store import CenterStore
from collector.center.lake.retention import drop_unused_results
from collector.center.runs.stored_run import open_run
from collector.model.interval import DAY_MS
from tests.center.center_batches import FixedClock
from tests.center.runs.center_months import JUNE, assert_as_offline, fill_store, new_store, settled, take
from tests.center.runs.late_changes import PLAN, at, fill, measured_days
from tests.settlement.golden_months import CASES, GOLDEN, rules_of
from tests.settlement.made_folders import make_folder
from tests.size import sized


@pytest.mark.parametrize("case", CASES[:: sized(3, 1)])  # offline each at every commit
def test_a_golden_month_by_way_of_the_store_comes_out_byte_for_byte(case: str, tmp_path: Path) -> None:
    with new_store(tmp_path / "state") as store:
        fill_store(store, GOLDEN / case / "when")
        run = settled(store, rules=rules_of(case))
        assert_as_offline(store, run, tmp_path)
        statement = store.directory / "runs" / run.row.folder / "statement"
        for name in ("lines.csv", "plants.csv"):
            assert (statement / name).read_text("utf-8-sig") == (GOLDEN / case / "then" / name).read_text("utf-8"), name


@pytest.mark.parametrize(
    "seed", [*range(3000, 3000 + sized(3, 8)), 3342, 3430]
)  # the last two: lanes cut by each other
def test_a_month_made_at_random_is_the_same_from_the_store_and_offline(seed: int, tmp_path: Path) -> None:
    # Every second folder with units that change dispatching authority, plant or equipment in the month.
    make_folder(random.Random(seed), tmp_path / "folder", moves=bool(seed % 2))
    with new_store(tmp_path / "state") as store:
        fill_store(store, tmp_path / "folder")
        first = settled(store, JUNE)
        assert_as_offline(store, first, tmp_path)
        again = settled(store, JUNE)
        assert again.progress.measured == ()
        assert_as_offline(store, again, tmp_path)
        assert again.row.result_hash == first.row.result_hash


def test_a_month_is_settled_on_either_database(database_url: str, tmp_path: Path) -> None:
    with CenterStore.open(tmp_path / "state", clock=FixedClock(), database_url=database_url) as store:
        fill(store)
        first = settled(store)
        assert len(first.progress.measured) == 60
        assert_as_offline(store, first, tmp_path)
        take(store, "plan", PLAN + f"U1,{at(12, 6)},{at(12, 12)},333,\n", replace=True)
        again = settled(store)
        assert measured_days(again) == {("P1", 12)}
        assert_as_offline(store, again, tmp_path)
        assert open_run(store, again.row.id).lines_of("U1")
        store.clock.now_ms += 500 * DAY_MS  # type: ignore[attr-defined]
        assert drop_unused_results(store, keep_days=400) == 61
