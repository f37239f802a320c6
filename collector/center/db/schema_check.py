# SPDX-License-Identifier: GPL-3.0-or-later
"""Check that the database has this program's tables, columns, indexes and guards, and no other triggers.

A foreign trigger writes inside this program's own transactions, so that the chain of rows takes its writes for this
program's (`sealed_rows`); without a guard, the log and the books can be changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Connection, PrimaryKeyConstraint, UniqueConstraint, text

from collector.base.text import tr
from collector.center.db.all_tables import metadata
from collector.center.db.tables_month import APPEND_ONLY
from collector.center.db.tables_people import audit

_VERBS: Final = ("update", "delete")
_COLUMNS: Final = {
    "sqlite": "SELECT m.name, p.name FROM sqlite_master m JOIN pragma_table_info(m.name) p WHERE m.type = 'table'",
    "postgresql": "SELECT c.table_name, c.column_name FROM information_schema.columns c JOIN pg_tables t "
    "ON t.schemaname = c.table_schema AND t.tablename = c.table_name WHERE c.table_schema = current_schema()",
}
# Name, whether it is unique, its columns in order, and its row condition where it is partial.
_INDEXES: Final = {
    "sqlite": 'SELECT l.name, l."unique", '
    "(SELECT group_concat(i.name, ' ') FROM (SELECT name FROM pragma_index_info(l.name) ORDER BY seqno) i), "
    "substr(m.sql, instr(m.sql, ' WHERE ') + 7) AS rows_of, m.sql NOT LIKE '% WHERE %' OR m.sql IS NULL AS whole "
    "FROM sqlite_master t JOIN pragma_index_list(t.name) l "
    "LEFT JOIN sqlite_master m ON m.type = 'index' AND m.name = l.name WHERE t.type = 'table'",
    "postgresql": "SELECT c.relname, i.indisunique, "
    "(SELECT string_agg(a.attname, ' ' ORDER BY k.place) FROM unnest(i.indkey::smallint[]) WITH ORDINALITY "
    "k(number, place) JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number), "
    "pg_get_expr(i.indpred, i.indrelid), i.indpred IS NULL FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
    "WHERE c.relnamespace = current_schema()::regnamespace AND NOT i.indisprimary "
    "AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('u', 'p'))",
}
# Unique column sets without a named index of ours: primary keys, and `unique`.
_UNIQUE: Final = {
    "sqlite": "SELECT t.name, (SELECT group_concat(name, ' ') FROM (SELECT name FROM pragma_index_info(l.name) "
    "ORDER BY name)) FROM sqlite_master t JOIN pragma_index_list(t.name) l WHERE l.origin IN ('u', 'pk') "
    "UNION SELECT t.name, (SELECT group_concat(name, ' ') FROM (SELECT name FROM pragma_table_info(t.name) "
    "WHERE pk > 0 ORDER BY name)) FROM sqlite_master t WHERE t.type = 'table'",
    "postgresql": "SELECT c.relname, (SELECT string_agg(a.attname, ' ' ORDER BY a.attname::text COLLATE \"C\") "
    "FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum = ANY(k.conkey)) FROM pg_constraint k "
    "JOIN pg_class c ON c.oid = k.conrelid WHERE k.contype IN ('u', 'p') "
    "AND c.relnamespace = current_schema()::regnamespace",
}


def check_schema(connection: Connection) -> Iterator[str]:
    """Missing and foreign parts of the schema, in words."""
    columns = _columns(connection)
    for name, table in metadata.tables.items():
        if name not in columns:
            yield tr("database: table {name} is gone", name=name)
            continue
        made = {column.name for column in table.columns}
        yield from (
            tr("database: column {name}.{each} is gone", name=name, each=each) for each in sorted(made - columns[name])
        )
        foreign = sorted(columns[name] - made)
        yield from (
            tr("database: column {name}.{each} is none of this program's", name=name, each=each) for each in foreign
        )
    yield from _indexes(connection, {name for name in metadata.tables if name in columns})
    yield from _triggers(connection)
    if connection.dialect.name == "postgresql":  # does what a trigger does, under another name
        rules = text("SELECT rulename, tablename FROM pg_rules WHERE schemaname = current_schema()")
        for rule in connection.execute(rules):
            yield tr(
                "database: rule {rulename} on {tablename} is none of this program's",
                rulename=rule.rulename,
                tablename=rule.tablename,
            )


def _columns(connection: Connection) -> dict[str, set[str]]:
    """Columns by table, in one query: a query for each table is slow."""
    columns: dict[str, set[str]] = {}
    for table, column in connection.execute(text(_COLUMNS[connection.dialect.name])):
        columns.setdefault(table, set()).add(column)
    return columns


def _indexes(connection: Connection, there: set[str]) -> Iterator[str]:
    """Missing or changed indexes and keys, which keep rows unique."""
    dialect = connection.dialect.name
    found = {
        name: (bool(unique), columns, "" if whole else _plain(rows))
        for name, unique, columns, rows, whole in connection.execute(text(_INDEXES[dialect]))
        if not name.startswith("sqlite_autoindex_")
    }
    apart: dict[str, set[str]] = {}
    for name, columns in connection.execute(text(_UNIQUE[dialect])):
        apart.setdefault(name, set()).add(columns)
    for table in metadata.tables.values():
        if table.name not in there:
            continue
        for index in table.indexes:
            rows = index.dialect_options[dialect]["where"]
            words = "" if rows is None else _plain(str(rows.compile(dialect=connection.dialect)))
            made = bool(index.unique), " ".join(column.name for column in index.columns), words
            what = found.pop(str(index.name), None)
            if what is None:
                yield tr("database: index {name} is gone", name=index.name)
            elif what != made:
                yield tr("database: index {name} is not as this program made it", name=index.name)
        keys = [each for each in table.constraints if isinstance(each, PrimaryKeyConstraint | UniqueConstraint)]
        for key in keys:
            columns = " ".join(sorted(column.name for column in key.columns))
            if columns not in apart.get(table.name, ()):
                yield tr("database: two rows of {name} may have the same {columns}", name=table.name, columns=columns)
    yield from (tr("database: index {name} is none of this program's", name=name) for name in sorted(found))


def _plain(condition: str) -> str:
    """A condition without table, brackets and blanks, so that both databases and the metadata give the same text."""
    return "".join(condition.rpartition(".")[2].replace("(", "").replace(")", "").split()).lower()


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
            yield tr(
                "database: trigger {name} is none of this program's; what it did counts as this program's doing",
                name=row.name,
            )
        elif " ".join(str(row.what).split()) != raises:
            yield tr("database: trigger {name} is not as this program made it", name=row.name)
    yield from (
        tr("database: trigger {name} is gone, which keeps rows from being changed", name=name)
        for name in sorted(guards)
    )


def _guards(dialect: str) -> dict[str, str]:
    """The text of each guard by name: the whole statement in SQLite, the function's body in PostgreSQL."""
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
