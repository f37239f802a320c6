# SPDX-License-Identifier: GPL-3.0-or-later
"""Showing and comparing rulebooks, and the verbs that do it."""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path

import typer
from typer.testing import CliRunner

from collector.cli import explain as explain_verb
from collector.cli.rulebook import app
from collector.settlement.rulebook.text import rule_lines, rule_lines_on
from tests.settlement.small_month import RULES, shipped_rulebook

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


def changed(tmp_path: Path) -> Path:
    """The shipped rulebook with another price from 2026-06-16 on."""
    rules = Path(shutil.copytree(RULES, tmp_path / "rules"))
    path = rules / "article-14.toml"
    row = '\n  [[value.row]]\n  value = "300"\n  state = "in_force"\n  from = 2026-06-16\n  cite = "notice"\n'
    text = path.read_text(encoding="utf-8")
    head, tail = text.split('id = "agc_basic.price"')
    first, rest = tail.split("placeholder = true\n", 1)
    path.write_text(f'{head}id = "agc_basic.price"{first}placeholder = true\n{row}{rest}', encoding="utf-8")
    return rules


def test_showing_a_day_leaves_out_what_has_been_replaced(tmp_path: Path) -> None:
    from collector.settlement.rulebook.load import load_rulebook

    book = load_rulebook(changed(tmp_path))
    assert len([line for line in rule_lines(book) if line.id == "agc_basic.price"]) == 2
    for day, price in ((date(2026, 6, 15), "240"), (date(2026, 6, 16), "300")):
        (line,) = [line for line in rule_lines_on(book, day) if line.id == "agc_basic.price"]
        assert line.value == price
    assert list(rule_lines_on(shipped_rulebook(), date(2008, 12, 31))) == []


def test_check_show_and_diff_from_the_command_line(tmp_path: Path) -> None:
    run = CliRunner().invoke
    assert "sound, 52 values, 17 services, 28 readings" in run(app, ["check", str(RULES)]).output
    assert '"id": "I-03"' in run(app, ["show", "--json"]).output
    assert run(app, ["show", "--on", "soon"]).exit_code == 2
    revised = str(changed(tmp_path))
    same, other = run(app, ["diff", str(RULES), str(RULES)]), run(app, ["diff", str(RULES), revised])
    assert (same.exit_code, same.output) == (0, "")
    assert other.exit_code == 1
    assert other.output.startswith("+ agc_basic.price ")
    assert "300 yuan/MW" in other.output
    listed = run(app, ["diff", str(RULES), revised, "--json"])
    assert listed.exit_code == 1
    assert ("+", "agc_basic.price", "300", "yuan/MW") in [
        (row["sign"], row["id"], row["value"], row["unit"]) for row in json.loads(listed.output)
    ]


def test_explain_from_the_command_line_goes_down_to_records() -> None:
    verbs = typer.Typer()
    explain_verb.register(verbs)
    folder = str(GOLDEN / "deep-peak-shanghai-annual-plan" / "when")
    asked = ["2026-06", "--data", folder, "--unit", "U1", "--service", "deep_peak"]
    shown = CliRunner().invoke(verbs, [*asked, "--records", "2026-06-01T02:00+08:00/2026-06-01T06:00+08:00"])
    assert shown.exit_code == 0, shown.output
    assert "360 MWh × 10 yuan/MWh = 3600" in shown.output
    assert "2026-06-01T02:00:00+08:00  active_power_mw 380, on_grid 1" in shown.output
    assert CliRunner().invoke(verbs, [*asked, "--records", "yesterday"]).exit_code == 2
