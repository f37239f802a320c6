# SPDX-License-Identifier: GPL-3.0-or-later
"""A step against the calendar on the month's board and by REST: asked for its reason, and shown with it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from collector.base.resources import config_path
from collector.center.month.transitions import propose_step
from collector.center.people.access import Actor
from collector.center.runs.month_state import MonthStage
from collector.center.web.app import build_app
from tests.center.made_month import DAYS, MAY, add_run, on
from tests.center.web.web_world import World, world

HERE = f"/months/{MAY}"


@pytest.fixture
def late(tmp_path: Path) -> Iterator[World]:
    """May 2026 settled in time, and not disclosed by the 10th of June."""
    with world(tmp_path / "state") as made:
        made.clock.now_ms = on(5)
        made.run_id = add_run(made.store)
        made.clock.now_ms = on(12)
        yield made


def test_the_board_says_that_a_reason_is_needed_and_shows_it_to_who_approves(late: World) -> None:
    with late.browser("olga", "en") as browser:
        page = browser.get(HERE).text
        assert "Today this step needs a reason: disclosed on 2026-06-12, due by 2026-06-10" in page
        form = {"csrf": late.csrf_of("olga"), "to": "disclosed", "run": str(late.run_id)}
        refused = browser.post(f"{HERE}/step", data=form)
        assert (refused.status_code, "needs a stated reason" in refused.text) == (409, True)
        assert browser.post(f"{HERE}/step", data=form | {"reason": "meter data came late"}).status_code == 303
    with late.browser("anna", "zh") as browser:
        page = browser.get(HERE).text
        assert "与日历不符：2026-06-12 披露，期限为 2026-06-10" in page
        assert "meter data came late" in page
        assert "逾期办结" not in page
        form = {"csrf": late.csrf_of("anna"), "decision": "approve"}
        assert browser.post("/proposals/1/decide", data=form).status_code == 303
        assert "逾期办结" in browser.get(HERE).text


def test_the_audit_page_says_what_came_from_the_command_line_and_by_which_login(late: World) -> None:
    li = Actor.at_command_line("li", "root@center")
    late.store.write(
        lambda c: propose_step(
            c, MAY, MonthStage.DISCLOSED, actor=li, now_ms=late.clock.now_ms, days=DAYS, run_id=late.run_id, reason="x"
        )
    ).result()
    with late.browser("aldo", "zh") as browser:
        page = browser.get("/audit").text
        assert "系统用户 root@center" in page
        assert "命令行" in page


def test_by_rest_too_and_never_before_the_month_is_over(late: World) -> None:
    address, olga = f"/api/v1{HERE}/steps", late.token_of("olga")
    step = {"to": "disclosed", "run_id": late.run_id}
    with late.browser() as client:
        refused = client.post(address, json=step, headers=olga)
        assert (refused.status_code, "needs a stated reason" in refused.json()["message"]) == (409, True)
        late.clock.now_ms = on(1, hour=0) - 1
        refused = client.post(address, json=step | {"reason": "x"}, headers=late.token_of("olga"))
        assert (refused.status_code, "is not over before 2026-06-01" in refused.json()["message"]) == (409, True)
        late.clock.now_ms = on(12)
        made = client.post(address, json=step | {"reason": "meter data came late"}, headers=olga)
        assert made.status_code == 200
        decided = client.post(
            f"/api/v1{HERE}/proposals/{made.json()['id']}/decide", json={"granted": True}, headers=late.token_of("anna")
        )
        assert decided.status_code == 200
        (taken,) = client.get(address, headers=olga).json()["items"]
        assert taken["reason"] == "meter data came late"


def with_rulebook(made: World, rules: Path) -> World:
    """The same center settling by a rulebook of its own."""
    center = made.settings.center.model_copy(update={"rulebook_dir": str(rules)})
    settings = made.settings.model_copy(update={"center": center})
    return replace(made, app=build_app(made.store, settings), settings=settings)


def test_the_days_are_those_of_the_rulebook_months_are_settled_by(late: World, tmp_path: Path) -> None:
    rules = Path(shutil.copytree(config_path("rules/east-china-trial"), tmp_path / "rules"))
    file = rules / "article-26.toml"
    shipped = file.read_text("utf-8")
    file.write_text(shipped.replace('value = "10"', 'value = "12"'), "utf-8")
    late = with_rulebook(late, rules)
    with late.browser("olga", "en") as browser:
        assert "Today this step needs a reason" not in browser.get(HERE).text
        assert browser.get(f"/api/v1{HERE}/duties").json()["items"][0]["due"] == "2026-06-12"
        # Without the value the month can be worked on, as in a year without a calendar: with a reason.
        file.unlink()
        page = browser.get(HERE).text
        assert "disclosure.day: the calendar needs it, and rulebook east-china-trial lacks it" in page
        assert "whether the step is in time can&#39;t be told" in page
        form = {"csrf": late.csrf_of("olga"), "to": "disclosed", "run": str(late.run_id)}
        assert browser.post(f"{HERE}/step", data=form).status_code == 409
        # A damaged one is named on the board; the step is refused with what is wrong.
        file.write_text(shipped.replace('value = "10"', 'value = "40"'), "utf-8")
        assert "expected a whole number from 1 to 31" in browser.get(HERE).text
        assert browser.post(f"{HERE}/step", data=form | {"reason": "x"}).status_code == 422
        file.write_text(shipped, "utf-8")
        assert browser.post(f"{HERE}/step", data=form | {"reason": "x"}).status_code == 303
