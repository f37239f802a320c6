# SPDX-License-Identifier: GPL-3.0-or-later
"""One plant can't hurt another: what a group costs is bounded by what was sent, whatever an enrolled plant signs.

Counted are runs of statements (one of many rows counts each), rows and steps of SQLite's machine; never time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, event, func, select

from collector import wire
from collector.base.clock_state import ClockState
from collector.center.db.store import CenterStore
from collector.center.db.tables_receive import covered, gap, lake_day, metadata, stream, unit_day
from collector.center.lake.retention import drop_old_payloads
from collector.center.lake.seal import find_stale_days, seal_day
from collector.center.receive.admission import Admission, EnrolledPlant
from collector.center.receive.arrivals import Accepted, Rejected
from collector.center.receive.journal import MAX_RANGES, GroupResult, commit_group, readmit
from collector.center.receive.quarantine import held_bytes, list_quarantine
from collector.center.receive.stream_state import bytes_by_plant
from collector.center.settings import ReceiverSettings
from collector.model.interval import DAY_MS
from collector.model.record import GapRecord, UnitRecord
from collector.wire.body import assemble
from collector.wire.envelope import _seal
from tests.center.center_batches import EPOCH, NOON, FixedClock, batch_topic, minutes, new_store, payload_of, record
from tests.size import sized

UNITS = ("U1", "U2")
MAX_STREAMS = 20
LIMITS = ReceiverSettings(max_streams_per_plant=MAX_STREAMS)
WINDOW_MS = (NOON - 400 * DAY_MS, NOON + 300_000)

# What a group may take: so much for itself, and so much for each thing of each batch that was committed or refused.
STATEMENTS, ROWS, STEPS = (60, 8), (20, 8), (60_000, 4_000)

CALLS = 40  # of a group that refuses nothing, however many days it has


@dataclass
class Work:
    """What one transaction did. `calls`: statements handed over, those of many rows once."""

    calls: int = 0
    statements: int = 0
    rows: int = 0
    steps: int = 0


def admission_of(clock: FixedClock, limits: ReceiverSettings = LIMITS) -> Admission:
    plants = {"P1": EnrolledPlant(frozenset(UNITS), {}), "P2": EnrolledPlant(frozenset({"V1"}), {})}
    return Admission(root="collector", plants=plants, limits=limits, clock=clock)


def send(
    store: CenterStore, payloads: Iterable[tuple[str, bytes]], *, limits: ReceiverSettings = LIMITS
) -> tuple[GroupResult, Work]:
    """Admit and commit one group of (plant, payload), as the receiver does, and count what that took."""
    assert isinstance(store.clock, FixedClock)
    admission = admission_of(store.clock, limits)
    arrivals = admission.admit_all((batch_topic(plant), payload) for plant, payload in payloads)
    work = Work()

    def job(connection: Connection) -> GroupResult:
        def count(_c: Any, _cursor: Any, _statement: str, parameters: Any, _context: Any, many: bool) -> None:
            work.calls += 1
            work.statements += len(parameters) if many else 1

        def step() -> None:
            work.steps += 100

        database = connection.connection.driver_connection
        assert database is not None
        before = rows_of(connection)
        event.listen(connection, "before_cursor_execute", count)
        database.set_progress_handler(step, 100)
        result = commit_group(
            connection,
            arrivals,
            now_ms=store.clock.now_utc_ms(),
            quarantine_max_bytes=1_000_000,
            max_streams=limits.max_streams_per_plant,
        )
        database.set_progress_handler(None, 0)
        event.remove(connection, "before_cursor_execute", count)
        work.rows = rows_of(connection) - before
        return result

    return store.write(job).result(), work


def rows_of(connection: Connection) -> int:
    """Rows of all tables."""
    return sum(connection.execute(select(func.count()).select_from(t)).scalar_one() for t in metadata.tables.values())


def count_of(store: CenterStore, table: Any) -> int:
    return store.read(lambda c: int(c.execute(select(func.count()).select_from(table)).scalar_one()))


def honest(sequence: int = 1, at_ms: int = NOON) -> tuple[str, bytes]:
    """A batch of the other plant."""
    return "P2", payload_of(sequence, minutes("V1", at_ms - 300_000, 5), plant="P2")


def raw_gaps(gaps: Sequence[GapRecord], sequence: int = 1) -> bytes:
    """A batch of gaps that our own encoder would not make."""
    body = assemble([], [], [], None, gaps)
    return _seal(wire.Stream("P1", "g1", EPOCH), sequence, body, None)


def verdict(payload: bytes, clock: FixedClock, limits: ReceiverSettings = LIMITS) -> str:
    arrival = admission_of(clock, limits).admit(batch_topic(), payload)
    assert isinstance(arrival, Accepted | Rejected)
    return arrival.code if isinstance(arrival, Rejected) else "accepted"


def on_days(count: int, unit: str = "U1") -> list[UnitRecord]:
    return [record(unit, NOON - n * DAY_MS) for n in range(count)]


def test_times_are_taken_from_400_days_before_to_300_s_after_the_centers_own_time() -> None:
    clock = FixedClock()
    first, last = WINDOW_MS
    for at_ms, expected in ((first, "accepted"), (first - 1, "time_out_of_range")):
        assert verdict(payload_of(1, [record("U1", at_ms)]), clock) == expected
        assert verdict(payload_of(1, [], gaps=[GapRecord(("U1",), at_ms, NOON, "agent_down")]), clock) == expected
    for at_ms, expected in ((last, "accepted"), (last + 1, "time_out_of_range")):
        assert verdict(payload_of(1, [record("U1", NOON), record("U2", at_ms)]), clock) == expected
        assert verdict(payload_of(1, [], gaps=[GapRecord(("U1",), NOON, at_ms, "agent_down")]), clock) == expected


def test_a_record_flagged_unsynchronised_inside_the_window_is_used(tmp_path: Path) -> None:
    flagged = record("U1", NOON - DAY_MS, clock=ClockState.UNSYNCHRONISED)
    with new_store(tmp_path) as store:
        result, _ = send(store, [("P1", payload_of(1, [flagged]))])
        assert (result.committed, result.records) == (1, 1)


def test_a_gap_of_no_unit_says_no_time_and_closes_its_hole(tmp_path: Path) -> None:
    """What an agent says of sequences recorded while its clock stood in 1970."""
    closing = GapRecord((), 1000, 1000, "evicted", EPOCH, 1, 3)
    with new_store(tmp_path) as store:
        result, _ = send(store, [("P1", payload_of(4, [], gaps=[closing]))])
        assert [s.through for s in result.settled] == [4]


def test_the_limits_of_days_gaps_and_units_each_have_their_code() -> None:
    clock = FixedClock()
    limits = ReceiverSettings(max_days_per_batch=3, max_gaps_per_batch=4, max_units_per_batch=1)
    assert verdict(payload_of(1, on_days(3)), clock, limits) == "accepted"
    assert verdict(payload_of(1, on_days(4)), clock, limits) == "too_many_days"
    two = [GapRecord(("U1",), NOON, NOON + n, "agent_down") for n in range(2)]
    assert verdict(payload_of(1, [], gaps=two), clock, limits) == "accepted"
    assert verdict(payload_of(1, [], gaps=[*two, *two, *two]), clock, limits) == "too_many_gaps"
    assert verdict(payload_of(1, [], gaps=[GapRecord(UNITS, NOON, NOON, "agent_down")]), clock, limits) == "over_share"
    assert verdict(payload_of(1, [record("U1", NOON), record("U2", NOON)]), clock, limits) == "over_share"


def test_the_days_of_a_batch_are_counted_over_its_units_not_for_each() -> None:
    limits = ReceiverSettings(max_days_per_batch=3)
    assert verdict(payload_of(1, on_days(3) + on_days(3, "U2")), FixedClock(), limits) == "accepted"


def test_a_gap_that_names_a_unit_twice_is_malformed() -> None:
    clock = FixedClock()
    assert verdict(raw_gaps([GapRecord(("U1", "U1"), NOON, NOON, "agent_down")]), clock) == "malformed"
    with pytest.raises(ValueError, match="a unit twice"):
        payload_of(1, [], gaps=[GapRecord(("U1", "U1"), NOON, NOON, "agent_down")])


def test_a_million_names_in_789_bytes_are_no_rows() -> None:
    clock = FixedClock()
    repeated = raw_gaps([GapRecord(("U1",) * 256, NOON, NOON, "agent_down")] * 4096)
    others = raw_gaps([GapRecord(tuple(f"U{n}" for n in range(256)), NOON, NOON, "agent_down")] * 4096)
    assert len(repeated) < 1000
    assert [verdict(repeated, clock), verdict(others, clock)] == ["malformed", "malformed"]


def test_a_hundred_thousand_days_in_216_bytes_stop_nobody(tmp_path: Path) -> None:
    """Also where the window is open: then it is the number of days that is refused."""
    wide = ReceiverSettings(max_age_days=36_500, max_future_s=3e9)
    to_6429 = payload_of(1, [record("U1", NOON + n * DAY_MS) for n in range(100_000)])
    to_1971 = payload_of(2, [record("U1", NOON - n * DAY_MS) for n in range(20_000)])
    assert len(to_6429) < 300
    with new_store(tmp_path) as store:
        result, work = send(store, [("P1", to_6429), ("P1", to_1971), honest()], limits=wide)
        assert (result.committed, result.refused, result.records) == (1, 2, 5)
        told = {s.plant: s.refused for s in result.settled}
        assert told == {"P1": ((1, "time_out_of_range"), (2, "too_many_days")), "P2": ()}
        assert store.read(lambda c: c.execute(select(lake_day.c.plant).distinct()).scalars().all()) == ["P2"]
        assert_bounded(work, sent=3 + 1)


def assert_bounded(work: Work, *, sent: int) -> None:
    """`sent`: batches, days of units, and gaps of units, of what is within the limits."""
    assert work.statements <= STATEMENTS[0] + STATEMENTS[1] * sent
    assert work.rows <= ROWS[0] + ROWS[1] * sent
    assert work.steps <= STEPS[0] + STEPS[1] * sent


def test_a_curable_refusal_leaves_a_hole_and_the_same_bytes_are_committed_later(tmp_path: Path) -> None:
    clock = FixedClock()
    ahead = payload_of(2, [record("U1", NOON + 3_600_000)])
    first, third = (payload_of(n, [record("U1", NOON + n)]) for n in (1, 3))
    with new_store(tmp_path, clock) as store:
        result, _ = send(store, [("P1", first), ("P1", ahead), ("P1", third)])
        [settled] = result.settled
        assert (settled.through, settled.also, settled.refused) == (1, ((3, 3),), ((2, "time_out_of_range"),))
        [held] = store.read(list_quarantine)
        assert (held["code"], held["sequence"], held["plant"]) == ("time_out_of_range", 2, "P1")
        assert "receiver.max_age_days" in held["reason"]
        assert store.read(held_bytes) == 0  # the plant has them
        again, _ = send(store, [("P1", ahead)])
        assert again.settled[0].refused == ((2, "time_out_of_range"),)
        clock.now_ms += 3_600_000
        result, _ = send(store, [("P1", ahead)])
        [settled] = result.settled
        assert (settled.through, settled.also, settled.refused, result.committed) == (3, (), (), 1)
        assert store.read(list_quarantine) == []


def test_readmission_goes_by_the_limits_of_today(tmp_path: Path) -> None:
    """Nothing of a curable refusal is in quarantine to be readmitted: its plant offers it again."""
    with new_store(tmp_path) as store:
        send(store, [("P1", payload_of(1, [record("U1", NOON + DAY_MS)]))])
        assert isinstance(store.clock, FixedClock)
        admit = admission_of(store.clock).admit
        assert store.write(lambda c: readmit(c, admit, now_ms=NOON)).result().committed == 0


def test_a_plant_that_opens_streams_without_end_is_bounded_and_alone(tmp_path: Path) -> None:
    """By batches of ever new epochs, by gaps that name them, and by batches that are refused for good."""
    many = 3 * MAX_STREAMS
    plain = [("P1", payload_of(1, [record("U1", NOON)], epoch=n)) for n in range(1, many)]
    foreign = [("P1", payload_of(1, [record("V1", NOON)], epoch=10_000 + n)) for n in range(1, many)]
    names = [GapRecord((), NOON, NOON, "evicted", 20_000 + n, 1, 1) for n in range(1, many)]
    with new_store(tmp_path) as store:
        result, work = send(store, [*plain, *foreign, ("P1", payload_of(1, [], gaps=names, epoch=1)), honest()])
        assert count_of(store, stream) == MAX_STREAMS + 1
        assert result.committed == MAX_STREAMS + 1
        codes = [code for s in result.settled for _, code in s.refused]
        assert codes.count("too_many_streams") == many - 1 - MAX_STREAMS
        assert_bounded(work, sent=3 * many)
        # Those it has go on, and the other plant begins what it likes.
        result, _ = send(store, [("P1", payload_of(2, [record("U1", NOON)], epoch=1)), honest(2)])
        assert result.committed == 2


def test_streams_beyond_the_limit_are_taken_once_it_is_raised(tmp_path: Path) -> None:
    limits = ReceiverSettings(max_streams_per_plant=1)
    new = payload_of(1, [record("U1", NOON)], epoch=2)
    with new_store(tmp_path) as store:
        send(store, [("P1", payload_of(1, [record("U1", NOON)], epoch=1))], limits=limits)
        result, _ = send(store, [("P1", new)], limits=limits)
        assert [(s.epoch, s.through, s.refused) for s in result.settled] == [(2, 0, ((1, "too_many_streams"),))]
        result, _ = send(store, [("P1", new)])
        assert [(s.through, s.refused) for s in result.settled] == [(1, ())]


def test_a_stream_in_shreds_costs_no_more_than_its_limit(tmp_path: Path) -> None:
    """Every other sequence declared lost: without a bound each later batch would read all of them again."""
    with new_store(tmp_path) as store:
        for turn in range(5):
            first = 10 + turn * 1000
            shreds = [GapRecord((), NOON, NOON, "evicted", EPOCH, first + 2 * n, first + 2 * n) for n in range(400)]
            result, work = send(store, [("P1", payload_of(turn + 1, [], gaps=shreds)), honest(turn + 1)])
            assert count_of(store, covered) <= MAX_RANGES + 1
            assert_bounded(work, sent=402 + MAX_RANGES)
        assert result.committed == 1
        assert result.settled[0].refused == ((5, "too_many_gaps"),)
        # What joins what is there is welcome still, and a range that closes holes makes room.
        closing = payload_of(6, [], gaps=[GapRecord((), NOON, NOON, "evicted", EPOCH, 4, 3000)])
        result, _ = send(store, [("P1", payload_of(3, [record("U1", NOON)])), ("P1", closing)])
        assert result.settled[0].through == 3000
        result, _ = send(store, [("P1", payload_of(5000, [record("U1", NOON)]))])
        assert result.committed == 1


def test_a_whole_backlog_of_one_stream_in_one_group_is_within_the_limits(tmp_path: Path) -> None:
    """Far more batches than ranges a stream may have: they follow one another."""
    backlog = [("P1", payload_of(n, [record("U1", NOON + n)])) for n in range(1, MAX_RANGES + 500)]
    with new_store(tmp_path) as store:
        result, _ = send(store, backlog)
        assert (result.committed, result.refused) == (len(backlog), 0)


@pytest.mark.parametrize("order", ["rising", "falling"])
def test_marking_days_stale_costs_a_bounded_amount_for_each_day(tmp_path: Path, order: str) -> None:
    wide = ReceiverSettings(max_days_per_batch=400)
    with new_store(tmp_path) as store:
        # Files of both plants are there, so that heads and tails of many are looked at.
        send(store, [("P1", payload_of(1, on_days(400, "U2")))], limits=wide)
        days = on_days(400) if order == "falling" else on_days(400)[::-1]
        result, work = send(store, [("P1", payload_of(2, days)), honest()], limits=wide)
        assert result.committed == 2
        assert_bounded(work, sent=402)
        assert work.calls <= CALLS
        assert count_of(store, unit_day) == 801
        # A record alone, between days far apart: marks the files whose head shows it, once each.
        result, work = send(store, [("P1", payload_of(3, [record("U1", NOON + 1)]))], limits=wide)
        assert_bounded(work, sent=2)


def test_every_file_is_marked_once_that_shows_a_late_record(tmp_path: Path) -> None:
    """U1 on days 0 and 5; U2 on each of 0 to 8. A later last record of U1 on day 0 shows in the heads of 1 to 5."""

    def wanted(store: CenterStore) -> list[int]:
        query = select(lake_day.c.wanted).where(lake_day.c.plant == "P1").order_by(lake_day.c.day)
        return list(store.read(lambda c: c.execute(query).scalars().all()))

    start = NOON - 20 * DAY_MS
    there = [record("U2", start + n * DAY_MS) for n in range(9)]
    with new_store(tmp_path) as store:
        send(store, [("P1", payload_of(1, [*there, record("U1", start), record("U1", start + 5 * DAY_MS)]))])
        before = wanted(store)
        late = [record("U1", start + 60_000), record("U2", start + 30_000)]
        send(store, [("P1", payload_of(2, late))])
        marked = [after - earlier for earlier, after in zip(before, wanted(store), strict=True)]
        assert marked == [1, 1, 1, 1, 1, 1, 0, 0, 0]


EPOCHS = st.sampled_from([EPOCH, 1, 2, 3]) | st.integers(0, (1 << 64) - 1)
TIMES = st.integers(NOON - 2 * DAY_MS, NOON + 300_000) | st.integers(0, 1 << 47)
GAPS = st.builds(
    lambda units, times, epoch, sequences: GapRecord(
        tuple(units), min(times), max(times), "agent_down", *((epoch, min(sequences), max(sequences)) if epoch else ())
    ),
    st.lists(st.sampled_from(UNITS), max_size=2, unique=True),
    st.tuples(TIMES, TIMES),
    st.none() | EPOCHS,
    st.tuples(st.integers(1, 50) | st.integers(1, 1 << 62), st.integers(1, 50) | st.integers(1, 1 << 62)),
)
RECORDS = st.lists(st.builds(record, st.sampled_from((*UNITS, "V1")), TIMES), max_size=20)
SPREAD = st.builds(
    lambda days, unit: [record(unit, NOON - n * DAY_MS) for n in range(days)], st.integers(1, 450), st.just("U1")
)
BATCHES = st.builds(
    lambda sequence, records, gaps, more, epoch: payload_of(sequence, records, gaps=gaps * more, epoch=epoch),
    st.integers(1, 40) | st.integers(1, 1 << 62),
    RECORDS | SPREAD,
    st.lists(GAPS, max_size=6),
    st.sampled_from([1, 1, 1, 50, 600]),
    EPOCHS,
)


@settings(max_examples=sized(15, 40), deadline=None)
@given(st.lists(st.lists(BATCHES, max_size=12), min_size=1, max_size=4))
def test_whatever_a_plant_sends_the_other_is_served_and_the_work_is_bounded(turns: list[list[bytes]]) -> None:
    clock = FixedClock()
    with TemporaryDirectory() as folder, new_store(Path(folder), clock) as store:
        for number, payloads in enumerate(turns, 1):
            turn = [("P1", payload) for payload in payloads]
            sent = 1 + sum(things_in(payload, clock) for payload in payloads)
            held = count_of(store, covered) + count_of(store, stream)
            result, work = send(store, [*turn[::2], honest(number), *turn[1::2]])
            assert [s.through for s in result.settled if s.plant == "P2"] == [number]
            assert_bounded(work, sent=sent + held)
            assert count_of(store, stream) <= MAX_STREAMS + 1
            assert count_of(store, covered) <= MAX_STREAMS * MAX_RANGES + 1
            assert store.read(outside_the_window) == 0


def things_in(payload: bytes, clock: FixedClock) -> int:
    """A batch, and its days of units and its gaps of units where it is admitted."""
    arrival = admission_of(clock).admit(batch_topic(), payload)
    if not isinstance(arrival, Accepted):
        return 1
    named = sum(max(1, len(g.units)) for g in arrival.gaps)
    assert len({part.day for part in arrival.parts}) <= LIMITS.max_days_per_batch
    assert named <= LIMITS.max_gaps_per_batch
    return 1 + len(arrival.parts) + named


def outside_the_window(connection: Connection) -> int:
    first, last = WINDOW_MS
    records = func.count().filter((unit_day.c.first_ms < first) | (unit_day.c.last_ms > last))
    gaps = func.count().filter((gap.c.from_ms < first) | (gap.c.to_ms > last))
    return sum(int(connection.execute(select(n)).scalar_one()) for n in (records, gaps))


def test_a_plant_that_has_used_its_share_of_the_disk_is_refused_for_now_and_no_other_one(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        assert isinstance(store.clock, FixedClock)
        admission = admission_of(store.clock, LIMITS.model_copy(update={"max_bytes_per_plant": 1_000_000}))
        payload = payload_of(1, minutes("U1", NOON - 300_000, 5))
        admission.replace_shares({"P1": 1_000_000 - len(payload)})
        first = admission.admit(batch_topic(), payload)
        assert isinstance(first, Accepted)
        second = admission.admit(batch_topic(), payload_of(2, minutes("U1", NOON - 300_000, 5)))
        assert isinstance(second, Rejected)
        assert second.code == "over_share"
        assert second.code in wire.CURABLE
        assert isinstance(admission.admit(batch_topic("P2"), honest()[1]), Accepted)
        admission.replace_shares({})
        assert isinstance(admission.admit(batch_topic(), payload_of(2, minutes("U1", NOON - 300_000, 5))), Accepted)


def test_what_a_plant_uses_is_what_is_kept_of_it(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        payloads = [("P1", payload_of(n, minutes("U1", NOON - 300_000 + n, 5))) for n in (1, 2, 2)] + [honest()]
        send(store, payloads)
        used = store.read(bytes_by_plant)
        assert used == {"P1": len(payloads[0][1]) + len(payloads[1][1]), "P2": len(payloads[3][1])}
        for day in store.read(find_stale_days):
            seal_day(store, day)
        sizes = {
            each.name: sum(p.stat().st_size for p in each.iterdir()) for each in (store.directory / "lake").iterdir()
        }
        assert store.read(bytes_by_plant) == {plant: used[plant] + sizes[plant] for plant in used}
        store.clock.now_ms += 100 * DAY_MS  # type: ignore[attr-defined]
        drop_old_payloads(store, keep_days=62)
        assert store.read(bytes_by_plant) == sizes
