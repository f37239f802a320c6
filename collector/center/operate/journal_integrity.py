# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks the journal: payloads, the rows derived from them, sequences. Changes nothing.

A payload is signed bytes: while it is kept, every other row about its batch follows from it. The records of removed
payloads are in day files, which `integrity` checks; the sequences of their batches are still compared with the ranges
of the stream.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, exists, select

import collector.wire as wire
from collector.base.errors import Garbled
from collector.base.text import join, said_by, tr
from collector.center.db.tables_receive import (
    batch,
    batch_day,
    covered,
    gap,
    lake_day,
    payload,
    quarantine,
    store,
    stream,
    unit_day,
)
from collector.center.receive import ranges
from collector.center.receive.arrivals import UnitPart
from collector.center.receive.day_index import parts_of
from collector.center.receive.stream_state import IMPORTED, REPLACING
from collector.model.interval import format_time
from collector.model.record import GapRecord

_UnitDay = tuple[str, str, str]  # plant, unit, day
_Lost = dict[tuple[str, str, str], list[ranges.Range]]  # by plant, gateway and epoch
_BAD_COLUMNS = "bad_columns"  # of a batch that was put aside when its day was sealed


def check_journal(connection: Connection) -> Iterator[str]:
    """Every problem found, in words."""
    lost: _Lost = defaultdict(list)
    yield from _payloads(connection, lost)
    yield from _batches(connection)
    yield from _sequences(connection, lost)
    yield from _quarantine(connection)
    yield from _days(connection)


def _payloads(connection: Connection, lost: _Lost) -> Iterator[str]:
    """Check that every payload is the batch of its row, and that days, gaps and minutes follow from the payloads.

    `lost` receives the sequences that their gap records declare lost.
    """
    same = (payload.c.stream_id == batch.c.stream_id) & (payload.c.sequence == batch.c.sequence)
    days, gaps = _days_of_batches(connection), _gaps_of_batches(connection)
    set_aside = _set_aside(connection)
    sums: dict[_UnitDay, list[UnitPart]] = defaultdict(list)
    kept: Counter[int] = Counter()
    columns = (stream.c.plant, stream.c.gateway, stream.c.epoch, batch, payload.c.bytes)
    query = select(*columns, payload.c.received_ms.label("kept_ms")).select_from(
        payload.join(batch, same).join(stream, stream.c.id == batch.c.stream_id)
    )
    for row in connection.execute(query.execution_options(yield_per=200)):
        name, place = _name(row), (row.stream_id, row.sequence)
        kept[row.stream_id] += len(row.bytes)
        try:
            envelope = wire.open_envelope(row.bytes)
            found = wire.decode_times(envelope)
        except Garbled as error:
            yield join(": ", (name, said_by(error)))
            continue
        if hashlib.sha256(envelope.header).digest() != bytes(row.sha256):
            yield tr("{name}: its payload is another batch", name=name)
            continue
        yield from (join(": ", (name, words)) for words in _facts(row, envelope, found))
        for each in found.gaps:
            if each.epoch is not None and each.from_seq is not None and each.to_seq is not None:
                lost[row.plant, row.gateway, f"{each.epoch:016x}"].append((each.from_seq, each.to_seq))
        parts = parts_of(found)
        if days.get(place, set()) == {(row.plant, part.day) for part in parts}:
            for part in parts:
                sums[row.plant, part.unit, part.day].append(part)
        elif place in days or not _counts_for_nothing(row, set_aside):
            yield tr(
                "{name}: its days are listed as {days}", name=name, days=sorted((d for _, d in days.get(place, ())))
            )
        expected = Counter((u, *_of_gap(g)) for g in found.gaps for u in g.units)
        if gaps.get(place, Counter()) != expected:
            yield tr("{name}: its gaps are listed otherwise than it says", name=name)
    yield from _minutes(connection, sums)
    for listed in connection.execute(select(stream)):
        if listed.kept_bytes != kept[listed.id]:
            name = tr(
                "stream {plant}/{gateway}/{epoch}", plant=listed.plant, gateway=listed.gateway, epoch=listed.epoch
            )
            yield tr(
                "{name}: {kept_bytes} bytes are listed as kept, its payloads have {found}",
                name=name,
                kept_bytes=listed.kept_bytes,
                found=kept[listed.id],
            )


def _counts_for_nothing(row: Any, set_aside: set[tuple[str, str, str, int]]) -> bool:
    """True if a batch may have no day: an undone import, or columns that can't be decoded."""
    return row.gateway in (IMPORTED, REPLACING) or (row.plant, row.gateway, row.epoch, row.sequence) in set_aside


def _facts(row: Any, envelope: wire.Envelope, found: wire.BatchTimes) -> Iterator[str]:
    said = {
        "record_count": envelope.record_count,
        "gap_count": len(found.gaps),
        "first_ms": envelope.first_ms,
        "last_ms": envelope.last_ms,
        "size_bytes": len(row.bytes),
        "received_ms": row.kept_ms,
    }
    if row.gateway not in (IMPORTED, REPLACING):
        mine = wire.Stream(row.plant, row.gateway, int(row.epoch, 16))
        if (envelope.stream, envelope.sequence) != (mine, row.sequence):
            yield tr("its payload is {sequence} of {stream}", sequence=envelope.sequence, stream=envelope.stream)
    for name, expected in said.items():
        if getattr(row, name) != expected:
            yield tr(
                "{name} is listed as {listed}, its payload gives {expected}",
                name=name,
                listed=getattr(row, name),
                expected=expected,
            )


