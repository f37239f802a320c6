# SPDX-License-Identifier: GPL-3.0-or-later
"""Damaged files, lost files, full disks: the service goes on and says what is missing."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from collector.agent.buffer.buffer_file import Damaged
from collector.base.errors import StoreError
from tests.agent.buffer.agent_buffers import T0, ack, gaps, open_buffer, pending, record, seal_one, times
from tests.patience import HANG_S

BATCHES = 120


def fill(path: Path) -> int:
    """120 batches of one record, seconds 1-120; 1-40 freed; 121 in the open tail. Returns the epoch."""
    with closing(open_buffer(path)) as buffer:
        for second in range(1, BATCHES + 1):
            seal_one(buffer, second)
        epoch = pending(buffer)[0].epoch
        ack(buffer, epoch, 40)
        buffer.append([record(BATCHES + 1)])
    return epoch


def told(path: Path, *, now_s: int = 1000) -> tuple[set[float], set[int]]:
    """Seconds that will be sent, and sequences of the old epoch named in gap records, after a damage."""
    try:
        return told_by(path, now_s)
    except Damaged:  # found while in use: the process stops, its next start sets the file aside
        return told_by(path, now_s)


def told_by(path: Path, now_s: int) -> tuple[set[float], set[int]]:
    """As `told`, by one process."""
    with closing(open_buffer(path, now_utc_ms=T0 + now_s * 1000)) as buffer:
        buffer.seal_all()
        first = pending(buffer)
        for batch in first:
            ack(buffer, batch.epoch, 0, also=((batch.position.sequence, batch.position.sequence),))
        buffer.seal_all()
        everything = first + pending(buffer)
        named = {
            n
            for g in gaps(everything)
            if g.from_seq is not None and g.to_seq is not None
            for n in range(g.from_seq, g.to_seq + 1)
        }
        counts = buffer.counts()
        assert counts.sealed == counts.freed + counts.pending + counts.evicted
        if any(g.epoch is not None and g.from_seq is None for g in gaps(everything)):
            named = set(range(1, BATCHES + 1))  # nothing could be read: the whole epoch is named, by its time
        return set(times(everything)), named


@pytest.mark.parametrize("seed", range(20))
def test_with_bits_flipped_every_batch_is_sent_or_named(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "b"
    fill(path)
    noise = random.Random(seed)
    content = bytearray(path.read_bytes())
    for _ in range(6):
        content[noise.randrange(100, len(content))] ^= 1 << noise.randrange(8)
    path.write_bytes(content)
    sent, named = told(path)
    assert {n for n in range(41, BATCHES + 1) if float(n) not in sent} <= named


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9])
def test_a_truncated_file_is_set_aside_and_the_loss_is_reported(tmp_path: Path, part: float) -> None:
    path = tmp_path / "b"
    epoch = fill(path)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(int(size * part))
    with closing(open_buffer(path, now_utc_ms=T0 + 1_000_000)) as buffer:
        buffer.append([record(2000)])
        buffer.seal_all()
        batches = pending(buffer)
        assert times(batches)[-1] == 2000
        found = [g for g in gaps(batches) if g.reason == "unreadable"]
        sent = set(times(batches))
        named = {n for g in found if g.from_seq for n in range(g.from_seq, (g.to_seq or 0) + 1)}
        whole = [g for g in found if g.epoch == epoch and g.from_seq is None]
        assert whole or {n for n in range(41, BATCHES + 1) if float(n) not in sent} <= named
    if part:
        assert list(tmp_path.glob("b.damaged-*"))


def test_a_file_that_is_no_database_is_kept_aside_and_a_new_epoch_opened(tmp_path: Path) -> None:
    path = tmp_path / "b"
    epoch = fill(path)
    path.write_bytes(b"not a database at all " * 400)
    with closing(open_buffer(path, now_utc_ms=T0 + 500_000)) as buffer:
        assert buffer.salvaged is not None
        assert buffer.salvaged.set_aside.read_bytes().startswith(b"not a database")
        buffer.seal_all()
        (batch,) = pending(buffer)
        assert batch.epoch != epoch
        (gap,) = gaps([batch])
        assert (gap.epoch, gap.reason, gap.units) == (epoch, "unreadable", ("U1", "U2"))
        assert (gap.from_ms, gap.to_ms) == (T0, T0 + 500_000)


def test_a_deleted_file_is_a_gap_too_and_told_once(tmp_path: Path) -> None:
    path = tmp_path / "b"
    epoch = fill(path)
    path.unlink()
    for _ in range(2):
        with closing(open_buffer(path, now_utc_ms=T0 + 500_000)) as buffer:
            buffer.seal_all()
            assert [g.epoch for g in gaps(pending(buffer))] == [epoch]


def test_what_was_sealed_keeps_its_name_and_bytes_when_salvaged(tmp_path: Path) -> None:
    path = tmp_path / "b"
    epoch = fill(path)
    with closing(open_buffer(path)) as buffer:
        before = {b.position.sequence: b.payload for b in pending(buffer)}
    (tmp_path / "b.suspect").touch()
    content = bytearray(path.read_bytes())
    at = content.index(before[100][20:60])
    content[at + 30] ^= 0xFF
    path.write_bytes(content)
    with closing(open_buffer(path)) as buffer:
        assert buffer.salvaged is not None
        assert "while in use" in str(buffer.salvaged)
        after = {b.position.sequence: b.payload for b in pending(buffer) if b.epoch == epoch}
        # What it called freed goes again too: nobody vouches for a damaged file, and repeats cost nothing.
        assert after.keys() == set(range(1, BATCHES + 1)) - {100}
        assert {n: p for n, p in after.items() if n > 40} == {n: p for n, p in before.items() if n != 100}


FULL_DISK = """
import resource, signal, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from tests.agent.buffer.agent_buffers import open_buffer, record, pending, times
from collector.agent.buffer.buffer_file import Damaged
from collector.base.errors import StoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
buffer = open_buffer(path, max_records=1)
second = refused = 0
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
while refused < 3:
    second += 1
    try:
        buffer.append([record(second)])
    except StoreError:
        refused += 1
        second -= 1
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
for _ in range(5):
    second += 1
    buffer.append([record(second)])
