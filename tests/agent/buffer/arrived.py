# SPDX-License-Identifier: GPL-3.0-or-later
"""A center that takes batches of a buffer under test, and one start of an agent on it."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from collector.agent.buffer.buffer import Buffer, Outgoing
from collector.agent.record.recorder import Recorder
from collector.agent.record.sources import QuantitySource
from collector.base.clock_state import ClockState
from collector.model.record import GapRecord
from tests.agent.buffer.agent_buffers import LAYOUTS, PLANTS_OF_UNIT, T0, ack, contents, open_buffer, pending
from tests.agent.device.agent_points import point


@dataclass
class Center:
    """What arrived: batches by epoch and sequence, as the center tells repeats apart."""

    payloads: dict[tuple[int, int], bytes] = field(default_factory=dict)
    records: Counter[tuple[str, int, int]] = field(default_factory=Counter)
    gaps: list[GapRecord] = field(default_factory=list)

    def take(self, buffer: Buffer) -> None:
        """Everything that is pending, acknowledged as it comes; what says of gaps that came of it too."""
        for _ in range(4):
            for plant in buffer.plants:
                for outgoing in [*pending(buffer, plant), *put_off(buffer, plant)]:
                    sequence = outgoing.position.sequence
                    refused = () if self.receive(outgoing) else ((sequence, "epoch_conflict"),)
                    ack(buffer, outgoing.epoch, plant=plant, also=((sequence, sequence),), refused=refused)
                while buffer.reseal_some(plant):
                    pass
            buffer.seal_all()

    def receive(self, outgoing: Outgoing) -> bool:
        """One batch; a repeat changes nothing. False: other bytes are stored under its name."""
        name = outgoing.epoch, outgoing.position.sequence
        if name not in self.payloads:
            batch = contents(outgoing)
            self.records.update((r.unit, r.era, r.time_utc_ms) for r in batch.records)
            self.gaps += batch.gaps
        return self.payloads.setdefault(name, outgoing.payload) == outgoing.payload


def put_off(buffer: Buffer, plant: str) -> list[Outgoing]:
    """What a center once put off, which is offered again in a lane of its own."""
    found, position = [], None
    while (position := buffer.next_put_off(plant, position, None)) is not None:
        if (outgoing := buffer.read(position)) is not None:
            found.append(outgoing)
    return found


def live(path: Path, center: Center, now_s: int) -> str:
    """One start of the agent: tell the time since the last record, record, send, stop. What was salvaged, if it was."""
    sources = [
        QuantitySource(point(q, name=f"{u} {q}"), u, 3000) for u in PLANTS_OF_UNIT for q in LAYOUTS[u].quantities
    ]
    with closing(open_buffer(path, now_utc_ms=T0 + now_s * 1000)) as buffer:
        last = {unit: buffer.last(unit) for unit in PLANTS_OF_UNIT}
        recorder = Recorder(sources, period_ms=1000, last=last)
        for tick in (now_s, now_s + 1):
            buffer.append(*recorder.record(T0 + tick * 1000, ClockState.SYNCHRONISED))
        buffer.seal_all()
        center.take(buffer)
        counts = buffer.counts()
        assert counts.sealed == counts.freed + counts.pending + counts.evicted
        assert not counts.pending
        return str(buffer.salvaged or "")
