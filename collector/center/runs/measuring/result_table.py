# SPDX-License-Identifier: GPL-3.0-or-later
"""Day results in the center's store: found by key, added once; dropped in time by collector/center/lake/retention.py.

Rows are never invalidated or changed: another input gives another key. A row whose content is altered counts as missing
and is made again.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import Connection, Table, delete, select, update

from collector.center.db.store import insert_new
from collector.center.db.tables_results import day_result, day_segments, file_facts
from collector.center.runs.measuring.file_facts import FileFacts, decode_facts, encode_facts
from collector.center.runs.measuring.measure_plant import StoredResult
from collector.model.interval import DAY_MS

_AT_ONCE: Final = 500
_USED_EVERY_MS: Final = DAY_MS  # noting each use would make every closing write thousands of rows
T = TypeVar("T")
K = TypeVar("K")
logger: Final = logging.getLogger("collector.center.results")


@dataclass(frozen=True)
class Kept(Generic[K, T]):
    """The rows found, by key. `unnoted`: keys whose use was not noted lately."""

    rows: dict[K, T] = field(default_factory=dict)
    unnoted: list[K] = field(default_factory=list)


def find_facts(connection: Connection, hashes: Iterable[str], *, now_ms: int) -> Kept[str, FileFacts]:
    """Stored facts of day files, by SHA-256."""
    found: Kept[str, FileFacts] = Kept()
    columns = file_facts.c.sha256, file_facts.c.used_ms, file_facts.c.content_sha256, file_facts.c.facts
    for some in _chunks(sorted(set(hashes))):
        query = select(*columns).where(file_facts.c.sha256.in_(some))
        for sha256, used_ms, content_sha256, facts in connection.execute(query):
            if not _is_whole(file_facts, sha256.encode(), facts, content_sha256):
                continue
            found.rows[sha256] = decode_facts(facts)
            if used_ms < now_ms - _USED_EVERY_MS:
                found.unnoted.append(sha256)
    return found


def add_facts(connection: Connection, facts: Mapping[str, FileFacts], *, now_ms: int) -> None:
    """Store facts of day files."""
    packed = {sha256: encode_facts(f) for sha256, f in sorted(facts.items())}
    rows = [
        {"sha256": sha256, "used_ms": now_ms, "facts": f, "content_sha256": _content_hash(sha256.encode(), f)}
        for sha256, f in packed.items()
    ]
    for some in _chunks(rows):
        _replace(connection, file_facts, "sha256", some)


def add_results(connection: Connection, measured: Sequence[StoredResult], *, now_ms: int) -> None:
    """Store day results; a result that another process has stored meanwhile is the same."""
    for some in _chunks(measured):
        rows = [
            {"key": m.key, "plant": m.plant, "day": m.day, "measured_ms": now_ms, "used_ms": now_ms,
             "results": m.results, "content_sha256": _content_hash(m.key, m.results)}
            for m in some
        ]  # fmt: skip
        _replace(connection, day_result, "key", rows)
        segments = [
            {"key": m.key, "segments": m.segments, "content_sha256": _content_hash(m.key, m.segments)}
            for m in some
            if m.segments is not None
        ]
        _replace(connection, day_segments, "key", segments)


def find_results(connection: Connection, keys: Sequence[bytes], *, now_ms: int) -> Kept[bytes, bytes]:
    """Stored results by key."""
    found: Kept[bytes, bytes] = Kept()
    columns = day_result.c.key, day_result.c.used_ms, day_result.c.content_sha256, day_result.c.results
    for some in _chunks(keys):
        query = select(*columns).where(day_result.c.key.in_(some))
        for key, used_ms, content_sha256, results in connection.execute(query):
            if not _is_whole(day_result, bytes(key), results, content_sha256):
                continue
            found.rows[bytes(key)] = bytes(results)
            if used_ms < now_ms - _USED_EVERY_MS:
                found.unnoted.append(bytes(key))
    return found


def read_segments(connection: Connection, keys: Sequence[bytes]) -> dict[bytes, bytes]:
    """Stored segments by key."""
    found: dict[bytes, bytes] = {}
    columns = day_segments.c.key, day_segments.c.content_sha256, day_segments.c.segments
    for some in _chunks(keys):
        query = select(*columns).where(day_segments.c.key.in_(some))
        for key, content_sha256, segments in connection.execute(query):
            if _is_whole(day_segments, bytes(key), segments, content_sha256):
                found[bytes(key)] = bytes(segments)
    return found


def find_altered_results(connection: Connection) -> Iterator[str]:
    """Name each result, its segments or facts that are not as they were stored."""
    for table, key, content in (
        (file_facts, "sha256", "facts"),
        (day_result, "key", "results"),
        (day_segments, "key", "segments"),
    ):
        query = select(table.c[key], table.c[content], table.c.content_sha256).where(
            table.c.content_sha256.is_not(None)
        )
        for name, stored, expected in connection.execute(query.execution_options(yield_per=50)):
            if _content_hash(_as_bytes(name), stored) != expected:
                yield f"{table.name} {name.hex() if isinstance(name, bytes) else name}"


def note_use(connection: Connection, keys: Sequence[bytes], hashes: Sequence[str], *, now_ms: int) -> None:
    """Note the use of results and facts by a closing."""
    for table, column, wanted in ((day_result, "key", keys), (file_facts, "sha256", hashes)):
        for some in _chunks(wanted):
            connection.execute(update(table).where(table.c[column].in_(some)).values(used_ms=now_ms))


def _content_hash(key: bytes, content: bytes) -> str:
    digest = hashlib.sha256(key)
    digest.update(_as_bytes(content))
    return digest.hexdigest()


def _as_bytes(value: object) -> bytes:
    """A cell as bytes: on a damaged page of the database it may have any type, which then gives another hash."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")


def _is_whole(table: Table, key: bytes, content: bytes, expected: str | None) -> bool:
    """True if a row is as it was stored; else it is logged, unless an older program stored no hash of it."""
    found = _content_hash(key, content)
    if expected is not None and found != expected:
        name = key.decode() if table is file_facts else key.hex()
        message = "%s %s: is not as it was stored: expected SHA-256 %s, found %s; made again"
        logger.warning(message, table.name, name, expected, found)
    return found == expected


def _replace(connection: Connection, table: Table, key: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert missing rows; an altered row is replaced."""
    if rows:
        connection.execute(delete(table).where(table.c[key].in_([row[key] for row in rows])))
        connection.execute(insert_new(connection, table), rows)


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]
