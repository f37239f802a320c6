# SPDX-License-Identifier: GPL-3.0-or-later
"""Every refusal of formats.md, with its file, row, column and words."""

from __future__ import annotations

import io
import os
import pickle
import re
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from collector.base.errors import ConfigError
from collector.base.text import into
from collector.tables.folder import load_folder
from tests.settlement.small_month import shipped_rulebook
from tests.tables.made_folder import RECORDS, REGISTER, T0, T1, T2, found, make

SPAN = f"{T0},{T1}"

CASES: list[tuple[str, str, str]] = [
    # file, content, the one finding
    (
        "records/b.csv",
        f"unit,time,active_power\nU1,{T2},1\n",
        "records/b.csv:1: active_power: unknown column; did you mean 'active_power_mw'?",
    ),
    ("records/b.csv", "unit,active_power_mw\nU1,1\n", "records/b.csv:1: time: column is missing"),
    (
        "records/b.csv",
        f"unit,time,on_grid,on_grid\nU1,{T2},1,1\n",
        "records/b.csv:1: on_grid: is there twice; keep one",
    ),
    ("records/b.csv", f"unit,time,\nU1,{T2},\n", "records/b.csv:1: column 3 has no name in the header"),
    (
        "records/b.csv",
        f"unit,time\nU11,{T2}\nU11,{T1}\n",
        "records/b.csv:2: unit: unknown unit 'U11': not in register.toml; did you mean 'U1'? (and 1 more rows)",
    ),
    ("records/b.csv", f"unit,time\n,{T2}\n", "records/b.csv:2: unit: is empty; a value is needed here"),
    ("records/b.csv", "unit,time\nU1,\n", "records/b.csv:2: time: is empty; a value is needed here"),
    (
        "records/b.csv",
        "unit,time\nU1,2026-03-01T02:00:00\n",
        "records/b.csv:2: time: time without offset '2026-03-01T02:00:00'; write it like 2026-03-01T00:00:00+08:00",
    ),
    (
        "records/b.csv",
        "unit,time\nU1,2026/3/1 2:00\n",
        "records/b.csv:2: time: time without offset '2026/3/1 2:00'; write it like 2026-03-01T00:00:00+08:00",
    ),
    (
        "records/b.csv",
        "unit,time\nU1,2026-02-30T02:00:00+08:00\n",
        "records/b.csv:2: time: not a time: day is out of range for month: '2026-02-30T02:00:00+08:00'",
    ),
    (
        "records/b.csv",
        "unit,time\nU1,2026-03-01T02:00:00.1234+08:00\n",
        "records/b.csv:2: time: not a time: finer than a millisecond: '2026-03-01T02:00:00.1234+08:00'",
    ),
    (
        "records/b.csv",
        "unit,time\nU1,1772294400\n",
        "records/b.csv:2: time: no plausible time '1772294400': expected UTC milliseconds or ISO 8601 with offset; "
        "are these seconds?",
    ),
    (
        "records/b.csv",
        f"unit,time,active_power_mw\nU1,{T2},6oo\n",
        "records/b.csv:2: active_power_mw: not a number '6oo'; leave the cell empty where the value is missing",
    ),
    (
        "records/b.csv",
        f"unit,time,active_power_mw\nU1,{T2},NaN\n",
        "records/b.csv:2: active_power_mw: not a number 'NaN'; leave the cell empty where the value is missing",
    ),
    (
        "records/b.csv",
        f'unit,time,active_power_mw\nU1,{T2},"1,000"\n',
        "records/b.csv:2: active_power_mw: not a number '1,000'; no thousands separator, decimal point '.'; "
        "leave the cell empty where the value is missing",
    ),
    (
        "records/b.csv",
        f"unit,time,active_power_mw\nU1,{T2},6600000\n",
        "records/b.csv:2: active_power_mw: 6600000 is beyond any plausible value (±1000000); "
        "check unit and decimal point",
    ),
    (
        "records/b.csv",
        f"unit,time,on_grid\nU1,{T2},true\n",
        "records/b.csv:2: on_grid: not a boolean 'true': expected 0 or 1",
    ),
    (
        "records/b.csv",
        f"unit,time,on_grid\nU1,{T2},2\n",
        "records/b.csv:2: on_grid: not a boolean '2': expected 0 or 1",
    ),
    ("records/b.csv", f"unit,time,on_grid\n\nU1,{T2}\n", "records/b.csv:3: has 2 cells, the header has 3"),
    (
        "records/b.csv",
        f"unit,time\nU1,{T1}\n",
        "records/b.csv:2: time: U1 at 2026-03-01T01:00:00+08:00 is there twice, also in records/a.csv row 3; keep one",
    ),
    ("records/b.csv", "", "records/b.csv: is empty; a file without rows still has its header"),
    ("records/b.csv", "unit,time\n\0\n", "records/b.csv:2: holds a NUL byte; this is no CSV text"),
    ("records/b.csv", f'unit,time\n"U1,{T2}\n', "records/b.csv:2: is no proper CSV: unexpected end of data"),
    ("records/b.txt", "x", "records/b.txt: is no record file; expected *.csv, *.parquet, *.xlsx or *.e"),
    ("records/b.parquet", "x", "records/b.parquet: is no Parquet file that can be read: "),
    ("records/b.xlsx", "x", "records/b.xlsx: is no workbook that can be read: File is not a zip file"),
    (
        "plan.csv",
        f"unit,start,end,power_mw\nU1,{SPAN},1\nU1,2026-03-01T00:30:00+08:00,{T2},1\n",
        "plan.csv:3: start: U1 from 2026-03-01T00:30:00+08:00 overlaps row 2",
    ),
    ("plan.csv", f"unit,start,end,power_mw\nU1,{T1},{T1},1\n", "plan.csv:2: end: is not after start"),
    ("plan.csv", f"unit,start,end\nU1,{SPAN}\n", "plan.csv:1: power_mw: column is missing"),
    (
        "plan.csv",
        f"unit,start,end,power_mw\nU9,{SPAN},1\n",
        "plan.csv:2: unit: unknown unit 'U9': not in register.toml",
    ),
    (
        "plan.csv",
        f"unit,start,end,power_mw,issued\nU1,{SPAN},1,yesterday\n",
        "plan.csv:2: issued: not a time: a time is ISO 8601 with offset or integer UTC ms, got 'yesterday'",
    ),
    (
        "orders.csv",
        f"id,unit,kind,start,end\n1,U1,spill,{SPAN}\n2,U1,spill,2026-03-01T00:59:59.999+08:00,{T2}\n",
        "orders.csv:3: start: from 2026-03-01T00:59:59.999+08:00 overlaps row 2 of the same unit and kind",
    ),
    (
        "orders.csv",
        f"id,unit,kind,start,end\n1,U1,spill,{SPAN}\n1,U2,spill,{SPAN}\n",
        "orders.csv:3: id: 1 is there twice, first in row 2",
    ),
    (
        "orders.csv",
        f"id,unit,kind,start,end\n1,U1,start-stop,{SPAN}\n",
        "orders.csv:2: kind: 'start-stop' is none of start_stop, spill, reactive, condenser; "
        "did you mean 'start_stop'?",
    ),
    ("orders.csv", f"id,unit,kind,start,end\n,U1,spill,{SPAN}\n", "orders.csv:2: id: is empty; a value is needed here"),
    (
        "reserve.csv",
        f"unit,kind,start,end,power_mw\nU1,hot,{SPAN},1\nU1,hot,{SPAN},1\n",
        "reserve.csv:3: start: from 2026-03-01T00:00:00+08:00 overlaps row 2 of the same unit and kind",
    ),
    (
        "reserve.csv",
        f"unit,kind,start,end,power_mw\nU1,hot,{SPAN},-1\n",
        "reserve.csv:2: power_mw: a reserve is not negative",
    ),
    (
        "reserve.csv",
        f"unit,kind,start,end,power_mw\nU1,cold,{SPAN},1\n",
        "reserve.csv:2: kind: 'cold' is none of spinning, hot",
    ),
    (
        "voltage_band.csv",
        f"unit,start,end,low_kv,high_kv\nU1,{SPAN},510,520\nU1,{SPAN},500,520\n",
        "voltage_band.csv:3: start: U1 from 2026-03-01T00:00:00+08:00 overlaps row 2",
    ),
    (
        "voltage_band.csv",
        f"unit,start,end,low_kv,high_kv\nU1,{SPAN},530,520\n",
        "voltage_band.csv:2: low_kv: is above high_kv",
    ),
    (
        "exclusions.csv",
        f"unit,service,start,end,reason\nU1,agc,{SPAN},test\n",
        "exclusions.csv:2: service: 'agc' is none of *, agc_basic, agc_down, agc_up, avc, black_start, ",
    ),
    (
        "exclusions.csv",
        f"unit,service,start,end,reason\nU1,*,{SPAN},fault\n",
        "exclusions.csv:2: reason: 'fault' is none of own_fault, test, dispatch, grid; did you mean 'own_fault'?",
    ),
    (
        "revenue.csv",
        "plant,month,kind,amount_yuan\nP1,2026-03,capacity,1\n",
        "revenue.csv:2: kind: 'capacity' is foreign to plant P1 (on_grid); it takes energy",
    ),
    (
        "revenue.csv",
        "plant,month,kind,amount_yuan\nP2,2026-03,lease,1\n",
        "revenue.csv:2: kind: 'lease' is foreign to plant P2 (two_part); it takes capacity, energy",
    ),
    (
        "revenue.csv",
        "plant,month,kind,amount_yuan,area\nP1,2026-03,energy,1,\nP1,2026-03,energy,2,shanghai\n",
        "revenue.csv:3: plant: P1, 2026-03, energy, shanghai is there twice, first in row 2",
    ),
    (
        "revenue.csv",
        "plant,month,kind,amount_yuan\nP3,2026-03,energy,1\n",
        "revenue.csv:2: plant: unknown plant 'P3': not in register.toml",
    ),
    (
        "revenue.csv",
        "plant,month,kind,amount_yuan,area\nP1,2026-03,energy,1,fujian\n",
        "revenue.csv:2: area: unknown area 'fujian': not in register.toml",
    ),
    (
        "revenue.csv",
        "plant,month,kind,amount_yuan\nP1,2026-3,energy,1\n",
        "revenue.csv:2: month: not a month '2026-3': ",
    ),
    (
        "rates.csv",
        "unit,month,kind,value,source\nU1,2026-03,avc_pass,98,x\n",
        "rates.csv:2: value: 98 is no ratio: expected 0 to 1, not percent",
    ),
    (
        "rates.csv",
        "unit,month,kind,value,source\nU1,2026-03,avc_pass,1,x\nU1,2026-03,avc_pass,1,x\n",
        "rates.csv:3: unit: U1, 2026-03, avc_pass is there twice, first in row 2",
    ),
    ("rates.csv", "unit,month,kind,value\nU1,2026-03,agc,1\n", "rates.csv:2: kind: 'agc' is none of avc_pass"),
    (
        "start_stop_table.csv",
        "capacity_from_mw,capacity_to_mw,gap_from_h,gap_to_h,amount_wan_yuan,from,document\n"
        "0,300,0,24,5,2026-01-01,d\n200,600,6,12,5,2026-01-01,d\n",
        "start_stop_table.csv:3: capacity_from_mw: capacity and gap overlap row 2 of the same date; "
        "one pair must have one amount",
    ),
    (
        "start_stop_table.csv",
        "capacity_from_mw,capacity_to_mw,gap_from_h,gap_to_h,amount_wan_yuan,from\n300,300,0,24,5,2026-01-01\n",
        "start_stop_table.csv:2: capacity_to_mw: is not above capacity_from_mw",
    ),
    (
        "start_stop_table.csv",
        "capacity_from_mw,capacity_to_mw,gap_from_h,gap_to_h,amount_wan_yuan,from\n0,300,0,24,5,2026-1-1\n",
        "start_stop_table.csv:2: from: not a date '2026-1-1': expected YYYY-MM-DD",
    ),
    (
        "start_stop_table.csv",
        "capacity_from_mw,capacity_to_mw,gap_from_h,gap_to_h,amount_wan_yuan,from\n0,300,0,24,-0.000001,2026-01-01\n",
        "start_stop_table.csv:2: amount_wan_yuan: a compensation is not negative",
    ),
    ("order.csv", "x", "order.csv: unknown file; did you mean 'orders.csv'?"),
]


