# SPDX-License-Identifier: GPL-3.0-or-later
"""The body of a batch: columns of scaled integers, delta coded, in the narrowest width that holds them.

All records stand in one table, grouped by unit. Its rows here are *columns*: six of the record itself (`_TIME` …),
then one of values and one of states per quantity. Per column and unit the first value is kept (`bases`); the rest are
differences to the record before, divided by their common divisor, zigzag coded, and stored in 0, 1, 2, 4 or 8 bytes,
the bytes of one significance together. A column without differences (a status that holds, a quality that is good)
takes no bytes at all. zstd (`envelope.py`) then finds what repeats.

A missing value repeats the one before and carries `_ABSENT` in its state, beside the quality.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Annotated, Final

import msgspec
import numpy as np
import numpy.typing as npt

from collector.errors import Garbled
from collector.model.record import Cause, ClockState, GapRecord, Quality, UnitLayout, UnitRecord
from collector.wire.batch import (
    MAX_BODY_BYTES,
    MAX_GAPS,
    MAX_RECORDS,
    MAX_SEQUENCE,
    MAX_TIME_MS,
    MAX_UNITS,
    MAX_VALUE,
    is_name,
)
from collector.wire.deltas import Int64s, Packed, pack, unpack

UInt8s = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

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
_QUANTITY_OF_CODE: Final = {code: name for name, code in QUANTITY_CODES.items()}

_TIME, _ERA, _CAUSE, _CLOCK, _TAGGED, _TAG_AGE = range(6)
_FIXED: Final = 6
_ABSENT: Final = 0x80
_MAX_ERA: Final = 0xFFFF

_STATE_IS_KNOWN: Final = np.zeros(256, dtype=np.bool_)
for _quality in Quality:
    _STATE_IS_KNOWN[[_quality.value, _quality.value | _ABSENT]] = True
_QUALITIES: Final = {quality.value: quality for quality in Quality}

_Names = Annotated[list[str], msgspec.Meta(max_length=MAX_UNITS)]
_Counts = Annotated[list[Annotated[int, msgspec.Meta(ge=0, le=MAX_RECORDS)]], msgspec.Meta(max_length=MAX_UNITS)]
_TimeMs = Annotated[int, msgspec.Meta(ge=0, le=MAX_TIME_MS)]
_Sequence = Annotated[int, msgspec.Meta(ge=0, le=MAX_SEQUENCE)]
_Epoch = Annotated[int, msgspec.Meta(ge=0)]  # msgpack itself ends at 64 bits


class _Gap(msgspec.Struct, frozen=True, array_like=True):
    units: _Names
    from_ms: _TimeMs
    to_ms: _TimeMs
    reason: str
    epoch: _Epoch | None
    from_seq: _Sequence | None
    to_seq: _Sequence | None


class _Body(msgspec.Struct, frozen=True, array_like=True):
    units: _Names
    layouts: Annotated[list[bytes], msgspec.Meta(max_length=MAX_UNITS)]  # quantity codes of each unit, in its order
    counts: _Counts
    widths: bytes  # bytes per difference, one per column
    divisors: list[int]  # one per column with a width
    bases: list[int]  # column by column, one per unit
    planes: bytes
    gaps: Annotated[list[_Gap], msgspec.Meta(max_length=MAX_GAPS)]


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_Body)


@dataclass(frozen=True, slots=True)
class EncodedBody:
    """A body before compression, with what the header says of it. Times in UTC ms, 0 where there is nothing."""

    raw: bytes
    record_count: int
    first_ms: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class UnitColumns:
    """The records of one unit as arrays, all along its records in the order they were recorded.

    `values[i]`, `present[i]` and `qualities[i]` belong to `quantities[i]`; a value is the stored integer, 0 where
    `present` is false. `device_time_utc_ms` is 0 where `tagged` is false.
    """

    unit: str
    quantities: tuple[str, ...]
    time_utc_ms: Int64s
    era: Int64s
    cause: Int64s
    clock: Int64s
    tagged: Bools
    device_time_utc_ms: Int64s
    values: Int64s
    present: Bools
    qualities: UInt8s


@dataclass(frozen=True, slots=True)
class BatchColumns:
    """A decoded body. `units` in the order of the batch, also those without records."""

    units: tuple[UnitColumns, ...]
    gaps: tuple[GapRecord, ...]

    @property
    def record_count(self) -> int:
        """Records of all units."""
        return sum(len(u.time_utc_ms) for u in self.units)


def encode_body(layouts: Sequence[UnitLayout], records: Iterable[UnitRecord], gaps: Sequence[GapRecord]) -> EncodedBody:
    """The uncompressed body.

    Raises:
        ValueError: a record without layout, a quantity without code, a value or count beyond the bounds.
    """
    by_unit: dict[str, list[UnitRecord]] = {layout.unit: [] for layout in layouts}
    try:
        for record in records:
            by_unit[record.unit].append(record)
        codes = [bytes(QUANTITY_CODES[name] for name in layout.quantities) for layout in layouts]
    except KeyError as error:
        raise ValueError(f"no layout of the unit, or no code of the quantity: {error}") from error
    ordered = list(chain.from_iterable(by_unit.values()))
    counts = [len(rows) for rows in by_unit.values()]
    if len(by_unit) != len(layouts) or len(layouts) > MAX_UNITS or len(ordered) > MAX_RECORDS or len(gaps) > MAX_GAPS:
        raise ValueError(f"{len(layouts)} units, {len(ordered)} records, {len(gaps)} gaps are too many for a batch")
    table = _table(codes, counts, ordered) if ordered else None
    return _encoded([layout.unit for layout in layouts], codes, counts, table, gaps)


def encode_unit_columns(units: Sequence[UnitColumns]) -> EncodedBody:
    """The uncompressed body of records that are columns already, all of them; no gaps.

    Raises:
        ValueError: as `encode_body`.
    """
    try:
        codes = [bytes(QUANTITY_CODES[name] for name in unit.quantities) for unit in units]
    except KeyError as error:
        raise ValueError(f"no code of the quantity: {error}") from error
    counts = [len(unit.time_utc_ms) for unit in units]
    if len({unit.unit for unit in units}) != len(units) or len(units) > MAX_UNITS or sum(counts) > MAX_RECORDS:
        raise ValueError(
            f"{len(units)} units, {sum(counts)} records are too many for a batch, or a unit is there twice"
        )
    table = _table_of_columns(codes, counts, units) if sum(counts) else None
    return _encoded([unit.unit for unit in units], codes, counts, table, ())


def _encoded(
    units: list[str], codes: list[bytes], counts: list[int], table: Int64s | None, gaps: Sequence[GapRecord]
) -> EncodedBody:
    """The body of a table of all records; None: there are none."""
    packed = Packed(b"", [], [], b"")
    first_ms = min((g.from_ms for g in gaps), default=0)
    last_ms = max((g.to_ms for g in gaps), default=0)
    if table is not None:
        packed = pack(table, counts)
        first_ms, last_ms = int(table[_TIME].min()), int(table[_TIME].max())
    body = _Body(
        units=units,
        layouts=codes,
        counts=counts,
        widths=packed.widths,
        divisors=packed.divisors,
        bases=packed.bases,
        planes=packed.planes,
        gaps=[_Gap(list(g.units), g.from_ms, g.to_ms, g.reason, g.epoch, g.from_seq, g.to_seq) for g in gaps],
    )
    return EncodedBody(_ENCODER.encode(body), sum(counts), first_ms, last_ms)


def _union(codes: Sequence[bytes]) -> list[int]:
    """The quantity codes of all units; the first unit's order leads, so that equal layouts need no shuffling."""
    return list(dict.fromkeys(chain.from_iterable(codes)))


