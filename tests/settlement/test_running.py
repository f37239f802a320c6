# SPDX-License-Identifier: GPL-3.0-or-later
"""The running month: a cut that ends every scope, monthly sums by days, yesterday line by line (rules.md section 6)."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from collector.model.dispatch import Revenue, RevenueKind
from collector.settlement.settle import settle
from collector.settlement.statement import MonthStatus, Statement
from tests.settlement.small_month import JUNE, Case, amount, at, line_of, plant, shipped_rulebook, unit


def cut_after(case: Case, day: int) -> Statement:
    return settle(JUNE, case.inputs(), shipped_rulebook(), last_day=date(2026, 6, day))


def yesterday(statement: Statement) -> dict[str, tuple[str, str, str, bool]]:
    assert statement.running is not None
    return {
        row.service: (str(row.before_yuan), str(row.now_yuan), str(row.change_yuan), row.estimate)
        for row in statement.running.yesterday
    }


def test_time_after_the_cut_is_neither_missing_nor_due() -> None:
    # Two nights of 8 h at 200 MW against 354: 2 × 1 232 MWh at 10 yuan; no record after the 2nd.
    case = Case(units=[unit()], policy={"hold_limit_s": Decimal(2 * 86_400)})
    case.record(at(1), on_grid="1", active_power_mw="200")
    statement = cut_after(case, 2)
    line = line_of(statement, "deep_peak")
    assert (amount(statement, "deep_peak"), line.coverage) == ("24640.00", Fraction(1))
    (row,) = [d for d in statement.determinants if d.service == "deep_peak"]
    assert row.scope_ms == 16 * 3_600_000
    assert yesterday(statement)["deep_peak"] == ("12320.00", "24640.00", "12320.00", False)
    assert statement.running is not None
    assert (statement.running.cut_ms, statement.running.elapsed_days) == (at(3), 2)


def test_a_running_month_posts_nothing_and_is_never_final() -> None:
    statement = cut_after(Case(units=[unit()]).record(at(1), on_grid="1", active_power_mw="200"), 30)
    assert statement.status is MonthStatus.PROVISIONAL
    assert statement.ledger == ()
    assert {f.code for f in statement.findings} >= {"running"}
    whole = Case(units=[unit()]).record(at(1), on_grid="1", active_power_mw="200").settle()
    assert line_of(whole, "deep_peak").amount_yuan == line_of(statement, "deep_peak").amount_yuan
    assert (whole.status, bool(whole.ledger)) == (MonthStatus.FINAL, True)


def test_agc_basic_and_black_start_are_taken_by_elapsed_days() -> None:
    # 300 MW × 240 × rate 1 × 10 ÷ 30 = 24 000; black start of coal 80 000 × 10 ÷ 30 = 26 666.67. A day earlier 9 ÷ 30.
    case = Case(
        units=[unit(agc_lower_mw="300", agc_upper_mw="600", black_start=True, black_start_document="d")],
    ).record(at(1), on_grid="1", agc_in_service="1", active_power_mw="400")
    statement = cut_after(case, 10)
    for service, paid in (("agc_basic", "24000.00"), ("black_start", "26666.67")):
        assert (amount(statement, service), line_of(statement, service).reason) == (paid, "by_days")
    found = yesterday(statement)
    assert found["agc_basic"] == ("21600.00", "24000.00", "2400.00", True)
    assert found["black_start"] == ("24000.00", "26666.67", "2666.67", False)


def test_a_start_stop_counts_when_it_closed_by_the_cut() -> None:
    case = Case(units=[unit(kind="gas", rated="390")])
    for time, state in ((at(2), "1"), (at(2, 20), "0"), (at(3, 6), "1")):
        case.record(time, on_grid=state)
    case.order("start_stop", at(2, 12), at(3, 12))
    assert line_of(cut_after(case, 2), "gas_start_stop").amount_yuan == 0
    statement = cut_after(case, 3)
    assert amount(statement, "gas_start_stop") == "101400.00"
    assert yesterday(statement)["gas_start_stop"] == ("0.00", "101400.00", "101400.00", False)


def test_revenue_of_the_last_month_stands_in_until_the_month_has_its_own() -> None:
    case = Case(units=[unit()], plants=[plant(), plant("P2")]).record(at(1), on_grid="1", active_power_mw="200")
    case.revenue = [
        Revenue(ident, month, RevenueKind.ENERGY, Decimal(value))
        for month, one, other in (("2026-05", 3, 1), ("2026-04", 9, 1))
        for ident, value in (("P1", one), ("P2", other))
    ]
    statement = cut_after(case, 1)  # 12 320.00 shared 3 : 1
    assert {row.plant: str(row.allocation_yuan) for row in statement.plants} == {"P1": "9240.00", "P2": "3080.00"}
    assert statement.running is not None
    assert statement.running.revenue_month == "2026-05"
    assert "revenue_estimated" in {f.code for f in statement.findings}
    case.revenue += [Revenue(p, "2026-06", RevenueKind.ENERGY, Decimal(1)) for p in ("P1", "P2")]
    statement = cut_after(case, 1)
    assert {str(row.allocation_yuan) for row in statement.plants} == {"6160.00"}
    assert statement.running is not None
    assert statement.running.revenue_month == ""


def test_days_of_changes_add_up_to_the_month() -> None:
    # A metamorphic check: what each day changed, of lines that are no estimate, sums to the month.
    case = Case(units=[unit()])
    for day in range(1, 8):
        case.record(at(day), on_grid="1", active_power_mw=str(150 + 10 * day))
    total = Fraction(0)
    for day in range(1, 8):
        total += Fraction(yesterday(cut_after(case, day))["deep_peak"][2])
    assert total == Fraction(line_of(cut_after(case, 7), "deep_peak").amount_yuan or 0)


def at_the_edge(day: int, before: dict[str, Any], after: dict[str, Any], **seen: str) -> tuple[Statement, Statement]:
    """Two AVC orders of a unit of 600 MW on one day of June, which changes at the end of that day: cut there, and not.

    The first passes at noon; the second comes 20 s before midnight and is judged 40 s after it on the cells of `seen`.
    """
    first, change = date(2026, 6, day), date(2026, 6, day) + timedelta(days=1)
    usual: dict[str, Any] = {"rated": "600", "avc": True}
    units = [
        unit(**(usual | before), from_day=first, until_day=change),
        unit(**(usual | {"avc": False} | after), from_day=change, until_day=change + timedelta(days=1)),
    ]
    case = Case(units=units, policy={"hold_limit_s": Decimal(86_400)})
    midnight, noon = at(day, 24), at(day, 12)
    for time, target in ((at(day), "299"), (noon, "300"), (noon + 60_000, "300"), (midnight - 20_000, "301")):
        case.record(time, avc_target_kv=target, bus_voltage_kv="300", avc_in_service="1", active_power_mw="400")
    cells = {"avc_target_kv": "301", "avc_in_service": "1", "active_power_mw": "400"} | seen
    case.record(midnight + 40_000, **cells)
    return cut_after(case, day), case.settle()


@pytest.mark.parametrize("day", [14, 30])
@pytest.mark.parametrize(
    ("before", "after", "seen", "yuan"),
    [
        # 330.1 kV is beyond 1.5 × 220 = 330 kV, but its own day's limit is 1.5 × 230 = 345: a value, far off.
        ({"nominal_kv": "220"}, {"nominal_kv": "230"}, {"bus_voltage_kv": "330.1"}, "720.00"),
        # The other way round 340 kV is no value at its time: not judged.
        ({"nominal_kv": "230"}, {"nominal_kv": "220"}, {"bus_voltage_kv": "340"}, "1440.00"),
        # 1.4 kV off passes by the 1.5 kV of 500 kV and fails by the 1.0 kV of 330 kV.
        ({"nominal_kv": "330"}, {"nominal_kv": "500"}, {"bus_voltage_kv": "302.4"}, "1440.00"),
        ({"nominal_kv": "500"}, {"nominal_kv": "330"}, {"bus_voltage_kv": "302.4"}, "720.00"),
        # Without a breaker 1 MW is on grid by 0.5 % of 60 MW and off by 0.5 % of 600: judged 4 kV off, or not judged.
        (
            {"nominal_kv": "330"},
            {"nominal_kv": "330", "rated": "60"},
            {"bus_voltage_kv": "305", "active_power_mw": "1"},
            "720.00",
        ),
        (
            {"nominal_kv": "330"},
            {"nominal_kv": "330"},
            {"bus_voltage_kv": "305", "active_power_mw": "1"},
            "1440.00",
        ),
    ],
)
def test_a_record_behind_a_cut_or_a_month_is_judged_by_what_is_in_force_at_its_own_time(
    day: int, before: dict[str, str], after: dict[str, str], seen: dict[str, str], yuan: str
) -> None:
    # λ of one of two passed, or of one of one: λ × 600 MW × 24 h × 0.1 yuan. AVC is registered on that day alone.
    for statement in at_the_edge(day, before, after, **seen):
        assert amount(statement, "avc") == yuan
