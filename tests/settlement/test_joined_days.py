# SPDX-License-Identifier: GPL-3.0-or-later
"""Orders and edges that reach over midnight: the same whether a month is measured in one piece or day by day."""

from __future__ import annotations

import random
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from collector.model.register import AreaState, RegisteredUnit
from collector.settlement.inputs import Inputs
from collector.settlement.measure.records import RecordBook, tail_of
from collector.settlement.measure.results import Results
from collector.settlement.measure_units import measure, plan_batches
from collector.settlement.services.avc_orders import find_orders, order_table
from collector.settlement.settle import prepare
from tests.settlement.small_month import JUNE, Case, amount, area, at, shipped_rulebook, unit
from tests.size import sized

STEP_MS = 300_000
DAYS = 4


def measured(inputs: Inputs, days: int) -> tuple[list[Results], Results]:
    """The results of a month in pieces of some days, and the AVC orders found among them."""
    context = prepare(JUNE, inputs, shipped_rulebook())
    policy = context.policy
    book = RecordBook(inputs.records, tail_ms=tail_of(policy.settle_ms, policy.hold_ms))
    units = list(context.stretches)
    parts = [
        measure(context, batch)[0]
        for first in range(0, 30, days)
        for batch in plan_batches(context, book, JUNE.first_day + timedelta(first), days, units=units)
    ]
    found = list(find_orders(JUNE, parts, context.stretches, context.around, shipped_rulebook()))
    return parts, found[0] if found else Results((), (), 30)


def orders(inputs: Inputs, days: int) -> list[dict[str, Any]]:
    """The AVC orders of U1, as rows of their table."""
    found = measured(inputs, days)[1]
    rows: list[dict[str, Any]] = order_table({of.unit: of.rows for of in found.avc_orders}, None).to_pylist()
    return rows


def registered(rng: random.Random) -> tuple[list[RegisteredUnit], list[AreaState]]:
    """A unit with AVC all month, from the third day or until it; in another area or at another voltage from it on."""
    day = date(2026, 6, 3)
    first, second = {"until_day": day}, {"from_day": day}
    always: dict[str, Any] = {"avc": True, "nominal_kv": "500"}
    chosen: list[list[dict[str, Any]]] = [
        [always],
        [always | second],
        [always | first],
        [{"nominal_kv": "500"} | first, always | second],
        [always | first, {"nominal_kv": "500"} | second],
        [always | first, always | second | {"nominal_kv": "220"}],
        [always | first, always | second | {"area": "shanghai"}],
    ]
    return [unit(**keys) for keys in rng.choice(chosen)], [area(), area(ident="shanghai")]


def wandering(rng: random.Random) -> Case:
    """Four days of a target that wanders by small and great steps, with holes, breaks and lost cells.

    It begins before the month in every second case, so that the first orders stand since before.
    """
    units, areas = registered(rng)
    policy = {"hold_limit_s": Decimal(600), "settle_s": Decimal(300)}
    case = Case(units=units, areas=areas, policy=policy)
    begin = rng.choice((at(1), at(1) - 3 * STEP_MS))
    target = 505_000
    steps = rng.choice(((1, -1), (40, -40, 0), (100, -100, 0), (149, -149), (150, -150, 0), (20,), (1, -1, 600, -600)))
    for index in range(DAYS * 288):
        target += rng.choice(steps) if rng.random() < 0.6 else 0
        if rng.random() < 0.01:
            continue
        cells = {"on_grid": "1", "avc_in_service": "1", "avc_target_kv": str(Decimal(target) / 1000)}
        cells["bus_voltage_kv"] = str(Decimal(target + rng.choice((0, 1400, 1600))) / 1000)
        if rng.random() < 0.01:
            cells[rng.choice(sorted(cells))] = rng.choice(("", "0"))
        case.record(begin + index * STEP_MS, **cells)
    return case


