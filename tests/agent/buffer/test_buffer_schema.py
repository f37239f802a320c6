# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of a new buffer file, and how older files come to have them."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from collector.agent.buffer.ledger_schema import CURRENT, bring_up_to_date, fingerprint, make_apart
from collector.agent.buffer.salvage import is_new
from tests.agent.buffer.agent_buffers import open_buffer, pending, record, seal_one, times
from tests.patience import HANG_S

Rows = list[tuple[object, ...]]

# The tables of the first buffers ever made, as they stand in such a file. Never to be changed.
FIRST = """
CREATE TABLE "_sqlite_migrations" ("id" INTEGER PRIMARY KEY, "migration_set" TEXT, "name" TEXT, "applied_at" TEXT);
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name" ON "_sqlite_migrations" ("migration_set", "name");
CREATE TABLE "meta" ("key" TEXT PRIMARY KEY, "value" TEXT);
CREATE TABLE "recorded" ("id" INTEGER PRIMARY KEY, "records" INTEGER, "gaps" INTEGER);
CREATE TABLE "stores" ("store_id" TEXT PRIMARY KEY, "present" INTEGER);
CREATE TABLE "units" ("unit" TEXT PRIMARY KEY, "plant" TEXT, "quantities" TEXT, "era" INTEGER,
    "time_utc_ms" INTEGER);
CREATE TABLE "streams" ("id" INTEGER PRIMARY KEY, "plant" TEXT, "epoch" TEXT, "current" INTEGER,
    "conflicted" INTEGER, "next_sequence" INTEGER, "heard_store" TEXT, "sealed" INTEGER, "freed" INTEGER,
    "evicted" INTEGER, "records_sealed" INTEGER, "records_freed" INTEGER, "records_evicted" INTEGER,
    "records_resealed" INTEGER);
CREATE UNIQUE INDEX "idx_streams_plant_epoch" ON "streams" ("plant", "epoch");
CREATE TABLE "tail" ("id" INTEGER PRIMARY KEY, "stream" INTEGER, "records" INTEGER, "body" BLOB);
CREATE TABLE "batches" ("id" INTEGER PRIMARY KEY, "stream" INTEGER, "sequence" INTEGER, "state" INTEGER,
    "first_ms" INTEGER, "last_ms" INTEGER, "records" INTEGER, "gaps" INTEGER, "units" TEXT, "refused" TEXT,
    "freed_ms" INTEGER, "sha256" BLOB, "payload" BLOB);
CREATE UNIQUE INDEX "idx_batches_stream_sequence" ON "batches" ("stream", "sequence");
CREATE INDEX batches_pending ON batches(stream, sequence, records) WHERE state = 0;
CREATE INDEX batches_freed ON batches(freed_ms) WHERE state = 1;
CREATE TABLE "lost" ("id" INTEGER PRIMARY KEY, "stream" INTEGER, "from_seq" INTEGER, "to_seq" INTEGER,
    "from_ms" INTEGER, "to_ms" INTEGER, "units" TEXT, "reason" TEXT, "due" INTEGER, "told_stream" INTEGER,
    "told_seq" INTEGER);
INSERT INTO recorded VALUES (1, 0, 0);
INSERT INTO _sqlite_migrations VALUES (NULL, 'buffer', '1_first', datetime('now'));
"""


@pytest.fixture
def empty() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        yield db


def tables(db: sqlite3.Connection) -> list[str]:
    return [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]


def contents(db: sqlite3.Connection) -> dict[str, Rows]:
    names = set(tables(db)) - {"_sqlite_migrations"}
    return {name: db.execute(f"SELECT * FROM {name}").fetchall() for name in names}


def make_first(path: Path) -> None:
    """A file of the first form, with the rows of the buffer at `path` and in its place."""
    old = path.with_name("old")
    with closing(sqlite3.connect(old, isolation_level=None)) as db:
        db.executescript(FIRST)
        db.execute("ATTACH ? AS new", (str(path),))
        for table in set(tables(db)) - {"_sqlite_migrations"}:
            columns = ", ".join(f'"{row[1]}"' for row in db.execute(f"PRAGMA main.table_info({table})"))
            db.execute(f"REPLACE INTO main.{table} ({columns}) SELECT {columns} FROM new.{table}")
    old.replace(path)


