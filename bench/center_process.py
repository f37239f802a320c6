# SPDX-License-Identifier: GPL-3.0-or-later
"""A broker and a center as processes, for what is measured of them: Mosquitto where it is installed, else our own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

MOSQUITTO: Final = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
_CENTER: Final = "from collector.cli.center.commands import app; app()"
PATIENCE_S: Final = 60.0


def free_port() -> int:
    """A port of loopback that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running_broker(folder: Path, port: int) -> Iterator[int]:
    """A broker with room for whatever a bench floods it with; gives its process id."""
    command = [sys.executable, "-m", "collector.trial.broker", "--listen", f"127.0.0.1:{port}"]
    if MOSQUITTO is not None:
        settings = ("allow_anonymous true", f"listener {port} 127.0.0.1", "max_queued_messages 100000")
        (folder / "mosquitto.conf").write_text("\n".join(settings) + "\n", "utf-8")
        command = [MOSQUITTO, "-c", str(folder / "mosquitto.conf")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for_listener(port)
            yield process.pid
        finally:
            process.terminate()


def wait_for_listener(port: int) -> None:
    """Until somebody listens on a port of loopback."""
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nobody listens on {port}")


@contextmanager
def running_center(folder: Path, port: int) -> Iterator[int]:
    """The center of folder/center.toml, connected; gives its process id."""
    log = folder / "center.log"
    command = [sys.executable, "-c", _CENTER, "run", f"{folder}/center.toml", "--broker", f"127.0.0.1:{port}"]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            wait_for_log(log, "connected to")
            yield process.pid
        finally:
            process.terminate()


def wait_for_log(log: Path, text: str, *, timeout_s: float = PATIENCE_S) -> None:
    """Until the log says `text`."""
    until_s = time.monotonic() + timeout_s
    while text not in log.read_text("utf-8"):
        if time.monotonic() > until_s:
            raise TimeoutError(log.read_text("utf-8")[-2000:])
        time.sleep(0.05)
