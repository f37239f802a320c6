# SPDX-License-Identifier: GPL-3.0-or-later
"""The service unit: hardened, a notify type with a watchdog, and free of mistakes as systemd sees it."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from collector.agent.notify import notify

UNIT = Path(__file__).parents[1] / "systemd" / "collector-agent.service"
ANALYZE = shutil.which("systemd-analyze")


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed here")
def test_exposure_is_at_most_two_and_a_half() -> None:
    assert ANALYZE is not None
    result = subprocess.run(
        [ANALYZE, "security", "--offline=yes", "--no-pager", str(UNIT)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    found = re.search(r"Overall exposure level for \S+: (\d+\.\d+)", result.stdout)
    assert found, result.stdout + result.stderr
    assert float(found[1]) <= 2.5


def test_the_unit_waits_for_ready_is_watched_and_restarted() -> None:
    lines = UNIT.read_text("utf-8").splitlines()
    for line in ("Type=notify", "WatchdogSec=30", "Restart=always", "User=collector", "StateDirectory=collector"):
        assert line in lines


def test_words_to_systemd_arrive_as_one_datagram(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify("READY=1")
        assert listener.recv(100) == b"READY=1"
    notify("WATCHDOG=1")  # nobody listens any more: no error
