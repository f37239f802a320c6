# SPDX-License-Identifier: GPL-3.0-or-later
"""Each role's week in a real browser: a month is asked about, settled, disclosed, reviewed, filed, approved, published.

Real sockets, a real headless Chromium; nothing may be asked of another host, and no script may fail. What everybody
does is found by its words, as a person finds it; the money they see is held against the lines of the run. In CI the
people read different languages; with BROWSER=1 all of them read Chinese, then all English.
"""

from __future__ import annotations

import os
import random
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from collector.base.text import Text
from collector.center.month.questions.question_log import QuestionState, question_by_id
from collector.center.papers.books import accounts_of, entries_of
from collector.center.people import audit
from collector.center.runs.month_state import MonthStage, month_state
from collector.center.runs.stored_run import open_run
from collector.model.interval import Month, parse_time_ms
from collector.report.numbers import format_amount, group_digits
from tests.center.made_month import LI
from tests.center.runs.center_months import fill_store
from tests.center.web.web_browser import site
from tests.center.web.web_world import PASSWORD, World, world
from tests.headless import chromium
from tests.patience import HANG_S, wait_until
from tests.settlement.made_folders import make_folder

JUNE = Month(2026, 6)
SEED = 3116  # as conftest.py: P0 with U0 and U1, P1 with U2
HERE = f"/months/{JUNE}"
MIXED = {"olga": "zh", "anna": "en", "paul": "zh", "rita": "en", "aldo": "zh", "admin": "en"}
READERS = [MIXED, *(dict.fromkeys(MIXED, each) for each in ("zh", "en") if os.environ.get("BROWSER"))]
LEAST = "area,start,end,power_mw\nshanghai,2026-06-01T00:00:00+08:00,2026-06-01T01:00:00+08:00,500\n"


class Person:
    """Somebody at a browser of their own, who reads one language."""

    def __init__(self, browser: Browser, base: str, name: str, language: str, password: str = PASSWORD) -> None:
        self.base, self.language = base, language
        self.faults: list[str] = []
        self.context = browser.new_context(viewport={"width": 1280, "height": 900})
        self.context.set_default_timeout(1000 * HANG_S)
        self.page: Page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda m: self.faults.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("request", lambda r: self._near(r.url))
        self.page.on("dialog", lambda dialog: dialog.accept())
        self.open(f"/login?lang={language}")
        self.fill(name=name, password=password)
        self.page.click("main button")
        self.page.wait_for_url(lambda url: "/login" not in url)

    def _near(self, url: str) -> None:
        if urlsplit(url).scheme in ("http", "https") and not url.startswith(self.base):
            self.faults.append(f"asked another host: {url}")

    def say(self, text: str, context: str = "") -> str:
        """A text of the program as this person reads it."""
        return Text(text, {}, context).into(self.language)

    def open(self, path: str) -> None:
        """A page, with everything it loads."""
        self.page.goto(self.base + path)

    def fill(self, **fields: str) -> None:
        """Type into fields of the page's main part."""
        for name, value in fields.items():
            self.page.locator(f"main [name={name}]:visible").first.fill(value)

    def follow(self, link: Locator) -> None:
        """Click, and wait for what it leads to."""
        with self.page.expect_navigation():
            link.first.click()

    def press(self, text: str, context: str = "") -> None:
        """A button or link that looks like one."""
        said = self.say(text, context)
        self.follow(self.page.locator(f"main button:has-text('{said}'), main a.button:has-text('{said}')"))

    def told(self, text: str, context: str = "") -> None:
        """The page says so."""
        assert self.say(text, context) in self.page.locator("main").inner_text()

    def task(self, kind: str) -> None:
        """Open what waits, from the list of tasks."""
        self.open(f"/tasks?is.kind={kind}")
        self.follow(self.page.locator("main tbody a"))


