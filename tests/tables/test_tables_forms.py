# SPDX-License-Identifier: GPL-3.0-or-later
"""The many ways people write one table: separators, encodings, headings, dates and 24:00, columns to be ignored."""

from __future__ import annotations

import io
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from openpyxl.utils.datetime import CALENDAR_MAC_1904

from collector.model.interval import parse_time_ms
from collector.settlement.inputs import Inputs
from collector.tables.folder import load_folder
from tests.tables.made_folder import REGISTER, T0, T0_MS, T1, T2, found, make

HOUR = 3_600_000
ENGLISH, CHINESE = "unit,start,end,power_mw", "机组,开始时间,结束时间,计划功率"
PLAN = f"{ENGLISH}\nU1,{T0},{T1},300\nU1,{T1},2026-03-02T00:00:00+08:00,320.5\n"
RECORD = f"unit,time,active_power_mw\nU2,{T2},1\n"


def loaded(folder: Path, files: dict[str, str | bytes]) -> Inputs:
    return load_folder(make(folder, files))


def workbook(rows: list[list[Any]], *, formats: dict[str, str] | None = None, epoch_1904: bool = False) -> bytes:
    book = openpyxl.Workbook()
    if epoch_1904:
        book.epoch = CALENDAR_MAC_1904
    sheet = book.active
    assert sheet is not None
    for row in rows:
        sheet.append(row)
    for place, number_format in (formats or {}).items():
        sheet[place].number_format = number_format
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def plan_of(inputs: Inputs) -> list[tuple[Any, ...]]:
    assert inputs.plan is not None
    return [tuple(row[name] for name in ("unit", "start", "end", "power_kw")) for row in inputs.plan.to_pylist()]


EXPECTED = [("U1", T0_MS, T0_MS + HOUR, 300_000), ("U1", T0_MS + HOUR, T0_MS + 24 * HOUR, 320_500)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (PLAN.encode(), ()),
        (PLAN.encode("utf-8-sig"), ()),
        (PLAN.replace(",", ";").encode(), ("cells are separated by semicolons, as the header shows",)),
        (PLAN.replace(",", "\t").encode("utf-8-sig"), ("cells are separated by tabs, as the header shows",)),
        (PLAN.replace(",", " ; ").encode(), ("cells are separated by semicolons, as the header shows",)),
        (PLAN.replace("2026-03-02T00:00", "2026-03-01T24:00").encode(), ()),
        (PLAN.replace("2026-03-02T00:00:00", "2026-03-01 24:00").encode(), ()),
        (PLAN.replace(ENGLISH, CHINESE).encode(), ()),
        (
            PLAN.replace(ENGLISH, CHINESE).encode("gbk"),
            ("read as GBK text",),
        ),
        (
            PLAN.replace(ENGLISH, "机组,start,结束时间,power_mw").replace(",", ";").encode("gbk"),
            ("cells are separated by semicolons, as the header shows", "read as GBK text"),
        ),
        (PLAN.replace(",300\n", ",3e2\n").replace("320.5", "320.500").encode(), ()),
    ],
)
def test_a_plan_is_one_plan_however_it_is_written_and_the_choice_is_said(
    tmp_path: Path, content: bytes, said: tuple[str, ...]
) -> None:
    inputs = loaded(tmp_path, {"plan.csv": content})
    assert plan_of(inputs) == EXPECTED
    assert inputs.notes == tuple(("plan.csv", words) for words in said)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("heading", ["unit,time,active_power_mw", "机组,时间,有功功率", "序号,机组,时间,有功功率"])
def test_records_take_separators_and_headings_as_plans_do(tmp_path: Path, separator: str, heading: str) -> None:
    row = f"U2,{T2.replace('T02:', 'T24:')},1.25"
    text = f"{heading}\n{'1,' if heading.startswith('序') else ''}{row}\n".replace(",", separator)
    records = loaded(tmp_path, {"records/b.csv": text}).records
    last = records.to_pylist()[-1]
    assert (last["unit"], last["time"], last["active_power_mw"]) == ("U2", T0_MS + 24 * HOUR, 1250)


