# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of a new buffer file, and how older files come to have them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from collector.agent.buffer import ledger_migrations, ledger_schema

Rows = list[tuple[object, ...]]


@pytest.fixture
def empty() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        yield db


def tables(db: sqlite3.Connection) -> Rows:
    return db.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()


def contents(db: sqlite3.Connection) -> dict[str, Rows]:
    names = [name for kind, name, _ in tables(db) if kind == "table" and name != "_sqlite_migrations"]
    found = {str(name): db.execute(f"SELECT * FROM {name}").fetchall() for name in names}
    return found | {"steps": db.execute("SELECT migration_set, name FROM _sqlite_migrations").fetchall()}


def test_a_new_file_is_what_the_steps_make_of_nothing(empty: sqlite3.Connection) -> None:
    ledger_schema.create(empty)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as stepped:
        ledger_migrations.bring_up_to_date(stepped)
        assert tables(empty) == tables(stepped)
        assert contents(empty) == contents(stepped)
    assert ledger_schema.is_current(empty)


def test_a_file_that_has_not_seen_every_step_is_not_current(empty: sqlite3.Connection) -> None:
    ledger_schema.create(empty)
    empty.execute("DELETE FROM _sqlite_migrations")
    assert not ledger_schema.is_current(empty)


def test_a_file_that_can_not_be_made_whole_stays_empty(empty: sqlite3.Connection) -> None:
    empty.execute("CREATE TABLE tail (id INTEGER)")
    with pytest.raises(sqlite3.OperationalError):
        ledger_schema.create(empty)
    assert [name for _, name, _ in tables(empty)] == ["tail"]
