# SPDX-License-Identifier: GPL-3.0-or-later
"""The wheel carries every module and every sample, and names no host."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHIPPED = {".py", ".toml", ".csv", ".html", ".css", ".js", ".mo", ".service", ".timer", ".conf", ".acl"}


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    out = tmp_path_factory.mktemp("wheel")
    source = out / "source"
    # Built from a copy, so that no build folder is left in the checkout.
    source.mkdir()
    for name in ("collector", "simulators", "config", "pyproject.toml", "setup.py", "README.md", "LICENSE"):
        (source / name).symlink_to(ROOT / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
               "--disable-pip-version-check", "--wheel-dir", str(out), str(source)]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, cwd=out)
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_carries_every_module_and_sample(wheel_names: set[str]) -> None:
    expected = set()
    for top, package in (("collector", "collector"), ("simulators", "simulators"), ("config", "collector_config")):
        for path in (ROOT / top).rglob("*"):
            if path.suffix in SHIPPED and "__pycache__" not in path.parts:
                expected.add((Path(package) / path.relative_to(ROOT / top)).as_posix())
    assert expected - wheel_names == set()


def test_constraints_pin_exact_versions_and_name_no_host() -> None:
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            name, _, version = line.partition("==")
            assert name
            assert version
            assert "/" not in line
            assert "@" not in line