@pytest.mark.parametrize(("name", "content", "finding"), CASES, ids=[f"{c[0]}-{n}" for n, c in enumerate(CASES)])
def test_a_mistake_is_found_once_with_its_place(tmp_path: Path, name: str, content: str, finding: str) -> None:
    problems = found(tmp_path, {name: content})
    assert len(problems) == 1, problems
    assert problems[0].startswith(finding)


REGISTER_CASES: list[tuple[str, str, str]] = [
    # replaced text, replacement, the one finding
    (
        'kind = "coal"',
        'kind = "coal"\nfrom = 2026-03-02T12:00:00+08:00',
        "register.toml:24: unit[U1].from: expected a local date like 2026-01-01, got '2026-03-02 12:00:00+08:00'",
    ),
    ('name = "上海"', 'nane = "x"', "register.toml:3: area[shanghai].nane: unknown key; did you mean 'name'?"),
    ("[[area]]", "[polcy]\n[[area]]", "register.toml:1: polcy: unknown key; did you mean 'policy'?"),
    (
        "[[area]]",
        "[policy]\nhold_limit = 600\n[[area]]",
        "register.toml:2: policy.hold_limit: unknown key; did you mean 'hold_limit_s'?",
    ),
    (
        "[[area]]",
        "[policy]\nmin_coverage = 50\n[[area]]",
        "register.toml:2: policy.min_coverage: 50 is no ratio: expected 0 to 1, not percent",
    ),
    (
        'dispatch_mode = "annual_plan"\n',
        "",
        "register.toml:1: area[shanghai].dispatch_mode: is missing",
    ),
    (
        '"annual_plan"',
        '"annual"',
        "register.toml:4: area[shanghai].dispatch_mode: 'annual' is none of energy_saving, annual_plan; "
        "did you mean 'annual_plan'?",
    ),
    (
        '["22:00-06:00"]',
        '["22:00-06:00", "05:00-07:00"]',
        "register.toml:5: area[shanghai].valley_hours: '05:00-07:00' overlaps another span of the list",
    ),
    (
        '["22:00-06:00"]',
        '["22-06"]',
        "register.toml:5: area[shanghai].valley_hours: not a span '22-06': expected HH:MM-HH:MM",
    ),
    (
        '["22:00-06:00"]',
        '["22:00-25:00"]',
        "register.toml:5: area[shanghai].valley_hours: no such hours '22:00-25:00': 00:00 to 24:00",
    ),
    ('kind = "coal"\n', "", "register.toml:20: unit[U1].kind: is missing"),
    ('rated_mw = "660"\n', "", "register.toml:20: unit[U1].rated_mw: is missing"),
    ('rated_mw = "660"', 'rated_mw = "66o"', "register.toml:24: unit[U1].rated_mw: not a number: '66o'"),
    ('rated_mw = "660"', "rated_mw = nan", "register.toml:24: unit[U1].rated_mw: not a number: Decimal('NaN')"),
    ('rated_mw = "660"', 'rated_mw = "0"', "register.toml:24: unit[U1].rated_mw: 0 is not above 0"),
    (
        'rated_mw = "660"',
        'rated_mw = "660"\nagc_lower_mw = "330"',
        "register.toml:20: unit[U1].agc_upper_mw: is missing: agc_lower_mw is given, and AGC limits go together",
    ),
    (
        'rated_mw = "660"',
        'rated_mw = "660"\nagc_lower_mw = "700"\nagc_upper_mw = "660"',
        "register.toml:25: unit[U1].agc_lower_mw: is above agc_upper_mw",
    ),
    (
        'rated_mw = "660"',
        'rated_mw = "660"\navc = true',
        "register.toml:20: unit[U1].nominal_kv: is missing: needed where avc = true",
    ),
    (
        'rated_mw = "660"',
        'rated_mw = "660"\navc = 1',
        "register.toml:25: unit[U1].avc: expected true or false, got 1",
    ),
    (
        'rated_mw = "660"',
        'rated_mw = "660"\narea = "zhejiang"',
        "register.toml:25: unit[U1].area: no [[area]] has id 'zhejiang'",
    ),
    (
        'rated_mw = "660"',
        'rated_mw = "660"\nfrom = 2026-03-01\nuntil = 2026-03-01',
        "register.toml:26: unit[U1].until: is not after from",
    ),
    (
        'id = "U2"',
        'id = "U1"',
        "register.toml:27: unit[U1].id: is also a unit of P1; unit ids are unique over all plants",
    ),
    ('plant = "P2"', 'plant = "P3"', "register.toml:28: unit[U2].plant: no [[plant]] has id 'P3'"),
    (
        "[[unit]]",
        '[[plant]]\nid = "P2"\narea = "shanghai"\nrevenue_basis = "lease"\nshares = true\nfrom = 2026-03-10\n[[unit]]',
        "register.toml:25: plant[P2].from: overlaps the one on line 14 with the same id; give from and until",
    ),
    (
        'rated_mw = "660"',
        'rated_mw = "660"\npeak_group = "G1"\n[[unit]]\nid = "U3"\nplant = "P2"\nkind = "coal"\nrated_mw = 1\n'
        'peak_group = "G1"',
        "register.toml:31: unit[U3].peak_group: 'G1' is also a group of P1; a group lies inside one plant",
    ),
    ("shares = true\n\n[[plant]]", "[[plant]]", "register.toml:8: plant[P1].shares: is missing"),
    ("[[area]]", "[[area]", "register.toml:1: is not TOML: "),
]


