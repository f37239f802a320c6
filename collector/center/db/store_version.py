# SPDX-License-Identifier: GPL-3.0-or-later
"""The schema version of a store, and its upgrade to this program's.

A store made today gets its tables from the metadata and is stamped with the newest revision; an older one is upgraded
by Alembic, which is imported only then. Both happen in one transaction under a lock: of two processes that open a store
at once one does the work and the other finds it done, and one that is killed halfway has done nothing.
"""

from __future__ import annotations

import functools
import secrets
from pathlib import Path
from typing import Final

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    ExecutableDDLElement,
    MetaData,
    String,
    Table,
    create_mock_engine,
    insert,
    inspect,
    select,
    text,
    update,
)

from collector.base.errors import StoreError
from collector.base.text import tr
from collector.center.db import tables_receive
from collector.center.db.all_tables import metadata
from collector.center.db.seals.seal_key import make_key, read_key, with_key
from collector.center.db.seals.sealed_rows import altered_places, seal_everything, seal_links

# Alembic's own table, as Alembic makes it. `store.schema_version` says the same to programs older than that.
VERSION_TABLE: Final = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))
# A folder with this file is a backup: an upgrade in place would break its hashes.
BACKUP_MANIFEST: Final = "backup.json"
# The folder in a state directory that a restore fills; a file in it means an unfinished restore.
RESTORING: Final = ".restoring"
# Folders of a state directory that only a store fills.
FILES_OF_A_STORE: Final = ("lake", "imported", "runs")
_LOCK_NUMBER: Final = 0x636F6C6C6563746F  # this program's, among the advisory locks of a PostgreSQL database


def find_store_id(connection: Connection, subject: str) -> str | None:
    """The id of a store of this schema; None where it must be made or upgraded.

    Raises:
        StoreError: a newer program made it.
    """
    version = _version(connection)
    if version > tables_receive.SCHEMA_VERSION:
        message = tr(
            "its schema is {version}, made by a newer program; this one knows up to "
            "{schema_version}: install that program again, or restore a backup from before",
            version=version,
            schema_version=tables_receive.SCHEMA_VERSION,
        )
        raise StoreError(message, subject=subject)
    if version < tables_receive.SCHEMA_VERSION:
        return None
    return store_id_of(connection)


def bring_up_to_date(engine: Engine, *, now_ms: int, directory: Path, create: bool) -> str:
    """Make the store or upgrade it to this program's schema; returns its id, a new one at creation.

    `engine` must not enforce foreign keys on SQLite, where some changes recreate a table.

    Raises:
        StoreError: there is none and `create` is False, or files of one are there; it belongs to a backup, or its rows
            don't fit together.
    """
    with engine.begin() as connection:
        lock_others_out(connection)
        done_meanwhile = find_store_id(connection, str(directory))
        if done_meanwhile is not None:
            return done_meanwhile
        if _version(connection) == 0:
            if what := next((name for name in FILES_OF_A_STORE if any((directory / name).rglob("*.*"))), None):
                message = tr(
                    "{what}/ has files of a store and the database holds none: it was emptied, or is another one. "
                    "Restore a backup, or move the state directory away to begin anew",
                    what=what,
                )
                raise StoreError(message, subject=str(directory))
            if not create:
                raise StoreError(tr("no center store yet: `collector center run` makes one"), subject=str(directory))
            return _make(connection, directory, now_ms)
        if (directory / BACKUP_MANIFEST).exists():
            message = tr("a backup made by an older program: restore it, and look at what was restored")
            raise StoreError(message, subject=str(directory))
        _upgrade(connection, directory, now_ms)
        return store_id_of(connection)


def renew_key(engine: Engine, directory: Path) -> None:
    """Replace the key for the seals of a store, because it is lost, or known to somebody.

    After a loss nobody can tell which links of the chain this program wrote: all of them are accepted as they are.

    Raises:
        StoreError: there is no store of this program's schema.
    """
    with engine.begin() as connection:
        lock_others_out(connection)
        if find_store_id(connection, str(directory)) is None:
            raise StoreError(tr("no center store yet: `collector center run` makes one"), subject=str(directory))
        try:
            before = read_key(connection, directory)
        except StoreError:
            before = None
        seal_links(with_key(connection, make_key(connection, directory, anew=True)), before=before)


