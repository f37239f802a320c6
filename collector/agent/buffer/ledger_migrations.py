# SPDX-License-Identifier: GPL-3.0-or-later
"""How the tables of the buffer came to be, step by step, by sqlite-utils: what brings an older file up to date.

A new file is made of the outcome, which `ledger_schema.py` has in words; a test compares them. Loaded only where an
older file is found: sqlite-utils brings numpy along, and the two are a sixth of the memory an agent may take.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import sqlite_utils
from sqlite_utils.migrations import Migrations

from collector.agent.buffer.ledger_schema import SET

schema = Migrations(SET)


@schema(name="1_first")
def _first(db: Any) -> None:
    """Counters live beside the rows they count and change in the same transaction."""
    db["meta"].create({"key": str, "value": str}, pk="key")
    db["recorded"].create({"id": int, "records": int, "gaps": int}, pk="id")
    db["recorded"].insert({"id": 1, "records": 0, "gaps": 0})
    db["stores"].create({"store_id": str, "present": int}, pk="store_id")
    db["units"].create({"unit": str, "plant": str, "quantities": str, "era": int, "time_utc_ms": int}, pk="unit")
    counters = ("sealed", "freed", "evicted", "records_sealed", "records_freed", "records_evicted", "records_resealed")
    streams: dict[str, Any] = {"id": int, "plant": str, "epoch": str, "current": int, "conflicted": int}
    streams |= {"next_sequence": int, "heard_store": str} | dict.fromkeys(counters, int)
    db["streams"].create(streams, pk="id")
    db["streams"].create_index(["plant", "epoch"], unique=True)
    db["tail"].create({"id": int, "stream": int, "records": int, "body": bytes}, pk="id")
    columns: dict[str, Any] = {"id": int, "stream": int, "sequence": int, "state": int, "first_ms": int, "last_ms": int}
    columns |= {"records": int, "gaps": int, "units": str, "refused": str, "freed_ms": int}
    db["batches"].create(columns | {"sha256": bytes, "payload": bytes}, pk="id")
    db["batches"].create_index(["stream", "sequence"], unique=True)
    db.execute("CREATE INDEX batches_pending ON batches(stream, sequence, records) WHERE state = 0")
    db.execute("CREATE INDEX batches_freed ON batches(freed_ms) WHERE state = 1")
    lost: dict[str, Any] = {
        "id": int,
        "stream": int,
        "from_seq": int,
        "to_seq": int,
        "from_ms": int,
        "to_ms": int,
        "units": str,
    }
    db["lost"].create(lost | {"reason": str, "due": int, "told_stream": int, "told_seq": int}, pk="id")


def bring_up_to_date(db: sqlite3.Connection) -> None:
    """Take the steps that a file has not seen, each in a transaction."""
    schema.apply(sqlite_utils.Database(db))
