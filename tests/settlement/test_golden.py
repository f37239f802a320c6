# SPDX-License-Identifier: GPL-3.0-or-later
"""Golden months: a folder in (`when/`), the statement's files out (`then/`), byte for byte; workings by hand beside."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.report.folder import write_statement
from collector.settlement.settle import settle
from collector.tables.folder import load_folder
from tests.settlement.small_month import JUNE, shipped_rulebook

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
CASES = sorted(path.name for path in GOLDEN.iterdir() if (path / "when").is_dir())


@pytest.mark.parametrize("case", CASES)
def test_a_golden_month_comes_out_byte_for_byte(case: str, tmp_path: Path) -> None:
    statement = settle(JUNE, load_folder(GOLDEN / case / "when"), shipped_rulebook())
    write_statement(statement, tmp_path / "out")
    expected = sorted((GOLDEN / case / "then").iterdir())
    assert {"lines.csv", "plants.csv"} <= {path.name for path in expected}
    for path in expected:
        written = (tmp_path / "out" / path.name).read_text(encoding="utf-8-sig")
        assert written == path.read_text(encoding="utf-8"), path.name


@pytest.mark.parametrize("case", CASES)
def test_every_golden_month_has_workings(case: str) -> None:
    assert len((GOLDEN / case / "workings.md").read_text(encoding="utf-8")) > 100
