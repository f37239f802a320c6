# SPDX-License-Identifier: GPL-3.0-or-later
"""A block decoded at once gives what its points decoded one by one give."""

from __future__ import annotations

import math
import struct
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from collector.agent.device.modbus.block import BlockDecoder
from collector.agent.device.modbus.plan import Limits, plan_reads
from collector.agent.device.registers import Guard, decode_value, scaling_of
from collector.model.quantity import BY_NAME
from collector.model.record import Quality
from collector.points import ORDERS, REGISTERS, Point
from tests.agent.device.agent_points import point

TYPES = [kind for kind in REGISTERS if kind != "bit"]


@st.composite
def tables(draw: st.DrawFn) -> list[Point]:
    """Points of one area, overlapping as they like."""
    rows = []
    for number in range(draw(st.integers(1, 12))):
        kind = draw(st.sampled_from([*TYPES, "bit"]))
        rows.append(
            point(
                "on_grid" if kind == "bit" else "active_power_mw", name=f"p{number}", type=kind,
                address=draw(st.integers(0, 20)), order=draw(st.sampled_from(ORDERS)),
                bit=draw(st.integers(0, 15)) if kind == "bit" else None, raw_unit="" if kind == "bit" else "kW",
                scale=draw(st.sampled_from([Fraction(1), Fraction(1, 10), Fraction(-7, 3), Fraction(10**9)])),
                offset=draw(st.sampled_from([Fraction(0), Fraction(0), Fraction(1, 2)])),
                no_value=draw(st.sampled_from([(), (0,), (0xFFFF, -1)])),
            )
        )  # fmt: skip
    return rows


@given(tables(), st.data())
def test_the_whole_block_reads_as_its_points_one_by_one(points: list[Point], data: st.DataObject) -> None:
    scalings = {p.name: scaling_of(p) for p in points}
    for block in plan_reads(points, Limits(max_gap=20)):
        registers = data.draw(st.binary(min_size=2 * block.count, max_size=2 * block.count))
        readings = BlockDecoder(block, {}).decode(registers, 7)
        assert [r.point for r in readings] == list(block.points)
        for reading in readings:
            p = reading.point
            start = 2 * (p.address - block.address)
            octets = registers[start : start + 2 * p.registers]
            expected = scalings[p.name].judge(
                decode_value(octets, p.type, p.order, p.bit), int.from_bytes(octets, "big")
            )
            assert (reading.value, reading.quality) == expected
            assert (reading.raw, reading.time_utc_ms, reading.event) == (octets, 7, False)


# Halves of every sign and size around what is stored, and floats beyond what a shorter way may take.
@given(
    st.one_of(
        st.integers(-(2**25), 2**25).map(lambda eighths: eighths / 8),
        st.floats(width=32),
        st.sampled_from([-0.0, 1e30]),
    ),
    st.sampled_from(["MW", "kW"]),
    st.sampled_from([Fraction(1), Fraction(-1), Fraction(3), Fraction(1, 1000)]),
)
def test_a_float32_is_rounded_as_its_exact_value_is(number: float, raw_unit: str, scale: Fraction) -> None:
    row = point("active_power_mw", type="float32", address=0, raw_unit=raw_unit, scale=scale)
    (block,) = plan_reads([row], Limits())
    octets = struct.pack(">f", number)
    (reading,) = BlockDecoder(block, {}).decode(octets, 7)
    if not math.isfinite(number):
        assert (reading.value, reading.quality) == (None, Quality.INVALID)
        return
    exact = row.stored(Fraction(struct.unpack(">f", octets)[0]))
    limits = BY_NAME["active_power_mw"]
    if limits.low_scaled <= exact <= limits.high_scaled:
        assert (reading.value, reading.quality) == (exact, Quality.GOOD)
    else:
        assert (reading.value, reading.quality) == (None, Quality.OUT_OF_RANGE)


def test_coils_and_a_lone_point_are_blocks_like_others() -> None:
    coils = [point("on_grid", name=f"c{a}", area="coil", type="bit", address=a) for a in (3, 5)]
    (block,) = plan_reads(coils, Limits(max_gap=1))
    decoder = BlockDecoder(block, {})
    assert [r.value for r in decoder.decode(b"\x01\x01\x00", 7)] == [1, 0]
    (lone,) = plan_reads(coils[:1], Limits())
    assert [r.value for r in BlockDecoder(lone, {}).decode(b"\x01", 7)] == [1]


def test_a_guard_is_judged_by_every_new_value_it_takes() -> None:
    guard = point("", name="version", address=0, guard="2026")
    (block,) = plan_reads([guard], Limits())
    decoder = BlockDecoder(block, {"version": Guard.parse("2026")})
    found = [decoder.decode(value.to_bytes(2, "big"), 7)[0] for value in (2026, 2026, 2027, 2026)]
    assert [r.quality for r in found] == [Quality.GOOD, Quality.GOOD, Quality.SUSPECT, Quality.GOOD]
    assert {r.value for r in found} == {None}
