# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of one unit from one origin as columns: what day files are built from and read back into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from collector.wire import UnitColumns

HEAD, DAY, TAIL = -1, 0, 1
NOT_CARRIED: Final = 255  # in memory, the quality of a quantity that the record does not have at all

Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]
UInt8s = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where records came from; `rank` is the gateway's place in the plant's order."""

    rank: int
    gateway: str
    epoch: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Column:
    """One quantity of a piece: stored integers, where there is a value, and the quality or NOT_CARRIED."""

    values: Int64s
    present: Bools
    qualities: UInt8s


@dataclass(frozen=True, slots=True)
class Piece:
    """Records of one unit from one origin, for one place of a day file."""

    unit: str
    place: int
    origin: Origin
    time: Int64s
    era: Int64s
    cause: Int64s
    clock: Int64s
    tagged: Bools
    device_time: Int64s
    columns: dict[str, Column]

    def select(self, keep: Bools | npt.NDArray[np.intp]) -> Piece:
        """The same with some of its records."""
        return Piece(
            unit=self.unit,
            place=self.place,
            origin=self.origin,
            time=self.time[keep],
            era=self.era[keep],
            cause=self.cause[keep],
            clock=self.clock[keep],
            tagged=self.tagged[keep],
            device_time=self.device_time[keep],
            columns={
                name: Column(c.values[keep], c.present[keep], c.qualities[keep]) for name, c in self.columns.items()
            },
        )


def piece_of(columns: UnitColumns, origin: Origin, place: int) -> Piece:
    """What a batch holds of one unit."""
    return Piece(
        unit=columns.unit,
        place=place,
        origin=origin,
        time=columns.time_utc_ms,
        era=columns.era,
        cause=columns.cause,
        clock=columns.clock,
        tagged=columns.tagged,
        device_time=columns.device_time_utc_ms,
        columns={
            name: Column(columns.values[i], columns.present[i], columns.qualities[i])
            for i, name in enumerate(columns.quantities)
        },
    )


def clip(piece: Piece, from_ms: int, to_ms: int) -> Piece | None:
    """Its records in [from_ms, to_ms); None where there are none."""
    keep = (piece.time >= from_ms) & (piece.time < to_ms)
    if not keep.any():
        return None
    return piece if keep.all() else piece.select(keep)


def not_carried(size: int) -> Column:
    """A quantity that none of `size` records has."""
    nothing = np.zeros(size, dtype=np.bool_)
    return Column(np.zeros(size, dtype=np.int64), nothing, np.full(size, NOT_CARRIED, dtype=np.uint8))
