# SPDX-License-Identifier: GPL-3.0-or-later
"""The body of a batch (see `body.py`) as numpy arrays: how the center reads it, and makes those of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final, NamedTuple, Self

import msgspec
import numpy as np
import numpy.typing as npt

from collector.base.clock_state import ClockState
from collector.base.errors import Garbled
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
    Body,
    EncodedBody,
    Packed,
    assemble,
    union_of,
)
from collector.wire.deltas import Int64s, pack, unpack

UInt8s = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

_QUANTITY_OF_CODE: Final = {code: name for name, code in QUANTITY_CODES.items()}

_MAX_ERA: Final = 0xFFFF

_STATE_IS_KNOWN: Final = np.zeros(256, dtype=np.bool_)
for _quality in Quality:
    _STATE_IS_KNOWN[[_quality.value, _quality.value | ABSENT]] = True
_QUALITIES: Final = {quality.value: quality for quality in Quality}

_DECODER: Final = msgspec.msgpack.Decoder(Body)


class QuantityColumn(NamedTuple):
    """One quantity along records: the stored integers, 0 where `present` is false, and the qualities."""

    values: Int64s
    present: Bools
    qualities: UInt8s

    @property
    def usable(self) -> Bools:
        """Where there is a value that counts."""
        return self.present & (self.qualities < USABLE_BELOW)

    def select(self, keep: Bools | npt.NDArray[np.intp] | slice) -> QuantityColumn:
        """Of some of the records."""
        return QuantityColumn(self.values[keep], self.present[keep], self.qualities[keep])


@dataclass(frozen=True, slots=True)
class UnitColumns:
    """The records of one unit as arrays, all along its records in the order they were recorded.

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
        """The same with some of its records."""
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
class BatchColumns:
    """A decoded body. `units` in the order of the batch, also those without records."""

    units: tuple[UnitColumns, ...]
    gaps: tuple[GapRecord, ...]

    @property
    def record_count(self) -> int:
        """Records of all units."""
        return sum(len(u.time_utc_ms) for u in self.units)


def encode_unit_columns(units: Sequence[UnitColumns]) -> EncodedBody:
    """The uncompressed body of records that are columns already, all of them; no gaps.

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
        return assemble(names, codes, counts, None, (0, 0), ())
    table = _table_of_columns(codes, counts, units)
    return assemble(names, codes, counts, pack(table, counts), (int(table[TIME].min()), int(table[TIME].max())), ())


def _table_of_columns(codes: Sequence[bytes], counts: Sequence[int], units: Sequence[UnitColumns]) -> Int64s:
    """All columns of all records."""
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
            # A missing value repeats the one before, 0 at the start.
            last = np.maximum.accumulate(np.where(cells.present, np.arange(count), 0))
            table[row, part] = np.where(cells.present, cells.values, 0)[last]
            table[row + len(union), part] = cells.qualities.astype(np.int64) | np.where(cells.present, 0, ABSENT)
    if table.min() < -MAX_VALUE or table.max() > MAX_VALUE:
        raise ValueError(f"a value beyond ±{MAX_VALUE}")
    return table


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


def _check_names(body: Body) -> None:
    if not len(body.units) == len(body.layouts) == len(body.counts) == len(set(body.units)):
        raise ValueError("units, layouts and counts differ in number, or a unit is named twice")
    if not all(map(is_name, body.units)):
        raise ValueError("a unit has no proper name")
    for codes in body.layouts:
        if len(set(codes)) != len(codes) or not all(code in _QUANTITY_OF_CODE for code in codes):
            raise ValueError("a quantity is unknown or named twice")
    if (named := sum(len(gap.units) for gap in body.gaps)) > MAX_GAP_UNITS:
        raise ValueError(f"the gaps name {named} units, at most {MAX_GAP_UNITS}")
    for gap in body.gaps:
        if len(set(gap.units)) != len(gap.units):
            raise ValueError("a gap names a unit twice")
        if gap.from_ms > gap.to_ms or not all(map(is_name, gap.units)) or not is_name(gap.reason):
            raise ValueError("a gap has no proper interval, unit or reason")
        if (gap.from_seq is None) != (gap.to_seq is None) or (gap.from_seq is not None and gap.epoch is None):
            raise ValueError("a gap names half a range of sequences")
        if gap.from_seq is not None and gap.to_seq is not None and not 1 <= gap.from_seq <= gap.to_seq:
            raise ValueError("a gap names an empty range of sequences")


def _units(body: Body) -> tuple[UnitColumns, ...]:
    union = union_of(body.layouts)
    size = sum(body.counts)
    columns = FIXED + 2 * len(union)
    if size > MAX_RECORDS or size * columns * 8 > MAX_BODY_BYTES * 2:
        raise ValueError(f"{size} records of {len(union)} quantities are too many for a batch")
    if size:
        table = unpack(Packed(body.widths, body.divisors, body.bases, body.planes), body.counts, columns)
    else:
        table = np.zeros((columns, 0), dtype=np.int64)
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
    for name, codes, count in zip(body.units, body.layouts, body.counts, strict=True):
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
    """Bounds of the columns that every record has."""
    if not table.shape[1]:
        return
    low, high = table[:FIXED].min(axis=1).tolist(), table[:FIXED].max(axis=1).tolist()
    limits = (MAX_TIME_MS, _MAX_ERA, max(Cause), max(ClockState), 1)
    if min(low[:TAG_AGE]) < 0 or any(top > limit for top, limit in zip(high, limits, strict=False)):
        raise ValueError("a time, era, cause or clock state out of its range")
    if low[TAG_AGE] < -MAX_TIME_MS or high[TAG_AGE] > MAX_TIME_MS:
        raise ValueError("a device time out of its range")


def to_records(columns: BatchColumns) -> tuple[UnitRecord, ...]:
    """The records again, one by one; for tools and tests, the receiver works on the columns."""
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
