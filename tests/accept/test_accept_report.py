# SPDX-License-Identifier: GPL-3.0-or-later
"""The papers: hostile texts stay texts; what was not done is said; an agent that is watched is judged by its words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from collector.accept.outcome import CHECKS, CheckOutcome, CheckVerdict, judged
from collector.accept.plan import Plan, load_plan
from collector.accept.report.write import write_report
from collector.accept.run import Acceptance, break_off
from collector.accept.running_agent import _outcomes
from collector.points.agent_config import load_agent

CONFIG = Path(__file__).parents[2] / "config"
EVIL = "=1+1<script>alert(1)</script>"


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Of a site, with hostile words on its cover."""
    path = tmp_path / "plan.toml"
    path.write_text(
        f'schema = 1\n[acceptance]\nkind = "site"\nproject = "{EVIL}"\n[under_test]\n'
        f'agent = "{CONFIG / "agent.toml"}"\nstart = false\n[steps]\ncycles = 60\n',
        "utf-8",
    )
    return load_plan(path)


def write(acceptance: Acceptance) -> dict[str, Any]:
    write_report(acceptance, started="2026-04-01T08:00:00+08:00", ended="2026-04-01T09:00:00+08:00")
    found: dict[str, Any] = json.loads((acceptance.out / "accept.json").read_text("utf-8"))
    return found


def test_a_hostile_text_is_neither_markup_nor_a_formula(plan: Plan, tmp_path: Path) -> None:
    acceptance = Acceptance(plan, tmp_path)
    acceptance.add(judged("configuration", good=False, measured=EVIL, limit=EVIL, evidence=(EVIL,)))
    write(acceptance)
    page = (tmp_path / "accept.html").read_text("utf-8")
    assert "<script" not in page
    assert page.count("=1+1&lt;script&gt;") == 4
    sheet = openpyxl.load_workbook(tmp_path / "accept.xlsx").worksheets[0]
    hostile = [cell for row in sheet.iter_rows() for cell in row if cell.value and str(cell.value).startswith("=1")]
    assert len(hostile) == 4
    assert {cell.data_type for cell in hostile} == {"s"}


@pytest.mark.parametrize(
    ("first", "others", "passed"),
    [
        ("pass", "not_applicable", True),
        ("not_applicable", "not_applicable", False),  # nothing was proved
        ("fail", "pass", False),
        ("not_done", "pass", False),
        ("pass", "pass", True),
    ],
)
def test_all_must_be_done_and_nothing_may_fail(
    plan: Plan, tmp_path: Path, first: str, others: str, passed: bool
) -> None:
    acceptance = Acceptance(plan, tmp_path)
    for check in CHECKS.values():
        acceptance.add(CheckOutcome(check, CheckVerdict(first if check.code == "A01" else others)))
    assert acceptance.passed is passed


def test_a_run_that_was_broken_off_says_so_and_has_not_passed(plan: Plan, tmp_path: Path) -> None:
    acceptance = Acceptance(plan, tmp_path)
    for check in CHECKS.values():
        acceptance.add(CheckOutcome(check, CheckVerdict.PASS))
    break_off(acceptance, "操作人员中止", "by the operator")
    found = write(acceptance)
    assert found["passed"] is False
    assert "操作人员中止 · by the operator" in (tmp_path / "accept.html").read_text("utf-8")


def health(*, written: int, reads: int, missed: int = 0, refused: int = 0, connected: bool = True) -> dict[str, Any]:
    devices = [device.id for device in load_agent(CONFIG / "agent.toml").settings.device]
    return {
        "clock": "synchronised", "ticks": {"written": written, "missed": missed},
        "devices": [{"device": name, "reads": reads, "last_read_s": 0.01, "clock_offset_ms": 5} for name in devices],
        "uplink": {"connected": connected, "last_ack_age_s": 3.0, "unrecognised": {}, "last_error": ""},
        "buffer": {"pending": 0, "refused": refused},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("last", "failed"),
    [
        (health(written=160, reads=160), set()),
        (health(written=160, reads=160, missed=1), {"cycle"}),
        (health(written=160, reads=120), {"cycle"}),
        (health(written=120, reads=160), {"cycle"}),
        (health(written=160, reads=160, refused=1), {"center"}),
        (health(written=160, reads=160, connected=False), {"center"}),
    ],
)
def test_a_running_agent_is_judged_by_what_it_says_twice(
    plan: Plan, last: dict[str, Any], failed: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.accept.running_agent.compute_capacity", lambda _: None)
    config = load_agent(CONFIG / "agent.toml")
    points = [{"device": "governor-1", "point": "P", "quality": "good"}]
    first = health(written=100, reads=100)
    outcomes = {o.check.name: o.verdict for o in _outcomes(plan, config, first, last, points, 60.0)}
    assert {name for name, verdict in outcomes.items() if verdict is CheckVerdict.FAIL} == failed | {"capacity"}
    assert set(outcomes) == {check.name for check in CHECKS.values()} - {"configuration"}
