# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of what people import, and of the runs made from it. Rows are never deleted: they are replaced or undone."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text

from collector.center.schema import metadata as metadata

_Key = BigInteger().with_variant(Integer(), "sqlite")

# One delivered file: who, when, its hash and its very bytes.
imported: Final = Table(
    "imported",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("name", String(255), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("who", String(64), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("added", Integer, nullable=False),
    Column("same", Integer, nullable=False),
    Column("replaced", Integer, nullable=False),
    Column("undone_ms", BigInteger, nullable=True),
    Column("undone_by", String(64), nullable=True),
    Column("bytes", LargeBinary, nullable=False),
)

# `cells`: JSON list along the kind's columns, times as UTC ms. In force: not replaced and not undone.
imported_row: Final = Table(
    "imported_row",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("import_id", ForeignKey("imported.id"), nullable=False, index=True),
    Column("kind", String(32), nullable=False),
    Column("row", Integer, nullable=False),
    Column("start_ms", BigInteger, nullable=False),
    Column("end_ms", BigInteger, nullable=False),
    Column("cells", Text, nullable=False),
    Column("replaced_by", ForeignKey("imported.id"), nullable=True, index=True),
    Column("undone", Boolean, nullable=False),
    Index("imported_row_in_force", "kind", "start_ms"),
)

# A settlement run: what it was made from lies in its folder, the day files as links to the pinned ones.
run: Final = Table(
    "run",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("month", String(7), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("who", String(64), nullable=False),
    Column("folder", String(255), nullable=False),
    Column("status", String(32), nullable=False),
    Column("result_hash", String(64), nullable=False),
    Column("manifest", Text, nullable=False),
    # trial, what_if or correction; the run it is measured against, where it is a variant of one
    Column("kind", String(16), nullable=False),
    Column("base_run_id", ForeignKey("run.id"), nullable=True),
    Column("rulebook_hash", String(64), nullable=False),
    Column("note", String(1000), nullable=False),
)

run_file: Final = Table(
    "run_file",
    metadata,
    Column("run_id", ForeignKey("run.id"), primary_key=True),
    Column("plant", String(64), primary_key=True),
    Column("name", String(200), primary_key=True),
)
