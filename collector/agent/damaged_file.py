# SPDX-License-Identifier: GPL-3.0-or-later
"""A damaged buffer file, read as far as it can be read. Nothing in it is believed unchecked.

A flipped bit may turn a number into a text, a row's name into another, a count into an astronomical one, and still
leave a file that SQLite opens: each row is checked for types and bounds and left out where it does not pass, and a page
that can't be read ends the reading of a table, not the salvage.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from collector.agent.sealer import decode_tail
from collector.errors import Garbled
from collector.model.record import GapRecord, UnitRecord
from collector.wire import Stream, is_name, open_envelope
from collector.wire.batch import MAX_TIME_MS
from collector.wire.body import QUANTITY_CODES

_NUMBER_AT_MOST: Final = 1 << 48  # of milliseconds, sequences and counts alike; sums stay exact in the file
_PROBES_AT_MOST: Final = 100_000


@dataclass(frozen=True, slots=True)
class OldStream:
    """A stream as its row says. `counts`: records sealed, freed, evicted, resealed."""

    number: int
    stream: Stream
    current: bool
    following: int
    counts: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class OldBatch:
    """A batch whose payload is what was written and belongs to its stream. `freed_ms`: 0 where it never was freed."""

    sequence: int
    first_ms: int
    last_ms: int
    records: int
    gaps: int
    units: str
    payload: bytes
    freed_ms: int


@dataclass(frozen=True, slots=True)
class OldLost:
    """A range of sequences whose payload had left the file before. Both ends included."""

    first: int
    final: int
    from_ms: int
    to_ms: int
    units: str
    reason: str
    due: bool


class DamagedFile:
    """Opened to read only what can be read; use `close` afterwards."""

    def __init__(self, path: Path, gateway: str) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.text_factory = lambda raw: raw.decode("utf-8", "replace")
        self._gateway = gateway

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def stores(self) -> list[tuple[str, int]]:
        """(store_id, whether it is the present one)."""
        return [row for row in self._rows("SELECT store_id, present FROM stores", str, int) if is_name(row[0])]

    def recorded(self) -> tuple[int, int]:
        """Records and gaps ever appended; 0 where nobody can say."""
        return next(
            ((a, b) for a, b in self._rows("SELECT records, gaps FROM recorded WHERE id = 1", int, int)), (0, 0)
        )

    def units(self) -> dict[str, tuple[str, tuple[str, ...]]]:
        """Per unit its plant and the quantities its open records carry."""
        found = {}
        for unit, plant, text in self._rows("SELECT unit, plant, quantities FROM units", str, str, str):
            quantities = tuple(q for q in text.split(",") if q)
            if is_name(unit) and is_name(plant) and all(q in QUANTITY_CODES for q in quantities):
                found[unit] = plant, quantities
        return found

    def streams(self) -> list[OldStream]:
        """Every stream whose name can be read, once."""
        found: dict[Stream, OldStream] = {}
        for number, plant, epoch, current, following, sealed, freed, evicted, resealed in self._rows(
            "SELECT id, plant, epoch, current, next_sequence, records_sealed, records_freed, records_evicted,"
            " records_resealed FROM streams ORDER BY id",
            int, str, str, object, object, object, object, object, object,
        ):  # fmt: skip
            with suppress(ValueError):
                stream = Stream(plant, self._gateway, int(epoch, 16))
                if is_name(plant) and f"{stream.epoch:016x}" == epoch:
                    counts = _count(sealed), _count(freed), _count(evicted), _count(resealed)
                    found.setdefault(stream, OldStream(number, stream, current == 1, _count(following), counts))
        return list(found.values())

    def lost(self, stream: OldStream) -> list[OldLost]:
        """What had left the file, in order."""
        rows = self._rows(
            "SELECT from_seq, to_seq, from_ms, to_ms, units, reason, due FROM lost WHERE stream = ?",
            int, int, int, int, str, str, int, of=(stream.number,),
        )  # fmt: skip
        found = [
            OldLost(a, b, from_ms, to_ms, units, reason, bool(due)) for a, b, from_ms, to_ms, units, reason, due in rows
        ]
        return sorted(
            (r for r in found if 0 < r.first <= r.final and r.from_ms <= r.to_ms <= MAX_TIME_MS and is_name(r.reason)),
            key=lambda row: row.first,
        )

    def batches(self, stream: OldStream) -> Iterator[OldBatch]:
        """Whole batches from both ends and by number, so that a bad page costs only what is on it."""
        seen: set[int] = set()
        for sequence, records, gaps, units, payload, sha256, freed_ms in self._batch_rows(stream):
            if sequence in seen or hashlib.sha256(payload).digest() != sha256:
                continue
            with suppress(Garbled):
                head = open_envelope(payload)
                if (head.stream, head.sequence, head.record_count) == (stream.stream, sequence, records):
                    seen.add(sequence)
                    names = ",".join(unit for unit in units.split(",") if is_name(unit))
                    yield OldBatch(sequence, head.first_ms, head.last_ms, records, gaps, names, payload, freed_ms)

    def _batch_rows(self, stream: OldStream) -> Iterator[tuple[Any, ...]]:
        sql = (
            "SELECT sequence, records, gaps, units, payload, sha256, coalesce(freed_ms, 0) FROM batches"
            " WHERE stream = ? AND sequence "
        )
        kinds = (int, int, int, str, bytes, bytes, int)
        reached = 0
        for row in self._rows(sql + "> 0 ORDER BY sequence", *kinds, of=(stream.number,)):
            reached = max(reached, row[0])
            yield row
        top = stream.following
        for row in self._rows(sql + "> ? ORDER BY sequence DESC", *kinds, of=(stream.number, reached)):
            top = row[0]
            yield row
        for sequence in range(reached + 1, min(top, reached + _PROBES_AT_MOST)):
            yield from self._rows(sql + "= ?", *kinds, of=(stream.number, sequence))

    def tail(self, stream: OldStream) -> Iterator[tuple[list[UnitRecord], list[GapRecord]] | None]:
        """The open tail, append by append; None where one can't be read, or not be sealed."""
        layouts = self.units()
        for (body,) in self._rows("SELECT body FROM tail WHERE stream = ? ORDER BY id", object, of=(stream.number,)):
            try:
                records, gaps = decode_tail(body)
                fits = all(len(layouts[r.unit][1]) == len(r.values) == len(r.qualities) for r in records)
            except (msgspec.MsgspecError, KeyError, ValueError, TypeError):
                fits = False
            yield (records, gaps) if fits else None

    def _rows(self, sql: str, *kinds: type, of: tuple[int, ...] = ()) -> Iterator[tuple[Any, ...]]:
        try:
            for row in self._db.execute(sql, of):
                pairs = zip(row, kinds, strict=True)
                if all(isinstance(value, kind) and (kind is not int or _is_count(value)) for value, kind in pairs):
                    yield row
        except sqlite3.Error:
            return


def _is_count(value: object) -> bool:
    return isinstance(value, int) and 0 <= value <= _NUMBER_AT_MOST


def _count(value: object) -> int:
    """A count or, where none can be told, 0: names matter more than books."""
    return value if isinstance(value, int) and _is_count(value) else 0
