# SPDX-License-Identifier: GPL-3.0-or-later
"""Every page in a real browser: no serious fault of accessibility, nothing wider than the screen; also what is refused.

In CI each page is looked at on a phone by the first of three kinds of people who may open it, what is refused in the
dark alone, and by axe-core where something is on it that no page before had. With BROWSER=1 (`make
browser-test`) everybody looks at all theirs, in both languages, on three widths, and a picture of each page is left in
build/screens to be looked at.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from collector.center.people.second_factor import STEP_MS
from collector.center.people.sessions import IDLE_MS
from tests.center.web.busy_world import Busy, busy_world
from tests.center.web.web_browser import log_in, site, tab
from tests.center.web.web_world import PASSWORD, PEOPLE, code_of, unseen_pages
from tests.headless import chromium

WIDTHS: Final = (480, 1280, 1920)  # a phone, a notebook, a screen on a desk; pixels
FULL: Final = bool(os.environ.get("BROWSER"))
LOOKED_AT: Final = (
    [(who, language, width) for who in PEOPLE for language in ("zh", "en") for width in WIDTHS]
    if FULL
    else [("petra", "en", 480), ("olga", "zh", 480), ("admin", "zh", 480)]
)
PICTURES: Final = Path(__file__).parents[3] / "build" / "screens"
# A route that is no page to be looked at, and why.
NO_PAGES: Final = {
    "/": "leads on to where a role begins",
    "/go": "leads on to the page of the month that was chosen",
    "/months": "leads on to the month being worked on",
    "/this/{section:str}": "leads on to a page of the month being worked on",
    "/months/{month:str}/runs": "leads on to the run one looks at first",
    "/static/{name:str}": "a file of the pages: style, script, icon",
    "/healthz": "text for a program of this machine",
    "/readyz": "text for a program of this machine",
    "/metrics": "text for a program of this machine",
    "/filings/{number:int}": "a file to keep",
    "/imports/templates/{name:str}": "a file to keep",
    "/imports/pending/{token:str}/marked.xlsx": "a file to keep",
    "/months/{month:str}/runs/{run_id:int}/files/{name:str}": "a file to keep; statement.html is of the report",
    "/months/{month:str}/runs/{run_id:int}/own/{name:str}": "a file to keep",
    "/months/{month:str}/runs/{run_id:int}/packages/{made_ms:int}": "a file to keep",
    "/reviews/files/{number:int}": "a file to keep",
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Busy]:
    with busy_world(tmp_path_factory.mktemp("busy")) as made:
        yield made


@pytest.fixture(scope="module")
def address(busy: Busy) -> Iterator[str]:
    with site(busy.world) as found:
        yield found


def pages_of(busy: Busy, page: Page, seen: set[str]) -> Iterator[str]:
    """Each page that this person may open, opened; and the first that is refused. `seen`: but for these in CI."""
    refused = False
    for path in busy.pages():
        if "/files/" in path or (path in seen and not FULL):
            continue
        answer = page.goto(path)
        assert answer is not None
        if answer.status == 403 and refused:
            continue
        refused = refused or answer.status == 403
        if answer.status == 200:
            seen.add(path)
        yield path


def test_every_route_is_a_page_that_is_looked_at_or_says_why_not(busy: Busy) -> None:
    """Looked at by one of those who look also in CI."""
    shown = {"/login"}  # by nobody who is logged in: below
    for who in ("olga", "petra", "admin"):
        with busy.world.browser(who) as browser:
            shown |= {each for each in busy.pages() if "/files/" not in each and browser.get(each).status_code == 200}
    assert unseen_pages(shown) == set(NO_PAGES)


def faults(page: Page) -> list[str]:
    """What axe-core finds serious or critical."""
    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {node['target']} {node.get('failureSummary', '')[:300]}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"][:3]
    ]


# What axe-core looks at, but for the words: each element, what it stands in, and what is said of it.
ELEMENTS: Final = """[...document.querySelectorAll('*')].map(e => [e.parentElement?.tagName,
e.parentElement?.getAttribute('class'), e.tagName, e.getAttribute('class'), e.getAttribute('role'),
...e.getAttributeNames()].join(' '))"""


def is_new(page: Page, seen: set[str]) -> bool:
    """Whether axe-core has something here that it hasn't looked at: in CI an element unlike any, else another page."""
    elements: list[str] = page.evaluate(ELEMENTS)
    found = {"\n".join(elements)} if FULL else set(elements)
    new = not found <= seen
    seen |= found
    return new


@pytest.fixture(scope="module")
def seen_elements() -> set[str]:
    return set()


@pytest.fixture(scope="module")
def seen_pages() -> set[str]:
    return set()


@pytest.mark.parametrize(("who", "language", "width"), LOOKED_AT)
def test_no_page_has_a_serious_fault_nor_scrolls_sideways(
    busy: Busy,
    browser: Browser,
    address: str,
    who: str,
    language: str,
    width: int,
    seen_elements: set[str],
    seen_pages: set[str],
) -> None:
    wrong: list[str] = []
    with tab(browser, address, width=width) as (page, seen):
        log_in(page, who)
        page.goto(f"/account?lang={language}")
        for path in pages_of(busy, page, seen_pages):
            over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            wrong += [f"{path}: {over} px too wide"] if over > 0 else []
            if is_new(page, seen_elements):
                wrong += [f"{path}: {fault}" for fault in faults(page)]
            if FULL:
                take_picture(page, PICTURES / who / f"{language}-{width}", path)
        assert seen.complaints == []
    assert wrong == [], "\n".join(wrong)


