# SPDX-License-Identifier: GPL-3.0-or-later
"""`center check` finds everything: each column of each table and each kind of file is damaged, one thing at a time.

What is not found stands in `HARMLESS` (or in `sealed_rows.UNSEALED`) with the reason why nothing comes of it; a new
table or kind of file that stands nowhere fails here.
"""

from __future__ import annotations

import random
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Column, Connection, Table, select
from sqlalchemy.exc import IntegrityError

from collector.base.errors import CollectorError, StoreError
from collector.base.text import into
from collector.center.db.all_tables import metadata
from collector.center.db.engines import make_engine
from collector.center.db.schema_check import check_schema
from collector.center.db.seals.sealed_rows import UNSEALED, VOLATILE, check_rows, sealed_tables
from collector.center.db.store import CenterStore
from collector.center.month.books_integrity import check_months
from collector.center.operate.integrity import check_database, check_files, check_store
from tests.center.center_batches import FixedClock
from tests.center.operate.whole_store import empty_tables, fill_whole
from tests.center.runs.center_months import new_store
from tests.center.runs.kept_months import copy_state
from tests.made_once import made_once
from tests.size import FULL, sized

HAN: Final = re.compile("[\u4e00-\u9fff]")
# Of tables whose every change, and whose rows' absence, is harmless for the reason that UNSEALED gives.
WHOLLY: Final = ("agent_state", "finding", "validated_day", "login_failure", "sent_form")
HARMLESS: Final = {
    "store.id": "nothing names it",
    "store.store_id": "names the store: agents send again what they keep, and what is here already is a repeat",
    "store.schema_version": "a store of a newer one is not opened, one of an older one is gone through again",
    "store.since_ms": "from when on a plant that was never heard of counts as silent",
    "stream.first_received_ms": "shown as the time of the first word; one after the first batch is found",
    "stream.last_received_ms": "shown as the time of the last word; one before the last batch is found",
    "batch.repeats": "counts how often the same bytes came again; shown",
    "gap.id": "nothing names it",
    "quarantine.id": "nothing names it",
    "quarantine.topic": "nothing is done by it before the bytes were checked anew",
    "quarantine.code": "nothing is done by it before the bytes were checked anew",
    "quarantine.reason": "shown",
    "quarantine.plant": "shown; where the sequence was settled by it, that is found",
    "quarantine.gateway": "shown; where the sequence was settled by it, that is found",
    "quarantine.epoch": "shown; where the sequence was settled by it, that is found",
    "quarantine.sequence": "shown; where the sequence was settled by it, that is found",
    "quarantine.received_ms": "shown",
    "quarantine.last_received_ms": "shown",
    "quarantine.repeats": "shown",
    "quarantine.size_bytes": "shown",
    "lake_day.wanted": "the day is sealed once more, with the same records",
    "lake_day.sealed": "one that is to be sealed is sealed in any case; one taken for sealed too early is found",
    "lake_day.changed_ms": "the day waits longer or less long to be sealed",
    "file_facts.used_ms": "says how long it is kept",
    "day_result.used_ms": "says how long it is kept",
    "day_result.measured_ms": "shown by nobody",
    "day_result.plant": "results are found by their key alone",
    "day_result.day": "results are found by their key alone",
    "kept_file.name": "a file without its row is made again",
    "file_facts": "a row that is gone is made again",
    "day_result": "a row that is gone is measured again",
    "day_segments": "a row that is gone is measured again",
    "kept_file": "a file without its row is made again",
}


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a whole store."""

    def make(folder: Path) -> None:
        with new_store(folder / "state") as store:
            fill_whole(store)
            assert empty_tables(store) <= set(WHOLLY)

    return copy_state(made_once("a whole store", make) / "state", tmp_path_factory.mktemp("whole") / "state")


@pytest.fixture(scope="module")
def connection(once: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """A copy's database as somebody with a database tool has it; whatever a test does there is undone."""
    state = tmp_path_factory.mktemp("database") / "state"
    shutil.copytree(once, state)
    key = (state / "seal.key").read_bytes()
    engine = make_engine(f"sqlite:///{state / 'center.sqlite'}", writing=True, foreign_keys=False, seal_key=key)
    with engine.connect() as opened, opened.begin():
        for name in opened.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").scalars().all():
            opened.exec_driver_sql(f'DROP TRIGGER "{name}"')
        yield opened
        opened.rollback()
    engine.dispose()