def lock_others_out(connection: Connection) -> None:
    """Let no other process make or upgrade this store until the transaction ends."""
    if connection.dialect.name == "postgresql":
        # SQLite needs no lock: its writers begin with BEGIN IMMEDIATE.
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK_NUMBER})


def has_store(connection: Connection) -> bool:
    """True if there is a store of any schema version."""
    return _version(connection) > 0


def store_id_of(connection: Connection) -> str:
    """The id of an existing store.

    Raises:
        StoreError: it has several: something else wrote into its table.
    """
    found = connection.execute(select(tables_receive.store.c.store_id)).scalars().all()
    if len(found) != 1:
        message = tr("has {count} rows in its table store, and must have one: restore a backup", count=len(found))
        raise StoreError(message, subject="center store")
    return str(found[0])


def revision_of(version: int) -> str:
    """Alembic's name of a schema version."""
    return f"{version:04d}"


def _version(connection: Connection) -> int:
    """The schema version of the store; 0 where there is none."""
    if not inspect(connection).has_table(tables_receive.store.name):
        return 0
    store_id_of(connection)  # raises unless there is exactly one row
    return int(connection.execute(select(tables_receive.store.c.schema_version)).scalar_one())


def make_tables(connection: Connection) -> None:
    """Create all tables, empty; the caller writes the row of `store` that makes them a store."""
    for statement in _statements_of(connection.dialect.name):
        connection.exec_driver_sql(statement)
    connection.execute(insert(VERSION_TABLE), {"version_num": revision_of(tables_receive.SCHEMA_VERSION)})


@functools.cache
def _statements_of(dialect: str) -> tuple[str, ...]:
    """The statements that make tables, indexes and guards: writing them takes longer than carrying them out."""
    found: list[str] = []

    def note(made: ExecutableDDLElement, *_: object, **__: object) -> None:
        found.append(str(made.compile(dialect=engine.dialect)))

    engine = create_mock_engine(f"{dialect}://", note)
    for tables in (metadata, VERSION_TABLE.metadata):
        tables.create_all(engine, checkfirst=False)
    return tuple(found) if dialect == "sqlite" else (";".join(found),)  # a server gets all of them at once


def _make(connection: Connection, directory: Path, now_ms: int) -> str:
    make_tables(connection)
    values = {
        "id": 1,
        "store_id": secrets.token_hex(16),
        "schema_version": tables_receive.SCHEMA_VERSION,
        "since_ms": now_ms,
    }
    connection.execute(insert(tables_receive.store), values)
    make_key(connection, directory)
    return str(values["store_id"])


def _key_before(connection: Connection, directory: Path) -> bytes | None:
    """The key of a store of an earlier schema; None where that schema had no key."""
    has_one = any(each["name"] == "seal_key_sha256" for each in inspect(connection).get_columns("store"))
    return read_key(connection, directory) if has_one else None


def _upgrade(connection: Connection, directory: Path, now_ms: int) -> None:
    from collector.center.db import migrations  # takes half a second, and is rarely needed

    key = _key_before(connection, directory)
    altered = altered_places(connection, key)
    if not inspect(connection).has_table(VERSION_TABLE.name):
        migrations.stamp(connection, revision_of(1))
    migrations.upgrade(connection, directory=directory)
    connection.execute(update(tables_receive.store).values(schema_version=tables_receive.SCHEMA_VERSION))
    seal_everything(with_key(connection, key or make_key(connection, directory)), now_ms, altered)
    if key is None:
        seal_links(connection)
    if connection.dialect.name == "sqlite":
        lost = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        if lost:
            raise StoreError(
                tr("rows of {lost} point at nothing after the upgrade; undone", lost=lost[0][0]), subject=str(directory)
            )
