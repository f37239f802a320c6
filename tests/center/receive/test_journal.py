# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal: exactly once, and what may be acknowledged."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from collector.base.clock import SystemClock
from collector.base.errors import StoreError
from collector.center.db import tables_receive
from collector.center.db.damaged import FullDatabase
from collector.center.db.store import CenterStore, renew_store_id
from collector.center.operate.integrity import check_store
from collector.center.receive import ranges
from collector.center.receive.arrivals import Rejected
from collector.center.receive.journal import commit_group
from collector.model.record import GapRecord
from tests.center.center_batches import (
    EPOCH,
    NOON,
    FixedClock,
    deliver,
    minutes,
    new_signer,
    new_store,
    open_admission,
    payload_of,
    record,
)

pytestmark = pytest.mark.usefixtures("on_both")


@pytest.fixture
def store(tmp_path: Path):  # type: ignore[no-untyped-def]
    with new_store(tmp_path / "state") as opened:
        yield opened


def _count(store: CenterStore, table: str) -> int:
    query = select(func.count()).select_from(tables_receive.metadata.tables[table])
    return int(store.read(lambda c: c.execute(query).scalar_one()))


def _codes(store: CenterStore) -> list[str]:
    return list(store.read(lambda c: c.execute(select(tables_receive.quarantine.c.code)).scalars()))


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 6)).map(lambda p: (p[0], p[0] + p[1]))))
def test_merged_ranges_hold_exactly_the_numbers_of_their_parts(parts: list[tuple[int, int]]) -> None:
    merged = ranges.merge(parts)
    numbers = {n for a, b in parts for n in range(a, b + 1)}
    assert {n for a, b in merged for n in range(a, b + 1)} == numbers
    assert all(b + 1 < c for (_, b), (c, _) in itertools.pairwise(merged))
    assert ranges.through(merged) == next(n for n in itertools.count() if n + 1 not in numbers)


def test_a_batch_is_stored_once_however_often_it_comes(store: CenterStore) -> None:
    payload = payload_of(1, minutes("U1", NOON, 3))
    first = deliver(store, [payload, payload])
    again = deliver(store, [payload])
    assert (first.committed, first.records, first.repeated) == (1, 3, 1)
    assert (again.committed, again.repeated) == (0, 1)
    assert again.settled[0].through == 1
    assert _count(store, "batch") == 1
    assert store.read(lambda c: c.execute(select(tables_receive.batch.c.repeats)).scalar_one()) == 2


@pytest.mark.parametrize("times", [(2, 1), (1, 2), (2, 3, 1), (3, 1, 2)])
def test_a_stream_is_listed_with_the_time_of_all_its_batches_whatever_order_clocks_give_them(
    store: CenterStore, times: tuple[int, ...]
) -> None:
    """Of several receivers one takes its time and another commits first; or a clock is set back."""
    clock = store.clock
    assert isinstance(clock, FixedClock)
    for number, minute in enumerate(times, 1):
        clock.now_ms = NOON + minute * 60_000
        deliver(store, [payload_of(number, minutes("U1", NOON - number * 600_000, 3))])
    columns = tables_receive.stream.c
    listed = store.read(lambda c: c.execute(select(columns.first_received_ms, columns.last_received_ms)).one())
    assert tuple(listed) == (NOON + 60_000, NOON + max(times) * 60_000)
    assert check_store(store) == []


def test_other_bytes_under_a_stored_id_are_quarantined_and_refused(store: CenterStore) -> None:
    deliver(store, [payload_of(1, minutes("U1", NOON, 3))])
    clone = payload_of(1, minutes("U1", NOON, 4))
    result = deliver(store, [clone])
    assert result.settled[0].refused == ((1, "epoch_conflict"),)
    assert result.settled[0].through == 1
    kept = store.read(lambda c: c.execute(select(tables_receive.quarantine.c.bytes)).scalar_one())
    assert kept == clone
    assert _count(store, "batch") == 1


def test_a_batch_in_another_frame_is_the_same_batch(store: CenterStore) -> None:
    """msgpack can write the outer array in several ways; only the signed header and the body tell batches apart."""
    payload = payload_of(1, minutes("U1", NOON, 3))
    assert payload[0] == 0x93  # an array of three in its short form
    deliver(store, [b"\xdc\x00\x03" + payload[1:]])
    again = deliver(store, [payload])
    assert (again.repeated, again.refused) == (1, 0)


def test_through_stops_at_the_first_hole_and_names_what_lies_beyond(store: CenterStore) -> None:
    payloads = {n: payload_of(n, minutes("U1", NOON + n * 600_000, 2)) for n in (1, 2, 4, 5, 7)}
    settled = deliver(store, payloads.values()).settled[0]
    assert (settled.epoch, settled.through, settled.also) == (EPOCH, 2, ((4, 5), (7, 7)))


def test_a_gap_record_closes_the_hole_it_names(store: CenterStore) -> None:
    lost = GapRecord(("U1", "U2"), NOON, NOON + 60_000, "evicted", EPOCH, 2, 3)
    deliver(store, [payload_of(1, minutes("U1", NOON, 2))])
    settled = deliver(store, [payload_of(4, [], gaps=[lost])]).settled[0]
    assert (settled.through, settled.also) == (4, ())
    assert _count(store, "gap") == 2  # one per unit


