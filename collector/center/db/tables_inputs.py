# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of what people import, and of the runs made from it. What was published is never deleted: it is replaced
or undone."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    func,
    literal,
    select,
)

from collector.center.db.tables_receive import metadata as metadata

_Key = BigInteger().with_variant(Integer(), "sqlite")

# One delivered file: who, when, its hash and its very bytes, packed. Its rows count from `published_ms` on, which is
# written last: an import without it is being taken, or was never finished. `longest_ms`: of the intervals of its rows.
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
    Column("published_ms", BigInteger, nullable=True),
    Column("undone_ms", BigInteger, nullable=True),
    Column("undone_by", String(64), nullable=True),
    Column("longest_ms", BigInteger, nullable=False),
    Column("bytes", LargeBinary, nullable=False),
)

# `cells`: JSON list along the kind's columns, times as UTC ms. `replaced_by`: the last import that took its place; it
# may have been undone since, or not be published yet. Which rows count: `in_force`.
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
    Index("imported_row_in_force", "kind", "start_ms"),
)

# A settlement run, from the moment it is asked for: queued, running, then done, failed or interrupted (`run_list`).
# What it was made from lies in its folder, the day files as links to the pinned ones. `status`, the hashes and
# `manifest` are empty unless it is done, `folder` also names the half-made one while it is running. `at_ms`: when it
# was done, or else asked for.
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
    # JSON: SHA-256 of rows.msgpack and segments.parquet by name; null where an older program made the run
    Column("page_files", Text, nullable=True),
    Column("state", String(16), nullable=False),
    Column("asked_ms", BigInteger, nullable=False),
    Column("began_ms", BigInteger, nullable=True),
    Column("ended_ms", BigInteger, nullable=True),
    # by what two askings are known to want the same (SHA-256), and the name of the lock whose holder makes the run
    Column("job", String(64), nullable=True),
    Column("worker", String(32), nullable=True),
    # how far it is: the step, and so many of so many parts of it
    Column("doing", String(32), nullable=True),
    Column("parts_done", Integer, nullable=True),
    Column("parts", Integer, nullable=True),
    # why it failed: in one text, and as a JSON list of [file, row, key, message]
    Column("error", Text, nullable=True),
    Column("problems", Text, nullable=True),
)

run_file: Final = Table(
    "run_file",
    metadata,
    Column("run_id", ForeignKey("run.id"), primary_key=True),
    Column("plant", String(64), primary_key=True),
    Column("name", String(200), primary_key=True),
)

# Which runs have a statement: the only ones to be read, compared, disclosed, packed, checked and backed up.
has_statement: Final = run.c.state == "done"

published: Final = imported.c.published_ms.is_not(None)
effective: Final = published & imported.c.undone_ms.is_(None)


def in_force(kind: str) -> ColumnElement[bool]:
    """Which rows of a kind count now: of an import that counts, not replaced by another that does."""
    counting = select(imported.c.id).where((imported.c.kind == kind) & effective)
    # The sum keeps the database from going by imports instead of by kind and time, in whose order rows are wanted.
    own = (imported_row.c.import_id + 0).in_(counting)
    still = imported_row.c.replaced_by.is_(None) | imported_row.c.replaced_by.not_in(counting)
    return (imported_row.c.kind == kind) & own & still


def touching(kind: str, start_ms: int, end_ms: int) -> ColumnElement[bool]:
    """Which rows of a kind touch a stretch of time; found by the index, however much there is before it."""
    longest = select(func.coalesce(func.max(imported.c.longest_ms), 0)).where(imported.c.kind == kind)
    earliest = literal(start_ms, BigInteger) - longest.scalar_subquery()
    starts = (imported_row.c.start_ms > earliest) & (imported_row.c.start_ms < end_ms)
    return (imported_row.c.kind == kind) & starts & (imported_row.c.end_ms > start_ms)
