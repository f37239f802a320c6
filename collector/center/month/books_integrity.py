# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks the books against the decisions: statements, filings, bills, the account, audit chain. Changes nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sqlalchemy import select

from collector.base.durable import folder_held
from collector.base.errors import CollectorError
from collector.base.text import join, tr
from collector.center.db.store import CenterStore
from collector.center.db.store_version import BACKUP_MANIFEST
from collector.center.db.tables_inputs import has_statement, run
from collector.center.db.tables_month import attachment, filing, month_step
from collector.center.db.verified import Altered, verify_file
from collector.center.papers.bills import BillRow, bills_of, scheme_rows
from collector.center.papers.books import BookEntry, check_books, entries_of
from collector.center.papers.filing_documents import scheme_of
from collector.center.people import audit
from collector.center.people.access import Actor, Role
from collector.center.runs.keeping.kept_packages import altered_packages
from collector.center.runs.keeping.own_files import WRITABLE
from collector.center.runs.month_state import MonthStep, all_steps, months_known
from collector.center.runs.run_list import RUNNING, list_runs, manifest_text, page_hashes, runs_folder
from collector.center.runs.run_statement import RunStatement, load_run_statement
from collector.center.runs.settle_month import DATA, RULEBOOK, STATEMENT, read_pinned_rulebook
from collector.report.folder import MANIFEST
from collector.report.manifest import hashes_wrong

_READER = Actor("check", Role.AUDITOR)
# Errors that reading altered rows and files may raise.
_UNREADABLE: Final = (CollectorError, OSError, ValueError, KeyError, ArithmeticError)


def check_months(store: CenterStore) -> list[str]:
    """Every problem found, in words; empty where there is none. Safe beside a running center."""
    with folder_held(runs_folder(store.directory)):  # keeps runs from expiring meanwhile
        return _check_months(store)


def _check_months(store: CenterStore) -> list[str]:
    statements: dict[int, RunStatement] = {}
    found = [*_statements(store, statements), *_run_files(store), *_own_files(store), *_files(store)]
    found += [*_unknown_runs(store), *altered_packages(store)]
    entries: list[BookEntry] = []
    bills: list[BillRow] = []
    for month in store.read(months_known):
        try:
            steps = store.read(lambda c, m=month: all_steps(c, m))  # type: ignore[misc]
        except _UNREADABLE as error:
            found.append(tr("steps of {month}: {error}", month=month, error=error))
            steps = []
        for step in steps:
            found += _step(store, step, statements.get(step.run_id))
        try:
            bills += store.read(lambda c, m=month: bills_of(c, m, actor=_READER))  # type: ignore[misc]
        except _UNREADABLE as error:
            found.append(tr("bills of {month}: {error}", month=month, error=error))
    try:
        entries = store.read(entries_of)
    except _UNREADABLE as error:
        found.append(tr("books: can't be read: {error}", error=error))
    return [*found, *check_books(entries, bills), *store.read(audit.verify)]


def _statements(store: CenterStore, read: dict[int, RunStatement]) -> Iterator[str]:
    """Check that every run's statement on disk is the one in the store, and that its ledger balances."""
    query = select(run.c.id).where(has_statement).order_by(run.c.id)
    for number in store.read(lambda c: c.execute(query).scalars().all()):
        try:
            read[int(number)] = load_run_statement(store, int(number))
        except _UNREADABLE as error:
            yield tr("run {number}: {error}", number=number, error=error)


