# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports and the quarantine for people: permission checks, and an audit entry in the same transaction.

`collector.center.inputs.imports` explains imports themselves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, Final

from sqlalchemy import Connection, select

from collector.base.errors import ConfigError, Missing, Problem, StoreError
from collector.base.text import tr
from collector.center.db.storage.lake_place import LakePath
from collector.center.db.store import CenterStore
from collector.center.db.tables_inputs import imported
from collector.center.inputs.imports import Imported, lock_imports, take_tables, unpack
from collector.center.inputs.kinds import IMPORT_KINDS, RECORDS
from collector.center.inputs.record_files import RecordFile, read_file
from collector.center.inputs.record_imports import import_records, undo_records
from collector.center.inputs.undo import kind_of, mark_undone, undo_table
from collector.center.people import audit
from collector.center.people.access import Actor, Permission
from collector.center.receive.arrivals import Arrival
from collector.center.receive.journal import GroupResult, readmit
from collector.sheets.files import MAX_REGISTER_BYTES, MAX_XLSX_BYTES, Delivered
from collector.tables.limits import InputRules

MAX_NAME: Final = 120
_FACTS: Final = ("id", "kind", "name", "sha256", "who", "at_ms", "added", "same", "replaced", "undone_ms", "undone_by")


def delivered_of(name: str, data: bytes) -> Delivered:
    """A file that came over the network, named by the last part of its path.

    Raises:
        ConfigError: the file has no usable name, or is larger than the limit of its type.
    """
    plain = PurePosixPath(PureWindowsPath(name).name).name
    if not plain or len(plain) > MAX_NAME or not plain.isprintable() or plain.startswith("."):
        raise ConfigError([Problem(plain[:MAX_NAME] or "file", 0, "", tr("needs a plain file name, such as plan.csv"))])
    limit = {".xlsx": MAX_XLSX_BYTES, ".toml": MAX_REGISTER_BYTES}.get(PurePosixPath(plain).suffix.lower())
    if limit is not None and len(data) > limit:
        raise ConfigError(
            [
                Problem(
                    plain,
                    0,
                    "",
                    tr("has {count} bytes; at most {limit} are read; split it", count=len(data), limit=limit),
                )
            ]
        )
    return Delivered(plain, data, hashlib.sha256(data).hexdigest())


def deliver(
    store: CenterStore, kind: str, delivered: Delivered, *, actor: Actor, replace: bool, rules: InputRules | None
) -> Imported:
    """Take a file into a store without blocking its other writers.

    Raises as `deliver_tables`.
    """
    return deliver_tables(store, (kind,), delivered, actor=actor, replace=replace, rules=rules)[0]


def deliver_tables(
    store: CenterStore,
    kinds: Sequence[str],
    delivered: Delivered,
    *,
    actor: Actor,
    replace: bool,
    rules: InputRules | None,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Imported]:
    """Take a file's tables of some kinds, all or nothing; records come last. `rules`, `tell`: as for `take_tables`.

    Raises:
        Denied: the role may not.
        ConfigError: everything wrong in the file, or rows that conflict with those in force.
        StoreError: there is no such kind, or no register was imported yet.
    """
    for kind in kinds:
        _require_kind(actor, kind)
    now_ms, lake = store.clock.now_utc_ms(), store.lake
    tables = [kind for kind in kinds if kind != RECORDS]
    # Records in an E file may be of units of its own register, in force since the transaction before.
    tell("reading")
    file = store.read(lambda c: read_file(c, delivered)) if RECORDS in kinds and not tables else None
    records: list[Imported] = []

    def finish(connection: Connection, done: Sequence[Imported]) -> None:
        for kind, result in zip(tables, done, strict=True):
            _note(connection, kind, delivered, result, actor=actor, now_ms=now_ms)
        if RECORDS in kinds:
            read = file or read_file(connection, delivered)
            records.append(
                _take_records(connection, delivered, read, actor=actor, replace=replace, lake=lake, now_ms=now_ms)
            )

    if not tables:
        tell("writing")
        store.write(lambda c: finish(c, ())).result()
        return records
    done = take_tables(store, tables, delivered, who=actor.name, replace=replace, rules=rules, finish=finish, tell=tell)
    return [*done, *records]


