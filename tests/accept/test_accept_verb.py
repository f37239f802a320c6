# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector accept` as its user runs it: the shipped plan, installations with a fault in them, and broken off."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from collector.accept.outcome import CHECKS
from simulators.run.pytest_plugin import ServedDevices
from tests.patience import HANG_S, run_watched, wait_until

pytestmark = pytest.mark.e2e
CONFIG = Path(__file__).parents[2] / "config"
MAIN = [sys.executable, "-m", "collector.cli.main"]


def accept(plan: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run it in a folder, below which the reports go."""
    command = [*MAIN, "accept", str(plan)]
    return run_watched(command, folder)


def report(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The folder of the only run and its accept.json."""
    (out,) = (folder / "acceptance").iterdir()
    return out, json.loads((out / "accept.json").read_text("utf-8"))


def verdicts(found: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["verdict"] for check in found["checks"]}


def children_in(out: Path) -> list[str]:
    """Command lines of processes that work for a run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue  # it has gone meanwhile
        if str(out) in words and "collector.cli" in words:
            found.append(words)
    return found


def test_the_shipped_plan_passes_out_of_the_box_from_any_folder(tmp_path: Path) -> None:
    done = accept("config/accept.toml", tmp_path)  # the file is not there: the one that came with the program
    assert done.returncode == 0, done.stdout + done.stderr
    out, found = report(tmp_path)
    assert found["passed"] is True
    assert verdicts(found) == {check.name: "pass" for check in CHECKS.values()}
    changes = next(check for check in found["checks"] if check["name"] == "changes")
    # Of breaker, AGC, AVC of two units, there and back: those that lie in the time of the cycles.
    assert re.search(r"changes [1-9]\d*, absent or different 0\b", changes["measured"])
    with (out / "accept.csv").open(encoding="utf-8-sig", newline="") as file:
        assert [row["code"] for row in csv.DictReader(file)] == list(CHECKS)
    sheet = openpyxl.load_workbook(out / "accept.xlsx").worksheets[0]
    assert {row[0] for row in sheet.iter_rows(values_only=True)} >= set(CHECKS)
    page = (out / "accept.html").read_text("utf-8")
    assert all(check.zh in page and check.en in page for check in CHECKS.values())
    assert {Path(name).name for name in found["sha256"]} >= {
        "accept.toml",
        "agent.toml",
        "plant.toml",
        "avc_iec104.csv",
    }
    assert children_in(out) == []


def write_plan(folder: Path, agent: str, leave_out: list[str]) -> Path:
    """A plan for a copy of the sample installation that is edited."""
    shutil.copytree(CONFIG / "points", folder / "points")
    (folder / "agent.toml").write_text(agent, "utf-8")
    plan = folder / "plan.toml"
    plan.write_text(
        f'schema = 1\n[acceptance]\nkind = "factory"\n[under_test]\nagent = "agent.toml"\n'
        f'[simulate]\nscenario = "{CONFIG / "accept" / "plant.toml"}"\n[steps]\ncycles = 20\n'
        f"[checks]\nleave_out = {json.dumps(leave_out)}\n",
        "utf-8",
    )
    return plan


def test_a_wrong_word_order_and_a_silent_meter_are_found(tmp_path: Path) -> None:
    agent = (CONFIG / "agent.toml").read_text("utf-8")
    silent = agent.replace("often has\nslave = 1\n", "often has\nslave = 9\n")
    assert silent != agent
    done_here = {"configuration", "points_read", "points_true"}
    left_out = [check.code if number % 2 else check.name for number, check in enumerate(CHECKS.values())
                if check.name not in done_here]  # fmt: skip
    plan = write_plan(tmp_path, silent, left_out)
    table = tmp_path / "points" / "governor_modbus.csv"
    table.write_text(table.read_text("utf-8").replace("float32,0,2,,CDAB", "float32,0,2,,ABCD"), "utf-8")
    done = accept(plan, tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    out, found = report(tmp_path)
    assert found["passed"] is False
    checks = {check["name"]: check for check in found["checks"]}
    assert checks["configuration"]["verdict"] == "pass"
    assert checks["points_read"]["verdict"] == "fail"
    assert any(line.startswith("meter-1") and "silent" in line for line in checks["points_read"]["evidence"])
    first = checks["points_read"]["evidence"] + checks["points_true"]["evidence"]
    assert any(line.startswith("governor-1 有功功率") for line in first)
    for name in set(checks) - done_here:
        assert checks[name]["verdict"] == "not_applicable"
        assert "left out" in checks[name]["reason"]
    assert "不合格" in (out / "accept.html").read_text("utf-8")


def test_a_configuration_that_does_not_load_fails_and_nothing_else_is_tried(tmp_path: Path) -> None:
    agent = (CONFIG / "agent.toml").read_text("utf-8").replace('unit = "U2"', 'unit = "U3"', 1)
    done = accept(write_plan(tmp_path, agent, []), tmp_path)
    assert done.returncode == 1
    out, found = report(tmp_path)
    by_name = verdicts(found)
    assert by_name.pop("configuration") == "fail"
    assert set(by_name.values()) == {"not_applicable"}
    assert not (out / "logs").exists()


def test_broken_off_it_ends_every_process_and_says_what_was_not_done(tmp_path: Path) -> None:
    command = [*MAIN, "accept", "config/accept.toml"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as run:
        middle_of_a04 = "acceptance/*/config/illegal_address.toml"
        wait_until(lambda: run.poll() is not None or list(tmp_path.glob(middle_of_a04)), "A04")
        assert run.poll() is None
        os.kill(run.pid, signal.SIGINT)
        assert run.wait(HANG_S) == 1
    out, found = report(tmp_path)
    assert found["passed"] is False
    assert "by the operator" in found["broken_off"]
    by_name = verdicts(found)
    assert by_name["points_read"] == "pass"
    assert by_name["stored_once"] == "not_done"
    assert "中止" in (out / "accept.html").read_text("utf-8")
    assert children_in(out) == []


def test_real_devices_are_read_and_what_needs_faults_or_truth_is_left_out(
    tmp_path: Path, modbus_device: Callable[..., ServedDevices]
) -> None:
    table = "name,quantity,area,type,address,raw_unit\nP,active_power_mw,holding,int32,0,kW\n"
    device = modbus_device(table, slave=3)
    device.show("active_power_mw", "380")
    (tmp_path / "governor.csv").write_text(table, "utf-8")
    (tmp_path / "agent.toml").write_text(
        f'schema = 1\n[gateway]\nid = "g"\nstate_dir = "state"\n[[plant]]\nid = "P"\n[[unit]]\nid = "U"\nplant = "P"\n'
        f'[[device]]\nid = "governor"\nprotocol = "modbus_tcp"\npoints = "governor.csv"\nunit = "U"\nslave = 3\n'
        f'host = "{device.host}"\nport = {device.port}\ntimeout_s = 60.0\n',
        "utf-8",
    )
    (tmp_path / "plan.toml").write_text(
        'schema = 1\n[acceptance]\nkind = "site"\n[under_test]\nagent = "agent.toml"\n[steps]\ncycles = 10\n'
        # How many ticks a busy machine keeps is not the matter here.
        '[limits]\nmissing_records = 1000\nusable_ratio = "0.01"\nread_time_ratio = "100"\nclock_synchronised = false\n'
        '[checks]\nleave_out = ["network_cut", "catch_up", "broker_restart", "agent_kill"]\n',
        "utf-8",
    )
    done = accept("plan.toml", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    out, found = report(tmp_path)
    passed = {name for name, verdict in verdicts(found).items() if verdict == "pass"}
    assert passed == {
        "configuration", "points_read", "read_time", "clock", "cycle", "stored_once", "center", "capacity",
    }  # fmt: skip
    reasons = {check["name"]: check["reason"] for check in found["checks"]}
    assert "not provable from here" in reasons["read_only"]
    assert "truth" in reasons["values"]
    assert device.requests() > 10
    assert not (tmp_path / "state").exists()  # the site's own buffer is not touched
    assert children_in(out) == []


def test_an_agent_that_does_not_run_can_not_be_watched(tmp_path: Path) -> None:
    agent = (CONFIG / "agent.toml").read_text("utf-8").replace("/var/lib/collector", "state")
    plan = write_plan(tmp_path, agent, [])
    plan.write_text(
        'schema = 1\n[acceptance]\nkind = "site"\n[under_test]\nagent = "agent.toml"\nstart = false\n', "utf-8"
    )
    done = accept(plan, tmp_path)
    assert done.returncode == 1
    _, found = report(tmp_path)
    assert "no agent of this configuration runs here" in found["broken_off"]
    assert verdicts(found)["configuration"] == "pass"


def test_a_plan_that_can_not_be_read_is_refused_and_no_folder_is_made(tmp_path: Path) -> None:
    done = accept("nowhere.toml", tmp_path)
    assert done.returncode == 1
    assert "can't be read" in done.stderr
    assert list(tmp_path.iterdir()) == []
