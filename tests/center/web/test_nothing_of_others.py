# SPDX-License-Identifier: GPL-3.0-or-later
"""What belongs to another plant is, for a plant's user, as if it were not there: the same status and the same body."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

from litestar import Litestar
from litestar.testing import TestClient

from collector.center.month.questions.early_questions import EarlyRequest, ask_early
from collector.center.month.review_files import attach
from collector.center.month.reviews import ReviewRequest, submit_review
from collector.center.papers.filings import make_filings
from collector.center.people.access import PERMISSIONS, Role
from collector.center.people.tokens import create_token
from collector.center.runs.settle_month import settle_month
from collector.center.runs.stored_run import open_run
from collector.center.web.guards import Open
from collector.center.web.routes import API, needs_of
from tests.center.made_month import DAYS
from tests.center.runs.center_months import RULES
from tests.center.web.conftest import JUNE, june_world
from tests.center.web.web_world import World

ABSENT = 987_654_321  # the number of nothing
SAID = {"text": "why", "note": "why", "reason": "why", "decision": "granted", "do": "withdraw"}
MINE: dict[str, object] = {
    "month": "2026-06", "day": "2026-06-03", "plant": "P0", "unit": "U0", "service": "agc_basic", "name": "deep_peak",
}  # fmt: skip


def numbers_of_others(own: World) -> dict[str, int]:
    """What P1 has, or nobody but staff may see, by the word before its number in an address."""
    paul, olga, now_ms = own.actor("paul"), own.actor("olga"), own.clock.now_ms
    line = next(each for each in open_run(own.store, own.run_id).lines if each.plant == "P1")
    june = JUNE.interval
    request = ReviewRequest(own.run_id, line.unit, line.service, june.start_ms, june.end_ms, "yuan", "1", "why")
    review = submit_review(own.store, request, actor=paul, days=DAYS, now_ms=now_ms)
    file = own.store.write(
        lambda c: attach(c, review, actor=paul, name="a.csv", data=b"a\n1\n", now_ms=now_ms)
    ).result()
    own.store.write(
        lambda c: create_token(c, actor=paul, account_name="paul", name="t", scope=["read"], days=1, now_ms=now_ms)
    ).result()
    filing = make_filings(own.store, own.run_id, actor=olga)[0].id
    trial = settle_month(own.store, JUNE, rulebook=RULES, actor=olga).id
    assert trial != own.run_id
    asked = EarlyRequest(line.unit, date(2026, 7, 3), "", "why")
    question = own.store.write(lambda c: ask_early(c, asked, actor=paul, now_ms=now_ms)).result()
    return {
        "reviews": review,
        "questions": question,
        "attachments": file,
        "files": file,
        "filings": filing,
        "runs": trial,
        "tokens": 1,
    }


def addresses(path: str, numbers: dict[str, int], run_id: int) -> Iterator[tuple[str, str, str, str]]:
    """An address of something of others, the same of nothing, and what is named in each."""

    def filled(**named: object) -> str:
        values = {"number": run_id, "run_id": run_id} | MINE | named
        return "/".join(
            str(values[part[1:-1].partition(":")[0]]) if part.startswith("{") else part for part in path.split("/")
        )

    parts = path.split("/")
    for before, part in pairwise(parts):
        name = part[1:-1].partition(":")[0]
        if name in ("number", "run_id"):
            number = numbers[before]
            yield filled(**{name: number}), filled(**{name: ABSENT}), str(number), str(ABSENT)
        elif name == "unit":
            yield filled(unit="U2"), filled(unit="U9"), "U2", "U9"
            if "{plant:str}" in parts:
                yield filled(plant="P1", unit="U2"), filled(plant="P9", unit="U9"), "P1/U2", "P9/U9"
        elif name == "plant":
            yield filled(plant="P1"), filled(plant="P9"), "P1", "P9"


def ask(browser: TestClient[Litestar], own: World, method: str, address: str) -> Any:
    start_ms = JUNE.interval.start_ms
    query = f"?name=a.csv&from={start_ms}&to={start_ms + 1}&from_ms={start_ms}&to_ms={start_ms + 1}"
    if address.startswith(API):
        body: dict[str, Any] = {} if method == "GET" else {"json": SAID}
        return browser.request(method, address + query, headers=own.token_of("petra"), **body)
    form: dict[str, Any] = {} if method == "GET" else {"data": SAID | {"csrf": own.csrf_of("petra")}}
    if address.endswith("/files"):
        form["files"] = {"file": ("a.csv", b"a\n1\n")}
    return browser.request(method, address + (query if method == "GET" else ""), **form)


def test_what_is_another_plants_answers_as_what_is_not_there(tmp_path: Path) -> None:
    theirs = PERMISSIONS[Role.PLANT] | {Open.LOGGED_IN, Open.IN_PERSON}
    asked = 0
    with june_world(tmp_path) as own, own.browser("petra") as browser:
        numbers = numbers_of_others(own)
        for route in own.app.routes:
            for handler in getattr(route, "route_handlers", ()):
                needs = needs_of(handler)
                if needs is None or needs.what not in theirs:
                    continue
                for method in set(map(str, handler.http_methods)) - {"OPTIONS"}:
                    for other, nothing, named, absent in addresses(route.path, numbers, own.run_id):
                        asked += 1
                        one, two = ask(browser, own, method, other), ask(browser, own, method, nothing)
                        expected = two.text.replace(absent, named)
                        if "/" in named:
                            for a, b in zip(absent.split("/"), named.split("/"), strict=True):
                                expected = expected.replace(a, b)
                        assert one.status_code == two.status_code, (method, other, one.text, two.text)
                        told = [re.sub('name="once" value="[^"]*"', "", text) for text in (one.text, expected)]
                        assert told[0] == told[1], (method, other)
                        assert one.headers.get("location") == two.headers.get("location"), other
                        assert named in ("P1", "U2", "P1/U2") or one.status_code in (401, 403, 404), (method, other)
    assert asked > 30


def test_numbers_of_others_are_in_no_list(tmp_path: Path) -> None:
    with june_world(tmp_path) as own, own.browser() as browser:
        numbers_of_others(own)
        for name in (
            "reviews",
            "questions",
            "tokens",
            "gateways",
            "plants",
            "keys",
            "asks",
            "alarms",
            "findings",
            "substitutions",
        ):
            listed = browser.get(f"{API}/{name}", headers=own.token_of("petra"))
            assert listed.status_code == 200, name
            rows = [each for each in listed.json()["items"] if "P1" in str(each) or "paul" in str(each)]
            assert rows == [], name
