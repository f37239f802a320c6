# SPDX-License-Identifier: GPL-3.0-or-later
"""Every workbook that pages and REST give carries numbers as numbers, so that SUM works in Excel, WPS and LibreOffice.

A spreadsheet's SUM passes over cells of text without a word: a column of numbers written as text sums to 0.
"""

from __future__ import annotations

import csv
import html
import io
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal

import openpyxl
import pytest

from collector.center.month.reviews import ReviewRequest, submit_review
from collector.center.papers.filings import make_filings
from collector.center.runs.month_state import MonthStage
from collector.center.runs.stored_run import open_run
from collector.model.interval import parse_time_ms
from collector.report.evidence import TITLES
from tests.center.made_month import DAYS, LI, step
from tests.center.web.conftest import JUNE, june_world
from tests.center.web.web_world import World, pages_of_month, routes_of

NUMBER = re.compile(r"[-+]?[0-9][0-9   ,]*(\.[0-9]+)?%?")
# Columns whose digits are a name: nobody sums them, and a leading zero counts.
LABELS = re.compile(
    r"clause|article|条款|hash|sha|哈希|校验|id$|编号|document|文号|adopted|value|取值|数值", re.IGNORECASE
)
OTHERS = (
    "/imports",
    "/alarms",
    "/asks",
    "/substitutions",
    "/quarantine",
    "/findings",
    "/decisions",
    "/books",
    "/books?plant=P1",
)


@pytest.fixture(scope="module")
def june(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """June in effect, with a review, bills and books."""
    with june_world(tmp_path_factory.mktemp("sheets")) as own:
        line = next(each for each in open_run(own.store, own.run_id).lines if each.plant == "P1")
        month, now_ms = JUNE.interval, own.clock.now_ms
        asked = ReviewRequest(own.run_id, line.unit, line.service, month.start_ms, month.end_ms, "yuan", "12.5", "why")
        submit_review(own.store, asked, actor=own.actor("paul"), days=DAYS, now_ms=now_ms)
        make_filings(own.store, own.run_id, actor=LI)
        for day, stage in ((20, MonthStage.FILED), (21, MonthStage.EFFECTIVE)):
            at = parse_time_ms(f"2026-07-{day}T10:00:00+08:00")
            step(own.store, stage, at=at, month=JUNE, reason="有区域待定")
        yield own


def texts_that_are_numbers(data: bytes) -> Iterator[str]:
    """Columns of which every cell is a number, and some are written as text."""
    book = openpyxl.load_workbook(io.BytesIO(data), data_only=False)
    for sheet in book:
        rows = list(sheet.iter_rows())
        for place in range(sheet.max_column):
            column = [row[place] for row in rows if place < len(row) and row[place].value not in (None, "")]
            cells = [cell for cell in column if not isinstance(cell.value, str) or NUMBER.fullmatch(cell.value.strip())]
            heads = [str(cell.value) for cell in column if cell not in cells]
            wrong = [cell for cell in cells if isinstance(cell.value, str)]
            if wrong and len(cells) > len(heads) - 3 and not any(LABELS.search(head) for head in heads):
                yield f"{sheet.title}!{wrong[0].coordinate}: {wrong[0].value!r} under {heads[-1:]}"


def of_files(own: World, who: str) -> Iterator[tuple[str, bytes]]:
    """Every workbook that a person's pages offer, and every table of REST as a workbook."""
    run = f"/months/{JUNE}/runs/{own.run_id}"
    with own.browser(who, "zh") as browser:
        seen: set[str] = set()
        for page in (*pages_of_month(own), *(f"{run}/evidence/{name}" for name in TITLES), *OTHERS):
            text = browser.get(page).text
            for found in re.findall(r'href="([^"]*(?:export=xlsx|format=xlsx|\.xlsx|/filings/\d+))"', text):
                seen.add(html.unescape(found))
        for address in sorted(seen):
            answer = browser.get(address)
            assert answer.status_code == 200, (address, answer.text[:200])
            if zipfile.is_zipfile(io.BytesIO(answer.content)):
                yield address, answer.content
    with own.browser() as program:
        for route in routes_of(own.app):
            if route.api and route.method == "GET" and "table" in route.options and "999999" not in route.path:
                path = route.path.replace("2026-03", str(JUNE))
                answer = program.get(f"{path}?format=xlsx", headers=own.token_of(who))
                if answer.status_code == 200:
                    yield path, answer.content


@pytest.mark.parametrize("who", ["olga", "paul"])
def test_no_column_of_numbers_is_written_as_text(june: World, who: str) -> None:
    read, wrong = 0, {}
    for address, data in of_files(june, who):
        read += 1
        if found := list(texts_that_are_numbers(data)):
            wrong[address] = found
    assert wrong == {}
    assert read > 15


def test_the_sum_of_a_column_is_the_sum_of_its_lines(june: World) -> None:
    """Worked out beside the workbook: the amounts of June's lines."""
    with june.browser("olga", "zh") as browser:
        data = browser.get(f"/months/{JUNE}/runs/{june.run_id}/lines?export=xlsx").content
    rows = [[cell.value for cell in row] for row in openpyxl.load_workbook(io.BytesIO(data)).active.iter_rows()]
    (head,) = [row for row in rows if "金额(元)" in row or "金额（元）" in row]
    place = next(i for i, text in enumerate(head) if str(text).startswith("金额"))
    cells = [row[place] for row in rows[rows.index(head) + 1 :] if row[place] is not None]
    lines = open_run(june.store, june.run_id).lines
    assert all(isinstance(each, int | float) for each in cells)
    assert sum(Decimal(str(each)) for each in cells) == sum(n.amount_yuan for n in lines if n.amount_yuan is not None)


def test_the_accounts_of_the_books_are_a_list_and_are_what_the_run_says(june: World) -> None:
    """One month is posted: each balance is that month's net of the plant."""
    nets: dict[str, Decimal] = defaultdict(Decimal)
    for row in open_run(june.store, june.run_id).plants:
        nets[row.plant] += row.net_yuan or 0
    with june.browser("olga", "en") as browser:
        text = browser.get("/books?accounts.sort=-closing_yuan&accounts.export=csv").content.decode("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [Decimal(row["Balance (yuan)"]) for row in rows] == sorted(nets.values(), reverse=True)
        assert {row["Plant"]: Decimal(row["Balance (yuan)"]) for row in rows} == nets
        found = browser.get("/books?accounts.q=P1").text
        assert 'href="/books?plant=P1"' in found
        assert 'href="/books?plant=P0"' not in found
        assert 'href="/books"' in browser.get("/books?plant=P1").text.partition("<h1>")[2]
    with june.browser("paul", "en") as browser:
        assert 'href="/books"' not in browser.get("/books").text.partition("<h1>")[2], "there is one account alone"
