# SPDX-License-Identifier: GPL-3.0-or-later
"""Every form of the pages, sent twice: done once, and led on both times; and one whose session has ended, kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from litestar import Litestar
from litestar.testing import TestClient
from sqlalchemy import func, select

from collector.center.db.all_tables import metadata
from collector.center.people.four_eyes import list_proposals
from collector.center.people.sessions import IDLE_MS
from collector.center.receive.admission import plants_of
from collector.center.receive.keys import list_keys
from collector.center.runs.run_list import list_asked
from collector.center.runs.stored_run import open_run
from collector.center.web.app import build_app
from collector.center.web.session import SESSION_COOKIE, csrf_of
from tests.center.web.conftest import june_world
from tests.center.web.web_world import PASSWORD, World, code_of, csrf_in, settings_of
from tests.patience import wait_until

JUNE = "/months/2026-06"
UNCOUNTED = ("session", "login_failure", "sent_form", "day_result", "file_facts")  # what a look alone may change
DONE = 303


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """June disclosed; nobody else's."""
    with june_world(tmp_path_factory.mktemp("forms")) as made:
        yield made


@dataclass(frozen=True)
class Form:
    """A form as somebody fills it in. `path` and `fields` may ask the center what the forms before have made."""

    route: str
    who: str
    path: str | Callable[[World], str]
    fields: dict[str, str] | Callable[[World], dict[str, str]] = field(default_factory=dict)
    file: tuple[str, bytes] | None = None
    status: int = DONE


def proposal_of(own: World, kind: str) -> int:
    return own.store.read(lambda c: list_proposals(c, kind=kind, open_only=True))[0].id


def last(own: World, table: str) -> int:
    return int(own.store.read(lambda c: c.execute(select(func.max(metadata.tables[table].c.id))).scalar()) or 0)


def pending(own: World) -> list[str]:
    """Files that were looked at and are not taken."""
    folder = own.store.directory / "pending"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def waiting(own: World) -> str:
    [found] = pending(own)
    return found


def pem() -> str:
    public = Ed25519PrivateKey.from_private_bytes(b"7" * 32).public_key()
    kinds = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return public.public_bytes(*kinds).decode()


def key_of(own: World) -> str:
    [found] = own.store.read(lambda c: list_keys(c, plants_of(own.settings)))
    return str(found["key_id"])


def factor_of(own: World) -> dict[str, str]:
    key = "A" * 32
    return {"key": key, "current": PASSWORD, "code": code_of(own, key)}


def asked(own: World) -> dict[str, str]:
    return {
        "run": str(own.run_id), "unit": "U2", "service": service_of(own), "from": "2026-06-03T10:00",
        "to": "2026-06-03T12:00", "claim_kind": "quantity", "claim_value": "1", "text": "the meter was right",
    }  # fmt: skip


def service_of(own: World) -> str:
    return open_run(own.store, own.run_id).lines_of("U2")[0].service


USER = {"name": "nina", "full_name": "Nina", "role": "operator", "password": PASSWORD}
SPAN = {"unit": "U2", "from": "2026-06-10T10:00", "to": "2026-06-10T11:00"}
SUBSTITUTE = SPAN | {"quantity": "active_power_mw", "value": "300.5", "method": "report", "reason": "failed"}
PLAN = b"unit,start,end,power_mw\nU2,2026-07-02T00:00:00+08:00,2026-07-02T01:00:00+08:00,1\n"
LATER = PLAN.replace(b"2026-07-02", b"2026-07-03")
QUESTION = {"unit": "U2", "day": "2026-06-03", "service": "", "text": "why so little"}
EXCLUSION = b"unit,service,start,end,reason\nU2,*,2026-06-03T10:00:00+08:00,2026-06-03T11:00:00+08:00,test\n"


