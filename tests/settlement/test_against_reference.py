# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel and the slow reference, written apart from the same text, agree to the fen on folders made at random."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.settlement.rulebook.catalogue import SERVICES
from tests.reference.settle import Result, settle_reference
from tests.settlement.agreement import assert_agrees
from tests.settlement.made_folders import make_folder
from tests.size import sized

# What a line and a plant row may become (rules.md sections 2 and 4). The fixed seeds below meet each at least once.
OUTCOMES = {
    *{("paid", ""), ("pending", "table_unknown")},
    *(("zero", reason) for reason in ("no_order", "no_reserve", "excluded", "no_valley", "rounded")),
    *(("blocked", reason) for reason in ("coverage", "no_tariff", "no_judged_order", "uncertain_edge")),
}
MONTHS = {("final", ""), ("provisional", "")}
MONTHS |= {("blocked", reason) for reason in ("no_revenue", "negative_revenue", "zero_revenue")}
SEEDS = (*range(40), 144, 182, 250, 402, 418)  # the last ones: units with several areas or plants, paid in each


def compare(seed: int) -> Result:
    """Make the folder of a seed and settle it twice."""
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "folder"
        make_folder(random.Random(seed), folder, moves=True)
        expected = settle_reference(folder, "2026-06")
        assert_agrees(folder, "2026-06", expected)
        return expected


@settings(max_examples=sized(15, 40), derandomize=True, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(min_value=0, max_value=2**40))
def test_every_line_and_plant_row_equals_the_reference(seed: int) -> None:
    compare(seed)


def test_the_folders_of_fixed_seeds_meet_every_outcome_and_pay_every_service() -> None:
    lines: set[tuple[str, str]] = set()
    plants: set[tuple[str, str]] = set()
    paid: set[str] = set()
    in_parts: set[str] = set()  # services of which a unit has several lines, one of them paid
    for seed in SEEDS:
        result = compare(seed)
        lines |= {(line["status"], line["reason"]) for line in result.lines}
        paid |= {line["service"] for line in result.lines if line["status"] == "paid"}
        payees = {(line["unit"], line["service"]) for line in result.lines if line["status"] == "paid"}
        keys = [(line["unit"], line["service"]) for line in result.lines]
        in_parts |= {key[1] for key in payees if keys.count(key) > 1}
        plants |= {(row["status"], result.areas[row["area"]].blocked) for row in result.plants}
    assert lines == OUTCOMES
    assert plants == MONTHS
    assert paid == set(SERVICES) - {"primary_frequency"}
    assert in_parts >= {"deep_peak", "agc_basic", "agc_up", "agc_down", "reactive_lag", "gas_start_stop"}
