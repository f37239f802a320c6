# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector verify` behind a real pseudo terminal, typed at as over ssh."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from simulators.run.pytest_plugin import ServedDevices
from tests.patience import HANG_S
from tests.verify.verify_world import config_of, run

Serve = Callable[..., ServedDevices]
TABLE = "name,quantity,area,type,address,raw_unit\n有功,active_power_mw,holding,int32,0,kW\n"


class Terminal:
    """The other end of a terminal in which the verb runs."""

    def __init__(self, end: int, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._end = end
        self._heard = b""

    def until(self, words: str) -> None:
        """Read up to and with these words."""
        while words.encode() not in self._heard:
            ready, _, _ = select.select([self._end], [], [], HANG_S)
            assert ready, self._heard.decode("utf-8", "replace")
            more = os.read(self._end, 4096)
            assert more, self._heard.decode("utf-8", "replace")
            self._heard += more
        self._heard = self._heard.split(words.encode(), 1)[1]

    def type(self, line: bytes) -> None:
        """A line and Enter."""
        os.write(self._end, line + b"\n")


@contextmanager
def terminal(config: Path) -> Iterator[Terminal]:
    end, inner = pty.openpty()
    command = [sys.executable, "-m", "collector.cli.main", "verify", str(config)]
    environment = os.environ | {"LC_ALL": "C.UTF-8", "TERM": "xterm"}
    try:
        with subprocess.Popen(command, stdin=inner, stdout=inner, stderr=inner, env=environment) as process:
            os.close(inner)
            try:
                yield Terminal(end, process)
            finally:
                process.kill()
    finally:
        os.close(end)


def only_row(config: Path) -> dict[str, str]:
    (row,) = run(config, "--list", "--json").data["steps"]
    found: dict[str, str] = row
    return found


def test_a_point_is_verified_in_a_terminal_and_control_characters_are_not_kept(modbus_device: Serve) -> None:
    device = modbus_device(TABLE)
    config = config_of(device)
    device.show("active_power_mw", "380")
    with terminal(config) as screen:
        screen.until("who> ")
        screen.type("张工\x02".encode())
        screen.until("type the expected value")
        screen.until("> ")
        screen.type("379.9 ±0.5".encode())
        screen.until("fits")
        screen.until("> ")
        screen.type(b"p")
        screen.until("nothing is left")
        assert screen.process.wait(HANG_S) == 0
    row = only_row(config)
    assert (row["state"], row["who"], row["tolerance"], row["value"]) == ("passed", "张工", "0.5", "380")


def test_a_terminal_of_another_encoding_is_told_so(modbus_device: Serve) -> None:
    config = config_of(modbus_device(TABLE))
    with terminal(config) as screen:
        screen.until("who> ")
        screen.type("张工".encode("gbk"))
        screen.until("UTF-8")
        screen.until("who> ")
        screen.type(b"ZHANG")
        screen.until("type the expected value")
        screen.until("> ")
        screen.type(b"q")
        screen.until("kept in")
        assert screen.process.wait(HANG_S) == 1
    assert only_row(config)["state"] == "open"
