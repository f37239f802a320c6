# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans, orders, reserves, revenue, registers: what people deliver, as versions that can be replaced and undone.

A delivery is checked as a settlement folder's file is (the same readers), then row by row against what is in force:
the same row again changes nothing; a row that claims the place of another one is refused, or replaces it where asked.
Replaced rows are kept and come back when the import that replaced them is undone. The whole delivery is taken or none.

An import is looked at, begun, filled with its rows and published. Its rows, and what it replaces, count from its
publishing on, however many transactions it took to put them in (`import_in_steps`); what counts is said in one place,
`tables_inputs.in_force`. So taking one back writes one row, too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import zstandard
from sqlalchemy import Connection, func, insert, select, text, update

from collector.base.errors import Problem, StoreError
from collector.base.text import tr
from collector.center.db.tables_inputs import effective, imported, imported_row, in_force, published
from collector.center.db.verified import check_hash
from collector.center.inputs.conflicts import Rows, RowsInConflict, lay_over
from collector.center.inputs.kinds import ALL_KINDS as ALL_KINDS
from collector.center.inputs.kinds import IMPORT_KINDS as IMPORT_KINDS
from collector.center.inputs.kinds import KINDS as KINDS
from collector.center.inputs.kinds import RECORDS as RECORDS
from collector.center.inputs.kinds import REGISTER as REGISTER
from collector.center.inputs.parse import read_table
from collector.center.inputs.stored_rows import held_rows, insert_rows, mark_replaced, origins
from collector.sheets.files import Delivered
from collector.sheets.findings import LISTED_PER_KIND, Findings
from collector.tables.register import RegisterFile, load_register

_ROWS_AT_ONCE: Final = 100_000
_PACKED: Final = zstandard.FRAME_HEADER  # no table that was ever taken begins so

Int64s = npt.NDArray[np.int64]
Step = Callable[[Connection, int], None]


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did. `import_id` is None where nothing changed: every row was there already."""

    import_id: int | None
    added: int
    same: int
    replaced: int


@dataclass(frozen=True, slots=True)
class Taking:
    """What taking a file would do, found by looking.

    `new`: places of its rows that are not in force yet, in the order of time; `replaced`: numbers of the rows in force
    that make way, in order; `changes`: whether there is anything to be taken.
    """

    kind: str
    delivered: Delivered
    rows: Rows
    new: Int64s
    replaced: Int64s
    changes: bool

    @property
    def counts(self) -> tuple[int, int, int]:
        """Rows added, there already, and replaced."""
        return len(self.new), len(self.rows) - len(self.new), len(self.replaced)

    def steps(self, rows_of_next: Callable[[], int]) -> Iterator[Step]:
        """What is to be done between beginning and publishing it, in bites; each takes the import's number."""
        for some in _bites(self.replaced, rows_of_next):
            yield partial(_replace, some)
        for some in _bites(self.new, rows_of_next):
            yield partial(self._insert, some)

    def _insert(self, places: Int64s, connection: Connection, import_id: int) -> None:
        insert_rows(connection, self.kind, self.rows.take(places), import_id)


def _bites(whole: Int64s, size_of_next: Callable[[], int]) -> Iterator[Int64s]:
    first = 0
    while first < len(whole):
        after = first + size_of_next()
        yield whole[first:after]
        first = after


def _replace(numbers: Int64s, connection: Connection, import_id: int) -> None:
    mark_replaced(connection, numbers, import_id)


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
    """Take a delivered file into the store in one transaction. `services`: what exclusions may name.

    Raises:
        ConfigError: everything wrong in the file, or rows that conflict with those in force.
        StoreError: no register was imported yet.
    """
    lock_imports(connection)
    known = None if kind == REGISTER else needed_register(connection)
    taking = look(connection, kind, *read_table(kind, delivered, known, services), replace=replace)
    if not taking.changes:
        return Imported(None, *taking.counts)
    import_id = begin(connection, taking, pack(delivered.data), who=who, now_ms=now_ms)
    for step in taking.steps(lambda: _ROWS_AT_ONCE):
        step(connection, import_id)
    publish(connection, import_id, now_ms=now_ms)
    return Imported(import_id, *taking.counts)


