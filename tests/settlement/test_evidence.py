# SPDX-License-Identifier: GPL-3.0-or-later
"""Primary frequency evidence and the meter check, by hand where the slow reference and the kernel once parted."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from fractions import Fraction

from tests.settlement.small_month import Case, at, unit

HZ = {"on_grid": "1", "primary_frequency_in_service": "1"}


def test_an_excursion_across_midnight_asks_by_the_capacity_and_droop_of_each_day() -> None:
    # 0.1 Hz over, 0.067 Hz beyond thermal's 0.033. Until midnight 600 MW at 5 %: 0.067 ÷ 2.5 × 600 = 16.08 MW less for
    # half an hour, 8.04 MWh. From midnight 500 MW at 4 %: 0.067 ÷ 2 × 500 = 16.75 MW, 8.375 MWh. Together -16.415 MWh.
    # The unit went from 400 to 390 MW and stayed there an hour: -10 MWh.
    early = replace(unit(droop_ratio="0.05"), until_day=date(2026, 6, 2))
    late = replace(unit(rated="500", droop_ratio="0.04"), from_day=date(2026, 6, 2))
    case = Case(units=[early, late])
    for hour, hertz, power in ((0, "50", "400"), (23.5, "50.1", "390"), (24.5, "50", "400")):
        case.record(at(1, hour), frequency_hz=hertz, active_power_mw=power, **HZ)
    (row,) = case.settle().primary_frequency
    assert (row.start_ms, row.end_ms) == (at(1, 23.5), at(2, 0.5))
    assert (row.actual_mwh, row.theoretical_mwh) == (Fraction(-10), Fraction("-16.415"))
    assert row.ratio == Fraction(-10) / Fraction("-16.415")
    case.units = [early, replace(late, droop_ratio=None)]  # a part without a droop leaves the whole unjudged
    (row,) = case.settle().primary_frequency
    assert row.actual_mwh == -10
    assert (row.theoretical_mwh, row.ratio) == (None, None)


def test_time_of_a_test_leaves_hours_in_service_and_ends_the_excursion_but_own_fault_does_not() -> None:
    # Out from 10:00 to 12:00 of the 1st; 11:00 to 12:00 under test. One hour of the excursion is left, 719 of June.
    def month(reason: str) -> tuple[list[tuple[int, int]], int]:
        case = Case(units=[unit(droop_ratio="0.05")])
        for hour, hertz in ((0, "50"), (10, "49.9"), (12, "50")):
            case.record(at(1, hour), frequency_hz=hertz, active_power_mw="400", **HZ)
        statement = case.exclude(reason, at(1, 11), at(1, 12), "primary_frequency").settle()
        rows = [(row.start_ms, row.end_ms) for row in statement.primary_frequency]
        return rows, statement.primary_frequency_service[0].in_service_ms // 3_600_000

    assert month("test") == ([(at(1, 10), at(1, 11))], 719)
    assert month("own_fault") == ([(at(1, 10), at(1, 12))], 720)


def test_where_the_frequency_was_out_before_the_unit_could_answer_there_is_no_output_to_count_from() -> None:
    # Out since 31 May 23:00: what stood before it is another month's. Asked for all the same: 16.08 MW for two hours.
    case = Case(units=[unit(droop_ratio="0.05")])
    for time, hertz in ((at(31, 23, month=5), "50.1"), (at(1, 2), "50")):
        case.record(time, frequency_hz=hertz, active_power_mw="400", **HZ)
    (row,) = case.settle().primary_frequency
    assert (row.start_ms, row.actual_mwh, row.theoretical_mwh, row.ratio) == (at(1), None, Fraction("-32.16"), None)
    # The same where the unit's registration begins in the middle of it, or its breaker closes.
    case.units = [unit(droop_ratio="0.05", from_day=date(2026, 6, 2))]
    case.record(at(1, 23), frequency_hz="50.1", active_power_mw="400", **HZ)
    case.record(at(2, 1), frequency_hz="50", active_power_mw="400", **HZ)
    case.record(at(2, 2), frequency_hz="50.1", active_power_mw="0", on_grid="0", primary_frequency_in_service="1")
    case.record(at(2, 3), frequency_hz="50.1", active_power_mw="100", **HZ)
    case.record(at(2, 4), frequency_hz="50", active_power_mw="400", **HZ)
    rows = case.settle().primary_frequency
    assert [(row.start_ms, row.actual_mwh) for row in rows] == [(at(2), None), (at(2, 3), None)]


def test_a_register_read_at_midnights_only_checks_the_day_between_them() -> None:
    # 100 MW over 24 h is 2400 MWh; A meter of 2424.242 is 24.242 away, 1 % of it is 24.24242.
    def findings(closing_mwh: str, from_day: date | None = None) -> list[str]:
        case = Case(units=[replace(unit(), from_day=from_day)])
        for day, register in ((2, "1000"), (3, closing_mwh)):
            case.record(at(day), on_grid="1", active_power_mw="100", energy_export_mwh=register)
        case.record(at(3, 1), on_grid="1", active_power_mw="100", energy_export_mwh="")
        return [finding.subject for finding in case.settle().findings if finding.code == "meter_differs"]

    assert findings("3424.242") == []
    assert findings("3424.243") == ["U1/2026-06-02"]  # 24.243 against 24.24243
    assert findings("999") == ["U1/2026-06-02"]  # a register that goes back
    assert findings("3500", from_day=date(2026, 6, 3)) == []  # before commercial operation (Art. 3) nothing is checked


def test_a_reading_at_the_month_s_end_closes_its_last_day() -> None:
    case = Case(units=[unit()])
    for time, register in ((at(30), "0"), (at(1, month=7), "2000")):
        case.record(time, on_grid="1", active_power_mw="100", energy_export_mwh=register)
    found = [finding.subject for finding in case.settle().findings if finding.code == "meter_differs"]
    assert found == ["U1/2026-06-30"]
