# SPDX-License-Identifier: GPL-3.0-or-later
"""The golden months: folders in (`when/`), the rulebook they are settled by, and their statements."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from collector.settlement.rulebook.load import Rulebook, load_rulebook
from collector.settlement.settle import settle
from collector.settlement.statement import Statement
from collector.tables.folder import load_folder
from tests.settlement.small_month import JUNE, RULES

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
CASES = sorted(path.name for path in GOLDEN.iterdir() if (path / "when").is_dir())


def rules_of(case: str) -> Path:
    """The folder of the rulebook that the case's file `rulebook` names, else that of the trial rules."""
    named = GOLDEN / case / "rulebook"
    return RULES.parent / named.read_text(encoding="utf-8").strip() if named.exists() else RULES


@cache
def rulebook_at(folder: Path) -> Rulebook:
    """A rulebook, loaded once."""
    return load_rulebook(folder)


def statement_of(case: str) -> Statement:
    """The statement of a case."""
    book = rulebook_at(rules_of(case))
    return settle(JUNE, load_folder(GOLDEN / case / "when", book), book)