def test_times_at_24_and_all_others_may_stand_in_one_column(tmp_path: Path) -> None:
    times = ("2026-03-01 00:24:00+0800", "2026-03-01T04:00:00.250Z", "2026-03-01T24:00+08:00", "2026-03-02T24:00:00.0Z")
    text = "unit,time,active_power_mw\n" + "".join(f"U2,{time},1\n" for time in times)
    rows = loaded(tmp_path, {"records/b.csv": text}).records.to_pylist()
    expected = [24 * 60_000, 12 * HOUR + 250, 24 * HOUR, 56 * HOUR]  # after 00:00 of the first of March, +08:00
    assert [row["time"] - T0_MS for row in rows if row["unit"] == "U2"][-4:] == expected


def test_a_comma_in_a_number_is_refused_also_where_semicolons_separate(tmp_path: Path) -> None:
    (problem,) = found(tmp_path, {"plan.csv": PLAN.replace(",", ";").replace("320.5", "320,5")})
    assert problem.startswith("plan.csv:3: power_mw: not a number '320,5'; no thousands separator")


@pytest.mark.parametrize("text", ["2026-03-01T24:00:01+08:00", "2026-03-01T24:01+08:00", "2026-03-01T25:00+08:00"])
def test_nothing_is_later_than_24_o_clock(tmp_path: Path, text: str) -> None:
    assert len(found(tmp_path, {"records/b.csv": f"unit,time\nU1,{text}\n"})) == 1


def test_the_end_of_a_month_at_24_o_clock_is_the_start_of_the_next() -> None:
    assert parse_time_ms("2026-12-31T24:00:00+08:00") == parse_time_ms("2027-01-01T00:00:00+08:00")
    assert parse_time_ms("2024-02-28T24:00Z") == parse_time_ms("2024-02-29T00:00Z")


def test_hours_of_a_register_know_24_o_clock_at_both_ends(tmp_path: Path) -> None:
    text = REGISTER.replace('["22:00-06:00"]', '["24:00-06:00", "22:00-24:00"]')
    (area,) = loaded(tmp_path, {"register.toml": text}).register.areas
    assert [(span.start_min, span.end_min) for span in area.valley_hours] == [(0, 360), (1320, 1440)]
    assert len(found(tmp_path / "b", {"register.toml": REGISTER.replace("22:00-06:00", "24:00-24:00")})) == 1


def day(hours: float = 0) -> datetime:
    return datetime(2026, 3, 1) + timedelta(hours=hours)


SERIAL = 46_082  # 2026-03-01: 46 082 days after 1899-12-30


@pytest.mark.parametrize(
    ("start", "end", "options"),
    [
        (day(), day(1), {}),
        (date(2026, 3, 1), day(1), {}),  # a cell with only a date is its 00:00
        (SERIAL, SERIAL + 1 / 24, {}),  # days of Excel whose format was lost
        (SERIAL - 1462, SERIAL - 1462 + 1 / 24, {"epoch_1904": True}),
        (T0_MS, T1, {}),
        (T0, T0_MS + HOUR, {}),
    ],
)
def test_a_date_cell_is_local_time(tmp_path: Path, start: Any, end: Any, options: dict[str, Any]) -> None:
    data = workbook([["unit", "start", "end", "power_mw"], ["U1", start, end, 300]], **options)
    assert plan_of(loaded(tmp_path, {"plan.xlsx": data})) == EXPECTED[:1]


def test_a_cell_shown_as_24_o_clock_is_the_next_midnight(tmp_path: Path) -> None:
    formats = {"C2": 'yyyy-mm-dd "24:00"'}  # what is typed as 2026-03-01 24:00 is the number of 2026-03-02
    data = workbook([["机组", "开始时间", "结束时间", "计划功率"], ["U1", day(1), SERIAL + 1, 320.5]], formats=formats)
    assert plan_of(loaded(tmp_path, {"plan.xlsx": data})) == EXPECTED[1:]


