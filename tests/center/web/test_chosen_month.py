# SPDX-License-Identifier: GPL-3.0-or-later
"""The month a person chose stays until another one is chosen, and stands in the address."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.center.web.web_browser import log_in, site, tab
from tests.center.web.web_world import World
from tests.headless import chromium


def test_the_chosen_month_stays_from_page_to_page(worked: World) -> None:
    with chromium() as browser, site(worked) as address, tab(browser, address) as (page, seen):
        log_in(page, "olga")
        picker = page.locator(".bar select[name=month]")
        page.goto("/months/2026-07")
        for link, path in (
            ("导入", "/imports?month=2026-07"),
            ("数据完整率", "/months/2026-07/completeness"),
            ("告警", "/alarms?month=2026-07"),
            ("复核申请", "/months/2026-07/reviews"),
        ):
            page.locator("nav").get_by_role("link", name=link, exact=True).click()
            page.wait_for_url(f"{address}{path}")
            expect(picker).to_have_value("2026-07")
        # Also where an address names none, and in the first page of another day.
        for path in ("/account", "/months", "/"):
            page.goto(path)
            expect(picker).to_have_value("2026-07")
        page.goto("/imports?month=2026-07")
        picker.select_option("2026-06")
        page.wait_for_url(f"{address}/imports?month=2026-06")
        page.locator("nav").get_by_role("link", name="月度工作台").click()
        page.wait_for_url(f"{address}/months/2026-06")
        assert seen.complaints == []


@pytest.mark.parametrize(
    ("origin", "leads_to"),
    [
        ("/months/2026-06/completeness/2026-06-03/P1/U2", "/months/2026-07/completeness"),
        ("/months/2026-06/reviews/new", "/months/2026-07/reviews"),
        ("/months/2026-06/beside", "/months/2026-07/beside"),
        ("/months/2026-06/compare", "/months/2026-07"),  # two runs beside each other are of June
        ("/months/2026-06/settle", "/months/2026-07"),  # no page at all
        ("/account/tokens", "/months/2026-07"),
    ],
)
def test_another_month_is_opened_where_there_is_a_page_of_it(worked: World, origin: str, leads_to: str) -> None:
    with worked.browser("olga") as browser:
        answer = browser.get(f"/go?month=2026-07&from={origin}")
        assert answer.headers["location"].partition("?")[0] == leads_to
        assert browser.get(leads_to).status_code == 200


def test_the_answer_to_a_form_leads_back_to_the_page_of_the_form(worked: World) -> None:
    """Language, month and the way back, also where the answer has an address that can't be opened."""
    page = {"referer": "http://center.test/asks?q=U2&notice=ask_sent"}
    with worked.browser("olga", "en") as browser:
        form = {"csrf": worked.csrf_of("olga"), "unit": "U9", "from": "x", "to": "y"}
        refused = browser.post("/asks", data=form, headers=page).text
        nothing = browser.post("/imports/999999/undo", data=form, headers=page).text
        elsewhere = browser.post("/imports/999999/undo", data=form, headers={"referer": "http://x.test/asks"}).text
    for answer in (refused, nothing):
        assert '<a href="/asks?q=U2&amp;lang=zh"' in answer
        assert '<input type="hidden" name="from" value="/asks">' in answer
    assert 'class="notice"' not in refused
    assert '<a href="/asks?q=U2">Back to the page</a>' in nothing
    assert "/asks" not in elsewhere.partition("<main")[2]


def test_a_month_nobody_has_anything_of_is_offered_while_it_is_chosen(worked: World) -> None:
    with worked.browser("olga") as browser:
        assert "<option selected>2031-02</option>" in browser.get("/months/2031-02").text
        assert "<option selected>2031-02</option>" in browser.get("/imports").text
        browser.get("/months/2026-06")
        assert "2031-02" not in browser.get("/imports").text


def test_what_is_no_month_is_not_kept(worked: World) -> None:
    with worked.browser("olga") as browser:
        for text in ("2026-13", "x", "2026-06%0d%0aset-cookie:a=b"):
            assert "collector_month" not in browser.get(f"/imports?month={text}").headers.get("set-cookie", "")
