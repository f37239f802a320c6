# SPDX-License-Identifier: GPL-3.0-or-later
"""Skips are listed with their reasons, and more of them than recorded fail a whole run in CI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import HANG_S
from tests.skips import at_most

ROOT = Path(__file__).parents[1]
TESTS = """import pytest

def test_passes():
    pass

@pytest.mark.parametrize("n", range(3))
def test_skips(n):
    pytest.skip("no such peer")

@pytest.mark.skipif(True, reason="another reason")
def test_skips_by_mark():
    pass
"""


def run(folder: Path, most: int, *arguments: str, ci: bool = True) -> subprocess.CompletedProcess[str]:
    (folder / "tests").mkdir(exist_ok=True)
    (folder / "tests" / "test_some.py").write_text(TESTS)
    (folder / "pytest.ini").write_text("[pytest]\ntestpaths = tests\n")
    (folder / "conftest.py").write_text(
        f"import os\nfrom tests.skips import SkipBook\n\ndef pytest_configure(config):\n"
        f"    if not hasattr(config, 'workerinput'):\n"
        f"        config.pluginmanager.register(SkipBook({most}, enforced={ci}), 'skip_book')\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "xdist", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, timeout=HANG_S)


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_a_whole_run_with_more_skips_than_recorded_fails_and_lists_each(
    tmp_path: Path, workers: tuple[str, ...]
) -> None:
    done = run(tmp_path, 3, *workers)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "   3  no such peer\n   1  another reason\n   4  in all; at most 3" in done.stdout
    assert "4 tests were skipped, at most 3 may be" in done.stdout


def test_as_many_as_recorded_pass(tmp_path: Path) -> None:
    done = run(tmp_path, 4)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "   4  in all; at most 4" in done.stdout


@pytest.mark.parametrize(("arguments", "ci"), [(("-k", "skips"), True), (("tests/test_some.py",), True), ((), False)])
def test_neither_a_part_of_the_tests_nor_a_persons_machine_is_held_to_it(
    tmp_path: Path, arguments: tuple[str, ...], ci: bool
) -> None:
    done = run(tmp_path, 0, *arguments, ci=ci)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_record_is_one_number() -> None:
    assert at_most() > 0
