# SPDX-License-Identifier: GPL-3.0-or-later
"""A damaged buffer file: set aside, read as far as it can be read, the rest named in gap records.

Batches that were sealed and not freed and still pass their checksum go into the new file under their old epoch, byte
for byte; rows of the open tail go into the new tail. The new file opens new epochs. The damaged file stays, under a
name with the time, for people to look at; it may be deleted once the report has been read.

`<file>.epochs` beside the file notes which epochs were opened in it and when, so that a file that was lost or emptied
altogether is noticed too.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from collector.agent import lost
from collector.agent.ledger import Ledger, StreamRow
from collector.agent.sealer import decode_tail, encode_tail
from collector.errors import StoreError
from collector.model.record import GapRecord, UnitRecord

_SIDE_FILES: Final = ("", "-wal", "-shm")
_ALL: Final = (1 << 63) - 1


@dataclass
class Report:
    """What became of a damaged file."""

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
        raise StoreError(f"is damaged and can't be set aside: {error.strerror}", subject=str(path)) from error
    return aside


def recover(ledger: Ledger, aside: Path, finding: str, plants_of_unit: Mapping[str, str], now_utc_ms: int) -> Report:
    """Bring what can be read of the file set aside into a new one, in one transaction."""
    report = Report(aside, finding)
    with closing(sqlite3.connect(aside, isolation_level=None)) as old, ledger.transaction():
        for store_id, present in _rows(old, "SELECT store_id, present FROM stores"):
            ledger.db.execute("INSERT OR IGNORE INTO stores VALUES (?, ?)", (store_id, present))
        for records, gaps in _rows(old, "SELECT records, gaps FROM recorded WHERE id = 1"):
            ledger.db.execute("UPDATE recorded SET records = ?, gaps = ?", (records, gaps))
        last: dict[str, tuple[int, int]] = {}
        for unit, plant, quantities, era, time_utc_ms in _rows(
            old, "SELECT unit, plant, quantities, era, time_utc_ms FROM units"
        ):
            ledger.db.execute(
                "INSERT OR IGNORE INTO units VALUES (?, ?, ?, ?, ?)", (unit, plant, quantities, era, time_utc_ms)
            )
        for number, plant, epoch, current, following in _rows(
            old, "SELECT id, plant, epoch, current, next_sequence FROM streams ORDER BY id"
        ):
            units = sorted(u for u, p in plants_of_unit.items() if p == plant)
            stream = ledger.add_stream(plant, epoch=int(epoch, 16), current=False)
            pieces = _Pieces(old, ledger, number, stream, units, now_utc_ms, report)
            pieces.take_batches(following)
            if current:
                last.update(pieces.take_tail())
        for unit, (era, time_utc_ms) in last.items():
            ledger.db.execute("UPDATE units SET era = ?, time_utc_ms = ? WHERE unit = ?", (era, time_utc_ms, unit))
    return report


@dataclass
class _Pieces:
    """One stream of the damaged file on its way into the new one."""

    old: sqlite3.Connection
    ledger: Ledger
    number: int
    stream: StreamRow
    units: list[str]
    now_utc_ms: int
    report: Report

    def take_batches(self, following: int) -> None:
        """Copy what is pending and whole, note what was freed, declare the rest unreadable."""
        db = self.ledger.db
        records_pending = pending = evicted = 0
        known: dict[int, tuple[int, int]] = {}
        spans = {
            row[0]: row[1:]
            for row in _rows(
                self.old,
                "SELECT from_seq, to_seq, from_ms, to_ms, units, reason, due FROM lost WHERE stream = ?",
                self.number,
            )
        }
        for first, (final, from_ms, to_ms, units, reason, due) in sorted(spans.items()):
            # Told or not, a range that was due is told again: the batch that named it may be among the lost.
            lost.add(self.ledger, self.stream.id, (first, final), (from_ms, to_ms), units, reason, due=bool(due))
            known.update(dict.fromkeys(range(first, min(final, following) + 1), (from_ms, to_ms)))
            evicted += final - first + 1 if reason != lost.NOT_KEPT else 0
        for row in self._batches():
            sequence, state, first_ms, last_ms, records, gaps, units, payload, sha256, freed_ms = row
            if hashlib.sha256(payload).digest() != sha256 or sequence in known:
                continue
            known[sequence] = (first_ms, last_ms + 1)
            if state == 1:
                span = (first_ms, last_ms + 1)
                lost.add(self.ledger, self.stream.id, (sequence, sequence), span, units, lost.NOT_KEPT, due=False)
                continue
            db.execute(
                "INSERT INTO batches (stream, sequence, state, first_ms, last_ms, records, gaps, units, sha256,"
                " payload, freed_ms) VALUES (?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?)",
                (self.stream.id, sequence, first_ms, last_ms, records, gaps, units, sha256, payload, freed_ms),
            )
            pending, records_pending = pending + 1, records_pending + records
        final = max(following - 1, *known, 0) if known else following - 1
        missing = self._declare_missing(known, final)
        self.report.batches += pending
        self.report.records += records_pending
        sealed = _rows(
            self.old,
            "SELECT records_sealed, records_freed, records_evicted, records_resealed FROM streams WHERE id = ?",
            self.number,
        )
        sealed_records, freed_records, evicted_records, resealed = next(sealed, (records_pending, 0, 0, 0))
        lost_records = sealed_records - freed_records - evicted_records - resealed - records_pending
        db.execute(
            "UPDATE streams SET next_sequence = ?, sealed = ?, freed = ?, evicted = ?, records_sealed = ?,"
            " records_freed = ?, records_evicted = ?, records_resealed = ? WHERE id = ?",
            (final + 1, final, final - pending - evicted - missing, evicted + missing, sealed_records, freed_records,
             evicted_records + max(0, lost_records), resealed, self.stream.id),
        )  # fmt: skip

    def _batches(self) -> Iterator[tuple[Any, ...]]:
        """Rows from both ends and by number, so that a bad page costs only what is on it."""
        sql = (
            "SELECT sequence, state, first_ms, last_ms, records, gaps, units, payload, sha256, freed_ms FROM batches"
            " WHERE stream = ? AND sequence "
        )
        reached = 0
        for row in _rows(self.old, sql + "> 0 ORDER BY sequence", self.number):
            reached = row[0]
            yield row
        top = _ALL
        for row in _rows(self.old, sql + "> ? ORDER BY sequence DESC", self.number, reached):
            top = row[0]
            yield row
        if top == _ALL:
            following = next(_rows(self.old, "SELECT next_sequence FROM streams WHERE id = ?", self.number), (0,))
            top = following[0]
        for sequence in range(reached + 1, top):
            yield from _rows(self.old, sql + "= ?", self.number, sequence)

    def _declare_missing(self, known: Mapping[int, tuple[int, int]], final: int) -> int:
        """Gap records for sequences that are nowhere: freed ones among them are at the center, which knows better."""
        missing = 0
        first: int | None = None
        for sequence in range(1, final + 2):
            if sequence <= final and sequence not in known:
                missing += 1
                first = sequence if first is None else first
            elif first is not None:
                before, after = known.get(first - 1), known.get(sequence)
                from_ms = before[1] if before else (after[0] if after else self.now_utc_ms)
                to_ms = max(from_ms, after[0] if after else self.now_utc_ms)
                span, units = (from_ms, to_ms), ",".join(self.units)
                lost.add(self.ledger, self.stream.id, (first, sequence - 1), span, units, lost.UNREADABLE, due=True)
                self.report.lost_ranges.append((self.stream.stream.plant, first, sequence - 1))
                first = None
        self.report.lost_batches += missing
        return missing

    def take_tail(self) -> dict[str, tuple[int, int]]:
        """The open tail goes on in the plant's new stream; last (era, time) of its units."""
        plant = self.stream.stream.plant
        new = self.ledger.add_stream(plant)
        records: list[UnitRecord] = []
        gaps: list[GapRecord] = []
        for (body,) in _rows(self.old, "SELECT body FROM tail WHERE stream = ? ORDER BY id", self.number):
            with suppress(msgspec.MsgspecError, KeyError, ValueError, TypeError):
                more_records, more_gaps = decode_tail(body)
                records += more_records
                gaps += more_gaps
        epoch = self.stream.stream.epoch
        for row in lost.due(self.ledger, plant):
            if row.stream == self.stream.id:
                gaps.append(row.gap(epoch))
                lost.tell(self.ledger, row, new.id, 1)
        if records or gaps:
            self.ledger.db.execute(
                "INSERT INTO tail (stream, records, body) VALUES (?, ?, ?)",
                (new.id, len(records), encode_tail(records, gaps)),
            )
            self.report.records += len(records)
        return {r.unit: (r.era, r.time_utc_ms) for r in records}


