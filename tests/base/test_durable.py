# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are whole on the disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.base.durable import write_whole


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
