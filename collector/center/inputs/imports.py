# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports of plans, orders, reserves, revenue and registers, as versions that can be replaced and undone.

A delivery is checked by the readers of a settlement folder, then row by row against the rows in force: the same row
again changes nothing; a row that conflicts with another one is refused, or replaces it where asked. Replaced rows are
kept and come back when the import that replaced them is undone. A delivery is taken whole or not at all.

A month's plan of a region is millions of rows, and batches are received meanwhile: a file is read and compared outside
the writer, its new rows are written to a file of their own (`stored_rows`), and one short transaction lists it. One
import runs at a time, under a lock among all processes, which ends with its process. A killed import leaves at most a
file that is not listed; the running center removes such files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import zstandard
from sqlalchemy import Connection, func, insert, select, text

from collector.base.errors import Problem, StoreError
from collector.base.text import tr
from collector.center.db.seals.sealed_rows import require_rows
from collector.center.db.store import CenterStore
from collector.center.db.tables_inputs import effective, imported
from collector.center.db.verified import Altered, check_hash
from collector.center.db.views import once_a_view
from collector.center.inputs.conflicts import Bools, RowsInConflict, cells_of, laid_on_nothing, lay_over
from collector.center.inputs.kinds import ALL_KINDS as ALL_KINDS
from collector.center.inputs.kinds import IMPORT_KINDS as IMPORT_KINDS
from collector.center.inputs.kinds import KINDS as KINDS
from collector.center.inputs.kinds import RECORDS as RECORDS
from collector.center.inputs.kinds import REGISTER as REGISTER
from collector.center.inputs.kinds import row_to_read
from collector.center.inputs.parse import as_toml, load_delivered, meant_by, read_table
from collector.center.inputs.register_change import check_in_force
from collector.center.inputs.stored_rows import RowsInForce, add_replaced, write_rows
from collector.sheets.files import Delivered
from collector.sheets.findings import LISTED_PER_KIND, Findings
from collector.tables.limits import InputRules
from collector.tables.register import RegisterFile, load_register

LOCK: Final = "imports"
_PACKED: Final = zstandard.FRAME_HEADER  # no table ever stored begins with these bytes

Int64s = npt.NDArray[np.int64]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Imported:
    """The result of an import. `import_id` is None where nothing changed: every row was in force already.

    `notes`: how the file was read, where there was a choice.
    """

    import_id: int | None
    added: int
    same: int
    replaced: int
    notes: tuple[str, ...] = ()


Finish = Callable[[Connection, Sequence[Imported]], None]


class MovedError(Exception):
    """Another import was listed or undone since the rows were compared."""


@dataclass(frozen=True, slots=True)
class Taking:
    """The changes that taking a file would make.

    `new`: for each of its rows, whether it is not in force yet; `replaced`: places of the rows in force that it
    replaces, by import; `changes`: whether there is anything to store.
    """

    new: Bools
    replaced: Mapping[int, Int64s]
    changes: bool


@dataclass(frozen=True, slots=True)
class Listing:
    """An import whose rows are on the disk, before it is listed.

    `counts`: rows added, in force already, and replaced; `packed`: the delivered file, empty where nothing changes;
    `rows_sha256`: of the file of its rows, None for a register; `span_ms`: the time that the rows touch.
    """

    kind: str
    delivered: Delivered
    counts: tuple[int, int, int]
    packed: bytes = b""
    replaced: Mapping[int, Int64s] = field(default_factory=dict)
    rows_sha256: str | None = None
    span_ms: tuple[int, int] = (0, 0)

    def write(self, connection: Connection, *, who: str, now_ms: int, notes: tuple[str, ...] = ()) -> Imported:
        """List the import: from the commit on its rows count, and the replaced ones don't."""
        if not self.packed:
            return Imported(None, *self.counts, notes)
        number = record_import(
            connection,
            self.kind,
            self.delivered,
            self.packed,
            who=who,
            now_ms=now_ms,
            counts=self.counts,
            rows_sha256=self.rows_sha256,
            span_ms=self.span_ms,
        )
        add_replaced(connection, self.replaced, number)
        return Imported(number, *self.counts, notes)


