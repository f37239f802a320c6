# SPDX-License-Identifier: GPL-3.0-or-later
"""New rows compared with the rows in force: equal rows, and conflicts. Pure, and by columns.

A month's plan of a region is millions of rows, so rows are an Arrow table with the kind's columns (instants as UTC ms,
null where a cell is empty; other cells as written) and `row`, their row in the delivered file. Rows are compared one
stretch of time after the other.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from collector.base.errors import ConfigError
from collector.center.inputs.kinds import NUMBERS, TIMES, TableKind
from collector.model.interval import DAY_MS

# New rows compared in one step, with the rows in force of the same stretch of time, which are about as many.
ROWS_AT_ONCE: Final = 100_000
_LARGEST_CODE: Final = 2**62

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
_NONE: Final = np.empty(0, np.int64)


class RowsInConflict(ConfigError):  # noqa: N818 - a state of the delivery
    """Rows conflict with rows in force; they are accepted only if delivered as a replacement."""


@dataclass(frozen=True, slots=True)
class HeldRows:
    """Some rows in force. `number`: the caller's numbers of the rows; `rows`: the rows themselves."""

    number: Int64s
    rows: pa.Table


@dataclass(frozen=True, slots=True)
class Laid:
    """The comparison of rows with those in force. `new`: for each row, whether it is not in force yet.

    `claims`, `claimed`: the conflicts, as pairs of the place of a new row and the number of a row in force, in order of
    both.
    """

    new: Bools
    claims: Int64s
    claimed: Int64s


HeldIn = Callable[[int, int], Iterable[HeldRows]]
Meant = Callable[[pa.Table], pa.Table]


def start_ms_of(rows: pa.Table) -> Int64s:
    """Start of each row, UTC ms; 0 where the kind has no intervals."""
    return _times(rows, "start")


def end_ms_of(rows: pa.Table) -> Int64s:
    """End of each row, UTC ms; 0 where the kind has no intervals."""
    return _times(rows, "end")


def _times(rows: pa.Table, name: str) -> Int64s:
    return rows[name].to_numpy() if name in rows.column_names else np.zeros(len(rows), np.int64)


def lay_over(kind: TableKind, rows: pa.Table, held_in: HeldIn, meant: Meant = lambda rows: rows) -> Laid:
    """Compare the rows of a valid file with those in force.

    `held_in`: gives the rows in force that touch a stretch of time, in parts; for a kind that is not `apart`, all rows.
    `meant`: fills the empty cells of rows with their meaning; both sides are compared in this form.
    """
    rows = meant(rows)
    new = np.ones(len(rows), dtype=np.bool_)
    pairs: list[tuple[Int64s, Int64s]] = []
    for places, start_ms, end_ms in stretches(kind, rows):
        chosen = None
        for held in held_in(start_ms, end_ms):
            chosen = rows.take(pa.array(places)) if chosen is None else chosen
            held_rows = meant(held.rows)
            mine, theirs = _codes(kind.columns, chosen, held_rows)
            there = _is_in(mine, theirs)
            new[places[there]] = False
            # Rows that are in force already conflict with nothing: neither a file nor the rows in force contradict
            # themselves.
            left, others = np.flatnonzero(~there), np.flatnonzero(~_is_in(theirs, mine[there]))
            claims, claimed = _claims(kind, chosen.take(pa.array(left)), held_rows.take(pa.array(others)))
            pairs.append((places[left[claims]], held.number[others[claimed]]))
    return _laid(new, pairs)


def laid_on_nothing(count: int) -> Laid:
    """The comparison for `count` rows where none are in force: all are new."""
    return Laid(np.ones(count, np.bool_), _NONE, _NONE)


def distinct(kind: TableKind, rows: pa.Table) -> pa.Table:
    """The rows without repetitions, where the kind allows a row to occur twice."""
    if kind.exclusive or kind.unique or not len(rows):
        return rows
    _, first = np.unique(_codes(kind.columns, rows, rows.slice(0, 0))[0], return_index=True)
    return rows if len(first) == len(rows) else rows.take(pa.array(np.sort(first)))


