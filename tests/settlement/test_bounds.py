# SPDX-License-Identifier: GPL-3.0-or-later
"""Low and high bound of lines with gaps, worked by hand."""

from __future__ import annotations

from decimal import Decimal

from small_month import Case, at, line_of, unit


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
