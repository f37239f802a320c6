# SPDX-License-Identifier: GPL-3.0-or-later
"""The services one by one, by hand-worked corners."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from .build import END, START, Build, at, determinant, line_of, measured, verdict

# ---- start-stop --------------------------------------------------------------------------------------------------


def stops(tmp_path: Path, *edges: tuple[str, object], kind: str = "gas", hold_s: int = 40 * 86_400) -> Build:
    """A 100 MW unit whose breaker follows the edges."""
    case = Build(tmp_path, hold_s=hold_s).unit(kind=kind, rated_mw="100")
    for time, on in edges:
        case.record(time, on_grid=on)
    return case


@pytest.mark.parametrize(
    ("stop", "start", "order", "count"),
    [
        (at(3, "22:00"), at(4, "06:00"), (at(3, "22:00"), at(4, "06:01")), 1),  # order.start <= opening
        (at(3, "22:00"), at(4, "06:00"), (at(3, "22:01"), at(4, "12:00")), 0),
        (at(3, "22:00"), at(4, "06:00"), (at(3, "20:00"), at(4, "06:00")), 0),  # closing < order.end
        (at(3, "06:00"), at(4, "06:00"), (at(3), at(5)), 1),  # a gap of exactly 24 h
        (at(3, "06:00"), at(4, "06:00:01"), (at(3), at(5)), 0),
        (at(31, "22:00", month=5), at(1, "06:00"), (at(31, month=5), at(2)), 1),  # month of the restart (I-06)
        (at(30, "22:00"), at(1, "00:00", month=7), (at(30), at(2, month=7)), 0),
    ],
)
def test_an_occurrence_lies_inside_its_order_and_24_hours_and_belongs_to_the_month_of_its_closing(
    tmp_path: Path, stop: str, start: str, order: tuple[str, str], count: int
) -> None:
    case = stops(tmp_path, (at(30, month=5), 1), (stop, 0), (start, 1)).order("start_stop", *order)
    line = line_of(case.settle(), "gas_start_stop")
    assert line["quantity"] == count
    assert verdict(line) == (("26000.00", "paid", "") if count else ("0.00", "zero", "rounded"))


def test_one_order_pays_one_occurrence(tmp_path: Path) -> None:
    edges = [(START, 1), (at(3, "01:00"), 0), (at(3, "02:00"), 1), (at(3, "03:00"), 0), (at(3, "04:00"), 1)]
    case = stops(tmp_path, *edges).order("start_stop", at(3), at(4))
    assert line_of(case.settle(), "gas_start_stop")["quantity"] == 1


def test_an_order_paid_in_the_month_before_pays_nothing_more(tmp_path: Path) -> None:
    before = [(at(31, "01:00", month=5), 1), (at(31, "10:00", month=5), 0), (at(31, "12:00", month=5), 1)]
    case = stops(tmp_path, *before, (at(1, "01:00"), 0), (at(1, "02:00"), 1))
    case.order("start_stop", at(31, month=5), at(2))
    assert line_of(case.settle(), "gas_start_stop")["quantity"] == 0


def test_missing_breaker_time_in_the_gap_blocks_the_line_with_uncertain_edge(tmp_path: Path) -> None:
    edges = [(START, 1), (at(3, "22:00"), 0), (at(4, "02:00"), ""), (at(4, "06:00"), 1)]
    result = stops(tmp_path, *edges).order("start_stop", at(3), at(5)).settle()
    assert verdict(line_of(result, "gas_start_stop")) == ("", "blocked", "uncertain_edge")


def test_with_a_certain_occurrence_elsewhere_it_is_paid_and_the_month_provisional(tmp_path: Path) -> None:
    edges = [(START, 1), (at(3, "22:00"), 0), (at(4, "02:00"), ""), (at(4, "06:00"), 1)]
    case = stops(tmp_path, *edges, (at(10, "01:00"), 0), (at(10, "02:00"), 1))
    result = case.order("start_stop", at(3), at(5)).order("start_stop", at(10), at(11)).settle()
    assert verdict(line_of(result, "gas_start_stop")) == ("26000.00", "paid", "")
    assert result.plants[0]["status"] == "provisional"


def test_a_certain_occurrence_in_the_order_makes_its_other_missing_time_harmless(tmp_path: Path) -> None:
    edges = [(START, 1), (at(3, "01:00"), 0), (at(3, "02:00"), 1), (at(3, "03:00"), ""), (at(3, "04:00"), 1)]
    result = stops(tmp_path, *edges).order("start_stop", at(3), at(4)).settle()
    assert line_of(result, "gas_start_stop")["quantity"] == 1
    assert result.plants[0]["status"] == "final"


def test_an_edge_is_observed_only_if_the_state_before_holds_up_to_it(tmp_path: Path) -> None:
    # Hold 60 s; the record before the opening is 61 s earlier: the opening is not observed, the order uncertain.
    early = [(at(3, "00:59:00"), 1)]
    edges = [(at(3, "01:00:01"), 0), (at(3, "01:01:00"), 1)]
    case = stops(tmp_path, *early, *edges, hold_s=60).order("start_stop", at(3, "00:59"), at(3, "01:02"))
    assert line_of(case.settle(), "gas_start_stop")["reason"] == "uncertain_edge"


@pytest.mark.parametrize("reason", ["own_fault", "test"])
def test_an_occurrence_touched_by_an_exclusion_is_not_paid_and_counts_as_certain(tmp_path: Path, reason: str) -> None:
    # The exclusion begins at the closing itself: both ends belong to the occurrence. Later missing time is harmless.
    edges = [(START, 1), (at(3, "22:00"), 0), (at(4, "06:00"), 1), (at(4, "12:00"), ""), (at(4, "13:00"), 1)]
    case = stops(tmp_path, *edges).order("start_stop", at(3), at(5)).exclude(reason, at(4, "06:00"), at(4, "06:01"))
    result = case.settle()
    assert verdict(line_of(result, "gas_start_stop")) == ("0.00", "zero", "rounded")
    assert result.plants[0]["status"] == "final"


def test_an_excluded_occurrence_of_one_order_does_not_pay_for_the_missing_time_of_another(tmp_path: Path) -> None:
    # OPEN.md, 2: nothing can be paid, and the other order is uncertain, so the line is blocked.
    edges = [(START, 1), (at(3, "22:00"), 0), (at(4, "06:00"), 1), (at(10, "12:00"), ""), (at(10, "13:00"), 1)]
    case = stops(tmp_path, *edges).order("start_stop", at(3), at(5)).order("start_stop", at(10), at(11))
    result = case.exclude("test", at(3, "23:00"), at(4)).settle()
    assert verdict(line_of(result, "gas_start_stop")) == ("", "blocked", "uncertain_edge")


def test_an_excluded_occurrence_does_not_use_up_its_order(tmp_path: Path) -> None:
    edges = [(START, 1), (at(3, "01:00"), 0), (at(3, "02:00"), 1), (at(3, "03:00"), 0), (at(3, "04:00"), 1)]
    case = stops(tmp_path, *edges).order("start_stop", at(3), at(4)).exclude("grid", at(3, "01:30"), at(3, "01:31"))
    assert line_of(case.settle(), "gas_start_stop")["quantity"] == 1


def test_coal_is_pending_without_the_table_and_zero_without_an_occurrence(tmp_path: Path) -> None:
    case = stops(tmp_path, (START, 1), (at(3, "22:00"), 0), (at(4, "06:00"), 1), kind="coal")
    result = case.order("start_stop", at(3), at(5)).settle()
    line = line_of(result, "coal_start_stop")
    assert verdict(line) == ("", "pending", "table_unknown")
    assert line["quantity"] == 1
    assert result.plants[0]["status"] == "provisional"


def test_a_loaded_table_prices_by_capacity_gap_and_the_latest_date_not_after_the_closing(tmp_path: Path) -> None:
    # Gap 8 h, 100 MW, closing 4 June: the row from 1 June wins over 1 January; the one from 5 June is too late.
    case = stops(tmp_path, (START, 1), (at(3, "22:00"), 0), (at(4, "06:00"), 1), kind="coal")
    case.order("start_stop", at(3), at(5))
    for amount, since in (("1.5", "2026-01-01"), ("2.25", "2026-06-01"), ("9", "2026-06-05")):
        case.row("start_stop_table", "100", "200", "8", "12", amount, since)
    case.row("start_stop_table", "100", "200", "6", "8", "7", "2026-06-02")  # half-open: 8 h is not in it
    assert verdict(line_of(case.settle(), "coal_start_stop")) == ("22500.00", "paid", "")


# ---- spill -------------------------------------------------------------------------------------------------------


def test_a_unit_without_a_spilling_column_is_paid_the_whole_order_without_records(tmp_path: Path) -> None:
    # 0.5 x 100 MW x 10 h x 300 yuan = 150 000.00
    case = Build(tmp_path).unit(kind="hydro", rated_mw=100, tariff_yuan_per_mwh=300)
    line = line_of(case.order("spill", at(2), at(2, "10:00")).settle(), "hydro_spill")
    assert verdict(line) == ("150000.00", "paid", "")
    assert measured(line) == (10, 1)


def test_a_spill_line_with_orders_and_no_tariff_is_blocked(tmp_path: Path) -> None:
    case = Build(tmp_path).unit(kind="hydro").order("spill", at(2), at(3)).record(START, spilling=0)
    assert verdict(line_of(case.settle(), "hydro_spill")) == ("", "blocked", "no_tariff")


# ---- AGC ---------------------------------------------------------------------------------------------------------


def test_agc_basic_at_own_fault_counts_as_on_grid_hours_without_agc(tmp_path: Path) -> None:
    # On and in AGC for 720 h but for 72 h of own fault: rate 0.9; 0.9 x 200 MW = 180 MW x 240 = 43 200.00.
    # Had the breaker been missing there, those hours would not be on-grid hours: rate 1, 48 000.00.
    for breaker, yuan in ((1, "43200.00"), ("", "48000.00")):
        case = Build(tmp_path).unit(agc_lower_mw=300, agc_upper_mw=500).exclude("own_fault", at(28), END)
        case.record(START, on_grid=1, agc_in_service=1).record(at(28), on_grid=breaker, agc_in_service=1)
        line = line_of(case.settle(), "agc_basic")
        assert str(line["amount_yuan"]) == yuan
        assert line["coverage"] == 1


def test_agc_limits_of_half_a_month_give_the_full_rate_over_their_own_on_grid_hours(tmp_path: Path) -> None:
    # OPEN.md, 1: limits from 16 June, on and in AGC throughout: 240 x 200 MW = 48 000.00.
    case = Build(tmp_path).unit(until="2026-06-16").unit(from_="2026-06-16", agc_lower_mw=300, agc_upper_mw=500)
    result = case.record(START, on_grid=1, agc_in_service=1).settle()
    assert verdict(line_of(result, "agc_basic")) == ("48000.00", "paid", "")
    assert determinant(result, "agc_basic.on_grid_h") == (360, 360, 360)


def test_agc_basic_of_a_unit_never_on_the_grid_is_zero(tmp_path: Path) -> None:
    case = Build(tmp_path).unit(agc_lower_mw=300, agc_upper_mw=500).record(START, on_grid=0, agc_in_service=1)
    assert verdict(line_of(case.settle(), "agc_basic")) == ("0.00", "zero", "rounded")


def test_agc_in_service_off_the_grid_with_an_unknown_breaker_is_missing_for_the_denominator(tmp_path: Path) -> None:
    case = Build(tmp_path).unit(agc_lower_mw=300, agc_upper_mw=500).record(START, on_grid="", agc_in_service=0)
    assert line_of(case.settle(), "agc_basic")["coverage"] == 0


def test_agc_energy_is_netted_inside_each_local_quarter_hour(tmp_path: Path) -> None:
    # Plan 400. 00:00-00:10 at 430 (+5 MWh), 00:10-00:15 at 340 (-5 MWh): nets to 0 in the quarter.
    # 00:15-00:30 at 340: -15 MWh down. 00:30-00:45 at 420: +5 up. AGC is out from 00:45.
    # Energy saving: up 5 x 10 = 50.00, down 15 x 50 = 750.00.
    case = Build(tmp_path, mode="energy_saving").unit(agc_lower_mw=300, agc_upper_mw=500)
    case.row("plan", "U1", START, END, "400")
    for clock, power in (("00:00", 430), ("00:10", 340), ("00:30", 420)):
        case.record(at(1, clock), on_grid=1, active_power_mw=power, agc_in_service=1)
    result = case.record(at(1, "00:45"), on_grid=1, active_power_mw=480, agc_in_service=0).settle()
    assert verdict(line_of(result, "agc_up")) == ("50.00", "paid", "")
    assert verdict(line_of(result, "agc_down")) == ("750.00", "paid", "")


def test_agc_time_without_a_plan_row_is_missing_only_while_on_and_in_agc(tmp_path: Path) -> None:
    # 15 of 30 days in AGC without a plan: coverage 0.5, exactly the minimum.
    case = Build(tmp_path).unit(agc_lower_mw=300, agc_upper_mw=500)
    case.record(START, on_grid=1, active_power_mw=400, agc_in_service=1)
    case.record(at(16), on_grid=1, active_power_mw=400, agc_in_service=0)
    assert line_of(case.settle(), "agc_up")["coverage"] == Fraction(1, 2)


def test_the_plan_first_issued_counts_and_an_empty_issue_is_first_of_all(tmp_path: Path) -> None:
    # 1 h at 450 MW. Rows: 400 issued the day before, 300 issued later; then one without issue, 440.
    for rows, quantity in (((("400", at(31, month=5)), ("300", at(1))), 50), ((("300", at(1)), ("440", "")), 10)):
        case = Build(tmp_path).unit(agc_lower_mw=300, agc_upper_mw=500)
        for power, issued in rows:
            case.row("plan", "U1", START, END, power, issued)
        case.record(START, on_grid=1, active_power_mw=450, agc_in_service=1)
        case.record(at(1, "01:00"), on_grid=1, active_power_mw=450, agc_in_service=0)
        assert line_of(case.settle(), "agc_up")["quantity"] == quantity


# ---- reactive ----------------------------------------------------------------------------------------------------

LAG = {"on_grid": 1, "active_power_mw": "200", "reactive_power_mvar": "160", "bus_voltage_kv": "505"}


def reactive(tmp_path: Path, cells: dict[str, object], *, band: bool = True, **unit: object) -> Build:
    """A 600 MW unit with one reactive order of one hour and the record of that hour."""
    case = Build(tmp_path).unit(**unit).order("reactive", at(2), at(2, "01:00")).record(at(2), **cells)
    return case.row("voltage_band", "U1", START, END, "500", "510") if band else case


def test_reactive_energy_beyond_the_free_part_is_paid_in_band(tmp_path: Path) -> None:
    # Lag: 160 - 0.75 x 200 = 10 Mvarh x 15 = 150.00. Lead at 200 MW: free 0.328684105 x 200 000 kW = 65 737 kvar
    # (65 736.821 rounded); 80 - 65.737 = 14.263 Mvarh x 15 = 213.945, half away 213.95.
    assert verdict(line_of(reactive(tmp_path, {**LAG}).settle(), "reactive_lag")) == ("150.00", "paid", "")
    result = reactive(tmp_path, {**LAG, "reactive_power_mvar": "-80"}).settle()
    assert line_of(result, "reactive_lead")["quantity"] == Fraction("14.263")
    assert verdict(line_of(result, "reactive_lead")) == ("213.95", "paid", "")
    assert verdict(line_of(result, "reactive_lag")) == ("0.00", "zero", "rounded")


@pytest.mark.parametrize(
    ("cells", "unit", "band", "expected"),
    [
        ({"bus_voltage_kv": "510"}, {}, True, ("150.00", 1)),  # low <= U <= high
        ({"bus_voltage_kv": "510.001"}, {}, True, ("0.00", 1)),
        ({"bus_voltage_kv": "511"}, {"q_max_mvar": "161"}, True, ("150.00", 1)),  # at the limit within 1 Mvar
        ({"bus_voltage_kv": "511"}, {"q_max_mvar": "161.001"}, True, ("0.00", 1)),
        ({}, {}, False, ("", 0)),  # no band row: missing, since it decides
        ({}, {"q_max_mvar": "160"}, False, ("150.00", 1)),  # at the limit: the band does not decide
        ({"bus_voltage_kv": ""}, {}, True, ("", 0)),
        ({"reactive_power_mvar": "150"}, {}, False, ("0.00", 1)),  # no excess: the band does not decide
        ({"active_power_mw": "-1"}, {}, True, ("0.00", 1)),  # P < 0 (I-10)
        ({"condenser": 1}, {}, True, ("0.00", 1)),  # condenser (I-10)
        ({"condenser": ""}, {}, True, ("", 0)),
    ],
)
def test_reactive_conditions_decide_in_three_valued_logic(
    tmp_path: Path, cells: dict[str, object], unit: dict[str, object], band: bool, expected: tuple[str, int]
) -> None:
    line = line_of(reactive(tmp_path, {**LAG, **cells}, band=band, **unit).settle(), "reactive_lag")
    assert verdict(line)[0] == expected[0]
    assert line["coverage"] == expected[1]


# ---- condenser ---------------------------------------------------------------------------------------------------


def test_a_condenser_already_running_at_the_order_has_hours_and_no_start(tmp_path: Path) -> None:
    case = Build(tmp_path).unit(rated_mw=100).order("condenser", at(2), at(2, "02:00")).record(START, condenser=1)
    result = case.settle()
    assert verdict(line_of(result, "condenser_start")) == ("0.00", "zero", "rounded")
    assert verdict(line_of(result, "condenser_run")) == ("3000.00", "paid", "")  # 15 x 100 x 2


def test_a_condenser_start_at_an_excluded_instant_is_not_paid(tmp_path: Path) -> None:
    case = Build(tmp_path).unit(rated_mw=100).order("condenser", at(2), at(3)).record(START, condenser=0)
    case.record(at(2, "01:00"), condenser=1).record(at(2, "02:00"), condenser=0).record(at(2, "03:00"), condenser=1)
    result = case.exclude("own_fault", at(2, "01:00"), at(2, "01:01")).settle()
    assert line_of(result, "condenser_start")["quantity"] == 1


def test_a_unit_without_a_condenser_column_is_known_never_to_run_as_one(tmp_path: Path) -> None:
    line = line_of(Build(tmp_path).unit().order("condenser").settle(), "condenser_run")
    assert verdict(line) == ("0.00", "zero", "rounded")
    assert line["coverage"] == 1


# ---- AVC ---------------------------------------------------------------------------------------------------------

STEADY = {"on_grid": 1, "avc_in_service": 1}


def avc(tmp_path: Path, nominal_kv: str = "500") -> Build:
    """A 100 MW unit at target 500 kV from the month's start."""
    case = Build(tmp_path).unit(avc=True, nominal_kv=nominal_kv, rated_mw=100)
    return case.record(START, avc_target_kv="500", bus_voltage_kv="500", **STEADY)


