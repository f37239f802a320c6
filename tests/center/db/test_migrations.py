# SPDX-License-Identifier: GPL-3.0-or-later
"""A store of any age becomes today's, on both databases; and tables can't change without a revision that says so.

data/store_1_*.sql: dumps of a small store as the program of the first release made it, before there was Alembic.
"""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, inspect, select, text

from collector.base.errors import StoreError
from collector.center.db import migrations, store_version, tables_inputs, tables_receive
from collector.center.db.all_tables import metadata
from collector.center.db.store import CenterStore
from collector.center.inputs.imports import list_imports, rows_in_force
from collector.center.inputs.service import take_back
from collector.center.inputs.stored_rows import RowsInForce
from collector.center.inputs.undo import look_at_undoing
from collector.center.lake.seal import count_records, enrol, seal_month_of
from collector.center.operate.integrity import check_store
from collector.center.people.access import Actor
from collector.model.interval import Month
from tests.center.center_batches import NOON, FixedClock, deliver, minutes, payload_of
from tests.center.db.postgresql_server import plain_url
from tests.patience import HANG_S

DATA = Path(__file__).parent / "data"
MakeUrl = Callable[[], str]
_OPEN = """
import sys
from pathlib import Path
from collector.center.db.store import CenterStore
from collector.base.clock import SystemClock
CenterStore.open(Path(sys.argv[1]), clock=SystemClock(), database_url=sys.argv[2]).close()
print("alembic" in sys.modules)
"""


def first_release(url: str) -> str:
    """Fill an empty database with the store of the first release."""
    if url.startswith("sqlite"):
        database = sqlite3.connect(url.removeprefix("sqlite:///"))
        database.executescript((DATA / "store_1_sqlite.sql").read_text("utf-8"))
        database.close()
    else:
        with psycopg.connect(plain_url(url)) as connection:
            connection.execute((DATA / "store_1_postgresql.sql").read_bytes())
    return url


def open_store(directory: Path, url: str) -> CenterStore:
    return CenterStore.open(directory, clock=FixedClock(), database_url=url)


def shape_of(connection: Connection) -> dict[str, Any]:
    """Everything the database itself says of its tables; names of constraints apart, which SQLite's may not have."""
    found = inspect(connection)
    return {
        table: {
            "columns": sorted(
                (c["name"], str(c["type"]), c["nullable"], c["default"]) for c in found.get_columns(table)
            ),
            "key": found.get_pk_constraint(table)["constrained_columns"],
            "references": sorted(
                (f["constrained_columns"], f["referred_table"], f["referred_columns"], sorted(f["options"].items()))
                for f in found.get_foreign_keys(table)
            ),
            "unique": sorted(u["column_names"] for u in found.get_unique_constraints(table)),
            "indexes": sorted((i["name"], i["column_names"], i["unique"]) for i in found.get_indexes(table)),
            "checks": sorted(c["sqltext"] for c in found.get_check_constraints(table)),
        }
        for table in sorted(found.get_table_names())
    }


def triggers_of(connection: Connection) -> list[str]:
    if connection.dialect.name == "sqlite":
        query = "SELECT sql FROM sqlite_master WHERE type = 'trigger'"
    else:
        query = (
            "SELECT pg_get_triggerdef(t.oid) || p.prosrc FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid "
            "WHERE NOT t.tgisinternal"
        )
    return sorted(" ".join(str(row).split()) for row in connection.execute(text(query)).scalars())


def engine_of(url: str) -> Engine:
    return create_engine(url)


def test_revisions_and_metadata_make_the_same_tables(new_database_url: MakeUrl, tmp_path: Path) -> None:
    """If this fails, a table was changed without a revision in collector/center/migrations/versions/."""
    migrated, made = engine_of(new_database_url()), engine_of(url := new_database_url())
    open_store(tmp_path, url).close()
    with migrated.begin() as connection:
        migrations.upgrade(connection)
    with migrated.begin() as one, made.begin() as other:
        context = MigrationContext.configure(one, opts={"compare_server_default": True})
        assert compare_metadata(context, metadata) == []
        assert shape_of(one) == shape_of(other)
        assert triggers_of(one) == triggers_of(other)
        assert any("audit" in trigger for trigger in triggers_of(other))
        same = select(store_version.VERSION_TABLE)
        assert one.execute(same).all() == other.execute(same).all()
    migrated.dispose()
    made.dispose()