def _minutes(connection: Connection, sums: dict[_UnitDay, list[UnitPart]]) -> Iterator[str]:
    """Compare each unit day with its batches, where all of their payloads are kept."""
    kept = (payload.c.stream_id == batch_day.c.stream_id) & (payload.c.sequence == batch_day.c.sequence)
    gone = select(batch_day.c.plant, batch_day.c.day).distinct().where(~exists().where(kept))
    pruned = {(row.plant, row.day) for row in connection.execute(gone)}
    for row in connection.execute(select(unit_day).execution_options(yield_per=500)):
        parts = sums.pop((row.plant, row.unit, row.day), [])
        if (row.plant, row.day) in pruned:
            continue
        minutes = 0
        for part in parts:
            minutes |= int.from_bytes(part.minutes, "big")
        found = (row.received, row.first_ms, row.last_ms, int.from_bytes(row.minutes, "big"))
        if not parts or found != (
            sum(part.count for part in parts),
            min(part.first_ms for part in parts),
            max(part.last_ms for part in parts),
            minutes,
        ):
            yield tr(
                "{plant} {unit} {day}: what is listed of the day is not what its batches hold",
                plant=row.plant,
                unit=row.unit,
                day=row.day,
            )
    for plant, unit, day in sums:
        yield tr(
            "{plant} {unit} {day}: batches hold records of the day, and it is not listed",
            plant=plant,
            unit=unit,
            day=day,
        )


def _batches(connection: Connection) -> Iterator[str]:
    """Check that payloads belong to batches, that only retention removed payloads, and that days name batches."""
    here = (batch.c.stream_id == payload.c.stream_id) & (batch.c.sequence == payload.c.sequence)
    for row in connection.execute(select(payload.c.stream_id, payload.c.sequence).where(~exists().where(here))):
        yield tr(
            "stream {stream_id}, payload {sequence}: belongs to no batch",
            stream_id=row.stream_id,
            sequence=row.sequence,
        )
    before_ms = connection.execute(select(store.c.payloads_before_ms)).scalar() or 0
    kept = exists().where(here)
    columns = (stream.c.plant, stream.c.gateway, stream.c.epoch, batch.c.sequence, batch.c.received_ms)
    query = select(*columns).join_from(batch, stream, stream.c.id == batch.c.stream_id)
    for lost in connection.execute(query.where(~kept & (batch.c.received_ms >= before_ms))):
        yield tr("{batch}: its payload of {time} is gone", batch=_name(lost), time=format_time(lost.received_ms))
    named = (batch.c.stream_id == batch_day.c.stream_id) & (batch.c.sequence == batch_day.c.sequence)
    for of_day in connection.execute(select(batch_day).where(~exists().where(named))):
        yield tr(
            "{plant} {day}: names batch {sequence} of stream {stream_id}, which is gone",
            plant=of_day.plant,
            day=of_day.day,
            sequence=of_day.sequence,
            stream_id=of_day.stream_id,
        )
    there = (lake_day.c.plant == batch_day.c.plant) & (lake_day.c.day == batch_day.c.day)
    unlisted = select(batch_day.c.plant, batch_day.c.day).distinct().where(~exists().where(there))
    for day in connection.execute(unlisted):
        yield tr("{plant} {day}: has batches, and is not listed to be sealed", plant=day.plant, day=day.day)


def _sequences(connection: Connection, lost: _Lost) -> Iterator[str]:
    """Check that covered ranges are exactly the sequences stored, refused or declared lost, and `through` with them.

    A gap record without units exists in its payload only: after the payload is removed nobody can tell what it closed.
    """
    known = select(stream.c.id)
    for table in (covered, batch, gap):
        for number in connection.execute(select(table.c.stream_id).distinct().where(table.c.stream_id.not_in(known))):
            yield tr("stream {number}: is not listed, and {table} names it", number=number[0], table=table.name)
    untold = _untold_gaps(connection)
    if connection.execute(select(quarantine.c.id).where(quarantine.c.topic == "").limit(1)).first():
        untold = None  # some refusals were only counted
    for row in connection.execute(select(stream)):
        name = tr("stream {plant}/{gateway}/{epoch}", plant=row.plant, gateway=row.gateway, epoch=row.epoch)
        query = select(covered.c.from_seq, covered.c.to_seq).where(covered.c.stream_id == row.id)
        held = [(int(r.from_seq), int(r.to_seq)) for r in connection.execute(query)]
        stored = connection.execute(
            select(batch.c.sequence, batch.c.received_ms).where(batch.c.stream_id == row.id)
        ).all()
        if ranges.merge(held) != sorted(held):
            yield tr("{name}: its ranges overlap or touch", name=name)
        told = ranges.merge([(int(each.sequence), int(each.sequence)) for each in stored])
        if ranges.merge([*held, *told]) != ranges.merge(held):
            yield tr("{name}: a stored batch is not covered", name=name)
        settled = ranges.merge([*told, *lost[row.plant, row.gateway, row.epoch], *_settled_otherwise(connection, row)])
        known_all = untold is not None and (row.plant, row.gateway) not in untold
        if known_all and ranges.merge([*held, *settled]) != settled:
            yield tr("{name}: sequences are settled that were neither stored nor refused nor declared lost", name=name)
        if ranges.through(ranges.merge(held)) != row.through:
            yield tr(
                "{name}: through is {through}, its ranges give {found}",
                name=name,
                through=row.through,
                found=ranges.through(ranges.merge(held)),
            )
        times = [int(each.received_ms) for each in stored]
        if times and not row.first_received_ms <= min(times) <= max(times) <= row.last_received_ms:
            yield tr("{name}: its batches came outside of the time it is listed with", name=name)


