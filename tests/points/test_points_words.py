# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of the trade, what is refused because it can mean two things, and 4xxxx notation."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from collector.base.errors import ConfigError
from collector.points import IEC104_TYPES, MODBUS_AREAS, ORDERS, RAW_UNITS, REGISTERS, Point, load_points, words
from collector.points.agent_config import load_agent
from collector.points.cells import parse_whole
from collector.points.notation import find_notation
from collector.points.words import FOR_READERS, HEADINGS, column_of, fold
from tests.points.point_tables import write_cells

ROW = {"名称": "P", "量": "active_power_mw", "区": "holding", "数据类型": "float32", "地址": "100", "单位": "MW"}


def load(tmp_path: Path, protocol: str = "modbus_tcp", **cells: str) -> Point:
    row = {**ROW, **cells}
    path = write_cells(tmp_path / "t", [list(row), list(row.values())], "utf8")
    (point,) = load_points(path, protocol, "d")
    return point


def refusal(tmp_path: Path, protocol: str = "modbus_tcp", **cells: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, protocol, **cells)
    (problem,) = caught.value.problems
    return f"{problem.key}: {problem.message}"


def test_no_heading_means_two_columns() -> None:
    seen: dict[str, str] = {fold(word): "" for word in FOR_READERS}
    for key, headings in HEADINGS.items():
        for heading in (key, *headings):
            assert seen.setdefault(fold(heading), key) == key, heading
            assert column_of(heading) == key


def test_every_word_leads_to_something_this_program_knows() -> None:
    assert set(words.MODBUS_AREA_WORDS.words.values()) == set(MODBUS_AREAS)
    assert {int(w) for w in words.IEC104_AREA_WORDS.words.values()} == set(IEC104_TYPES)
    assert set(words.TYPE_WORDS.words.values()) == set(REGISTERS)
    assert set(words.ORDER_WORDS.words.values()) == set(ORDERS)
    assert set(words.UNIT_WORDS.values()) <= set(RAW_UNITS)
    for vocabulary in (words.MODBUS_AREA_WORDS, words.IEC104_AREA_WORDS, words.TYPE_WORDS, words.ORDER_WORDS):
        assert not set(vocabulary.words) & (set(vocabulary.traps) | vocabulary.writing)


@pytest.mark.parametrize(
    ("column", "written", "field", "meant"),
    [
        ("区", "03", "area", "holding"), ("区", "输入寄存器", "area", "input"),
        ("区", "保持寄存器", "area", "holding"), ("区", "4X", "area", "holding"),
        ("数据类型", "Float", "type", "float32"), ("数据类型", "32位浮点", "type", "float32"),
        ("数据类型", "无符号16位", "type", "uint16"), ("数据类型", "DWORD", "type", "uint32"),
        ("地址", "0x64", "address", 100), ("地址", "64H", "address", 100), ("地址", "00100", "address", 100),
        ("地址", "100.0", "address", 100), ("单位", "KW", "raw_unit", "kW"), ("单位", "兆瓦", "raw_unit", "MW"),
        ("单位", "万千瓦", "raw_unit", "万kW"),
        ("字节序", "CD AB", "order", "CDAB"), ("字节序", "cd-ab", "order", "CDAB"), ("字节序", "3412", "order", "CDAB"),
        ("字节序", "低字在前", "order", "CDAB"), ("字节序", "/", "order", "ABCD"), ("方向", "反", "sign", -1),
        ("方向", "-1", "sign", -1), ("备用", "是", "backup", True), ("主备", "主", "backup", False),
        ("量", "有功功率", "quantity", "active_power_mw"), ("量", "有功", "quantity", "active_power_mw"),
        ("哨值", "0x8000 -32768", "no_value", (32768, -32768)),
    ],
)  # fmt: skip
def test_the_words_of_the_trade_are_understood(
    tmp_path: Path, column: str, written: str, field: str, meant: object
) -> None:
    assert getattr(load(tmp_path, **{column: written}), field) == meant


