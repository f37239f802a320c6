# SPDX-License-Identifier: GPL-3.0-or-later
"""The example of a region's rulebook: a month in its own area and in one that it follows, by hand."""

from __future__ import annotations

from collector.base.resources import config_path
from collector.settlement.rulebook.load import load_rulebook
from tests.settlement.small_month import FOREVER, Case, amount, area, at, plant, unit

NORTH = config_path("rules/example-region")


def month() -> Case:
    """A coal and a gas unit in the north (C1, G1), and their twins in Jiangsu (C2, G2)."""
    units = [unit("C1"), unit("G1", "gas", "400"), unit("C2", of="P2"), unit("G2", "gas", "400", of="P2")]
    case = Case(
        units=units,
        areas=[area(ident="north"), area()],
        plants=[plant(of="north"), plant("P2")],
        policy={"hold_limit_s": FOREVER},
    )
    for coal, gas in (("C1", "G1"), ("C2", "G2")):
        # At 600 MW, and for the first two hours of the 10th, in the valley, at 230 MW.
        case.record(at(1), coal, active_power_mw="600", on_grid="1")
        case.record(at(10), coal, active_power_mw="230", on_grid="1")
        case.record(at(10, 2), coal, active_power_mw="600", on_grid="1")
        case.order("start_stop", at(20), at(21), gas)
        case.record(at(1), gas, on_grid="1").record(at(20, 2), gas, on_grid="0").record(at(20, 8), gas, on_grid="1")
    return case


def test_the_region_pays_by_its_own_numbers_and_other_areas_by_those_it_follows() -> None:
    statement = month().settle(load_rulebook(NORTH))
    # North: 50 % of 600 MW are 300 MW; 2 h × (300 − 230) MW = 140 MWh; by annual plan 10 yuan/MWh.
    assert amount(statement, "deep_peak", "C1") == "1400.00"
    # Jiangsu: 59 % are 354 MW; 2 h × (354 − 230) MW = 248 MWh.
    assert amount(statement, "deep_peak", "C2") == "2480.00"
    # 400 MW × 280 and × 260 yuan/MW.
    assert amount(statement, "gas_start_stop", "G1") == "112000.00"
    assert amount(statement, "gas_start_stop", "G2") == "104000.00"
    assert {line.area for line in statement.lines} == {"north", "jiangsu"}
