# SPDX-License-Identifier: GPL-3.0-or-later
"""Two agents on one buffer: the second is refused by name; a killed one holds nothing; and where somebody removes the
lock file, the one that came last has the buffer and the other stops before it writes again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.agent.running_agent import buffered, recorded, write_agent
from tests.agent.uplink.uplink_world import free_port
from tests.patience import HANG_S, wait_until


@contextmanager
def agent(config: Path, name: str) -> Iterator[subprocess.Popen[str]]:
    """`collector agent run`; what it says goes to a file of this name."""
    command = [sys.executable, "-m", "collector.cli.main", "agent", "run", str(config)]
    environment = os.environ | {"COLLECTOR_LANGUAGE": "en"}
    with (config.parent / name).open("w") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, text=True, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def ended(config: Path, name: str) -> tuple[int, str]:
    """How an agent ended that can't go on, and its last words."""
    with agent(config, name) as process:
        code = process.wait(HANG_S)
    return code, (config.parent / name).read_text("utf-8")


def records_on(config: Path) -> None:
    """Wait until the buffer has more records than now."""
    before = recorded(config)
    wait_until(lambda: recorded(config) > before + 1, "records")


@pytest.mark.crash
def test_of_two_agents_on_one_buffer_one_writes_and_the_other_says_why_it_does_not(tmp_path: Path) -> None:
    config = write_agent(tmp_path, [free_port()])
    lock = tmp_path / "state" / "g.buffer.lock"
    with agent(config, "first") as first:
        records_on(config)
        code, said = ended(config, "second")
        assert code == 1
        assert f"g.buffer: another agent (process {first.pid}) is using this buffer; stop it first" in said
        records_on(config)
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert lock.exists()
    with agent(config, "third") as third:
        records_on(config)
        lock.unlink()
        with agent(config, "fourth") as fourth:
            assert third.wait(HANG_S) == 1
            records_on(config)
            fourth.send_signal(signal.SIGTERM)
            assert fourth.wait(HANG_S) == 0
    said = (tmp_path / "third").read_text("utf-8")
    assert "another agent has opened this buffer since" in said
    assert "Traceback" not in said
    assert not list((tmp_path / "state").glob("*.suspect")), "nothing is wrong with the file"
    records, _ = buffered(config)
    assert len({record.time_utc_ms for _, record in records}) == len(records) == recorded(config)
