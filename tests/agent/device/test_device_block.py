# SPDX-License-Identifier: GPL-3.0-or-later
"""A block decoded at once gives what its points decoded one by one give."""

from __future__ import annotations

import math
import struct
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from collector.agent.device.modbus.block import BlockDecoder
from collector.agent.device.modbus.plan import RequestLimits, plan_reads
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
        bits = draw(st.integers(1, 3)) if kind == "bit" else 1
        rows.append(
            point(
                "on_grid" if kind == "bit" else "active_power_mw", name=f"p{number}", type=kind,
                address=draw(st.integers(0, 20)), order=draw(st.sampled_from(ORDERS)),
                bit=draw(st.integers(0, 16 - bits)) if kind == "bit" else None, bit_count=bits,
                states=draw(st.sampled_from([(), ((1, 1), (2, 0)), ((0, 1), (3, 0))])) if kind == "bit" else (),
                raw_unit="" if kind == "bit" else "kW",
                scale=draw(st.sampled_from([Fraction(1), Fraction(1, 10), Fraction(-7, 3), Fraction(10**9)])),
                offset=draw(st.sampled_from([Fraction(0), Fraction(0), Fraction(1, 2)])),
                no_value=draw(st.sampled_from([(), (0,), (0xFFFF, -1)])),
            )
        )  # fmt: skip
    return rows


@given(tables(), st.data())
def test_the_whole_block_reads_as_its_points_one_by_one(points: list[Point], data: st.DataObject) -> None:
    scalings = {p.name: scaling_of(p) for p in points}
    for block in plan_reads(points, RequestLimits(max_gap=20)):
        size = 2 * block.count
        registers = data.draw(st.binary(min_size=size, max_size=size).filter(lambda b: set(b) not in ({0}, {0xFF})))
        readings = BlockDecoder(block, {}).decode(registers, 7)
        assert [r.point for r in readings] == list(block.points)
        for reading in readings:
            p = reading.point
            start = 2 * (p.address - block.address)
            octets = registers[start : start + 2 * p.registers]
            expected = scalings[p.name].judge(
                decode_value(octets, p.type, p.order, p.bit, p.bit_count), int.from_bytes(octets, "big")
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
    (block,) = plan_reads([row], RequestLimits())
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
    (block,) = plan_reads(coils, RequestLimits(max_gap=1))
    decoder = BlockDecoder(block, {})
    assert [r.value for r in decoder.decode(b"\x01\x01\x00", 7)] == [1, 0]
    (lone,) = plan_reads(coils[:1], RequestLimits())
    assert [r.value for r in BlockDecoder(lone, {}).decode(b"\x01", 7)] == [1]


def test_a_guard_is_judged_by_every_new_value_it_takes() -> None:
    guard = point("", name="version", address=0, guard="2026")
    (block,) = plan_reads([guard], RequestLimits())
    decoder = BlockDecoder(block, {"version": Guard.parse("2026")})
    found = [decoder.decode(value.to_bytes(2, "big"), 7)[0] for value in (2026, 2026, 2027, 2026)]
    assert [r.quality for r in found] == [Quality.GOOD, Quality.GOOD, Quality.SUSPECT, Quality.GOOD]
    assert {r.value for r in found} == {None}


def qualities(decoder: BlockDecoder, data: str) -> list[Quality]:
    return list(decoder.decode(bytes.fromhex(data), 7).qualities)


def decoder_of(*points: Point) -> BlockDecoder:
    (block,) = plan_reads(points, RequestLimits())
    return BlockDecoder(block, {})


def test_a_block_of_ffff_is_suspect_also_where_each_value_could_be() -> None:
    rows = [point("active_power_mw", address=0, type="int32", raw_unit="kW"),
            point("reactive_power_mvar", address=2, type="int16", raw_unit="kvar")]  # fmt: skip
    assert qualities(decoder_of(*rows), "ff" * 6) == [Quality.SUSPECT] * 2
    assert qualities(decoder_of(*rows), "ffffffff fffe") == [Quality.GOOD] * 2
    assert qualities(decoder_of(rows[0]), "ff" * 4) == [Quality.GOOD], "one value may well be -1"


def test_a_block_of_zeros_is_a_stopped_unit_unless_something_in_it_can_not_be_zero() -> None:
    power = point("active_power_mw", address=0, raw_unit="kW")
    running = point("agc_in_service", address=1, type="bit", bit=0)
    frequency = point("frequency_hz", address=2, raw_unit="mHz")
    assert qualities(decoder_of(power, running), "0000 0000") == [Quality.GOOD] * 2
    found = qualities(decoder_of(power, running, frequency), "0000 0000 0000")
    assert found == [Quality.SUSPECT, Quality.SUSPECT, Quality.OUT_OF_RANGE]


def test_a_counter_that_has_counted_does_not_show_zero_together_with_all_around_it() -> None:
    decoder = decoder_of(
        point("active_power_mw", address=0, raw_unit="kW"),
        point("energy_export_mwh", address=1, type="uint32", raw_unit="kWh"),
    )
    assert qualities(decoder, "0000 00000000") == [Quality.GOOD] * 2, "a new meter"
    assert qualities(decoder, "0000 00000007") == [Quality.GOOD] * 2
    assert qualities(decoder, "0000 00000000") == [Quality.SUSPECT] * 2


def test_what_is_out_of_range_is_told_of_each_answer_anew() -> None:
    # 2 000 000 000 kW is more than any unit has; 9 is no status; 5 is what this device shows in place of a value.
    decoder = decoder_of(
        point("active_power_mw", address=0, type="int32", raw_unit="kW"),
        point("on_grid", address=2, type="uint16", raw_unit=""),
        point("agc_in_service", address=3, type="uint16", raw_unit="", no_value=(5,)),
    )
    good, beyond, invalid = Quality.GOOD, Quality.OUT_OF_RANGE, Quality.INVALID
    assert qualities(decoder, "00006d60 0009 0001") == [good, beyond, good]
    assert qualities(decoder, "00006d60 0009 0000") == [good, beyond, good]
    assert qualities(decoder, "77359400 0001 0001") == [beyond, good, good]
    assert qualities(decoder, "77359400 0009 0005") == [beyond, beyond, invalid]
    assert qualities(decoder, "00006d60 0001 0001") == [good, good, good]
    readings = decoder.decode(bytes.fromhex("77359400 0001 0009"), 7)
    assert [r.quality for r in readings] == [beyond, good, beyond]
    assert [r.value for r in readings] == [None, 1, None]
