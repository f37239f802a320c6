# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run is, one word each: a what-if looks like one on its page and papers; a disclosed result is no trial."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import openpyxl
import pytest
from playwright.sync_api import expect

from collector.center.month.transitions import approve_step, propose_step
from collector.center.runs.month_state import MonthStage
from collector.center.runs.settle_month import settle_month
from collector.center.runs.stored_run import open_run
from collector.center.runs.variants.what_if import TableChange, what_if
from collector.sheets.files import Delivered
from tests.center.made_month import DAYS
from tests.center.runs.center_months import RULES
from tests.center.web.conftest import JUNE, disclose_june, june_world
from tests.center.web.web_browser import log_in, site, tab
from tests.center.web.web_world import JUNE as HERE
from tests.center.web.web_world import World
from tests.headless import chromium

REVENUE = b"plant,month,kind,amount_yuan,area\nP0,2026-06,lease,123456.78,shanghai\n"


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, int]]:
    """June disclosed as run 1, and a what-if of it with another revenue."""
    with june_world(tmp_path_factory.mktemp("tried")) as made:
        change = TableChange("revenue", Delivered("revenue.csv", REVENUE, ""))
        run = what_if(made.store, made.run_id, changes=[change], actor=made.actor("olga"), note="另一电费")
        yield made, run.id


def test_a_what_if_is_marked_on_its_page(tried: tuple[World, int]) -> None:
    own, number = tried
    with chromium() as browser, site(own) as address, tab(browser, address) as (page, seen):
        log_in(page, "olga")
        for path in (f"{HERE}/runs/{number}", f"{HERE}/runs/{number}/lines"):
            page.goto(path)
            expect(page.locator("body.what-if")).to_have_attribute("data-mark", "假设")
            mark = page.evaluate("getComputedStyle(document.body, '::after').content")
            assert mark == '"假设"'
            expect(page.locator("main")).to_contain_text(f"假设结算，运行 {number}")
            expect(page.locator("main")).not_to_contain_text("正式")
            what_if_colour = page.evaluate("getComputedStyle(document.querySelector('.bar')).backgroundColor")
        page.goto(f"{HERE}/runs/{own.run_id}")
        assert page.evaluate("getComputedStyle(document.querySelector('.bar')).backgroundColor") != what_if_colour
        assert page.locator("body[data-mark]").count() == 0
        assert seen.complaints == []


def test_the_run_the_month_stands_on_is_offered_for_comparison_with_the_newest_other(tried: tuple[World, int]) -> None:
    own, number = tried
    with own.browser("olga") as browser:
        page = browser.get(HERE).text
    chosen = re.findall(r'name="([ab])" value="(\d+)"[^>]* checked', page)
    assert dict(chosen) == {"a": str(own.run_id), "b": str(number)}


def test_its_papers_are_marked_and_every_paper_names_its_run(tried: tuple[World, int]) -> None:
    own, number = tried
    with own.browser("olga") as browser:
        for run, what_it_is in ((own.run_id, False), (number, True)):
            paper = browser.get(f"{HERE}/runs/{run}/files/statement.html").text
            assert re.search(rf"运行 <span class=\"en\">run</span> <b>{run}</b>", paper)
            assert ('<body class="what-if">' in paper) is what_it_is
            assert not (what_it_is and "正式" in paper)
            data = browser.get(f"{HERE}/runs/{run}/files/statement.xlsx").content
            for sheet in openpyxl.load_workbook(io.BytesIO(data)).worksheets:
                assert (sheet["A1"].value or "").startswith("假设 what-if · ") is what_it_is
                assert ("假设" in (sheet.oddHeader.center.text or "")) is what_it_is
            assert f"运行 {run} · " in openpyxl.load_workbook(io.BytesIO(data)).worksheets[0]["A2"].value


