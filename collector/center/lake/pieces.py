# SPDX-License-Identifier: GPL-3.0-or-later
"""The pieces of a day file: records of one unit as columns, with their origin and their place in the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from collector.wire import QuantityColumn as QuantityColumn
from collector.wire import UnitColumns as UnitColumns

HEAD, DAY, TAIL = -1, 0, 1
NOT_CARRIED: Final = 255  # in memory, the quality of a quantity that the record does not have at all

Int64s = npt.NDArray[np.int64]
UInt8s = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of records; `rank` is the gateway's place in the plant's order."""

    rank: int
    gateway: str
    epoch: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Piece:
    """Records of one unit from one origin, for one place of a day file."""

    records: UnitColumns
    place: int
    origin: Origin


def clip(records: UnitColumns, from_ms: int, to_ms: int) -> UnitColumns | None:
    """The records in [from_ms, to_ms); None where there are none."""
    keep = (records.time_utc_ms >= from_ms) & (records.time_utc_ms < to_ms)
    if not keep.any():
        return None
    return records if keep.all() else records.select(keep)


def not_carried(size: int) -> QuantityColumn:
    """A quantity that none of `size` records has."""
    nothing = np.zeros(size, dtype=np.bool_)
    return QuantityColumn(np.zeros(size, dtype=np.int64), nothing, np.full(size, NOT_CARRIED, dtype=np.uint8))
