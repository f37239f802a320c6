# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of sequence numbers as sorted, disjoint, non-touching ranges, both ends included."""

from __future__ import annotations

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