def _table(codes: Sequence[bytes], counts: Sequence[int], records: Sequence[UnitRecord]) -> Int64s:
    """All columns of all records as 64-bit integers."""
    size = len(records)
    union = _union(codes)
    place = {code: index for index, code in enumerate(union)}
    table = np.zeros((_FIXED + 2 * len(union), size), dtype=np.int64)
    try:
        table[_TIME] = np.fromiter((r.time_utc_ms for r in records), np.int64, size)
        table[_ERA] = np.fromiter((r.era for r in records), np.int64, size)
        table[_CAUSE] = np.fromiter((r.cause for r in records), np.int64, size)
        table[_CLOCK] = np.fromiter((r.clock for r in records), np.int64, size)
        if any(r.device_time_utc_ms is not None for r in records):
            table[_TAGGED] = [r.device_time_utc_ms is not None for r in records]
            table[_TAG_AGE] = [0 if (t := r.device_time_utc_ms) is None else t - r.time_utc_ms for r in records]
        position = 0
        for layout_codes, group in groupby(zip(codes, counts, strict=True), key=lambda pair: pair[0]):
            length = sum(count for _, count in group)
            if length and layout_codes:
                part = slice(position, position + length)
                rows = [place[code] for code in layout_codes]
                _fill(table, rows, part, records[part], len(union))
            position += length
    except OverflowError as error:
        raise ValueError(f"a value needs more than 64 bits: {error}") from error
    if table.min() < -MAX_VALUE or table.max() > MAX_VALUE:
        raise ValueError(f"a value beyond ±{MAX_VALUE}")
    return table


