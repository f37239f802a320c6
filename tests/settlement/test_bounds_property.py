# SPDX-License-Identifier: GPL-3.0-or-later
"""Take values out of a full month: what it truly comes to lies between the low and the high bound of what is left."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import date
from decimal import Decimal

from small_month import Case, at, unit

from collector.model.dispatch import Rate, StartStopRow
from collector.settlement.catalogue import SERVICES

QUARTER = 900_000
DAYS = 3
EVERY_BOUNDED = set(SERVICES) - {"primary_frequency", "black_start", "hydro_start_stop"}
DROPPED = (
    "active_power_mw",
    "reactive_power_mvar",
    "on_grid",
    "agc_in_service",
    "avc_in_service",
    "condenser",
    "spilling",
)


def full_month(rng: random.Random) -> Case:
    """Three days by quarter hours with every service, all within the units' limits. AVC by a delivered rate."""
    limits = {"agc_lower_mw": "300", "agc_upper_mw": "600", "q_max_mvar": "300", "q_min_mvar": "-100"}
    coal = unit("coal", avc=True, nominal_kv="500", **limits)
    hydro = unit("hydro", "hydro", "300", tariff_yuan_per_mwh="400")
    gas = unit("gas", "gas", "390")
    idle = unit("idle", "coal", "660")
    case = Case(units=[coal, hydro, gas, idle], policy={"hold_limit_s": Decimal(900), "min_coverage": Decimal(0)})
    for kind, ident in (("reactive", "coal"), ("condenser", "hydro"), ("spill", "hydro")):
        case.order(kind, at(1, 6), at(3, 18), ident)
    for ident in ("gas", "idle"):
        case.order("start_stop", at(1, 6), at(3, 18), ident)
    case.reserve("spinning", at(1), at(3), 90_000, "hydro").reserve("hot", at(1), at(3), 50_000, "gas")
    case.rates.append(Rate("coal", "2026-06", "avc_pass", Decimal("0.9"), "test"))
    case.plan.append(("coal", at(1), at(1, month=7), 450_000, None))
    case.band.append(("coal", at(1), at(1, month=7), 500_000, 506_000))
    row = (Decimal(600), Decimal(700), Decimal(0), Decimal(25), Decimal(12), date(2020, 1, 1), "document")
    case.table.append(StartStopRow(*row))
    state = {"on": "1", "agc": "1", "avc": "1", "condenser": "0"}
    for index in range(DAYS * 96):
        for name, chance in (("on", 0.03), ("agc", 0.1), ("avc", 0.1), ("condenser", 0.02)):
            if rng.random() < chance:
                state[name] = "0" if state[name] == "1" else "1"
        time = at(1) + index * QUARTER
        cells = {"on_grid": state["on"], "agc_in_service": state["agc"], "avc_in_service": state["avc"]}
        cells |= {"active_power_mw": str(rng.randrange(300, 601)), "bus_voltage_kv": rng.choice(("505", "507"))}
        if rng.random() < 0.3:
            cells["active_power_mw"] = str(rng.randrange(0, 300))
        if state["agc"] == "1":  # AGC keeps a unit inside its range
            cells["active_power_mw"] = str(rng.randrange(300, 601))
        cells |= {"reactive_power_mvar": str(rng.randrange(-100, 301)), "avc_target_kv": "505"}
        case.record(time, "coal", **cells)
        case.record(time, "hydro", on_grid=state["on"], condenser=state["condenser"], spilling=rng.choice("01"))
        for ident in ("gas", "idle"):
            case.record(time, ident, on_grid=state["on"])
    return case


def with_gaps(case: Case, rng: random.Random) -> None:
    """Empty cells here and there: single ones, and all of a unit's for some hours."""
    gaps: Mapping[str, tuple[int, int]] = {
        ident: (begin := rng.randrange(DAYS * 96), begin + rng.randrange(1, 30))
        for ident in ("coal", "hydro", "gas", "idle")
    }
    for index, (ident, time, cells) in enumerate(case.records):
        number = (time - at(1)) // QUARTER
        first, last = gaps[ident]
        emptied = {
            name: "" if name in DROPPED and (first <= number < last or rng.random() < 0.02) else value
            for name, value in cells.items()
        }
        case.records[index] = (ident, time, emptied)


def test_what_a_month_truly_comes_to_lies_between_the_bounds_of_the_month_with_gaps() -> None:
    bounded: dict[str, int] = {}
    for seed in range(12):
        rng = random.Random(seed)
        case = full_month(rng)
        truth = {(line.unit, line.service): line.amount_yuan for line in case.settle().lines}
        with_gaps(case, rng)
        for line in case.settle().lines:
            true = truth[line.unit, line.service]
            if line.low_yuan is None or line.high_yuan is None or true is None:
                continue
            bounded[line.service] = bounded.get(line.service, 0) + 1
            assert line.low_yuan <= true <= line.high_yuan, (seed, line.unit, line.service)
    assert set(bounded) == EVERY_BOUNDED, bounded
