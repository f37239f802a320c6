# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector demo` as its user runs it: exit code, screen, demo.json, and nothing left running."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.patience import run_watched

pytestmark = pytest.mark.e2e


Demo = tuple[Path, str]  # the folder of a finished demo and what it printed
Result = dict[str, Any]  # demo.json


def every_record_is_counted_alike_by_recorder_buffer_and_lake(_: Demo, result: Result) -> None:
    assert result["records_recorded"] == result["records_buffered"] == result["records_in_lake"]
    assert result["least_ticks_of_a_unit"] >= 44_000
    assert result["batches_committed"] == result["batches_sent"] > 0


def the_devices_were_asked_as_often_as_configured(_: Demo, result: Result) -> None:
    ticks = result["least_ticks_of_a_unit"]
    for device, requests in result["device_requests"].items():
        if device.endswith("governor"):
            assert requests >= ticks, device
        elif device.endswith("meter"):
            assert requests >= ticks // 5, device
        else:  # a 104 station reports by itself, and is interrogated every four hours for each common address
            assert requests >= ticks // 240, device


def the_kill_shows_as_a_gap_record_of_each_unit_and_in_the_coverage(demo: Demo, result: Result) -> None:
    assert result["kills"] == 1
    # The tick read at 13:00 was never committed; time ran on three minutes: 13:03 is the first record again.
    spans = {(gap["unit"], gap["from"], gap["to"], gap["reason"]) for gap in result["gaps"]}
    down = ("2026-03-21T12:59:00+08:00", "2026-03-21T13:03:00+08:00", "agent_down")
    assert spans == {(unit, *down) for unit in ("coal-1", "coal-2", "gas-1", "hydro-1")}
    assert result["records_in_gaps"] == 12  # three ticks of four units
    with (demo[0] / "statement" / "lines.csv").open(encoding="utf-8", newline="") as file:
        coverage = {(line["unit"], line["service"]): line["coverage"] for line in csv.DictReader(file)}
    # 180 s of the 240 s are held, one minute of 44 640 is missing.
    assert coverage["coal-1", "avc"] == str((Decimal(44_639) / 44_640).quantize(Decimal("0.000001")))


def the_first_day_is_shown_settled_while_the_month_goes_on(demo: Demo, _: Result) -> None:
    out, printed = demo
    assert printed.index("first day settled, never final") < printed.index("statement beside the truth")
    with (out / "first-day" / "statement" / "determinants.csv").open(encoding="utf-8", newline="") as file:
        hours = {(row["unit"], row["determinant"]): row for row in csv.DictReader(file)}
    for unit in ("coal-1", "coal-2", "hydro-1"):
        row = hours[unit, "t_AVC"]
        assert (row["scope_s"], row["known_s"]) == ("86400.000", "86400.000"), unit


def the_broker_was_away_for_two_simulated_days(_: Demo, result: Result) -> None:
    assert result["broker_down_s"] == 2 * 86_400


def every_line_has_a_truth_and_agrees_with_it(_: Demo, result: Result) -> None:
    assert {line["service"] for line in result["lines"]} >= {
        "deep_peak", "gas_start_stop", "agc_basic", "agc_up", "agc_down", "avc", "black_start",
    }  # fmt: skip
    for line in result["lines"]:
        assert line["status"] == "paid"
        assert abs(Decimal(line["difference_ratio"])) <= Decimal("0.001"), line
    assert result["failures"] == []


def what_plants_pay_is_what_plants_get(_: Demo, result: Result) -> None:
    areas = {plant["area"] for plant in result["plants"]}
    assert len(areas) == 2
    for area in areas:
        rows = [plant for plant in result["plants"] if plant["area"] == area]
        assert sum(Decimal(row["net_yuan"]) for row in rows) == 0


def the_screen_ends_with_the_statement_and_where_it_is(demo: Demo, _: Result) -> None:
    assert "agc_basic" in demo[1]
    assert "measured = truth" in demo[1]
    assert str(demo[0] / "statement" / "statement.html") in demo[1].replace("\n", "")


def nothing_is_left_running(demo: Demo, _: Result) -> None:
    left = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if str(demo[0]) in line:
            left.append(line)
    assert left == []


CHECKS = (
    every_record_is_counted_alike_by_recorder_buffer_and_lake,
    the_devices_were_asked_as_often_as_configured,
    the_kill_shows_as_a_gap_record_of_each_unit_and_in_the_coverage,
    the_first_day_is_shown_settled_while_the_month_goes_on,
    the_broker_was_away_for_two_simulated_days,
    every_line_has_a_truth_and_agrees_with_it,
    what_plants_pay_is_what_plants_get,
    the_screen_ends_with_the_statement_and_where_it_is,
    nothing_is_left_running,
)


def test_a_month_from_devices_to_its_statement(tmp_path: Path) -> None:
    """One test, as workers that share the tests of a file would each run the whole month."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "collector.cli.main", "demo", "--out", str(out)]
    done = run_watched(command, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    demo, result = (out, done.stdout), json.loads((out / "demo.json").read_text("utf-8"))
    wrong = []
    for check in CHECKS:
        try:
            check(demo, result)
        except AssertionError as error:
            wrong.append(f"{check.__name__}: {error}")
    shutil.rmtree(out)
    assert wrong == [], "\n".join(wrong)
