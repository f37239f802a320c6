# SPDX-License-Identifier: GPL-3.0-or-later
"""A unit record (one unit at one instant) and a gap record (what is known to be missing)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from collector.base.clock_state import ClockState


class Quality(IntEnum):
    """Why a value may, or may not, be used. Codes are on the wire and in the lake: never renumber."""

    GOOD = 0
    SUBSTITUTED = 1  # entered or computed in place of the reading, marked so by its source
    LATE_TAG = 2  # the device's time tag was older than the last written record; recorded at arrival
    STALE = 16
    INVALID = 17  # the device itself says so (IV bit, sentinel value)
    OUT_OF_RANGE = 18
    SUSPECT = 19  # a guard point does not match: the block may be shifted
    SILENT = 20
    REFUSED = 21
    GARBLED = 22

    @property
    def usable(self) -> bool:
        """Whether the value counts in the settlement."""
        return self < USABLE_BELOW


USABLE_BELOW = 16  # qualities under this code carry a usable value


class Cause(IntEnum):
    """What made the record: the schedule, or a change of a status."""

    TICK = 0
    CHANGE = 1


@dataclass(frozen=True, slots=True)
class UnitLayout:
    """Which quantities the records of one unit carry, in `QUANTITIES` order."""

    unit: str
    quantities: tuple[str, ...]


class UnitRecord(NamedTuple):
    """One unit at one instant. A tuple, because thousands a second are made.

    `values` and `qualities` run along the unit's `UnitLayout.quantities`; a value is the stored integer
    (`Quantity.scale`) or None where there is none. `device_time_utc_ms`: the device's own tag of the change that made
    the record. `era` counts clock steps backwards; within one era the times of a unit strictly grow (B9).
    """

    unit: str
    time_utc_ms: int
    values: tuple[int | None, ...]
    qualities: tuple[Quality, ...]
    cause: Cause = Cause.TICK
    era: int = 0
    clock: ClockState = ClockState.UNKNOWN
    device_time_utc_ms: int | None = None


@dataclass(frozen=True, slots=True)
class GapRecord:
    """Time of units that will never be delivered, and why.

    `from_ms` inclusive to `to_ms` exclusive, UTC. Where batches were lost (`evicted`, `unreadable`) `epoch`,
    `from_seq` and `to_seq` (both included) name them, which closes the hole in the sequence; a gap of the agent
    itself (`agent_down`) has none.
    """

    units: tuple[str, ...]
    from_ms: int
    to_ms: int
    reason: str
    epoch: int | None = None
    from_seq: int | None = None
    to_seq: int | None = None