def test_revisions_form_one_line_up_to_the_schema_version() -> None:
    script = ScriptDirectory(str(migrations.HERE))
    line = [revision.revision for revision in script.walk_revisions()]
    assert line == [store_version.revision_of(n) for n in range(tables_receive.SCHEMA_VERSION, 0, -1)]


def test_a_store_of_the_first_release_comes_up_with_all_it_held(new_database_url: MakeUrl, tmp_path: Path) -> None:
    database_url = first_release(new_database_url())
    with open_store(tmp_path, database_url) as store:
        assert store.store_id == "5e" * 16
        # 4 batches of 3, 3, 3 and 2 records; batch 3 was declared lost, batch 6 refused.
        assert count_records(seal_month_of(store, Month(2026, 3))) == 11
        assert store.read(lambda c: c.execute(select(tables_receive.stream.c.through)).scalar()) == 6
        assert [row[3] for row in store.read(lambda c: list(rows_in_force(c, store.imported, "plan") or ()))] == [
            "300",
            "310",
        ]
        [run] = store.read(lambda c: c.execute(select(tables_inputs.run)).all())
        assert (run.id, run.month, run.folder, run.kind) == (1, "2026-02", "2026-02-1", "trial")
        assert check_store(store) == []
        kept = tables_receive.payload.c
        of_4 = select(kept.bytes).where(kept.sequence == 4)
        as_sent = bytes(store.read(lambda c: c.execute(of_4).scalar_one()))  # a gateway keeps what it sealed
        again = deliver(store, [as_sent, payload_of(7, minutes("U1", NOON + 7 * 3_600_000, 3), epoch=1)])
        assert (again.repeated, again.committed, again.settled[0].through) == (1, 1, 7)
        # Keys go on from where they were.
        values = {"month": "2026-03", "at_ms": 1, "who": "x", "folder": "y", "status": "", "result_hash": ""}
        values |= {"manifest": "{}", "kind": "trial", "base_run_id": 1, "rulebook_hash": "", "note": ""}
        values |= {"state": "queued", "asked_ms": 1}
        key = store.write(lambda c: c.execute(tables_inputs.run.insert().values(values)).inserted_primary_key).result()
        assert tuple(key or ()) == (2,)
    with open_store(tmp_path, database_url) as store:
        assert (
            store.read(lambda c: c.execute(select(tables_receive.store.c.schema_version)).scalar())
            == tables_receive.SCHEMA_VERSION
        )
    with (engine := engine_of(database_url)).begin() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


_OLD_IMPORTS = """
INSERT INTO store (id, store_id, schema_version, since_ms) VALUES (1, 'x', 4, 0);
INSERT INTO imported (id, kind, name, sha256, who, at_ms, added, same, replaced, published_ms, undone_ms, undone_by,
    longest_ms, bytes) VALUES
    (1, 'register', 'a', 'aa', 'li', 1, 1, 0, 0, 1, NULL, NULL, 0, ''),
    (2, 'plan', 'a', 'ab', 'li', 1, 3, 0, 0, 1, NULL, NULL, 7200000, ''),
    (3, 'plan', 'b', 'ac', 'li', 1, 1, 0, 1, 1, NULL, NULL, 3600000, ''),
    (4, 'plan', 'c', 'ad', 'li', 1, 1, 0, 1, 1, 2, 'li', 3600000, ''),
    (5, 'plan', 'd', 'ae', 'li', 1, 9, 0, 1, NULL, NULL, NULL, 3600000, ''),
    (6, 'register', 'b', 'af', 'li', 1, 1, 0, 1, 1, NULL, NULL, 0, ''),
    (7, 'rates', 'b', 'b0', 'li', 1, 0, 0, 0, 1, NULL, NULL, 0, '');
INSERT INTO imported_row (import_id, kind, row, start_ms, end_ms, cells, replaced_by) VALUES
    (1, 'register', 0, 0, 0, '["aa"]', 6),
    (2, 'plan', 4, 3600000, 7200000, '["U1", "3600000", "7200000", "300.50", "1"]', 3),
    (2, 'plan', 2, 7200000, 10800000, '["U1", "7200000", "10800000", "0.0005", ""]', 4),
    (2, 'plan', 3, 10800000, 18000000, '["U2", "10800000", "18000000", "", ""]', 5),
    (3, 'plan', 2, 3600000, 7200000, '["U1", "3600000", "7200000", "310", "1"]', NULL),
    (4, 'plan', 2, 7200000, 10800000, '["U1", "7200000", "10800000", "320", ""]', NULL),
    (5, 'plan', 2, 10800000, 14400000, '["U2", "10800000", "14400000", "1", ""]', NULL),
    (6, 'register', 0, 0, 0, '["af"]', NULL)
"""


