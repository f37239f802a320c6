# SPDX-License-Identifier: GPL-3.0-or-later
"""The buffer's invariants B1-B10, one by one, on a real file."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from collector.agent.buffer.buffer import Buffer
from collector.agent.buffer.buffer_file import Ledger, TakenOver
from collector.agent.buffer.counts import read_counts
from collector.base.errors import InvariantBroken, StoreError
from collector.model.quantity import QUANTITIES
from collector.model.record import Cause, GapRecord, Quality, UnitLayout, UnitRecord
from collector.points import agent_config
from collector.wire import Ask, Signer, epoch_text, open_envelope, verify_signature
from tests.agent.buffer.agent_buffers import (
    GOOD,
    T0,
    ack,
    contents,
    gaps,
    open_buffer,
    pending,
    record,
    seal_one,
    times,
)


def test_b1_sequences_start_at_one_and_only_grow_also_after_delete_and_restart(tmp_path: Path) -> None:
    path = tmp_path / "g1.buffer"
    with closing(open_buffer(path, keep_h=0)) as buffer:
        for second in range(3):
            seal_one(buffer, second)
        first = pending(buffer)
        assert [b.position.sequence for b in first] == [1, 2, 3]
        ack(buffer, first[0].epoch, 3)
        seal_one(buffer, 7200)  # an hour later: nothing of the freed is kept
        seal_one(buffer, 7201)
        assert buffer.read(first[2].position) is None
    with closing(open_buffer(path)) as buffer:
        seal_one(buffer, 7202)
        assert [(b.epoch, b.position.sequence) for b in pending(buffer)] == [(first[0].epoch, n) for n in (4, 5, 6)]


def test_b1_a_new_file_opens_a_new_epoch_and_each_plant_has_its_own(tmp_path: Path) -> None:
    epochs = set()
    for name in ("a", "b"):
        with closing(open_buffer(tmp_path / name)) as buffer:
            buffer.append([record(1), record(1, unit="V1")])
            buffer.seal_all()
            for plant in ("P1", "P2"):
                (batch,) = pending(buffer, plant)
                assert batch.position.sequence == 1
                assert contents(batch).stream.plant == plant
                epochs.add(batch.epoch)
    assert len(epochs) == 4


def test_b2_the_open_tail_is_not_sent(tmp_path: Path) -> None:
    with closing(open_buffer(tmp_path / "b")) as buffer:
        buffer.append([record(1)])
        assert pending(buffer) == []
        buffer.seal_all()
        assert times(pending(buffer)) == [1]


def test_b3_only_an_ack_that_covers_the_sequence_frees(tmp_path: Path) -> None:
    with closing(open_buffer(tmp_path / "b")) as buffer:
        for second in range(1, 8):
            seal_one(buffer, second)
        epoch = pending(buffer)[0].epoch
        outcome = ack(buffer, epoch, 2, also=((4, 5),), refused=((7, "foreign_unit"),))
        assert sorted(p.sequence for p in outcome.freed) == [1, 2, 4, 5, 7]
        assert [b.position.sequence for b in pending(buffer)] == [3, 6]
        counts = buffer.counts()
        assert (counts.freed, counts.pending, counts.refused) == (5, 2, 1)


def test_b3_an_earlier_store_changes_nothing_and_a_new_one_makes_the_rest_unsent(tmp_path: Path) -> None:
    with closing(open_buffer(tmp_path / "b")) as buffer:
        for second in range(1, 6):
            seal_one(buffer, second)
        epoch = pending(buffer)[0].epoch
        ack(buffer, epoch, 4)
        outcome = ack(buffer, epoch, 2, store="restored")
        assert outcome.is_new_store
        assert [b.position.sequence for b in pending(buffer)] == [3, 4, 5]
        assert ack(buffer, epoch, 5, store="store-1").stream is None
        assert [b.position.sequence for b in pending(buffer)] == [3, 4, 5]
        ack(buffer, epoch, 5, store="restored")
        assert pending(buffer) == []


def test_b3_a_new_store_frees_unsent_what_an_earlier_one_had(tmp_path: Path) -> None:
    path = tmp_path / "b"
    with closing(open_buffer(path)) as buffer:
        for second in range(1, 4):
            seal_one(buffer, second)
        epoch = pending(buffer)[0].epoch
        ack(buffer, epoch, 3)
    with closing(open_buffer(path)) as buffer:  # nothing was handed out since the file was opened
        ack(buffer, epoch, 2, store="restored")
        assert [b.position.sequence for b in pending(buffer)] == [3]


def test_b4_the_backlog_comes_in_sequence_order_from_any_position(tmp_path: Path) -> None:
    with closing(open_buffer(tmp_path / "b")) as buffer:
        for second in range(1, 6):
            seal_one(buffer, second)
        batches = pending(buffer)
        assert [b.position.sequence for b in batches] == [1, 2, 3, 4, 5]
        ack(buffer, batches[0].epoch, 0, also=((3, 3),))
        assert buffer.next_batch("P1", batches[1].position) == batches[3].position
        assert buffer.next_batch("P1", batches[3].position, batches[3].position) is None
        assert buffer.newest("P1") == batches[4].position


def test_b5_at_the_size_limit_the_oldest_go_and_a_gap_record_names_them(tmp_path: Path) -> None:
    with closing(open_buffer(tmp_path / "b", max_bytes=200_000, max_records=1)) as buffer:
        noise = 1
        for second in range(1, 1000):
            noise = noise * 6364136223846793005 % (1 << 60)
            buffer.append([record(second, power_kw=noise)])
        counts = buffer.counts()
        assert counts.evicted > 0
        assert counts.used_bytes <= 200_000
        assert counts.recorded == 999 == counts.buffered + counts.evicted_records
        batches = pending(buffer)
        kept = {b.position.sequence for b in batches}
        assert kept == set(range(counts.evicted + 1, 1000))
        assert gaps(batches) == []  # nobody has answered yet: the range still grows
        ack(buffer, batches[0].epoch, 0, also=((max(kept), max(kept)),))
        buffer.seal_all()
        (gap,) = gaps(pending(buffer))
        assert (gap.epoch, gap.from_seq, gap.reason) == (batches[0].epoch, 1, "evicted")
        assert gap.units == ("U1",)
        assert gap.from_ms == T0 + 1000
        assert gap.to_seq is not None
        assert gap.to_seq + 1 == min(kept)
        assert gap.to_ms == T0 + gap.to_seq * 1000 + 1


def test_b5_the_gap_of_a_lost_batch_is_not_lost_with_it(tmp_path: Path) -> None:
    with closing(open_buffer(tmp_path / "b", max_bytes=200_000, max_records=1)) as buffer:
        buffer.append([record(1)], [GapRecord(("U1",), T0 - 5000, T0 + 1000, "agent_down")])
        noise = 1
        for second in range(2, 1500):
            noise = noise * 6364136223846793005 % (1 << 60)
            buffer.append([record(second, power_kw=noise)])
        batches = pending(buffer)
        assert batches[0].position.sequence > 1
        assert [g.reason for g in gaps(batches)].count("agent_down") == 1


def test_b5_what_the_center_has_goes_first(tmp_path: Path) -> None:
    with closing(open_buffer(tmp_path / "b", max_bytes=200_000, max_records=1)) as buffer:
        for second in range(1, 200):
            buffer.append([record(second)])
        epoch = pending(buffer)[0].epoch
        ack(buffer, epoch, 0, also=((100, 199),))
        for second in range(200, 540):
            buffer.append([record(second)])
        # 100 freed ones made room for about as many; nothing pending had to go.
        assert buffer.counts().freed == 100
        assert buffer.counts().evicted == 0
        assert {b.position.sequence for b in pending(buffer)} == {*range(1, 100), *range(200, 540)}


def test_b6_the_books_are_checked_at_open_and_a_wrong_one_sets_the_file_aside(tmp_path: Path) -> None:
    path = tmp_path / "b"
    with closing(open_buffer(path)) as buffer:
        seal_one(buffer, 1)
        seal_one(buffer, 2)
        epoch = pending(buffer)[0].epoch
        ack(buffer, epoch, 1)
        counts = buffer.counts()
        assert counts.sealed == counts.freed + counts.pending + counts.evicted == 2
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM batches WHERE sequence = 2")
    with closing(open_buffer(path)) as buffer:
        assert buffer.salvaged is not None
        assert buffer.salvaged.lost_ranges == [("P1", 2, 2)]
        buffer.seal_all()
        batches = pending(buffer)
        assert [b.position.sequence for b in batches if b.epoch == epoch] == [1]
        assert [(g.epoch, g.from_seq, g.to_seq, g.reason) for g in gaps(batches)] == [(epoch, 2, 2, "unreadable")]


def test_b7_a_batch_that_fails_its_checksum_is_given_up_and_named(tmp_path: Path) -> None:
    path = tmp_path / "b"
    with closing(open_buffer(path)) as buffer:
        for second in range(1, 4):
            seal_one(buffer, second)
    with closing(sqlite3.connect(path)) as db, db:
        payload = bytearray(db.execute("SELECT payload FROM batches WHERE sequence = 2").fetchone()[0])
        payload[len(payload) // 2] ^= 4
        db.execute("UPDATE batches SET payload = ? WHERE sequence = 2", (bytes(payload),))
    with closing(open_buffer(path)) as buffer:
        batches = pending(buffer)
        assert [b.position.sequence for b in batches] == [1, 3]
        ack(buffer, batches[0].epoch, 1, also=((3, 3),))
        buffer.seal_all()
        (batch,) = pending(buffer)
        assert [(g.from_seq, g.to_seq, g.reason, g.units) for g in gaps([batch])] == [(2, 2, "unreadable", ("U1",))]


def test_b8_acks_for_unknown_epochs_plants_and_sequences_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "b"
    with closing(open_buffer(path)) as buffer:
        seal_one(buffer, 1)
        (batch,) = pending(buffer)
        seal_one(buffer, 2)  # sealed, never handed out: the center can't have it
        before = buffer.counts()
        ack(buffer, batch.epoch ^ 1, 9)
        ack(buffer, batch.epoch, 9, plant="P2")
        ack(buffer, batch.epoch, 9, plant="P9")
        ack(buffer, batch.epoch, 0, also=((2, 9),), refused=((2, "malformed"), (5, "epoch_conflict")))
        assert buffer.counts() == before
        outcome = ack(buffer, batch.epoch, 9)
        assert [p.sequence for p in outcome.freed] == [1]
        assert [b.position.sequence for b in pending(buffer)] == [2]


@pytest.mark.parametrize(("era", "second"), [(0, 5), (0, 4), (-1, 9)])
def test_b9_within_an_era_times_strictly_grow(tmp_path: Path, era: int, second: int) -> None:
    path = tmp_path / "b"
    with closing(open_buffer(path)) as buffer:
        buffer.append([record(5)])
        bad = UnitRecord("U1", T0 + second * 1000, (1, 1), GOOD, era=era)
        with pytest.raises(InvariantBroken, match="B9"):
            buffer.append([record(6, unit="U2"), bad])
        assert buffer.last("U2") is None
        assert buffer.counts().recorded == 1
    with closing(open_buffer(path)) as buffer, pytest.raises(InvariantBroken, match="B9"):
        buffer.append([bad])


def test_b9_a_new_era_may_go_back_in_time(tmp_path: Path) -> None:
    with closing(open_buffer(tmp_path / "b")) as buffer:
        buffer.append([record(5)])
        buffer.append([UnitRecord("U1", T0 - 3_600_000, (1, 1), GOOD, era=1)])
        assert buffer.last("U1") == (1, T0 - 3_600_000)


def test_batches_close_by_age_of_the_records_by_count_and_by_a_change(tmp_path: Path) -> None:
    with closing(open_buffer(tmp_path / "b", max_age_s=60, max_records=100)) as buffer:
        for second in range(61):
            buffer.append([record(second)])
        assert times(pending(buffer)) == list(range(60))
        buffer.append([record(61.5, cause=Cause.CHANGE)])
        assert times(pending(buffer)[1:]) == [60, 61.5]
        for second in range(100):
            buffer.append([record(62 + second / 10, unit="U2")])
        assert len(times(pending(buffer)[2:])) == 100


def test_records_of_two_plants_never_share_a_batch(tmp_path: Path) -> None:
    with closing(open_buffer(tmp_path / "b")) as buffer:
        for second in range(3):
            buffer.append([record(second), record(second, unit="V1"), record(second, unit="U2")])
        buffer.seal_all()
        assert {r.unit for b in pending(buffer, "P1") for r in contents(b).records} == {"U1", "U2"}
        assert {r.unit for b in pending(buffer, "P2") for r in contents(b).records} == {"V1"}


def test_sealed_bytes_are_signed_by_the_plant_and_sent_again_unchanged(tmp_path: Path) -> None:
    signer = Signer(Ed25519PrivateKey.generate())
    path = tmp_path / "b"
    with closing(open_buffer(path, signer=signer)) as buffer:
        seal_one(buffer, 1)
        first = pending(buffer)
        verify_signature(open_envelope(first[0].payload), signer.public_key)
    with closing(open_buffer(path, signer=None)) as buffer:
        assert pending(buffer) == first


def test_the_open_tail_and_the_last_times_survive_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "b"
    with closing(open_buffer(path)) as buffer:
        seal_one(buffer, 1)
        buffer.append([record(2)], [GapRecord(("U1", "V1"), T0, T0 + 500, "agent_down")])
    with closing(open_buffer(path)) as buffer:
        assert buffer.last("U1") == (0, T0 + 2000)
        assert buffer.last("V1") is None
        buffer.seal_all()
        assert times(pending(buffer)) == [1, 2]
        assert gaps(pending(buffer)) == [GapRecord(("U1",), T0, T0 + 500, "agent_down")]
        assert gaps(pending(buffer, "P2")) == [GapRecord(("V1",), T0, T0 + 500, "agent_down")]
        assert buffer.counts().recorded == buffer.counts().buffered == 2


def test_a_second_agent_on_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b"
    with closing(open_buffer(path)) as buffer:
        with pytest.raises(StoreError, match="another agent"):
            open_buffer(path)
        buffer.append([record(1)])
    open_buffer(path).close()


def test_b10_whoever_opened_the_file_last_writes_it_also_where_the_lock_file_was_removed(tmp_path: Path) -> None:
    path = tmp_path / "b"
    with closing(open_buffer(path)) as first:
        first.append([record(1)])
        path.with_name("b.lock").unlink()
        with closing(open_buffer(path)) as second:
            second.append([record(2)])
            with pytest.raises(TakenOver, match="another agent has opened this buffer"):
                first.append([record(3)])
            with pytest.raises(TakenOver):
                first.seal_all()
            second.append([record(4)])
    with closing(open_buffer(path)) as buffer:
        buffer.seal_all()
        assert buffer.salvaged is None
        assert times(pending(buffer)) == [1, 2, 4]


def test_a_file_of_another_gateway_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b"
    open_buffer(path).close()
    with pytest.raises(StoreError, match="gateway 'g1'"):
        open_buffer(path, gateway="g2")


def test_the_books_can_be_read_beside_a_running_agent(tmp_path: Path) -> None:
    with closing(open_buffer(tmp_path / "g1.buffer")) as buffer:
        seal_one(buffer, 1)
        buffer.append([record(2)])
        assert read_counts(tmp_path) == buffer.counts()
        buffer.append([record(3)])
    with pytest.raises(StoreError):
        read_counts(tmp_path / "nowhere")


def test_freed_batches_are_kept_for_asking_and_then_dropped(tmp_path: Path) -> None:
    with closing(open_buffer(tmp_path / "b", keep_h=1)) as buffer:
        seal_one(buffer, 1)
        first = pending(buffer)
        ack(buffer, first[0].epoch, 1)
        by_sequence = Ask(id="a", plant="P1", gateway="g1", epoch_hex=epoch_text(first[0].epoch), sequences=((1, 1),))
        (position,) = buffer.answer(by_sequence)
        assert buffer.read(position) == first[0]
        seal_one(buffer, 3602)
        seal_one(buffer, 3603)
        (answer,) = buffer.answer(by_sequence)
        outgoing = buffer.read(answer)
        assert outgoing is not None
        (gap,) = contents(outgoing).gaps
        assert (gap.epoch, gap.from_seq, gap.to_seq, gap.reason) == (first[0].epoch, 1, 1, "not_kept")
        assert (gap.units, gap.from_ms, gap.to_ms) == (("U1",), T0 + 1000, T0 + 1001)


def test_an_ask_by_unit_and_interval_is_answered_by_what_touches_it(tmp_path: Path) -> None:
    with closing(open_buffer(tmp_path / "b")) as buffer:
        for second in (10, 20, 30):
            seal_one(buffer, second)
            seal_one(buffer, second, unit="U2")
        ask = Ask(id="a", plant="P1", gateway="g1", unit="U2", from_ms=T0 + 20_000, to_ms=T0 + 30_000)
        answers = [b for p in buffer.answer(ask) if (b := buffer.read(p)) is not None]
        assert [(r.unit, r.time_utc_ms - T0) for b in answers for r in contents(b).records] == [("U2", 20_000)]
        nothing = Ask(id="b", plant="P1", gateway="g1", unit="U2", from_ms=T0 + 40_000, to_ms=T0 + 50_000)
        (position,) = buffer.answer(nothing)
        answer = buffer.read(position)
        assert answer is not None
        assert contents(answer).gaps == (GapRecord(("U2",), T0 + 40_000, T0 + 50_000, "no_records"),)


def test_a_new_store_hears_of_what_is_no_longer_kept(tmp_path: Path) -> None:
    with closing(open_buffer(tmp_path / "b", keep_h=0)) as buffer:
        for second in range(1, 5):
            seal_one(buffer, second)
        epoch = pending(buffer)[0].epoch
        ack(buffer, epoch, 4)
        seal_one(buffer, 7200)
        seal_one(buffer, 7201)
        pending(buffer)
        ack(buffer, epoch, 2, store="restored")
        buffer.seal_all()
        assert [(g.epoch, g.from_seq, g.to_seq, g.reason) for g in gaps(pending(buffer))] == [(epoch, 3, 4, "not_kept")]


def test_a_conflict_of_epochs_sends_what_is_pending_under_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "b"
    with closing(open_buffer(path)) as buffer:
        for second in range(1, 5):
            seal_one(buffer, second)
        buffer.append([record(5)])
        epoch = pending(buffer)[0].epoch
        ack(buffer, epoch, 1)
        # The clone's 2 was committed, ours is refused: both are said in one ack.
        outcome = ack(buffer, epoch, 2, refused=((2, "epoch_conflict"),))
        assert outcome.is_new_epoch
        assert pending(buffer) == []
    with closing(open_buffer(path)) as buffer:  # a crash in between loses nothing
        while buffer.reseal_some("P1", limit=2):
            pass
        batches = pending(buffer)
        assert {b.epoch for b in batches} != {epoch}
        assert len({b.epoch for b in batches}) == 1
        assert [b.position.sequence for b in batches] == [1, 2, 3, 4]
        assert sorted(times(batches)) == [2, 3, 4, 5]
        counts = buffer.counts()
        assert counts.recorded == counts.buffered == 5
        ack(buffer, batches[0].epoch, 4)
        buffer.seal_all()
        (told,) = pending(buffer)
        # The hole in the old epoch is closed, no time is claimed missing.
        assert [(g.epoch, g.from_seq, g.to_seq, g.units, g.reason) for g in contents(told).gaps] == [
            (epoch, 2, 5, (), "resealed")
        ]
        ack(buffer, epoch, 5, refused=((2, "epoch_conflict"),))
        assert len(pending(buffer)) == 1


def test_a_batch_freed_by_the_clones_ack_comes_back_when_ours_is_refused(tmp_path: Path) -> None:
    with closing(open_buffer(tmp_path / "b")) as buffer:
        seal_one(buffer, 1)
        epoch = pending(buffer)[0].epoch
        ack(buffer, epoch, 1)  # for the clone's bytes
        assert ack(buffer, epoch, 1, refused=((1, "epoch_conflict"),)).is_new_epoch
        assert buffer.reseal_some("P1") == 1
        assert times(pending(buffer)) == [1]


def test_from_the_first_conflict_on_no_ack_is_believed_for_a_refusal_may_have_got_lost(tmp_path: Path) -> None:
    with closing(open_buffer(tmp_path / "b")) as buffer:
        for second in range(1, 5):
            seal_one(buffer, second)
        epoch = pending(buffer)[0].epoch
        ack(buffer, epoch, 3)  # 1 is ours; 2 and 3 are the clone's bytes
        # The refusal of 2 arrives, with 4 covered by what the clone has sent meanwhile; that of 3 is lost.
        assert ack(buffer, epoch, 4, refused=((2, "epoch_conflict"),)).is_new_epoch
        assert buffer.reseal_some("P1") == 3
        assert times(pending(buffer)) == [2, 3, 4]
        counts = buffer.counts()
        assert counts.sealed == counts.freed + counts.pending + counts.evicted


def test_a_batch_too_large_for_a_payload_is_sealed_in_two(tmp_path: Path) -> None:
    names = tuple(q.name for q in QUANTITIES)
    noise = random.Random(1)
    settings = agent_config.BufferConfig(batch_max_records=40_000, batch_max_age_s=86_400, batch_max_bytes=4_194_304)
    opened = Buffer.open(
        tmp_path / "b",
        gateway="g1",
        plants_of_unit={"U1": "P1"},
        settings=settings,
        layouts={"U1": UnitLayout("U1", names)},
        signers={},
        now_utc_ms=T0,
    )
    with closing(opened) as buffer:
        good = (Quality.GOOD,) * len(names)
        for start in range(0, 40_000, 4000):
            rows = range(start, start + 4000)
            buffer.append([UnitRecord("U1", T0 + t, tuple(noise.getrandbits(60) for _ in names), good) for t in rows])
        assert buffer.counts().open_records == 0
        sealed = pending(buffer)
        assert [(b.position.sequence, b.records) for b in sealed] == [(1, 20_000), (2, 20_000)]


def test_a_closed_buffer_says_so(tmp_path: Path) -> None:
    buffer = open_buffer(tmp_path / "b")
    buffer.close()
    buffer.close()
    with pytest.raises(StoreError, match="closed"):
        buffer.append([record(1)])


@pytest.mark.parametrize(("outlives_power_cuts", "level"), [(True, 2), (False, 1)])  # FULL, NORMAL
def test_only_in_simulated_time_a_commit_does_not_wait_for_the_disk(
    tmp_path: Path, outlives_power_cuts: bool, level: int
) -> None:
    with closing(Ledger(tmp_path / "b", "g1", outlives_power_cuts=outlives_power_cuts)) as ledger:
        assert ledger.value("PRAGMA synchronous") == level
