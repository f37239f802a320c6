# SPDX-License-Identifier: GPL-3.0-or-later
"""Retention: payloads whose records are in listed day files, superseded unpinned day files, unused day results.

Each is removed only after its time. The rows of the journal and of the lake's list stay for good.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import Final

from sqlalchemy import Connection, Table, and_, bindparam, delete, exists, func, select, tuple_, update

from collector.center.db.store import CenterStore
from collector.center.db.tables_inputs import run_file
from collector.center.db.tables_receive import batch_day, lake_day, lake_file, payload, stream
from collector.center.db.tables_receive import store as store_row
from collector.center.db.tables_results import day_result, day_segments, file_facts
from collector.model.interval import DAY_MS

_AT_ONCE: Final = 1000  # rows per transaction: the receiver's commits come in between

logger: Final = logging.getLogger("collector.center.lake.retention")


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
        where = (payload.c.stream_id == bindparam("of_stream")) & (payload.c.sequence == bindparam("number"))
        gone: Counter[int] = Counter()
        sizes = select(payload.c.stream_id, func.length(payload.c.bytes).label("n"))
        for row in connection.execute(sizes.where(tuple_(payload.c.stream_id, payload.c.sequence).in_(keys))):
            gone[row.stream_id] += int(row.n)
        connection.execute(delete(payload).where(where), [{"of_stream": s, "number": n} for s, n in keys])
        fewer = update(stream).where(stream.c.id == bindparam("of_stream"))
        fewer = fewer.values(kept_bytes=stream.c.kept_bytes - bindparam("fewer"))
        connection.execute(fewer, [{"of_stream": s, "fewer": n} for s, n in sorted(gone.items())])
        further = store_row.c.payloads_before_ms.is_(None) | (store_row.c.payloads_before_ms < before_ms)
        connection.execute(update(store_row).where(further).values(payloads_before_ms=before_ms))
    return len(keys)


def drop_superseded_files(store: CenterStore, *, keep_days: int) -> int:
    """Delete day files superseded more than `keep_days` ago that no run pins; returns how many.

    A file is deleted before its row is marked: a crash between the two leaves a row whose file is gone, and the next
    round marks it.
    """
    before_ms = store.clock.now_utc_ms() - keep_days * DAY_MS
    total = 0
    for number in store.read(lambda connection: _superseded(connection, before_ms)):
        total += store.write(lambda connection, n=number: _drop_file(connection, store, n, before_ms)).result()  # type: ignore[misc]
    return total


def _superseded(connection: Connection, before_ms: int) -> list[int]:
    where = (lake_file.c.superseded_ms < before_ms) & lake_file.c.dropped_ms.is_(None)
    pinned = exists().where((run_file.c.plant == lake_file.c.plant) & (run_file.c.name == lake_file.c.name))
    return [int(n) for n in connection.execute(select(lake_file.c.id).where(where & ~pinned)).scalars()]


def _drop_file(connection: Connection, store: CenterStore, number: int, before_ms: int) -> int:
    """Delete one file, unless it was pinned or became the current one again since it was found."""
    row = connection.execute(select(lake_file).where(lake_file.c.id == number)).one()
    # Sealing locks this row before it lists a file, so one of the two waits for the other.
    day = (lake_day.c.plant == row.plant) & (lake_day.c.day == row.day)
    connection.execute(select(lake_day.c.sealed).where(day).with_for_update()).all()
    if number not in _superseded(connection, before_ms):
        return 0
    same = (lake_file.c.plant == row.plant) & (lake_file.c.name == row.name) & (lake_file.c.id != number)
    kept = connection.execute(select(lake_file.c.id).where(same & lake_file.c.dropped_ms.is_(None))).first()
    if kept is None:  # else another row lists the same bytes
        (store.lake / row.plant / row.name).unlink(missing_ok=True)
        logger.info("dropped %s/%s", row.plant, row.name)
    now_ms = store.clock.now_utc_ms()
    connection.execute(update(lake_file).where(lake_file.c.id == number).values(dropped_ms=now_ms))
    return 1


def drop_unused_results(store: CenterStore, *, keep_days: int) -> int:
    """Delete day results, segments and facts unused by closings for `keep_days`; returns the number of results.

    They can be measured again from the lake.
    """
    before_ms = store.clock.now_utc_ms() - keep_days * DAY_MS
    for path in (store.directory / "laid-out").glob("*"):
        if path.stat().st_mtime_ns < before_ms * 1_000_000:
            path.unlink(missing_ok=True)  # tables of months settled long ago; runs have their own copies
    total = 0
    while dropped := store.write(lambda connection: _drop_results(connection, before_ms)).result():
        total += dropped
    return total


def _drop_results(connection: Connection, before_ms: int) -> int:
    def oldest(table: Table, column: str) -> list[bytes]:
        query = select(table.c[column]).where(table.c.used_ms < before_ms).limit(_AT_ONCE)
        return list(connection.execute(query).scalars())

    connection.execute(delete(file_facts).where(file_facts.c.sha256.in_(oldest(file_facts, "sha256"))))
    keys = oldest(day_result, "key")
    connection.execute(delete(day_segments).where(day_segments.c.key.in_(keys)))
    connection.execute(delete(day_result).where(day_result.c.key.in_(keys)))
    return len(keys)
