# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks store and lake, each in itself and against each other: hashes, counts, sequences. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, func, select

from collector.base.text import tr
from collector.center.db.schema_check import check_schema
from collector.center.db.seals.seal_key import find_altered_key
from collector.center.db.seals.sealed_rows import check_rows
from collector.center.db.storage.lake_place import LakePath, lake_folder
from collector.center.db.store import CenterStore
from collector.center.db.tables_inputs import run_file
from collector.center.db.tables_receive import batch_day, lake_day, lake_file, payload, unit_day
from collector.center.db.tables_results import kept_file
from collector.center.db.verified import Altered, read_named, read_verified
from collector.center.inputs.stored_rows import listed_files, path_of
from collector.center.lake.day_file import count_rows
from collector.center.operate.journal_integrity import check_journal
from collector.center.runs.measuring.result_table import find_altered_results


def check_store(store: CenterStore) -> list[str]:
    """Every problem found, in words; empty where there is none. Safe beside a running center."""
    return store.read(
        lambda connection: [*check_database(connection), *check_files(connection, store.directory, store.lake_url)]
    )


def check_database(connection: Connection) -> Iterator[str]:
    """Check that the content of the database is as it was written, and consistent."""
    yield from _database(connection)
    yield from check_schema(connection)
    yield from check_rows(connection)
    yield from check_journal(connection)
    yield from _results(connection)


def check_files(connection: Connection, directory: Path, lake_url: str = "") -> Iterator[str]:
    """Check the hash of every file that the database lists; files of runs are checked by `books_integrity`."""
    if (words := find_altered_key(connection, directory)) is not None:
        yield words
    yield from _files(connection, lake_folder(directory, lake_url, "lake"))
    yield from _imports(connection, directory / "imported")
    yield from _others(connection, lake_folder(directory, lake_url, "lake-others"))
    yield from _kept(connection, directory)


def _files(connection: Connection, lake: LakePath) -> Iterator[str]:
    """Check the hash of every listed day file; a sealed day must have as many records as the journal got for it."""
    received = select(unit_day.c.plant, unit_day.c.day, func.sum(unit_day.c.received).label("n"))
    counts = {
        (r.plant, r.day): int(r.n) for r in connection.execute(received.group_by(unit_day.c.plant, unit_day.c.day))
    }
    sealed = select(lake_day.c.plant, lake_day.c.day).where(lake_day.c.sealed >= lake_day.c.wanted)
    expected = {(r.plant, r.day) for r in connection.execute(sealed)}
    # Without its payloads, a later sealing no longer knows which records had lost an instant to another.
    same = (payload.c.stream_id == batch_day.c.stream_id) & (payload.c.sequence == batch_day.c.sequence)
    gone = select(batch_day.c.plant, batch_day.c.day).distinct().select_from(batch_day.outerjoin(payload, same))
    dropped = {(r.plant, r.day) for r in connection.execute(gone.where(payload.c.sequence.is_(None)))}
    pinned = {(r.plant, r.name) for r in connection.execute(select(run_file.c.plant, run_file.c.name))}
    query = select(lake_file).where(lake_file.c.dropped_ms.is_(None))
    for row in connection.execute(query.order_by(lake_file.c.plant, lake_file.c.day, lake_file.c.id)).all():
        path, day, counted = lake / row.plant / row.name, (row.plant, row.day), None
        if not path.exists():
            # A superseded file that no run pins may be removed at any moment, also at this one.
            if row.superseded_ms is None or (row.plant, row.name) in pinned:
                yield tr("{path}: listed and not there", path=path)
        else:
            try:
                counted = count_rows(path, row.sha256)
            except Altered as error:
                yield error.difference
        if row.superseded_ms is not None:
            continue
        if counted is not None:
            rows, delivered = counted
            if rows != row.row_count:
                yield tr(
                    "{path}: {rows} records, listed with {row_count}", path=path, rows=rows, row_count=row.row_count
                )
            if day in expected - dropped and delivered + row.other_count != counts.get(day, 0):
                both = tr(
                    "{delivered} delivered records and {other_count} others",
                    delivered=delivered,
                    other_count=row.other_count,
                )
                yield tr("{path}: {both}, the journal received {count}", path=path, both=both, count=counts.get(day))
        expected.discard(day)
    yield from (
        tr("{plant} {day}: sealed, and no file is listed", plant=plant, day=day) for plant, day in sorted(expected)
    )


def _imports(connection: Connection, folder: Path) -> Iterator[str]:
    """Check the hash of the file of every import."""
    for sha256 in listed_files(connection):
        try:
            read_verified(path_of(folder, sha256), sha256)
        except Altered as error:
            yield error.difference


def _database(connection: Connection) -> Iterator[str]:
    """Check that pages and indexes of an SQLite file are consistent, and that foreign keys refer to existing rows."""
    if connection.dialect.name != "sqlite":
        return
    for (words,) in connection.exec_driver_sql("PRAGMA integrity_check").all():
        if words != "ok":
            yield tr("database: {words}", words=words)
    for row in connection.exec_driver_sql("PRAGMA foreign_key_check").all():
        yield tr(
            "database: row {row} of {table} names a row of {other} that is not there",
            row=row[1],
            table=row[0],
            other=row[2],
        )


def _others(connection: Connection, folder: LakePath) -> Iterator[str]:
    """Check the list of records that lost their instant, for every current day file that names one."""
    current = lake_file.c.superseded_ms.is_(None) & (lake_file.c.others != "")
    for row in connection.execute(select(lake_file.c.plant, lake_file.c.others).where(current)):
        try:
            read_named(folder / row.plant / row.others)
        except Altered as error:
            yield error.difference


def _results(connection: Connection) -> Iterator[str]:
    """Stored measuring results that were altered; the next closing measures them again."""
    for name in find_altered_results(connection):
        yield tr(
            "{name}: is not as it was stored; it counts for nothing and is made again when it is needed", name=name
        )


def _kept(connection: Connection, directory: Path) -> Iterator[str]:
    """Check that tables kept between runs are as they were written, or gone."""
    for row in connection.execute(select(kept_file)):
        path = directory / "laid-out" / row.name
        try:
            if path.exists():
                read_verified(path, row.sha256)
        except Altered as error:
            yield tr(
                "{difference}; it counts for nothing and is made again when it is needed", difference=error.difference
            )
