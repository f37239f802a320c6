# SPDX-License-Identifier: GPL-3.0-or-later
"""E text: every layout, both encodings, other names of tables and columns, and what is wrong with line and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.base.errors import Problem
from collector.sheets.efile import read_efile, register_text, table_in, tables_in
from collector.sheets.files import Delivered
from collector.sheets.findings import Findings
from collector.tables.dispatch import read_orders, read_reserves
from collector.tables.folder import load_folder
from collector.tables.register import load_register
from collector.tables.schedules import read_plan
from tests.tables.made_folder import T0, T1, make

PLAN = """<! System=OMS Version=1.0 Code=UTF-8 TimeZone='+08:00' !>
// 日前计划
<发电计划::江苏 Date='2026-03-01'>
@ 序号 机组 开始时间 结束时间 计划功率
# 1 U1 2026-03-01T00:00:00 '2026-03-01 00:15:00' 300.5
# 2 U1 2026-03-01T00:15:00 2026-03-01T00:30:00+08:00 NULL
</发电计划::江苏>
"""


def of(text: str, table: str = "", encoding: str = "utf-8") -> Delivered:
    return Delivered("a.e", text.encode(encoding), "", table)


def problems(text: str, table: str = "plan") -> list[tuple[int, str, str]]:
    """Row, column, message of what is found."""
    findings = Findings()
    table_in(of(text), table, findings)
    return [(p.row, p.key, p.message) for p in findings.problems()]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk"])
def test_a_plan_of_a_dispatch_centre_is_read(encoding: str) -> None:
    findings = Findings()
    table = read_plan(of(PLAN, "plan", encoding), {"U1"}, findings)
    assert findings.problems() == ()
    assert table is not None
    # 2026-02-28T16:00Z
    assert table.column("start").to_pylist() == [1_772_294_400_000, 1_772_295_300_000]
    assert table.column("power_kw").to_pylist() == [300_500, None]


def test_records_may_be_columns_or_a_single_one() -> None:
    text = """<orders::a>
