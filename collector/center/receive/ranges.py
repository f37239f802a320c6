# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of sequence numbers as sorted, disjoint, non-touching ranges, both ends included."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

Range = tuple[int, int]


def merge(ranges: Iterable[Range]) -> list[Range]:
    """The union; ranges that overlap or touch become one. Order and repetition of the input do not matter."""
    merged: list[Range] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def through(merged: Sequence[Range]) -> int:
    """The highest sequence up to which all are in the set: sequences start at 1, so 0 where 1 is missing."""
    return merged[0][1] if merged and merged[0][0] <= 1 else 0


def find(merged: Sequence[Range], number: int) -> Range | None:
    """The range that contains a number."""
    place = bisect_right(merged, number, key=lambda r: r[0]) - 1
    return merged[place] if place >= 0 and number <= merged[place][1] else None


def holds(merged: Sequence[Range], number: int) -> bool:
    """True if a number is in the set."""
    return find(merged, number) is not None


def add(merged: list[Range], new: Range) -> None:
    """Add a range to the set."""
    start, end = new
    first = bisect_right(merged, start - 1, key=lambda r: r[0]) - 1
    if first < 0 or merged[first][1] < start - 1:
        first += 1
    last = bisect_right(merged, end + 1, key=lambda r: r[0])  # earlier ranges overlap or touch, or are before `first`
    if joined := merged[first:last]:
        start, end = min(start, joined[0][0]), max(end, joined[-1][1])
    merged[first:last] = [(start, end)]
