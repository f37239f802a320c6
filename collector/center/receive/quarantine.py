# SPDX-License-Identifier: GPL-3.0-or-later
"""The quarantine: refused messages, kept whole, with the code sent to the plant and the reason for people.

Bounded in bytes and in rows, because anybody who reaches the broker can fill it. Overflow decisions: beyond the bytes a
row keeps its hash and facts; beyond the rows a refusal is only counted, in one row of its code. Half of the rows are
for refusals with an authenticated sender: a flood of strangers takes no plant's place. The bytes of a curable refusal
stay at the plant, which offers them again; its row is deleted when they are committed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, delete, func, select, update

from collector.center.db.store import insert_new
from collector.center.db.tables_receive import quarantine
from collector.center.receive.arrivals import Accepted, Rejected
from collector.model.interval import format_time
from collector.wire import CURABLE

_AT_ONCE: Final = 500  # values per statement


def held_bytes(connection: Connection) -> int:
    """Payload bytes in quarantine."""
    held = select(func.coalesce(func.sum(func.length(quarantine.c.bytes)), 0))
    return int(connection.execute(held).scalar_one())


@dataclass
class Room:
    """The remaining room of the quarantine. Counted once a group: a flood of garbage must not cost a scan for each."""

    left_bytes: int
    left_rows: int
    max_rows: int

    @classmethod
    def find(cls, connection: Connection, *, max_bytes: int, max_rows: int) -> Room:
        """Count the present room."""
        rows = int(connection.execute(select(func.count()).select_from(quarantine)).scalar_one())
        return cls(max_bytes - held_bytes(connection), max_rows - rows, max_rows)

    def has_row_for(self, refusal: Rejected) -> bool:
        """True if the refusal may have a row of its own."""
        return self.left_rows > (0 if refusal.authentic else self.max_rows // 2)


def keep(connection: Connection, refusal: Rejected, now_ms: int, room: Room) -> None:
    """Keep a refusal whole, once, or as much of it as there is room for; reduces the room."""
    topic = refusal.topic[:512]
    where = (
        (quarantine.c.sha256 == refusal.sha256) & (quarantine.c.topic == topic) & (quarantine.c.code == refusal.code)
    )
    again = update(quarantine).where(where).values(repeats=quarantine.c.repeats + 1, last_received_ms=now_ms)
    if connection.execute(again).rowcount:
        return
    if not room.has_row_for(refusal):
        _count_only(connection, refusal.code, now_ms)
        return
    kept = refusal.payload if refusal.code not in CURABLE and len(refusal.payload) <= room.left_bytes else b""
    row = {
        "sha256": refusal.sha256,
        "topic": topic,
        "code": refusal.code,
        "reason": refusal.reason[:1000],
        "plant": refusal.plant,
        "gateway": refusal.gateway,
        "epoch": None if refusal.epoch is None else f"{refusal.epoch:016x}",
        "sequence": refusal.sequence,
        "received_ms": now_ms,
        "last_received_ms": now_ms,
        "repeats": 0,
        "size_bytes": len(refusal.payload),
        "bytes": kept,
    }
    connection.execute(insert_new(connection, quarantine).values(row))
    room.left_bytes -= len(kept)
    room.left_rows -= 1


def _count_only(connection: Connection, code: str, now_ms: int) -> None:
    """Count a refusal for which no row is left, by its code; nothing that a stranger wrote is kept."""
    digest = hashlib.sha256(f"more of {code}".encode()).digest()
    where = (quarantine.c.sha256 == digest) & (quarantine.c.topic == "") & (quarantine.c.code == code)
    more = update(quarantine).where(where).values(repeats=quarantine.c.repeats + 1, last_received_ms=now_ms)
    if connection.execute(more).rowcount:
        return
    reason = "more refusals than are listed: counted here"
    row: dict[str, object] = {"sha256": digest, "topic": "", "code": code, "reason": reason}
    row |= {"plant": "", "gateway": "", "epoch": None, "sequence": None, "received_ms": now_ms}
    row |= {"last_received_ms": now_ms, "repeats": 0, "size_bytes": 0, "bytes": b""}
    connection.execute(insert_new(connection, quarantine).values(row))


def candidates(connection: Connection) -> list[tuple[int, str, bytes]]:
    """Number, topic and payload of the batches that may be checked again.

    Another batch under a stored id is not among them: no key and no list of units can make it valid.
    """
    query = select(quarantine.c.id, quarantine.c.topic, quarantine.c.bytes).where(quarantine.c.code != "epoch_conflict")
    rows = connection.execute(query.order_by(quarantine.c.id))
    return [(int(row.id), row.topic, bytes(row.bytes)) for row in rows if row.bytes]


def release(connection: Connection, number: int) -> None:
    """Delete one row."""
    connection.execute(delete(quarantine).where(quarantine.c.id == number))


def forget_cured(connection: Connection, committed: Iterable[Accepted]) -> None:
    """Delete the curable refusals of batches that are committed now."""
    digests = [hashlib.sha256(arrival.payload).digest() for arrival in committed]
    for start in range(0, len(digests), _AT_ONCE):
        same = quarantine.c.sha256.in_(digests[start : start + _AT_ONCE])
        connection.execute(delete(quarantine).where(same & quarantine.c.code.in_(sorted(CURABLE))))


def list_quarantine(connection: Connection) -> list[dict[str, Any]]:
    """The content of the quarantine, oldest first, without the bytes themselves."""
    names = ("plant", "gateway", "epoch", "sequence", "code", "reason", "topic", "repeats", "size_bytes")
    query = select(quarantine.c.received_ms, *(quarantine.c[name] for name in names)).order_by(quarantine.c.id)
    rows = connection.execute(query)
    return [{"received": format_time(int(r.received_ms))} | {name: getattr(r, name) for name in names} for r in rows]