def look(connection: Connection, kind: str, delivered: Delivered, rows: Rows, *, replace: bool) -> Taking:
    """Compare a file's rows with those in force; nothing is written.

    Raises:
        ConfigError: the first rows in conflict with those in force, and how many there are, unless they are replaced.
    """
    if kind == REGISTER:
        return _look_at_register(connection, delivered, rows, replace=replace)
    laid = lay_over(KINDS[kind], rows, lambda start_ms, end_ms: held_rows(connection, kind, start_ms, end_ms))
    if len(laid.claims) and not replace:
        listed = list(zip(laid.claims[:LISTED_PER_KIND].tolist(), laid.claimed[:LISTED_PER_KIND].tolist(), strict=True))
        held = origins(connection, {number for _, number in listed})
        problems = [_problem(delivered.name, int(rows.row[place]), *held[number]) for place, number in listed]
        if more := len(laid.claims) - len(listed):
            problems.append(
                Problem(delivered.name, 0, "", tr("… and {more} more rows that conflict with imported ones", more=more))
            )
        raise RowsInConflict(problems)
    # In the order of time, as they are read again; rows of one instant stay as the file has them.
    new = laid.new[np.argsort(rows.start_ms[laid.new], kind="stable")]
    return Taking(
        kind, delivered, rows, new, np.unique(laid.claimed), bool(len(new)) or not is_delivered(connection, kind)
    )


def _problem(file: str, row: int, import_id: int, old_row: int, cells: Collection[str]) -> Problem:
    stored = ", ".join(cell for cell in cells if cell)
    message = tr(
        "conflicts with import {import_id} row {old_row} ({stored}); import the file as a replacement to let it count",
        import_id=import_id,
        old_row=old_row,
        stored=stored,
    )
    return Problem(file, row, "", message)


def _look_at_register(connection: Connection, delivered: Delivered, rows: Rows, *, replace: bool) -> Taking:
    """A register is one whole: another one replaces it or is refused."""
    before = connection.execute(select(imported_row).where(in_force(REGISTER))).one_or_none()
    if before is not None and json.loads(before.cells) == [delivered.sha256]:
        nothing = np.empty(0, np.int64)
        return Taking(REGISTER, delivered, rows, nothing, nothing, changes=False)
    if before is not None and not replace:
        message = tr(
            "another register is in force, of import {import_id}; import this one as a replacement to let it count",
            import_id=before.import_id,
        )
        raise RowsInConflict([Problem(delivered.name, 0, "", message)])
    replaced = np.array([] if before is None else [before.id], np.int64)
    return Taking(REGISTER, delivered, rows, np.zeros(1, np.int64), replaced, changes=True)


