# SPDX-License-Identifier: GPL-3.0-or-later
"""Every page, for every role, in a real browser: no serious fault of accessibility, and usable on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.center.web.web_browser import chromium, log_in, site, tab
from tests.center.web.web_world import OTHER_PAGES, PEOPLE, World, pages_of_month

PHONE = 480  # pixels
OTHERS = (*OTHER_PAGES, "/months/2026-05", "/nothing")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def address(worked: World) -> Iterator[str]:
    with site(worked) as found:
        yield found


def pages_of(world: World, page: Page) -> Iterator[str]:
    """Those of a month and the others that this person may open, each opened."""
    for path in (*pages_of_month(world), *OTHERS):
        if "/files/" in path:
            continue
        answer = page.goto(path)
        assert answer is not None
        if answer.status not in (401, 403):
            yield path


def faults(page: Page) -> list[str]:
    """What axe-core finds serious or critical."""
    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {node['target']} {node.get('failureSummary', '')[:300]}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"][:3]
    ]


# What of a page axe-core looks at, but for the words: the same for two people, it is looked at once.
SHAPE = "[...document.querySelectorAll('*')].map(e => e.tagName + e.className + e.getAttribute('role')).join(' ')"


@pytest.fixture(scope="module")
def seen_shapes() -> set[str]:
    return set()


@pytest.mark.parametrize("who", PEOPLE)
def test_no_page_has_a_serious_fault_nor_scrolls_sideways_on_a_phone(
    worked: World, browser: Browser, address: str, who: str, seen_shapes: set[str]
) -> None:
    wrong: list[str] = []
    with tab(browser, address, width=PHONE) as (page, seen):
        log_in(page, who)
        for path in pages_of(worked, page):
            over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            wrong += [f"{path}: {over} px too wide"] if over > 0 else []
            shape = page.evaluate(SHAPE)
            if shape not in seen_shapes:
                seen_shapes.add(shape)
                wrong += [f"{path}: {fault}" for fault in faults(page)]
        assert seen.complaints == []
    assert wrong == [], "\n".join(wrong)


def test_in_the_dark_every_text_can_be_read(browser: Browser, address: str) -> None:
    with tab(browser, address) as (page, _):
        page.emulate_media(color_scheme="dark")
        log_in(page, "olga")
        page.goto("/style")
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(228, 233, 238)"
        assert faults(page) == []
