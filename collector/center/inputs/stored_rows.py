# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of imports in the store: those in force, by stretches of time; new ones put in, some at a time."""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
from sqlalchemy import Connection, bindparam, delete, select, update

from collector.center.db.tables_inputs import imported_row, in_force, touching
from collector.center.inputs.conflicts import ROWS_AT_ONCE, HeldRows, Rows
from collector.center.inputs.kinds import KINDS

_COLUMNS: Final = ("import_id", "kind", "row", "start_ms", "end_ms", "cells")
_HELD: Final = (imported_row.c.id, imported_row.c.start_ms, imported_row.c.end_ms, imported_row.c.cells)
_INSERT: Final = f"INSERT INTO imported_row ({', '.join(_COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?)"
_COPY: Final = f"COPY imported_row ({', '.join(_COLUMNS)}) FROM STDIN (FORMAT csv)"

Int64s = npt.NDArray[np.int64]


def held_rows(connection: Connection, kind: str, start_ms: int, end_ms: int, *, but: int = 0) -> Iterator[HeldRows]:
    """Rows in force that touch a stretch of time; of a kind not `apart`, all. `but`: not those of an import."""
    where = in_force(kind) & (imported_row.c.import_id != but)
    if KINDS[kind].apart:
        where &= touching(kind, start_ms, end_ms)
    yield from _batches(connection, select(*_HELD).where(where))


def rows_replaced_by(connection: Connection, import_id: int) -> Iterator[HeldRows]:
    """What an import replaced."""
    query = select(*_HELD).where(imported_row.c.replaced_by == import_id).order_by(imported_row.c.id)
    yield from _batches(connection, query)


def _batches(connection: Connection, query: Any) -> Iterator[HeldRows]:
    result = connection.execute(query.execution_options(yield_per=ROWS_AT_ONCE))
    for batch in result.partitions():
        number, start_ms, end_ms, cells = zip(*batch, strict=True)
        yield HeldRows(_integers(number), _integers(start_ms), _integers(end_ms), pa.array(cells, pa.string()))


def _integers(values: Any) -> Int64s:
    return np.array(values, np.int64)


def insert_rows(connection: Connection, kind: str, rows: Rows, import_id: int) -> None:
    """Put rows of an import in, in the order given."""
    if connection.dialect.name == "sqlite":
        columns = (rows.row.tolist(), rows.start_ms.tolist(), rows.end_ms.tolist(), rows.cells().to_pylist())
        connection.exec_driver_sql(_INSERT, [(import_id, kind, *row) for row in zip(*columns, strict=True)])
        return
    table = pa.table(
        {
            "import_id": pa.repeat(pa.scalar(import_id, pa.int64()), len(rows)),
            "kind": pa.repeat(kind, len(rows)),
            "row": rows.row,
            "start_ms": rows.start_ms,
            "end_ms": rows.end_ms,
            "cells": rows.cells(),
        }
    )
    text = io.BytesIO()
    pa.csv.write_csv(table, text, pa.csv.WriteOptions(include_header=False))
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(_COPY) as copy:
        copy.write(text.getbuffer())


def mark_replaced(connection: Connection, numbers: Int64s, import_id: int) -> None:
    """Write down that an import takes the place of these rows; `numbers` in order."""
    edges = np.flatnonzero(np.diff(numbers) != 1)
    first, last = numbers[np.concatenate([[0], edges + 1])], numbers[np.concatenate([edges, [len(numbers) - 1]])]
    between = imported_row.c.id.between(bindparam("first"), bindparam("last"))
    runs = [{"first": a, "last": b} for a, b in zip(first.tolist(), last.tolist(), strict=True)]
    connection.execute(update(imported_row).where(between).values(replaced_by=import_id), runs)


def origins(connection: Connection, numbers: Collection[int]) -> dict[int, tuple[int, int, list[str]]]:
    """Of some rows the import they came with, their row in its file and their cells."""
    columns = (imported_row.c.id, imported_row.c.import_id, imported_row.c.row, imported_row.c.cells)
    rows = connection.execute(select(*columns).where(imported_row.c.id.in_(sorted(numbers))))
    return {int(r.id): (int(r.import_id), int(r.row), json.loads(r.cells)) for r in rows}


def forget_rows(connection: Connection, import_id: int, *, most: int) -> bool:
    """Take out some of what an import that was never published left behind; whether that was all of it."""
    mine = imported_row.c.import_id == import_id
    marked = imported_row.c.replaced_by == import_id
    some = select(imported_row.c.id).where(marked).limit(most)
    freed = connection.execute(update(imported_row).where(imported_row.c.id.in_(some)).values(replaced_by=None))
    if freed.rowcount:
        return False
    some = select(imported_row.c.id).where(mine).limit(most)
    return not connection.execute(delete(imported_row).where(imported_row.c.id.in_(some))).rowcount
