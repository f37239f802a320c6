# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether store and lake agree with themselves and with each other: hashes, counts, sequences. Changes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, func, select

import collector.wire as wire
from collector.base.errors import Garbled
from collector.center.db.store import CenterStore
from collector.center.db.tables_inputs import run_file
from collector.center.db.tables_receive import batch, batch_day, covered, lake_day, lake_file, payload, stream, unit_day
from collector.center.db.verified import Altered, read_verified
from collector.center.inputs.stored_rows import listed_files, path_of
from collector.center.lake.day_file import count_rows
from collector.center.receive import ranges


def check_store(store: CenterStore) -> list[str]:
    """Everything found wrong, in words; empty where all is well. Safe beside a running center."""
    return store.read(
        lambda connection: [
            *_payloads(connection),
            *_sequences(connection),
            *_files(connection, store.lake),
            *_imports(connection, store.imported),
        ]
    )


def _payloads(connection: Connection) -> Iterator[str]:
    """Every payload kept is the batch its row names."""
    same = (payload.c.stream_id == batch.c.stream_id) & (payload.c.sequence == batch.c.sequence)
    columns = (stream.c.plant, stream.c.gateway, stream.c.epoch, batch.c.sequence, batch.c.sha256, payload.c.bytes)
    query = select(*columns).select_from(payload.join(batch, same).join(stream, stream.c.id == batch.c.stream_id))
    for row in connection.execute(query.execution_options(yield_per=200)):
        name = f"batch {row.plant}/{row.gateway}/{row.epoch}/{row.sequence}"
        try:
            envelope = wire.open_envelope(row.bytes)
        except Garbled as error:
            yield f"{name}: {error}"
            continue
        if hashlib.sha256(envelope.header).digest() != bytes(row.sha256):
            yield f"{name}: its payload is another batch"


def _sequences(connection: Connection) -> Iterator[str]:
    """Covered ranges hold every stored batch, and `through` follows from them."""
    for row in connection.execute(select(stream)):
        name = f"stream {row.plant}/{row.gateway}/{row.epoch}"
        query = select(covered.c.from_seq, covered.c.to_seq).where(covered.c.stream_id == row.id)
        held = [(int(r.from_seq), int(r.to_seq)) for r in connection.execute(query)]
        stored = connection.execute(select(batch.c.sequence).where(batch.c.stream_id == row.id)).scalars()
        if ranges.merge(held) != sorted(held):
            yield f"{name}: its ranges overlap or touch"
        if ranges.merge([*held, *((int(n), int(n)) for n in stored)]) != ranges.merge(held):
            yield f"{name}: a stored batch is not covered"
        if ranges.through(ranges.merge(held)) != row.through:
            yield f"{name}: through is {row.through}, its ranges give {ranges.through(ranges.merge(held))}"


def _files(connection: Connection, lake: Path) -> Iterator[str]:
    """Every listed file is there with its hash; a sealed day has the records the journal received for it."""
    received = select(unit_day.c.plant, unit_day.c.day, func.sum(unit_day.c.received).label("n"))
    counts = {
        (r.plant, r.day): int(r.n) for r in connection.execute(received.group_by(unit_day.c.plant, unit_day.c.day))
    }
    sealed = select(lake_day.c.plant, lake_day.c.day).where(lake_day.c.sealed >= lake_day.c.wanted)
    expected = {(r.plant, r.day) for r in connection.execute(sealed)}
    # Where payloads have gone, a later sealing no longer knows which records had lost an instant to another.
    same = (payload.c.stream_id == batch_day.c.stream_id) & (payload.c.sequence == batch_day.c.sequence)
    gone = select(batch_day.c.plant, batch_day.c.day).distinct().select_from(batch_day.outerjoin(payload, same))
    dropped = {(r.plant, r.day) for r in connection.execute(gone.where(payload.c.sequence.is_(None)))}
    pinned = {(r.plant, r.name) for r in connection.execute(select(run_file.c.plant, run_file.c.name))}
    query = select(lake_file).where(lake_file.c.dropped_ms.is_(None))
    for row in connection.execute(query.order_by(lake_file.c.plant, lake_file.c.day, lake_file.c.id)).all():
        path, day, counted = lake / row.plant / row.name, (row.plant, row.day), None
        if not path.exists():
            # A superseded one that no run pins may be let go at any moment, also at this one.
            if row.superseded_ms is None or (row.plant, row.name) in pinned:
                yield f"{path}: listed and not there"
        else:
            try:
                counted = count_rows(path, row.sha256)
            except Altered:
                yield f"{path}: not as it was sealed"
        if row.superseded_ms is not None:
            continue
        if counted is not None:
            rows, delivered = counted
            if rows != row.row_count:
                yield f"{path}: {rows} records, listed with {row.row_count}"
            if day in expected - dropped and delivered + row.other_count != counts.get(day, 0):
                both = f"{delivered} delivered records and {row.other_count} others"
                yield f"{path}: {both}, the journal received {counts.get(day)}"
        expected.discard(day)
    yield from (f"{plant} {day}: sealed, and no file is listed" for plant, day in sorted(expected))


def _imports(connection: Connection, folder: Path) -> Iterator[str]:
    """The file of every import is there with its hash."""
    for sha256 in listed_files(connection):
        try:
            read_verified(path_of(folder, sha256), sha256)
        except Altered as error:
            yield error.difference
