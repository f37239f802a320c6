# SPDX-License-Identifier: GPL-3.0-or-later
"""The buffer against a small model: whatever the order of appends, acks, restarts and restores, both agree."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from collector.agent.buffer.buffer import Buffer
from collector.model.record import Cause
from tests.agent.buffer.agent_buffers import T0, ack, contents, open_buffer, pending, record


class BufferMachine(RuleBasedStateMachine):
    """One plant. The model: seconds recorded, seconds per sequence, what was handed out, what the stores acked."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="buffer-model-"))
        self.path = self.directory / "b"
        self.second = 0
        self.recorded: list[int] = []
        self.batches: dict[int, list[int]] = {}
        self.tail: list[int] = []
        self.handed: set[int] = set()
        self.was_out: set[int] = set()
        self.freed: set[int] = set()
        self.store = 1
        self.epoch = 0

    @initialize()
    def start(self) -> None:
        self.buffer: Buffer = open_buffer(self.path, max_age_s=10, max_records=7)

    @rule(step=st.integers(1, 12), units=st.sampled_from([("U1",), ("U1", "U2")]), change=st.booleans())
    def append(self, step: int, units: tuple[str, ...], change: bool) -> None:
        self.second += step
        if self.tail and self.second - self.tail[0] >= 10:
            self._seal()
        cause = Cause.CHANGE if change else Cause.TICK
        self.buffer.append([record(self.second, unit=unit, cause=cause) for unit in units])
        self.recorded += [self.second] * len(units)
        self.tail += [self.second] * len(units)
        if change or len(self.tail) >= 7:
            self._seal()

    def _seal(self) -> None:
        if self.tail:
            self.batches[len(self.batches) + 1] = self.tail
            self.tail = []

    @rule()
    def seal_all(self) -> None:
        self.buffer.seal_all()
        self._seal()

    @rule()
    def restart(self) -> None:
        self.buffer.close()
        self.buffer = open_buffer(self.path, max_age_s=10, max_records=7)
        self.handed = set()

    @rule(count=st.integers(1, 4))
    def hand_out(self, count: int) -> None:
        position = None
        for _ in range(count):
            position = self.buffer.next_batch("P1", position)
            if position is None:
                return
            outgoing = self.buffer.read(position)
            assert outgoing is not None
            self.epoch = outgoing.epoch
            self.handed.update(range(1, position.sequence + 1))

    @precondition(lambda self: self.epoch)
    @rule(data=st.data(), is_new_store=st.booleans(), is_old_store=st.booleans())
    def acknowledge(self, data: st.DataObject, is_new_store: bool, is_old_store: bool) -> None:
        through = data.draw(st.integers(0, len(self.batches) + 2))
        also = data.draw(st.integers(1, len(self.batches) + 2))
        if is_old_store and self.store > 1:
            ack(self.buffer, self.epoch, through, store=f"store-{self.store - 1}", also=((also, also),))
            return
        if is_new_store and self.was_out:
            self.store += 1
            self.freed = set()
        covered = ({*range(1, through + 1), also} & set(self.batches)) & (self.handed | self.was_out)
        ack(self.buffer, self.epoch, through, store=f"store-{self.store}", also=((also, also),))
        self.freed |= covered
        self.was_out |= covered

    @rule()
    def strangers_ack(self) -> None:
        ack(self.buffer, self.epoch ^ 1, len(self.batches), store="another")

    @invariant()
    def buffer_and_model_agree(self) -> None:
        if not hasattr(self, "buffer"):
            return
        counts = self.buffer.counts()
        assert counts.recorded == counts.buffered == len(self.recorded)
        assert counts.open_records == len(self.tail)
        assert counts.sealed == len(self.batches) == counts.freed + counts.pending + counts.evicted
        assert counts.freed == len(self.freed)
        assert counts.pending_records == sum(len(s) for n, s in self.batches.items() if n not in self.freed)
        position, sequences = None, []
        while (position := self.buffer.next_batch("P1", position)) is not None:
            sequences.append(position.sequence)
        assert sequences == sorted(set(self.batches) - self.freed)

    def teardown(self) -> None:
        if hasattr(self, "buffer"):
            for outgoing in pending(self.buffer):
                seconds = sorted((r.time_utc_ms - T0) // 1000 for r in contents(outgoing).records)
                assert seconds == self.batches[outgoing.position.sequence]
            self.buffer.close()
        shutil.rmtree(self.directory)


BufferMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=30)
TestBuffer = BufferMachine.TestCase
