# SPDX-License-Identifier: GPL-3.0-or-later
"""Makers' sheets into proposed tables. The tables expected are worked by hand from the sheets, each cell.

A row is: quantity, area, type, address, bit, order, factor, unit, norm_base; `?` before the decisions a person must make.
"""

from __future__ import annotations

import json
import socket
import threading
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from collector.cli.points import app
from collector.points.convert.cells import read_address, read_factor, read_type, read_unit
from collector.points.convert.proposal import Options, TableProposal, table_of
from collector.points.convert.propose import propose
from collector.points.convert.sheet import MakerSheet, read_maker_sheets
from collector.points.convert.states import read_states
from collector.points.lint import lint_table
from collector.points.load import load_points
from collector.sheets.findings import Severity
from tests.points.maker_sheets import ACREL, ALL, CHINT, EATON, PLANT, SIEMENS, STATION, Maker, write
from tests.points.point_tables import write_cells
from tests.size import sized

EXPECTED = {
    "acrel": """
        bus_voltage_kv holding uint16 4 - - - kV -
        active_power_mw holding int32 9 - ABCD - kW -
        energy_export_mwh holding uint32 11 - ABCD - kWh -
        ? unit 3, order, energy 6""",
    "schneider": """
        bus_voltage_kv holding float32 3909 - ABCD - V -
        active_power_mw holding float32 3903 - ABCD - W -
        reactive_power_mvar holding float32 3905 - ABCD - var -
        frequency_hz holding float32 3915 - ABCD - Hz -
        energy_export_mwh holding float32 3969 - ABCD - Wh -
        ? base, area, order, energy 14""",
    "siemens": """
        bus_voltage_kv holding float32 7 - ABCD - V -
        frequency_hz holding float32 55 - ABCD - Hz -
        active_power_mw holding float32 65 - ABCD - W -
        reactive_power_mvar holding float32 67 - ABCD - var -
        energy_export_mwh holding float64 809 - ABCD - Wh -
        ? base, order, energy 12""",
    # 5004H, 5B06H, 5B14H, 5B1CH, 5B2CH
    "abb": """
        energy_export_mwh holding uint64 20484 - ABCD 0.01 kWh -
        bus_voltage_kv holding uint32 23302 - ABCD 0.1 V -
        active_power_mw holding int32 23316 - ABCD 0.01 W -
        reactive_power_mvar holding int32 23324 - ABCD 0.01 var -
        frequency_hz holding uint16 23340 - - 0.01 Hz -
        ? area, order, energy 3""",
    "janitza": """
        bus_voltage_kv holding float32 19006 - ABCD - V -
        active_power_mw holding float32 19026 - ABCD - W -
        reactive_power_mvar holding float32 19042 - ABCD - var -
        frequency_hz holding float32 19050 - ABCD - Hz -
        energy_export_mwh holding float32 19076 - ABCD - Wh -
        ? base, area, order, energy 10""",
    # 450007 counts from 1 in the area of the first 4; two registers where it fills four bytes
    "woodward": """
        frequency_hz holding int16 50006 - - 0.01 Hz -
        bus_voltage_kv holding int32 50007 - ABCD 0.1 V -
        active_power_mw holding int32 50016 - ABCD - W -
        ? type 6, type 7, order, type 11""",
    # 03F9H = 1017 beside 1018: the decimal column counts from 1
    "eaton": """
        bus_voltage_kv holding float32 1005 - ABCD - V -
        active_power_mw holding float32 1017 - ABCD - W -
        reactive_power_mvar holding float32 1019 - ABCD - var -
        frequency_hz holding float32 1025 - ABCD - Hz -
        ? area, order""",
    # 2000H, 2012H, 201AH, 2044H, 101EH
    "chint": """
        bus_voltage_kv holding float32 8192 - ABCD 0.1 V -
        active_power_mw holding float32 8210 - ABCD 0.1 W -
        reactive_power_mvar holding float32 8218 - ABCD 0.1 var -
        frequency_hz holding float32 8260 - ABCD 0.01 Hz -
        energy_export_mwh holding float32 4126 - ABCD - kWh -
        ? order, energy 10""",
    # 4001H = 16385, 6401H = 25601; 0.0244 MW of 32768 codes is 800 MW
    "station": """
        on_grid 3 - 1 - - - - -
        agc_in_service 1 - 2 - - - - -
        active_power_mw 9 - 16385 - - 0.0244 MW 1
        reactive_power_mvar 9 - 16386 - - 0.0122 Mvar 1
        bus_voltage_kv 9 - 16388 - - 0.0081 kV 1
        agc_setpoint_mw 13 - 16389 - - - MW -
        energy_export_mwh 15 - 25601 - - - 万kWh -
        ? energy 14""",
    "lovato": """
        bus_voltage_kv holding uint32 28 - ABCD - V -
        frequency_hz holding uint32 92 - ABCD - Hz -
        active_power_mw holding int32 112 - ABCD - W -
        reactive_power_mvar holding int32 114 - ABCD - var -
        ? base, area, order""",
    "meter": """
        energy_export_mwh - - 00010000 - - - kWh -
        active_power_mw - - 02030000 - - - kW -
        reactive_power_mvar - - 02040000 - - - kvar -
        frequency_hz - - 02800002 - - - Hz -
        ? energy 2""",
    # 40001 is 0; 100 for 50 Hz can only divide
    "plant": """
        active_power_mw holding float32 0 - CDAB - MW -
        frequency_hz holding uint16 2 - - 0.01 Hz -
        agc_setpoint_mw holding float32 4 - CDAB - MW -
        on_grid holding bit 7 1 - - - -
        primary_frequency_in_service holding bit 7 2 - - - -
        energy_export_mwh holding uint32 8 - CDAB 0.01 万kWh -
        ? bit 8, energy 10""",
}
SHOWN = ("quantity", "area", "type", "address", "bit", "order", "scale", "raw_unit", "norm_base")


