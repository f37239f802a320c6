# SPDX-License-Identifier: GPL-3.0-or-later
"""The planner: covers all, never over the limit, reads no hole it was not allowed to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.agent.device.modbus.plan import BIT_AREAS, RequestLimits, plan_reads
from collector.points import Point
from tests.agent.device.agent_points import point


@st.composite
def tables(draw: st.DrawFn) -> list[Point]:
    rows = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["holding", "input", "coil"]),
                st.integers(0, 400),
                st.sampled_from(["uint16", "int32", "int64"]),
            ),
            max_size=60,
        )
    )
    return [
        point("active_power_mw", name=f"p{i}", area=area, address=address, type="bit" if area == "coil" else kind)
        for i, (area, address, kind) in enumerate(rows)
    ]


@given(tables(), st.integers(4, 125), st.integers(0, 20), st.booleans())
def test_every_point_lies_whole_in_exactly_one_request_within_the_limits(
    table: list[Point], max_registers: int, max_gap: int, alone: bool
) -> None:
    limits = RequestLimits(max_registers, 30, max_gap, alone)
    blocks = plan_reads(table, limits)
    assert sorted(p.name for b in blocks for p in b.points) == sorted(p.name for p in table)
    for block in blocks:
        assert 1 <= block.count <= (30 if block.area in BIT_AREAS else max_registers)
        covered = set()
        for row in block.points:
            assert row.area == block.area
            assert block.address <= row.address
            assert row.address + row.registers <= block.address + block.count
            covered |= set(range(row.address, row.address + row.registers))
        holes = [a for a in range(block.address, block.address + block.count) if a not in covered]
        assert all(any(h - d in covered for d in range(1, max_gap + 1)) for h in holes)
        assert not (alone and len(block.points) > 1)


@given(tables())
def test_without_gap_filling_no_register_is_read_that_nobody_asked_for(table: list[Point]) -> None:
    for block in plan_reads(table, RequestLimits()):
        asked = {a for p in block.points for a in range(p.address, p.address + p.registers)}
        assert asked == set(range(block.address, block.address + block.count))


def test_neighbours_share_a_request_and_a_hole_parts_it() -> None:
    table = [point("active_power_mw", name=str(a), address=a) for a in (0, 1, 2, 4)]
    assert [(b.address, b.count) for b in plan_reads(table, RequestLimits())] == [(0, 3), (4, 1)]
    assert [(b.address, b.count) for b in plan_reads(table, RequestLimits(max_gap=1))] == [(0, 5)]


def test_a_point_wider_than_the_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="fills 4 registers"):
        plan_reads([point("active_power_mw", type="int64")], RequestLimits(max_registers=3))
