# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a center in a real browser: what a person does, nothing to complain of, nothing from outside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

import collector.wire as wire
from collector.center.people.audit import verify
from tests.center.web.web_browser import log_in, site, tab
from tests.center.web.web_world import REGISTER, World, world
from tests.headless import chromium

GOOD = "unit,start,end,power_mw\nU2,2026-03-01T00:00:00+08:00,2026-03-02T00:00:00+08:00,300\n"
WRONG = GOOD + "U9,2026-03-01T00:00:00+08:00,2026-03-02T00:00:00+08:00,many\n=cmd|x,1,2,3\n"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("state")) as made:
        yield made


@pytest.fixture(scope="module")
def address(own: World) -> Iterator[str]:
    with site(own) as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


def test_an_operator_imports_with_mistakes_then_well_and_takes_it_back(
    own: World, browser: Browser, address: str, tmp_path: Path
) -> None:
    files = {"register.toml": REGISTER, "wrong.csv": WRONG, "plan.csv": GOOD}
    for name, text in files.items():
        (tmp_path / name).write_text(text, "utf-8")
    with tab(browser, address) as (page, seen):
        log_in(page, "olga")
        page.get_by_role("link", name="导入", exact=True).click()
        for name in ("register.toml", "wrong.csv", "plan.csv"):
            page.set_input_files("input[name=file]", str(tmp_path / name))
            page.get_by_role("button", name="查看影响").click()
            if name == "wrong.csv":
                expect(page.get_by_role("heading", level=1)).to_contain_text("wrong.csv")
                expect(page.get_by_role("alert")).to_contain_text("不能导入")
                expect(page.locator("main")).to_contain_text("U9")
                page.get_by_role("button", name="放弃").click()
                expect(page.get_by_role("status")).to_contain_text("未导入")
            else:
                page.get_by_role("button", name="导入").click()
                expect(page.get_by_role("status")).to_contain_text("完成")
        page.get_by_role("link", name="English").click()
        row = page.locator("tr", has_text="plan.csv")
        expect(row).to_contain_text("in force")
        row.locator("summary").click()
        row.locator("input[name=reason]").fill("wrong day")
        row.get_by_role("button", name="Take back").click()
        expect(page.get_by_role("status")).to_contain_text("taken back")
        expect(page.locator("tr", has_text="plan.csv")).to_contain_text("olga")
        assert seen.complaints == []
        assert seen.hosts == {urlsplit(address).netloc}
    assert own.store.read(verify) == []


def test_an_administrator_makes_a_user_and_enrols_a_key(browser: Browser, address: str, tmp_path: Path) -> None:
    wire.generate_key_pair(tmp_path / "p1.pem", tmp_path / "p1.pub")
    with tab(browser, address) as (page, seen):
        log_in(page, "admin")
        page.get_by_role("link", name="用户", exact=True).click()
        form = page.locator("form[action='/users']")
        form.locator("input[name=name]").fill("liwei")
        form.locator("input[name=full_name]").fill("李 伟")
        form.locator("select[name=role]").select_option("plant")
        form.locator("input[name=password]").fill("correct horse battery")
        form.get_by_role("button").click()
        expect(page.get_by_role("alert")).to_contain_text("须写明电厂")
        form.locator("select[name=plant]").select_option("P1")
        form.locator("input[name=password]").fill("correct horse battery")
        form.get_by_role("button").click()
        expect(page.get_by_role("status")).to_contain_text("已建立")
        expect(page.locator("tr", has_text="liwei")).to_contain_text("P1")
        page.get_by_role("link", name="电厂与密钥", exact=True).click()
        keys = page.locator("form[action='/keys']")
        keys.locator("select[name=plant]").select_option("P1")
        keys.locator("textarea").fill("not a key")
        keys.get_by_role("button", name="登记").click()
        expect(page.get_by_role("alert")).to_be_visible()
        keys.locator("textarea").fill((tmp_path / "p1.pub").read_text("ascii"))
        keys.get_by_role("button", name="登记").click()
        expect(page.get_by_role("status")).to_contain_text("已登记")
        key_id = wire.key_id(wire.load_public_key(tmp_path / "p1.pub"))
        row = page.locator("tr", has_text=key_id)
        row.locator("summary").click()
        row.locator("input[name=reason]").fill("lost")
        row.get_by_role("button", name="吊销").click()
        expect(page.locator("tr", has_text=key_id)).to_contain_text("lost")
        assert seen.complaints == []
        assert seen.hosts == {urlsplit(address).netloc}


def test_every_page_of_the_navigation_opens_in_both_languages(browser: Browser, address: str) -> None:
    with tab(browser, address, width=1920) as (page, seen):
        log_in(page, "admin")
        paths = page.eval_on_selector_all("nav a", "links => links.map(a => a.getAttribute('href'))")
        assert len(paths) > 8
        for path in [*paths, "/account", "/findings", "/api/v1/"]:
            for language in ("zh", "en"):
                answer = page.goto(f"{path}{'&' if '?' in path else '?'}lang={language}")
                assert answer is not None
                assert answer.status == 200, (path, answer.status)
                assert page.locator("h1").count() == 1, path
                wide = page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
                assert not wide, (path, language)
        assert seen.complaints == []
        assert seen.hosts == {urlsplit(address).netloc}


def test_the_keyboard_reaches_everything_and_labels_name_every_field(browser: Browser, address: str) -> None:
    with tab(browser, address) as (page, seen):
        page.goto("/login")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        log_in(page, "admin")
        for path in ("/users", "/plants", "/imports", "/account", "/audit", "/asks"):
            page.goto(path)
            unnamed = page.evaluate(
                "[...document.querySelectorAll('input:not([type=hidden]), select, textarea')]"
                ".filter(field => !field.labels?.length && !field.getAttribute('aria-label')).length"
            )
            assert unnamed == 0, path
        assert seen.complaints == []