def test_rows_of_imports_become_files_and_what_is_in_force_stays(new_database_url: MakeUrl, tmp_path: Path) -> None:
    """Replaced, replaced by an import undone since, and by one that was killed before it was published."""
    engine = engine_of(url := new_database_url())
    with engine.begin() as connection:
        migrations.upgrade(connection, to="0004")
        for statement in _OLD_IMPORTS.replace("row,", '"row",').split(";\n"):
            connection.execute(text(statement.replace("''", "X''" if url.startswith("sqlite") else "''")))
    engine.dispose()
    with open_store(tmp_path, url) as store:
        assert store.read(lambda c: list(rows_in_force(c, store.imported, "plan") or ())) == [
            ("U1", "3600000", "7200000", "310", "1"),
            ("U1", "7200000", "10800000", "0.0005", ""),
            ("U2", "10800000", "18000000", "", ""),
        ]
        assert store.read(lambda c: list(rows_in_force(c, store.imported, "rates") or ["absent"])) == []
        kept = store.read(lambda c: RowsInForce(c, store.imported, "plan").table())
        assert kept is not None
        assert (kept["power_kw"].to_pylist(), kept["row"].to_pylist()) == ([310_000, 1, None], [2, 2, 3])
        assert check_store(store) == []
        assert [row["id"] for row in store.read(list_imports)] == [1, 2, 3, 4, 6, 7]
        with pytest.raises(StoreError, match="import 3 replaced rows of it"):
            store.read(lambda c: look_at_undoing(c, store.imported, 2, None))
        with pytest.raises(StoreError, match="import 6 replaced rows of it"):
            store.read(lambda c: look_at_undoing(c, store.imported, 1, None))
        take_back(store, 3, actor=Actor.at_command_line("li"), reason="wrong", rules=None)
        assert store.read(lambda c: next(rows_in_force(c, store.imported, "plan") or iter(())))[3] == "300.50"


def test_two_that_open_an_old_store_at_once_upgrade_it_once(new_database_url: MakeUrl, tmp_path: Path) -> None:
    database_url = first_release(new_database_url())
    together = threading.Barrier(4)
    ids: list[str] = []

    def open_it() -> None:
        together.wait()
        with open_store(tmp_path, database_url) as store:
            ids.append(store.store_id)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_S)
    assert ids == ["5e" * 16] * 4


def test_two_that_make_a_store_at_once_make_one(database_url: str, tmp_path: Path) -> None:
    together = threading.Barrier(4)
    ids: list[str] = []

    def open_it() -> None:
        together.wait()
        with open_store(tmp_path, database_url) as store:
            ids.append(store.store_id)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_S)
    assert (len(ids), len(set(ids))) == (4, 1)


def test_a_store_of_a_newer_program_is_refused(database_url: str, tmp_path: Path) -> None:
    with open_store(tmp_path, database_url) as store:
        newer = tables_receive.SCHEMA_VERSION + 1
        store.write(lambda c: c.execute(tables_receive.store.update().values(schema_version=newer))).result()
    with pytest.raises(StoreError, match=f"its schema is {newer}, made by a newer program; this one knows up to"):
        open_store(tmp_path, database_url)


