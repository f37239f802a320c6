# SPDX-License-Identifier: GPL-3.0-or-later
"""Damaged files, lost files, full disks: the service goes on and says what is missing."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from agent_buffers import T0, ack, gaps, open_buffer, pending, record, seal_one, times

from collector.agent.ledger import Damaged
from collector.errors import StoreError

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
        assert after == {n: p for n, p in before.items() if n != 100}


FULL_DISK = """
import resource, signal, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from agent_buffers import open_buffer, record, pending, times
from collector.agent.ledger import Damaged
from collector.errors import StoreError
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
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "b"), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        timeout=60,
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
