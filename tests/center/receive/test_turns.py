# SPDX-License-Identifier: GPL-3.0-or-later
"""One plant's flood costs its own: an honest plant is in every turn, whatever another one sends."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from hypothesis import given
from hypothesis import strategies as st

from collector.center.receive.arrivals import Accepted, Arrival, Rejected, UnitPart
from collector.center.receive.turns import (
    AT_ONCE,
    BURST_S,
    CHECKED_SHARE,
    GROUP_ROWS,
    MESSAGE_ROWS,
    STRANGERS,
    Incoming,
    PlantTurns,
    rows_of,
)
from collector.model.record import GapRecord
from tests.patience import HANG_S

T = TypeVar("T")

RATE = 1000
MOST = 64


@dataclass
class Stopwatch:
    """A monotonic clock that a test moves."""

    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


def batch(plant: str, sequence: int, *, days: int = 1, units: int = 1, gaps: int = 0, size: int = 100) -> Accepted:
    """A batch that passed; `days`, `units`, `gaps`: how many of each it holds."""
    parts = tuple(UnitPart(f"U{n}", f"2026-03-{day + 1:02}", 1, 0, 0, b"") for day in range(days) for n in range(units))
    lost = (GapRecord(tuple(f"U{n}" for n in range(gaps)), 0, 1, "agent_down"),) if gaps else ()
    return Accepted(plant, "g1", 1, sequence, b"", b"x" * size, 1, 0, 0, parts, lost)


def refused(plant: str, *, authentic: bool) -> Rejected:
    return Rejected(plant, "g1", "t", b"", b"x", "bad_signature", "", 1, 1, authentic)


def at_once(waited_for: Coroutine[Any, Any, T]) -> T:
    """What must be there already."""

    async def look() -> T:
        async with asyncio.timeout(HANG_S):
            return await waited_for

    return asyncio.run(look())


def take(turns: PlantTurns, most: int = MOST) -> list[Arrival]:
    """The next group."""
    return at_once(turns.group(most=most, most_bytes=1 << 40))


def message(plant: str, size: int = 10, topic: str = "t") -> Incoming:
    return Incoming(plant, topic, b"x" * size)


def check(turns: PlantTurns, most: int = 1000) -> list[str]:
    """Whose messages are checked next."""
    return [m.plant for m in at_once(turns.messages(most=most, most_bytes=1 << 40))]


hostile = st.lists(
    st.builds(
        batch, st.just("P1"), st.integers(1, 9), days=st.integers(1, 31), units=st.integers(1, 9),
        gaps=st.integers(0, 4096), size=st.integers(1, 100_000),
    ),
    min_size=1, max_size=200,
)  # fmt: skip


# ---- the group that is committed -------------------------------------------------------------------------------------


@given(floods=st.lists(hostile, min_size=1, max_size=6), step_s=st.floats(0.001, 5))
def test_the_honest_plant_is_in_every_group_beside_any_flood(floods: list[list[Accepted]], step_s: float) -> None:
    clock = Stopwatch()
    turns = PlantTurns(rows_per_s=RATE, now_s=clock)
    for number, flood in enumerate(floods):
        for arrival in flood:
            turns.add("P1", arrival)
        turns.add("P2", batch("P2", number))
        group = take(turns)
        assert group[0] is not None
        assert [a for a in group if a.plant == "P2"]
        assert len(group) == 1 or sum(map(rows_of, group)) <= GROUP_ROWS
        clock.now_s += step_s


def test_twenty_hostile_plants_leave_the_honest_ones_in_every_group() -> None:
    turns = PlantTurns(rows_per_s=20_000, now_s=Stopwatch())
    for number in range(20):
        for sequence in range(9):
            turns.add(f"H{number}", batch(f"H{number}", sequence, gaps=4096))
    for sequence in range(30):
        for plant in ("P1", "P2", "P3", "P4", "P5"):
            turns.add(plant, batch(plant, sequence))
        group = take(turns)
        assert {a.plant for a in group} >= {"P1", "P2", "P3", "P4", "P5"}
        assert sum(map(rows_of, group)) <= GROUP_ROWS


def test_lawful_batches_of_one_plant_fill_a_group() -> None:
    turns = PlantTurns(rows_per_s=20_000, now_s=Stopwatch())
    for sequence in range(1000):
        turns.add("P1", batch("P1", sequence))
    assert len(take(turns, 800)) == 800


def test_what_nobody_vouches_for_takes_no_plants_turn_and_is_bounded() -> None:
    turns = PlantTurns(rows_per_s=RATE, now_s=Stopwatch())
    for _ in range(int(RATE * BURST_S) + 5):
        turns.add("P2", refused("P2", authentic=False))
    turns.add("P2", batch("P2", 1))
    assert turns.served()[STRANGERS].dropped == 5
    assert any(isinstance(a, Accepted) for a in take(turns))


# ---- before the checks -----------------------------------------------------------------------------------------------


def test_messages_are_taken_from_one_plant_after_the_other() -> None:
    turns = PlantTurns(rows_per_s=RATE, now_s=Stopwatch())
    for plant in ("P1", "P1", "P1", "P2", "P3", "P2"):
        turns.put(message(plant))
    assert check(turns) == ["P1", "P2", "P3", "P1", "P2", "P1"]


def test_where_few_are_checked_at_a_time_each_plant_comes_in_its_turn() -> None:
    """Twenty with more than is ever checked, on a machine so slow that all have their whole allowance each time."""
    clock = Stopwatch()
    turns = PlantTurns(rows_per_s=RATE, now_s=clock)
    for _ in range(50):
        for number in range(20):
            turns.put(message(f"H{number}"))
    turns.put(message("P1"))
    checked: list[str] = []
    for _ in range(7):  # of three each: 21 plants
        clock.now_s += 10
        taken = at_once(turns.messages(most=1000, most_bytes=1 << 40))
        turns.put_back(taken[3:])
        for each in taken[:3]:
            turns.add(each.plant, None)
            checked.append(each.plant)
    assert sorted(checked) == sorted([*(f"H{number}" for number in range(20)), "P1"])


def test_of_one_plant_so_many_are_taken_before_it_is_known_what_they_cost() -> None:
    turns = PlantTurns(rows_per_s=RATE, now_s=Stopwatch())
    for _ in range(AT_ONCE + 10):
        turns.put(message("P1"))
    turns.put(message("P2"))
    assert sorted(check(turns)) == ["P1"] * AT_ONCE + ["P2"]


@given(
    sizes=st.lists(st.integers(1, 4_000_000), min_size=1, max_size=30),
    work_s=st.floats(0, 0.5),
    gaps=st.integers(0, 4096),
)
def test_a_plant_over_its_rate_is_not_even_checked_and_the_honest_one_is_each_turn(
    sizes: list[int], work_s: float, gaps: int
) -> None:
    """However its messages are dear: by their number, their bytes, the work of their checks, or their rows."""
    clock = Stopwatch()
    turns = PlantTurns(rows_per_s=RATE, now_s=clock)
    seconds, asked, waiting = 20, 0.0, 0
    for number in range(seconds):
        for size in sizes:
            turns.put(message("P1", 10, str(size)))
        turns.put(message("P2"))
        checked = at_once(turns.messages(most=1000, most_bytes=1 << 40))
        assert "P2" in {m.plant for m in checked}
        for each in checked:
            if each.plant == "P2":
                turns.add("P2", batch("P2", number), work_s=0.001)
                continue
            waiting += 1
            arrival = batch("P1", number, gaps=gaps, size=int(each.topic) // 100)
            asked += MESSAGE_ROWS + work_s / CHECKED_SHARE * RATE + rows_of(arrival)
            turns.add("P1", arrival, work_s=work_s)
        waiting += 1
        while waiting:
            waiting -= len(take(turns))
        clock.now_s += 1
    dearest = AT_ONCE * (MESSAGE_ROWS + work_s / CHECKED_SHARE * RATE + 4096 + 50)
    assert asked <= RATE * (BURST_S + seconds) + dearest


def test_a_plant_that_rests_loses_nothing_and_is_served_in_order() -> None:
    clock = Stopwatch()
    turns = PlantTurns(rows_per_s=RATE, now_s=clock)
    for number in range(40):
        turns.put(message("P1", topic=str(number)))
    done: list[str] = []
    while len(done) < 40:
        clock.now_s += 1
        if not turns.rests("P1"):
            taken = at_once(turns.messages(most=4, most_bytes=1 << 40))
            for each in taken:
                done.append(each.topic)
                turns.add("P1", batch("P1", int(each.topic), gaps=500))
            assert len(take(turns)) == len(taken)
    assert done == [str(number) for number in range(40)]
    served = turns.served()["P1"]
    assert (served.messages, served.dropped) == (40, 0)
    assert served.held_back_s > 10  # 40 × 516 rows at 1 000 rows a second, less its burst


def test_what_was_not_checked_after_all_comes_first_again() -> None:
    turns = PlantTurns(rows_per_s=RATE, now_s=Stopwatch())
    for number in range(4):
        turns.put(message("P1", topic=str(number)))
    taken = at_once(turns.messages(most=10, most_bytes=1 << 40))
    turns.put(message("P1", topic="4"))
    turns.put_back(taken[1:])
    assert [m.topic for m in at_once(turns.messages(most=10, most_bytes=1 << 40))] == ["1", "2", "3", "4"]


def test_beyond_what_may_wait_the_newest_of_whoever_has_most_goes() -> None:
    turns = PlantTurns(rows_per_s=RATE, now_s=Stopwatch(), max_messages=4, max_bytes=1 << 30)
    for _ in range(10):
        turns.put(message("P1"))
    turns.put(message("P2"))
    assert turns.served()["P1"].dropped == 7
    assert sorted(check(turns)) == ["P1", "P1", "P1", "P2"]


def test_beyond_the_bytes_that_may_wait_whoever_has_most_bytes_pays() -> None:
    turns = PlantTurns(rows_per_s=RATE, now_s=Stopwatch(), max_bytes=1000)
    for _ in range(20):
        turns.put(message("P1", 5))
    turns.put(message("P2", 890))
    turns.put(message("P2", 890))
    assert {name: served.dropped for name, served in turns.served().items()} == {"P1": 0, "P2": 1}


def test_one_message_larger_than_all_that_may_wait_passes_alone() -> None:
    turns = PlantTurns(rows_per_s=RATE, now_s=Stopwatch(), max_bytes=100)
    turns.put(message("P1", 1000))
    turns.put(message("P1", 50))
    assert turns.served()["P1"].dropped == 1
    assert check(turns) == ["P1"]
