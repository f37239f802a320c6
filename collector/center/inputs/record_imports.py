# SPDX-License-Identifier: GPL-3.0-or-later
"""Records that people deliver as files: checked against the stored ones, journalled in streams of their own, undone.

They bypass the devices: a plant's archive, a meter's list, a month from before there was a gateway. A record of a file
becomes one of the lake like any other; its values have quality `substituted` because no device chain vouches for them
(Art. 19). For each instant of a unit: where nothing is stored, the record is added; where the same is stored, nothing
happens; where something else is stored, the record is refused, or replaces it where asked. A replaced record stays in
the journal and among the day's other records. Quantities that the file does not have keep the stored value of the
instant; an empty cell is a missing value.

A file is taken whole or not at all, in one transaction. Beyond the table of the file itself, memory is needed for one
plant and day, and for the encoded batches (some 15 bytes a record).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, delete, select

import collector.wire as wire
from collector.base.errors import InvariantBroken, StoreError
from collector.base.text import tr
from collector.center.db.storage.lake_place import LakePath
from collector.center.db.tables_receive import batch_day, store, stream, unit_day
from collector.center.inputs.conflicts import RowsInConflict
from collector.center.inputs.imports import Imported, pack, record_import
from collector.center.inputs.kinds import RECORDS
from collector.center.inputs.record_batches import RecordJournal, find_places, put_over
from collector.center.inputs.record_files import RecordFile, UnitDayRows
from collector.center.lake.pieces import not_carried
from collector.center.lake.stored_records import PlantRecords, source_of
from collector.center.receive.day_index import rewrite_unit_days
from collector.center.receive.stream_state import IMPORTED, REPLACING
from collector.model.interval import format_time
from collector.model.quantity import BY_NAME, from_scaled
from collector.sheets.files import Delivered
from collector.sheets.findings import LISTED_PER_KIND, Findings

_NEW, _SAME, _CONFLICT = 0, 1, 2

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
UInt8s = npt.NDArray[np.uint8]


def import_records(
    connection: Connection,
    delivered: Delivered,
    file: RecordFile,
    *,
    lake: LakePath,
    who: str,
    now_ms: int,
    replace: bool,
) -> Imported:
    """Take a valid file of records into the store, whole or not at all. `lake`: the folder of the day files.

    Raises:
        ConfigError: the rows that conflict with stored records.
        InvariantBroken: stored records can't be read back.
    """
    # One import of records at a time: the records it is compared with must not change meanwhile.
    connection.execute(select(store.c.id).with_for_update()).all()
    verdicts = _compare(connection, file, lake)
    counts = Counter(verdicts.tolist())
    if counts[_CONFLICT] and not replace:
        _refuse(connection, file, verdicts, lake)
    result = (counts[_NEW], counts[_SAME], counts[_CONFLICT])
    if not counts[_NEW] and not counts[_CONFLICT]:
        return Imported(None, *result)
    packed = pack(delivered)
    number = record_import(connection, RECORDS, delivered, packed, who=who, now_ms=now_ms, counts=result)
    _commit(connection, file, verdicts, lake=lake, number=number, now_ms=now_ms)
    return Imported(number, *result)


def undo_records(connection: Connection, number: int, *, lake: LakePath, now_ms: int) -> None:
    """Undo an import of records: its days are sealed again without it. The caller has checked that it may be undone.

    Raises:
        StoreError: payloads of such a day are gone, so that its day file can't be made without it any more.
    """
    mine = stream.c.gateway.in_((IMPORTED, REPLACING)) & (stream.c.epoch == f"{number:016x}")
    streams = [int(n) for n in connection.execute(select(stream.c.id).where(mine)).scalars()]
    of_mine = batch_day.c.stream_id.in_(streams)
    query = select(batch_day.c.plant, batch_day.c.day).where(of_mine).distinct()
    touched = sorted((str(r.plant), str(r.day)) for r in connection.execute(query))
    sources = {plant: source_of(connection, lake, plant) for plant, _ in touched}
    if lost := [f"{plant} {day}" for plant, day in touched if not sources[plant].is_kept(day)]:
        more = tr(" and {count} more days", count=len(lost) - 1) if len(lost) > 1 else ""
        message = tr(
            "the batches of {days} have gone into the day file for good (lake.keep_payload_days): "
            "import the right records as a replacement",
            days=lost[0] + more,
        )
        raise StoreError(message, subject=tr("import {number}", number=number))
    keys = {(plant, part.unit, day) for plant, day in touched for part in sources[plant].parts(day, number)}
    connection.execute(delete(batch_day).where(of_mine))
    kept = ((plant, part) for plant, day in touched for part in sources[plant].parts(day))
    rewrite_unit_days(connection, keys, kept, now_ms)


def _compare(connection: Connection, file: RecordFile, lake: LakePath) -> UInt8s:
    """The verdict on each row: new, the same as the stored record, or in conflict with it."""
    verdicts = np.zeros(len(file.time), dtype=np.uint8)
    for source, day, parts in _met(connection, file, lake):
        counting = source.counting(day, file.span(parts), {part.unit for part in parts})
        for part in parts:
            if part.unit in counting:
                verdicts[part.first : part.end] = _verdicts(file.records(part), counting[part.unit])
    return verdicts


def _met(
    connection: Connection, file: RecordFile, lake: LakePath
) -> Iterator[tuple[PlantRecords, str, list[UnitDayRows]]]:
    """The parts of the file whose units have stored records on the day."""
    for plant, days in groupby(file.days(), key=lambda each: each[0]):
        source = source_of(connection, lake, plant)
        rows = connection.execute(select(unit_day.c.unit, unit_day.c.day).where(unit_day.c.plant == plant))
        there = {(str(row.unit), str(row.day)) for row in rows}
        for _, day, parts in days:
            if met := [part for part in parts if (part.unit, day) in there]:
                yield source, day, met


def _verdicts(given: wire.UnitColumns, stored: wire.UnitColumns) -> UInt8s:
    at, beside = find_places(given.time_utc_ms, stored.time_utc_ms)
    same = np.ones(len(at), dtype=np.bool_)
    for name, mine in given.columns.items():
        other = _stored(stored, name, at)
        same &= np.where(mine.present, other.usable & (other.values == mine.values), ~other.usable)
    return np.where(beside, np.where(same, _SAME, _CONFLICT), _NEW).astype(np.uint8)


def _stored(stored: wire.UnitColumns, name: str, at: npt.NDArray[np.intp]) -> wire.QuantityColumn:
    return (stored.columns.get(name) or not_carried(len(stored.time_utc_ms))).select(at)


def _refuse(connection: Connection, file: RecordFile, verdicts: UInt8s, lake: LakePath) -> None:
    """Refuse the rows in conflict.

    Raises:
        ConfigError: the first rows in conflict, and the number of the others.
    """
    findings = Findings()
    conflicts = np.flatnonzero(verdicts == _CONFLICT)
    listed = set(conflicts[:LISTED_PER_KIND].tolist())
    rows = file.rows_of(listed)
    for source, day, parts in _met(connection, file, lake):
        chosen = [part for part in parts if any(part.first <= index < part.end for index in listed)]
        if not chosen:
            continue
        counting = source.counting(day, file.span(chosen), {part.unit for part in chosen})
        for part in chosen:
            for index in sorted(n for n in listed if part.first <= n < part.end):
                column, words = _difference(file.records(part), index - part.first, counting[part.unit])
                findings.add(file.name, rows.get(index, 0), column, words)
    if more := len(conflicts) - len(listed):
        findings.add(file.name, 0, "", tr("… and {more} more rows that differ from stored records", more=more))
    raise RowsInConflict(findings.problems())


def _difference(given: wire.UnitColumns, index: int, stored: wire.UnitColumns) -> tuple[str, str]:
    """The first quantity in which a row differs from the stored record, and the difference."""
    at, _ = find_places(given.time_utc_ms[index : index + 1], stored.time_utc_ms)
    for name, column in given.columns.items():
        other = _stored(stored, name, at)
        mine, theirs = bool(column.present[index]), bool(other.usable[0])
        if mine == theirs and (not mine or column.values[index] == other.values[0]):
            continue
        here = f"{from_scaled(int(column.values[index]), BY_NAME[name].scale):f}" if mine else tr("no value")
        there = f"{from_scaled(int(other.values[0]), BY_NAME[name].scale):f}" if theirs else tr("no value")
        return name, tr(
            "{unit} at {time}: {here} here, {there} stored; import the file as a replacement to let it count",
            unit=given.unit, time=format_time(int(given.time_utc_ms[index])), here=here, there=there,
        )  # fmt: skip
    raise InvariantBroken(tr("a row in conflict differs in nothing"), subject=given.unit)


def _commit(
    connection: Connection, file: RecordFile, verdicts: UInt8s, *, lake: LakePath, number: int, now_ms: int
) -> None:
    """Journal new and replacing records as one group, so that locks are taken in a receiver's order."""
    journal = RecordJournal(connection, number, now_ms)
    for plant, day, parts in file.days():
        stored: dict[str, wire.UnitColumns] = {}
        replacing = [part for part in parts if (verdicts[part.first : part.end] == _CONFLICT).any()]
        if replacing:
            source = source_of(connection, lake, plant)
            stored = source.counting(day, file.span(replacing), {part.unit for part in replacing})
        for part in parts:
            given, verdict = file.records(part), verdicts[part.first : part.end]
            journal.add(plant, IMPORTED, given.select(verdict == _NEW))
            if (verdict == _CONFLICT).any():
                journal.add(plant, REPLACING, put_over(given.select(verdict == _CONFLICT), stored[part.unit]))
        journal.end_day()
    journal.commit()
