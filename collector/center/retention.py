# SPDX-License-Identifier: GPL-3.0-or-later
"""What may go: payloads whose records are in listed day files and whose time has passed. Journal rows stay for good."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, and_, delete, exists, select, tuple_

from collector.center.schema import batch_day, lake_day, payload
from collector.center.store import CenterStore
from collector.model.interval import DAY_MS

_AT_ONCE: Final = 1000  # rows of one transaction: the receiver's commits come between


def drop_old_payloads(store: CenterStore, *, keep_days: int) -> int:
    """Drop payloads received more than `keep_days` ago whose every day is sealed; returns how many."""
    before_ms = store.clock.now_utc_ms() - keep_days * DAY_MS
    total = 0
    while dropped := store.write(lambda connection: _drop_some(connection, before_ms)).result():
        total += dropped
    return total


def _drop_some(connection: Connection, before_ms: int) -> int:
    same_day = (lake_day.c.plant == batch_day.c.plant) & (lake_day.c.day == batch_day.c.day)
    unsealed = exists().where(
        and_(
            batch_day.c.stream_id == payload.c.stream_id,
            batch_day.c.sequence == payload.c.sequence,
            same_day,
            lake_day.c.wanted > lake_day.c.sealed,
        )
    )
    old = select(payload.c.stream_id, payload.c.sequence).where((payload.c.received_ms < before_ms) & ~unsealed)
    keys = [(r.stream_id, r.sequence) for r in connection.execute(old.limit(_AT_ONCE))]
    if keys:
        connection.execute(delete(payload).where(tuple_(payload.c.stream_id, payload.c.sequence).in_(keys)))
    return len(keys)
