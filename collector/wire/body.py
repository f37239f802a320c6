# SPDX-License-Identifier: GPL-3.0-or-later
"""The body of a batch: columns of scaled integers, delta coded, in the narrowest width that holds them.

All records form one table, grouped by unit and stored by *columns*: six of the record itself (`TIME` …), then a column
of values and a column of states per quantity. Per column and unit the first value is kept (`bases`); the others are
differences to the record before, divided by their common divisor, zigzag coded, and stored in 0, 1, 2, 4 or 8 bytes,
all bytes of the same significance together. A column without differences (a constant status, a quality that is always
good) takes no bytes. zstd (`envelope.py`) then compresses repetitions.

A missing value repeats the value before it and carries `ABSENT` in its state, beside the quality.

Schema version 2 has two parts: an *index* of units, times and gaps, which is all that a receiver needs, and the other
columns (`Columns`), which only the writer of day files decodes. No fact is in both parts, so they can't contradict each
other. Units whose records have the same times share an axis in the index; a regular axis is stored as count, first time
and step. In version 1 all is one part (`Body`); version 1 is still read, but no longer written.

The agent encodes records (`records.py`) in plain Python: numpy alone would take a tenth of its memory limit. The center
reads and writes bodies as arrays (`columns.py`). A test compares the bytes of the two encoders.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from math import gcd
from typing import Annotated, Final

import msgspec

from collector.model.record import GapRecord
from collector.wire.batch import MAX_GAPS, MAX_RECORDS, MAX_SEQUENCE, MAX_TIME_MS, MAX_UNITS

# Codes are on the wire: never renumber, only add.
QUANTITY_CODES: Final[dict[str, int]] = {
    "active_power_mw": 1,
    "reactive_power_mvar": 2,
    "bus_voltage_kv": 3,
    "frequency_hz": 4,
    "on_grid": 5,
    "agc_in_service": 6,
    "agc_setpoint_mw": 7,
    "avc_in_service": 8,
    "avc_target_kv": 9,
    "avc_at_limit": 10,
    "condenser": 11,
    "spilling": 12,
    "primary_frequency_in_service": 13,
    "energy_export_mwh": 14,
}

TIME, ERA, CAUSE, CLOCK, TAGGED, TAG_AGE = range(6)
FIXED: Final = 6
ABSENT: Final = 0x80
WIDTHS: Final = (1, 2, 4, 8)
_ARRAY_CODES: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}

_Names = Annotated[list[str], msgspec.Meta(max_length=MAX_UNITS)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_RECORDS)]
_Counts = Annotated[list[_Count], msgspec.Meta(max_length=MAX_UNITS)]
_TimeMs = Annotated[int, msgspec.Meta(ge=0, le=MAX_TIME_MS)]
_Sequence = Annotated[int, msgspec.Meta(ge=0, le=MAX_SEQUENCE)]
_Epoch = Annotated[int, msgspec.Meta(ge=0)]  # msgpack allows no more than 64 bits


class PackedGap(msgspec.Struct, frozen=True, array_like=True):
    """A gap record in a body."""

    units: _Names
    from_ms: _TimeMs
    to_ms: _TimeMs
    reason: str
    epoch: _Epoch | None
    from_seq: _Sequence | None
    to_seq: _Sequence | None


class RecordTimes(msgspec.Struct, frozen=True, array_like=True):
    """Times of records: the first after the header's `first_ms`, then steps of `step_ms`.

    Where steps differ, `planes` holds the difference of each step but the first from `step_ms`: divided by `divisor`,
    zigzag coded, `width` bytes each.
    """

    count: _Count
    first_ms: int = 0
    step_ms: int = 0
    divisor: int = 0
    width: int = 0
    planes: bytes = b""


class Index(msgspec.Struct, frozen=True, array_like=True):
    """The index of a body: all a receiver needs. `axis_of`: the axis of each unit; empty where there is only one."""

    units: _Names
    axis_of: bytes
    axes: Annotated[list[RecordTimes], msgspec.Meta(max_length=MAX_UNITS)]
    gaps: Annotated[list[PackedGap], msgspec.Meta(max_length=MAX_GAPS)]


class Columns(msgspec.Struct, frozen=True, array_like=True):
    """The columns but the times. `layouts`: quantity codes of each unit, in its order; the columns as in `Packed`."""

    layouts: Annotated[list[bytes], msgspec.Meta(max_length=MAX_UNITS)]
    widths: bytes
    divisors: list[int]
    bases: list[int]
    planes: bytes


class Body(msgspec.Struct, frozen=True, array_like=True):
    """A body of version 1, in one part. `layouts`: quantity codes of each unit, in order; columns as in `Packed`."""

    units: _Names
    layouts: Annotated[list[bytes], msgspec.Meta(max_length=MAX_UNITS)]
    counts: _Counts
    widths: bytes
    divisors: list[int]
    bases: list[int]
    planes: bytes
    gaps: Annotated[list[PackedGap], msgspec.Meta(max_length=MAX_GAPS)]


_ENCODER: Final = msgspec.msgpack.Encoder()


@dataclass(frozen=True, slots=True)
class Packed:
    """An encoded table.

    `widths`: bytes per difference, one per column; `divisors`: one per column whose width is not 0; `bases`: first
    values, column by column, one per unit that has records; `planes`: bytes of the differences, by significance.
    """

    widths: bytes
    divisors: list[int]
    bases: list[int]
    planes: bytes


@dataclass(frozen=True, slots=True)
class EncodedBody:
    """A body before compression, with the facts the header states about it. Times in UTC ms, 0 for an empty body."""

    index: bytes
    columns: bytes
    record_count: int
    first_ms: int
    last_ms: int


def assemble(
    units: Sequence[str], layouts: list[bytes], times: Sequence[Sequence[int]], packed: Packed | None,
    gaps: Sequence[GapRecord],
) -> EncodedBody:  # fmt: skip
    """Put packed records and gap records together into a body.

    Args:
        units, layouts, times: of each unit its name, the codes of its quantities and the times of its records.
        packed: the other columns of all records.
        gaps: gap records that travel along.
    """
    if packed is None:
        packed = Packed(b"", [], [], b"")
        first_ms, last_ms = min((g.from_ms for g in gaps), default=0), max((g.to_ms for g in gaps), default=0)
    else:
        first_ms, last_ms = min(min(own) for own in times if own), max(max(own) for own in times if own)
    places: dict[tuple[int, ...], int] = {}
    axis_of = bytes(places.setdefault(tuple(own), len(places)) for own in times)
    told = [PackedGap(list(g.units), g.from_ms, g.to_ms, g.reason, g.epoch, g.from_seq, g.to_seq) for g in gaps]
    axes = [_axis(own, first_ms) for own in places]
    index = _ENCODER.encode([list(units), axis_of if len(axes) > 1 else b"", axes, told])
    columns = Columns(layouts, packed.widths, packed.divisors, packed.bases, packed.planes)
    return EncodedBody(index, _ENCODER.encode(columns), sum(map(len, times)), first_ms, last_ms)


def _axis(times: Sequence[int], start_ms: int) -> list[int | bytes]:
    """A `RecordTimes` without the trailing fields that have their defaults."""
    if not times:
        return [0]
    step_ms = times[1] - times[0] if len(times) > 1 else 0
    rest = [after - before - step_ms for before, after in pairwise(times[1:])]
    axis: list[int | bytes] = [len(times), times[0] - start_ms, step_ms]
    if not (divisor := gcd(*rest)):
        return axis
    width, planes = narrow([value // divisor for value in rest])
    return [*axis, divisor, width, planes]


def narrow(numbers: Sequence[int]) -> tuple[int, bytes]:
    """The narrowest width of some numbers, and the numbers encoded in it.

    They are zigzag coded, all bytes of one significance together, the lowest first.

    Raises:
        OverflowError: a number needs more than 8 bytes.
    """
    coded = [2 * n if n >= 0 else -2 * n - 1 for n in numbers]
    peak = max(coded)
    width = next((width for width in WIDTHS if peak < 1 << 8 * width), 0)
    if width == 1:
        return 1, bytes(coded)
    cells = array(_ARRAY_CODES[width], coded) if width else array("Q", coded)
    if sys.byteorder == "big":
        cells.byteswap()
    octets = cells.tobytes()
    return width, b"".join(octets[significance::width] for significance in range(width))


def union_of(layouts: Sequence[bytes]) -> list[int]:
    """The quantity codes of all units, the first unit's order first, so that equal layouts need no reordering."""
    return list(dict.fromkeys(chain.from_iterable(layouts)))
