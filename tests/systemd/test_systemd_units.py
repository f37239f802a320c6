# SPDX-License-Identifier: GPL-3.0-or-later
"""The units as systemd itself judges them, and the programs they start."""

from __future__ import annotations

import re
import shlex
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from collector.base.notify import notify, watchdog
from collector.center.operate.watchdog import PERIOD_S
from tests.patience import HANG_S

FOLDER = Path(__file__).parents[2] / "systemd"
UNITS = sorted(path.name for path in FOLDER.iterdir())
SERVICES = [name for name in UNITS if name.endswith(".service")]
PROGRAM = "/opt/collector/bin/collector"
ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(
    ANALYZE is None, reason="systemd-analyze is not installed here (Debian: apt-get install systemd)"
)


def analyze(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    assert ANALYZE is not None
    return subprocess.run(
        [ANALYZE, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=HANG_S
    )  # fmt: skip


def settings(name: str) -> dict[str, list[str]]:
    """Every setting of a unit with its values in order; continued lines are joined."""
    text = (FOLDER / name).read_text("utf-8").replace("\\\n", " ")
    found: dict[str, list[str]] = {}
    for key, value in re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE):
        found.setdefault(key, []).append(value)
    return found


def test_there_is_one_unit_per_process_and_a_timer_for_the_calendar() -> None:
    assert UNITS == [
        "collector-agent.service", "collector-center.service", "collector-close.service", "collector-close.timer",
    ]  # fmt: skip


@needs_systemd
def test_systemd_finds_no_mistake_in_any_unit(tmp_path: Path) -> None:
    # The program is not where the units say it is on a machine that builds it, so a stand-in takes its place.
    for name in UNITS:
        (tmp_path / name).write_text((FOLDER / name).read_text("utf-8").replace(PROGRAM, "/bin/true"), "utf-8")
    result = analyze("verify", "--man=no", *(f"./{name}" for name in UNITS), folder=tmp_path)
    # systemd also looks at the machine's own units; what it says about those is not ours.
    ours = [line for line in (result.stdout + result.stderr).splitlines() if "collector-" in line]
    assert not ours
    assert result.returncode == 0 or not ours


@needs_systemd
@pytest.mark.parametrize("name", SERVICES)
def test_exposure_is_at_most_two_and_a_half(name: str) -> None:
    result = analyze("security", "--offline=yes", "--threshold=25", "--no-pager", name, folder=FOLDER)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Overall exposure level" in result.stdout


@needs_systemd
def test_the_timer_runs_every_morning_in_local_time() -> None:
    (when,) = settings("collector-close.timer")["OnCalendar"]
    result = analyze("calendar", "--base-time=2026-03-20 00:00:00 UTC", when, folder=FOLDER)
    assert "Fri 2026-03-20 22:00:00 UTC" in result.stdout  # 06:00 on the 21st at UTC+8


def test_the_timer_starts_the_closing_unit() -> None:
    assert settings("collector-close.timer")["Unit"] == ["collector-close.service"]


def test_the_agent_waits_for_ready_is_watched_and_restarted() -> None:
    unit = settings("collector-agent.service")
    wanted = {"Type": "notify", "Restart": "always", "StartLimitIntervalSec": "0", "User": "collector",
              "StateDirectory": "collector"}  # fmt: skip
    assert {key: unit[key] for key in wanted} == {key: [value] for key, value in wanted.items()}
    # Three ticks of the longest period the comment promises.
    assert unit["WatchdogSec"] == [str(3 * 60)]


def test_the_center_waits_for_ready_is_watched_and_restarted() -> None:
    unit = settings("collector-center.service")
    wanted = {"Type": "notify", "NotifyAccess": "main", "Restart": "always", "StartLimitIntervalSec": "0",
              "StateDirectory": "collector-center"}  # fmt: skip
    assert {key: unit[key] for key in wanted} == {key: [value] for key, value in wanted.items()}
    (watchdog_s,) = unit["WatchdogSec"]
    assert int(watchdog_s) >= 4 * PERIOD_S


def test_state_directories_are_those_the_samples_name() -> None:
    for unit, sample in (("collector-agent.service", "agent.toml"), ("collector-center.service", "center.toml")):
        (name,) = settings(unit)["StateDirectory"]
        assert f'state_dir = "/var/lib/{name}"' in (FOLDER.parent / "config" / sample).read_text("utf-8")


def run_close(today: str, runs: str, tmp_path: Path) -> list[str]:
    """What the closing unit's command would start on a day, a line each; `runs`: what the center lists of the month."""
    (command,) = settings("collector-close.service")["ExecStart"]
    # As systemd does before it starts a program: %% is a per cent sign, $$ a dollar sign.
    script = shlex.split(command.replace("%%", "%").replace("$$", "$"))
    stand_in = tmp_path / "collector"
    stand_in.write_text(
        f'#!/bin/sh\necho "$*" >> {tmp_path}/started\n[ "$2" != runs ] || printf "%s" "{runs}"\n', "utf-8"
    )
    stand_in.chmod(0o755)
    clock = tmp_path / "date"
    clock.write_text(f'#!/bin/sh\n[ "$1" = -d ] || set -- -d {today} "$@"\nexec /bin/date "$@"\n', "utf-8")
    clock.chmod(0o755)
    script = [word.replace(PROGRAM, str(stand_in)) for word in script]
    environment = dict(each.split("=", 1) for each in settings("collector-close.service")["Environment"])
    subprocess.run(script, env=environment | {"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=True, timeout=HANG_S)
    lines = (tmp_path / "started").read_text("utf-8").splitlines()
    assert all("--config /etc/collector/center.toml" in line for line in lines)
    return [line.split(" --")[0] for line in lines]


@pytest.mark.parametrize(
    ("today", "month"), [("2026-04-05", "2026-03"), ("2026-03-31", "2026-02"), ("2026-01-08", "2025-12")]
)
def test_the_month_before_is_settled_once_from_the_fifth_on(today: str, month: str, tmp_path: Path) -> None:
    running = f"center settle {today[:7]}"
    expected = [f"center runs {month}", f"center settle {month}", running, "center duties"]
    assert run_close(today, "", tmp_path) == expected
    (tmp_path / "started").unlink()
    assert run_close(today, "7  trial", tmp_path) == [f"center runs {month}", running, "center duties"]


def test_before_the_fifth_only_the_running_month_is_settled_and_the_duties_are_listed(tmp_path: Path) -> None:
    assert run_close("2026-04-04", "", tmp_path) == ["center settle 2026-04", "center duties"]
    (tmp_path / "started").unlink()
    assert run_close("2026-04-01", "", tmp_path) == ["center duties"]  # no day of the month is over


def test_words_to_systemd_arrive_as_one_datagram(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify("READY=1")
        assert listener.recv(100) == b"READY=1"
        watchdog()()
        assert listener.recv(100) == b"WATCHDOG=1"
    notify("WATCHDOG=1")  # nobody listens any more: no error
