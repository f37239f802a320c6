# SPDX-License-Identifier: GPL-3.0-or-later
"""Every figure of a statement beside the reference's: what the two must agree on, to the fen."""

from __future__ import annotations

from pathlib import Path

from collector.model.interval import Month
from collector.settlement.rulebook.load import load_rulebook
from collector.settlement.settle import settle
from collector.tables.folder import load_folder
from tests.reference.settle import Result

RULES = Path(__file__).resolve().parents[2] / "config" / "rules" / "east-china-trial"
_BOOK = load_rulebook(RULES)


def assert_agrees(folder: Path, month: str, expected: Result) -> None:
    """Settle a folder with the kernel and compare every line and plant row with the reference's result."""
    statement = settle(Month.parse(month), load_folder(folder), _BOOK)
    lines = {
        (line.unit, line.service, line.area, line.plant): (
            line.article, line.quantity, line.quantity_unit, line.coverage,
            line.amount_yuan, line.status.value, line.reason, line.provisional,
        )
        for line in statement.lines
    }  # fmt: skip
    assert lines == {
        (line["unit"], line["service"], line["area"], line["plant"]): (
            line["article"], line["quantity"], line["quantity_unit"], line["coverage"],
            line["amount_yuan"], line["status"], line["reason"], line["provisional"],
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
            row["compensation_yuan"], row["revenue_yuan"], row["allocation_yuan"], row["net_yuan"], row["status"],
        )
        for row in expected.plants
    }  # fmt: skip
