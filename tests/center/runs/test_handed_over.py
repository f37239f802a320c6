# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs handed over by a process that makes none: they wait for anybody, are made once, and are as if made at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

from collector.base.errors import StoreError
from collector.center.db.store import CenterStore
from collector.center.operate.doctor import examine
from collector.center.operate.loops.settling_loop import make_next
from collector.center.people.access import Actor, Role
from collector.center.people.audit import list_entries
from collector.center.runs.asking.handed_over import FOLDER, take_next
from collector.center.runs.asking.lost_runs import mark_lost, runs_asked
from collector.center.runs.asking.run_queue import AskedRun, RunsInBackground
from collector.center.runs.run_list import RunRow
from collector.center.runs.settle_month import MadeRun, ask_to_settle
from collector.center.runs.variants.running_month import ask_to_settle_running
from collector.center.runs.variants.what_if import TableChange, ask_what_if
from collector.center.settings import CenterSettings
from collector.model.interval import DAY_MS
from collector.sheets.files import Delivered
from tests.center.center_batches import FixedClock
from tests.center.runs.center_months import JUNE, RULES, fill_store, new_store

CASE = Path(__file__).parents[2] / "golden" / "avc-600-mw-720-h" / "when"
OLGA = Actor("olga", Role.OPERATOR)
SETTINGS = CenterSettings.model_validate({"schema": 1, "center": {"rulebook_dir": str(RULES)}, "plant": []})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CenterStore]:
    with new_store(tmp_path / "state") as made:
        fill_store(made, CASE)
        yield made


def pass_ms(store: CenterStore, time_ms: int) -> None:
    """Let time pass."""
    assert isinstance(store.clock, FixedClock)
    store.clock.now_ms += time_ms


def handed_over(store: CenterStore) -> RunRow:
    """A run of June that somebody asked for at pages without settling."""
    pages = RunsInBackground(by_others=True)
    row = pages.start(lambda: ask_to_settle(store, JUNE, rulebook=RULES, actor=OLGA, note="by pages"))
    pages.close()
    return row


def test_a_run_that_was_handed_over_waits_whoever_looks_for_lost_runs(store: CenterStore) -> None:
    asked = handed_over(store)
    mark_lost(store)
    assert [(row.id, row.state) for row in runs_asked(store)] == [(asked.id, "queued")]
    assert handed_over(store).id == asked.id  # the same request finds the first
    assert make_next(store, SETTINGS)
    assert [(row.id, row.state, row.who) for row in runs_asked(store)] == [(asked.id, "done", "olga")]
    assert [e["who"] for e in store.read(lambda c: list_entries(c, subject=f"run {asked.id}", limit=5))] == ["olga"]
    assert not make_next(store, SETTINGS)
    assert list((store.directory / FOLDER).iterdir()) == []


def test_what_was_handed_over_gives_what_its_asker_would_have_made(store: CenterStore) -> None:
    base = ask_to_settle(store, JUNE, rulebook=RULES, actor=OLGA).carry_out().row
    name, data = "revenue.csv", (CASE / "revenue.csv").read_bytes()
    changes = [TableChange("revenue", Delivered(name, data.replace(b"1000000", b"2000000"), ""))]
    pass_ms(store, 200 * DAY_MS)
    askings: tuple[Callable[[], AskedRun[MadeRun]], ...] = (
        lambda: ask_to_settle_running(store, JUNE, rulebook=RULES, actor=OLGA, last=date(2026, 6, 20)),
        lambda: ask_what_if(store, base.id, changes=changes, actor=OLGA),
    )
    pages = RunsInBackground(by_others=True)
    for asking in askings:
        here = asking().carry_out().row
        there = pages.start(asking)
        assert make_next(store, SETTINGS)
        made = next(row for row in runs_asked(store) if row.id == there.id)
        assert (made.state, made.kind, made.result_hash) == ("done", here.kind, here.result_hash)
    pages.close()


def test_a_maker_that_dies_leaves_the_run_interrupted(store: CenterStore) -> None:
    asked = handed_over(store)
    taken = take_next(store)
    assert taken is not None
    assert take_next(store) is None  # nobody else gets the same
    taken.claim.close()  # as when its process ends
    mark_lost(store)
    assert [(row.id, row.state) for row in runs_asked(store)] == [(asked.id, "interrupted")]


def test_a_request_that_is_not_there_fails_the_run_and_says_where_it_was_looked_for(store: CenterStore) -> None:
    asked = handed_over(store)
    (store.directory / FOLDER / f"{asked.id}.json").unlink()
    with pytest.raises(StoreError, match="state_dir"):
        make_next(store, SETTINGS)
    (row,) = runs_asked(store)
    assert (row.state, "state_dir" in row.why) == ("failed", True)


def test_a_request_lies_in_the_state_directory_and_not_in_the_database(store: CenterStore) -> None:
    """Who can write the database alone has nothing computed in another's name."""
    asked = handed_over(store)
    folder = store.directory / FOLDER
    assert folder.stat().st_mode & 0o077 == 0
    said = json.loads((folder / f"{asked.id}.json").read_text("utf-8"))
    assert (said["verb"], said["actor"]["name"], said["actor"]["role"]) == ("settle", "olga", "operator")


def test_the_doctor_names_a_run_that_nobody_takes(store: CenterStore) -> None:
    asked = handed_over(store)
    assert not [each for each in examine(store, None) if "settles" in each.message]
    pass_ms(store, 180_000)
    (found,) = [each for each in examine(store, None) if "settles" in each.message]
    assert found.subject == f"run {asked.id}"
