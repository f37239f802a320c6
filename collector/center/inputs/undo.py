# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking an import back: one row is written, and its rows count no more, what it had replaced counts again."""

from __future__ import annotations

from sqlalchemy import Connection, func, select, update

from collector.base.errors import StoreError
from collector.base.text import tr
from collector.center.db.tables_inputs import effective, imported, imported_row, published
from collector.center.inputs.conflicts import lay_over
from collector.center.inputs.imports import lock_imports
from collector.center.inputs.kinds import KINDS, REGISTER
from collector.center.inputs.stored_rows import held_rows, origins, rows_replaced_by


def undo_import(connection: Connection, import_id: int, *, who: str, now_ms: int) -> None:
    """Take an import back: its rows go out of force, what it had replaced comes back.

    Raises:
        StoreError: no such import, undone already, or a later import stands in the way.
    """
    lock_imports(connection)
    look_at_undoing(connection, import_id)
    mark_undone(connection, import_id, who=who, now_ms=now_ms)


def look_at_undoing(connection: Connection, import_id: int) -> None:
    """Whether an import of a table can be taken back; nothing is written.

    Raises:
        StoreError: no such import, undone already, or a later import stands in the way.
    """
    subject = tr("import {number}", number=import_id)
    kind = kind_of(connection, import_id)
    counting = select(imported.c.id).where((imported.c.kind == kind) & effective)
    mine = (imported_row.c.import_id == import_id) & imported_row.c.replaced_by.in_(counting)
    blocker = connection.execute(select(func.max(imported_row.c.replaced_by)).where(mine)).scalar()
    if blocker is not None:
        raise StoreError(tr("import {blocker} replaced rows of it: undo that first", blocker=blocker), subject=subject)
    if kind == REGISTER:
        return
    for back in rows_replaced_by(connection, import_id):
        laid = lay_over(
            KINDS[kind], back, lambda start_ms, end_ms: held_rows(connection, kind, start_ms, end_ms, but=import_id)
        )
        if len(laid.claimed):
            other = origins(connection, laid.claimed[-1:].tolist())
            blocker = max(number for number, _, _ in other.values())
            raise StoreError(
                tr("what it replaced conflicts with import {blocker}: undo that first", blocker=blocker),
                subject=subject,
            )


def kind_of(connection: Connection, import_id: int) -> str:
    """The kind of an import that is to be undone.

    Raises:
        StoreError: no such import, or undone already.
    """
    query = select(imported.c.kind, imported.c.undone_ms).where((imported.c.id == import_id) & published)
    found = connection.execute(query).one_or_none()
    if found is None or found.undone_ms is not None:
        message = tr("was undone already") if found else tr("there is none with this number")
        raise StoreError(message, subject=tr("import {number}", number=import_id))
    return str(found.kind)


def mark_undone(connection: Connection, import_id: int, *, who: str, now_ms: int) -> None:
    """Write down who took an import back, and when."""
    values = {"undone_ms": now_ms, "undone_by": who[:64]}
    connection.execute(update(imported).where(imported.c.id == import_id).values(values))
