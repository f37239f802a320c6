# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of segments.csv and of the evidence come to their places, in whatever order and however often they are put."""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from pathlib import Path

import pytest

from collector.cli.settle.trace_files import TraceFiles
from collector.report.segments import TRACES, TraceTexts

PARTS: tuple[dict[str, bytes], ...] = (
    {"segments": b"a\nb\n", "avc_orders": b"1\n"},
    {},
    {"segments": b"ccc\n"},
    {"segments": b"d\n", "avc_orders": b"22\n333\n"},
)


def written(folder: Path, order: tuple[int, ...]) -> dict[str, bytes]:
    folder.mkdir()
    files = TraceFiles(folder, len(PARTS))
    for number in order:
        files.put(number, PARTS[number])
    whole = files.written(TraceTexts({}, {"segments": 1}, Counter({("U", "avc", "missing", ""): 2})) for _ in PARTS)
    assert whole.rows == {"segments": len(PARTS)}
    assert whole.times == {("U", "avc", "missing", ""): 2 * len(PARTS)}
    return {name: path.read_bytes() for name, path in whole.paths.items()}


@pytest.mark.parametrize("order", [*permutations(range(len(PARTS))), (0, 0, 3, 3, 1, 2), (3, 2, 1, 0, 2)])
def test_parts_come_to_their_places_in_any_order(tmp_path: Path, order: tuple[int, ...]) -> None:
    found = written(tmp_path / "files", order)
    bodies = {"segments": b"a\nb\nccc\nd\n", "avc_orders": b"1\n22\n333\n"}
    assert found == {
        name: ",".join(columns).encode() + b"\n" + bodies.get(name, b"") for name, columns in TRACES.items()
    }
