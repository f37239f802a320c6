# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks that the rows in force can still be settled with another register, which is refused otherwise.

A row was checked by the register of its own import. Only rows of areas, plants and units that differ are checked again:
a year of plans of a region is tens of millions of rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection

from collector.base.errors import ConfigError, Problem
from collector.base.text import tr
from collector.center.inputs.conflicts import HeldRows
from collector.center.inputs.kinds import KINDS, row_to_read
from collector.center.inputs.parse import meant_by, problems_of_rows
from collector.center.inputs.stored_rows import EVER, RowsInForce
from collector.model.register import Register
from collector.sheets.findings import LISTED_PER_KIND
from collector.tables.limits import PLAN
from collector.tables.register import RegisterFile

Int64s = npt.NDArray[np.int64]
# For a table's column: the part of the register that has its ids, and the fields of its states that rows depend on.
_COLUMNS: Final = {
    "unit": ("units", ("rated_mw", "from_day", "until_day")),
    "plant": ("plants", ("area", "revenue_basis", "from_day", "until_day")),
    "area": ("areas", ()),
}


def check_in_force(
    connection: Connection,
    folder: Path,
    file: str,
    new: RegisterFile,
    old: RegisterFile | None,
    leaving: Mapping[str, Mapping[int, Int64s]],
) -> None:
    """Refuse a register that makes rows in force invalid. `file`: the name of its file.

    `old`: the register in force until now. `leaving`: places of rows in force that are replaced at the same time, by
    kind and import.

    Raises:
        ConfigError: the first such rows of each kind, with their imports.
        Altered: the file of an import is not as it was written.
    """
    differing = _differing(new.register, old.register if old is not None else None)
    problems: list[Problem] = []
    for kind in KINDS:
        held = RowsInForce(connection, folder, kind)
        found = _wrong(held, kind, new, differing, leaving.get(kind, {}))
        wrong = list(islice(found, LISTED_PER_KIND + 1))
        origins = held.origins(np.array([number for number, _ in wrong[:LISTED_PER_KIND]], np.int64))
        for number, reason in wrong[:LISTED_PER_KIND]:
            import_id, row, cells = origins[number]
            message = tr(
                "row {row} of import {import_id} ({kind}: {stored}) could not be settled beside it: {reason}; keep "
                "what it needs in the register, or take that import back first",
                row=row,
                import_id=import_id,
                kind=kind,
                stored=row_to_read(kind, cells),
                reason=reason,
            )
            problems.append(Problem(file, 0, "", message))
        if len(wrong) > LISTED_PER_KIND:
            problems.append(Problem(file, 0, "", tr("… and more rows of {kind}", kind=kind)))
    if problems:
        raise ConfigError(problems)


def first_unfit(kind: str, rows: pa.Table, known: RegisterFile) -> str | None:
    """The first problem of a register with rows that would count again; None: they can be settled with it."""
    if kind in ("plan", "voltage_band"):
        numbers = np.arange(len(rows), dtype=np.int64)
        found = _wrong_schedule(kind, HeldRows(numbers, rows), known)
        return next((reason for _, reason in found), None)
    return next((reason for _, reason in problems_of_rows(kind, rows, known)), None)


def _differing(new: Register | None, old: Register | None) -> Callable[[str], frozenset[str] | None]:
    """For a column, the ids of the old register whose states differ; None means all, as limits or headings differ."""
    if new is None or old is None or (new.policy, new.ignore_columns) != (old.policy, old.ignore_columns):
        return lambda _: None

    def ids(column: str) -> frozenset[str]:
        table, names = _COLUMNS[column]
        states: list[dict[str, set[Any]]] = []
        for register in (new, old):
            found = defaultdict[str, set[Any]](set)
            for state in getattr(register, table):
                found[state.id].add(tuple(getattr(state, name) for name in names))
            states.append(found)
        return frozenset(each for each, before in states[1].items() if states[0].get(each) != before)

    return ids