def test_a_new_file_is_what_a_first_one_becomes(empty: sqlite3.Connection) -> None:
    bring_up_to_date(empty)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as first:
        first.executescript(FIRST)
        bring_up_to_date(first)
        assert fingerprint(first) == fingerprint(empty) == CURRENT
        assert contents(first) == contents(empty)


def test_a_first_file_opens_with_its_records_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "b"
    with closing(open_buffer(path)) as buffer:
        seal_one(buffer, 1)
        seal_one(buffer, 2)
        buffer.append([record(3)])
    make_first(path)
    with closing(open_buffer(path)) as buffer:
        assert buffer.salvaged is None
        buffer.append([record(4)])
        buffer.seal_all()
        batches = pending(buffer)
        assert [batch.position.sequence for batch in batches] == [1, 2, 3]
        assert times(batches) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "change",
    [
        "DROP INDEX batches_freed",
        "ALTER TABLE lost ADD COLUMN note TEXT",
        "ALTER TABLE tail RENAME COLUMN body TO bodx",
        "DELETE FROM _sqlite_migrations",
        "UPDATE _sqlite_migrations SET name = '1_firsu' WHERE name = '1_first'",
    ],
)
def test_other_tables_or_steps_are_told_from_those_of_today(empty: sqlite3.Connection, change: str) -> None:
    bring_up_to_date(empty)
    empty.execute(change)
    assert fingerprint(empty) != CURRENT


def test_the_tables_of_another_program_are_left_alone(empty: sqlite3.Connection) -> None:
    empty.execute("CREATE TABLE tail (id INTEGER)")
    with pytest.raises(sqlite3.OperationalError):
        fingerprint(empty)
    with pytest.raises(sqlite3.OperationalError):
        bring_up_to_date(empty)
    assert tables(empty) == ["tail"]


def test_an_up_to_date_file_opens_without_sqlite_utils(tmp_path: Path) -> None:
    """The library and numpy behind it would be 14 MB of every agent."""
    open_buffer(tmp_path / "b").close()
    script = """
import sys
from pathlib import Path
from tests.agent.buffer.agent_buffers import open_buffer
open_buffer(Path(sys.argv[1])).close()
print(sorted({"sqlite_utils", "numpy"} & sys.modules.keys()))
"""
    command = [sys.executable, "-c", script, str(tmp_path / "b")]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=HANG_S, check=True
    )
    assert done.stdout == "[]\n"


def test_a_new_file_is_made_without_loading_numpy_which_is_a_fifth_of_an_agents_memory(tmp_path: Path) -> None:
    code = (
        "import sqlite3, sys\n"
        "from collector.agent.buffer.ledger_schema import CURRENT, bring_up_to_date, fingerprint\n"
        "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "bring_up_to_date(db)\n"
        "assert fingerprint(db) == CURRENT\n"
        "assert 'sqlite_utils' in sys.modules\n"
        "assert 'numpy' not in sys.modules, 'loaded'\n"
        "import numpy\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "g.buffer")], check=True, timeout=HANG_S)


def test_a_file_made_by_a_process_of_its_own_is_opened_without_sqlite_utils(tmp_path: Path) -> None:
    path = tmp_path / "g.buffer"
    make_apart(path)
    code = (
        "import sqlite3, sys\n"
        "from collector.agent.buffer.buffer_file import Ledger\n"
        "from collector.agent.buffer.ledger_schema import CURRENT, fingerprint\n"
        "assert fingerprint(Ledger(path=__import__('pathlib').Path(sys.argv[1]), gateway='g').db) == CURRENT\n"
        "assert 'sqlite_utils' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, timeout=HANG_S)


def test_where_no_process_can_be_started_the_agent_makes_the_file_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere")
    make_apart(tmp_path / "b")
    with closing(open_buffer(tmp_path / "b")) as buffer:
        assert buffer.salvaged is None


def test_a_file_that_waits_to_take_its_place_is_not_passed_over_by_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "b"
    assert is_new(path)
    (tmp_path / "b.salvage").touch()
    assert not is_new(path)
