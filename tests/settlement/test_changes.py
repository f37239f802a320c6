# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules and register that change inside the month, for one area, with a settlement factor; the books; the evidence."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest

from collector.base.text import into
from collector.model.dispatch import Revenue, RevenueKind, StartStopRow
from collector.settlement.rulebook.rules import Rulebook, RuleRow, RuleState, ServiceRow
from collector.settlement.settle import settle
from tests.settlement.small_month import JUNE, Case, amount, area, at, line_of, plant, shipped_rulebook, unit

MID = date(2026, 6, 16)


def with_row(value_id: str, row: RuleRow) -> Rulebook:
    """The shipped rulebook with one more row of a value."""
    book = shipped_rulebook()
    value = book.values[value_id]
    return replace(book, values={**book.values, value_id: replace(value, rows=(*value.rows, row))})


def with_service(service: str, row: ServiceRow) -> Rulebook:
    """The shipped rulebook with one more row of a service."""
    book = shipped_rulebook()
    found = book.services[service]
    return replace(book, services={**book.services, service: replace(found, rows=(*found.rows, row))})


def spilling() -> Case:
    """300 MW hydro, tariff 400, spilling one hour on the 15th and one on the 16th on order."""
    case = Case(units=[unit(kind="hydro", rated="300", tariff_yuan_per_mwh="400")])
    for day in (15, 16):
        case.order("spill", at(day, 9), at(day, 10))
    return case.record(at(1), on_grid="1", spilling="1")


def test_a_value_that_changes_in_mid_month_prices_each_day_by_its_own() -> None:
    assert amount(spilling().settle(), "hydro_spill") == "120000.00"  # 2 × 0.5 × 300 × 400
    new = with_row("hydro_spill.ratio", RuleRow(Decimal("0.6"), MID, RuleState.IN_FORCE, "notice"))
    assert amount(spilling().settle(new), "hydro_spill") == "132000.00"  # 60 000 + 72 000
    elsewhere = with_row("hydro_spill.ratio", RuleRow(Decimal("0.6"), MID, RuleState.IN_FORCE, "n", area="anhui"))
    assert amount(spilling().settle(elsewhere), "hydro_spill") == "120000.00"
    unknown = with_row("hydro_spill.ratio", RuleRow(None, MID, RuleState.UNKNOWN, "notice", area="jiangsu"))
    assert amount(spilling().settle(unknown), "hydro_spill") == "pending:unknown_value"


def test_a_service_may_end_or_be_settled_by_a_factor_in_one_area_from_a_day_on() -> None:
    ended = with_service("hydro_spill", ServiceRow(MID, RuleState.ENDED, Decimal(1), "market", area="jiangsu"))
    line = line_of(spilling().settle(ended), "hydro_spill")
    assert (line.quantity, str(line.amount_yuan)) == (Fraction(1), "60000.00")
    half = with_service("hydro_spill", ServiceRow(MID, RuleState.IN_FORCE, Decimal("0.5"), "market", area="jiangsu"))
    assert amount(spilling().settle(half), "hydro_spill") == "90000.00"
    never = with_service("hydro_spill", ServiceRow(date(2026, 6, 1), RuleState.ENDED, Decimal(1), "market"))
    assert spilling().settle(never).lines == ()


def test_a_limit_of_an_area_that_changes_in_mid_month_changes_what_is_measured() -> None:
    case = Case(units=[unit()]).record(at(1), on_grid="1", active_power_mw="200")
    # (354 − 200) × 8 h × 30 days × 10
    assert amount(case.settle(), "deep_peak") == "369600.00"
    row = RuleRow(Decimal("0.5"), MID, RuleState.IN_FORCE, "notice", key="jiangsu")
    # from the 16th (300 − 200) × 8 × 15 × 10 = 120 000
    assert amount(case.settle(with_row("deep_peak.lower_limit_ratio", row)), "deep_peak") == "304800.00"


