# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's children go when it goes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

PARENT = """
import sys, time
from pathlib import Path
from collector.cli.processes import Processes
with Processes(Path(sys.argv[1])) as processes:
    processes.start("child", "http.server", "--bind", "127.0.0.1", "0")
    print(processes._running["child"].pid, flush=True)
    time.sleep(60)
"""


def test_a_terminated_demo_leaves_no_child_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path / "logs")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = Path("/proc") / parent.stdout.readline().strip()
        assert child.exists()
        parent.terminate()
        assert parent.wait(20) == 128 + signal.SIGTERM
    deadline = time.monotonic() + 10
    while child.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not child.exists()