def lock_imports(connection: Connection) -> None:
    """Let no other transaction begin, publish or undo an import until this one ends. SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE imported IN SHARE ROW EXCLUSIVE MODE"))


def state_of(connection: Connection) -> tuple[int, int, int]:
    """Another one after every publishing and undoing of an import of tables."""
    columns = (func.count(), func.coalesce(func.max(imported.c.id), 0), func.count(imported.c.undone_ms))
    count, latest, undone = connection.execute(select(*columns).where(published & (imported.c.kind != RECORDS))).one()
    return int(count), int(latest), int(undone)


def begin(connection: Connection, taking: Taking, packed: bytes, *, who: str, now_ms: int) -> int:
    """Write an import down with its file, packed; its number. Nothing of it counts yet."""
    rows = taking.rows
    longest_ms = int((rows.end_ms - rows.start_ms).max()) if len(rows) else 0
    return record_import(
        connection, taking.kind, taking.delivered, packed, who=who, now_ms=now_ms, counts=taking.counts,
        longest_ms=longest_ms,
    )  # fmt: skip


def record_import(
    connection: Connection,
    kind: str,
    delivered: Delivered,
    packed: bytes,
    *,
    who: str,
    now_ms: int,
    counts: tuple[int, int, int],
    longest_ms: int = 0,
) -> int:
    """The row of an import, to be published; its number. `counts`: rows added, there already, and replaced."""
    values = {
        "kind": kind,
        "name": delivered.name[:255],
        "sha256": delivered.sha256,
        "who": who[:64],
        "at_ms": now_ms,
        **dict(zip(("added", "same", "replaced"), counts, strict=True)),
        "longest_ms": longest_ms,
        "bytes": packed,
    }
    key = connection.execute(insert(imported).values(values)).inserted_primary_key
    assert key is not None
    return int(key[0])


def publish(connection: Connection, import_id: int, *, now_ms: int) -> None:
    """From now on its rows count, and those it replaced don't."""
    connection.execute(update(imported).where(imported.c.id == import_id).values(published_ms=now_ms))


def list_imports(connection: Connection) -> list[dict[str, Any]]:
    """Every import, oldest first, without its bytes."""
    names = ("id", "kind", "name", "sha256", "who", "at_ms", "added", "same", "replaced", "undone_ms", "undone_by")
    rows = connection.execute(select(*(imported.c[name] for name in names)).where(published).order_by(imported.c.id))
    return [{name: getattr(row, name) for name in names} for row in rows]


def rows_in_force(connection: Connection, kind: str) -> Iterator[tuple[str, ...]] | None:
    """The cells of every row in force, in the order of time and import; None where the kind was never delivered."""
    return _rows_in_force(connection, kind) if is_delivered(connection, kind) else None


def _rows_in_force(connection: Connection, kind: str) -> Iterator[tuple[str, ...]]:
    query = select(imported_row.c.cells).where(in_force(kind)).order_by(imported_row.c.start_ms, imported_row.c.id)
    for cells in connection.execute(query.execution_options(yield_per=10_000)).scalars():
        yield tuple(json.loads(cells))


def is_delivered(connection: Connection, kind: str) -> bool:
    """Whether there is an import of the kind that counts, if only of a header."""
    return (
        connection.execute(select(imported.c.id).where((imported.c.kind == kind) & effective).limit(1)).first()
        is not None
    )


def current_register(connection: Connection) -> bytes | None:
    """The register in force as it was delivered; None where there is none."""
    columns = imported.c.id, imported.c.sha256, imported.c.bytes
    query = select(*columns).join(imported_row, imported_row.c.import_id == imported.c.id)
    found = connection.execute(query.where(in_force(REGISTER))).first()
    if found is None:
        return None
    data = unpack(bytes(found.bytes))
    check_hash(Path(f"import {found.id}"), found.sha256, hashlib.sha256(data).hexdigest())
    return data


def known_register(connection: Connection) -> RegisterFile | None:
    """The register in force, read; None where there is none."""
    data = current_register(connection)
    return None if data is None else load_register(Delivered("register.toml", data, ""), Findings())


def needed_register(connection: Connection) -> RegisterFile:
    """The register in force, read.

    Raises:
        StoreError: there is none.
    """
    known = known_register(connection)
    if known is None:
        raise StoreError(tr("no register yet: import register.toml first, the other files are checked against it"))
    return known


def pack(data: bytes) -> bytes:
    """A file as it is kept: text of records or a plan takes a tenth so."""
    return zstandard.ZstdCompressor(level=3).compress(data)


def unpack(stored: bytes) -> bytes:
    """A file as it was delivered; older programs kept tables as they were."""
    return zstandard.ZstdDecompressor().decompress(stored) if stored.startswith(_PACKED) else stored