def counts(case: Build) -> tuple[int, ...]:
    """Passed, judged, not judged."""
    found = case.settle().determinants
    return tuple(int(found["U1", f"avc.{name}"]["value"]) for name in ("passed", "judged", "not_judged"))


@pytest.mark.parametrize(
    ("nominal_kv", "voltage_kv", "passed"),
    [
        ("500", "503.5", 1),  # target 502; within 1.5 kV, the edge included
        ("500", "503.501", 0),
        ("499.9", "503", 1),  # below 500: 1.0 kV
        ("499.9", "503.001", 0),
        ("110", "503.1", 1),  # below 220: 1 % of nominal, 1.1 kV
        ("110", "503.101", 0),
    ],
)
def test_an_order_passes_within_the_band_of_its_voltage_level(
    tmp_path: Path, nominal_kv: str, voltage_kv: str, passed: int
) -> None:
    case = avc(tmp_path, nominal_kv).record(at(1, "01:00"), avc_target_kv="502", bus_voltage_kv="500", **STEADY)
    case.record(at(1, "01:01"), avc_target_kv="502", bus_voltage_kv=voltage_kv, **STEADY)
    assert counts(case) == (passed, 1, 0)


@pytest.mark.parametrize(
    ("clock", "cells", "expected"),
    [
        ("01:01", {"avc_target_kv": "503"}, (0, 0, 2)),  # another order up to the judging record; itself unjudged
        ("01:01", {"avc_in_service": 0}, (0, 0, 1)),
        ("01:01", {"avc_in_service": ""}, (0, 0, 1)),
        ("01:01", {"on_grid": 0}, (0, 0, 1)),
        ("01:01", {"bus_voltage_kv": ""}, (0, 0, 1)),
        ("01:01", {"avc_at_limit": 1}, (0, 0, 1)),
        ("01:01", {"avc_at_limit": ""}, (0, 0, 1)),
        ("01:01", {"avc_at_limit": 0}, (1, 1, 0)),
        ("01:01", {"avc_target_kv": ""}, (1, 1, 0)),  # the target of the order counts, not of the judging record
    ],
)
def test_an_order_is_not_judged_where_the_judging_record_does_not_allow_it(
    tmp_path: Path, clock: str, cells: dict[str, object], expected: tuple[int, ...]
) -> None:
    case = avc(tmp_path).record(at(1, "01:00"), avc_target_kv="502", bus_voltage_kv="500", **STEADY)
    case.record(at(1, clock), **({"avc_target_kv": "502", "bus_voltage_kv": "502", **STEADY} | cells))
    assert counts(case) == expected


