# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of imports and of the runs made from them. An import is never deleted: it is replaced or undone."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, LargeBinary, String, Table, Text

from collector.center.db.tables_receive import metadata as metadata

_Key = BigInteger().with_variant(Integer(), "sqlite")

# One delivered file: who, when, its hash and its bytes, compressed. Its rows are a file of their own
# (`inputs/stored_rows.py`), written before this row is; `rows_sha256`: its hash and name, null for a register and for
# records. `first_ms`, `last_ms`: the time its rows touch, 0 where the kind has no intervals.
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
    Column("rows_sha256", String(64), nullable=True),
    Column("first_ms", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
    Column("bytes", LargeBinary, nullable=False),
)

# Rows of an import that another import replaced; valid while both imports count. `places`: a compressed bitmap
# along the rows of the first one's file. A register counts as one row.
replaced_rows: Final = Table(
    "replaced_rows",
    metadata,
    Column("import_id", ForeignKey("imported.id"), primary_key=True),
    Column("by_import_id", ForeignKey("imported.id"), primary_key=True, index=True),
    Column("places", LargeBinary, nullable=False),
)

# A settlement run, from the moment it is asked for: queued, running, then done, failed or interrupted (`run_list`);
# a done run may expire: its folder, its day files and its pins are removed, the row stays.
# Its inputs are in its folder, the day files as links to the pinned ones. `status`, the hashes and
# `manifest` are empty unless it is done; while it runs, `folder` names the unfinished folder. `at_ms`: when it
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
    Column("expired_ms", BigInteger, nullable=True),
    # the hash (SHA-256) that is equal for equal requests, and the name of the lock that the run's maker holds
    Column("job", String(64), nullable=True),
    Column("worker", String(32), nullable=True),
    # progress: the step, the parts done, and their number
    Column("doing", String(32), nullable=True),
    Column("parts_done", Integer, nullable=True),
    Column("parts", Integer, nullable=True),
    # the reason of a failure: as text, and as a JSON list of [file, row, key, message]
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

# Runs with a statement: only these are read, compared, disclosed, packed, checked and backed up.
has_statement: Final = run.c.state == "done"

effective: Final = imported.c.undone_ms.is_(None)
