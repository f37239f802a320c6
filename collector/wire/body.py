# SPDX-License-Identifier: GPL-3.0-or-later
"""The body of a batch: columns of scaled integers, delta coded, in the narrowest width that holds them.

All records form one table, grouped by unit and stored by *columns*: six of the record itself (`TIME` …), then a column
of values and a column of states per quantity. Per column and unit the first value is kept (`bases`); the others are
differences to the record before, divided by their common divisor, zigzag coded, and stored in 0, 1, 2, 4 or 8 bytes,
all bytes of the same significance together. A column without differences (a constant status, a quality that is always
good) takes no bytes. zstd (`envelope.py`) then compresses repetitions.

A missing value repeats the value before it and carries `ABSENT` in its state, beside the quality.

The agent encodes bodies (`records.py`) in plain Python: numpy would be a tenth of the memory it may take. The center
decodes and encodes them as arrays (`columns.py`). A test compares the bytes of the two encoders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
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

_Names = Annotated[list[str], msgspec.Meta(max_length=MAX_UNITS)]
_Counts = Annotated[list[Annotated[int, msgspec.Meta(ge=0, le=MAX_RECORDS)]], msgspec.Meta(max_length=MAX_UNITS)]
_TimeMs = Annotated[int, msgspec.Meta(ge=0, le=MAX_TIME_MS)]
_Sequence = Annotated[int, msgspec.Meta(ge=0, le=MAX_SEQUENCE)]
_Epoch = Annotated[int, msgspec.Meta(ge=0)]  # msgpack allows no more than 64 bits


class Gap(msgspec.Struct, frozen=True, array_like=True):
    """A gap record in a body."""

    units: _Names
    from_ms: _TimeMs
    to_ms: _TimeMs
    reason: str
    epoch: _Epoch | None
    from_seq: _Sequence | None
    to_seq: _Sequence | None


class Body(msgspec.Struct, frozen=True, array_like=True):
    """A body as packed by msgpack. `layouts`: quantity codes of each unit in its own order; columns as in `Packed`."""

    units: _Names
    layouts: Annotated[list[bytes], msgspec.Meta(max_length=MAX_UNITS)]
    counts: _Counts
    widths: bytes
    divisors: list[int]
    bases: list[int]
    planes: bytes
    gaps: Annotated[list[Gap], msgspec.Meta(max_length=MAX_GAPS)]


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

    raw: bytes
    record_count: int
    first_ms: int
    last_ms: int


def assemble(
    units: Sequence[str], layouts: list[bytes], counts: list[int], packed: Packed | None, span_ms: tuple[int, int],
    gaps: Sequence[GapRecord],
) -> EncodedBody:  # fmt: skip
    """Put packed records and gap records together into a body.

    Args:
        units, layouts, counts: of each unit its name, the codes of its quantities and its number of records.
        packed: all records; None where there are none, and the gaps give the time span.
        span_ms: first and last time of the records.
        gaps: gap records of the batch.
    """
    if packed is None:
        packed = Packed(b"", [], [], b"")
        span_ms = min((g.from_ms for g in gaps), default=0), max((g.to_ms for g in gaps), default=0)
    body = Body(
        units=list(units),
        layouts=layouts,
        counts=counts,
        widths=packed.widths,
        divisors=packed.divisors,
        bases=packed.bases,
        planes=packed.planes,
        gaps=[Gap(list(g.units), g.from_ms, g.to_ms, g.reason, g.epoch, g.from_seq, g.to_seq) for g in gaps],
    )
    return EncodedBody(_ENCODER.encode(body), sum(counts), *span_ms)


def union_of(layouts: Sequence[bytes]) -> list[int]:
    """The quantity codes of all units, the first unit's order first, so that equal layouts need no reordering."""
    return list(dict.fromkeys(chain.from_iterable(layouts)))
