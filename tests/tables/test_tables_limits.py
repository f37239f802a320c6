# SPDX-License-Identifier: GPL-3.0-or-later
"""What can't be is refused (formats.md): powers beyond their ratio of P_N, tariffs beyond their span; and said why."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from collector.settlement.rulebook.rules import Rulebook
from tests.settlement.small_month import shipped_rulebook
from tests.tables.made_folder import REGISTER, T0, T1, T2, found

PLAN = "unit,start,end,power_mw\n"
RESERVE = "unit,kind,start,end,power_mw\n"
U1 = 'kind = "coal"\nrated_mw = "660"\n'
DATED = (
    REGISTER.replace(U1, U1 + "until = 2026-03-01\n")
    + '[[unit]]\nid = "U1"\nplant = "P1"\nkind = "coal"\nrated_mw = "600"\nfrom = 2026-03-01\n'
)
AT_MOST_792 = "can't be: U1 has at most 792 MW here (plan_limit_ratio × P_N); are these kW?"
BEFORE = "2026-02-28T23:00:00+08:00"


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        # 1.2 × 660 = 792
        ("plan.csv", f"{PLAN}U1,{T0},{T1},792\nU1,{T1},{T2},-792\n", ""),
        (
            "plan.csv",
            f"{PLAN}U1,{T0},{T1},300\nU1,{T1},{T2},792.001\n",
            f"plan.csv:3: power_mw: 792.001 MW {AT_MOST_792}",
        ),
        (
            "plan.csv",
            f"{PLAN}U1,{T0},{T1},-300000\n",
            f"plan.csv:2: power_mw: -300000 MW {AT_MOST_792}",
        ),
        # P_N 300.5: 360.6 exactly
        ("plan.csv", f"{PLAN}U2,{T0},{T1},360.6\n", ""),
        ("reserve.csv", f"{RESERVE}U1,spinning,{T0},{T1},660\n", ""),
        (
            "reserve.csv",
            f"{RESERVE}U1,spinning,{T0},{T1},660.001\n",
            "reserve.csv:2: power_mw: 660.001 MW can't be: U1 has at most 660 MW here (reserve_limit_ratio × P_N); "
            "are these kW?",
        ),
    ],
)
def test_a_power_is_refused_beyond_its_ratio_of_p_n_and_not_at_it(
    tmp_path: Path, name: str, text: str, problem: str
) -> None:
    assert found(tmp_path, {name: text}, shipped_rulebook()) == ([problem] if problem else [])


@pytest.mark.parametrize(
    ("start", "end", "power", "refused"),
    [
        (BEFORE, T0, "792", False),  # 660 MW until the first of March
        (T0, T1, "720", False),  # 600 MW from then on
        (T0, T1, "720.001", True),
        (BEFORE, T1, "720.001", True),  # the smallest P_N in force over the row
        (BEFORE, T1, "720", False),
    ],
)
def test_the_smallest_p_n_over_the_row_counts(tmp_path: Path, start: str, end: str, power: str, refused: bool) -> None:
    files: dict[str, str | bytes] = {"register.toml": DATED, "plan.csv": f"{PLAN}U1,{start},{end},{power}\n"}
    assert bool(found(tmp_path, files, shipped_rulebook())) is refused


def test_a_unit_that_is_not_registered_then_has_no_limit(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "register.toml": REGISTER.replace(U1, U1 + "from = 2026-03-02\n"),
        "plan.csv": f"{PLAN}U1,{T0},{T1},9000\n",
    }
    assert found(tmp_path, files, shipped_rulebook()) == []


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ('agc_lower_mw = "-726"\nagc_upper_mw = "726"\n', ""),  # 1.1 × 660
        (
            'agc_lower_mw = "330"\nagc_upper_mw = "726.001"\n',
            "unit[U1].agc_upper_mw: 726.001 MW can't be: at most 726 MW (agc_limit_ratio × P_N); is it kW?",
        ),
        (
            "agc_lower_mw = -330000\nagc_upper_mw = 660\n",
            "unit[U1].agc_lower_mw: -330000 MW can't be: at most 726 MW (agc_limit_ratio × P_N); is it kW?",
        ),
        ("tariff_yuan_per_mwh = 0\n", ""),
        ("tariff_yuan_per_mwh = 5000\n", ""),
        (
            "tariff_yuan_per_mwh = 5000.01\n",
            "unit[U1].tariff_yuan_per_mwh: 5000.01 yuan/MWh can't be: 0 to 5000 (tariff_limit_yuan_per_mwh); "
            "is it yuan/kWh or 10 000 yuan?",
        ),
        (
            "tariff_yuan_per_mwh = -0.1\n",
            "unit[U1].tariff_yuan_per_mwh: -0.1 yuan/MWh can't be: 0 to 5000 (tariff_limit_yuan_per_mwh); "
            "is it yuan/kWh or 10 000 yuan?",
        ),
    ],
)
def test_agc_limits_and_tariffs_that_cant_be_are_refused_at_their_line(tmp_path: Path, keys: str, problem: str) -> None:
    problems = found(tmp_path, {"register.toml": REGISTER.replace(U1, U1 + keys)}, shipped_rulebook())
    assert [line.split(": ", 1)[1] for line in problems] == ([problem] if problem else [])
    assert all(line.startswith("register.toml:2") for line in problems)


@pytest.mark.parametrize("key", ["rated_mw", "nominal_kv", "q_max_mvar", "agc_upper_mw"])
def test_no_number_of_a_unit_is_so_large_that_a_month_of_it_overflows(tmp_path: Path, key: str) -> None:
    unit = U1.replace('rated_mw = "660"\n', "") if key == "rated_mw" else U1
    lower = "agc_lower_mw = 0\n" if key.startswith("agc") else ""
    text = REGISTER.replace(U1, f"{unit}{lower}{key} = 1000000.001\n")
    (problem,) = found(tmp_path, {"register.toml": text})
    assert f"unit[U1].{key}: 1000000.001 is beyond any plausible value" in problem


def test_the_registers_own_policy_goes_before_the_rulebooks(tmp_path: Path) -> None:
    register = REGISTER + '[policy]\nplan_limit_ratio = "2"\nreserve_limit_ratio = "0.5"\n'
    files: dict[str, str | bytes] = {
        "register.toml": register,
        "plan.csv": f"{PLAN}U1,{T0},{T1},1320\n",
        "reserve.csv": f"{RESERVE}U1,hot,{T0},{T1},330.001\n",
    }
    (problem,) = found(tmp_path, files, shipped_rulebook())
    assert problem.startswith("reserve.csv:2: power_mw: 330.001 MW can't be: U1 has at most 330 MW here")


def changed(book: Rulebook, ident: str, value: str, day: date) -> Rulebook:
    found = book.values[ident]
    row = replace(found.rows[-1], value=Decimal(value), from_day=day)
    return replace(book, values={**book.values, ident: replace(found, rows=(*found.rows, row))})


def test_a_limit_is_dated_as_every_value_of_the_rulebook(tmp_path: Path) -> None:
    book = changed(shipped_rulebook(), "policy.plan_limit_ratio", "1", date(2026, 3, 1))
    text = f"{PLAN}U1,{BEFORE},{T0},700\nU1,{T0},{T1},700\n"
    (problem,) = found(tmp_path, {"plan.csv": text}, book)
    assert problem.startswith("plan.csv:3: power_mw: 700 MW can't be: U1 has at most 660 MW here")


def test_every_row_that_cant_be_is_told_at_once(tmp_path: Path) -> None:
    rows = "".join(f"U1,2026-03-01T{n:02d}:00:00+08:00,2026-03-01T{n:02d}:30:00+08:00,300000\n" for n in range(24))
    problems = found(
        tmp_path, {"plan.csv": PLAN + rows, "reserve.csv": f"{RESERVE}U2,hot,{T0},{T1},300.6\n"}, shipped_rulebook()
    )
    assert sum(line.startswith("plan.csv") for line in problems) == 21
    assert any("and 4 more like it" in line for line in problems)
    assert sum(line.startswith("reserve.csv:2") for line in problems) == 1
