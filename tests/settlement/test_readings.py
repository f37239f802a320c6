# SPDX-License-Identifier: GPL-3.0-or-later
"""Every other choice of every reading works, and what it does to the money. Workings stand beside each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pytest

from collector.base.errors import ConfigError
from collector.model.interval import Month
from collector.settlement.rulebook.catalogue import READINGS
from collector.settlement.rulebook.load import read_rulebook_files, rulebook_of
from collector.settlement.settle import settle
from tests.settlement.made_readings import adopting
from tests.settlement.small_month import JUNE, RULES, Case, amount, area, at, line_of, shipped_rulebook, unit


def deep() -> Case:
    """600 MW in Jiangsu (lower limit 354, gate 240) at 200 MW from 02:00 to 06:00 on the 1st, else at 500."""
    case = Case(units=[unit()])
    for time, power in ((at(1), "500"), (at(1, 2), "200"), (at(1, 6), "500")):
        case.record(time, on_grid="1", active_power_mw=power)
    return case


def pair() -> Case:
    """Two coal units of one plant: 600 MW at 230 MW from 02:00 to 06:00, 400 MW at 150 MW up to 06:00."""
    case = Case(units=[unit("U1"), unit("U2", rated="400")])
    for time, power in ((at(1), "500"), (at(1, 2), "230"), (at(1, 6), "500")):
        case.record(time, on_grid="1", active_power_mw=power)
    case.record(at(1), "U2", on_grid="1", active_power_mw="150")
    case.record(at(1, 6), "U2", on_grid="1", active_power_mw="300")
    return case


def grouped() -> Case:
    """As one peak group; U2 is off, so only U1's capacity counts: 230 < 240."""
    case = Case(units=[unit("U1", peak_group="G"), unit("U2", rated="400", peak_group="G")])
    for time, power in ((at(1), "500"), (at(1, 2), "230"), (at(1, 6), "500")):
        case.record(time, on_grid="1", active_power_mw=power)
    return case.record(at(1), "U2", on_grid="0", active_power_mw="0")


def quarter() -> Case:
    """In the quarter hour from 02:00: 300 MW for 5 min, then 150 MW for 10 min; else 500."""
    case = Case(units=[unit()])
    for time, power in ((at(1), "500"), (at(1, 2), "300"), (at(1, 2) + 300_000, "150"), (at(1, 2.25), "500")):
        case.record(time, on_grid="1", active_power_mw=power)
    return case


def stop_across_months() -> Case:
    """Gas 390 MW: off on 30 June at 22:00, on again on 1 July at 06:00."""
    case = Case(units=[unit(kind="gas", rated="390")])
    case.record(at(1), on_grid="1").record(at(30, 22), on_grid="0").record(at(1, 6, month=7), on_grid="1")
    return case.order("start_stop", at(30, 20), at(1, 12, month=7))


def agc(**cells: str) -> Case:
    """Gas 600 MW, AGC 300-600, half the month off grid; plan 400 MW."""
    case = Case(units=[unit(kind="gas", agc_lower_mw="300", agc_upper_mw="600")])
    case.plan.append(("U1", at(1), at(1, month=7), 400_000, None))
    usual = {"agc_in_service": "1", "active_power_mw": "400", "agc_setpoint_mw": "400"}
    return case.record(at(1), on_grid="1", **(usual | cells)).record(at(16), on_grid="0", **(usual | cells))


def swing() -> Case:
    """On grid and AGC in the quarter hour from 00:00 on the 1st only: 5 min 100 MW above plan, 10 min 25 MW below."""
    case = agc()
    case.records.clear()
    for minute, power, on in ((0, "500", "1"), (5, "375", "1"), (15, "400", "1")):
        case.record(at(1) + minute * 60_000, on_grid=on, agc_in_service="1", active_power_mw=power)
    return case


def slope() -> Case:
    """Plan 400 MW in the first hour, 440 MW in the second; output 440, on grid for the first hour only."""
    case = Case(units=[unit(kind="gas", agc_lower_mw="300", agc_upper_mw="600")])
    case.plan += [("U1", at(1), at(1, 1), 400_000, None), ("U1", at(1, 1), at(1, 2), 440_000, None)]
    case.record(at(1), on_grid="1", agc_in_service="1", active_power_mw="440")
    return case.record(at(1, 1), on_grid="0", agc_in_service="1", active_power_mw="440")


