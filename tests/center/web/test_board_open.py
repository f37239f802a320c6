# SPDX-License-Identifier: GPL-3.0-or-later
"""What the board says is open: inputs changed after a run, findings, reviews; never nothing where nobody looked."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.testing import TestClient
from playwright.sync_api import expect

from collector.base.clock_state import ClockState
from collector.center.receive.day_index import MINUTE_MS
from collector.model.interval import parse_time_ms
from collector.model.record import Quality, UnitLayout, UnitRecord
from tests.center.runs.center_months import Gateway
from tests.center.web.conftest import june_world
from tests.center.web.web_browser import log_in, site, tab
from tests.center.web.web_world import JUNE as HERE
from tests.center.web.web_world import World, world
from tests.headless import chromium

REVENUE = "plant,month,kind,amount_yuan,area\nP0,{month},lease,{amount},shanghai\n"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """June disclosed as run 1; each test leaves the inputs as it found them."""
    with june_world(tmp_path_factory.mktemp("open")) as made:
        made.clock.now_ms += MINUTE_MS
        yield made


def deliver(own: World, browser: TestClient[Litestar], text: str) -> int:
    """Import a revenue in the place of what is there; its number."""
    own.clock.now_ms += MINUTE_MS
    answer = browser.post(
        "/api/v1/imports/revenue?name=july.csv&replace=true", content=text.encode(), headers=own.token_of("olga")
    )
    assert answer.status_code == 200, answer.text
    return int(answer.json()["import_id"])


def undo(own: World, browser: TestClient[Litestar], number: int) -> None:
    own.clock.now_ms += MINUTE_MS
    answer = browser.post(f"/api/v1/imports/{number}/undo", json={"reason": "a test"}, headers=own.token_of("olga"))
    assert answer.status_code == 200


def test_a_run_whose_inputs_are_in_force_is_not_stale_and_what_is_uncertain_is_counted_in_yuan(own: World) -> None:
    with own.browser("olga", "en") as browser:
        page = browser.get(HERE).text
        lines = browser.get(f"{HERE}/runs/{own.run_id}/files/lines.csv").text
    assert 'id="stale"' not in page
    rows = [row for row in csv.DictReader(io.StringIO(lines)) if row["status"] == "paid" and row["low_yuan"]]
    apart = sum((Decimal(row["high_yuan"]) - Decimal(row["low_yuan"]) for row in rows), Decimal(0))
    found = re.search(r'<tr data-code="uncertain"><td class="n">(\d+)</td>.*?<td class="n">([^<]+)</td></tr>', page)
    assert found
    assert (int(found[1]), Decimal(re.sub(r"[^0-9.]", "", found[2]))) == (len(rows), apart)


def test_a_revenue_replaced_after_disclosure_is_told_with_who_and_when_and_settled_and_compared(own: World) -> None:
    with own.browser("olga") as http:
        number = deliver(own, http, REVENUE.format(month="2026-06", amount="123456.78"))
        with chromium() as browser, site(own) as address, tab(browser, address) as (page, seen):
            log_in(page, "olga")
            page.goto(HERE)
            stale = page.locator("#stale")
            expect(stale).to_contain_text("july.csv")
            expect(stale).to_contain_text("olga")
            expect(stale).to_contain_text("2026-07-06 10:0")
            expect(page.locator("#open [data-code=stale]")).to_contain_text("1")
            expect(page.locator("main")).not_to_contain_text("没有未了事项")
            stale.get_by_role("button", name="重新结算并与运行 1 比较").click()
            page.get_by_role("link", name="与运行 1 相比的变化").click()
            # R does not move with the revenue, its sharing does: 123 456.78 in place of 500 of P0.
            expect(page.locator("main")).to_contain_text("电费收入")
            expect(page.locator("table").first).to_contain_text("P0")
            expect(page.locator("table").first).to_contain_text("P1")
            assert seen.complaints == []
        undo(own, http, number)
        assert 'id="stale"' not in http.get(HERE).text


def test_a_delivery_of_another_month_makes_no_run_stale(own: World) -> None:
    with own.browser("olga") as browser:
        number = deliver(own, browser, REVENUE.format(month="2026-05", amount="77"))
        assert 'id="stale"' not in browser.get(HERE).text
        undo(own, browser, number)


def test_a_month_without_a_run_has_that_open(own: World) -> None:
    with own.browser("olga", "en") as browser:
        page = browser.get("/months/2026-05").text
    assert "not settled yet: no run of the month" in page
    assert "Nothing is open" not in page


def test_inputs_that_were_never_delivered_are_named_in_words(tmp_path: Path) -> None:
    with world(tmp_path) as empty, empty.browser("olga", "zh") as browser:
        page = browser.get("/months/2026-05").text
    assert "从未交付的输入：台账、计划曲线、调度指令、备用安排、电压曲线、剔除时段、电费收入" in page


def test_records_that_come_late_make_the_run_stale(own: World) -> None:
    time_ms = parse_time_ms("2026-06-20T12:00:00+08:00")
    late = UnitRecord("U2", time_ms, (300_000,), (Quality.GOOD,), clock=ClockState.SYNCHRONISED)
    own.clock.now_ms += MINUTE_MS
    Gateway(own.store, "P1", ["U2"], sent=1000).send([UnitLayout("U2", ("active_power_mw",))], [late])
    with own.browser("olga", "en") as browser:
        page = browser.get(HERE).text
    assert re.search(r'id="stale".*?records of P1: 1 days', page, re.DOTALL)
