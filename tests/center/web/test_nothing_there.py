# SPDX-License-Identifier: GPL-3.0-or-later
"""A month without data, a year the calendar does not know, a run cut off by a restart: told in the reader's words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from collector.center.runs.run_list import TRIAL, begin_run, enter_run, runs_folder
from collector.model.interval import Month
from tests.center.web.web_world import World, world


def main_of(page: str) -> str:
    """What a page says, without its frame and its marks."""
    return re.sub(r"<[^>]+>", " ", page.partition('<main id="main"')[2])


@pytest.mark.parametrize("who", ["olga", "petra"])
@pytest.mark.parametrize(
    ("section", "zh", "en"),
    [
        ("", "尚无可看的结算结果", "No statement to be seen yet"),
        ("/completeness", "没有 2026-01 的任何数据", "No records of 2026-01 are here."),
        ("/beside", "没有可查看的结算运行", "No run that you may see"),
        ("/running", "尚未结算", "Not settled up to now yet"),
    ],
)
def test_a_month_without_data_says_so(worked: World, who: str, section: str, zh: str, en: str) -> None:
    for language, told in (("zh", zh), ("en", en)):
        with worked.browser(who, language) as browser:
            answer = browser.get(f"/months/2026-01{section}")
            assert answer.status_code == 200
            assert told in main_of(answer.text), main_of(answer.text)


def test_a_year_that_the_calendar_does_not_know_is_said_on_the_board(worked: World) -> None:
    for language, told in (("zh", "2035"), ("en", "2035")):
        with worked.browser("olga", language) as browser:
            answer = browser.get("/months/2035-05")
            assert answer.status_code == 200
            (why,) = re.findall(r'<p class="warned">([^<]*2035[^<]*)</p>', answer.text)
            assert told in why
            assert why.isascii() == (language == "en"), why


def test_a_run_cut_off_by_a_restart_is_on_the_board_and_leaves_nothing(tmp_path: Path) -> None:
    """Its process is gone: nobody holds its lock."""
    month = Month(2026, 6)
    with world(tmp_path) as own:
        folder = runs_folder(own.store.directory) / "2026-06-half-made"
        folder.mkdir(parents=True)
        (folder / "left.bin").write_bytes(b"x")

        def ask(connection):  # type: ignore[no-untyped-def]
            number = enter_run(
                connection, month=month, kind=TRIAL, who="olga", note="", base_run_id=None, now_ms=own.clock.now_ms,
                job="j", worker="gone",
            )  # fmt: skip
            begin_run(connection, number, folder.name, now_ms=own.clock.now_ms)
            return number

        number = own.store.write(ask).result()
        for language, told in (("zh", "中断"), ("en", "was interrupted before it was done; settle again")):
            with own.browser("olga", language) as browser:
                assert told in main_of(browser.get(f"/months/{month}").text)
        with own.browser() as browser:
            found = browser.get(f"/api/v1/runs/{number}", headers=own.token_of("olga")).json()
        assert (found["state"], found["progress"]) == ("interrupted", None)
        assert not folder.exists()
