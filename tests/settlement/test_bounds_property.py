# SPDX-License-Identifier: GPL-3.0-or-later
"""Take values and records out of a full month: what it truly came to lies between the bounds of what is left.

By the readings adopted and by every other choice of each; `MONTHS=500 SEED=1000` for other and more months.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from collector.model.dispatch import Rate, StartStopRow
from collector.model.register import RegisteredUnit
from collector.settlement.rulebook.catalogue import READINGS, SERVICES
from collector.settlement.rulebook.rules import Rulebook
from collector.settlement.statement import LineStatus
from tests.settlement.made_readings import adopting
from tests.settlement.small_month import Case, at, unit
from tests.size import sized

STEP = 300_000
DAYS = 3
UNTIL = date(2026, 6, 1 + DAYS)
MONTHS = int(os.environ.get("MONTHS", sized(20, 40)))
FIRST = int(os.environ.get("SEED", "0"))
PART = 40  # months of one test: enough for every service with own fault and without, no more than its time allows
EVERY_BOUNDED = set(SERVICES) - {"primary_frequency", "black_start"}
# What may be empty while other cells of the record are there. AVC targets and voltages are only lost with all the rest:
# an order that can't be judged for want of them is counted so, it is no missing time of AVC.
DROPPED = (
    "active_power_mw",
    "reactive_power_mvar",
    "on_grid",
    "agc_in_service",
    "avc_in_service",
    "condenser",
    "spilling",
)


def units() -> list[RegisteredUnit]:
    """In commercial operation for three days only; the range of AGC and so its capacity changes after the first."""
    limits = {"agc_lower_mw": "300", "agc_upper_mw": "600", "q_max_mvar": "300", "q_min_mvar": "-100"}
    coal = unit("coal", avc=True, nominal_kv="500", **limits)
    after_first = date(2026, 6, 2)
    narrower = replace(coal, agc_lower_mw=Decimal(450), from_day=after_first, until_day=UNTIL)
    others = [
        unit("hydro", "hydro", "300", tariff_yuan_per_mwh="400"),
        unit("gas", "gas", "390"),
        unit("idle", "coal", "660"),
        unit("dam", "hydro", "100"),
        unit("pair-1", "coal", "350", peak_group="G"),
        unit("pair-2", "coal", "330.7", peak_group="G"),
    ]
    return [replace(coal, until_day=after_first), narrower, *(replace(u, until_day=UNTIL) for u in others)]


def full_month(rng: random.Random) -> Case:
    """Every five minutes of three days with every service, all within the units' limits."""
    case = Case(units=units(), policy={"hold_limit_s": Decimal(300), "min_coverage": Decimal(0)})
    for kind, ident in (("reactive", "coal"), ("condenser", "hydro"), ("spill", "hydro")):
        case.order(kind, at(1, 6), at(3, 18), ident)
    for ident in ("gas", "idle", "dam"):
        case.order("start_stop", at(1, 6), at(2), ident).order("start_stop", at(2), at(3, 18), ident)
    if rng.random() < 0.3:  # a member of a peak group that leaves it for some hours
        case.order("start_stop", at(1, 1), at(1, 5), "pair-1")
    for _ in range(rng.randrange(5)):
        begin = at(1) + rng.randrange(DAYS * 288) * STEP
        end = begin + rng.randrange(1, 100) * STEP
        case.exclude(rng.choice(("own_fault", "own_fault", "test")), begin, end, ident=rng.choice(case.units).id)
    case.reserve("spinning", at(1), at(3), 90_000, "hydro").reserve("hot", at(1), at(3), 50_000, "gas")
    if rng.random() < 0.3:
        case.rates.append(Rate("coal", "2026-06", "avc_pass", Decimal("0.9"), "test"))
    case.plan.append(("coal", at(1), at(1, month=7), 500_000, None))
    case.band.append(("coal", at(1), at(1, month=7), 504_000, 506_000))
    for gap_from, gap_to, amount in ((0, 1, 5), (1, 3, 12), (3, 25, 9)):
        row = (Decimal(600), Decimal(700), Decimal(gap_from), Decimal(gap_to), Decimal(amount), date(2020, 1, 1), "d")
        case.table.append(StartStopRow(*row))
    state = {"on": "1", "agc": "1", "avc": "1", "condenser": "0", "other": "1"}
    target = Decimal(505)
    for index in range(DAYS * 288):
        for name, chance in (("on", 0.01), ("agc", 0.05), ("avc", 0.05), ("condenser", 0.15), ("other", 0.01)):
            if rng.random() < chance:
                state[name] = "0" if state[name] == "1" else "1"
        time = at(1) + index * STEP
        if rng.random() < 0.2:
            target = Decimal(rng.choice(("504.5", "505", "505.5", "505.1", "505.08", "504.95")))
        case.record(time, "coal", **coal_cells(rng, state, target, index // 288))
        case.record(time, "hydro", on_grid=state["on"], condenser=state["condenser"], spilling=rng.choice("01"))
        for ident in ("gas", "idle", "dam"):
            case.record(time, ident, on_grid=state["on"])
        for ident, on in (("pair-1", state["on"]), ("pair-2", state["other"])):
            case.record(time, ident, on_grid=on, active_power_mw=str(rng.randrange(0, 250)))
    return case


def coal_cells(rng: random.Random, state: dict[str, str], target: Decimal, day: int) -> dict[str, str]:
    power = rng.randrange(0, 601)
    if state["agc"] == "1":  # AGC keeps a unit inside its range
        power = rng.randrange(450 if day else 300, 601)
    return {
        "on_grid": state["on"],
        "agc_in_service": state["agc"],
        "avc_in_service": state["avc"],
        "active_power_mw": str(power),
        "reactive_power_mvar": str(rng.randrange(-100, 301)),
        "avc_target_kv": str(target),
        "bus_voltage_kv": str(target + Decimal(rng.choice(("0", "0.7", "-1.2", "2.5")))),
    }


def with_gaps(case: Case, rng: random.Random) -> None:
    """Single cells empty here and there; for each unit a stretch without records and one of empty records."""
    for ident in sorted({state.id for state in case.units}):
        gone, empty = (
            range(a, a + rng.randrange(1, 60)) for a in (rng.randrange(DAYS * 288), rng.randrange(DAYS * 288))
        )
        kept = []
        for of, time, cells in case.records:
            number = (time - at(1)) // STEP
            if of != ident:
                kept.append((of, time, cells))
            elif number in empty:
                kept.append((of, time, dict.fromkeys(cells, "")))
            elif number not in gone:
                lost = {name: "" for name in cells if name in DROPPED and rng.random() < 0.01}
                kept.append((of, time, {**cells, **lost}))
        case.records = kept


def hold(seed: int, book: Rulebook | None, held: Counter[tuple[str, bool]], gaps: int | None = None) -> None:
    """One month: each line lies between its bounds, and one without bounds is what it truly came to.

    `held`: counts the lines with bounds by service, and whether own fault is among their time. `gaps`: the seed of what
    is taken out; by default it goes on with that of the month.
    """
    rng = random.Random(seed)
    case = full_month(rng)
    truth = {(line.unit, line.service): line.amount_yuan for line in case.settle(book).lines}
    with_gaps(case, rng if gaps is None else random.Random(gaps))
    statement = case.settle(book)
    faulty = {(row.unit, row.service) for row in statement.determinants if row.own_fault_ms}
    for line in statement.lines:
        key, low, high = (line.unit, line.service), line.low_yuan, line.high_yuan
        true = truth[key]
        if true is None or line.status is LineStatus.PENDING:
            continue
        told = f"month of seed {seed}: {key} truly is {true}, not as in {line}"
        if low is None and high is None:
            assert line.status is LineStatus.BLOCKED or line.amount_yuan == true, told
            continue
        held[line.service, key in faulty] += 1
        for amount in (true, line.amount_yuan):
            assert amount is None or ((low is None or low <= amount) and (high is None or amount <= high)), told


@pytest.mark.parametrize("first", range(FIRST, FIRST + MONTHS, PART))
def test_what_a_month_truly_comes_to_lies_between_the_bounds_of_the_month_with_gaps(first: int) -> None:
    held: Counter[tuple[str, bool]] = Counter()
    until = min(first + PART, FIRST + MONTHS)
    for seed in range(first, until):
        hold(seed, None, held)
    if until - first == PART:
        assert set(held) == {(service, fault) for service in EVERY_BOUNDED for fault in (False, True)}, held
    elif first == FIRST and MONTHS >= PART // 2:
        assert {service for service, _ in held} == EVERY_BOUNDED, held


OTHERS = [(reading, choice) for reading, choices in READINGS.items() for choice in choices[1:]]


@pytest.mark.parametrize(("reading", "choice"), OTHERS)
def test_the_bounds_hold_by_every_other_choice_of_a_reading(reading: str, choice: str) -> None:
    held: Counter[tuple[str, bool]] = Counter()
    for seed in range(FIRST, FIRST + max(sized(1, 2), MONTHS // 20)):
        hold(seed, adopting(reading, choice), held)
    assert held


@pytest.mark.parametrize(("seed", "gaps"), [(0, 1000), (1, 1003), (2, 1002), (3, 1039)])
def test_a_mean_that_lacks_a_value_in_time_that_is_not_paid_anyway_shakes_its_quarter_hour(
    seed: int, gaps: int
) -> None:
    hold(seed, adopting("I-05", "quarter_hour_mean"), Counter(), gaps)
