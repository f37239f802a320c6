# SPDX-License-Identifier: GPL-3.0-or-later
"""The example of a service with a formula of its own, by hand workings."""

from __future__ import annotations

from collector.base.resources import config_path
from collector.report.explained import explanation_text
from collector.report.words import Lang
from collector.settlement.explain import explain
from collector.settlement.rulebook.load import load_rulebook
from tests.settlement.small_month import FOREVER, Case, amount, at, line_of, unit


def test_hours_on_the_grid_are_paid_by_capacity_and_explained() -> None:
    case = Case(units=[unit(), unit("W1", "wind", "100")], policy={"hold_limit_s": FOREVER})
    case.record(at(1), on_grid="1").record(at(11), on_grid="0").record(at(16), on_grid="1")
    case.record(at(1), "W1", on_grid="1").exclude("test", at(20), at(21))
    statement = case.settle(load_rulebook(config_path("rules/east-china-trial")))
    # June has 30 days: 5 off, 1 excluded, 24 × 24 h = 576 h; 576 × 600 MW × 0.05 = 17 280.00
    assert amount(statement, "inertia") == "17280.00"
    assert str(line_of(statement, "inertia").quantity) == "576"
    assert not [line for line in statement.lines if line.unit == "W1" and line.service == "inertia"]
    letter = "\n".join(explanation_text(explain(statement, "U1", "inertia"), lang=Lang.EN))
    assert "inertia" in letter
