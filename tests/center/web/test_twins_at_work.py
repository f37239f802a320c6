# SPDX-License-Identifier: GPL-3.0-or-later
"""What a form does, done by REST; and the regulator's own acts by page and by REST. On June 2026, disclosed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import openpyxl
import pytest

from collector.center.month.review_files import attach
from collector.center.month.review_log import review_by_id
from collector.center.month.reviews import ReviewRequest, decide_review, propose_decision, submit_review
from collector.center.people import four_eyes
from collector.center.runs.month_state import MonthStage
from collector.center.runs.stored_run import open_run
from collector.model.interval import parse_time_ms
from tests.center.made_month import DAYS, LI, WANG, step
from tests.center.web.conftest import JUNE, june_world
from tests.center.web.web_world import World

HERE = f"/months/{JUNE}"


@pytest.fixture(scope="module")
def june(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with june_world(tmp_path_factory.mktemp("twins")) as own:
        yield own


def call(own: World, who: str, path: str, *, method: str = "POST", **given: Any) -> Any:
    with own.browser() as client:
        return client.request(method, f"/api/v1{path}", headers=own.token_of(who), **given)


def revenue_of(own: World, more: str = "") -> bytes:
    """The revenue that June was settled with, in force already."""
    return (open_run(own.store, own.run_id).data / "revenue.csv").read_bytes() + more.encode()


def test_a_file_is_checked_before_it_is_taken_and_comes_back_with_its_cells_marked(june: World) -> None:
    before = call(june, "olga", "/imports", method="GET").json()["items"]
    same = call(june, "olga", "/imports/revenue/check?name=revenue.csv", content=revenue_of(june))
    assert same.status_code == 200, same.text
    found = same.json()
    assert (found["kind"], found["added"], found["same"] == found["rows"]) == ("revenue", 0, True)
    bad = b"plant,month,kind,amount_yuan\nP0,2026-07,energy,many\n"
    refused = call(june, "olga", "/imports/revenue/check?name=revenue.csv", content=bad)
    assert (refused.status_code, refused.json()["problems"][0]["row"]) == (422, 2)
    marked = call(june, "olga", "/imports/revenue/marked?name=revenue.csv", content=bad)
    book = openpyxl.load_workbook(io.BytesIO(marked.content))
    assert any(cell.comment for sheet in book for row in sheet.iter_rows() for cell in row)
    assert call(june, "olga", "/imports/revenue/marked?name=revenue.csv", content=revenue_of(june)).status_code == 404
    template = call(june, "olga", "/imports/templates/revenue.csv", method="GET")
    assert "电厂" in template.content.decode("utf-8-sig") or "plant" in template.content.decode("utf-8-sig")
    assert call(june, "olga", "/imports", method="GET").json()["items"] == before  # nothing was stored


def test_files_of_a_run_are_named_and_taken_by_staff_and_by_a_plant_its_own(june: World) -> None:
    run = f"/runs/{june.run_id}"
    names = call(june, "olga", f"{run}/files", method="GET").json()["names"]
    assert {"lines.csv", "statement.xlsx", "statement.e"} <= set(names)
    assert call(june, "olga", f"{run}/files/statement.e", method="GET").content.startswith(b"<! System=collector ")
    assert call(june, "olga", f"{run}/files/lines.csv", method="GET").content.startswith(b"month,")
    own = call(june, "petra", f"{run}/files", method="GET").json()["names"]
    assert "lines.csv" in own
    lines = call(june, "petra", f"{run}/own/lines.csv", method="GET").content.decode("utf-8-sig")
    assert "U0" in lines
    assert "U2" not in lines  # of P1
    assert call(june, "petra", f"{run}/files/lines.csv", method="GET").status_code == 403


def test_ones_own_proposal_is_taken_back_by_rest(june: World) -> None:
    number = call(june, "olga", f"{HERE}/steps", json={"to": "in_review"}).json()["id"]
    assert call(june, "admin", f"/proposals/{number}/withdraw").status_code == 403
    assert call(june, "olga", f"/proposals/{number}/withdraw").json() == {"done": True}
    assert june.store.read(lambda c: four_eyes.get_proposal(c, number)).decision == "withdrawn"


def test_a_late_review_is_admitted_its_remedy_imported_and_said_to_be_carried_out(june: World) -> None:
    line = next(each for each in open_run(june.store, june.run_id).lines if each.plant == "P0")
    month = JUNE.interval
    late_ms, olga = parse_time_ms("2026-07-16T10:00:00+08:00"), june.actor("olga")
    number = submit_review(
        june.store, ReviewRequest(june.run_id, line.unit, line.service, month.start_ms, month.end_ms, "yuan", "1", "?"),
        actor=june.actor("petra"), days=DAYS, now_ms=late_ms,
    )  # fmt: skip
    assert call(june, "petra", f"/reviews/{number}/admit", json={"text": "why"}).status_code == 403
    assert call(june, "olga", f"/reviews/{number}/admit", json={"text": "the pages were down"}).status_code == 200
    remedy = b"unit,service,start,end,reason\nU0,avc,2026-06-03T00:00:00+08:00,2026-06-03T01:00:00+08:00,test\n"
    june.store.write(
        lambda c: attach(
            c, number, actor=olga, name="exclusions.csv", data=remedy, input_kind="exclusions", now_ms=late_ms
        )
    ).result()
    proposal = june.store.write(
        lambda c: propose_decision(c, number, actor=LI, granted=True, text="granted", now_ms=late_ms)
    ).result()
    june.store.write(lambda c: decide_review(c, proposal, actor=WANG, approved=True, now_ms=late_ms)).result()
    done = call(june, "olga", f"/reviews/{number}/remedy")
    assert done.status_code == 200, done.text
    assert june.store.read(lambda c: review_by_id(c, number, actor=LI)).carried_out
    said = call(june, "olga", f"/reviews/{number}/carried-out", json={"run_id": june.run_id, "text": "settled"})
    assert said.json()["events"][-1]["kind"] == "carried_out"


def test_the_regulator_decides_a_filing_by_page_and_publishes_by_rest(june: World) -> None:
    at = parse_time_ms("2026-07-17T10:00:00+08:00")
    june.clock.now_ms = at
    june.tokens.clear()
    june.sessions.clear()
    assert call(june, "olga", f"{HERE}/filings").status_code == 200
    step(june.store, MonthStage.FILED, at=at, month=JUNE, reason="有区域待定")
    for language, title in (("zh", "审批报送（第二十八条）"), ("en", "Decide the filing (Art. 28)")):
        with june.browser("rita", language) as client:
            assert title in client.get(HERE).text
        for other in ("olga", "anna", "aldo", "paul"):
            with june.browser(other, language) as client:
                assert title not in client.get(HERE).text
    with june.browser("rita", "zh") as client:
        form = {"csrf": june.csrf_of("rita"), "to": "effective", "decision": "approve", "note": "", "document": ""}
        refused = client.post(f"{HERE}/regulate", data=form)
        assert refused.status_code == 409
        assert 'role="alert"' in refused.text  # the refusal stands at the form
        assert client.post(f"{HERE}/regulate", data=form | {"document": "7号"}).status_code == 303
    published = {"to": "published", "granted": True, "note": "有区域待定"}
    assert call(june, "olga", f"{HERE}/regulate", json=published).status_code == 403
    assert call(june, "rita", f"{HERE}/regulate", json=published).json()["state"] == "published"