def take_tables(
    store: CenterStore,
    kinds: Sequence[str],
    delivered: Delivered,
    *,
    who: str,
    replace: bool,
    rules: InputRules | None,
    finish: Finish = lambda *_: None,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Imported]:
    """Take tables of a file, all or none; a register among them is the one that the others are checked against.

    `rules`: the rulebook's rules for inputs; None: not checked. `finish`: writes more in the transaction that lists the
    tables, given the result of each. `tell`: receives the step of a table: reading, comparing, writing.

    Raises:
        ConfigError: everything wrong in a table, or rows that conflict with those in force.
        StoreError: no register was imported yet.
        OSError: the disk refuses.
    """
    with store.hold(LOCK):
        while True:
            state = store.read(state_of)
            register = as_toml(delivered) if REGISTER in kinds else store.read(needed_register)
            known, notes = load_delivered(register, rules), Findings()
            listings = []
            for kind in kinds:
                tell("reading")
                read = read_table(kind, delivered, known, notes)
                listings.append(_prepare(store, kind, *read, known, replace=replace, tell=tell))
            if REGISTER in kinds and listings[kinds.index(REGISTER)].packed:
                _check_in_force(store, delivered.name, known, listings)
            said = tuple(note.message for note in notes.notes)

            def list_all(
                connection: Connection, listings: Sequence[Listing] = tuple(listings), said: tuple[str, ...] = said
            ) -> list[Imported]:
                now_ms = store.clock.now_utc_ms()
                done = [each.write(connection, who=who, now_ms=now_ms, notes=said) for each in listings]
                finish(connection, done)
                return done

            try:
                return write_unless_moved(store, state, list_all)
            except MovedError:
                continue


def _prepare(
    store: CenterStore,
    kind: str,
    delivered: Delivered,
    rows: pa.Table | None,
    known: RegisterFile,
    *,
    replace: bool,
    tell: Callable[[str], None],
) -> Listing:
    """Compare a file's rows with those in force and write the new ones to the disk. Raises as `take_tables`."""
    if rows is None:
        return store.read(lambda c: _look_at_register(c, delivered, replace=replace))
    tell("comparing")
    taking = store.read(lambda c: look(c, store.imported, kind, delivered, rows, known, replace=replace))
    added = int(np.count_nonzero(taking.new))
    counts = (added, len(rows) - added, sum(map(len, taking.replaced.values())))
    if not taking.changes:
        return Listing(kind, delivered, counts)
    tell("writing")
    written = write_rows(store.imported, KINDS[kind], rows, taking.new)
    return Listing(kind, delivered, counts, pack(delivered), taking.replaced, *written)


def _check_in_force(store: CenterStore, file: str, known: RegisterFile, listings: Sequence[Listing]) -> None:
    """Check the rows that stay in force against a new register. Raises as `check_in_force`."""
    leaving = {each.kind: each.replaced for each in listings}
    store.read(lambda c: check_in_force(c, store.imported, file, known, whole_register(c), leaving))


def write_unless_moved(store: CenterStore, state: tuple[int, int, int], job: Callable[[Connection], T]) -> T:
    """Run a job on the writer's thread, unless the imports changed since the comparison.

    The lock alone is not enough: a broken session of PostgreSQL has released it.

    Raises:
        MovedError: the imports have changed.
    """

    def unless_moved(connection: Connection) -> T:
        lock_imports(connection)
        if state_of(connection) != state:
            raise MovedError
        return job(connection)

    return store.write(unless_moved).result()


