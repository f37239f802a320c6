# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal's own sums and its gap records, read from the store alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, func, select

from collector.base.clock import SystemClock
from collector.center.db.store import CenterStore
from collector.center.db.tables_receive import batch, gap


@dataclass(frozen=True, slots=True)
class StoredGap:
    """Time of one unit that will never be delivered: from the last record before it to the first after it, UTC ms."""

    plant: str
    unit: str
    from_ms: int
    to_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over all streams. `size_bytes`: batches as received; `repeats`: arrivals beyond the first."""

    batches: int
    records: int
    repeats: int
    size_bytes: int
    gaps: tuple[StoredGap, ...]


def read_totals(state_dir: Path, *, database_url: str = "") -> Totals:
    """The totals of a store, also beside a running receiver.

    Raises:
        StoreError: there is no store.
    """
    with CenterStore.open(state_dir, clock=SystemClock(), database_url=database_url, create=False) as store:
        return store.read(_totals)


def _totals(connection: Connection) -> Totals:
    sums = (func.sum(batch.c.record_count), func.sum(batch.c.repeats), func.sum(batch.c.size_bytes))
    count, records, repeats, size_bytes = connection.execute(select(func.count(batch.c.sequence), *sums)).one()
    rows = connection.execute(select(gap).order_by(gap.c.plant, gap.c.unit, gap.c.from_ms))
    return Totals(
        batches=int(count),
        records=int(records or 0),
        repeats=int(repeats or 0),
        size_bytes=int(size_bytes or 0),
        gaps=tuple(StoredGap(r.plant, r.unit, int(r.from_ms), int(r.to_ms), r.reason) for r in rows),
    )
