# SPDX-License-Identifier: GPL-3.0-or-later
"""The inputs of the dispatching side, arranged for measuring: plan and voltage band as steps, the others as spans.

Prepared once per run; a batch takes the rows that touch its lanes. Where plan rows overlap, the first issued counts
(formats.md): overlaps are resolved here, so that a step function has one value at every instant.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from collector.model.dispatch import ExclusionReason, MeterChange, Order, OrderKind, Reserve, ReserveKind
from collector.settlement.inputs import Inputs
from collector.settlement.measure.logic import Bools, Ints, Values
from collector.settlement.measure.timeline import Axis, Spans


def arrow_values(column: pa.ChunkedArray | pa.Array) -> Values:
    """The stored integers of an Arrow column and a mask of its valid rows."""
    array = column
    if isinstance(column, pa.ChunkedArray):  # a single chunk is used as it is: combining would copy it
        array = (
            column.chunk(0)
            if column.num_chunks == 1
            else pa.concat_arrays(column.chunks or [pa.array([], column.type)])
        )
    bitmap, data = array.buffers()
    if data is None or not len(array):
        return Values(np.zeros(len(array), dtype=np.int64), np.zeros(len(array), dtype=np.bool_))
    values = np.frombuffer(data, dtype=np.int64, count=len(array), offset=array.offset * 8)
    if bitmap is None or not array.null_count:
        return Values(values, np.ones(len(array), dtype=np.bool_))
    bits = np.frombuffer(bitmap, dtype=np.uint8)[array.offset // 8 :]
    skip = array.offset % 8
    flags = np.unpackbits(bits, count=skip + len(array), bitorder="little")[skip:]
    return Values(values, flags.view(np.bool_))


@dataclass(frozen=True)
class DisjointRows:
    """Rows that never overlap, sorted by unit and start. `range_of`: first and last + 1 row of each unit."""

    start_utc_ms: Ints
    end_utc_ms: Ints
    columns: dict[str, Values]
    range_of: dict[str, tuple[int, int]]

    def on_axis(self, axis: Axis) -> Spans:
        """The rows that touch the lanes of a batch."""
        lanes: list[Ints] = []
        rows: list[Ints] = []
        for index, lane in enumerate(axis.lanes):
            first, last = self.range_of.get(lane.unit, (0, 0))
            begin = int(axis.start_utc_ms[index])
            a = first + int(np.searchsorted(self.end_utc_ms[first:last], begin, side="right"))
            b = first + int(np.searchsorted(self.start_utc_ms[first:last], begin + axis.width, side="left"))
            if a < b:
                rows.append(np.arange(a, b, dtype=np.int64))
                lanes.append(np.full(b - a, index, dtype=np.int64))
        if not rows:
            empty = np.zeros(0, dtype=np.int64)
            return Spans(empty, empty, empty)
        row = np.concatenate(rows)
        return axis.spans(np.concatenate(lanes), self.start_utc_ms[row], self.end_utc_ms[row], row)


def compute_steps(table: pa.Table | None, names: Iterable[str]) -> DisjointRows:
    """Make step rows from a table of unit, start, end, the named columns and, for a plan, `issued`."""
    if table is None or not table.num_rows:
        none = np.zeros(0, dtype=np.int64)
        return DisjointRows(none, none, {name: Values(none, none.astype(np.bool_)) for name in names}, {})
    encoded = table.column("unit").combine_chunks()
    if not pa.types.is_dictionary(encoded.type):
        encoded = pc.dictionary_encode(encoded)
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    units = encoded.dictionary.to_pylist()
    start, end = arrow_values(table.column("start")).values, arrow_values(table.column("end")).values
    columns = {name: arrow_values(table.column(name)) for name in names}
    order = np.lexsort((start, codes))
    codes, start, end = codes[order], start[order], end[order]
    row = order
    clash = (codes[1:] == codes[:-1]) & (start[1:] < end[:-1])
    if clash.any():
        issued = arrow_values(table.column("issued"))
        rank = np.where(issued.valid, issued.values, np.iinfo(np.int64).min)[order]
        codes, start, end, row = _first_issued(codes, start, end, row, rank, set(codes[1:][clash].tolist()))
    columns = {name: Values(v.values[row], v.valid[row]) for name, v in columns.items()}
    first = np.searchsorted(codes, np.arange(len(units) + 1))
    range_of = {unit: (int(first[i]), int(first[i + 1])) for i, unit in enumerate(units)}
    return DisjointRows(start, end, columns, range_of)


def _first_issued(
    codes: Ints, start: Ints, end: Ints, row: Ints, rank: Ints, clashing: set[int]
) -> tuple[Ints, Ints, Ints, Ints]:
    """Rows of units whose plan was issued several times, cut so that at every instant only the first issued remains."""
    parts: list[tuple[Ints, Ints, Ints, Ints]] = []
    for code in np.unique(codes).tolist():
        mine = np.flatnonzero(codes == code)
        if code not in clashing:
            parts.append((codes[mine], start[mine], end[mine], row[mine]))
            continue
        edges = np.unique(np.concatenate([start[mine], end[mine]]))
        winner = np.full(len(edges) - 1, -1, dtype=np.int64)
        for index in mine[np.argsort(rank[mine], kind="stable")[::-1]].tolist():  # first issued last: it wins
            a, b = np.searchsorted(edges, (start[index], end[index]))
            winner[a:b] = index
        filled = np.flatnonzero(winner >= 0)
        parts.append((np.full(len(filled), code), edges[filled], edges[filled + 1], row[winner[filled]]))
    joined = [np.concatenate(column).astype(np.int64) for column in zip(*parts, strict=True)]
    return joined[0], joined[1], joined[2], joined[3]


class DispatchSide:
    """Plan, voltage band, orders, reserves and their calls, exclusions and meter changes of a run."""

    def __init__(self, inputs: Inputs) -> None:
        self.plan = compute_steps(inputs.plan, ("power_kw",))
        self.band = compute_steps(inputs.voltage_band, ("low_v", "high_v"))
        self.orders: dict[OrderKind, dict[str, list[Order]]] = {kind: defaultdict(list) for kind in OrderKind}
        for order in sorted(inputs.orders or (), key=lambda o: (o.unit, o.start_ms, o.id)):
            self.orders[order.kind][order.unit].append(order)
        self.reserves: dict[ReserveKind, dict[str, list[Reserve]]] = {kind: defaultdict(list) for kind in ReserveKind}
        for reserve in sorted(inputs.reserves or (), key=lambda r: (r.unit, r.start_ms)):
            self.reserves[reserve.kind][reserve.unit].append(reserve)
        self.meter_changes: dict[str, list[MeterChange]] = defaultdict(list)
        for change in sorted(inputs.meter_changes or (), key=lambda c: (c.unit, c.time_ms)):
            self.meter_changes[change.unit].append(change)
        self.reserve_calls: dict[str, list[int]] = defaultdict(list)  # instants, UTC ms
        for unit, called_ms in sorted({(c.unit, c.called_ms) for c in inputs.reserve_calls or ()}):
            self.reserve_calls[unit].append(called_ms)
        self.exclusions = sorted(
            inputs.exclusions or (), key=lambda e: (e.unit, e.start_ms, e.end_ms, e.service, e.reason)
        )
        self._services = frozenset(e.service for e in self.exclusions)

    def order_spans(self, axis: Axis, kind: OrderKind) -> Spans:
        """Orders of one kind on the lanes of a batch."""
        return axis.unit_spans(_rows(axis, self.orders[kind], lambda o: (o.unit, o.start_ms, o.end_ms)))

    def reserve_rows(self, axis: Axis, kind: ReserveKind) -> tuple[Spans, list[Reserve]]:
        """Spans of reserve rows of one kind on the lanes of a batch, and the rows that `row` of the spans refers to."""
        rows = [reserve for unit in axis.lanes_of for reserve in self.reserves[kind].get(unit, ())]
        return axis.unit_spans([(r.unit, r.start_ms, r.end_ms) for r in rows]), rows

    def exclusion_spans(self, axis: Axis, service: str, *, own_fault: bool) -> Spans:
        """Exclusions of one service on the lanes of a batch: own faults, or all others."""
        return axis.unit_spans(
            [
                (e.unit, e.start_ms, e.end_ms)
                for e in self.exclusions
                if e.service in (service, "*")
                and (e.reason is ExclusionReason.OWN_FAULT) == own_fault
                and e.unit in axis.lanes_of
            ]
        )

    def without_own_fault(self) -> DispatchSide:
        """A copy that leaves out the exclusions for own fault."""
        other = copy.copy(self)
        other.exclusions = [e for e in self.exclusions if e.reason is not ExclusionReason.OWN_FAULT]
        return other

    def exclusion_class(self, service: str) -> str:
        """The name of a service's set of exclusions; services without rows of their own share one set."""
        return service if service in self._services else "*"

    def excluded_spans(self, unit: str, service: str, *, own_fault: bool = True) -> list[tuple[int, int]]:
        """Exclusions of one unit and service in UTC ms. `own_fault=False`: only those that leave the scope."""
        return [
            (e.start_ms, e.end_ms)
            for e in self.exclusions
            if e.unit == unit
            and e.service in (service, "*")
            and (own_fault or e.reason is not ExclusionReason.OWN_FAULT)
        ]


def _rows(
    axis: Axis, by_unit: dict[str, list[Order]], span: Callable[[Order], tuple[str, int, int]]
) -> list[tuple[str, int, int]]:
    return [span(item) for unit in axis.lanes_of for item in by_unit.get(unit, ())]


def no_flags(count: int) -> Bools:
    """A mask that is false everywhere."""
    return np.zeros(count, dtype=np.bool_)