@pytest.mark.parametrize(("old", "new", "finding"), REGISTER_CASES, ids=[str(n) for n in range(len(REGISTER_CASES))])
def test_a_mistake_in_the_register_is_found_with_line_and_key(tmp_path: Path, old: str, new: str, finding: str) -> None:
    problems = found(tmp_path, {"register.toml": REGISTER.replace(old, new, 1)})
    assert [problem[: len(finding)] for problem in problems] == [finding], problems


def test_every_refusal_has_a_chinese_text(tmp_path: Path) -> None:
    files: list[dict[str, str | bytes]] = [{name: content} for name, content, _ in CASES]
    files += [{"register.toml": REGISTER.replace(old, new, 1)} for old, new, _ in REGISTER_CASES]
    files += [{"records/b.parquet": data} for data in _columns_out_of_range()]
    english = []
    for number, each in enumerate(files):
        with pytest.raises(ConfigError) as caught:
            load_folder(make(tmp_path / str(number), each))
        english += [p.message for p in caught.value.problems if not re.search("[\u4e00-\u9fff]", into(p.message, "zh"))]
    assert english == []


def _columns_out_of_range() -> list[bytes]:
    """Parquet files with a time, a status, a whole number and a number that can't be."""
    good = {"unit": pa.array(["U1"]), "time": pa.array([1_772_301_600_000])}
    wrong = (
        {"time": pa.array([5])},
        {"on_grid": pa.array([2])},
        {"active_power_mw": pa.array([10**12])},
        {"active_power_mw": pa.array([Decimal(10) ** 12])},
    )
    files = []
    for column in wrong:
        data = io.BytesIO()
        pq.write_table(pa.table(good | column), data)
        files.append(data.getvalue())
    return files


