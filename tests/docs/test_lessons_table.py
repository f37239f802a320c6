# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/lessons-acceptance.md: every row of the plant side names tests, and each of them exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = 26


def test_every_lesson_names_tests_that_exist() -> None:
    table = (ROOT / "docs" / "lessons-acceptance.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \|.*\|(.*)\|$", table, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, ROWS + 1))
    existing = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)
    }
    for number, cell in rows:
        named = re.findall(r"`(test_\w+)`", cell)
        assert named, f"row {number} names no test"
        assert not set(named) - existing, f"row {number}"
