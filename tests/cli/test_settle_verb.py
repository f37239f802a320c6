# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector settle`: exit codes, what is said where, the same bytes however the input is spread."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from collector.base.errors import ConfigError
from collector.base.resources import config_path
from collector.cli.settle import command as settle
from collector.model.interval import Month
from tests.report.small_folder import HEADERS, MINUTE_MS, REGISTER


def app() -> typer.Typer:
    """The verb beside another, so that its name is needed."""
    made = typer.Typer()
    settle.register(made)
    made.command("other")(lambda: None)
    return made


def rows() -> list[str]:
    """Ten-minute records of March 2026: 380 MW in the first four hours of the month, 500 MW after."""
    span = Month.parse("2026-03").interval
    times = range(span.start_ms, span.end_ms, 10 * MINUTE_MS)
    return [f"U1,{t},{380 if t - span.start_ms < 240 * MINUTE_MS else 500},1" for t in times]


def make(folder: Path, parts: list[list[str]]) -> Path:
    (folder / "records").mkdir(parents=True)
    (folder / "register.toml").write_text(REGISTER)
    for name, content in HEADERS.items():
        (folder / name).write_text(content)
    for index, part in enumerate(parts):
        content = "unit,time,active_power_mw,on_grid\n" + "".join(f"{row}\n" for row in part)
        (folder / "records" / f"{index}.csv").write_text(content)
    return folder


def test_a_month_is_settled_to_the_fen_and_the_files_are_named(tmp_path: Path) -> None:
    data, out = make(tmp_path / "data", [rows()]), tmp_path / "out"
    result = CliRunner().invoke(app(), ["settle", "2026-03", "--data", str(data), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "3600.00" in result.output
    assert "statement.html" in result.output
    with (out / "lines.csv").open(newline="") as file:
        line = next(csv.DictReader(file))
    assert line.pop("article").startswith("13")
    assert ",".join(line.values()) == "2026-03,shanghai,P1,U1,deep_peak,360.000000,MWh,1.000000,3600.00,paid,,,,0"
    assert (out / "plants.csv").read_text().splitlines()[1] == (
        "2026-03,shanghai,P1,3600.00,1000.00,3600.00,0.00,final"
    )


def test_order_and_spread_of_records_change_no_byte(tmp_path: Path) -> None:
    shuffled = rows()
    random.Random(7).shuffle(shuffled)
    spread = [shuffled[n::3] for n in range(3)]
    hashes = []
    for name, parts in (("plain", [rows()]), ("spread", spread)):
        data = make(tmp_path / name, parts)
        settle.settle_folder(Month.parse("2026-03"), data, tmp_path / f"{name}-out", config_path(settle.RULEBOOK))
        hashes.append(json.loads((tmp_path / f"{name}-out" / "manifest.json").read_text())["result_hash"])
    for name in ("lines.csv", "plants.csv"):
        assert (tmp_path / "plain-out" / name).read_bytes() == (tmp_path / "spread-out" / name).read_bytes()
    assert hashes[0] == hashes[1]


def test_a_refused_folder_writes_nothing_and_says_everything(tmp_path: Path) -> None:
    data = make(tmp_path / "data", [["U1,2026-03-01T00:00:00,380,1", "U2,2026-03-01T00:00:00+08:00,380,3"]])
    with pytest.raises(ConfigError) as caught:
        settle.settle_folder(Month.parse("2026-03"), data, tmp_path / "out", config_path(settle.RULEBOOK))
    assert [f"{p.row} {p.key}" for p in caught.value.problems] == ["2 time", "3 on_grid", "3 unit"]
    assert not (tmp_path / "out").exists()


def test_a_month_that_is_none_is_a_usage_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(app(), ["settle", "2026-13", "--data", str(tmp_path), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2


def test_a_folder_that_is_not_delivered_in_full_is_provisional_and_says_which(tmp_path: Path) -> None:
    data, out = make(tmp_path / "data", [rows()]), tmp_path / "out"
    for name in ("plan.csv", "rates.csv", "start_stop_table.csv"):  # the last two are optional
        (data / name).unlink()
    result = CliRunner().invoke(app(), ["settle", "2026-03", "--data", str(data), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "plan.csv" in result.output
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["status"] == "provisional"
    assert [f["subject"] for f in manifest["findings"]] == ["plan.csv"]