@pytest.mark.parametrize(("heading", "written", "area"), [
    ("功能码", "4", "input"), ("功能码", "3.0", "holding"), ("FC", "1", "coil"), ("Function Code", "3", "holding"),
])  # fmt: skip
def test_a_bare_digit_under_a_heading_of_function_codes_is_one(
    tmp_path: Path, heading: str, written: str, area: str
) -> None:
    kind = ["bit", "on_grid", ""] if area == "coil" else ["int16", "active_power_mw", "MW"]
    header = ["name", heading, "address", "type", "quantity", "raw_unit"]
    path = write_cells(tmp_path / "t", [header, ["P", written, "7", *kind]], "utf8")
    assert [p.area for p in load_points(path, "modbus_tcp", "d")] == [area]


@pytest.mark.parametrize(
    ("written", "meant"),
    [("36", "36"), ("M_ME_TF_1", "36"), ("短浮点", "13"), ("3", "3"), ("09", "9"), ("3.0", "3"), ("30.0", "30")],
)
def test_the_types_of_104_are_known_by_number_and_name(tmp_path: Path, written: str, meant: str) -> None:
    assert load(tmp_path, "iec104", 区=written, 地址="4001H").area == meant
    assert load(tmp_path, "iec104", 区=written, 地址="4001H").address == 16385


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"字节序": "小端"}, "字节序: '小端' is said of DCBA, CDAB alike; write which"),
        ({"数据类型": "INT"}, "数据类型: 'INT' is said of int16, int32 alike; write which"),
        ({"方向": "-"}, "方向: '-' is said of -1, 1 (empty) alike; write which"),
        ({"区": "06"}, "区: '06' writes to the device; this program only reads; give the area it is read from"),
        ({"单位": "mW"}, "单位: got 'mW', expected one of MW, kW"),
        ({"机组": "MW"}, "机组: MW is an engineering unit; this column names the generating unit; head the column"),
        ({"字节序": "ABCDEFGH"}, "字节序: order ABCDEFGH has 8 bytes, float32 has 4"),
        ({"寄存器数": "4"}, "数据类型: float32 fills 2 register(s), the row gives it 4"),
        ({"死区": "-1"}, "死区: can't be below 0, got -1"), ({"周期": "0"}, "周期: must be above 0, got 0"),
        ({"量": ""}, "量: is empty; name the settlement quantity, give a guard value, or delete the row"),
        ({"量": "", "校验": "9..2"}, "校验: expected a number or min..max, got '9..2'"),
        ({"地址": "100.5"}, "地址: 100.5 is bit 5 of register 100, or more digits that a spreadsheet dropped"),
        ({"地址": "40001.0"}, "地址: 40001.0 looks like 4xxxx notation of a holding register; write"),
        ({"地址": "400001.0"}, "地址: 400001.0 is 4xxxx notation of a holding register; write the 0-based address 0"),
        ({"地址": "40006.1"}, "地址: 40006.1 is bit 1 of register 40006, or more digits that a spreadsheet dropped"),
        ({"地址": "5.0", "数据类型": "bit"}, "地址: 5.0 is bit 0 of register 5, or more digits that a spreadsheet"),
        ({"区": "3"}, "区: '3' is said of function 03 (holding), 3xxxx (input) alike"),
        ({"区": "4.0"}, "区: '4.0' is said of function 04 (input), 4xxxx (holding) alike"),
        ({"区": "1"}, "区: '1' is said of function 01 (coil), 1xxxx (discrete) alike"),
        ({"地址": "1_0"}, "地址: expected a whole number, got '1_0'"), ({"地址": ""}, "地址: is empty"),
        ({"数据类型": ""}, "数据类型: is empty"), ({"区": ""}, "区: is empty"),
    ],
)  # fmt: skip
def test_what_can_mean_two_things_or_nothing_is_refused(tmp_path: Path, cells: dict[str, str], reason: str) -> None:
    assert refusal(tmp_path, **cells).startswith(reason)


