# SPDX-License-Identifier: GPL-3.0-or-later
"""`explain --html`: the month drawn day by day from the same segments, in one file that fetches and runs nothing."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import typer
from typer.testing import CliRunner

from collector.cli import explain
from collector.model.interval import Month
from collector.report import words
from collector.report.timeline.svg import COLOURS
from collector.settlement.measure.results import REASONS
from collector.settlement.outside_scope import NOT_REGISTERED, OUTSIDE, outside_reason
from collector.settlement.rulebook.catalogue import SERVICES
from tests.report.small_folder import HEADERS, MINUTE_MS, REGISTER

MARCH_1 = Month(2026, 3).interval.start_ms


def page(folder: Path, register: str = REGISTER, unit: str = "U1") -> str:
    """A page about 1000 MW in 上海: 380 MW in the first two hours of the month, then an hour unknown, then nothing."""
    (folder / "records").mkdir(parents=True)
    (folder / "register.toml").write_text(register, "utf-8")
    for name, header in HEADERS.items():
        (folder / name).write_text(header, "utf-8")
    (folder / "plan.csv").write_text(f"unit,start,end,power_mw\n{unit},{MARCH_1},{MARCH_1 + 7_200_000},400\n", "utf-8")
    rows = [f"{unit},{MARCH_1 + m * MINUTE_MS},1,{'' if 120 <= m < 180 else 380}" for m in range(0, 195, 15)]
    text = "\n".join(["unit,time,on_grid,active_power_mw", *rows, ""])
    (folder / "records" / "a.csv").write_text(text, "utf-8")
    app = typer.Typer()
    explain.register(app)
    app.command("other")(lambda: None)
    out = folder.parent / "page.html"
    asked = ["explain", "2026-03", "--data", str(folder), "--unit", unit, "--service", "deep_peak", "--html", str(out)]
    result = CliRunner().invoke(app, asked, catch_exceptions=False)
    assert result.exit_code == 0
    return out.read_text("utf-8")


def drawings(text: str) -> list[ElementTree.Element]:
    """The drawings of all days."""
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]


def test_every_day_of_the_month_is_drawn_with_power_plan_limits_and_valley_hours(tmp_path: Path) -> None:
    text = page(tmp_path / "data")
    days = drawings(text)
    assert len(days) == 31
    kinds = [shape.get("class") for shape in days[0].iter() if shape.get("class")]
    assert {"valley", "limit", "plan", "power"} <= set(kinds)
    assert kinds.count("limit") == 3  # P_N, the lower limit and the 40 % gate; no AGC is registered
    assert "power" not in [shape.get("class") for shape in days[1].iter()]


def test_segments_of_a_day_say_when_and_why_and_cover_it(tmp_path: Path) -> None:
    day = drawings(page(tmp_path / "data"))[0]
    titles = [title.text or "" for title in day.iter("title")]
    # (470 − 380) MW × 2 h; an hour without power; 15 min more; then no record up to 04:00, and no valley
    assert "00:00-02:00 计入 counted: 计入 counted 180.000 MWh" in titles
    assert "02:00-03:00 缺数据 missing: 有功缺失 active power missing" in titles
    assert "04:00-24:00 范围之外 outside the scope: 低谷时段之外 outside valley hours" in titles


def test_the_page_fetches_and_runs_nothing_and_escapes_what_the_data_say(tmp_path: Path) -> None:
    evil = "U&<script>"
    text = page(tmp_path / "data", REGISTER.replace('id = "U1"', f'id = "{evil}"'), unit=evil)
    assert "<script" not in text
    assert not re.search(r"(src|href)=\"(?!#)|url\(|@import|https?://", text)


def test_a_segment_leads_to_its_records_by_its_number(tmp_path: Path) -> None:
    page(tmp_path / "data")
    app = typer.Typer()
    explain.register(app)
    app.command("other")(lambda: None)
    asked = ["explain", "2026-03", "--data", str(tmp_path / "data"), "--unit", "U1", "--service", "deep_peak"]
    result = CliRunner().invoke(app, [*asked, "--segment", "2"], catch_exceptions=False)
    _, records = result.stdout.split("Records\n")
    assert [line.split()[0] for line in records.splitlines()] == [
        f"2026-03-01T02:{minute:02d}:00+08:00" for minute in (0, 15, 30, 45)
    ]
    refused = CliRunner().invoke(app, [*asked, "--segment", "99"])
    assert (refused.exit_code, "there are" in refused.output) == (2, True)


def test_every_reason_and_class_of_a_segment_has_words_and_a_colour() -> None:
    reasons = {reason for reason, _ in REASONS if reason} | {outside_reason(service) for service in SERVICES}
    classes = {cause for _, cause in REASONS if cause} | {OUTSIDE}
    assert (reasons | {NOT_REGISTERED}) - words.REASONS.keys() == set()
    assert classes - words.CLASSES.keys() == set()
    assert classes == COLOURS.keys()
