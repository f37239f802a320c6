# SPDX-License-Identifier: GPL-3.0-or-later
"""Day files: what is in them, that order does not matter, and that late records reach every file they belong in."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import func, select

from collector.base.clock_state import ClockState
from collector.center.db import tables_receive
from collector.center.lake.retention import drop_old_payloads
from collector.center.lake.seal import (
    count_records,
    enrol,
    find_stale_days,
    list_files,
    seal_day,
    seal_month,
    seal_month_of,
)
from collector.model.interval import DAY_MS, local_midnight_ms
from collector.model.record import UnitRecord
from tests.center.center_batches import (
    EPOCH,
    NOON,
    FixedClock,
    deliver,
    minutes,
    new_store,
    payload_of,
    record,
)
from tests.center.lake.sealed_days import MARCH, deliver_from_both, rows, seal
from tests.size import sized

pytestmark = pytest.mark.usefixtures("on_both")
DAY = date(2026, 3, 10)
MIDNIGHT = local_midnight_ms(DAY)


def test_a_day_file_has_its_days_records_between_head_and_tail(tmp_path: Path) -> None:
    records = [
        record("U1", MIDNIGHT - 120_000, 1),
        record("U1", MIDNIGHT - 60_000, 2),
        record("U1", MIDNIGHT, 3),
        record("U1", MIDNIGHT + DAY_MS - 1, 4),
        record("U1", MIDNIGHT + DAY_MS, 5),
        record("U1", MIDNIGHT + DAY_MS + 899_999, 6),
        record("U1", MIDNIGHT + DAY_MS + 900_000, 7),
    ]
    with new_store(tmp_path) as store:
        deliver(store, [payload_of(1, records)])
        path = seal(store)["2026-03-10"]
    assert rows(path, "unit", "time", "place", "active_power_mw") == [
        ("U1", MIDNIGHT - 60_000, -1, Decimal("0.002")),
        ("U1", MIDNIGHT, 0, Decimal("0.003")),
        ("U1", MIDNIGHT + DAY_MS - 1, 0, Decimal("0.004")),
        ("U1", MIDNIGHT + DAY_MS, 1, Decimal("0.005")),
        ("U1", MIDNIGHT + DAY_MS + 899_999, 1, Decimal("0.006")),
    ]


def test_the_columns_of_a_day_file_are_exact_and_typed_as_promised(tmp_path: Path) -> None:
    power = record("U2", NOON, None, clock=ClockState.UNSYNCHRONISED, era=3, tag=NOON - 7)
    with new_store(tmp_path) as store:
        deliver(store, [payload_of(1, [power, record("U1", NOON, -123_456)])])
        path = seal(store)["2026-03-10"]
    types = {f.name: f.type for f in pq.read_schema(path)}
    assert types["active_power_mw"] == pa.decimal128(18, 3)
    assert types["energy_export_mwh"] == types["frequency_hz"] == pa.decimal128(18, 6)
    assert (types["on_grid"], types["on_grid_quality"], types["era"]) == (pa.int8(), pa.uint8(), pa.uint16())
    assert (
        pq.ParquetFile(path).schema.column(pq.read_schema(path).get_field_index("frequency_hz")).physical_type
        == "INT64"
    )
    named = ("unit", "active_power_mw", "active_power_mw_quality", "energy_export_mwh", "era", "clock", "device_time")
    assert rows(path, *named) == [
        ("U1", Decimal("-123.456"), 0, Decimal("1234.567890"), 0, 0, None),
        ("U2", None, 20, Decimal("1234.567890"), 3, 1, NOON - 7),
    ]
    metadata = pq.read_schema(path).metadata
    assert (metadata[b"plant"], metadata[b"day"], metadata[b"collector_lake"]) == (b"P1", b"2026-03-10", b"1")


def test_another_engine_reads_the_same_numbers(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        deliver(store, [payload_of(1, minutes("U1", NOON, 5))])
        path = seal(store)["2026-03-10"]
    found = duckdb.sql(f"select sum(active_power_mw), count(*) from '{path}' where place = 0")
    assert found is not None
    total = found.fetchall()
    assert total == [(Decimal("1500.010"), 5)]  # 300.000 + … + 300.004


@pytest.mark.parametrize("on_both", ["sqlite"], indirect=True)
def test_any_order_and_repetition_of_batches_gives_the_same_bytes(tmp_path: Path) -> None:
    """Three days, two gateways that overlap, two eras that overlap; sealed at random moments in between."""
    payloads = []
    for n in range(1, 31):
        start = MIDNIGHT - DAY_MS + n * 3_600_000 * 2
        payloads.append(payload_of(n, minutes("U1", start, 4) + minutes("U2", start + 30_000, 3)))
        standby = [record("U1", start + i * 60_000, 500_000 + i) for i in range(2, 7)]
        payloads.append(payload_of(n, standby, gateway="g0", epoch=n % 3))
    stepped = [
        record("U1", MIDNIGHT + 7_260_000 + i, i, era=1, clock=ClockState.UNSYNCHRONISED) for i in (0, 1, 60_000)
    ]
    payloads.append(payload_of(31, stepped))
    seen = set()
    for seed in range(sized(3, 6)):
        rng = random.Random(seed)
        arrivals = payloads + rng.sample(payloads, 9)
        rng.shuffle(arrivals)
        with new_store(tmp_path / str(seed)) as store:
            store.write(lambda c: enrol(c, {"P1": (["U1", "U2"], ["g1", "g0"])})).result()
            while arrivals:
                size = rng.randint(1, 15)
                deliver_from_both(store, arrivals[:size])
                arrivals = arrivals[size:]
                if rng.random() < 0.3:
                    seal(store)
            files = seal(store)
            seen.add(tuple((day, path.name, path.read_bytes()) for day, path in sorted(files.items())))
            others = sorted((store.directory / "lake-others" / "P1").iterdir())
            assert others
    assert len(seen) == 1


def _contest(tmp_path: Path, contenders: list[tuple[str, UnitRecord]], order: list[str]) -> Decimal:
    """Who wins an instant: (gateway, record) pairs, each in a batch of its own."""
    with new_store(tmp_path) as store:
        store.write(lambda c: enrol(c, {"P1": (["U1"], order)})).result()
        epoch = {gateway: n for n, gateway in enumerate(sorted({g for g, _ in contenders}), 1)}
        sequence = dict.fromkeys(epoch, 0)
        payloads = []
        for gateway, one in contenders:
            sequence[gateway] += 1
            payloads.append(payload_of(sequence[gateway], [one], gateway=gateway, epoch=epoch[gateway]))
        deliver_from_both(store, payloads)
        [(value,)] = rows(seal(store)["2026-03-10"], "active_power_mw")
        [other] = (store.directory / "lake-others" / "P1").iterdir()
        assert pq.read_table(other).num_rows == len(contenders) - 1
    assert isinstance(value, Decimal)
    return value


def test_the_synchronised_clock_wins_an_instant_before_the_gateway_order(tmp_path: Path) -> None:
    contenders = [
        ("best", record("U1", NOON, 1000, clock=ClockState.UNSYNCHRONISED)),
        ("second", record("U1", NOON, 2000)),
        ("third", record("U1", NOON, 3000)),
    ]
    assert _contest(tmp_path / "a", contenders, ["best", "second", "third"]) == 2
    assert _contest(tmp_path / "b", contenders, ["best", "third"]) == 3


def test_the_later_clock_era_wins_on_one_gateway(tmp_path: Path) -> None:
    contenders = [("g1", record("U1", NOON, 1000, era=0)), ("g1", record("U1", NOON, 2000, era=1))]
    assert _contest(tmp_path, contenders, []) == 2


def test_a_late_record_reseals_its_day_and_the_neighbours_it_shows_in(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        deliver(store, [payload_of(1, minutes("U1", MIDNIGHT - DAY_MS + 3_600_000, 3))])
        deliver(store, [payload_of(2, minutes("U1", MIDNIGHT + 3_600_000, 3))])
        deliver(store, [payload_of(3, minutes("U1", MIDNIGHT + DAY_MS + 3_600_000, 3))])
        before = seal(store)
        deliver(store, [payload_of(4, [record("U1", MIDNIGHT + 1_800_000, 9)])])  # neither edge nor last
        inner = seal(store)
        assert _changed(before, inner) == {"2026-03-10"}
        deliver(store, [payload_of(5, [record("U1", MIDNIGHT + 899_999, 9)])])  # in the tail of the day before
        edge = seal(store)
        assert _changed(inner, edge) == {"2026-03-09", "2026-03-10"}
        deliver(store, [payload_of(6, [record("U1", MIDNIGHT + 80_000_000, 9)])])  # the last before midnight
        last = seal(store)
        assert _changed(edge, last) == {"2026-03-10", "2026-03-11"}
        assert seal(store) == last
        kept = sorted(path.name for path in (tmp_path / "lake" / "P1").iterdir())
    superseded = {p.name for files in (before, inner, edge) for p in files.values()}
    assert superseded < set(kept)  # immutable: a run that pinned one still finds it


def _changed(before: dict[str, Path], after: dict[str, Path]) -> set[str]:
    return {day for day in after if before.get(day) != after[day]}


def test_the_head_reaches_over_days_without_records(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        deliver(store, [payload_of(1, minutes("U2", MIDNIGHT + 5 * DAY_MS, 2))])
        deliver(store, [payload_of(2, [record("U2", MIDNIGHT + 9 * DAY_MS, 3)])])
        first = seal(store)
        deliver(store, [payload_of(3, [record("U1", MIDNIGHT, 7)])])  # a unit that never spoke again
        later = seal(store)
        assert _changed(first, later) == {"2026-03-10", "2026-03-15", "2026-03-19"}
    assert (("U1", MIDNIGHT, -1)) in rows(later["2026-03-19"], "unit", "time", "place")


@pytest.mark.parametrize("on_both", ["sqlite"], indirect=True)
def test_records_in_the_files_are_as_many_as_the_journal_has(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        for n in range(1, 25):
            deliver(
                store, [payload_of(n, minutes("U1", MIDNIGHT + n * 7_200_000, 30) + minutes("U2", MIDNIGHT + n, 1))]
            )
        files = seal_month_of(store, MARCH)
        total = store.read(lambda c: c.execute(select(func.sum(tables_receive.batch.c.record_count))).scalar_one())
    assert count_records(files) == total == 24 * 31
    assert count_records(seal_month(tmp_path, MARCH)) == total


def test_a_quantity_a_unit_does_not_have_is_null_with_a_null_quality(tmp_path: Path) -> None:
    from collector import wire
    from collector.model.record import Quality, UnitLayout

    short = UnitRecord("U2", NOON, (5,), (Quality.GOOD,))
    layouts = (UnitLayout("U1", ("active_power_mw", "on_grid")), UnitLayout("U2", ("active_power_mw",)))
    full = UnitRecord("U1", NOON, (None, 1), (Quality.STALE, Quality.GOOD))
    payload = wire.encode_batch(wire.Batch(wire.Stream("P1", "g1", 1), 1, layouts, (full, short)), None)
    with new_store(tmp_path) as store:
        deliver(store, [payload])
        path = seal(store)["2026-03-10"]
    columns = ("unit", "active_power_mw_quality", "on_grid", "on_grid_quality")
    assert rows(path, *columns) == [("U1", 16, 1, 0), ("U2", 0, None, None)]
    assert "frequency_hz" not in pq.read_schema(path).names


def test_a_value_beyond_the_files_type_becomes_none_and_says_why(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        deliver(store, [payload_of(1, [record("U1", NOON, 10**18), record("U1", NOON + 1, 10**18 - 1)])])
        path = seal(store)["2026-03-10"]
    assert rows(path, "active_power_mw", "active_power_mw_quality") == [
        (None, 18),
        (Decimal("999999999999999.999"), 0),
    ]


def test_payloads_go_after_their_time_and_a_late_record_still_finds_the_others(tmp_path: Path) -> None:
    clock = FixedClock()
    with new_store(tmp_path, clock) as store:
        deliver(store, [payload_of(1, minutes("U1", MIDNIGHT - 180_000, 6))])
        clock.now_ms += 63 * DAY_MS
        assert drop_old_payloads(store, keep_days=62) == 0  # not sealed yet
        before = rows(seal(store)["2026-03-10"], "unit", "time", "place", "active_power_mw", "on_grid", "cause")
        assert drop_old_payloads(store, keep_days=62) == 1
        deliver(store, [payload_of(2, [record("U1", MIDNIGHT + 600_000, 42)])])
        files = seal(store)
        after = rows(files["2026-03-10"], "unit", "time", "place", "active_power_mw", "on_grid", "cause")
        assert after == [*before, ("U1", MIDNIGHT + 600_000, 0, Decimal("0.042"), 1, 0)]
        assert rows(files["2026-03-09"], "time", "place")[-1] == (MIDNIGHT + 600_000, 1)


def test_only_days_that_have_been_quiet_are_sealed_by_themselves(tmp_path: Path) -> None:
    clock = FixedClock(NOON)
    with new_store(tmp_path, clock) as store:
        deliver(store, [payload_of(1, minutes("U1", MIDNIGHT - 60_000, 1))])
        clock.now_ms += 300_000
        deliver(store, [payload_of(2, minutes("U1", NOON, 1))])
        quiet = store.read(lambda c: find_stale_days(c, quiet_since_ms=NOON))
        assert [s.day for s in quiet] == ["2026-03-09"]
        everything = store.read(lambda c: find_stale_days(c))
        assert [s.day for s in everything] == ["2026-03-09", "2026-03-10"]


def test_a_file_sealed_from_an_older_view_does_not_replace_a_newer_one(tmp_path: Path) -> None:
    """Two sealing processes: the slower one looked first."""
    with new_store(tmp_path / "slow") as slow:
        deliver(slow, [payload_of(1, minutes("U1", NOON, 1))])
        [stale] = slow.read(lambda c: find_stale_days(c))
        old = seal_day(slow, stale)
        deliver(slow, [payload_of(2, minutes("U1", NOON + 600_000, 1))])
        newer = seal(slow)["2026-03-10"]
        from collector.center.lake.seal import _list

        entry = {"plant": "P1", "day": "2026-03-10", "name": old.name, "sha256": "0" * 64}
        entry |= {"row_count": 1, "other_count": 0, "size_bytes": 1}  # type: ignore[dict-item]
        slow.write(lambda c: _list(c, old, entry, stale.wanted, NOON)).result()
        assert slow.read(lambda c: list_files(c, slow.lake, [DAY])) == (newer,)


_SEAL_FOR_EVER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.center.center_batches import *
from collector.center.lake.seal import seal_month_of
from collector.model.interval import Month
with new_store(Path(sys.argv[1])) as store:
    print("ready", flush=True)
    for n in range(2, 10**6):
        deliver(store, [payload_of(n, minutes("U1", NOON + n * 1000, 1))])
        seal_month_of(store, Month(2026, 3))
"""