def test_a_misspelt_area_is_found_once_and_not_again_in_its_plants(tmp_path: Path) -> None:
    text = REGISTER.replace('id = "shanghai"', 'id = "shanghia"')
    assert found(tmp_path, {"register.toml": text}, shipped_rulebook()) == [
        "register.toml:2: area[shanghia].id: 'shanghia' is none of anhui, east_china_grid, fujian, jiangsu, shanghai, "
        "zhejiang; did you mean 'shanghai'?",
    ]


def test_a_folder_with_ten_mistakes_reports_ten_once(tmp_path: Path) -> None:
    problems = found(
        tmp_path,
        {
            "register.toml": REGISTER.replace('kind = "coal"', 'kind = "coall"'),
            "records/b.csv": f"unit,time,foo,on_grid\nU1,2026-03-02T00:00:00,1,1\nU7,{T2},1,5\nU1,{T1},1,1\n",
            "plan.csv": f"unit,start,end,power_mw\nU1,{T1},{T0},x\n",
            "revenue.csv": "plant,month,kind,amount_yuan\nP1,2026-03,lease,1\n",
            "orders.csv": f"id,unit,kind,start,end\n1,U2,spil,{SPAN}\n",
        },
    )
    places = sorted(problem.split(": ")[0] + " " + problem.split(": ")[1] for problem in problems)
    assert places == [
        "orders.csv:2 kind",
        "plan.csv:2 end",
        "plan.csv:2 power_mw",
        "records/b.csv:1 foo",
        "records/b.csv:2 time",
        "records/b.csv:3 on_grid",
        "records/b.csv:3 unit",
        "records/b.csv:4 time",
        "register.toml:23 unit[U1].kind",
        "revenue.csv:2 kind",
    ]


