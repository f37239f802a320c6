# SPDX-License-Identifier: GPL-3.0-or-later
"""The collector of evidence rows in a batch: columns by lane, joined into the tables of `settlement.evidence`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from collector.settlement.evidence import EVIDENCE, schema_of
from collector.settlement.measure.logic import Ints, Values
from collector.settlement.measure.timeline import Axis

# A column of rows: numbers, numbers that may be missing, or texts as places in a list.
Column = Ints | Values | tuple[Ints, Sequence[str]]


class EvidenceSink:
    """Collects evidence rows of the lanes of a batch."""

    def __init__(self, axis: Axis) -> None:
        self._axis = axis
        self._units = list(dict.fromkeys(lane.unit for lane in axis.lanes))
        self._found: dict[str, list[tuple[Ints, pa.Table]]] = defaultdict(list)

    def add(self, name: str, lane: Ints, columns: Mapping[str, Column]) -> None:
        """Rows of a table of EVIDENCE: the lane of each, and every column but `unit`."""
        index = {unit: place for place, unit in enumerate(self._units)}
        of_lane = np.array([index[each.unit] for each in self._axis.lanes], dtype=np.int64)
        given = {"unit": (of_lane[lane], self._units), **columns}
        arrays = [_array(given[column.name]) for column in EVIDENCE[name]]
        self._found[name].append((lane, pa.Table.from_arrays(arrays, schema=schema_of(name))))

    def tables(self) -> dict[str, pa.Table]:
        """The tables, by lane and then instant."""
        found = {}
        for name, parts in self._found.items():
            table = pa.concat_tables([part for _, part in parts]).unify_dictionaries()
            instant = table.column(EVIDENCE[name][1].name).to_numpy()
            lane = np.concatenate([lane for lane, _ in parts])
            found[name] = table if _ordered(lane, instant) else table.take(pa.array(np.lexsort((instant, lane))))
        return found


def _ordered(lane: Ints, instant: Ints) -> bool:
    same = lane[1:] == lane[:-1]
    return bool(((lane[1:] > lane[:-1]) | (same & (instant[1:] >= instant[:-1]))).all())


def _array(column: Column) -> pa.Array:
    if isinstance(column, Values):
        return pa.array(column.values, pa.int64(), mask=~column.valid)
    if isinstance(column, tuple):
        places, texts = column
        return pa.DictionaryArray.from_arrays(pa.array(places.astype(np.int32)), pa.array(list(texts), pa.string()))
    return pa.array(column, pa.int64())