def _rows(db: sqlite3.Connection, sql: str, *parameters: object) -> Iterator[tuple[Any, ...]]:
    """Rows as far as they can be read; a damaged page ends the reading, not the salvage."""
    try:
        yield from db.execute(sql, parameters)
    except sqlite3.Error:
        return


def note_epochs(ledger: Ledger, now_utc_ms: int) -> None:
    """Write which epochs the file holds, beside it; the file itself is named by it, not described twice.

    Raises:
        StoreError: the folder can't be written.
    """
    path = ledger.path.with_name(ledger.path.name + ".epochs")
    old = _noted(path)
    noted = [
        {
            "plant": row.stream.plant,
            "epoch": f"{row.stream.epoch:016x}",
            "opened_ms": old.get((row.stream.plant, f"{row.stream.epoch:016x}"), now_utc_ms),
        }
        for row in ledger.streams()
    ]
    temporary = path.with_name(path.name + ".new")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(noted, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise StoreError(f"can't be written: {error.strerror}", subject=str(path)) from error


def missing_epochs(ledger: Ledger) -> list[tuple[str, int, int]]:
    """(plant, epoch, opened at UTC ms) of epochs that were opened in this file and are not in it any more."""
    held = {(row.stream.plant, f"{row.stream.epoch:016x}") for row in ledger.streams()}
    noted = _noted(ledger.path.with_name(ledger.path.name + ".epochs"))
    return [(plant, int(epoch, 16), opened) for (plant, epoch), opened in noted.items() if (plant, epoch) not in held]


def gaps_of_missing(
    missing: list[tuple[str, int, int]], plants_of_unit: Mapping[str, str], now_utc_ms: int
) -> dict[str, list[GapRecord]]:
    """One gap record per epoch that went with its file: all of its time, its sequences are unknown."""
    gaps: dict[str, list[GapRecord]] = {}
    for plant, epoch, opened_ms in missing:
        units = tuple(sorted(u for u, p in plants_of_unit.items() if p == plant))
        if units:
            gap = GapRecord(units, min(opened_ms, now_utc_ms), now_utc_ms, lost.UNREADABLE, epoch)
            gaps.setdefault(plant, []).append(gap)
    return gaps


def _noted(path: Path) -> dict[tuple[str, str], int]:
    try:
        return {(row["plant"], row["epoch"]): int(row["opened_ms"]) for row in json.loads(path.read_text("utf-8"))}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
