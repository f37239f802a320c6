# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches of all shapes for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from collector.base.clock_state import ClockState
from collector.model.quantity import QUANTITIES
from collector.model.record import Cause, GapRecord, Quality, UnitLayout, UnitRecord
from collector.wire import Batch, Stream

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,11}", fullmatch=True)
TIMES = st.integers(0, 1 << 47)
SEQUENCES = st.integers(1, (1 << 63) - 1)
VALUES = st.none() | st.integers(-(1 << 61), 1 << 61) | st.integers(-1000, 1000) | st.sampled_from([0, 1])


@st.composite
def unit_records(draw: st.DrawFn, layout: UnitLayout) -> list[UnitRecord]:
    """Up to a dozen records of one unit, in any order of time."""
    width = len(layout.quantities)
    return draw(
        st.lists(
            st.builds(
                UnitRecord,
                unit=st.just(layout.unit),
                time_utc_ms=TIMES,
                values=st.tuples(*[VALUES] * width),
                qualities=st.tuples(*[st.sampled_from(Quality)] * width),
                cause=st.sampled_from(Cause),
                era=st.integers(0, 0xFFFF),
                clock=st.sampled_from(ClockState),
                device_time_utc_ms=st.none() | TIMES,
            ),
            max_size=12,
        )
    )


@st.composite
def gap_records(draw: st.DrawFn) -> GapRecord:
    """A gap of the agent, or one that names sequences."""
    times = sorted(draw(st.tuples(TIMES, TIMES)))
    units = tuple(draw(st.lists(NAMES, max_size=3, unique=True)))
    if draw(st.booleans()):
        return GapRecord(units, times[0], times[1], draw(NAMES))
    sequences = sorted(draw(st.tuples(SEQUENCES, SEQUENCES)))
    epoch = draw(st.integers(0, (1 << 64) - 1))
    return GapRecord(units, times[0], times[1], draw(NAMES), epoch, sequences[0], sequences[1])


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """A batch of several units, each with its own quantities, and gaps."""
    names = draw(st.lists(NAMES, max_size=4, unique=True))
    quantities = st.lists(st.sampled_from([q.name for q in QUANTITIES]), unique=True, max_size=len(QUANTITIES))
    layouts = tuple(UnitLayout(name, tuple(draw(quantities))) for name in names)
    records = [r for layout in layouts for r in draw(unit_records(layout))]
    stream = Stream(draw(NAMES), draw(NAMES), draw(st.integers(0, (1 << 64) - 1)))
    gaps = tuple(draw(st.lists(gap_records(), max_size=3)))
    return Batch(stream, draw(SEQUENCES), layouts, tuple(records), gaps)
