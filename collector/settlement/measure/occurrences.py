# SPDX-License-Identifier: GPL-3.0-or-later
"""Stops and restarts read from the known runs of a breaker: those that are certain, and those that holes may hide.

A hole is the time between two known runs; between different states without missing time it has no length. A hole
shorter than `min_stop_ms` hides nothing between equal states and only its one edge between different ones (I-20).
Instants are whole milliseconds, ends of intervals included unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

from collector.settlement.measure.results import StatusRun

FAR: Final = 1 << 60  # where nothing is known before the first or after the last run


class Occurrence(NamedTuple):
    """A stop and restart: the opening lies in [a, b], the closing in [c, d] (rules.md section 2)."""

    a: int
    b: int
    c: int
    d: int

    @property
    def gap_ms(self) -> int:
        """From the first known off to the first known on again."""
        return self.d - self.b


class Span(NamedTuple):
    """Instants from `first` to `last`, both included; none if `last` is before `first`."""

    first: int
    last: int

    def within(self, other: Span) -> Span:
        """The instants of both."""
        return Span(max(self.first, other.first), min(self.last, other.last))

    def __bool__(self) -> bool:
        return self.first <= self.last


class Possible(NamedTuple):
    """A stop somewhere in `opening` and the restart after it somewhere in `closing`; `after_off`: in a hole after off.

    The breaker is off from the one to the other. An opening in a hole after a known off is not the first of its order:
    the unit must have come back before.
    """

    opening: Span
    closing: Span
    after_off: bool


@dataclass(frozen=True, slots=True)
class _Hole:
    """The time [start, end] between two known states (None: nothing known on that side)."""

    start: int
    end: int
    before: int | None
    after: int | None
    long: bool

    @property
    def openings(self) -> Span:
        """When the breaker may have opened."""
        if not self.long and (self.before, self.after) != (1, 0):
            return Span(0, -1)
        return Span(self.start + (self.before == 0), self.end - (self.after == 1))

    @property
    def closings(self) -> Span:
        """When the breaker may have closed."""
        if not self.long and (self.before, self.after) != (0, 1):
            return Span(0, -1)
        return Span(self.start + (self.before == 1), self.end - (self.after == 0))


def certain_occurrences(runs: Sequence[StatusRun], max_gap_ms: int, *, exact: bool) -> list[Occurrence]:
    """Each known off between two known on, at most 24 h from the last on to the next; `exact`: only without a hole."""
    found: list[Occurrence] = []
    last_on: StatusRun | None = None
    off: list[StatusRun] = []
    for run in runs:
        if run.state == 0:
            off.append(run)
            continue
        if last_on is not None and off:
            one = Occurrence(last_on.end_ms, off[0].start_ms, off[-1].end_ms, run.start_ms)
            whole = len(off) == 1 and (one.a, one.c) == (one.b, one.d)
            if one.d - one.a <= max_gap_ms and (whole or not exact):
                found.append(one)
        last_on, off = run, []
    return found


def possible_occurrences(
    runs: Sequence[StatusRun], inside: Span, max_gap_ms: int, min_stop_ms: int
) -> Iterator[Possible]:
    """Every stop and restart inside an order that the known runs allow; the closing is at most `max_gap_ms` later."""
    holes = [hole for hole in _holes(runs, min_stop_ms) if hole.end >= inside.first and hole.start <= inside.last]
    for index, first in enumerate(holes):
        opening = first.openings.within(inside)
        if not opening:
            continue
        for last in holes[index:]:
            if last is not first and last.before == 1:
                break  # known on between the two
            closing = last.closings.within(Span(opening.first + 1, min(inside.last, opening.last + max_gap_ms)))
            if closing and (last is not first or first.long):
                yield Possible(opening, closing, first.before == 0)


def without_short_holes(runs: Sequence[StatusRun], min_stop_ms: int) -> list[StatusRun]:
    """The runs, those of one state joined over holes that hide nothing: an export may have one each minute."""
    joined: list[StatusRun] = []
    for run in runs:
        last = joined[-1] if joined else None
        if last is not None and last.state == run.state and run.start_ms - last.end_ms < min_stop_ms:
            joined[-1] = last._replace(end_ms=run.end_ms)
        else:
            joined.append(run)
    return joined


def _holes(runs: Sequence[StatusRun], min_stop_ms: int) -> Iterator[_Hole]:
    if not runs:
        yield _Hole(-FAR, FAR, None, None, long=True)
        return
    yield _Hole(-FAR, runs[0].start_ms, None, runs[0].state, long=True)
    for before, after in pairwise(runs):
        long = after.start_ms - before.end_ms >= max(min_stop_ms, 1)
        yield _Hole(before.end_ms, after.start_ms, before.state, after.state, long)
    yield _Hole(runs[-1].end_ms, FAR, runs[-1].state, None, long=True)
