# SPDX-License-Identifier: GPL-3.0-or-later
"""The same code on PostgreSQL, with several receivers at once, on a real server (conftest.py)."""

from __future__ import annotations

import random
import threading
from pathlib import Path

from sqlalchemy import func, select

from collector.center.db import tables_receive
from collector.center.db.store import CenterStore
from collector.center.lake.seal import count_records, seal_month_of
from collector.center.operate.integrity import check_store
from collector.model.interval import Month
from collector.model.record import GapRecord
from tests.center.center_batches import NOON, FixedClock, deliver, minutes, new_store, payload_of
from tests.patience import HANG_S

MARCH = Month(2026, 3)


def _payloads() -> list[bytes]:
    lost = GapRecord(("U1",), NOON, NOON + 60_000, "evicted", 1, 30, 31)
    batches = [
        payload_of(n, minutes("U1", NOON + n * 3_600_000, 3), epoch=1) for n in range(1, 41) if n not in (30, 31)
    ]
    batches += [payload_of(n, minutes("U2", NOON + n * 1_800_000, 2), epoch=2) for n in range(1, 41)]
    return [*batches, payload_of(41, minutes("U1", NOON - 600_000, 1), gaps=[lost], epoch=1)]


def test_three_receivers_at_once_store_each_batch_once(postgresql_url: str, tmp_path: Path) -> None:
    """Each gets all batches in an order of its own; what a deadlock or a race throws out is simply delivered again."""
    from sqlalchemy.exc import DBAPIError

    payloads = _payloads()
    stores = [CenterStore.open(tmp_path, clock=FixedClock(), database_url=postgresql_url) for _ in range(3)]

    def receive(store: CenterStore, seed: int) -> None:
        rng = random.Random(seed)
        store.claim_receiver()  # several are welcome here
        waiting = rng.sample(payloads, len(payloads))
        while waiting:
            group = waiting[: rng.randint(1, 9)]
            try:
                deliver(store, group)
            except DBAPIError:
                continue
            waiting = waiting[len(group) :]

    threads = [threading.Thread(target=receive, args=(store, seed)) for seed, store in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_S)
    with stores[0] as store:
        for other in stores[1:]:
            other.close()
        batches, records, repeats = store.read(
            lambda c: c.execute(
                select(
                    func.count(),
                    func.sum(tables_receive.batch.c.record_count),
                    func.sum(tables_receive.batch.c.repeats),
                )
            ).one()
        )
        assert (int(batches), int(records)) == (79, 38 * 3 + 40 * 2 + 1)
        assert int(repeats) == 2 * len(payloads)
        through = store.read(
            lambda c: c.execute(select(tables_receive.stream.c.epoch, tables_receive.stream.c.through)).all()
        )
        assert {(int(r.epoch, 16), int(r.through)) for r in through} == {(1, 41), (2, 40)}
        files = seal_month_of(store, MARCH)
        assert count_records(files) == int(records)
        assert check_store(store) == []
    with new_store(tmp_path / "sqlite") as twin:
        deliver(twin, payloads)
        assert [p.name for p in seal_month_of(twin, MARCH)] == [p.name for p in files]
