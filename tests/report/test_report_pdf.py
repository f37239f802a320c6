# SPDX-License-Identifier: GPL-3.0-or-later
"""The PDF: made where typst and a Chinese font are, said why not elsewhere."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from collector.report.pdf import write_pdf
from tests.report.made_statement import statement

HAS_TYPST = importlib.util.find_spec("typst") is not None


@pytest.mark.skipif(HAS_TYPST, reason="typst is installed here")
def test_without_the_extra_the_reason_is_said_and_nothing_written(tmp_path: Path) -> None:
    assert write_pdf(statement(), tmp_path / "s.pdf") == "typst is not installed"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not HAS_TYPST, reason="the typst extra is not installed")
def test_the_same_statement_gives_the_same_pdf_and_text_is_never_markup(tmp_path: Path) -> None:
    made = statement()
    evil = replace(made, lines=(replace(made.lines[0], unit='#panic("no")'), made.lines[1]))
    reasons = [write_pdf(evil, tmp_path / name) for name in ("a.pdf", "b.pdf")]
    if any(reasons):
        assert "no font with Chinese" in reasons[0]
        pytest.skip(reasons[0])
    data = (tmp_path / "a.pdf").read_bytes()
    assert data.startswith(b"%PDF-")
    assert data == (tmp_path / "b.pdf").read_bytes()
