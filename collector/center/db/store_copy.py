# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies a store's rows from one database to another: the backup and restore of PostgreSQL.

Both have the same tables, so rows are copied unchanged. They are read in the caller's transaction, which sees one
state; a store of any size passes in portions.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, func, insert, select, text
from sqlalchemy.sql.schema import Table

from collector.center.db.all_tables import metadata

_ROWS_AT_ONCE: Final = 500  # with payloads: a few MB


def copy_tables(source: Connection, target: Connection) -> None:
    """Fill the empty tables of `target` with the rows of `source`, parents before children."""
    for table in metadata.sorted_tables:
        query = select(table).order_by(*table.primary_key.columns).execution_options(yield_per=_ROWS_AT_ONCE)
        for rows in source.execute(query).mappings().partitions():
            target.execute(insert(table), [dict(row) for row in rows])
        if target.dialect.name == "postgresql":
            _continue_key(target, table)


def _continue_key(connection: Connection, table: Table) -> None:
    """Set the key sequence of a table to continue after the copied rows."""
    column = table.autoincrement_column
    if column is None:
        return
    last = connection.execute(select(func.max(column))).scalar()
    if last is not None:
        query = text("SELECT setval(pg_get_serial_sequence(:table, :column), :last)")
        connection.execute(query, {"table": f'"{table.name}"', "column": column.name, "last": last})
