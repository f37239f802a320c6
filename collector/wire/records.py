# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's encoder of the body of a batch, in plain Python (see `body.py`); it runs once for every record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain, groupby
from math import gcd
from operator import sub
from typing import Final

from collector.model.record import GapRecord, UnitLayout, UnitRecord
from collector.wire.batch import MAX_GAP_UNITS, MAX_GAPS, MAX_RECORDS, MAX_TIME_MS, MAX_UNITS, MAX_VALUE
from collector.wire.body import ABSENT, QUANTITY_CODES, WIDTHS, EncodedBody, Packed, assemble, narrow, union_of

# Of each state the one that says that the value is missing.
_AS_ABSENT: Final = bytes(state | ABSENT for state in range(256))


def encode_body(layouts: Sequence[UnitLayout], records: Iterable[UnitRecord], gaps: Sequence[GapRecord]) -> EncodedBody:
    """Encode records and gaps into an uncompressed body.

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
    if sum(len(gap.units) for gap in gaps) > MAX_GAP_UNITS or any(len(set(g.units)) != len(g.units) for g in gaps):
        raise ValueError(f"the gaps name more than {MAX_GAP_UNITS} units, or one of them a unit twice")
    if not ordered:
        return assemble(list(by_unit), codes, [()] * len(counts), None, gaps)
    # A record is a tuple, so one zip gives all columns.
    _, times, values, qualities, causes, eras, clocks, tags = zip(*ordered, strict=True)
    tagged = [int(tag is not None) for tag in tags]
    ages = [0 if tag is None else tag - time_ms for tag, time_ms in zip(tags, times, strict=True)]
    own: tuple[Sequence[int], ...] = (eras, causes, clocks, tagged, ages)  # `ERA` to `TAG_AGE`
    packed = _pack(chain(own, _quantity_columns(codes, counts, values, qualities)), counts)
    if min(times) < 0 or max(times) > MAX_TIME_MS:
        raise ValueError("a time out of its range")
    ends = list(accumulate(counts))
    return assemble(
        list(by_unit), codes, [times[end - n : end] for end, n in zip(ends, counts, strict=True)], packed, gaps
    )


def _quantity_columns(
    codes: Sequence[bytes],
    counts: Sequence[int],
    rows: Sequence[tuple[int | None, ...]],
    qualities: Sequence[tuple[int, ...]],
) -> Iterator[Sequence[int]]:
    """The columns of values, then of states, of every quantity; 0 where a unit does not have the quantity."""
    values: dict[int, list[int]] = {code: [] for code in union_of(codes)}
    states: dict[int, bytearray] = {code: bytearray() for code in values}
    position = 0
    # Most records share the tuple of their qualities with others: as bytes, each is made once.
    marks_of = {key: bytes(own) for key, own in {id(own): own for own in qualities}.items()}
    # Neighbouring units with the same layout are encoded together.
    for layout, group in groupby(zip(codes, counts, strict=True), key=lambda pair: pair[0]):
        size, width = sum(count for _, count in group), len(layout)
        part = slice(position, position + size)
        position += size
        if size and not {*map(len, rows[part]), *map(len, qualities[part])} == {width}:
            raise ValueError("a record has other values than its layout has quantities")
        marks = b"".join(map(marks_of.__getitem__, map(id, qualities[part])))
        columns = dict(zip(layout, zip(*rows[part], strict=True), strict=size > 0))
        for code in values:
            if (column := columns.get(code)) is None:
                values[code] += [0] * size
                states[code] += bytes(size)
                continue
            state = marks[layout.index(code) :: width]
            if column[0] is None and column.count(None) == size:
                state, column = state.translate(_AS_ABSENT), bytes(size)
            elif _has_none(column):
                state = bytes(s | ABSENT if value is None else s for s, value in zip(state, column, strict=True))
                column = _carried_forward(column)
            values[code] += column
            states[code] += state
    return chain(values.values(), states.values())


def _has_none(column: Sequence[int | None]) -> bool:
    """True if a value is None: summing the values is three times as fast as comparing each with None."""
    try:
        sum(column)  # type: ignore[arg-type]
    except TypeError:
        return True
    return False


def _carried_forward(column: Iterable[int | None]) -> list[int]:
    """The column with each missing value replaced by the value before it, 0 at the start."""
    carried, last = [], 0
    for value in column:
        last = last if value is None else value
        carried.append(last)
    return carried


def _pack(columns: Iterable[Sequence[int]], counts: Sequence[int]) -> Packed:
    """Encode columns; `counts`: number of records of each unit."""
    starts = [end - count for end, count in zip(accumulate(counts), counts, strict=True) if count]
    widths, divisors, bases = bytearray(), list[int](), list[int]()
    planes: dict[int, list[bytes]] = {width: [] for width in WIDTHS}
    for column in columns:
        bases += [column[start] for start in starts]
        is_constant = column.count(column[0]) == len(column)
        low, high = (column[0], column[0]) if is_constant else (min(column), max(column))
        if low < -MAX_VALUE or high > MAX_VALUE:
            raise ValueError(f"a value beyond ±{MAX_VALUE}")
        if is_constant:
            widths.append(0)
            continue
        # Each value minus the value before; the first value of a unit is its base.
        differences = [0, *map(sub, column[1:], column)]
        for start in starts:
            differences[start] = 0
        if not (divisor := gcd(*differences)):
            widths.append(0)
            continue
        if divisor != 1:
            differences = [difference // divisor for difference in differences]
        width, bytes_of = narrow(differences)
        widths.append(width)
        divisors.append(divisor)
        planes[width].append(bytes_of)
    return Packed(bytes(widths), divisors, bases, b"".join(chain.from_iterable(planes.values())))
