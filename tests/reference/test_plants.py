# SPDX-License-Identifier: GPL-3.0-or-later
"""Allocation and net: Art. 22-23, rules.md, sections 1 and 4."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from .build import START, Build, plant_of
from .plants import allocate
from .settle import main


def designated(root: Path) -> Build:
    """One gas unit of P1 paid 80 000.00 for black start."""
    return Build(root).unit(kind="gas", black_start=True, black_start_document="x").record(START, on_grid=0)


def test_leftover_fen_go_to_the_largest_remainders_and_ties_to_the_smaller_plant_id() -> None:
    # 100 fen by 1:1:1 is 33 1/3 each: one fen is left, all remainders are equal. 10 fen by 1:2:4 = 1.43, 2.86, 5.71.
    assert allocate(100, {"C": Fraction(1), "A": Fraction(1), "B": Fraction(1)}) == {"A": 34, "B": 33, "C": 33}
    assert allocate(10, {"A": Fraction(1), "B": Fraction(2), "C": Fraction(4)}) == {"A": 1, "B": 3, "C": 6}


def test_a_plant_without_units_may_share_and_one_that_does_not_share_pays_nothing(tmp_path: Path) -> None:
    # P1 earns 80 000.00 and does not share; P2 carries all of it.
    case = designated(tmp_path).area_row("jiangsu").plant("P1", shares=False).plant("P2")
    case.plain = False
    result = case.row("revenue", "P2", "2026-06", "energy", "5").settle()
    assert (plant_of(result)["allocation_yuan"], plant_of(result)["net_yuan"]) == (Decimal(0), Decimal("80000.00"))
    assert plant_of(result, "P2")["net_yuan"] == Decimal("-80000.00")


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([("P1", "energy", "1")], "no_revenue"),
        ([("P1", "energy", "1"), ("P2", "energy", "")], "no_revenue"),
        ([("P1", "energy", "1"), ("P2", "energy", "-1")], "negative_revenue"),
        ([("P1", "energy", "0"), ("P2", "energy", "0")], "zero_revenue"),
    ],
)
def test_an_area_without_good_revenue_is_blocked_and_keeps_its_compensation(
    tmp_path: Path, rows: list[tuple[str, str, str]], reason: str
) -> None:
    case = designated(tmp_path).plant("P2")
    for plant, kind, amount in rows:
        case.row("revenue", plant, "2026-06", kind, amount)
    result = case.settle()
    assert result.areas["jiangsu"].blocked == reason
    assert {(row["status"], row["allocation_yuan"], row["net_yuan"]) for row in result.plants} == {
        ("blocked", None, None)
    }
    assert plant_of(result)["compensation_yuan"] == Decimal("80000.00")


def test_a_two_part_plant_shares_with_energy_and_capacity_and_needs_both(tmp_path: Path) -> None:
    for kinds, revenue in ((("energy", "capacity"), Decimal(8)), (("energy",), None)):
        case = designated(tmp_path).area_row("jiangsu").plant("P1", revenue_basis="two_part")
        case.plain = False
        for kind in kinds:
            case.row("revenue", "P1", "2026-06", kind, "4")
        assert plant_of(case.settle())["revenue_yuan"] == revenue


def test_a_plant_whose_units_are_not_yet_commercial_has_no_share(tmp_path: Path) -> None:
    case = designated(tmp_path).unit("U2", plant="P2", from_="2026-07-01").plant("P2")
    case.row("revenue", "P1", "2026-06", "energy", "1").row("revenue", "P2", "2026-06", "energy", "1")
    result = case.settle()
    assert plant_of(result)["net_yuan"] == Decimal(0)
    assert plant_of(result, "P2")["allocation_yuan"] == Decimal(0)


def test_a_plant_with_units_of_two_areas_shares_in_both_with_the_revenue_named_for_each(tmp_path: Path) -> None:
    # jiangsu: P1 with 3 (row without area: its own) against P2 with 1. The grid: P1 alone, with 7.
    case = designated(tmp_path).unit("U2", area="east_china_grid").area_row("east_china_grid").plant("P2")
    case.row("revenue", "P1", "2026-06", "energy", "3").row("revenue", "P2", "2026-06", "energy", "1")
    case.row("revenue", "P1", "2026-06", "energy", "7", "east_china_grid")
    result = case.settle()
    found: dict[tuple[str, str], object] = {
        (row["area"], row["plant"]): (row["revenue_yuan"], row["allocation_yuan"]) for row in result.plants
    }
    assert found == {
        ("jiangsu", "P1"): (3, 60_000),
        ("jiangsu", "P2"): (1, 20_000),
        ("east_china_grid", "P1"): (7, 0),
    }


def test_a_designation_belongs_to_the_area_of_its_last_day(tmp_path: Path) -> None:
    # Designated under jiangsu until 16 June, then under the grid until the 20th; the row of P1 lies in jiangsu.
    designated = {"kind": "gas", "black_start": True, "black_start_document": "x"}
    case = Build(tmp_path).unit(**designated, until="2026-06-16")
    case.unit(**designated, from_="2026-06-16", until="2026-06-20", area="east_china_grid")
    case.unit(kind="gas", from_="2026-06-20").area_row("east_china_grid")
    result = case.settle()
    assert [(line["area"], line["service"]) for line in result.lines] == [("east_china_grid", "black_start")]
    assert [(row["area"], row["plant"]) for row in result.plants] == [("east_china_grid", "P1"), ("jiangsu", "P1")]


def test_a_plant_shares_in_the_area_of_its_row_though_its_units_are_dispatched_elsewhere(tmp_path: Path) -> None:
    # rules.md, section 2: those whose row, or a unit of theirs, lies there. All of R is in the grid's pool.
    case = Build(tmp_path).unit(kind="gas", black_start=True, black_start_document="x", area="east_china_grid")
    case.area_row("east_china_grid").row("revenue", "P1", "2026-06", "energy", "7", "east_china_grid")
    case.row("revenue", "P1", "2026-06", "energy", "0").plant("P2").row("revenue", "P2", "2026-06", "energy", "3")
    found = {(row["area"], row["plant"]): (row["revenue_yuan"], row["allocation_yuan"]) for row in case.settle().plants}
    assert {key: tuple(map(str, row)) for key, row in found.items()} == {
        ("east_china_grid", "P1"): ("7", "80000.00"),
        ("jiangsu", "P1"): ("0", "0.00"),
        ("jiangsu", "P2"): ("3", "0.00"),
    }


def test_the_command_line_prints_lines_plants_and_causes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    designated(tmp_path).plant("P2").settle()
    main(["2026-06", "--data", str(tmp_path)])
    printed = capsys.readouterr().out
    assert "80000.00" in printed
    assert "blocked jiangsu: no_revenue" in printed
