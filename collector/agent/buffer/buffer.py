# SPDX-License-Identifier: GPL-3.0-or-later
"""Step 3, buffer: records on disk until the center itself acknowledges them.

One file per gateway, in it one stream of batches per plant and epoch. Tests are named after these invariants:

B1 Sequences of an epoch start at 1, only grow, are never reused, also after delete and restart; a new file opens a new
   epoch.
B2 What is not committed is not sent. B3 A batch is freed only by an ack of the present store that covers its sequence.
(The one exception: where a one-way
   device lets no ack back, a batch handed over is given up after `uplink.keep_days`, and a gap record says
   `unconfirmed`.)
B4 Each lane (live, backlog, asked, put off) is sent in sequence order. B5 At the size limit the oldest is evicted and a
gap record names it, never silently. B6 sealed = freed + pending + evicted + unconfirmed per epoch, checked at open.
(Evicted counts whatever left
   unacknowledged: for room, unreadable, or sealed again under another epoch.)
B7 A batch read back passes the checksum it was written with. B8 An ack for an unknown epoch or sequence changes
nothing. (A sequence is known to the center once it was handed out
   since the file was opened: an ack for a later sequence was meant for a clone of this disk. After a restart this costs
   at most one repeat of the batches in flight.)
B9 Within a clock era the times of a unit strictly grow. B10 One process writes the file: the last one that opened it.
An earlier one stops before its next write.

WAL, `synchronous=FULL`, one transaction per tick, one writer. Synchronous and thread-safe: call it from worker threads,
never from the loop (in simulated time, which waits for it, from there too). The parts: `buffer_file.py` the file,
`sealer.py` tails into batches, `outbox.py` sending and acks, `lost_ranges.py` lost sequences, `salvage.py` a damaged
file, `counts.py` the books.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from collector.agent.buffer import salvage
from collector.agent.buffer.buffer_file import Damaged, Ledger, Lock
from collector.agent.buffer.counts import Counts, compute_counts
from collector.agent.buffer.outbox import AckOutcome, Outbox, Outgoing, Position
from collector.agent.buffer.sealer import MAX_ERA, Sealer
from collector.base.errors import Garbled, InvariantBroken, StoreError
from collector.base.text import tr
from collector.model.record import GapRecord, UnitLayout, UnitRecord
from collector.points import agent_config
from collector.wire import Ack, Ask, Signer
from collector.wire.batch import MAX_TIME_MS, MAX_VALUE
from collector.wire.body import QUANTITY_CODES

__all__ = ["AckOutcome", "Buffer", "Outgoing", "Position"]


class Buffer:
    """An open buffer file. Thread-safe by one lock; made by `BufferConfig.open`."""

    def __init__(self, ledger: Ledger, lock: Lock, sealer: Sealer, plants_of_unit: Mapping[str, str]) -> None:
        self._ledger = ledger
        self._file_lock = lock
        self._sealer = sealer
        self._outbox = Outbox(ledger, sealer)
        self._plants_of_unit = dict(plants_of_unit)
        self._layouts: dict[str, UnitLayout] = {}
        self._lock = threading.RLock()
        self._must_load = False
        self._closed = False
        self._listeners: list[Callable[[], None]] = []
        self.salvaged: salvage.SalvageReport | None = None

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        gateway: str,
        plants_of_unit: Mapping[str, str],
        settings: agent_config.BufferConfig,
        layouts: Mapping[str, UnitLayout],
        signers: Mapping[str, Signer | None],
        now_utc_ms: int,
        outlives_power_cuts: bool = True,
    ) -> Buffer:
        """Open or make the buffer of a gateway. A damaged file is set aside and salvaged (`salvaged` tells).

        `outlives_power_cuts`: False only in simulated time, where a commit need not wait for the disk.

        Raises:
            StoreError: another agent holds the file, it belongs to another gateway, or the disk refuses.
            ValueError: a layout with a quantity that can't be sent.
        """
        if missing := sorted(set(plants_of_unit) - set(layouts)):
            raise ValueError(f"{missing[0]}: no layout")
        for layout in layouts.values():
            if unknown := [q for q in layout.quantities if q not in QUANTITY_CODES]:
                raise ValueError(f"{layout.unit}: no wire code for {unknown}")
        lock = Lock(path)

        def opened() -> Buffer:
            ledger = Ledger(path, gateway, outlives_power_cuts=outlives_power_cuts)
            try:
                if finding := ledger.damage():
                    raise Damaged(finding, subject=str(path))
                sealer = Sealer(ledger, settings, signers, now_ms=now_utc_ms)
                with ledger.errors():
                    sealer.load()
                buffer = cls(ledger, lock, sealer, plants_of_unit)
                buffer._start(layouts, now_utc_ms)
            except BaseException:
                ledger.close()
                raise
            return buffer

        try:
            salvage.finish_exchange(path)
            return _open_or_exchange(opened, path, gateway, plants_of_unit, now_utc_ms)
        except BaseException:
            lock.release()
            raise

    def _start(self, layouts: Mapping[str, UnitLayout], now_utc_ms: int) -> None:
        """Give every plant its stream and every unit its layout; tails recorded under other layouts are sealed."""
        with self._ledger.errors():
            missing = salvage.missing_epochs(self._ledger)
        plants = dict.fromkeys(self._plants_of_unit.values())
        with self._write():
            self._ledger.take_over()
            sealer = self._sealer
            open_units = {r.unit for plant in sealer.tails for r in sealer.open_records(plant)}
            if any(layouts.get(unit) != sealer.layouts[unit] for unit in open_units):
                for plant in list(sealer.tails):
                    sealer.seal(plant)
            self._note_units(self._plants_of_unit, layouts)
            for plant in plants:
                if plant not in sealer.tails:
                    self._ledger.add_stream(plant)
            sealer.load()
            for plant, gaps in salvage.gaps_of_missing(missing, self._plants_of_unit, now_utc_ms).items():
                if plant in sealer.tails:
                    sealer.add_gaps(plant, gaps)
        self._layouts = dict(layouts)
        salvage.note_epochs(self._ledger, now_utc_ms)

    def _note_units(self, plants_of_unit: Mapping[str, str], layouts: Mapping[str, UnitLayout]) -> None:
        for unit, plant in plants_of_unit.items():
            self._ledger.db.execute(
                "INSERT INTO units (unit, plant, quantities) VALUES (?, ?, ?) ON CONFLICT (unit) DO UPDATE"
                " SET plant = excluded.plant, quantities = excluded.quantities",
                (unit, plant, ",".join(layouts[unit].quantities)),
            )

    def change_units(self, plants_of_unit: Mapping[str, str], layouts: Mapping[str, UnitLayout]) -> None:
        """Use other units or quantities from the next append on; open tails are sealed as they were recorded.

        Raises:
            ValueError: a unit of a plant that this buffer has no stream for.
            StoreError: disk full or failing; nothing changed.
        """
        if unknown := sorted(set(plants_of_unit.values()) - set(self.plants)):
            raise ValueError(f"no stream for plant {unknown[0]}; a new plant takes a restart")
        with self._write():
            for plant in list(self._sealer.tails):
                self._sealer.seal(plant)
            self._note_units(plants_of_unit, layouts)
            self._sealer.load()
        self._plants_of_unit, self._layouts = dict(plants_of_unit), dict(layouts)

    @contextmanager
    def _write(self) -> Iterator[None]:
        """Run one transaction; after a failure the state in memory is read from the file again."""
        with self._lock:
            if self._closed:
                raise StoreError(tr("is closed"), subject=str(self._ledger.path))
            if self._must_load:
                with self._ledger.errors():
                    self._sealer.load()
                self._must_load = False
            before = self._sealer.batches_made
            try:
                with self._ledger.transaction():
                    yield
            except BaseException:
                self._must_load = True
                raise
            sealed = self._sealer.batches_made > before
        if sealed:
            for call in tuple(self._listeners):
                call()

    @contextmanager
    def _read(self) -> Iterator[None]:
        with self._lock, self._ledger.errors():
            if self._closed:
                raise StoreError(tr("is closed"), subject=str(self._ledger.path))
            yield

    def append(self, records: Sequence[UnitRecord], gaps: Sequence[GapRecord] = ()) -> None:
        """Commit records and gaps of one tick, all or none; seals tails due by age, count or a status change.

        Raises:
            InvariantBroken: B9, or a record that does not fit its unit's layout; nothing was written.
            StoreError: disk full or failing; nothing was written.
        """
        with self._write():
            by_plant = self._check(records, gaps)
            for plant, (some_records, some_gaps) in by_plant.items():
                self._sealer.add(plant, some_records, some_gaps)
            self._ledger.db.execute(
                "UPDATE recorded SET records = records + ?, gaps = gaps + ? WHERE id = 1", (len(records), len(gaps))
            )
            for record in records:
                self._sealer.last[record.unit] = (record.era, record.time_utc_ms)
            if records:
                self._sealer.now_ms = records[-1].time_utc_ms

    def _check(
        self, records: Sequence[UnitRecord], gaps: Sequence[GapRecord]
    ) -> dict[str, tuple[list[UnitRecord], list[GapRecord]]]:
        """Records and gaps by plant, after B9 and the limits of the wire were checked for each."""
        last: dict[str, tuple[int, int]] = {}
        by_plant: dict[str, tuple[list[UnitRecord], list[GapRecord]]] = {}
        for record in records:
            unit, now = record.unit, (record.era, record.time_utc_ms)
            layout = self._layouts.get(unit)
            if layout is None or not len(layout.quantities) == len(record.values) == len(record.qualities):
                raise InvariantBroken(tr("a record does not fit the unit's layout"), subject=unit)
            before = last.get(unit) or self._sealer.last.get(unit)
            if before is not None and now <= before:
                raise InvariantBroken(
                    tr("(era, time) {now} does not follow {before} (B9)", now=now, before=before), subject=unit
                )
            if not (0 <= now[0] <= MAX_ERA and 0 <= now[1] <= MAX_TIME_MS):
                raise InvariantBroken(tr("(era, time) {now} is out of bounds", now=now), subject=unit)
            last[unit] = now
            by_plant.setdefault(self._plants_of_unit[unit], ([], []))[0].append(record)
        # All values of a tick at once: looking at each took more than the rest of these checks.
        values = set(filter(None, chain.from_iterable(record.values for record in records)))
        if values and (min(values) < -MAX_VALUE or max(values) > MAX_VALUE):
            wrong = next(r.unit for r in records if any(v is not None and abs(v) > MAX_VALUE for v in r.values))
            raise InvariantBroken(tr("a value is beyond ±{most}", most=MAX_VALUE), subject=wrong)
        for gap in gaps:
            if not all(unit in self._plants_of_unit for unit in gap.units) or gap.from_ms > gap.to_ms:
                raise InvariantBroken(
                    tr("a gap of unknown units or with its ends exchanged"), subject=",".join(gap.units)
                )
            for plant in {self._plants_of_unit[unit] for unit in gap.units}:
                units = tuple(u for u in gap.units if self._plants_of_unit[u] == plant)
                part = GapRecord(units, gap.from_ms, gap.to_ms, gap.reason, gap.epoch, gap.from_seq, gap.to_seq)
                by_plant.setdefault(plant, ([], []))[1].append(part)
        return by_plant

    def last(self, unit: str) -> tuple[int, int] | None:
        """(era, time in UTC ms) of the last record of a unit, None before the first."""
        with self._lock:
            return self._sealer.last.get(unit)

    def seal_all(self) -> None:
        """Close every open tail into a batch, as at shutdown.

        Raises:
            StoreError: disk full or failing; the tails are still open.
        """
        with self._write():
            for plant in list(self._sealer.tails):
                self._sealer.seal(plant)

    @property
    def plants(self) -> tuple[str, ...]:
        """Plants with something to send: the configured ones, and others with batches from an older configuration."""
        with self._lock:
            return tuple(self._sealer.tails)

    def next_batch(self, plant: str, after: Position | None, up_to: Position | None = None) -> Position | None:
        """The first batch of a plant that is sealed and not freed, after one position and up to another (B2, B4)."""
        with self._read():
            return self._outbox.next_batch(plant, after, up_to)

    def next_put_off(self, plant: str, after: Position | None, up_to: Position | None) -> Position | None:
        """The first batch, within the same bounds, that the center refused for now: it is offered again and again."""
        with self._read():
            return self._outbox.next_put_off(plant, after, up_to)

    def last_put_off(self, plant: str) -> Position | None:
        """The last batch that the center refused for now; None where there is none."""
        with self._read():
            return self._outbox.last_put_off(plant)

    def newest(self, plant: str) -> Position:
        """The batch sealed last; later batches are live."""
        with self._lock:
            return self._outbox.newest(plant)

    def read(self, position: Position) -> Outgoing | None:
        """The bytes of a batch for sending, None where it is no longer here; a damaged one is given up (B7)."""
        try:
            with self._read():
                return self._outbox.read(position)
        except Garbled:
            with self._write():
                self._outbox.give_up(position)
            return None

    def apply_ack(self, plant: str, ack: Ack) -> AckOutcome:
        """Apply an acknowledgement of the center: B3, B8; also a new store and a conflict of epochs.

        Raises:
            StoreError: disk full or failing; nothing changed, the ack will come again.
        """
        with self._write():
            outcome = self._outbox.apply_ack(plant, ack)
        if outcome.is_new_epoch:
            salvage.note_epochs(self._ledger, self._sealer.now_ms)
        return outcome

    def start_epoch(self, plant: str) -> None:
        """Start a new epoch: sealed batches keep their names, later ones get the new epoch."""
        with self._write():
            self._outbox.start_epoch(plant)
        salvage.note_epochs(self._ledger, self._sealer.now_ms)

    def reseal_some(self, plant: str, limit: int = 16) -> int:
        """After a conflict of epochs: seal up to `limit` pending batches again under the present epoch.

        Returns how many there were.
        """
        with self._write():
            return self._outbox.reseal_some(plant, limit)

    def last_handed_over(self, plant: str) -> Position | None:
        """The last batch of a plant that was handed over to a one-way device."""
        with self._read():
            return self._outbox.last_handed_over(plant)

    def hand_over(self, plant: str, position: Position, keep_days: int) -> None:
        """Note that a batch was handed over to a one-way device; older ones are given up after `keep_days`.

        Raises:
            StoreError: disk full or failing; the batch is handed over again.
        """
        with self._write():
            self._outbox.hand_over(plant, position, keep_days)

    def limit_batches(self, limit_bytes: int) -> None:
        """Seal no larger payloads from now on. Thread-safe; batches sealed before are divided by `divide`."""
        with self._lock:
            self._sealer.limit(limit_bytes)

    def divide(self, position: Position) -> bool:
        """Seal a pending batch again in parts within the limit; False where it can't be divided or isn't pending."""
        with self._write():
            return self._outbox.divide(position)

    def answer(self, ask: Ask) -> list[Position]:
        """The batches that answer an ask, in order; empty for a plant of another gateway."""
        if ask.plant not in self.plants:
            return []
        with self._write():
            return self._outbox.answer(ask)

    def counts(self) -> Counts:
        """The present books."""
        with self._read():
            return compute_counts(self._ledger.db)

    def on_sealed(self, call: Callable[[], None]) -> Callable[[], None]:
        """Register `call`, which runs on the writing thread after each commit that made a batch.

        Returns the function that unregisters it. Most ticks make no batch: waking the sender for nothing costs more
        than the commit itself.
        """
        self._listeners.append(call)
        return lambda: self._listeners.remove(call)

    def close(self) -> None:
        """Close the file and release its lock; may be called twice."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._ledger.close()
                self._file_lock.release()


def _open_or_exchange(
    opened: Callable[[], Buffer], path: Path, gateway: str, plants_of_unit: Mapping[str, str], now_utc_ms: int
) -> Buffer:
    """Open the file or, where it can't be used, a new one with the salvaged data, or with nothing.

    Whatever a file holds, and whatever error it causes, the agent starts. Only errors that setting the file aside would
    not cure are raised: no room, no rights, another gateway's file.

    Raises:
        StoreError: as above.
    """
    try:
        return opened()
    except Exception as error:
        finding = _finding(error)
    try:
        report = salvage.exchange(path, gateway, finding, plants_of_unit, now_utc_ms)
        buffer = opened()
    except Exception as error:
        finding += f"; nothing could be salvaged: {_finding(error)}"
        report = salvage.give_up(path, finding, now_utc_ms)
        buffer = opened()
    buffer.salvaged = report
    return buffer


def _finding(error: Exception) -> str:
    """The problem of the file that caused an error; raises the error again where the file is not its cause."""
    if isinstance(error, Damaged):
        return error.message
    if isinstance(error, (StoreError, MemoryError)):
        raise error
    return repr(error)
