# SPDX-License-Identifier: GPL-3.0-or-later
"""A month in a real browser: settled, disclosed, asked about, filed, approved, published, in two languages.

Real sockets, a real headless Chromium; nothing may be asked of another host, and no script may fail.
"""

from __future__ import annotations

import random
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page

from collector.center.runs.month_state import State, month_state
from collector.model.interval import Month, parse_time_ms
from tests.center.runs.center_months import fill_store
from tests.center.web.web_browser import chromium, site
from tests.center.web.web_world import PASSWORD, world
from tests.patience import HANG_S, wait_until
from tests.settlement.made_folders import make_folder

JUNE = Month(2026, 6)
SEED = 3116  # as conftest.py: P0 with U0 and U1, P1 with U2
HERE = f"/months/{JUNE}"


class Person:
    """Somebody at a browser of their own."""

    def __init__(self, browser: Browser, base: str, name: str, language: str) -> None:
        self.base = base
        self.faults: list[str] = []
        self.context = browser.new_context(viewport={"width": 1280, "height": 900})
        self.context.set_default_timeout(1000 * HANG_S)
        self.page: Page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda m: self.faults.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("request", lambda r: self._near(r.url))
        self.open(f"/login?lang={language}")
        self.page.fill("input[name=name]", name)
        self.page.fill("input[name=password]", PASSWORD)
        self.page.click("main button")

    def _near(self, url: str) -> None:
        if urlsplit(url).scheme in ("http", "https") and not url.startswith(self.base):
            self.faults.append(f"asked another host: {url}")

    def open(self, path: str) -> None:
        """A page, with everything it loads."""
        self.page.goto(self.base + path)
        self.page.wait_for_load_state("networkidle")

    def press(self, text: str) -> None:
        """A button or link that looks like one."""
        self.page.locator(f"main button:has-text('{text}'), main a.button:has-text('{text}')").first.click()
        self.page.wait_for_load_state("networkidle")

    def told(self, text: str) -> None:
        """The page says so."""
        assert text in self.page.locator("main").inner_text()


def test_a_month_from_settling_to_publication(tmp_path: Path) -> None:
    make_folder(random.Random(SEED), tmp_path / "folder")
    with chromium() as browser, world(tmp_path / "state") as own:
        fill_store(own.store, tmp_path / "folder")
        own.clock.now_ms = parse_time_ms("2026-07-08T10:00:00+08:00")
        with site(own) as address:
            people = {
                name: Person(browser, address, name, language)
                for name, language in (("olga", "zh"), ("anna", "en"), ("paul", "zh"), ("rita", "en"))
            }
            work_through(people)
            for name, person in people.items():
                assert person.faults == [], name
        state = own.store.read(lambda c: month_state(c, JUNE))
        assert (state.state, state.edition, state.run_id) == (State.PUBLISHED, 1, 1)


def work_through(people: dict[str, Person]) -> None:
    """Everybody does their part; each sees what the others did."""
    olga, anna, paul, rita = people["olga"], people["anna"], people["paul"], people["rita"]
    settle_and_disclose(olga, anna)
    ask_and_answer(olga, anna, paul)
    olga.open(HERE)
    olga.press("生成三份报送文件")
    olga.told("补偿情况明细清单")
    step(olga, "filed", reason="复核申请已办结")
    approve(anna)
    step(olga, "effective")
    rita.open(HERE)
    rita.page.fill("input[name=document]", "2026-31")
    rita.press("Approve")
    rita.told("Decided.")
    step(olga, "published")
    approve(rita)
    paul.open(HERE)
    paul.told("已发布")
    paul.told("结算方案")
    assert paul.page.locator("text=补偿情况明细清单").count() == 0
    paul.open(f"{HERE}/runs/1/days/U2/2026-06-03")
    assert paul.page.locator("#day .main-svg").count() > 0


def settle_and_disclose(olga: Person, anna: Person) -> None:
    """A run in the background, opened down to its lines; then disclosed by two."""
    olga.open(HERE)
    olga.press("结算本月")

    def done() -> bool:
        olga.open(HERE)
        return olga.page.locator("main a:has-text('结算完成')").count() > 0

    wait_until(done, "the end of the run", every_s=0.5)
    olga.page.locator("main a:has-text('结算完成')").click()
    olga.told("补偿费用合计")
    olga.press("补偿明细")
    olga.page.locator("main table a").first.click()
    olga.told("条款" if olga.page.locator("main th:has-text('条款')").count() else "金额")
    step(olga, "disclosed")
    # Who prepares finds no button to approve.
    assert olga.page.locator("button:has-text('同意')").count() == 0
    approve(anna)


def ask_and_answer(olga: Person, anna: Person, paul: Person) -> None:
    """A plant asks about its line; the answer is decided by two; the plant reads it."""
    paul.open(f"{HERE}/runs/1/lines?plant=P1")
    paul.page.locator("main table a").first.click()
    paul.page.wait_for_load_state("networkidle")
    paul.press("提出复核")
    paul.page.fill("input[name=claim_value]", "1000")
    paul.page.fill("textarea[name=text]", "6月3日计量有误")
    paul.press("提交")
    paul.told("复核申请已提交")
    address = urlsplit(paul.page.url).path
    olga.open(f"{HERE}/reviews")
    olga.told("P1")
    olga.open(address)
    olga.page.fill("textarea[name=text]", "经核查,计量无误")
    olga.press("拟不予支持")
    anna.open(address)
    anna.press("Approve")
    anna.told("refused")
    paul.open(address)
    paul.told("经核查,计量无误")


def step(person: Person, state: str, reason: str = "") -> None:
    """Propose the next step of the month."""
    person.open(HERE)
    person.page.select_option("select[name=to]", state)
    person.page.fill("form.sheet input[name=reason]", reason)
    person.press("提交审批")
    person.told("已提交")


def approve(person: Person) -> None:
    """Approve what waits."""
    person.open(HERE)
    person.press("Approve")
    person.told("Decided.")
