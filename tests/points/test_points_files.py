# SPDX-License-Identifier: GPL-3.0-or-later
"""Files as they come: encodings, workbooks and their traps, headings, rows that don't fit."""

from __future__ import annotations

import io
import os
import zipfile
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.chart import LineChart
from openpyxl.worksheet.worksheet import Worksheet

from collector.base.errors import ConfigError
from collector.points import load_points
from tests.points.point_tables import FORMS, write_cells

HEADER = ["名称", "量", "区", "数据类型", "地址", "单位"]
GOOD = ["有功", "有功功率", "03", "float32", "100", "MW"]


def refusals(path: Path, protocol: str = "modbus_tcp") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_points(path, protocol, "d")
    return [str(p).replace(f"{path.parent}/", "") for p in caught.value.problems]


def workbook(path: Path, rows: list[list[Any]], **sheets: list[list[Any]]) -> tuple[openpyxl.Workbook, Worksheet, Path]:
    book = openpyxl.Workbook()
    first = book.active
    assert isinstance(first, Worksheet)
    for row in rows:
        first.append(row)
    for name, more in sheets.items():
        other = book.create_sheet(name)
        for row in more:
            other.append(row)
    return book, first, path / "t.xlsx"


@pytest.mark.parametrize("form", sorted(FORMS))
def test_every_form_of_file_is_read_and_titles_above_the_header_are_passed_over(tmp_path: Path, form: str) -> None:
    titles = [["××电厂远动点表", "", "", "", "", ""], [""] * 6]
    path = write_cells(tmp_path / "t", [*titles, HEADER, [""] * 6, GOOD], form)
    (point,) = load_points(path, "modbus_tcp", "d")
    assert (point.row, point.quantity, point.area, point.address) == (5, "active_power_mw", "holding", 100)


def test_a_header_below_row_ten_is_not_looked_for(tmp_path: Path) -> None:
    titles = [[str(n)] + [""] * 5 for n in range(1, 11)]
    assert refusals(write_cells(tmp_path / "t", [*titles, HEADER, GOOD], "utf8")) == [
        "t.csv: no header within the first 10 rows; a header names at least name (名称) and address (地址)"
    ]


def test_the_sheet_named_point_table_is_read_else_the_first(tmp_path: Path) -> None:
    other = ["别的", *GOOD[1:]]
    book, first, path = workbook(tmp_path, [HEADER, other], 点表=[HEADER, GOOD])
    book.save(path)
    assert [p.name for p in load_points(path, "modbus_tcp", "d")] == ["有功"]
    del book["点表"]
    first.title = "Sheet9"
    book.save(path)
    assert [p.name for p in load_points(path, "modbus_tcp", "d")] == ["别的"]


def test_what_a_sheet_shows_but_does_not_hold_is_refused_with_its_place(tmp_path: Path) -> None:
    book, first, path = workbook(tmp_path, [HEADER, GOOD, GOOD, GOOD])
    first["E2"], first["E3"], first["A4"] = "=E1+1", datetime(2026, 1, 2), "#REF!"
    first["A4"].data_type = "e"
    book.save(path)
    found = refusals(path)
    assert "t.xlsx:2: E2 holds a formula; paste the value itself (paste special: values)" in found
    assert any(f.startswith("t.xlsx:3: E3 holds a date; ") for f in found)
    assert any(f.startswith("t.xlsx:4: A4 holds the error #REF!; ") for f in found)


def test_merged_cells_are_refused_from_the_header_on_and_fine_above_it(tmp_path: Path) -> None:
    book, first, path = workbook(
        tmp_path, [["点表", *[None] * 5], HEADER, GOOD, ["无功", "无功功率", "03", "int16", 102, "Mvar"]]
    )
    first.merge_cells("A1:F1")
    book.save(path)
    assert len(load_points(path, "modbus_tcp", "d")) == 2
    first.merge_cells("C3:C4")
    book.save(path)
    assert refusals(path)[0].startswith(
        "t.xlsx:3: cells C3:C4 are merged: only the first of them holds anything; unmerge"
    )


def test_a_small_number_of_a_workbook_is_read_as_a_decimal(tmp_path: Path) -> None:
    path = write_cells(tmp_path / "t", [[*HEADER, "倍率"], GOOD], "xlsx")
    book = openpyxl.load_workbook(path)
    book.worksheets[0]["G2"] = 0.0000001  # Python writes 1e-07
    book.save(path)
    (point,) = load_points(path, "modbus_tcp", "d")
    assert point.scale == Fraction(1, 10**7)


@pytest.mark.parametrize("filling", [b"<c " * 300_000, b"x" * 3_000_000])
def test_a_sheet_of_endless_tags_or_text_is_refused_without_delay(tmp_path: Path, filling: bytes) -> None:
    path = write_cells(tmp_path / "t", [HEADER, GOOD], "xlsx")
    target = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.namelist():
            content = old.read(member)
            new.writestr(member, content + filling if "worksheets/" in member else content)
    path.write_bytes(target.getvalue())
    assert refusals(path)[0].startswith("t.xlsx: is no workbook that can be read")