def _take_records(
    connection: Connection,
    delivered: Delivered,
    file: RecordFile,
    *,
    actor: Actor,
    replace: bool,
    lake: LakePath,
    now_ms: int,
) -> Imported:
    result = import_records(connection, delivered, file, lake=lake, who=actor.name, now_ms=now_ms, replace=replace)
    _note(connection, RECORDS, delivered, result, actor=actor, now_ms=now_ms)
    return result


def _note(
    connection: Connection, kind: str, delivered: Delivered, result: Imported, *, actor: Actor, now_ms: int
) -> None:
    """The entry of the audit log, where anything changed."""
    if result.import_id is not None:
        counts = {"added": result.added, "same": result.same, "replaced": result.replaced}
        detail = {"kind": kind, "name": delivered.name, "sha256": delivered.sha256, **counts}
        subject = f"import {result.import_id}"
        audit.append(connection, actor=actor, action="import.take", subject=subject, detail=detail, now_ms=now_ms)


def _require_kind(actor: Actor, kind: str) -> None:
    actor.require(Permission.IMPORT)
    if kind not in IMPORT_KINDS:
        raise StoreError(tr("expected one of {names}", names=", ".join(IMPORT_KINDS)), subject=kind[:40])


def take_back(store: CenterStore, number: int, *, actor: Actor, reason: str, rules: InputRules | None) -> None:
    """Undo an import; the rows it had replaced are in force again, checked as if they were delivered now.

    `rules`: the rulebook's rules for inputs; None: not checked.

    Raises:
        Denied: the role may not.
        StoreError: no reason, no such import, undone already, a later import or a failed check (a limit, a unit that is
            gone) prevents it, or records are in a day file that can't be made again.
    """
    actor.require(Permission.IMPORT)
    subject = tr("import {number}", number=number)
    if not reason.strip():
        raise StoreError(tr("say why it is taken back"), subject=subject)
    now_ms = store.clock.now_utc_ms()

    def finish(connection: Connection) -> None:
        if records:
            lock_imports(connection)
            kind_of(connection, number)  # raises if it was undone meanwhile
            undo_records(connection, number, lake=store.lake, now_ms=now_ms)
        mark_undone(connection, number, who=actor.name, now_ms=now_ms)
        detail = {"reason": reason[:1000]}
        audit.append(connection, actor=actor, action="import.undo", subject=subject, detail=detail, now_ms=now_ms)

    records = store.read(lambda c: kind_of(c, number)) == RECORDS
    if records:
        store.write(finish).result()
    else:
        undo_table(store, number, rules, finish)


def read_import(connection: Connection, number: int) -> tuple[dict[str, Any], bytes]:
    """The facts of an import, and its file as it was delivered.

    Raises:
        StoreError: there is none with this number.
    """
    query = select(*(imported.c[name] for name in _FACTS), imported.c.bytes).where(imported.c.id == number)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise Missing(tr("there is none with this number"), subject=tr("import {number}", number=number))
    return {name: getattr(row, name) for name in _FACTS}, unpack(bytes(row.bytes))


def readmit_all(
    connection: Connection, admit: Callable[[str, bytes], Arrival | None], *, actor: Actor, now_ms: int
) -> GroupResult:
    """Check the quarantine again with the keys and units that are valid now; batches that pass are committed.

    Raises:
        Denied: the role may not.
    """
    actor.require(Permission.IMPORT)
    result = readmit(connection, admit, now_ms=now_ms)
    detail = {"batches": result.committed, "records": result.records}
    audit.append(
        connection, actor=actor, action="quarantine.readmit", subject="quarantine", detail=detail, now_ms=now_ms
    )
    return result