def _wrong(
    held: RowsInForce,
    kind: str,
    new: RegisterFile,
    differing: Callable[[str], frozenset[str] | None],
    leaving: Mapping[int, Int64s],
) -> Iterator[tuple[int, str]]:
    """Numbers of rows in force with their problem, until the caller has enough."""
    names = [name for name in _COLUMNS if name in KINDS[kind].columns]
    chosen = {name: differing(name) for name in names}
    if not names or not held.any or not any(ids is None or ids for ids in chosen.values()):
        return
    parts = _touched(held, chosen, leaving)
    if kind in ("plan", "voltage_band"):
        for part in parts:
            yield from _wrong_schedule(kind, part, new)
        return
    some = list(parts)
    if not some:
        return
    numbers = np.concatenate([part.number for part in some])
    rows = pa.concat_tables([part.rows for part in some]).unify_dictionaries()
    twice = _twice(rows, numbers, new) if kind == "revenue" else []
    met = {number for number, _ in twice}
    yield from twice
    for row, reason in problems_of_rows(kind, rows, new):
        number = int(numbers[max(row - 2, 0)])  # the header is row 1
        if number not in met:
            yield number, reason


def _touched(
    held: RowsInForce, chosen: Mapping[str, frozenset[str] | None], leaving: Mapping[int, Int64s]
) -> Iterator[HeldRows]:
    """Rows in force that stay and name a changed id."""
    for part in held.touching(*EVER):
        stays = np.ones(len(part.number), np.bool_)
        for import_id, places in leaving.items():
            stays &= ~np.isin(part.number, (import_id << 32) + places)
        names = np.zeros(len(part.number), np.bool_)
        for column, ids in chosen.items():
            values = pa.array(sorted(ids), pa.string()) if ids is not None else None
            names |= True if values is None else _among(part.rows[column], values)
        places = np.flatnonzero(stays & names)
        if len(places):
            yield HeldRows(part.number[places], part.rows.take(pa.array(places)))


def _among(column: Any, values: Any) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.is_in(column.cast(pa.string()), value_set=values).to_numpy(), np.bool_)


def _wrong_schedule(kind: str, part: HeldRows, new: RegisterFile) -> Iterator[tuple[int, str]]:
    """For a schedule, by columns: the first row of each unit that is not registered, and powers beyond a limit."""
    units = part.rows["unit"].cast(pa.string())
    known = _among(units, pa.array(sorted(new.units or ()), pa.string()))
    said: set[str] = set()
    for place in np.flatnonzero(~known).tolist():
        unit = units[place].as_py()
        if unit not in said:
            unknown = tr("unknown {key} {id!r}: not in register.toml{hint}", key="unit", id=unit, hint="")
            yield int(part.number[place]), unknown
        said.add(unit)
    limits = new.power_limits(PLAN) if kind == "plan" else None
    for place in limits.beyond(part.rows.unify_dictionaries()) if limits is not None else ():
        row = part.rows.slice(place, 1).to_pylist()[0]
        message = limits.problem(row["unit"], row["start"], row["end"], row["power_kw"]) if limits else None
        if known[place] and message:
            yield int(part.number[place]), message


def _twice(rows: pa.Table, numbers: Int64s, new: RegisterFile) -> list[tuple[int, str]]:
    """Revenue rows that would be for the same area as another row in force."""
    names = KINDS["revenue"].unique
    seen: dict[tuple[str, ...], int] = {}
    found: list[tuple[int, str]] = []
    columns = (meant_by("revenue", new)(rows)[name].cast(pa.string()).to_pylist() for name in names)
    for number, key in zip(numbers.tolist(), zip(*columns, strict=True), strict=True):
        first = seen.setdefault(key, number)
        if first != number:
            what = ", ".join(filter(None, key))
            found.append((number, tr("{what} is in import {import_id} too", what=what, import_id=first >> 32)))
    return found
