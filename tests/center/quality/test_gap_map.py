# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps of what is missing, gaps with their reasons, and 补召 followed to its answer; by hand workings."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from collector import wire
from collector.base.errors import Denied
from collector.center.db.store import CenterStore
from collector.center.lake.seal import enrol, seal_month_of
from collector.center.people.access import Actor, Role
from collector.center.quality.completeness import count_in, held_minutes
from collector.center.quality.gap_map import find_gaps, list_gaps, map_day, map_month
from collector.center.receive.asks import list_asks, record_asks
from collector.model.interval import DAY_MS, Interval, Month, local_midnight_ms
from collector.model.record import GapRecord
from tests.center.center_batches import NOON, FixedClock, deliver, minutes, new_store, payload_of, record

pytestmark = pytest.mark.usefixtures("on_both")

DAY = date(2026, 3, 10)
MIDNIGHT = local_midnight_ms(DAY)
HOUR, MINUTE = 3_600_000, 60_000
LI = Actor("li", Role.OPERATOR)


def opened(tmp_path: Path, clock: FixedClock | None = None) -> CenterStore:
    store = new_store(tmp_path, clock)
    store.write(lambda c: enrol(c, {"P1": (["U1", "U2"], []), "P2": (["V1"], [])})).result()
    return store


def test_the_months_map_counts_minutes_of_a_plants_units_by_day(tmp_path: Path) -> None:
    clock = FixedClock(MIDNIGHT + DAY_MS)
    with opened(tmp_path, clock) as store:
        # U1 90 minutes of the 9th over midnight into the 10th; U2 30 minutes at noon of the 10th
        deliver(store, [payload_of(1, minutes("U1", MIDNIGHT - HOUR, 90))])
        deliver(store, [payload_of(2, minutes("U2", NOON, 30))])
        found = store.read(lambda c: map_month(c, Month(2026, 3), now_ms=clock.now_ms, hold_limit_s=60))
    cells = {(cell.plant, cell.day): (cell.known_min, cell.elapsed_min) for cell in found}
    assert len(cells) == 2 * 31
    assert cells["P1", "2026-03-09"] == (60, 2 * 1440)
    assert cells["P1", "2026-03-10"] == (30 + 30, 2 * 1440)
    assert cells["P2", "2026-03-10"] == (0, 1440)
    assert cells["P1", "2026-03-11"] == (0, 0)  # not begun


def test_the_months_map_ends_with_the_day_that_is_not_over(tmp_path: Path) -> None:
    clock = FixedClock(MIDNIGHT + 90 * MINUTE)
    with opened(tmp_path, clock) as store:
        # Up to 00:19, each held for ten minutes: to 00:29 of 90 minutes; of the day before all after 23:40.
        deliver(store, [payload_of(1, minutes("U1", MIDNIGHT - 20 * MINUTE, 40))])
        found = store.read(lambda c: map_month(c, Month(2026, 3), now_ms=clock.now_ms, hold_limit_s=600))
    cells = {cell.day: (cell.known_min, cell.elapsed_min) for cell in found if cell.plant == "P1"}
    assert cells["2026-03-09"] == (20, 2 * 1440)
    assert cells["2026-03-10"] == (29, 2 * 90)
    assert cells["2026-03-08"] == (0, 2 * 1440)
    assert cells["2026-03-11"] == (0, 0)


def test_the_days_map_holds_a_record_as_long_as_the_policy_says_also_over_midnight(tmp_path: Path) -> None:
    clock = FixedClock(MIDNIGHT + 2 * HOUR + 30 * MINUTE)
    with opened(tmp_path, clock) as store:
        deliver(
            store, [payload_of(1, [record("U1", MIDNIGHT - 2 * MINUTE), record("U1", MIDNIGHT + HOUR + 55 * MINUTE)])]
        )
        one, two = store.read(lambda c: map_day(c, DAY, now_ms=clock.now_ms, hold_limit_s=600, plant="P1"))
    # 23:58 holds to 00:08; 01:55 to 02:05
    assert one.known_min[:4] == (8, 5, 5, 0)
    assert one.elapsed_min[:4] == (60, 60, 30, 0)
    assert (two.unit, sum(two.known_min)) == ("U2", 0)


