# SPDX-License-Identifier: GPL-3.0-or-later
"""The recorder: ticks, changes at their tags, staleness, late tags, eras, sources, gaps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from collector.agent.device.contract import Reading
from collector.agent.record.recorder import Recorder
from collector.agent.record.sources import QuantitySource
from collector.base.clock_state import ClockState
from collector.model.record import Cause, GapRecord, Quality, UnitRecord
from tests.agent.device.agent_points import point

T = 1_700_000_000_000  # a multiple of the period
PERIOD = 1000
GOOD, SYNC = Quality.GOOD, ClockState.SYNCHRONISED

POWER = point("active_power_mw", raw_unit="kW")
BREAKER = point("on_grid", type="uint16")
BACKUP = point("on_grid", name="on_grid 2", type="uint16", backup=True)
LIMIT = point("avc_at_limit", type="uint16")


def recorder(*rows: object, last: tuple[int, int] | None = None) -> Recorder:
    sources = [QuantitySource(row, "U1", 3 * PERIOD) for row in rows]  # type: ignore[arg-type]
    return Recorder(sources, period_ms=PERIOD, last={"U1": last})


def good(row: object, value: int, at: int, *, tag: int | None = None, event: bool = False) -> Reading:
    return Reading(row, value, GOOD, at, tag, event)  # type: ignore[arg-type]


def shown(records: list[UnitRecord]) -> list[tuple[int, tuple[int | None, ...], Cause]]:
    return [(r.time_utc_ms - T, r.values, r.cause) for r in records]


def test_a_tick_carries_its_scheduled_time_and_the_newest_value_complete_by_then() -> None:
    made = recorder(POWER)
    made.feed([good(POWER, 100, T - 900), good(POWER, 110, T - 5), good(POWER, 120, T + 3)])
    assert shown(made.record(T, SYNC)[0]) == [(0, (110,), Cause.TICK)]
    assert shown(made.record(T + PERIOD, SYNC)[0]) == [(1000, (120,), Cause.TICK)]


def test_equal_rows_of_two_devices_are_sources_of_their_own() -> None:
    twins = [point("active_power_mw", raw_unit="kW") for _ in range(3)]
    sources = [
        QuantitySource(twin, unit, 3 * PERIOD, device) for twin, unit, device in zip(twins, "ABC", "abc", strict=True)
    ]
    made = Recorder(sources, period_ms=PERIOD, last={})
    made.feed([good(twin, value, T) for value, twin in enumerate(twins)])
    made.feed([good(point("active_power_mw", raw_unit="kW"), 99, T)])  # nobody's
    assert [(r.unit, r.values) for r in made.record(T, SYNC)[0]] == [("A", (0,)), ("B", (1,)), ("C", (2,))]
    assert [(n.source, n.value) for n in made.newest(T)] == list(zip(sources, (0, 1, 2), strict=True))


def test_a_value_older_than_its_limit_is_nothing_and_stale() -> None:
    made = recorder(POWER)
    made.feed([good(POWER, 100, T)])
    fresh = made.record(T + 3000, SYNC)[0][0]
    assert (fresh.values, fresh.qualities) == ((100,), (GOOD,))
    old = made.record(T + 3001, SYNC)[0][0]
    assert (old.values, old.qualities) == ((None,), (Quality.STALE,))


def test_a_value_its_device_vouches_for_does_not_age() -> None:
    made = recorder(POWER)
    made.feed([good(POWER, 100, T)])
    made.hold([POWER], T + 60_000)
    assert made.record(T + 60_000, SYNC)[0][0].values == (100,)


def test_a_failed_read_is_its_quality_and_never_the_value_before() -> None:
    made = recorder(POWER)
    made.feed([good(POWER, 100, T - 10), Reading(POWER, None, Quality.SILENT, T - 1)])
    record = made.record(T, SYNC)[0][0]
    assert (record.values, record.qualities) == ((None,), (Quality.SILENT,))


def test_what_was_never_read_is_silent() -> None:
    record = recorder(POWER).record(T, SYNC)[0][0]
    assert (record.values, record.qualities) == ((None,), (Quality.SILENT,))


def test_a_tagged_change_between_ticks_makes_a_record_at_its_tag() -> None:
    made = recorder(POWER, BREAKER)
    made.feed([good(POWER, 500, T - 10), good(BREAKER, 1, T - 10)])
    made.record(T, SYNC)
    made.feed([good(POWER, 510, T + 200), good(BREAKER, 0, T + 900, tag=T + 437, event=True), good(POWER, 9, T + 990)])
    records, _ = made.record(T + PERIOD, SYNC)
    assert shown(records) == [(437, (510, 0), Cause.CHANGE), (1000, (9, 0), Cause.TICK)]
    assert [r.device_time_utc_ms for r in records] == [T + 437, None]


def test_a_tag_after_the_tick_waits_for_the_next_one() -> None:
    made = recorder(BREAKER)
    made.feed([good(BREAKER, 1, T - 10), good(BREAKER, 0, T + 700, tag=T + 600, event=True)])
    assert shown(made.record(T, SYNC)[0]) == [(0, (1,), Cause.TICK)]
    assert shown(made.record(T + PERIOD, SYNC)[0]) == [(600, (0,), Cause.CHANGE), (1000, (0,), Cause.TICK)]


def test_a_change_tagged_before_the_last_record_is_recorded_at_arrival_and_marked() -> None:
    made = recorder(BREAKER)
    made.feed([good(BREAKER, 1, T - 10)])
    made.record(T, SYNC)
    made.feed([good(BREAKER, 0, T + 300, tag=T - 200, event=True)])
    records, _ = made.record(T + PERIOD, SYNC)
    assert shown(records) == [(300, (0,), Cause.CHANGE), (1000, (0,), Cause.TICK)]
    assert records[0].qualities == (Quality.LATE_TAG,)
    assert records[0].device_time_utc_ms == T - 200


def test_a_report_that_changes_nothing_makes_no_record() -> None:
    made = recorder(BREAKER, LIMIT)
    made.feed([good(BREAKER, 1, T - 10), good(LIMIT, 0, T - 10)])
    made.record(T, SYNC)
    made.feed([good(BREAKER, 1, T + 9, tag=T + 5, event=True), good(LIMIT, 1, T + 9, tag=T + 5, event=True)])
    assert shown(made.record(T + PERIOD, SYNC)[0]) == [(1000, (1, 1), Cause.TICK)]


def test_two_changes_of_one_status_in_one_millisecond_stay_two_edges() -> None:
    made = recorder(BREAKER)
    made.feed([good(BREAKER, 1, T - 10)])
    made.record(T, SYNC)
    made.feed([good(BREAKER, v, T + 50, tag=T + 40, event=True) for v in (0, 1)])
    assert shown(made.record(T + PERIOD, SYNC)[0]) == [
        (40, (0,), Cause.CHANGE), (41, (1,), Cause.CHANGE), (1000, (1,), Cause.TICK),
    ]  # fmt: skip


def test_a_change_on_the_tick_itself_is_the_ticks_record() -> None:
    made = recorder(BREAKER)
    made.feed([good(BREAKER, 1, T - 10), good(BREAKER, 0, T + 5, tag=T, event=True)])
    records, _ = made.record(T, SYNC)
    assert shown(records) == [(0, (0,), Cause.TICK)]
    assert records[0].device_time_utc_ms == T


def test_the_backup_stands_in_while_the_primary_is_bad_and_is_marked_substituted() -> None:
    made = recorder(BREAKER, BACKUP)
    made.feed([good(BREAKER, 1, T - 10), good(BACKUP, 0, T - 10)])
    assert made.record(T, SYNC)[0][0].qualities == (GOOD,)
    made.feed([Reading(BREAKER, None, Quality.INVALID, T + 500), good(BACKUP, 0, T + 600)])
    switched = made.record(T + PERIOD, SYNC)[0][0]
    assert (switched.values, switched.qualities) == ((0,), (Quality.SUBSTITUTED,))
    made.feed([good(BREAKER, 1, T + 1500)])
    back = made.record(T + 2 * PERIOD, SYNC)[0][0]
    assert (back.values, back.qualities) == ((1,), (GOOD,))


def test_a_clock_that_stepped_back_opens_an_era_and_ages_start_anew() -> None:
    made = recorder(POWER, last=(4, T))
    made.feed([good(POWER, 100, T + 90)])
    record = made.record(T - 3_600_000, SYNC)[0][0]
    assert (record.era, record.time_utc_ms, record.values) == (5, T - 3_600_000, (100,))
    later = made.record(T - 3_600_000 + 4 * PERIOD, SYNC)[0][0]
    assert (later.era, later.qualities) == (5, (Quality.STALE,))


def test_every_start_tells_a_gap_for_a_change_may_have_come_and_gone_unseen() -> None:
    for away in (1, 2, 180):
        made = recorder(POWER, last=(0, T - away * PERIOD))
        assert made.record(T, SYNC)[1] == [GapRecord(("U1",), T - away * PERIOD, T, "agent_down")]
        assert made.record(T + PERIOD, SYNC)[1] == []


def test_every_tick_that_was_missed_lies_in_a_gap_also_a_single_one() -> None:
    made = recorder(POWER)
    assert made.record(T, SYNC)[1] == []
    assert made.record(T + 2 * PERIOD, SYNC)[1] == [GapRecord(("U1",), T, T + 2 * PERIOD, "missed_ticks")]
    assert made.record(T + 3 * PERIOD, SYNC)[1] == []
    assert made.record(T + 7 * PERIOD, SYNC)[1] == [GapRecord(("U1",), T + 3 * PERIOD, T + 7 * PERIOD, "missed_ticks")]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["breaker", "power", "backup"]),
            st.integers(0, 1),
            st.integers(-6000, 6000),
            st.integers(-6000, 6000) | st.none(),
            st.booleans(),
        ),
        max_size=40,
    ),
    st.lists(st.integers(-4, 6), min_size=1, max_size=12),
)
def test_times_of_a_unit_strictly_grow_within_an_era_whatever_comes(
    fed: list[tuple[str, int, int, int | None, bool]], steps: list[int]
) -> None:
    rows = {"breaker": BREAKER, "power": POWER, "backup": BACKUP}
    made = recorder(*rows.values())
    records: list[UnitRecord] = []
    tick, per_tick = T, -(-len(fed) // len(steps))
    for index, step in enumerate(steps):
        for name, value, at, tag, event in fed[index * per_tick : (index + 1) * per_tick]:
            made.feed([good(rows[name], value, tick + at, tag=None if tag is None else tick + tag, event=event)])
        records += made.record(tick, SYNC)[0]
        tick += step * PERIOD
    stamps = [(r.era, r.time_utc_ms) for r in records]
    assert stamps == sorted(set(stamps))
    for record in records:
        assert all((v is not None) == q.usable for v, q in zip(record.values, record.qualities, strict=True))


@given(st.permutations(range(6)))
def test_order_of_arrival_does_not_matter_for_tagged_changes(order: list[int]) -> None:
    made = recorder(BREAKER)
    made.feed([good(BREAKER, 0, T - 10)])
    made.record(T, SYNC)
    changes = [good(BREAKER, 1 - i % 2, T + 950, tag=T + 100 * (i + 1), event=True) for i in range(6)]
    made.feed([changes[i] for i in order])
    records, _ = made.record(T + PERIOD, SYNC)
    assert shown(records) == [(100 * (i + 1), (1 - i % 2,), Cause.CHANGE) for i in range(6)] + [
        (1000, (0,), Cause.TICK)
    ]
