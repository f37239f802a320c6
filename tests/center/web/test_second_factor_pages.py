# SPDX-License-Identifier: GPL-3.0-or-later
"""The second factor in a browser: set up, asked for, demanded by a setting; and what a token may not do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from collector.center.people.tokens import create_token
from collector.center.web.guards import Open
from collector.center.web.session import SESSION_COOKIE
from tests.center.web.web_world import PASSWORD, World, code_of, csrf_in, routes_of, world


def set_up(own: World, browser: Any, name: str) -> tuple[str, list[str]]:
    """Set it up as a person does; the key, and the recovery codes shown."""
    page = browser.get("/account?lang=en").text
    key = re.search(r'name="key" value="(\w{32})"', page)
    assert key
    assert key[1] in re.sub(r"\s", "", page.partition('id="factor-key">')[2].partition("</code>")[0])
    form = {"csrf": own.csrf_of(name), "key": key[1], "current": PASSWORD, "code": code_of(own, key[1])}
    assert browser.post("/account/second-factor", data=form | {"current": "wrong"}).status_code == 422
    assert browser.post("/account/second-factor", data=form | {"code": "no code"}).status_code == 422
    done = browser.post("/account/second-factor", data=form)
    assert (done.status_code, done.headers["location"]) == (303, "/account")
    return key[1], re.findall(r'<code class="recovery">([0-9a-f-]+)</code>', browser.get("/account").text)


def log_in(browser: Any, name: str, code: str) -> int:
    """Try to log in beside who is logged in; the status."""
    present = browser.cookies.get(SESSION_COOKIE)
    browser.cookies.delete(SESSION_COOKIE)
    form = {"csrf": csrf_in(browser.get("/login").text), "name": name, "password": PASSWORD, "code": code}
    status = browser.post("/login", data=form).status_code
    browser.cookies.clear()
    browser.cookies.set(SESSION_COOKIE, present)
    return int(status)


def test_who_set_one_up_logs_in_with_a_code_and_without_the_device_by_a_recovery_code(tmp_path: Path) -> None:
    with world(tmp_path) as own, own.browser("anna") as browser:
        assert log_in(browser, "anna", "") == 303
        key, recovery = set_up(own, browser, "anna")
        assert len(recovery) == 10
        assert recovery[0] not in browser.get("/account").text
        assert (log_in(browser, "anna", ""), log_in(browser, "anna", code_of(own, key, 1))) == (403, 303)
        assert (log_in(browser, "anna", recovery[0]), log_in(browser, "anna", recovery[0])) == (303, 403)
        form = {"csrf": own.csrf_of("anna"), "current": PASSWORD, "code": recovery[1]}
        assert browser.post("/account/second-factor/remove", data=form).headers["location"].startswith("/login")
        assert browser.get("/account").status_code == 303
        assert log_in(browser, "anna", "") == 303


def test_an_administrator_removes_it_for_who_lost_device_and_codes(tmp_path: Path) -> None:
    with world(tmp_path) as own, own.browser("anna") as browser:
        set_up(own, browser, "anna")
        browser.cookies.set(SESSION_COOKIE, own.session_of("admin"))
        assert 'action="/users/anna/second-factor/remove"' in browser.get("/users").text
        form = {"csrf": own.csrf_of("admin")}
        assert browser.post("/users/anna/second-factor/remove", data=form).status_code == 303
        browser.cookies.set(SESSION_COOKIE, own.session_of("anna"))
        assert browser.get("/account").status_code == 303
        assert log_in(browser, "anna", "") == 303


def test_where_it_is_required_three_roles_do_nothing_before_it_is_set_up(tmp_path: Path) -> None:
    with world(tmp_path, second_factor_required=True) as own:
        for name in ("anna", "rita", "admin"):
            with own.browser(name) as browser:
                first = browser.get("/months")
                assert (first.status_code, first.headers["location"]) == (303, "/account?notice=factor_needed")
                assert browser.get("/api/v1/me", headers=own.token_of(name)).status_code == 403
                for route in routes_of(own.app):
                    assert route.needs is not None
                    excepted = route.needs.what is Open.PUBLIC or route.needs.without_factor
                    if route.method == "POST" and not excepted:
                        answer = browser.post(route.path, data={"csrf": own.csrf_of(name)})
                        assert answer.status_code == 403, (name, route)
                set_up(own, browser, name)
                assert browser.get("/months").headers["location"] != first.headers["location"]
                assert browser.get("/api/v1/me", headers=own.token_of(name)).status_code == 200
        with own.browser("olga") as browser:
            assert browser.get("/api/v1/me", headers=own.token_of("olga")).status_code == 200


@pytest.mark.parametrize("path", ["/api/v1/tokens", "/account/tokens", "/account/password", "/account/second-factor"])
def test_a_token_makes_no_token_and_changes_nothing_of_how_its_person_logs_in(path: str, tmp_path: Path) -> None:
    with world(tmp_path) as own, own.browser() as browser:
        sent: dict[str, Any] = {"json": {"name": "child", "days": 400}} if path.startswith("/api") else {"data": {}}
        answer = browser.post(path, headers=own.token_of("admin"), **sent)
        assert answer.status_code == 403
        assert "令牌" in answer.text or "token" in answer.text


def test_a_session_makes_a_token_of_a_scope_and_the_token_does_no_more(tmp_path: Path) -> None:
    with world(tmp_path) as own, own.browser("olga") as browser:
        asked = {"name": "plans", "days": 7, "scope": ["import"]}
        made = browser.post("/api/v1/tokens", json=asked, headers={"x-csrf-token": own.csrf_of("olga")})
        bearer = {"authorization": f"Bearer {made.json()['token']}"}
        browser.cookies.clear()
        assert browser.get("/api/v1/me", headers=bearer).json()["permissions"] == ["import"]
        assert browser.get("/api/v1/imports", headers=bearer).status_code == 403
        assert browser.post("/api/v1/months/2026-03/settle", headers=bearer, json={}).status_code == 403
        taken = browser.post("/api/v1/imports/orders?name=o.csv", headers=bearer, content=b"id,unit,kind,start,end\n")
        assert taken.status_code != 403
        listed = browser.get("/api/v1/tokens", headers=own.token_of("olga")).json()["items"]
        assert [each["scope"] for each in listed] == ["import", "read import settle prepare review"]


def test_a_token_of_a_past_role_is_dead_and_one_made_for_another_fits_that_ones_role(tmp_path: Path) -> None:
    with world(tmp_path) as own:
        admin, now_ms = own.actor("admin"), own.clock.now_ms
        secret = own.store.write(
            lambda c: create_token(c, actor=admin, account_name="paul", name="t", scope=["read"], days=9, now_ms=now_ms)
        ).result()
        with own.browser("admin") as browser:
            bearer = {"authorization": f"Bearer {secret}"}
            assert browser.get("/api/v1/me", headers=bearer).json()["permissions"] == ["see_own"]
            form = {"csrf": own.csrf_of("admin"), "role": "plant", "plant": "P0"}
            assert browser.post("/users/paul/role", data=form).status_code == 303
            assert browser.get("/api/v1/me", headers=bearer).status_code == 401