def test_silence_is_explained_by_gap_records_where_there_are_any(tmp_path: Path) -> None:
    clock = FixedClock(MIDNIGHT + 4 * HOUR)
    with opened(tmp_path, clock) as store:
        lost = GapRecord(("U1",), MIDNIGHT + HOUR, MIDNIGHT + 2 * HOUR, "agent_down")
        first = minutes("U1", MIDNIGHT, 30)
        deliver(store, [payload_of(1, [*first, record("U1", MIDNIGHT + 3 * HOUR)], gaps=[lost])])
        expected = [
            (30 * MINUTE, HOUR, "no_record"),
            (HOUR, 2 * HOUR, "agent_down"),
            (2 * HOUR, 3 * HOUR, "no_record"),
            (3 * HOUR + MINUTE, 4 * HOUR, "no_record"),
        ]
        for sealed in (False, True):  # by the minutes received, then by the file: the same
            if sealed:
                seal_month_of(store, Month(2026, 3))
            found = store.read(
                lambda c: find_gaps(c, store.lake, "U1", "P1", DAY, now_ms=clock.now_ms, hold_limit_s=60)
            )
            assert [(g.start_ms - MIDNIGHT, g.end_ms - MIDNIGHT, g.reason) for g in found] == expected
        told = store.read(lambda c: list_gaps(c, Interval(MIDNIGHT, MIDNIGHT + DAY_MS), plant="P1"))
        assert [(row["unit"], row["reason"]) for row in told] == [("U1", "agent_down")]


def test_a_value_that_is_not_there_is_a_gap_of_its_quantity_with_its_quality(tmp_path: Path) -> None:
    clock = FixedClock(NOON + 5 * MINUTE)
    with opened(tmp_path, clock) as store:
        records = [record("U1", NOON + i * MINUTE, None if i in (1, 2) else 5) for i in range(5)]
        deliver(store, [payload_of(1, records)])
        seal_month_of(store, Month(2026, 3))
        found = store.read(lambda c: find_gaps(c, store.lake, "U1", "P1", DAY, now_ms=clock.now_ms, hold_limit_s=60))
    assert [(g.quantity, g.start_ms - NOON, g.end_ms - NOON, g.reason) for g in found if g.quantity] == [
        ("active_power_mw", MINUTE, 3 * MINUTE, "silent")
    ]


def ask(number: int, gateway: str = "g1") -> wire.Ask:
    return wire.Ask(id=f"{number:016x}", plant="P1", gateway=gateway, unit="U1", from_ms=NOON, to_ms=NOON + HOUR)


def states(store: CenterStore) -> dict[str, tuple[str, int, int, list[str]]]:
    rows = store.read(list_asks)
    return {r["gateway"]: (r["state"], r["new_batches"], r["repeats"], r["gap_reasons"]) for r in rows}


def test_an_ask_is_followed_to_a_batch_a_repeat_or_a_gap_record(tmp_path: Path) -> None:
    clock = FixedClock()
    with opened(tmp_path, clock) as store:
        held = payload_of(1, minutes("U1", NOON, 2))
        deliver(store, [held, held])
        clock.now_ms += 1000
        asks = [ask(1), ask(2, "g2"), ask(3, "g3")]
        store.write(lambda c: record_asks(c, asks, actor=LI, now_ms=clock.now_ms)).result()
        assert [said[0] for said in states(store).values()] == ["open"] * 3
        clock.now_ms += 1000
        deliver(store, [held])
        assert states(store)["g1"] == ("answered", 0, 1, [])
        deliver(store, [payload_of(2, minutes("U1", NOON + 5 * MINUTE, 2))])
        assert states(store)["g1"] == ("answered", 1, 1, [])
        topic = wire.topic("collector", "P1", "g2", "batch")
        gone = GapRecord(("U1",), NOON, NOON + HOUR, "no_records")
        deliver(store, [payload_of(1, [], gaps=[gone], gateway="g2")], topic=topic)
        assert states(store)["g2"] == ("answered", 0, 0, ["no_records"])
        assert states(store)["g3"][0] == "open"
        [row] = store.read(lambda c: list_asks(c, unit="U1", limit=1))
        assert (row["who"], row["from_ms"]) == ("li", NOON)
        assert store.read(lambda c: list_asks(c, plant="P2")) == []


def test_a_plants_user_does_not_ask(tmp_path: Path) -> None:
    with opened(tmp_path) as store, pytest.raises(Denied):
        store.write(lambda c: record_asks(c, [ask(1)], actor=Actor("p", Role.PLANT, "P1"), now_ms=NOON)).result()


@pytest.mark.parametrize(("hold_s", "known"), [(60, 1), (90, 1), (180, 3), (600, 10), (3600, 60)])
def test_a_minute_is_held_for_the_whole_minutes_of_the_limit(tmp_path: Path, hold_s: int, known: int) -> None:
    del tmp_path
    span = Interval(MIDNIGHT, MIDNIGHT + DAY_MS)
    minutes_of_day = (1 << (1439 - 100)).to_bytes(180, "big")  # the minute 01:40
    bits = held_minutes({DAY.isoformat(): minutes_of_day}, span, hold_s)
    assert bits.bit_count() == known
    assert count_in(bits, span, Interval(MIDNIGHT + 100 * MINUTE, MIDNIGHT + 102 * MINUTE)) == (min(known, 2), 2)
