# SPDX-License-Identifier: GPL-3.0-or-later
"""The sheet for signature: everything on it, no formula in it, the same bytes every time."""

from __future__ import annotations

import csv
import hashlib
import html
import io
import re
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest

from collector.verify.session import CenterValue, load_session, open_session
from simulators.run.pytest_plugin import ServedDevices
from tests.verify.verify_world import config_of, run

Serve = Callable[..., ServedDevices]
# A name and a description as somebody hostile, or careless, writes them.
TABLE = (
    "name,description,quantity,area,type,address,raw_unit\n"
    "=1+1,<b>bold</b>,active_power_mw,holding,int32,0,kW\n"
    "-10kV母线,@SUM(A1),bus_voltage_kv,holding,uint16,2,V\n"
)


@pytest.fixture
def config(modbus_device: Serve) -> Path:
    """Passed at -20 with a hostile note, the other failed."""
    device = modbus_device(TABLE)
    path = config_of(device)
    device.show("active_power_mw", "-20")
    device.show("bus_voltage_kv", "10.5")
    assert run(path, "--point", "=1+1", "--expect", "-20", "--who", "+张工", "--note", "=cmd()").code == 0
    assert run(path, "--point", "-10kV母线", "--expect", "10", "--who", "李工").code == 1
    return path


def export(config: Path, name: str) -> dict[str, bytes]:
    folder = config.parent / name
    said = run(config, "--export", str(folder))
    assert (said.code, said.error) == (1, "")  # one step has failed
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_same_session_gives_the_same_three_files(config: Path) -> None:
    first = export(config, "one")
    assert list(first) == ["sheet.csv", "sheet.html", "sheet.xlsx"]
    assert export(config, "two") == first
    assert export(config, "one") == first  # over those that are there


def test_the_csv_has_every_step_and_no_formula(config: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(export(config, "out")["sheet.csv"].decode("utf-8-sig"))))
    assert [row["结论 verdict"] for row in rows] == ["合格", "不合格"]
    first = rows[0]
    assert (first["点名 point"], first["对点人 by"], first["备注 note"]) == ("'=1+1", "'+张工", "'=cmd()")
    assert (first["期望值 expected"], first["实测值 observed"], first["原码 raw"]) == ("-20", "-20", "ff ff b1 e0")
    assert (rows[1]["点名 point"], rows[1]["说明 description"]) == ("'-10kV母线", "'@SUM(A1)")


def test_the_workbook_holds_text_only_and_lines_to_sign(config: Path) -> None:
    book = openpyxl.load_workbook(io.BytesIO(export(config, "out")["sheet.xlsx"]))
    assert book.sheetnames == ["对点表", "未完成", "全部记录", "概况"]
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row if cell.value is not None]
    assert {cell.data_type for cell in cells} == {"s"}
    texts = [str(cell.value) for cell in cells]
    for wanted in ("=1+1", "施工单位 Contractor", "厂站 Plant", "调度 Dispatch center"):
        assert wanted in texts
    opened = book["未完成"]
    assert [opened.cell(4, column).value for column in (2, 9)] == ["-10kV母线", "不合格"]
    assert opened.max_row == 4


def test_the_page_says_who_what_and_by_which_tables_and_loads_nothing(config: Path) -> None:
    page = export(config, "out")["sheet.html"].decode()
    assert "<b>bold" not in page
    assert html.escape("<b>bold</b>") in page
    table = hashlib.sha256((config.parent / "points.csv").read_bytes()).hexdigest()
    session = hashlib.sha256((config.parent / "agent.verify.jsonl").read_bytes()).hexdigest()
    for wanted in (table, session, "+张工", "李工", "施工单位", "厂站", "调度", "modbus_tcp 127.0.0.1", "ff ff b1 e0"):
        assert wanted in page, wanted
    assert "size: A4" in page
    assert re.search(r"未完成.*: 1</h2>", page)
    assert not re.search(r"<script|<link|https?:|url\(", page)


def test_what_the_center_stored_stands_beside_and_a_difference_is_open(config: Path) -> None:
    path = config.parent / "agent.verify.jsonl"
    with open_session(path, "g", 0) as pen:
        pen.write(CenterValue(1, "-20", "good", 1_772_600_400_000, "file", 0))
    page = export(config, "out")["sheet.html"].decode()
    assert re.search(r"<td>-20<br><small>good 13:00:00", page)
    with open_session(path, "g", 0) as pen:
        pen.write(CenterValue(1, "20", "good", 1_772_600_400_000, "file", 0))
    assert "主站不符" in export(config, "out")["sheet.html"].decode()
    assert len(load_session(path, "g").verdicts) == 2


def test_names_that_look_like_formulas_come_back_from_a_template(config: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    run(config, "--template", str(sheet))
    text = sheet.read_text("utf-8-sig")
    assert "'=1+1" in text
    sheet.write_text(text.replace("0 %,,", "0 %,0,"), "utf-8")
    said = run(config, "--sheet", str(sheet))
    assert (said.code, said.error) == (0, "")


def test_a_folder_that_cant_be_written_is_told(config: Path) -> None:
    assert "can't be written" in run(config, "--export", str(config)).error
