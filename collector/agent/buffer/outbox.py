# SPDX-License-Identifier: GPL-3.0-or-later
"""The sending side of the buffer: the next batch, and the effects of the center's answers.

Sealed bytes leave as they were stored. Acks free, conflicts open a new epoch, asks bring kept bytes back into a lane.
Everything here runs inside a transaction of the caller, except reading.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from collector.agent.buffer import lost_ranges
from collector.agent.buffer.buffer_file import FREED, PENDING, Ledger
from collector.agent.buffer.sealer import Sealer
from collector.base.errors import Garbled
from collector.base.text import tr
from collector.model.interval import DAY_MS
from collector.model.record import GapRecord
from collector.wire import CURABLE, FINAL, Ack, Ask, decode_batch, epoch_text, open_envelope
from collector.wire.batch import MAX_SEQUENCE

EPOCH_CONFLICT: Final = "epoch_conflict"
NO_RECORDS: Final = "no_records"
# Refusals by which the center did not recognise the batch as this plant's. They settle nothing there (anybody may send
# in a plant's name), and a key enrolled later makes the same bytes acceptable: the batch stays pending, with its code.
# So it does where its bytes changed on the way: nothing is freed on a broker's word.
UNRECOGNISED: Final = frozenset({"unknown_key", "bad_signature", "wrong_topic", "unknown_plant", "bad_checksum"})
_ASKED_AT_MOST: Final = 100_000
_GIVEN_UP_AT_ONCE: Final = 64
# Pending batches with any other code wait to be offered again, and the others pass them.
_IN_TURN: Final = f"(refused IS NULL OR refused IN ({', '.join(repr(code) for code in sorted(UNRECOGNISED))}))"


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A batch of this file; ordered as batches are sent. Streams are numbered in the order they were opened."""

    stream: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A sealed batch, ready to send."""

    position: Position
    plant: str
    epoch: int
    payload: bytes
    records: int


@dataclass(frozen=True, slots=True)
class AckOutcome:
    """The changes by an ack. `stream`: the one it was about, None where it was ignored.

    `freed`: settled positions; `refused`: those of them with a code other than a conflict. `unrecognised`: refused but
    still pending, because the center does not know us (yet). `put_off`: refused, pending, and to be offered again
    later, because the code is curable or unknown here. `is_earlier_store`: ignored, as another came after
    this store.
    """

    stream: int | None = None
    freed: tuple[Position, ...] = ()
    refused: tuple[tuple[Position, str], ...] = ()
    unrecognised: tuple[tuple[Position, str], ...] = ()
    put_off: tuple[tuple[Position, str], ...] = ()
    is_new_store: bool = False
    is_new_epoch: bool = False
    is_earlier_store: bool = False


class Outbox:
    """Sending state over a ledger. Only in memory: the last batch of each stream handed out since the file opened."""

    def __init__(self, ledger: Ledger, sealer: Sealer) -> None:
        self._ledger = ledger
        self._sealer = sealer
        # Batches handed over to a one-way device are stored for good: an ack carried back by a person may come years
        # later.
        self._handed: dict[int, int] = dict(
            ledger.db.execute("SELECT id, handed FROM streams WHERE handed > 0").fetchall()
        )

    def next_batch(self, plant: str, after: Position | None, up_to: Position | None = None) -> Position | None:
        """The first unsent batch of a plant after a position (B2: sealed and committed), None at the end.

        Batches that the center put off are skipped.
        """
        return self._next(plant, after, up_to, _IN_TURN)

    def next_put_off(self, plant: str, after: Position | None, up_to: Position | None) -> Position | None:
        """The first batch after a position that the center put off."""
        return self._next(plant, after, up_to, f"NOT {_IN_TURN}")

    def last_put_off(self, plant: str) -> Position | None:
        """The last batch of a plant that the center put off."""
        row = self._ledger.db.execute(
            "SELECT b.stream, b.sequence FROM batches b JOIN streams s ON s.id = b.stream WHERE s.plant = ?"
            f" AND s.conflicted = 0 AND b.state = 0 AND NOT {_IN_TURN} ORDER BY b.stream DESC, b.sequence DESC LIMIT 1",
            (plant,),
        ).fetchone()
        return None if row is None else Position(*row)

    def _next(self, plant: str, after: Position | None, up_to: Position | None, condition: str) -> Position | None:
        streams = self._ledger.db.execute(
            "SELECT id FROM streams WHERE plant = ? AND conflicted = 0 ORDER BY id", (plant,)
        ).fetchall()
        for (stream,) in streams:
            if (after and stream < after.stream) or (up_to and stream > up_to.stream):
                continue
            low = after.sequence if after and stream == after.stream else 0
            high = up_to.sequence if up_to and stream == up_to.stream else MAX_SEQUENCE
            row = self._ledger.db.execute(
                "SELECT sequence FROM batches WHERE stream = ? AND state = 0 AND sequence > ? AND sequence <= ?"
                f" AND {condition} ORDER BY sequence LIMIT 1",
                (stream, low, high),
            ).fetchone()
            if row is not None:
                return Position(stream, row[0])
        return None

    def newest(self, plant: str) -> Position:
        """The position of the batch last sealed; sequence 0 where there is none yet."""
        tail = self._sealer.tails[plant]
        return Position(tail.stream.id, tail.next_sequence - 1)

    def read(self, position: Position) -> Outgoing | None:
        """The stored bytes of a batch, None where it is gone (freed and dropped, evicted).

        Raises:
            Garbled: B7, the payload is not what was written.
        """
        row = self._ledger.db.execute(
            "SELECT b.payload, b.sha256, b.records, s.plant, s.epoch FROM batches b JOIN streams s ON s.id = b.stream"
            " WHERE b.stream = ? AND b.sequence = ?",
            (position.stream, position.sequence),
        ).fetchone()
        if row is None:
            return None
        payload, sha256, records, plant, epoch = row
        is_whole = isinstance(payload, bytes) and hashlib.sha256(payload).digest() == sha256
        if not is_whole or open_envelope(payload).sequence != position.sequence:
            raise Garbled(tr("the batch does not pass its checksum"), subject=f"{plant}/{epoch}/{position.sequence}")
        self._handed[position.stream] = max(position.sequence, self._handed.get(position.stream, 0))
        return Outgoing(position, plant, int(epoch, 16), payload, records)

    def last_handed_over(self, plant: str) -> Position | None:
        """The last batch of a plant handed over to a one-way device; so were all before it."""
        row = self._ledger.db.execute(
            "SELECT id, handed FROM streams WHERE plant = ? AND handed > 0 ORDER BY id DESC LIMIT 1", (plant,)
        ).fetchone()
        return None if row is None else Position(*row)

    def hand_over(self, plant: str, position: Position, keep_days: int) -> None:
        """Note that a batch was handed over to a one-way device, and give up batches kept long enough after that.

        By whole days, so that a few gap records name them.
        """
        db = self._ledger.db
        db.execute("UPDATE streams SET handed = max(handed, ?) WHERE id = ?", (position.sequence, position.stream))
        limit_ms = (self._sealer.now_ms - keep_days * DAY_MS) // DAY_MS * DAY_MS
        oldest = db.execute(
            "SELECT b.id, b.last_ms, b.sequence <= s.handed FROM batches b JOIN streams s ON s.id = b.stream"
            " WHERE s.plant = ? AND b.state = 0 ORDER BY b.stream, b.sequence LIMIT ?",
            (plant, _GIVEN_UP_AT_ONCE),
        ).fetchall()
        for number, last_ms, is_handed in oldest:
            if not is_handed or last_ms >= limit_ms:
                break
            self._sealer.remove(number, lost_ranges.UNCONFIRMED)
        self.tell_due(plant)

    def give_up(self, position: Position) -> None:
        """Remove a stored batch that fails its checksum, and name it in a gap record."""
        row = self._ledger.db.execute(
            "SELECT id FROM batches WHERE stream = ? AND sequence = ?", (position.stream, position.sequence)
        ).fetchone()
        if row is not None:
            self._sealer.remove(row[0], lost_ranges.UNREADABLE)

    def apply_ack(self, plant: str, ack: Ack) -> AckOutcome:
        """Free the batches that the present store has; see B3 and B8. A new store makes the rest unsent again."""
        found = self._ledger.db.execute(
            "SELECT id, heard_store FROM streams WHERE plant = ? AND epoch = ?", (plant, ack.epoch_hex)
        ).fetchone()
        if found is None:
            return AckOutcome()
        stream, heard_store = found
        known = self._ledger.db.execute("SELECT present FROM stores WHERE store_id = ?", (ack.store_id,)).fetchone()
        if known is not None and not known[0]:
            return AckOutcome(is_earlier_store=True)
        is_new_store = known is None and self._enter_store(ack.store_id)
        if heard_store != ack.store_id:
            self._ledger.db.execute("UPDATE streams SET heard_store = ? WHERE id = ?", (ack.store_id, stream))
            lost_ranges.due_to_new_store(self._ledger, stream, ack.through)
        kept = self._note_kept(stream, ack)
        conflicts, refused = self._refusals(stream, ack)
        freed = self._free(stream, [(1, ack.through), *ack.also], min(conflicts, default=MAX_SEQUENCE))
        if conflicts:
            self._take_back(stream, min(conflicts))
            self._end_epoch(plant, stream)
        self.tell_due(plant)
        return AckOutcome(
            stream=stream,
            freed=(*freed, *(position for position, _ in refused)),
            refused=tuple(refused),
            unrecognised=tuple((p, code) for p, code in kept if code in UNRECOGNISED),
            put_off=tuple((p, code) for p, code in kept if code not in UNRECOGNISED),
            is_new_store=is_new_store,
            is_new_epoch=bool(conflicts),
        )

    def _enter_store(self, store_id: str) -> bool:
        """Accept acks of this store from now on. False: it is the first one.

        Batches acknowledged by an earlier store are unsent again.
        """
        db = self._ledger.db
        is_first = db.execute("SELECT 1 FROM stores").fetchone() is None
        db.execute("UPDATE stores SET present = 0")
        db.execute("INSERT INTO stores (store_id, present) VALUES (?, 1)", (store_id,))
        for stream, batches, records in db.execute(
            "SELECT stream, count(*), sum(records) FROM batches WHERE state = 1 GROUP BY stream"
        ).fetchall():
            db.execute(
                "UPDATE streams SET freed = freed - ?, records_freed = records_freed - ? WHERE id = ?",
                (batches, records, stream),
            )
        # A refusal by another store does not hold for this one.
        db.execute("UPDATE batches SET refused = NULL, freed_ms = NULL WHERE state = 0 AND refused IS NOT NULL")
        # freed_ms stays: it shows that this batch was sent before, so that an ack may free it unsent.
        db.execute("UPDATE batches SET state = 0, refused = NULL WHERE state = 1")
        if not is_first:
            db.execute("UPDATE streams SET handed = 0")  # they were handed to a store that is gone
        return not is_first

    def _note_kept(self, stream: int, ack: Ack) -> list[tuple[Position, str]]:
        """Store the code of refused batches that stay pending: not recognised as ours, or put off.

        A newer center may settle a batch by a code that is unknown here. Such a batch gets a time in `freed_ms` while
        it is pending, and no later ack that merely covers its sequence frees it (B3): that center never had it.
        """
        found = []
        for sequence, code in ack.refused:
            if code == EPOCH_CONFLICT or code in FINAL:
                continue
            is_settled = ack.settles(sequence)
            if is_settled and (code in UNRECOGNISED or code in CURABLE):
                continue  # accepted since
            changed = self._ledger.db.execute(
                "UPDATE batches SET refused = ?, freed_ms = ?"
                " WHERE stream = ? AND sequence = ? AND state = 0 AND sequence <= ?",
                (code, self._sealer.now_ms if is_settled else None, stream, sequence, self._handed.get(stream, 0)),
            ).rowcount
            if changed:
                found.append((Position(stream, sequence), code))
        return found

    def _refusals(self, stream: int, ack: Ack) -> tuple[list[int], list[tuple[Position, str]]]:
        """Sequences in conflict, pending again; and the other refused ones, freed with their code."""
        conflicts, refused = [], []
        for sequence, code in ack.refused:
            if code != EPOCH_CONFLICT and code not in FINAL:
                continue
            row = self._ledger.db.execute(
                "SELECT id, state, records FROM batches WHERE stream = ? AND sequence = ?"
                " AND (sequence <= ? OR freed_ms IS NOT NULL)",
                (stream, sequence, self._handed.get(stream, 0)),
            ).fetchone()
            if row is None:
                continue
            number, state, records = row
            if code == EPOCH_CONFLICT:
                conflicts.append(sequence)
                if state == FREED:  # freed by an ack that was meant for other bytes of the same name
                    self._set_state(number, stream, records, PENDING, None)
            elif state == PENDING:
                refused.append((Position(stream, sequence), code))
                self._set_state(number, stream, records, FREED, code)
        return conflicts, refused

    def _set_state(self, number: int, stream: int, records: int, state: int, code: str | None) -> None:
        sign = 1 if state == FREED else -1
        self._ledger.db.execute(
            "UPDATE batches SET state = ?, refused = ?, freed_ms = ? WHERE id = ?",
            (state, code, self._sealer.now_ms, number),
        )
        self._ledger.db.execute(
            "UPDATE streams SET freed = freed + ?, records_freed = records_freed + ? WHERE id = ?",
            (sign, sign * records, stream),
        )

    def _take_back(self, stream: int, first: int) -> None:
        """Make freed batches pending again from the first conflict on: their acks may have been for other bytes."""
        rows = self._ledger.db.execute(
            "SELECT id, records FROM batches WHERE stream = ? AND state = 1 AND sequence >= ?", (stream, first)
        ).fetchall()
        for number, records in rows:
            self._set_state(number, stream, records, PENDING, None)

    def _free(self, stream: int, ranges: list[tuple[int, int]], below: int) -> list[Position]:
        """B3: free the pending batches of the ranges that were handed out (B8: others are not known to the center).

        `below`: the first conflict; from there on the center may have another machine's batches under our names.
        """
        freed = []
        for first, last in ranges:
            rows = self._ledger.db.execute(
                "SELECT id, sequence, records FROM batches WHERE stream = ? AND state = 0 AND sequence BETWEEN ? AND ?"
                " AND (sequence <= ? OR freed_ms IS NOT NULL) AND (refused IS NULL OR freed_ms IS NULL)",
                (stream, first, last, self._handed.get(stream, 0)),
            ).fetchall()
            for number, sequence, records in rows:
                if sequence < below:
                    self._set_state(number, stream, records, FREED, None)
                    freed.append(Position(stream, sequence))
        return freed

    def _end_epoch(self, plant: str, stream: int) -> None:
        """Open a new epoch for pending batches: another file (a cloned disk) sends under our name."""
        self._ledger.db.execute("UPDATE streams SET conflicted = 1 WHERE id = ?", (stream,))
        if self._sealer.tails[plant].stream.id == stream:
            self.start_epoch(plant)

    def start_epoch(self, plant: str) -> None:
        """Seal the open tail, then go on in a stream with a new epoch and sequence 1."""
        self._sealer.seal(plant)
        tail = self._sealer.tails[plant]
        tail.stream, tail.next_sequence = self._ledger.add_stream(plant), 1

    def reseal_some(self, plant: str, limit: int) -> int:
        """Seal up to `limit` batches of conflicted epochs again in the present epoch; returns the number."""
        rows = self._ledger.db.execute(
            "SELECT b.id, b.stream, b.sequence, b.payload FROM batches b JOIN streams s ON s.id = b.stream"
            " WHERE s.plant = ? AND s.conflicted = 1 AND b.state = 0 ORDER BY b.stream, b.sequence LIMIT ?",
            (plant, limit),
        ).fetchall()
        if rows:
            self._sealer.seal(plant)
        for number, stream, sequence, payload in rows:
            self._reseal(plant, number, Position(stream, sequence), payload)
        return len(rows)

    def divide(self, position: Position) -> bool:
        """Seal a pending batch again in parts within the limit; False where it can't be divided or isn't pending."""
        row = self._ledger.db.execute(
            "SELECT b.id, b.payload, s.plant FROM batches b JOIN streams s ON s.id = b.stream"
            " WHERE b.stream = ? AND b.sequence = ? AND b.state = 0"
            " AND (b.records > 1 OR b.records = 1 AND b.gaps > 0)",
            (position.stream, position.sequence),
        ).fetchone()
        if row is None:
            return False
        number, payload, plant = row
        self._sealer.seal(plant)  # sequences follow the order of recording (B4)
        self._reseal(plant, number, position, payload)
        return True

    def _reseal(self, plant: str, number: int, position: Position, payload: bytes) -> None:
        """Give the content of a stored batch the next sequences of the plant's stream; its old one is a lost range."""
        try:
            batch = decode_batch(open_envelope(payload))
        except Garbled:
            self._sealer.remove(number, lost_ranges.UNREADABLE)
            return
        layouts = {layout.unit: layout for layout in batch.layouts}
        tail = self._sealer.tails[plant]
        given = self._sealer.seal_batch(tail, batch.records, batch.gaps, layouts)
        lost_ranges.retell(self._ledger, (position.stream, position.sequence), (tail.stream.id, given))
        self._sealer.remove(number, lost_ranges.RESEALED)

    def tell_due(self, plant: str) -> None:
        """Put gap records for the due lost ranges into the open tail; they go with the next batch."""
        tail = self._sealer.tails[plant]
        epochs = {row.id: row.stream.epoch for row in self._ledger.streams()}
        rows = lost_ranges.due(self._ledger, plant)
        for row in rows:
            lost_ranges.tell(self._ledger, row, tail.stream.id, tail.next_sequence)
            self._sealer.add_gaps(plant, [row.gap(epochs[row.stream])])
            if tail.is_full_of_gaps:
                self._sealer.seal(plant)
                return  # rows may have been joined meanwhile; the rest follows with the next ack

    def answer(self, ask: Ask) -> list[Position]:
        """Batches that answer an ask, in the order of the asked lane; a gap record answers for missing ones."""
        self._sealer.seal(ask.plant)
        streams = {row.id: row.stream for row in self._ledger.streams() if row.stream.plant == ask.plant}
        if ask.epoch is not None:
            found, rows = self._by_sequence(
                ask, [i for i, s in streams.items() if epoch_text(s.epoch) == ask.epoch_hex]
            )
        else:
            found, rows = self._by_time(ask, list(streams))
        tail = self._sealer.tails[ask.plant]
        gaps = [row.gap(streams[row.stream].epoch) for row in rows]
        if not found and not gaps and ask.unit is not None and ask.from_ms is not None and ask.to_ms is not None:
            gaps = [GapRecord((ask.unit,), ask.from_ms, ask.to_ms, NO_RECORDS)]
        for number, gap in enumerate(gaps, 1):
            self._sealer.add_gaps(ask.plant, [gap])
            if tail.is_full_of_gaps or number == len(gaps):
                found.append(Position(tail.stream.id, tail.next_sequence))
                self._sealer.seal(ask.plant)
        return found

    def _by_sequence(self, ask: Ask, streams: list[int]) -> tuple[list[Position], list[lost_ranges.LostRange]]:
        found: list[Position] = []
        rows: list[lost_ranges.LostRange] = []
        for stream in streams:
            for first, last in ask.sequences:
                kept = self._ledger.db.execute(
                    "SELECT sequence FROM batches WHERE stream = ? AND sequence BETWEEN ? AND ?"
                    " ORDER BY sequence LIMIT ?",
                    (stream, first, last, _ASKED_AT_MOST),
                )
                found += [Position(stream, sequence) for (sequence,) in kept]
                rows += [r for r in lost_ranges.overlapping(self._ledger, stream, first, last) if r not in rows]
        return sorted(set(found)), rows

    def _by_time(self, ask: Ask, streams: list[int]) -> tuple[list[Position], list[lost_ranges.LostRange]]:
        unit, from_ms, to_ms = ask.unit or "", ask.from_ms or 0, ask.to_ms or 0
        marks = ",".join("?" * len(streams))
        kept = self._ledger.db.execute(
            f"SELECT stream, sequence FROM batches WHERE stream IN ({marks}) AND first_ms < ? AND last_ms >= ?"
            " AND instr(',' || units || ',', ?) ORDER BY stream, sequence LIMIT ?",
            (*streams, to_ms, from_ms, f",{unit},", _ASKED_AT_MOST),
        )
        found = [Position(*row) for row in kept]
        return found, lost_ranges.in_time(self._ledger, streams, unit, from_ms, to_ms)
