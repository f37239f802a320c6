# SPDX-License-Identifier: GPL-3.0-or-later
"""The body of a batch (see `body.py`) as numpy arrays: the center's decoder and encoder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final, NamedTuple, Self

import msgspec
import numpy as np
import numpy.typing as npt

from collector.base.clock_state import ClockState
from collector.base.errors import Garbled
from collector.base.text import tr
from collector.model.record import USABLE_BELOW, Cause, GapRecord, Quality, UnitRecord
from collector.wire.batch import MAX_BODY_BYTES, MAX_GAP_UNITS, MAX_RECORDS, MAX_TIME_MS, MAX_UNITS, MAX_VALUE, is_name
from collector.wire.body import (
    ABSENT,
    CAUSE,
    CLOCK,
    ERA,
    FIXED,
    QUANTITY_CODES,
    TAG_AGE,
    TAGGED,
    TIME,
    WIDTHS,
    Body,
    Columns,
    EncodedBody,
    Index,
    Packed,
    PackedGap,
    RecordTimes,
    assemble,
    union_of,
)
from collector.wire.deltas import Int64s, pack, signed, unpack

UInt8s = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

_QUANTITY_OF_CODE: Final = {code: name for name, code in QUANTITY_CODES.items()}

_MAX_ERA: Final = 0xFFFF

_STATE_IS_KNOWN: Final = np.zeros(256, dtype=np.bool_)
for _quality in Quality:
    _STATE_IS_KNOWN[[_quality.value, _quality.value | ABSENT]] = True
_QUALITIES: Final = {quality.value: quality for quality in Quality}

_BODY: Final = msgspec.msgpack.Decoder(Body)
_INDEX: Final = msgspec.msgpack.Decoder(Index)
_COLUMNS: Final = msgspec.msgpack.Decoder(Columns)


class QuantityColumn(NamedTuple):
    """One quantity along records: the stored integers, 0 where `present` is false, and the qualities."""

    values: Int64s
    present: Bools
    qualities: UInt8s

    @property
    def usable(self) -> Bools:
        """Mask of the records with a present, usable value."""
        return self.present & (self.qualities < USABLE_BELOW)

    def select(self, keep: Bools | npt.NDArray[np.intp] | slice) -> QuantityColumn:
        """The column for a selection of the records."""
        return QuantityColumn(self.values[keep], self.present[keep], self.qualities[keep])


@dataclass(frozen=True, slots=True)
class UnitColumns:
    """The records of one unit as arrays, one element per record in the order in which they were recorded.

    `device_time_utc_ms` is 0 where `tagged` is false. `columns`: by quantity, in the order of the unit's layout.
    """

    unit: str
    time_utc_ms: Int64s
    era: Int64s
    cause: Int64s
    clock: Int64s
    tagged: Bools
    device_time_utc_ms: Int64s
    columns: dict[str, QuantityColumn]

    def select(self, keep: Bools | npt.NDArray[np.intp] | slice) -> Self:
        """The unit's columns for a selection of its records."""
        return replace(
            self,
            time_utc_ms=self.time_utc_ms[keep],
            era=self.era[keep],
            cause=self.cause[keep],
            clock=self.clock[keep],
            tagged=self.tagged[keep],
            device_time_utc_ms=self.device_time_utc_ms[keep],
            columns={name: column.select(keep) for name, column in self.columns.items()},
        )


@dataclass(frozen=True, slots=True)
class UnitTimes:
    """The times of one unit's records, in the order in which they were recorded."""

    unit: str
    time_utc_ms: Int64s


@dataclass(frozen=True, slots=True)
class BatchTimes:
    """The part of a batch that a receiver needs: `units` in its order, also those without records, and its gaps."""

    units: tuple[UnitTimes, ...]
    gaps: tuple[GapRecord, ...]


@dataclass(frozen=True, slots=True)
class BatchColumns:
    """A decoded body. `units`: in the order of the batch, including units without records."""

    units: tuple[UnitColumns, ...]
    gaps: tuple[GapRecord, ...]

    @property
    def times(self) -> BatchTimes:
        """The times and gaps, without the values."""
        return BatchTimes(tuple(UnitTimes(unit.unit, unit.time_utc_ms) for unit in self.units), self.gaps)


