# SPDX-License-Identifier: GPL-3.0-or-later
"""Amounts of money, in every column that holds one and in every form of file: exact, bounded, never in exponent form.

Columns are found by their names in the descriptions of the kinds: one that is added is tried here without a new test.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import openpyxl
import pytest

from collector.center.inputs.kinds import KINDS
from collector.tables.cells import parse_money
from collector.tables.folder import load_folder
from tests.tables.made_folder import found, make

MONEY = [(kind, column) for kind in KINDS for column in KINDS[kind].columns if column.endswith("_yuan")]
# A cell for every column that stands beside one of money.
BESIDE = {
    "plant": "P1", "month": "2026-03", "kind": "energy", "area": "shanghai", "capacity_from_mw": "0",
    "capacity_to_mw": "100", "gap_from_h": "0", "gap_to_h": "24", "from": "2026-01-01", "document": "x",
}  # fmt: skip
Form = Callable[[list[list[str]], str], tuple[str, bytes]]
EXPONENT, LARGE, PARTS = "amount of money in exponent form", "is no amount of money", "parts of a fen"
REFUSED = [
    ("2.54E+08", EXPONENT), ("1e0", EXPONENT), ("1e30", EXPONENT), ("-5.e1", EXPONENT),
    ("1" + "0" * 30, LARGE), ("-" + "9" * 40, LARGE), ("1,000", "no thousands separator"),
    ("0." + "0" * 50 + "1", PARTS), ("1.0000000001", PARTS),
]  # fmt: skip


def rows_of(kind: str, column: str, cells: list[str]) -> list[list[str]]:
    """A table of the kind with these amounts, one a row; no two rows are about the same."""
    columns = KINDS[kind].columns
    rows = []
    for number, cell in enumerate(cells):
        apart = {
            "month": f"20{26 + number // 12}-{number % 12 + 1:02d}", "capacity_from_mw": f"{100 * number}",
            "capacity_to_mw": f"{100 * number + 100}",
        }  # fmt: skip
        filled = BESIDE | apart | {column: cell}
        rows.append([filled.get(name, "1" if name.endswith("_yuan") else "") for name in columns])
    return [list(columns), *rows]


def as_csv(rows: list[list[str]], kind: str) -> tuple[str, bytes]:
    return f"{kind}.csv", "\n".join(",".join(f'"{c}"' if "," in c else c for c in row) for row in rows).encode()


def as_xlsx(rows: list[list[str]], kind: str) -> tuple[str, bytes]:
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in rows:
        book.active.append(row)
    data = io.BytesIO()
    book.save(data)
    return f"{kind}.xlsx", data.getvalue()


def as_efile(rows: list[list[str]], kind: str) -> tuple[str, bytes]:
    lines = [f"<{kind}::x>", "@ 序号 " + " ".join(rows[0])]
    lines += [f"# {n} " + " ".join(cell or "NULL" for cell in row) for n, row in enumerate(rows[1:], 1)]
    return f"{kind}.e", "\n".join([*lines, f"</{kind}::x>"]).encode()


def test_there_is_money_in_the_descriptions() -> None:
    assert {("revenue", "amount_yuan"), ("start_stop_table", "amount_wan_yuan")} <= set(MONEY)


@pytest.mark.parametrize("form", [as_csv, as_xlsx, as_efile], ids=["csv", "xlsx", "e"])
@pytest.mark.parametrize(("kind", "column"), MONEY)
def test_every_amount_that_is_none_is_refused_with_its_place(
    kind: str, column: str, form: Form, tmp_path: Path
) -> None:
    name, data = form(rows_of(kind, column, [cell for cell, _ in REFUSED]), kind)
    problems = found(tmp_path, {name: data})
    # A record of E text stands two lines lower: the table's own beginning is above its headings.
    first_row = 3 if name.endswith(".e") else 2
    assert len(problems) == len(REFUSED)
    for row, (problem, (_, reason)) in enumerate(zip(problems, REFUSED, strict=True), first_row):
        assert problem.startswith(f"{name}:{row}: {column}: ")
        assert reason in problem


@pytest.mark.parametrize("form", [as_csv, as_xlsx, as_efile], ids=["csv", "xlsx", "e"])
@pytest.mark.parametrize(("kind", "column"), MONEY)
def test_every_other_way_to_write_an_amount_is_the_same_number(
    kind: str, column: str, form: Form, tmp_path: Path
) -> None:
    name, data = form(rows_of(kind, column, ["1", "1.0", "1.000000000", "+1", "01."]), kind)
    folder = load_folder(make(tmp_path, {name: data}))
    amounts = {getattr(row, column) for row in getattr(folder, kind)}
    assert amounts == {Decimal(1)}


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (254_000_000.0, ""), (0.1, ""), (1_234_567_890.12, ""), (99_999_999_999.99, ""), (12, ""), (-0.01, ""),
        (1e11, LARGE), (1e30, LARGE), (123_456_789_012_345_680.0, LARGE), (0.125, PARTS), (1e-5, PARTS),
    ],
)  # fmt: skip
def test_a_number_cell_of_a_workbook_is_the_decimal_that_it_shows(number: float, reason: str, tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.append(["plant", "month", "kind", "amount_yuan"])
    book.active.append(["P1", "2026-03", "energy", number])
    data = io.BytesIO()
    book.save(data)
    files: dict[str, str | bytes] = {"revenue.xlsx": data.getvalue()}
    if reason:
        (problem,) = found(tmp_path, files)
        assert reason in problem
    else:
        (row,) = load_folder(make(tmp_path, files)).revenue or ()
        assert row.amount_yuan == Decimal(repr(number))


@pytest.mark.parametrize(
    ("text", "unit_yuan", "taken"),
    [
        ("99999999999.99", 1, True), ("100000000000", 1, False), ("-99999999999.99", 1, True), ("0.001", 1, False),
        ("9999999.999999", 10_000, True), ("10000000", 10_000, False), ("0.0000001", 10_000, False),
    ],
)  # fmt: skip
def test_an_amount_is_whole_fen_below_a_hundred_billion_yuan(text: str, unit_yuan: int, taken: bool) -> None:
    if taken:
        assert parse_money(text, unit_yuan=unit_yuan) == Decimal(text)
    else:
        with pytest.raises(ValueError, match=f"{LARGE}|{PARTS}"):
            parse_money(text, unit_yuan=unit_yuan)
