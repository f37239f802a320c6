# SPDX-License-Identifier: GPL-3.0-or-later
"""A plant's stored records by day: from the journal's payloads while they are kept, then from the day files.

Imported records are in streams of their own, with a gateway name that no gateway can have (`streams.IMPORTED`). Such a
record ranks after every gateway's; one imported as a replacement (`streams.REPLACING`) ranks before them all, the later
import first.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

import collector.wire as wire
from collector.base.errors import Garbled, InvariantBroken
from collector.base.text import tr
from collector.center.db.storage.lake_place import LakePath
from collector.center.db.tables_receive import batch, batch_day, enrolled, lake_file, payload, stream
from collector.center.lake.day_file import FILE_RANK, choose, read_units
from collector.center.lake.pieces import DAY, Origin, Piece, clip
from collector.center.receive.arrivals import UnitPart
from collector.center.receive.day_index import parts_of
from collector.center.receive.stream_state import IMPORTED, REPLACING
from collector.model.interval import Interval


class UnreadableBatch(InvariantBroken):
    """The columns of a stored batch can't be decoded, though its bytes are unaltered: the sender made it so.

    Admission checks the index alone, which was valid; the reader of the records finds the problem.
    """

    def __init__(self, message: str, origin: Origin, stream_id: int, parts: tuple[UnitPart, ...]) -> None:
        super().__init__(message, subject=f"{origin.gateway}/{origin.epoch:016x}/{origin.sequence}")
        self.origin, self.stream_id, self.parts = origin, stream_id, parts


def source_of(connection: Connection, lake: LakePath, plant: str) -> PlantRecords:
    """The reader of a plant's records, by the present order of its gateways."""
    text = connection.execute(select(enrolled.c.gateways).where(enrolled.c.plant == plant)).scalar()
    ranks = {gateway: rank for rank, gateway in enumerate(json.loads(text) if text else [])}
    return PlantRecords(connection, lake, plant, ranks)


@dataclass(frozen=True)
class PlantRecords:
    """One plant's records as one connection sees them. `ranks`: the place of each gateway in the plant's order."""

    connection: Connection
    lake: LakePath
    plant: str
    ranks: Mapping[str, int]

    def pieces(self, day: str, place: int, from_ms: int, to_ms: int) -> Iterator[Piece]:
        """Records of `day` in [from_ms, to_ms).

        Raises:
            Altered: payloads are gone, and the day file they went into is not as it was sealed.
        """
        pruned = False
        for row in self._batches(day, from_ms, to_ms):
            if row.bytes is None:
                pruned = True
                continue
            origin = self._origin(row)
            for columns in _read_back(row, origin).units:
                if records := clip(columns, from_ms, to_ms):
                    yield Piece(records, place, origin)
        if pruned:
            where = (lake_file.c.plant == self.plant) & (lake_file.c.day == day) & lake_file.c.superseded_ms.is_(None)
            name, sha256 = self.connection.execute(select(lake_file.c.name, lake_file.c.sha256).where(where)).one()
            path, origin = self.lake / self.plant / name, Origin(FILE_RANK, "", 0, 0)
            for records in read_units(path, sha256, from_ms=from_ms, to_ms=to_ms, as_delivered=True):
                yield Piece(records, place, origin)

    def counting(self, day: str, interval: Interval, units: Collection[str]) -> dict[str, wire.UnitColumns]:
        """The records of `day` in `interval` that count, for some units: one an instant, in order of time."""
        return choose(p for p in self.pieces(day, DAY, interval.start_ms, interval.end_ms) if p.records.unit in units)

    def parts(self, day: str, epoch: int | None = None) -> Iterator[UnitPart]:
        """The parts of every batch of `day`, by unit; `epoch`: only those of the import of this number.

        Raises:
            InvariantBroken: the payload of one is gone; the caller asks `is_kept` first.
        """
        for row in self._batches(day, -(1 << 62), 1 << 62):
            of_import = row.gateway in (IMPORTED, REPLACING)
            if epoch is not None and not (of_import and int(row.epoch, 16) == epoch):
                continue
            if row.bytes is None:
                raise InvariantBroken(tr("its payload is gone"), subject=f"{self.plant} {day}")
            with _readable(self._origin(row)):
                parts = parts_of(wire.decode_times(wire.open_envelope(row.bytes)))
            yield from (part for part in parts if part.day == day)

    def is_kept(self, day: str) -> bool:
        """True if the payloads of all batches of `day` are still there."""
        same = (payload.c.stream_id == batch_day.c.stream_id) & (payload.c.sequence == batch_day.c.sequence)
        gone = select(batch_day.c.sequence).select_from(batch_day.outerjoin(payload, same))
        where = (batch_day.c.plant == self.plant) & (batch_day.c.day == day) & payload.c.sequence.is_(None)
        return self.connection.execute(gone.where(where).limit(1)).first() is None

    def _origin(self, row: Any) -> Origin:
        epoch = int(row.epoch, 16)
        if row.gateway == REPLACING:
            rank = FILE_RANK - epoch  # the epoch of an import is its number, from 1
        else:
            rank = self.ranks.get(row.gateway, len(self.ranks) + (row.gateway == IMPORTED))
        return Origin(rank, row.gateway, epoch, int(row.sequence))

    def _batches(self, day: str, from_ms: int, to_ms: int) -> Iterable[Any]:
        ids = (batch_day.c.stream_id == batch.c.stream_id) & (batch_day.c.sequence == batch.c.sequence)
        kept = (payload.c.stream_id == batch.c.stream_id) & (payload.c.sequence == batch.c.sequence)
        where = (batch_day.c.plant == self.plant) & (batch_day.c.day == day)
        overlaps = (batch.c.last_ms >= from_ms) & (batch.c.first_ms < to_ms)
        query = (
            select(stream.c.id, stream.c.gateway, stream.c.epoch, batch.c.sequence, payload.c.bytes)
            .select_from(
                batch_day.join(batch, ids).join(stream, stream.c.id == batch.c.stream_id).outerjoin(payload, kept)
            )
            .where(where & overlaps)
            .order_by(stream.c.gateway, stream.c.epoch, batch.c.sequence)
        )
        return self.connection.execute(query)


def _read_back(row: Any, origin: Origin) -> wire.BatchColumns:
    """Decode a stored batch."""
    with _readable(origin):
        envelope = wire.open_envelope(row.bytes)
        try:
            return wire.decode_columns(envelope)
        except Garbled as error:
            parts = parts_of(wire.decode_times(envelope))
            raise UnreadableBatch(
                tr("its records can't be decoded: {error}", error=error), origin, row.id, parts
            ) from error


@contextmanager
def _readable(origin: Origin) -> Iterator[None]:
    """Turn a decoding error into a broken invariant: the bytes were readable on arrival."""
    try:
        yield
    except Garbled as error:
        subject = f"{origin.gateway}/{origin.epoch:016x}/{origin.sequence}"
        raise InvariantBroken(tr("a stored batch can't be read back: {error}", error=error), subject=subject) from error