def test_a_command_of_104_is_refused_and_so_is_a_word_for_two_types(tmp_path: Path) -> None:
    assert refusal(tmp_path, "iec104", 区="45").startswith("区: '45' writes to the device; this program only reads")
    assert refusal(tmp_path, "iec104", 区="遥信").startswith(
        "区: '遥信' is said of 1/30 (单点), 3/31 (双点), 20 (成组单点) alike"
    )


@pytest.mark.parametrize(
    ("area", "written", "address", "itself"),
    [
        ("holding", "40001", 0, "0x9c41"), ("holding", "400101", 100, ""), ("holding", "4X0011", 10, ""),
        ("holding", "4x00011", 10, ""), ("holding", "465536", 65535, ""), ("input", "30010", 9, "0x753a"),
        ("discrete", "10001", 0, "0x2711"), ("coil", "00017", 16, "0x11"), ("coil", "000017", 16, "0x11"),
    ],
)  # fmt: skip
def test_4xxxx_notation_is_named_with_the_address_to_write(
    tmp_path: Path, area: str, written: str, address: int, itself: str
) -> None:
    cells = {"量": "on_grid", "单位": "", "数据类型": "bit"} if area in ("coil", "discrete") else {}
    message = refusal(tmp_path, 区=area, 地址=written, **cells)
    assert f"{written[0]}xxxx notation of a {area} register; write the 0-based address {address}" in message
    assert message.endswith(f", write {itself}" if itself else f"address {address}")


def test_4xxxx_notation_of_another_area_is_refused_where_it_is_certain(tmp_path: Path) -> None:
    assert refusal(tmp_path, 区="input", 地址="400001") == (
        "地址: 400001 is 4xxxx notation of a holding register, but the area is input; "
        "write the 0-based address 0 and the right area"
    )
    assert load(tmp_path, 区="input", 地址="40001").address == 40001
    assert load(tmp_path, 区="holding", 地址="0x9C41").address == 40001


@pytest.mark.parametrize("text", ["4000", "40000", "0x0001", "0X0001", "50001", "466000", "4Y0001", "", "٤٠٠٠١"])
def test_what_is_no_notation_is_left_alone(text: str) -> None:
    assert find_notation(text) is None


def test_whole_numbers_are_read_as_tables_write_them() -> None:
    assert [parse_whole(t) for t in ("16", "0016", "16.0", "0x10", "10H", "+16", "-16.00")] == [16] * 6 + [-16]
    assert [parse_whole(t) for t in ("", "1e3", "16.5", "0b1", "١٦", "FF", "--1")] == [None] * 7


def test_rows_are_checked_for_the_devices_that_read_them(tmp_path: Path) -> None:
    rows = [
        ["名称", "设备", "机组", "量", "区", "数据类型", "地址", "单位"],
        ["有功", "a", "1", "有功功率", "03", "float32", "0", "MW"],
        ["有功", "b", "1", "有功功率", "03", "float32", "0", "MW"],
        ["无功", "", "1", "无功功率", "03", "float32", "2", "Mvar"],
    ]
    path = write_cells(tmp_path / "t", rows, "utf8")
    assert [p.row for p in load_points(path, "modbus_tcp", "b")] == [3, 4]
    rows.append(["功率", "b", "1", "有功功率", "03", "float32", "4", "MW"])
    path = write_cells(tmp_path / "t", rows, "utf8")
    assert len(load_points(path, "modbus_tcp", "a")) == 2
    with pytest.raises(ConfigError, match=r"t\.csv:5: 量: active_power_mw has a primary source already in row 3"):
        load_points(path, "modbus_tcp", "b")


def test_the_units_of_the_trade_are_worth_what_they_say(tmp_path: Path) -> None:
    # 1234.5 万kWh are 12 345 MWh, in Wh; 66 万千瓦 are 660 MW, in kW.
    energy = load(tmp_path, 量="正向有功电量", 单位="万度")
    assert energy.stored(Fraction("1234.5")) == 12_345_000_000
    assert load(tmp_path, 单位="万千瓦").stored(66) == 660_000


