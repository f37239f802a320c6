# SPDX-License-Identifier: GPL-3.0-or-later
"""A list is sorted, filtered, searched and exported as its address says, and shows no row that is not one's own."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from decimal import Decimal
from urllib.parse import urlencode

import openpyxl
import pytest

from collector.center.runs.stored_run import open_run
from collector.settlement.statement import Line
from tests.center.web.web_world import JUNE, World

LISTS = (
    *(
        "/imports",
        "/decisions",
        "/alarms?cleared=true",
        "/asks",
        "/substitutions",
        "/quarantine",
        "/findings",
        "/tasks",
    ),
    *(f"{JUNE}/reviews?all=true", f"{JUNE}/runs/1/lines", f"{JUNE}/runs/1/evidence/agc_quarter_hours"),
)


def exported(world: World, who: str, query: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    address = f"{JUNE}/runs/{world.run_id}/lines?{urlencode([*query, ('export', 'csv')])}"
    with world.browser(who, "en") as browser:
        answer = browser.get(address)
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))


def lines_of(world: World, plant: str = "") -> list[Line]:
    return [line for line in open_run(world.store, world.run_id).lines if plant in ("", line.plant)]


def test_sorting_by_an_amount_goes_by_number_and_what_is_not_known_comes_last(worked: World) -> None:
    amounts = [n.amount_yuan for n in lines_of(worked)]
    known = sorted(a for a in amounts if a is not None)
    for sort, wanted in (("amount_yuan", known), ("-amount_yuan", known[::-1])):
        found = [row["Amount (yuan)"] for row in exported(worked, "olga", [("sort", sort)])]
        assert [Decimal(cell) for cell in found if cell] == wanted
        assert found[len(wanted) :] == [""] * (len(amounts) - len(wanted))


def test_a_filter_and_a_search_leave_the_rows_that_fit(worked: World) -> None:
    wanted = [n for n in lines_of(worked) if n.unit == "U1" and n.service.startswith("agc")]
    assert 0 < len(wanted) < len(lines_of(worked))
    found = exported(worked, "olga", [("is.unit", "U1"), ("q", "agc")])
    assert sorted(row["Amount (yuan)"] for row in found) == sorted(f"{n.amount_yuan:.2f}" for n in wanted)


def test_the_columns_chosen_are_shown_and_exported_in_their_order(worked: World) -> None:
    rows = exported(worked, "olga", [("cols", "amount_yuan"), ("cols", "unit"), ("cols", "high_yuan")])
    assert list(rows[0]) == ["Unit", "Amount (yuan)", "High"]


def test_the_workbook_has_numbers_as_numbers(worked: World) -> None:
    with worked.browser("olga", "en") as browser:
        answer = browser.get(f"{JUNE}/runs/{worked.run_id}/lines?export=xlsx&is.plant=P0")
    head, *rows = openpyxl.load_workbook(io.BytesIO(answer.content)).active.iter_rows(min_row=3, values_only=True)
    cells = [dict(zip(head, row, strict=True)) for row in rows]
    mine = lines_of(worked, "P0")
    assert [type(c["Amount (yuan)"]) in (int, float) for c in cells] == [n.amount_yuan is not None for n in mine]
    total = sum(Decimal(str(c["Amount (yuan)"])) for c in cells if c["Amount (yuan)"] is not None)
    assert total == sum(n.amount_yuan for n in mine if n.amount_yuan is not None)
    assert all(isinstance(c["Quantity"], int | float) for c in cells if c["Quantity"] is not None)


def test_the_sum_below_is_that_of_the_rows_chosen(worked: World) -> None:
    total = sum(n.amount_yuan or Decimal(0) for n in lines_of(worked) if n.unit == "U1")
    with worked.browser("olga", "en") as browser:
        page = browser.get(f"{JUNE}/runs/{worked.run_id}/lines?is.unit=U1").text
    below = re.sub("\u202f", "", page.split("<tfoot>")[1].split("</tfoot>")[0])
    assert f">{total:.2f}<" in below


@pytest.mark.parametrize("query", [[], [("q", "U2")], [("is.plant", "P1")], [("sort", "unit")]])
def test_a_plants_user_finds_no_row_of_another_plant(worked: World, query: list[tuple[str, str]]) -> None:
    assert not [row for row in exported(worked, "petra", query) if row["Unit"] == "U2"]


@pytest.mark.parametrize("path", LISTS)
def test_every_list_takes_the_same_parameters_and_shows_no_markup(worked: World, path: str) -> None:
    sign = "&" if "?" in path else "?"
    with worked.browser("olga", "zh") as browser:
        first = browser.get(path).text
        for column in re.findall(r'name="cols" value="([^"]+)"', first):
            assert browser.get(f"{path}{sign}sort=-{column}&cols={column}").status_code == 200, column
        assert 'role="search"' in first
        evil = browser.get(f"{path}{sign}q=<script>alert(1)</script>")
        assert evil.status_code == 200
        assert "<script>alert" not in evil.text
        for form in ("csv", "xlsx"):
            assert browser.get(f"{path}{sign}export={form}").headers["content-disposition"].startswith("attachment")
        for wrong in ("sort=nothing", "is.nothing=1", "cols=__class__", "cursor=x"):
            assert browser.get(f"{path}{sign}{wrong}").status_code in (400, 409, 422), wrong