def test_a_gap_record_closes_the_hole_of_an_earlier_epoch_too(store: CenterStore) -> None:
    deliver(store, [payload_of(n, minutes("U1", NOON + n * 600_000, 2), epoch=5) for n in (1, 4)])
    lost = GapRecord(("U1",), NOON, NOON + 60_000, "unreadable", 5, 2, 3)
    result = deliver(store, [payload_of(1, [], gaps=[lost], epoch=9)])
    assert {s.epoch: s.through for s in result.settled} == {5: 4, 9: 1}


def test_what_was_declared_lost_is_taken_when_it_arrives_after_all(store: CenterStore) -> None:
    lost = GapRecord(("U1",), NOON, NOON + 60_000, "evicted", EPOCH, 1, 1)
    deliver(store, [payload_of(2, [], gaps=[lost])])
    assert deliver(store, [payload_of(1, minutes("U1", NOON, 3))]).records == 3


def test_a_batch_of_gaps_only_is_committed_and_acknowledged(store: CenterStore) -> None:
    down = GapRecord(("U1",), NOON, NOON + 180_000, "agent_down")
    result = deliver(store, [payload_of(1, [], gaps=[down])])
    assert (result.committed, result.records, result.settled[0].through) == (1, 0, 1)


def test_a_refusal_of_the_plants_own_batch_counts_as_settled(store: CenterStore) -> None:
    result = deliver(store, [payload_of(1, minutes("U9", NOON, 1)), payload_of(2, minutes("U1", NOON, 1))])
    settled = result.settled[0]
    assert (settled.through, settled.refused) == (2, ((1, "foreign_unit"),))


def test_a_strangers_batch_takes_no_sequence_from_the_plant(store: CenterStore, tmp_path: Path) -> None:
    own, stranger = new_signer(tmp_path, "own"), new_signer(tmp_path, "stranger")
    admission = open_admission(signer=own)
    forged = payload_of(1, minutes("U1", NOON, 9), signer=stranger)
    refused = deliver(store, [forged], admission=admission)
    assert refused.settled[0].refused == ((1, "unknown_key"),)
    assert refused.settled[0].through == 0
    assert _count(store, "stream") == 0
    genuine = deliver(store, [payload_of(1, minutes("U1", NOON, 3), signer=own)], admission=admission)
    assert (genuine.records, genuine.settled[0].through, genuine.settled[0].refused) == (3, 1, ())
    late = deliver(store, [forged], admission=admission)
    assert late.settled[0].refused == ()  # no news for a plant whose batch is stored
    assert _codes(store) == ["unknown_key"]


def test_bytes_that_changed_on_the_way_settle_nothing_and_the_gateway_hears_of_it(store: CenterStore) -> None:
    genuine = payload_of(1, minutes("U1", NOON, 3))
    spoiled = genuine[:-1] + bytes([genuine[-1] ^ 1])
    told = deliver(store, [spoiled]).settled[0]
    assert (told.epoch, told.through, told.refused) == (EPOCH, 0, ((1, "bad_checksum"),))
    taken = deliver(store, [genuine])
    assert (taken.records, taken.settled[0].through, taken.settled[0].refused) == (3, 1, ())
    assert deliver(store, [spoiled]).settled[0].refused == ()  # no news: the batch is stored


def test_what_was_refused_is_taken_once_the_reason_is_gone(store: CenterStore) -> None:
    payload = payload_of(1, minutes("U9", NOON, 2))
    deliver(store, [payload])
    result = deliver(store, [payload], admission=open_admission(units=["U9"]))
    assert (result.records, result.settled[0].through) == (2, 1)


def test_the_quarantine_keeps_one_copy_and_at_its_limit_the_facts_only(store: CenterStore) -> None:
    big = bytes(600_000)
    deliver(store, [big, big])
    deliver(store, [b"\x01" + big])
    query = select(
        tables_receive.quarantine.c.repeats,
        tables_receive.quarantine.c.size_bytes,
        func.length(tables_receive.quarantine.c.bytes),
    )
    rows = store.read(lambda c: sorted(tuple(r) for r in c.execute(query)))
    assert rows == [(0, 600_001, 0), (1, 600_000, 600_000)]


@pytest.mark.parametrize("on_both", ["sqlite"], indirect=True)
def test_order_repetition_and_grouping_of_arrivals_change_nothing(tmp_path: Path) -> None:
    """Every table but the counters of repeats and the automatic keys, over 12 shuffles of the same 14 batches."""
    lost = GapRecord(("U1",), NOON, NOON + 1, "evicted", EPOCH, 5, 6)
    payloads = [payload_of(n, minutes("U1", NOON + n * 3_600_000, 3)) for n in (1, 2, 3, 4, 8, 9)]
    payloads += [payload_of(n, minutes("U2", NOON + n * 7_200_000, 2), gateway="g1", epoch=3) for n in range(1, 8)]
    payloads += [payload_of(7, minutes("U1", NOON - 600_000, 2), gaps=[lost])]
    seen = set()
    for seed in range(12):
        rng = random.Random(seed)
        arrivals = payloads + rng.sample(payloads, 6)
        rng.shuffle(arrivals)
        with new_store(tmp_path / str(seed)) as store:
            while arrivals:
                size = rng.randint(1, 6)
                deliver(store, arrivals[:size])
                arrivals = arrivals[size:]
            seen.add(store.read(_facts))
    assert len(seen) == 1


