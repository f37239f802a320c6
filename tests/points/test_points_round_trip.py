# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever the encoding, file form, language and order of columns: the same table is the same points."""

from __future__ import annotations

import dataclasses
import tempfile
from fractions import Fraction
from pathlib import Path

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from collector.points import COLUMNS, IEC104_TYPES, ORDERS, Point, load_points
from collector.points.point import NORMALISED, decimal_text
from tests.points.point_tables import FORMS, write_points
from tests.size import sized

decimals = st.builds(lambda whole, digits: Fraction(whole, 10**digits), st.integers(-(10**6), 10**6), st.integers(0, 6))
texts = st.text("有功功率断路器ABCabc019 ,\"'", max_size=12).map(str.strip)


@st.composite
def points(draw: st.DrawFn, protocol: str, row: int) -> Point:
    modbus, kind = protocol == "modbus_tcp", "float32"
    if modbus:
        kind = draw(st.sampled_from(["int16", "uint32", "int64", "float32", "float64"]))
    area = {"modbus_tcp": st.sampled_from(["holding", "input"]), "dlt645": st.just(""), "dlt698": st.just("OAD")}.get(
        protocol, st.sampled_from([str(t) for t in IEC104_TYPES])
    )
    number = draw(area)
    return Point(
        file="", row=0, name=f"P{row} {draw(texts)}".strip(), description=draw(texts.filter(lambda t: t not in "/—-")),
        device="", unit=f"U{row}", quantity="active_power_mw", area=number, type=kind,
        address=draw(st.integers(1, 9_999)), common_address=None if modbus else draw(st.integers(1, 65534)),
        bit=draw(st.integers(0, 15)) if number == "20" else None,
        norm_base=draw(st.sampled_from([None, 1, 32767, 32768])) if number in NORMALISED else None,
        order=draw(st.sampled_from(ORDERS)), scale=draw(decimals.filter(bool)), offset=draw(decimals),
        raw_unit=draw(st.sampled_from(["MW", "kW", "W"])), sign=draw(st.sampled_from([1, -1])), low=None, high=None,
        deadband=draw(st.none() | decimals.map(abs)), period_s=draw(st.none() | st.integers(1, 60).map(Fraction)),
        backup=draw(st.booleans()), guard="", no_value=tuple(draw(st.lists(st.integers(-9, 70_000), max_size=2))),
    )  # fmt: skip


def is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return any(byte > 127 for byte in data)


@given(data=st.data())
@settings(max_examples=sized(40, 120))
def test_a_written_table_loads_to_the_same_points(data: st.DataObject) -> None:
    protocol = data.draw(st.sampled_from(["modbus_tcp", "iec104", "dlt645", "dlt698"]))
    table = [data.draw(points(protocol, row)) for row in range(data.draw(st.integers(1, 4)))]
    form = data.draw(st.sampled_from(sorted(FORMS)))
    title, columns = data.draw(st.booleans()), data.draw(st.permutations(COLUMNS))
    with tempfile.TemporaryDirectory() as directory:
        path = write_points(Path(directory) / "t", table, protocol, form, chinese=data.draw(st.booleans()), title=title,
                            columns=columns)  # fmt: skip
        if form == "gbk":  # a few words are valid in both encodings, and UTF-8 is tried first
            assume(not is_utf8(path.read_bytes()))
        loaded = load_points(path, protocol, "any")
    assert [point.row for point in loaded] == [row + 2 + title for row in range(len(table))]
    assert [dataclasses.replace(point, file="", row=0) for point in loaded] == table


@given(decimals)
def test_a_decimal_is_shown_exactly(value: Fraction) -> None:
    assert Fraction(decimal_text(value)) == value
    assert "e" not in decimal_text(value).lower()