def table(maker: Maker, folder: Path) -> MakerSheet:
    return read_maker_sheets(write(maker, folder))[0]


def proposed(maker: Maker, folder: Path, **options: object) -> TableProposal:
    return propose(table(maker, folder), Options(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize("maker", ALL, ids=lambda maker: maker.name)
def test_a_makers_sheet_becomes_the_table_that_a_person_would_write(maker: Maker, tmp_path: Path) -> None:
    proposal = proposed(maker, tmp_path)
    found = [" ".join(row.cells.get(column) or "-" for column in SHOWN) for row in proposal.rows]
    found.append("? " + ", ".join(proposal.decisions))
    assert found == [line.strip() for line in EXPECTED[maker.name].strip().splitlines()]
    listed = {row.source for row in proposal.rows} | {left.row for left in proposal.left_out}
    written = {number for number, row in enumerate(maker.rows, 1) if any(cell is not None for cell in row)}
    assert listed >= {number for number in written if number > table(maker, tmp_path).header_row}, (
        "every row is told of"
    )
    assert all(row.why for row in proposal.rows)


@pytest.mark.parametrize("maker", ALL, ids=lambda maker: maker.name)
def test_the_proposed_table_passes_lint_and_says_why_in_its_last_column(maker: Maker, tmp_path: Path) -> None:
    proposal = proposed(maker, tmp_path, device="d", unit="U1")
    rows = table_of(proposal, "en")
    path = write_cells(tmp_path / "out", rows, "utf8")
    report = lint_table(path, proposal.protocol)
    assert [f.message for f in report.findings if f.severity is Severity.ERROR] == []
    assert len(load_points(path, proposal.protocol, "d")) == len(proposal.rows)
    assert rows[0][-1] == "remark"
    assert all(f"quantity {row[rows[0].index('quantity')]} by its name" in row[-1] for row in rows[1:])


@pytest.mark.parametrize(
    ("text", "values", "left_open"),
    [
        ("0-停 1-运", {0: 0, 1: 1}, ()), ("1=投入,2=退出", {1: 1, 2: 0}, ()), ("0:退出;1:投入;2:故障", {0: 0, 1: 1}, ()),
        ("00 中间 01 分 10 合 11 故障", {1: 0, 2: 1}, ()), ("1投入0退出", {1: 1, 0: 0}, ()),
        ("0 = Off, 1 = On", {0: 0, 1: 1}, ()), ("0x55 合闸 0xAA 分闸", {85: 1, 170: 0}, ()),
        ("0: open, 1: closed, 2: undefined", {0: 0, 1: 1}, ()), ("0=就地 1=投入 2=退出", {1: 1, 2: 0}, (0,)),
        ("0 disabled 1 enabled", {0: 0, 1: 1}, ()), ("1-未投入 2-投入", {1: 0, 2: 1}, ()),
        ("范围 0-100", None, ()), ("1-投入 1-退出", None, ()), ("0-100 %", None, ()), ("1#机组 2#机组", None, ()), ("", None, ()),
    ],
)  # fmt: skip
def test_the_states_that_a_sheet_lists_in_words_become_0_and_1(
    text: str, values: dict[int, int] | None, left_open: tuple[int, ...]
) -> None:
    found = read_states(text)
    assert (found and dict(found.values)) == values
    assert found is None or found.open == left_open


STATES_SHEET = [
    ["点名称", "地址", "类型", "功能码", "备注"],
    ["发电机出口断路器位置", "0", "UINT16", "03", "00 中间 01 分 10 合 11 故障"],
    ["AGC投入", "1", "UINT16", "03", "0-退出 1-投入 2-就地"],
    ["一次调频投入", "2", "", "03", "0-退 1-投"],
    ["AVC投入", "3", "BOOL", "01", "0-投入 1-退出"],
    ["调相运行", "4", "BOOL", "01", "0-停 1-运行"],
]


def test_states_in_words_become_maps_and_what_they_leave_open_is_asked(tmp_path: Path) -> None:
    path = write_cells(tmp_path / "maker", STATES_SHEET, "xlsx")
    proposal = propose(read_maker_sheets(path)[0], Options("modbus", base=0))
    assert {row.cells["quantity"]: (row.cells["type"], row.cells.get("map", "")) for row in proposal.rows} == {
        "on_grid": ("uint16", "1=0; 2=1"), "agc_in_service": ("uint16", "0=0; 1=1"),
        "primary_frequency_in_service": ("uint16", "0=0; 1=1"), "avc_in_service": ("bit", "0=1; 1=0"),
        "condenser": ("bit", ""),
    }  # fmt: skip
    assert [str(text) for text in proposal.decisions.values()] == [
        "row 3: is AGC投入 on or off at 2 就地? Left out of the map: no value there"
    ]
    out = write_cells(tmp_path / "out", table_of(proposal, "en"), "utf8")
    assert [f.message for f in lint_table(out, "modbus").findings if f.severity is Severity.ERROR] == []


def test_a_point_of_104_whose_states_are_listed_the_other_way_round_is_turned_round(tmp_path: Path) -> None:
    sheet = [["点名称", "信息体地址", "类型", "备注"], ["并网断路器位置", "1", "M_SP_TB_1", "0-合 1-分"],
             ["AGC投入", "2", "M_ME_NB_1", "1-投入 2-退出"]]  # fmt: skip
    proposal = propose(read_maker_sheets(write_cells(tmp_path / "m", sheet, "xlsx"))[0], Options("iec104"))
    assert [[row.cells.get(key, "") for key in ("area", "scale", "offset", "map")] for row in proposal.rows] == [
        ["30", "-1", "1", ""], ["11", "", "", "1=1; 2=0"],
    ]  # fmt: skip
    out = write_cells(tmp_path / "out", table_of(proposal, "en"), "utf8")
    assert [f.message for f in lint_table(out, "iec104").findings if f.severity is Severity.ERROR] == []


def test_what_a_person_decides_beforehand_is_no_question(tmp_path: Path) -> None:
    proposal = proposed(SIEMENS, tmp_path, base=1, order="ABCD")
    assert list(proposal.decisions) == ["energy 12"]
    assert [row.cells["address"] for row in proposal.rows] == ["6", "54", "64", "66", "808"]


def test_rows_that_are_not_for_settlement_are_listed_with_why(tmp_path: Path) -> None:
    left = {entry.row: str(entry.reason) for entry in proposed(PLANT, tmp_path).left_out}
    assert left == {
        5: "not for settlement: of the machine, not of the grid", 7: "is written, not read", 11: "the headings again",
        12: "not for settlement: of the machine, not of the grid", 13: "a signature",
    }  # fmt: skip


def test_the_chinese_words_of_a_proposal_are_complete(tmp_path: Path) -> None:
    proposal = proposed(STATION, tmp_path)
    said = [*proposal.about, *proposal.decisions.values(), *(w for r in proposal.rows for w in r.why)]
    assert all(any("一" <= c <= "鿿" for c in text.into("zh")) for text in said)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["convert", *arguments], env={"COLLECTOR_LANGUAGE": "en", "COLUMNS": "200"})


def test_the_command_writes_the_table_and_ends_with_1_while_something_is_to_be_decided(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    result = run(str(write(EATON, tmp_path)), "-o", str(out), "--device", "meter-1", "--unit", "U1")
    assert result.exit_code == 1
    for words in (
        "two columns of addresses, one apart",
        "a person must decide:",
        "--order",
        "left out (4):",
        "a current",
    ):
        assert words in result.stdout, words
    settled = run(str(write(EATON, tmp_path)), "-o", str(out), "--area", "holding", "--order", "ABCD", "--json")
    assert settled.exit_code == 0
    assert (json.loads(settled.stdout)["decide"], json.loads(settled.stdout)["lint"]) == ({}, [])
    assert [p.address for p in load_points(out, "modbus_tcp", "x")] == [1005, 1017, 1019, 1025]


def test_a_sheet_is_named_or_the_one_with_the_table_is_found(tmp_path: Path) -> None:
    path = write(PLANT, tmp_path)
    assert read_maker_sheets(path, "调速器")[0].header_row == 2
    for sheet, words in (("封面", "no row names both a point and its address"), ("x", "it has 封面, 调速器")):
        result = run(str(path), "--sheet", sheet, "-o", str(tmp_path / "o.csv"))
        assert words in str(result.exception)


def test_a_live_device_settles_the_base_and_the_order_of_words(tmp_path: Path) -> None:
    # 49.98 Hz at 54, 312 500 000 W at 64, 40 000 000 var at 66, 10 500 V at 6, 5e9 Wh at 808: low word first, from 1.
    import struct

    registers: dict[int, int] = {}
    for address, value in ((6, 10_500.0), (54, 49.98), (64, 312.5e6), (66, 40e6)):
        high, low = struct.unpack(">HH", struct.pack(">f", value))
        registers |= {address: low, address + 1: high}
    registers |= dict(zip(range(808, 812), reversed(struct.unpack(">4H", struct.pack(">d", 5e9))), strict=True))
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            connection, _ = server.accept()
            with connection:
                while request := connection.recv(260):
                    first, count = struct.unpack(">HH", request[8:12])
                    data = b"".join(registers.get(n, 0).to_bytes(2, "big") for n in range(first, first + count))
                    body = request[6:8] + bytes([len(data)]) + data
                    connection.sendall(request[:4] + len(body).to_bytes(2, "big") + body)

    threading.Thread(target=serve, daemon=True).start()
    agent = tmp_path / "agent.toml"
    agent.write_text(
        'schema = 1\n[gateway]\nid = "g"\n[[plant]]\nid = "P"\n[[unit]]\nid = "U1"\nplant = "P"\n'
        '[[device]]\nid = "meter-1"\nprotocol = "modbus_tcp"\npoints = "none.csv"\nunit = "U1"\nhost = "127.0.0.1"\n'
        f"port = {server.getsockname()[1]}\ntimeout_s = 20\n",
        "utf-8",
    )
    out = tmp_path / "out.csv"
    result = run(str(write(SIEMENS, tmp_path)), "-o", str(out), "--agent", str(agent), "--device", "meter-1", "--json")
    assert result.stdout, result.exception
    found = json.loads(result.stdout)
    assert list(found["decide"]) == ["energy 12"]
    assert [(p.address, p.order) for p in load_points(out, "modbus_tcp", "meter-1")] == [
        (a, "CDAB") for a in (6, 54, 64, 66, 808)
    ]
    assert any("54 " in line and "= 49.98 Hz" in line for line in found["about"])


@pytest.mark.parametrize(
    ("text", "hexadecimal", "number"),
    [
        ("100", False, 100), ("100.0", False, 100), ("0x64", False, 100), ("64H", False, 100), ("5B14", False, 0x5B14),
        ("4001", True, 0x4001), ("03F9 - 03FA", True, 0x3F9), ("1018 - 1019", False, 1018), ("30001~30002", False, 30001),
        ("40006.1", False, 40006), ("4x0001", False, 1), ("x", False, None), ("有功", False, None),
    ],
)  # fmt: skip
def test_an_address_is_read_as_makers_write_it(text: str, hexadecimal: bool, number: int | None) -> None:
    found = read_address(text, hexadecimal=hexadecimal)
    assert (found.number if found else None) == number


@pytest.mark.parametrize(
    ("text", "registers", "kind"),
    [
        ("Float", 2, "float32"), ("single", None, "float32"), ("Double", 4, "float64"), ("REAL", 2, "float32"),
        ("Signed", 2, "int32"), ("Unsigned", 4, "uint64"), ("INT", 1, "int16"), ("INT", 2, "int32"), ("INT", None, None),
        ("UINT16", None, "uint16"), ("dword", None, "uint32"), ("smallint", None, "int16"), ("SINT32", None, "int32"),
        ("32位有符号", None, "int32"), ("无符号整型", 1, "uint16"), ("32 bit unsigned", None, "uint32"), ("BCD", 2, "bcd32"),
        ("BOOL", None, "bit"), ("Char", None, ""), ("日期时间", None, ""), ("", 2, None), ("float32", 2, "float32"),
    ],
)  # fmt: skip
def test_a_type_is_read_as_makers_write_it(text: str, registers: int | None, kind: str | None) -> None:
    assert read_type(text, registers) == kind


@pytest.mark.parametrize(
    ("text", "unit", "factor", "times"),
    [
        ("kW", "kW", None, 1), ("0.1kW", "kW", "1/10", 1), ("万kWh", "万kWh", None, 1), ("万千瓦", "万kW", None, 1),
        ("1/100 Hz", "Hz", "1/100", 1), ("Hz/100", "Hz", "1/100", 1), ("kW·h", "kWh", None, 1), ("kW*h", "kWh", None, 1),
        ("×0.01kWh", "kWh", "1/100", 1), ("亿kWh", "MWh", None, 100_000), ("10^-2 V", "V", "1/100", 1), ("℃", None, None, 1),
    ],
)  # fmt: skip
def test_a_unit_is_read_as_the_trade_writes_it(text: str, unit: str | None, factor: str | None, times: int) -> None:
    found = read_unit(text)
    assert (found.unit, None if found.factor is None else str(found.factor), found.times) == (
        unit,
        factor,
        Fraction(times),
    )


def test_reactive_energy_and_currents_have_units_of_no_settlement_quantity() -> None:
    assert all(read_unit(text).other for text in ("kvar·h", "kvarh", "A", "℃", "%", "kVA"))


@pytest.mark.parametrize(
    ("text", "factor"),
    [("0.1", "1/10"), ("×0.1", "1/10"), ("0,01", "1/100"), ("10^-2", "1/100"), ("1/100", "1/100"), ("/100", "1/100"),
     ("除以10", "1/10"), ("乘以0.1", "1/10"), ("PT*CT", None), ("1,000", None)],
)  # fmt: skip
def test_a_factor_is_read_as_makers_write_it(text: str, factor: str | None) -> None:
    found = read_factor(text)
    assert (None if found is None else str(found)) == factor


cells = st.sampled_from(
    ["", "序号", "点名称", "地址", "寄存器地址", "类型", "单位", "系数", "读写", "有功功率", "频率", "Wh", "40001", "0x9C40", "1.5", "float",
     "只写", "备注", "bit0-并网 bit1-AGC投入", "审核:", "万kWh", "0,1", "数据标识", "00010000", "双点", "信息体地址", "DWORD", "10^-99"]
)  # fmt: skip


@given(
    rows=st.lists(st.lists(cells, min_size=1, max_size=7), max_size=9),
    protocol=st.sampled_from(["", "iec104", "dlt645"]),
)
@settings(max_examples=sized(80, 300))
def test_any_sheet_is_a_proposal_and_never_an_exception(rows: list[list[str]], protocol: str) -> None:
    from collector.points.convert.sheet import find_table

    found = find_table("s", [tuple(row) for row in [["点名称", "地址", "单位", "类型", "系数", "备注"], *rows]])
    assert found is not None
    proposal = propose(found, Options(protocol))
    table_of(proposal, "zh")


assert {maker.name for maker in (ACREL, CHINT)} <= set(EXPECTED)
