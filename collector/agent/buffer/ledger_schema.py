# SPDX-License-Identifier: GPL-3.0-or-later
"""The schema of a buffer file: steps that make a new file, and upgrade one of an older agent.

A step never changes once it is released: a change is a further step in `_STEPS`, with a new `CURRENT`. sqlite-utils is
imported only where a step must be taken, and without numpy and pandas: it would import them where they are installed,
to know their types, a fifth of an agent's memory. The fingerprint of the tables alone tells whether a file has taken
every step, and also shows a damaged text of the schema.
"""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

_SET: Final = "buffer"
_MAKE: Final = f"import sys; from {__name__} import make; make(sys.argv[1])"
_MAKING_S: Final = 60.0
CURRENT: Final = "1d6a4157433c6c1a91d9f94db549060d13d1ecf881eda37ea483fdb311521310"


def fingerprint(db: sqlite3.Connection) -> str:
    """SHA-256 of the tables, the indexes and the steps taken; blanks and the kind of quotes do not count.

    Raises:
        sqlite3.Error: the file has tables, but not those of a buffer, or they can't be read.
    """
    facts = db.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()
    if facts:
        facts += db.execute("SELECT name FROM _sqlite_migrations WHERE migration_set = ? ORDER BY id", (_SET,))
    text = ";".join(str(part) for row in facts for part in row)
    return hashlib.sha256("".join(text.replace('"', "").split()).encode()).hexdigest()


@contextmanager
def _absent(*names: str) -> Iterator[None]:
    """Hide modules that are not imported yet from imports inside the block."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: not to be found
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def make_apart(path: Path) -> None:
    """Make a new file in a separate process, so that the 3 MB of sqlite-utils are freed with it.

    Where that fails, the file is missing or empty, and the process that opens it takes the steps.
    """
    with suppress(OSError, subprocess.SubprocessError):
        command = [sys.executable, "-c", _MAKE, str(path)]
        subprocess.run(command, check=True, timeout=_MAKING_S, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make(path: str) -> None:
    """Make the tables of a new file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        bring_up_to_date(db)


def bring_up_to_date(db: sqlite3.Connection) -> None:
    """Take the steps that a file has not taken, all or none of them; an empty file has taken none.

    Raises:
        sqlite3.Error, KeyError, AttributeError, TypeError, ValueError: its tables are not as the steps left them.
    """
    with _absent("numpy", "pandas"):
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
    """The first step. Counters are stored beside the rows they count and change in the same transaction."""
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


def _one_way(db: Any) -> None:
    """The step for one-way devices. `handed`: last batch of a stream handed over; the others count later losses."""
    for name in ("handed", "unconfirmed", "records_unconfirmed"):
        db["streams"].add_column(name, int, not_null_default=0)


def _places(db: Any) -> None:
    """The step for rows that name their place among others, so that pages of different commits are told apart.

    `last_stream`, `last_sequence`: the batch with a unit's last sealed record. `for_sequence`, `place`: the batch that
    an append of the tail will be in, and its number there from 0. NULL in rows of earlier agents, which are not
    compared.
    """
    for table, names in {"units": ("last_stream", "last_sequence"), "tail": ("for_sequence", "place")}.items():
        for name in names:
            db[table].add_column(name, int)


_STEPS: Final[Mapping[str, Callable[[Any], None]]] = {
    "1_first": _first, "2_one_way": _one_way, "3_places": _places
}  # fmt: skip
# The number of steps, for `collector --version`.
SCHEMA_VERSION: Final = len(_STEPS)