def test_a_dispatch_mode_that_changes_in_mid_month_changes_the_price_from_that_day() -> None:
    states = (area(until_day=MID), area("energy_saving", from_day=MID))
    case = Case(units=[unit()], areas=states).record(at(1), on_grid="1", active_power_mw="200")
    assert amount(case.settle(), "deep_peak") == "1108800.00"  # 184 800 × (1 + 5)


def test_the_books_balance_and_the_pool_sums_to_zero() -> None:
    case = spilling()
    case.plants = [plant("P1"), plant("P2")]
    statement = case.settle()
    postings = [(r.entry, r.area, r.plant, str(r.debit_yuan), str(r.credit_yuan)) for r in statement.ledger]
    assert postings == [
        (1, "jiangsu", "", "120000.00", "0.00"), (2, "jiangsu", "P1", "0.00", "120000.00"),
        (3, "jiangsu", "P1", "60000.00", "0.00"), (4, "jiangsu", "", "0.00", "60000.00"),
        (5, "jiangsu", "P2", "60000.00", "0.00"), (6, "jiangsu", "", "0.00", "60000.00"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sold", "reason"),
    [
        ((), "no_revenue"),
        ((None,), "no_revenue"),
        ((Decimal(-1),), "negative_revenue"),
        ((Decimal(0),), "zero_revenue"),
    ],
)
def test_an_area_whose_revenue_cannot_carry_the_shares_is_blocked_with_its_reason(
    sold: tuple[Decimal | None, ...], reason: str
) -> None:
    case = spilling()
    case.revenue = [Revenue("P1", "2026-06", RevenueKind.ENERGY, value) for value in sold]
    statement = case.settle()
    (row,), (pool,) = statement.plants, statement.areas
    assert (row.allocation_yuan, row.net_yuan, row.status.value, row.reason) == (None, None, "blocked", reason)
    assert (str(row.compensation_yuan), pool.reason, statement.ledger) == ("120000.00", reason, ())
    (told,) = [finding for finding in statement.findings if finding.code == reason]
    assert told.subject == "P1"
    assert into(told.message, "zh").endswith("：江苏的费用不能分摊")
    assert into(told.message, "en").endswith(": Jiangsu can't be allocated")


def test_the_table_of_13_4_prices_by_the_latest_row_not_after_the_closing() -> None:
    case = Case(units=[unit(rated="660")]).order("start_stop", at(5), at(7))
    case.record(at(1), on_grid="1").record(at(5, 20), on_grid="0").record(at(6, 4), on_grid="1")
    assert amount(case.settle(), "coal_start_stop") == "pending:table_unknown"
    for wan, first in (("12", date(2020, 1, 1)), ("13.5", date(2026, 6, 6)), ("99", date(2026, 6, 7))):
        case.table.append(
            StartStopRow(Decimal(600), Decimal(700), Decimal(8), Decimal(24), Decimal(wan), first, "document")
        )
    assert amount(case.settle(), "coal_start_stop") == "135000.00"  # the gap is 8 h, the row begins at 8
    case.table[:] = case.table[2:]  # what is left holds from the day after: a table, and no row for it
    assert amount(case.settle(), "coal_start_stop") == "pending:not_in_table"


def test_a_frequency_excursion_is_reported_with_what_droop_asks_for_and_what_the_unit_gave() -> None:
    case = Case(units=[unit(droop_ratio="0.05")])
    for minute, hz, power in ((0, "50", "500"), (10, "49.9", "512"), (20, "50", "500")):
        case.record(
            at(1) + minute * 60_000,
            on_grid="1",
            frequency_hz=hz,
            active_power_mw=power,
            primary_frequency_in_service="1",
        )
    (row,) = case.settle().primary_frequency
    assert (row.start_ms, row.end_ms) == (at(1) + 600_000, at(1) + 1_200_000)
    assert row.actual_mwh == 2  # 12 MW × 10 min
    # 0.1 − 0.033 = 0.067 Hz beyond; ÷ (50 × 0.05) × 600 MW = 16.08 MW × 10 min
    assert row.theoretical_mwh == Fraction("2.68")
    assert row.ratio == Fraction(2) / Fraction("2.68")


def test_avc_orders_are_counted_judged_passed_and_those_not_judged_shown_with_their_cause() -> None:
    case = Case(units=[unit(kind="nuclear", avc=True, nominal_kv="500")])
    # passed; failed by 2 kV; superseded by the next order 30 s later; that one without a voltage to judge it by
    for seconds, target, u in (
        (0, "500", "500"), (100, "505", "500"), (160, "505", "506.5"), (300, "510", "505"), (360, "510", "508"),
        (500, "511", "511"), (530, "512", "511"), (590, "512", ""),
    ):  # fmt: skip
        case.record(at(1) + seconds * 1000, on_grid="1", avc_in_service="1", avc_target_kv=target, bus_voltage_kv=u)
    rows = {d.determinant: d.value for d in case.settle().determinants}
    counts = {name.removeprefix("avc_"): int(value or 0) for name, value in rows.items() if name != "t_AVC" and value}
    assert counts == {"orders": 4, "judged": 2, "passed": 1, "not_judged_superseded": 1, "not_judged_no_voltage": 1}


def test_an_excursion_across_midnight_is_one() -> None:
    case = Case(units=[unit(droop_ratio="0.05")])
    for hour, hz in ((0, "50"), (23.5, "50.1"), (24.5, "50")):
        case.record(at(1, hour), on_grid="1", frequency_hz=hz, active_power_mw="500")
    (row,) = case.settle().primary_frequency
    assert (row.end_ms - row.start_ms, row.actual_mwh) == (3_600_000, Fraction(0))
    assert row.theoretical_mwh == Fraction("-16.08")


def test_a_day_whose_telemetry_and_meter_differ_by_more_than_1_percent_is_a_finding() -> None:
    def month(grown_mwh: str) -> list[str]:
        case = Case(units=[unit(kind="gas")])
        case.record(at(2), on_grid="1", active_power_mw="100", energy_export_mwh="1000")
        case.record(at(2, 10), on_grid="1", active_power_mw="100", energy_export_mwh=grown_mwh)
        return [f"{f.code} {f.subject}" for f in case.settle().findings if f.code != "meter_not_compared"]

    assert month("2010.1") == []  # 1000 against 1010.1: less than 1 %
    assert month("2010.2") == ["meter_differs U1/2026-06-02"]


def test_an_open_area_leaves_the_others_as_they_are_and_the_month_is_as_its_worst() -> None:
    case = Case(units=[unit(kind="gas"), unit("U2", kind="coal", of="P2")], areas=(area(), area(ident="anhui")))
    case.plants = [plant(), plant("P2", "anhui")]
    case.record(at(1), on_grid="1", active_power_mw="500").record(at(1), "U2", on_grid="1", active_power_mw="500")
    assert [row.status.value for row in case.settle().plants] == ["final", "final"]
    case.areas = (area(), area(ident="anhui", hours_filing=None))
    assert {row.area: row.status.value for row in case.settle().plants} == {"anhui": "provisional", "jiangsu": "final"}
    assert case.settle().status.value == "provisional"
    case.revenue = [Revenue("P1", "2026-06", RevenueKind.ENERGY, Decimal(1))]  # anhui: no row of P2
    found = case.settle()
    assert {row.area: row.status.value for row in found.plants} == {"anhui": "blocked", "jiangsu": "final"}
    assert found.status.value == "blocked"
    lacking = [(finding.subject, finding.areas) for finding in found.findings if finding.code == "no_revenue"]
    assert lacking == [("P2", ("anhui",))]
    assert {area_row.area: area_row.plants for area_row in found.areas} == {"anhui": ("P2",), "jiangsu": ()}


def test_a_file_not_delivered_keeps_every_area_from_being_final() -> None:
    case = Case(units=[unit(kind="gas"), unit("U2", kind="gas", of="P2")], areas=(area(), area(ident="anhui")))
    case.plants = [plant(), plant("P2", "anhui")]
    case.record(at(1), on_grid="1", active_power_mw="500").record(at(1), "U2", on_grid="1", active_power_mw="500")
    found = settle(JUNE, replace(case.inputs(), plan=None), shipped_rulebook())
    assert [row.status.value for row in found.plants] == ["provisional", "provisional"]
