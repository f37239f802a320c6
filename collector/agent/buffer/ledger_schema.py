# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of a buffer file as they are now, word for word as the steps of `ledger_migrations.py` make them."""

from __future__ import annotations

import sqlite3
from typing import Final

SET: Final = "buffer"
STEPS: Final = ("1_first",)
_ALL: Final = """
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE TABLE "meta" (
   "key" TEXT PRIMARY KEY,
   "value" TEXT
);
CREATE TABLE "recorded" (
   "id" INTEGER PRIMARY KEY,
   "records" INTEGER,
   "gaps" INTEGER
);
CREATE TABLE "stores" (
   "store_id" TEXT PRIMARY KEY,
   "present" INTEGER
);
CREATE TABLE "units" (
   "unit" TEXT PRIMARY KEY,
   "plant" TEXT,
   "quantities" TEXT,
   "era" INTEGER,
   "time_utc_ms" INTEGER
);
CREATE TABLE "streams" (
   "id" INTEGER PRIMARY KEY,
   "plant" TEXT,
   "epoch" TEXT,
   "current" INTEGER,
   "conflicted" INTEGER,
   "next_sequence" INTEGER,
   "heard_store" TEXT,
   "sealed" INTEGER,
   "freed" INTEGER,
   "evicted" INTEGER,
   "records_sealed" INTEGER,
   "records_freed" INTEGER,
   "records_evicted" INTEGER,
   "records_resealed" INTEGER
);
CREATE UNIQUE INDEX "idx_streams_plant_epoch"
    ON "streams" ("plant", "epoch");
CREATE TABLE "tail" (
   "id" INTEGER PRIMARY KEY,
   "stream" INTEGER,
   "records" INTEGER,
   "body" BLOB
);
CREATE TABLE "batches" (
   "id" INTEGER PRIMARY KEY,
   "stream" INTEGER,
   "sequence" INTEGER,
   "state" INTEGER,
   "first_ms" INTEGER,
   "last_ms" INTEGER,
   "records" INTEGER,
   "gaps" INTEGER,
   "units" TEXT,
   "refused" TEXT,
   "freed_ms" INTEGER,
   "sha256" BLOB,
   "payload" BLOB
);
CREATE UNIQUE INDEX "idx_batches_stream_sequence"
    ON "batches" ("stream", "sequence");
CREATE INDEX batches_pending ON batches(stream, sequence, records) WHERE state = 0;
CREATE INDEX batches_freed ON batches(freed_ms) WHERE state = 1;
CREATE TABLE "lost" (
   "id" INTEGER PRIMARY KEY,
   "stream" INTEGER,
   "from_seq" INTEGER,
   "to_seq" INTEGER,
   "from_ms" INTEGER,
   "to_ms" INTEGER,
   "units" TEXT,
   "reason" TEXT,
   "due" INTEGER,
   "told_stream" INTEGER,
   "told_seq" INTEGER
);
"""


def is_current(db: sqlite3.Connection) -> bool:
    """Whether a file has seen every step.

    Raises:
        sqlite3.Error: its tables can't be read.
    """
    seen = db.execute("SELECT name FROM _sqlite_migrations WHERE migration_set = ?", (SET,))
    return {name for (name,) in seen} >= set(STEPS)


def create(db: sqlite3.Connection) -> None:
    """Make the tables in an empty file, all or none."""
    steps = "".join(f"INSERT INTO _sqlite_migrations VALUES (NULL, '{SET}', '{s}', datetime('now'));\n" for s in STEPS)
    try:
        db.executescript(f"BEGIN IMMEDIATE;{_ALL}INSERT INTO recorded VALUES (1, 0, 0);\n{steps}COMMIT;")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
