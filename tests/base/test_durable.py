# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are whole on the disk."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from collector.base.durable import half_written, write_whole


def test_a_file_is_exchanged_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "note"
    for text in (b"one", b"longer than one", b""):
        write_whole(path, text)
        assert path.read_bytes() == text
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_can_not_be_exchanged_stays(tmp_path: Path) -> None:
    (tmp_path / "note").write_bytes(b"old")
    (tmp_path / ".note.new").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_whole(tmp_path / "note", b"new")
    assert (tmp_path / "note").read_bytes() == b"old"


def test_what_a_killed_process_left_half_written_is_removed_and_what_others_write_stays(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    ours = half_written(tmp_path / "a-b.parquet")
    left = ours.with_name(ours.name.replace(f"-{os.getpid()}-", f"-{ended.pid}-"))
    elsewhere = ours.with_name(ours.name.replace(f"-{socket.gethostname().replace('-', '_')}-", "-another_machine-"))
    assert len({ours, left, elsewhere}) == 3
    for path in (ours, left, elsewhere):
        path.write_bytes(b"half")
    half_written(tmp_path / "other.parquet")
    assert {path for path in (ours, left, elsewhere) if path.exists()} == {ours, elsewhere}