# ---- rows ------------------------------------------------------------------------------------------------------------


def damaged(value: Any) -> Iterator[tuple[str, Any]]:
    """What may become of a value: another one of its kind, one bit turned over, the end cut off."""
    if isinstance(value, bool):
        yield "changed", not value
    elif isinstance(value, int):
        yield "changed", value + 1
    elif isinstance(value, bytes):
        turned = bytearray(value)
        if turned:
            turned[len(turned) // 2] ^= 1
            yield "flipped", bytes(turned)
            yield "truncated", value[: len(value) // 2]
    elif isinstance(value, str):
        yield "changed", value[:-1] + chr(ord(value[-1]) ^ 1) if value else "x"


def check_all(connection: Connection) -> Iterator[str]:
    # The guards are away here, so that anything can be damaged; that this is found stands below.
    yield from (each for each in check_database(connection) if not each.startswith("database: trigger "))
    yield from check_files(connection, Path(connection.engine.url.database or "").parent)


def said(findings: Iterable[str]) -> list[str]:
    """Findings, each of which is told to a Chinese reader too."""
    found = list(findings)
    assert [each for each in found if not HAN.search(into(each, "zh"))] == []
    return found


def findings_of(connection: Connection, table: Table, damage: Callable[[], object]) -> list[str] | None:
    """What the check says after a damage, which is undone; None where the database itself refuses it."""
    check = check_rows if table.name not in UNSEALED else check_all
    savepoint = connection.begin_nested()
    try:
        damage()
        return said(check(connection))
    except IntegrityError:
        return None
    finally:
        savepoint.rollback()


def first_row(connection: Connection, table: Table, column: Column[Any] | None = None) -> Any:
    query = select(table).order_by(*table.primary_key.columns)
    if column is not None:
        query = query.where(column.is_not(None))
    return connection.execute(query.limit(1)).mappings().first()


def where_is(table: Table, row: Any) -> Any:
    keys = [column == row[column.name] for column in table.primary_key.columns]
    found = keys[0]
    for each in keys[1:]:
        found &= each
    return found


def missed(connection: Connection, table: Table) -> list[str]:
    """Damages of a table's columns and rows that the check does not find."""
    found: list[str] = []

    def look(name: str, how: str, damage: Callable[[], object]) -> None:
        if findings_of(connection, table, damage) == []:
            found.append(f"{name} {how}")

    for column in table.columns:
        row = first_row(connection, table, column)
        if row is None or column.name in VOLATILE.get(table.name, ()):
            continue
        for how, value in damaged(row[column.name]):
            change = table.update().where(where_is(table, row)).values({column.name: value})
            look(f"{table.name}.{column.name}", how, partial(connection.execute, change))
    row = first_row(connection, table)
    look(table.name, "deleted", lambda: connection.execute(table.delete().where(where_is(table, row))))
    return found


def test_a_store_that_nobody_touched_is_well(once: Path) -> None:
    with new_store(once) as store:
        assert check_store(store) == []


@pytest.mark.parametrize("name", [table.name for table in sealed_tables()])
def test_whatever_is_changed_in_a_sealed_row_is_found(connection: Connection, name: str) -> None:
    assert missed(connection, metadata.tables[name]) == []


@pytest.mark.parametrize("name", [name for name in UNSEALED if name not in WHOLLY])
def test_whatever_is_changed_elsewhere_is_found_or_harmless(connection: Connection, name: str) -> None:
    reasons = {each.split(" ")[0] for each in missed(connection, metadata.tables[name])}
    assert reasons - HARMLESS.keys() == set()


def test_a_row_added_by_something_else_is_found(connection: Connection) -> None:
    for table in sealed_tables():
        row = dict(first_row(connection, table))
        for column in table.columns:
            if column.primary_key or column.unique:
                value = row[column.name]
                row[column.name] = value + 1000 if isinstance(value, int) else f"{value}x"
        added = table.insert().values(row)
        found = findings_of(connection, table, partial(connection.execute, added))
        assert found is None or any("was not written by this program" in each for each in found), table.name


def test_what_two_rows_hold_is_not_taken_for_each_other(connection: Connection) -> None:
    for name, content in (("day_result", "results"), ("day_segments", "segments"), ("payload", "bytes")):
        table = metadata.tables[name]
        one, two = connection.execute(select(table).distinct().order_by(table.c[content]).limit(2)).mappings().all()

        def swap(table: Table = table, one: Any = one, two: Any = two, content: str = content) -> None:
            for here, there in ((one, two), (two, one)):
                change = table.update().where(where_is(table, here)).values({content: there[content]})
                connection.execute(change)

        assert findings_of(connection, table, swap), name


def test_the_last_entry_of_the_log_can_not_vanish(connection: Connection) -> None:
    audit, seals = metadata.tables["audit"], metadata.tables["row_seal"]
    last = connection.execute(select(audit).order_by(audit.c.sequence.desc()).limit(1)).mappings().one()
    found = findings_of(connection, audit, lambda: connection.execute(audit.delete().where(where_is(audit, last))))
    assert found
    assert f"audit {last['sequence']}: was written at" in found[0]
    end = connection.execute(select(seals).order_by(seals.c.sequence.desc()).limit(1)).mappings().one()
    found = findings_of(connection, audit, lambda: connection.execute(seals.delete().where(where_is(seals, end))))
    assert found == [f"{end['name']} {end['key'].strip('[]')}: was not written by this program"]


# ---- tables and guards -----------------------------------------------------------------------------------------------

SCHEMA_DAMAGES: Final = {
    "DROP TRIGGER audit_no_update": "trigger audit_no_update is gone",
    "DROP TRIGGER month_step_no_delete": "trigger month_step_no_delete is gone",
    "CREATE TRIGGER evil AFTER INSERT ON run BEGIN UPDATE run SET result_hash = '0'; END": "trigger evil is none of",
    "DROP TRIGGER filing_no_update; CREATE TRIGGER filing_no_update BEFORE UPDATE ON filing BEGIN SELECT 1; END":
        "trigger filing_no_update is not as this program made it",
    "ALTER TABLE finding RENAME TO finding2; CREATE VIEW finding AS SELECT * FROM finding2": "table finding is gone",
    "ALTER TABLE session ADD COLUMN evil TEXT": "column session.evil is none of this program's",
    "ALTER TABLE session DROP COLUMN seen_ms": "column session.seen_ms is gone",
    "DROP INDEX audit_by_subject": "index audit_by_subject is gone",
    "DROP INDEX proposal_open; CREATE INDEX proposal_open ON proposal (kind, subject)":
        "index proposal_open is not as this program made it",
    "DROP INDEX proposal_open; CREATE UNIQUE INDEX proposal_open ON proposal (kind, subject) WHERE decision = 'x'":
        "index proposal_open is not as this program made it",
    "CREATE UNIQUE INDEX evil ON run (id)": "index evil is none of this program's",
    "CREATE TABLE other (plant TEXT, gateway TEXT, received_ms BIGINT, bytes BLOB); DROP TABLE agent_state; "
    "ALTER TABLE other RENAME TO agent_state": "two rows of agent_state may have the same gateway plant",
    "UPDATE store SET seal_key_sha256 = '0'": "is not the key that the store's rows are sealed with",
    "UPDATE store SET seal_key_sha256 = NULL": "is not the key that the store's rows are sealed with",
    "DELETE FROM store": "has 0 rows in its table store",
    "INSERT INTO store SELECT 2, store_id, schema_version, since_ms, 1, seal_key_sha256 FROM store":
        "has 2 rows in its table store",
}  # fmt: skip


@pytest.mark.parametrize("statements", SCHEMA_DAMAGES)
def test_a_table_or_guard_that_is_gone_or_another_is_found(once: Path, tmp_path: Path, statements: str) -> None:
    for name in ("center.sqlite", "seal.key"):
        shutil.copyfile(once / name, tmp_path / name)
    with sqlite3.connect(tmp_path / "center.sqlite") as database:
        database.executescript(statements)
    database.close()
    try:
        with CenterStore.open(tmp_path, clock=FixedClock(), create=False) as store:
            found = said(store.read(lambda c: list(check_schema(c))))
    except StoreError as error:  # a store that is not opened is no less found
        found = [str(error)]
    assert any(SCHEMA_DAMAGES[statements] in each for each in found)


def test_each_table_of_the_newest_schema_is_missed_when_it_is_gone(once: Path, tmp_path: Path) -> None:
    shutil.copyfile(once / "center.sqlite", tmp_path / "center.sqlite")
    engine = make_engine(f"sqlite:///{tmp_path / 'center.sqlite'}", writing=True, foreign_keys=False)
    with engine.connect() as opened, opened.begin():
        assert list(check_schema(opened)) == []
        for name in metadata.tables:
            opened.exec_driver_sql(f'ALTER TABLE "{name}" RENAME TO "elsewhere"')
            assert f"database: table {name} is gone" in list(check_schema(opened))
            opened.exec_driver_sql(f'ALTER TABLE "elsewhere" RENAME TO "{name}"')
    engine.dispose()


def test_a_database_that_was_emptied_is_not_begun_anew_beside_its_files(once: Path, tmp_path: Path) -> None:
    shutil.copytree(once, tmp_path / "state")
    (tmp_path / "state" / "center.sqlite").write_bytes(b"")
    for how in (partial(Path.write_bytes, data=b""), Path.unlink):
        how(tmp_path / "state" / "center.sqlite")
        with pytest.raises(StoreError, match="lake/ has files of a store and the database holds none"):
            CenterStore.open(tmp_path / "state", clock=FixedClock())
    (tmp_path / "state" / "center.sqlite").write_bytes(b"")
    with pytest.raises(StoreError, match="Restore a backup"):  # as `center check` says it, which makes no store
        CenterStore.open(tmp_path / "state", clock=FixedClock(), create=False)


# ---- files -----------------------------------------------------------------------------------------------------------

# Each kind of file by its path, and where nothing comes of a damage, why.
KINDS: Final = {
    r"lake/[^/]+/[^/]+\.parquet": "",
    r"lake-others/[^/]+/[^/]+\.parquet": "",
    r"imported/[0-9a-f]+\.parquet": "",
    r"laid-out/[^/]+\.csv": "",
    r"laid-out/[^/]+\.(digests|parquet)": "",
    r"runs/[^/]+/data/register\.toml": "",
    r"runs/[^/]+/data/[^/]+\.csv": "",
    r"runs/[^/]+/data/records/[^/]+\.parquet": "",
    r"runs/[^/]+/rulebook/[^/]+": "",
    r"runs/[^/]+/statement/[^/]+": "",
    r"runs/[^/]+/rows\.msgpack": "",
    r"runs/[^/]+/segments\.parquet": "",
    r"packages/\d+-\d+/[^/]+\.zip": "",
    r"center\.sqlite": "its pages are damaged one by one below",
    r"center\.sqlite-(wal|shm)": "of transactions under way; SQLite's own sums hold them",
    r"[a-z-]+\.lock": "is empty; who holds it counts",
    r"seal\.key": "",
}
DAMAGES: Final = ("flipped", "truncated", "swapped", "deleted")


def files_by_kind(state: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {kind: [] for kind in KINDS}
    for path in sorted(each for each in state.rglob("*") if each.is_file()):
        inside = path.relative_to(state).as_posix()
        [kind] = [each for each in KINDS if re.fullmatch(each, inside)] or [f"{inside} is of no kind that stands here"]
        found[kind].append(path.relative_to(state))
    return found


def damage_file(path: Path, how: str, other: Path) -> None:
    data = bytearray(path.read_bytes())
    path.unlink()  # a second name of the file is another file
    if how == "flipped":
        data[len(data) // 2] ^= 4
    elif how == "truncated":
        data = data[:-1]
    elif how == "swapped":
        data = bytearray(other.read_bytes())
    if how != "deleted":
        path.write_bytes(data)


def check_everything(store: CenterStore) -> list[str]:
    return said([*check_store(store), *check_months(store)])


@pytest.mark.parametrize("kind", [kind for kind, harmless in KINDS.items() if not harmless])
def test_a_file_that_is_another_is_found_by_name(once: Path, tmp_path: Path, kind: str) -> None:
    shutil.copytree(once, tmp_path / "state")
    with new_store(tmp_path / "state") as store:
        files = files_by_kind(store.directory)[kind]
        assert files
        before = check_everything(store)
        whole = {path: (store.directory / path).read_bytes() for path in files}
        first = files[0]
        other = next((path for path in files if whole[path] != whole[first]), None)
        for how in DAMAGES if FULL else DAMAGES[list(KINDS).index(kind) % 2 :: 2]:
            if how == "swapped" and other is None:
                continue
            if how == "deleted" and kind.startswith(("laid-out", "packages")):
                continue  # is made again
            mode = (store.directory / first).stat().st_mode
            damage_file(store.directory / first, how, store.directory / (other or first))
            named = first.parts[-1] if "rulebook" not in kind else "rulebook"
            assert [each for each in check_everything(store) if each not in before and named in each], f"{first} {how}"
            (store.directory / first).write_bytes(whole[first])
            (store.directory / first).chmod(mode)
        assert check_everything(store) == before


ADDED: Final = {
    "runs/{run}/data/peak_groups.csv": "is none of its files",
    "runs/{run}/data/records/P1-2026-06-05-ffffffffffff.parquet": "is none of its files",
    "runs/{run}/statement/lines-2.csv": "is none of its files",
    "runs/{run}/rulebook/more.toml": "is not the file the store lists",
    "runs/2026-06-1-99/data/plan.csv": "no run of this store has this folder",
}


@pytest.mark.parametrize("name", ADDED)
def test_a_file_that_nobody_listed_is_found(once: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(once, tmp_path / "state")
    first = min((once / "runs").iterdir()).name
    path = tmp_path / "state" / name.format(run=first)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x = 1")
    with new_store(tmp_path / "state") as store:
        assert any(ADDED[name] in each for each in check_months(store))


def test_every_file_is_of_a_kind_that_stands_here(once: Path) -> None:
    assert files_by_kind(once)


PAGE: Final = 4096


def content_of(connection: Connection) -> dict[str, list[Any]]:
    names = [name for name in metadata.tables if name not in WHOLLY]
    return {name: connection.execute(select(metadata.tables[name])).all() for name in names}  # type: ignore[misc]


def test_a_damaged_page_of_the_database_is_said_in_words(once: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    shutil.copytree(once, state)
    database, chance = state / "center.sqlite", random.Random(11)
    with new_store(state) as store:
        expected = store.read(content_of)
    whole = database.read_bytes()
    for page in sorted([0, *chance.sample(range(1, len(whole) // PAGE), sized(12, 40))]):
        data = bytearray(whole)
        place = page * PAGE + chance.randrange(PAGE)
        data[place] ^= 1 << chance.randrange(8)
        for path in state.glob("center.sqlite*"):
            path.unlink()
        database.write_bytes(data)
        try:
            with new_store(state) as store:
                found = check_store(store)
                unharmed = not found and store.read(content_of) == expected
        except CollectorError as error:
            found, unharmed = [str(error)], False
        assert found or unharmed, f"page {page} at {place % PAGE}"
