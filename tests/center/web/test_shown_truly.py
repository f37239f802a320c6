# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures that don't say more than is so: completeness, lateness, what is over, axes, limits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from collector.center.web.quality.pages_completeness import MapSquare, cell
from tests.center.made_month import MAY, add_run, on
from tests.center.web.web_browser import log_in, site, tab
from tests.center.web.web_world import JUNE, World, world
from tests.headless import chromium

HERE = f"/months/{MAY}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


@pytest.mark.parametrize(
    ("known", "elapsed", "shade", "text"),
    [
        (1440, 1440, "c4", "100"),
        (1439, 1440, "c4", "99.93"),
        (9_999, 10_000, "c4", "99.99"),
        (999_999, 1_000_000, "c4", "99.99"),
        (9_989, 10_000, "c3", "99.89"),
        (9_900, 10_000, "c3", "99.00"),
        (9_899, 10_000, "c3", "98"),
        (9_799, 10_000, "c2", "97"),
        (1, 1440, "c0", "<1"),
        (0, 1440, "c0", "0"),
        (0, 0, "cx", ""),
    ],
)
def test_a_share_is_cut_and_its_colour_is_that_of_the_exact_share(
    known: int, elapsed: int, shade: str, text: str
) -> None:
    assert cell(known, elapsed) == MapSquare(shade, text)


def test_a_complete_day_says_that_it_is(worked: World) -> None:
    """U2 sent all day on the 2nd, nothing on the 20th."""
    with worked.browser("olga", "en") as client:
        whole = client.get(f"{JUNE}/completeness/2026-06-02/P1/U2").text
        hole = client.get(f"{JUNE}/completeness/2026-06-20/P1/U2").text
    said = "Complete: nothing is missing on this day."
    assert said not in hole
    assert "Nothing here" not in whole


@pytest.fixture
def late(tmp_path: Path) -> Iterator[World]:
    """May 2026 with a trial run, and nothing disclosed by the 16th of June."""
    with world(tmp_path / "state") as made:
        made.clock.now_ms = on(5)
        add_run(made.store)
        made.clock.now_ms = on(16)
        yield made


def test_lateness_is_said_in_words_and_what_nobody_does_is_over_not_done(late: World) -> None:
    with late.browser("olga", "zh") as client:
        page = client.get(HERE).text
    assert "逾期 6 天" in page
    assert "-6" not in page
    row = page[page.index("复核申请截止") :]
    row = row[: row.index("</tr>")]
    assert "已过" in row
    assert "已办" not in row


def test_axes_are_in_ten_thousand_yuan_and_limits_are_told_apart(worked: World, browser: Browser) -> None:
    with site(worked) as address, tab(browser, address) as (page, seen):
        log_in(page, "olga")
        page.goto(f"{JUNE}/runs/{worked.run_id}")
        expect(page.locator("#bars .ytitle")).to_have_text("万元")
        ticks = page.locator("#bars .ytick").all_text_contents()
        assert ticks
        assert not any(letter in "".join(ticks) for letter in "kMG")
        page.goto(f"{JUNE}/runs/{worked.run_id}/days/U0/2026-06-03")
        page.wait_for_selector("#day .main-svg")
        styles = page.evaluate(  # a limit is one value from midnight to midnight; output and plan have many
            "document.getElementById('day').data"
            ".filter(t => t.mode == 'lines' && t.hovertemplate.endsWith(' MW<extra></extra>')"
            " && new Set(t.y).size == 1)"
            ".map(t => t.line.color + t.line.dash)"
        )
        named = page.locator("#day .annotation").count()
        assert len(styles) == len(set(styles)) == named >= 3
        assert seen.complaints == []
