# SPDX-License-Identifier: GPL-3.0-or-later
"""A long backlog is drained in constant memory. BACKLOG=41667 (10 M records) in the soak; 400 batches otherwise."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

from tests.agent.buffer.agent_buffers import ack, open_buffer, record

BACKLOG = int(os.environ.get("BACKLOG", "400"))


def resident_bytes() -> int:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_draining_a_backlog_takes_no_more_memory_at_its_end_than_at_its_start(tmp_path: Path) -> None:
    with closing(open_buffer(tmp_path / "b", max_records=240)) as buffer:
        for batch in range(BACKLOG):
            buffer.append([record(batch * 240 + i) for i in range(240)])
        assert buffer.counts().pending == BACKLOG
        position, sent, after_a_tenth = None, 0, 0
        while (position := buffer.next_batch("P1", position)) is not None:
            outgoing = buffer.read(position)
            assert outgoing is not None
            ack(buffer, outgoing.epoch, position.sequence)
            sent += 1
            if sent == BACKLOG // 10:
                after_a_tenth = resident_bytes()
        assert sent == BACKLOG
        assert buffer.counts().pending == 0
        assert resident_bytes() <= after_a_tenth + 5_000_000
