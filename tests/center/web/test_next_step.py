# SPDX-License-Identifier: GPL-3.0-or-later
"""The next step of a month: one button that leads on, what it needs beside it, a refusal where it was typed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from collector.center.papers.filings import make_filings
from collector.center.runs.month_state import MonthStage
from tests.center.made_month import LI, MAY, add_run, on, step
from tests.center.web.web_browser import log_in, site, tab
from tests.center.web.web_world import World, world
from tests.headless import chromium

HERE = f"/months/{MAY}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


@pytest.fixture
def own(tmp_path: Path) -> Iterator[World]:
    """May 2026, with no run yet, on the 5th of June."""
    with world(tmp_path / "state") as made:
        made.clock.now_ms = on(5)
        yield made


def test_the_button_leads_on_through_the_month_and_going_back_is_behind_it(own: World, browser: Browser) -> None:
    with site(own) as address, tab(browser, address) as (page, seen):
        log_in(page, "olga")
        main = page.locator("#next button.main")

        def offers(text: str) -> None:
            page.goto(HERE)
            expect(main).to_have_count(1)
            expect(main).to_have_text(text)

        offers("结算本月")
        run = add_run(own.store)
        offers("提请审批：披露统计结果（第26条）")
        step(own.store, MonthStage.DISCLOSED, run, at=on(6))
        offers("生成三份报送文件")
        # Another run could be disclosed, but that is not what comes next.
        expect(page.locator("#next details")).not_to_have_attribute("open", "")
        make_filings(own.store, run, actor=LI)
        offers("提请审批：报送监管机构（第28条）")
        step(own.store, MonthStage.FILED, at=on(16))
        offers("提请审批：监管机构审批生效（第28条）")
        step(own.store, MonthStage.EFFECTIVE, at=on(17))
        offers("提请审批：监管机构发布（第28条）")
        step(own.store, MonthStage.PUBLISHED, at=on(18))
        page.goto(HERE)
        expect(main).to_have_count(0)
        expect(page.locator("#next")).to_contain_text("已发布")
        assert seen.complaints == []


def test_a_reason_that_is_needed_is_said_to_be_and_a_refusal_stands_at_the_form_with_what_was_typed(
    own: World, browser: Browser
) -> None:
    run = add_run(own.store)
    own.clock.now_ms = on(12)  # two days after the disclosure was due
    with site(own) as address, tab(browser, address) as (page, seen):
        log_in(page, "olga")
        page.goto(HERE)
        form = page.locator("#next form#to-disclosed")
        expect(form).to_contain_text("2026-06-12 披露，期限为 2026-06-10")
        reason = form.locator("input[name=reason]")
        expect(form.locator("label:has(input[name=reason])")).to_contain_text("必填")
        # The browser itself keeps the form back without it; a browser that doesn't is answered at the form.
        form.get_by_role("button").click()
        assert page.url.endswith(HERE)
        form.locator("input[name=document]").fill("调〔2026〕7号")
        reason.evaluate("field => field.removeAttribute('required')")
        form.get_by_role("button").click()
        expect(form.get_by_role("alert")).to_contain_text("须说明原因")
        expect(form.locator("input[name=document]")).to_have_value("调〔2026〕7号")
        reason.fill("计量数据迟到")
        form.get_by_role("button").click()
        expect(page.get_by_role("status")).to_contain_text("已提交")
        expect(page.locator("#next")).to_contain_text("已有步骤待审批")
        assert seen.complaints == []
    assert run == 1


def test_a_refused_decision_stands_at_its_form_with_what_was_typed(own: World, browser: Browser) -> None:
    run = add_run(own.store)
    with own.browser("olga") as http:
        form = {"csrf": own.csrf_of("olga"), "to": "disclosed", "run": str(run)}
        assert http.post(f"{HERE}/step", data=form).status_code == 303
    with site(own) as address, tab(browser, address) as (page, seen):
        log_in(page, "anna")
        page.goto(HERE)
        page.get_by_role("button", name="不同意").click()
        expect(page.get_by_role("alert")).to_contain_text("请写明不同意的理由")
        page.locator("#decide-1 input[name=note]").fill("与厂侧数据不符")
        page.get_by_role("button", name="不同意").click()
        expect(page.locator("main")).to_contain_text("已办理")
        assert seen.complaints == []


def test_before_the_month_is_over_the_button_says_when(own: World) -> None:
    own.clock.now_ms = on(1, hour=0) - 1
    add_run(own.store)
    with own.browser("olga", "en") as http:
        page = http.get(HERE).text
    assert "Not yet: is not over before 2026-06-01: disclose it then" in page
    assert 'class="main" disabled>Propose: disclose the result (Art. 26)' in page
