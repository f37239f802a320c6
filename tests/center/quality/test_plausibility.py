# SPDX-License-Identifier: GPL-3.0-or-later
"""Each check of a day's records, at its limit and beyond it; expected numbers worked by hand from check_limits.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from collector.center.quality.plausibility import CODES, DataPolicy, Implausibility, UnitDayRecords, check_unit_day
from collector.model.interval import day_interval
from collector.model.quantity import BY_NAME, parse_scaled
from collector.model.register import RegisteredUnit, UnitKind
from collector.wire import QuantityColumn

DAY = day_interval(date(2026, 3, 10))
POLICY = DataPolicy(hold_ms=60_000, meter_difference_ratio=Fraction(1, 100))
COAL = RegisteredUnit("U1", "P1", UnitKind.COAL, Decimal(600), nominal_kv=Decimal(500))


def column(name: str, texts: Sequence[str], quality: Sequence[int] | None = None) -> QuantityColumn:
    """Decimal texts as stored integers; an empty text is no value."""
    scale = BY_NAME[name].scale
    values = np.array([parse_scaled(text, scale) if text else 0 for text in texts], dtype=np.int64)
    codes = np.array(quality or [0 if text else 20 for text in texts], dtype=np.uint8)
    return QuantityColumn(values, np.array([bool(t) for t in texts]), codes)


def check(
    columns: Mapping[str, Sequence[str]],
    *,
    step_s: int = 1,
    state: RegisteredUnit | None = COAL,
    clock: Sequence[int] | None = None,
    era: Sequence[int] | None = None,
) -> list[Implausibility]:
    """Records every `step_s` from midnight."""
    size = len(next(iter(columns.values())))
    time = DAY.start_ms + np.arange(size, dtype=np.int64) * step_s * 1000
    zeros = np.zeros(size, dtype=np.int64)
    made = {name: column(name, texts) for name, texts in columns.items()}
    clocks = zeros if clock is None else np.array(clock, dtype=np.int64)
    eras = zeros if era is None else np.array(era, dtype=np.int64)
    return check_unit_day(UnitDayRecords("U1", state, DAY, time, clocks, eras, made), POLICY)


def brief(found: Sequence[Implausibility]) -> list[tuple[str, str, int, int]]:
    """Code, quantity, start and end in seconds of the day."""
    return [(f.code, f.quantity, (f.start_ms - DAY.start_ms) // 1000, (f.end_ms - DAY.start_ms) // 1000) for f in found]


def test_good_records_are_found_without_fault() -> None:
    power = [str(300 + i % 7) for i in range(100)]
    assert check({"active_power_mw": power, "on_grid": ["1"] * 100, "frequency_hz": ["50.01"] * 100}) == []


def test_power_beyond_twelve_tenths_of_rated_is_out_of_range_and_a_gap_is_not() -> None:
    # 1.2 × 600 MW = 720 MW is still plausible
    found = check({"active_power_mw": ["720", "720.001", "-721", "", "600"], "on_grid": ["0"] * 5})
    assert brief(found) == [("out_of_range", "active_power_mw", 1, 3)]
    assert (found[0].found, found[0].expected) == ("-721 MW", "-720 MW … 720 MW")


def test_what_the_gateway_itself_marked_out_of_range_is_a_finding() -> None:
    time = DAY.start_ms + np.arange(3, dtype=np.int64) * 1000
    marked = column("frequency_hz", ["50", "99", "50"], [0, 18, 0])
    zeros = np.zeros(3, dtype=np.int64)
    [found] = check_unit_day(UnitDayRecords("U1", None, DAY, time, zeros, zeros, {"frequency_hz": marked}), POLICY)
    assert (found.code, found.found) == ("out_of_range", "marked out of range by the gateway")


def test_power_may_not_jump_by_more_than_three_tenths_of_rated_a_second_on_the_grid() -> None:
    # 0.3 × 600 MW/s = 180 MW in a second
    assert check({"active_power_mw": ["300", "480", "300"], "on_grid": ["1", "1", "1"]}) == []
    found = check({"active_power_mw": ["300", "480.001", "300"], "on_grid": ["1", "1", "1"]})
    assert brief(found) == [("implausible_rate", "active_power_mw", 0, 2)]
    assert found[0].found == "480.001 MW to 300 MW in 1 s" or found[0].found == "300 MW to 480.001 MW in 1 s"


def test_a_trip_is_no_implausible_rate() -> None:
    assert check({"active_power_mw": ["600", "0", "0"], "on_grid": ["1", "0", "0"]}) == []


def test_a_slow_period_allows_a_larger_change() -> None:
    assert check({"active_power_mw": ["0", "600"], "on_grid": ["1", "1"]}, step_s=60) == []


def test_a_register_that_grows_faster_than_the_unit_can_generate_is_implausible() -> None:
    # 1.2 × 600 MW over a quarter hour = 180 MWh, whatever the shorter period
    assert check({"energy_export_mwh": ["1000", "1180"]}) == []
    assert brief(check({"energy_export_mwh": ["1000", "1180.001"]})) == [
        ("implausible_rate", "energy_export_mwh", 0, 1)
    ]
    assert brief(check({"energy_export_mwh": ["0", "9999999999"]})) == [("implausible_rate", "energy_export_mwh", 0, 1)]


@pytest.mark.parametrize("moving", [True, False])
def test_frozen_needs_another_quantity_that_moves(moving: bool) -> None:
    size = 1801 // 30 + 2  # half an hour of frequency, every 30 s
    power = [str(300 + i % 2) if moving else "300" for i in range(size)]
    found = check({"frequency_hz": ["50.001"] * size, "active_power_mw": power, "on_grid": ["1"] * size}, step_s=30)
    assert brief(found) == ([("frozen", "frequency_hz", 0, (size - 1) * 30)] if moving else [])


def test_what_stands_still_off_the_grid_is_not_frozen() -> None:
    size = 100
    power = [str(i % 2) for i in range(size)]
    assert check({"frequency_hz": ["50"] * size, "active_power_mw": power, "on_grid": ["0"] * size}, step_s=60) == []


def test_an_unsynchronised_clock_and_a_step_back_are_findings() -> None:
    found = check({"frequency_hz": ["50"] * 5}, clock=[0, 1, 1, 2, 0], era=[0, 0, 0, 0, 1])
    assert brief(found) == [
        ("clock_unsynchronised", "", 1, 3),
        ("clock_unsynchronised", "", 3, 4),
        ("clock_stepped", "", 3, 4),
    ]


@pytest.mark.parametrize(("kind", "expected"), [(UnitKind.COAL, 1), (UnitKind.HYDRO, 1), (UnitKind.PUMPED_STORAGE, 0)])
def test_only_kinds_that_can_draw_may_draw(kind: UnitKind, expected: int) -> None:
    # 2 % of 600 MW = 12 MW
    state = RegisteredUnit("U1", "P1", kind, Decimal(600))
    found = check({"active_power_mw": ["-12", "-12.001", "-12"], "on_grid": ["1"] * 3}, state=state)
    assert [f.code for f in found] == ["negative_power"] * expected


def test_a_condenser_may_draw_its_losses() -> None:
    columns = {"active_power_mw": ["-20"] * 3, "on_grid": ["1"] * 3, "condenser": ["1"] * 3}
    assert check(columns) == []


def test_a_register_running_back_is_found_once_for_each_step() -> None:
    found = check({"energy_export_mwh": ["10", "9.999999", "", "9.999998", "10"]})
    assert brief(found) == [
        ("register_backwards", "energy_export_mwh", 0, 1),
        ("register_backwards", "energy_export_mwh", 1, 3),
    ]


def test_meter_and_telemetry_may_differ_by_one_percent_and_no_more() -> None:
    # 600 MW over 12 h in minutes: 7200 MWh; the least the meter may say is 7200 / 1.01 = 7128.712871287… MWh
    size = 12 * 60 + 1
    columns = {"active_power_mw": ["600"] * size, "on_grid": ["1"] * size}
    noise = {"frequency_hz": [f"50.0{i % 10}" for i in range(size)]}

    def register(end: str) -> list[str]:
        return ["1000", *[""] * (size - 2), end]

    def differ(end: str) -> list[tuple[str, str, int, int]]:
        found = check({**columns, **noise, "energy_export_mwh": register(end)}, step_s=60)
        return [one for one in brief(found) if one[0] == "meter_differs"]

    assert differ("8128.712872") == []
    assert differ("8128.712871") == [("meter_differs", "energy_export_mwh", 0, 43_200)]


def test_the_meter_is_not_compared_where_the_output_is_not_known_all_between() -> None:
    size = 12 * 60 + 1
    power, register = ["600"] * size, ["0", *[""] * (size - 2), "1"]
    power[100] = ""
    assert "meter_differs" not in [
        f.code for f in check({"active_power_mw": power, "energy_export_mwh": register}, step_s=60)
    ]
    power[100] = "600"
    late = check({"active_power_mw": power, "energy_export_mwh": register}, step_s=61)
    assert "meter_differs" not in [f.code for f in late]


def test_the_meter_is_not_compared_over_less_than_half_a_day() -> None:
    size = 12 * 60
    columns = {"active_power_mw": ["600"] * size, "energy_export_mwh": ["0", *[""] * (size - 2), "1"]}
    assert "meter_differs" not in [f.code for f in check(columns, step_s=60)]


def test_a_unit_at_its_reactive_limit_is_not_frozen() -> None:
    size = 4 * 60 + 1
    columns = {"reactive_power_mvar": ["140"] * size, "active_power_mw": [str(300 + i % 3) for i in range(size)]}
    columns["on_grid"] = ["1"] * size
    assert [f.code for f in check(columns, step_s=60)] == ["frozen"]
    limited = RegisteredUnit("U1", "P1", UnitKind.COAL, Decimal(600), q_max_mvar=Decimal(140))
    assert check(columns, step_s=60, state=limited) == []


def test_agc_in_service_off_the_grid_is_a_finding() -> None:
    found = check({"on_grid": ["1", "0", "0", "", "0"], "agc_in_service": ["1", "1", "0", "1", "1"]})
    assert brief(found) == [("agc_off_grid", "agc_in_service", 1, 2), ("agc_off_grid", "agc_in_service", 4, 64)]


def test_a_voltage_no_bus_of_its_nominal_has_is_a_finding_on_the_grid() -> None:
    # 0.9 and 1.1 × 500 kV
    volts = ["450", "449.999", "550", "550.001", "525"]
    found = check({"bus_voltage_kv": volts, "on_grid": ["1"] * 5})
    assert brief(found) == [
        ("voltage_implausible", "bus_voltage_kv", 1, 2),
        ("voltage_implausible", "bus_voltage_kv", 3, 4),
    ]
    assert check({"bus_voltage_kv": volts, "on_grid": ["0"] * 5}) == []


def test_a_hundred_stretches_become_fifty_and_none_is_lost() -> None:
    power = ["800" if i % 2 else "0" for i in range(200)]
    found = [f for f in check({"active_power_mw": power, "on_grid": ["0"] * 200}) if f.code == "out_of_range"]
    assert len(found) == 50
    assert found[-1].found.startswith("51 stretches")  # 49 by themselves, 51 in the last
    assert found[-1].end_ms == DAY.start_ms + 199_000 + POLICY.hold_ms


def test_every_code_of_a_check_is_in_the_list() -> None:
    assert len(CODES) == len(set(CODES)) == 11
