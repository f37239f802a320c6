# SPDX-License-Identifier: GPL-3.0-or-later
"""Duties of a month with their clocks: what is done, open or late is told by the month's own history."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from collector.base.errors import RuleError, StoreError
from collector.center.db.store import CenterStore
from collector.center.month.duties import DutyBoard, DutyRow, duties_of
from collector.center.month.reviews import ReviewRequest, answer_review, submit_review
from collector.center.runs.month_state import MonthStage
from collector.model.interval import Month
from tests.center.center_batches import FixedClock, new_store
from tests.center.made_month import AUDITOR, DAYS, LI, MAY, PLANT_1, PLANT_2, WANG, add_run, on, step, take_through


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CenterStore]:
    with new_store(tmp_path / "state", FixedClock(on(1))) as opened:
        yield opened


def board(store: CenterStore, at: int, *, month: Month = MAY, actor: Any = AUDITOR) -> DutyBoard:
    return store.read(lambda c: duties_of(c, month, DAYS, actor=actor, now_ms=at))


def row(found: DutyBoard, ident: str) -> DutyRow:
    (one,) = [r for r in found.rows if r.id == ident]
    return one


def ask(store: CenterStore, run: int, at: int, unit: str = "U1", service: str = "deep_peak") -> int:
    actor = PLANT_1 if unit == "U1" else PLANT_2
    asked = ReviewRequest(run, unit, service, on(3, month=5), on(4, month=5), "yuan", "1.00", "x")
    return submit_review(store, asked, actor=actor, days=DAYS, now_ms=at)


def test_before_the_tenth_everything_is_open_with_the_days_left(store: CenterStore) -> None:
    # Friday 5 June 2026. Until Wednesday the 10th: 5 days, of which Monday, Tuesday, Wednesday are worked.
    found = board(store, on(5))
    assert [(r.id, r.status, r.days_left, r.working_days_left) for r in found.rows] == [
        ("disclosure", "open", 5, 3),
        ("review", "open", 10, 6),
        ("filing", "open", 15, 9),  # the 19th is a holiday
        ("publication", "open", 20, 13),
    ]
    assert found.clashes == ("the filing with the regulator falls on 2026-06-20, no working day, and does not move",)


def test_what_was_done_in_time_late_or_not_at_all(store: CenterStore) -> None:
    run = add_run(store)
    assert row(board(store, on(11)), "disclosure").status == "late"
    assert row(board(store, on(11)), "disclosure").days_left == -1
    step(store, MonthStage.DISCLOSED, run, at=on(12), reason="late")
    disclosure = row(board(store, on(13)), "disclosure")
    assert (disclosure.status, disclosure.done_day, disclosure.done_late, disclosure.days_left) == (
        *("done", date(2026, 6, 12), True),
        None,
    )
    assert row(board(store, on(15)), "review").status == "open"
    assert row(board(store, on(15)), "review").days_left == 0
    over = row(board(store, on(16)), "review")
    # Nobody did it: it is over, not done, and not late.
    assert (over.status, over.done_day, over.done_late, over.days_left) == ("passed", None, False, None)


def test_each_question_has_an_answer_of_its_own_due_in_three_working_days(store: CenterStore) -> None:
    run = add_run(store)
    step(store, MonthStage.DISCLOSED, run, at=on(10))
    first = ask(store, run, on(11))
    second = ask(store, run, on(15), "U2", "avc")
    answers = [r for r in board(store, on(16)).rows if r.id == "answer"]
    # 11 June is a Thursday: 12th, 15th, 16th. 15 June: 16th, 17th, 18th.
    assert [(r.review_id, r.due, r.status, r.days_left) for r in answers] == [
        (first, date(2026, 6, 16), "open", 0),
        (second, date(2026, 6, 18), "open", 2),
    ]
    store.write(lambda c: answer_review(c, first, actor=LI, text="x", now_ms=on(17))).result()
    answers = [r for r in board(store, on(19)).rows if r.id == "answer"]
    assert [(r.status, r.done_late) for r in answers] == [("done", True), ("late", False)]
    # A plant sees the clock of its own questions.
    assert [r.review_id for r in board(store, on(16), actor=PLANT_2).rows if r.id == "answer"] == [second]


def test_an_answer_due_after_the_filing_is_shown_as_a_clash(store: CenterStore) -> None:
    """Due on the filing day itself it is none; over Spring Festival three working days go beyond it."""
    april = Month(2026, 4)
    run = add_run(store, month=april)
    step(store, MonthStage.DISCLOSED, run, at=on(11, month=5), month=april)
    asked = ReviewRequest(run, "U1", "deep_peak", on(3, month=4), on(4, month=4), "yuan", "1.00", "x")
    submit_review(store, asked, actor=PLANT_1, days=DAYS, now_ms=on(15, month=5))
    # Friday 15 May: 18th, 19th, 20th: due on the filing day itself, which is no clash.
    assert board(store, on(18, month=5), month=april).clashes == ()
    january = Month(2026, 1)
    run = add_run(store, month=january)
    step(store, MonthStage.DISCLOSED, run, at=on(10, month=2), month=january)
    asked = ReviewRequest(run, "U1", "deep_peak", on(3, month=1), on(4, month=1), "yuan", "1.00", "x")
    number = submit_review(store, asked, actor=PLANT_1, days=DAYS, now_ms=on(13, month=2))
    # Friday 13 February: the 14th is worked, then Spring Festival to the 23rd; 24th, 25th.
    clashes = board(store, on(14, month=2), month=january).clashes
    assert any(
        f"the answer to review {number} is due on 2026-02-25, after the filing on 2026-02-20" in c for c in clashes
    )


def test_a_correction_has_the_days_of_the_next_disclosure(store: CenterStore) -> None:
    take_through(store, add_run(store))
    step(store, MonthStage.CORRECTION, at=on(3, month=7), reason="x")
    found = board(store, on(6, month=7))
    assert (found.edition, str(found.cycle_month)) == (2, "2026-06")
    assert [r.due for r in found.rows] == [date(2026, 7, d) for d in (10, 15, 20, 25)]
    assert row(found, "disclosure").status == "open"
    first = store.read(lambda c: duties_of(c, MAY, DAYS, actor=AUDITOR, now_ms=on(6, month=7), edition=1))
    assert {r.status for r in first.rows} == {"done", "passed"}  # the time to ask


def test_a_correction_opened_after_the_disclosure_day_goes_by_the_month_after(store: CenterStore) -> None:
    take_through(store, add_run(store))
    step(store, MonthStage.CORRECTION, at=on(13, month=7), reason="x")
    found = board(store, on(14, month=7))
    assert str(found.cycle_month) == "2026-07"
    assert row(found, "disclosure").due == date(2026, 8, 10)


def test_a_year_the_calendar_does_not_know_is_refused_here_and_steps_need_a_reason(tmp_path: Path) -> None:
    december, january_8 = Month(2026, 12), on(8, month=1, year=2027)
    with new_store(tmp_path / "state", FixedClock(january_8)) as store:
        run = add_run(store, month=december)
        with pytest.raises(StoreError, match="no working-day table for 2027"):
            step(store, MonthStage.DISCLOSED, run, at=january_8, month=december)
        taken = step(store, MonthStage.DISCLOSED, run, at=january_8, month=december, reason="the notice is not out yet")
        assert taken.state is MonthStage.DISCLOSED
        with pytest.raises(RuleError, match="no working-day table for 2027"):
            board(store, january_8, month=december)


def test_everybody_sees_the_duties(store: CenterStore) -> None:
    for actor in (LI, WANG, PLANT_1):
        assert len(board(store, on(5), actor=actor).rows) == 4