def test_to_pay_more_is_not_shown_as_a_gain(tried: tuple[World, int]) -> None:
    """P0's revenue was 500 of 700 500.10 and is 123 456.78 of 823 456.88: it bears more of the same compensation."""
    own, number = tried
    with own.browser("olga") as browser:
        page = browser.get(f"{HERE}/compare?a={own.run_id}&b={number}").text
    (row,) = [row for row in rows_of(page) if "<td>P0</td>" in row]
    compensation, allocation, net = re.findall(r'<td class="n ?(\w*)">\s*([+-]?)', row)[-3:]
    assert (compensation, allocation, net) == (("", ""), ("down", "+"), ("down", "-"))


@pytest.mark.parametrize(
    ("language", "formal", "trial"), [("zh", "正式结算", "试算"), ("en", "formal settlement", "trial")]
)
def test_a_disclosed_result_is_no_trial(tried: tuple[World, int], language: str, formal: str, trial: str) -> None:
    own, _ = tried
    with own.browser("olga", language) as browser:
        heading = re.search(r"<h1>.*?</h1>", browser.get(f"{HERE}/runs/{own.run_id}").text, re.DOTALL)
        assert heading
        assert formal in heading[0]
        assert trial not in heading[0]
        (row,) = [row for row in rows_of(browser.get(HERE).text) if f'href="{HERE}/runs/{own.run_id}"' in row]
        assert formal in row
        found = browser.get(f"/api/v1/runs/{own.run_id}", headers=own.token_of("olga")).json()
        assert (found["kind"], found["disclosed"]) == ("trial", True)


@pytest.mark.parametrize(("language", "formal"), [("zh", "正式"), ("en", "formal")])
def test_no_page_says_formal_before_the_disclosure_and_the_board_does_after_it(
    tmp_path: Path, language: str, formal: str
) -> None:
    with june_world(tmp_path, disclosed=False) as own, own.browser("olga", language) as browser:

        def says() -> set[str]:
            pages = (HERE, f"{HERE}/runs/{own.run_id}", f"{HERE}/runs/{own.run_id}/lines", "/tasks")
            return {each for each in pages if formal in read_out(browser.get(each).text)}

        assert says() == set()
        settle_month(own.store, JUNE, rulebook=RULES, actor=own.actor("olga"), note="再算一次")
        disclose_june(own)
        assert says() >= {HERE, f"{HERE}/runs/{own.run_id}"}
        # The other run of the month is none, though the month stands on one.
        other = next(row for row in rows_of(browser.get(HERE).text) if f'href="{HERE}/runs/{own.run_id + 1}"' in row)
        assert formal not in read_out(other)


def read_out(html: str) -> str:
    """What a reader reads of the main part of a page, without buttons and choices."""
    main = html.partition("<main")[2] or html
    return re.sub(r"<[^>]*>", "|", re.sub(r"(?s)<(button|select|script|style)\b.*?</\1>", "|", main))


def rows_of(html: str) -> list[str]:
    return re.findall(r"<tr>.*?</tr>", html, re.DOTALL)


def test_a_run_that_was_opened_before_its_disclosure_is_shown_as_disclosed_after_it(tmp_path: Path) -> None:
    """What was read of a run is kept; how it is listed is not."""
    with june_world(tmp_path) as own:
        olga, now_ms = own.actor("olga"), own.clock.now_ms
        again = settle_month(own.store, JUNE, rulebook=RULES, actor=olga, note="再算一次")
        assert open_run(own.store, again.id).facts.shown_kind == "trial"
        number = own.store.write(
            lambda c: propose_step(
                c, JUNE, MonthStage.DISCLOSED, actor=olga, run_id=again.id, now_ms=now_ms, days=DAYS, reason="重算"
            )
        ).result()
        own.store.write(lambda c: approve_step(c, number, actor=own.actor("anna"), now_ms=now_ms, days=DAYS)).result()
        assert open_run(own.store, again.id).facts.shown_kind == "disclosed"
