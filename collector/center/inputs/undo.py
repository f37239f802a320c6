# SPDX-License-Identifier: GPL-3.0-or-later
"""Undo of an import: one row is written; the import's rows no longer count, and the replaced ones count again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, func, select, update

from collector.base.errors import ConfigError, StoreError
from collector.base.text import tr
from collector.center.db.store import CenterStore
from collector.center.db.tables_inputs import effective, imported, replaced_rows
from collector.center.inputs.conflicts import lay_over
from collector.center.inputs.imports import (
    LOCK,
    MovedError,
    current_register,
    needed_register,
    state_of,
    whole_register,
    write_unless_moved,
)
from collector.center.inputs.kinds import KINDS, REGISTER
from collector.center.inputs.parse import load_delivered, meant_by
from collector.center.inputs.register_change import check_in_force, first_unfit
from collector.center.inputs.stored_rows import RowsInForce, rows_replaced_by
from collector.sheets.files import Delivered
from collector.sheets.findings import Findings
from collector.tables.limits import InputRules
from collector.tables.register import RegisterFile, load_register


def undo_table(store: CenterStore, number: int, rules: InputRules | None, finish: Callable[[Connection], None]) -> None:
    """Undo an import of a table; checked outside the writer. `finish`: writes more in the same transaction.

    Raises as `look_at_undoing`.
    """

    def look_first(connection: Connection) -> tuple[int, int, int]:
        look_at_undoing(connection, store.imported, number, rules)
        return state_of(connection)

    with store.hold(LOCK):
        while True:
            try:
                write_unless_moved(store, store.read(look_first), finish)
            except MovedError:
                continue
            return


def look_at_undoing(connection: Connection, folder: Path, import_id: int, rules: InputRules | None) -> None:
    """Check that an import of a table can be undone; nothing is written. `folder`: of the files of imports.

    Rows that would count again are checked against the register and the limits like new ones: both may have changed
    since.

    Raises:
        StoreError: no such import, undone already, a later import depends on it, or the rows that would count again
            can't be settled.
        Altered: the file of an import is not as it was written.
    """
    subject = tr("import {number}", number=import_id)
    kind = kind_of(connection, import_id)
    counting = select(imported.c.id).where((imported.c.kind == kind) & effective)
    mine = (replaced_rows.c.import_id == import_id) & replaced_rows.c.by_import_id.in_(counting)
    blocker = connection.execute(select(func.max(replaced_rows.c.by_import_id)).where(mine)).scalar()
    if blocker is not None:
        raise StoreError(tr("import {blocker} replaced rows of it: undo that first", blocker=blocker), subject=subject)
    if kind == REGISTER:
        _look_at_register_before(connection, folder, import_id, rules)
        return
    others = RowsInForce(connection, folder, kind, but=import_id)
    known = _checked_register(connection, rules)
    meant = meant_by(kind, known)
    for back in rows_replaced_by(connection, folder, kind, import_id):
        claimed = lay_over(KINDS[kind], back, others.met, meant).claimed
        if len(claimed):
            raise StoreError(
                tr(
                    "what it replaced conflicts with import {blocker}: undo that first",
                    blocker=int(claimed.max()) >> 32,
                ),
                subject=subject,
            )
        unfit = first_unfit(kind, back, known) if known is not None else None
        if unfit is not None:
            raise StoreError(
                tr("what it replaced could not be settled beside the register in force: {reason}", reason=unfit),
                subject=subject,
            )


def _checked_register(connection: Connection, rules: InputRules | None) -> RegisterFile | None:
    """The register in force with the rulebook's limits; None where there is no usable register."""
    if whole_register(connection) is None:
        return None
    return load_register(needed_register(connection), Findings(), rules)


def _look_at_register_before(connection: Connection, folder: Path, import_id: int, rules: InputRules | None) -> None:
    """Check that the register that would count again, with the rows in force, can be settled.

    Without any register left there is nothing to check: a settlement then asks for one.
    """
    data = current_register(connection, but=import_id)
    if data is None:
        return
    subject = tr("import {number}", number=import_id)
    try:
        before = load_delivered(Delivered("register.toml", data, ""), rules)
        check_in_force(connection, folder, "register.toml", before, whole_register(connection), {})
    except ConfigError as error:
        raise StoreError(error.problems[0].message, subject=subject) from None


def kind_of(connection: Connection, import_id: int) -> str:
    """The kind of an import that is to be undone.

    Raises:
        StoreError: no such import, or undone already.
    """
    query = select(imported.c.kind, imported.c.undone_ms).where(imported.c.id == import_id)
    found = connection.execute(query).one_or_none()
    if found is None or found.undone_ms is not None:
        message = tr("was undone already") if found else tr("there is none with this number")
        raise StoreError(message, subject=tr("import {number}", number=import_id))
    return str(found.kind)


def mark_undone(connection: Connection, import_id: int, *, who: str, now_ms: int) -> None:
    """Record who undid an import, and when."""
    values = {"undone_ms": now_ms, "undone_by": who[:64]}
    connection.execute(update(imported).where(imported.c.id == import_id).values(values))
