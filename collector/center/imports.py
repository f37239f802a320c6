# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans, orders, reserves, revenue, registers: what people deliver, as versions that can be replaced and undone.

A delivery is checked as a settlement folder's file is (the same readers), then row by row against what is in force:
the same row again changes nothing; a row that claims the place of another one is refused, or replaces it where asked.
Replaced rows are kept and come back when the import that replaced them is undone. The whole delivery is taken or none.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, func, insert, select, text, update

from collector.center.import_schema import imported, imported_row
from collector.errors import ConfigError, Problem, StoreError
from collector.tables.cells import parse_instant
from collector.tables.dispatch import (
    read_exclusions,
    read_orders,
    read_rates,
    read_reserves,
    read_revenue,
    read_start_stop_table,
)
from collector.tables.efile import is_efile, read_efile, register_text, tables_in
from collector.tables.files import Delivered
from collector.tables.findings import Findings
from collector.tables.grid import open_grid
from collector.tables.register import RegisterFile, load_register
from collector.tables.schedules import read_plan, read_voltage_band

REGISTER: Final = "register"
_REGISTER_TABLES: Final = frozenset({"area", "plant", "unit", "policy"})
_TIMES: Final = frozenset({"start", "end", "issued"})
_AT_ONCE: Final = 500
_INSERTED_AT_ONCE: Final = 20_000


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of table: its columns; which of them are unique together; within which of them intervals are exclusive.

    Empty where rows may stand beside each other freely.
    """

    columns: tuple[str, ...]
    unique: tuple[str, ...] = ()
    exclusive: tuple[str, ...] = ()


KINDS: Final[Mapping[str, Kind]] = {
    "plan": Kind(("unit", "start", "end", "power_mw", "issued"), exclusive=("unit", "issued")),
    "orders": Kind(("id", "unit", "kind", "start", "end"), unique=("id",), exclusive=("unit", "kind")),
    "reserve": Kind(("unit", "kind", "start", "end", "power_mw"), exclusive=("unit", "kind")),
    "voltage_band": Kind(("unit", "start", "end", "low_kv", "high_kv"), exclusive=("unit",)),
    "exclusions": Kind(("unit", "service", "start", "end", "reason", "note")),
    "revenue": Kind(("plant", "month", "kind", "amount_yuan", "area"), unique=("plant", "month", "kind", "area")),
    "rates": Kind(("unit", "month", "kind", "value", "source"), unique=("unit", "month", "kind")),
    "start_stop_table": Kind(
        ("capacity_from_mw", "capacity_to_mw", "gap_from_h", "gap_to_h", "amount_wan_yuan", "from", "document"),
        unique=("capacity_from_mw", "capacity_to_mw", "gap_from_h", "gap_to_h", "from"),
    ),
}
ALL_KINDS: Final = (REGISTER, *KINDS)
# Records are no table of rows in force: `collector.center.record_imports` takes them.
RECORDS: Final = "records"
IMPORT_KINDS: Final = (*ALL_KINDS, RECORDS)


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did. `import_id` is None where nothing changed: every row was there already."""

    import_id: int | None
    added: int
    same: int
    replaced: int


@dataclass(frozen=True, slots=True)
class _Row:
    """A row in force or delivered; `number` is its key in the store, or its place in the file."""

    number: int
    row: int
    cells: tuple[str, ...]
    start_ms: int = 0
    end_ms: int = 0