def cells_of(kind: TableKind, rows: pa.Table) -> list[tuple[str, ...]]:
    """Rows as texts, with instants as UTC ms."""
    columns = [_texts(rows[name]).to_pylist() for name in kind.columns]
    return list(zip(*columns, strict=True))


def csv_lines(kind: TableKind, rows: pa.Table) -> Iterator[bytes]:
    """Rows as CSV in parts, in the format of the csv module; a kind has more than one column."""
    for first in range(0, len(rows), ROWS_AT_ONCE):
        some = rows.slice(first, ROWS_AT_ONCE)
        columns = [_texts(some[name]) if name in TIMES else _fields(some[name]) for name in kind.columns]
        joined = pc.binary_join_element_wise(*columns, ",")
        yield pc.binary_join(pa.ListArray.from_arrays([0, len(joined)], joined), "\n")[0].as_buffer().to_pybytes()
        yield b"\n"


def csv_header(kind: TableKind) -> bytes:
    """The header line of such a CSV."""
    return ",".join(kind.columns).encode() + b"\n"


def _texts(column: Any) -> Any:
    """The cells of a column as texts, in one array."""
    return pc.fill_null(column.combine_chunks().cast(pa.string()), "")


def _fields(column: Any) -> Any:
    """The cells of a column as CSV fields, in one array."""
    cells = column.combine_chunks().dictionary_encode()
    fields = pa.array(map(_csv_field, cells.dictionary.to_pylist()), pa.string())
    return pa.DictionaryArray.from_arrays(cells.indices, fields).cast(pa.string())


def _csv_field(cell: str) -> str:
    """A cell as a field of a CSV line with other fields."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow((cell, ""))
    return text.getvalue()[:-1]


def stretches(kind: TableKind, rows: pa.Table) -> Iterator[tuple[Int64s, int, int]]:
    """The parts in which rows are compared: the places of the rows, and the time that they touch.

    Where only rows close in time can conflict, a part is one stretch of time; else all rows are one part. No array as
    long as the rows is made.
    """
    if not len(rows):
        return
    if not kind.apart:
        yield np.arange(len(rows)), 0, 0
        return
    times = rows.select(["start", "end"]).group_by("start").aggregate([([], "count_all"), ("end", "max")])
    times = times.sort_by("start")
    start, end, count = (times[name].to_numpy() for name in ("start", "end_max", "count_all"))
    bite = np.cumsum(count) // ROWS_AT_ONCE
    # A hole of days splits a part: no row can conflict with rows in force there.
    holes = start[1:] > np.maximum.accumulate(end)[:-1] + DAY_MS
    edges = [0, *(np.flatnonzero(holes | (bite[1:] > bite[:-1])) + 1).tolist(), len(start)]
    for first, after in pairwise(edges):
        inside = pc.and_(pc.greater_equal(rows["start"], start[first]), pc.less_equal(rows["start"], start[after - 1]))
        yield np.flatnonzero(inside.to_numpy()), int(start[first]), int(end[first:after].max())


def _is_in(codes: Int64s, others: Int64s) -> Bools:
    return np.asarray(pc.is_in(pa.array(codes), value_set=pa.array(others)).to_numpy(zero_copy_only=False), np.bool_)


def _claims(kind: TableKind, new: pa.Table, held: pa.Table) -> tuple[Int64s, Int64s]:
    """Pairs of places: a new row, and the row in force with which it conflicts."""
    found: list[tuple[Int64s, Int64s]] = [(_NONE, _NONE)]
    if kind.unique and len(held):
        mine, theirs = _codes(kind.unique, new, held)
        order = np.argsort(theirs, kind="stable")
        after = np.searchsorted(theirs[order], mine, side="right")
        first = np.searchsorted(theirs[order], mine, side="left")
        found.append(_spread(first, after, order))
    if kind.exclusive and len(held) and len(new):
        overlaps = _boxes_overlap if kind.ranges else _overlaps
        found.append(overlaps(kind, new, held, *_codes(kind.exclusive, new, held)))
    return np.concatenate([one for one, _ in found]), np.concatenate([other for _, other in found])


def _boxes_overlap(
    kind: TableKind, new: pa.Table, held: pa.Table, mine: Int64s, theirs: Int64s
) -> tuple[Int64s, Int64s]:
    """Pairs of one group whose ranges all overlap. Such tables are short: each row is compared with all."""
    meet = [theirs == group for group in mine]
    for low, high in kind.ranges:
        numbers = [[Decimal(text) for text in side[name].to_pylist()] for side in (new, held) for name in (low, high)]
        rank = {number: place for place, number in enumerate(sorted({n for column in numbers for n in column}))}
        lows, highs, held_lows, held_highs = (np.array([rank[n] for n in column], np.int64) for column in numbers)
        for place, met in enumerate(meet):
            met &= (held_lows < highs[place]) & (held_highs > lows[place])
    others = [np.flatnonzero(met) for met in meet]
    return np.repeat(np.arange(len(meet)), list(map(len, others))), np.concatenate(others)


def _overlaps(_: TableKind, new: pa.Table, held: pa.Table, mine: Int64s, theirs: Int64s) -> tuple[Int64s, Int64s]:
    """Pairs of one group that overlap in time. Rows in force of a group don't, so their ends are in order too."""
    starts, ends, held_starts, held_ends = start_ms_of(new), end_ms_of(new), start_ms_of(held), end_ms_of(held)
    times = np.unique(np.concatenate([starts, ends, held_starts, held_ends]))
    order = np.lexsort((held_starts, theirs))
    groups = np.unique(theirs)

    def key(group: Int64s, time_ms: Int64s) -> Int64s:
        return np.searchsorted(groups, group) * len(times) + np.searchsorted(times, time_ms)

    first = np.searchsorted(key(theirs, held_ends)[order], key(mine, starts), side="right")
    after = np.searchsorted(key(theirs, held_starts)[order], key(mine, ends), side="left")
    there = np.isin(mine, groups)
    return _spread(first, np.where(there, after, first), order)