def test_a_broken_workbook_and_one_of_the_old_form_are_refused(tmp_path: Path) -> None:
    book, _, path = workbook(tmp_path, [])
    book.save(path)
    assert refusals(path)[0].startswith("t.xlsx: no header")
    data = path.read_bytes()
    for damaged in (data[: len(data) // 2], data.replace(b"xl/", b"xm/"), b"PK\x03\x04"):
        path.write_bytes(damaged)
        assert refusals(path)[0].startswith("t.xlsx: is no workbook that can be read")
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
    assert refusals(path) == ["t.xlsx: is a workbook of the old .xls form; save it as .xlsx or CSV"]


def test_a_sheet_that_is_a_chart_is_passed_over(tmp_path: Path) -> None:
    book, _, path = workbook(tmp_path, [HEADER, GOOD])
    book.create_chartsheet("图", 0).add_chart(LineChart())
    book.save(path)
    assert len(load_points(path, "modbus_tcp", "d")) == 1


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.xlsx"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("xl/worksheets/sheet1.xml", "w") as part,
    ):
        for _ in range(65):
            part.write(bytes(1024**2))
    assert path.stat().st_size < 200_000
    assert refusals(path)[0].startswith(
        f"bomb.xlsx: has {65 * 1024**2} bytes unpacked, 1 parts; at most 67108864 bytes"
    )


def test_a_sheet_that_claims_endless_rows_or_columns_is_refused(tmp_path: Path) -> None:
    for reference in ("A1048576", "XFD3"):
        book, first, path = workbook(tmp_path, [HEADER, GOOD])
        first[reference] = 1
        book.save(path)
        assert "; at most 100000 rows, 256 columns are read; split it" in refusals(path)[0]
        first[reference] = None


def test_a_pipe_a_folder_and_a_file_too_long_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    assert refusals(tmp_path / "pipe.csv") == ["pipe.csv: can't be read: is not a regular file"]
    (tmp_path / "folder.csv").mkdir()
    assert refusals(tmp_path / "folder.csv")[0].startswith("folder.csv: can't be read")
    with (tmp_path / "long.csv").open("wb") as file:
        file.truncate(17 * 1024**2)
    assert refusals(tmp_path / "long.csv")[0].startswith(
        "long.csv: has 17825792 bytes; at most 16777216 bytes are read"
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("名称;量;区;地址\n".encode(), "cells are apart by ;, not by commas; save it as CSV UTF-8 (comma delimited)"),
        (b"\xff\xfeb\x00a\x00", "is UTF-16; save it as CSV UTF-8"),
        (b"name,address\n\xff", "is neither UTF-8 nor GBK text; save it as CSV UTF-8"),
        (b"name,address\n\x00", "t.csv:2: holds a NUL byte"),
        (b'name,area,type,address\n"P,holding,int16,1\n', "t.csv:2: is no proper CSV: unexpected end of data"),
        (b"", "no header within the first 10 rows"),
        (b"name,area,type,address\n", "no row is meant for device 'd'"),
    ],
)
def test_a_file_that_is_no_table_says_what_it_is(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / "t.csv").write_bytes(data)
    (found,) = refusals(tmp_path / "t.csv")
    assert reason in found


def test_headings_are_refused_where_unknown_or_said_twice(tmp_path: Path) -> None:
    path = write_cells(
        tmp_path / "t", [[*HEADER, "倍律", "寄存器地址", "", "备注", "序号"], [*GOOD, "", "", "x", "任意", "1"]], "utf8"
    )
    assert refusals(path) == [
        "t.csv:1: 倍律: unknown column; did you mean '倍率'?",
        "t.csv:1: 寄存器地址: means address, as column '地址' does; keep one",
        "t.csv:2: column 9 holds cells but has no name in the header; name it or empty it",
    ]


def test_cells_too_many_or_too_few_are_found_in_both_forms(tmp_path: Path) -> None:
    path = write_cells(tmp_path / "t", [HEADER, GOOD[:5], [*GOOD, ""]], "utf8")
    assert [f.split(";")[0] for f in refusals(path)] == [
        "t.csv:2: the row has 5 cells, the header has 6", "t.csv:3: the row has 7 cells, the header has 6",
    ]  # fmt: skip
    path = write_cells(tmp_path / "t", [HEADER, [*GOOD, "多"]], "xlsx")
    assert refusals(path)[0].startswith("t.xlsx:2: the row has a cell beyond the last column of the header")


def test_a_quoted_line_break_counts_as_one_row_and_control_characters_are_refused(tmp_path: Path) -> None:
    rows = [[*HEADER, "说明"], [*GOOD, "第一行\n第二行"], ["坏\x1b[31m", *GOOD[1:], ""]]
    path = write_cells(tmp_path / "t", rows, "utf8")
    found = refusals(path)
    assert found[0] == "t.csv:3: 名称: holds the control character U+001B; delete it"


def test_a_workbook_with_extra_members_stays_readable(tmp_path: Path) -> None:
    path = write_cells(tmp_path / "t", [HEADER, GOOD], "xlsx")
    data = io.BytesIO(path.read_bytes())
    with zipfile.ZipFile(data, "a") as archive:
        archive.writestr("customXml/item1.xml", "<x/>")
    path.write_bytes(data.getvalue())
    assert len(load_points(path, "modbus_tcp", "d")) == 1
