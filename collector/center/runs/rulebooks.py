# SPDX-License-Identifier: GPL-3.0-or-later
"""The rulebook of the center's settlements and calendar: read once, and again when a file of it has changed."""

from __future__ import annotations

import functools
from pathlib import Path

from collector.base.resources import config_path
from collector.center.settings import CenterSettings
from collector.settlement.rulebook.calendar import DutyDays, WorkingDays, load_working_days
from collector.settlement.rulebook.load import load_rulebook
from collector.settlement.rulebook.rules import Rulebook
from collector.tables.limits import InputRules

SHIPPED = "rules/east-china-trial"


def rulebook_path(settings: CenterSettings) -> Path:
    """The directory that `center.rulebook_dir` names, or the shipped one."""
    return Path(settings.center.rulebook_dir) if settings.center.rulebook_dir else config_path(SHIPPED)


def rulebook_of(path: Path) -> Rulebook:
    """The rulebook in a directory as it is now.

    Raises:
        ConfigError: everything wrong in it.
    """
    states = ((file.name, file.stat()) for file in sorted(path.glob("*.toml")))
    return _load(path, tuple((name, state.st_mtime_ns, state.st_size) for name, state in states))


def input_rules(path: Path) -> InputRules:
    """The rules for inputs of the rulebook in a directory. Raises as `rulebook_of`."""
    return InputRules.of(rulebook_of(path))


def duty_days(rulebook: Path, tables: Path | None = None) -> DutyDays:
    """The days on which the duties of a month depend. `tables`: the working days; default: the shipped tables.

    Raises:
        ConfigError: everything wrong in the rulebook or the tables.
    """
    return DutyDays(_tables(tables or config_path("calendar")), rulebook_of(rulebook))


@functools.lru_cache(maxsize=8)
def _tables(path: Path) -> WorkingDays:
    return load_working_days(path)


@functools.lru_cache(maxsize=8)
def _load(path: Path, _files: tuple[tuple[str, int, int], ...]) -> Rulebook:
    return load_rulebook(path)
