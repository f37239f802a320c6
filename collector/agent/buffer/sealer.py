# SPDX-License-Identifier: GPL-3.0-or-later
"""Open tails and their sealing: rows of ticks become numbered, signed, compressed batches; the oldest make room.

Each plant has one open tail: the records since its last batch, as one small row per append in the file, and the same
bytes in memory. Everything here runs inside a transaction of the caller; after one that failed, `load` again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import msgspec

from collector.agent.buffer import lost_ranges
from collector.agent.buffer.buffer_file import FREED, Ledger, StreamRow
from collector.base.clock_state import ClockState
from collector.base.errors import Garbled
from collector.model.interval import HOUR_MS
from collector.model.record import Cause, GapRecord, Quality, UnitLayout, UnitRecord
from collector.points import agent_config
from collector.wire import Batch, Signer, decode_batch, encode_batch, open_envelope
from collector.wire.batch import MAX_TIME_MS, MAX_UNITS

_DROPS_PER_SEAL: Final = 64  # expired payloads are removed a few at a time
_EVICTIONS_PER_SEAL: Final = 4096
_GAPS_PER_BATCH: Final = 1024  # gaps of units; a center takes four times as many
_BYTES_PER_GAP: Final = 100  # an upper bound: a gap of one unit with the longest id, not compressed
MAX_ERA: Final = 0xFFFF


class _TailRecord(msgspec.Struct, frozen=True, array_like=True):
    """A unit record in the tail."""

    unit: str
    time_utc_ms: int
    values: tuple[int | None, ...]
    qualities: bytes
    cause: int
    era: int
    clock: int
    device_time_utc_ms: int | None


class _Append(msgspec.Struct, frozen=True, array_like=True):
    """One append of one plant."""

    records: list[_TailRecord]
    gaps: list[GapRecord]


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_Append)
_QUALITIES: Final = {q.value: q for q in Quality}
_CAUSES: Final = {c.value: c for c in Cause}
_CLOCKS: Final = {c.value: c for c in ClockState}


def encode_tail(records: Iterable[UnitRecord], gaps: Sequence[GapRecord]) -> bytes:
    """One append of one plant as a row of the tail."""
    rows = [
        _TailRecord(r.unit, r.time_utc_ms, r.values, bytes(r.qualities), r.cause, r.era, r.clock, r.device_time_utc_ms)
        for r in records
    ]
    return _ENCODER.encode(_Append(rows, list(gaps)))


def decode_tail(body: bytes) -> tuple[list[UnitRecord], list[GapRecord]]:
    """Decode a row of the tail.

    Raises:
        msgspec.MsgspecError, KeyError, ValueError: the row is damaged.
    """
    content = _DECODER.decode(body)
    records = [
        UnitRecord(
            row.unit,
            row.time_utc_ms,
            row.values,
            _qualities(row.qualities),
            _CAUSES[row.cause],
            row.era,
            _CLOCKS[row.clock],
            row.device_time_utc_ms,
        )
        for row in content.records
    ]
    return records, content.gaps


def check_tail(
    records: Iterable[UnitRecord], layouts: Mapping[str, UnitLayout], last: Mapping[str, tuple[int, int]]
) -> None:
    """Check records of the tail, which has no checksum: they must follow `last`, (era, time) of each unit.

    Raises:
        KeyError, ValueError: the row is damaged.
    """
    reached = dict(last)
    for record in records:
        now = record.era, record.time_utc_ms
        if not len(layouts[record.unit].quantities) == len(record.values) == len(record.qualities):
            raise ValueError(f"a record does not fit the layout of {record.unit}")
        if not (0 <= now[0] <= MAX_ERA and 0 <= now[1] <= MAX_TIME_MS and reached.get(record.unit, (-1, 0)) < now):
            raise ValueError(f"a record of {record.unit} does not follow the one before it")
        reached[record.unit] = now


# Thousands of successive records have the same value here.
@lru_cache(1024)
def _qualities(codes: bytes) -> tuple[Quality, ...]:
    return tuple(_QUALITIES[code] for code in codes)


# Most units of a gateway have the same layout.
@lru_cache(64)
def _names(quantities: str) -> tuple[str, ...]:
    return tuple(q for q in quantities.split(",") if q)


@dataclass
class Tail:
    """The open tail of a plant: the records since its last batch. `first_ms`: of its first record, None without any.

    `count`: of its records; they themselves are in the file only. `appends`: of its rows.
    """

    stream: StreamRow
    next_sequence: int
    count: int = 0
    appends: int = 0
    gaps: list[GapRecord] = field(default_factory=list)
    first_ms: int | None = None
    most_gaps: int = _GAPS_PER_BATCH

    @property
    def is_full_of_gaps(self) -> bool:
        """True if no more gaps should go into its batch."""
        return sum(max(1, len(gap.units)) for gap in self.gaps) >= self.most_gaps

    def extend(self, records: Sequence[UnitRecord], gaps: Sequence[GapRecord]) -> None:
        """Add the records and gaps of one append."""
        self.appends += 1
        if records:
            if self.first_ms is None:
                self.first_ms = min(r.time_utc_ms for r in records)
            self.count += len(records)
        self.gaps.extend(gaps)


class Sealer:
    """The tails of all plants of a ledger, and their sealing into batches.

    `now_ms`: newest record time seen, UTC ms. `batches_made`: batches sealed by this object. `limit_bytes`: largest
    payload to make, where a batch can be divided at all.
    """

    def __init__(
        self, ledger: Ledger, settings: agent_config.BufferConfig, signers: Mapping[str, Signer | None], *, now_ms: int
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._signers = signers
        self.now_ms = now_ms
        self.limit_bytes = settings.batch_max_bytes
        self.batches_made = 0
        self.layouts: dict[str, UnitLayout] = {}
        self.tails: dict[str, Tail] = {}
        self.last: dict[str, tuple[int, int]] = {}

    def load(self) -> None:
        """Read layouts, tails and last times from the file into memory.

        Raises:
            msgspec.MsgspecError, KeyError, ValueError: what was read can't be what one commit left.
        """
        self.layouts.clear()
        self.tails.clear()
        self.last.clear()
        for unit, quantities, era, time_utc_ms in self._ledger.db.execute(
            "SELECT unit, quantities, era, time_utc_ms FROM units"
        ):
            self.layouts[unit] = UnitLayout(unit, _names(quantities))
            if time_utc_ms is not None:
                if not (0 <= era <= MAX_ERA and 0 <= time_utc_ms <= MAX_TIME_MS):
                    raise ValueError(f"(era, time) of the last record of {unit} is out of bounds")
                self.last[unit] = (era, time_utc_ms)
        for row in self._ledger.streams():
            if row.current:
                following = self._ledger.value("SELECT next_sequence FROM streams WHERE id = ?", row.id)
                tail = self.tails[row.stream.plant] = Tail(row, following, most_gaps=self._most_gaps())
                reached: dict[str, tuple[int, int]] = {}
                for sequence, place, body in self._ledger.db.execute(
                    "SELECT for_sequence, place, body FROM tail WHERE stream = ? ORDER BY id", (row.id,)
                ):
                    if place is not None and (sequence, place) != (following, tail.appends):
                        raise ValueError(f"append {place} of batch {sequence} lies in the tail of batch {following}")
                    records, gaps = decode_tail(body)
                    check_tail(records, self.layouts, reached)
                    tail.extend(records, gaps)
                    reached.update((r.unit, (r.era, r.time_utc_ms)) for r in records)
                self.last.update(reached)
                lost_ranges.require_told(self._ledger, row, following, tail.gaps)

    def limit(self, limit_bytes: int) -> None:
        """Make no larger payloads from now on; batches sealed before are left as they are."""
        self.limit_bytes = limit_bytes
        for tail in self.tails.values():
            tail.most_gaps = self._most_gaps()

    def _most_gaps(self) -> int:
        return min(_GAPS_PER_BATCH, max(1, self.limit_bytes // _BYTES_PER_GAP))

    def add(self, plant: str, records: Sequence[UnitRecord], gaps: Sequence[GapRecord]) -> None:
        """Append to a plant's tail; seals it before if its age is reached, and after if count or a change say so."""
        settings = self._settings
        tail = self.tails[plant]
        if records and tail.first_ms is not None:
            age_ms = max(r.time_utc_ms for r in records) - tail.first_ms
            if age_ms >= settings.batch_max_age_s * 1000 or age_ms < 0:
                self.seal(plant)
        self._append(tail, records, gaps)
        changed = settings.seal_on_change and any(r.cause is Cause.CHANGE for r in records)
        if changed or tail.count >= settings.batch_max_records or tail.is_full_of_gaps:
            self.seal(plant)

    def open_records(self, plant: str) -> list[UnitRecord]:
        """The records of a plant's tail, in the order of recording.

        Raises:
            Damaged: the file does not return what was written to it.
        """
        stream = self.tails[plant].stream.id
        records: list[UnitRecord] = []
        try:
            for (body,) in self._ledger.db.execute("SELECT body FROM tail WHERE stream = ? ORDER BY id", (stream,)):
                records += decode_tail(body)[0]
        except (msgspec.MsgspecError, KeyError, ValueError, TypeError) as error:
            raise self._ledger.damaged(f"the open tail can't be read: {error}") from error
        if len(records) != self.tails[plant].count:
            raise self._ledger.damaged(f"the open tail has {len(records)} records, not {self.tails[plant].count}")
        return records

    def seal(self, plant: str) -> None:
        """Close a plant's tail into a batch; no effect where the tail is empty."""
        tail = self.tails[plant]
        if not (tail.count or tail.gaps):
            return
        records, gaps = self.open_records(plant), tail.gaps
        self._ledger.db.execute("DELETE FROM tail WHERE stream = ?", (tail.stream.id,))
        tail.count, tail.appends, tail.gaps, tail.first_ms = 0, 0, [], None
        self.seal_batch(tail, records, gaps)
        place = tail.stream.id, tail.next_sequence - 1
        last = {r.unit: (r.era, r.time_utc_ms, *place, r.unit) for r in records}
        self._ledger.db.executemany(
            "UPDATE units SET era = ?, time_utc_ms = ?, last_stream = ?, last_sequence = ? WHERE unit = ?",
            last.values(),
        )
        self._drop_expired()
        self.make_room()

    def seal_batch(
        self,
        tail: Tail,
        records: Sequence[UnitRecord],
        gaps: Sequence[GapRecord],
        known: Mapping[str, UnitLayout] | None = None,
    ) -> int:
        """Seal records under the next sequence; returns it.

        Records or units that are too many or too large for one batch take several sequences; the first is returned.
        `known`: the layouts of records that come from an older batch.
        """
        units = sorted({r.unit for r in records})
        sequence = tail.next_sequence
        if len(units) > MAX_UNITS:
            first = set(units[:MAX_UNITS])
            self.seal_batch(tail, [r for r in records if r.unit in first], gaps, known)
            self.seal_batch(tail, [r for r in records if r.unit not in first], (), known)
            return sequence
        layouts = tuple((known or self.layouts)[unit] for unit in units)
        batch = Batch(tail.stream.stream, sequence, layouts, tuple(records), tuple(gaps))
        first_part = len(records) // 2
        is_divisible = len(records) > 1 or (len(records) == 1 and bool(gaps))
        try:
            payload = encode_batch(batch, self._signers.get(tail.stream.stream.plant))
        except Garbled:
            if not is_divisible:
                raise
            payload = b""
        if is_divisible and (not payload or len(payload) > self.limit_bytes):
            # All gaps in one batch: lost ranges refer to the one batch that tells of them.
            self.seal_batch(tail, records[:first_part], gaps, known)
            self.seal_batch(tail, records[first_part:], (), known)
            return sequence
        self._store(tail.stream.id, sequence, payload, sorted({*units, *(u for g in gaps for u in g.units)}), len(gaps))
        tail.next_sequence = sequence + 1
        return sequence

    def _store(self, stream: int, sequence: int, payload: bytes, units: Sequence[str], gaps: int) -> None:
        head = open_envelope(payload)
        self.batches_made += 1
        self._ledger.db.execute(
            "INSERT INTO batches (stream, sequence, state, first_ms, last_ms, records, gaps, units, sha256, payload)"
            " VALUES (?, ?, 0, ?, ?, ?, ?, ?, ?, ?)",
            (
                stream,
                sequence,
                head.first_ms,
                head.last_ms,
                head.record_count,
                gaps,
                ",".join(units),
                hashlib.sha256(payload).digest(),
                payload,
            ),
        )
        self._ledger.db.execute(
            "UPDATE streams SET next_sequence = ?, sealed = sealed + 1,"
            " records_sealed = records_sealed + ? WHERE id = ?",
            (sequence + 1, head.record_count, stream),
        )

    def _drop_expired(self) -> None:
        """Remove payloads of freed batches after `keep_after_ack_h`."""
        limit = self.now_ms - self._settings.keep_after_ack_h * HOUR_MS
        rows = self._ledger.db.execute(
            "SELECT id FROM batches WHERE state = 1 AND freed_ms < ? ORDER BY freed_ms LIMIT ?",
            (limit, _DROPS_PER_SEAL),
        ).fetchall()
        for (number,) in rows:
            self.remove(number, lost_ranges.EVICTED)

    def make_room(self) -> None:
        """B5: over the size limit remove the oldest batches: acknowledged ones first, then others.

        The center will be told of the others.
        """
        for _ in range(_EVICTIONS_PER_SEAL):
            if self._ledger.used_bytes() <= self._settings.max_bytes:
                return
            row = self._ledger.db.execute(
                "SELECT id FROM batches WHERE state = 1 ORDER BY freed_ms, id LIMIT 1"
            ).fetchone()
            if row is not None:
                self.remove(row[0], lost_ranges.EVICTED)
                continue
            row = self._ledger.db.execute(
                "SELECT b.id, b.sequence <= s.handed FROM batches b JOIN streams s ON s.id = b.stream"
                " WHERE b.id < (SELECT max(id) FROM batches) ORDER BY b.id LIMIT 1"
            ).fetchone()
            if row is None:
                return
            self.remove(row[0], lost_ranges.UNCONFIRMED if row[1] else lost_ranges.EVICTED)

    def remove(self, number: int, reason: str) -> None:
        """Remove a batch from the file: a freed one is only noted, a pending one is lost for `reason` and due."""
        db = self._ledger.db
        stream, sequence, state, first_ms, last_ms, records, gaps, units = db.execute(
            "SELECT stream, sequence, state, first_ms, last_ms, records, gaps, units FROM batches WHERE id = ?",
            (number,),
        ).fetchone()
        # A batch handed over to a one-way device has delivered its gaps and lost ranges.
        keeps_word = reason in (lost_ranges.RESEALED, lost_ranges.UNCONFIRMED)
        carried = self._plain_gaps(number) if gaps and state != FREED and not keeps_word else []
        db.execute("DELETE FROM batches WHERE id = ?", (number,))
        if state == FREED:
            reason = lost_ranges.NOT_KEPT
        elif reason == lost_ranges.UNCONFIRMED:
            db.execute(
                "UPDATE streams SET unconfirmed = unconfirmed + 1, records_unconfirmed = records_unconfirmed + ?"
                " WHERE id = ?",
                (records, stream),
            )
        else:
            resealed = records if reason == lost_ranges.RESEALED else 0
            db.execute(
                "UPDATE streams SET evicted = evicted + 1, records_evicted = records_evicted + ?,"
                " records_resealed = records_resealed + ? WHERE id = ?",
                (records - resealed, resealed, stream),
            )
            if reason != lost_ranges.RESEALED:
                lost_ranges.untell(self._ledger, stream, sequence)
        span = (first_ms, first_ms) if reason == lost_ranges.RESEALED else (first_ms, last_ms + 1)
        if reason == lost_ranges.UNREADABLE:
            span = self._between_neighbours(stream, sequence, span)
        units = "" if reason == lost_ranges.RESEALED else units
        lost_ranges.add(
            self._ledger, stream, (sequence, sequence), span, units, reason, due=reason != lost_ranges.NOT_KEPT
        )
        for gap in carried:
            self._carry(stream, sequence, gap)

    def _between_neighbours(self, stream: int, sequence: int, span: tuple[int, int]) -> tuple[int, int]:
        """The span of an unreadable batch, or all time between the batches around it where its row can't be right.

        No checksum covers the times of a row, and what spoilt the payload may have spoilt them too.
        """
        row = self._ledger.db.execute(
            "SELECT"
            " (SELECT last_ms + 1 FROM batches WHERE stream = ?1 AND sequence < ?2 ORDER BY sequence DESC LIMIT 1),"
            " (SELECT first_ms FROM batches WHERE stream = ?1 AND sequence > ?2 ORDER BY sequence LIMIT 1)",
            (stream, sequence),
        ).fetchone()
        low, high = row[0] or 0, row[1] or self.now_ms + 1
        if low <= span[0] <= span[1] <= high:
            return span
        return min(low, high), max(low, high)

    def _plain_gaps(self, number: int) -> list[GapRecord]:
        """The agent's own gaps inside a batch that is removed: they must be kept."""
        payload = self._ledger.value("SELECT payload FROM batches WHERE id = ?", number)
        try:
            return [g for g in decode_batch(open_envelope(payload)).gaps if g.from_seq is None]
        except (Garbled, TypeError):  # the payload of a damaged row may not even be bytes
            return []

    def _carry(self, stream: int, sequence: int, gap: GapRecord) -> None:
        """Keep a gap of a removed batch, unless the lost range of that batch covers it."""
        for row in lost_ranges.overlapping(self._ledger, stream, sequence, sequence):
            if row.from_ms <= gap.from_ms and gap.to_ms <= row.to_ms and set(gap.units) <= set(row.units.split(",")):
                return
        plant = self._ledger.value("SELECT plant FROM streams WHERE id = ?", stream)
        tail = self.tails.get(plant)
        if tail is not None and gap not in tail.gaps:
            self.add_gaps(plant, [gap])

    def add_gaps(self, plant: str, gaps: Sequence[GapRecord]) -> None:
        """Put gap records into the open tail without sealing it."""
        self._append(self.tails[plant], (), gaps)

    def _append(self, tail: Tail, records: Sequence[UnitRecord], gaps: Sequence[GapRecord]) -> None:
        gaps = [lost_ranges.within_reach(gap, self.now_ms) for gap in gaps]
        body = encode_tail(records, gaps)
        self._ledger.db.execute(
            "INSERT INTO tail (stream, records, body, for_sequence, place) VALUES (?, ?, ?, ?, ?)",
            (tail.stream.id, len(records), body, tail.next_sequence, tail.appends),
        )
        tail.extend(records, gaps)
