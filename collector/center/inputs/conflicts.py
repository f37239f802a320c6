# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows laid over rows: which are there already, and which claim the place of another one. Pure, and by the column.

A month's plan of a region is millions of rows, so rows are never Python objects: a column is integers that point into
its distinct cells, and what is compared at once is a stretch of time.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from collector.base.errors import ConfigError
from collector.center.inputs.kinds import Kind
from collector.model.interval import DAY_MS

# New rows compared at once; of the other side it is the rows of the same stretch of time, which are about as many.
ROWS_AT_ONCE: Final = 100_000

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
_NONE: Final = np.empty(0, np.int64)
_decode = msgspec.json.Decoder(list[list[str]]).decode


class RowsInConflict(ConfigError):  # noqa: N818 - a state of the delivery
    """Rows that claim the place of others, and that count only if they are delivered as a replacement."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a kind, delivered or laid out.

    `row`: of the file; `start_ms`, `end_ms`: 0 where the kind has no intervals. `columns`: along the kind's, Arrow
    dictionaries of cells as JSON texts, instants in them as UTC ms.
    """

    row: Int64s
    start_ms: Int64s
    end_ms: Int64s
    columns: tuple[Any, ...]

    def __len__(self) -> int:
        return len(self.row)

    def take(self, places: Int64s) -> Rows:
        """Only these rows, in this order."""
        chosen = pa.array(places)
        columns = tuple(column.take(chosen) for column in self.columns)
        return Rows(self.row[places], self.start_ms[places], self.end_ms[places], columns)

    def cells(self) -> Any:
        """Each row as the JSON list of its cells: an Arrow column of texts."""
        texts = [column.dictionary_decode() for column in self.columns]
        return pc.binary_join_element_wise("[", pc.binary_join_element_wise(*texts, ", "), "]", "")

    def followed_by(self, others: Rows) -> Rows:
        """These rows, then others of the same kind."""
        columns = (
            pa.chunked_array(both).unify_dictionaries().combine_chunks()
            for both in zip(self.columns, others.columns, strict=True)
        )
        row = np.concatenate([self.row, others.row])
        start_ms = np.concatenate([self.start_ms, others.start_ms])
        return Rows(row, start_ms, np.concatenate([self.end_ms, others.end_ms]), tuple(columns))

    def csv_lines(self) -> Iterator[str]:
        """The rows as CSV, some at a time, as the csv module writes them."""
        columns = [
            pa.DictionaryArray.from_arrays(column.indices, pa.array(map(_csv_field, column.dictionary.to_pylist())))
            for column in self.columns
        ]
        for first in range(0, len(self), ROWS_AT_ONCE):
            texts = [column.slice(first, ROWS_AT_ONCE).dictionary_decode() for column in columns]
            yield "\n".join([*pc.binary_join_element_wise(*texts, ",").to_pylist(), ""])


