# SPDX-License-Identifier: GPL-3.0-or-later
"""The bench itself: the form of its figures, the exponent of a cost curve, memory of a process, its own output only."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import scaling
from bench.figure import Figure, curve, exponent
from bench.guard import MOST, compare, instructions_of
from bench.starts import third_party


def test_a_figure_is_held_against_its_target_by_value_or_by_ratio() -> None:
    assert Figure("f", 6.0, "s", "floor", 2.0, 3.0, of_ratio=True).ok
    assert not Figure("f", 6.2, "s", "floor", 2.0, 3.0, of_ratio=True).ok
    assert Figure("f", 2.0, "1/s", "floor", 4.0, 0.5, of_ratio=True, at_most=False).ok
    absolute = Figure.absolute("f", 401.0, "MB", 400.0).row()
    assert absolute == {
        "name": "f", "value": 401.0, "unit": "MB", "floor": None, "floor_value": None, "ratio": None, "target": 400.0,
        "ok": False,
    }  # fmt: skip


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_the_exponent_of_a_cost_curve_is_that_of_the_cost(power: float) -> None:
    assert exponent({size: 3.0 * size**power for size in (1, 10, 100, 1000)}) == pytest.approx(power, abs=1e-9)
    assert curve("units", {10: 1.0, 100: 20.0}, "s", 1.1).name == "units (10: 1 s, 100: 20 s)"


def test_the_peak_of_a_process_is_its_own_and_not_that_of_the_one_that_started_it() -> None:
    ballast = bytearray(b"x") * (300 << 20)
    script = "from bench.process import peak_mb; print(peak_mb())"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert float(done.stdout) < len(ballast) / (1 << 20) / 3


def test_a_module_is_measured_apart_and_only_its_figures_are_printed(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    command = [sys.executable, "-m", "bench", "--out", str(out), "wire"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    rows = json.loads(out.read_text("utf-8"))
    assert {"name", "value", "unit", "floor", "floor_value", "ratio", "target", "ok"} == set(rows[0])
    printed = [line for line in done.stdout.splitlines() if line[:5] in ("ok   ", "MISS ")]
    assert [line[5:].split("  ")[0] for line in printed] == [row["name"] for row in rows]
    assert done.stderr == ""
    assert rows[0]["name"] in out.with_suffix(".md").read_text("utf-8")


def test_the_guard_fails_what_grew_by_more_than_it_may_and_what_is_not_recorded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    recorded = {"same": 2.0, "a little dearer": 2.0, "dearer": 2.0, "cheaper": 2.0, "gone": 1.0}
    found = {"same": 2.0, "a little dearer": 2.0 * MOST, "dearer": 2.31, "cheaper": 0.5, "new": 1.0}
    assert compare(found, recorded) == ["gone", "dearer", "new"]
    assert "FAIL dearer" in capsys.readouterr().out


def test_a_part_of_callgrind_says_its_path_and_its_instructions() -> None:
    part = "version: 1\ndesc: Trigger: Client Request: read a day file\n\nevents: Ir\nfn=(1)\n12 7\n\ntotals: 250719\n"
    assert instructions_of(part) == ("read a day file", 250_719)
    with pytest.raises(ValueError, match="without name or total"):
        instructions_of("desc: Trigger: Program termination\ntotals: 0\n")


def test_the_pages_on_scaling_are_what_their_script_makes_of_the_measured_costs() -> None:
    for name, text in scaling.pages().items():
        assert (scaling.DOCS / name).read_text("utf-8") == text, "run python -m bench.scaling"


def test_what_a_size_needs_follows_from_the_costs() -> None:
    costs = scaling.Costs(
        agent_s_per_point=5e-6, wire_bytes=5.0, buffer_bytes=12.0, lake_bytes=6.0, records_per_core_s=100_000.0,
        seal_s_per_record=1e-5, batches_per_broker_s=500.0, measure_s_per_record=1e-7, close_s_per_unit=0.01,
        import_s_per_row=1e-5,
    )  # fmt: skip
    need = scaling.need_of(scaling.Size("nation", 2500, 10_000), costs)
    assert need.rows_month == 10_000 * 86_400 * 31
    assert need.lake_gb_month == pytest.approx(160.704)
    assert need.receivers == 2  # 0.1 core, sevenfold while a day is caught up, half of each planned for
    assert need.brokers == 2  # 2 500 batches a minute, sevenfold: 292 a second of 500, half of each planned for
    assert need.settle_core_h == pytest.approx((2678.4 + 100 + 297.6) / 3600)
    assert need.shares["receiver"] == pytest.approx(0.7)
    assert need.yuan == 2500 * 4000 + need.servers * 45_000 + 5 * 4000  # 3.857 TB of lake, 0.268 of journal


def test_what_a_center_imports_of_others_is_read_from_importtime() -> None:
    log = """import time: self [us] | cumulative | imported package
import time:       100 |        100 |   _io
import time:       200 |        300 |     litestar.types
import time:       200 |        500 |   litestar
import time:       200 |        300 | collector.center.app
2026-03-01 12:00:00 collector.center INFO store in state
import time:       200 |        200 | litestar
"""
    assert third_party(log) == ["litestar.types", "litestar"]
