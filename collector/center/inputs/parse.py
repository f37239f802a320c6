# SPDX-License-Identifier: GPL-3.0-or-later
"""A delivered table: everything wrong in it at once (the readers of a settlement folder), else its rows as columns.

Cells are kept as written, except instants, which are UTC ms. A plan or voltage band is parsed once, for checking and
for storing; the tables of other kinds are short and are read again for their texts.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Final

import numpy as np
import pyarrow as pa

from collector.center.inputs.conflicts import Meant, csv_header, csv_lines, distinct
from collector.center.inputs.kinds import KINDS, RECORDS, REGISTER, TIMES
from collector.model.register import PlantState
from collector.sheets.efile import is_efile, read_efile, register_text, tables_in
from collector.sheets.files import Delivered
from collector.sheets.findings import Findings
from collector.sheets.grid import open_grid
from collector.tables.cells import parse_instant
from collector.tables.columns import LongTable, with_texts
from collector.tables.dispatch import (
    area_unsaid,
    read_exclusions,
    read_meter_changes,
    read_orders,
    read_rates,
    read_reserve_calls,
    read_reserve_minimum,
    read_reserves,
    read_revenue,
    read_start_stop_table,
)
from collector.tables.limits import PLAN, RESERVE, InputRules
from collector.tables.register import RegisterFile, load_register
from collector.tables.schedules import BAND_COLUMNS, PLAN_COLUMNS, read_schedule

_REGISTER_TABLES: Final = frozenset({"area", "plant", "unit", "policy"})
_SCHEDULES: Final = {"plan": with_texts(PLAN_COLUMNS), "voltage_band": with_texts(BAND_COLUMNS)}
_INTEGERS: Final = {"plan": ("power_kw",)}  # by kind: columns of integers stored beside the texts
_CELL_TYPE: Final = pa.dictionary(pa.int32(), pa.string())


def kinds_in(delivered: Delivered) -> tuple[str, ...]:
    """The kinds of tables in an E file, in the order in which they can be imported."""
    there = tables_in(delivered)
    register = (REGISTER,) if set(there) & _REGISTER_TABLES else ()
    return (*register, *(kind for kind in (*KINDS, RECORDS) if kind in there))


def as_toml(delivered: Delivered) -> Delivered:
    """A register in E text converted to register.toml, the form in a settlement folder.

    Raises:
        ConfigError: the file can't be read.
    """
    if not is_efile(delivered):
        return delivered
    findings = Findings()
    tables = read_efile(delivered, findings) or {}
    findings.refuse_if_any()
    data = register_text(tables).encode()
    return Delivered(delivered.name, data, hashlib.sha256(data).hexdigest())


def read_table(
    kind: str, delivered: Delivered, known: RegisterFile, notes: Findings | None = None
) -> tuple[Delivered, pa.Table | None]:
    """A file in its stored form, and its rows; None for a register, which has no rows.

    `known`: the register that other tables are checked against. `notes`: receives how the file was read.

    Raises:
        ConfigError: everything wrong in it.
    """
    if kind == REGISTER:
        delivered = as_toml(delivered)
        load_delivered(delivered, known.rules)
        return delivered, None
    delivered = replace(delivered, table=kind, ignored=known.ignored)
    findings = Findings()
    rows = _read_checked(kind, delivered, known, findings)
    findings.refuse_if_any()
    if notes is not None:
        notes.extend(findings)
    return delivered, rows if rows is not None else read_rows(kind, delivered)


def load_delivered(register: Delivered, rules: InputRules | None) -> RegisterFile:
    """Parse a valid register. `rules`: the rulebook's rules for inputs.

    Raises:
        ConfigError: everything wrong in it.
    """
    findings = Findings()
    known = load_register(register, findings, rules)
    findings.refuse_if_any()
    return known


def problems_of_rows(kind: str, rows: pa.Table, known: RegisterFile) -> list[tuple[int, str]]:
    """The problems of rows in force with a register, as in a settlement: (row in a file of them, problem)."""
    data = csv_header(KINDS[kind]) + b"".join(csv_lines(KINDS[kind], rows))
    findings = Findings()
    _read_checked(kind, Delivered(f"{kind}.csv", data, "", kind, ignored=known.ignored), known, findings)
    return [(finding.row, finding.message) for finding in findings.found]


def meant_by(kind: str, known: RegisterFile | None) -> Meant:
    """A function that fills empty cells of rows with their meaning by the register: the area of a plant's revenue."""
    if kind != "revenue" or known is None or known.register is None:
        return lambda rows: rows
    states = defaultdict[str, list[PlantState]](list)
    for state in known.register.plants:
        states[state.id].append(state)

    @cache
    def area_of(plant: str, month: str) -> str:
        return area_unsaid(states.get(plant, ()), plant, month)

    def filled(rows: pa.Table) -> pa.Table:
        cells = zip(*(rows[name].to_pylist() for name in ("plant", "month", "area")), strict=True)
        areas = [area or area_of(plant, month) for plant, month, area in cells]
        return rows.set_column(rows.column_names.index("area"), "area", pa.array(areas, pa.string()))

    return filled