FORMS = (
    Form("/users", "admin", "/users", USER),
    Form("/users/{name:str}/password", "admin", "/users/nina/password", {"password": PASSWORD + "x"}),
    Form("/users/{name:str}/role", "admin", "/users/nina/role", {"role": "auditor"}),
    Form("/users/{name:str}/disable", "admin", "/users/nina/disable"),
    Form("/account/second-factor", "aldo", "/account/second-factor", factor_of),
    Form("/users/{name:str}/second-factor/remove", "admin", "/users/aldo/second-factor/remove"),
    Form("/account/tokens", "olga", "/account/tokens", {"name": "夜间", "days": "7", "scope_read": "1"}),
    Form("/account/tokens/{number:int}/revoke", "olga", lambda own: f"/account/tokens/{last(own, 'token')}/revoke"),
    Form("/kept-form/discard", "olga", "/kept-form/discard"),
    Form("/keys", "admin", "/keys", {"plant": "P1", "pem": pem()}),
    Form("/keys/{key_id:str}/revoke", "admin", lambda own: f"/keys/{key_of(own)}/revoke",
         {"plant": "P1", "reason": "x"}),
    Form("/quarantine/readmit", "olga", "/quarantine/readmit"),
    Form("/imports", "olga", "/imports", {"kind": "plan"}, ("plan.csv", PLAN)),
    Form("/imports/{number:int}/undo", "olga", lambda own: f"/imports/{last(own, 'imported')}/undo", {"reason": "x"}),
    Form("/imports/check", "olga", "/imports/check", file=("later.csv", LATER)),
    Form("/imports/pending/{token:str}", "olga", lambda own: f"/imports/pending/{waiting(own)}",
         {"do": "take", "kind": "plan"}),
    Form("/imports/check", "olga", "/imports/check", {"kind": "plan"}, ("not.csv", LATER)),
    Form("/imports/pending/{token:str}/effect", "olga", lambda own: f"/imports/pending/{waiting(own)}/effect",
         {"kind": "plan", "month": "2026-06"}),
    Form("/imports/pending/{token:str}", "olga", lambda own: f"/imports/pending/{waiting(own)}", {"do": "forget"}),
    Form("/asks", "olga", "/asks", SPAN, status=422),  # there is no broker here: nothing was asked
    Form("/substitutions", "olga", "/substitutions", SUBSTITUTE),
    Form("/substitutions/{number:int}/decide", "anna", "/substitutions/1/decide", {"decision": "grant"}),
    Form("/substitutions/{number:int}/withdraw", "olga", "/substitutions/1/withdraw", {"reason": "found"}),
    Form("/substitutions/{number:int}/withdraw/decide", "anna", "/substitutions/1/withdraw/decide",
         {"decision": "grant"}),
    Form("/months/{month:str}/reviews", "paul", f"{JUNE}/reviews", asked, ("meter.txt", b"as read")),
    Form("/reviews/{number:int}/files", "paul", "/reviews/1/files", file=("photo.txt", b"as seen")),
    Form("/reviews/{number:int}/files", "olga", "/reviews/1/files", {"input_kind": "exclusions"}, ("e.csv", EXCLUSION)),
    Form("/reviews/{number:int}/try", "olga", "/reviews/1/try"),
    Form("/reviews/{number:int}/answer", "olga", "/reviews/1/answer", {"do": "refuse", "text": "no"}),
    Form("/reviews/decide", "anna", "/reviews/decide",
         lambda own: {"proposal": str(proposal_of(own, "review_decision")), "decision": "approve"}),
    Form("/reviews/{number:int}/appeal", "paul", "/reviews/1/appeal", {"do": "appeal", "text": "yes"}),
    Form("/reviews/{number:int}/rule", "rita", "/reviews/1/rule", {"decision": "grant", "text": "so", "document": "7"}),
    Form("/reviews/{number:int}/remedy", "olga", "/reviews/1/remedy"),
    Form("/reviews/{number:int}/carried-out", "olga", "/reviews/1/carried-out",
         lambda own: {"run_id": str(own.run_id), "text": "done"}),
    Form("/months/{month:str}/settle", "olga", f"{JUNE}/settle", {"note": "again"}),
    Form("/months/{month:str}/running", "olga", "/months/2026-07/running", {"days": "5"}),
    Form("/months/{month:str}/what-if", "olga", f"{JUNE}/what-if",
         lambda own: {"run": str(own.run_id), "kind": "exclusions"}, ("e.csv", EXCLUSION)),
    Form("/months/{month:str}/filings", "olga", f"{JUNE}/filings"),
    Form("/months/{month:str}/step", "olga", f"{JUNE}/step",
         lambda own: {"to": "filed", "run": str(own.run_id), "reason": "x", "document": "8"}),
    Form("/proposals/{number:int}/withdraw", "olga", lambda own: f"/proposals/{last(own, 'proposal')}/withdraw"),
    Form("/months/{month:str}/step", "olga", f"{JUNE}/step",
         lambda own: {"to": "filed", "run": str(own.run_id), "reason": "x", "document": "9"}),
    Form("/proposals/{number:int}/decide", "anna", lambda own: f"/proposals/{last(own, 'proposal')}/decide",
         {"decision": "approve", "document": "10"}),
    Form("/months/{month:str}/questions", "rita", f"{JUNE}/questions", QUESTION),
    Form("/questions/{number:int}/answer", "olga", lambda own: f"/questions/{last(own, 'early_question')}/answer",
         {"text": "the meter was changed"}),
    Form("/questions/{number:int}/withdraw", "rita", lambda own: f"/questions/{last(own, 'early_question')}/withdraw",
         {"text": "found out"}),
    Form("/months/{month:str}/regulate", "rita", f"{JUNE}/regulate",
         {"to": "effective", "decision": "refuse", "note": "sheet 2 is missing", "document": "11"}),
    Form("/months/{month:str}/runs/{run_id:int}/package", "rita", lambda own: f"{JUNE}/runs/{own.run_id}/package"),
    Form("/account/second-factor", "paul", "/account/second-factor", factor_of),
    Form("/account/second-factor/remove", "paul", "/account/second-factor/remove",
         lambda own: {"current": PASSWORD, "code": code_of(own, "A" * 32, 1)}),
    Form("/account/password", "petra", "/account/password",
         {"current": PASSWORD, "new": PASSWORD + "y", "again": PASSWORD + "y"}),
    Form("/logout", "rita", "/logout"),
)  # fmt: skip
# Nothing is wrong with this being done twice: a second session of one's own.
AGAIN = {"/login"}