assert buffer.counts().recorded == second, (buffer.counts(), second)
assert times(pending(buffer)) == [float(n) for n in range(1, second + 1)]
buffer.close()
buffer = open_buffer(path)
assert buffer.salvaged is None
assert times(pending(buffer)) == [float(n) for n in range(1, second + 1)]
buffer.close()
print(second)
"""


def test_on_a_full_disk_appends_fail_whole_and_go_on_when_space_returns(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "b"), str(Path(__file__).parents[3])],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10


def test_a_folder_that_is_not_there_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        open_buffer(tmp_path / "nowhere" / "b")


def test_the_note_of_epochs_names_every_stream(tmp_path: Path) -> None:
    epoch = fill(tmp_path / "b")
    noted = json.loads((tmp_path / "b.epochs").read_text())
    assert {row["plant"] for row in noted} == {"P1", "P2"}
    assert f"{epoch:016x}" in {row["epoch"] for row in noted}


@pytest.mark.parametrize("last_step", ["recover", "set_aside", "finish_exchange"])
def test_a_start_killed_while_it_salvages_begins_again_with_nothing_lost(tmp_path: Path, last_step: str) -> None:
    path = tmp_path / "b"
    epoch = fill(path)
    (tmp_path / "b.suspect").touch()
    script = f"""
import os, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from tests.agent.buffer.agent_buffers import open_buffer
from collector.agent.buffer import salvage
reached = salvage.{last_step}
def until_here(*arguments):
    if {last_step!r} == "finish_exchange" and Path(sys.argv[1]).exists():
        return reached(*arguments)  # as every start does
    if {last_step!r} != "finish_exchange":
        reached(*arguments)
    os._exit(9)
