# SPDX-License-Identifier: GPL-3.0-or-later
"""Who took which file is in the audit log, once, whichever way the file came."""

from __future__ import annotations

from typing import Any

import pytest

from collector.center.people import audit
from collector.center.web.routes import API
from tests.center.web.web_world import World, routes_of

HERE = "/months/2026-06"


def newest(world: World) -> dict[str, Any]:
    return world.store.read(lambda c: audit.list_entries(c, limit=1))[0]


def count(world: World) -> int:
    return world.store.read(audit.head)[0]


@pytest.mark.parametrize("name", ["lines.csv", "statement.xlsx"])
def test_a_file_of_the_statement_is_noted_with_who_took_it(worked: World, name: str) -> None:
    with worked.browser("aldo") as browser:
        before = count(worked)
        got = browser.get(f"{HERE}/runs/{worked.run_id}/files/{name}")
        assert got.status_code == 200
        assert count(worked) == before + 1
        entry = newest(worked)
        assert (entry["who"], entry["role"], entry["action"]) == ("aldo", "auditor", "file.hand_out")
        assert entry["subject"] == f"run {worked.run_id}"
        assert entry["detail"]["file"].endswith(name)
        assert entry["detail"]["via"] == "session"
    assert worked.store.read(audit.verify) == []


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_a_table_taken_as_a_file_is_noted_and_looked_at_is_not(worked: World, form: str) -> None:
    address = f"{API}/runs/{worked.run_id}/lines"
    with worked.browser() as browser:
        olga, paul = worked.token_of("olga"), worked.token_of("paul")
        before = count(worked)
        assert browser.get(address, headers=olga).status_code == 200
        assert count(worked) == before
        assert browser.get(f"{address}?format={form}", headers=olga).status_code == 200
        assert newest(worked)["detail"]["query"] == f"format={form}"
        assert browser.get(f"{address}?format={form}", headers=paul).status_code == 200
        assert (newest(worked)["who"], newest(worked)["detail"]["via"]) == ("paul", "token")
        assert count(worked) == before + 2


def test_what_is_refused_is_not_noted_as_handed_out(worked: World) -> None:
    with worked.browser("paul") as browser:
        before = count(worked)
        assert browser.get(f"{HERE}/runs/{worked.run_id}/files/lines.csv").status_code == 403
        assert browser.get(f"{API}/audit?format=csv").status_code == 403
        assert count(worked) == before


def test_a_package_is_noted_once(worked: World) -> None:
    with worked.browser("aldo") as browser:
        before = count(worked)
        form = {"csrf": worked.csrf_of("aldo")}
        assert browser.post(f"{HERE}/runs/{worked.run_id}/package", data=form).status_code == 200
        assert count(worked) == before + 1
        assert newest(worked)["action"] == "run.package"


def test_every_table_that_comes_as_a_file_is_noted(worked: World) -> None:
    """Walks the route table: a table added later is noted too."""
    walked = {route.path for route in routes_of(worked.app) if route.method == "GET" and route.api}
    taken = 0
    with worked.browser() as browser:
        headers = worked.token_of("aldo")
        for path in sorted(walked):
            before = count(worked)
            got = browser.get(path.replace("999999", str(worked.run_id)) + "?format=csv", headers=headers)
            if got.status_code == 200 and got.headers.get("content-disposition", "").startswith("attachment"):
                assert count(worked) == before + 1, path
                taken += 1
            else:
                assert count(worked) == before, path
    assert taken > 15