def content(own: World) -> dict[str, Any]:
    """All that the center has, once no run is open any more."""
    wait_until(lambda: not any(row.is_open for row in own.store.read(list_asked)), "the runs")
    names = [name for name in metadata.tables if name not in UNCOUNTED]
    rows = own.store.read(lambda c: {name: c.execute(select(metadata.tables[name])).all() for name in names})
    return {**rows, "pending": pending(own)}


def once_in(browser: TestClient[Litestar]) -> str:
    """A key as a page gives it to a form."""
    found = re.search(r'name="once" value="([\w-]{24})"', browser.get("/account").text)
    assert found
    return found[1]


def test_every_form_stands_here(own: World) -> None:
    handlers = {
        path
        for route in own.app.routes
        for handler in getattr(route, "route_handlers", ())
        for path in handler.paths
        if "POST" in handler.http_methods and not path.startswith("/api/")
    }
    assert handlers == {form.route for form in FORMS} | AGAIN


def test_a_form_that_is_sent_twice_is_done_once_and_leads_on(own: World) -> None:
    for form in FORMS:
        with own.browser(form.who) as browser:
            path = form.path if isinstance(form.path, str) else form.path(own)
            fields = form.fields if isinstance(form.fields, dict) else form.fields(own)
            sent = fields | {"csrf": own.csrf_of(form.who), "once": once_in(browser)}
            files = {"file": form.file} if form.file else None
            before = content(own)
            answer = browser.post(path, data=sent, files=files)
            assert answer.status_code == form.status, (path, answer.text)
            after = content(own)
            again = browser.post(path, data=sent, files=files)
            assert again.status_code == form.status, (path, again.text)
            if form.status != DONE:
                continue
            where = answer.headers["location"]
            assert again.headers["location"] == where or where.startswith("/login"), path
            assert content(own) == after, path
            assert after != before or path in ("/quarantine/readmit", "/kept-form/discard", "/logout"), path
        if where.startswith("/login"):
            own.sessions.pop(form.who, None)


