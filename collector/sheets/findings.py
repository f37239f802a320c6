# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a delivery: everything at once, each finding once, long repetitions counted instead of listed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

from collector.base.errors import ConfigError, Problem
from collector.base.text import tr

# A mistake repeated down a column is one mistake for the reader; ten different ones must all be seen.
LISTED_PER_KIND: Final = 20
LONGEST_TEXT: Final = 400


def nearest(text: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` where one of `known` resembles `text`, else nothing."""
    near = difflib.get_close_matches(text, sorted(known), 1)
    return tr("; did you mean {near!r}?", near=near[0]) if near else ""


def _shown(text: str) -> str:
    """A text out of a file as it may be printed: bounded, and nothing in it moves a cursor."""
    if len(text) <= LONGEST_TEXT and text.isprintable():
        return text
    cut = text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + "…"
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in cut)


class Findings:
    """A growing list of problems. `kind` groups what is the same mistake: only the first of a kind are listed."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str, str], dict[Problem, int]] = {}
        self._unlisted: dict[tuple[str, str, str], int] = {}

    def add(self, file: str, row: int, column: str, message: str, *, kind: str = "", count: int = 1) -> None:
        """Note a problem at `row` (header = 1; 0: the file) of `column`; `count` rows share it."""
        file, column, message = _shown(file), _shown(column), _shown(message)
        if kind == "empty" and any(p.row == row for p in self._groups.get((file, column, "cell"), ())):
            return  # the cell was refused as it was read, and is empty only for that
        key = (file, column, kind or message)
        group = self._groups.setdefault(key, {})
        problem = Problem(file, row, column, message)
        if problem in group:
            return
        if len(group) < LISTED_PER_KIND:
            group[problem] = count
        else:
            self._unlisted[key] = self._unlisted.get(key, 0) + count

    def __bool__(self) -> bool:
        return bool(self._groups)

    def extend(self, other: Findings) -> None:
        """Take over the findings of another list (one per file where files are read side by side)."""
        for key, group in other._groups.items():
            for problem, count in group.items():
                self.add(problem.file, problem.row, problem.key, problem.message, kind=key[2], count=count)
            if hidden := other._unlisted.get(key, 0):
                self._unlisted[key] = self._unlisted.get(key, 0) + hidden

    def problems(self) -> tuple[Problem, ...]:
        """All of them, by file, row and column; after the last listed of a kind, how many more there are."""
        listed: list[Problem] = []
        for key, group in self._groups.items():
            for problem, count in group.items():
                more = tr(" (and {count} more rows)", count=count - 1) if count > 1 else ""
                listed.append(Problem(problem.file, problem.row, problem.key, problem.message + more))
            if hidden := self._unlisted.get(key, 0):
                last = max(group, key=lambda problem: problem.row)
                listed.append(
                    Problem(last.file, last.row, last.key, tr("… and {hidden} more like it below", hidden=hidden))
                )
        return tuple(sorted(listed))

    def refuse_if_any(self) -> None:
        """Raises:
        ConfigError: there are findings; it carries them all.
        """
        if self:
            raise ConfigError(self.problems())
