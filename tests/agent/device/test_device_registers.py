# SPDX-License-Identifier: GPL-3.0-or-later
"""The register codec against vectors worked by hand, and its exactness as properties."""

from __future__ import annotations

import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.agent.device.registers import Guard, decode_value, in_order, scaling_of
from collector.model.record import Quality
from tests.agent.device.agent_points import point

# 123.456 as IEEE 754 single is 0x42F6E979; 0x12345678 = 305419896; -2 is all ones but the last bit.
VECTORS = [
    ("42f6e979", "float32", "ABCD", None, 123.45600128173828),
    ("e97942f6", "float32", "CDAB", None, 123.45600128173828),
    ("f64279e9", "float32", "BADC", None, 123.45600128173828),
    ("79e9f642", "float32", "DCBA", None, 123.45600128173828),
    ("12345678", "uint32", "ABCD", None, 305419896),
    ("56781234", "uint32", "CDAB", None, 305419896),
    ("34127856", "uint32", "BADC", None, 305419896),
    ("78563412", "uint32", "DCBA", None, 305419896),
    ("fffffffe", "int32", "ABCD", None, -2),
    ("fffe", "int16", "ABCD", None, -2),
    ("feff", "int16", "BADC", None, -2),
    ("fffe", "uint16", "CDAB", None, 65534),
    ("1234", "bcd16", "ABCD", None, 1234),
    ("56781234", "bcd32", "CDAB", None, 12345678),
    ("123a", "bcd16", "ABCD", None, None),
    ("7fc00000", "float32", "ABCD", None, None),
    ("7f800000", "float32", "ABCD", None, None),
    ("3ff0000000000000", "float64", "ABCD", None, 1.0),
    ("000000000000f03f", "float64", "DCBA", None, 1.0),
    ("0008", "bit", "ABCD", 3, 1),
    ("0008", "bit", "ABCD", 2, 0),
    ("0800", "bit", "BADC", 3, 1),
    # Low word first: FFFE FFFF FFFF FFFF read backwards by words is FFFF FFFF FFFF FFFE.
    ("fffeffffffffffff", "int64", "CDAB", None, -2),
    ("0000000000000100", "uint64", "BADC", None, 1),
    # IEEE 754 half precision: sign, 5 bits of exponent with bias 15, 10 bits of fraction.
    ("3c00", "float16", "ABCD", None, 1.0),
    ("00c0", "float16", "BADC", None, -2.0),
    ("7e00", "float16", "ABCD", None, None),
    ("ff7f", "int8_hi", "ABCD", None, -1),
    ("ff7f", "int8_lo", "ABCD", None, 127),
    ("ff7f", "uint8_hi", "ABCD", None, 255),
    ("ff7f", "uint8_lo", "BADC", None, 255),
    ("aa123456", "bcd24", "ABCD", None, 123456),
    ("0012a456", "bcd24", "ABCD", None, None),
    ("123456789012", "bcd48", "ABCD", None, 123_456_789_012),
    ("901256781234", "bcd48", "CDAB", None, 123_456_789_012),
    ("1234567890123456", "bcd64", "ABCD", None, 1_234_567_890_123_456),
    # 1234 = 04D2h, 5678 = 162Eh; the same two negative: FB2Eh, E9D2h; 10 000 = 2710h is no digit of base 10 000.
    ("04d2162e", "mod10k32", "ABCD", None, 12_345_678),
    ("162e04d2", "mod10k32", "CDAB", None, 12_345_678),
    ("fb2ee9d2", "mod10k32", "ABCD", None, -12_345_678),
    ("000104d2162e", "mod10k48", "ABCD", None, 112_345_678),
    ("0000000104d2162e", "mod10k64", "ABCD", None, 112_345_678),
    ("04d22710", "mod10k32", "ABCD", None, None),
    ("00100000", "uint32", "ABCD", 20, 1),
    ("00000010", "uint32", "CDAB", 20, 1),
    ("00100000", "uint32", "ABCD", 4, 0),
]