def test_a_form_that_was_refused_may_be_sent_again(own: World) -> None:
    with own.browser("admin") as browser:
        sent = {"csrf": own.csrf_of("admin"), "once": once_in(browser)} | USER | {"name": "omar", "password": "short"}
        assert browser.post("/users", data=sent).status_code == 422
        assert browser.post("/users", data=sent | {"password": PASSWORD}).status_code == 303
        assert browser.post("/users", data=sent | {"name": "otto", "password": PASSWORD}).status_code == 303
        assert "otto" not in browser.get("/users").text  # the key is spent


def test_each_form_of_a_page_has_a_key_of_its_own(own: World) -> None:
    with own.browser("admin") as browser:
        keys = re.findall(r'name="once" value="([\w-]+)"', browser.get("/users").text)
    assert len(keys) == len(set(keys)) > 5


def test_a_secret_is_shown_once_on_the_page_behind_the_form(own: World) -> None:
    with own.browser("olga") as browser:
        form = {"csrf": own.csrf_of("olga"), "name": "once", "days": "7", "scope_read": "1"}
        made = browser.post("/account/tokens", data=form)
        assert (made.status_code, made.headers["location"]) == (303, "/account")
        secret = str(browser.cookies.get("collector_shown")).partition(".")[2]
        assert secret in browser.get("/account").text
        assert secret not in browser.get("/account").text


def test_what_was_typed_into_a_form_whose_session_had_ended_is_there_after_the_log_in(own: World) -> None:
    clock = own.clock.now_ms
    page, typed = {"referer": f"http://center.test{JUNE}"}, "a long reason\nof two lines <b>"
    with own.browser("olga") as browser:
        form = {"csrf": own.csrf_of("olga"), "note": typed, "password": "never kept"}
        own.clock.now_ms += IDLE_MS + 60_000
        before = content(own)
        late = browser.post(f"{JUNE}/settle", data=form, headers=page)
        assert (late.status_code, late.headers["location"]) == (303, "/login?next=%2Fmonths%2F2026-06")
        assert content(own) == before
        log_in = {"csrf": csrf_in(browser.get("/login").text), "name": "olga", "password": PASSWORD}
        back = browser.post(late.headers["location"], data=log_in)
        assert back.headers["location"] == JUNE
        own.sessions["olga"] = next(c.value or "" for c in reversed([*browser.cookies.jar]) if c.name == SESSION_COOKIE)
        browser.cookies.clear()
        browser.cookies.set(SESSION_COOKIE, own.sessions["olga"])
        shown = browser.get(f"{JUNE}?lang=en").text
        assert "Your session had ended when you sent this form, and nothing was done." in shown
        assert "a long reason\nof two lines &lt;b&gt;</textarea>" in shown
        assert f'action="{JUNE}/settle"' in shown
        assert "never kept" not in shown
        browser.post("/kept-form/discard", data={"csrf": own.csrf_of("olga")})
        assert "a long reason" not in browser.get(JUNE).text
    own.clock.now_ms = clock


def test_a_form_of_another_session_or_site_is_kept_for_nobody(own: World) -> None:
    with own.browser("anna") as anna:
        secret = own.session_of("anna")
        own.clock.now_ms += IDLE_MS + 60_000
        for csrf in ("", csrf_of("another secret")):
            anna.cookies.set(SESSION_COOKIE, secret)
            anna.post(f"{JUNE}/settle", data={"csrf": csrf, "note": "planted"})
        own.sessions.pop("anna")
        anna.cookies.set(SESSION_COOKIE, own.session_of("anna"))
        assert "planted" not in anna.get("/account").text


def test_under_a_path_of_a_proxy_a_secret_and_the_way_back_are_found_too(own: World) -> None:
    path = "/settlement/east"
    app = build_app(own.store, settings_of(own.store.directory, base_path=path))
    with replace(own, app=app).browser("olga") as browser:
        form = {"csrf": own.csrf_of("olga"), "name": "far", "days": "7", "scope_read": "1"}
        made = browser.post("/account/tokens", data=form)
        assert made.headers["location"] == f"{path}/account"
        assert f"Path={path}/account" in made.headers["set-cookie"]
        browser.cookies.clear()
        late = browser.post("/asks", data=form, headers={"referer": f"http://center.test{path}/asks?q=1"})
        assert late.headers["location"] == f"{path}/login?next=%2Fasks%3Fq%3D1"