@# 顺序 属性名 甲 乙
# 1 id O1 O2
# 2 unit U1 U2
# 3 kind start_stop spill
# 4 start 2026-03-01T00:00:00+08:00 2026-03-01T01:00:00+08:00
# 5 end 2026-03-01T02:00:00+08:00 2026-03-01T03:00:00+08:00
</orders::a>
<备用::b>
@@ 顺序 属性名 属性值
# 1 机组 U1
# 2 备用类型 hot
# 3 开始时间 2026-03-01T00:00:00+08:00
# 4 结束时间 2026-03-01T01:00:00+08:00
# 5 备用容量 50
</备用::b>
"""
    findings = Findings()
    orders = read_orders(of(text, "orders"), {"U1", "U2"}, findings)
    reserves = read_reserves(of(text, "reserve"), {"U1"}, findings)
    assert findings.problems() == ()
    assert [(o.id, o.unit, str(o.kind)) for o in orders] == [("O1", "U1", "start_stop"), ("O2", "U2", "spill")]
    assert reserves[0].power_kw == 50_000
    assert tables_in(of(text)) == ("orders", "reserve")


def test_several_blocks_of_one_table_are_one_also_with_columns_in_another_order() -> None:
    text = "<rates>\n@ unit month kind value\n# U1 2026-03 avc_pass 0.9\n</rates>\n"
    text += "<合格率>\n@ value unit kind month\n# 0.8 U2 avc_pass 2026-03\n</合格率>\n"
    findings = Findings()
    grids = read_efile(of(text), findings)
    assert not findings
    assert grids is not None
    assert grids["rates"].body == ((3, ("U1", "2026-03", "avc_pass", "0.9")), (7, ("U2", "2026-03", "avc_pass", "0.8")))


def test_cells_with_blanks_are_quoted_and_empty_ones_written() -> None:
    rows = ("U1 '*' 1 2 test '检修 后'", "U1 avc 1 2 test ''", "U1 avc 1 2 test -")
    text = "<exclusions>\n@ unit service start end reason note\n# " + "\n# ".join(rows) + "\n</exclusions>"
    grid = table_in(of(text), "exclusions", Findings())
    assert grid is not None
    assert [cells[-1] for _, cells in grid.body] == ["检修 后", "", ""]
    assert grid.body[0][1][1] == "*"


def test_a_time_without_offset_is_refused_unless_the_head_names_a_zone() -> None:
    findings = Findings()
    read_plan(of(PLAN.replace(" TimeZone='+08:00'", ""), "plan"), {"U1"}, findings)
    first = findings.problems()[0]
    assert (first.file, first.row, first.key) == ("a.e", 5, "end")
    assert "without offset" in first.message


def test_a_wrong_cell_is_found_with_file_line_and_column() -> None:
    findings = Findings()
    read_plan(of(PLAN.replace("300.5", "3OO"), "plan"), {"U1"}, findings)
    assert findings.problems() == (
        Problem("a.e", 5, "power_mw", "not a number '3OO'; leave the cell empty where the value is missing"),
    )


WRONG = [
    ("hello\n", (1, "", "stands outside of any table; a table begins with <name::entity>")),
    ("<plan>\n@ unit\n# U1\n", (1, "plan", "this table has no end; was the file cut off?")),
    ("<plan>\n@ unit\n# U1 U2\n</plan>", (3, "", "has 2 cells, the headings 1")),
    ("<plan>\n# U1\n@ unit\n</plan>", (2, "plan", "stands before the headings (@ …)")),
    ("<plan>\n</plan>", (1, "plan", "has no headings (@ …)")),
    ("<plan>\n@ unit\n</order>", (3, "order", "ends another table than the one begun in line 1")),
    ("<plans>\n@ unit\n</plans>", (1, "plans", "unknown table; did you mean 'plan'?")),
    ("<plan>\n@ unit\n% MW\n# U1\n</plan>", (3, "", "begins with '%': expected @, #, //, or the end of the table")),
    ("<plan>\n@ unit\n# 'U1\n</plan>", (3, "", 'has a quote without its end at "\'U1"')),
    ("<plan>\n@ unit\n@ unit\n</plan>", (3, "plan", "headings stand in line 2 already")),
    (
        "<! TimeZone=Shanghai !>\n<plan>\n@ unit\n</plan>",
        (1, "TimeZone", "'Shanghai' is no offset; write it like +08:00"),
    ),
    ("<orders>\n@ unit\n</orders>", (0, "plan", "has no such table; there are: orders")),
    (
        "<plan>\n@ unit\n</plan>\n<plan>\n@ id\n</plan>",
        (5, "plan", "has other columns than the plan table before it: unit"),
    ),
]


@pytest.mark.parametrize(("text", "expected"), WRONG, ids=[text.replace("\n", "|") for text, _ in WRONG])
def test_what_is_no_e_text_is_found_with_its_line(text: str, expected: tuple[int, str, str]) -> None:
    assert expected in problems(text)


def test_a_folder_takes_e_files_as_it_takes_csv(tmp_path: Path) -> None:
    columns, row = ("id", "unit", "kind", "start", "end"), ("O1", "U1", "start_stop", T0, T1)
    csv = f"{','.join(columns)}\n{','.join(row)}\n"
    text = f"<调度指令::x>\n@ {' '.join(columns)}\n# {' '.join(row)}\n</调度指令::x>\n"
    records = f"<运行记录>\n@ 机组 时间 有功功率 并网状态\n# U1 {T1} 600.5 1\n# U2 {T0} NULL 0\n</运行记录>\n"
    one = load_folder(make(tmp_path / "csv", {"orders.csv": csv}))
    other = load_folder(
        make(tmp_path / "e", {"orders.e": text.encode("gbk"), "records/b.e": records.replace("# U1", "# U2")})
    )
    assert other.orders == one.orders
    units, power = (other.records[name].to_pylist() for name in ("unit", "active_power_mw"))
    assert [p for u, p in zip(units, power, strict=True) if u == "U2"] == [None, 600_500]


def test_a_register_in_e_text_says_what_the_toml_says() -> None:
    text = """<区域::华东>
@ 编号 名称 调度方式 低谷时段 高峰时段
# jiangsu 江苏 annual_plan 00:00-08:00 08:00-11:00;17:00-21:00
</区域::华东>
<电厂::华东>
@ 编号 名称 区域 电费口径 参与分摊
# P1 某电厂 jiangsu on_grid 1
</电厂::华东>
<机组::华东>
@ 编号 电厂 机组类型 额定容量 额定电压 AVC 生效日期
# U1 P1 coal 660 500 是 2026-01-01
</机组::华东>
"""
    findings = Findings()
    grids = read_efile(of(text), findings)
    assert not findings
    made = register_text(grids or {})
    loaded = load_register(Delivered("register.e", made.encode(), ""), findings)
    assert findings.problems() == ()
    assert loaded.register is not None
    [unit] = loaded.register.units
    assert (unit.id, str(unit.rated_mw), unit.avc, str(unit.from_day)) == ("U1", "660", True, "2026-01-01")
    assert len(loaded.register.areas[0].peak_hours) == 2
    wrong = Findings()
    load_register(Delivered("register.e", made.replace('"660"', '"x"').encode(), ""), wrong)
    assert [(p.file, p.key) for p in wrong.problems()] == [("register.e", "unit[U1].rated_mw")]
