# SPDX-License-Identifier: GPL-3.0-or-later
"""`center import e`: register and tables of one E file, as versions like any other import."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from collector.cli.main import app

TEXT = """<! System=OMS TimeZone='+08:00' !>
<区域::华东>
@ 编号 名称 调度方式 低谷时段 高峰时段
# jiangsu 江苏 annual_plan 00:00-08:00 08:00-11:00
</区域::华东>
<电厂::华东>
@ 编号 名称 区域 电费口径 参与分摊
# P1 某电厂 jiangsu on_grid 1
</电厂::华东>
<机组::华东>
@ 编号 电厂 机组类型 额定容量
# U1 P1 coal 660
</机组::华东>
<发电计划::华东>
@ 机组 开始时间 结束时间 计划功率
# U1 2026-03-01T00:00:00 2026-03-01T00:15:00 {power}
</发电计划::华东>
"""


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["center", *words])
    return result.exit_code, result.output or str(result.exception)


def test_one_e_file_brings_register_and_plan_and_the_second_time_nothing(tmp_path: Path) -> None:
    state, file = tmp_path / "state", tmp_path / "day.e"
    file.write_text(TEXT.format(power="300"), "gbk")
    words = ("import", "e", str(file), "--state", str(state), "--who", "li")
    code, said = run(*words)
    assert (code, said.splitlines()) == (
        0,
        [
            "day.e: register: import 1: 1 rows added, 0 replaced, 0 there already",
            "day.e: plan: import 2: 1 rows added, 0 replaced, 0 there already",
        ],
    )
    assert "nothing new" in run(*words)[1]
    file.write_text(TEXT.format(power="310"), "gbk")
    code, said = run("import", "plan", str(file), "--state", str(state))
    assert code == 1
    assert "day.e:16: conflicts with import 2 row 16" in said


def test_a_file_without_tables_of_ours_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "plan.csv"
    file.write_text("unit\n", "utf-8")
    code, said = run("import", "e", str(file), "--state", str(tmp_path / "state"))
    assert code == 1
    assert "is no E file" in said