def _run_files(store: CenterStore) -> Iterator[str]:
    """Check the inputs, the rulebook and the output of every run, and its files for pages.

    The day files of a run are missing in a backup, where the lake has them and a restore links them again, and in a
    running month, which removes them.
    """
    is_backup = (store.directory / BACKUP_MANIFEST).exists()
    for row in store.read(list_runs):
        folder = runs_folder(store.directory) / row.folder
        try:
            read_pinned_rulebook(folder / RULEBOOK, row.rulebook_hash)
        except CollectorError as error:
            yield tr("run {number}: {error}", number=row.id, error=error)
        manifest = json.loads(store.read(lambda c, n=row.id: manifest_text(c, n)))  # type: ignore[misc]
        yield from hashes_wrong(manifest, tr("run {number}", number=row.id))
        for part, kind in ((DATA, "inputs"), (STATEMENT, "files")):
            listed = manifest.get(kind, {})
            for name, sha256 in listed.items():
                # In an object store they are the lake's own, looked at there, but for those of disclosed runs.
                is_apart = is_backup or row.kind == RUNNING or (store.lake_url and not (folder / part / name).exists())
                if not (name.startswith("records/") and is_apart):
                    yield from _altered(folder / part / name, sha256, tr("run {number}", number=row.id))
            for path in _files_in(folder / part):
                inside = path.relative_to(folder / part).as_posix()
                if inside not in listed and inside != MANIFEST:
                    yield tr(
                        "run {id}: {path}: is none of its files; who settles this folder offline may read it",
                        id=row.id,
                        path=path,
                    )
        pages = store.read(lambda c, n=row.id: page_hashes(c, n))  # type: ignore[misc]
        for name, sha256 in pages.items():
            for words in _altered(folder / name, sha256, tr("run {number}", number=row.id)):
                yield tr("{words}; it counts for nothing and is made again when it is needed", words=words)


def _own_files(store: CenterStore) -> Iterator[str]:
    """Check that files of disclosed runs share no bytes with the lake, and are read-only; not in a backup."""
    if (store.directory / BACKUP_MANIFEST).exists():
        return
    disclosed = set(store.read(lambda c: c.execute(select(month_step.c.run_id).distinct()).scalars().all()))
    for row in store.read(list_runs):
        for path in _files_in(runs_folder(store.directory) / row.folder) if row.id in disclosed else ():
            facts = path.stat()
            if facts.st_nlink > 1:
                yield tr(
                    "run {id}: {path}: is disclosed and a second name of another file: both change together",
                    id=row.id,
                    path=path,
                )
            if facts.st_mode & WRITABLE:
                yield tr(
                    "run {id}: {path}: is disclosed and may be written (mode {mode:o})",
                    id=row.id,
                    path=path,
                    mode=facts.st_mode & 0o777,
                )


def _unknown_runs(store: CenterStore) -> Iterator[str]:
    """Folders of runs that this database does not list. A run is listed before its folder is made."""
    runs = runs_folder(store.directory)
    there = sorted(path for path in runs.glob("*") if not path.name.startswith("."))
    listed = set(store.read(lambda c: c.execute(select(run.c.folder)).scalars().all()))
    for path in there:
        if path.name not in listed and path.exists():  # it may have expired meanwhile
            yield tr(
                "{path}: no run of this store has this folder: was an older database put back, without its files?",
                path=path,
            )


def _files_in(folder: Path) -> list[Path]:
    """Every file except temporary ones, whose names begin with a dot."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))


def _altered(path: Path, sha256: str, subject: str) -> Iterator[str]:
    try:
        verify_file(path, sha256)
    except Altered as error:
        yield join(": ", (subject, error.difference))


def _files(store: CenterStore) -> Iterator[str]:
    """Check the bytes of every filing and every attachment against its hash."""
    for table, name in ((filing, tr("filing")), (attachment, tr("attachment"))):
        ids = store.read(lambda c, t=table: c.execute(select(t.c.id).order_by(t.c.id)).scalars().all())  # type: ignore[misc]
        for number in ids:
            query = select(table.c.sha256, table.c.bytes).where(table.c.id == number)
            row = store.read(lambda c, q=query: c.execute(q).one())  # type: ignore[misc]
            if hashlib.sha256(bytes(row.bytes)).hexdigest() != row.sha256:
                yield tr("{name} {number}: its bytes are not those of its hash", name=name, number=number)


def _step(store: CenterStore, step: MonthStep, statement: RunStatement | None) -> Iterator[str]:
    """Check that a step's run is the pinned one, and that its filings agree with it."""
    if statement is None:
        return
    name = tr("step {number} of {month}", number=step.number, month=step.month)
    if statement.result_hash != step.result_hash:
        yield tr("{name}: run {run_id} is not the one that was pinned", name=name, run_id=step.run_id)
    rows = store.read(lambda c: scheme_rows(c, step.run_id, step.edition))
    expected = sorted(scheme_of(statement), key=lambda row: (row.area, row.plant))
    if rows and rows != expected:
        yield tr(
            "{name}: the settlement scheme in the store is not that of run {run_id}", name=name, run_id=step.run_id
        )
