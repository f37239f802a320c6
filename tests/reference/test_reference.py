# SPDX-License-Identifier: GPL-3.0-or-later
"""Every row of rules.md, section 5, from a tiny folder; the workings stand in the comments."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from .build import START, Build, at, line_of, measured, plant_of, verdict


def test_agc_of_246_mw_at_98_percent_is_paid_57859_20(tmp_path: Path) -> None:
    # June has 720 h, the unit is on all the time; 2 % of 720 h = 14.4 h = 14 h 24 min out of AGC.
    # 240 yuan/MW x 0.98 x (546 - 300) MW = 240 x 241.08 = 57 859.20.
    case = Build(tmp_path).unit(rated_mw="600", agc_lower_mw="300", agc_upper_mw="546")
    case.record(START, on_grid=1, active_power_mw=400, agc_in_service=0)
    case.record(at(1, "14:24"), on_grid=1, active_power_mw=400, agc_in_service=1)
    line = line_of(case.settle(), "agc_basic")
    assert verdict(line) == ("57859.20", "paid", "")
    assert measured(line) == (Fraction("241.08"), 1)


def test_avc_of_600_mw_for_720_hours_with_every_order_passed_is_paid_43200(tmp_path: Path) -> None:
    # 1 x 600 MW x 720 h x 0.1 yuan/MWh = 43 200.00. One order at 00:10, judged at 00:11 (t + 60 s): 0.5 kV off, passed.
    case = Build(tmp_path).unit(avc=True, nominal_kv="500")
    steady = {"on_grid": 1, "avc_in_service": 1, "bus_voltage_kv": "505.5"}
    case.record(START, avc_target_kv="504.0", **steady)
    case.record(at(1, "00:10"), avc_target_kv="505.0", **steady)
    case.record(at(1, "00:11"), avc_target_kv="505.0", **steady)
    line = line_of(case.settle(), "avc")
    assert verdict(line) == ("43200.00", "paid", "")
    assert line["quantity"] == 720


@pytest.mark.parametrize(("mode", "yuan"), [("annual_plan", "3600.00"), ("energy_saving", "18000.00")])
def test_shanghai_1000_mw_at_380_mw_for_4_hours_gives_360_mwh_of_deep_peak(
    tmp_path: Path, mode: str, yuan: str
) -> None:
    # Lower limit 47 % = 470 MW, gate 40 % = 400 MW; (470 - 380) MW x 4 h = 360 MWh at 10 or 50 yuan.
    case = Build(tmp_path, mode=mode, area="shanghai").unit(rated_mw="1000")
    case.record(START, on_grid=1, active_power_mw="500")
    case.record(at(2, "02:00"), on_grid=1, active_power_mw="380")
    case.record(at(2, "06:00"), on_grid=1, active_power_mw="500")
    line = line_of(case.settle(), "deep_peak")
    assert line["quantity"] == 360
    assert verdict(line) == (yuan, "paid", "")


@pytest.mark.parametrize(("mode", "yuan"), [("annual_plan", "110000.00"), ("energy_saving", "550000.00")])
def test_spinning_reserve_of_100_mw_in_5_peak_hours_of_22_days(tmp_path: Path, mode: str, yuan: str) -> None:
    # Peak 08-11 and 17-19 is 5 h a day; 100 MW x 5 h x 22 = 11 000 MWh at 10 or 50 yuan.
    case = Build(tmp_path, mode=mode).unit()
    case.record(START, on_grid=1, active_power_mw="400")
    for day in range(1, 23):
        case.row("reserve", "U1", "spinning", at(day), at(day + 1), "100")
    line = line_of(case.settle(), "spinning_reserve")
    assert line["quantity"] == 11_000
    assert verdict(line) == (yuan, "paid", "")


@pytest.mark.parametrize(
    ("kind", "rated_mw", "service", "yuan"),
    [
        ("gas", "390", "gas_start_stop", "101400.00"),  # 260 x 390
        ("hydro", "300", "hydro_start_stop", "6000.00"),  # 20 x 300
        ("pumped_storage", "300", "hydro_start_stop", "6000.00"),  # I-16
    ],
)
def test_one_stop_and_restart_on_order_is_paid_by_capacity(
    tmp_path: Path, kind: str, rated_mw: str, service: str, yuan: str
) -> None:
    case = Build(tmp_path).unit(kind=kind, rated_mw=rated_mw).order("start_stop", at(3, "20:00"), at(4, "12:00"))
    case.record(START, on_grid=1).record(at(3, "22:00"), on_grid=0).record(at(4, "06:00"), on_grid=1)
    line = line_of(case.settle(), service)
    assert verdict(line) == (yuan, "paid", "")
    assert measured(line) == (1, None)


def test_one_condenser_start_and_8_hours_of_300_mw_are_paid_4200_and_36000(tmp_path: Path) -> None:
    # 14 x 300 = 4 200; 15 x 300 MW x 8 h = 36 000.
    case = Build(tmp_path).unit(kind="hydro", rated_mw="300").order("condenser", at(5, "08:00"), at(5, "20:00"))
    case.record(START, condenser=0).record(at(5, "09:00"), condenser=1).record(at(5, "17:00"), condenser=0)
    result = case.settle()
    assert verdict(line_of(result, "condenser_start")) == ("4200.00", "paid", "")
    assert verdict(line_of(result, "condenser_run")) == ("36000.00", "paid", "")
    assert line_of(result, "condenser_run")["quantity"] == 8


def test_the_pool_is_paid_back_by_the_plants_in_proportion_to_revenue_and_nets_to_zero(tmp_path: Path) -> None:
    # R = 101 400.00 earned by P1; F = 2 : 1, so A1 = 67 600.00, A2 = 33 800.00, K1 = 33 800.00, K2 = -33 800.00.
    case = Build(tmp_path).unit(kind="gas", rated_mw="390").plant("P2")
    case.order("start_stop", at(3, "20:00"), at(4, "12:00"))
    case.record(START, on_grid=1).record(at(3, "22:00"), on_grid=0).record(at(4, "06:00"), on_grid=1)
    case.row("revenue", "P1", "2026-06", "energy", "2000000").row("revenue", "P2", "2026-06", "energy", "1000000")
    result = case.settle()
    assert str(plant_of(result)["allocation_yuan"]) == "67600.00"
    assert str(plant_of(result)["net_yuan"]) == "33800.00"
    assert str(plant_of(result, "P2")["net_yuan"]) == "-33800.00"
    assert {row["status"] for row in result.plants} == {"final"}