def _table_of_columns(codes: Sequence[bytes], counts: Sequence[int], units: Sequence[UnitColumns]) -> Int64s:
    """As `_table`, of arrays."""
    union = _union(codes)
    table = np.zeros((_FIXED + 2 * len(union), sum(counts)), dtype=np.int64)
    position = 0
    for unit_codes, count, unit in zip(codes, counts, units, strict=True):
        part = slice(position, position + count)
        position += count
        fixed = (unit.time_utc_ms, unit.era, unit.cause, unit.clock, unit.tagged)
        for row, column in zip((_TIME, _ERA, _CAUSE, _CLOCK, _TAGGED), fixed, strict=True):
            table[row, part] = column
        table[_TAG_AGE, part] = np.where(unit.tagged, unit.device_time_utc_ms - unit.time_utc_ms, 0)
        if not unit_codes or not count:
            continue
        where = np.array([union.index(code) for code in unit_codes], dtype=np.intp) + _FIXED
        # A missing value repeats the one before, 0 at the start.
        last = np.maximum.accumulate(np.where(unit.present, np.arange(count), 0), axis=1)
        table[where, part] = np.take_along_axis(np.where(unit.present, unit.values, 0), last, axis=1)
        table[where + len(union), part] = unit.qualities.astype(np.int64) | np.where(unit.present, 0, _ABSENT)
    if table.min() < -MAX_VALUE or table.max() > MAX_VALUE:
        raise ValueError(f"a value beyond ±{MAX_VALUE}")
    return table


def _fill(table: Int64s, rows: Sequence[int], part: slice, records: Sequence[UnitRecord], quantities: int) -> None:
    """Values and states of records of one layout."""
    width, size = len(rows), len(records)
    if any(len(r.values) != width or len(r.qualities) != width for r in records):
        raise ValueError("a record has other values than its layout has quantities")
    joined = b"".join([bytes(r.qualities) for r in records])
    states: Int64s = np.frombuffer(joined, np.uint8).reshape(size, width).T.astype(np.int64)
    flat = chain.from_iterable(r.values for r in records)
    try:
        values = np.fromiter(flat, np.int64, size * width).reshape(size, width).T
    except TypeError:
        values, absent = _carry_forward(records, width)
        states |= absent * np.int64(_ABSENT)
    where = np.array(rows, dtype=np.intp) + _FIXED
    table[where, part] = values
    table[where + quantities, part] = states


def _carry_forward(records: Sequence[UnitRecord], width: int) -> tuple[Int64s, Bools]:
    """Values with each missing one replaced by the one before it, 0 at the start; and which were missing."""
    cells = [0 if v is None else v for r in records for v in r.values]
    missing = [v is None for r in records for v in r.values]
    values = np.array(cells, dtype=np.int64).reshape(-1, width).T
    absent = np.array(missing, dtype=np.bool_).reshape(-1, width).T
    columns = np.arange(len(records))
    last = np.maximum.accumulate(np.where(absent, 0, columns), axis=1)
    return np.take_along_axis(values, last, axis=1), absent


def decode_body(raw: bytes) -> BatchColumns:
    """The columns of an uncompressed body.

    Raises:
        Garbled: anything that `encode_body` can't have written.
    """
    try:
        body = _DECODER.decode(raw)
        _check_names(body)
        gaps = tuple(
            GapRecord(tuple(g.units), g.from_ms, g.to_ms, g.reason, g.epoch, g.from_seq, g.to_seq) for g in body.gaps
        )
        return BatchColumns(_units(body), gaps)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError, OverflowError) as error:
        raise Garbled(f"the body is malformed: {error}") from error


