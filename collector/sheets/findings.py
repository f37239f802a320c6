# SPDX-License-Identifier: GPL-3.0-or-later
"""All problems of a file at once, each once; long repetitions are counted instead of listed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from collector.base.errors import ConfigError, Problem
from collector.base.text import both, into, join, tr
from collector.sheets.messages import OF_GRID, FindingText

# A mistake repeated down a column is one mistake for the reader; ten different ones must all be seen.
LISTED_PER_KIND: Final = 20
LONGEST_TEXT: Final = 400


class Severity(Enum):
    """Severity of a finding. error: can't be right; warning: rarely right; note: worth knowing before the visit."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class TableFinding:
    """One finding. `row` as the spreadsheet shows it (0: the file as a whole); `column` as the file heads it.

    `code` tells programs which finding it is; empty where there is none. A finding with a code has a Chinese text too.
    """

    file: str
    row: int
    column: str
    message: str
    severity: Severity = Severity.ERROR
    code: str = ""
    message_zh: str = ""
    remedy: str = ""
    remedy_zh: str = ""

    def problem(self, more: str = "") -> Problem:
        """The finding as a problem of a ConfigError."""
        message = both(self.message, self.message_zh) if self.message_zh else self.message
        if self.remedy:
            message = join("; ", (message, both(self.remedy, self.remedy_zh)))
        return Problem(self.file, self.row, self.column, message + more if more else message)


class Unreadable(Exception):  # noqa: N818 - a state of the file
    """A file that can't be read at all: a code of messages.py, the row where there is one, values for its text."""

    def __init__(self, code: str, row: int = 0, /, **values: object) -> None:
        super().__init__(code)
        self.code = code
        self.row = row
        self.values = values


def nearest(text: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` where one of `known` resembles `text`, else nothing."""
    near = difflib.get_close_matches(text, sorted(known), 1)
    return tr("; did you mean {near!r}?", near=near[0]) if near else ""


def _shown(text: str) -> str:
    """A text from a file made safe to print: cut to a limit, and without control characters."""
    if len(text) <= LONGEST_TEXT and text.isprintable():
        return text
    cut = text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + "…"
    return cut if cut.isprintable() else "".join(s if s.isprintable() or s == "\u3000" else "\ufffd" for s in cut)


def worded(
    texts: Mapping[str, FindingText], code: str, file: str, row: int, column: str, /, **values: object
) -> TableFinding:
    """The finding with a code of `texts`; `values` fill the templates of its text."""
    text = texts[code]
    in_zh = {name: into(value, "zh") for name, value in values.items()}
    en, remedy_en = (_shown(template.format_map(values)) for template in (text.en, text.remedy_en))
    zh, remedy_zh = (_shown(template.format_map(in_zh)) for template in (text.zh, text.remedy_zh))
    return TableFinding(_shown(file), row, _shown(column), en, Severity(text.severity), code, zh, remedy_en, remedy_zh)


class Findings:
    """A growing list of findings. Findings of one `kind` are the same mistake: only the first of them are listed."""

    def __init__(self, *, listed_per_kind: int = LISTED_PER_KIND) -> None:
        self._listed_per_kind = listed_per_kind
        self._counts: dict[TableFinding, int] = {}
        self._kinds: dict[tuple[str, str, str], list[TableFinding]] = {}
        # first finding beyond the limit, its count, how many are hidden
        self._unlisted: dict[tuple[str, str, str], tuple[TableFinding, int, int]] = {}
        self._notes: dict[TableFinding, None] = {}

    def note(self, file: str, message: str) -> None:
        """Note how a file was read where there was a choice, e.g. of a separator; this is no problem."""
        self._notes[TableFinding(_shown(file), 0, "", message, Severity.NOTE)] = None

    @property
    def notes(self) -> tuple[TableFinding, ...]:
        """The notes on how files were read, by file."""
        return tuple(sorted(self._notes, key=lambda note: note.file))

    def add(self, file: str, row: int, column: str, message: str, *, kind: str = "", count: int = 1) -> None:
        """Note a problem at `row` (header = 1; 0: the file) of `column`; `count` rows share it."""
        self.take(TableFinding(_shown(file), row, _shown(column), _shown(message)), kind, count)

    def refuse(self, file: str, refused: Unreadable) -> None:
        """Note that a file as a whole can't be read."""
        self.take(worded(OF_GRID, refused.code, file, refused.row, "", **refused.values))

    def take(self, finding: TableFinding, kind: str = "", count: int = 1) -> None:
        """Note a finding; `count` rows share it."""
        file, column = finding.file, finding.column
        if kind == "empty" and any(f.row == finding.row for f in self._kinds.get((file, column, "cell"), ())):
            return  # only empty because the cell was refused when it was read
        if finding in self._counts:
            return
        key = (file, column, kind or finding.message)
        listed = self._kinds.setdefault(key, [])
        if len(listed) < self._listed_per_kind:
            listed.append(finding)
            self._counts[finding] = count
        else:
            self._leave_out(key, (finding, count, 1))

    def _leave_out(self, key: tuple[str, str, str], more: tuple[TableFinding, int, int]) -> None:
        first, count, before = self._unlisted.get(key, (more[0], more[1], 0))
        self._unlisted[key] = (first, count, before + more[2])

    def __bool__(self) -> bool:
        return bool(self._counts)

    def extend(self, other: Findings) -> None:
        """Take over the findings of another list (one per file where files are read side by side)."""
        self._notes |= other._notes
        for key, listed in other._kinds.items():
            for finding in listed:
                self.take(finding, key[2], other._counts[finding])
            if hidden := other._unlisted.get(key):
                self._leave_out(key, hidden)

    @property
    def found(self) -> tuple[TableFinding, ...]:
        """The listed findings, in the order of their rows."""
        return tuple(sorted(self._counts, key=lambda finding: finding.row))

    def problems(self) -> tuple[Problem, ...]:
        """All problems by file, row and column; after the last listed of a kind, the number of further ones.

        Where only one more is hidden it is listed itself: a line that counts it would be as long.
        """
        listed = [*self._counts.items()]
        listed += [(finding, count) for finding, count, hidden in self._unlisted.values() if hidden == 1]
        problems = [
            finding.problem(tr(" (and {count} more rows)", count=count - 1) if count > 1 else "")
            for finding, count in listed
        ]
        for key, (_, _, hidden) in self._unlisted.items():
            if hidden > 1:
                last = max(self._kinds[key], key=lambda finding: finding.row)
                message = tr("… and {hidden} more like it below", hidden=hidden)
                problems.append(Problem(last.file, last.row, last.column, message))
        return tuple(sorted(problems))

    def refuse_if_any(self) -> None:
        """Raises:
        ConfigError: there are findings; it carries them all.
        """
        if self:
            # A line that says how many more there are is no problem itself.
            raise ConfigError(self.problems(), sum(hidden - 1 for _, _, hidden in self._unlisted.values()))