def _spread(first: Int64s, after: Int64s, order: Int64s) -> tuple[Int64s, Int64s]:
    """The pairs of each new row with its stretch [first, after) of the ordered rows in force."""
    count = np.maximum(after - first, 0)
    begun = np.repeat(first - (np.cumsum(count) - count), count)
    return np.repeat(np.arange(len(count)), count), order[begun + np.arange(count.sum())]


def _codes(names: Sequence[str], one: pa.Table, other: pa.Table) -> tuple[Int64s, Int64s]:
    """The rows of both sides as numbers that are equal where all the named cells are equal."""
    codes, size = np.zeros(len(one) + len(other), np.int64), 1
    for name in names:
        both = pa.chunked_array([chunk.cast(_plain(chunk)) for side in (one, other) for chunk in side[name].chunks])
        encoded = both.combine_chunks().dictionary_encode(null_encoding="encode")
        if name in NUMBERS:
            encoded = pa.array(map(_plain_number, encoded.dictionary.to_pylist())).take(encoded.indices)
            encoded = encoded.dictionary_encode(null_encoding="encode")
        if size > _LARGEST_CODE // max(len(encoded.dictionary), 1):
            _, codes = np.unique(codes, return_inverse=True)
            size = int(codes.max()) + 1
        codes = codes * len(encoded.dictionary) + encoded.indices.to_numpy(zero_copy_only=False)
        size *= max(len(encoded.dictionary), 1)
    return codes[: len(one)], codes[len(one) :]


def _plain_number(text: str | None) -> str | None:
    """A number as its exact decimal: 1.0, 1.00 and 1e0 are one number."""
    if not text:
        return text
    plain = f"{Decimal(text):f}"
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return plain if Decimal(plain) else "0"


def _plain(chunk: Any) -> Any:
    return chunk.type.value_type if pa.types.is_dictionary(chunk.type) else chunk.type


def _laid(new: Bools, pairs: Sequence[tuple[Int64s, Int64s]]) -> Laid:
    """The comparison with all pairs, each once, in order."""
    claims = np.concatenate([_NONE, *(one for one, _ in pairs)])
    claimed = np.concatenate([_NONE, *(other for _, other in pairs)])
    order = np.lexsort((claimed, claims))
    claims, claimed = claims[order], claimed[order]
    again = (np.diff(claims, prepend=-1) == 0) & (np.diff(claimed, prepend=-1) == 0)
    return Laid(new, claims[~again], claimed[~again])
