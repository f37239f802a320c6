# SPDX-License-Identifier: GPL-3.0-or-later
"""The month a person chose stays until another one is chosen, and stands in the address."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.center.web.web_browser import chromium, log_in, site, tab
from tests.center.web.web_world import World


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
