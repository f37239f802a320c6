# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the database has the tables, columns, indexes and guards that this program made, and no triggers besides.

A foreign trigger writes inside of this program's own transactions, so that the chain of rows takes what it wrote for
this program's (`sealed_rows`); a guard that is gone lets the log and the books be changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Connection, text

from collector.center.db.all_tables import metadata
from collector.center.db.tables_month import APPEND_ONLY
from collector.center.db.tables_people import audit

_VERBS: Final = ("update", "delete")
_COLUMNS: Final = {
    "sqlite": "SELECT m.name, p.name FROM sqlite_master m JOIN pragma_table_info(m.name) p WHERE m.type = 'table'",
    "postgresql": "SELECT c.table_name, c.column_name FROM information_schema.columns c JOIN pg_tables t "
    "ON t.schemaname = c.table_schema AND t.tablename = c.table_name WHERE c.table_schema = current_schema()",
}
_INDEXES: Final = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'index'",
    "postgresql": "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema()",
}


def check_schema(connection: Connection) -> Iterator[str]:
    """Everything that is missing, or there and not this program's, in words."""
    columns, indexes = _found(connection)
    for name, table in metadata.tables.items():
        if name not in columns:
            yield f"database: table {name} is gone"
            continue
        made = {column.name for column in table.columns}
        yield from (f"database: column {name}.{each} is gone" for each in sorted(made - columns[name]))
        foreign = sorted(columns[name] - made)
        yield from (f"database: column {name}.{each} is none of this program's" for each in foreign)
        yield from (f"database: index {each.name} is gone" for each in table.indexes if each.name not in indexes)
    yield from _triggers(connection)


def _found(connection: Connection) -> tuple[dict[str, set[str]], set[str]]:
    """Columns by table, and the names of all indexes; asked at once, for a question for each table is slow."""
    columns: dict[str, set[str]] = {}
    for table, column in connection.execute(text(_COLUMNS[connection.dialect.name])):
        columns.setdefault(table, set()).add(column)
    return columns, set(connection.execute(text(_INDEXES[connection.dialect.name])).scalars())


def _triggers(connection: Connection) -> Iterator[str]:
    guards = _guards(connection.dialect.name)
    if connection.dialect.name == "sqlite":
        query = "SELECT name, sql AS what FROM sqlite_master WHERE type = 'trigger'"
    else:
        query = (
            "SELECT t.tgname AS name, CASE WHEN t.tgenabled = 'O' THEN p.prosrc ELSE 'disabled' END AS what "
            "FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_class c ON c.oid = t.tgrelid "
            "WHERE NOT t.tgisinternal AND c.relnamespace = current_schema()::regnamespace"
        )
    for row in connection.execute(text(query)):
        raises = guards.pop(row.name, None)
        if raises is None:
            yield f"database: trigger {row.name} is none of this program's; what it did counts as this program's doing"
        elif " ".join(str(row.what).split()) != raises:
            yield f"database: trigger {row.name} is not as this program made it"
    yield from (f"database: trigger {name} is gone, which keeps rows from being changed" for name in sorted(guards))


def _guards(dialect: str) -> dict[str, str]:
    """What the database says of each guard, by name: the whole of it in SQLite, its function's body in PostgreSQL."""
    made: dict[str, str] = {}
    for table in (*APPEND_ONLY, audit):
        message = "the audit log is append-only" if table is audit else f"{table.name} is append-only"
        if dialect == "sqlite":
            for verb in _VERBS:
                name = f"{table.name}_no_{verb}"
                body = f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
                made[name] = f"CREATE TRIGGER {name} BEFORE {verb.upper()} ON {table.name} {body}"
        else:
            made[f"{table.name}_append_only"] = f"BEGIN RAISE EXCEPTION '{message}'; END"
    return made
