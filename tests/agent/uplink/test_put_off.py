# SPDX-License-Identifier: GPL-3.0-or-later
"""What the center refuses for now: kept, told, offered again, passed by the rest, and freed once it is acknowledged."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

from collector.agent.buffer.buffer import Buffer, Position
from collector.agent.buffer.lost_ranges import REACH_MS
from collector.agent.uplink.send_queue import Flights, take
from collector.model.record import GapRecord
from collector.points.agent_config import UplinkConfig
from collector.wire import CURABLE, FINAL
from tests.agent.buffer.agent_buffers import T0, ack, gaps, open_buffer, pending, record, seal_one
from tests.agent.uplink.uplink_world import Center, agent_config, broker, free_port, running
from tests.patience import until

CODES = [*sorted(CURABLE), "a_code_of_next_year"]
DAY_MS = 86_400_000


def put_off_of(buffer: Buffer) -> list[int]:
    """Sequences of P1 that wait to be offered again, in the order of their lane."""
    found: list[int] = []
    last = buffer.last_put_off("P1")
    position: Position | None = None
    while last is not None and (position := buffer.next_put_off("P1", position, last)) is not None:
        found.append(position.sequence)
    return found


@pytest.mark.parametrize("code", CODES)
def test_a_batch_refused_for_now_is_kept_over_a_restart_and_freed_once_acknowledged(code: str, tmp_path: Path) -> None:
    with closing(open_buffer(tmp_path / "b")) as buffer:
        for second in (1, 2, 3):
            seal_one(buffer, second)
        epoch = pending(buffer)[0].epoch
        outcome = ack(buffer, epoch, 1, also=((3, 3),), refused=((2, code),))
        assert [p.sequence for p in outcome.freed] == [1, 3]
        assert ([(p.sequence, c) for p, c in outcome.put_off], outcome.refused) == ([(2, code)], ())
        assert (buffer.counts().pending, buffer.counts().refused) == (1, 1)
    with closing(open_buffer(tmp_path / "b")) as buffer:
        assert (buffer.counts().pending, put_off_of(buffer), pending(buffer)) == (1, [2], [])
        position = buffer.last_put_off("P1")
        assert position is not None
        assert buffer.read(position) is not None  # offered again
        assert [p.sequence for p in ack(buffer, epoch, 3).freed] == [2]
        assert (buffer.counts().pending, buffer.counts().refused, put_off_of(buffer)) == (0, 0, [])


@pytest.mark.parametrize("code", sorted(FINAL))
def test_a_final_code_frees_the_batch(code: str, tmp_path: Path) -> None:
    with closing(open_buffer(tmp_path / "b")) as buffer:
        seal_one(buffer, 1)
        outcome = ack(buffer, pending(buffer)[0].epoch, 1, refused=((1, code),))
        assert [(p.sequence, c) for p, c in outcome.refused] == [(1, code)]
        assert buffer.counts().pending == 0


def test_a_batch_that_a_newer_center_settles_by_an_unknown_code_is_never_freed_by_its_through(tmp_path: Path) -> None:
    with closing(open_buffer(tmp_path / "b")) as buffer:
        seal_one(buffer, 1)
        seal_one(buffer, 2)
        epoch = pending(buffer)[0].epoch
        assert ack(buffer, epoch, 1, refused=((1, "never_again"),)).freed == ()
        assert [p.sequence for p in ack(buffer, epoch, 2).freed] == [2]
        assert put_off_of(buffer) == [1]
    with closing(open_buffer(tmp_path / "b")) as buffer:
        assert ack(buffer, epoch, 2).freed == ()
        # Another store never refused it: it goes out as everything does, and its ack frees it.
        assert ack(buffer, epoch, 0, store="store-2").is_new_store
        assert [b.position.sequence for b in pending(buffer)] == [1, 2]
        assert [p.sequence for p in ack(buffer, epoch, 2, store="store-2").freed] == [1, 2]


def test_a_curable_code_beside_a_commit_is_old_news(tmp_path: Path) -> None:
    with closing(open_buffer(tmp_path / "b")) as buffer:
        seal_one(buffer, 1)
        outcome = ack(buffer, pending(buffer)[0].epoch, 1, refused=((1, "time_out_of_range"),))
        assert ([p.sequence for p in outcome.freed], outcome.put_off) == ([1], ())


def test_a_code_for_a_batch_that_was_never_handed_out_changes_nothing(tmp_path: Path) -> None:
    """B8: such an ack was meant for a clone of this disk."""
    with closing(open_buffer(tmp_path / "b")) as buffer:
        seal_one(buffer, 1)
        epoch = pending(buffer)[0].epoch
        seal_one(buffer, 2)
        assert ack(buffer, epoch, 0, refused=((2, "too_many_days"),)).put_off == ()
        assert put_off_of(buffer) == []


def test_a_batch_refused_for_now_leaves_by_the_size_limit_with_a_gap_record(tmp_path: Path) -> None:
    with closing(open_buffer(tmp_path / "b", max_bytes=120_000)) as buffer:
        seal_one(buffer, 1)
        epoch = pending(buffer)[0].epoch
        ack(buffer, epoch, 0, refused=((1, "time_out_of_range"),))
        for second in range(2, 800):
            seal_one(buffer, second)
        assert put_off_of(buffer) == []
        ack(buffer, epoch, 0)
        buffer.seal_all()
        assert any(g.from_seq == 1 and g.reason == "evicted" and g.epoch == epoch for g in gaps(pending(buffer)))


def test_gaps_are_told_at_most_a_year_back_and_older_ones_without_units(tmp_path: Path) -> None:
    """A gateway out of the store after three years: its batch must not be refused for the time it lay there."""
    now = T0 + 2000
    with closing(open_buffer(tmp_path / "b", now_utc_ms=T0)) as buffer:
        long = GapRecord(("U1",), T0 - 3 * REACH_MS, now, "agent_down")
        old = GapRecord(("U1", "U2"), 1000, 2000, "evicted", 7, 1, 3)
        short = GapRecord(("U1",), T0 - 90 * DAY_MS, now, "agent_down")
        buffer.append([record(2)], [long, old, short])
        buffer.seal_all()
        assert gaps(pending(buffer)) == [
            GapRecord(("U1",), now - REACH_MS, now, "agent_down"),
            GapRecord((), 2000, 2000, "evicted", 7, 1, 3),
            short,
        ]


def test_no_batch_has_more_gaps_than_a_center_takes_by_default(tmp_path: Path) -> None:
    with closing(open_buffer(tmp_path / "b")) as buffer:
        for second in range(1, 3000):
            buffer.append([], [GapRecord(("U1", "U2"), T0, T0 + second, "missed_ticks")])
        buffer.seal_all()
        sizes = [sum(len(g.units) for g in gaps([batch])) for batch in pending(buffer)]
        assert sum(sizes) == 5998
        assert max(sizes) == 1024


def test_the_lane_of_what_was_put_off_opens_again_after_twice_the_time_up_to_half_an_hour(tmp_path: Path) -> None:
    flights = Flights(UplinkConfig(ack_timeout_s=30.0, window=8))
    with closing(open_buffer(tmp_path / "b")) as buffer:
        for second in range(1, 7):
            seal_one(buffer, second)
        flights.begin({"P1": buffer.newest("P1")})
        assert flights.due_offers(0.0) == ["P1"]
        flights.offer_again("P1", buffer.last_put_off("P1"), 0.0)
        assert flights.due_offers(1e9) == []  # nothing was put off
        sent = depart_all(flights, buffer, 0.0)
        epoch = pending(buffer)[0].epoch
        ack(buffer, epoch, 1, also=((3, 3), (5, 6)), refused=((2, "too_many_days"), (4, "too_many_days")))
        flights.land(sent)
        flights.put_off("P1", [Position(1, 2), Position(1, 4)], 0.0)
        assert depart_all(flights, buffer, 1.0) == []
        now_s, rests = 0.0, list[float]()
        while len(rests) < 9:
            due_s = next(s for s in range(int(now_s) + 1, int(now_s) + 4000) if flights.due_offers(float(s)))
            rests.append(due_s - now_s)
            now_s = float(due_s)
            flights.offer_again("P1", buffer.last_put_off("P1"), now_s)
            again = depart_all(flights, buffer, now_s)
            assert [p.sequence for p in again] == [2, 4]  # B4
            flights.put_off("P1", again, now_s)
        assert rests == [30, 60, 120, 240, 480, 960, 1800, 1800, 1800]


def depart_all(flights: Flights, buffer: Buffer, now_s: float) -> list[Position]:
    """What goes out now, in order."""
    found = []
    while (request := flights.request()) is not None and (choice := take(buffer, request)) is not None:
        assert flights.depart(request, choice, now_s)
        found.append(choice.outgoing.position)
    return found


def test_over_a_broker_the_rest_goes_past_and_the_same_bytes_are_taken_later(tmp_path: Path) -> None:
    """The window is smaller than what is refused: a batch put off takes no place in it."""
    port = free_port()
    refused = dict.fromkeys(range(2, 12), "time_out_of_range")
    center = Center(port, refuse=dict(refused), open_holes=True)

    async def go(buffer: Buffer) -> None:
        async with running(buffer, agent_config(port, tmp_path, window=4), center):
            await until(lambda: center.sequences() == [1, *range(12, 31)])
            await until(lambda: buffer.counts().pending == 10)
            first = {n: center.arrivals.count(("P1", n)) for n in refused}
            await until(lambda: all(center.arrivals.count(("P1", n)) > first[n] for n in refused))
            assert buffer.counts().pending == 10
            center.refuse.clear()
            await until(lambda: buffer.counts().pending == 0)

    with broker(port), closing(open_buffer(tmp_path / "b")) as buffer:
        for second in range(1, 31):
            seal_one(buffer, second)
        asyncio.run(go(buffer))
    assert center.sequences() == list(range(1, 31))