def encode_unit_columns(units: Sequence[UnitColumns]) -> EncodedBody:
    """Encode all records of `units`, already in columns, into an uncompressed body without gaps.

    Raises:
        ValueError: as `encode_body`.
    """
    try:
        codes = [bytes(QUANTITY_CODES[name] for name in unit.columns) for unit in units]
    except KeyError as error:
        raise ValueError(f"no code of the quantity: {error}") from error
    counts = [len(unit.time_utc_ms) for unit in units]
    if len({unit.unit for unit in units}) != len(units) or len(units) > MAX_UNITS or sum(counts) > MAX_RECORDS:
        raise ValueError(
            f"{len(units)} units, {sum(counts)} records are too many for a batch, or a unit is there twice"
        )
    names = [unit.unit for unit in units]
    if not sum(counts):
        return assemble(names, codes, [()] * len(counts), None, ())
    table = _table_of_columns(codes, counts, units)
    times = [unit.time_utc_ms.tolist() for unit in units]
    return assemble(names, codes, times, pack(table[ERA:], counts), ())


def _table_of_columns(codes: Sequence[bytes], counts: Sequence[int], units: Sequence[UnitColumns]) -> Int64s:
    """The table of all columns of all records."""
    union = union_of(codes)
    table = np.zeros((FIXED + 2 * len(union), sum(counts)), dtype=np.int64)
    position = 0
    for unit_codes, count, unit in zip(codes, counts, units, strict=True):
        part = slice(position, position + count)
        position += count
        fixed = (unit.time_utc_ms, unit.era, unit.cause, unit.clock, unit.tagged)
        for row, column in zip((TIME, ERA, CAUSE, CLOCK, TAGGED), fixed, strict=True):
            table[row, part] = column
        table[TAG_AGE, part] = np.where(unit.tagged, unit.device_time_utc_ms - unit.time_utc_ms, 0)
        for code, cells in zip(unit_codes, unit.columns.values(), strict=True):
            row = FIXED + union.index(code)
            # A missing value repeats the value before, 0 at the start.
            last = np.maximum.accumulate(np.where(cells.present, np.arange(count), 0))
            table[row, part] = np.where(cells.present, cells.values, 0)[last]
            table[row + len(union), part] = cells.qualities.astype(np.int64) | np.where(cells.present, 0, ABSENT)
    if table.min() < -MAX_VALUE or table.max() > MAX_VALUE:
        raise ValueError(f"a value beyond ±{MAX_VALUE}")
    return table


def decode_body(raw: bytes) -> BatchColumns:
    """Decode an uncompressed body of version 1.

    Raises:
        Garbled: bytes that no encoder can have written.
    """
    with _told():
        body = _BODY.decode(raw)
        _check_units(body.units)
        _check_size(body.counts, body.layouts)
        if not len(body.units) == len(body.layouts) == len(body.counts):
            raise ValueError("units, layouts and counts differ in number")
        packed = Packed(body.widths, body.divisors, body.bases, body.planes)
        table = _unpack(packed, body.counts, body.layouts, FIXED)
        return BatchColumns(_units(body.units, body.layouts, body.counts, table), _gaps(body.gaps))


def decode_index(raw: bytes, first_ms: int) -> BatchTimes:
    """Decode the index of a body of version 2. `first_ms`: from the header.

    Raises:
        Garbled: as `decode_body`.
    """
    with _told():
        index = _INDEX.decode(raw)
        _check_units(index.units)
        axis_of = index.axis_of or bytes(len(index.units))
        if len(axis_of) != len(index.units) or set(axis_of) != set(range(len(index.axes))):
            raise ValueError("units and their axes differ in number")
        if sum(index.axes[place].count for place in axis_of) > MAX_RECORDS:
            raise ValueError(f"more than {MAX_RECORDS} records")
        axes = [_times(axis, first_ms) for axis in index.axes]
        units = tuple(UnitTimes(unit, axes[place]) for unit, place in zip(index.units, axis_of, strict=True))
        return BatchTimes(units, _gaps(index.gaps))


