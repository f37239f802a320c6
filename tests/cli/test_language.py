# SPDX-License-Identifier: GPL-3.0-or-later
"""A terminal is told what is wrong in the language of its locale, or in the one that is asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import HANG_S

CHINESE, ENGLISH = "没有 rulebook.toml", "no rulebook.toml here"


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({}, ENGLISH),
        ({"LANG": "C.UTF-8"}, ENGLISH),
        ({"LANG": "zh_CN.UTF-8"}, CHINESE),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C.UTF-8"}, ENGLISH),
        ({"LANG": "C.UTF-8", "COLLECTOR_LANGUAGE": "zh"}, CHINESE),
        ({"LANG": "zh_CN.UTF-8", "COLLECTOR_LANGUAGE": "en"}, ENGLISH),
    ],
)
def test_an_error_is_told_in_the_language_of_the_terminal(variables: dict[str, str], told: str, tmp_path: Path) -> None:
    names = ("COLLECTOR_LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
    environment = {name: value for name, value in os.environ.items() if name not in names} | variables
    command = [sys.executable, "-m", "collector.cli.main", "rulebook", "show", str(tmp_path)]
    done = subprocess.run(
        command, env=environment | {"PYTHONIOENCODING": "utf-8"}, capture_output=True, text=True, encoding="utf-8",
        timeout=HANG_S,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert told in done.stderr
