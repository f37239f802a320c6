# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a damaged buffer file as far as possible. Nothing in it is accepted unchecked.

A flipped bit may turn a number into a text, a row's name into another, a count into an astronomical one, and still
leave a file that SQLite opens: each row is checked for types and bounds and left out where it does not pass, and an
unreadable page ends the reading of a table, not the salvage. Batches that no table leads to any more are searched for
in the raw pages (`page_scan.py`); they name their stream themselves.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec

from collector.agent.buffer.page_scan import find_payloads
from collector.agent.buffer.sealer import check_tail, decode_tail
from collector.base.errors import CollectorError, Garbled
from collector.model.record import GapRecord, UnitLayout, UnitRecord
from collector.wire import Stream, decode_batch, is_name, open_envelope
from collector.wire.batch import MAX_TIME_MS
from collector.wire.body import QUANTITY_CODES
from collector.wire.records import encode_body

_NUMBER_AT_MOST: Final = 1 << 48  # for milliseconds, sequences and counts alike; sums stay exact in the file
_PROBES_AT_MOST: Final = 100_000
_NO_ROW: Final = -1  # the number of a stream whose row is gone


@dataclass(frozen=True, slots=True)
class OldStream:
    """A stream from its row. `counts`: records sealed, freed, evicted, resealed."""

    number: int
    stream: Stream
    current: bool
    following: int
    counts: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class OldBatch:
    """A batch with an intact payload that belongs to its stream. `freed_ms`: 0 where it was never freed."""

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
    """The damaged file, opened for reading; `close` it afterwards."""

    def __init__(self, path: Path, gateway: str) -> None:
        self._path = path
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.text_factory = lambda raw: raw.decode("utf-8", "replace")
        with suppress(sqlite3.Error):
            # Without this, a truncated file is refused as a whole.
            self._db.execute("PRAGMA writable_schema = ON")
        self._gateway = gateway
        self._stray: dict[Stream, dict[int, OldBatch]] | None = None

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def stores(self) -> list[tuple[str, int]]:
        """Each store: (store_id, whether it is the present one)."""
        return [row for row in self._rows("SELECT store_id, present FROM stores", str, int) if is_name(row[0])]

    def recorded(self) -> tuple[int, int]:
        """Records and gaps ever appended; 0 where unreadable."""
        return next(
            ((a, b) for a, b in self._rows("SELECT records, gaps FROM recorded WHERE id = 1", int, int)), (0, 0)
        )

    def units(self) -> dict[str, tuple[str, tuple[str, ...]]]:
        """Per unit its plant and the quantities that its open records carry."""
        found = {}
        for unit, plant, text in self._rows("SELECT unit, plant, quantities FROM units", str, str, str):
            quantities = tuple(q for q in text.split(",") if q)
            if is_name(unit) and is_name(plant) and all(q in QUANTITY_CODES for q in quantities):
                found[unit] = plant, quantities
        return found

    def streams(self) -> list[OldStream]:
        """Every stream with a readable name, once."""
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
        return [*found.values(), *self._strays(found)]

    def _strays(self, found: Mapping[Stream, OldStream]) -> Iterator[OldStream]:
        """Streams of which only batches are left; the stream that a plant filled last was its current one."""
        current = {stream.plant for stream, old in found.items() if old.current}
        stray = [s for s in self._stray_batches() if s not in found and s.gateway == self._gateway]
        for stream in sorted(stray, key=lambda s: -max(b.last_ms for b in self._stray_batches()[s].values())):
            yield OldStream(_NO_ROW, stream, stream.plant not in current, 0, (0, 0, 0, 0))
            current.add(stream.plant)

    def _stray_batches(self) -> dict[Stream, dict[int, OldBatch]]:
        """Whole batches in the raw pages by stream and sequence; without payloads, which may be gigabytes."""
        if self._stray is None:
            self._stray = {}
            for payload in find_payloads(self._path):
                if (found := _opened(payload)) is not None:
                    stream, batch = found
                    self._stray.setdefault(stream, {})[batch.sequence] = replace(batch, payload=b"")
        return self._stray

    def lost(self, stream: OldStream) -> list[OldLost]:
        """The ranges that had left the file, in order."""
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
        """Whole batches, read from both ends and by number, so that a bad page costs only its own content."""
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
        if not self._stray_batches().get(stream.stream, {}).keys() <= seen:
            for payload in find_payloads(self._path):
                found = _opened(payload)
                if found is not None and found[0] == stream.stream and found[1].sequence not in seen:
                    seen.add(found[1].sequence)
                    yield found[1]

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

    def tail(self, stream: OldStream, following: int) -> Iterator[tuple[list[UnitRecord], list[GapRecord]] | None]:
        """The open tail, append by append; None for any number that are missing, can't be read, or not be sealed.

        `following`: the sequence after the last batch known; a tail of a later one does not follow it.
        """
        layouts = {
            unit: UnitLayout(unit, names)
            for unit, (plant, names) in self.units().items()
            if plant == stream.stream.plant
        }
        last: dict[str, tuple[int, int]] = {}
        expected = following, 0
        for sequence, place, body in self._rows(
            "SELECT coalesce(for_sequence, 0), coalesce(place, 0), body FROM tail WHERE stream = ? ORDER BY id",
            int, int, object, of=(stream.number,),
        ):  # fmt: skip
            if sequence and (sequence, place) > expected:
                yield None
            expected = sequence, place + 1
            try:
                records, gaps = decode_tail(body)
                check_tail(records, layouts, last)
                if not all(_is_sound(gap, layouts) for gap in gaps):
                    raise ValueError("a gap that nobody could have recorded")
                encode_body([layouts[unit] for unit in sorted({r.unit for r in records})], records, gaps)
            except (msgspec.MsgspecError, KeyError, ValueError, TypeError, OverflowError, CollectorError):
                yield None
            else:
                last.update((r.unit, (r.era, r.time_utc_ms)) for r in records)
                yield records, gaps

    def _rows(self, sql: str, *kinds: type, of: tuple[int, ...] = ()) -> Iterator[tuple[Any, ...]]:
        try:
            for row in self._db.execute(sql, of):
                pairs = zip(row, kinds, strict=True)
                if all(isinstance(value, kind) and (kind is not int or _is_count(value)) for value, kind in pairs):
                    yield row
        except sqlite3.Error:
            return


def _opened(payload: bytes) -> tuple[Stream, OldBatch] | None:
    """Decode a payload found without its row: it contains all facts of the row except whether it was freed."""
    try:
        batch = decode_batch(head := open_envelope(payload))
    except Garbled:
        return None
    units = sorted({layout.unit for layout in batch.layouts} | {unit for gap in batch.gaps for unit in gap.units})
    return head.stream, OldBatch(
        head.sequence, head.first_ms, head.last_ms, head.record_count, len(batch.gaps), ",".join(units), payload, 0
    )


def _is_sound(gap: GapRecord, layouts: Mapping[str, UnitLayout]) -> bool:
    """True if the center can accept a gap: one unknown name would make it refuse the whole batch."""
    numbers = (gap.from_ms, gap.to_ms, gap.from_seq or 0, gap.to_seq or 0)
    return (
        is_name(gap.reason)
        and all(unit in layouts for unit in gap.units)
        and all(map(_is_count, numbers))
        and gap.from_ms <= gap.to_ms <= MAX_TIME_MS
        and (gap.epoch is None or 0 <= gap.epoch < 1 << 64)
    )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and 0 <= value <= _NUMBER_AT_MOST


def _count(value: object) -> int:
    """A count or, where it is unreadable, 0: names matter more than books."""
    return value if isinstance(value, int) and _is_count(value) else 0
