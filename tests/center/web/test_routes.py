# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole route table, walked: nobody gets what is not theirs, and everybody what is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from collector.center.people.access import PERMISSIONS, Permission, Role
from collector.center.web.guards import Open
from tests.center.web.web_world import PEOPLE, SAMPLES, Route, World, routes_of, world


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("state")) as made:
        yield made


@pytest.fixture(scope="module")
def routes(shared: World) -> list[Route]:
    return sorted(routes_of(shared.app), key=lambda r: (r.path, r.method))


def call(browser: TestClient[Litestar], route: Route, own: World, name: str) -> Any:
    """A call as a browser's form, or as a program's with its token."""
    headers = own.token_of(name) if name and route.api else {}
    if name and not route.api:
        browser.cookies.set("collector_session", own.session_of(name))
    data = {} if route.api else {"csrf": own.csrf_of(name) if name else ""}
    if route.method == "GET":
        return browser.get(route.path, headers=headers)
    return browser.request(route.method, route.path, headers=headers, data=data)


def refused(answer: Any) -> bool:
    return answer.status_code in (401, 403) or (
        answer.status_code == 303 and re.match(r"/login($|\?next=)", answer.headers["location"]) is not None
    )


def test_every_route_declares_what_it_needs(routes: list[Route]) -> None:
    assert len(routes) > 20
    assert [r for r in routes if r.needs is None] == []


def test_a_route_that_plants_may_use_says_whose_data_it_shows(routes: list[Route]) -> None:
    theirs = PERMISSIONS[Role.PLANT] | {Open.LOGGED_IN, Open.IN_PERSON}
    open_ended = [r for r in routes if r.needs and r.needs.what in theirs and not (r.needs.plant or r.needs.own)]
    assert open_ended == []


def test_only_these_routes_are_for_anybody(routes: list[Route]) -> None:
    public = {r.path for r in routes if r.needs and r.needs.what is Open.PUBLIC}
    assert public == {"/login", "/static/nothing"}


def test_nobody_who_is_not_logged_in_gets_anywhere(shared: World, routes: list[Route]) -> None:
    with shared.browser() as browser:
        for route in routes:
            assert route.needs is not None
            answer = call(browser, route, shared, "")
            if route.needs.what is Open.LOOPBACK:
                assert answer.status_code == 403, route
            elif route.needs.what is not Open.PUBLIC:
                assert answer.status_code == (401 if route.api else 303), route
                assert refused(answer), route


@pytest.mark.parametrize("name", PEOPLE)
def test_each_role_is_refused_exactly_where_the_table_says(name: str, shared: World, routes: list[Route]) -> None:
    role, plant = PEOPLE[name]
    with shared.browser() as browser:
        for route in routes:
            assert route.needs is not None
            if route.needs.what in (Open.PUBLIC, Open.LOOPBACK):
                continue
            answer = call(browser, route, shared, name)
            allowed = not isinstance(route.needs.what, Permission) or route.needs.what in PERMISSIONS[role]
            if route.needs.what is Open.IN_PERSON and route.api:  # below, a program asks there
                allowed = False
            if route.needs.plant and SAMPLES["plant"] != plant and Permission.SEE_ALL not in PERMISSIONS[role]:
                # A plant named in the path is P1; where it comes in the query none is named, and none is one's own.
                allowed = False
            if route.needs.plant and route.needs.plant not in route.parameters and plant:
                allowed = False
            # Beyond the role the object decides: a token or run that is not one's own, or is none, is refused alike.
            by_object = allowed and route.needs.own and bool(route.parameters)
            assert refused(answer) is not allowed or by_object, (name, route, answer.status_code)
            assert answer.status_code < 500, (name, route, answer.text)
            if route.path == "/logout":
                shared.sessions.pop(name, None)