@pytest.mark.parametrize(("data", "kind", "order", "bit", "expected"), VECTORS)
def test_registers_decode_as_worked_by_hand(
    data: str, kind: str, order: str, bit: int | None, expected: float | None
) -> None:
    assert decode_value(bytes.fromhex(data), kind, order, bit) == expected


@given(
    st.binary(min_size=2, max_size=8).filter(lambda b: len(b) in (2, 4, 8)), st.sampled_from(["CDAB", "BADC", "DCBA"])
)
def test_every_order_is_its_own_inverse(data: bytes, order: str) -> None:
    assert in_order(in_order(data, order), order) == data


@given(
    st.integers(-(2**31), 2**31 - 1),
    st.fractions(min_value=Fraction(1, 10_000), max_value=10, max_denominator=10_000),
    st.fractions(min_value=-100, max_value=100, max_denominator=1000),
    st.sampled_from([1, -1]),
)
def test_scaling_equals_the_point_tables_own_arithmetic(raw: int, scale: Fraction, offset: Fraction, sign: int) -> None:
    row = point("active_power_mw", scale=scale, offset=offset, sign=sign, raw_unit="kW", type="int32")
    stored = row.stored(raw)
    value, quality = scaling_of(row).judge(raw)
    in_range = -2_500_000 <= stored <= 2_500_000
    assert (value, quality) == ((stored, Quality.GOOD) if in_range else (None, Quality.OUT_OF_RANGE))


@given(st.floats(-2400, 2400, width=32))
def test_a_float_is_rounded_once_from_its_exact_binary_value(raw: float) -> None:
    widened = struct.unpack(">f", struct.pack(">f", raw))[0]
    row = point("active_power_mw", type="float32", raw_unit="MW")
    assert scaling_of(row).judge(widened)[0] == row.stored(Fraction(widened))


@pytest.mark.parametrize(("raw", "stored"), [(5, 1), (-5, -1), (4, 0), (-4, 0), (15, 2)])
def test_halves_are_rounded_away_from_zero(raw: int, stored: int) -> None:
    # A raw unit of 0.1 kW: 0.5 kW becomes 1 kW, -0.5 kW becomes -1 kW.
    assert scaling_of(point("active_power_mw", scale=Fraction(1, 10), raw_unit="kW")).judge(raw)[0] == stored


def test_a_sentinel_is_no_value_also_by_its_bit_pattern() -> None:
    row = point("active_power_mw", type="int16", raw_unit="kW", no_value=(0xFFFF,))
    assert scaling_of(row).judge(-1, 0xFFFF) == (None, Quality.INVALID)
    assert scaling_of(row).judge(1, 1) == (1, Quality.GOOD)


def test_the_rows_own_range_narrows_the_quantitys() -> None:
    row = point("active_power_mw", raw_unit="kW", low=Fraction(-50), high=Fraction(100))
    scaling = scaling_of(row)
    assert [scaling.judge(raw)[1] for raw in (-51, -50, 100, 101)] == [
        Quality.OUT_OF_RANGE, Quality.GOOD, Quality.GOOD, Quality.OUT_OF_RANGE,
    ]  # fmt: skip


def test_a_status_is_nothing_but_zero_or_one() -> None:
    assert scaling_of(point("on_grid", type="uint16")).judge(2) == (None, Quality.OUT_OF_RANGE)


@pytest.mark.parametrize(
    ("text", "raw", "holds"),
    [("2026", 2026, True), ("2026", 2025, False), ("10..20", 20, True), ("10..20", 21, False), ("1", None, False)],
)
def test_a_guard_holds_only_what_it_names(text: str, raw: int | None, holds: bool) -> None:
    assert Guard.parse(text).holds(point("", guard=text), raw) is holds


@pytest.mark.parametrize("text", ["", "x", "2..1", "1..", "nan"])
def test_a_guard_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"number|range"):
        Guard.parse(text)
