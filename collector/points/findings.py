# SPDX-License-Identifier: GPL-3.0-or-later
"""What is found in a point table: each with severity, stable code, place, words in both languages and a remedy.

The texts stand in `messages.py` and `lint_messages.py`. An error found while reading makes `load_points` refuse the
table; an error found by lint alone makes `points lint` exit 1.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from collector.base.errors import Problem
from collector.points.lint_messages import OF_LINT
from collector.points.messages import OF_CELL, OF_FILE

MESSAGES: Final = {**OF_FILE, **OF_CELL, **OF_LINT}


class Severity(Enum):
    """error: can't be right; warning: rarely right; note: worth knowing before the visit."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. `row` as the spreadsheet shows it (0: the file as a whole); `column` as the file heads it."""

    severity: Severity
    code: str
    file: str
    row: int
    column: str
    message: str
    message_zh: str
    remedy: str
    remedy_zh: str

    def problem(self) -> Problem:
        """The finding as a refusal of the configuration."""
        return Problem(self.file, self.row, self.column, "; ".join(filter(None, (self.message, self.remedy))))


class Findings:
    """Collects everything found in one file."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.headings: Mapping[str, str] = {}  # column -> how the file heads it; findings show that
        self._found: dict[Finding, None] = {}

    @property
    def found(self) -> tuple[Finding, ...]:
        """In the order of their rows; each once."""
        return tuple(sorted(self._found, key=lambda finding: finding.row))

    def add(self, code: str, row: int = 0, column: str = "", /, **values: object) -> None:
        """One finding; `column` by our name of it; `values` fill the texts of its code."""
        text, column = MESSAGES[code], self.headings.get(column, column)
        words = [template.format_map(values) for template in (text.en, text.zh, text.remedy_en, text.remedy_zh)]
        self._found[Finding(Severity(text.severity), code, self.file, row, column, *words)] = None

    def near(self, code: str, row: int, column: str, text: str, known: Iterable[str], /, **values: object) -> None:
        """One finding about a word that is not among `known`, with the nearest that is."""
        # Of a Chinese word of two characters one is half.
        close = difflib.get_close_matches(text, list(known), 1, 0.6 if text.isascii() else 0.5)
        hint_en = f"; did you mean {close[0]!r}?" if close else ""
        hint_zh = f",是否 {close[0]}?" if close else ""
        self.add(code, row, column, text=text, hint_en=hint_en, hint_zh=hint_zh, **values)
