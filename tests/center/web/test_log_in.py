# SPDX-License-Identifier: GPL-3.0-or-later
"""Logging in and out, sessions, forms of other sites, the language, the headers of every answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.center.people.sessions import session_actor
from collector.center.web.people.pages_account import own_path
from collector.center.web.session import SESSION_COOKIE
from collector.model.interval import HOUR_MS
from tests.center.web.web_world import PASSWORD, World, csrf_in, world


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("state")) as made:
        yield made


def test_who_is_not_logged_in_is_led_to_the_log_in_and_then_on(shared: World) -> None:
    with shared.browser() as browser:
        led = browser.get("/audit?subject=x")
        assert (led.status_code, led.headers["location"]) == (303, "/login?next=%2Faudit%3Fsubject%3Dx")
        page = browser.get(led.headers["location"])
        form = {"name": "aldo", "password": PASSWORD, "csrf": csrf_in(page.text)}
        done = browser.post(led.headers["location"], data=form)
        assert (done.status_code, done.headers["location"]) == (303, "/audit?subject=x")
        cookie = done.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        assert browser.get("/audit").status_code == 200


def test_a_wrong_password_says_no_more_than_a_wrong_name(shared: World) -> None:
    with shared.browser() as browser:
        csrf = csrf_in(browser.get("/login").text)
        wrong = browser.post("/login", data={"name": "aldo", "password": "x", "csrf": csrf})
        nobody = browser.post("/login", data={"name": "nobody", "password": "x", "csrf": csrf})
        assert wrong.status_code == nobody.status_code == 403
        told = [
            re.sub('name="once" value="[^"]*"', "", page.text.replace("aldo", "nobody")) for page in (wrong, nobody)
        ]
        assert told[0] == told[1]


def test_too_many_failures_are_slowed_down(tmp_path: Path) -> None:
    with world(tmp_path) as own, own.browser() as browser:
        form = {"name": "aldo", "password": "x", "csrf": csrf_in(browser.get("/login").text)}
        codes = [browser.post("/login", data=form).status_code for _ in range(11)]
        assert codes == [403] * 10 + [429]
        assert browser.post("/login", data=form | {"password": PASSWORD}).status_code == 429


def test_after_logging_out_the_session_is_over_everywhere(shared: World) -> None:
    with shared.browser() as browser:
        form = {"name": "rita", "password": PASSWORD, "csrf": csrf_in(browser.get("/login").text)}
        browser.post("/login", data=form)
        secret = browser.cookies[SESSION_COOKIE]
        page = browser.get("/account")
        assert browser.post("/logout", data={"csrf": csrf_in(page.text)}).status_code == 303
        browser.cookies.set(SESSION_COOKIE, secret)
        assert browser.get("/account").status_code == 303


@pytest.mark.parametrize("csrf", ["", "0" * 64, "é" * 64])
def test_a_form_of_another_site_is_refused(shared: World, csrf: str) -> None:
    with shared.browser("olga") as browser:
        refused = browser.post("/account/tokens", data={"name": "x", "days": "1", "csrf": csrf})
        assert refused.status_code == 403
        assert "ct_" not in refused.text


def test_the_form_of_one_person_is_refused_from_another(shared: World) -> None:
    with shared.browser("olga") as browser:
        form = {"name": "x", "days": "1", "csrf": shared.csrf_of("anna")}
        assert browser.post("/account/tokens", data=form).status_code == 403


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "x", "/a\nb", ""])
def test_the_log_in_leads_nowhere_else(target: str) -> None:
    assert own_path(target) == "/"


def test_the_language_is_chinese_until_switched_and_then_remembered(shared: World) -> None:
    with shared.browser("aldo") as browser:
        assert "我的账号" in browser.get("/account").text
        assert "My account" in browser.get("/account?lang=en").text
        assert "My account" in browser.get("/account").text
        assert "我的账号" in browser.get("/account?lang=zh").text
        assert "我的账号" in browser.get("/account?lang=xx").text


def test_every_answer_carries_the_headers_that_keep_others_out(shared: World) -> None:
    with shared.browser("aldo") as browser:
        for path in ("/account", "/nope", "/static/center.css", "/login"):
            headers = browser.get(path).headers
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "http" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
        assert browser.get("/account").headers["cache-control"] == "no-store"
        assert "strict-transport-security" not in browser.get("/account").headers


def test_behind_tls_cookies_and_pages_stay_there(tmp_path: Path) -> None:
    with world(tmp_path, tls_in_front=True) as own, own.browser() as browser:
        page = browser.get("/login")
        assert page.headers["strict-transport-security"].startswith("max-age=")
        assert "secure" in page.headers["set-cookie"].lower()


def test_supervision_answers_this_machine_only(shared: World) -> None:
    with shared.browser() as browser:
        # The client of these tests has a name for an address, which is not this machine.
        assert browser.get("/healthz").status_code == 403
        assert browser.get("/readyz", headers={"x-forwarded-for": "127.0.0.1"}).status_code == 403


def test_a_body_that_is_too_large_is_refused(shared: World) -> None:
    with shared.browser("olga") as browser:
        form = {"csrf": shared.csrf_of("olga"), "name": "x" * 2_000_000, "days": "1"}
        assert browser.post("/account/tokens", data=form).status_code == 413


def test_a_token_is_shown_once_and_opens_nothing_after_it_is_revoked(shared: World) -> None:
    with shared.browser("olga") as browser:
        csrf = shared.csrf_of("olga")
        made = browser.post("/account/tokens", data={"csrf": csrf, "name": "夜间", "days": "7", "scope_read": "1"})
        assert (made.status_code, made.headers["location"]) == (303, "/account")
        assert "ct_" in browser.get("/account").text
        page = browser.get("/account").text
        assert "夜间" in page
        assert "ct_" not in page
        number = page.split("/account/tokens/")[1].split("/")[0]
        assert browser.post(f"/account/tokens/{number}/revoke", data={"csrf": csrf}).status_code == 303
    with shared.browser("paul") as browser:
        other = browser.post(f"/account/tokens/{number}/revoke", data={"csrf": shared.csrf_of("paul")})
        assert other.status_code == 403


def test_a_changed_password_ends_every_session_and_revokes_every_token(tmp_path: Path) -> None:
    with world(tmp_path) as own, own.browser("olga") as browser:
        token = own.token_of("olga")
        assert browser.get("/api/v1/me", headers=token).status_code == 200
        csrf = own.csrf_of("olga")
        form = {"csrf": csrf, "current": PASSWORD, "new": "another long one", "again": "another long one"}
        assert browser.post("/account/password", data=form | {"current": "wrong"}).status_code == 422
        assert browser.post("/account/password", data=form | {"again": "different"}).status_code == 422
        assert browser.post("/account/password", data=form | {"new": "short", "again": "short"}).status_code == 422
        assert "revokes all its tokens" in browser.get("/account?lang=en").text
        assert browser.post("/account/password", data=form).status_code == 303
        assert browser.get("/account").status_code == 303
        assert browser.get("/api/v1/me", headers=token).status_code == 401


def test_an_administrator_gives_another_role_and_what_was_open_is_closed(tmp_path: Path) -> None:
    with world(tmp_path) as own, own.browser("admin") as browser:
        token, csrf = own.token_of("paul"), own.csrf_of("admin")
        session = own.session_of("paul")
        assert "ends its sessions and revokes its tokens" in browser.get("/users?lang=en").text
        form = {"csrf": csrf, "role": "auditor", "plant": ""}
        assert browser.post("/users/admin/role", data=form).status_code == 422
        assert browser.post("/users/paul/role", data=form | {"role": "king"}).status_code == 422
        assert browser.post("/users/paul/role", data=form | {"plant": "P1"}).status_code == 422
        assert session_actor(own.store, session, max_ms=HOUR_MS) is not None
        assert browser.post("/users/paul/role", data=form).status_code == 303
        assert session_actor(own.store, session, max_ms=HOUR_MS) is None
        assert browser.get("/api/v1/me", headers=token).status_code == 401