def decode_rest(index: BatchTimes, raw: bytes) -> BatchColumns:
    """Decode the columns of a body of version 2 whose index is decoded already.

    Raises:
        Garbled: as `decode_body`.
    """
    with _told():
        rest = _COLUMNS.decode(raw)
        counts = [len(unit.time_utc_ms) for unit in index.units]
        if len(rest.layouts) != len(counts):
            raise ValueError("units and layouts differ in number")
        _check_size(counts, rest.layouts)
        packed = Packed(rest.widths, rest.divisors, rest.bases, rest.planes)
        others = _unpack(packed, counts, rest.layouts, FIXED - 1)
        table = np.concatenate(
            [np.concatenate([np.zeros(0, np.int64), *(u.time_utc_ms for u in index.units)])[None], others]
        )
        return BatchColumns(_units([unit.unit for unit in index.units], rest.layouts, counts, table), index.gaps)


@contextmanager
def _told() -> Iterator[None]:
    """Turn every error of malformed bytes into `Garbled`, which is reported to the sender."""
    try:
        yield
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError, OverflowError) as error:
        raise Garbled(tr("the body is malformed: {error}", error=error)) from error


def _check_units(units: Sequence[str]) -> None:
    if len(set(units)) != len(units):
        raise ValueError("a unit is named twice")
    if not all(map(is_name, units)):
        raise ValueError("a unit has no proper name")


def _check_size(counts: Sequence[int], layouts: Sequence[bytes]) -> int:
    for codes in layouts:
        if len(set(codes)) != len(codes) or not all(code in _QUANTITY_OF_CODE for code in codes):
            raise ValueError("a quantity is unknown or named twice")
    size, quantities = sum(counts), len(union_of(layouts))
    if size > MAX_RECORDS or size * (FIXED + 2 * quantities) * 8 > MAX_BODY_BYTES * 2:
        raise ValueError(f"{size} records of {quantities} quantities are too many for a batch")
    return size


def _gaps(gaps: Sequence[PackedGap]) -> tuple[GapRecord, ...]:
    if (named := sum(len(gap.units) for gap in gaps)) > MAX_GAP_UNITS:
        raise ValueError(f"the gaps name {named} units, at most {MAX_GAP_UNITS}")
    for gap in gaps:
        if len(set(gap.units)) != len(gap.units):
            raise ValueError("a gap names a unit twice")
        if gap.from_ms > gap.to_ms or not all(map(is_name, gap.units)) or not is_name(gap.reason):
            raise ValueError("a gap has no proper interval, unit or reason")
        if (gap.from_seq is None) != (gap.to_seq is None) or (gap.from_seq is not None and gap.epoch is None):
            raise ValueError("a gap names half a range of sequences")
        if gap.from_seq is not None and gap.to_seq is not None and not 1 <= gap.from_seq <= gap.to_seq:
            raise ValueError("a gap names an empty range of sequences")
    return tuple(GapRecord(tuple(g.units), g.from_ms, g.to_ms, g.reason, g.epoch, g.from_seq, g.to_seq) for g in gaps)


def _times(axis: RecordTimes, start_ms: int) -> Int64s:
    """The times of an axis. Arithmetic is modulo 2^64; the result is checked."""
    steps = np.full(axis.count, axis.step_ms, dtype=np.int64)
    steps[:1] = start_ms + axis.first_ms
    if axis.width not in (0, *WIDTHS) or len(axis.planes) != axis.width * max(axis.count - 2, 0):
        raise ValueError("an axis does not have the length its width gives")
    if axis.width:
        steps[2:] += np.int64(axis.divisor) * signed(axis.planes, axis.width)
    times = np.cumsum(steps)
    if len(times) and (int(times.min()) < 0 or int(times.max()) > MAX_TIME_MS):
        raise ValueError("a time out of its range")
    return times


