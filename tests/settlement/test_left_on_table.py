# SPDX-License-Identifier: GPL-3.0-or-later
"""What each reason cost a line, by hand: the line with that reason removed, minus the line (rules.md section 6)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from collector.base.text import into
from collector.model.dispatch import StartStopRow
from collector.settlement.rulebook.rules import Rulebook
from tests.settlement.made_readings import adopting
from tests.settlement.small_month import Case, at, unit

AGC: dict[str, Any] = {"agc_lower_mw": "300", "agc_upper_mw": "600"}


def left(
    case: Case, ident: str = "U1", book: Rulebook | None = None
) -> dict[tuple[str, str], tuple[int | None, str | None]]:
    """Minutes and yuan by service and reason."""
    rows = [row for row in case.settle(book).left_on_table if row.unit == ident]
    return {
        (row.service, row.reason): (
            None if row.duration_ms is None else row.duration_ms // 60_000,
            None if row.amount_yuan is None else str(row.amount_yuan),
        )
        for row in rows
    }


def test_agc_out_on_grid_costs_its_share_of_availability_and_the_energy_of_its_own_hours() -> None:
    # June has 720 h. On grid all the time; AGC in for 540 h, out for 180. 300 MW × 240: 54 000 paid, 72 000 in service.
    # Always 20 MW above a plan of 400: 10 800 MWh up in 540 h, so 3 600 MWh more in 180 h, at 10 yuan.
    case = Case(units=[unit(**AGC)])
    case.plan = [("U1", at(1), at(1, month=7), 400_000, None)]
    on = {"on_grid": "1", "active_power_mw": "420"}
    case.record(at(1), agc_in_service="1", **on).record(at(2, 6), agc_in_service="0", **on)
    case.record(at(9, 18), agc_in_service="1", **on)
    found = left(case)
    assert found["agc_basic", "agc_off"] == (180 * 60, "18000.00")
    assert found["agc_up", "agc_off"] == (180 * 60, "36000.00")
    assert found["agc_down", "agc_off"] == (180 * 60, "0.00")


def test_avc_out_and_a_failed_order_each_alone() -> None:
    # 600 MW, 500 kV: band 1.5 kV. In service 600 h of 720; two orders, one failed: λ = 0.5.
    # Paid 0.5 × 600 × 0.1 × 600 = 18 000. In service all month: 21 600, 3 600 more. Both passed: 36 000, 18 000 more.
    case = Case(units=[unit(avc=True, nominal_kv="500")])
    on = {"on_grid": "1", "avc_in_service": "1"}
    case.record(at(1), avc_target_kv="505", bus_voltage_kv="505", **on)
    case.record(at(1, 1), avc_target_kv="510", bus_voltage_kv="505", **on)
    case.record(at(1, 1) + 60_000, avc_target_kv="510", bus_voltage_kv="510", **on)
    case.record(at(1, 2), avc_target_kv="505", bus_voltage_kv="510", **on)
    case.record(at(1, 2) + 60_000, avc_target_kv="505", bus_voltage_kv="507", **on)
    case.record(at(26), on_grid="1", avc_in_service="0", avc_target_kv="505", bus_voltage_kv="505")
    found = left(case)
    assert found["avc", "avc_off"] == (120 * 60, "3600.00")
    assert found["avc", "order_failed"] == (None, "18000.00")


def test_running_above_the_gate_costs_what_the_gate_would_have_paid_if_the_unit_ever_came_down_to_it() -> None:
    # Jiangsu, 600 MW: limit 354, gate 240. In each of 30 nights 8 h; the 1st at 200 MW from 00:00 to 04:00 (616 MWh),
    # all other 236 h at 300, 60 above the gate: at the gate (354 − 240) × 236 = 26 904 MWh at 10 yuan.
    case = Case(units=[unit()])
    case.record(at(1), on_grid="1", active_power_mw="200").record(at(1, 4), on_grid="1", active_power_mw="300")
    (row,) = [row for row in case.settle().left_on_table if row.reason == "above_gate"]
    assert (row.duration_ms, str(row.amount_yuan)) == (236 * 3_600_000, "269040.00")
    assert "60 MW" in row.assumption
    assert "60 兆瓦" in into(row.assumption, "zh")
    never = Case(units=[unit()]).record(at(1), on_grid="1", active_power_mw="300")
    assert left(never)["deep_peak", "above_gate"] == (240 * 60, None)


def test_own_fault_costs_what_the_data_of_that_time_would_have_paid() -> None:
    # Two hours of the night at 200 MW, one of them own fault: (354 − 200) × 1 h × 10 = 1 540 paid, as much left.
    case = Case(units=[unit()])
    for hour, power in ((0, "200"), (2, "400")):
        case.record(at(1, hour), on_grid="1", active_power_mw=power)
    case.exclude("own_fault", at(1, 1), at(1, 2))
    assert left(case)["deep_peak", "own_fault"] == (60, "1540.00")


def test_own_fault_inside_a_start_stop_order_costs_no_deep_peak_that_would_not_have_been_paid() -> None:
    # 200 MW from 00:00 to 04:00, own fault from 01:00 to 04:00, a start-stop order from 02:00 on (I-18): without the
    # fault the hour from 01:00 to 02:00 alone would be paid, (354 − 200) × 1 h × 10 = 1 540; by the other choice three.
    case = Case(units=[unit()])
    case.record(at(1), on_grid="1", active_power_mw="200").record(at(1, 4), on_grid="1", active_power_mw="400")
    case.exclude("own_fault", at(1, 1), at(1, 4)).order("start_stop", at(1, 2), at(1, 9))
    assert left(case)["deep_peak", "own_fault"] == (180, "1540.00")
    assert left(case, book=adopting("I-18", "ramps_paid"))["deep_peak", "own_fault"] == (180, "4620.00")


def test_own_fault_of_agc_counts_its_time_as_the_data_say() -> None:
    # In service but for 72 h of own fault, in which the data show it in: 648 of 720 h, 64 800; 72 000 without.
    case = Case(units=[unit(**AGC)]).record(at(1), on_grid="1", agc_in_service="1", active_power_mw="400")
    case.exclude("own_fault", at(1), at(4), "agc_basic")
    assert left(case)["agc_basic", "own_fault"] == (72 * 60, "7200.00")


def test_time_of_an_own_fault_without_agc_status_would_be_missing_without_the_fault() -> None:
    # In service 648 h; own fault for 72 h on grid, AGC unknown for 36 of them and in for 36. Paid 648 ÷ 720 × 72 000 =
    # 64 800. Without the fault the 36 h are missing: in service all of the other 684 h: 72 000, 7 200 more.
    case = Case(units=[unit(**AGC)]).record(at(1), on_grid="1", agc_in_service="1", active_power_mw="400")
    case.record(at(2, 12), on_grid="1", agc_in_service="", active_power_mw="400")
    case.record(at(4), on_grid="1", agc_in_service="1", active_power_mw="400")
    case.exclude("own_fault", at(1), at(4), "agc_basic")
    assert left(case)["agc_basic", "own_fault"] == (72 * 60, "7200.00")


def test_a_start_stop_at_own_fault_is_worth_what_it_would_have_been_paid() -> None:
    # Gas 390 MW: 260 × 390 = 101 400.
    case = Case(units=[unit(kind="gas", rated="390")])
    for hour, state in ((0, "1"), (2, "0"), (10, "1")):
        case.record(at(2, hour), on_grid=state)
    case.order("start_stop", at(2, 1), at(2, 12)).exclude("own_fault", at(2, 3), at(2, 4))
    assert left(case)["gas_start_stop", "own_fault"][1] == "101400.00"


def test_missing_time_costs_up_to_the_upper_bound() -> None:
    # One hour of the night without output: at most 354 MW short, 3 540 yuan more.
    case = Case(units=[unit()])
    for hour, power in ((0, "200"), (1, ""), (2, "400")):
        case.record(at(1, hour), on_grid="1", active_power_mw=power)
    assert left(case)["deep_peak", "missing"] == (60, "3540.00")


def test_a_condenser_start_at_own_fault_is_worth_what_it_would_have_been_paid() -> None:
    # 300 MW × 14 = 4 200 for the start at 02:00 of the 2nd.
    case = Case(units=[unit(kind="hydro", rated="300")])
    for hour, state in ((0, "0"), (2, "1"), (10, "0")):
        case.record(at(2, hour), on_grid="1", condenser=state, active_power_mw="0")
    case.order("condenser", at(2), at(2, 12)).exclude("own_fault", at(2, 1), at(2, 3), "condenser_start")
    assert left(case)["condenser_start", "own_fault"][1] == "4200.00"


def two_orders(kind: str, rated: str, *, seen: bool) -> Case:
    """Two orders of a day each: off from 22:00 to 06:00 where `seen`, then ten minutes unknown at noon while on."""
    case = Case(units=[unit(kind=kind, rated=rated)]).record(at(1), on_grid="1", active_power_mw="600")
    if seen:
        case.order("start_stop", at(2, 12), at(3, 12))
        case.record(at(2, 22), on_grid="0", active_power_mw="0").record(at(3, 6), on_grid="1", active_power_mw="600")
    case.order("start_stop", at(5), at(6))
    return case.record(at(5, 12), on_grid="", active_power_mw="600").record(
        at(5, 12 + 1 / 6), on_grid="1", active_power_mw="600"
    )


def test_an_order_that_can_not_be_told_costs_what_it_would_have_paid() -> None:
    # Gas 300 MW: blocked, at most 260 × 300 = 78 000; nothing is paid yet.
    assert left(two_orders("gas", "300", seen=False))["gas_start_stop", "uncertain_edge"] == (None, "78000.00")
    # With a certain one before, 78 000 are paid and the ten minutes may hide 78 000 more.
    rows = left(two_orders("gas", "300", seen=True))
    assert rows["gas_start_stop", "missing"] == (10, "78000.00")
    assert ("gas_start_stop", "uncertain_edge") not in rows


def test_a_coal_order_that_can_not_be_told_costs_the_most_the_table_has_for_its_gaps() -> None:
    # A stop of up to ten minutes: of the rows 0 to 0.1 h at 3 and 0.1 to 1 h at 5 (万元) the second is more: 50 000.
    case = two_orders("coal", "660", seen=False)
    for begin, end, amount in (("0", "0.1", "3"), ("0.1", "1", "5"), ("1", "24", "9")):
        numbers = (Decimal(600), Decimal(700), Decimal(begin), Decimal(end), Decimal(amount))
        case.table.append(StartStopRow(*numbers, date(2026, 1, 1), "document"))
    assert left(case)["coal_start_stop", "uncertain_edge"] == (None, "50000.00")


def test_a_pending_line_has_its_row_and_no_yuan_because_no_bound_is_known() -> None:
    # No table: the occurrence has no amount, nor an upper bound. With a table that has no row for its 8 h the same.
    case = two_orders("coal", "660", seen=True)
    assert left(case)["coal_start_stop", "table_unknown"] == (None, None)
    numbers = (Decimal(600), Decimal(700), Decimal(0), Decimal(6), Decimal(5))
    case.table.append(StartStopRow(*numbers, date(2026, 1, 1), "document"))
    assert left(case)["coal_start_stop", "not_in_table"] == (None, None)
