# SPDX-License-Identifier: GPL-3.0-or-later
"""left_totals.csv: what each reason cost a plant and an area, by hand (rules.md section 6)."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from collector.report.evidence import left_totals
from collector.report.folder import write_statement
from collector.settlement.statement import LeftRow
from tests.settlement.small_month import Case, area, at, plant, unit

MINUTE = 60_000


def left(plant_id: str, unit_id: str, reason: str, minutes: int | None, yuan: str | None, place: str = "A") -> LeftRow:
    amount = None if yuan is None else Decimal(yuan)
    duration = None if minutes is None else minutes * MINUTE
    return LeftRow(place, plant_id, unit_id, "avc", reason, duration, amount, "assumed")


def test_units_are_added_up_by_plant_and_area_and_reasons_never() -> None:
    totals = left_totals(
        [
            left("P1", "U1", "avc_off", 60, "10.00"),
            left("P1", "U2", "avc_off", 30, "5.50"),
            left("P1", "U2", "missing", 30, "7.00"),
            left("P2", "U3", "avc_off", 20, "1.00"),
            left("P3", "U4", "avc_off", 10, "2.00", "B"),
        ]
    )
    told = [(t.area, t.plant, t.reason, (t.duration_ms or 0) // MINUTE, str(t.amount_yuan)) for t in totals]
    assert told == [
        ("A", "", "avc_off", 110, "16.50"),  # 10 + 5.50 + 1
        ("A", "P1", "avc_off", 90, "15.50"),  # 10 + 5.50
        ("A", "", "missing", 30, "7.00"),
        ("A", "P1", "missing", 30, "7.00"),
        ("B", "", "avc_off", 10, "2.00"),
        ("B", "P3", "avc_off", 10, "2.00"),
        ("A", "P2", "avc_off", 20, "1.00"),
    ]


def test_an_amount_that_is_open_leaves_its_total_open() -> None:
    rows = [left("P1", "U1", "pending", None, "10.00"), left("P1", "U2", "pending", None, None)]
    assert [(t.duration_ms, t.amount_yuan) for t in left_totals(rows)] == [(None, None)] * 2


def test_the_totals_of_a_month_are_a_file_a_sheet_and_a_part_of_the_page(tmp_path: Path) -> None:
    # June: 720 h at 600 MW; AVC in service but for 10 h of U1 and 20 h of U2, which cost 600 × 0.1 yuan an hour.
    case = Case(units=[unit(avc=True, nominal_kv="500"), unit("U2", avc=True, nominal_kv="500")])
    assert plant().area == area().id
    for ident, hours in (("U1", 10), ("U2", 20)):
        usual = {"on_grid": "1", "active_power_mw": "500", "bus_voltage_kv": "505", "avc_at_limit": "0"}
        case.record(at(1), ident, avc_in_service="1", avc_target_kv="505", **usual)
        case.record(at(2), ident, avc_in_service="1", avc_target_kv="504", **usual)
        case.record(at(2, 1), ident, avc_in_service="1", avc_target_kv="504", **usual)
        case.record(at(3), ident, avc_in_service="0", avc_target_kv="504", **usual)
        case.record(at(3, hours), ident, avc_in_service="1", avc_target_kv="504", **usual)
    write_statement(case.settle(), tmp_path / "out")
    head, *rows = (tmp_path / "out" / "left_totals.csv").read_text(encoding="utf-8").splitlines()
    assert head == "area,plant,service,reason,minutes,amount_yuan"
    place = area().id
    assert [row for row in rows if "avc_off" in row] == [
        f"{place},,avc,avc_off,1800.000000,1800.00",  # 30 h
        f"{place},{plant().id},avc,avc_off,1800.000000,1800.00",
    ]
    assert "未得补偿合计" in (tmp_path / "out" / "statement.html").read_text(encoding="utf-8")
