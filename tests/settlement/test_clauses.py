# SPDX-License-Identifier: GPL-3.0-or-later
"""No clause of the adopted rules without a test, and no test named that does not exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent


def test_every_clause_has_a_test_that_exists() -> None:
    clauses = tomllib.loads((HERE / "clauses.toml").read_text(encoding="utf-8"))
    known = {path.name for path in (TESTS / "golden").iterdir() if (path / "workings.md").is_file()}
    for folder in (HERE, TESTS / "reference"):
        for path in folder.glob("test_*.py"):
            known |= set(re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    bare = [clause for group in clauses.values() for clause, tests in group.items() if not tests]
    absent = sorted({test for group in clauses.values() for tests in group.values() for test in tests} - known)
    assert (bare, absent) == ([], [])
    assert sum(len(group) for group in clauses.values()) >= 60