def _unpack(packed: Packed, counts: Sequence[int], layouts: Sequence[bytes], fixed: int) -> Int64s:
    columns = fixed + 2 * len(union_of(layouts))
    return unpack(packed, counts, columns) if sum(counts) else np.zeros((columns, 0), dtype=np.int64)


def _units(
    names: Sequence[str], layouts: Sequence[bytes], counts: Sequence[int], table: Int64s
) -> tuple[UnitColumns, ...]:
    """Split the table of all columns into the columns of each unit."""
    union = union_of(layouts)
    size = sum(counts)
    _check_fixed(table)
    values, raw_states = table[FIXED : FIXED + len(union)], table[FIXED + len(union) :]
    if size and raw_states.size and (raw_states.min() < 0 or raw_states.max() > 0xFF):
        raise ValueError("a state is no byte")
    states = raw_states.astype(np.uint8)
    if not _STATE_IS_KNOWN[states].all():
        raise ValueError("an unknown quality")
    present = states < ABSENT
    if not present.all():
        values = values * present
        states &= ABSENT - 1
    device_time = (table[TIME] + table[TAG_AGE]) * table[TAGGED]
    place = {code: row for row, code in enumerate(union)}
    units = []
    position = 0
    for name, codes, count in zip(names, layouts, counts, strict=True):
        part = slice(position, position + count)
        position += count
        cells = zip(values[:, part], present[:, part], states[:, part], strict=True)
        rows = list(map(QuantityColumn._make, cells))
        units.append(
            UnitColumns(
                unit=name,
                time_utc_ms=table[TIME, part],
                era=table[ERA, part],
                cause=table[CAUSE, part],
                clock=table[CLOCK, part],
                tagged=table[TAGGED, part] != 0,
                device_time_utc_ms=device_time[part],
                columns={_QUANTITY_OF_CODE[code]: rows[place[code]] for code in codes},
            )
        )
    return tuple(units)


def _check_fixed(table: Int64s) -> None:
    """Check the limits of the six columns of the record itself."""
    if not table.shape[1]:
        return
    low, high = table[:FIXED].min(axis=1).tolist(), table[:FIXED].max(axis=1).tolist()
    limits = (MAX_TIME_MS, _MAX_ERA, max(Cause), max(ClockState), 1)
    if min(low[:TAG_AGE]) < 0 or any(top > limit for top, limit in zip(high, limits, strict=False)):
        raise ValueError("a time, era, cause or clock state out of its range")
    if low[TAG_AGE] < -MAX_TIME_MS or high[TAG_AGE] > MAX_TIME_MS:
        raise ValueError("a device time out of its range")


def to_records(columns: BatchColumns) -> tuple[UnitRecord, ...]:
    """The records of a decoded body one by one, for tools and tests; the receiver works on the columns."""
    return tuple(chain.from_iterable(_unit_records(unit) for unit in columns.units))


def _unit_records(unit: UnitColumns) -> Iterable[UnitRecord]:
    columns = unit.columns.values()
    cells = [[v if p else None for v, p in zip(c.values.tolist(), c.present.tolist(), strict=True)] for c in columns]
    marks = [[_QUALITIES[m] for m in c.qualities.tolist()] for c in columns]
    nothing: list[tuple[()]] = [()] * len(unit.time_utc_ms)  # a unit without quantities
    rows = zip(list(zip(*cells, strict=True)) or nothing, list(zip(*marks, strict=True)) or nothing, strict=True)
    tags = zip(unit.tagged.tolist(), unit.device_time_utc_ms.tolist(), strict=True)
    heads = zip(unit.time_utc_ms.tolist(), unit.cause.tolist(), unit.era.tolist(), unit.clock.tolist(), strict=True)
    for head, (tagged, tag), (values, qualities) in zip(heads, tags, rows, strict=True):
        time_utc_ms, cause, era, clock = head
        yield UnitRecord(
            unit=unit.unit,
            time_utc_ms=time_utc_ms,
            values=values,
            qualities=qualities,
            cause=Cause(cause),
            era=era,
            clock=ClockState(clock),
            device_time_utc_ms=tag if tagged else None,
        )