@pytest.mark.parametrize("readers", READERS, ids=lambda readers: "-".join(sorted(set(readers.values()))))
def test_a_month_as_everybody_works_in_it(tmp_path: Path, readers: dict[str, str]) -> None:
    make_folder(random.Random(SEED), tmp_path / "folder")
    with chromium() as browser, world(tmp_path / "state") as own:
        fill_store(own.store, tmp_path / "folder")
        own.clock.now_ms = parse_time_ms("2026-07-08T10:00:00+08:00")
        with site(own) as address:
            people = {name: Person(browser, address, name, language) for name, language in readers.items()}
            olga, anna, paul, rita = (people[name] for name in ("olga", "anna", "paul", "rita"))
            make_an_account(people["admin"], browser)
            ask_at_once(paul, olga)
            import_a_file(olga, tmp_path)
            settle_and_disclose(olga, anna)
            confirm_and_answer(own, olga, anna, paul)
            file_and_publish(olga, anna, rita)
            read_the_bill(own, paul)
            look_at_everything(people["aldo"])
            assert {name: person.faults for name, person in people.items() if person.faults} == {}
        hold_the_money(own)


def make_an_account(admin: Person, browser: Browser) -> None:
    """The administrator: somebody new may work, until the account is closed."""
    admin.open("/users")
    admin.page.locator("main form[action='/users'] select[name=role]").select_option("operator")
    form = admin.page.locator("main form[action='/users']")
    for name, value in (("name", "nina"), ("full_name", "Nina"), ("password", "a long enough one")):
        form.locator(f"[name={name}]").fill(value)
    admin.press("Create")
    nina = Person(browser, admin.base, "nina", admin.language, "a long enough one")
    nina.open("/tasks")
    nina.told("Settle", "task")
    admin.open("/users")
    row = admin.page.locator("main tr", has_text="nina")
    row.locator("summary").click()
    admin.follow(row.locator(f"button:has-text('{admin.say('Close the account')}')"))
    nina.page.goto(nina.base + "/tasks")
    assert "/login" in nina.page.url
    nina.context.close()


def ask_at_once(paul: Person, olga: Person) -> None:
    """The plant asks about a day before anything is disclosed; the clerk finds it among the tasks."""
    paul.open(f"{HERE}/completeness/2026-06-03/P1/U2")
    paul.press("Ask about this day")
    paul.page.locator("main textarea[name=text]").fill("6月3日 AGC 未计入")
    paul.press("Ask about this day")
    paul.told("The question is asked; it waits for its answer.")
    olga.task("question")
    olga.told("6月3日 AGC 未计入")
    olga.page.locator("main textarea[name=text]").first.fill("已查,披露时可见")
    olga.press("Answer")


def import_a_file(olga: Person, tmp_path: Path) -> None:
    """The clerk looks at a file before it is taken."""
    (tmp_path / "reserve_minimum.csv").write_text(LEAST, "utf-8")
    olga.open("/imports")
    olga.page.locator("main input[type=file]").set_input_files(tmp_path / "reserve_minimum.csv")
    olga.press("Look at it")
    olga.told("shanghai")
    olga.press("Import")
    assert "done=" in olga.page.url


def settle_and_disclose(olga: Person, anna: Person) -> None:
    """A run in the background, opened down to its lines; then disclosed by two."""
    olga.task("settle")
    olga.press("Settle the month")
    done = olga.page.locator("main p.notice a[href*='/runs/']")

    def ended() -> bool:
        olga.open(HERE)
        return done.count() > 0

    wait_until(ended, "the end of the run", every_s=0.5)
    olga.follow(done)
    olga.follow(olga.page.locator(f"main a[href='{HERE}/runs/1/lines']"))
    olga.follow(olga.page.locator("main tbody a"))
    assert f"{HERE}/runs/1/lines/" in olga.page.url
    step(olga, "disclosed", reason="有区域待定")
    # Who prepares finds no button to approve.
    assert olga.page.locator("main button[value=approve]").count() == 0
    approve(anna)