def look(
    connection: Connection,
    folder: Path,
    kind: str,
    delivered: Delivered,
    rows: pa.Table,
    known: RegisterFile,
    *,
    replace: bool,
) -> Taking:
    """Compare a file's rows with those in force; nothing is written.

    `folder`: of the files of imports; `known`: the register that gives empty cells their meaning.

    Raises:
        ConfigError: the first rows in conflict with those in force, and their number, unless they are replaced.
        Altered: the file of an import is not as it was written.
    """
    held = RowsInForce(connection, folder, kind)
    meant = meant_by(kind, known)
    laid = lay_over(KINDS[kind], rows, held.met, meant) if held.any else laid_on_nothing(len(rows))
    if len(laid.claims) and not replace:
        listed = laid.claims[:LISTED_PER_KIND], laid.claimed[:LISTED_PER_KIND]
        origins = held.origins(np.unique(listed[1]))
        mine = rows.take(pa.array(listed[0]))
        areas = _areas_unsaid(kind, mine, meant(mine), [origins[number][2] for number in listed[1].tolist()])
        named = zip(mine["row"].to_pylist(), listed[1].tolist(), areas, strict=True)
        problems = [_problem(delivered.name, row, kind, *origins[number], area) for row, number, area in named]
        if more := len(laid.claims) - len(mine):
            problems.append(
                Problem(delivered.name, 0, "", tr("… and {more} more rows that conflict with imported ones", more=more))
            )
        raise RowsInConflict(problems, max(more - 1, 0))
    claimed = np.unique(laid.claimed)
    replaced = {n: claimed[claimed >> 32 == n] & 0xFFFFFFFF for n in np.unique(claimed >> 32).tolist()}
    return Taking(laid.new, replaced, bool(laid.new.any()) or not is_delivered(connection, kind))


def _areas_unsaid(kind: str, rows: pa.Table, meant: pa.Table, stored: Sequence[Sequence[str]]) -> list[str]:
    """For each row the area that only one of the row and the stored row names; "" where they agree."""
    if "area" not in KINDS[kind].columns:
        return [""] * len(rows)
    place = KINDS[kind].columns.index("area")
    areas = zip(rows["area"].to_pylist(), meant["area"].to_pylist(), stored, strict=True)
    return [full if (cell or "") != cells[place] else "" for cell, full, cells in areas]


def _problem(file: str, row: int, kind: str, import_id: int, old_row: int, cells: Sequence[str], area: str) -> Problem:
    """The problem of a row in conflict. `area`: the meaning of an empty area in one of the two rows."""
    stored = row_to_read(kind, cells)
    if area:
        message = tr(
            "conflicts with import {import_id} row {old_row} ({stored}), for an empty area is {area} here; import the "
            "file as a replacement to let it count",
            import_id=import_id,
            old_row=old_row,
            stored=stored,
            area=area,
        )
        return Problem(file, row, "area", message)
    message = tr(
        "conflicts with import {import_id} row {old_row} ({stored}); import the file as a replacement to let it count",
        import_id=import_id,
        old_row=old_row,
        stored=stored,
    )
    return Problem(file, row, "", message)


def _look_at_register(connection: Connection, delivered: Delivered, *, replace: bool) -> Listing:
    """Prepare a register: as a whole it replaces the one in force, or is refused."""
    before = _register_in_force(connection)
    if before is not None and before.sha256 == delivered.sha256:
        return Listing(REGISTER, delivered, (0, 1, 0))
    if before is not None and not replace:
        message = tr(
            "another register is in force, of import {import_id}; import this one as a replacement to let it count",
            import_id=before.id,
        )
        raise RowsInConflict([Problem(delivered.name, 0, "", message)])
    replaced = {} if before is None else {int(before.id): np.zeros(1, np.int64)}
    return Listing(REGISTER, delivered, (1, 0, len(replaced)), pack(delivered), replaced)


