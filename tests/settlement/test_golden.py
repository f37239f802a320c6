# SPDX-License-Identifier: GPL-3.0-or-later
"""Golden months: a folder in (`when/`), the statement's files out (`then/`), byte for byte; workings by hand beside."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.report.folder import write_statement
from tests.settlement.consistency import assert_consistent, read_tables
from tests.settlement.golden_months import CASES, GOLDEN, statement_of
from tests.settlement.whole_statement import tables_only


@pytest.mark.parametrize("case", CASES)
def test_a_golden_month_comes_out_byte_for_byte(case: str, tmp_path: Path) -> None:
    write_statement(statement_of(case), tmp_path / "out")
    expected = sorted((GOLDEN / case / "then").iterdir())
    assert {"lines.csv", "plants.csv"} <= {path.name for path in expected}
    for path in expected:
        written = (tmp_path / "out" / path.name).read_text(encoding="utf-8-sig")
        assert written == path.read_text(encoding="utf-8"), path.name


@pytest.mark.parametrize("case", CASES)
def test_every_golden_month_has_workings(case: str) -> None:
    assert len((GOLDEN / case / "workings.md").read_text(encoding="utf-8")) > 100


@pytest.mark.parametrize("case", CASES)
def test_the_files_of_a_golden_month_do_not_contradict_each_other(case: str, tmp_path: Path) -> None:
    write_statement(statement_of(case), tmp_path, spread=tables_only)
    assert_consistent(read_tables(tmp_path))
