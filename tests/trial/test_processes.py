# SPDX-License-Identifier: GPL-3.0-or-later
"""The children of a demo or an acceptance go when it goes."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from collector.trial.processes import Processes
from tests.patience import HANG_S, wait_until

PARENT = """
import sys, time
from pathlib import Path
from collector.trial.processes import Processes
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
        assert parent.wait(HANG_S) == 128 + signal.SIGTERM
    wait_until(lambda: not child.exists(), "the end of the child")


INTERRUPTED = """
import os, signal, subprocess, sys
from pathlib import Path

import pytest

from collector.trial.processes import Processes
from collector.trial.processes import Processes

real = subprocess.Popen

def slow_popen(*arguments, **options):
    child = real(*arguments, **options)
    os.kill(os.getpid(), signal.SIGINT)  # between the fork and the list
    print(child.pid, flush=True)
    return child

subprocess.Popen = slow_popen
with Processes(Path(sys.argv[1])) as processes:
    getattr(processes, sys.argv[2])("child", "http.server", "--bind", "127.0.0.1", "0", **eval(sys.argv[3]))
"""


@pytest.mark.parametrize(("verb", "options"), [("start", "{}"), ("run", "{'timeout_s': 600}")])
def test_an_interrupt_while_a_child_is_started_leaves_none_behind(tmp_path: Path, verb: str, options: str) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path / "logs"), verb, options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG_S)
    assert "KeyboardInterrupt" in done.stderr
    assert not (Path("/proc") / done.stdout.strip()).exists()


def test_what_a_child_prints_is_given_back_and_kept(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        printed = processes.run("platform", "platform", timeout_s=600)
        assert printed.strip()
        assert processes.log("platform").read_text("utf-8") == printed
