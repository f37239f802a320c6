# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of every import become a Parquet file beside the database; what replaced them becomes a bitmap per pair.

Files are written before the transaction ends: of an upgrade that is killed they are left over, and written again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
import zstandard
from alembic import context, op
from sqlalchemy import text

revision = "0006"
down_revision = "0005"

_AT_ONCE = 100_000
_TIMES = ("start", "end", "issued")
# As the kinds were when this was written.
_COLUMNS = {
    "plan": ("unit", "start", "end", "power_mw", "issued"),
    "orders": ("id", "unit", "kind", "start", "end"),
    "reserve": ("unit", "kind", "start", "end", "power_mw"),
    "voltage_band": ("unit", "start", "end", "low_kv", "high_kv"),
    "exclusions": ("unit", "service", "start", "end", "reason", "note"),
    "revenue": ("plant", "month", "kind", "amount_yuan", "area"),
    "rates": ("unit", "month", "kind", "value", "source"),
    "start_stop_table": (
        *("capacity_from_mw", "capacity_to_mw", "gap_from_h", "gap_to_h", "amount_wan_yuan", "from", "document"),
    ),
}


def upgrade() -> None:
    """Carry it out. Imports that were never published were left by a kill; nobody ever saw them."""
    connection = op.get_bind()
    directory: Any = context.config.attributes.get("directory")
    unpublished = "(SELECT id FROM imported WHERE published_ms IS NULL)"
    connection.execute(text(f"UPDATE imported_row SET replaced_by = NULL WHERE replaced_by IN {unpublished}"))
    connection.execute(text(f"DELETE FROM imported_row WHERE import_id IN {unpublished}"))
    connection.execute(text("DELETE FROM imported WHERE published_ms IS NULL"))
    _change_imported(connection)
    op.create_table(
        "replaced_rows",
        sa.Column("import_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("by_import_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("places", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["import_id"], ["imported.id"]),
        sa.ForeignKeyConstraint(["by_import_id"], ["imported.id"]),
        sa.PrimaryKeyConstraint("import_id", "by_import_id"),
    )
    op.create_index("ix_replaced_rows_by_import_id", "replaced_rows", ["by_import_id"])
    for row in connection.execute(text("SELECT id, kind FROM imported ORDER BY id")).all():
        if row.kind == "register":
            _write_replaced(connection, row.id, _replaced_by(connection, row.id))
        elif row.kind in _COLUMNS:
            _convert(connection, directory / "imported", row.id, row.kind)
    op.drop_table("imported_row")


def _change_imported(connection: Any) -> None:
    columns: list[sa.Column[Any]] = [
        sa.Column("rows_sha256", sa.String(length=64), nullable=True),
        sa.Column("first_ms", sa.BigInteger(), nullable=True),
        sa.Column("last_ms", sa.BigInteger(), nullable=True),
    ]
    if connection.dialect.name == "sqlite":
        # It reads a row from its start: behind the bytes of a file a column would cost all of them.
        with op.batch_alter_table("imported", recreate="always") as table:
            for column, after in zip(columns, ("undone_by", "rows_sha256", "first_ms"), strict=True):
                table.add_column(column, insert_after=after)
    else:
        for column in columns:
            op.add_column("imported", column)
    op.execute("UPDATE imported SET first_ms = 0, last_ms = 0")
    with op.batch_alter_table("imported") as table:
        for name in ("first_ms", "last_ms"):
            table.alter_column(name, existing_type=sa.BigInteger(), nullable=False)
        table.drop_column("published_ms")
        table.drop_column("longest_ms")


def _convert(connection: Any, folder: Path, import_id: int, kind: str) -> None:
    folder.mkdir(exist_ok=True)
    temporary, first_ms, last_ms = folder / ".migration.tmp", 0, 0  # after a kill, the next try overwrites it
    with temporary.open("wb") as file:
        with pq.ParquetWriter(file, _schema(kind), compression="zstd") as writer:
            for rows in _rows(connection, import_id):
                begins, ends = [row.start_ms for row in rows], [row.end_ms for row in rows]
                first_ms, last_ms = min(first_ms or begins[0], *begins), max(last_ms, *ends)
                writer.write_table(_table(kind, rows))
        file.flush()
        os.fsync(file.fileno())
    sha256 = hashlib.sha256(temporary.read_bytes()).hexdigest()
    temporary.rename(folder / f"{sha256}.parquet")
    for directory in (folder, folder.parent):
        descriptor = os.open(directory, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    values = {"sha256": sha256, "first_ms": first_ms, "last_ms": last_ms, "id": import_id}
    update = "UPDATE imported SET rows_sha256 = :sha256, first_ms = :first_ms, last_ms = :last_ms WHERE id = :id"
    connection.execute(text(update), values)
    _write_replaced(connection, import_id, _replaced_by(connection, import_id))


def _rows(connection: Any, import_id: int) -> Iterator[Any]:
    query = text("SELECT row, start_ms, end_ms, cells FROM imported_row WHERE import_id = :id ORDER BY start_ms, id")
    result = connection.execute(query, {"id": import_id}, execution_options={"yield_per": _AT_ONCE})
    yield from result.partitions()


def _schema(kind: str) -> pa.Schema:
    fields = [(name, pa.int64() if name in _TIMES else pa.string()) for name in _COLUMNS[kind]]
    more = [("power_kw", pa.int64())] if kind == "plan" else []
    return pa.schema([*fields, *more, ("row", pa.int32())])


def _table(kind: str, rows: Any) -> pa.Table:
    cells = dict(zip(_COLUMNS[kind], zip(*(json.loads(row.cells) for row in rows), strict=True), strict=True))
    arrays: dict[str, Any] = {
        name: [int(text) if text else None for text in texts] if name in _TIMES else texts
        for name, texts in cells.items()
    }
    if kind == "plan":
        arrays["power_kw"] = [_power_kw(text) if text else None for text in cells["power_mw"]]
    return pa.table({**arrays, "row": [row.row for row in rows]}, schema=_schema(kind))


@cache
def _power_kw(power_mw: str) -> int:
    """Half away from zero, as every reader of a plan has it."""
    return int((Decimal(power_mw) * 1000).to_integral_value(ROUND_HALF_UP))


def _replaced_by(connection: Any, import_id: int) -> dict[int, Any]:
    """Places of the rows that another import replaced, by that import."""
    query = text("SELECT replaced_by FROM imported_row WHERE import_id = :id ORDER BY start_ms, id")
    by = np.array([n or 0 for n in connection.execute(query, {"id": import_id}).scalars()], np.int64)
    return {number: by == number for number in np.unique(by[by > 0]).tolist()}


def _write_replaced(connection: Any, import_id: int, replaced: dict[int, Any]) -> None:
    for number, bits in replaced.items():
        values = {
            "id": import_id,
            "by": number,
            "places": zstandard.ZstdCompressor().compress(np.packbits(bits).tobytes()),
        }
        connection.execute(text("INSERT INTO replaced_rows VALUES (:id, :by, :places)"), values)