def neighbours() -> Case:
    """Plan of U1 400 MW in the first hour; U2's begins with 1000 MW where it ends. U1 puts out 440 MW for that hour."""
    agc_range = {"agc_lower_mw": "300", "agc_upper_mw": "600"}
    case = Case(units=[unit("U1", kind="gas", **agc_range), unit("U2", kind="gas", **agc_range)])
    case.plan += [("U1", at(1), at(1, 1), 400_000, None), ("U2", at(1, 1), at(1, 2), 1_000_000, None)]
    case.record(at(1), on_grid="1", agc_in_service="1", active_power_mw="440")
    return case.record(at(1, 1), on_grid="0", agc_in_service="1", active_power_mw="440")


def deep_and_agc() -> Case:
    """Deep peak with AGC on and a plan of 500 MW: 4 h × 300 MW are also below plan."""
    case = Case(units=[unit(agc_lower_mw="300", agc_upper_mw="600")])
    case.plan.append(("U1", at(1), at(1, month=7), 500_000, None))
    for time, power in ((at(1), "500"), (at(1, 2), "200"), (at(1, 6), "500")):
        case.record(time, on_grid="1", agc_in_service="1", active_power_mw=power)
    return case


def reactive() -> Case:
    """One hour of order: in each quarter hour 5 min at Q = 330 and 10 min at Q = 240 Mvar, P = 400 (free 300)."""
    case = Case(units=[unit(kind="gas")])
    case.order("reactive", at(1, 9), at(1, 10))
    case.band.append(("U1", at(1, 9), at(1, 11), 500_000, 510_000))
    for index in range(8):
        start = at(1, 9) + index * 900_000
        for minute, q in ((0, "330"), (5, "240")):
            case.record(
                start + minute * 60_000, on_grid="1", active_power_mw="400", reactive_power_mvar=q, bus_voltage_kv="505"
            )
    return case.record(at(1, 11), on_grid="1", active_power_mw="400", reactive_power_mvar="0", bus_voltage_kv="505")


def stop_with_a_hole() -> Case:
    """Off grid from 22:00 to 06:00 on order; the breaker is unknown at 02:00 for a minute."""
    case = Case(units=[unit(kind="gas")]).order("start_stop", at(1, 20), at(2, 8))
    for hour, on in ((-20, "1"), (-2, "0"), (2, ""), (2 + 1 / 60, "0"), (6, "1")):
        case.record(at(2, hour), on_grid=on)
    return case


def trembling() -> Case:
    """Target from 505 to 510 kV at 01:00, reached at once; it trembles by 1 V each minute of the first three hours."""
    case = Case(units=[unit(kind="nuclear", avc=True, nominal_kv="500")])
    for minute in range(180):
        target = 505_000 + 5_000 * (minute >= 60) + minute % 2
        cells = {"avc_target_kv": str(Decimal(target) / 1000), "bus_voltage_kv": "510"}
        case.record(at(1) + minute * 60_000, on_grid="1", avc_in_service="1", **cells)
    return case


def condenser_to_july() -> Case:
    """A condenser from 30 June to 1 July, on order."""
    case = Case(units=[unit(kind="hydro")]).order("condenser", at(30), at(2, month=7))
    for time, status in ((at(30), "0"), (at(30, 20), "1"), (at(1, 4, month=7), "0")):
        case.record(time, on_grid="1", condenser=status)
    return case


def reserve() -> Case:
    """100 MW spinning in 08:00-11:00 of the 1st; off grid in the last hour, 60 MW of headroom before."""
    case = Case(units=[unit(kind="gas")]).reserve("spinning", at(1, 8), at(1, 11), 100_000)
    case.record(at(1), on_grid="1", active_power_mw="540")
    return case.record(at(1, 10), on_grid="0", active_power_mw="540")


def half_a_month_of_black_start() -> Case:
    """Designated from the 16th on."""
    first = unit(kind="gas", until_day=date(2026, 6, 16))
    then = unit(kind="gas", from_day=date(2026, 6, 16), black_start=True, black_start_document="d")
    return Case(units=[first, then]).record(at(1), on_grid="1")


def pumped() -> Case:
    """A pumped-storage unit designated for black start, spilling one hour on order."""
    keys: dict[str, Any] = {"black_start": True, "black_start_document": "d", "tariff_yuan_per_mwh": "400"}
    case = Case(units=[unit(kind="pumped_storage", rated="300", **keys)])
    return case.record(at(1), on_grid="1", spilling="1").order("spill", at(1, 9), at(1, 10))


def unsynchronised() -> Case:
    """Deep peak, but the record of 02:00 was stamped by an unsynchronised clock (see `clocked`)."""
    return deep()


