# SPDX-License-Identifier: GPL-3.0-or-later
"""Known, missing, excluded and limits: rules.md, section 2, by hand-worked corners."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from .build import END, START, Build, at, determinant, line_of, measured, verdict
from .exact_numbers import all_of, any_of, round_half_away, thousandths
from .times import DailyHours, local_day, parse_time


def test_rounding_takes_a_half_away_from_zero_on_both_sides() -> None:
    assert [round_half_away(Fraction(n, 2)) for n in (-3, -1, 1, 3)] == [-2, -1, 1, 2]
    assert [thousandths(text) for text in ("0.0005", "-0.0005", "0.00049", "380.0")] == [1, -1, 0, 380_000]


def test_a_conjunction_is_false_whatever_is_missing_and_a_disjunction_true() -> None:
    assert all_of(None, False) is False
    assert all_of(None, True) is None
    assert any_of(None, True) is True
    assert any_of(None, False) is None


def test_times_are_iso_with_offset_or_integer_ms_and_days_are_local() -> None:
    assert parse_time("2026-06-01T00:00:00+08:00") == parse_time("2026-05-31T16:00:00Z") == parse_time("1780243200000")
    assert str(local_day(parse_time("2026-05-31T16:00:00Z"))) == "2026-06-01"


def test_hours_may_cross_midnight_and_end_at_24() -> None:
    night = DailyHours.parse("22:00-06:00")
    assert [night.holds(60 * hour) for hour in (21, 22, 23, 0, 5, 6)] == [False, True, True, True, True, False]
    assert DailyHours.parse("00:00-24:00").holds(1439)


# ---- deep peak ---------------------------------------------------------------------------------------------------


def test_time_beyond_the_hold_limit_is_missing_and_never_zero(tmp_path: Path) -> None:
    # Valley 00-08 of 30 days = 240 h. Records hold 6 h, one at each midnight, so 180 h are known: coverage 0.75.
    # Jiangsu 600 MW: lower limit 354 MW, gate 240; at 200 MW: 154 MW x 180 h = 27 720 MWh at 10 yuan.
    case = Build(tmp_path, hold_s=6 * 3600).unit()
    for day in range(1, 31):
        case.record(at(day), on_grid=1, active_power_mw=200)
    result = case.settle()
    line = line_of(result, "deep_peak")
    assert measured(line) == (27_720, Fraction(3, 4))
    assert verdict(line) == ("277200.00", "paid", "")
    assert result.plants[0]["status"] == "provisional"


def test_a_coverage_below_the_minimum_blocks_the_line_and_exactly_half_does_not(tmp_path: Path) -> None:
    for hold_h, expected in ((4, "paid"), (3, "blocked")):
        case = Build(tmp_path, hold_s=hold_h * 3600).unit()
        for day in range(1, 31):
            case.record(at(day), on_grid=1, active_power_mw=200)
        assert line_of(case.settle(), "deep_peak")["status"] == expected


def test_time_is_known_where_one_condition_is_false_whatever_is_missing(tmp_path: Path) -> None:
    # Off and P empty: known zero. Breaker empty and P above the limit: known zero. Breaker empty, P low: missing.
    for cells, coverage in (
        ({"on_grid": 0, "active_power_mw": ""}, 1),
        ({"on_grid": "", "active_power_mw": 500}, 1),
        ({"on_grid": "", "active_power_mw": 200}, 0),
        ({"on_grid": 1, "active_power_mw": ""}, 0),
    ):
        assert line_of(Build(tmp_path).unit().record(START, **cells).settle(), "deep_peak")["coverage"] == coverage


def test_exactly_40_percent_is_not_below_the_gate(tmp_path: Path) -> None:
    # 40 % of 600 MW = 240 MW. One kW less pays the energy from the lower limit (I-03): 354 - 239.999 = 114.001 MW.
    for power, quantity in (("240", 0), ("239.9996", 0), ("239.999", Fraction("114.001") * 240)):
        case = Build(tmp_path).unit().record(START, on_grid=1, active_power_mw=power)
        assert line_of(case.settle(), "deep_peak")["quantity"] == quantity


def test_the_last_record_before_the_month_holds_into_it(tmp_path: Path) -> None:
    # A record at 23:00 of 31 May holds 3 h: 2 h of the month's valley are known.
    case = Build(tmp_path, hold_s=3 * 3600).unit().record(at(31, "23:00", month=5), on_grid=1, active_power_mw=200)
    result = case.settle()
    assert determinant(result, "deep_peak") == (308, 2, 240)


def test_a_unit_without_breaker_status_is_on_strictly_above_half_a_percent(tmp_path: Path) -> None:
    # 0.5 % of 600 MW = 3 MW. At 3 MW it is off: no deep peak. At 3.001 MW it is on.
    for power, on in (("3", False), ("3.001", True), ("-3.001", True)):
        line = line_of(Build(tmp_path).unit().record(START, active_power_mw=power).settle(), "deep_peak")
        assert (line["status"] == "paid") is on


def test_valley_energy_inside_a_start_stop_order_is_not_deep_peak_and_stays_in_the_scope(tmp_path: Path) -> None:
    # Only the valley of 1 June lies outside the order: 8 h x 154 MW = 1 232 MWh, of 240 h of scope.
    case = Build(tmp_path).unit().record(START, on_grid=1, active_power_mw=200).order("start_stop", at(2), END)
    result = case.settle()
    assert line_of(result, "deep_peak")["quantity"] == 1232
    assert determinant(result, "deep_peak") == (1232, 240, 240)


def test_the_dispatching_authority_of_the_unit_decides_limit_and_price(tmp_path: Path) -> None:
    # east_china_grid: 57 % of 600 = 342 MW; (342 - 200) MW x 240 h = 34 080 MWh at 50 yuan = 1 704 000.00 (I-02).
    case = Build(tmp_path).unit(area="east_china_grid").record(START, on_grid=1, active_power_mw=200)
    case.area_row("east_china_grid", dispatch_mode="energy_saving")
    line = line_of(case.settle(), "deep_peak")
    assert (line["area"], str(line["amount_yuan"])) == ("east_china_grid", "1704000.00")


def test_coal_other_and_gas_have_no_deep_peak_line(tmp_path: Path) -> None:
    case = Build(tmp_path).unit("A", kind="coal_other").unit("B", kind="gas").unit("C", kind="coal")
    assert [line["unit"] for line in case.settle().lines if line["service"] == "deep_peak"] == ["C"]


# ---- peak groups -------------------------------------------------------------------------------------------------


def group(tmp_path: Path) -> Build:
    """A 600 MW and a 300 MW unit of one group, in the valley of 1 June; afterwards both at full load."""
    case = Build(tmp_path).unit("A", peak_group="G", rated_mw="600").unit("B", peak_group="G", rated_mw="300")
    for unit, power in (("A", "500"), ("B", "280")):
        case.record(at(1, "08:00"), unit, on_grid=1, active_power_mw=power)
    return case


def test_a_group_answers_with_its_sum_and_splits_by_capacity(tmp_path: Path) -> None:
    # Capacity 900: lower 531, gate 360. Power 250 + 100 = 350 < 360, though A alone is above its own 240.
    # (531 - 350) x 8 h = 1 448 MWh; A gets 600/900 = 965 1/3, B 482 2/3.
    case = group(tmp_path).record(START, "A", on_grid=1, active_power_mw=250)
    result = case.record(START, "B", on_grid=1, active_power_mw=100).settle()
    assert line_of(result, "deep_peak", "A")["quantity"] == Fraction(2896, 3)
    assert line_of(result, "deep_peak", "B")["quantity"] == Fraction(1448, 3)
    assert str(line_of(result, "deep_peak", "A")["amount_yuan"]) == "9653.33"


def test_a_member_off_the_grid_takes_no_part_and_gets_nothing(tmp_path: Path) -> None:
    # A alone on the grid: 354 - 230 = 124 MW x 8 h = 992 MWh.
    case = group(tmp_path).record(START, "A", on_grid=1, active_power_mw=230)
    result = case.record(START, "B", on_grid=0, active_power_mw="").settle()
    assert line_of(result, "deep_peak", "A")["quantity"] == 992
    assert line_of(result, "deep_peak", "B")["quantity"] == 0
    assert line_of(result, "deep_peak", "B")["coverage"] == 1


def test_one_unknown_member_makes_the_time_missing_for_all_members(tmp_path: Path) -> None:
    # 232 of 240 valley hours are known for both, even for B, which is off.
    case = group(tmp_path).record(START, "A", on_grid=1, active_power_mw="")
    result = case.record(START, "B", on_grid=0, active_power_mw="").settle()
    assert {line["coverage"] for line in result.lines} == {Fraction(232, 240)}


@pytest.mark.parametrize("reason", ["test", "own_fault", "start_stop order"])
def test_a_member_that_has_left_the_group_takes_power_and_capacity_with_it(tmp_path: Path, reason: str) -> None:
    # B's values are missing, but it has left: A alone, 992 MWh.
    case = group(tmp_path).record(START, "A", on_grid=1, active_power_mw=230)
    case.record(START, "B", on_grid="", active_power_mw="")
    if reason == "start_stop order":
        case.order("start_stop", START, at(1, "08:00"), unit="B")
    else:
        case.exclude(reason, START, at(1, "08:00"), unit="B")
    result = case.settle()
    assert line_of(result, "deep_peak", "A")["quantity"] == 992
    assert line_of(result, "deep_peak", "B")["quantity"] == 0
    assert line_of(result, "deep_peak", "B")["coverage"] == 1


# ---- exclusions --------------------------------------------------------------------------------------------------


def test_test_dispatch_and_grid_leave_the_scope_and_own_fault_is_known_and_unpaid(tmp_path: Path) -> None:
    # All valley time is missing except what own fault makes known: 10 days of 30 at own fault, of which 5 also at test.
    # Scope 25 days x 8 h, known 5 days x 8 h: the overlap belongs to test.
    case = Build(tmp_path, hold_s=60).unit().record(at(1, "08:00"), on_grid=1, active_power_mw=200)
    case.exclude("own_fault", at(1), at(11)).exclude("test", at(6), at(11), service="deep_peak")
    result = case.settle()
    assert determinant(result, "deep_peak") == (0, 40, 200)


def test_a_wholly_excluded_scope_is_zero_with_the_reason_and_never_blocked(tmp_path: Path) -> None:
    line = line_of(Build(tmp_path).unit().exclude("grid", START, END).settle(), "deep_peak")
    assert (*verdict(line), line["coverage"]) == ("0.00", "zero", "excluded", None)


def test_an_exclusion_of_one_service_leaves_the_others_alone(tmp_path: Path) -> None:
    case = Build(tmp_path).unit(agc_lower_mw=300, agc_upper_mw=500).exclude("grid", START, END, service="agc_up")
    result = case.record(START, on_grid=1, active_power_mw=200, agc_in_service=1).settle()
    assert line_of(result, "agc_up")["reason"] == "excluded"
    assert line_of(result, "deep_peak")["status"] == "paid"


# ---- register and lines ------------------------------------------------------------------------------------------


def test_register_values_are_those_in_force_at_the_instant(tmp_path: Path) -> None:
    # Until 16 June 600 MW, then 300 MW. Spinning 15 days each is independent of P_N; condenser hours price it:
    # 24 h on 15 June at 600 MW and 24 h on 16 June at 300 MW: 15 x (600 + 300) x 24 = 324 000.00.
    case = Build(tmp_path).unit(rated_mw=600, until="2026-06-16").unit(rated_mw=300, from_="2026-06-16")
    case.record(START, condenser=1, on_grid=1).order("condenser", at(15), at(17))
    assert str(line_of(case.settle(), "condenser_run")["amount_yuan"]) == "324000.00"


def test_nothing_is_measured_before_a_units_or_its_plants_first_day(tmp_path: Path) -> None:
    # The unit from 11 June, its plant from 21 June: 10 days x 8 h of valley are its scope.
    case = Build(tmp_path).unit(from_="2026-06-11").plant("P1", from_="2026-06-21").area_row("jiangsu")
    case.plain = False
    result = case.record(START, on_grid=1, active_power_mw=200).settle()
    assert determinant(result, "deep_peak") == (80 * 154, 80, 80)


def test_lines_exist_by_kind_limits_and_rows_that_overlap_the_month(tmp_path: Path) -> None:
    case = Build(tmp_path).unit("W", kind="wind").unit("C", agc_lower_mw=1, agc_upper_mw=2, avc=True, nominal_kv=500)
    case.order("reactive", at(31, "12:00", month=5), at(1, "00:01"), unit="W")
    case.order("start_stop", at(1, month=7), at(2, month=7), unit="C")  # next month's
    found = [(line["unit"], line["service"]) for line in case.settle().lines]
    assert found == [
        ("C", "deep_peak"),
        ("C", "agc_basic"),
        ("C", "agc_up"),
        ("C", "agc_down"),
        ("C", "avc"),
        ("W", "reactive_lag"),
        ("W", "reactive_lead"),
    ]


def test_orders_outside_the_registered_time_are_zero_with_no_order(tmp_path: Path) -> None:
    case = Build(tmp_path).unit(from_="2026-06-11").order("condenser", at(1), at(3))
    assert verdict(line_of(case.settle(), "condenser_run")) == ("0.00", "zero", "no_order")


def test_files_not_delivered_make_the_statement_provisional_and_headers_alone_do_not(tmp_path: Path) -> None:
    case = Build(tmp_path).unit(kind="gas").plant("P2").row("revenue", "P1", "2026-06", "energy", "1")
    result = case.row("revenue", "P2", "2026-06", "energy", "1").settle()
    assert {row["status"] for row in result.plants} == {"final"}
    case.plain = False
    case.absent.add("plan.csv")
    (tmp_path / "plan.csv").unlink()
    assert {row["status"] for row in case.settle().plants} == {"provisional"}