def confirm_and_answer(own: World, olga: Person, anna: Person, paul: Person) -> None:
    """The plant makes its question a review of a line, with the amount in sight; two decide it; the plant reads it."""
    paul.task("confirm")
    line = next(n for n in open_run(own.store, 1).lines_of("U2") if n.amount_yuan)
    paul.told(group_digits(format_amount(line.amount_yuan)))
    paul.follow(paul.page.locator(f"main a.button[href*='service={line.service}']"))
    paul.told(group_digits(format_amount(line.amount_yuan)))
    paul.fill(claim_value="1000")
    paul.press("Submit")
    paul.told("The review is asked for.")
    address = urlsplit(paul.page.url).path
    assert own.store.read(lambda c: question_by_id(c, 1, actor=LI)).state is QuestionState.CONFIRMED
    olga.task("answer")
    assert urlsplit(olga.page.url).path == address
    olga.page.locator("main textarea[name=text]").first.fill("经核查,计量无误")
    olga.press("Propose to refuse")
    anna.task("approve")
    anna.press("Approve")
    anna.told("不予支持" if anna.language == "zh" else "refused")
    paul.open(address)
    paul.told("经核查,计量无误")


def file_and_publish(olga: Person, anna: Person, rita: Person) -> None:
    """Filed by two; the regulator finds the filing among its tasks, and needs nobody to propose its own acts."""
    olga.task("file")
    olga.press("Make the three filings")
    olga.told("The three filings are made.")
    step(olga, "filed", reason="复核申请已办结")
    approve(anna)
    rita.task("approve_filing")
    rita.page.locator("#regulator [name=document]").fill("2026-31")
    rita.press("Approve the filing")
    rita.task("publication")
    rita.page.locator("#regulator [name=note]").fill("有区域待定")
    rita.press("Publish")
    rita.told("Decided.")


def read_the_bill(own: World, paul: Person) -> None:
    """The plant: its net amount on its statement and in its account, the curve of a day; no other's papers."""
    paul.open(HERE)
    paul.told("已发布" if paul.language == "zh" else "published")
    assert paul.page.locator("main a[href^='/filings/']").count() > 0
    net = next(row.net_yuan for row in open_run(own.store, 1).plants if row.plant == "P1")
    paul.open(f"{HERE}/runs/1")
    paul.told(group_digits(format_amount(net)))
    paul.open("/books?plant=P1")
    paul.told(group_digits(format_amount(net)))
    assert "P0" not in paul.page.locator("main").inner_text()
    paul.open(f"{HERE}/runs/1/days/U2/2026-06-03")
    expect(paul.page.locator("#day .main-svg").first).to_be_visible()


def look_at_everything(aldo: Person) -> None:
    """The auditor: the chain holds, every decision is there with its two people, and nothing is to be pressed."""
    aldo.open("/audit")
    aldo.press("Verify the chain")
    aldo.told("The chain is whole: every entry is as it was written.")
    aldo.open("/decisions")
    for who in ("olga", "anna", "rita"):
        aldo.told(who)
    aldo.open(HERE)
    assert aldo.page.locator("main form[method=post]").count() == 0


def step(person: Person, state: str, reason: str = "") -> None:
    """Propose the next step of the month."""
    person.open(HERE)
    form = person.page.locator(f"#next form#to-{state}")
    form.locator("input[name=reason]").fill(reason)
    person.follow(form.locator("button.main"))
    person.told("Proposed; another person decides.")


def approve(person: Person) -> None:
    """Approve the step of the month that waits."""
    person.task("approve")
    person.press("Approve")
    person.told("Decided.")


def hold_the_money(own: World) -> None:
    """Published once; each plant's account is its net amount, every pool sums to 0, the chain of the log holds."""
    state = own.store.read(lambda c: month_state(c, JUNE))
    assert (state.state, state.edition, state.run_id) == (MonthStage.PUBLISHED, 1, 1)
    nets: dict[str, Decimal] = {}
    for row in open_run(own.store, 1).plants:
        if row.net_yuan is not None:
            nets[row.plant] = nets.get(row.plant, Decimal(0)) + row.net_yuan
    accounts = own.store.read(lambda c: accounts_of(c, actor=LI))
    assert {each.plant: each.closing_yuan for each in accounts} == nets
    entries = own.store.read(entries_of)
    assert sum((each.signed_yuan for each in entries), Decimal(0)) == 0
    assert own.store.read(audit.verify) == []