@pytest.mark.crash
@pytest.mark.parametrize("on_both", ["sqlite"], indirect=True)
def test_a_crash_while_sealing_leaves_whole_files_and_a_list_that_holds(tmp_path: Path) -> None:
    """Some kills; after each, every listed file is there and whole, and sealing again gives all records."""
    import time

    with new_store(tmp_path / "state") as store:
        deliver(store, [payload_of(1, minutes("U1", MIDNIGHT, 600) + minutes("U2", MIDNIGHT, 600))])
        seal(store)
    here = str(Path(__file__).parents[3])
    done = 1
    for seed in range(sized(4, 8)):
        script = _SEAL_FOR_EVER.replace("range(2,", f"range({done + 1},")
        command = [sys.executable, "-c", script, str(tmp_path / "state"), here]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(random.Random(seed).uniform(0.01, 0.25))
            os.kill(child.pid, signal.SIGKILL)
        with new_store(tmp_path / "state") as store:
            listed = store.read(lambda c: list_files(c, store.lake, MARCH.days))
            assert count_records(listed) >= 1200
            files = seal_month_of(store, MARCH)
            done, total = store.read(
                lambda c: c.execute(
                    select(func.max(tables_receive.batch.c.sequence), func.sum(tables_receive.batch.c.record_count))
                ).one()
            )
            assert count_records(files) == total == 1200 + done - 1
    assert EPOCH > 2**63  # the streams of this test are of the awkward kind
