# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel and the slow reference, written apart from the same text, agree to the fen on folders made at random."""

from __future__ import annotations

import random
import tempfile
from decimal import Decimal
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_folders import make_folder
from reference.settle import settle_reference

from collector.cli.folder import load_folder
from collector.model.interval import Month
from collector.settlement.rulebook import Rulebook, load_rulebook
from collector.settlement.settle import settle

RULES = Path(__file__).resolve().parents[2] / "config" / "rules" / "east-china-trial"
_BOOK: list[Rulebook] = []


def _book() -> Rulebook:
    if not _BOOK:
        _BOOK.append(load_rulebook(RULES))
    return _BOOK[0]


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(min_value=0, max_value=2**40))
def test_every_line_and_plant_row_equals_the_reference(seed: int) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "folder"
        make_folder(random.Random(seed), folder)
        expected = settle_reference(folder, "2026-06")
        statement = settle(Month.parse("2026-06"), load_folder(folder), _book())

    lines = {
        (line.unit, line.service): (
            line.area, line.plant, line.article, line.quantity, line.quantity_unit, line.coverage,
            line.amount_yuan, line.status.value, line.reason,
        )
        for line in statement.lines
    }  # fmt: skip
    assert lines == {
        (line["unit"], line["service"]): (
            line["area"], line["plant"], line["article"], line["quantity"], line["quantity_unit"], line["coverage"],
            line["amount_yuan"], line["status"], line["reason"],
        )
        for line in expected.lines
    }  # fmt: skip

    plants = {
        (row.area, row.plant): (
            row.compensation_yuan, row.revenue_yuan, row.allocation_yuan, row.net_yuan, row.status.value,
        )
        for row in statement.plants
    }  # fmt: skip
    assert plants == {
        (row["area"], row["plant"]): (
            row["compensation_yuan"], _decimal(row["revenue_yuan"]), row["allocation_yuan"], row["net_yuan"],
            row["status"],
        )
        for row in expected.plants
    }  # fmt: skip


def _decimal(value: Decimal | None) -> Decimal | None:
    return None if value is None else Decimal(value)