def _untold_gaps(connection: Connection) -> set[tuple[str, str]] | None:
    """Gateways with a batch that has gaps and whose payload was removed."""
    kept = (payload.c.stream_id == batch.c.stream_id) & (payload.c.sequence == batch.c.sequence)
    gone = select(stream.c.plant, stream.c.gateway).join_from(batch, stream, stream.c.id == batch.c.stream_id)
    rows = connection.execute(gone.where((batch.c.gap_count > 0) & ~exists().where(kept)).distinct())
    return {(row.plant, row.gateway) for row in rows}


def _settled_otherwise(connection: Connection, row: Any) -> list[ranges.Range]:
    """Sequences of a stream that were finally refused, or declared lost by a gap record of its gateway."""
    mine = (quarantine.c.plant == row.plant) & (quarantine.c.gateway == row.gateway)
    refused = select(quarantine.c.sequence).where(mine & (quarantine.c.epoch == row.epoch))
    of_gateway = (stream.c.plant == row.plant) & (stream.c.gateway == row.gateway) & (gap.c.epoch == row.epoch)
    lost = select(gap.c.from_seq, gap.c.to_seq).join_from(gap, stream, stream.c.id == gap.c.stream_id)
    found = [(int(r.from_seq), int(r.to_seq)) for r in connection.execute(lost.where(of_gateway).distinct())]
    return found + [(int(n), int(n)) for n in connection.execute(refused).scalars() if n is not None]


def _quarantine(connection: Connection) -> Iterator[str]:
    query = select(quarantine.c.id, quarantine.c.sha256, quarantine.c.bytes).execution_options(yield_per=50)
    for row in connection.execute(query):
        if row.bytes and hashlib.sha256(row.bytes).digest() != bytes(row.sha256):
            yield tr("quarantine {id}: its bytes are not those of its hash", id=row.id)


def _days(connection: Connection) -> Iterator[str]:
    for row in connection.execute(select(lake_day).where(lake_day.c.sealed > lake_day.c.wanted)):
        yield tr(
            "{plant} {day}: sealed as {sealed}, and {wanted} is the latest there is",
            plant=row.plant,
            day=row.day,
            sealed=row.sealed,
            wanted=row.wanted,
        )


def _days_of_batches(connection: Connection) -> dict[tuple[int, int], set[tuple[str, str]]]:
    found: dict[tuple[int, int], set[tuple[str, str]]] = defaultdict(set)
    for row in connection.execute(select(batch_day).execution_options(yield_per=1000)):
        found[row.stream_id, row.sequence].add((row.plant, row.day))
    return found


def _of_gap(lost: GapRecord) -> tuple[Any, ...]:
    epoch = None if lost.epoch is None else f"{lost.epoch:016x}"
    return lost.from_ms, lost.to_ms, lost.reason, epoch, lost.from_seq, lost.to_seq


def _gaps_of_batches(connection: Connection) -> dict[tuple[int, int], Counter[tuple[Any, ...]]]:
    plants = {row.id: row.plant for row in connection.execute(select(stream.c.id, stream.c.plant))}
    found: dict[tuple[int, int], Counter[tuple[Any, ...]]] = defaultdict(Counter)
    for row in connection.execute(select(gap).execution_options(yield_per=1000)):
        unit = row.unit if row.plant == plants.get(row.stream_id) else None
        said = (unit, row.from_ms, row.to_ms, row.reason, row.epoch, row.from_seq, row.to_seq)
        found[row.stream_id, row.sequence][said] += 1
    return found


def _set_aside(connection: Connection) -> set[tuple[str, str, str, int]]:
    query = select(quarantine).where(quarantine.c.code == _BAD_COLUMNS)
    return {(row.plant, row.gateway, row.epoch, row.sequence) for row in connection.execute(query)}


def _name(row: Any) -> str:
    return tr(
        "batch {plant}/{gateway}/{epoch}/{sequence}",
        plant=row.plant,
        gateway=row.gateway,
        epoch=row.epoch,
        sequence=row.sequence,
    )
