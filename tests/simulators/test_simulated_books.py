# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulators' own books against hand workings of single days (numbers worked beside each case)."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.model.dispatch import Order, OrderKind
from collector.model.interval import HOUR_MS, Month
from simulators.plant.books import Books
from simulators.plant.moment import Moment
from simulators.plant.scenario import load_scenario
from simulators.plant.schedule import Switch

DEMO = Path(__file__).parents[2] / "config" / "demo" / "plant.toml"
START = Month(2026, 3).interval.start_ms
MINUTE = 60_000


@pytest.fixture
def books() -> Books:
    return Books(load_scenario(DEMO))


def quantity(books: Books, unit: str, service: str) -> str:
    return next(r["quantity"] for r in books.lines() if (r["unit"], r["service"]) == (unit, service))


def run(books: Books, unit: str, state: Moment, from_h: float, to_h: float) -> None:
    """Minutes of one state, as a simulator at a 60 s tick reports them."""
    for start in range(START + int(from_h * HOUR_MS), START + int(to_h * HOUR_MS), MINUTE):
        books.elapse(unit, state, start, start + MINUTE)


def test_deep_peak_counts_valley_hours_below_both_gates(books: Books) -> None:
    # 660 MW in Jiangsu: lower limit 59 % = 389.4 MW, gate 40 % = 264 MW; valley 00:00-08:00.
    run(books, "coal-1", Moment(on=1, power_kw=240_000), 0, 2)  # (389.4 − 240) × 2 h = 298.8
    run(books, "coal-1", Moment(on=1, power_kw=264_000), 2, 4)  # not strictly below the gate
    run(books, "coal-1", Moment(on=0, power_kw=0), 4, 5)  # off
    run(books, "coal-1", Moment(on=1, power_kw=200_000), 7, 9)  # 189.4 × 1 h; 08:00 is no valley hour any more
    assert quantity(books, "coal-1", "deep_peak") == "488.200000"


def test_agc_energy_is_netted_by_quarter_hour_before_it_counts_up_or_down(books: Books) -> None:
    up = Moment(on=1, agc=1, power_kw=430_000, plan_kw=400_000)
    down = Moment(on=1, agc=1, power_kw=380_000, plan_kw=400_000)
    for minute in range(15):  # 10 min × 30 MW − 5 min × 20 MW = +200 MW·min = 3.333333 MWh up
        books.elapse("coal-1", up if minute < 10 else down, START + minute * MINUTE, START + (minute + 1) * MINUTE)
    run(books, "coal-1", down, 1, 1.5)  # two quarters of −20 MW × 15 min: 10 MWh down
    assert quantity(books, "coal-1", "agc_up") == "3.333333"
    assert quantity(books, "coal-1", "agc_down") == "10.000000"


def test_agc_basic_is_the_rate_over_on_grid_time_times_the_range(books: Books) -> None:
    run(books, "coal-1", Moment(on=1, agc=1), 0, 3)
    run(books, "coal-1", Moment(on=1), 3, 4)
    run(books, "coal-1", Moment(agc=1), 4, 9)  # off grid: in neither
    assert quantity(books, "coal-1", "agc_basic") == "247.500000"  # 330 MW × 3 h ÷ 4 h


def test_avc_is_the_pass_rate_times_the_hours(books: Books) -> None:
    run(books, "coal-1", Moment(on=1, avc=1), 0, 10)
    for hour, voltage_v in ((1, 511_500), (2, 512_800), (3, 509_000)):  # target 510 kV, band 1.5 kV: passed, missed…
        state = Moment(on=1, avc=1, avc_target_v=510_000, voltage_v=voltage_v, at_limit=int(hour == 3))
        time = START + hour * HOUR_MS + 1
        books.switched("coal-1", state, Switch(time, "coal-1", "avc_target_kv", 510_000))
        books.ticked("coal-1", Moment(on=1, avc=1, voltage_v=0, avc_target_v=1), time - 1 + MINUTE)  # not settled yet
        books.ticked("coal-1", state, time - 1 + 2 * MINUTE)  # … and at its limit: not judged
    assert quantity(books, "coal-1", "avc") == "5.000000"  # 1 of 2, 10 h


def test_a_second_order_before_the_judgement_leaves_the_first_unjudged(books: Books) -> None:
    run(books, "coal-1", Moment(on=1, avc=1), 0, 1)
    state = Moment(on=1, avc=1, avc_target_v=510_000, voltage_v=510_000)
    for offset in (1, 30_001):
        books.switched("coal-1", state, Switch(START + offset, "coal-1", "avc_target_kv", 510_000))
    books.ticked("coal-1", state, START + MINUTE)
    books.ticked("coal-1", state, START + 2 * MINUTE)
    assert books.parts()["coal-1"]["avc_judged"] == 1


@pytest.mark.parametrize(
    ("gap_h", "order_h", "count"),
    [(24, (21, 60), 1), (24.001, (21, 60), 0), (8, (23, 60), 0), (8, (21, 30), 0), (8, (21, 30.001), 1)],
    ids=["just inside 24 h", "just outside", "opened before the order", "closed at its end", "closed before its end"],
)
def test_a_start_stop_counts_inside_24_h_and_inside_its_order(
    books: Books, gap_h: float, order_h: tuple[float, float], count: int
) -> None:
    start, end = (START + int(hour * HOUR_MS) for hour in order_h)
    books.take_orders([Order("o", "gas-1", OrderKind.START_STOP, start, end)])
    opened = START + 22 * HOUR_MS
    for time, value in ((opened, 0), (opened + round(gap_h * HOUR_MS), 1)):
        books.switched("gas-1", Moment(on=value), Switch(time, "gas-1", "on_grid", value))
    assert quantity(books, "gas-1", "gas_start_stop") == f"{count}.000000"


def test_time_outside_the_month_is_in_no_sum(books: Books) -> None:
    books.elapse("coal-1", Moment(on=1, avc=1, agc=1), START - MINUTE, START)
    end = Month(2026, 3).interval.end_ms
    books.elapse("coal-1", Moment(on=1, avc=1, agc=1), end, end + MINUTE)
    assert books.parts()["coal-1"]["on_grid_h"] == "0.000000"