@settings(max_examples=sized(4, 20), deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_standing_target_is_followed_over_midnight_however_the_days_are_measured(seed: int) -> None:
    inputs = wandering(random.Random(seed)).inputs()
    whole, by_day, by_three = orders(inputs, 30), orders(inputs, 1), orders(inputs, 3)
    assert whole == by_day == by_three
    for name, column in measured(inputs, 30)[1].columns.items():
        assert (column == measured(inputs, 1)[1].columns[name]).all(), name


def test_a_target_that_trembles_leaves_nothing_to_follow() -> None:
    case = Case(units=[unit(avc=True, nominal_kv="500")], policy={"hold_limit_s": Decimal(600)})
    for index in range(DAYS * 288):
        target = "505.001" if index % 2 else "505"
        case.record(
            at(1) + index * STEP_MS, on_grid="1", avc_in_service="1", avc_target_kv=target, bus_voltage_kv="505"
        )
    parts, found = measured(case.inputs(), 1)
    assert sum(targets.rows.shape[1] for part in parts for targets in part.targets) < 3 * DAYS
    assert [of.rows.shape[1] for of in found.avc_orders] == [0]


def test_every_order_is_a_row_with_its_verdict_and_reason() -> None:
    case = Case(units=[unit(avc=True, nominal_kv="500")], policy={"hold_limit_s": Decimal(3600)})
    case.exclude("test", at(1, 4), at(1, 5))
    rows = (  # hours, target, voltage
        *((0, "505", "505"), (1, "506", "505"), (1.5, "506", "507.5"), (2, "507", "505"), (2.5, "507", "505")),
        *((3, "508", "505"), (3.01, "509", "505"), (3.5, "509", "509"), (4, "505", "505"), (4.5, "505", "505")),
        *((5, "506", "506"), (5.5, "506", ""), (6, "507", "507")),
    )
    for hour, target, voltage in rows:
        cells = {"avc_target_kv": target, "bus_voltage_kv": voltage}
        case.record(at(1, hour), on_grid="1", avc_in_service="1", **cells)
    told = [tuple(row.values())[2:] for row in orders(case.inputs(), 30)]  # beside unit and time
    assert told == [
        (506_000, 505_000, at(1, 1.5), 507_500, 1_500_000, "passed", ""),
        (507_000, 506_000, at(1, 2.5), 505_000, 1_500_000, "failed", ""),
        (508_000, 507_000, at(1, 3.5), 509_000, 1_500_000, "not_judged", "superseded"),
        (509_000, 508_000, at(1, 3.5), 509_000, 1_500_000, "passed", ""),
        (505_000, 509_000, at(1, 4.5), 505_000, 1_500_000, "not_judged", "excluded"),
        (506_000, 505_000, at(1, 5.5), None, 1_500_000, "not_judged", "no_voltage"),
        (507_000, 506_000, None, None, 1_500_000, "not_judged", "no_record"),
    ]


def test_orders_of_days_without_registration_are_no_rows() -> None:
    for_two_days = unit(avc=True, nominal_kv="500", from_day=date(2026, 6, 2), until_day=date(2026, 6, 4))
    case = Case(units=[for_two_days], policy={"hold_limit_s": Decimal(40 * 86_400)})
    for day in range(1, 7):
        case.record(at(day, 12), on_grid="1", avc_in_service="1", avc_target_kv=str(500 + day), bus_voltage_kv="505")
    assert [row["time"] for row in orders(case.inputs(), 30)] == [at(2, 12), at(3, 12)]
    assert [row["time"] for row in orders(case.inputs(), 1)] == [at(2, 12), at(3, 12)]


def test_a_condenser_start_across_a_hole_over_midnight_is_seen_day_by_day() -> None:
    case = Case(units=[unit(kind="hydro", rated="300")], policy={"hold_limit_s": Decimal(3600)})
    case.order("condenser", at(1, 12), at(2, 12))
    for hour in range(48):
        status = "" if 22 <= hour < 26 else str(int(26 <= hour < 30))
        case.record(at(1) + hour * 3_600_000, on_grid="1", condenser=status)
    assert amount(case.settle(), "condenser_start") == "4200.00"  # 14 × 300
    parts, _ = measured(case.inputs(), 1)
    assert sum(len(part.runs) for part in parts) < 2 * 30


def test_implausible_values_of_a_unit_are_one_finding_with_the_factor_that_explains_them() -> None:
    case = Case(units=[unit(), unit("U2")], policy={"hold_limit_s": Decimal(3600)})
    for hour in range(24):
        case.record(at(1) + hour * 3_600_000, on_grid="1", active_power_mw="300000")
        case.record(at(1) + hour * 3_600_000, "U2", on_grid="1", active_power_mw="9999" if hour == 5 else "300")
    told = {found.subject: found.message for found in case.settle().findings if found.code == "implausible"}
    assert sorted(told) == ["U1", "U2"]
    assert "can't be (24)" in told["U1"]
    assert "1000 times" in told["U1"]
    assert "can't be (1)" in told["U2"]
    assert "times" not in told["U2"]
