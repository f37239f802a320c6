# SPDX-License-Identifier: GPL-3.0-or-later
"""One view of the store: what a thread reads in it is of one moment, each question asked once, until it writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, update
from sqlalchemy.exc import DBAPIError

from collector.center.db.store import CenterStore
from collector.center.db.tables_results import kept_file
from collector.center.db.views import once_a_view
from tests.center.center_batches import FixedClock

asked: list[str] = []


@once_a_view
def hash_of(connection: Connection, name: str) -> str | None:
    asked.append(name)
    found: str | None = connection.execute(select(kept_file.c.sha256).where(kept_file.c.name == name)).scalar()
    return found


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CenterStore]:
    asked.clear()
    with CenterStore.open(tmp_path, clock=FixedClock()) as opened:
        opened.write(lambda c: c.execute(kept_file.insert().values(name="a", sha256="first"))).result()
        yield opened


def _change(connection: Connection) -> None:
    connection.execute(update(kept_file).values(sha256="second"))


def test_each_question_is_asked_once_a_view(store: CenterStore) -> None:
    with store.one_view():
        assert [store.read(lambda c: hash_of(c, "a")) for _ in range(3)] == ["first"] * 3
        assert store.read(lambda c: hash_of(c, "b")) is None
        assert store.read(lambda c: hash_of(c, "b")) is None
    assert asked == ["a", "b"]
    assert [store.read(lambda c: hash_of(c, "a")) for _ in range(2)] == ["first"] * 2
    assert asked == ["a", "b", "a", "a"]


def test_a_view_shows_nothing_that_others_write_meanwhile(store: CenterStore, tmp_path: Path) -> None:
    with store.one_view(), CenterStore.open(tmp_path, clock=FixedClock()) as other:
        assert store.read(lambda c: hash_of(c, "a")) == "first"
        other.write(_change).result()
        assert store.read(lambda c: hash_of(c, "a")) == "first"
        assert store.read_anew(lambda c: hash_of(c, "a")) == "second"
    assert store.read(lambda c: hash_of(c, "a")) == "second"


def test_who_writes_reads_its_own_change(store: CenterStore) -> None:
    with store.one_view():
        assert store.read(lambda c: hash_of(c, "a")) == "first"
        store.write(_change).result()
        assert store.read(lambda c: hash_of(c, "a")) == "second"


def test_a_transaction_that_writes_keeps_no_answer(store: CenterStore) -> None:
    def job(connection: Connection) -> list[str | None]:
        before = hash_of(connection, "a")
        _change(connection)
        return [before, hash_of(connection, "a")]

    assert store.write(job).result() == ["first", "second"]


def test_a_view_goes_on_after_a_question_that_failed(store: CenterStore) -> None:
    with store.one_view():
        with pytest.raises(DBAPIError):
            store.read(lambda c: c.exec_driver_sql("SELECT nothing FROM nowhere"))
        assert store.read(lambda c: hash_of(c, "a")) == "first"