def ramp() -> Case:
    """The same two of the four hours inside a start-stop order of the unit."""
    return deep().order("start_stop", at(1, 2), at(1, 4))


def faulty() -> Case:
    """All valley time but the four hours is own fault."""
    return deep().exclude("own_fault", at(1, 6), at(1, month=7))


# reading, its other choice, the month, the service, what the adopted choice pays, what the other pays
EFFECTS: list[tuple[str, str, Callable[[], Case], str, str, str]] = [
    # (354 − 200) × 4 × 10; (240 − 200) × 4 × 10
    ("I-03", "from_gate_line", deep, "deep_peak", "6160.00", "1600.00"),
    # U1: (354 − 230) × 4 × 10. Together: limit 590, gate 400, ΣP = 380, (590 − 380) × 4 × 600/1000 × 10
    ("I-04", "plant", pair, "deep_peak", "4960.00", "5040.00"),
    # on-grid capacity: 4960. All members: limit 590, gate 400: (590 − 230) × 4 × 10, all of it U1's
    ("I-04", "all_members", grouped, "deep_peak", "4960.00", "14400.00"),
    # records: (354 − 150) × 1/6 h × 10; mean 200 < 240, so also (354 − 300) × 1/12 h × 10
    ("I-05", "quarter_hour_mean", quarter, "deep_peak", "340.00", "385.00"),
    # on grid 360 h, AGC in all of them: 240 × 300; of 720 h: half
    ("I-07", "calendar_hours", agc, "agc_basic", "72000.00", "36000.00"),
    # output on plan: nothing; set-point 50 MW above it for 360 h
    ("I-08a", "set_point", lambda: agc(agc_setpoint_mw="450"), "agc_up", "0.00", "180000.00"),
    # 100 × 1/12 − 25 × 1/6 = 25/6 MWh net; alone 100/12 MWh
    ("I-08b", "per_record", swing, "agc_up", "41.67", "83.33"),
    ("I-08b", "per_record", swing, "agc_down", "0.00", "41.67"),
    # 300 MW × 4 h below plan, all of it also deep peak
    ("I-08c", "deep_peak_first", deep_and_agc, "agc_down", "12000.00", "0.00"),
    # step: 40 MW × 1 h; line from 400 to 440: on average 20 MW
    ("I-08d", "linear", slope, "agc_up", "400.00", "200.00"),
    # 4 × 5 min × 30 Mvar = 10 Mvarh × 15; the means are 270 < 300
    ("I-09", "quarter_hour_mean", reactive, "reactive_lag", "150.00", "0.00"),
    # the curve holds one hour longer than the order: 20 Mvarh
    ("I-09", "voltage_curve_is_order", reactive, "reactive_lag", "150.00", "300.00"),
    # 100 × 2 h on grid × 10; × 3 h; min(100, 600 − 540) × 2 h
    ("I-12", "planned_as_is", reserve, "spinning_reserve", "2000.00", "3000.00"),
    ("I-12", "capped_by_headroom", reserve, "spinning_reserve", "2000.00", "1200.00"),
    # 15 of 30 days
    ("I-15", "by_days", half_a_month_of_black_start, "black_start", "80000.00", "40000.00"),
    # 260 × 600; one minute of the night is unknown
    ("I-20", "any_hole_blocks", stop_with_a_hole, "gas_start_stop", "156000.00", "blocked:uncertain_edge"),
    # one order, reached: 600 × 0.1 × 720 h; its target trembles by 1 V each minute: no order is judged
    ("I-21", "every_change", trembling, "avc", "43200.00", "blocked:no_judged_order"),
    # 14 × 600 at the start of June; the stop is in July
    ("I-23", "at_stop", condenser_to_july, "condenser_start", "8400.00", "0.00"),
    # (354 − 200) × 2 h × 10; the ramp's two hours too
    ("I-18", "ramps_paid", ramp, "deep_peak", "3080.00", "6160.00"),
]  # fmt: skip


@pytest.mark.parametrize(("reading", "choice", "build", "service", "adopted", "other"), EFFECTS)
def test_another_choice_of_a_reading_moves_the_money_as_worked_by_hand(
    reading: str, choice: str, build: Callable[[], Case], service: str, adopted: str, other: str
) -> None:
    case = build()
    assert amount(case.settle(), service) == adopted
    assert amount(case.settle(adopting(reading, choice)), service) == other


def test_a_line_between_plan_rows_never_runs_into_another_units_plan() -> None:
    """Nothing follows U1's row: it stays level, 40 MW × 1 h × 10 under either choice."""
    for book in (None, adopting("I-08d", "linear")):
        (line,) = [x for x in neighbours().settle(book).lines if (x.unit, x.service) == ("U1", "agc_up")]
        assert str(line.amount_yuan) == "400.00"


