# SPDX-License-Identifier: GPL-3.0-or-later
"""Salvage of a damaged buffer file: set aside, read as far as possible, the rest named in gap records.

Batches that still pass their checksum go into the new file under their old epoch, byte for byte, unsent; rows of the
open tail go into the new tail. The new file opens new epochs. The damaged file stays, under a name with the time, for
people to look at; it may be deleted once the report has been read.

`<file>.epochs` beside the file lists the epochs opened in it, with times, so that a lost or emptied file is noticed
too.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from collector.agent.buffer import lost_ranges as lost
from collector.agent.buffer.buffer_file import Ledger, StreamRow
from collector.agent.buffer.sealer import encode_tail
from collector.base.durable import flush, write_whole
from collector.base.errors import Garbled, StoreError
from collector.base.text import tr
from collector.model.record import GapRecord, UnitRecord
from collector.wire import decode_batch, is_name, open_envelope
from collector.wire.batch import MAX_TIME_MS

if TYPE_CHECKING:
    from collector.agent.buffer.damaged_file import DamagedFile, OldBatch, OldLost, OldStream

_SIDE_FILES: Final = ("", "-wal", "-shm")
_ALL: Final = (1 << 63) - 1
_LAST_TIMES_FROM: Final = 64  # newest batches read for the last times of units


@dataclass
class SalvageReport:
    """The result of salvaging a damaged file."""

    set_aside: Path
    finding: str
    batches: int = 0
    records: int = 0
    lost_batches: int = 0
    lost_ranges: list[tuple[str, int, int]] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"the buffer was damaged ({self.finding}) and set aside as {self.set_aside.name}; salvaged {self.batches}"
            f" batches and {self.records} records, {self.lost_batches} batches are lost and named in gap records"
        )


def exchange(
    path: Path, gateway: str, finding: str, plants_of_unit: Mapping[str, str], now_utc_ms: int
) -> SalvageReport:  # fmt: skip
    """Replace a damaged file by a new one with its readable data.

    The new file is made beside the old one, which is renamed only when the new one is complete: a start that is killed
    in the middle (a big file on a slow card takes minutes) begins again with nothing lost.

    Raises:
        StoreError: the folder can't be written, or the disk is full; the damaged file is where it was.
    """
    new = _new_path(path)
    for suffix in _SIDE_FILES:
        new.with_name(new.name + suffix).unlink(missing_ok=True)
    ledger = Ledger(new, gateway)
    try:
        report = recover(ledger, path, finding, plants_of_unit, now_utc_ms)
    finally:
        ledger.close()
    report.set_aside = set_aside(path, now_utc_ms)
    finish_exchange(path)
    return report


def give_up(path: Path, finding: str, now_utc_ms: int) -> SalvageReport:
    """Set a file aside of which nothing could be salvaged; the list of epochs tells what was lost with it.

    Raises:
        StoreError: the folder can't be written.
    """
    return SalvageReport(set_aside(path, now_utc_ms), finding)


def finish_exchange(path: Path) -> None:
    """Finish an interrupted replacement: the damaged file was set aside, the new one not yet renamed.

    Raises:
        StoreError: the folder can't be written.
    """
    new = _new_path(path)
    if path.exists() or not new.exists():
        return
    try:
        for suffix in _SIDE_FILES[1:]:  # of the old file; the new one was closed and has none
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        new.rename(path)
        flush(path.parent)
    except OSError as error:
        raise StoreError(tr("can't take its place: {reason}", reason=error.strerror), subject=str(new)) from error


def is_new(path: Path) -> bool:
    """True if there is no file yet, nor a new one waiting to replace it."""
    return not path.exists() and not _new_path(path).exists()


def _new_path(path: Path) -> Path:
    return path.with_name(path.name + ".salvage")


def set_aside(path: Path, now_utc_ms: int) -> Path:
    """Give a damaged file and its side files another name.

    Raises:
        StoreError: the folder can't be written.
    """
    aside = path.with_name(f"{path.name}.damaged-{now_utc_ms}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{now_utc_ms}-{number}")
    try:
        for suffix in _SIDE_FILES:
            source = path.with_name(path.name + suffix)
            if source.exists():
                source.rename(aside.with_name(aside.name + suffix))
        path.with_name(path.name + ".suspect").unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            tr("is damaged and can't be set aside: {reason}", reason=error.strerror), subject=str(path)
        ) from error
    return aside


def recover(
    ledger: Ledger, path: Path, finding: str, plants_of_unit: Mapping[str, str], now_utc_ms: int
) -> SalvageReport:
    """Bring the readable data of the damaged file at `path` into a new one, in one transaction."""
    report = SalvageReport(path, finding)
    opened = _noted(_note_path(path))
    from collector.agent.buffer.damaged_file import DamagedFile

    with closing(DamagedFile(path, ledger.gateway)) as old, ledger.transaction():
        for store_id, present in old.stores():
            ledger.db.execute("INSERT OR IGNORE INTO stores VALUES (?, ?)", (store_id, present))
        ledger.db.execute("UPDATE recorded SET records = ?, gaps = ?", old.recorded())
        for unit, (plant, quantities) in old.units().items():
            ledger.db.execute(
                "INSERT INTO units (unit, plant, quantities) VALUES (?, ?, ?)", (unit, plant, ",".join(quantities))
            )
        last: dict[str, tuple[int, int]] = {}
        named = {unit: plant for unit, (plant, _) in old.units().items()} | dict(plants_of_unit)
        for former in old.streams():
            plant = former.stream.plant
            units = sorted(u for u, p in plants_of_unit.items() if p == plant)
            stream = ledger.add_stream(plant, epoch=former.stream.epoch, current=False)
            begun_ms = opened.get((plant, f"{former.stream.epoch:016x}"))
            known = {u for u, p in named.items() if p == plant}
            pieces = _Pieces(old, former, ledger, stream, units, known, now_utc_ms, report, begun_ms)
            last.update(pieces.take_batches())
            if former.current:
                last.update(pieces.take_tail(last))
        for unit, (era, time_utc_ms) in last.items():
            ledger.db.execute(
                "INSERT INTO units (unit, plant, quantities, era, time_utc_ms) VALUES (?1, ?2, '', ?3, ?4)"
                " ON CONFLICT (unit) DO UPDATE SET era = ?3, time_utc_ms = ?4",
                (unit, plants_of_unit.get(unit, ""), era, time_utc_ms),
            )
    return report


@dataclass
class _Pieces:
    """One stream of the damaged file on its way into the new one.

    `units`: the plant's; `known`: also those of former configurations; `begun_ms`: when its epoch was opened, if known.
    `final`: its last sequence known, once its batches are taken.
    """

    old: DamagedFile
    former: OldStream
    ledger: Ledger
    stream: StreamRow
    units: list[str]
    known: set[str]
    now_utc_ms: int
    report: SalvageReport
    begun_ms: int | None
    final: int = 0

    def take_batches(self) -> dict[str, tuple[int, int]]:
        """Copy whole batches, declare the rest unreadable; returns (era, time) of each unit's last record in it.

        A batch that the file marks freed is sent again like any other: nothing in this file is reliable, and the
        center's first acknowledgement of the stream settles all that it has.
        """
        spans = self._take_lost()
        names = [(span.first, span.final) for span in spans]
        batches = []
        for batch in self.old.batches(self.former):
            place = bisect_right(names, (batch.sequence, _ALL)) - 1
            if place >= 0 and names[place][1] >= batch.sequence:
                continue  # given up before; the center was told, or will be
            self.ledger.db.execute(
                "INSERT INTO batches (stream, sequence, state, first_ms, last_ms, records, gaps, units, sha256,"
                " payload, freed_ms) VALUES (?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?)",
                (self.stream.id, batch.sequence, batch.first_ms, batch.last_ms, batch.records, batch.gaps, batch.units,
                 hashlib.sha256(batch.payload).digest(), batch.payload, batch.freed_ms or None),
            )  # fmt: skip
            batches.append(replace(batch, payload=b""))
        known = [(s.first, s.final, s.from_ms, s.to_ms) for s in spans]
        known += [(b.sequence, b.sequence, b.first_ms, b.last_ms + 1) for b in batches]
        self.final = max(self.former.following - 1, 0, *(row[1] for row in known))
        missing = self._declare_missing(sorted(known), self.final)
        self._count(batches, spans, self.final, missing)
        return self._last_times(batches)

    def _take_lost(self) -> list[OldLost]:
        """Ranges the file had given up before, without overlaps."""
        taken: list[OldLost] = []
        for row in self.old.lost(self.former):
            if taken and row.first <= taken[-1].final:
                continue
            # A range that was due is told again, even if it was told: its telling batch may be among the lost ones.
            span, sequences = (row.from_ms, row.to_ms), (row.first, row.final)
            # The center would refuse a whole batch over one name with a flipped bit.
            names = [name for name in row.units.split(",") if name in self.known]
            names = names or ([] if row.reason == lost.RESEALED else self.units)
            lost.add(self.ledger, self.stream.id, sequences, span, ",".join(names), row.reason, due=row.due)
            taken.append(row)
        return taken

    def _count(self, batches: Sequence[OldBatch], spans: Sequence[OldLost], final: int, missing: int) -> None:
        """Write the counts so that B6 holds for the new file."""
        pending, pending_records = len(batches), sum(b.records for b in batches)
        evicted = missing + sum(s.final - s.first + 1 for s in spans if s.reason != lost.NOT_KEPT)
        self.report.batches += pending
        self.report.records += pending_records
        sealed_records, freed_records, evicted_records, resealed = self.former.counts
        freed_records = max(0, freed_records - sum(b.records for b in batches if b.freed_ms))
        gone_records = max(evicted_records, sealed_records - freed_records - resealed - pending_records)
        self.ledger.db.execute(
            "UPDATE streams SET next_sequence = ?, sealed = ?, freed = ?, evicted = ?, records_sealed = ?,"
            " records_freed = ?, records_evicted = ?, records_resealed = ? WHERE id = ?",
            (final + 1, final, final - pending - evicted, evicted, sealed_records, freed_records, gone_records,
             resealed, self.stream.id),
        )  # fmt: skip

    def _declare_missing(self, known: Sequence[tuple[int, int, int, int]], final: int) -> int:
        """Gap records for missing sequences; the center knows which of them it has."""
        missing, following, reached_ms = 0, 1, self.begun_ms
        for first, last, from_ms, to_ms in [*known, (final + 1, final + 1, self.now_utc_ms, self.now_utc_ms)]:
            if first > following:
                begin_ms = min(from_ms, reached_ms) if reached_ms is not None else from_ms
                span, units = (begin_ms, from_ms), ",".join(self.units)
                sequences = following, first - 1
                lost.add(self.ledger, self.stream.id, sequences, span, units, lost.UNREADABLE, due=True)
                self.report.lost_ranges.append((self.stream.stream.plant, *sequences))
                missing += first - following
            following, reached_ms = max(following, last + 1), max(to_ms, reached_ms or 0)
        self.report.lost_batches += missing
        return missing

    def _last_times(self, batches: Sequence[OldBatch]) -> dict[str, tuple[int, int]]:
        """Last times by the newest batches themselves: a last time that is too late would hide earlier records."""
        found: dict[str, tuple[int, int]] = {}
        for batch in sorted(batches, key=lambda b: b.sequence, reverse=True)[:_LAST_TIMES_FROM]:
            payload = self.ledger.value(
                "SELECT payload FROM batches WHERE stream = ? AND sequence = ?", self.stream.id, batch.sequence
            )
            with suppress(Garbled):
                records = decode_batch(open_envelope(payload)).records
                found = {r.unit: (r.era, r.time_utc_ms) for r in records} | found
        return found

    def take_tail(self, last: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        """Continue the open tail in the plant's new stream; returns the last (era, time) of its units.

        An unreadable append between two readable ones is a gap; one at the end is reported by the next start.
        """
        plant = self.stream.stream.plant
        new = self.ledger.add_stream(plant)
        records: list[UnitRecord] = []
        gaps: list[GapRecord] = []
        reached_ms = max((last[u][1] for u in self.units if u in last), default=self.begun_ms)
        is_broken = False
        for piece in self.old.tail(self.former, self.final + 1):
            if piece is None:
                is_broken = True
                continue
            if is_broken and piece[0] and self.units:
                begin_ms = piece[0][0].time_utc_ms
                from_ms = begin_ms if reached_ms is None else min(reached_ms, begin_ms)
                gaps.append(GapRecord(tuple(self.units), from_ms, begin_ms, lost.UNREADABLE))
                is_broken = False
            records += piece[0]
            gaps += piece[1]
            reached_ms = piece[0][-1].time_utc_ms if piece[0] else reached_ms
        found = {r.unit: (r.era, r.time_utc_ms) for r in records}
        unheard = tuple(u for u in self.units if u not in last and u not in found)
        if unheard and self.begun_ms is not None and self.begun_ms < self.now_utc_ms:
            gaps.append(GapRecord(unheard, self.begun_ms, self.now_utc_ms, lost.UNREADABLE))
        epoch = self.stream.stream.epoch
        for row in lost.due(self.ledger, plant):
            if row.stream == self.stream.id:
                gaps.append(row.gap(epoch))
                lost.tell(self.ledger, row, new.id, 1)
        if records or gaps:
            self.ledger.db.execute(
                "INSERT INTO tail (stream, records, body, for_sequence, place) VALUES (?, ?, ?, 1, 0)",
                (new.id, len(records), encode_tail(records, gaps)),
            )
            self.report.records += len(records)
        return found


def note_epochs(ledger: Ledger, now_utc_ms: int) -> None:
    """Write the list of the file's epochs beside it.

    Raises:
        StoreError: the folder can't be written.
    """
    path = _note_path(ledger.path)
    old = _noted(path)
    noted = [
        {
            "plant": row.stream.plant,
            "epoch": f"{row.stream.epoch:016x}",
            "opened_ms": old.get((row.stream.plant, f"{row.stream.epoch:016x}"), now_utc_ms),
        }
        for row in ledger.streams()
    ]
    try:
        write_whole(path, json.dumps(noted, indent=1).encode())
    except OSError as error:
        raise StoreError(tr("can't be written: {reason}", reason=error.strerror), subject=str(path)) from error


def missing_epochs(ledger: Ledger) -> list[tuple[str, int, int]]:
    """(plant, epoch, opened at UTC ms) of epochs that were opened in this file and are missing now."""
    held = {(row.stream.plant, f"{row.stream.epoch:016x}") for row in ledger.streams()}
    noted = _noted(_note_path(ledger.path))
    return [(plant, int(epoch, 16), opened) for (plant, epoch), opened in noted.items() if (plant, epoch) not in held]


def gaps_of_missing(
    missing: list[tuple[str, int, int]], plants_of_unit: Mapping[str, str], now_utc_ms: int
) -> dict[str, list[GapRecord]]:
    """One gap record per epoch lost with its file: over all of its time, as its sequences are unknown."""
    gaps: dict[str, list[GapRecord]] = {}
    for plant, epoch, opened_ms in missing:
        units = tuple(sorted(u for u, p in plants_of_unit.items() if p == plant))
        if units:
            gap = GapRecord(units, min(opened_ms, now_utc_ms), now_utc_ms, lost.UNREADABLE, epoch)
            gaps.setdefault(plant, []).append(gap)
    return gaps


def _note_path(path: Path) -> Path:
    return path.with_name(path.name + ".epochs")


def _noted(path: Path) -> dict[tuple[str, str], int]:
    try:
        rows = json.loads(path.read_text("utf-8", "replace"))
    except (OSError, ValueError, RecursionError):
        return {}
    found = {}
    for row in rows if isinstance(rows, list) else ():
        with suppress(ValueError, KeyError, TypeError):
            plant, epoch, opened_ms = row["plant"], row["epoch"], row["opened_ms"]
            if is_name(plant) and f"{int(epoch, 16):016x}" == epoch and 0 <= opened_ms <= MAX_TIME_MS:
                found[plant, epoch] = int(opened_ms)
    return found
