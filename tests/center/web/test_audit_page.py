# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit log is filtered by person, action and days, and says sentences."""

from __future__ import annotations

import re

from tests.center.web.web_world import World


def rows_of(world: World, query: str) -> list[str]:
    with world.browser("aldo", "zh") as browser:
        page = browser.get(f"/audit?{query}").text
    return re.findall(r"<tr><td class=\"n\">.*?</tr>", page, re.DOTALL)


def test_only_what_somebody_did_of_a_kind_on_a_day_is_shown(worked: World) -> None:
    settled = rows_of(worked, "who=olga&action=run.settle&since=2026-07-06&until=2026-07-06")
    assert settled
    assert all("olga" in row and "结算运行" in row for row in settled)
    assert rows_of(worked, "who=anna&action=run.settle") == []
    assert rows_of(worked, "who=olga&action=run.settle&until=2026-07-05") == []
    assert rows_of(worked, "who=olga&action=run.settle&since=2026-07-07") == []


def test_details_are_words_and_no_json(worked: World) -> None:
    rows = rows_of(worked, "")
    assert rows
    assert not [row for row in rows if "{" in re.sub(r"<[^>]+>", "", row)]


def test_rest_takes_the_same_filters(worked: World) -> None:
    with worked.browser() as browser:
        found = browser.get("/api/v1/audit?who=olga&action=run.settle", headers=worked.token_of("aldo")).json()
        assert found["items"]
        assert {(each["who"], each["action"]) for each in found["items"]} == {("olga", "run.settle")}
        at = found["items"][-1]["at_ms"]
        none = browser.get(f"/api/v1/audit?who=olga&to_ms={at}&action=run.settle", headers=worked.token_of("aldo"))
        assert none.json()["items"] == []
