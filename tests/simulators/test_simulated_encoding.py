# SPDX-License-Identifier: GPL-3.0-or-later
"""What a device holds for a value, checked against hand workings of the point table's formula."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.points import Point, load_points
from simulators.faces.encoding import arrange, guard_raw, register_encoder

HEADER = "name,quantity,area,type,address,bit,order,scale,offset,raw_unit,sign,no_value,guard\n"


def point(tmp_path: Path, row: str) -> Point:
    table = tmp_path / "table.csv"
    table.write_text(HEADER + row + "\n", "utf-8")
    return load_points(table, "modbus_tcp", "d")[0]


@pytest.mark.parametrize(
    ("row", "stored", "raw"),
    [
        # 380.125 MW as float32 0x43BE1000, low word first.
        ("p,active_power_mw,holding,float32,0,,CDAB,1,,MW,1,,", 380_125, "1000 43be"),
        # 380.1 MW in tenths of a MW: 3801 = 0x0ED9.
        ("p,active_power_mw,holding,uint16,0,,ABCD,0.1,,MW,1,,", 380_100, "0ed9"),
        # Raw = (value − offset) ÷ scale = (−20 − (−100)) ÷ 0.5 = 160.
        ("p,active_power_mw,holding,int16,0,,ABCD,0.5,-100,MW,1,,", -20_000, "00a0"),
        # A meter that counts absorbed reactive power as positive: −12.5 Mvar is +12500 kvar = 0x30D4.
        ("q,reactive_power_mvar,holding,int32,0,,ABCD,1,,kvar,-1,,", -12_500, "000030d4"),
        # 49.987 Hz in mHz = 49987 = 0xC343, bytes exchanged.
        ("f,frequency_hz,holding,uint16,0,,BADC,1,,mHz,1,,", 49_987_000, "43c3"),
        # 1234.5678 MWh in kWh, rounded half away from zero: 1234568 as BCD.
        ("e,energy_export_mwh,holding,bcd32,0,,ABCD,1,,kWh,1,,", 1_234_567_800, "01234568"),
        # Beyond its last digit a counter starts again: 100 000 001 kWh in eight digits.
        ("e,energy_export_mwh,holding,bcd32,0,,ABCD,1,,kWh,1,,", 100_000_001_000, "00000001"),
        # 112345678 kWh, a register per four digits: 1, 1234 = 04D2h, 5678 = 162Eh; and low register first.
        ("e,energy_export_mwh,holding,mod10k48,0,,ABCD,1,,kWh,1,,", 112_345_678_000, "000104d2162e"),
        ("e,energy_export_mwh,holding,mod10k32,0,,CDAB,1,,kWh,1,,", 12_345_678_000, "162e04d2"),
        ("q,reactive_power_mvar,holding,mod10k32,0,,ABCD,1,,kvar,1,,", -12_345_678, "fb2ee9d2"),
        ("e,energy_export_mwh,holding,bcd48,0,,ABCD,1,,kWh,1,,", 112_345_678_000, "000112345678"),
        ("e,energy_export_mwh,holding,bcd24,0,,ABCD,1,,kWh,1,,", 345_678_000, "00345678"),
        # 1.0 in half precision: exponent 15, no fraction.
        ("p,active_power_mw,holding,float16,0,,ABCD,1,,MW,1,,", 1_000, "3c00"),
        # 65 537 MWh in 16 bits.
        ("e,energy_export_mwh,holding,uint16,0,,ABCD,1,,MWh,1,,", 65_537_000_000, "0001"),
        # Any other value beyond the type's range saturates.
        ("p,active_power_mw,holding,int16,0,,ABCD,0.001,,MW,1,,", 380_125, "7fff"),
        # No value: the sentinel of the row.
        ("p,active_power_mw,holding,int16,0,,ABCD,0.1,,MW,1,-32768,", None, "8000"),
    ],
)
def test_a_value_becomes_the_registers_that_the_point_table_says(
    tmp_path: Path, row: str, stored: int | None, raw: str
) -> None:
    encoded = register_encoder(point(tmp_path, row))(stored)
    assert encoded == bytes.fromhex(raw)


def test_a_guard_point_shows_the_value_that_its_row_asks_for(tmp_path: Path) -> None:
    assert guard_raw(point(tmp_path, "g,,holding,uint16,6,,,,,,,,2026")) == 2026
    assert guard_raw(point(tmp_path, "g,,holding,uint16,6,,,0.5,,,,,10..20")) == 20


@given(st.binary(min_size=8, max_size=8))
def test_each_order_of_bytes_undoes_itself(data: bytes) -> None:
    for order in ("ABCD", "CDAB", "BADC", "DCBA"):
        assert arrange(arrange(data, order), order) == data


def test_the_four_orders_of_a_32_bit_value_are_those_their_letters_name() -> None:
    value = bytes((0xA, 0xB, 0xC, 0xD))
    for order in ("ABCD", "CDAB", "BADC", "DCBA"):
        assert arrange(value, order) == bytes(int(letter, 16) for letter in order)
