# SPDX-License-Identifier: GPL-3.0-or-later
"""Every page in a real browser: no serious fault of accessibility, nothing wider than the screen.

In CI one of each kind of people looks at all its pages on a phone. With BROWSER=1 (`make browser-test`) everybody does,
in both languages, on three widths, and a picture of each page is left in build/screens to be looked at.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.center.web.web_browser import chromium, log_in, site, tab
from tests.center.web.web_world import OTHER_PAGES, PEOPLE, World, pages_of_month

WIDTHS: Final = (480, 1280, 1920)  # a phone, a notebook, a screen on a desk; pixels
FULL: Final = bool(os.environ.get("BROWSER"))
LOOKED_AT: Final = (
    [(who, language, width) for who in PEOPLE for language in ("zh", "en") for width in WIDTHS]
    if FULL
    else [("olga", "zh", 480), ("petra", "en", 480), ("admin", "zh", 480)]
)
PICTURES: Final = Path(__file__).parents[3] / "build" / "screens"
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


@pytest.mark.parametrize(("who", "language", "width"), LOOKED_AT)
def test_no_page_has_a_serious_fault_nor_scrolls_sideways(
    worked: World, browser: Browser, address: str, who: str, language: str, width: int, seen_shapes: set[str]
) -> None:
    wrong: list[str] = []
    with tab(browser, address, width=width) as (page, seen):
        log_in(page, who)
        page.goto(f"/account?lang={language}")
        for path in pages_of(worked, page):
            over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            wrong += [f"{path}: {over} px too wide"] if over > 0 else []
            shape = page.evaluate(SHAPE)
            if shape not in seen_shapes:
                seen_shapes.add(shape)
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


def test_in_the_dark_every_text_can_be_read(browser: Browser, address: str) -> None:
    with tab(browser, address) as (page, _):
        page.emulate_media(color_scheme="dark")
        log_in(page, "olga")
        page.goto("/style")
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(228, 233, 238)"
        assert faults(page) == []
