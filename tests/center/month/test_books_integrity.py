# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody with the store's files could change is found: statements, filings, steps, schemes, the chain."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.base.errors import StoreError
from collector.center.db.store import CenterStore
from collector.center.month.books_integrity import check_months
from collector.center.people.access import Actor, Role
from collector.center.runs.month_state import MonthStage, all_steps, month_state, visible_run
from collector.model.interval import Month
from tests.center.center_batches import FixedClock, new_store
from tests.center.made_month import FIRST, REVENUE, SECOND, add_run, on, step, take_through


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CenterStore]:
    with new_store(tmp_path / "state", FixedClock(on(1))) as opened:
        take_through(opened, add_run(opened))
        yield opened


def force(store: CenterStore, statement: str) -> None:
    """Change what the triggers would refuse, as a person with a database tool could."""
    with sqlite3.connect(store.directory / "center.sqlite", isolation_level=None) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f'DROP TRIGGER "{name}"')
        connection.execute(statement)
    connection.close()


def test_a_month_that_nobody_touched_is_well(store: CenterStore) -> None:
    assert check_months(store) == []
    step(store, MonthStage.CORRECTION, at=on(3, month=7), reason="x")
    days = (on(8, month=7), on(17, month=7), on(20, month=7), on(24, month=7))
    take_through(store, add_run(store, SECOND, kind="correction"), at=days)
    assert check_months(store) == []


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE filing SET bytes = x'00' WHERE id = 2", "filing 2: its bytes"),
        (
            "UPDATE month_step SET result_hash = 'x' WHERE number = 2",
            "steps of 2026-05: month_step 2: is not as this program",
        ),
        ("UPDATE scheme SET net_yuan = '1.00' WHERE plant = 'P1'", "does not sum to zero"),
        ("UPDATE scheme SET counterparty = 'x' WHERE plant = 'P1'", "is not that of run 1"),
        ("UPDATE run SET manifest = '{}'", "run 1: is not as this program wrote it"),
        ("UPDATE audit SET who = 'x' WHERE sequence = 3", "audit entry 3: altered"),
        ("DELETE FROM audit WHERE sequence = 3", "audit entry 4: follows 2"),
    ],
)
def test_what_was_changed_in_the_database_is_found(store: CenterStore, statement: str, says: str) -> None:
    force(store, statement)
    found = check_months(store)
    assert found
    assert any(re.search(says, each) for each in found), found


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE month_step SET state = 'trial', run_id = 2 WHERE number = (SELECT max(number) FROM month_step)",
        "INSERT INTO month_step SELECT id + 9, month, number + 9, edition, 'published', 2, result_hash, at_ms, "
        "prepared_by, approved_by, proposal_id, reason, document FROM month_step WHERE number = 1",
    ],
)
def test_no_step_that_something_else_wrote_says_which_run_a_plant_sees(store: CenterStore, statement: str) -> None:
    add_run(store, FIRST, REVENUE)
    force(store, statement)
    for look in (month_state, all_steps, lambda c, m: visible_run(c, m, Actor("p", Role.PLANT, "P1"))):
        with pytest.raises(StoreError, match="is not as this program wrote it"):
            store.read(lambda c, look=look: look(c, Month(2026, 5)))  # type: ignore[misc]
    assert any("steps of 2026-05: month_step" in each for each in check_months(store))


@pytest.mark.parametrize("name", ["statement/lines.csv", "statement/manifest.json", "data/register.toml"])
def test_what_was_changed_or_lost_on_disk_is_found(store: CenterStore, name: str) -> None:
    (folder,) = (store.directory / "runs").iterdir()
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data.replace(b"1", b"2", 1))
    assert check_months(store)[0].startswith("run 1: ")
    (folder / name).unlink()
    assert check_months(store)[0].startswith("run 1: ")


def test_a_run_nobody_disclosed_is_looked_at_too(store: CenterStore) -> None:
    add_run(store, FIRST, REVENUE)
    folders = sorted((store.directory / "runs").iterdir())
    (folders[-1] / "statement" / "plants.csv").unlink()
    assert any(each.startswith("run 2: ") for each in check_months(store))
