# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the books of every month are what was decided: statements, filings, bills, audit chain. Changes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from sqlalchemy import select

from collector.base.errors import CollectorError
from collector.center.db.store import CenterStore
from collector.center.db.tables_inputs import has_statement, run
from collector.center.db.tables_month import attachment, filing
from collector.center.papers.bills import bills_of, scheme_rows
from collector.center.papers.filing_documents import scheme_of
from collector.center.people import audit
from collector.center.people.access import Actor, Role
from collector.center.runs.month_state import Step, all_steps, months_known
from collector.center.runs.run_statement import RunStatement, load_run_statement

_READER = Actor("check", Role.AUDITOR)


def check_months(store: CenterStore) -> list[str]:
    """Everything found wrong, in words; empty where all is well. Safe beside a running center."""
    statements: dict[int, RunStatement] = {}
    found = [*_statements(store, statements), *_files(store)]
    for month in store.read(months_known):
        steps = store.read(lambda c, m=month: all_steps(c, m))  # type: ignore[misc]
        for step in steps:
            found += _step(store, step, statements.get(step.run_id))
        try:
            store.read(lambda c, m=month: bills_of(c, m, actor=_READER))  # type: ignore[misc]
        except CollectorError as error:
            found.append(f"bills of {month}: {error}")
    return [*found, *store.read(audit.verify)]


def _statements(store: CenterStore, read: dict[int, RunStatement]) -> Iterator[str]:
    """Every run's statement is on disk as the store knows it, and its ledger balances."""
    query = select(run.c.id).where(has_statement).order_by(run.c.id)
    for number in store.read(lambda c: c.execute(query).scalars().all()):
        try:
            read[int(number)] = load_run_statement(store, int(number))
        except (CollectorError, OSError, ValueError, KeyError) as error:
            yield f"run {number}: {error}"


def _files(store: CenterStore) -> Iterator[str]:
    """Every filing and every attachment has the bytes its hash names."""
    for table, name in ((filing, "filing"), (attachment, "attachment")):
        ids = store.read(lambda c, t=table: c.execute(select(t.c.id).order_by(t.c.id)).scalars().all())  # type: ignore[misc]
        for number in ids:
            query = select(table.c.sha256, table.c.bytes).where(table.c.id == number)
            row = store.read(lambda c, q=query: c.execute(q).one())  # type: ignore[misc]
            if hashlib.sha256(bytes(row.bytes)).hexdigest() != row.sha256:
                yield f"{name} {number}: its bytes are not those of its hash"


def _step(store: CenterStore, step: Step, statement: RunStatement | None) -> Iterator[str]:
    """A step's run is the one that was pinned, and what was filed of it is what it says."""
    if statement is None:
        return
    name = f"step {step.number} of {step.month}"
    if statement.result_hash != step.result_hash:
        yield f"{name}: run {step.run_id} is not the one that was pinned"
    rows = store.read(lambda c: scheme_rows(c, step.run_id, step.edition))
    expected = sorted(scheme_of(statement), key=lambda row: (row.area, row.plant))
    if rows and rows != expected:
        yield f"{name}: the settlement scheme in the store is not that of run {step.run_id}"
