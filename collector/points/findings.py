# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings of a point table: each with severity, stable code, place, words in both languages and a remedy.

The texts are in `messages.py`, `lint_messages.py` and, for unreadable files, in the room sheets. An error found while
reading makes `load_points` refuse the table; an error found by lint alone makes `points lint` exit 1.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Mapping
from typing import Final

from collector.base.errors import Problem
from collector.points.lint_messages import OF_LINT
from collector.points.messages import OF_CELL, OF_FILE
from collector.sheets.findings import Findings, worded
from collector.sheets.messages import OF_GRID

MESSAGES: Final = {**OF_GRID, **OF_FILE, **OF_CELL, **OF_LINT}


class TableFindings(Findings):
    """Collects every finding of one point table, and lists all of them."""

    def __init__(self, file: str) -> None:
        super().__init__(listed_per_kind=sys.maxsize)
        self.file = file
        self.headings: Mapping[str, str] = {}  # column -> heading in the file; findings show the heading

    def find(self, code: str, row: int = 0, column: str = "", /, **values: object) -> None:
        """Report a finding; `column` is our name of the column; `values` fill the texts of its code."""
        self.take(worded(MESSAGES, code, self.file, row, self.headings.get(column, column), **values))

    def problems(self) -> tuple[Problem, ...]:
        """All problems by row; those of one row in the order in which they were found."""
        return tuple(finding.problem() for finding in self.found)

    def near(self, code: str, row: int, column: str, text: str, known: Iterable[str], /, **values: object) -> None:
        """Report a word that is not among `known`, with the known word nearest to it."""
        # In a Chinese word of two characters one different character is already half.
        close = difflib.get_close_matches(text, list(known), 1, 0.6 if text.isascii() else 0.5)
        hint_en = f"; did you mean {close[0]!r}?" if close else ""
        hint_zh = f",是否 {close[0]}?" if close else ""
        self.find(code, row, column, text=text, hint_en=hint_en, hint_zh=hint_zh, **values)
