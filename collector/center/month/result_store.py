# SPDX-License-Identifier: GPL-3.0-or-later
"""Day results in the center's store: found by key, added once; dropped in time by collector/center/retention.py.

Nothing is ever marked dirty and nothing is ever changed: another input is another key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from sqlalchemy import Connection, select, update

from collector.center.measured_schema import day_result, day_segments, file_facts
from collector.center.month.file_facts import FileFacts, decode_facts, encode_facts
from collector.center.month.plant_month import Measured
from collector.center.store import insert_new
from collector.model.interval import DAY_MS

_AT_ONCE: Final = 500
_USED_EVERY_MS: Final = DAY_MS  # noting each use would make every closing a writer of thousands of rows
T = TypeVar("T")
K = TypeVar("K")


@dataclass(frozen=True)
class Found(Generic[K, T]):
    """What was there, by key. `unnoted`: those of which it was not noted of late that a closing asked for them."""

    rows: dict[K, T] = field(default_factory=dict)
    unnoted: list[K] = field(default_factory=list)


def find_facts(connection: Connection, hashes: Iterable[str], *, now_ms: int) -> Found[str, FileFacts]:
    """Facts of day files by SHA-256, as far as they are there."""
    found: Found[str, FileFacts] = Found()
    columns = file_facts.c.sha256, file_facts.c.used_ms, file_facts.c.facts
    for some in _chunks(sorted(set(hashes))):
        for sha256, used_ms, facts in connection.execute(select(*columns).where(file_facts.c.sha256.in_(some))):
            found.rows[sha256] = decode_facts(facts)
            if used_ms < now_ms - _USED_EVERY_MS:
                found.unnoted.append(sha256)
    return found


def add_facts(connection: Connection, facts: Mapping[str, FileFacts], *, now_ms: int) -> None:
    """Keep facts of day files."""
    rows = [{"sha256": sha256, "used_ms": now_ms, "facts": encode_facts(f)} for sha256, f in sorted(facts.items())]
    for some in _chunks(rows):
        connection.execute(insert_new(connection, file_facts), some)


def add_results(connection: Connection, measured: Sequence[Measured], *, now_ms: int) -> None:
    """Keep day results; one that another process has stored meanwhile is the same."""
    for some in _chunks(measured):
        rows = [
            {"key": m.key, "plant": m.plant, "day": m.day, "measured_ms": now_ms, "used_ms": now_ms,
             "results": m.results}
            for m in some
        ]  # fmt: skip
        connection.execute(insert_new(connection, day_result), rows)
        segments = [{"key": m.key, "segments": m.segments} for m in some if m.segments is not None]
        if segments:
            connection.execute(insert_new(connection, day_segments), segments)


def find_results(connection: Connection, keys: Sequence[bytes], *, now_ms: int) -> Found[bytes, bytes]:
    """Results by key as they were stored, as far as they are there."""
    found: Found[bytes, bytes] = Found()
    columns = day_result.c.key, day_result.c.used_ms, day_result.c.results
    for some in _chunks(keys):
        for key, used_ms, results in connection.execute(select(*columns).where(day_result.c.key.in_(some))):
            found.rows[bytes(key)] = bytes(results)
            if used_ms < now_ms - _USED_EVERY_MS:
                found.unnoted.append(bytes(key))
    return found


def read_segments(connection: Connection, keys: Sequence[bytes]) -> list[bytes]:
    """Segments of some keys, in their order; a key without any is passed over."""
    found: dict[bytes, bytes] = {}
    for some in _chunks(keys):
        query = select(day_segments.c.key, day_segments.c.segments).where(day_segments.c.key.in_(some))
        found |= {bytes(key): bytes(segments) for key, segments in connection.execute(query)}
    return [found[key] for key in keys if key in found]


def note_use(connection: Connection, keys: Sequence[bytes], hashes: Sequence[str], *, now_ms: int) -> None:
    """Results and facts that a closing asked for are in use."""
    for table, column, wanted in ((day_result, "key", keys), (file_facts, "sha256", hashes)):
        for some in _chunks(wanted):
            connection.execute(update(table).where(table.c[column].in_(some)).values(used_ms=now_ms))


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]