def _csv_field(cell: str) -> str:
    """A cell in JSON as a field of CSV that is not the only one of its line."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow((json.loads(cell), ""))
    return text.getvalue()[:-1]


@dataclass(frozen=True, slots=True)
class HeldRows:
    """Some rows of the store. `number`: their keys; `texts`: an Arrow column of JSON lists."""

    number: Int64s
    start_ms: Int64s
    end_ms: Int64s
    texts: Any

    def __len__(self) -> int:
        return len(self.number)

    def take(self, places: Int64s) -> HeldRows:
        """Only these rows, in this order."""
        texts = self.texts.take(pa.array(places))
        return HeldRows(self.number[places], self.start_ms[places], self.end_ms[places], texts)

    def cells(self) -> Any:
        """Each row as the JSON list of its cells."""
        return self.texts


@dataclass(frozen=True, slots=True)
class Laid:
    """How rows lie over those in force. `new`: places of those not there yet, in order of the file.

    `claims`, `claimed`: pairs of the place of a new row and the number of the row in force whose place it claims, in
    order of both.
    """

    new: Int64s
    claims: Int64s
    claimed: Int64s


AnyRows = Rows | HeldRows
HeldIn = Callable[[int, int], Iterable[HeldRows]]


def lay_over(kind: Kind, rows: AnyRows, held_in: HeldIn) -> Laid:
    """Compare rows of a file found good with those in force.

    `held_in`: those in force that touch a stretch of time, some at a time; of a kind that is not `apart`, all.
    """
    new = np.ones(len(rows), dtype=np.bool_)
    pairs: list[tuple[Int64s, Int64s]] = []
    for places in _stretches(kind, rows):
        chosen = rows.take(places)
        cells = chosen.cells()
        for held in held_in(int(chosen.start_ms.min()), int(chosen.end_ms.max())):
            there = _is_in(cells, held.texts)
            new[places[there]] = False
            # Rows that are there already claim nothing: neither a file nor what is in force contradicts itself.
            mine, others = np.flatnonzero(~there), np.flatnonzero(~_is_in(held.texts, cells.filter(pa.array(there))))
            claims, claimed = _claims(kind, _Side.of(chosen.take(mine)), _Side.of(held.take(others)))
            pairs.append((places[mine[claims]], held.number[others[claimed]]))
    return _laid(np.flatnonzero(new), pairs)


def distinct(kind: Kind, rows: Rows) -> Rows:
    """A row that is there twice counts once, where the kind lets it be there twice."""
    if kind.exclusive or kind.unique or not len(rows):
        return rows
    _, first = np.unique(rows.cells().dictionary_encode().indices.to_numpy(), return_index=True)
    return rows if len(first) == len(rows) else rows.take(np.sort(first))


def cell_lists(cells: Any) -> list[list[str]]:
    """A column of JSON lists as lists of texts."""
    return _decode("[" + ",".join(cells.to_pylist()) + "]")


def held_batches(rows: Rows, places: Int64s) -> Iterator[HeldRows]:
    """Chosen rows of a table as if they were in force, numbered by their places."""
    for first in range(0, len(places), ROWS_AT_ONCE):
        some = places[first : first + ROWS_AT_ONCE]
        chosen = rows.take(some)
        yield HeldRows(some, chosen.start_ms, chosen.end_ms, chosen.cells())


def _stretches(kind: Kind, rows: AnyRows) -> Iterator[Int64s]:
    """Places of rows that are compared at once: neighbours in time, where only neighbours can meet."""
    if not len(rows):
        return
    if not kind.apart:
        yield np.arange(len(rows))
        return
    order = np.argsort(rows.start_ms, kind="stable")
    reach = np.maximum.accumulate(rows.end_ms[order])
    # A hole of days is not looked through: what is in force there is not met.
    holes = np.flatnonzero(rows.start_ms[order][1:] > reach[:-1] + DAY_MS) + 1
    for part in np.split(order, holes):
        yield from np.split(part, range(ROWS_AT_ONCE, len(part), ROWS_AT_ONCE))


def _is_in(cells: Any, others: Any) -> Bools:
    return np.asarray(pc.is_in(cells, value_set=others).to_numpy(zero_copy_only=False), dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class _Side:
    """One side of a comparison: the rows that are only there."""

    start_ms: Int64s
    end_ms: Int64s
    cells: list[list[str]]

    @classmethod
    def of(cls, rows: AnyRows) -> _Side:
        return cls(rows.start_ms, rows.end_ms, cell_lists(rows.cells()))


def _claims(kind: Kind, new: _Side, held: _Side) -> tuple[Int64s, Int64s]:
    """Pairs of places where a new row claims that of one in force."""
    found: list[tuple[Int64s, Int64s]] = [(_NONE, _NONE)]
    if kind.unique and held.cells:
        mine, theirs = _codes(kind, kind.unique, new, held)
        order = np.argsort(theirs, kind="stable")
        after = np.searchsorted(theirs[order], mine, side="right")
        first = np.searchsorted(theirs[order], mine, side="left")
        found.append(_spread(first, after, order))
    if kind.exclusive and held.cells and new.cells:
        mine, theirs = _codes(kind, kind.exclusive, new, held)
        found.append(_overlaps(mine, new, theirs, held))
    return np.concatenate([one for one, _ in found]), np.concatenate([other for _, other in found])


def _overlaps(mine: Int64s, new: _Side, theirs: Int64s, held: _Side) -> tuple[Int64s, Int64s]:
    """Pairs of one group that share time. Rows in force of a group don't, so their ends are sorted as their starts."""
    times = np.unique(np.concatenate([new.start_ms, new.end_ms, held.start_ms, held.end_ms]))
    order = np.lexsort((held.start_ms, theirs))

    def key(group: Int64s, time_ms: Int64s) -> Int64s:
        return group * len(times) + np.searchsorted(times, time_ms)

    first = np.searchsorted(key(theirs, held.end_ms)[order], key(mine, new.start_ms), side="right")
    after = np.searchsorted(key(theirs, held.start_ms)[order], key(mine, new.end_ms), side="left")
    return _spread(first, after, order)


def _spread(first: Int64s, after: Int64s, order: Int64s) -> tuple[Int64s, Int64s]:
    """Per new row a stretch [first, after) of the ordered rows in force, as pairs."""
    count = np.maximum(after - first, 0)
    begun = np.repeat(first - (np.cumsum(count) - count), count)
    return np.repeat(np.arange(len(count)), count), order[begun + np.arange(count.sum())]


def _codes(kind: Kind, names: Sequence[str], new: _Side, held: _Side) -> tuple[Int64s, Int64s]:
    """The groups of both sides' rows as numbers: equal where all the named cells are."""
    places = [kind.columns.index(name) for name in names]
    codes: dict[tuple[str, ...], int] = {}

    def of(side: _Side) -> Int64s:
        keys = (tuple([cells[place] for place in places]) for cells in side.cells)
        return np.fromiter((codes.setdefault(key, len(codes)) for key in keys), np.int64, len(side.cells))

    return of(new), of(held)


def _laid(new: Int64s, pairs: Sequence[tuple[Int64s, Int64s]]) -> Laid:
    """All pairs, each once, in order."""
    claims = np.concatenate([_NONE, *(one for one, _ in pairs)])
    claimed = np.concatenate([_NONE, *(other for _, other in pairs)])
    order = np.lexsort((claimed, claims))
    claims, claimed = claims[order], claimed[order]
    again = (np.diff(claims, prepend=-1) == 0) & (np.diff(claimed, prepend=-1) == 0)
    return Laid(new, claims[~again], claimed[~again])
