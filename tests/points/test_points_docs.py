# SPDX-License-Identifier: GPL-3.0-or-later
"""What docs/point-tables says in either language is what the program does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from collector.points.findings import MESSAGES
from collector.points.lint import lint_table
from collector.points.notation import find_notation
from collector.points.words import FOR_READERS, HEADINGS
from collector.sheets.findings import Severity

PAGES = [Path(__file__).parents[2] / "docs" / name for name in ("point-tables.md", "point-tables.zh-CN.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_code_heading_and_column_stands_in_the_page(page: Path) -> None:
    text = page.read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", text, re.MULTILINE))
    assert set(MESSAGES) <= set(rows)
    for column, headings in HEADINGS.items():
        assert rows[column].split(" | ")[0] == ", ".join(headings)
    assert ", ".join(FOR_READERS) in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_table_shown_can_be_used_as_it_stands(page: Path, tmp_path: Path) -> None:
    (shown,) = re.findall(r"^```csv\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    (tmp_path / "t.csv").write_text(shown, "utf-8")
    report = lint_table(tmp_path / "t.csv")
    assert len(report.points) == 5
    assert {finding.severity for finding in report.findings} == {Severity.NOTE}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_notation_shown_is_understood_as_shown(page: Path) -> None:
    shown = re.findall(
        r"^\| (\w+) \| (holding|input|discrete|coil) \| (\d+) \|$", page.read_text("utf-8"), re.MULTILINE
    )
    assert len(shown) == 6
    for written, area, address in shown:
        notation = find_notation(written)
        assert notation is not None
        assert (notation.area, str(notation.address)) == (area, address)


def test_every_code_speaks_both_languages_and_has_its_remedy_in_both() -> None:
    for code, text in MESSAGES.items():
        assert text.en, code
        assert re.search("[\u4e00-\u9fff]", text.zh), code
        assert bool(text.remedy_en) is bool(text.remedy_zh), code
