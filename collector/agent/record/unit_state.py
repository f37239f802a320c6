# SPDX-License-Identifier: GPL-3.0-or-later
"""The present values of one unit, in columns: thousands of values per second arrive here, in whole blocks.

A unit has a slot for each of its sources: first the primary sources in the order of the layout, then the backups.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from operator import add, itemgetter
from typing import Final, NamedTuple

from collector.model.record import Quality, UnitLayout

AT: Final = itemgetter(0)  # at_ms of a waiting value or block


class WaitingValue(NamedTuple):
    """A value that waits for its record. `tag_ms`: the device's own time tag; `event`: reported spontaneously."""

    at_ms: int
    slot: int
    value: int | None
    quality: Quality
    tag_ms: int | None
    event: bool


class WaitingBlock(NamedTuple):
    """Values of the slots from `start` to before `stop` that were read together and wait for their record."""

    at_ms: int
    start: int
    stop: int
    values: Sequence[int | None]
    qualities: Sequence[Quality]

    @property
    def event(self) -> bool:
        """False: values read in a block were not reported spontaneously."""
        return False


def singly(entries: Iterable[WaitingValue | WaitingBlock]) -> list[WaitingValue]:
    """The entries with each block split into one change per value."""
    changes = []
    for entry in entries:
        if isinstance(entry, WaitingValue):
            changes.append(entry)
            continue
        slots = range(entry.start, entry.stop)
        for slot, value, quality in zip(slots, entry.values, entry.qualities, strict=True):
            changes.append(WaitingValue(entry.at_ms, slot, value, quality, None, False))
    return changes


class UnitState:
    """The present values of one unit, and the values that wait for their record. Times in UTC ms.

    `at_ms`: the instants the values belong to, 0 before the first; `held_ms`: until when the device confirms them.
    `watched`: slots whose changes make records. `pending`: in order of arrival; `reported`: some of it was reported
    spontaneously. `last_ms`: time of the last record.

    Args:
        layout: quantities of its records.
        stale_ms: per slot the greatest age of a usable value.
        backups: slot of a quantity -> slot of its backup.
        watched: as above.
    """

    __slots__ = (
        "at_ms", "backups", "fresh_start", "held_ms", "last_ms", "layout", "pending", "qualities", "reported",
        "stale_least_ms", "stale_ms", "values", "watched",
    )  # fmt: skip

    def __init__(
        self, layout: UnitLayout, stale_ms: Sequence[int], backups: dict[int, int], watched: frozenset[int]
    ) -> None:
        self.layout, self.stale_ms, self.backups, self.watched = layout, tuple(stale_ms), backups, watched
        self.stale_least_ms = min(stale_ms)
        self.at_ms = [0] * len(stale_ms)
        self.held_ms = [0] * len(stale_ms)
        self.values: list[int | None] = [None] * len(stale_ms)
        self.qualities = [Quality.SILENT] * len(stale_ms)
        self.pending: list[WaitingValue | WaitingBlock] = []
        self.reported = False
        self.last_ms: int | None = None
        self.fresh_start = True

    def take_due(self, time_ms: int) -> list[WaitingValue | WaitingBlock]:
        """Remove and return the pending values of instants up to `time_ms`, sorted by instant, then by arrival."""
        pending = self.pending
        if not pending:
            return pending
        if len(pending) == 1:
            # The usual case: the values of one answer of one device.
            if pending[0].at_ms > time_ms:
                return []
            self.pending = []
            return pending
        pending.sort(key=AT)
        count = bisect_right(pending, time_ms, key=AT)
        self.pending = pending[count:]
        return pending[:count]

    def apply(self, entries: Iterable[WaitingValue | WaitingBlock]) -> None:
        """Take over the values of `entries`."""
        for entry in entries:
            if isinstance(entry, WaitingBlock):
                at_ms, start, stop, values, qualities = entry
                self.at_ms[start:stop] = [at_ms] * (stop - start)
                self.values[start:stop] = values
                self.qualities[start:stop] = qualities
            else:
                at_ms, slot, value, quality, _, _ = entry
                self.at_ms[slot], self.values[slot], self.qualities[slot] = at_ms, value, quality

    def slot_at(self, slot: int, time_ms: int) -> tuple[int | None, Quality]:
        """The value of a slot at `time_ms`, and its quality by age."""
        quality = self.qualities[slot]
        if max(self.at_ms[slot], self.held_ms[slot]) < time_ms - self.stale_ms[slot] and quality < Quality.STALE:
            return None, Quality.STALE
        return self.values[slot], quality

    def at(self, time_ms: int) -> tuple[tuple[int | None, ...], tuple[Quality, ...]]:
        """Values and qualities of a record at `time_ms`; a backup replaces a primary source without a usable value."""
        count = len(self.layout.quantities)
        at_ms = self.at_ms
        # Mostly no value is stale; sources that are read or held seldom may have an old one.
        if min(at_ms) >= time_ms - self.stale_least_ms or (
            min(map(add, map(max, at_ms, self.held_ms), self.stale_ms)) >= time_ms
        ):
            if not self.backups:
                return tuple(self.values), tuple(self.qualities)
            values, qualities = self.values[:count], self.qualities[:count]
        else:
            found = [self.slot_at(slot, time_ms) for slot in range(count)]
            values, qualities = [value for value, _ in found], [quality for _, quality in found]
        for slot, backup in self.backups.items():
            if not qualities[slot].usable:
                value, quality = self.slot_at(backup, time_ms)
                if quality.usable:
                    values[slot], qualities[slot] = value, Quality.SUBSTITUTED
        return tuple(values), tuple(qualities)
