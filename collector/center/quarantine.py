# SPDX-License-Identifier: GPL-3.0-or-later
"""What could not be accepted, kept whole, with the code the plant was told and the reason for people."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from collector.center.arrivals import Rejected
from collector.center.schema import quarantine
from collector.center.store import insert_new
from collector.model.interval import format_time


def held_bytes(connection: Connection) -> int:
    """Payload bytes in quarantine."""
    held = select(func.coalesce(func.sum(func.length(quarantine.c.bytes)), 0))
    return int(connection.execute(held).scalar_one())


def keep(connection: Connection, refusal: Rejected, now_ms: int, room_bytes: int) -> int:
    """Keep it whole, once; where there is no room (the overflow decision) its hash and facts. Returns bytes taken."""
    topic = refusal.topic[:512]
    where = (
        (quarantine.c.sha256 == refusal.sha256) & (quarantine.c.topic == topic) & (quarantine.c.code == refusal.code)
    )
    again = update(quarantine).where(where).values(repeats=quarantine.c.repeats + 1, last_received_ms=now_ms)
    if connection.execute(again).rowcount:
        return 0
    kept = refusal.payload if len(refusal.payload) <= room_bytes else b""
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
    return len(kept)


def candidates(connection: Connection) -> list[tuple[int, str, bytes]]:
    """Number, topic and payload of what may be looked at again.

    Another batch under a stored id is not among them: no key and no list of units makes it the right one.
    """
    query = select(quarantine.c.id, quarantine.c.topic, quarantine.c.bytes).where(quarantine.c.code != "epoch_conflict")
    rows = connection.execute(query.order_by(quarantine.c.id))
    return [(int(row.id), row.topic, bytes(row.bytes)) for row in rows if row.bytes]


def release(connection: Connection, number: int) -> None:
    """Take one out."""
    connection.execute(delete(quarantine).where(quarantine.c.id == number))


def list_quarantine(connection: Connection) -> list[dict[str, Any]]:
    """What is in quarantine, oldest first, without the bytes themselves."""
    names = ("plant", "gateway", "epoch", "sequence", "code", "reason", "topic", "repeats", "size_bytes")
    query = select(quarantine.c.received_ms, *(quarantine.c[name] for name in names)).order_by(quarantine.c.id)
    rows = connection.execute(query)
    return [{"received": format_time(int(r.received_ms))} | {name: getattr(r, name) for name in names} for r in rows]
