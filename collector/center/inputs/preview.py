# SPDX-License-Identifier: GPL-3.0-or-later
"""The preview of an import before anything is stored: the file's kind, its first rows, and its effects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection

from collector.base.errors import Problem, StoreError
from collector.base.text import Text, tr
from collector.center.db.store import CenterStore
from collector.center.inputs.conflicts import RowsInConflict, cells_of
from collector.center.inputs.imports import current_register, known_register, look, needed_register
from collector.center.inputs.kinds import IMPORT_KINDS, KINDS, RECORDS, REGISTER, TIMES
from collector.center.inputs.names import named_plant, plant_names
from collector.center.inputs.parse import as_toml, kinds_in, load_delivered, meant_by, read_table
from collector.center.inputs.record_files import read_file
from collector.center.inputs.register_change import check_in_force
from collector.center.inputs.stored_rows import RowsInForce
from collector.model.interval import DAY_MS, LOCAL_OFFSET_MS, format_time
from collector.model.register import Register
from collector.sheets.efile import is_efile
from collector.sheets.files import Delivered
from collector.sheets.findings import Findings
from collector.sheets.grid import open_grid
from collector.tables.limits import InputRules
from collector.tables.register import RegisterFile

FIRST_ROWS: Final = 10
_OPTIONAL: Final = frozenset({"issued", "note", "document", "source", "area", "power_mw"})


@dataclass(frozen=True, slots=True)
class YuanChange:
    """A plant's revenue of a month now and after the import; None where there is none in force."""

    plant: str
    month: str
    before_yuan: Decimal | None
    after_yuan: Decimal


@dataclass(frozen=True, slots=True)
class Preview:
    """The preview of an import. `first`: its first rows; `rows`: their number.

    `added`, `same`, `replaced`: its new rows, those in force already, and rows in force that it would replace;
    `conflicts` names the first of the last. `changes`: for a register or records, in words. `yuan`: for revenue.
    """

    kind: str
    columns: Sequence[str]
    first: Sequence[Sequence[str]]
    rows: int
    added: int = 0
    same: int = 0
    replaced: int = 0
    conflicts: Sequence[Problem] = ()
    months: Sequence[str] = ()
    changes: Sequence[Text] = ()
    yuan: Sequence[YuanChange] = ()
    notes: Sequence[str] = ()


def recognise_kinds(delivered: Delivered) -> list[str]:
    """The possible kinds of a file, the likeliest first: by its tables, its suffix, its columns, its name."""
    if delivered.suffix == ".toml":
        return [REGISTER]
    if delivered.suffix == ".parquet":
        return [RECORDS]
    if is_efile(delivered):
        return list(kinds_in(delivered))
    stem = PurePosixPath(delivered.name).stem.lower()
    fits: list[tuple[int, bool, str]] = []
    for kind in IMPORT_KINDS:
        if kind == REGISTER:
            continue
        grid = open_grid(replace(delivered, table=kind), Findings())
        header = set(grid.header) if grid is not None else set()
        columns = set(KINDS[kind].columns) if kind in KINDS else {"unit", "time"}
        if kind == RECORDS and ("active_power_mw" not in header and "on_grid" not in header):
            continue
        if header and columns - _OPTIONAL <= header:
            fits.append((len(columns & header) - len(header - columns), kind in stem, kind))
    return [kind for *_, kind in sorted(fits, reverse=True)]


def preview(
    store: CenterStore, kind: str, delivered: Delivered, rules: InputRules | None, *, with_register: bool = False
) -> Preview:
    """Read a file as if it were to be taken. `with_register`: check by the register in the same file.

    Raises:
        ConfigError: everything wrong in it.
        StoreError: there is no such kind, or no register was imported yet.
    """
    if kind not in IMPORT_KINDS:
        raise StoreError(tr("expected one of {names}", names=", ".join(IMPORT_KINDS)), subject=kind[:40])
    if kind == REGISTER:
        return store.read(lambda c: _register(c, store, delivered, rules))
    if kind == RECORDS:
        return store.read(lambda c: _records(c, delivered))
    known = load_delivered(as_toml(delivered) if with_register else store.read(needed_register), rules)
    notes = Findings()
    delivered, rows = read_table(kind, delivered, known, notes)
    assert rows is not None  # only a register has no rows
    found = store.read(lambda c: look(c, store.imported, kind, delivered, rows, known, replace=True))
    added = int(np.count_nonzero(found.new))
    cells = cells_of(KINDS[kind], rows.slice(0, FIRST_ROWS))
    return Preview(
        kind=kind,
        columns=KINDS[kind].columns,
        first=[_shown(KINDS[kind].columns, row) for row in cells],
        rows=len(rows),
        added=added,
        same=len(rows) - added,
        replaced=sum(map(len, found.replaced.values())),
        conflicts=store.read(lambda c: _conflicts(c, store, kind, delivered, rows, known)) if found.replaced else (),
        months=_months(kind, rows),
        yuan=store.read(lambda c: _revenue(c, store, rows, known)) if kind == "revenue" else (),
        notes=[note.message for note in notes.notes],
    )


