# SPDX-License-Identifier: GPL-3.0-or-later
"""A month is the sum of what was measured of it, in however many parts."""

from __future__ import annotations

import random
from datetime import date

import numpy as np

from collector.settlement.measure.results import GroupEnergy, MonthTotals, Results

FIRST = date(2026, 6, 1).toordinal()
ZEROS = [0] * 30


def part(units: tuple[str, ...], first_day: int, days: int, **columns: list[list[int]]) -> Results:
    """Results of some lanes that begin on the same day; a column has a list of days for each."""
    found = Results(units, (first_day,) * len(units), days)
    found.columns = {name: np.array(values, dtype=np.int64) for name, values in columns.items()}
    return found


def test_parts_add_up_by_unit_column_and_day_and_days_outside_the_month_are_left_out() -> None:
    before = part(("U1",), FIRST - 1, 2, a=[[100, 1]])  # the last of May, and 1 June
    inside = part(("U2", "U1"), FIRST, 2, b=[[7, 8], [0, 4]], a=[[5, 6], [2, 3]])
    after = part(("U1",), FIRST + 29, 2, a=[[9, 100]])  # 30 June, and the first of July
    totals = MonthTotals([before, inside, after], FIRST, 30)
    assert totals.daily("U1", "a") == [1 + 2, 3, *[0] * 27, 9]
    assert totals.daily("U2", "b") == [7, 8, *[0] * 28]
    assert totals.between("U1", FIRST, FIRST + 30) == {"a": 15, "b": 4}
    assert totals.between("U1", FIRST + 1, FIRST + 29) == {"a": 3, "b": 4}
    assert totals.between("U2", FIRST, FIRST + 1) == {"a": 5, "b": 7}


def test_a_unit_or_column_nobody_measured_is_zero_on_every_day() -> None:
    totals = MonthTotals([part(("U1",), FIRST, 1, a=[[5]])], FIRST, 30)
    assert totals.daily("U2", "a") == totals.daily("U1", "b") == ZEROS
    assert totals.between("U2", FIRST, FIRST + 30)["a"] == totals.between("U1", FIRST, FIRST + 30)["b"] == 0
    assert MonthTotals([], FIRST, 30).daily("U1", "a") == ZEROS


def test_a_span_that_lies_outside_the_month_or_is_empty_sums_to_zero() -> None:
    totals = MonthTotals([part(("U1",), FIRST, 30, a=[list(range(30))])], FIRST, 30)
    for first, until in ((-9, 0), (30, 40), (7, 7), (9, 3)):
        assert totals.between("U1", FIRST + first, FIRST + until) == {"a": 0}
    assert totals.between("U1", FIRST - 9, FIRST + 2) == {"a": 1}
    assert totals.between("U1", FIRST + 28, FIRST + 99) == {"a": 28 + 29}


def test_any_span_is_the_sum_of_its_days_to_the_last_bit() -> None:
    rng = random.Random(7)
    days = [rng.randrange(-(2**57), 2**57) for _ in range(30)]
    totals = MonthTotals([part(("U1",), FIRST, 30, a=[days])], FIRST, 30)
    for first in range(30):
        for until in range(first, 31):
            assert totals.between("U1", FIRST + first, FIRST + until) == {"a": sum(days[first:until])}


def test_group_energy_counts_for_each_member_on_days_of_the_month() -> None:
    found = part(("U1", "U2"), FIRST, 1)
    june, may = GroupEnergy(FIRST, ("U1", "U2"), 5), GroupEnergy(FIRST - 1, ("U1",), 9)
    found.groups = [may, june]
    assert dict(MonthTotals([found], FIRST, 30).groups) == {"U1": [june], "U2": [june]}
