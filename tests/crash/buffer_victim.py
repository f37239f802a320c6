# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that appends, seals and takes acks until it is killed; what it is sure of it says on its output first.

Lines: `a N` second N is committed; `f EPOCH N` sequence N of an epoch is freed. A line is written after the call that
made it true, so at most one call is in doubt when the process dies.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

from collector.agent.buffer.buffer import Buffer
from collector.model.record import Cause, Quality, UnitLayout, UnitRecord
from collector.points import agent_config
from collector.wire import Ack, epoch_text

T0 = 1_772_294_400_000


def open_buffer(path: Path, *, outlives_power_cuts: bool = True) -> Buffer:
    """Unit U1 of plant P1, one quantity."""
    return Buffer.open(
        path,
        gateway="g1",
        plants_of_unit={"U1": "P1"},
        settings=agent_config.BufferConfig(batch_max_age_s=7),
        layouts={"U1": UnitLayout("U1", ("active_power_mw",))},
        signers={},
        now_utc_ms=T0,
        outlives_power_cuts=outlives_power_cuts,
    )


def main(path: Path, seed: int) -> None:
    """Work until killed."""
    noise = random.Random(seed)
    buffer = open_buffer(path, outlives_power_cuts=seed % 2 == 0)  # every other life as in simulated time
    last = buffer.last("U1")
    second = 0 if last is None else (last[1] - T0) // 1000
    position = None
    while True:
        second += 1
        cause = Cause.CHANGE if noise.random() < 0.05 else Cause.TICK
        buffer.append([UnitRecord("U1", T0 + second * 1000, (second,), (Quality.GOOD,), cause)])
        os.write(1, b"a %d\n" % second)
        if noise.random() < 0.3 and (position := buffer.next_batch("P1", None)) is not None:
            outgoing = buffer.read(position)
            assert outgoing is not None
            buffer.apply_ack("P1", Ack("store", epoch_text(outgoing.epoch), position.sequence))
            os.write(1, b"f %d %d\n" % (outgoing.epoch, position.sequence))
        if noise.random() < 0.02:
            buffer.seal_all()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
