# SPDX-License-Identifier: GPL-3.0-or-later
"""The offset of a station's clock, measured by the time tags of changes that it reports as they happen.

A delay only makes a tag look older, so a tag ahead of our clock, or near it, shows the station's clock at once. A tag
far behind is either from a slow clock or from a late event: a station that was cut off sends its stored events. Late
events differ in age, while a slow clock is behind by the same time for every change: so an old tag counts only when a
change that arrives later is behind by as much.
"""

from __future__ import annotations

from typing import Final

# A change that is no older than this is not late.
_FRESH_MS: Final = 2_000
# Two changes show one clock when their offsets differ by no more than this ...
_ALIKE_MS: Final = 2_000
# ... and the second arrives this much later: what a station kept comes all at once.
_APART_MS: Final = 10_000
# An older measurement counts no more than a newer one: the clock may have been set meanwhile.
_LASTING_MS: Final = 3_600_000


class StationClock:
    """Measures one station's clock. Times are UTC ms, those of arrival by our clock."""

    def __init__(self) -> None:
        self._offset_ms: int | None = None
        self._measured_at_ms = 0
        self._old: tuple[int, int] | None = None

    @property
    def offset_ms(self) -> int | None:
        """The station's clock minus ours, ms, negative where it is behind; None: not known yet."""
        return self._offset_ms

    def forget(self) -> None:
        """Start anew: the link was lost, and the next changes may be old."""
        self._offset_ms, self._old = None, None

    def observe(self, tag_ms: int, arrival_ms: int) -> None:
        """Take the tag of a change that was reported spontaneously."""
        offset_ms = tag_ms - arrival_ms
        if offset_ms < -_FRESH_MS and not self._confirms(offset_ms, arrival_ms):
            return
        lasts = arrival_ms - self._measured_at_ms < _LASTING_MS
        alike = self._offset_ms is not None and abs(offset_ms - self._offset_ms) <= _ALIKE_MS
        # Of measurements that agree the largest is the least delayed.
        if not (alike and lasts and self._offset_ms is not None and offset_ms < self._offset_ms):
            self._offset_ms, self._measured_at_ms = offset_ms, arrival_ms

    def _confirms(self, offset_ms: int, arrival_ms: int) -> bool:
        """True if an earlier change was behind by as much, long enough ago; else this one is kept for comparison."""
        before = self._old
        if before is not None and abs(offset_ms - before[0]) <= _ALIKE_MS:
            return arrival_ms - before[1] >= _APART_MS
        self._old = offset_ms, arrival_ms
        return False
