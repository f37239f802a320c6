# SPDX-License-Identifier: GPL-3.0-or-later
"""AVC orders and their judging, and implausible values, by hand-worked corners (rules.md section 2)."""

from __future__ import annotations

from pathlib import Path

import pytest

from .build import START, Build, at, determinant, line_of, verdict

STEADY = {"on_grid": 1, "avc_in_service": 1}


def avc(tmp_path: Path, nominal_kv: str = "500", target_kv: str = "500") -> Build:
    """A 100 MW unit at target 500 kV from the month's start."""
    case = Build(tmp_path).unit(avc=True, nominal_kv=nominal_kv, rated_mw=100)
    return case.record(START, avc_target_kv=target_kv, bus_voltage_kv=target_kv, **STEADY)


def counts(case: Build) -> tuple[int, ...]:
    """Passed, judged, not judged."""
    found = case.settle().determinants
    return tuple(int(found["U1", f"avc.{name}"]["value"]) for name in ("passed", "judged", "not_judged"))


@pytest.mark.parametrize(
    ("nominal_kv", "voltage_kv", "passed"),
    [
        ("500", "503.5", 1),  # target 2 kV above; within 1.5 kV, the edge included
        ("500", "503.501", 0),
        ("499.9", "503", 1),  # below 500: 1.0 kV
        ("499.9", "503.001", 0),
        ("110", "113.1", 1),  # below 220: 1 % of nominal, 1.1 kV
        ("110", "113.101", 0),
    ],
)
def test_an_order_passes_within_the_band_of_its_voltage_level(
    tmp_path: Path, nominal_kv: str, voltage_kv: str, passed: int
) -> None:
    before = "110" if nominal_kv == "110" else "500"
    target = str(int(before) + 2)
    case = avc(tmp_path, nominal_kv, before)
    case.record(at(1, "01:00"), avc_target_kv=target, bus_voltage_kv=before, **STEADY)
    case.record(at(1, "01:01"), avc_target_kv=target, bus_voltage_kv=voltage_kv, **STEADY)
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


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        # 500 kV: the band is 1.5 kV, a tenth of it 150 V. Every target is obeyed at once; an order is judged
        # a minute later unless another comes then. Passed, judged, not judged.
        (["500.149"], (0, 0, 0)),
        (["500.15"], (1, 1, 0)),
        (["500.1", "500.2"], (1, 1, 0)),  # by steps of 100 V: the second is 200 V from the standing target
        (["500.1", "500", "500.1", "499.9"], (0, 0, 0)),  # it trembles
        (["502", "502.001", "502"], (1, 1, 0)),
        (["502", "502.2"], (1, 1, 1)),
        (["502", "", "502.1", "502.2"], (1, 1, 0)),  # a record without a target ends the run: 502.1 begins another
        (["502", "", "502.1", "502.25"], (2, 2, 0)),
    ],
)
def test_an_order_differs_from_the_standing_target_by_a_tenth_of_the_band(
    tmp_path: Path, targets: list[str], expected: tuple[int, ...]
) -> None:
    case = avc(tmp_path)
    for minute, target in enumerate([*targets, targets[-1]]):
        voltage = target or targets[0]
        case.record(at(1, f"01:{minute:02d}"), avc_target_kv=target, bus_voltage_kv=voltage, **STEADY)
    assert counts(case) == expected


def test_missing_time_ends_the_run_and_its_standing_target(tmp_path: Path) -> None:
    # Hold 60 s. 100 V at 00:01 and 00:03:01: 200 V from the first target, but a second is missing before the latter.
    case = Build(tmp_path, hold_s=60).unit(avc=True, nominal_kv="500", rated_mw=100)
    for clock, target in (("00:00", "500"), ("00:01", "500.1"), ("00:02:01", "500.2"), ("00:03:01", "500.2")):
        case.record(at(1, clock), avc_target_kv=target, bus_voltage_kv=target, **STEADY)
    assert counts(case) == (0, 0, 0)


def test_an_order_outside_the_scope_is_not_judged_but_comes_in_between(tmp_path: Path) -> None:
    # AVC is registered on the 1st only. The order of 23:59:30 would be judged at 00:00:30, where another one is.
    case = Build(tmp_path).unit(avc=True, nominal_kv="500", rated_mw=100, until="2026-06-02")
    case.unit(avc=False, nominal_kv="500", rated_mw=100, from_="2026-06-02")
    case.record(START, avc_target_kv="500", bus_voltage_kv="500", **STEADY)
    for time, target in ((at(1, "23:59:30"), "502"), (at(2, "00:00:30"), "504"), (at(2, "00:01:30"), "504")):
        case.record(time, avc_target_kv=target, bus_voltage_kv=target, **STEADY)
    assert counts(case) == (0, 0, 1)


@pytest.mark.parametrize(
    ("cells", "known_h"),
    [
        ({"active_power_mw": 720}, 240),  # 1.2 x 600 MW exactly: a value
        ({"active_power_mw": "720.001"}, 239),
        ({"active_power_mw": "-720.001"}, 239),
        ({"active_power_mw": 540_000}, 239),  # kW for MW
        ({"active_power_mw": 300, "reactive_power_mvar": 9999, "bus_voltage_kv": 9999}, 240),  # P alone counts here
    ],
)
def test_power_beyond_a_multiple_of_rated_power_is_missing(
    tmp_path: Path, cells: dict[str, object], known_h: int
) -> None:
    # An hour of it in the valley of the 1st; on grid above the limit otherwise.
    case = Build(tmp_path).unit(nominal_kv="500").record(START, on_grid=1, active_power_mw=500)
    case.record(at(1, "01:00"), **({"on_grid": 1} | cells)).record(at(1, "02:00"), on_grid=1, active_power_mw=500)
    assert determinant(case.settle(), "deep_peak")[1:] == (known_h, 240)


@pytest.mark.parametrize(
    ("voltage_kv", "cells", "judged"),
    [
        ("250", {}, 1),  # 0.5 and 1.5 x 500 kV exactly: values
        ("249.999", {}, 0),
        ("750", {}, 1),
        ("750.001", {}, 0),
    ],
)
def test_voltage_of_a_running_unit_far_from_nominal_is_missing(
    tmp_path: Path, voltage_kv: str, cells: dict[str, object], judged: int
) -> None:
    case = avc(tmp_path).record(at(1, "01:00"), avc_target_kv="502", bus_voltage_kv="500", **STEADY)
    case.record(at(1, "01:01"), avc_target_kv="502", bus_voltage_kv=voltage_kv, **(STEADY | cells))
    assert counts(case)[1] == judged


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