def test_the_judging_record_comes_at_most_a_hold_limit_after_the_settling_time(tmp_path: Path) -> None:
    # Hold 60 s, settle 60 s: an order at 00:00:30 is judged on a record at up to 00:02:30.
    for clock, judged in (("00:02:30", 1), ("00:02:31", 0)):
        case = Build(tmp_path, hold_s=60).unit(avc=True, nominal_kv="500")
        case.record(START, avc_target_kv="500", bus_voltage_kv="500", **STEADY)
        case.record(at(1, "00:00:30"), avc_target_kv="502", bus_voltage_kv="500", **STEADY)
        case.record(at(1, clock), avc_target_kv="502", bus_voltage_kv="502", **STEADY)
        assert counts(case)[1] == judged


def test_an_order_needs_a_target_held_up_to_it_and_avc_and_the_unit_on(tmp_path: Path) -> None:
    for cells in ({"avc_in_service": 0}, {"avc_in_service": ""}, {"on_grid": 0}, {"avc_target_kv": ""}):
        changed = {"avc_target_kv": "502", "bus_voltage_kv": "500", **STEADY} | cells
        assert counts(avc(tmp_path).record(at(1, "01:00"), **changed)) == (0, 0, 0)


def test_an_order_at_test_is_not_judged_and_one_at_own_fault_is(tmp_path: Path) -> None:
    for reason, expected in (("test", (0, 0, 1)), ("own_fault", (0, 1, 0))):
        case = avc(tmp_path).record(at(1, "01:00"), avc_target_kv="502", bus_voltage_kv="500", **STEADY)
        case.record(at(1, "01:01"), avc_target_kv="502", bus_voltage_kv="500", **STEADY)
        assert counts(case.exclude(reason, at(1, "01:00"), at(1, "02:00"))) == expected