def _read_checked(kind: str, delivered: Delivered, known: RegisterFile, findings: Findings) -> pa.Table | None:
    """Check a file as a settlement folder's file is checked; returns the rows of a valid schedule."""
    if kind in _SCHEDULES:
        limits = known.power_limits(PLAN) if kind == "plan" else None
        long = read_schedule(delivered, _SCHEDULES[kind], known.units, findings, limits)
        return _schedule_rows(kind, delivered, long) if long is not None and not findings else None
    readers: Mapping[str, Callable[[], Any]] = {
        "orders": lambda: read_orders(delivered, known.units, findings),
        "reserve": lambda: read_reserves(delivered, known.units, findings, known.power_limits(RESERVE)),
        "exclusions": lambda: read_exclusions(delivered, known.units, known.services, findings),
        "revenue": lambda: read_revenue(delivered, known, findings),
        "rates": lambda: read_rates(delivered, known.units, findings),
        "start_stop_table": lambda: read_start_stop_table(delivered, findings),
        "meter_changes": lambda: read_meter_changes(delivered, known.units, findings),
        "reserve_calls": lambda: read_reserve_calls(delivered, known.units, findings, known.power_limits(RESERVE)),
        "reserve_minimum": lambda: read_reserve_minimum(delivered, known.areas, findings),
    }
    readers[kind]()
    return None


def _schedule_rows(kind: str, delivered: Delivered, long: LongTable) -> pa.Table:
    names = (*KINDS[kind].columns, *_INTEGERS.get(kind, ()))
    columns = {name: long.table[name] for name in names}
    return pa.table({**columns, "row": pa.array(_rows_in_file(delivered, long), pa.int32())})


def _rows_in_file(delivered: Delivered, long: LongTable) -> Any:
    """For each row of the table, its row in the file."""
    count = len(long.table)
    if delivered.suffix == ".csv" and _line_count(delivered) == count + 1:
        return np.arange(2, count + 2, dtype=np.int32)  # one line for each row, after the header
    return [row for _, row in sorted(long.rows_of(range(count)).items())]


def _line_count(delivered: Delivered) -> int:
    count, last = 0, b"\n"
    for piece in delivered.pieces():
        count, last = count + piece.count(b"\n"), piece[-1:] or last
    return count + (last != b"\n")


def read_rows(kind: str, delivered: Delivered) -> pa.Table:
    """The rows of a valid file; a row that occurs twice counts once."""
    if kind in _SCHEDULES:
        long = read_schedule(delivered, _SCHEDULES[kind], None, Findings())
        assert long is not None
        return _schedule_rows(kind, delivered, long)
    grid = open_grid(delivered, Findings())
    assert grid is not None
    rows = list(grid.rows(Findings()))
    columns = dict(zip(grid.header, zip(*(cells for _, cells in rows), strict=True), strict=True)) if rows else {}
    built: dict[str, Any] = {"row": pa.array([row for row, _ in rows], pa.int32())}
    for name in KINDS[kind].columns:
        texts = columns.get(name, ("",) * len(rows))
        if name in TIMES:
            built[name] = pa.array([parse_instant(text) if text else None for text in texts], pa.int64())
        else:
            built[name] = pa.array(texts, pa.string()).dictionary_encode().cast(_CELL_TYPE)
    return distinct(KINDS[kind], pa.table(built))
