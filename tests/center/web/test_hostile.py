# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody with an account, a gateway or only the port may send to do harm, and that it does none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar import Request

from collector.center.operate.status import read_gateways
from collector.center.receive.arrivals import AgentState
from collector.center.receive.journal import commit_group
from collector.center.web.context import Context
from collector.center.web.session import Caller
from tests.center.web.web_world import World, routes_of, world
from tests.size import sized


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("state")) as made:
        yield made


@pytest.mark.parametrize(
    "said",
    [
        b'{"online": true, "buffer": "\\ud800"}',
        b'{"\\udfff": 1, "buffer": {"a": 1}}',
        b'{"buffer": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"buffer": ' + b'{"a":' * 400 + b"1" + b"}" * 400 + b"}",
        b'{"buffer": 1' + b"0" * 400 + b"}",
        b'{"buffer": 1e999}',
        b'{"buffer": NaN}',
        b'{"buffer": 1' + b"0" * 5000 + b"}",
        b'["buffer"]',
        b"\xff\x00<script>",
    ],
    ids=range(10),
)
def test_nothing_a_gateway_says_of_itself_takes_the_page_of_all_plants_away(shared: World, said: bytes) -> None:
    states = [AgentState("P1", "G1", said)]
    shared.store.write(lambda c: commit_group(c, states, now_ms=shared.clock.now_ms, quarantine_max_bytes=0)).result()
    with shared.browser() as browser:
        for name in ("olga", "paul"):
            assert browser.get("/plants", headers=shared.token_of(name)).status_code == 200
            for form in ("json", "csv", "xlsx"):
                answer = browser.get(f"/api/v1/gateways?format={form}", headers=shared.token_of(name))
                assert answer.status_code == 200


def test_a_number_too_large_for_any_store_is_no_fault_of_ours(shared: World) -> None:
    asked = 0
    with shared.browser() as browser:
        for route in routes_of(shared.app):
            if "999999" not in route.path or route.method != "GET":
                continue
            for number in (2**63, 10**40):
                asked += 1
                answer = browser.get(route.path.replace("999999", str(number)), headers=shared.token_of("olga"))
                assert answer.status_code in (400, 403, 404, 409), route.path
    assert asked > 10


# Each is refused, or taken for what it says; what a program adds to a date must not run over the calendar's end.
MONTHS = ("9999-12", "0001-01", "0000-01", "2026-13", "2026-00", "10000-01", "1999-12", "2099-12", "2000-01", "2026-6")
DAYS = ("9999-12-31", "0001-01-01", "2026-02-30", "2026-W01-1", "20260601", "2100-01-01", "2000-01-01", "2099-12-31")
DATED = ("month", "day", "from", "to", "from_ms", "to_ms")
INSTANTS = (0, -62_135_596_800_000, 253_402_300_799_999, 999_999_999_999_999, 2**53, -(2**53))


def test_no_month_day_or_instant_that_an_address_names_is_a_fault_of_ours(worked: World) -> None:
    with worked.browser("olga") as browser:
        for n, route in enumerate(each for each in routes_of(worked.app) if each.method == "GET"):
            here = route.path.replace("999999", str(worked.run_id))
            tried = [here.replace("2026-03-10", day) for day in DAYS if "day" in route.parameters]
            tried += [here.replace("/2026-03", f"/{month}") for month in MONTHS if "month" in route.parameters]
            texts = (DAYS[0], MONTHS[0], *INSTANTS)
            tried += [f"{here}?{'&'.join(f'{name}={text}' for name in DATED)}" for text in texts]
            tried.append(f"{here}?from_ms={INSTANTS[1]}&to_ms={INSTANTS[2]}&from={INSTANTS[1]}&to={INSTANTS[2]}")
            for address in tried[n % (apart := sized(3, 1)) :: apart]:
                answer = browser.get(address)
                assert answer.status_code < 500, (address, answer.text)


@pytest.mark.parametrize("name", ["a[b]", "*%3F:", "'quoted'", "tab%09", "%F0%9F%98%80" * 20, "x" * 64])
def test_a_table_comes_as_a_workbook_whatever_is_named_in_its_address(shared: World, name: str) -> None:
    with shared.browser() as browser:
        path = f"/api/v1/plants/P1/units/{name}/records?format=xlsx"
        assert browser.get(path, headers=shared.token_of("olga")).status_code == 200


def test_a_method_that_a_route_does_not_know_is_told_which_it_knows(shared: World) -> None:
    with shared.browser() as browser:
        for route in routes_of(shared.app):
            answer = browser.request("DELETE", route.path)
            assert answer.status_code == 405, route.path
            assert route.method in answer.headers["allow"].split(", "), route.path


def test_a_month_with_a_line_end_leads_nowhere(shared: World) -> None:
    with shared.browser() as browser:
        answer = browser.get("/go?month=2026-03%0a", headers=shared.token_of("olga"))
        assert answer.status_code == 400


def test_a_plant_that_makes_up_gateways_without_end_is_told_of_with_a_hundred(tmp_path: Path) -> None:
    with world(tmp_path) as own:
        states = [AgentState("P1", f"G{n}", b'{"online": true}') for n in range(150)]
        own.store.write(lambda c: commit_group(c, states, now_ms=1, quarantine_max_bytes=0)).result()
        other = [AgentState("P0", "G1", b"{}"), AgentState("P1", "G1", b'{"online": false}')]
        own.store.write(lambda c: commit_group(c, other, now_ms=2, quarantine_max_bytes=0)).result()
        found = own.store.read(read_gateways)
    assert [each.plant for each in found].count("P1") == 100
    assert [(each.gateway, each.state_received_ms) for each in found if each.state_received_ms == 2] == [
        ("G1", 2),
        ("G1", 2),
    ]


@pytest.mark.parametrize(
    ("peer", "passed_on", "told"),
    [
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["10.0.0.9"], "10.0.0.9"),
        ("::1", ["1.2.3.4, 10.0.0.9"], "10.0.0.9"),
        ("127.0.0.1", ["1.2.3.4", "10.0.0.9"], "10.0.0.9"),
        ("127.0.0.1", [" , "], "127.0.0.1"),
        ("10.0.0.7", ["1.2.3.4"], "10.0.0.7"),
    ],
)
@pytest.mark.parametrize("in_front", [True, False])
def test_a_client_is_where_the_proxy_of_this_machine_says_and_no_other(
    tmp_path: Path, peer: str, passed_on: list[str], told: str, in_front: bool
) -> None:
    with world(tmp_path, tls_in_front=in_front) as own:
        headers = [(b"x-forwarded-for", text.encode()) for text in passed_on]
        scope: Any = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "client": (peer, 1)}
        scope |= {"headers": headers, "litestar_app": own.app, "user": Caller(None, "nobody"), "state": {}}
        assert Context(Request(scope), {}).address == (told if in_front else peer)


def test_a_draft_of_the_rulebook_that_would_fill_the_memory_is_refused(worked: World) -> None:
    form = {"csrf": worked.csrf_of("olga"), "run": str(worked.run_id)}
    draft = {"rulebook": ("rulebook.toml", b"a." * 100_000 + b"a = 1\n", "text/plain")}
    with worked.browser("olga") as browser:
        answer = browser.post("/months/2026-06/what-if", data=form, files=draft)
    assert answer.status_code == 422
    assert "at most 64 parts" in answer.text
