# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector --version`: one version everywhere, and the commit, also where the program was built and carried away."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import yaml
from typer.testing import CliRunner

from collector import __version__
from collector.cli.main import app

ROOT = Path(__file__).parents[2]


def test_version_names_the_commit_and_each_schema() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    first, second = result.output.splitlines()
    assert re.fullmatch(rf"collector {re.escape(__version__)} \(commit ([0-9a-f]{{12}}\+?|unknown)\)", first)
    assert re.fullmatch(r"wire \d+, buffer \d+, store \d+, kernel \d+", second)


def test_the_commit_is_that_of_the_checkout() -> None:
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    told = CliRunner().invoke(app, ["--version"]).output
    assert f"commit {head.stdout[:12] or 'unknown'}" in told


def test_the_changelog_begins_with_this_version_or_the_one_being_made() -> None:
    first = re.search(r"^## (\S+)(?: \((.*)\))?$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert first
    assert first[1] == __version__.removesuffix(".dev0")
    assert (first[2] == "unreleased") == __version__.endswith(".dev0")


def test_the_citation_names_the_newest_release() -> None:
    """Between releases, too: what somebody cites is a version that was handed out."""
    released = re.search(r"^## (\S+) \((\d{4}-\d\d-\d\d)\)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert released
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert (cited["version"], str(cited["date-released"])) == released.groups()


def test_a_wheel_keeps_the_commit_it_was_made_of(tmp_path: Path) -> None:
    source = tmp_path / "source"
    listed = ("collector", "simulators", "config", "pyproject.toml", "setup.py", "README.md", "LICENSE")
    subprocess.run(["git", "init", "--quiet", str(source)], check=True)
    for name in listed:
        (source / name).symlink_to(ROOT / name)
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *who, "commit", "--quiet", "--allow-empty", "-m", "one"], cwd=source, check=True)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
               "--disable-pip-version-check", "--wheel-dir", str(tmp_path), str(source)]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=source, capture_output=True, text=True, check=True).stdout
    (built,) = tmp_path.glob(f"ancillary_collector-{__version__}-*.whl")
    with zipfile.ZipFile(built) as wheel:
        assert wheel.read("collector/base/commit.txt").decode().strip().rstrip("+") == head[:12]


def test_nothing_tells_anybody_to_install_a_package_that_is_a_strangers() -> None:
    """On public indexes `collector` is another project; ours is `ancillary-collector`, and installed from files."""
    own = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["name"]
    assert own != "collector"
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    sources = [path for top in ("collector", "simulators", "config") for path in (ROOT / top).rglob("*")]
    for path in [*pages, *(path for path in sources if path.suffix in {".py", ".po", ".html", ".toml"})]:
        if path.name == "release.md":  # says that it may not be said
            continue
        found = re.findall(r"pip3? install[^\n]*[ '\"]collector(?:\[|[ '\"=]|$)", path.read_text("utf-8"))
        assert not found, f"{path}: {found}"


def test_version_is_told_where_only_the_plant_side_is_installed() -> None:
    """As a gateway has it: none of the center's packages can be imported."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('pyarrow', 'sqlalchemy', 'litestar'))); "
        "sys.argv = ['collector', '--version']; from collector.cli.main import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"wire \d+, buffer \d+", done.stdout.splitlines()[1])
