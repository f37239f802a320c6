# SPDX-License-Identifier: GPL-3.0-or-later
"""Streams and their settled sequences, for a whole group at once.

After an outage of the region's network 300 plants come back together, and a group of 256 messages then has as many
streams: with a few statements for each, SQLAlchemy took three times as long as all else. So every statement here is for
all streams of the group; rows are locked in one order, so that two receivers never deadlock.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    Column,
    Connection,
    Select,
    TableValuedAlias,
    Text,
    and_,
    bindparam,
    case,
    cast,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql import ColumnElement

from collector.center.db.store import insert_new
from collector.center.db.tables_receive import batch, covered, lake_file, stream
from collector.center.receive.arrivals import StreamKey
from collector.center.receive.ranges import Range

# Streams of imported records; the epoch is the import's number. No gateway can have these names (wire.is_name).
IMPORTED, REPLACING = "@import", "@replace"
OF_GATEWAYS: Final = stream.c.gateway.not_in((IMPORTED, REPLACING))


def select_keys(
    connection: Connection, query: Select[Any], columns: Sequence[Column[Any]], keys: Iterable[tuple[Any, ...]]
) -> Iterator[Any]:
    """The rows of `query` whose `columns`, all of one table, are among `keys`."""
    given, parts = given_rows(connection, keys, columns)
    same = and_(*(column == part for column, part in zip(columns, parts, strict=True)))
    if connection.dialect.name == "postgresql":
        # PostgreSQL locks rows in the order of the result; SQLite locks none.
        query = query.order_by(*columns)
    yield from connection.execute(query.join_from(given, columns[0].table, same))


def given_rows(
    connection: Connection, rows: Iterable[tuple[Any, ...]], like: Sequence[Column[Any]]
) -> tuple[TableValuedAlias, list[ColumnElement[Any]]]:
    """A table of given rows to join with, and its columns, typed as the columns `like`.

    The rows are passed as one JSON text: the statement's text is then always the same, and SQLite uses the index, which
    it does not for `(a, b) IN (VALUES …)`.
    """
    ordered = json.dumps(sorted(rows))
    if connection.dialect.name == "postgresql":
        given = func.jsonb_array_elements(cast(literal(ordered, Text), JSONB)).table_valued("value", name="given")
        return given, [cast(given.c.value.op("->>")(n), column.type) for n, column in enumerate(like)]
    given = func.json_each(ordered).table_valued("value", name="given")
    return given, [func.json_extract(given.c.value, f"$[{n}]") for n in range(len(like))]


def lock_streams(connection: Connection, keys: Iterable[StreamKey]) -> dict[StreamKey, int]:
    """The row numbers of the streams that exist, locked until the commit."""
    texts = [(plant, gateway, f"{epoch:016x}") for plant, gateway, epoch in keys]
    columns = (stream.c.plant, stream.c.gateway, stream.c.epoch)
    rows = select_keys(connection, select(stream.c.id, *columns).with_for_update(of=stream), columns, texts)
    return {(r.plant, r.gateway, int(r.epoch, 16)): int(r.id) for r in rows}


def make_streams(connection: Connection, keys: Iterable[StreamKey], now_ms: int) -> dict[StreamKey, int]:
    """The row numbers of streams, as `lock_streams`; missing streams are inserted."""
    wanted = sorted(set(keys))
    found = lock_streams(connection, wanted)
    missing = [key for key in wanted if key not in found]
    if not missing:
        return found
    times = {"through": 0, "kept_bytes": 0, "first_received_ms": now_ms, "last_received_ms": now_ms}
    rows = [{"plant": p, "gateway": g, "epoch": f"{e:016x}"} | times for p, g, e in missing]
    connection.execute(insert_new(connection, stream), rows)
    return found | lock_streams(connection, missing)


def bytes_by_plant(connection: Connection) -> dict[str, int]:
    """The disk use of each plant in bytes: its kept payloads and its day files."""
    used: Counter[str] = Counter()
    sums = select(stream.c.plant, func.sum(stream.c.kept_bytes).label("n")).group_by(stream.c.plant)
    files = select(lake_file.c.plant, func.sum(lake_file.c.size_bytes).label("n")).group_by(lake_file.c.plant)
    for query in (sums, files.where(lake_file.c.dropped_ms.is_(None))):
        used.update({row.plant: int(row.n) for row in connection.execute(query)})
    return dict(used)


def stored_hashes(connection: Connection, wanted: Iterable[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
    """SHA-256 of each stored batch of `wanted`, by stream number and sequence."""
    columns = (batch.c.stream_id, batch.c.sequence)
    rows = select_keys(connection, select(batch.c.sha256, *columns), columns, wanted)
    return {(int(r.stream_id), int(r.sequence)): bytes(r.sha256) for r in rows}


def count_repeats(connection: Connection, repeats: Mapping[tuple[int, int], int]) -> None:
    """Add to the count of repeats of stored batches."""
    if not repeats:
        return
    where = (batch.c.stream_id == bindparam("of_stream")) & (batch.c.sequence == bindparam("number"))
    statement = update(batch).where(where).values(repeats=batch.c.repeats + bindparam("more"))
    rows = [{"of_stream": s, "number": n, "more": more} for (s, n), more in sorted(repeats.items())]
    connection.execute(statement, rows)


def covered_ranges(connection: Connection, stream_ids: Iterable[int]) -> dict[int, list[Range]]:
    """The settled ranges of each stream."""
    found: dict[int, list[Range]] = defaultdict(list)
    for row in select_keys(connection, select(covered), (covered.c.stream_id,), ((n,) for n in set(stream_ids))):
        found[int(row.stream_id)].append((int(row.from_seq), int(row.to_seq)))
    return found


def replace_ranges(connection: Connection, changes: Mapping[int, tuple[Iterable[Range], Iterable[Range]]]) -> None:
    """Replace ranges per stream: the ranges to delete, and the ranges to insert."""
    gone = [{"of_stream": s, "start": a} for s, (old, _) in sorted(changes.items()) for a, _ in sorted(old)]
    come = [
        {"stream_id": s, "from_seq": a, "to_seq": b} for s, (_, new) in sorted(changes.items()) for a, b in sorted(new)
    ]
    if gone:
        where = (covered.c.stream_id == bindparam("of_stream")) & (covered.c.from_seq == bindparam("start"))
        connection.execute(delete(covered).where(where), gone)
    if come:
        connection.execute(insert(covered), come)


def move_through(connection: Connection, through: Mapping[int, int], added: Mapping[int, int], now_ms: int) -> None:
    """Store the new `through` of each stream, and add to its kept bytes and to the time that its batches came in.

    `now_ms` may lie before that time: another receiver committed first, or the clock was set back.
    """
    if not through:
        return
    first, last = stream.c.first_received_ms, stream.c.last_received_ms
    values = {
        "through": bindparam("settled"),
        "kept_bytes": stream.c.kept_bytes + bindparam("more"),
        "first_received_ms": case((first > now_ms, now_ms), else_=first),
        "last_received_ms": case((last < now_ms, now_ms), else_=last),
    }
    rows = [{"of_stream": s, "settled": n, "more": added.get(s, 0)} for s, n in sorted(through.items())]
    connection.execute(update(stream).where(stream.c.id == bindparam("of_stream")).values(values), rows)
