# SPDX-License-Identifier: GPL-3.0-or-later
"""A unit record (one unit at one instant) and a gap record (an interval known to be missing)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from collector.base.clock_state import ClockState


class Quality(IntEnum):
    """Quality of a value: may the settlement use it, and if not, why. Codes are stored and sent: never renumber."""

    GOOD = 0
    SUBSTITUTED = 1  # entered or computed instead of read, and marked so by its source
    LATE_TAG = 2  # the device's time tag was older than the last written record; recorded at arrival
    STALE = 16
    INVALID = 17  # the device itself marks the value invalid (IV bit, sentinel value)
    OUT_OF_RANGE = 18
    SUSPECT = 19  # a guard point does not match: the block may be shifted
    SILENT = 20
    REFUSED = 21
    GARBLED = 22

    @property
    def usable(self) -> bool:
        """True if the settlement may use the value."""
        return self < USABLE_BELOW


USABLE_BELOW = 16  # qualities below this code mark a usable value


class Cause(IntEnum):
    """The cause of a record: the schedule, or a change of a status."""

    TICK = 0
    CHANGE = 1


@dataclass(frozen=True, slots=True)
class UnitLayout:
    """The quantities that the records of one unit carry, in `QUANTITIES` order."""

    unit: str
    quantities: tuple[str, ...]


class UnitRecord(NamedTuple):
    """The record of one unit at one instant. A tuple, because thousands are made per second.

    `values` and `qualities` have one entry per quantity of the unit's `UnitLayout.quantities`; a value is the stored
    integer (`Quantity.scale`), or None where it is missing. `device_time_utc_ms`: the device's own time tag of the
    change that made the record. `era` counts clock steps backwards; within one era a unit's times strictly grow (B9).
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
    """An interval for which records of units will never be delivered, and the reason.

    `from_ms` inclusive to `to_ms` exclusive, UTC. Where batches were lost (`evicted`, `unreadable`) `epoch`, `from_seq`
    and `to_seq` (both included) name them, which closes the hole in the sequence; a gap with another reason (e.g.
    `agent_down`) names none.
    """

    units: tuple[str, ...]
    from_ms: int
    to_ms: int
    reason: str
    epoch: int | None = None
    from_seq: int | None = None
    to_seq: int | None = None
