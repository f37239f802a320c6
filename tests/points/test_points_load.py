# SPDX-License-Identifier: GPL-3.0-or-later
"""Point tables: what a row means, and every refusal with its place."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from collector.base.errors import ConfigError
from collector.points import load_points

HEADER = "name,quantity,area,type,address,scale,offset,raw_unit,sign,min,max,order,bit,registers,guard,no_value\n"


def table(tmp_path: Path, *rows: str, header: str = HEADER) -> Path:
    path = tmp_path / "points.csv"
    path.write_text(header + "".join(r + "\n" for r in rows), "utf-8")
    return path


def refusals(tmp_path: Path, *rows: str, protocol: str = "modbus_tcp", header: str = HEADER) -> list[str]:
    path = table(tmp_path, *rows, header=header)
    with pytest.raises(ConfigError) as caught:
        load_points(path, protocol, "governor-1")
    return [str(p).replace(str(tmp_path) + "/", "") for p in caught.value.problems]


def test_a_row_becomes_a_point_whose_raw_value_is_stored_exactly(tmp_path: Path) -> None:
    # 0.1 kW a step with an offset of 5 kW, shown with the opposite sign: raw 12345 -> -(1234.5 + 5) kW = -1239.5 kW
    path = table(tmp_path, "P,active_power_mw,holding,int32,100,0.1,5,kW,-1,,,CDAB,,2,,")
    (point,) = load_points(path, "modbus_tcp", "governor-1")
    assert point.registers == 2
    assert point.stored(12345) == -1240  # half away from zero
    assert point.stored(Fraction(0)) == -5


def test_a_type_its_width_cannot_hold_is_refused_with_file_and_row(tmp_path: Path) -> None:
    assert refusals(tmp_path, "P,active_power_mw,holding,int32,100,1,0,MW,1,,,ABCD,,1,,") == [
        "points.csv:2: type: int32 fills 2 register(s), the row gives it 1"
    ]


def test_a_range_the_type_cannot_hold_is_refused(tmp_path: Path) -> None:
    assert refusals(tmp_path, "P,active_power_mw,holding,uint16,100,0.01,0,MW,1,-50,700,ABCD,,,,") == [
        "points.csv:2: type: uint16 with this scale reaches 0 to 655.35 MW: it can't hold min -50",
        "points.csv:2: type: uint16 with this scale reaches 0 to 655.35 MW: it can't hold max 700",
    ]


@pytest.mark.parametrize(
    ("row", "place_and_reason"),
    [
        ("P,active_power_mw,coil,float32,1,,,MW,,,,,,,,", "type: a coil holds one bit; float32 needs 2 register(s)"),
        ("P,on_grid,holding,bit,1,,,,,,,,,,,", "bit: a bit of a register needs its number"),
        ("P,active_power_mw,holding,int32,65535,,,MW,,,,,,,,", "address: int32 at 65535 runs past the last register"),
        ("P,active_power_mw,holding,int16,40001,,,MW,,,,,,,,", "write the 0-based address 0"),
        ("P,active_power_mw,holding,int16,x,,,MW,,,,,,,,", "address: expected a whole number, got 'x'"),
        ("P,active_powr_mw,holding,int16,1,,,MW,,,,,,,,", "did you mean 'active_power_mw'?"),
        ("P,active_power_mw,holding,itn16,1,,,MW,,,,,,,,", "did you mean 'int16'?"),
        (
            "P,active_power_mw,holding,int16,1,,,kV,,,,,,,,",
            "raw_unit: active_power_mw is given in MW or kW or W or 万kW, got 'kV'",
        ),
        ("P,active_power_mw,holding,int16,1,1e999,,MW,,,,,,,,", "scale: not a number: '1e999'"),
        ("P,active_power_mw,holding,int16,1,0,,MW,,,,,,,,", "scale: 0 would make every value 0"),
        ("P,active_power_mw,holding,int16,1,,,MW,,9,8,,,,,", "min: min 9 is above max 8"),
        ("P,on_grid,input,float32,1,,,,,,,,,,,", "type: a status can't be float32"),
        (",active_power_mw,holding,int16,1,,,MW,,,,,,,,", "name: is empty"),
        ("P,active_power_mw,holding,int16,1,,,MW,,,", "the row has 11 cells, the header has 16"),
        ("P,active_power_mw,holding,int16,1,,,MW,,,,,,,5,", "guard: a guard point carries no quantity"),
    ],
)
def test_each_mistake_is_named_with_its_remedy(tmp_path: Path, row: str, place_and_reason: str) -> None:
    found = refusals(tmp_path, row)
    assert any(place_and_reason in f and f.startswith("points.csv:2: ") for f in found), found


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    found = refusals(
        tmp_path,
        "P,active_power_mw,holding,int32,100,1,0,MW,1,,,ABCD,,1,,",
        "P,active_power_mw,holding,int16,102,,,MW,,,,,,,,",
        "Q,reactive_power_mvar,holding,int99,103,,,Mvar,,,,,,,,",
    )
    assert [f.split(": ")[0] for f in found] == ["points.csv:2", "points.csv:3", "points.csv:3", "points.csv:4"]


def test_an_unknown_column_is_refused_with_the_nearest_known_one(tmp_path: Path) -> None:
    assert refusals(tmp_path, header="name,area,type,adress\n") == [
        "points.csv:1: adress: unknown column; did you mean 'address'?",
        "points.csv:1: address: column missing",
    ]


def test_a_table_saved_as_gbk_is_read(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_bytes(
        "name,description,quantity,area,type,address\n并网,断路器位置,on_grid,discrete,bit,3\n".encode("gbk")
    )
    (point,) = load_points(path, "modbus_tcp", "governor-1")
    assert (point.name, point.description) == ("并网", "断路器位置")


def test_a_data_identifier_is_eight_hexadecimal_digits(tmp_path: Path) -> None:
    header = "name,quantity,area,type,address,raw_unit\n"
    (point,) = load_points(table(tmp_path, "E,energy_export_mwh,,bcd32,00010000,kWh", header=header), "dlt645", "m")
    assert point.address == 0x00010000
    assert refusals(tmp_path, "E,energy_export_mwh,,bcd32,10000,kWh", protocol="dlt645", header=header) == [
        "points.csv:2: address: a data identifier is 8 hexadecimal digits (of DL/T 645-1997 4, such as 9010), got "
        "'10000'; format the column as text, so that leading zeros stay"
    ]