def test_without_a_judged_order_a_delivered_rate_is_used_else_the_line_is_blocked(tmp_path: Path) -> None:
    # 0.9 x 100 MW x 720 h x 0.1 = 6 480.00
    assert verdict(line_of(avc(tmp_path).settle(), "avc")) == ("", "blocked", "no_judged_order")
    case = avc(tmp_path).row("rates", "U1", "2026-06", "avc_pass", "0.9", "EMS")
    assert verdict(line_of(case.settle(), "avc")) == ("6480.00", "paid", "")


def test_avc_never_in_service_is_zero_not_blocked(tmp_path: Path) -> None:
    case = Build(tmp_path).unit(avc=True, nominal_kv=220).record(START, on_grid=1, avc_in_service=0)
    assert verdict(line_of(case.settle(), "avc")) == ("0.00", "zero", "rounded")


# ---- reserve and black start -------------------------------------------------------------------------------------


def test_hot_reserve_is_paid_while_off_and_spinning_while_on(tmp_path: Path) -> None:
    # Peak 08-11 on 2 June: 3 h x 50 MW x 10 yuan = 1 500.00 for the unit that is in the planned state.
    for on, hot, spinning in ((0, "1500.00", "0.00"), (1, "0.00", "1500.00")):
        case = Build(tmp_path).unit().record(START, on_grid=on)
        for kind in ("hot", "spinning"):
            case.row("reserve", "U1", kind, at(2), at(2, "12:00"), "50")
        result = case.settle()
        assert str(line_of(result, "hot_reserve")["amount_yuan"]) == hot
        assert str(line_of(result, "spinning_reserve")["amount_yuan"]) == spinning


def test_reserve_rows_without_a_peak_hour_are_zero_with_no_reserve(tmp_path: Path) -> None:
    case = Build(tmp_path).unit().row("reserve", "U1", "hot", at(2), at(2, "08:00"), "50")
    assert verdict(line_of(case.settle(), "hot_reserve")) == ("0.00", "zero", "no_reserve")


def test_black_start_is_a_full_month_at_the_kind_of_the_last_designated_day(tmp_path: Path) -> None:
    # Designated only on 1 June, as hydro (60 000); another unit, gas, without a document (80 000, provisional).
    case = Build(tmp_path).unit(
        "H", kind="pumped_storage", black_start=True, black_start_document="x", until="2026-06-02"
    )
    case.unit("H", kind="pumped_storage", from_="2026-06-02").unit("G", kind="gas", black_start=True).unit("N")
    result = case.settle()
    paid = {line["unit"]: str(line["amount_yuan"]) for line in result.lines if line["service"] == "black_start"}
    assert paid == {"H": "60000.00", "G": "80000.00"}
    assert any("black_start_document" in cause for cause in result.provisional["jiangsu"])
