# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a month begins and ends: leap day, orders over its ends, units that come and go in it, and kinds of plant."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

from collector.model.dispatch import Rate, Revenue, RevenueKind
from collector.model.interval import Month, local_midnight_ms
from collector.model.register import LocalSpan, RevenueBasis
from collector.settlement.rulebook.rules import RuleRow, RuleState, ServiceRow
from tests.settlement.small_month import Case, amount, area, at, line_of, plant, shipped_rulebook, unit


def test_february_of_a_leap_year_has_a_29th() -> None:
    case = Case(units=[unit(kind="gas", avc=True, nominal_kv="500")])
    case.rates = [Rate("U1", f"{year}-02", "avc_pass", Decimal(1)) for year in (2027, 2028)]
    for year in (2027, 2028):
        case.record(local_midnight_ms(date(year, 2, 1)), on_grid="1", avc_in_service="1")
    # 600 MW × 0.1 × 672 h or 696 h
    assert amount(case.settle(month=Month(2027, 2)), "avc") == "40320.00"
    assert amount(case.settle(month=Month(2028, 2)), "avc") == "41760.00"


def test_an_order_over_the_ends_of_a_month_is_paid_in_each_for_its_own_hours() -> None:
    case = Case(units=[unit(kind="hydro", rated="300", tariff_yuan_per_mwh="400")])
    case.order("spill", at(31, 22, month=5), at(1, 1)).order("spill", at(30, 20), at(1, 7, month=7))
    # 0.5 × 300 × 400 = 60 000 an hour: two hours of May, 1 + 4 of June, seven of July
    months = {month: amount(case.settle(month=Month(2026, month)), "hydro_spill") for month in (5, 6, 7)}
    assert months == {5: "120000.00", 6: "300000.00", 7: "420000.00"}


def test_valley_hours_across_midnight_belong_to_each_local_day_and_month() -> None:
    case = Case(units=[unit()], areas=(area(valley_hours=(LocalSpan(22 * 60, 2 * 60),)),))
    case.record(at(31, 20, month=5), on_grid="1", active_power_mw="200")
    # June has 30 days of 00:00-02:00 and 22:00-24:00: (354 − 200) × 120 h × 10
    assert amount(case.settle(), "deep_peak") == "184800.00"


def test_a_unit_commissioned_and_another_retired_inside_the_month_earn_for_their_own_days() -> None:
    new, old = unit("new", from_day=date(2026, 6, 21)), unit("old", until_day=date(2026, 6, 11))
    case = Case(units=[new, old])
    for ident in ("new", "old"):
        case.record(at(1), ident, on_grid="1", active_power_mw="200")
    # ten days each: (354 − 200) × 8 × 10 × 10
    statement = case.settle()
    assert [amount(statement, "deep_peak", ident) for ident in ("new", "old")] == ["123200.00", "123200.00"]
    assert [line_of(statement, "deep_peak", ident).coverage for ident in ("new", "old")] == [1, 1]


def test_a_lease_plant_shares_by_its_fee_a_two_part_plant_by_energy_and_capacity() -> None:
    case = Case(units=[unit(kind="hydro", rated="300", tariff_yuan_per_mwh="400")])
    case.order("spill", at(1), at(1, 1))
    case.plants = [plant("P1", revenue_basis=RevenueBasis.LEASE), plant("P2", revenue_basis=RevenueBasis.TWO_PART)]
    kinds = (("P1", RevenueKind.LEASE, 100), ("P2", RevenueKind.ENERGY, 200), ("P2", RevenueKind.CAPACITY, 300))
    case.revenue = [Revenue(of, "2026-06", kind, Decimal(yuan)) for of, kind, yuan in kinds]
    rows = {row.plant: (str(row.allocation_yuan), str(row.net_yuan)) for row in case.settle().plants}
    assert rows == {"P1": ("10000.00", "50000.00"), "P2": ("50000.00", "-50000.00")}


def test_a_market_takes_over_one_area_in_mid_month_with_a_factor_and_a_new_price() -> None:
    """From the 16th: in Jiangsu deep peak at half and 12 yuan; Anhui goes on as before."""
    case = Case(units=[unit(), unit("U2", of="P2")], areas=(area(), area(ident="anhui")))
    case.plants = [plant(), plant("P2", "anhui")]
    for ident in ("U1", "U2"):
        case.record(at(1), ident, on_grid="1", active_power_mw="200")
    book, mid = shipped_rulebook(), date(2026, 6, 16)
    service, price = book.services["deep_peak"], book.values["deep_peak.price"]
    half = ServiceRow(mid, RuleState.IN_FORCE, Decimal("0.5"), "market", area="jiangsu")
    row = RuleRow(Decimal(12), mid, RuleState.IN_FORCE, "market", key="annual_plan", area="jiangsu")
    book = replace(
        book,
        services={**book.services, "deep_peak": replace(service, rows=(*service.rows, half))},
        values={**book.values, "deep_peak.price": replace(price, rows=(*price.rows, row))},
    )
    statement = case.settle(book)
    # Jiangsu 154 × 8 × 15 = 18 480 MWh: × 10, then × 12 × 0.5. Anhui (342 − 200) × 8 × 30 × 10
    assert amount(statement, "deep_peak") == "295680.00"
    assert amount(statement, "deep_peak", "U2") == "340800.00"
    line = line_of(statement, "deep_peak")
    assert [step.text for step in line.steps] == [
        "2026-06-01…2026-06-16: 18480 MWh × 10 yuan/MWh",
        "2026-06-16…2026-07-01: 18480 MWh × 12 yuan/MWh × 0.5",
    ]
    assert [(use.value, use.from_day) for use in line.rules if use.id == "deep_peak.price"] == [
        ("10", "2009-01-01"),
        ("12", "2026-06-16"),
    ]