def import_table(
    connection: Connection,
    kind: str,
    delivered: Delivered,
    *,
    who: str,
    now_ms: int,
    replace: bool,
    services: Collection[str],
) -> Imported:
    """Take a delivered file into the store, whole or not at all. `services`: what exclusions may name.

    Raises:
        ConfigError: everything wrong in the file, or every row that conflicts with one in force.
        StoreError: no register was imported yet.
    """
    _one_at_a_time(connection)
    if kind == REGISTER:
        return _import_register(connection, _as_toml(delivered), who=who, now_ms=now_ms, replace=replace)
    delivered = dataclasses.replace(delivered, table=kind)
    _check_file(_known(connection), kind, delivered, services)
    rows = _rows_of(kind, delivered)
    in_force = _in_force(connection, kind, rows)
    known = {row.cells for row in in_force}
    new = [row for row in rows if row.cells not in known]
    conflicts = _conflicts(KINDS[kind], new, in_force)
    if conflicts and not replace:
        origins = _origins(connection, {old.number for _, old in conflicts})
        raise ConfigError([_problem(delivered.name, row, old, origins[old.number]) for row, old in conflicts])
    if not new and not (_is_first(connection, kind)):
        return Imported(None, 0, len(rows), 0)
    replaced = sorted({old.number for _, old in conflicts})
    counts = (len(new), len(rows) - len(new), len(replaced))
    import_id = record_import(connection, kind, delivered, who, now_ms, counts)
    _replace(connection, replaced, import_id)
    _insert_rows(connection, kind, new, import_id)
    return Imported(import_id, *counts)


def check_table(connection: Connection, kind: str, delivered: Delivered, services: Collection[str]) -> None:
    """Look at a delivered file as `import_table` will, and change nothing.

    Raises:
        ConfigError: everything wrong in the file; not what conflicts with rows in force.
        StoreError: no register was imported yet.
    """
    if kind == REGISTER:
        findings = Findings()
        load_register(_as_toml(delivered), findings)
        findings.refuse_if_any()
    else:
        _check_file(_known(connection), kind, dataclasses.replace(delivered, table=kind), services)


