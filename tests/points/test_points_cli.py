# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector points`: exit codes, tables for people, JSON for scripts."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from collector.base.errors import ConfigError
from collector.cli.points import app
from tests.points.point_tables import write_cells

HEADER = ["name", "quantity", "area", "type", "address", "raw_unit"]
P = ["有功[bold]", "active_power_mw", "holding", "float32", "0", "MW"]
BAD = ["Q", "reactive_power_mvar", "holding", "float32", "40001", "Mvar"]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200", "NO_COLOR": "1"})


def test_lint_ends_with_0_without_errors_and_shows_names_as_written(tmp_path: Path) -> None:
    path = write_cells(
        tmp_path / "t", [HEADER, P, ["Q", "reactive_power_mvar", "holding", "int32", "5", "Mvar"]], "utf8"
    )
    result = run("lint", str(path))
    assert result.exit_code == 0
    assert "modbus, 2 点 points; 错误 errors 0, 警告 warnings 0, 提示 notes 2" in result.stdout
    assert "a hole of 3 after row 2" in result.stdout


def test_lint_ends_with_1_where_there_is_an_error_and_says_it_in_both_languages(tmp_path: Path) -> None:
    path = write_cells(tmp_path / "t", [HEADER, P, [P[0], *BAD[1:]]], "utf8")
    result = run("lint", str(path), "--protocol", "modbus_tcp")
    assert result.exit_code == 1
    for words in ("错误 error", "write the 0-based address 0", "请写从 0 起的地址 0", "'有功[bold]' is already used"):
        assert words in result.stdout


def test_lint_lists_findings_as_json(tmp_path: Path) -> None:
    path = write_cells(tmp_path / "t", [HEADER, P, BAD], "xlsx_numbers")
    result = run("lint", str(path), "--json")
    report = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (report["protocol"], report["points"], report["errors"], report["notes"]) == ("modbus", 1, 1, 1)
    error = report["findings"][-1]
    assert (error["severity"], error["code"], error["row"], error["column"]) == ("error", "notation", 3, "address")
    assert set(error) == {
        "severity", "code", "file", "row", "column", "message", "message_zh", "remedy", "remedy_zh",
    }  # fmt: skip


def test_a_protocol_nobody_knows_is_a_mistake_of_usage(tmp_path: Path) -> None:
    assert run("lint", str(tmp_path / "t.csv"), "--protocol", "profibus").exit_code == 2


def test_diff_ends_with_0_when_equal_and_1_when_not(tmp_path: Path) -> None:
    old = write_cells(tmp_path / "old", [HEADER, P], "utf8")
    new = write_cells(tmp_path / "new", [HEADER, [*P[:4], "6", "MW"]], "gbk")
    equal, different = run("diff", str(old), str(old)), run("diff", str(old), str(new))
    assert (equal.exit_code, different.exit_code) == (0, 1)
    assert "equal" in equal.stdout
    assert "address: 0 → 6" in different.stdout
    assert "重新对点 verify again: 1" in different.stdout
    assert "有功[bold]: 地址变 address" in different.stdout


def test_diff_lists_everything_as_json(tmp_path: Path) -> None:
    old = write_cells(tmp_path / "old", [HEADER, P], "utf8")
    new = write_cells(tmp_path / "new", [HEADER, ["新", *P[1:]], [*BAD[:4], "8", "Mvar"]], "utf8")
    listed = json.loads(run("diff", str(old), str(new), "--json").stdout)
    assert listed["equal"] is False
    assert [p["name"] for p in listed["added"]] == ["Q"]
    assert (listed["renamed"][0]["from"], listed["renamed"][0]["to"]) == ("有功[bold]", "新")
    assert listed["verify_again"] == [{"device": "", "name": "Q", "reasons": ["new"]}]
    assert listed["removed"] == listed["changed"] == listed["no_longer_read"] == []


def test_tables_of_two_protocols_are_not_compared(tmp_path: Path) -> None:
    old = write_cells(tmp_path / "old", [HEADER, P], "utf8")
    new = write_cells(tmp_path / "new", [HEADER, ["P", "active_power_mw", "36", "", "16385", "MW"]], "utf8")
    result = run("diff", str(old), str(new))
    assert isinstance(result.exception, ConfigError)
    assert "is a table of iec104" in str(result.exception)
