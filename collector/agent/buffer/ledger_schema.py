# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of a buffer file: the steps that make a new one, and bring one that an older agent made up to date.

A step never changes once it is released: what is new comes as a further step in `_STEPS`, and `CURRENT` with it.
sqlite-utils is loaded only where a step is to be taken: with numpy, which it brings along, it costs an agent a quarter
of a second and 14 MB. Whether a file has seen every step is told by the fingerprint of its tables alone, which also
tells a damaged text of the schema.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any, Final

_SET: Final = "buffer"
CURRENT: Final = "eed03156c297d0a8ad8d98d312e59f5e79982866fcf8ae894c2f93e132d4bc38"


def fingerprint(db: sqlite3.Connection) -> str:
    """SHA-256 of the tables, the indexes and the steps seen; blanks and the kind of quotes do not count.

    Raises:
        sqlite3.Error: the file has tables, but not those of a buffer, or they can't be read.
    """
    facts = db.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()
    if facts:
        facts += db.execute("SELECT name FROM _sqlite_migrations WHERE migration_set = ? ORDER BY id", (_SET,))
    text = ";".join(str(part) for row in facts for part in row)
    return hashlib.sha256("".join(text.replace('"', "").split()).encode()).hexdigest()


def bring_up_to_date(db: sqlite3.Connection) -> None:
    """Take the steps that a file has not seen, all or none of them; an empty file has seen none.

    Raises:
        sqlite3.Error, KeyError, AttributeError, TypeError, ValueError: its tables are not as the steps left them.
    """
    import sqlite_utils
    from sqlite_utils.migrations import Migrations

    schema = Migrations(_SET)
    for name, step in _STEPS.items():
        schema(name=name)(step)
    db.execute("BEGIN IMMEDIATE")
    try:
        schema.apply(sqlite_utils.Database(db, recursive_triggers=False, execute_plugins=False))
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


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
    lost: dict[str, Any] = {"id": int, "stream": int, "from_seq": int, "to_seq": int, "from_ms": int, "to_ms": int}
    db["lost"].create(lost | {"units": str, "reason": str, "due": int, "told_stream": int, "told_seq": int}, pk="id")


_STEPS: Final[Mapping[str, Callable[[Any], None]]] = {"1_first": _first}
