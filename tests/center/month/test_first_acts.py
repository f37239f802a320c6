# SPDX-License-Identifier: GPL-3.0-or-later
"""What the regulator decides without waiting: a filing, its publication, a dispute that came by letter (Art. 27-29)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from collector.base.errors import Denied, StoreError
from collector.center.db.store import CenterStore
from collector.center.month.decisions import list_decisions
from collector.center.month.regulator.first_acts import act_first, returned_filing
from collector.center.month.review_log import ReviewState, review_by_id
from collector.center.month.reviews import ReviewRequest, answer_review, rule_on_appeal, submit_review
from collector.center.month.transitions import propose_step
from collector.center.operate.inbox.tasks import tasks_of
from collector.center.papers.books import accounts_of
from collector.center.papers.filings import make_filings
from collector.center.people import audit
from collector.center.people.access import Actor
from collector.center.runs.month_state import MonthStage, MonthState, month_state
from tests.center.center_batches import FixedClock, new_store
from tests.center.made_month import AUDITOR, DAYS, LI, MAY, PLANT_1, REGULATOR, WANG, add_run, on, step


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CenterStore]:
    with new_store(tmp_path / "state", FixedClock(on(5))) as made:
        yield made


def filed(store: CenterStore, *, status: str = "final") -> int:
    """May, filed on the 20th."""
    run = add_run(store, status=status)
    reason = "" if status == "final" else "有区域待定"
    step(store, MonthStage.DISCLOSED, run, at=on(10), reason=reason)
    make_filings(store, run, actor=LI)
    step(store, MonthStage.FILED, at=on(20), reason=reason)
    return run


def act(
    store: CenterStore,
    to: MonthStage,
    *,
    actor: Actor = REGULATOR,
    granted: bool = True,
    note: str = "",
    document: str = "",
    at: int = on(22),
) -> MonthState:
    return store.write(
        lambda c: act_first(
            c, MAY, to, actor=actor, granted=granted, now_ms=at, days=DAYS, note=note, document=document
        )
    ).result()


def kinds(store: CenterStore, actor: Actor, at: int = on(22)) -> set[str]:
    return {each.kind for each in store.read(lambda c: tasks_of(c, actor, DAYS, at)) if each.kind != "alarm"}


def test_a_filing_takes_effect_and_is_published_without_a_proposal_and_the_books_are_posted(store: CenterStore) -> None:
    filed(store)
    assert kinds(store, REGULATOR) == {"approve_filing"}
    with pytest.raises(StoreError, match="document"):
        act(store, MonthStage.EFFECTIVE)
    effective = act(store, MonthStage.EFFECTIVE, document="华东监能市场〔2026〕7号")
    assert (effective.state, effective.document) == (MonthStage.EFFECTIVE, "华东监能市场〔2026〕7号")
    # P1 earns 3600 of 46800 and carries a sixth of it by its revenue of 100 in 600: 3600 - 7800.
    balances = {each.plant: each.closing_yuan for each in store.read(lambda c: accounts_of(c, actor=AUDITOR))}
    assert balances["P1"] == Decimal("-4200.00")
    assert kinds(store, REGULATOR) == {"publication"}
    assert act(store, MonthStage.PUBLISHED).state is MonthStage.PUBLISHED
    decisions = [d for d in store.read(lambda c: list_decisions(c, actor=AUDITOR)) if d.kind.startswith("month_")]
    assert [(d.kind, d.prepared_by, d.decided_by) for d in decisions[-2:]] == [
        ("month_filing", "li", "jianguan"),
        ("month_publication", "li", "jianguan"),
    ]
    actions = [each["action"] for each in store.read(audit.list_entries)]
    assert {"month_filing.first", "month_publication.first", "month.effective", "month.published"} <= set(actions)


def test_a_filing_is_returned_with_a_reason_and_the_center_is_told(store: CenterStore) -> None:
    filed(store)
    with pytest.raises(StoreError, match="why"):
        act(store, MonthStage.EFFECTIVE, granted=False)
    assert act(store, MonthStage.EFFECTIVE, granted=False, note="P2 的 AVC 请复核").state is MonthStage.FILED
    back = store.read(lambda c: returned_filing(c, MAY, on(20)))
    assert back is not None
    assert (back.decided_ms, back.note) == (on(22), "P2 的 AVC 请复核")
    assert kinds(store, LI) == {"returned"}
    assert kinds(store, REGULATOR) == set()


def test_what_the_center_proposed_meanwhile_is_decided_by_it_and_stays_one_decision(store: CenterStore) -> None:
    filed(store)
    store.write(lambda c: propose_step(c, MAY, MonthStage.EFFECTIVE, actor=LI, now_ms=on(21), days=DAYS)).result()
    assert act(store, MonthStage.EFFECTIVE, document="7号").state is MonthStage.EFFECTIVE
    assert [d.kind for d in store.read(lambda c: list_decisions(c, actor=AUDITOR))].count("month_filing") == 1


def test_publishing_with_an_area_that_is_not_final_needs_a_reason(store: CenterStore) -> None:
    filed(store, status="provisional")
    act(store, MonthStage.EFFECTIVE, document="7号")
    with pytest.raises(StoreError, match="not final"):
        act(store, MonthStage.PUBLISHED)
    assert act(store, MonthStage.PUBLISHED, note="江苏待定").state is MonthStage.PUBLISHED


@pytest.mark.parametrize("to", [MonthStage.DISCLOSED, MonthStage.FILED, MonthStage.CORRECTION, MonthStage.PUBLISHED])
def test_no_other_step_is_the_regulators_to_begin(store: CenterStore, to: MonthStage) -> None:
    filed(store)
    with pytest.raises(StoreError, match="the regulator decides what is filed"):
        act(store, to, document="7号")
    assert store.read(lambda c: month_state(c, MAY)).state is MonthStage.FILED


def test_nobody_else_and_not_who_prepared_the_filing(store: CenterStore) -> None:
    filed(store)
    for actor in (LI, WANG, AUDITOR, PLANT_1, replace(REGULATOR, name="li")):
        with pytest.raises(Denied):
            act(store, MonthStage.EFFECTIVE, actor=actor, document="7号")


def test_a_dispute_that_came_by_letter_is_ruled_on_once_the_center_has_answered(store: CenterStore) -> None:
    run = add_run(store)
    step(store, MonthStage.DISCLOSED, run, at=on(10))
    asked = ReviewRequest(
        run, "U1", "deep_peak", MAY.interval.start_ms, MAY.interval.start_ms + 7_200_000, "yuan", "3660.01", "why"
    )
    number = submit_review(store, asked, actor=PLANT_1, days=DAYS, now_ms=on(11))

    def rule(appeal: str = "P1 厂〔2026〕3号") -> None:
        store.write(
            lambda c: rule_on_appeal(
                c, number, actor=REGULATOR, granted=True, text="两小时应计", document="监管〔2026〕9号",
                now_ms=on(12), appeal=appeal,
            )
        ).result()  # fmt: skip

    with pytest.raises(StoreError, match="asked"):  # the center has its days to answer first
        rule()
    store.write(lambda c: answer_review(c, number, actor=LI, text="it stands", now_ms=on(12))).result()
    with pytest.raises(StoreError, match="answered"):  # no letter, no appeal: no dispute
        rule(appeal=" ")
    rule()
    found = store.read(lambda c: review_by_id(c, number, actor=LI))
    assert found.state is ReviewState.RULED_GRANTED
    assert [(each.kind, each.document) for each in found.events[1:]] == [
        ("appealed", "P1 厂〔2026〕3号"),
        ("ruled_granted", "监管〔2026〕9号"),
    ]
    (ruling,) = [d for d in store.read(lambda c: list_decisions(c, actor=AUDITOR)) if d.kind == "appeal_ruling"]
    assert (ruling.prepared_by, ruling.decided_by) == ("one", "jianguan")