def test_a_row_with_a_refused_cell_is_still_checked_for_all_else(tmp_path: Path) -> None:
    header = "id,unit,kind,start,end\n"
    problems = found(
        tmp_path,
        {
            # row 3: kind refused, unit unknown, id twice, end before start; row 4: time refused, id twice;
            # row 5: unit refused (too long), id twice; row 6: id missing, overlaps row 2
            "orders.csv": f"{header}1,U1,spill,{SPAN}\n1,U9,spil,{T1},{T0}\n1,U1,spill,now,{T2}\n"
            f"1,{'x' * 65},spill,{SPAN}\n,U1,spill,{SPAN}\n",
            # row 3: power refused, overlaps row 2
            "reserve.csv": f"unit,kind,start,end,power_mw\nU1,spinning,{SPAN},1\nU1,spinning,{SPAN},x\n",
            "exclusions.csv": f"unit,service,start,end,reason\nU8,avc,{T1},{T1},tst\n",
            # row 3: amount refused, twice; row 4: month refused, plant unknown; row 5: amount refused, foreign kind
            "revenue.csv": "plant,month,kind,amount_yuan\nP1,2026-03,energy,1\nP1,2026-03,energy,x\n"
            "P9,2026-3,energy,1\nP1,2026-03,lease,x\n",
            "rates.csv": "unit,month,kind,value\nU1,2026-03,avc_pass,1\nU1,2026-03,avc_pass,2\nU7,2026-03,avc,1\n",
            # row 3: amount refused, overlaps row 2; row 4: amount refused, capacity the wrong way round
            "start_stop_table.csv": "capacity_from_mw,capacity_to_mw,gap_from_h,gap_to_h,amount_wan_yuan,from\n"
            "300,600,0,8,1,2026-01-01\n300,600,4,9,x,2026-01-01\n600,300,0,8,y,2026-01-01\n",
            # row 3: power refused, unit unknown; row 4: power refused, overlaps row 2
            "plan.csv": f"unit,start,end,power_mw\nU1,{SPAN},1\nU9,{SPAN},x\nU1,{SPAN},y\n",
        },
    )
    assert sorted(" ".join(problem.split(": ")[:2]) for problem in problems) == [
        "exclusions.csv:2 end",
        "exclusions.csv:2 reason",
        "exclusions.csv:2 unit",
        "orders.csv:3 end",
        "orders.csv:3 id",
        "orders.csv:3 kind",
        "orders.csv:3 unit",
        "orders.csv:4 id",
        "orders.csv:4 start",
        "orders.csv:5 id",
        "orders.csv:5 unit",
        "orders.csv:6 id",
        "orders.csv:6 start",
        "plan.csv:3 power_mw",
        "plan.csv:3 unit",
        "plan.csv:4 power_mw",
        "plan.csv:4 start",
        "rates.csv:3 unit",
        "rates.csv:3 value",
        "rates.csv:4 kind",
        "rates.csv:4 unit",
        "reserve.csv:3 power_mw",
        "reserve.csv:3 start",
        "revenue.csv:3 amount_yuan",
        "revenue.csv:3 plant",
        "revenue.csv:4 month",
        "revenue.csv:4 plant",
        "revenue.csv:5 amount_yuan",
        "revenue.csv:5 kind",
        "start_stop_table.csv:3 amount_wan_yuan",
        "start_stop_table.csv:3 capacity_from_mw",
        "start_stop_table.csv:4 amount_wan_yuan",
        "start_stop_table.csv:4 capacity_to_mw",
    ]