def test_columns_named_by_a_list_are_passed_over_and_others_are_not(tmp_path: Path) -> None:
    header = ["点名", "KKS编码", "量", "区", "数据类型", "地址", "单位", "厂家备注"]
    row = ["有功", "10BAT01CE001", "有功功率", "03", "float32", "0", "MW", "见图 3"]
    path = write_cells(tmp_path / "t", [header, row], "utf8")
    (point,) = load_points(path, "modbus_tcp", "d", ["kks编码", "厂家备注"])
    assert point.name == "有功"
    with pytest.raises(ConfigError, match="厂家备注: unknown column"):
        load_points(path, "modbus_tcp", "d", ["KKS编码"])
    (tmp_path / "agent.toml").write_text(
        'schema = 1\n[gateway]\nid = "g"\n[[plant]]\nid = "P"\n[[unit]]\nid = "U1"\nplant = "P"\n'
        '[[device]]\nid = "d"\nprotocol = "modbus_tcp"\npoints = "t.csv"\nunit = "U1"\nhost = "127.0.0.1"\nport = 1\n'
        'ignore_columns = ["KKS编码", "厂家备注"]\n',
        "utf-8",
    )
    assert len(load_agent(tmp_path / "agent.toml").points["d"]) == 1


@pytest.mark.parametrize(
    ("written", "states"),
    [
        ("1=1;2=0", ((1, 1), (2, 0))), ("1 = 1, 2 = 0", ((1, 1), (2, 0))), ("0x55=1 0AAH=0", ((85, 1), (170, 0))),
        ("1:1;2:0", ((1, 1), (2, 0))), ("-1=0、1=1", ((-1, 0), (1, 1))), ("/", ()),
    ],
)  # fmt: skip
def test_the_states_of_a_status_are_read_as_people_write_them(
    tmp_path: Path, written: str, states: tuple[tuple[int, int], ...]
) -> None:
    row = load(tmp_path, 量="on_grid", 数据类型="int16", 单位="", 状态映射=written)
    assert row.states == states


STATUS = {"量": "on_grid", "数据类型": "uint16", "单位": ""}


@pytest.mark.parametrize(
    ("cells", "refused"),
    [
        ({"map": "1=投;2=退"}, "map: expected raw values with the 0 or 1 each means"),
        ({"map": "1=1;1=0"}, "map: expected raw values"), ({"map": "1;0"}, "map: expected raw values"),
        ({"map": "1=2"}, "map: expected raw values"), ({"map": "1=1;2=0", "系数": "2"}, "map: a map takes raw values"),
        ({"map": "1=1;2=0", "方向": "-1"}, "map: a map takes raw values"),
        ({"bit": "2..3"}, "map: bits 2..3 have 4 states"), ({"bit": "3..2"}, "bit: expected a bit, or the lowest"),
        ({"bit": "14..16"}, "bit: expected a bit, or the lowest"), ({"bit": "2..x"}, "bit: expected a bit"),
        ({"数据类型": "bit", "区": "coil", "bit": "0..1", "map": "1=1;2=0"}, "bit: a coil is one bit"),
        ({"量": "active_power_mw", "单位": "MW", "map": "1=1;2=0"}, "map: only a status has a map"),
    ],
)  # fmt: skip
def test_a_map_that_says_nothing_sure_is_refused(tmp_path: Path, cells: dict[str, str], refused: str) -> None:
    assert refusal(tmp_path, **STATUS | cells).startswith(refused)


@pytest.mark.parametrize("area", ["1", "3", "30", "31"])
def test_the_states_of_single_and_double_points_are_the_standards(tmp_path: Path, area: str) -> None:
    told = refusal(tmp_path, "iec104", **STATUS | {"区": area, "map": "1=1;2=0"})
    assert told.startswith(f"map: the two states of type {area} are the standard's")


def test_several_bits_of_a_measured_value_are_a_number_without_a_map(tmp_path: Path) -> None:
    row = load(tmp_path, 数据类型="uint16", bit="4..11", 系数="0.5")
    assert (row.bit, row.bit_count) == (4, 8)
    assert row.reach == (Fraction(0), Fraction(255, 2))
