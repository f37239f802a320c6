# SPDX-License-Identifier: GPL-3.0-or-later
"""The verbs of runs at the command line: settle, runs, what-if, explain, compare, package."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from collector.cli.center.commands import app
from tests.center.runs.kept_months import copy_state
from tests.center.runs.late_changes import PLAN, at

Verb = Callable[..., Result]


@pytest.fixture(scope="module")
def center(filled_june: Path, tmp_path_factory: pytest.TempPathFactory) -> Verb:
    """Runs a verb on one filled store."""
    state = copy_state(filled_june, tmp_path_factory.mktemp("verbs") / "state")
    runner = CliRunner()

    def run(*arguments: str) -> Result:
        return runner.invoke(app, [*arguments, "--state", str(state)], env={"COLUMNS": "200"})

    return run


def test_a_month_is_settled_tried_compared_explained_and_packed(
    center: Verb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "2026-06: 60 plant-days measured" in center("measure", "2026-06").output
    settled = center("settle", "2026-06", "--who", "li", "--note", "first")
    assert settled.exit_code == 0, settled.output
    assert "0 of 60 plant-days measured" in settled.output
    assert "0 of 60 plant-days measured" in center("settle", "2026-06", "--who", "li").output
    late = tmp_path / "late.csv"
    late.write_text(PLAN + f"U1,{at(12, 6)},{at(12, 12)},300,\n", "utf-8")
    tried = center("what-if", "2026-06", f"plan={late}", "--who", "li")
    assert tried.exit_code == 0, tried.output
    assert tried.output.splitlines()[0] == "run 3: what_if of run 2, provisional"
    assert [line.split()[1] for line in tried.output.splitlines()[1:]] == ["P1", "P2"]
    assert center("what-if", "1", f"plan={late}", "--keep").exit_code == 1
    runs = json.loads(center("runs", "2026-06", "--done", "--json").output)
    assert [(r["id"], r["kind"], r["base_run_id"], r["note"]) for r in runs] == [
        (1, "trial", None, "first"),
        (2, "trial", None, ""),
        (3, "what_if", 2, ""),
    ]
    assert "what_if of 2" in center("runs").output
    refused = center("runs", "2026-06").output.splitlines()[3]
    assert "what_if of 1  failed: " in refused
    assert "the first: late.csv:" in refused
    every = json.loads(center("runs", "--json").output)[3]
    assert (every["state"], every["status"]) == ("failed", "")
    assert "conflicts with a row in force" in every["problems"][0]["message"]
    assert center("compare", "1", "2").exit_code == 0
    compared = center("compare", "1", "3", "--json")
    assert compared.exit_code == 1
    assert json.loads(compared.output)["changed"] == ["dispatch inputs: plan"]
    page = tmp_path / "u1.html"
    span = f"{at(12, 6)}/{at(12, 9)}"
    explained = center(
        "explain", "3", "--unit", "U1", "--service", "agc_up", "--records", span, "--html", str(page), "--segments", "3"
    )
    assert explained.exit_code == 0, explained.output
    assert "run 3 of 2026-06, what_if" in explained.output
    assert "AGC energy, up" in explained.output
    assert explained.output.count("active_power_mw") == 4  # two records at 06 and two at 08 o'clock
    assert "<svg" in page.read_text("utf-8")
    packed = center("package", "2026-06", str(tmp_path / "june.zip"), "--who", "li")
    assert packed.exit_code == 0, packed.output
    assert "run 2 of 2026-06" in packed.output
    monkeypatch.chdir(tmp_path)
    assert center("package", "2026-06").output.startswith("2026-06-run2.zip: run 2 of 2026-06")
    assert (tmp_path / "2026-06-run2.zip").read_bytes()[:2] == b"PK"
    assert "is there already" in str(center("package", "2026-06").exception)
    assert "head of the audit log: 4 " in packed.output  # three runs so far, and one that failed


def test_what_is_not_there_or_not_meant_is_said(center: Verb) -> None:
    assert center("settle", "June").exit_code == 2
    assert "was never settled" in str(center("explain", "2026-01", "--unit", "U1", "--service", "avc").exception)
    assert "no run with this number" in str(center("compare", "98", "99").exception)
    assert center("what-if", "1", "plan").exit_code == 2
    assert center("explain", "1", "--unit", "U1", "--service", "avc", "--records", "x").exit_code in (1, 2)
