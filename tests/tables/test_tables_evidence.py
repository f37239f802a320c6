# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of evidence and statistics (meter changes, calls of reserves, least reserves), and keys for papers."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from collector.model.dispatch import MeterChange, ReserveCall, ReserveKind, ReserveMinimum
from collector.tables.folder import load_folder
from tests.settlement.small_month import shipped_rulebook
from tests.tables.made_folder import REGISTER, T0, T0_MS, T1, T2, found, make

HOUR = 3_600_000
METER = "unit,time,old_final_mwh,new_initial_mwh,document\n"
CALLS = "unit,kind,called,power_mw,note\n"
LEAST = "area,start,end,power_mw\n"


def test_the_tables_are_read_and_absent_ones_are_none(tmp_path: Path) -> None:
    inputs = load_folder(
        make(
            tmp_path,
            {
                "meter_changes.csv": f"{METER}U1,{T0},1500.5,0,d\n",
                "reserve_calls.csv": f"{CALLS}U1,hot,{T1},50.5,晚到\nU2,spinning,{T1},,\n",
                "reserve_minimum.csv": f"{LEAST}shanghai,{T0},{T1},500\nshanghai,{T1},{T2},\n",
            },
        )
    )
    assert inputs.meter_changes == (MeterChange("U1", T0_MS, 1_500_500_000, 0, "d"),)
    assert inputs.reserve_calls == (
        ReserveCall("U1", ReserveKind.HOT, T0_MS + HOUR, 50_500, "晚到"),
        ReserveCall("U2", ReserveKind.SPINNING, T0_MS + HOUR, None),
    )
    assert inputs.reserve_minimum == (
        ReserveMinimum("shanghai", T0_MS, T0_MS + HOUR, 500_000),
        ReserveMinimum("shanghai", T0_MS + HOUR, T0_MS + 2 * HOUR, None),
    )
    nothing = load_folder(make(tmp_path / "none", {}))
    assert (nothing.meter_changes, nothing.reserve_calls, nothing.reserve_minimum) == (None, None, None)


def test_chinese_words_and_absent_optional_columns_are_taken(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "meter_changes.csv": f"机组,时间,旧表止度,新表起度\nU1,{T0},1500,0\n",
        "reserve_calls.csv": f"机组,备用类型,调用时间,调用容量\nU1,hot,{T0},1\n",
        "reserve_minimum.csv": f"区域,开始时间,结束时间\nshanghai,{T0},{T1}\n",
    }
    inputs = load_folder(make(tmp_path, files))
    assert inputs.meter_changes == (MeterChange("U1", T0_MS, 1_500_000_000, 0),)
    assert inputs.reserve_calls == (ReserveCall("U1", ReserveKind.HOT, T0_MS, 1000),)
    assert inputs.reserve_minimum == (ReserveMinimum("shanghai", T0_MS, T0_MS + HOUR, None),)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("meter_changes.csv", f"{METER}U9,{T0},1,0,\n", "2: unit: unknown unit 'U9'"),
        ("meter_changes.csv", f"{METER}U1,{T0},,0,\n", "2: old_final_mwh: is empty"),
        ("meter_changes.csv", f"{METER}U1,{T0},1,-1,\n", "2: new_initial_mwh: -1 is no meter register"),
        ("meter_changes.csv", f'{METER}U1,{T0},"1,5",0,\n', "2: old_final_mwh: not a number '1,5'"),
        (
            "meter_changes.csv",
            f"{METER}U1,{T0},1,0,\nU1,{T0},2,0,\n",
            "3: time: U1, 2026-03-01T00:00:00+08:00 is",
        ),
        ("reserve_calls.csv", f"{CALLS}U1,cold,{T0},1,\n", "2: kind: 'cold' is none of spinning, hot"),
        ("reserve_calls.csv", f"{CALLS}U1,hot,{T0},-1,\n", "2: power_mw: a reserve is not negative"),
        ("reserve_calls.csv", f"{CALLS}U1,hot,{T0},660.1,\n", "2: power_mw: 660.1 MW can't be: U1 has at most 660 MW"),
        ("reserve_calls.csv", f"{CALLS}U1,hot,{T0},1,\nU1,hot,{T0},2,\n", "3: called: U1, hot, 2026-03-01T00:00:00"),
        ("reserve_minimum.csv", f"{LEAST}anhui,{T0},{T1},1\n", "2: area: unknown area 'anhui': not in register.toml"),
        ("reserve_minimum.csv", f"{LEAST}shanghai,{T1},{T0},1\n", "2: end: is not after start"),
        (
            "reserve_minimum.csv",
            f"{LEAST}shanghai,{T0},{T2},1\nshanghai,{T1},{T2},1\n",
            "3: start: from 2026-03-01T01:00:00+08:00 overlaps row 2 of the same area",
        ),
    ],
)
def test_what_is_wrong_in_them_is_told_with_its_place(tmp_path: Path, name: str, text: str, problem: str) -> None:
    (line,) = found(tmp_path, {name: text}, shipped_rulebook())
    assert line.startswith(f"{name}:{problem}")


def test_the_register_takes_what_papers_need(tmp_path: Path) -> None:
    text = REGISTER.replace('name = "上海"\n', 'name = "上海"\nregulator = "华东能源监管局"\n').replace(
        'revenue_basis = "on_grid"\n',
        'revenue_basis = "on_grid"\nsettles_with = "公司"\ntax_number = "91"\nvat_rate = 0.13\nbank = "工行"\n',
    )
    register = load_folder(make(tmp_path, {"register.toml": text})).register
    assert register.areas[0].regulator == "华东能源监管局"
    (plant, other) = register.plants
    assert (plant.settles_with, plant.tax_number, plant.vat_rate, plant.bank) == ("公司", "91", Decimal("0.13"), "工行")
    assert (other.tax_number, other.vat_rate, other.bank) == ("", None, "")
    percent = text.replace("vat_rate = 0.13", "vat_rate = 13")
    (problem,) = found(tmp_path / "b", {"register.toml": percent})
    assert "plant[P1].vat_rate: 13 is no ratio: expected 0 to 1, not percent" in problem
