# SPDX-License-Identifier: GPL-3.0-or-later
"""The inbox: each role finds what waits for it, since when and due when, and nothing that is not its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect
from sqlalchemy import event

from collector.center.db.tables_quality import alarm
from collector.center.month.reviews import ReviewRequest, submit_review
from collector.center.operate.inbox.tasks import tasks_of
from collector.center.papers.filings import make_filings
from collector.center.people import four_eyes
from collector.center.runs.month_state import MonthStage
from tests.center.made_month import DAYS, LI, MAY, PLANT_1, add_run, on, step, take_through
from tests.center.runs.center_months import take
from tests.center.web.web_browser import log_in, site, tab
from tests.center.web.web_world import PEOPLE, REGISTER, World, world
from tests.headless import chromium

HERE = f"/months/{MAY}"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[World]:
    """On the 5th of June 2026; nothing was settled yet."""
    with world(tmp_path / "state") as made:
        made.clock.now_ms = on(5)
        yield made


def waiting(own: World, name: str) -> set[tuple[str, str | None]]:
    """Kind and due day of what waits for somebody, but for alarms."""
    with own.browser() as client:
        found = client.get("/api/v1/tasks", headers=own.token_of(name))
    assert found.status_code == 200
    return {(each["kind"], each["due"]) for each in found.json()["items"] if each["kind"] != "alarm"}


def test_each_role_is_told_what_leads_the_month_on(own: World) -> None:
    assert waiting(own, "olga") == {("settle", "2026-06-10")}
    run = add_run(own.store)
    assert waiting(own, "olga") == {("disclose", "2026-06-10")}
    with own.browser("olga") as client:
        form = {"csrf": own.csrf_of("olga"), "to": "disclosed", "run": str(run)}
        assert client.post(f"{HERE}/step", data=form).status_code == 303
    assert waiting(own, "olga") == set()  # who prepares waits for another person
    assert waiting(own, "anna") == {("approve", None)}
    with own.browser("anna") as client:
        form = {"csrf": own.csrf_of("anna"), "decision": "approve"}
        assert client.post("/proposals/1/decide", data=form).status_code == 303
    assert waiting(own, "anna") == set()
    assert waiting(own, "olga") == {("file", "2026-06-20")}
    assert waiting(own, "paul") == {("check", "2026-06-15")}
    for name in ("aldo", "rita", "admin"):
        assert waiting(own, name) == set(), name
    make_filings(own.store, run, actor=LI)
    step(own.store, MonthStage.FILED, at=on(16))
    assert waiting(own, "paul") == set()
    assert waiting(own, "olga") == {("effective", None)}


def review_of_p1(own: World) -> None:
    """A review of the disclosed month, asked on the 5th of June."""
    run = add_run(own.store)
    step(own.store, MonthStage.DISCLOSED, run, at=on(5))
    request = ReviewRequest(
        run_id=run, unit="U1", service="deep_peak", claim_kind="yuan", claim_value="3660.01", text="two hours",
        from_ms=MAY.interval.start_ms, to_ms=MAY.interval.start_ms + 7_200_000,
    )  # fmt: skip
    submit_review(own.store, request, actor=PLANT_1, now_ms=on(5), days=DAYS)


def test_a_task_names_the_plant_by_the_register(own: World) -> None:
    take(own.store, "register", REGISTER)
    review_of_p1(own)
    with own.browser("olga", "zh") as client:
        assert "演示燃煤电厂 P1 的复核 1，2026-05" in client.get("/tasks").text


def test_the_name_of_a_plant_stands_wherever_the_plant_does(own: World) -> None:
    """In the duty, the subjects of an alarm and of a decision and their tasks, the details of the audit log."""
    take(own.store, "register", REGISTER)
    review_of_p1(own)
    row = {"code": "plant_silent", "subject": "P1/g1", "standing": 1, "since_ms": on(4), "text": "nothing heard"}
    own.store.write(lambda c: c.execute(alarm.insert().values(row))).result()
    own.store.write(
        lambda c: four_eyes.propose(c, actor=LI, kind="repair", subject="P1 2026-05-03", content={}, now_ms=on(5))
    ).result()
    form = {"csrf": own.csrf_of("admin"), "name": "pia", "full_name": "Pia", "role": "plant", "plant": "P1"}
    with own.browser("admin") as client:
        made = client.post("/users", data={**form, "password": "correct horse battery"})
        assert made.status_code == 303, made.text
    with own.browser("admin", "zh") as client:
        board, log = client.get(HERE).text, client.get("/audit").text
        entry = next(row for row in log.split("<tr>") if ">pia</td>" in row)
        assert "答复 演示燃煤电厂 P1 的复核申请 1" in board
        assert "电厂：演示燃煤电厂 P1" in entry
        assert "演示燃煤电厂 P1/g1" in client.get("/alarms").text
        assert "演示燃煤电厂 P1/g1" in client.get("/tasks").text
    with own.browser("anna", "zh") as client:
        assert "日文件修复：演示燃煤电厂 P1 2026-05-03" in client.get("/tasks").text
        assert "演示燃煤电厂 P1 2026-05-03" in client.get("/decisions").text


def test_a_question_of_a_plant_waits_for_its_answer_and_no_other_plant_sees_it(own: World) -> None:
    review_of_p1(own)
    # Received on Friday the 5th: three working days from Monday.
    assert ("answer", "2026-06-10") in waiting(own, "olga")
    assert "answer" not in {kind for name in PEOPLE if name != "olga" for kind, _ in waiting(own, name)}


def test_the_menu_counts_and_one_click_leads_to_where_it_is_done(own: World) -> None:
    add_run(own.store)
    own.clock.now_ms = on(12)
    with chromium() as browser, site(own) as address, tab(browser, address) as (page, seen):
        log_in(page, "olga")
        entry = page.locator("nav").get_by_role("link", name="待办")
        entry.click()
        rows = page.locator("main tbody tr")
        expect(entry.locator(".count")).to_have_text(str(rows.count()))
        row = page.locator("main tbody tr", has_text="披露")
        assert row.locator("td").all_inner_texts()[3:] == ["2026-06-10", "逾期", "2"]
        row.get_by_role("link", name="披露").click()
        page.wait_for_url(f"{address}{HERE}")
        assert seen.complaints == []


def test_finished_months_cost_no_question_more(own: World) -> None:
    """The inbox is looked at with every page."""

    def asked() -> int:
        count = 0

        def note(*_: object) -> None:
            nonlocal count
            count += 1

        def look(connection: object) -> None:
            event.listen(connection, "before_cursor_execute", note)
            tasks_of(connection, own.actor("olga"), DAYS, on(5, month=8))  # type: ignore[arg-type]
            event.remove(connection, "before_cursor_execute", note)

        own.store.read(look)
        return count

    before = asked()
    take_through(own.store, add_run(own.store))
    assert asked() == before
    assert before <= 8


def test_an_alarm_waits_in_the_readers_language(own: World) -> None:
    row = {
        "code": "plant_silent", "subject": "P1", "standing": 1, "since_ms": on(4),
        "text": "nothing heard since 2026-06-04 08:00:00; its gateway went offline",
    }  # fmt: skip
    own.store.write(lambda c: c.execute(alarm.insert().values(row))).result()
    with own.browser("olga", "zh") as browser:
        chinese = browser.get("/tasks").text
    with own.browser("olga", "en") as browser:
        english = browser.get("/tasks").text
    assert "P1：自 2026-06-04 08:00:00 起无数据；其网关已离线" in chinese
    assert "P1: nothing heard since 2026-06-04 08:00:00; its gateway went offline" in english
