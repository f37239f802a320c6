# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a person does or sees on a page a program can do by REST, with the same right; or why not is said here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from litestar import Litestar

from collector.center.web.guards import Needs
from collector.center.web.routes import API, needs_of
from tests.center.web.web_world import world

# Why a program has no need of it.
BROWSER = "a browser's session, cookies, forms and first steps; a program has a token"
PERSON = "one's own password and second factor: in person only"
SUPERVISION = "is for programs already"
# What a form does -> its twins; several where a form's buttons are several verbs.
ACTIONS: dict[str, tuple[str, ...] | str] = {
    "/account/password": PERSON,
    "/account/second-factor": PERSON,
    "/account/second-factor/remove": PERSON,
    "/account/tokens": ("/tokens",),
    "/account/tokens/{number:int}/revoke": ("/tokens/{number:int}/revoke",),
    "/asks": ("/asks",),
    "/imports": ("/imports/{kind:str}",),
    "/imports/check": ("/imports/{kind:str}/check",),
    "/imports/pending/{token:str}": ("/imports/{kind:str}", "/imports/{kind:str}/later"),
    "/imports/pending/{token:str}/effect": ("/runs/{number:int}/what-if/{kind:str}",),
    "/imports/{number:int}/undo": ("/imports/{number:int}/undo",),
    "/kept-form/discard": BROWSER,
    "/keys": ("/keys",),
    "/keys/{key_id:str}/revoke": ("/keys/revoke",),
    "/login": BROWSER,
    "/logout": BROWSER,
    "/months/{month:str}/filings": ("/months/{month:str}/filings",),
    "/months/{month:str}/questions": ("/questions",),
    "/months/{month:str}/regulate": ("/months/{month:str}/regulate",),
    "/months/{month:str}/reviews": ("/reviews",),
    "/months/{month:str}/running": ("/months/{month:str}/settle",),
    "/months/{month:str}/runs/{run_id:int}/package": ("/runs/{number:int}/package",),
    "/months/{month:str}/settle": ("/months/{month:str}/settle",),
    "/months/{month:str}/step": ("/months/{month:str}/steps",),
    "/months/{month:str}/what-if": ("/runs/{number:int}/what-if/{kind:str}",),
    "/proposals/{number:int}/decide": ("/months/{month:str}/proposals/{number:int}/decide",),
    "/proposals/{number:int}/withdraw": ("/proposals/{number:int}/withdraw",),
    "/quarantine/readmit": ("/quarantine/readmit",),
    "/questions/{number:int}/answer": ("/questions/{number:int}/answer",),
    "/questions/{number:int}/withdraw": ("/questions/{number:int}/withdraw",),
    "/reviews/decide": ("/review-proposals/{number:int}/decide",),
    "/reviews/{number:int}/answer": (
        "/reviews/{number:int}/admit", "/reviews/{number:int}/answer", "/reviews/{number:int}/decision",
    ),
    "/reviews/{number:int}/appeal": ("/reviews/{number:int}/appeal", "/reviews/{number:int}/withdraw"),
    "/reviews/{number:int}/carried-out": ("/reviews/{number:int}/carried-out",),
    "/reviews/{number:int}/files": ("/reviews/{number:int}/attachments",),
    "/reviews/{number:int}/remedy": ("/reviews/{number:int}/remedy",),
    "/reviews/{number:int}/rule": ("/reviews/{number:int}/ruling",),
    "/reviews/{number:int}/try": ("/reviews/{number:int}/what-if",),
    "/substitutions": ("/substitutions",),
    "/substitutions/{number:int}/decide": ("/substitutions/{number:int}/decide",),
    "/substitutions/{number:int}/withdraw": ("/substitutions/{number:int}/withdraw",),
    "/substitutions/{number:int}/withdraw/decide": ("/substitutions/{number:int}/withdraw/decide",),
    "/users": ("/accounts",),
    "/users/{name:str}/disable": ("/accounts/{name:str}/disable",),
    "/users/{name:str}/password": ("/accounts/{name:str}/password",),
    "/users/{name:str}/role": ("/accounts/{name:str}/role",),
    "/users/{name:str}/second-factor/remove": ("/accounts/{name:str}/second-factor/remove",),
}  # fmt: skip
# What a page shows -> where a program reads it.
PAGES: dict[str, tuple[str, ...] | str] = {
    "/": BROWSER,
    "/account": ("/me", "/tokens"),
    "/alarms": ("/alarms",),
    "/asks": ("/asks",),
    "/audit": ("/audit", "/audit/chain"),
    "/books": ("/account", "/account/balances"),
    "/decisions": ("/decisions", "/proposals"),
    "/filings/{number:int}": ("/filings/{number:int}/file",),
    "/findings": ("/findings",),
    "/go": BROWSER,
    "/healthz": SUPERVISION,
    "/imports": ("/imports", "/inputs/{kind:str}", "/imports/{number:int}/file", "/imports/takings"),
    "/imports/pending/{token:str}": ("/imports/takings/{token:str}",),  # else POST /imports/{kind:str}/check answers
    "/imports/pending/{token:str}/marked.xlsx": "POST /imports/{kind:str}/marked",
    "/imports/templates/{name:str}": ("/imports/templates/{name:str}",),
    "/login": BROWSER,
    "/metrics": SUPERVISION,
    "/months": ("/months",),
    "/months/{month:str}": (
        "/months/{month:str}", "/months/{month:str}/steps", "/months/{month:str}/duties",
        "/months/{month:str}/filings", "/months/{month:str}/bills", "/months/{month:str}/job", "/runs",
    ),
    "/months/{month:str}/beside": ("/months/{month:str}/beside",),
    "/months/{month:str}/compare": ("/runs/{number:int}/compare/{other:int}", "/runs/{number:int}/effect/{other:int}"),
    "/months/{month:str}/completeness": ("/months/{month:str}/map", "/months/{month:str}/completeness"),
    "/months/{month:str}/completeness/{day:str}": ("/days/{day:str}/map",),
    "/months/{month:str}/completeness/{day:str}/{plant:str}/{unit:str}": (
        "/plants/{plant:str}/units/{unit:str}/days/{day:str}/gaps", "/findings",
    ),
    "/months/{month:str}/questions": ("/questions",),
    "/months/{month:str}/questions/{number:int}": ("/questions/{number:int}",),
    "/months/{month:str}/reviews": ("/reviews",),
    "/months/{month:str}/reviews/new": ("/runs/{number:int}/lines",),
    "/months/{month:str}/reviews/{number:int}": ("/reviews/{number:int}",),
    "/months/{month:str}/rulebook": ("/rulebook", "/rulebook/values", "/rulebook/readings"),
    "/months/{month:str}/running": ("/months/{month:str}/running",),
    "/months/{month:str}/runs": ("/runs",),
    "/months/{month:str}/runs/{run_id:int}": (
        "/runs/{number:int}", "/runs/{number:int}/areas", "/runs/{number:int}/plants", "/runs/{number:int}/findings",
        "/runs/{number:int}/files", "/runs/{number:int}/ledger", "/runs/{number:int}/readings",
    ),
    "/months/{month:str}/runs/{run_id:int}/days/{unit:str}/{day:str}": (
        "/runs/{number:int}/units/{unit:str}/days/{day:str}", "/runs/{number:int}/units/{unit:str}/records",
        "/runs/{number:int}/units/{unit:str}/segments",
    ),
    "/months/{month:str}/runs/{run_id:int}/evidence/{name:str}": ("/runs/{number:int}/evidence/{name:str}",),
    "/months/{month:str}/runs/{run_id:int}/files/{name:str}": ("/runs/{number:int}/files/{name:str}",),
    "/months/{month:str}/runs/{run_id:int}/lines": ("/runs/{number:int}/lines",),
    "/months/{month:str}/runs/{run_id:int}/lines/{unit:str}/{service:str}": (
        "/runs/{number:int}/units/{unit:str}/explanation/{service:str}",
        "/runs/{number:int}/units/{unit:str}/determinants",
    ),
    "/months/{month:str}/runs/{run_id:int}/packages/{made_ms:int}": ("/runs/{number:int}/packages/{made_ms:int}",),
    "/months/{month:str}/runs/{run_id:int}/units/{unit:str}": (
        "/runs/{number:int}/units/{unit:str}/records", "/runs/{number:int}/units/{unit:str}/segments",
    ),
    "/months/{month:str}/runs/{run_id:int}/own/{name:str}": ("/runs/{number:int}/own/{name:str}",),
    "/months/{month:str}/runs/{run_id:int}/records/{unit:str}": ("/runs/{number:int}/units/{unit:str}/records",),
    "/months/{month:str}/what-if": ("/runs",),
    "/plants": ("/plants", "/gateways", "/keys"),
    "/quarantine": ("/quarantine",),
    "/readyz": SUPERVISION,
    "/reviews/files/{number:int}": ("/attachments/{number:int}/file",),
    "/static/{name:str}": BROWSER,
    "/style": BROWSER,
    "/substitutions": ("/substitutions",),
    "/tasks": ("/tasks",),
    "/this/{section:str}": BROWSER,
    "/users": ("/accounts",),
}  # fmt: skip


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], Needs]]:
    with world(tmp_path_factory.mktemp("twins") / "state") as made:
        yield dict(_routes(made.app))


def _routes(app: Litestar) -> Iterator[tuple[tuple[str, str], Needs]]:
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            needs = needs_of(handler)
            for method in {"GET", "POST"} & set(map(str, handler.http_methods)):
                if needs is not None:
                    yield (method, route.path), needs


@pytest.mark.parametrize(("method", "named"), [("POST", ACTIONS), ("GET", PAGES)])
def test_every_page_and_every_form_has_a_twin_that_is_there_or_says_why_not(
    routes: dict[tuple[str, str], Needs], method: str, named: dict[str, tuple[str, ...] | str]
) -> None:
    ours = {path for verb, path in routes if verb == method and not path.startswith(API)}
    assert ours == set(named)
    twins = {API + twin for each in named.values() if isinstance(each, tuple) for twin in each}
    assert {twin for twin in twins if (method, twin) not in routes} == set()


def test_a_twin_of_a_form_asks_for_the_same_right(routes: dict[tuple[str, str], Needs]) -> None:
    other = {
        (path, twin): (routes["POST", path].what, routes["POST", API + twin].what)
        for path, twins in ACTIONS.items()
        if isinstance(twins, tuple)
        for twin in twins
        if routes["POST", path].what is not routes["POST", API + twin].what
    }
    assert other == {}
