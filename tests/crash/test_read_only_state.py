# SPDX-License-Identifier: GPL-3.0-or-later
"""A state folder that can't be written, as a user meets it who may only read, or a disk that went read-only.

What looks does its work and says so; what would change something is refused in words, and nothing is changed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from collector.center.db.store import CenterStore
from tests.center.center_batches import NOON, FixedClock
from tests.center.runs.center_months import settled
from tests.center.runs.kept_months import KeptMonth
from tests.patience import HANG_S
from tests.size import sized

SAID = "is read-only for this user"
# Root may write whatever it likes; without these rights it is held to a file's mode as any user is.
RIGHTS = "-dac_override,-dac_read_search,-fowner"
LOOKS = (("check",), ("runs",), ("status",), ("doctor",), ("imports",))
CHANGES = (("settle", "2026-06"), ("undo", "1", "--reason", "x"), ("renew",), ("import", "plan", "plan.csv"))


def make_read_only(folder: Path, *, again: bool = False) -> Path:
    """Take the right to write from everything in a folder; `again`: give it back."""
    for path in [*folder.rglob("*"), folder]:
        path.chmod((0o755 if again else 0o555) if path.is_dir() else (0o644 if again else 0o444))
    return folder


@pytest.fixture(scope="module")
def state(settled_june: KeptMonth, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A state with a settled month that may be read and not written."""
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root writes everywhere, and there is no setpriv (util-linux) to take that from it")
    folder = settled_june.copy_to(tmp_path_factory.mktemp("looked-at") / "state")
    yield make_read_only(folder)
    make_read_only(folder, again=True)


def center(*words: str) -> subprocess.CompletedProcess[str]:
    """A verb of the center, as a user types it who has no more rights than the files give."""
    command = [sys.executable, "-m", "collector.cli.main", "center", *words]
    if os.geteuid() == 0:
        command = ["setpriv", f"--bounding-set={RIGHTS}", f"--inh-caps={RIGHTS}", *command]
    environment = os.environ | {"COLLECTOR_LANGUAGE": "en"}
    return subprocess.run(command, timeout=HANG_S, capture_output=True, text=True, check=False, env=environment)


def content(state: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}


@pytest.mark.parametrize("words", LOOKS[:: sized(2, 1)])
def test_what_looks_does_its_work_and_says_that_the_state_is_read_only(state: Path, words: tuple[str, ...]) -> None:
    before = content(state)
    done = center(*words, "--state", str(state))
    assert done.returncode == (1 if words == ("doctor",) else 0), done.stdout + done.stderr
    assert SAID in done.stderr
    assert "Traceback" not in done.stderr
    assert words != ("doctor",) or f"error: {state}: {SAID}" in done.stdout
    assert words != ("runs",) or "1  2026-06" in done.stdout
    assert content(state) == before


def test_a_backup_of_it_is_whole(state: Path, tmp_path: Path) -> None:
    done = center("backup", str(tmp_path / "backup"), "--state", str(state))
    assert done.returncode == 0, done.stderr
    checked = center("check", "--state", str(tmp_path / "backup"))
    assert (checked.returncode, SAID in checked.stderr) == (0, False), checked.stdout


@pytest.mark.parametrize("words", CHANGES[:: sized(2, 1)])
def test_what_would_change_something_is_refused_in_a_line(state: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "plan.csv").write_text("unit,start,end,power_mw\n", "utf-8")
    words = tuple(str(tmp_path / word) if word == "plan.csv" else word for word in words)
    before = content(state)
    done = center(*words, "--state", str(state))
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    assert SAID in done.stderr, done.stderr
    assert content(state) == before


def test_a_center_does_not_start_on_it_and_says_why(state: Path, tmp_path: Path) -> None:
    plant = '[[plant]]\nid = "P1"\nunits = ["U1"]\nunsigned = true\n'
    (tmp_path / "center.toml").write_text(f"schema = 1\n{plant}", "utf-8")
    done = center("run", str(tmp_path / "center.toml"), "--state", str(state), "--broker", "127.0.0.1:1")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    assert SAID in done.stderr


def test_a_state_whose_center_was_killed_is_read_with_what_its_wal_holds(state: Path, tmp_path: Path) -> None:
    work, killed = tmp_path / "work", tmp_path / "killed"
    shutil.copytree(state, work, copy_function=partial(shutil.copyfile))
    make_read_only(work, again=True)
    with CenterStore.open(work, clock=FixedClock(NOON)) as store:
        settled(store)
        shutil.copytree(work, killed, copy_function=partial(shutil.copyfile))  # as a kill leaves it
    assert (killed / "center.sqlite-wal").stat().st_size
    make_read_only(killed)
    done = center("runs", "--state", str(killed))
    assert (done.returncode, SAID in done.stderr) == (0, True), done.stdout + done.stderr
    assert "2  2026-06" in done.stdout
    make_read_only(killed, again=True)
