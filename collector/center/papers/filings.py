# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents filed with the regulator: 补偿情况明细清单, 补偿费用分摊情况, 结算方案 (Art. 28), kept as made.

Made from one run whose statement is checked first. The steps of the month record who files, when, and under which
document numbers; for one run and edition a document is made once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from collector.base.errors import Missing, StoreError
from collector.base.text import tr
from collector.center.db.store import CenterStore
from collector.center.db.tables_month import filing, scheme
from collector.center.papers.bills import SchemeRow, carried_before, compute_carry
from collector.center.papers.filing_documents import (
    FilingName,
    allocation_table,
    check_totals,
    detail_table,
    document_bytes,
    scheme_of,
    scheme_table,
)
from collector.center.people import audit
from collector.center.people.access import Actor, Permission
from collector.center.runs.month_state import MonthStage, MonthStep, all_steps, month_state
from collector.center.runs.run_list import NEVER_DISCLOSED, why_never_disclosed
from collector.center.runs.run_statement import load_run_statement
from collector.model.interval import Month
from collector.model.money import format_yuan
from collector.sheets.files import Delivered


@dataclass(frozen=True, slots=True)
class Filing:
    """A stored document. Filed, approved: time and number, None and empty until then."""

    id: int
    month: Month
    edition: int
    run_id: int
    name: FilingName
    format: str
    sha256: str
    made_by: str
    made_ms: int
    filed_ms: int | None
    filed_document: str
    approved_ms: int | None
    approved_by: str
    approval_document: str
    published: bool

    @property
    def file_name(self) -> str:
        """A descriptive file name that is safe on every file system."""
        return f"{self.month}-edition-{self.edition}-run-{self.run_id}-{self.name}.{self.format}"


def make_filings(store: CenterStore, run_id: int, *, actor: Actor) -> list[Filing]:
    """Make the three documents of a run, for the month's present edition; those made before stay as they are.

    Raises:
        Denied: the role may not prepare a month.
        StoreError: no such run, or a what-if run.
        InvariantBroken: the statement was changed, or totals do not agree.
    """
    actor.require(Permission.PREPARE)
    statement = load_run_statement(store, run_id)
    if statement.kind in NEVER_DISCLOSED:
        raise StoreError(why_never_disclosed(statement.kind), subject=tr("run {number}", number=run_id))
    month = statement.month
    edition, made, carried = store.read(
        lambda c: (
            (edition := month_state(c, month).edition),
            _made(c, month, run_id, edition),
            carried_before(c, month, edition),
        )
    )
    if made:
        return made
    # Made before the transaction: a receiver must not wait for a workbook.
    rows = scheme_of(statement)
    tables = [detail_table(statement), allocation_table(statement), scheme_table(rows, compute_carry(rows, carried))]
    check_totals(statement, {table.name: table for table in tables})
    documents = document_bytes(tables, statement, edition, store.read(audit.head))
    now_ms = store.clock.now_utc_ms()

    def write(connection: Connection) -> list[Filing]:
        if month_state(connection, month).edition != edition:
            raise StoreError(tr("another edition was opened meanwhile; make them again"), subject=str(month))
        if made := _made(connection, month, run_id, edition):
            return made
        _insert_scheme(connection, run_id, edition, rows)
        _insert_documents(connection, documents, (month, run_id, edition), actor.name, now_ms)
        made = _made(connection, month, run_id, edition)
        detail = {"run": run_id, "edition": edition, "sha256": {f"{f.name}.{f.format}": f.sha256 for f in made}}
        audit.append(connection, actor=actor, action="filing.make", subject=str(month), detail=detail, now_ms=now_ms)
        return made

    try:
        return store.write(write).result()
    except IntegrityError:  # another process made the same document at the same time
        return store.read(lambda c: _made(c, month, run_id, edition))


def list_filings(connection: Connection, month: Month, *, actor: Actor) -> list[Filing]:
    """The documents of a month, oldest first. Others than staff and regulator see only the scheme, once published."""
    actor.require(Permission.SEE_OWN)
    return [f for f in _filings(connection, month) if _may_read(f, actor)]


