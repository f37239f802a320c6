# SPDX-License-Identifier: GPL-3.0-or-later
"""The services one by one, by hand-worked corners."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from .build import END, START, Build, at, determinant, line_of, measured, verdict
from .times import parse_time

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
    # The breaker missing there changes nothing: such hours count as on grid. Known to be off: rate 1, 48 000.00.
    for breaker, yuan in ((1, "43200.00"), ("", "43200.00"), (0, "48000.00")):
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


def test_a_condenser_start_is_counted_once_whatever_hole_lies_before_it(tmp_path: Path) -> None:
    # 14 x 600 = 8 400.00; a hole of min_stop_s (300 s) or more may hide further starts: provisional.
    for hole_s, status in ((0, "final"), (299, "final"), (300, "provisional")):
        root = tmp_path / str(hole_s)
        root.mkdir()
        case = Build(root).unit(kind="hydro").order("condenser", at(2), at(3)).record(START, condenser=0)
        if hole_s:
            case.record(str(parse_time(at(2, "12:00")) - hole_s * 1000), condenser="")
        case.record(at(2, "12:00"), condenser=1).record(at(2, "18:00"), condenser=0)
        result = case.settle()
        assert verdict(line_of(result, "condenser_start")) == ("8400.00", "paid", "")
        assert result.plants[0]["status"] == status


def test_a_known_0_that_ends_as_the_order_begins_counts_as_inside_it(tmp_path: Path) -> None:
    for begins, count in (("12:00", 1), ("12:01", 0)):
        root = tmp_path / str(count)
        root.mkdir()
        case = Build(root).unit(kind="hydro").order("condenser", at(2, begins), at(3)).record(START, condenser=0)
        line = line_of(case.record(at(2, "12:00"), condenser=1).settle(), "condenser_start")
        assert line["quantity"] == count


def test_a_hole_between_two_zeros_only_costs_coverage(tmp_path: Path) -> None:
    case = Build(tmp_path).unit(kind="hydro").order("condenser", at(2), at(3)).record(START, condenser=0)
    result = case.record(at(2, "12:00"), condenser="").record(at(2, "12:30"), condenser=0).settle()
    assert verdict(line_of(result, "condenser_start")) == ("0.00", "zero", "rounded")
    assert result.plants[0]["status"] == "final"


def test_a_start_across_midnight_of_the_months_first_day_belongs_to_the_month_of_its_first_1(tmp_path: Path) -> None:
    case = Build(tmp_path, hold_s=600).unit(kind="hydro").order("condenser", at(31, "23:00", month=5), at(1, "01:00"))
    for time, status in ((at(31, "23:49", month=5), 0), (at(1, "00:00:30"), 1), (at(1, "00:10"), 1)):
        case.record(time, condenser=status)
    for minute in range(20, 60, 10):
        case.record(at(1, f"00:{minute}"), condenser=1)
    assert line_of(case.settle(), "condenser_start")["quantity"] == 1


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