def _check_names(body: _Body) -> None:
    if not len(body.units) == len(body.layouts) == len(body.counts) == len(set(body.units)):
        raise ValueError("units, layouts and counts differ in number, or a unit is named twice")
    if not all(map(is_name, body.units)):
        raise ValueError("a unit has no proper name")
    for codes in body.layouts:
        if len(set(codes)) != len(codes) or not all(code in _QUANTITY_OF_CODE for code in codes):
            raise ValueError("a quantity is unknown or named twice")
    for gap in body.gaps:
        if gap.from_ms > gap.to_ms or not all(map(is_name, gap.units)) or not is_name(gap.reason):
            raise ValueError("a gap has no proper interval, unit or reason")
        if (gap.from_seq is None) != (gap.to_seq is None) or (gap.from_seq is not None and gap.epoch is None):
            raise ValueError("a gap names half a range of sequences")
        if gap.from_seq is not None and gap.to_seq is not None and not 1 <= gap.from_seq <= gap.to_seq:
            raise ValueError("a gap names an empty range of sequences")


def _units(body: _Body) -> tuple[UnitColumns, ...]:
    union = _union(body.layouts)
    size = sum(body.counts)
    columns = _FIXED + 2 * len(union)
    if size > MAX_RECORDS or size * columns * 8 > MAX_BODY_BYTES * 2:
        raise ValueError(f"{size} records of {len(union)} quantities are too many for a batch")
    if size:
        table = unpack(Packed(body.widths, body.divisors, body.bases, body.planes), body.counts, columns)
    else:
        table = np.zeros((columns, 0), dtype=np.int64)
    _check_fixed(table)
    values, raw_states = table[_FIXED : _FIXED + len(union)], table[_FIXED + len(union) :]
    if size and raw_states.size and (raw_states.min() < 0 or raw_states.max() > 0xFF):
        raise ValueError("a state is no byte")
    states = raw_states.astype(np.uint8)
    if not _STATE_IS_KNOWN[states].all():
        raise ValueError("an unknown quality")
    present = states < _ABSENT
    if not present.all():
        values = values * present
        states &= _ABSENT - 1
    device_time = (table[_TIME] + table[_TAG_AGE]) * table[_TAGGED]
    units = []
    position = 0
    for name, codes, count in zip(body.units, body.layouts, body.counts, strict=True):
        part = slice(position, position + count)
        position += count
        rows: slice | list[int] = slice(None) if list(codes) == union else [union.index(code) for code in codes]
        units.append(
            UnitColumns(
                unit=name,
                quantities=tuple(_QUANTITY_OF_CODE[code] for code in codes),
                time_utc_ms=table[_TIME, part],
                era=table[_ERA, part],
                cause=table[_CAUSE, part],
                clock=table[_CLOCK, part],
                tagged=table[_TAGGED, part] != 0,
                device_time_utc_ms=device_time[part],
                values=values[rows, part],
                present=present[rows, part],
                qualities=states[rows, part],
            )
        )
    return tuple(units)


def _check_fixed(table: Int64s) -> None:
    """Bounds of the columns that every record has."""
    if not table.shape[1]:
        return
    low, high = table[:_FIXED].min(axis=1).tolist(), table[:_FIXED].max(axis=1).tolist()
    limits = (MAX_TIME_MS, _MAX_ERA, max(Cause), max(ClockState), 1)
    if min(low[:_TAG_AGE]) < 0 or any(top > limit for top, limit in zip(high, limits, strict=False)):
        raise ValueError("a time, era, cause or clock state out of its range")
    if low[_TAG_AGE] < -MAX_TIME_MS or high[_TAG_AGE] > MAX_TIME_MS:
        raise ValueError("a device time out of its range")


def to_records(columns: BatchColumns) -> tuple[UnitRecord, ...]:
    """The records again, one by one; for tools and tests, the receiver works on the columns."""
    return tuple(chain.from_iterable(_unit_records(unit) for unit in columns.units))


def _unit_records(unit: UnitColumns) -> Iterable[UnitRecord]:
    values, present, qualities = unit.values.T.tolist(), unit.present.T.tolist(), unit.qualities.T.tolist()
    tags = zip(unit.tagged.tolist(), unit.device_time_utc_ms.tolist(), strict=True)
    heads = zip(unit.time_utc_ms.tolist(), unit.cause.tolist(), unit.era.tolist(), unit.clock.tolist(), strict=True)
    for head, (tagged, tag), row, there, marks in zip(heads, tags, values, present, qualities, strict=True):
        time_utc_ms, cause, era, clock = head
        yield UnitRecord(
            unit=unit.unit,
            time_utc_ms=time_utc_ms,
            values=tuple(v if p else None for v, p in zip(row, there, strict=True)),
            qualities=tuple(_QUALITIES[m] for m in marks),
            cause=Cause(cause),
            era=era,
            clock=ClockState(clock),
            device_time_utc_ms=tag if tagged else None,
        )
