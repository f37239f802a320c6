# SPDX-License-Identifier: GPL-3.0-or-later
"""The books of a stored run against the rows of its plants, also the books of 0.1.0, which named no areas."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from pathlib import Path

import pytest

from collector.base.errors import InvariantBroken
from collector.center.runs.run_statement import RunPlant, check_ledger

TODAY = """month,run,area,plant,debit_yuan,credit_yuan
2026-06,r,north,,100.00,100.00
2026-06,r,north,P1,0.00,100.00
2026-06,r,north,P2,100.00,0.00
2026-06,r,south,,0.00,0.00
2026-06,r,south,P2,0.00,0.00
"""
OF_0_1_0 = """month,run,plant,debit_yuan,credit_yuan
2026-06,r,pool:north,100.00,100.00
2026-06,r,P1,0.00,100.00
2026-06,r,P2,100.00,0.00
2026-06,r,pool:south,0.00,0.00
2026-06,r,P2,0.00,0.00
"""


def plant(area: str, name: str, net_yuan: str) -> RunPlant:
    net = Decimal(net_yuan)
    return RunPlant(area=area, plant=name, compensation_yuan=Decimal(0), revenue_yuan=Decimal(1),
                    allocation_yuan=Decimal(0), net_yuan=net, status="final")  # fmt: skip


PLANTS = (plant("north", "P1", "100"), plant("north", "P2", "-100"), plant("south", "P2", "0"))


def checked(folder: Path, text: str) -> None:
    path = folder / "ledger.csv"
    path.write_text(text, "utf-8")
    check_ledger(path, hashlib.sha256(path.read_bytes()).hexdigest(), PLANTS)


@pytest.mark.parametrize("text", [TODAY, OF_0_1_0])
def test_books_that_fit_the_plants_are_taken(tmp_path: Path, text: str) -> None:
    checked(tmp_path, text)


@pytest.mark.parametrize("text", [TODAY, OF_0_1_0])
@pytest.mark.parametrize(("old", "new"), [("P1,0.00,100.00", "P1,0.00,100.01"), ("100.00,100.00", "100.00,99.99")])
def test_a_fen_in_the_books_that_is_not_in_the_plants_is_told(tmp_path: Path, text: str, old: str, new: str) -> None:
    with pytest.raises(InvariantBroken, match="do not balance"):
        checked(tmp_path, text.replace(old, new))