def test_the_same_mistake_down_a_column_is_listed_twenty_times_and_counted(tmp_path: Path) -> None:
    rows = "".join(f"U1,2026-03-02T00:{n:02d}:00+08:00,x{n}\n" for n in range(25))
    problems = found(tmp_path, {"records/b.csv": "unit,time,active_power_mw\n" + rows})
    assert len(problems) == 21
    assert problems[-1] == "records/b.csv:21: active_power_mw: … and 5 more like it below"


@pytest.mark.parametrize(("wrong", "lines"), [(20, 20), (21, 21), (22, 21), (25, 21)])
def test_so_many_mistakes_are_said_to_be_so_many(tmp_path: Path, wrong: int, lines: int) -> None:
    rows = "".join(f"U1,2026-03-02T00:{n:02d}:00+08:00,x{n}\n" for n in range(wrong))
    with pytest.raises(ConfigError) as caught:
        load_folder(make(tmp_path, {"records/b.csv": "unit,time,active_power_mw\n" + rows}))
    assert caught.value.head == f"{wrong} problems"
    assert len(caught.value.problems) == lines
    assert ("more like it" in str(caught.value)) == (wrong > lines)
    assert pickle.loads(pickle.dumps(caught.value)).head == caught.value.head


def test_register_and_records_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_folder(tmp_path)
    assert [str(problem) for problem in caught.value.problems] == [
        "records/: is missing; it holds the records as *.csv or *.parquet",
        "register.toml: is missing; it names areas, plants and units",
    ]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no folder; --data names a settlement folder"):
        load_folder(tmp_path / "none")


