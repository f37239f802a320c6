# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions about a day as pages and by REST: asked by the plant, answered by the center, confirmed as a review."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import pytest

from collector.center.month.review_log import review_by_id
from collector.center.runs.stored_run import open_run
from collector.model.interval import HOUR_MS, local_midnight_ms
from collector.report.numbers import format_amount, group_digits
from collector.settlement.statement import Line
from tests.center.made_month import LI
from tests.center.web.conftest import JUNE, disclose_june, june_world
from tests.center.web.web_world import World

HERE = f"/months/{JUNE}/questions"
DAY = "2026-06-07"
TEXT = "它在 2 至 4 时为 200 MW"


@dataclass
class Asked:
    """June of P0, in which a question was asked by page before the disclosure, and one by REST. `line`: one of U0's."""

    own: World
    line: Line
    page: str
    waited: dict[str, set[tuple[str, str | None]]]


def tasks(own: World, name: str) -> set[tuple[str, str | None]]:
    with own.browser() as client:
        found = client.get("/api/v1/tasks", headers=own.token_of(name)).json()["items"]
    return {(each["kind"], each["due"]) for each in found if each["kind"] in ("question", "confirm")}


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """Settled and not disclosed when it was asked; disclosed since, all on the 6th of July."""
    with june_world(tmp_path_factory.mktemp("asked"), disclosed=False) as own:
        line = next(n for n in open_run(own.store, own.run_id).lines if n.unit == "U0" and n.amount_yuan)
        with own.browser("petra", "zh") as client:
            page = client.get(f"{HERE}?unit=U0&day={DAY}").text
            form = {"csrf": own.csrf_of("petra"), "unit": "U0", "day": DAY, "service": line.service, "text": TEXT}
            answer = client.post(HERE, data=form)
            assert answer.headers["location"] == f"{HERE}/1?notice=question_asked"
            assert "待答复" in client.get(f"{HERE}/1").text
        with own.browser() as client:
            rest = {"unit": "U0", "day": DAY, "text": "why", "service": line.service}
            assert client.post("/api/v1/questions", json=rest, headers=own.token_of("paul")).status_code == 403
            assert client.post("/api/v1/questions", json=rest, headers=own.token_of("petra")).json() == {"id": 2}
        waited = {name: tasks(own, name) for name in ("olga", "petra", "paul", "anna")}
        disclose_june(own)
        yield Asked(own, line, page, waited)


def test_a_plant_asks_at_once_and_no_other_plants_unit_is_offered(asked: Asked) -> None:
    assert "就这一天提问" in asked.page
    assert ">U1<" in asked.page
    assert ">U2<" not in asked.page
    # No clock of its own; nobody but the center is to answer.
    assert asked.waited == {"olga": {("question", None)}, "petra": set(), "paul": set(), "anna": set()}


def test_answered_by_page_and_confirmed_as_a_review_with_the_present_amount(asked: Asked) -> None:
    own, line = asked.own, asked.line
    amount = group_digits(format_amount(line.amount_yuan))
    with own.browser("olga", "en") as client:
        form = {"csrf": own.csrf_of("olga"), "text": "being checked"}
        assert client.post("/questions/1/answer", data=form).status_code == 303
        assert "being checked" in client.get(f"{HERE}/1").text
    assert ("confirm", "2026-07-15") in tasks(own, "petra")
    new = (
        f"/months/{JUNE}/reviews/new?run={own.run_id}&unit=U0&service={line.service}&day={DAY}&question=1"
    )  # fmt: skip
    with own.browser("petra", "zh") as client:
        page = client.get(f"{HERE}/1").text
        assert "转为复核申请" in page
        assert amount in page
        assert new.replace("&", "&amp;") in page
        assert "当月已披露" in client.get(HERE).text  # nothing more is asked here
        filled = client.get(new).text
        assert TEXT in filled
        assert amount in filled
        assert f'value="{DAY}T00:00"' in filled
        claim = {
            "csrf": own.csrf_of("petra"), "run": str(own.run_id), "unit": "U0", "service": line.service,
            "question": "1", "from": f"{DAY}T02:00", "to": f"{DAY}T04:00", "claim_kind": "yuan",
            "claim_value": "3660.01", "text": TEXT,
        }  # fmt: skip
        assert "/reviews/1" in client.post(f"/months/{JUNE}/reviews", data=claim).headers["location"]
        assert f"{HERE}/1" in client.get(f"/months/{JUNE}/reviews/1").text
    review = own.store.read(lambda c: review_by_id(c, 1, actor=LI))
    # Received on Monday the 6th of July: three working days from the 7th.
    assert (review.answer_due, review.line_value) == (date(2026, 7, 9), str(line.amount_yuan))


def test_the_same_by_rest_and_of_two_plants_each_sees_its_own(asked: Asked) -> None:
    own, line = asked.own, asked.line
    with own.browser() as client:
        assert client.get("/api/v1/questions/2", headers=own.token_of("paul")).status_code == 404
        assert client.get("/api/v1/questions", headers=own.token_of("paul")).json()["items"] == []
        said = client.post("/api/v1/questions/2/answer", json={"text": "seen"}, headers=own.token_of("olga"))
        assert said.status_code == 200
        listed = client.get(f"/api/v1/questions?month={JUNE}&waiting=true", headers=own.token_of("petra")).json()
        assert ("answered", "P0", "plant") in {(q["state"], q["plant"], q["role"]) for q in listed["items"]}
        start_ms = local_midnight_ms(date(2026, 6, 7))
        claim = {
            "run_id": own.run_id, "unit": "U0", "service": line.service, "from_ms": start_ms,
            "to_ms": start_ms + HOUR_MS, "claim_kind": "yuan", "claim_value": "3660.01", "text": "two hours",
            "question": 2,
        }  # fmt: skip
        number = client.post("/api/v1/reviews", json=claim, headers=own.token_of("petra")).json()["id"]
        found = client.get("/api/v1/questions/2", headers=own.token_of("petra")).json()
        assert client.post("/api/v1/reviews", json=claim, headers=own.token_of("petra")).status_code == 409
    assert (found["state"], found["review_id"]) == ("confirmed", number)
