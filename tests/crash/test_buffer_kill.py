# SPDX-License-Identifier: GPL-3.0-or-later
"""SIGKILL at random instants of append, seal, send and ack: nothing committed is lost, nothing is there twice.

20 kills, or as many as KILLS says (`KILLS=200` in the soak).
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from collector.agent.buffer.buffer import Buffer, Position
from collector.wire import decode_batch, open_envelope
from tests.crash.buffer_victim import T0, open_buffer
from tests.size import sized

KILLS = int(os.environ.get("KILLS", sized(6, 20)))
ROOT = Path(__file__).parents[2]


def run_and_kill(path: Path, seed: int, delay_s: float) -> list[list[int]]:
    """Let the victim work for a while after its first commit; what it said it was sure of."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(Path(__file__).parent / "buffer_victim.py"), str(path), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as victim:
        assert victim.stdout is not None
        first = victim.stdout.readline()
        time.sleep(delay_s)
        victim.kill()
        said = first + victim.stdout.read()
    lines = said.splitlines() if said.endswith(b"\n") else said.splitlines()[:-1]
    return [[{b"a": 0, b"f": 1}[line.split()[0]], *map(int, line.split()[1:])] for line in lines]


def held(buffer: Buffer) -> list[int]:
    """Seconds of every record in the sealed batches of the file, freed or not, in sequence order."""
    seconds = []
    newest = buffer.newest("P1")
    for sequence in range(1, newest.sequence + 1):
        outgoing = buffer.read(Position(newest.stream, sequence))
        assert outgoing is not None
        seconds += [(r.time_utc_ms - T0) // 1000 for r in decode_batch(open_envelope(outgoing.payload)).records]
    return seconds


def freed_in(buffer: Buffer) -> set[int]:
    """Sequences that would not be sent."""
    freed = set(range(1, buffer.newest("P1").sequence + 1))
    position = None
    while (position := buffer.next_batch("P1", position)) is not None:
        freed.remove(position.sequence)
    return freed


@pytest.mark.crash
def test_killed_at_random_instants_nothing_committed_is_lost_or_doubled(tmp_path: Path) -> None:
    path = tmp_path / "g1.buffer"
    noise = random.Random(20260301)
    committed = 0
    freed: set[int] = set()
    epochs: set[int] = set()
    for kill in range(KILLS):
        for line in run_and_kill(path, kill, noise.uniform(0.0, 0.25)):
            if line[0] == 0:
                assert line[1] == committed + 1
                committed = line[1]
            else:
                epochs.add(line[1])
                freed.add(line[2])
        with closing(open_buffer(path)) as buffer:
            assert buffer.salvaged is None
            counts = buffer.counts()
            # The one append that was in doubt may be there or not.
            assert counts.recorded == counts.buffered
            assert counts.recorded in (committed, committed + 1)
            committed = counts.recorded
            assert buffer.last("U1") == (0, T0 + committed * 1000)
            assert counts.sealed == counts.freed + counts.pending
            now_freed = freed_in(buffer)
            assert freed <= now_freed
            assert len(now_freed - freed) <= 1  # the ack that was in doubt
            freed = now_freed
            if kill % 5 == 4 or kill == KILLS - 1:
                buffer.seal_all()
                assert held(buffer) == list(range(1, committed + 1))
    assert len(epochs) == 1
    assert committed > KILLS
