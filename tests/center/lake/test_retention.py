# SPDX-License-Identifier: GPL-3.0-or-later
"""What may go and when: superseded day files that no run pins; and what another order of gateways makes stale."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy import Connection, insert, select

from collector.center.db import tables_receive
from collector.center.db.store import CenterStore
from collector.center.db.tables_inputs import run, run_file
from collector.center.lake.retention import drop_superseded_files
from collector.center.lake.seal import enrol, find_stale_days, list_files, seal_day, seal_month_of
from collector.center.operate.backup import create_backup
from collector.center.operate.integrity import check_store
from collector.center.operate.restore import restore_backup
from collector.model.interval import DAY_MS, Month
from collector.wire import topic
from tests.center.center_batches import NOON, FixedClock, deliver, minutes, new_store, payload_of, record

pytestmark = pytest.mark.usefixtures("on_both")
MARCH = Month(2026, 3)
DAY = datetime.date(2026, 3, 10)


def resealed(store: CenterStore) -> list[Path]:
    """One day sealed three times, each time with more records; its files in that order."""
    files: list[Path] = []
    for n in (1, 2, 3):
        deliver(store, [payload_of(n, minutes("U1", NOON + n * 600_000, 5))])
        files += [path for path in seal_month_of(store, MARCH) if isinstance(path, Path)]
    return files


def pin(store: CenterStore, path: Path) -> None:
    """A run that used this file."""
    values = {"month": "2026-03", "at_ms": NOON, "who": "li", "folder": "f", "status": "final", "result_hash": ""}
    values |= {"manifest": "{}", "kind": "trial", "rulebook_hash": "", "note": "", "state": "done", "asked_ms": NOON}

    def job(connection: Connection) -> None:
        key = connection.execute(insert(run).values(values)).inserted_primary_key
        assert key is not None
        connection.execute(insert(run_file), {"run_id": key[0], "plant": path.parent.name, "name": path.name})

    store.write(job).result()


def test_a_superseded_day_file_goes_when_its_time_has_passed_and_no_run_pins_it(tmp_path: Path) -> None:
    clock = FixedClock()
    with new_store(tmp_path, clock) as store:
        first, second, current = resealed(store)
        pin(store, second)
        clock.now_ms = NOON + 30 * DAY_MS
        assert drop_superseded_files(store, keep_days=30) == 0  # not a moment before
        clock.now_ms += 1
        assert drop_superseded_files(store, keep_days=30) == 1
        assert [p.exists() for p in (first, second, current)] == [False, True, True]
        assert drop_superseded_files(store, keep_days=30) == 0
        assert check_store(store) == []
        second.unlink()
        assert [finding.rpartition(": ")[2] for finding in check_store(store)] == ["listed and not there"]


def test_bytes_that_are_current_again_stay(tmp_path: Path) -> None:
    clock = FixedClock()
    with new_store(tmp_path, clock) as store:
        first, _, current = resealed(store)
        # As if later records had been taken back: the first file's bytes are the current ones once more.
        day = {"plant": "P1", "day": DAY.isoformat(), "sha256": "", "row_count": 5, "other_count": 0, "size_bytes": 1}
        again = day | {"name": first.name, "sealed_ms": NOON, "superseded_ms": None, "dropped_ms": None}
        old = tables_receive.lake_file.c.name == current.name
        store.write(
            lambda c: c.execute(tables_receive.lake_file.update().where(old).values(superseded_ms=NOON))
        ).result()
        store.write(lambda c: c.execute(insert(tables_receive.lake_file), again)).result()
        clock.now_ms = NOON + 31 * DAY_MS
        assert drop_superseded_files(store, keep_days=30) == 3
        assert [p.exists() for p in (first, current)] == [True, False]


def test_a_file_whose_drop_was_cut_short_is_written_off_later(tmp_path: Path) -> None:
    clock = FixedClock()
    with new_store(tmp_path, clock) as store:
        first, *_ = resealed(store)
        first.unlink()  # deleted, and killed before the row said so
        assert check_store(store) == []
        clock.now_ms = NOON + 31 * DAY_MS
        assert drop_superseded_files(store, keep_days=30) == 2
        left = select(tables_receive.lake_file.c.id).where(tables_receive.lake_file.c.dropped_ms.is_(None))
        assert len(store.read(lambda c: c.execute(left).all())) == 1


@pytest.mark.parametrize("on_both", ["sqlite"], indirect=True)
def test_a_backup_goes_on_where_a_superseded_file_is_let_go_meanwhile(tmp_path: Path) -> None:
    with new_store(tmp_path / "state") as store:
        first, _, current = resealed(store)
        first.unlink()
        create_backup(store, tmp_path / "backup")
    restore_backup(tmp_path / "backup", tmp_path / "again", clock=FixedClock())
    with new_store(tmp_path / "again") as store:
        assert check_store(store) == []
        assert [p.name for p in store.read(lambda c: list_files(c, store.lake, MARCH.days))] == [current.name]


def test_another_order_of_gateways_seals_the_days_two_of_them_claimed_anew(tmp_path: Path) -> None:
    standby = topic("collector", "P1", "g2", "batch")
    with new_store(tmp_path) as store:
        store.write(lambda c: enrol(c, {"P1": (["U1"], ["g1", "g2"])})).result()
        for n, day in enumerate((0, 1, 3), 1):  # the last record before the fourth day is of the second
            deliver(store, [payload_of(n, [record("U1", NOON + day * DAY_MS, 100_000)])])
        deliver(store, [payload_of(1, [record("U1", NOON + DAY_MS, 200_000)], gateway="g2")], topic=standby)
        seal_month_of(store, MARCH)
        assert powers(store) == {"2026-03-10": [100_000], "2026-03-11": [100_000], "2026-03-13": [100_000]}
        store.write(lambda c: enrol(c, {"P1": (["U1"], ["g1", "g2"])})).result()
        assert store.read(find_stale_days) == []  # the same order changes nothing
        store.write(lambda c: enrol(c, {"P1": (["U1"], ["g2", "g1"])})).result()
        stale = store.read(lambda c: find_stale_days(c, quiet_since_ms=NOON))
        # The day itself; the one before, at whose tail it could show; the one after, at whose head it shows.
        assert [s.day for s in stale] == ["2026-03-10", "2026-03-11", "2026-03-13"]
        for each in stale:
            seal_day(store, each)
        assert powers(store) == {"2026-03-10": [100_000], "2026-03-11": [200_000], "2026-03-13": [100_000]}
        [head] = [r for r in rows_of(store, "2026-03-13") if r["place"] == -1]
        assert head["active_power_mw"] == 200
        assert check_store(store) == []


def rows_of(store: CenterStore, day: str) -> list[dict[str, Any]]:
    [path] = store.read(lambda c: list_files(c, store.lake, [datetime.date.fromisoformat(day)]))
    found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return found


def powers(store: CenterStore) -> dict[str, list[int]]:
    """Power (kW) of each record of each day."""
    files = store.read(lambda c: list_files(c, store.lake, MARCH.days))
    return {
        path.name[:10]: [int(r["active_power_mw"] * 1000) for r in pq.read_table(path).to_pylist() if r["place"] == 0]
        for path in files
    }