def _facts(connection):  # type: ignore[no-untyped-def]
    s, b, u, d = tables_receive.stream, tables_receive.batch, tables_receive.unit_day, tables_receive.lake_day
    join = b.join(s, s.c.id == b.c.stream_id)
    streams = connection.execute(select(s.c.gateway, s.c.epoch, s.c.through).order_by(s.c.epoch)).all()
    batches = connection.execute(
        select(s.c.epoch, b.c.sequence, b.c.sha256, b.c.record_count)
        .select_from(join)
        .order_by(s.c.epoch, b.c.sequence)
    ).all()
    days = connection.execute(select(u).order_by(u.c.unit, u.c.day)).all()
    stale = connection.execute(select(d.c.day, d.c.wanted > d.c.sealed).order_by(d.c.day)).all()
    return tuple(map(tuple, [*streams, *batches, *days, *stale]))


@pytest.mark.parametrize("on_both", ["sqlite"], indirect=True)
def test_a_full_disk_stores_nothing_of_the_group_and_later_all_of_it(store: CenterStore) -> None:
    deliver(store, [payload_of(1, minutes("U1", NOON, 2))])
    pages = store.write(lambda c: c.exec_driver_sql("PRAGMA page_count").scalar_one()).result()
    store.write(lambda c: c.exec_driver_sql(f"PRAGMA max_page_count={pages}").scalar_one()).result()
    group = [payload_of(n, minutes("U1", NOON + n * 86_400_000, 500)) for n in range(2, 82)]
    with pytest.raises(FullDatabase, match="full"):
        deliver(store, group)
    assert (_count(store, "batch"), _count(store, "payload"), _count(store, "lake_day")) == (1, 1, 1)
    store.write(lambda c: c.exec_driver_sql("PRAGMA max_page_count=1000000").scalar_one()).result()
    assert deliver(store, group).settled[0].through == 81


def test_a_store_keeps_its_id_until_it_is_restored(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        first = store.store_id
    with new_store(tmp_path) as store:
        assert store.store_id == first
        store.write(lambda c: renew_store_id(c, NOON)).result()
    with new_store(tmp_path) as store:
        assert store.store_id != first


@pytest.mark.parametrize("on_both", ["sqlite"], indirect=True)
def test_a_second_receiver_on_one_sqlite_store_is_refused(tmp_path: Path) -> None:
    with new_store(tmp_path) as first:
        first.claim_receiver()
        with new_store(tmp_path) as second, pytest.raises(StoreError, match="another receiver"):
            second.claim_receiver()
    with new_store(tmp_path) as third:
        third.claim_receiver()


def test_a_missing_store_is_not_created_by_a_reader(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no center store"):
        CenterStore.open(tmp_path / "none", clock=SystemClock(), create=False)
    assert not (tmp_path / "none").exists()


def test_a_record_and_its_power_survive_the_way_into_the_journal(store: CenterStore) -> None:
    payload = payload_of(1, [record("U1", NOON, 123_456)])
    deliver(store, [payload])
    assert store.read(lambda c: c.execute(select(tables_receive.payload.c.bytes)).scalar_one()) == payload


def test_the_quarantine_is_bounded_in_rows_and_strangers_leave_half_of_them(store: CenterStore) -> None:
    """Of 100 rows strangers get 50, the rest is counted in one row of the code; a plant's own refusals still fit."""
    strangers = [Rejected("P9", "g", f"t{n}", bytes([n] * 32), b"x", "unknown_plant", "who?") for n in range(80)]
    own = [Rejected("P1", "g1", "t", bytes([200, n] * 16), b"x", "foreign_unit", "U9", 1, n, True) for n in range(60)]
    for refusals in (strangers[:30], strangers[30:], own, strangers[50:60]):
        store.write(
            lambda c, r=refusals: commit_group(  # type: ignore[misc]
                c, r, now_ms=NOON, quarantine_max_bytes=1000, quarantine_max_rows=100
            )
        ).result()
    q = tables_receive.quarantine.c
    listed = store.read(lambda c: c.execute(select(q.code, q.topic, q.repeats)).all())
    rows = {
        (code, whole): (len(found), sum(found))
        for code in ("unknown_plant", "foreign_unit")
        for whole in (True, False)
        if (found := [row.repeats for row in listed if row.code == code and bool(row.topic) == whole])
    }
    # 30 not listed of the first 80 and 10 later: the row of the first, and 39 repeats of it. Mine: 49 rows, then 11.
    assert rows == {
        ("unknown_plant", True): (50, 0),
        ("unknown_plant", False): (1, 39),
        ("foreign_unit", True): (49, 0),
        ("foreign_unit", False): (1, 10),
    }