def _one_at_a_time(connection: Connection) -> None:
    """Two imports that did not see each other's rows would both be in force. SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE imported IN SHARE ROW EXCLUSIVE MODE"))


def kinds_in(delivered: Delivered) -> tuple[str, ...]:
    """What an E file has tables of, in the order in which they can be imported."""
    there = tables_in(delivered)
    register = (REGISTER,) if set(there) & _REGISTER_TABLES else ()
    return (*register, *(kind for kind in (*KINDS, RECORDS) if kind in there))


def _as_toml(delivered: Delivered) -> Delivered:
    """A register in E text as register.toml, which is what a settlement folder holds.

    Raises:
        ConfigError: it can't be read.
    """
    if not is_efile(delivered):
        return delivered
    findings = Findings()
    tables = read_efile(delivered, findings) or {}
    findings.refuse_if_any()
    data = register_text(tables).encode()
    return Delivered(delivered.name, data, hashlib.sha256(data).hexdigest())


def rows_after(
    kind: str,
    delivered: Delivered,
    in_force: Iterable[tuple[str, ...]],
    *,
    known: RegisterFile,
    services: Collection[str],
    replace: bool,
) -> Iterator[tuple[str, ...]]:
    """What would be in force if a file were imported over some rows: those it leaves, then its own. Nothing is stored.

    `in_force`: cells as `rows_in_force` gives them; `known`: the register the file is checked against.

    Raises:
        ConfigError: as `import_table`, before anything is given out.
    """
    _check_file(known, kind, delivered, services)
    new = {row.cells: row for row in _rows_of(kind, delivered)}
    first = min((row.start_ms for row in new.values()), default=0)
    last = max((row.end_ms for row in new.values()), default=0)
    apart = bool(KINDS[kind].exclusive) and not KINDS[kind].unique
    kept: list[tuple[str, ...]] = []
    met: list[_Row] = []
    for number, cells in enumerate(in_force):
        new.pop(cells, None)  # there already: changes nothing
        given = dict(zip(KINDS[kind].columns, cells, strict=True))
        start_ms, end_ms = int(given.get("start") or 0), int(given.get("end") or 0)
        if apart and not (start_ms < last and end_ms > first):
            kept.append(cells)
        else:
            met.append(_Row(number, 0, cells, start_ms, end_ms))
    conflicts = _conflicts(KINDS[kind], list(new.values()), met)
    if conflicts and not replace:
        said = "conflicts with a row in force ({}); replace it, or leave it out"
        problems = [
            Problem(delivered.name, row.row, "", said.format(", ".join(c for c in old.cells if c)))
            for row, old in conflicts
        ]
        raise ConfigError(problems)
    gone = {old.number for _, old in conflicts}
    return itertools.chain(kept, (row.cells for row in met if row.number not in gone), new)


def undo_import(connection: Connection, import_id: int, *, who: str, now_ms: int) -> None:
    """Take an import back: its rows go out of force, what it had replaced comes back.

    Raises:
        StoreError: no such import, undone already, or a later import stands in the way.
    """
    subject = f"import {import_id}"
    kind = begin_undo(connection, import_id)
    mine = imported_row.c.import_id == import_id
    later = select(imported_row.c.replaced_by).where(mine & imported_row.c.replaced_by.is_not(None))
    if blockers := sorted({int(n) for n in connection.execute(later).scalars()}):
        raise StoreError(f"import {blockers[-1]} replaced rows of it: undo that first", subject=subject)
    connection.execute(update(imported_row).where(mine).values(undone=True))
    back = [
        _stored(row) for row in connection.execute(select(imported_row).where(imported_row.c.replaced_by == import_id))
    ]
    if kind != REGISTER:
        conflicts = _conflicts(KINDS[kind], back, _in_force(connection, kind, back))
        if conflicts:
            other = _origins(connection, {old.number for _, old in conflicts})
            blocker = max(other.values())
            raise StoreError(f"what it replaced conflicts with import {blocker}: undo that first", subject=subject)
    connection.execute(update(imported_row).where(imported_row.c.replaced_by == import_id).values(replaced_by=None))
    mark_undone(connection, import_id, who=who, now_ms=now_ms)


def begin_undo(connection: Connection, import_id: int) -> str:
    """The kind of an import that is to be undone, its row locked.

    Raises:
        StoreError: no such import, or undone already.
    """
    query = select(imported.c.kind, imported.c.undone_ms).where(imported.c.id == import_id).with_for_update()
    found = connection.execute(query).one_or_none()
    if found is None or found.undone_ms is not None:
        message = "was undone already" if found else "there is none with this number"
        raise StoreError(message, subject=f"import {import_id}")
    return str(found.kind)


def mark_undone(connection: Connection, import_id: int, *, who: str, now_ms: int) -> None:
    """Write down who took an import back, and when."""
    values = {"undone_ms": now_ms, "undone_by": who[:64]}
    connection.execute(update(imported).where(imported.c.id == import_id).values(values))


def list_imports(connection: Connection) -> list[dict[str, Any]]:
    """Every import, oldest first, without its bytes."""
    names = ("id", "kind", "name", "sha256", "who", "at_ms", "added", "same", "replaced", "undone_ms", "undone_by")
    rows = connection.execute(select(*(imported.c[name] for name in names)).order_by(imported.c.id))
    return [{name: getattr(row, name) for name in names} for row in rows]


def rows_in_force(connection: Connection, kind: str) -> Iterator[tuple[str, ...]] | None:
    """The cells of every row in force, in the order of time and import; None where the kind was never delivered."""
    if _is_first(connection, kind):
        return None
    active = (imported_row.c.kind == kind) & imported_row.c.replaced_by.is_(None) & ~imported_row.c.undone
    query = select(imported_row.c.cells).where(active).order_by(imported_row.c.start_ms, imported_row.c.id)
    return (tuple(json.loads(cells)) for cells in connection.execute(query).scalars())


def current_register(connection: Connection) -> bytes | None:
    """The register in force as it was delivered; None where there is none."""
    active = (imported_row.c.kind == REGISTER) & imported_row.c.replaced_by.is_(None) & ~imported_row.c.undone
    query = select(imported.c.bytes).join(imported_row, imported_row.c.import_id == imported.c.id).where(active)
    found = connection.execute(query).scalar()
    return None if found is None else bytes(found)


def known_register(connection: Connection) -> RegisterFile | None:
    """The register in force, read; None where there is none."""
    data = current_register(connection)
    return None if data is None else load_register(Delivered("register.toml", data, ""), Findings())


def _is_first(connection: Connection, kind: str) -> bool:
    counted = (
        select(func.count()).select_from(imported).where((imported.c.kind == kind) & imported.c.undone_ms.is_(None))
    )
    return not connection.execute(counted).scalar_one()


def _known(connection: Connection) -> RegisterFile:
    known = known_register(connection)
    if known is None:
        raise StoreError("no register yet: import register.toml first, the other files are checked against it")
    return known


def _check_file(known: RegisterFile, kind: str, delivered: Delivered, services: Collection[str]) -> None:
    findings = Findings()
    readers: Mapping[str, Any] = {
        "plan": lambda: read_plan(delivered, known.units, findings),
        "orders": lambda: read_orders(delivered, known.units, findings),
        "reserve": lambda: read_reserves(delivered, known.units, findings),
        "voltage_band": lambda: read_voltage_band(delivered, known.units, findings),
        "exclusions": lambda: read_exclusions(delivered, known.units, services, findings),
        "revenue": lambda: read_revenue(delivered, known, findings),
        "rates": lambda: read_rates(delivered, known.units, findings),
        "start_stop_table": lambda: read_start_stop_table(delivered, findings),
    }
    readers[kind]()
    findings.refuse_if_any()


def _rows_of(kind: str, delivered: Delivered) -> list[_Row]:
    """The rows of a file that was found good, with times in one notation; a row that is there twice counts once."""
    columns = KINDS[kind].columns
    grid = open_grid(delivered, Findings())
    assert grid is not None
    rows: dict[tuple[str, ...], _Row] = {}
    for number, cells in grid.rows(Findings()):
        given = dict(zip(grid.header, cells, strict=True))
        texts = {name: _normal(name, given.get(name, "")) for name in columns}
        start_ms, end_ms = int(texts.get("start") or 0), int(texts.get("end") or 0)
        whole = tuple(texts.values())
        rows.setdefault(whole, _Row(len(rows), number, whole, start_ms, end_ms))
    return list(rows.values())


def _normal(column: str, text: str) -> str:
    return str(parse_instant(text)) if column in _TIMES and text else text


def _stored(row: Any) -> _Row:
    return _Row(int(row.id), int(row.row), tuple(json.loads(row.cells)), int(row.start_ms), int(row.end_ms))


def _in_force(connection: Connection, kind: str, rows: Sequence[_Row]) -> list[_Row]:
    """Rows in force that new ones could meet: all; of a kind with intervals only, those of the same stretch of time."""
    where = (imported_row.c.kind == kind) & imported_row.c.replaced_by.is_(None) & ~imported_row.c.undone
    if rows and KINDS[kind].exclusive and not KINDS[kind].unique:
        first, last = min(r.start_ms for r in rows), max(r.end_ms for r in rows)
        where &= (imported_row.c.start_ms < last) & (imported_row.c.end_ms > first)
    return [_stored(row) for row in connection.execute(select(imported_row).where(where))]


def _conflicts(kind: Kind, new: Sequence[_Row], in_force: Sequence[_Row]) -> list[tuple[_Row, _Row]]:
    """Pairs of a new row and the row in force whose place it claims."""
    pairs: dict[tuple[int, int], tuple[_Row, _Row]] = {}
    if kind.unique:
        holder = {_pick(kind, kind.unique, row): row for row in in_force}
        for row in new:
            if old := holder.get(_pick(kind, kind.unique, row)):
                pairs[row.number, old.number] = (row, old)
    if kind.exclusive:
        groups: dict[tuple[str, ...], list[_Row]] = defaultdict(list)
        for old in sorted(in_force, key=lambda r: r.start_ms):
            groups[_pick(kind, kind.exclusive, old)].append(old)
        for row in new:
            group = groups.get(_pick(kind, kind.exclusive, row), [])
            # Rows in force don't overlap, so their ends are sorted as their starts are.
            place = bisect_left(group, row.start_ms + 1, key=lambda r: r.end_ms)
            while place < len(group) and group[place].start_ms < row.end_ms:
                pairs[row.number, group[place].number] = (row, group[place])
                place += 1
    return [pairs[key] for key in sorted(pairs)]


def _pick(kind: Kind, names: Sequence[str], row: _Row) -> tuple[str, ...]:
    return tuple(row.cells[kind.columns.index(name)] for name in names)


def _origins(connection: Connection, numbers: Collection[int]) -> dict[int, int]:
    """Which import each stored row came with."""
    found: dict[int, int] = {}
    ordered = sorted(numbers)
    for start in range(0, len(ordered), _AT_ONCE):
        chosen = imported_row.c.id.in_(ordered[start : start + _AT_ONCE])
        rows = connection.execute(select(imported_row.c.id, imported_row.c.import_id).where(chosen))
        found |= {int(r.id): int(r.import_id) for r in rows}
    return found


def _problem(file: str, row: _Row, old: _Row, import_id: int) -> Problem:
    stored = ", ".join(cell for cell in old.cells if cell)
    return Problem(
        file, row.row, "", f"conflicts with import {import_id} row {old.row} ({stored}); --replace replaces it"
    )


def record_import(
    connection: Connection, kind: str, delivered: Delivered, who: str, now_ms: int, counts: tuple[int, int, int]
) -> int:
    """Write an import down with its file; its number. `counts`: rows added, same and replaced."""
    values = {
        "kind": kind,
        "name": delivered.name[:255],
        "sha256": delivered.sha256,
        "who": who[:64],
        "at_ms": now_ms,
        **dict(zip(("added", "same", "replaced"), counts, strict=True)),
        "bytes": delivered.data,
    }
    key = connection.execute(insert(imported).values(values)).inserted_primary_key
    assert key is not None
    return int(key[0])


def _replace(connection: Connection, numbers: Sequence[int], import_id: int) -> None:
    for start in range(0, len(numbers), _AT_ONCE):
        chosen = imported_row.c.id.in_(numbers[start : start + _AT_ONCE])
        connection.execute(update(imported_row).where(chosen).values(replaced_by=import_id))


def _insert_rows(connection: Connection, kind: str, rows: Sequence[_Row], import_id: int) -> None:
    """Some at a time: a month's plan of a region is millions of rows."""
    statement = insert(imported_row)
    for start in range(0, len(rows), _INSERTED_AT_ONCE):
        values = [
            {
                "import_id": import_id,
                "kind": kind,
                "row": row.row,
                "start_ms": row.start_ms,
                "end_ms": row.end_ms,
                "cells": json.dumps(row.cells, ensure_ascii=False),
                "undone": False,
            }
            for row in rows[start : start + _INSERTED_AT_ONCE]
        ]
        connection.execute(statement, values)


def _import_register(connection: Connection, delivered: Delivered, *, who: str, now_ms: int, replace: bool) -> Imported:
    """A register is one whole: another one replaces it or is refused."""
    findings = Findings()
    load_register(delivered, findings)
    findings.refuse_if_any()
    active = (imported_row.c.kind == REGISTER) & imported_row.c.replaced_by.is_(None) & ~imported_row.c.undone
    before = connection.execute(select(imported_row).where(active)).one_or_none()
    if before is not None:
        if json.loads(before.cells) == [delivered.sha256]:
            return Imported(None, 0, 1, 0)
        if not replace:
            message = f"another register is in force, of import {before.import_id}; --replace replaces it"
            raise ConfigError([Problem(delivered.name, 0, "", message)])
    counts = (1, 0, 1 if before is not None else 0)
    import_id = record_import(connection, REGISTER, delivered, who, now_ms, counts)
    _replace(connection, [] if before is None else [int(before.id)], import_id)
    _insert_rows(connection, REGISTER, [_Row(0, 0, (delivered.sha256,))], import_id)
    return Imported(import_id, *counts)