def lock_imports(connection: Connection) -> None:
    """Let no other transaction list or undo an import until this one ends. SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE imported IN SHARE ROW EXCLUSIVE MODE"))


def state_of(connection: Connection) -> tuple[int, int, int]:
    """A value that changes with every listing and undoing of an import of tables."""
    columns = (func.count(), func.coalesce(func.max(imported.c.id), 0), func.count(imported.c.undone_ms))
    count, latest, undone = connection.execute(select(*columns).where(imported.c.kind != RECORDS)).one()
    return int(count), int(latest), int(undone)


def record_import(
    connection: Connection,
    kind: str,
    delivered: Delivered,
    packed: bytes,
    *,
    who: str,
    now_ms: int,
    counts: tuple[int, int, int],
    rows_sha256: str | None = None,
    span_ms: tuple[int, int] = (0, 0),
) -> int:
    """Insert the row of an import and return its number. `counts`: rows added, in force already, and replaced."""
    values = {
        "kind": kind,
        "name": delivered.name[:255],
        "sha256": delivered.sha256,
        "who": who[:64],
        "at_ms": now_ms,
        **dict(zip(("added", "same", "replaced"), counts, strict=True)),
        "rows_sha256": rows_sha256,
        **dict(zip(("first_ms", "last_ms"), span_ms, strict=True)),
        "bytes": packed,
    }
    key = connection.execute(insert(imported).values(values)).inserted_primary_key
    assert key is not None
    return int(key[0])


def list_imports(connection: Connection) -> list[dict[str, Any]]:
    """Every import, oldest first, without its bytes."""
    names = ("id", "kind", "name", "sha256", "who", "at_ms", "added", "same", "replaced", "undone_ms", "undone_by")
    rows = connection.execute(select(*(imported.c[name] for name in names)).order_by(imported.c.id))
    return [{name: getattr(row, name) for name in names} for row in rows]


def rows_in_force(connection: Connection, folder: Path, kind: str) -> Iterator[tuple[str, ...]] | None:
    """The cells of every row in force, in the order of time and import; None where the kind was never delivered."""
    if not is_delivered(connection, kind):
        return None
    table = RowsInForce(connection, folder, kind).table()
    return iter(() if table is None else cells_of(KINDS[kind], table))


def is_delivered(connection: Connection, kind: str) -> bool:
    """True if an import of the kind counts, even one with a header only."""
    return (
        connection.execute(select(imported.c.id).where((imported.c.kind == kind) & effective).limit(1)).first()
        is not None
    )


def _register_in_force(connection: Connection, but: int = 0) -> Any:
    """The latest register that is not undone: each replaced the one before. `but`: leave one import out."""
    counting = (imported.c.kind == REGISTER) & effective & (imported.c.id != but)
    query = select(imported.c.id, imported.c.sha256).where(counting)
    return connection.execute(query.order_by(imported.c.id.desc()).limit(1)).first()


@once_a_view
def current_register(connection: Connection, *, but: int = 0) -> bytes | None:
    """The register in force as it was delivered; None where there is none. `but`: leave one import out."""
    found = _register_in_force(connection, but)
    if found is None:
        return None
    require_rows(connection, imported, [(found.id,)])
    packed = connection.execute(select(imported.c.bytes).where(imported.c.id == found.id)).scalar_one()
    data = unpack(bytes(packed))
    check_hash(Path(f"import {found.id}"), found.sha256, hashlib.sha256(data).hexdigest())
    return data


def known_register(connection: Connection, *, but: int = 0) -> RegisterFile | None:
    """The register in force, parsed; None where there is none. `but`: leave one import out."""
    data = current_register(connection, but=but)
    return None if data is None else _read_register(data)


def whole_register(connection: Connection) -> RegisterFile | None:
    """The register in force; None also where its bytes are altered, which must not keep a good one out."""
    try:
        return known_register(connection)
    except Altered:
        return None


# Every page needs it. With a thousand units, parsing it each time took three quarters of a page's time.
@lru_cache(maxsize=2)
def _read_register(data: bytes) -> RegisterFile:
    return load_register(Delivered("register.toml", data, ""), Findings())


def needed_register(connection: Connection) -> Delivered:
    """The register in force, as it was delivered.

    Raises:
        StoreError: there is none.
    """
    data = current_register(connection)
    if data is None:
        raise StoreError(tr("no register yet: import register.toml first, the other files are checked against it"))
    return Delivered("register.toml", data, "")


def pack(delivered: Delivered) -> bytes:
    """The compressed form of a file: text of records or of a plan shrinks to a tenth."""
    return delivered.kept if delivered.packed else zstandard.ZstdCompressor(level=3).compress(delivered.kept)


def unpack(stored: bytes) -> bytes:
    """A file as it was delivered; older programs stored tables uncompressed."""
    return zstandard.ZstdDecompressor().decompressobj().decompress(stored) if stored.startswith(_PACKED) else stored