def test_a_time_of_day_alone_is_no_instant_and_a_date_no_number(tmp_path: Path) -> None:
    rows: list[list[Any]] = [["unit", "start", "end", "power_mw"], ["U1", time(1), timedelta(days=1), day()]]
    problems = found(tmp_path, {"plan.xlsx": workbook(rows)})
    assert [problem.split(";")[0] for problem in problems] == [
        "plan.xlsx:2: end: holds a time of day (1 day, 0:00:00) without its date",
        "plan.xlsx:2: power_mw: holds an Excel date (2026-03-01T00:00:00), which no date belongs to",
        "plan.xlsx:2: start: holds a time of day (01:00:00) without its date",
    ]


def test_a_price_table_and_revenue_take_date_cells_for_day_and_month(tmp_path: Path) -> None:
    prices: list[list[Any]] = [
        ["容量下限", "容量上限", "间隔下限", "间隔上限", "补偿标准", "执行日期", "文件号"],
        [300, 600, 0, 8, 40, day(), "x"],
    ]
    revenue: list[list[Any]] = [
        ["电厂", "月份", "电费类型", "金额"],
        ["P1", day(), "energy", 12.5],
        ["P1", SERIAL - 28, "energy", 1],
    ]
    inputs = loaded(tmp_path, {"start_stop_table.xlsx": workbook(prices), "revenue.xlsx": workbook(revenue)})
    assert [row.from_day for row in inputs.start_stop_table or ()] == [date(2026, 3, 1)]
    assert [row.month for row in inputs.revenue or ()] == ["2026-03", "2026-02"]


IGNORING = '[policy]\nignore_columns = ["备注", "note2"]\n' + REGISTER


@pytest.mark.parametrize("kind", ["csv", "xlsx", "parquet", "e"])
def test_columns_to_be_ignored_are_passed_over_in_every_form(tmp_path: Path, kind: str) -> None:
    header, row = ["unit", "备注", "time", "active_power_mw", "note2"], ["U2", "a,b", T2, "1.25", "x"]
    data: str | bytes = f'{",".join(header)}\nU2,"a,b",{T2},1.25,x\n'
    if kind == "xlsx":
        data = workbook([header, row])
    elif kind == "e":
        data = f"<records>\n@ {' '.join(header)}\n# {' '.join(row)}\n</records>\n"
    elif kind == "parquet":
        target = io.BytesIO()
        columns = {name: pa.array([cell]) for name, cell in zip(header, row, strict=True)}
        pq.write_table(pa.table(columns | {"active_power_mw": pa.array([1.25])}), target)
        data = target.getvalue()
    inputs = loaded(tmp_path, {"register.toml": IGNORING, f"records/b.{kind}": data})
    assert inputs.records.to_pylist()[-1]["active_power_mw"] == 1250
    assert inputs.unit_columns["U2"] == {"active_power_mw"}
    (problem, *_) = found(tmp_path / "b", {f"records/b.{kind}": data})
    assert "unknown column" in problem


def test_short_tables_pass_over_ignored_columns_and_running_numbers(tmp_path: Path) -> None:
    text = f"序号,指令编号,机组,指令类型,开始时间,结束时间,备注\n1,O1,U1,spill,{T0},{T1},x\n"
    inputs = loaded(tmp_path, {"register.toml": IGNORING, "orders.csv": text})
    assert [order.id for order in inputs.orders or ()] == ["O1"]
    assert found(tmp_path / "b", {"orders.csv": text}) != []


def test_a_column_that_is_needed_is_missed_though_it_is_to_be_ignored(tmp_path: Path) -> None:
    register = REGISTER + '[policy]\nignore_columns = ["time"]\n'
    assert any("time: column is missing" in problem for problem in found(tmp_path, {"register.toml": register}))


@pytest.mark.parametrize("value", ['"备注"', "[1]", '["a\\u0000"]'])
def test_ignore_columns_is_a_list_of_headings(tmp_path: Path, value: str) -> None:
    register = REGISTER + f"[policy]\nignore_columns = {value}\n"
    assert len(found(tmp_path, {"register.toml": register})) == 1
