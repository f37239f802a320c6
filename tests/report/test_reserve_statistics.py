# SPDX-License-Identifier: GPL-3.0-or-later
"""reserve_statistics.csv as a file, a sheet and a part of the page."""

from __future__ import annotations

from pathlib import Path

import openpyxl

from collector.model.dispatch import ReserveCall, ReserveKind, ReserveMinimum
from collector.report.folder import write_statement
from tests.settlement.small_month import Case, area, at, unit


def test_areas_come_interval_by_interval_and_then_what_was_called(tmp_path: Path) -> None:
    case = Case(units=[unit()])
    case.record(at(2, 10), on_grid="1", active_power_mw="300")
    case.record(at(2, 10.1), on_grid="1", active_power_mw="350.5")
    case.reserve("spinning", at(2, 8), at(2, 12), 50_500)
    case.least.append(ReserveMinimum(area().id, at(2, 8), at(2, 9), 60_000))
    case.calls.append(ReserveCall("U1", ReserveKind.SPINNING, at(2, 10), 50_500))
    write_statement(case.settle(), tmp_path / "out")
    day = "2026-06-02T"
    assert (tmp_path / "out" / "reserve_statistics.csv").read_text(encoding="utf-8").splitlines() == [
        "area,start,end,planned_mw,minimum_mw,below,unit,kind,called,called_mw,arrived_s",
        f"{area().id},{day}08:00:00+08:00,{day}09:00:00+08:00,50.500000,60.000000,1,,,,,",
        f"{area().id},{day}09:00:00+08:00,{day}12:00:00+08:00,50.500000,,,,,,,",
        f"{area().id},,,,,,U1,spinning,{day}10:00:00+08:00,50.500000,360.000000",  # 0.1 h
    ]
    assert "备用统计" in openpyxl.load_workbook(tmp_path / "out" / "statement.xlsx").sheetnames
    page = (tmp_path / "out" / "statement.html").read_text(encoding="utf-8")
    assert "备用统计" in page
    assert "低于最小备用" in page
