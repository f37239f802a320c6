# SPDX-License-Identifier: GPL-3.0-or-later
"""Planned reserve against the least of an area (Art. 10(2)), and when called reserve came (Art. 7(5)(6)), by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from collector.model.dispatch import ReserveCall, ReserveKind, ReserveMinimum
from collector.model.interval import Month
from collector.settlement.measure.records import RecordBook, tail_of
from collector.settlement.measure_units import measure, plan_batches
from collector.settlement.settle import close, prepare, settle
from collector.settlement.statement import ReserveStatistic, Statement
from tests.settlement.small_month import JUNE, Case, area, at, shipped_rulebook, unit

AREA = area().id


def planned(statement: Statement) -> list[tuple[int, int | None, int | None, int | None, bool | None]]:
    """Intervals of the only area, without its id."""
    rows = [row for row in statement.reserve_statistics if not row.unit]
    assert {row.area for row in rows} <= {AREA}
    return [(row.start_ms, row.end_ms, row.planned_kw, row.minimum_kw, row.below) for row in rows]


def least(case: Case, *rows: tuple[int, int, int | None]) -> Case:
    case.least += [ReserveMinimum(AREA, *row) for row in rows]
    return case


def test_planned_reserve_of_an_area_is_the_sum_over_its_units_and_both_kinds() -> None:
    case = Case(units=[unit(), unit("U2")])
    case.reserve("spinning", at(2, 8), at(2, 12), 100_000)
    case.reserve("spinning", at(2, 10), at(2, 12), 50_000, "U2").reserve("hot", at(2, 12), at(2, 14), 150_000, "U2")
    least(case, (at(2, 9), at(2, 13), 150_000), (at(2, 13), at(2, 16), 100_000))
    assert planned(case.settle()) == [
        (at(2, 8), at(2, 9), 100_000, None, None),  # no least reserve was delivered for this hour
        (at(2, 9), at(2, 10), 100_000, 150_000, True),
        (at(2, 10), at(2, 13), 150_000, 150_000, False),  # 100 + 50, then hot 150: as much is not below
        (at(2, 13), at(2, 14), 150_000, 100_000, False),
        (at(2, 14), at(2, 16), 0, 100_000, True),
    ]


def test_a_missing_power_is_no_zero_and_a_file_not_delivered_no_plan() -> None:
    case = Case(units=[unit(), unit("U2")])
    case.reserve("spinning", at(2, 8), at(2, 12), None).reserve("spinning", at(2, 8), at(2, 10), 90_000, "U2")
    least(case, (at(2, 8), at(2, 9), 10_000), (at(2, 9), at(2, 12), None))
    assert planned(case.settle()) == [
        (at(2, 8), at(2, 9), None, 10_000, None),
        (at(2, 9), at(2, 12), None, None, None),
    ]
    silent = replace(case.inputs(), reserves=None)
    assert planned(settle(JUNE, silent, shipped_rulebook()))[0] == (at(2, 8), at(2, 9), None, 10_000, None)


def test_what_lies_outside_of_the_month_or_of_registration_is_not_counted() -> None:
    case = Case(units=[unit(until_day=date(2026, 6, 29)), unit("U2")])
    case.reserve("spinning", at(28), at(10, month=7), 100_000)
    least(case, (at(20, month=5), at(1, 1), 5_000), (at(30, 23), at(2, month=7), 7_000))
    case.calls.append(ReserveCall("U1", ReserveKind.SPINNING, at(29, 3), 1_000))
    case.calls.append(ReserveCall("U2", ReserveKind.SPINNING, at(3, month=7), 1_000))
    statement = case.settle()
    assert planned(statement) == [
        (at(1), at(1, 1), 0, 5_000, True),
        (at(28), at(29), 100_000, None, None),
        (at(30, 23), at(1, month=7), 0, 7_000, True),
    ]
    assert [row for row in statement.reserve_statistics if row.unit] == []


MINUTE = 1 / 60
# Hours of 2 June and the output then; a record holds 10 minutes.
RISE = [(10 + step * MINUTE, 300 + 5 * step) for step in range(-9, 40)]
CALLS: dict[str, tuple[str, list[tuple[float, float | None]], float, int | None, float | None]] = {
    # kind, (hour, MW), called at, kW, seconds until it came
    "each minute 5 MW more: 50 MW after 10 minutes": ("spinning", list(RISE), 10, 50_000, 600),
    "between two records: from the output that held": ("spinning", list(RISE), 10 + MINUTE / 2, 50_000, 570),
    "it did not come": ("spinning", [(10, 300), (10.1, 349.9), (10.2, 320)], 10, 50_000, None),
    "it came and went": ("spinning", [(10, 300), (10.1, 350), (10.15, 310), (10.2, 360)], 10, 50_000, 360),
    "nothing is known at the call": ("spinning", [(9.8, 300), (10.1, 350)], 10, 50_000, None),
    "the output at the call is empty": ("spinning", [(9.9, 300), (10, None), (10.1, 350)], 10, 50_000, None),
    "no power was said": ("spinning", [(10, 300), (10.1, 350)], 10, None, None),
    "after a hole, when it is seen": ("spinning", [(10, 300), (10.1, None), (10.5, 360)], 10, 50_000, 1800),
    "hot, from rest, over midnight": (
        "hot",
        [(23.5, 0), (23.9, 40), (24.25, 100), (25, 90)],
        23.5,
        100_000,
        2700,
    ),
    "to the end of the next day": ("hot", [(23, 0), (47.9, 100)], 23, 100_000, 89_640),
    "not after it": ("hot", [(23, 0), (48, 100)], 23, 100_000, None),
    "a pump that eases": ("spinning", [(10, -300), (10.1, -250)], 10, 50_000, 360),
    "beyond what can be": ("spinning", [(10, 300), (10.1, 9999), (10.2, 350)], 10, 50_000, 720),
    "nothing more was asked": ("spinning", [(10, 300)], 10, 0, 0),
}


def called(name: str) -> tuple[Case, float | None]:
    kind, rows, hour, power, seconds = CALLS[name]
    case = Case(units=[unit()], policy={"hold_limit_s": Decimal(600)})
    for at_hour, mw in rows:
        case.record(at(2, at_hour), on_grid="1", active_power_mw="" if mw is None else str(mw))
    case.calls.append(ReserveCall("U1", ReserveKind(kind), at(2, hour), power))
    return case, seconds


def arrived(statement: Statement) -> list[float | None]:
    rows: list[ReserveStatistic] = [row for row in statement.reserve_statistics if row.unit]
    return [None if row.arrived_ms is None else (row.arrived_ms - row.start_ms) / 1000 for row in rows]


@pytest.mark.parametrize("name", CALLS)
def test_a_called_reserve_has_come_when_the_output_rose_by_it(name: str) -> None:
    case, seconds = called(name)
    statement = case.settle()
    assert arrived(statement) == [seconds]
    assert {line.amount_yuan for line in statement.lines if "reserve" in line.service} <= {None}  # never an amount


@pytest.mark.parametrize("days", [1, 7])
@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_told_alike_however_the_days_are_measured(name: str, days: int) -> None:
    case, seconds = called(name)
    inputs = case.inputs()
    context = prepare(JUNE, inputs, shipped_rulebook())
    book = RecordBook(inputs.records, tail_ms=tail_of(context.policy.settle_ms, context.policy.hold_ms))
    parts = [
        measure(context, batch)[0]
        for first in range(0, 30, days)
        for batch in plan_batches(context, book, JUNE.first_day + timedelta(first), min(days, 30 - first), units=["U1"])
    ]
    assert arrived(close(JUNE, inputs, shipped_rulebook(), parts, context=context)) == [seconds]


def test_nothing_is_looked_for_beyond_the_month_or_its_cut() -> None:
    case = Case(units=[unit()], policy={"hold_limit_s": Decimal(600)})
    for month in (5, 6):
        last = at(31 if month == 5 else 30, 23.9, month=month)
        case.record(last, on_grid="1", active_power_mw="300").record(last + 360_000, on_grid="1", active_power_mw="350")
        case.calls.append(ReserveCall("U1", ReserveKind.SPINNING, last, 50_000))
    assert arrived(case.settle()) == [None]
    assert arrived(case.settle(month=Month(2026, 5))) == [None]
    early = Case(units=[unit()], policy={"hold_limit_s": Decimal(600)})
    early.record(at(9, 23.9), on_grid="1", active_power_mw="300").record(at(10), on_grid="1", active_power_mw="350")
    early.calls += [ReserveCall("U1", ReserveKind.SPINNING, at(day, 23.9), 50_000) for day in (9, 10)]
    assert arrived(early.settle()) == [360, None]
    cut = settle(JUNE, early.inputs(), shipped_rulebook(), last_day=date(2026, 6, 9))
    assert arrived(cut) == [None]
