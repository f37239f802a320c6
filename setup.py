# SPDX-License-Identifier: GPL-3.0-or-later
"""What pyproject.toml cannot say: a built program carries the commit it was made of, for `collector --version`."""

import runpy
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithCommit(build_py):
    """Copies the modules, and writes `collector/base/commit.txt` beside them."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            told = runpy.run_path("collector/base/build.py")["commit"]()
            Path(self.build_lib, "collector", "base", "commit.txt").write_text(told + "\n", "utf-8")


setup(cmdclass={"build_py": BuildWithCommit})
