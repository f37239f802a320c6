# SPDX-License-Identifier: GPL-3.0-or-later
"""The meter check by hand (Art. 19): meter changes, registers that run back, days that can't be compared."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest

from collector.model.dispatch import MeterChange
from collector.settlement.statement import MeterDay, MonthStatus, Statement
from tests.settlement.small_month import Case, at, unit

DAY = date(2026, 6, 2)


def settled(readings: list[tuple[float, str]], changes: list[tuple[float, str, str]] = [], **month: str) -> Statement:  # noqa: B006
    """100 MW all day of 2 June; the register as it is read at hours of that day, the changes at theirs."""
    case = Case(units=[unit()])
    for hour, register in readings:
        case.record(at(2, hour), on_grid="1", active_power_mw="100", energy_export_mwh=register)
    case.record(at(3, 1), on_grid="1", active_power_mw=month.get("after", "100"), energy_export_mwh="")
    for hour, old, new in changes:
        case.meter_changes.append(
            MeterChange("U1", at(2, hour), int(Fraction(old) * 10**6), int(Fraction(new) * 10**6))
        )
    return case.settle()


def of_day(statement: Statement, day: date = DAY) -> MeterDay:
    (found,) = [each for each in statement.meter_days if each.day == day]
    return found


def energies(day: MeterDay) -> list[Fraction | None]:
    return [day.telemetry_mwh, day.meter_mwh]


def codes(statement: Statement) -> list[str]:
    return [f.code for f in statement.findings if f.code.startswith("meter_") and f.code != "meter_not_compared"]


def test_a_day_that_agrees_tells_both_energies_and_their_difference() -> None:
    # 100 MW × 24 h = 2400 MWh; the meter grew by 2 412: 12 ÷ 2412.
    statement = settled([(0, "1000"), (12, "2200"), (24, "3412")])
    day = of_day(statement)
    assert [*energies(day), day.difference_ratio] == [2400, 2412, Fraction(12, 2412)]
    assert (str(day.verdict), day.reason, codes(statement)) == ("agrees", "", [])
    differing = settled([(0, "1000"), (24, "3500")])  # 100 ÷ 2500 = 4 %
    assert (str(of_day(differing).verdict), of_day(differing).difference_ratio) == ("differs", Fraction(1, 25))
    assert codes(differing) == ["meter_differs"]


@pytest.mark.parametrize(
    ("readings", "changes"),
    [
        # 1000 to 1500 at 05:00 on the old meter, then 7 to 1907 on the new one: 500 + 1900 = 2400 MWh
        ([(0, "1000"), (24, "1907")], [(5, "1500", "7")]),
        ([(0, "1000"), (4, "1400"), (6, "107"), (24, "1907")], [(5, "1500", "7")]),
        # at the very instant of a reading: it is the new meter's
        ([(0, "1000"), (5, "7"), (24, "1907")], [(5, "1500", "7")]),
        # twice between two readings: 500 + 300 (7 to 307) + 1600 (0 to 1600)
        ([(0, "1000"), (24, "1600")], [(8, "307", "0"), (5, "1500", "7")]),
        # into a meter that stands higher
        ([(0, "1000"), (24, "91900")], [(5, "1500", "90000")]),
        # at 24:00, read as the new meter's
        ([(0, "1000"), (12, "2200"), (24, "3")], [(24, "3400", "3")]),
    ],
)
def test_a_meter_change_joins_two_registers(
    readings: list[tuple[float, str]], changes: list[tuple[float, str, str]]
) -> None:
    statement = settled(readings, changes)
    day = of_day(statement)
    assert energies(day) == [2400, 2400]
    assert (str(day.verdict), codes(statement)) == ("changed", [])


def test_a_change_outside_of_the_readings_of_the_day_joins_nothing() -> None:
    day = of_day(settled([(0, "1000"), (12, "2200"), (24, "3400")], [(24.5, "3450", "0"), (0, "999", "1000")]))
    assert energies(day) == [2400, 2400]
    assert str(day.verdict) == "agrees"


def test_a_register_that_runs_back_is_compared_piece_by_piece_and_told() -> None:
    # 00-06 600 MWh, 06-08 back (no energy), 08-24 1600 MWh; the two hours count on neither side
    statement = settled([(0, "1000"), (6, "1600"), (8, "5"), (24, "1605")])
    day = of_day(statement)
    assert [*energies(day), day.difference_ratio] == [2200, 2200, 0]
    assert (str(day.verdict), day.reason, day.ran_back_ms) == ("ran_back", "", (at(2, 8), at(2, 8)))
    assert codes(statement) == ["meter_ran_back"]
    assert statement.status is MonthStatus.PROVISIONAL
    # the rest of the day differs too: 1600 MWh of telemetry against 3200
    twice = settled([(0, "1000"), (6, "1600"), (8, "5"), (24, "3205")])
    assert (str(of_day(twice).verdict), of_day(twice).reason) == ("ran_back", "differs")
    assert codes(twice) == ["meter_differs", "meter_ran_back"]


def test_two_runs_back_are_told_with_their_first_and_last_instant() -> None:
    day = of_day(settled([(0, "9"), (2, "8"), (4, "208"), (6, "1"), (24, "1801")]))
    assert day.ran_back_ms == (at(2, 2), at(2, 6))
    assert energies(day) == [2000, 2000]


def test_a_day_of_nothing_but_a_run_back_has_no_energy_to_compare() -> None:
    day = of_day(settled([(0, "1000"), (24, "999")]))
    assert (day.telemetry_mwh, day.meter_mwh, str(day.verdict)) == (None, None, "ran_back")


def test_a_change_whose_papers_contradict_the_registers_is_a_run_back() -> None:
    # taken out at 900 where it had read 1000 already
    statement = settled([(0, "1000"), (24, "2400")], [(5, "900", "0")])
    assert (str(of_day(statement).verdict), codes(statement)) == ("ran_back", ["meter_ran_back"])


def test_a_day_not_compared_is_listed_with_its_reason() -> None:
    hole = settled([(0, "1000"), (12, ""), (24, "3400")])
    statement = settled([(0, "1000"), (24, "3400")])
    case = Case(units=[unit()])
    for hour, power in ((0, "100"), (6, ""), (8, "100"), (24, "100")):
        register = {0: "0", 24: "2400"}.get(hour, "")
        case.record(at(2, hour), on_grid="1", active_power_mw=power, energy_export_mwh=register)
    lost = case.settle()
    assert str(of_day(hole).verdict) == "agrees"  # a register need not be in every record
    assert (str(of_day(lost).verdict), of_day(lost).reason) == ("not_compared", "hole")
    other = of_day(statement, date(2026, 6, 20))
    assert (str(other.verdict), other.reason, other.meter_mwh) == ("not_compared", "no_reading", None)
    assert len(statement.meter_days) == 30
    (told,) = [f for f in statement.findings if f.code == "meter_not_compared"]
    assert (told.subject, told.provisional) == ("U1", False)
    assert told.message == "29 days not compared, the first 2026-06-01, the last 2026-06-30"


def test_a_unit_without_a_meter_or_a_day_without_registration_is_not_listed() -> None:
    case = Case(units=[unit(from_day=date(2026, 6, 29)), unit("U2")])
    case.record(at(1), on_grid="1", active_power_mw="100", energy_export_mwh="5")
    case.record(at(1), ident="U2", on_grid="1", active_power_mw="100")
    assert [(each.unit, each.day.day) for each in case.settle().meter_days] == [("U1", 29), ("U1", 30)]