@pytest.mark.crash
def test_an_upgrade_killed_halfway_has_done_nothing(new_database_url: MakeUrl, tmp_path: Path) -> None:
    database_url = first_release(new_database_url())
    scripts = tmp_path / "scripts"
    shutil.copytree(migrations.HERE, scripts, ignore=shutil.ignore_patterns("__pycache__"))
    last = store_version.revision_of(tables_receive.SCHEMA_VERSION)
    (scripts / "versions" / "r9999_power_cut.py").write_text(
        "import os, signal\nfrom alembic import op\n"
        f"revision, down_revision = '9999', '{last}'\n"
        "def upgrade() -> None:\n"
        "    op.drop_table('run_file')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n",
        "utf-8",
    )
    with (engine := engine_of(database_url)).begin() as connection:
        before = shape_of(connection)
    command = [sys.executable, "-c", _KILLED, database_url, str(scripts), str(tmp_path)]
    killed = subprocess.run(command, check=False, timeout=HANG_S)
    assert killed.returncode == -signal.SIGKILL
    with engine.begin() as connection:
        assert shape_of(connection) == before
    engine.dispose()
    with open_store(tmp_path, database_url) as store:
        assert count_records(seal_month_of(store, Month(2026, 3))) == 11


# As CenterStore.open does it, with the folder of revisions that ends in a power cut.
_KILLED = """
import sys
from pathlib import Path
from collector.center.db import engines, migrations
engine = engines.make_engine(sys.argv[1], writing=True, foreign_keys=False)
with engine.begin() as connection:
    migrations.stamp(connection, "0001")
    migrations.upgrade(connection, directory=Path(sys.argv[3]), scripts=Path(sys.argv[2]))
"""


def test_a_store_that_is_up_to_date_is_opened_without_alembic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/center.sqlite"
    command = [sys.executable, "-c", _OPEN, str(tmp_path), url]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "False\n"  # makes it
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "False\n"  # opens it


def test_a_backup_of_an_older_program_is_not_changed_by_looking_at_it(tmp_path: Path) -> None:
    first_release(f"sqlite:///{tmp_path}/center.sqlite")
    (tmp_path / "backup.json").write_text(json.dumps({"collector_backup": 1}), "utf-8")
    with pytest.raises(StoreError, match="made by an older program"):
        CenterStore.open(tmp_path, clock=FixedClock(), create=False)


def test_what_something_else_changed_before_an_upgrade_is_still_found_after_it(
    new_database_url: MakeUrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upgrade takes rows as they are for good: but not those that were not this program's before."""
    engine = engine_of(url := new_database_url())
    with open_store(tmp_path, url) as store:
        for plant in ("P1", "P2", "P3"):
            store.write(lambda c, p=plant: enrol(c, {p: (["U1"], [])})).result()  # type: ignore[misc]
        assert check_store(store) == []
    with engine.begin() as connection:
        connection.execute(text("UPDATE enrolled SET units = '[]' WHERE plant = 'P1'"))
        connection.execute(text("DELETE FROM enrolled WHERE plant = 'P2'"))
        connection.execute(text("INSERT INTO enrolled (plant, units, gateways) VALUES ('P4', '[]', '[]')"))
        connection.execute(text("UPDATE store SET schema_version = schema_version - 1"))
    engine.dispose()

    def upgrade(connection: Connection, **_: object) -> None:
        connection.execute(text("UPDATE enrolled SET gateways = '[\"g\"]' WHERE plant = 'P3'"))  # as a revision may

    monkeypatch.setattr(migrations, "upgrade", upgrade)
    with open_store(tmp_path, url) as store:
        found = check_store(store)
    assert len(found) == 3
    assert any('enrolled "P1": is not as it was written' in each for each in found)
    assert any('enrolled "P2": was written' in each and "is gone" in each for each in found)
    assert any('enrolled "P4": was not written by this program' in each for each in found)
