# SPDX-License-Identifier: GPL-3.0-or-later
"""The session's file: whatever moment a process dies at, what was recorded is there, and the next one goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from collector.base.errors import StoreError
from collector.verify.session import CenterValue, load_session, open_session
from simulators.run.pytest_plugin import ServedDevices
from tests.verify.verify_world import config_of, run, states

Serve = Callable[..., ServedDevices]
TABLE = (
    "name,quantity,area,type,address,raw_unit\n"
    "p,active_power_mw,holding,int32,0,kW\n"
    "q,reactive_power_mvar,holding,int32,2,kvar\n"
)


def line(number: int) -> CenterValue:
    return CenterValue(number, "1", "good", 5, "test", 6)


def test_a_file_cut_anywhere_holds_its_whole_lines_and_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    with open_session(path, "g", 1) as pen:
        for number in (1, 2, 3):
            pen.write(line(number))
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        lines = whole[:end].count(b"\n")
        assert len(load_session(path, "g").stored) == max(0, lines - 1)
        with open_session(path, "g", 1) as pen:
            pen.write(line(9))
        assert len(load_session(path, "g").stored) == max(0, lines - 1) + 1
        assert all(json.loads(text) for text in path.read_text("utf-8").splitlines())


def test_what_is_no_line_is_refused_with_its_number_and_nothing_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    with open_session(path, "g", 1) as pen:
        pen.write(line(1))
    path.write_bytes(path.read_bytes().replace(b'"of"', b'"off"') + b'{"kind":"stored","of":2}\n')
    before = path.read_bytes()
    for use in (lambda: load_session(path, "g"), lambda: open_session(path, "g", 1).__enter__()):
        with pytest.raises(StoreError, match="line 2"):
            use()
    assert path.read_bytes() == before


def test_another_gateways_session_and_a_second_writer_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    with open_session(path, "g", 1) as pen:
        with pytest.raises(StoreError, match="somebody else"):
            open_session(path, "g", 1).__enter__()
        pen.write(line(1))
    with pytest.raises(StoreError, match="gateway 'g'"):
        load_session(path, "h")
    path.write_bytes(path.read_bytes().replace(b'"version":1', b'"version":2'))
    with pytest.raises(StoreError, match="version 2"):
        load_session(path, "g")


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.jsonl"
    with open_session(path, "g", 1) as pen:
        real = os.write

        def half(descriptor: int, data: bytes) -> int:
            if len(data) > 20:
                return real(descriptor, data[:20])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", half)
        with pytest.raises(StoreError, match="nothing was recorded"):
            pen.write(line(1))
        monkeypatch.undo()
        assert pen.session.stored == {}
        pen.write(line(2))
    assert list(load_session(path, "g").stored) == [2]


def test_a_killed_sitting_loses_nothing_that_was_recorded(modbus_device: Serve) -> None:
    device = modbus_device(TABLE)
    config = config_of(device)
    device.show("active_power_mw", "380")
    device.show("reactive_power_mvar", "-20")
    command = [sys.executable, "-u", "-m", "collector.cli.main", "verify", str(config), "--who", "ZHANG"]
    for typed, told, after in (
        (b"380\np\n", b"2/2", {("p", "\u503c"): "passed", ("q", "\u503c"): "open"}),
        (b"-20\n", b"fits", {("p", "\u503c"): "passed", ("q", "\u503c"): "open"}),  # typed, not recorded
        (b"-20\np\n", b"recorded", {("p", "\u503c"): "passed", ("q", "\u503c"): "passed"}),
    ):
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as sitting:
            assert sitting.stdin is not None
            assert sitting.stdout is not None
            sitting.stdin.write(typed)
            sitting.stdin.flush()
            heard = b""
            while told not in heard:
                more = os.read(sitting.stdout.fileno(), 4096)
                assert more, heard.decode("utf-8", "replace")
                heard += more
            sitting.kill()
        assert states(config) == after
    assert run(config, "--list").code == 0