def _shown(columns: Sequence[str], cells: Iterable[str]) -> list[str]:
    return [
        format_time(int(cell)) if name in TIMES and cell else cell for name, cell in zip(columns, cells, strict=True)
    ]


def _conflicts(
    connection: Connection, store: CenterStore, kind: str, delivered: Delivered, rows: pa.Table, known: RegisterFile
) -> Sequence[Problem]:
    try:
        look(connection, store.imported, kind, delivered, rows, known, replace=False)
    except RowsInConflict as conflict:
        return conflict.problems
    return ()


def _months(kind: str, rows: pa.Table) -> list[str]:
    """The months the rows touch, where the kind has times or names a month."""
    columns = KINDS[kind].columns
    if "month" in columns:
        return sorted(map(str, pc.unique(rows["month"]).to_pylist()))
    name = next((each for each in ("start", "time", "called") if each in columns), None)
    if name is None:
        return []
    days = np.unique((rows[name].drop_null().to_numpy() + LOCAL_OFFSET_MS) // DAY_MS)
    return sorted({str(np.datetime64(int(day), "D"))[:7] for day in days})


def _revenue(connection: Connection, store: CenterStore, rows: pa.Table, known: RegisterFile) -> list[YuanChange]:
    """Revenue per plant and month, in force now and after the import; other rows of the month stay."""
    place = {name: index for index, name in enumerate(KINDS["revenue"].columns)}
    key = [place[name] for name in KINDS["revenue"].unique]
    held, meant = RowsInForce(connection, store.imported, "revenue").table(), meant_by("revenue", known)
    before = [] if held is None else cells_of(KINDS["revenue"], meant(held))
    cells = cells_of(KINDS["revenue"], meant(rows))
    after = {tuple(row[i] for i in key): row for row in (*before, *cells)}
    touched = {(row[place["plant"]], row[place["month"]]) for row in cells}
    sums: list[dict[tuple[str, str], Decimal]] = []
    for side in (before, list(after.values())):
        found: dict[tuple[str, str], Decimal] = defaultdict(lambda: Decimal("0.00"))
        for row in side:
            if row[place["amount_yuan"]]:
                found[row[place["plant"]], row[place["month"]]] += Decimal(row[place["amount_yuan"]])
        sums.append(found)
    return [YuanChange(*each, sums[0].get(each), sums[1].get(each, Decimal("0.00"))) for each in sorted(touched)]


def _register(connection: Connection, store: CenterStore, delivered: Delivered, rules: InputRules | None) -> Preview:
    known = load_delivered(as_toml(delivered), rules)
    if not is_efile(delivered):  # in an E file, other tables may replace the rows that do not fit
        check_in_force(connection, store.imported, delivered.name, known, known_register(connection), {})
    new = known.register
    data = current_register(connection)
    old = load_delivered(Delivered("register.toml", data, ""), None).register if data is not None else None
    assert new is not None  # else the read would have refused it
    changes = [change for name in ("areas", "plants", "units") for change in _differing(name, old, new)]
    states = (("area", new.areas), ("plant", new.plants), ("unit", new.units))
    rows = [(table, state.id) for table, found in states for state in found]
    return Preview(
        kind=REGISTER,
        columns=("table", "id"),
        first=rows[:FIRST_ROWS],
        rows=len(rows),
        added=len(changes),
        replaced=int(old is not None and bool(changes)),
        changes=changes,
    )


def _differing(name: str, old: Register | None, new: Register) -> list[Text]:
    """The areas, plants or units that are new, gone or changed; one line each."""
    states: list[dict[str, list[str]]] = []
    for register in (old, new):
        found: dict[str, list[str]] = defaultdict(list)
        for state in getattr(register, name, ()):
            found[state.id].append(repr(state))
        states.append(found)
    before, after = states
    return [
        *(tr("new: {id}", id=key) for key in after if key not in before),
        *(tr("no longer there: {id}", id=key) for key in before if key not in after),
        *(tr("changed: {id}", id=key) for key in after if key in before and after[key] != before[key]),
    ]


def _records(connection: Connection, delivered: Delivered) -> Preview:
    file = read_file(connection, delivered)
    names = [name for name in ("unit", "time") if name in file.table.column_names]
    rows = file.table.select(names).slice(0, FIRST_ROWS).to_pylist()
    days, known_as = list(file.days()), plant_names(connection)
    return Preview(
        kind=RECORDS,
        columns=names,
        first=[_shown(names, [str(row[name]) for name in names]) for row in rows],
        rows=len(file.table),
        added=len(file.table),
        months=sorted({day[:7] for _, day, _ in days}),
        changes=[
            tr(
                "{plant}, {day}: records of {units}",
                plant=named_plant(plant, known_as),
                day=day,
                units=", ".join(p.unit for p in parts),
            )
            for plant, day, parts in days[:200]
        ],
    )