def read_filing(connection: Connection, number: int, *, actor: Actor) -> tuple[Filing, Delivered]:
    """A document and its bytes.

    Raises:
        Missing: there is none with this number, it is not for this person, or not published yet.
    """
    actor.require(Permission.SEE_OWN)
    row = connection.execute(select(filing.c.month, filing.c.bytes).where(filing.c.id == number)).one_or_none()
    month = [] if row is None else _filings(connection, Month.parse(row.month))
    found = next((f for f in month if f.id == number and _may_read(f, actor)), None)
    if row is None or found is None:
        raise Missing(tr("there is none with this number"), subject=tr("filing {number}", number=number))
    return found, Delivered(found.file_name, bytes(row.bytes), found.sha256)


def hand_out_filing(connection: Connection, number: int, *, actor: Actor, now_ms: int) -> tuple[Filing, Delivered]:
    """Read a document and note in the audit log that it was given out, and to whom. Raises as `read_filing`."""
    found, file = read_filing(connection, number, actor=actor)
    detail = {"filing": number, "name": file.name, "sha256": file.sha256}
    subject = str(found.month)
    audit.append(connection, actor=actor, action="filing.hand_out", subject=subject, detail=detail, now_ms=now_ms)
    return found, file


def _may_read(found: Filing, actor: Actor) -> bool:
    return actor.may(Permission.SEE_ALL) or (found.published and found.name is FilingName.SCHEME)


def _made(connection: Connection, month: Month, run_id: int, edition: int) -> list[Filing]:
    return [f for f in _filings(connection, month) if (f.run_id, f.edition) == (run_id, edition)]


def _insert_documents(
    connection: Connection,
    documents: Mapping[tuple[str, str], bytes],
    made_of: tuple[Month, int, int],
    who: str,
    now_ms: int,
) -> None:
    month, run_id, edition = made_of
    shared = {"month": str(month), "run_id": run_id, "edition": edition, "made_by": who, "made_ms": now_ms}
    values = [
        {**shared, "name": name, "format": kind, "sha256": hashlib.sha256(data).hexdigest(), "bytes": data}
        for (name, kind), data in documents.items()
    ]
    connection.execute(insert(filing), values)


def _insert_scheme(connection: Connection, run_id: int, edition: int, rows: Sequence[SchemeRow]) -> None:
    values = [
        {
            "run_id": run_id,
            "edition": edition,
            "area": row.area,
            "plant": row.plant,
            "plant_name": row.plant_name,
            "counterparty": row.counterparty,
            "compensation_yuan": format_yuan(row.compensation_yuan),
            "revenue_yuan": None if row.revenue_yuan is None else str(row.revenue_yuan),
            "allocation_yuan": None if row.allocation_yuan is None else format_yuan(row.allocation_yuan),
            "net_yuan": None if row.net_yuan is None else format_yuan(row.net_yuan),
            "status": row.status,
            "reason": row.reason,
            "tax_number": row.vat.tax_number,
            "vat_rate": row.vat.vat_rate,
            "bank": row.vat.bank,
        }
        for row in rows
    ]
    if values:
        connection.execute(insert(scheme), values)


def _filings(connection: Connection, month: Month) -> list[Filing]:
    names = ("id", "edition", "run_id", "name", "format", "sha256", "made_by", "made_ms")
    query = select(*(filing.c[name] for name in names)).where(filing.c.month == str(month)).order_by(filing.c.id)
    steps = {(step.run_id, step.edition, step.state): step for step in all_steps(connection, month)}
    return [_filing(row, month, steps) for row in connection.execute(query)]


def _filing(row: Any, month: Month, steps: Mapping[tuple[int, int, MonthStage], MonthStep]) -> Filing:
    key = int(row.run_id), int(row.edition)
    filed, approved = steps.get((*key, MonthStage.FILED)), steps.get((*key, MonthStage.EFFECTIVE))
    return Filing(
        id=int(row.id),
        month=month,
        edition=key[1],
        run_id=key[0],
        name=FilingName(row.name),
        format=row.format,
        sha256=row.sha256,
        made_by=row.made_by,
        made_ms=int(row.made_ms),
        filed_ms=None if filed is None else filed.at_ms,
        filed_document="" if filed is None else filed.document,
        approved_ms=None if approved is None else approved.at_ms,
        approved_by="" if approved is None else approved.approved_by,
        approval_document="" if approved is None else approved.document,
        published=(*key, MonthStage.PUBLISHED) in steps,
    )
