# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions about a day: whose and when, answered without a clock, and a review once confirmed after the disclosure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from collector.base.errors import Denied, Missing, StoreError
from collector.center.db.store import CenterStore
from collector.center.lake.seal import enrol
from collector.center.month.questions.early_questions import (
    EarlyRequest,
    answer_question,
    ask_early,
    confirm_question,
    units_to_ask_about,
    withdraw_question,
)
from collector.center.month.questions.question_log import (
    EarlyQuestion,
    QuestionState,
    list_questions,
    question_by_id,
    question_of_review,
)
from collector.center.month.review_log import ReviewState, review_by_id
from collector.center.month.reviews import ReviewRequest
from collector.center.people import audit
from collector.center.people.access import Actor
from collector.center.runs.month_state import MonthStage, month_state
from collector.model.interval import HOUR_MS, local_midnight_ms
from tests.center.center_batches import FixedClock, new_store
from tests.center.inputs.small_tables import REGISTER, take
from tests.center.made_month import AUDITOR, DAYS, LI, MAY, PLANT_1, PLANT_2, REGULATOR, add_run, on, step

ASKED = EarlyRequest("U1", date(2026, 5, 7), "deep_peak", "it ran at 200 MW from 2 to 4")
IN_MAY = local_midnight_ms(date(2026, 5, 8)) + 9 * HOUR_MS


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CenterStore]:
    with new_store(tmp_path / "state", FixedClock(on(5))) as made:
        made.write(lambda c: enrol(c, {"P1": (["U1"], []), "P2": (["U2"], [])})).result()
        yield made


def ask(store: CenterStore, asked: EarlyRequest = ASKED, actor: Actor = PLANT_1, now_ms: int = IN_MAY) -> int:
    return store.write(lambda c: ask_early(c, asked, actor=actor, now_ms=now_ms)).result()


def found(store: CenterStore, number: int, actor: Actor = LI) -> EarlyQuestion:
    return store.read(lambda c: question_by_id(c, number, actor=actor))


def as_review(run: int, unit: str = "U1") -> ReviewRequest:
    start_ms = local_midnight_ms(ASKED.day) + 2 * HOUR_MS
    return ReviewRequest(run, unit, "deep_peak", start_ms, start_ms + 2 * HOUR_MS, "yuan", "3660.01", "two hours")


def test_a_question_is_asked_at_once_answered_and_becomes_the_review_of_the_disclosed_line(store: CenterStore) -> None:
    number = ask(store)
    store.write(lambda c: answer_question(c, number, actor=LI, text="being checked", now_ms=IN_MAY + HOUR_MS)).result()
    answered = found(store, number)
    assert (answered.state, answered.month, answered.plant) == (QuestionState.ANSWERED, MAY, "P1")
    assert store.read(lambda c: month_state(c, MAY)).state is MonthStage.TRIAL  # nothing of the month moved

    run = add_run(store)
    step(store, MonthStage.DISCLOSED, run, at=on(8))
    review = confirm_question(store, number, as_review(run), actor=PLANT_1, days=DAYS, now_ms=on(9))
    became = store.read(lambda c: review_by_id(c, review, actor=LI))
    # Its days count from the confirmation, not from the question: received on Tuesday the 9th, three working days on.
    assert (became.deadline, became.late, became.answer_due) == (date(2026, 6, 15), False, date(2026, 6, 12))
    assert (became.line_value, became.state) == ("3600.00", ReviewState.ASKED)
    assert (found(store, number).state, found(store, number).review_id) == (QuestionState.CONFIRMED, review)
    assert store.read(lambda c: question_of_review(c, review)) == number
    assert store.read(lambda c: month_state(c, MAY)).state is MonthStage.IN_REVIEW
    actions = {each["action"] for each in store.read(audit.list_entries) if each["subject"] == f"question {number}"}
    assert actions == {"question.ask", "question.answered", "question.confirmed"}
    with pytest.raises(StoreError, match="closed"):
        confirm_question(store, number, as_review(run), actor=PLANT_1, days=DAYS, now_ms=on(9))
    assert len(store.read(lambda c: list_questions(c, actor=PLANT_1, month=MAY))) == 1


def test_confirmed_after_the_last_day_it_is_a_late_review(store: CenterStore) -> None:
    number = ask(store)
    run = add_run(store)
    step(store, MonthStage.DISCLOSED, run, at=on(8))
    review = confirm_question(store, number, as_review(run), actor=PLANT_1, days=DAYS, now_ms=on(16))
    assert store.read(lambda c: review_by_id(c, review, actor=LI)).state is ReviewState.LATE


