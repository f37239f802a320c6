# SPDX-License-Identifier: GPL-3.0-or-later
"""The readers of plan.csv and voltage_band.csv: intervals must not overlap where only one can be in force."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from collector.base.text import Text, tr
from collector.model.interval import format_time
from collector.sheets.files import Delivered
from collector.sheets.findings import Findings
from collector.tables.columns import CellForm, Column, LongTable, empty_table
from collector.tables.limits import PowerLimits
from collector.tables.read_long_table import read_long
from collector.tables.records import check_units, unit_codes, unit_names

_BLOCK_ROWS: Final = 65_536
_SPAN: Final = (
    Column("unit", CellForm.UNIT, "unit"),
    Column("start", CellForm.TIME, "start"),
    Column("end", CellForm.TIME, "end"),
)
PLAN_COLUMNS: Final = (
    *_SPAN,
    Column("power_mw", CellForm.ANALOG, "power_kw", 1000, filled=False),
    Column("issued", CellForm.TIME, "issued", required=False, filled=False),
)
BAND_COLUMNS: Final = (
    *_SPAN,
    Column("low_kv", CellForm.ANALOG, "low_v", 1000, filled=False),
    Column("high_kv", CellForm.ANALOG, "high_v", 1000, filled=False),
)


def read_plan(
    delivered: Delivered, units: Collection[str] | None, findings: Findings, limits: PowerLimits | None = None
) -> pa.Table | None:
    """unit, start, end, power_kw, issued. Rows of one unit with the same `issued` may not overlap."""
    return table_of(read_schedule(delivered, PLAN_COLUMNS, units, findings, limits))


def read_voltage_band(delivered: Delivered, units: Collection[str] | None, findings: Findings) -> pa.Table | None:
    """unit, start, end, low_v, high_v. Rows of one unit may not overlap; low may not be above high."""
    return table_of(read_schedule(delivered, BAND_COLUMNS, units, findings))


def table_of(long: LongTable | None) -> pa.Table | None:
    """The table of a schedule that was read."""
    return None if long is None else long.table


def read_schedule(
    delivered: Delivered,
    columns: Sequence[Column],
    units: Collection[str] | None,
    findings: Findings,
    limits: PowerLimits | None = None,
) -> LongTable | None:
    """A schedule in checked columns; None where a required one is missing. `limits`: of its powers."""
    long = read_long(delivered, columns, findings, threads=True)
    if long is None:
        return None
    missing = [column for column in columns if column.target not in long.table.column_names]
    table = long.table
    for column in missing:
        table = table.append_column(column.target, _no_values(len(table)))
    nothing = LongTable(long.name, empty_table(columns), long.rows_of)
    if not len(table):
        return nothing
    long = LongTable(long.name, table.select(nothing.table.column_names), long.rows_of)
    check_units(long, units, findings)
    long = long.filled(("unit", "start", "end"))
    table = long.table
    if not len(table):
        return nothing
    forwards = pc.less(table["start"], table["end"]).to_numpy()
    _report(long, np.flatnonzero(~forwards), "end", tr("is not after start"), findings)
    if "low_v" in table.column_names:
        above = pc.fill_null(pc.greater(table["low_v"], table["high_v"]), False).to_numpy()
        _report(long, np.flatnonzero(above), "low_kv", tr("is above high_kv"), findings)
    if limits is not None:
        _check_limits(long, limits, findings)
    _check_overlap(long.where(forwards), findings)
    return long


def _check_limits(long: LongTable, limits: PowerLimits, findings: Findings) -> None:
    """Report the powers that are beyond the limits."""
    beyond = limits.beyond(long.table)
    rows = long.rows_of(set(beyond)) if beyond else {}
    for index in beyond:
        unit, start, end, power = (long.table[name][index].as_py() for name in ("unit", "start", "end", "power_kw"))
        if message := limits.problem(unit, start, end, power):
            findings.add(long.name, rows.get(index, 0), "power_mw", message, kind="beyond")


def _no_values(count: int) -> Any:
    """A column of nulls with the memory of one block, however long."""
    block, more = pa.nulls(_BLOCK_ROWS, pa.int64()), count % _BLOCK_ROWS
    return pa.chunked_array([*[block] * (count // _BLOCK_ROWS), block.slice(0, more)], pa.int64())


def _report(long: LongTable, indices: np.ndarray[Any, Any], column: str, message: Text, findings: Findings) -> None:
    rows = long.rows_of(set(indices.tolist())) if len(indices) else {}
    for index in indices.tolist():
        findings.add(long.name, rows.get(index, 0), column, message)


def _check_overlap(long: LongTable, findings: Findings) -> None:
    table = long.table
    if _runs_on(table):
        return
    names = sorted(unit_names(table))
    unit = unit_codes(table, names)
    start, end = table["start"].to_numpy(), table["end"].to_numpy()
    issued = pc.fill_null(table["issued"], -1).to_numpy() if "issued" in table.column_names else np.zeros_like(unit)
    order = np.lexsort((end, start, issued, unit))
    same = (unit[order[1:]] == unit[order[:-1]]) & (issued[order[1:]] == issued[order[:-1]])
    if not bool((same & (start[order[1:]] < end[order[:-1]])).any()):
        return
    # Some rows overlap: go through them in order, so that a row inside a long earlier one is found too.
    found: list[tuple[int, int]] = []
    longest = int(order[0])
    for place in range(1, len(order)):
        index = int(order[place])
        if not same[place - 1]:
            longest = index
            continue
        if start[index] < end[longest]:
            found.append((index, longest))
        if end[index] > end[longest]:
            longest = index
    rows = long.rows_of({index for pair in found for index in pair})
    for index, other in found:
        message = tr(
            "{names} from {time} overlaps row {other}",
            names=names[unit[index]],
            time=format_time(int(start[index])),
            other=rows.get(other, 0),
        )
        findings.add(long.name, rows.get(index, 0), "start", message, kind="overlap")


def _runs_on(table: pa.Table) -> bool:
    """True if the rows are grouped by unit and in order of time without overlap, which is the usual case.

    Checked chunk by chunk, so that nothing of a long table is copied.
    """
    seen: set[int] = set()
    last, last_end = -1, 0
    for batch in table.select(["unit", "start", "end"]).to_batches():
        if not len(batch):
            continue
        codes, start, end = batch["unit"].indices.to_numpy(), batch["start"].to_numpy(), batch["end"].to_numpy()
        other = codes[1:] != codes[:-1]
        if not (other | (start[1:] >= end[:-1])).all() or (codes[0] == last and start[0] < last_end):
            return False
        units = codes[np.concatenate([[codes[0] != last], other])].tolist()
        if len(seen | set(units)) < len(seen) + len(units):
            return False
        seen.update(units)
        last, last_end = codes[-1], end[-1]
    return True
