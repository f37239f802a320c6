# SPDX-License-Identifier: GPL-3.0-or-later
"""Low and high bound of lines with gaps, worked by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

from collector.model.dispatch import StartStopRow
from tests.settlement.small_month import FOREVER, Case, area, at, line_of, unit


def bounds(case: Case, service: str) -> tuple[str, str, str]:
    """Low bound, amount, high bound."""
    line = line_of(case.settle(), service)
    return str(line.low_yuan), str(line.amount_yuan), str(line.high_yuan)


def hourly(case: Case, *, without: range, **cells: str) -> Case:
    """A record every hour of June, held one hour, except in some hours of the month."""
    case.policy["hold_limit_s"] = Decimal(3600)
    for hour in range(720):
        if hour not in without:
            case.record(at(1) + hour * 3_600_000, **cells)
    return case


def test_deep_peak_in_a_gap_is_worth_nothing_or_the_whole_lower_limit() -> None:
    case = hourly(Case(units=[unit()]), without=range(2, 12), on_grid="1", active_power_mw="200")
    # 240 h of valley, 6 of them missing: (354 − 200) × 234 × 10; the 6 h at most 354 × 6 × 10
    assert bounds(case, "deep_peak") == ("360360.00", "360360.00", "381600.00")


def test_deep_peak_with_only_the_breaker_missing_is_worth_at_most_what_its_output_leaves() -> None:
    case = Case(units=[unit()], policy={"hold_limit_s": Decimal(3600)})
    for hour in range(720):
        cells = {"on_grid": "", "active_power_mw": "200"} if hour in range(2, 5) else {"on_grid": "1"}
        cells |= {"active_power_mw": ""} if hour in range(5, 8) else {"active_power_mw": "200"}
        case.record(at(1) + hour * 3_600_000, **cells)
    # Limit 0.59 × 600 = 354 MW. 240 h of valley, known in 234: 154 × 234 × 10 = 360 360. Three hours may have been
    # off grid, but the output was 200 MW: at most 154 × 3 × 10 = 4620. In three the output is missing: at most
    # 354 × 3 × 10 = 10 620.
    assert bounds(case, "deep_peak") == ("360360.00", "360360.00", "375600.00")


def test_agc_in_a_gap_is_out_or_in_service_on_grid() -> None:
    case = Case(units=[unit(kind="gas", agc_lower_mw="300", agc_upper_mw="600")])
    hourly(case, without=range(72), on_grid="1", agc_in_service="1", active_power_mw="500")
    case.plan.append(("U1", at(1), at(1, month=7), 450_000, None))
    # known 648 h, all in service: 240 × 300. The gap out of service: 72 000 × 648 / 720.
    assert bounds(case, "agc_basic") == ("64800.00", "72000.00", "72000.00")
    # 50 MW × 648 h × 10; in the gap at most 600 − 450 = 150 MW × 72 h × 10
    assert bounds(case, "agc_up") == ("324000.00", "324000.00", "432000.00")
    # nothing below plan; in the gap at most 450 − 300 = 150 MW × 72 h × 10
    assert bounds(case, "agc_down") == ("0.00", "0.00", "108000.00")


def test_an_uncertain_order_may_hide_one_start_and_stop() -> None:
    case = Case(units=[unit(kind="gas", rated="390")], policy={"hold_limit_s": Decimal(3600)})
    case.record(at(1), on_grid="1").order("start_stop", at(2), at(3))
    assert bounds(case, "gas_start_stop") == ("0.00", "None", "101400.00")


def test_a_coal_order_is_bounded_by_the_amounts_its_gaps_may_have_and_open_where_one_has_no_row() -> None:
    case = Case(units=[unit("U1", "coal", "660")], policy={"hold_limit_s": FOREVER})
    for hour, on in ((0, "1"), (46, "0"), (48, ""), (49, "0"), (54, "1")):
        case.record(at(1) + hour * 3_600_000, on_grid=on, active_power_mw="600")
    case.order("start_stop", at(2), at(4))
    # 8 h off, an hour of it unknown after 2 h: it may have come back after 2 to 3 h.
    rows = [(Decimal(2), Decimal(5), Decimal(20)), (Decimal(5), Decimal(9), Decimal(50))]
    for gap_from, gap_to, wan_yuan in rows:
        case.table.append(StartStopRow(Decimal(600), Decimal(700), gap_from, gap_to, wan_yuan, date(2020, 1, 1), "d"))
    assert bounds(case, "coal_start_stop") == ("200000.00", "500000.00", "500000.00")
    case.table[0] = replace(case.table[0], gap_from_h=Decimal("2.5"))  # 2 to 2.5 h have no row
    assert bounds(case, "coal_start_stop") == ("200000.00", "500000.00", "None")


def in_place_of_another(*, rated: str = "390", of: str | None = None) -> Case:
    """390 MW of gas, with another rating or area from 3 June on: off 20:00 to 04:00, unknown for an hour before it."""
    before, after = unit(kind="gas", rated="390"), unit(kind="gas", rated=rated, area=of)
    states = [replace(before, until_day=date(2026, 6, 3)), replace(after, from_day=date(2026, 6, 3))]
    case = Case(units=states, areas=(area(), area(ident="shanghai")))
    for day, hour, on in ((1, 0, "1"), (2, 18, ""), (2, 19, "1"), (2, 20, "0"), (3, 4, "1")):
        case.record(at(day, hour), on_grid=on)
    return case.order("start_stop", at(2), at(3, 12))


def test_an_order_paid_at_another_capacity_than_one_hidden_before_it_has_bounds_and_is_provisional() -> None:
    # The certain one closes on 3 June at 300 MW: 260 × 300. In the hour of 2 June a first one may have come and gone,
    # which would use the order up, at 390 MW: 260 × 390.
    case = in_place_of_another(rated="300")
    line = line_of(case.settle(), "gas_start_stop")
    assert bounds(case, "gas_start_stop") == ("78000.00", "78000.00", "101400.00")
    assert (line.status.value, line.provisional) == ("paid", True)
    # Without a change the hidden one pays the same: nothing to bound, final.
    case = in_place_of_another(rated="390")
    assert bounds(case, "gas_start_stop") == ("None", "101400.00", "None")
    assert not line_of(case.settle(), "gas_start_stop").provisional


def test_an_order_paid_in_one_area_may_have_been_used_up_in_the_one_before() -> None:
    # From 3 June on the unit is dispatched by Shanghai. The certain one closes there; a hidden one of 2 June would have
    # been paid in Jiangsu, and Shanghai would then pay nothing.
    lines = {line.area: line for line in in_place_of_another(of="shanghai").settle().lines}
    told = {name: (str(x.low_yuan), str(x.amount_yuan), str(x.high_yuan), x.provisional) for name, x in lines.items()}
    assert told["shanghai"] == ("0.00", "101400.00", "101400.00", True)
    assert told["jiangsu"] == ("0.00", "0.00", "101400.00", True)


def test_what_the_month_before_may_hide_takes_nothing_from_a_certain_start_stop() -> None:
    # The order begins on 31 May, where the breaker is unknown for an hour; off and on again on 1 June: 260 × 390.
    case = Case(units=[unit(kind="gas", rated="390")])
    hidden = [(at(30, month=5), "1"), (at(31, 20, month=5), ""), (at(31, 21, month=5), "1")]
    for time, on in (*hidden, (at(1, 1), "0"), (at(1, 6), "1")):
        case.record(time, on_grid=on)
    case.order("start_stop", at(31, 18, month=5), at(1, 12))
    assert bounds(case, "gas_start_stop") == ("None", "101400.00", "None")
    assert not line_of(case.settle(), "gas_start_stop").provisional


def test_own_fault_with_lost_records_pays_as_if_on_grid_and_at_most_as_if_off() -> None:
    known, lost = (Case(units=[unit(kind="gas", agc_lower_mw="300", agc_upper_mw="500")]) for _ in range(2))
    for case in (known, lost):
        case.record(at(1), on_grid="1", agc_in_service="1").exclude("own_fault", at(25), at(1, month=7))
    lost.record(at(25), on_grid="", agc_in_service="")
    # 576 of 720 h: 240 × 0.8 × 200; off grid at the fault: 240 × 200
    assert bounds(known, "agc_basic") == ("None", "38400.00", "None")
    assert bounds(lost, "agc_basic") == ("38400.00", "38400.00", "48000.00")


def test_a_gap_may_take_agc_energy_away_where_it_nets_the_other_way() -> None:
    case = Case(units=[unit(kind="gas", agc_lower_mw="300", agc_upper_mw="600")])
    case.policy["hold_limit_s"] = Decimal(300)
    case.plan.append(("U1", at(1), at(1, month=7), 450_000, None))
    cells = {"on_grid": "1", "agc_in_service": "1"}
    quarter = [at(10), at(10) + 300_000, at(10) + 600_000]
    case.record(quarter[0], active_power_mw="570", **cells).record(quarter[1], active_power_mw="", **cells)
    case.record(quarter[2], active_power_mw="450", **cells)
    case.record(at(10) + 900_000, on_grid="0").policy["min_coverage"] = Decimal(0)
    low, _, _ = bounds(case, "agc_up")
    # +120 MW for five minutes is 10 MWh; the five minutes after may have been 150 MW below plan: 12.5 MWh.
    assert low == "0.00"
    assert str(line_of(case.settle(), "agc_up").amount_yuan) == "100.00"


def test_orders_hidden_in_a_gap_may_have_passed_or_failed() -> None:
    case = Case(units=[unit(kind="gas", rated="600", avc=True, nominal_kv="500")])
    case.policy["hold_limit_s"] = Decimal(3600)
    target = ("505", "506")
    for hour in range(720):
        if hour not in range(700, 702):
            volts = "505.5" if hour < 360 else "510"
            cells = {"on_grid": "1", "avc_in_service": "1", "avc_target_kv": target[hour // 2 % 2]}
            case.record(at(1) + hour * 3_600_000, bus_voltage_kv=volts, **cells)
    # An order every second hour from hour 2 on, judged an hour later: 359, and 358 without that of hour 700, which the
    # gap hides (702 then shows the target of 698 again: 702 // 2 is odd as 699 // 2). 505.5 kV is within 1.5 kV of both
    # targets: passed in hours 2 to 358, judged in hours 3 to 359: 179. The rest at 510 kV failed.
    line = line_of(case.settle(), "avc")
    judged = 358 - 1  # 702 follows a gap: no order is seen there
    rate = Decimal(179) / judged
    assert str(line.amount_yuan) == str((rate * 600 * 718 / 10).quantize(Decimal("0.01")))
    # Two hours have room for 120 orders of 60 s: all failed, and the gap unpaid; all passed, and the gap in service.
    assert str(line.low_yuan) == str((Decimal(179) / (judged + 120) * 600 * 718 / 10).quantize(Decimal("0.01")))
    assert str(line.high_yuan) == str((Decimal(179 + 120) / (judged + 120) * 600 * 720 / 10).quantize(Decimal("0.01")))


def three_orders(*, without: range = range(0), unknown: int = -1, settle_s: int = 60) -> Case:
    """600 MW in AVC all June, hourly; orders at hours 100, 300, 500: two obeyed at once, the third missed by 5 kV."""
    case = Case(units=[unit(kind="gas", rated="600", avc=True, nominal_kv="500")])
    case.policy |= {"hold_limit_s": Decimal(3600), "settle_s": Decimal(settle_s)}
    for hour in range(720):
        target = 505 + (hour >= 100) + (hour >= 300) + (hour >= 500)
        volts = target - 5 * (hour >= 500)
        cells = {"on_grid": "1", "avc_in_service": "" if hour == unknown else "1", "avc_target_kv": str(target)}
        if hour not in without:
            case.record(at(1) + hour * 3_600_000, bus_voltage_kv=str(volts), **cells)
    return case


def test_an_order_whose_judging_record_lacks_the_avc_status_may_have_passed_or_failed() -> None:
    # The order of 300 would be judged at 301, where the status is missing: 1 of 2 passed, over 719 h of 60 yuan.
    # The missing hour hides 60 orders of 60 s, and decides that one: 61 all failed, 1 of 63; all passed, 62 of 63 and
    # 720 h. 43 140 ÷ 63 = 684.7619…; 43 200 × 62 ÷ 63 = 42 514.2857…
    assert bounds(three_orders(unknown=301), "avc") == ("684.76", "21570.00", "42514.29")


def test_an_order_no_record_comes_in_time_for_may_have_passed_or_failed() -> None:
    # Nothing at 301 and 302: the record of 303 is too late for the order of 300, and 301 to 303 is missing, two hours.
    # 1 of 2 over 718 h. 120 hidden orders and that one: 1 of 123, 43 080 ÷ 123 = 350.2439…; or 122 of 123, which is
    # 43 200 × 122 ÷ 123 = 42 848.7804…
    assert bounds(three_orders(without=range(301, 303)), "avc") == ("350.24", "21540.00", "42848.78")


def test_an_order_judged_beyond_missing_time_may_have_been_superseded_in_it() -> None:
    # Two hours to settle: the order of 300 passed at 302, but at 301 another may have come. 2 of 3 over 719 h. The hour
    # hides at most one order of two hours. That one and the one of 300 both failed: 1 of 4; both passed: 3 of 4, 720 h.
    assert bounds(three_orders(unknown=301, settle_s=7200), "avc") == ("10785.00", "28760.00", "32400.00")
    # The same without any record at 301.
    assert bounds(three_orders(without=range(301, 302), settle_s=7200), "avc") == ("10785.00", "28760.00", "32400.00")
    # Known all through there is nothing to bound.
    assert bounds(three_orders(settle_s=7200), "avc") == ("None", "28800.00", "None")


def test_a_gap_hides_as_many_condenser_starts_as_it_has_room_for() -> None:
    case = Case(
        units=[unit(kind="hydro", rated="300")], policy={"hold_limit_s": Decimal(600), "min_coverage": Decimal(0)}
    )
    for minute in (0, 10, 50):
        case.record(at(10) + minute * 60_000, on_grid="1", condenser="0")
    case.order("condenser", at(10), at(10, 1))
    # 30 minutes without a record hold three records ten minutes apart: 1, 0, 1 are two starts of 14 × 300.
    assert bounds(case, "condenser_start") == ("0.00", "0.00", "8400.00")


def test_agc_in_a_gap_of_a_small_range_is_best_taken_as_off_grid() -> None:
    wide = unit(kind="gas", agc_lower_mw="300", agc_upper_mw="600")
    states = [
        replace(wide, until_day=date(2026, 6, 11)),
        replace(wide, agc_lower_mw=Decimal(570), from_day=date(2026, 6, 11)),
    ]
    case = hourly(Case(units=states), without=range(240, 720), on_grid="1", agc_in_service="1", active_power_mw="500")
    case.policy["min_coverage"] = Decimal("0.3")
    # 300 MW in service for all of ten days; the gap adds hours on grid without AGC at worst, none at best.
    assert bounds(case, "agc_basic") == ("24000.00", "72000.00", "72000.00")