def take_picture(page: Page, folder: Path, path: str) -> None:
    """The whole of a page, once its drawings are there."""
    folder.mkdir(parents=True, exist_ok=True)
    page.wait_for_load_state("networkidle")
    name = re.sub(r"\W+", "-", path).strip("-")[:80] or "start"
    page.screenshot(path=folder / f"{name}.png", full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"] if FULL else ["dark"])
def test_what_is_refused_and_the_log_in_have_no_serious_fault(
    busy: Busy, browser: Browser, address: str, scheme: Literal["light", "dark"]
) -> None:
    """Log-in refused, second factor set up, asked for and refused, forms refused on two kinds of page, a page that is
    another's, none at all, a form whose session had ended."""
    wrong: list[str] = []
    own = busy.world
    began_ms = own.clock.now_ms

    def look(page: Page, text: str) -> None:
        assert text in page.locator("main").inner_text()
        over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        wrong.extend([f"{text}: {over} px too wide"] if over > 0 else [])
        wrong.extend(f"{text}: {fault}" for fault in faults(page))

    with tab(browser, address, width=480) as (page, _):
        page.emulate_media(color_scheme=scheme)
        page.goto("/login?next=/account&lang=en")
        look(page, "Log in")
        page.fill("main [name=name]", "anna")
        page.fill("main [name=password]", "not this one")
        page.click("main button")
        look(page, "Name, password or code is wrong")
        log_in(page, "anna")
        page.goto("/account")
        form = page.locator("form[action='/account/second-factor']")
        key = form.locator("[name=key]").input_value()
        for code, told in (("000000", "not the code of this key"), (code_of(own, key), "It is set up.")):
            form.locator("[name=current]").fill(PASSWORD)
            form.locator("[name=code]").fill(code)
            form.get_by_role("button").click()
            page.wait_for_load_state()
            look(page, told)
        page.get_by_role("button", name="Log out").click()
        log_in(page, "anna", code=code_of(own, key, 1))
        page.goto("/users")
        look(page, "Not allowed")
        page.goto("/months/2026-06/runs/999")
        look(page, "404")
        page.goto("/account")
        form = page.locator("form[action='/account/second-factor/remove']")
        form.locator("[name=current]").fill(PASSWORD)
        form.locator("[name=code]").fill(code_of(own, key, 1))  # used before
        form.get_by_role("button").click()
        look(page, "Second factor")
        own.clock.now_ms = began_ms + STEP_MS * 3
        form.locator("[name=current]").fill(PASSWORD)
        form.locator("[name=code]").fill(code_of(own, key))
        form.get_by_role("button").click()
        page.wait_for_url("**/login*")
        log_in(page, "olga")
        page.goto("/asks")
        form = page.locator("form[action='/asks']")
        for name, value in (("unit", "U2"), ("from", "2026-06-02T00:00"), ("to", "2026-06-01T00:00")):
            form.locator(f"[name={name}]").fill(value)
        form.get_by_role("button").click()
        look(page, "Ask again")
        page.goto("/months/2026-06/what-if")
        page.locator("form[action$='/what-if'] button").click()
        look(page, "choose a file")
        page.goto("/months/2026-06")
        note = page.locator("form[action$='/settle'] [name=note]").first
        note.fill("再算一次")
        own.clock.now_ms += IDLE_MS + 60_000
        page.locator("form[action$='/settle'] button").first.click()
        page.wait_for_url("**/login*")
        log_in(page, "olga", at_hand=True)
        look(page, "Your session had ended")
    own.clock.now_ms = began_ms
    own.sessions.clear()
    assert wrong == [], "\n".join(wrong)


def test_a_long_table_keeps_its_heads_in_sight_and_is_printed_whole(
    busy: Busy, browser: Browser, address: str, tmp_path: Path
) -> None:
    lines = f"/months/2026-06/runs/{busy.world.run_id}/lines"
    with tab(browser, address) as (page, _):
        page.set_viewport_size({"width": 1280, "height": 420})
        log_in(page, "olga")
        page.goto(lines)
        box, head = page.locator(".scroll.tall"), page.locator(".scroll.tall thead")
        assert box.evaluate("e => e.scrollHeight > e.clientHeight")
        box.evaluate("e => e.scrollTo(0, e.scrollHeight)")
        assert head.locator("th").first.bounding_box()["y"] == pytest.approx(box.bounding_box()["y"], abs=1)  # type: ignore[index]
        page.emulate_media(media="print")
        assert box.evaluate("e => e.scrollHeight <= e.clientHeight")
        assert page.locator("nav:visible, button:visible, .bar:visible, input:visible").count() == 0
        assert page.locator("tbody tr:visible").count() == page.locator("tbody tr").count() > 10
        page.goto("/months/2026-06")
        assert page.locator(f"a[href$='/runs/{busy.world.run_id}']:visible").count() > 0  # its runs are in a form
        page.pdf(path=tmp_path / "board.pdf")
        assert (tmp_path / "board.pdf").read_bytes().startswith(b"%PDF")


def test_in_the_dark_every_text_can_be_read(browser: Browser, address: str) -> None:
    with tab(browser, address) as (page, _):
        page.emulate_media(color_scheme="dark")
        log_in(page, "olga")
        page.goto("/style")
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(228, 233, 238)"
        assert faults(page) == []
