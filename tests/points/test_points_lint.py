# SPDX-License-Identifier: GPL-3.0-or-later
"""Each finding of lint on the smallest table that deserves it, and silence on tables that don't."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.points.lint import LintReport, lint_table
from collector.sheets.findings import Severity
from tests.points.point_tables import write_cells
from tests.size import sized

ROOT = Path(__file__).parents[2]
# name, quantity, area, type, address, raw_unit, then whatever a case needs
COLUMNS = ["name", "quantity", "area", "type", "address", "raw_unit"]
P = ["P", "active_power_mw", "holding", "float32", "0", "MW"]
Q = ["Q", "reactive_power_mvar", "holding", "float32", "2", "Mvar"]


def lint(tmp_path: Path, *rows: list[str], more: str = "", protocol: str | None = "modbus_tcp") -> LintReport:
    header = [*COLUMNS, *more.split()]
    filled = [row + [""] * (len(header) - len(row)) for row in rows]
    return lint_table(write_cells(tmp_path / "t", [header, *filled], "utf8"), protocol)


QUIET = ("order_unstated", "no_backup", "no_value_unstated")  # notes that most tables deserve


UNREACHABLE = [("unreachable", 2)] * 2  # neither end of the declared range


def codes(report: LintReport) -> list[tuple[str, int]]:
    return [(f.code, f.row) for f in report.findings if f.code not in QUIET]


@pytest.mark.parametrize(
    ("rows", "more", "expected"),
    [
        # registers 0-1 and 1-2
        ([P, [*Q[:4], "1", "Mvar"]], "", [("overlap", 3)]),
        ([P, ["Q", "reactive_power_mvar", "holding", "int32", "0", "Mvar"]], "", [("overlap", 3)]),
        ([P, ["Q", "agc_setpoint_mw", "holding", "float32", "0", "MW"]], "", [("same_address", 3)]),
        ([[*P, "ABCD"], ["Q", "agc_setpoint_mw", "holding", "float32", "0", "MW", "CDAB"]], "order",
         [("order_conflict", 3)]),
        ([[*P, ""], [*P[:6], "1"]], "backup", [("name_twice", 3), ("same_signals", 3), ("same_address", 3)]),
        ([["S", "on_grid", "holding", "bit", "5", "", "0"], ["W", "frequency_hz", "holding", "uint16", "5", "mHz", ""]],
         "bit", [("word_and_bit", 3)]),
        ([["S", "on_grid", "holding", "bit", "5", "", "0"], ["T", "condenser", "holding", "bit", "5", "", "1"]],
         "bit", []),
        ([["S", "on_grid", "coil", "bit", "5", ""], ["T", "condenser", "coil", "bit", "6", ""]], "", []),
        # a hole of 3 registers after 0-1
        ([P, [*Q[:4], "5", "Mvar"]], "", [("gap", 3)]), ([P, [*Q[:4], "19", "Mvar"]], "", []),
        ([[*P, "CDAB"], [*Q, ""]], "order", [("order_missing", 3)]),
        ([[*P, "CDAB"], [*Q, "CDAB"], ["A", "agc_setpoint_mw", "holding", "float32", "4", "MW", "ABCD"]], "order",
         [("order_mixed", 4)]),
        ([["F", "frequency_hz", "holding", "uint16", "0", "mHz", "DCBA"]], "order", [("order_of_one", 2)]),
        # 700 000 kW under the heading MW
        ([[*P, "0", "700000"]], "min max", [("beyond_quantity", 2)]),
        ([[*P, "300000", "700000"]], "min max", [("outside_quantity", 2)]),
        # 50 MW declared as W would be 0.00005 MW
        ([[*P[:5], "W", "0", "50"]], "min max", [("tiny_range", 2)]),
        ([["V", "bus_voltage_kv", "holding", "uint16", "0", "V", "0.01"]], "scale", [("tiny_reach", 2)]),
        ([["F", "frequency_hz", "holding", "uint16", "0", "Hz", "1", "45", "55"]], "scale min max", [("coarse", 2)]),
        ([["F", "frequency_hz", "holding", "float32", "0", "Hz", "55", "60"]], "min max", [("no_nominal", 2)]),
        ([["S", "on_grid", "holding", "bit", "0", "", "0", "-1", ""]], "bit scale offset", [("never_valid", 2)]),
        ([["S", "on_grid", "holding", "bit", "0", "", "0", "-1", "1"]], "bit scale offset", []),
        ([["S", "on_grid", "holding", "uint16", "0", "", "1..2", "1=0;2=1"],
          ["T", "condenser", "holding", "uint16", "0", "", "3", ""]], "bit map", []),
        ([["S", "on_grid", "holding", "uint16", "0", "", "1..2", "1=0;2=1"],
          ["T", "condenser", "holding", "uint16", "0", "", "2", ""]], "bit map", [("same_address", 3)]),
        ([["S", "on_grid", "holding", "uint32", "0", "", "1"], ["T", "condenser", "holding", "uint32", "0", "", "17"]],
         "bit", []),
        ([["S", "on_grid", "holding", "uint16", "0", "", "1..2", "1=0;4=1"]], "bit map", [("map_width", 2)]),
        ([["S", "on_grid", "holding", "int16", "0", "", "0=0;0xFFFF=1"]], "map", [("map_width", 2)]),
        ([["S", "on_grid", "holding", "uint16", "0", "", "2=1;3=1"]], "map", [("never_valid", 2)]),
        ([["S", "on_grid", "holding", "float32", "0", "", "1=1;2=0"]], "map", []),
        ([[*P, "-0.1", "-1"]], "scale sign", [("double_sign", 2)]),
        ([["E", "energy_export_mwh", "input", "uint16", "0", "MWh"]], "", [("counter_narrow", 2)]),
        ([[*P, "0", "100", "20"]], "min max deadband", [("deadband_wide", 2)]),
        ([["P", "active_power_mw", "holding", "int16", "0", "MW", "65536"]], "no_value", [("no_value_width", 2)]),
        ([["P", "active_power_mw", "holding", "int16", "0", "MW", "65535"]], "no_value", []),
        ([["P", "active_power_mw", "holding", "int16", "0", "MW", "0"]], "no_value", [("no_value_zero", 2)]),
        ([["S", "on_grid", "coil", "bit", "0", "", "3"]], "bit", [("bit_unused", 2)]),
        ([["G", "", "holding", "uint16", "0", "", "70000"]], "guard", [("guard_unreachable", 2)]),
        ([["G", "", "holding", "uint16", "0", "", "2026"]], "guard", []),
        ([[*P[:2], "input", "float32", "40001", "MW"]], "", [("notation_elsewhere", 2)]),
        ([[*P, "1"]], "backup", [("backup_alone", 2)]),
    ],
)  # fmt: skip
def test_a_modbus_table_is_judged(
    tmp_path: Path, rows: list[list[str]], more: str, expected: list[tuple[str, int]]
) -> None:
    assert codes(lint(tmp_path, *rows, more=more)) == expected


@pytest.mark.parametrize(
    ("rows", "more", "expected"),
    [
        ([["S", "on_grid", "30", "", "0", ""]], "", [("object_address_zero", 2)]),
        ([["S", "on_grid", "30", "", "1", ""], ["T", "condenser", "30", "", "1", ""]], "", [("same_address", 3)]),
        ([["S", "on_grid", "13", "", "1", ""]], "", [("type_of_quantity", 2)]),
        ([["P", "active_power_mw", "30", "", "1", "MW"]], "", [("type_of_quantity", 2)]),
        ([["E", "energy_export_mwh", "13", "", "1", "MWh"]], "", []),
        ([["P", "active_power_mw", "13", "", "1", "MW", "1"], ["Q", "reactive_power_mvar", "13", "", "2", "Mvar", ""]],
         "common_address", [("common_address_missing", 3)]),
    ],
)  # fmt: skip
def test_a_table_of_a_104_station_is_judged(
    tmp_path: Path, rows: list[list[str]], more: str, expected: list[tuple[str, int]]
) -> None:
    assert codes(lint(tmp_path, *rows, more=more, protocol="iec104")) == expected


def test_a_table_of_a_meter_of_698_is_judged(tmp_path: Path) -> None:
    rows = [["E", "energy_export_mwh", "", "", "00200401", "kWh"], ["P", "active_power_mw", "", "", "20050201", "W"],
            ["V", "bus_voltage_kv", "", "", "20000201", "V"],
            ["F", "frequency_hz", "", "", "200F0200", "Hz"]]  # fmt: skip
    found = codes(lint(tmp_path, *rows, protocol="dlt698"))
    # 20050201 is reactive; without the ratio of its transformers a meter of 6553.5 V reaches 6.55 kV, which may be.
    assert found == [("identifier_of_quantity", 3)]


def test_a_table_of_a_meter_of_1997_is_judged(tmp_path: Path) -> None:
    rows = [["E", "energy_export_mwh", "", "", "9010", "kWh"], ["P", "active_power_mw", "", "", "B630", "kW"],
            ["Q", "reactive_power_mvar", "", "", "b640", "kvar"], ["U", "bus_voltage_kv", "", "", "B611", "V"],
            ["I", "energy_export_mwh", "", "", "9110", "kWh"]]  # fmt: skip
    found = codes(lint(tmp_path, *rows, protocol="dlt645"))
    # 9110 is reactive. Without the ratio 99.9999 kW, 99.99 kvar and 9999 V are all that can come.
    assert [code for code in found if code[0].startswith("identifier")] == [("identifier_of_quantity", 6)]


# Four digits that are none of 1997 may be half an identifier of 2007; eight that are one of 1997, somebody's padding.
@pytest.mark.parametrize("address", ["0203", "00009010", "B63", "8FFF"])
def test_a_number_that_is_no_identifier_of_either_edition_is_refused(address: str, tmp_path: Path) -> None:
    found = codes(lint(tmp_path, ["P", "active_power_mw", "", "", address, "kW"], protocol="dlt645"))
    assert ("identifier", 2) in found


def test_a_table_of_a_meter_is_judged(tmp_path: Path) -> None:
    rows = [["E", "energy_export_mwh", "", "", "00010000", "kWh"], ["P", "active_power_mw", "", "", "00000302", "kW"],
            ["Q", "reactive_power_mvar", "", "", "00010000", "kvar"]]  # fmt: skip
    found = codes(lint(tmp_path, *rows, protocol="dlt645"))
    # 00000302 is 02030000 with its bytes reversed
    assert found == [("identifier_of_quantity", 3), ("same_address", 4), ("identifier_of_quantity", 4)]


@pytest.mark.parametrize(
    ("protocol", "place"),
    [("modbus_tcp", ["holding", "uint16", "7"]), ("iec104", ["13", "", "7"]), ("dlt645", ["", "", "02010100"])],
)
def test_units_that_read_one_quantity_at_one_address_are_meant_so(
    tmp_path: Path, protocol: str, place: list[str]
) -> None:
    shared = [[f"V{n}", "bus_voltage_kv", *place, "V", f"U{n}", "100"] for n in range(3)]
    assert codes(lint(tmp_path, *shared, more="unit scale", protocol=protocol)) == []
    other = ["F", "frequency_hz", *place, "Hz", "U9"]
    assert ("same_address", 5) in codes(lint(tmp_path, *shared, other, more="unit scale", protocol=protocol))


@pytest.mark.parametrize(
    ("protocol", "place", "expected"),
    [
        # 660 / 32768 is the value of a code: as a full value it would reach 0.02 MW
        ("iec104", ["9", "", "1", "MW", "0.0201416015625", "-50", "700", ""], [("tiny_reach", 2), *UNREACHABLE]),
        ("iec104", ["9", "", "1", "MW", "0.0201416015625", "-50", "660", "1"], [("reach_short", 2)]),
        ("iec104", ["34", "", "1", "MW", "660", "-50", "650", "32767"], []),
        # a full scale of 600 MW never gives 700
        ("iec104", ["21", "", "1", "MW", "600", "-50", "700", ""], [("reach_short", 2)]),
        ("iec104", ["11", "", "1", "MW", "0.1", "-50", "700", ""], []),
        ("iec104", ["11", "", "1", "MW", "0.001", "-50", "700", ""], UNREACHABLE),
        ("iec104", ["13", "", "1", "MW", "0.001", "-50", "700", ""], []),
        # 79.9999 kW is what three octets with a sign hold: the transformers' ratio is missing
        ("dlt645", ["", "", "02030000", "kW", "", "-50000", "700000", ""], [("tiny_reach", 2), *UNREACHABLE]),
        ("dlt645", ["", "", "02030000", "kW", "10000", "-50000", "700000", ""], []),
        ("modbus_tcp", ["holding", "int16", "1", "MW", "0.001", "-50", "700", ""], UNREACHABLE),
    ],
)  # fmt: skip
def test_a_range_that_no_raw_value_reaches_is_found_on_every_protocol(
    tmp_path: Path, protocol: str, place: list[str], expected: list[tuple[str, int]]
) -> None:
    report = lint(tmp_path, ["P", "active_power_mw", *place], more="scale min max norm_base", protocol=protocol)
    assert codes(report) == expected


def test_a_frequency_whose_code_never_gives_50_hz_is_found(tmp_path: Path) -> None:
    row = ["F", "frequency_hz", "9", "", "1", "Hz"]
    assert codes(lint(tmp_path, [*row, "0.002"], more="scale", protocol="iec104")) == [("no_nominal", 2)]
    assert codes(lint(tmp_path, [*row, "0.002", "1"], more="scale norm_base", protocol="iec104")) == []


def test_what_would_believe_registers_full_of_ones_is_noted_once(tmp_path: Path) -> None:
    def said(row: list[str], no_value: str = "") -> list[str]:
        report = lint(tmp_path, [*row, no_value], more="bit no_value")
        return [f.message for f in report.findings if f.code == "no_value_unstated"]

    counter = ["E", "energy_export_mwh", "holding", "uint32", "0", "kWh", ""]
    assert said(counter) == ['no value that means "no value" is stated for E: registers of FFFF would be believed']
    assert said(counter, "0xFFFFFFFF") == []
    assert said(["S", "on_grid", "holding", "bit", "0", "", "3"])
    # -1 Wh and BCD digits of F are no counter, a coil has no sixteen bits, NaN is no value by itself
    for row in (["E", "energy_export_mwh", "holding", "int32", "0", "kWh", ""], [*counter[:3], "bcd32", *counter[4:]],
                [*counter[:3], "float32", *counter[4:]], ["S", "on_grid", "coil", "bit", "0", "", ""],
                ["P", "active_power_mw", "holding", "uint16", "0", "MW", ""]):  # fmt: skip
        assert said(row) == [], row


def test_statuses_without_backup_are_named_once(tmp_path: Path) -> None:
    rows = [["S", "on_grid", "30", "", "1", ""], ["T", "condenser", "30", "", "2", ""]]
    (note,) = lint(tmp_path, *rows, protocol="iec104").findings
    assert (note.severity, note.code, note.row) == (Severity.NOTE, "no_backup", 2)
    assert note.message.endswith("on_grid, condenser")


def test_an_order_nobody_states_is_noted_once(tmp_path: Path) -> None:
    assert [f.code for f in lint(tmp_path, P, Q).findings] == ["order_unstated"]


def test_refusals_and_findings_come_together_with_headings_as_written(tmp_path: Path) -> None:
    rows = [["名称", "量", "区", "数据类型", "地址", "单位", "系数"], ["P", "有功功率", "03", "int16", "0", "MW", "0"],
            ["S", "并网状态", "01", "bit", "0", "", "2"], ["Q", "无功", "03", "int16", "x", "Mvar", ""]]  # fmt: skip
    report = lint_table(write_cells(tmp_path / "t", rows, "gbk"))
    assert [(f.severity.value, f.code, f.row, f.column) for f in report.findings if f.code != "no_backup"] == [
        ("error", "scale_zero", 2, "系数"), ("error", "never_valid", 3, "系数"), ("error", "not_whole", 4, "地址"),
    ]  # fmt: skip
    assert (report.family, len(report.points)) == ("modbus", 1)


@pytest.mark.parametrize(
    ("row", "family"),
    [
        (["holding", "", "1"], "modbus"), (["输入寄存器", "", "1"], "modbus"), (["04", "", "1"], "modbus"),
        (["3", "int16", "1"], "modbus"), (["30", "", "1"], "iec104"), (["M_SP_NA_1", "", "1"], "iec104"),
        (["", "", "00010000"], "dlt645"), (["", "", "00100201"], "dlt698"), (["", "", "200F0200"], "dlt698"),
        (["3", "", "1"], ""), (["", "", "1"], ""),
    ],
)  # fmt: skip
def test_the_protocol_is_told_by_the_table_or_asked_for(tmp_path: Path, row: list[str], family: str) -> None:
    report = lint(tmp_path, ["P", "active_power_mw", *row, "MW"], protocol=None)
    assert report.family == family
    assert any(f.code == "protocol_unknown" for f in report.findings) is (not family)


def test_the_tables_shipped_have_no_error_and_no_warning() -> None:
    tables = [*(ROOT / "config").glob("points/*.csv"), *(ROOT / "config").glob("demo/*.csv")]
    assert tables
    for table in tables:
        report = lint_table(table)
        assert report.points
        assert {f.severity for f in report.findings} <= {Severity.NOTE}, table


@given(data=st.binary(max_size=300), shape=st.sampled_from([b"", "名称,量,区,类型,地址\n".encode(), b"PK\x03\x04"]))
@settings(max_examples=sized(50, 150))
def test_any_bytes_are_a_report_and_never_an_exception(data: bytes, shape: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "t.csv"
        path.write_bytes(shape + data)
        report = lint_table(path, "modbus_tcp")
    assert report.points or report.findings


cell = st.sampled_from(
    [
        "",
        "/",
        "-",
        "0",
        "1",
        "-1",
        "65535",
        "40001",
        "1e-3",
        "holding",
        "4",
        "bit",
        "int16",
        "float64",
        "ABCD",
        "小端",
        "MW",
        "kV",
        "有功功率",
        "on_grid",
        "9..2",
        "1..2",
        "是",
        "00010000",
        "30",
    ]
)


@given(
    rows=st.lists(st.lists(cell, min_size=23, max_size=23), min_size=1, max_size=4),
    protocol=st.sampled_from(["modbus_rtu", "iec104", "dlt645", "dlt698", None]),
)
@settings(max_examples=sized(60, 200))
def test_any_cells_are_a_report_and_never_an_exception(rows: list[list[str]], protocol: str | None) -> None:
    from collector.points import COLUMNS as ALL

    with tempfile.TemporaryDirectory() as directory:
        path = write_cells(Path(directory) / "t", [ALL, *rows], "utf8")
        lint_table(path, protocol)