salvage.{last_step} = until_here
open_buffer(Path(sys.argv[1]))
"""
    killed = subprocess.run([sys.executable, "-c", script, str(path), str(Path(__file__).parents[3])], check=False)
    assert killed.returncode == 9
    with closing(open_buffer(path)) as buffer:
        found = [b.position.sequence for b in pending(buffer) if b.epoch == epoch]
        assert found == list(range(1, BATCHES + 1))
        buffer.seal_all()
        assert times(pending(buffer))[-1] == BATCHES + 1
    assert not list(tmp_path.glob("b.salvage*"))
    assert len(list(tmp_path.glob("b.damaged-*"))) == 1


STRANGE = [
    "UPDATE batches SET payload = NULL WHERE sequence = 60",
    "UPDATE batches SET payload = 7, sha256 = 'no' WHERE sequence = 60",
    "UPDATE batches SET sequence = 'sixty' WHERE sequence = 60",
    "UPDATE batches SET sequence = 999999999999 WHERE sequence = 60",
    "UPDATE batches SET units = NULL, first_ms = 'x' WHERE sequence = 60",
    "UPDATE batches SET state = 1 WHERE sequence = 60",
    "UPDATE streams SET next_sequence = 4611686018427387903",
    "UPDATE streams SET next_sequence = 3",
    "UPDATE streams SET epoch = 'not hex' || id, plant = x'ff'",
    "UPDATE streams SET sealed = 'many', records_sealed = -5, current = NULL",
    "UPDATE units SET quantities = 'nonsense', time_utc_ms = 9999999999999 WHERE unit = 'U1'",
    "UPDATE units SET time_utc_ms = 4611686018427387904",
    "DELETE FROM units",
    "INSERT INTO lost (stream, from_seq, to_seq, from_ms, to_ms, units, reason, due)"
    " VALUES (1, 50, 4611686018427387000, 0, 1, 'U1', 'evicted', 1), (1, 60, 55, 9, 1, 'U1', 'evicted', 1)",
    "INSERT INTO tail (stream, records, body) VALUES (1, 1, x'00'), (1, 1, 'text')",
    "UPDATE recorded SET records = 'x'",
    "INSERT INTO stores (store_id, present) VALUES ('s', 'yes'), ('s2', 1)",
]


@pytest.mark.parametrize("statement", STRANGE)
def test_nothing_in_a_damaged_file_is_believed_unchecked(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "b"
    fill(path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(statement)
    (tmp_path / "b.suspect").touch()
    with closing(open_buffer(path, now_utc_ms=T0 + 1_000_000)) as buffer:
        assert buffer.salvaged is not None
        before = buffer.last("U1")
        buffer.append([record(2000)])
        buffer.seal_all()
        counts = buffer.counts()
        assert counts.sealed == counts.freed + counts.pending + counts.evicted
        batches = pending(buffer)
        last_ms = buffer.last("U1")
    assert last_ms == (0, T0 + 2_000_000)
    spans = [(g.from_ms, g.to_ms) for g in gaps(batches) if "U1" in g.units]
    if before is not None:
        spans.append((before[1], T0 + 2_000_000))  # the recorder tells the time since the last record at every start
    sent = set(times(batches))
    missing = [n for n in range(1, BATCHES + 2) if float(n) not in sent]
    assert all(any(a <= T0 + n * 1000 < b for a, b in spans) for n in missing), (missing, spans)


def test_an_append_that_cannot_be_read_between_two_that_can_is_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "b"
    with closing(open_buffer(path)) as buffer:
        for second in range(1, 6):
            buffer.append([record(second)])
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE tail SET body = x'93c0' WHERE id = 3")
    with closing(open_buffer(path, now_utc_ms=T0 + 9000)) as buffer:
        assert buffer.salvaged is not None
        assert buffer.last("U1") == (0, T0 + 5000)
        buffer.seal_all()
        batches = pending(buffer)
        assert times(batches) == [1, 2, 4, 5]
        assert [(g.from_ms - T0, g.to_ms - T0) for g in gaps(batches) if "U1" in g.units] == [(2000, 4000)]


def test_an_open_tail_damaged_in_use_stops_the_process_and_the_rest_is_salvaged(tmp_path: Path) -> None:
    path = tmp_path / "b"
    with closing(open_buffer(path)) as buffer:
        buffer.append([record(1)])
        buffer.append([record(2)])
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("UPDATE tail SET body = x'c1' WHERE id = (SELECT min(id) FROM tail)")
        with pytest.raises(Damaged, match="open tail"):
            buffer.seal_all()
    with closing(open_buffer(path, now_utc_ms=T0 + 1_000_000)) as buffer:
        assert buffer.salvaged is not None
        buffer.seal_all()
        assert times(pending(buffer)) == [2]
        assert gaps(pending(buffer))


@pytest.mark.parametrize("value", ["text", None, 7, 2.5])
def test_a_payload_that_is_no_bytes_keeps_nothing_from_starting_and_is_named(tmp_path: Path, value: object) -> None:
    path = tmp_path / "b"
    epoch = fill(path)
    with closing(open_buffer(path)) as buffer:
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE batches SET payload = ? WHERE sequence = 60", (value,))
        assert 60 not in times(pending(buffer)), "found in use: given up, and the rest goes on"
        ack(buffer, epoch, 41)
        buffer.seal_all()
        assert [(g.epoch, g.from_seq, g.to_seq) for g in gaps(pending(buffer))] == [(epoch, 60, 60)]
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE batches SET payload = ? WHERE sequence = 70", (value,))
    sent, named = told(path)
    assert {n for n in range(41, BATCHES + 1) if float(n) not in sent} == {60, 70} <= named


def test_a_flipped_bit_in_the_unit_name_of_an_open_record_costs_that_record(tmp_path: Path) -> None:
    path = tmp_path / "b"
    with closing(open_buffer(path)) as buffer:
        for second in range(1, 6):
            buffer.append([record(second), record(second, unit="U2")])
    with closing(sqlite3.connect(path)) as db, db:
        (body,) = db.execute("SELECT body FROM tail WHERE id = 3").fetchone()
        db.execute("UPDATE tail SET body = ? WHERE id = 3", (body.replace(b"U1", b"U0"),))
    with closing(open_buffer(path, now_utc_ms=T0 + 9000)) as buffer:
        buffer.seal_all()
        batches = pending(buffer)
        assert sorted(times(batches)) == [1, 1, 2, 2, 4, 4, 5, 5]
        (gap,) = gaps(batches)
        assert (gap.units, gap.from_ms - T0, gap.to_ms - T0) == (("U1", "U2"), 2000, 4000)


@pytest.mark.parametrize("name", ["g\x00", b"g1", "g3"])
def test_an_owners_name_that_was_damaged_is_told_from_another_gateways_file(tmp_path: Path, name: object) -> None:
    path = tmp_path / "b"
    epoch = fill(path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE meta SET value = ?", (name,))
    with closing(open_buffer(path)) as buffer:
        assert {b.position.sequence for b in pending(buffer) if b.epoch == epoch} == set(range(1, BATCHES + 1))


def test_a_name_with_a_flipped_bit_in_what_was_lost_before_reaches_no_center(tmp_path: Path) -> None:
    path = tmp_path / "b"
    fill(path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM batches WHERE sequence = 50")
        db.execute(
            "INSERT INTO lost (stream, from_seq, to_seq, from_ms, to_ms, units, reason, due)"
            " VALUES (1, 50, 50, ?, ?, 'U1,Q2', 'evicted', 1)",
            (T0 + 50_000, T0 + 50_001),
        )
    (tmp_path / "b.suspect").touch()
    with closing(open_buffer(path)) as buffer:
        buffer.seal_all()
        (gap,) = [g for g in gaps(pending(buffer)) if g.from_seq == 50]
        assert gap.units == ("U1",)


def test_where_not_even_salvage_works_the_agent_starts_and_names_the_whole_epoch(tmp_path: Path) -> None:
    path = tmp_path / "b"
    epoch = fill(path)
    (tmp_path / "b.suspect").touch()
    (tmp_path / "b.salvage").mkdir()  # any error stands for those that nobody has thought of
    with pytest.raises(OSError, match="directory"):
        (tmp_path / "b.salvage").unlink()
    with closing(open_buffer(path, now_utc_ms=T0 + 500_000)) as buffer:
        assert "nothing could be salvaged" in str(buffer.salvaged)
        buffer.seal_all()
        assert [(g.epoch, g.reason) for g in gaps(pending(buffer))] == [(epoch, "unreadable")]
    assert list(tmp_path.glob("b.damaged-*"))


@pytest.mark.parametrize("column", ["first_ms", "last_ms"])
def test_a_lost_batch_whose_times_are_spoilt_too_is_named_by_the_batches_around_it(tmp_path: Path, column: str) -> None:
    fill(tmp_path / "b")
    with closing(sqlite3.connect(tmp_path / "b")) as db, db:
        db.execute(f"UPDATE batches SET payload = x'00', {column} = {column} + (1 << 38) WHERE sequence = 60")
    with closing(open_buffer(tmp_path / "b", now_utc_ms=T0 + 1_000_000)) as buffer:
        for batch in pending(buffer):
            ack(buffer, batch.epoch, 0, also=((batch.position.sequence, batch.position.sequence),))
        buffer.seal_all()
        (named,) = [gap for gap in gaps(pending(buffer)) if gap.from_seq == 60]
    # Batch n holds second n.
    assert (named.from_ms, named.to_ms) == (T0 + 59_001, T0 + 61_000)
