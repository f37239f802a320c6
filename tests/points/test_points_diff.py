# SPDX-License-Identifier: GPL-3.0-or-later
"""Two versions of a table: what is new, gone, renamed, changed, and what must be verified again."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.base.errors import ConfigError
from collector.points.diff import CellChange, PointTableDifference, compare_points, load_version
from tests.points.point_tables import write_cells

HEADER = ["name", "description", "quantity", "area", "type", "address", "order", "scale", "raw_unit", "min", "deadband"]
ROWS = [
    ["P", "有功", "active_power_mw", "holding", "float32", "0", "CDAB", "1", "MW", "-50", ""],
    ["Q", "无功", "reactive_power_mvar", "holding", "float32", "2", "CDAB", "1", "Mvar", "", ""],
    ["F", "频率", "frequency_hz", "holding", "uint16", "4", "", "1", "mHz", "", ""],
]


def compare(
    tmp_path: Path, old: list[list[str]], new: list[list[str]], header: list[str] = HEADER
) -> PointTableDifference:
    first, _ = load_version(write_cells(tmp_path / "old", [HEADER, *old], "utf8"))
    second, family = load_version(write_cells(tmp_path / "new", [header, *new], "xlsx_numbers"))
    return compare_points(first, second, family)


def edited(row: int, **cells: str) -> list[list[str]]:
    rows = [list(r) for r in ROWS]
    for column, text in cells.items():
        rows[row][HEADER.index(column)] = text
    return rows


def test_form_spelling_and_order_of_rows_are_no_difference(tmp_path: Path) -> None:
    respelled = [
        ["F", "频率", "频率", "03", "U16", "0x4", "", "1.0", "毫赫兹", "", ""],
        ["Q", "无功", "无功功率", "保持寄存器", "float", "2", "CD AB", "", "MVar", "", ""],
        ["P", "有功", "有功功率", "3", "REAL", "0", "3412", "1", "兆瓦", "-50", ""],
    ]
    chinese = ["点名", "说明", "量", "功能码", "数据类型", "寄存器地址", "字序", "倍率", "单位", "下限", "死区"]
    assert compare(tmp_path, ROWS, respelled, chinese).equal


@pytest.mark.parametrize(
    ("cells", "changed", "reasons"),
    [
        ({"address": "10"}, [CellChange("address", "0", "10")], ("address",)),
        ({"order": "ABCD"}, [CellChange("order", "CDAB", "ABCD")], ("address",)),
        ({"area": "input"}, [CellChange("area", "holding", "input")], ("address",)),
        ({"scale": "0.001"}, [CellChange("scale", "1", "0.001")], ("meaning",)),
        ({"raw_unit": "kW"}, [CellChange("raw_unit", "MW", "kW")], ("meaning",)),
        ({"type": "int32", "scale": "0.1"}, [CellChange("type", "float32", "int32"), CellChange("scale", "1", "0.1")],
         ("address", "meaning")),
        ({"type": "int16"}, [CellChange("type", "float32", "int16"), CellChange("registers", "2", "1")], ("address",)),
        ({"description": "机端有功"}, [CellChange("description", "有功", "机端有功")], ()),
        ({"min": "", "deadband": "0.5"}, [CellChange("min", "-50", ""), CellChange("deadband", "", "0.5")], ()),
    ],
)  # fmt: skip
def test_a_changed_cell_is_named_and_verified_again_where_it_reads_another_value(
    tmp_path: Path, cells: dict[str, str], changed: list[CellChange], reasons: tuple[str, ...]
) -> None:
    difference = compare(tmp_path, ROWS, edited(0, **cells))
    (change,) = difference.changed
    assert (change.name, change.old_row, change.new_row, list(change.cells)) == ("P", 2, 2, changed)
    assert change.reasons == reasons
    assert difference.verify_again == ((("", "P", reasons),) if reasons else ())


def test_points_that_come_and_go_are_listed_with_what_lost_its_source(tmp_path: Path) -> None:
    new = ["A", "AGC", "agc_setpoint_mw", "holding", "float32", "6", "CDAB", "1", "MW", "", ""]
    difference = compare(tmp_path, ROWS, [*ROWS[:2], new])
    assert [p.name for p in difference.added] == ["A"]
    assert [p.name for p in difference.removed] == ["F"]
    assert difference.verify_again == (("", "A", ("new",)),)
    assert difference.no_longer_read == (("", "frequency_hz"),)
    assert not difference.equal


def test_a_point_with_another_name_and_nothing_else_is_renamed_not_replaced(tmp_path: Path) -> None:
    difference = compare(tmp_path, ROWS, edited(1, name="无功功率"))
    (renamed,) = difference.renamed
    assert renamed.cells == (CellChange("name", "Q", "无功功率"),)
    assert not difference.equal
    assert len(difference.added) == len(difference.removed) == len(difference.verify_again) == 0


def test_names_that_change_places_are_changes_of_both(tmp_path: Path) -> None:
    first, second = edited(0, name="Q")[0], edited(1, name="P")[1]
    difference = compare(tmp_path, ROWS, [first, second, ROWS[2]])
    assert {change.name for change in difference.changed} == {"P", "Q"}
    assert [name for _, name, _ in difference.verify_again] == ["Q", "P"]


def test_a_table_that_would_be_refused_is_refused_here_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"old\.csv:2: address: is empty"):
        compare(tmp_path, edited(0, address=""), ROWS)
