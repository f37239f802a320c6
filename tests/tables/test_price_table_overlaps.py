# SPDX-License-Identifier: GPL-3.0-or-later
"""Overlapping rows of the table of Art. 13(4) are found, and in time for a table of any length."""

from __future__ import annotations

import random
from decimal import Decimal
from math import log2

import pytest

from collector.tables.dispatch import Box, find_overlaps


def _overlap(one: Box[Decimal], other: Box[Decimal]) -> bool:
    """The rule itself: a pair of capacity and gap lies in both."""
    low = max(one.capacity_from, other.capacity_from), max(one.gap_from, other.gap_from)
    high = min(one.capacity_to, other.capacity_to), min(one.gap_to, other.gap_to)
    return low[0] < high[0] and low[1] < high[1]


@pytest.mark.parametrize("seed", range(40))
def test_rows_found_overlap_an_earlier_one_and_the_others_none_of_each_other(seed: int) -> None:
    rng = random.Random(seed)
    boxes = []
    for row in range(2, 2 + rng.randrange(1, 60)):
        (a, b), (c, d) = (rng.sample(range(rng.choice((6, 40))), 2) for _ in range(2))
        if rng.random() < 0.9:
            a, b, c, d = min(a, b), max(a, b), min(c, d), max(c, d)
        boxes.append(Box(row, *map(Decimal, (a, b, c, d))))
    of_row = {box.row: box for box in boxes}
    found = find_overlaps(boxes)
    for row, other in found.items():
        assert other < row
        assert _overlap(of_row[row], of_row[other])
    left = [box for box in boxes if box.row not in found]
    assert not [(one, other) for n, one in enumerate(left) for other in left[:n] if _overlap(one, other)]


_compared = [0]


class _Counted(int):
    """A number that counts how often it is compared."""

    def _count(self, outcome: bool) -> bool:
        _compared[0] += 1
        return outcome

    def __lt__(self, other: int) -> bool:
        return self._count(super().__lt__(other))

    def __le__(self, other: int) -> bool:
        return self._count(super().__le__(other))

    def __gt__(self, other: int) -> bool:
        return self._count(super().__gt__(other))

    def __ge__(self, other: int) -> bool:
        return self._count(super().__ge__(other))


def _box(row: int, *numbers: int) -> Box[int]:
    return Box(row, *(_Counted(number) for number in numbers))


_COUNT = 4_096
_SHAPES = {
    "a grid": [(n // 64, n // 64 + 1, n % 64, n % 64 + 1) for n in range(_COUNT)],
    "one capacity": [(0, 1, n, n + 1) for n in range(_COUNT)],
    "one gap": [(n, n + 1, 0, 1) for n in range(_COUNT)],
    "all the same": [(0, 1, 0, 1)] * _COUNT,
    "nested": [(n, 2 * _COUNT - n, n, 2 * _COUNT - n) for n in range(_COUNT)],
}


@pytest.mark.parametrize("shape", _SHAPES)
def test_a_long_table_takes_few_comparisons(shape: str) -> None:
    places = list(_SHAPES[shape])
    random.Random(7).shuffle(places)
    boxes = [_box(row, *numbers) for row, numbers in enumerate(places, 2)]
    _compared[0] = 0
    found = find_overlaps(boxes)
    assert len(found) == (_COUNT - 1 if shape in ("all the same", "nested") else 0)
    assert _COUNT < _compared[0] < 8 * _COUNT * log2(_COUNT)
