# SPDX-License-Identifier: GPL-3.0-or-later
"""A store's rows from one database to another, whatever the two are: how PostgreSQL is backed up and restored.

The same tables stand in both, so a row is carried over as it is. Read in the caller's transaction, which sees one
state; a store of any size passes in portions.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, func, insert, select, text
from sqlalchemy.sql.schema import Table

from collector.center.db.all_tables import metadata

_ROWS_AT_ONCE: Final = 500  # payloads among them: a few MB


def copy_tables(source: Connection, target: Connection) -> None:
    """Fill the empty tables of `target` with the rows of `source`, parents before those that name them."""
    for table in metadata.sorted_tables:
        query = select(table).order_by(*table.primary_key.columns).execution_options(yield_per=_ROWS_AT_ONCE)
        for rows in source.execute(query).mappings().partitions():
            target.execute(insert(table), [dict(row) for row in rows])
        if target.dialect.name == "postgresql":
            _continue_key(target, table)


def _continue_key(connection: Connection, table: Table) -> None:
    """New keys begin after those that were carried over."""
    column = table.autoincrement_column
    if column is None:
        return
    last = connection.execute(select(func.max(column))).scalar()
    if last is not None:
        query = text("SELECT setval(pg_get_serial_sequence(:table, :column), :last)")
        connection.execute(query, {"table": f'"{table.name}"', "column": column.name, "last": last})
