# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit log: every change and every disclosure, append-only, each entry chained to the one before by SHA-256.

Anyone with the head's hash (it is printed in every package) can check whether anything before it was altered.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, insert, select, text

from collector.base.text import tr
from collector.center.db.tables_people import audit
from collector.center.people.access import Actor

NOTHING_BEFORE: Final = "0" * 64
LOGIN: Final = "login"
_FIELDS: Final = ("sequence", "at_ms", "who", "role", "action", "subject", "detail", "previous")


def append(
    connection: Connection, *, actor: Actor, action: str, subject: str, detail: Mapping[str, Any], now_ms: int
) -> int:
    """Append an entry in the transaction of the change itself, so that both or neither are stored; returns its number.

    `action`: object.verb, e.g. "import.undo"; `detail`: facts for a later reader, JSON values only. An action at the
    command line carries the operating system's user beside the claimed name.
    """
    if connection.dialect.name == "postgresql":
        # Entries one after the other: sequences without holes, a chain without forks. SQLite has one writer anyway.
        connection.execute(text("LOCK TABLE audit IN EXCLUSIVE MODE"))
    sequence, previous = head(connection)
    entry = {
        "sequence": sequence + 1,
        "at_ms": now_ms,
        "who": actor.name[:64],
        "role": "local" if actor.local else str(actor.role),
        "action": action,
        "subject": subject[:255],
        "detail": detail_text({**detail, LOGIN: actor.login} if actor.login else detail),
        "previous": previous,
    }
    connection.execute(insert(audit).values(entry | {"hash": entry_hash(entry)}))
    return sequence + 1


def detail_text(detail: Mapping[str, Any]) -> str:
    """The details of an entry as text: equal details give equal texts."""
    return json.dumps(detail, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def entry_hash(entry: Mapping[str, Any]) -> str:
    """SHA-256 (hex) over the JSON list of an entry's fields, UTF-8 without blanks: anybody can recompute it."""
    fields = json.dumps([entry[name] for name in _FIELDS], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(fields.encode()).hexdigest()


def head(connection: Connection) -> tuple[int, str]:
    """Sequence and hash of the latest entry; (0, zeros) in an empty log."""
    query = select(audit.c.sequence, audit.c.hash).order_by(audit.c.sequence.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return (0, NOTHING_BEFORE) if row is None else (int(row.sequence), str(row.hash))


def list_entries(
    connection: Connection,
    *,
    before: int | None = None,
    limit: int = 100,
    subject: str = "",
    who: str = "",
    action: str = "",
    since_ms: int | None = None,
    until_ms: int | None = None,
) -> list[dict[str, Any]]:
    """Entries, newest first, at most `limit`; below the sequence `before`.

    Where given: only those of one subject, person or action, and those written in [since_ms, until_ms).
    """
    query = select(audit).order_by(audit.c.sequence.desc()).limit(limit)
    for column, value in ((audit.c.subject, subject), (audit.c.who, who), (audit.c.action, action)):
        if value:
            query = query.where(column == value)
    if before is not None:
        query = query.where(audit.c.sequence < before)
    if since_ms is not None:
        query = query.where(audit.c.at_ms >= since_ms)
    if until_ms is not None:
        query = query.where(audit.c.at_ms < until_ms)
    return [{**row, "detail": json.loads(row["detail"])} for row in connection.execute(query).mappings()]


def verify(connection: Connection) -> list[str]:
    """The problems of the chain, in words; empty where every entry is as it was written."""
    wrong: list[str] = []
    sequence, previous = 0, NOTHING_BEFORE
    query = select(audit).order_by(audit.c.sequence).execution_options(yield_per=1000)
    for row in map(dict, connection.execute(query).mappings()):
        name = tr("audit entry {sequence}", sequence=row["sequence"])
        if row["sequence"] != sequence + 1:
            wrong.append(tr("{name}: follows {sequence}; entries in between are gone", name=name, sequence=sequence))
        if row["previous"] != previous:
            wrong.append(tr("{name}: does not continue the entry before it", name=name))
        if entry_hash(row) != row["hash"]:
            wrong.append(tr("{name}: altered after it was written", name=name))
        sequence, previous = int(row["sequence"]), str(row["hash"])
    return wrong
