# SPDX-License-Identifier: GPL-3.0-or-later
"""A file dragged onto the page of imports, in a real browser: its kind is recognised, its effects are previewed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from collector.center.inputs.imports import list_imports
from tests.center.runs.center_months import take
from tests.center.web.web_browser import log_in, site, tab
from tests.center.web.web_world import REGISTER, World, world
from tests.headless import chromium

HEAD = "unit,kind,start,end,power_mw\n"
HOUR = "U2,spinning,2026-03-01T{:02}:00:00+08:00,2026-03-01T{:02}:00:00+08:00,{}\n"
IN_FORCE = HEAD + HOUR.format(8, 9, 20) + HOUR.format(9, 10, 20)
# The first hour is there, the second claims the place of the one in force, the third is new.
DRAGGED = HEAD + HOUR.format(8, 9, 20) + HOUR.format(9, 10, 30) + HOUR.format(10, 11, 30)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("state")) as made:
        take(made.store, "register", REGISTER)
        take(made.store, "reserve", IN_FORCE)
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


def drag(page: Page, file: Path, onto: str) -> None:
    """Drag a file of the disk over the page and let it go, as the browser is told of it by the desktop."""
    box = page.locator(onto).bounding_box()
    assert box is not None
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
    devtools = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        devtools.send("Input.dispatchDragEvent", {"type": kind, **place, "data": data})


# On the field, and beside it on the form: a browser would leave the page for a file let go there.
@pytest.mark.parametrize("onto", ["form.drop input[type=file]", "form.drop .hint"])
@pytest.mark.parametrize(
    ("language", "kind", "figures"),
    [
        ("zh", "备用安排 共 3 行 · 2026-03", {"新增": "2", "相同行": "1", "替换": "1"}),
        ("en", "reserve 3 rows · 2026-03", {"New": "2", "There already": "1", "Would take the place of": "1"}),
    ],
)
def test_a_dragged_file_is_recognised_and_previewed(
    own: World, browser: Browser, tmp_path: Path, onto: str, language: str, kind: str, figures: dict[str, str]
) -> None:
    imports = own.store.read(list_imports)
    (tmp_path / "three hours.csv").write_text(DRAGGED, "utf-8")
    with site(own) as address, tab(browser, address) as (page, seen):
        log_in(page, "olga")
        page.goto(f"/imports?lang={language}")
        drag(page, tmp_path / "three hours.csv", onto)
        page.wait_for_url("**/imports/pending/*")
        expect(page.get_by_role("heading", level=1)).to_contain_text("three hours.csv")
        expect(page.locator("h2").first).to_have_text(kind)
        cards = page.locator(".card")
        shown = [cards.nth(place).inner_text().split("\n") for place in range(cards.count())]
        assert {head: figure for head, *_, figure in shown} == figures
        expect(page.locator("table", has_text="10:00").last.locator("tbody tr")).to_have_count(3)
        assert seen.complaints == []
    assert own.store.read(list_imports) == imports
