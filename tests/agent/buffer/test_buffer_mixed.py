# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages of different commits in one buffer file: what a damaged write-ahead log leaves beside a checkpoint.

A checkpoint copies pages of the log into the file; the log stays until the next write. If it is cut, spoilt or gone
after that, SQLite goes back to an earlier commit for the pages that are still in the log, and keeps later ones for the
rest. Such a file is sound by SQLite's own check. 64 random files, or sixteen times
as many as DAMAGES says; SEED for others.
"""

from __future__ import annotations

import copy
import os
import random
import sqlite3
import struct
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from collector.agent.buffer.buffer import Buffer
from tests.agent.buffer.agent_buffers import PLANTS_OF_UNIT, ack, open_buffer, pending, record
from tests.agent.buffer.arrived import Center, live

KILLS, FILES = 8, 2 * int(os.environ.get("DAMAGES", "4"))
SEED = int(os.environ.get("SEED", "1"))
PAGE, FRAME_HEAD, LOG_HEAD = 4096, 24, 32


@dataclass(frozen=True)
class Frame:
    """One page in the log."""

    page: int
    content: bytes


@dataclass(frozen=True)
class Killed:
    """What lies on the disk at a kill: the file as of the last finished checkpoint, the log since, and the truth."""

    main: bytes
    log: bytes
    records: frozenset[tuple[str, int]]
    center: Center
    seconds: int
    epochs: str


def frames(log: bytes) -> list[Frame]:
    step = FRAME_HEAD + PAGE
    return [
        Frame(struct.unpack_from(">I", log, at)[0], log[at + FRAME_HEAD : at + step])
        for at in range(LOG_HEAD, len(log) - step + 1, step)
    ]


def work(buffer: Buffer, center: Center, dice: random.Random, seconds: range, seen: set[tuple[str, int]]) -> None:
    """Ticks of three units; batches are sealed, sent and acknowledged now and then."""
    sealing, sending = dice.choice((0.1, 0.4)), dice.choice((0.05, 0.3))
    for second in seconds:
        rows = [record(second, unit=unit) for unit in PLANTS_OF_UNIT]
        buffer.append(rows)
        seen |= {(row.unit, row.time_utc_ms) for row in rows}
        if dice.random() < sealing:
            buffer.seal_all()
        if dice.random() < sending:
            for plant in buffer.plants:
                for outgoing in pending(buffer, plant)[: dice.randrange(1, 4)]:
                    center.receive(outgoing)
                    if dice.random() < 0.8:
                        sequence = outgoing.position.sequence
                        ack(buffer, outgoing.epoch, plant=plant, also=((sequence, sequence),))


def killed(folder: Path, dice: random.Random, *, is_sealed: bool | None = None) -> Killed:
    """An agent at work, killed. `is_sealed`: no tail is open at the checkpoint nor at the kill; by chance if None."""
    folder.mkdir()
    path, center, seen = folder / "b", Center(), set[tuple[str, int]]()
    before, after = dice.randrange(1, 60), dice.randrange(1, 40)
    with closing(open_buffer(path)) as buffer:
        work(buffer, center, dice, range(1, before), seen)
        if dice.random() < 0.5 if is_sealed is None else is_sealed:
            buffer.seal_all()  # with an open tail, its last records are the last ones known
    with closing(open_buffer(path)) as buffer:
        log = path.with_name("b-wal")
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        main = path.read_bytes()
        work(buffer, center, dice, range(before, before + after), seen)
        if is_sealed:
            buffer.seal_all()
        epochs = path.with_name("b.epochs").read_text()
        return Killed(main, log.read_bytes(), frozenset(seen), center, before + after, epochs)


def spoil(path: Path, whole: Killed, dice: random.Random) -> str:
    """Write the file with a checkpoint in it that was done in part or whole, and its log cut, spoilt or left out."""
    pages, main = frames(whole.log), bytearray(whole.main)
    copied, up_to = (
        dice.choice((len(pages), len(pages), dice.randrange(len(pages) + 1))),
        dice.choice((1 << 30, *range(5, 19))),
    )
    for frame in pages[:copied]:
        if frame.page <= up_to:
            main.extend(bytes(max(0, frame.page * PAGE - len(main))))
            main[(frame.page - 1) * PAGE : frame.page * PAGE] = frame.content
    path.parent.mkdir()
    path.write_bytes(main)
    path.with_name(path.name + ".epochs").write_text(whole.epochs)
    kind, log, at = dice.choice(("cut", "spoilt", "none", "none")), bytearray(whole.log), dice.randrange(len(whole.log))
    log[at] ^= 1 << dice.randrange(8)
    path.with_name(path.name + "-wal").write_bytes({"cut": bytes(log[:at]), "spoilt": bytes(log), "none": b""}[kind])
    return f"{copied} of {len(pages)} frames copied up to page {up_to}; log {kind} at {at}"


def live_on(path: Path, whole: Killed, done: str) -> None:
    """Two starts; each record of the plant has arrived then, or lies in a gap."""
    center = copy.deepcopy(whole.center)
    try:
        said = [live(path, center, 1000 * start + whole.seconds) for start in (1, 2)]
    except Exception as error:
        error.add_note(done)
        raise
    arrived = {(unit, time_ms) for unit, _, time_ms in center.records}
    for unit in PLANTS_OF_UNIT:
        spans = [(gap.from_ms, gap.to_ms) for gap in center.gaps if unit in gap.units]
        lost = sorted(time_ms for name, time_ms in whole.records - arrived if name == unit)
        untold = [time_ms for time_ms in lost if not any(a <= time_ms < b for a, b in spans)]
        assert not untold, (done, unit, untold, spans, said)
    assert not said[1], "a file that was salvaged is a whole one"


@pytest.mark.parametrize("number", range(KILLS))
def test_pages_of_different_commits_lose_no_record_without_a_gap(tmp_path: Path, number: int) -> None:
    dice = random.Random(f"{SEED} {number}")
    whole = killed(tmp_path / "whole", dice)
    for file in range(FILES):
        path = tmp_path / str(file) / "b"
        live_on(path, whole, f"file {file}: {spoil(path, whole, dice)}")


@pytest.mark.parametrize("is_later", [True, False])
def test_one_table_of_another_commit_than_the_rest_loses_no_record_without_a_gap(
    tmp_path: Path, is_later: bool
) -> None:
    whole = killed(tmp_path / "whole", random.Random(2), is_sealed=True)
    with closing(sqlite3.connect(tmp_path / "whole" / "b")) as db:
        tables = dict(db.execute("SELECT name, rootpage FROM sqlite_master WHERE rootpage"))
    newest = {frame.page: frame.content for frame in frames(whole.log)}
    for name, page in tables.items():
        path = tmp_path / name / "b"
        path.parent.mkdir()
        path.with_name("b.epochs").write_text(whole.epochs)
        main = bytearray(whole.main)
        for each, content in newest.items():
            if (each == page) == is_later:
                main.extend(bytes(max(0, each * PAGE - len(main))))
                main[(each - 1) * PAGE : each * PAGE] = content
        path.write_bytes(main)
        live_on(path, whole, f"{name} {'later' if is_later else 'earlier'} than the rest")