def test_a_start_stop_may_belong_to_the_month_of_the_stop() -> None:
    case = stop_across_months()
    july = Month(2026, 7)
    assert [amount(case.settle(), "gas_start_stop"), amount(case.settle(month=july), "gas_start_stop")] == [
        "0.00",
        "101400.00",
    ]
    book = adopting("I-06", "month_of_stop")
    assert [amount(case.settle(book), "gas_start_stop"), amount(case.settle(book, july), "gas_start_stop")] == [
        "101400.00",
        "0.00",
    ]


def test_pumped_storage_as_a_kind_of_its_own_is_not_paid_where_the_text_says_hydro() -> None:
    adopted = {line.service: str(line.amount_yuan) for line in pumped().settle().lines}
    assert adopted == {"hydro_spill": "60000.00", "black_start": "60000.00"}  # 0.5 × 300 × 1 h × 400
    own_kind = pumped().settle(adopting("I-16", "pumped_storage_is_its_own")).lines
    assert {line.service: str(line.amount_yuan) for line in own_kind} == {"black_start": "80000.00"}  # as other units


def test_all_hours_of_the_scope_count_known_or_not_where_the_rate_is_a_share_of_them() -> None:
    """AGC in service for 27 days; its status is missing for the last 3: 72 of 720 h."""
    case = Case(units=[unit(agc_lower_mw="300", agc_upper_mw="600")])
    case.record(at(1), on_grid="1", agc_in_service="1").record(at(28), on_grid="1", agc_in_service="")
    assert amount(case.settle(), "agc_basic") == "72000.00"  # 240 × 300 × 648/648
    line = line_of(case.settle(adopting("I-07", "calendar_hours")), "agc_basic")
    assert str(line.amount_yuan) == "64800.00"  # 240 × 300 × 648/720
    assert (str(line.low_yuan), str(line.high_yuan)) == ("64800.00", "72000.00")


def test_records_of_an_unsynchronised_clock_may_be_missing() -> None:
    inputs = deep().inputs()
    clocked = replace(inputs, records=inputs.records.append_column("clock", pa.array([0, 1, 0], pa.int64())))
    line = line_of(settle(JUNE, clocked, shipped_rulebook()), "deep_peak")
    assert (str(line.amount_yuan), line.coverage) == ("6160.00", Fraction(1))
    line = line_of(settle(JUNE, clocked, adopting("I-17", "missing")), "deep_peak")
    assert (str(line.amount_yuan), line.coverage) == ("0.00", 1 - Fraction(4, 240))


def test_own_fault_may_leave_the_scope() -> None:
    hours = {}
    for choice in READINGS["I-19"]:
        statement = faulty().settle(adopting("I-19", choice))
        (row,) = [d for d in statement.determinants if d.service == "deep_peak"]
        hours[choice] = (row.scope_ms // 3_600_000, row.own_fault_ms // 3_600_000, row.excluded_ms // 3_600_000)
    # 30 × 8 h of valley, of which 234 h are the plant's own fault
    assert hours == {"known_unpaid": (240, 234, 0), "leaves_scope": (6, 0, 234)}


def test_every_reading_with_another_choice_has_a_test_here() -> None:
    tested = {reading for reading, *_ in EFFECTS} | {"I-06", "I-16", "I-17", "I-19"}
    assert tested == {ident for ident, choices in READINGS.items() if len(choices) > 1}
    pairs = {(reading, choice) for reading, choice, *_ in EFFECTS}
    assert pairs >= {(i, c) for i in tested - {"I-06", "I-16", "I-17", "I-19"} for c in READINGS[i][1:]}
    assert area().dispatch_mode == "annual_plan"


@pytest.mark.parametrize(
    ("adopted", "other", "remedy"),
    [
        ("machine_by_breaker", "entered_by_hand", "import them with the breaker's status"),
        ("any_mode", "listed_modes", "in the point table's map"),
    ],
)
def test_a_choice_of_the_text_that_has_no_input_is_refused_by_name_with_what_to_do(
    adopted: str, other: str, remedy: str
) -> None:
    files = read_rulebook_files(RULES)
    text = files["readings.toml"].replace(f'adopted = "{adopted}"'.encode(), f'adopted = "{other}"'.encode())
    with pytest.raises(ConfigError, match=f"row\\[1\\].adopted: can't be adopted: .*{remedy}"):
        rulebook_of({**files, "readings.toml": text}, "x")
