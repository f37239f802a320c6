# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps against the calendar: a month that is not over is not disclosed, and what is early or late needs a reason.

May 2026: disclosed by Wednesday 10 June, reviews asked until the 15th, filed by the 20th.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.base.errors import StoreError
from collector.base.text import from_data
from collector.center.db.store import CenterStore
from collector.center.month.transitions import approve_step, propose_step
from collector.center.papers.filings import make_filings
from collector.center.people import audit, four_eyes
from collector.center.runs.month_state import MonthStage, list_steps, month_state
from collector.settlement.rulebook.calendar import DutyDays, WorkingDays
from tests.center.center_batches import FixedClock, new_store
from tests.center.made_month import AUDITOR, BOOK, DAYS, LI, MAY, WANG, add_run, on, step

LAST_MOMENT = on(1, hour=0) - 1


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CenterStore]:
    with new_store(tmp_path / "state", FixedClock(on(1))) as opened:
        yield opened


def propose(
    store: CenterStore, to: MonthStage, run_id: int | None = None, *, at: int, reason: str = "", days: DutyDays = DAYS
) -> int:
    return store.write(
        lambda c: propose_step(c, MAY, to, actor=LI, now_ms=at, days=days, run_id=run_id, reason=reason)
    ).result()


def approve(store: CenterStore, number: int, *, at: int, note: str = "") -> MonthStage:
    return store.write(lambda c: approve_step(c, number, actor=WANG, now_ms=at, days=DAYS, note=note)).result().state


def test_a_month_that_is_not_over_is_not_disclosed_whatever_the_reason(store: CenterStore) -> None:
    run = add_run(store)
    with pytest.raises(StoreError, match="2026-05: is not over before 2026-06-01"):
        propose(store, MonthStage.DISCLOSED, run, at=LAST_MOMENT, reason="everybody waits for it")
    assert propose(store, MonthStage.DISCLOSED, run, at=LAST_MOMENT + 1)


def test_a_run_made_before_the_month_was_over_is_not_disclosed_later_either(tmp_path: Path) -> None:
    with new_store(tmp_path / "early", FixedClock(LAST_MOMENT)) as store:
        run = add_run(store)
        with pytest.raises(StoreError, match=f"run {run}: was made before 2026-05 was over: settle anew"):
            propose(store, MonthStage.DISCLOSED, run, at=on(9), reason="no time for another")


def test_disclosed_after_its_day_needs_a_reason_that_is_kept_and_shown(store: CenterStore) -> None:
    run = add_run(store)
    with pytest.raises(StoreError, match=r"disclosed on 2026-06-11, due by 2026-06-10: needs a stated reason"):
        propose(store, MonthStage.DISCLOSED, run, at=on(11))
    number = propose(store, MonthStage.DISCLOSED, run, at=on(11), reason="meter data of P1 came on the 10th")
    waiting = store.read(lambda c: four_eyes.get_proposal(c, number))
    assert waiting.content["against"] == ["disclosed on 2026-06-11, due by 2026-06-10"]
    (against,) = map(from_data, waiting.content["against_texts"])
    assert against.into("zh") == "2026-06-11 披露，期限为 2026-06-10"
    approve(store, number, at=on(11))
    (taken,) = store.read(lambda c: list_steps(c, MAY, actor=AUDITOR))
    assert taken.reason == "meter data of P1 came on the 10th"
    entry = next(e for e in store.read(audit.list_entries) if e["action"] == "month.disclosed")
    assert entry["detail"]["reason"] == taken.reason
    assert entry["detail"]["against"] == waiting.content["against"]


def test_on_its_day_no_reason_is_asked_for(store: CenterStore) -> None:
    run = add_run(store)
    step(store, MonthStage.DISCLOSED, run, at=on(10))
    make_filings(store, run, actor=LI)
    assert step(store, MonthStage.FILED, at=on(20)).state is MonthStage.FILED
    entries = store.read(audit.list_entries)
    assert [e["detail"]["against"] for e in entries if e["action"].startswith("month.")] == [[], []]


@pytest.mark.parametrize(
    ("day", "said"),
    [(12, "while plants may ask until 2026-06-15"), (15, "while plants may ask until"), (21, "due by 2026-06-20")],
)
def test_filed_while_plants_may_still_ask_or_late_needs_a_reason(store: CenterStore, day: int, said: str) -> None:
    run = add_run(store)
    step(store, MonthStage.DISCLOSED, run, at=on(10))
    make_filings(store, run, actor=LI)
    with pytest.raises(StoreError, match=said):
        propose(store, MonthStage.FILED, at=on(day))
    assert (
        approve(store, propose(store, MonthStage.FILED, at=on(day), reason="全部电厂书面确认"), at=on(day))
        is MonthStage.FILED
    )


def test_what_was_in_time_when_proposed_and_late_when_approved_needs_the_approvers_note(store: CenterStore) -> None:
    number = propose(store, MonthStage.DISCLOSED, add_run(store), at=on(10))
    with pytest.raises(StoreError, match="needs a stated reason"):
        approve(store, number, at=on(11))
    assert store.read(lambda c: month_state(c, MAY)).state is MonthStage.TRIAL
    approve(store, number, at=on(11), note="approved the morning after")
    (taken,) = store.read(lambda c: list_steps(c, MAY, actor=AUDITOR))
    assert taken.reason == "approved the morning after"


def test_without_a_calendar_of_the_year_a_step_needs_a_reason_for_nobody_can_tell(store: CenterStore) -> None:
    run = add_run(store)
    unknown = DutyDays(WorkingDays(frozenset({2025})), BOOK)
    with pytest.raises(StoreError, match=r"no working-day table for 2026.*needs a stated reason"):
        propose(store, MonthStage.DISCLOSED, run, at=on(10), days=unknown)
    assert propose(store, MonthStage.DISCLOSED, run, at=on(10), days=unknown, reason="the notice is not out")