def test_links_and_pipes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "outside.csv").write_text(RECORDS)
    folder = make(tmp_path / "data", {})
    (folder / "records" / "link.csv").symlink_to(tmp_path / "outside.csv")
    (folder / "plan.csv").symlink_to(tmp_path / "outside.csv")
    os.mkfifo(folder / "orders.csv")
    assert found(folder, {}) == [
        "orders.csv: can't be read: is not a regular file",
        "plan.csv: is a symbolic link; put the file itself here",
        "records/link.csv: is a symbolic link; put the file itself here",
    ]


def test_a_kind_delivered_twice_is_refused(tmp_path: Path) -> None:
    header = "id,unit,kind,start,end\n"
    assert found(tmp_path, {"orders.csv": header, "orders.xlsx": b"x"}) == [
        "orders.xlsx: is there beside orders.csv; keep one"
    ]


def test_utf_16_is_refused_with_the_remedy(tmp_path: Path) -> None:
    text = "id,unit,kind,start,end\n".encode("utf-16")
    assert found(tmp_path, {"orders.csv": text}) == ["orders.csv: is UTF-16; save it as CSV UTF-8"]


@pytest.mark.parametrize(("named", "twice"), [("jiangsu", False), ("shanghai", True)])
def test_revenue_without_area_of_a_plant_that_moves_is_for_the_area_it_moves_to(
    tmp_path: Path, named: str, twice: bool
) -> None:
    """As it is settled, in whatever order the register has the plant's states."""
    state = '[[plant]]\nid = "P1"\narea = "{}"\nrevenue_basis = "on_grid"\nshares = true\n{} = 2026-03-15\n\n'
    area = REGISTER.split("[[plant]]")[0]
    plants = state.format("shanghai", "from") + state.format("jiangsu", "until")
    rest = REGISTER[REGISTER.index('[[plant]]\nid = "P2"') :]
    files: dict[str, str | bytes] = {
        "register.toml": area + area.replace("shanghai", "jiangsu") + plants + rest,
        "revenue.csv": f"plant,month,kind,amount_yuan,area\nP1,2026-03,energy,1,\nP1,2026-03,energy,2,{named}\n",
    }
    expected = ["revenue.csv:3: plant: P1, 2026-03, energy, shanghai is there twice, first in row 2"]
    assert found(tmp_path, files) == (expected if twice else [])
