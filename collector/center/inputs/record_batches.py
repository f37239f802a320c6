# SPDX-License-Identifier: GPL-3.0-or-later
"""Imported records on their way into the journal: columns become batches in streams of the center's own.

A record that replaces a stored one takes over its quantities that the file does not have; otherwise the batches are as
any other.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

import collector.wire as wire
from collector.base.errors import InvariantBroken
from collector.base.text import tr
from collector.center.lake.pieces import NOT_CARRIED
from collector.center.receive.arrivals import Accepted
from collector.center.receive.day_index import split_days
from collector.center.receive.journal import commit_group
from collector.model.quantity import QUANTITIES
from collector.model.record import Quality

BATCH_RECORDS: Final = 20_000
_BATCH_UNITS: Final = 256
# The gateway in a payload's header; the stream itself has a name that no gateway can have.
_HEADER_GATEWAY: Final = "import"

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def find_places(times: Int64s, stored: Int64s) -> tuple[npt.NDArray[np.intp], Bools]:
    """For each time its place among the stored ones, and whether it is one of them."""
    at = np.minimum(np.searchsorted(stored, times), len(stored) - 1)
    return at, np.asarray(stored[at] == times)


def put_over(given: wire.UnitColumns, stored: wire.UnitColumns) -> wire.UnitColumns:
    """Records that replace stored ones: their own quantities, and the stored values of the others."""
    at, _ = find_places(given.time_utc_ms, stored.time_utc_ms)
    kept = stored.select(at)
    # A batch can't mark a quantity as not carried in single records.
    others = {name: _said(column) for name, column in kept.columns.items() if (column.qualities != NOT_CARRIED).any()}
    columns = others | given.columns
    return dataclasses.replace(kept, columns={q.name: columns[q.name] for q in QUANTITIES if q.name in columns})


def _said(column: wire.QuantityColumn) -> wire.QuantityColumn:
    absent = column.qualities == NOT_CARRIED
    qualities = np.where(absent, np.uint8(Quality.SILENT), column.qualities)
    return wire.QuantityColumn(column.values, column.present & ~absent, qualities)


@dataclass
class RecordJournal:
    """Builds batches from columns, encodes each when it is full, and commits them together."""

    connection: Connection
    number: int
    now_ms: int
    _sequences: Counter[tuple[str, str]] = field(default_factory=Counter)
    _open: dict[tuple[str, str], list[wire.UnitColumns]] = field(default_factory=dict)
    _sealed: list[Accepted] = field(default_factory=list)

    def add(self, plant: str, gateway: str, columns: wire.UnitColumns) -> None:
        """Add records of one unit and day."""
        key = (plant, gateway)
        for start in range(0, len(columns.time_utc_ms), BATCH_RECORDS):
            some = columns.select(slice(start, start + BATCH_RECORDS))
            waiting = self._open.setdefault(key, [])
            count = sum(len(each.time_utc_ms) for each in waiting) + len(some.time_utc_ms)
            if waiting and (count > BATCH_RECORDS or len(waiting) == _BATCH_UNITS or waiting[-1].unit == some.unit):
                self._seal(key)
            self._open.setdefault(key, []).append(some)

    def _seal(self, key: tuple[str, str]) -> None:
        units = self._open.pop(key)
        plant, gateway = key
        self._sequences[key] += 1
        sequence = self._sequences[key]
        payload = wire.encode_columns(wire.Stream(plant, _HEADER_GATEWAY, self.number), sequence, units)
        envelope = wire.open_envelope(payload)
        accepted = Accepted(
            plant=plant,
            gateway=gateway,
            epoch=self.number,
            sequence=sequence,
            sha256=hashlib.sha256(envelope.header).digest(),
            payload=payload,
            record_count=envelope.record_count,
            first_ms=envelope.first_ms,
            last_ms=envelope.last_ms,
            parts=tuple(part for each in units for part in split_days(each.unit, each.time_utc_ms)),
            gaps=(),
        )
        self._sealed.append(accepted)

    def end_day(self) -> None:
        """Close the open batches: a batch over several days would be read for each of them."""
        for key in sorted(self._open):
            self._seal(key)

    def commit(self) -> None:
        """Journal the closed batches, in the connection's transaction."""
        if not self._sealed:
            return
        done = commit_group(self.connection, self._sealed, now_ms=self.now_ms, quarantine_max_bytes=0)
        if done.committed != len(self._sealed):
            raise InvariantBroken(tr("its number was used before"), subject=f"import {self.number}")
