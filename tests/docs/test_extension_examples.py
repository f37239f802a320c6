# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/examples: each extension, put into a copy of the tree as docs/extend.md says, passes the test beside it.

An example is a folder: `new/` holds files at their places in the tree, `change.patch` what existing files gain,
`test_*.py` its own test, which runs in the copy.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import HANG_S

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/test_*.py"))


def tree_with(name: str, at: Path) -> Path:
    """A copy of the tree with an example in it; returns its test there."""
    for part in ("collector", "simulators", "config"):
        shutil.copytree(ROOT / part, at / part)  # with what is compiled
    for part in ("tests", "docs", "pyproject.toml", "conftest.py"):
        (at / part).symlink_to(ROOT / part)
    new, patch = EXAMPLES / name / "new", EXAMPLES / name / "change.patch"
    for path in sorted(new.rglob("*")):
        target = at / path.relative_to(new)
        if path.is_file() and not path.name.endswith(".pyc"):
            assert not target.exists(), f"{target} is there already: what changes belongs into change.patch"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    if patch.exists():
        # Outside a repository git applies a patch as `patch` does.
        subprocess.run(
            ["git", "apply", "--recount", "-C1", str(patch)], cwd=at, check=True, timeout=HANG_S, env=_outside(at)
        )
    (test,) = (EXAMPLES / name).glob("test_*.py")
    return Path(shutil.copy(test, at / test.name))


def _outside(at: Path) -> dict[str, str]:
    told = {"GIT_CEILING_DIRECTORIES": str(at.parent), "PYTHONPATH": str(at), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return os.environ | told


@pytest.mark.parametrize("name", NAMES)
def test_an_example_put_into_the_tree_passes_its_own_test(name: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    test = tree_with(name, tree)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", str(tree / "pyproject.toml"), str(test)]
    done = subprocess.run(command, cwd=tree, env=_outside(tree), capture_output=True, text=True, timeout=2 * HANG_S)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_each_kind_of_extension_has_an_example_that_the_page_names() -> None:
    assert {"driver", "page", "rulebook", "service"} <= set(NAMES)
    for page in ("extend.md", "extend.zh-CN.md"):
        text = (ROOT / "docs" / page).read_text("utf-8")
        assert [name for name in NAMES if f"(examples/{name}/" not in text] == []