def test_what_is_refused_leaves_the_question_as_it_was_and_asks_for_no_review(store: CenterStore) -> None:
    number = ask(store)
    run = add_run(store)
    with pytest.raises(Denied, match="not disclosed"):
        confirm_question(store, number, as_review(run), actor=PLANT_1, days=DAYS, now_ms=on(5))
    step(store, MonthStage.DISCLOSED, run, at=on(8))
    with pytest.raises(StoreError, match="this unit"):
        confirm_question(store, number, as_review(run, "U2"), actor=PLANT_1, days=DAYS, now_ms=on(9))
    with pytest.raises(Missing):
        confirm_question(store, number, as_review(run), actor=PLANT_2, days=DAYS, now_ms=on(9))
    assert found(store, number).state is QuestionState.ASKED
    with pytest.raises(StoreError, match="is disclosed"):
        ask(store, now_ms=on(9))


def test_a_unit_that_changed_hands_is_asked_about_by_whoever_had_it_that_day(store: CenterStore) -> None:
    """U1 goes from P1 to P2 on the 10th; of U9 the register knows nothing; U2 is P1's there, enrolled or not."""
    second = """[[plant]]
id = "P2"
name = "two"
area = "jiangsu"
revenue_basis = "on_grid"
shares = true
settles_with = "x"
"""
    unit = '[[unit]]\nid = "U1"\nplant = "P1"\nkind = "coal"\nrated_mw = "660"\n'
    moved = unit + "until = 2026-05-10\n" + unit.replace("P1", "P2") + "from = 2026-05-10\n"
    take(
        store,
        "register",
        REGISTER.replace("[[unit]]", second + "[[unit]]", 1).replace(unit, moved),
        name="register.toml",
    )
    store.write(lambda c: enrol(c, {"P1": (["U1"], []), "P2": (["U2", "U9"], [])})).result()

    def offered(actor: Actor) -> dict[str, tuple[str, ...]]:
        return store.read(lambda c: units_to_ask_about(c, actor, MAY))

    assert offered(PLANT_1) == {"U1": ("P1",), "U2": ("P1",)}
    assert offered(PLANT_2) == {"U1": ("P2",), "U9": ("P2",)}
    assert offered(REGULATOR) == {"U1": ("P1", "P2"), "U2": ("P1",), "U9": ("P2",)}
    now_ms = local_midnight_ms(date(2026, 5, 20))
    before, after = EarlyRequest("U1", date(2026, 5, 9), "", "x"), EarlyRequest("U1", date(2026, 5, 10), "", "x")
    assert found(store, ask(store, before, PLANT_1, now_ms)).plant == "P1"
    assert found(store, ask(store, after, PLANT_2, now_ms)).plant == "P2"
    for asked, actor in ((after, PLANT_1), (before, PLANT_2)):
        with pytest.raises(Denied, match="your plant"):
            ask(store, asked, actor, now_ms)


@pytest.mark.parametrize(
    ("asked", "actor", "why"),
    [
        (EarlyRequest("U2", ASKED.day, "", "why"), PLANT_1, "no unit U2"),
        (EarlyRequest("U9", ASKED.day, "", "why"), PLANT_1, "no unit U9"),
        (EarlyRequest("U1", date(2026, 5, 9), "", "why"), PLANT_1, "not begun"),
        (EarlyRequest("U1", ASKED.day, "fame", "why"), PLANT_1, "no such service"),
        (EarlyRequest("U1", ASKED.day, "", "  "), PLANT_1, "must say"),
        (ASKED, LI, "no permission"),
        (ASKED, AUDITOR, "no permission"),
    ],
)
def test_only_a_day_that_began_of_ones_own_unit_is_asked_about(
    store: CenterStore, asked: EarlyRequest, actor: Actor, why: str
) -> None:
    with pytest.raises((Denied, StoreError), match=why):
        ask(store, asked, actor)


def test_another_plant_sees_nothing_of_it_and_nobody_else_takes_it_back(store: CenterStore) -> None:
    number = ask(store)
    assert store.read(lambda c: list_questions(c, actor=PLANT_2)) == []
    for actor in (PLANT_2, LI, REGULATOR):
        with pytest.raises((Missing, Denied)):
            store.write(lambda c, actor=actor: withdraw_question(c, number, actor=actor, now_ms=IN_MAY)).result()  # type: ignore[misc]
    store.write(lambda c: withdraw_question(c, number, actor=PLANT_1, text="seen", now_ms=IN_MAY)).result()
    with pytest.raises(StoreError, match="closed"):
        store.write(lambda c: answer_question(c, number, actor=LI, text="late", now_ms=IN_MAY)).result()


def test_the_regulator_asks_at_any_time_and_its_question_is_the_centers_alone(store: CenterStore) -> None:
    step(store, MonthStage.DISCLOSED, add_run(store), at=on(8))
    number = ask(store, EarlyRequest("U2", ASKED.day, "", "why was it out of service?"), REGULATOR, on(9))
    asked = found(store, number)
    assert (asked.role, asked.plant) == ("regulator", "P2")
    assert store.read(lambda c: list_questions(c, actor=PLANT_2)) == []
    with pytest.raises(Missing):
        found(store, number, PLANT_2)
    store.write(lambda c: answer_question(c, number, actor=LI, text="a test of the line", now_ms=on(10))).result()
    assert found(store, number).state is QuestionState.ANSWERED
