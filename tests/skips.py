# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tests were skipped, with the reason of each, and a bound: in CI a run of all tests with more of them fails.

A test that is skipped proves nothing, and nobody reads dots. `tests/skips_at_most.txt` holds how many a run of all
tests may skip where every peer is installed. Who adds a test that must skip there raises the number in the same
commit and says why in its body; whoever removes one lowers it.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest

_RECORD: Final = Path(__file__).with_name("skips_at_most.txt")


def at_most() -> int:
    """The recorded number; lines that begin with # say what it is made of."""
    (line,) = (line for line in _RECORD.read_text("utf-8").splitlines() if line and not line.startswith("#"))
    return int(line)


def reason_of(report: pytest.TestReport) -> str:
    """Why a test was skipped, without the place."""
    words = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return words.removeprefix("Skipped: ")


class SkipBook:
    """A plugin: the list at the end of a run, and exit code 1 where there are too many."""

    def __init__(self, most: int, *, enforced: bool) -> None:
        self._most, self._enforced = most, enforced
        self._reasons: Counter[str] = Counter()
        self._is_whole = False

    def pytest_configure(self, config: pytest.Config) -> None:
        """A run of some tests is not held to the number of all."""
        some = config.option.keyword or config.option.markexpr
        self._is_whole = not some and config.args == config.getini("testpaths")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Every skip, also those of workers."""
        if report.skipped and not hasattr(report, "wasxfail"):
            self._reasons[reason_of(report)] += 1

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Too many skips are a failure like any other."""
        if self._too_many and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Each reason with its number, the most frequent first."""
        if not self._reasons:
            return
        terminalreporter.section("skipped")
        for reason, count in self._reasons.most_common():
            terminalreporter.write_line(f"{count:4d}  {reason}")
        total = self._reasons.total()
        terminalreporter.write_line(f"{total:4d}  in all; at most {self._most} where every peer is installed")
        if self._too_many:
            words = f"{total} tests were skipped, at most {self._most} may be"
            terminalreporter.write_line(f"{words}: install what is missing, or see tests/skips.py", red=True)

    @property
    def _too_many(self) -> bool:
        return self._enforced and self._is_whole and self._reasons.total() > self._most


def pytest_configure(config: pytest.Config) -> None:
    """The book of this run; workers report to their controller, which has it."""
    if not hasattr(config, "workerinput"):
        book = SkipBook(at_most(), enforced=bool(os.environ.get("CI")))
        config.pluginmanager.register(book, "skip_book")
