# SPDX-License-Identifier: GPL-3.0-or-later
"""A month's steps: in order, by two people, about one run of that month, once; and what each person may see."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from collector.base.errors import CollectorError, Denied, StoreError
from collector.center.db.store import CenterStore
from collector.center.month.transitions import (
    TRANSITIONS,
    approve_step,
    propose_step,
    refuse_step,
    transitions_from,
    what_stands_open,
)
from collector.center.papers.filings import make_filings
from collector.center.people import audit
from collector.center.people.access import Actor, Role
from collector.center.people.four_eyes import get_proposal
from collector.center.runs.month_state import (
    MonthStage,
    list_steps,
    may_see_run,
    month_state,
    run_in_effect,
    visible_run,
)
from collector.model.interval import Month
from tests.center.center_batches import FixedClock, new_store
from tests.center.made_month import (
    AUDITOR,
    DAYS,
    DEEP_PEAK,
    LI,
    MAY,
    PLANT_1,
    REGULATOR,
    SUN,
    WANG,
    ZHAO,
    add_run,
    on,
    step,
    take_through,
)
from tests.patience import HANG_S


@pytest.fixture
def store(tmp_path: Path, database_url: str) -> Iterator[CenterStore]:
    with new_store(tmp_path / "state", FixedClock(on(1)), database_url=database_url) as opened:
        yield opened


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[CenterStore]:
    """On SQLite alone, for what no database could do otherwise."""
    with new_store(tmp_path / "state", FixedClock(on(1))) as opened:
        yield opened


def propose(
    store: CenterStore,
    to: MonthStage,
    run_id: int | None = None,
    *,
    actor: Actor = LI,
    reason: str = "",
    month: Month = MAY,
    at: int = on(10),
) -> int:
    return store.write(
        lambda c: propose_step(c, month, to, actor=actor, now_ms=at, days=DAYS, run_id=run_id, reason=reason)
    ).result()


def approve(
    store: CenterStore, number: int, actor: Actor = WANG, *, document: str = "", at: int = on(10)
) -> MonthStage:
    return (
        store.write(lambda c: approve_step(c, number, actor=actor, now_ms=at, days=DAYS, document=document))
        .result()
        .state
    )


def state_of(store: CenterStore) -> MonthStage:
    return store.read(lambda c: month_state(c, MAY)).state


def test_a_month_goes_from_trial_to_published_and_into_a_correction(store: CenterStore) -> None:
    run = add_run(store)
    assert state_of(store) is MonthStage.TRIAL
    assert take_through(store, run).state is MonthStage.PUBLISHED
    again = step(store, MonthStage.CORRECTION, at=on(3, month=7), reason="复核申请 1 的裁决")
    assert (again.state, again.edition, again.run_id) == (MonthStage.CORRECTION, 2, run)
    steps = store.read(lambda c: list_steps(c, MAY, actor=AUDITOR))
    assert [(s.number, s.state, s.edition) for s in steps] == [
        (1, MonthStage.DISCLOSED, 1),
        (2, MonthStage.FILED, 1),
        (3, MonthStage.EFFECTIVE, 1),
        (4, MonthStage.PUBLISHED, 1),
        (5, MonthStage.CORRECTION, 2),
    ]
    assert {(s.prepared_by, s.approved_by) for s in steps} == {("li", "wang"), ("li", "jianguan")}
    assert steps[2].document.startswith("华东监能市场")
    assert store.read(lambda c: run_in_effect(c, MAY)) == run
    entries = store.read(lambda c: [e["action"] for e in audit.list_entries(c, subject=str(MAY))])
    assert [e for e in reversed(entries) if e.startswith("month.")] == [
        *("month.disclosed", "month.filed", "month.effective", "month.published", "month.correction"),
    ]
    assert store.read(audit.verify) == []


def test_no_step_leads_where_the_table_does_not(lite: CenterStore) -> None:
    add_run(lite)
    for to in set(MonthStage) - {MonthStage.DISCLOSED}:
        with pytest.raises(StoreError, match="from trial a month goes to disclosed"):
            propose(lite, to, 1)


def test_each_state_but_published_leads_on_and_each_step_has_its_article() -> None:
    assert all(transitions_from(state) for state in MonthStage)
    assert {t.article for t in TRANSITIONS} <= {"24", "26", "27", "28"}
    assert len({(t.before, t.after) for t in TRANSITIONS}) == len(TRANSITIONS)


def test_who_prepares_a_step_cannot_approve_it(lite: CenterStore) -> None:
    both = Actor("li", Role.APPROVER)  # even if the account changed its role meanwhile
    number = propose(lite, MonthStage.DISCLOSED, add_run(lite))
    with pytest.raises(Denied, match="another person"):
        approve(lite, number, both)
    local = Actor.at_command_line("li")
    with pytest.raises(Denied, match="another person"):
        approve(lite, number, local)
    assert state_of(lite) is MonthStage.TRIAL


@pytest.mark.parametrize("actor", [WANG, AUDITOR, REGULATOR, PLANT_1, Actor("root", Role.ADMINISTRATOR)])
def test_only_an_operator_prepares_a_step(lite: CenterStore, actor: Actor) -> None:
    run = add_run(lite)
    with pytest.raises(Denied, match="no permission"):
        propose(lite, MonthStage.DISCLOSED, run, actor=actor)


@pytest.mark.parametrize("actor", [ZHAO, AUDITOR, REGULATOR, PLANT_1, Actor("root", Role.ADMINISTRATOR)])
def test_only_an_approver_approves_a_step(lite: CenterStore, actor: Actor) -> None:
    number = propose(lite, MonthStage.DISCLOSED, add_run(lite))
    with pytest.raises(Denied, match="no permission"):
        approve(lite, number, actor)
    assert state_of(lite) is MonthStage.TRIAL


def test_only_the_regulator_makes_it_effective_and_names_the_document(lite: CenterStore) -> None:
    run = add_run(lite)
    step(lite, MonthStage.DISCLOSED, run, at=on(10))
    make_filings(lite, run, actor=LI)
    step(lite, MonthStage.FILED, at=on(19))
    number = propose(lite, MonthStage.EFFECTIVE)
    with pytest.raises(Denied, match="no permission regulate"):
        approve(lite, number, WANG, document="文号")
    with pytest.raises(StoreError, match="name the document"):
        approve(lite, number, REGULATOR)
    assert approve(lite, number, REGULATOR, document="〔2026〕7号") is MonthStage.EFFECTIVE
    assert lite.read(lambda c: month_state(c, MAY)).document == "〔2026〕7号"


def test_of_two_who_approve_at_once_exactly_one_wins(store: CenterStore, tmp_path: Path, database_url: str) -> None:
    """Two processes' worth of stores and threads; the loser hears why, and the month took one step."""
    number = propose(store, MonthStage.DISCLOSED, add_run(store))
    with new_store(tmp_path / "state", FixedClock(on(1)), database_url=database_url) as other:
        outcomes = at_once(
            lambda: approve(store, number, WANG),
            lambda: approve(other, number, SUN),
        )
    assert sorted(type(o).__name__ for o in outcomes) == ["MonthStage", "StoreError"]
    assert len(store.read(lambda c: list_steps(c, MAY, actor=AUDITOR))) == 1


def test_of_two_steps_approved_at_once_one_is_taken_and_the_other_is_out_of_date(
    store: CenterStore, tmp_path: Path, database_url: str
) -> None:
    """Approval by the regulator and a disclosure of another run: whichever comes second no longer fits the month."""
    first, second = add_run(store), add_run(store, {DEEP_PEAK: "1.00"})
    step(store, MonthStage.DISCLOSED, first, at=on(10))
    make_filings(store, first, actor=LI)
    step(store, MonthStage.FILED, at=on(19))
    effective = propose(store, MonthStage.EFFECTIVE)
    back = propose(store, MonthStage.DISCLOSED, second, reason="退回")
    with new_store(tmp_path / "state", FixedClock(on(1)), database_url=database_url) as other:
        outcomes = at_once(
            lambda: approve(store, effective, REGULATOR, document="1号"),
            lambda: approve(other, back, WANG),
        )
    assert sorted(type(o).__name__ for o in outcomes) == ["MonthStage", "StoreError"]
    assert len(store.read(lambda c: list_steps(c, MAY, actor=AUDITOR))) == 3
    (refused,) = [o for o in outcomes if isinstance(o, StoreError)]
    assert "refuse it and propose anew" in str(refused)
    # What was out of date was not decided either: it is still there to be refused.
    lost = back if state_of(store) is MonthStage.EFFECTIVE else effective
    refuser = SUN if lost == back else REGULATOR
    store.write(lambda c: refuse_step(c, lost, actor=refuser, now_ms=on(21), note="out of date")).result()


def at_once(*jobs: Callable[[], object]) -> list[object]:
    """What each job gave, or raised, when all were let go together."""
    barrier, outcomes = threading.Barrier(len(jobs)), []

    def work(job: Callable[[], object]) -> None:
        barrier.wait(HANG_S)
        try:
            outcomes.append(job())
        except CollectorError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=work, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_S)
    return outcomes


def test_a_run_of_another_month_or_of_no_consequence_is_never_taken(lite: CenterStore) -> None:
    april = add_run(lite, month=Month(2026, 4))
    trial = add_run(lite)
    draft = add_run(lite, kind="what_if")
    with pytest.raises(StoreError, match="is of 2026-04, not of 2026-05"):
        propose(lite, MonthStage.DISCLOSED, april)
    with pytest.raises(StoreError, match="what-if run"):
        propose(lite, MonthStage.DISCLOSED, draft)
    with pytest.raises(StoreError, match="there is none with this number"):
        propose(lite, MonthStage.DISCLOSED, 99)
    with pytest.raises(StoreError, match="name the run"):
        propose(lite, MonthStage.DISCLOSED)
    step(lite, MonthStage.DISCLOSED, trial, at=on(10))
    with pytest.raises(StoreError, match="is of 2026-04"):
        propose(lite, MonthStage.FILED, april)
    with pytest.raises(StoreError, match="stands on run 2"):
        propose(lite, MonthStage.FILED, add_run(lite))


def test_a_month_is_filed_with_its_three_documents_only(lite: CenterStore) -> None:
    run = add_run(lite)
    step(lite, MonthStage.DISCLOSED, run, at=on(10))
    with pytest.raises(StoreError, match="make the filings first: detail, allocation, scheme of edition 1"):
        propose(lite, MonthStage.FILED)
    make_filings(lite, run, actor=LI)
    assert approve(lite, propose(lite, MonthStage.FILED, at=on(19)), at=on(19)) is MonthStage.FILED


@pytest.mark.parametrize("status", ["provisional", "blocked"])
def test_an_area_that_is_not_final_is_disclosed_filed_and_published_with_a_stated_reason_only(
    lite: CenterStore, status: str
) -> None:
    run, why = add_run(lite, status=status), "第十三条(四)标准表缺失"
    with pytest.raises(StoreError, match=f"run 1: Jiangsu is {status}: a step with an area that is not final"):
        propose(lite, MonthStage.DISCLOSED, run)
    number = propose(lite, MonthStage.DISCLOSED, run, reason=why)
    assert lite.read(lambda c: get_proposal(c, number)).content["areas"] == {"jiangsu": status}
    approve(lite, number)
    make_filings(lite, run, actor=LI)
    with pytest.raises(StoreError, match=f"Jiangsu is {status}: filing it needs a stated reason"):
        propose(lite, MonthStage.FILED)
    assert lite.read(lambda c: what_stands_open(c, MAY, run)) == [f"Jiangsu is {status}"]
    assert approve(lite, propose(lite, MonthStage.FILED, reason=why)) is MonthStage.FILED
    assert lite.read(lambda c: list_steps(c, MAY, actor=AUDITOR))[-1].reason == why
    step(lite, MonthStage.EFFECTIVE, at=on(22))
    with pytest.raises(StoreError, match="needs a stated reason"):
        propose(lite, MonthStage.PUBLISHED)
    step(lite, MonthStage.PUBLISHED, at=on(25), reason=why)


def test_a_plant_without_a_grid_company_holds_up_the_filing(lite: CenterStore) -> None:
    run = add_run(lite, companies={"P1": "", "P3": ""})
    step(lite, MonthStage.DISCLOSED, run, at=on(10))
    make_filings(lite, run, actor=LI)
    with pytest.raises(StoreError, match=r"no grid company in the register \(settles_with\): P1, P3"):
        propose(lite, MonthStage.FILED)


def test_another_run_is_disclosed_with_a_reason_and_counts_from_then(lite: CenterStore) -> None:
    first, second = add_run(lite), add_run(lite, {DEEP_PEAK: "1.00"})
    step(lite, MonthStage.DISCLOSED, first, at=on(10))
    with pytest.raises(StoreError, match="say why"):
        propose(lite, MonthStage.DISCLOSED, second)
    with pytest.raises(StoreError, match="is the one the month stands on"):
        propose(lite, MonthStage.DISCLOSED, first, reason="again")
    step(lite, MonthStage.DISCLOSED, second, at=on(12), reason="数据更正")
    assert lite.read(lambda c: visible_run(c, MAY, PLANT_1)) == second
    # What was disclosed once stays visible: a plant may compare.
    assert lite.read(lambda c: may_see_run(c, first, PLANT_1))


def test_a_plant_sees_disclosed_runs_only_and_staff_the_newest_trial(lite: CenterStore) -> None:
    first = add_run(lite)
    second = add_run(lite)
    add_run(lite, kind="what_if")
    assert lite.read(lambda c: visible_run(c, MAY, PLANT_1)) is None
    assert lite.read(lambda c: visible_run(c, MAY, LI)) == second
    assert not lite.read(lambda c: may_see_run(c, first, PLANT_1))
    take_through(lite, second)
    step(lite, MonthStage.CORRECTION, at=on(3, month=7), reason="x")
    third = add_run(lite, kind="correction")
    assert lite.read(lambda c: visible_run(c, MAY, PLANT_1)) == second
    assert lite.read(lambda c: visible_run(c, MAY, LI)) == third
    steps = lite.read(lambda c: list_steps(c, MAY, actor=PLANT_1))
    assert {(s.prepared_by, s.approved_by, s.reason) for s in steps} == {("", "", "")}


def test_a_proposal_counts_only_while_the_month_stands_where_it_stood(lite: CenterStore) -> None:
    first, second = add_run(lite), add_run(lite, {DEEP_PEAK: "1.00"})
    step(lite, MonthStage.DISCLOSED, first, at=on(10))
    make_filings(lite, first, actor=LI)
    number = propose(lite, MonthStage.FILED, at=on(18))
    lite.write(lambda c: refuse_step(c, number, actor=WANG, now_ms=on(18), note="等待复核")).result()
    with pytest.raises(StoreError, match="was decided already"):
        approve(lite, number)
    step(lite, MonthStage.DISCLOSED, second, at=on(18), reason="x")
    with pytest.raises(StoreError, match="stands on run 2"):
        propose(lite, MonthStage.FILED, first)


def test_a_step_is_refused_with_a_note_and_by_another_person(lite: CenterStore) -> None:
    number = propose(lite, MonthStage.DISCLOSED, add_run(lite))
    with pytest.raises(StoreError, match="say why it is refused"):
        lite.write(lambda c: refuse_step(c, number, actor=WANG, now_ms=on(10), note=" ")).result()
    with pytest.raises(Denied):
        lite.write(lambda c: refuse_step(c, number, actor=LI, now_ms=on(10), note="no")).result()


@pytest.mark.parametrize("table", ["month_step", "filing", "scheme", "review", "review_event", "attachment"])
def test_history_can_be_added_to_and_never_changed(store: CenterStore, table: str) -> None:
    take_through(store, add_run(store))
    if table in ("month_step", "filing", "scheme"):
        for statement in (f"UPDATE {table} SET run_id = run_id", f"DELETE FROM {table}"):
            with pytest.raises(DBAPIError, match="append-only"):
                store.write(lambda c, s=statement: c.execute(text(s))).result()  # type: ignore[misc]
    else:  # empty here: SQLite's triggers are of rows
        names = store.read(lambda c: _triggers(c.dialect.name, c.execute))
        assert any(name.startswith(f"{table}_") for name in names)


def _triggers(dialect: str, execute: Callable[..., object]) -> list[str]:
    query = (
        "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        if dialect == "sqlite"
        else "SELECT tgname FROM pg_trigger"
    )
    return [str(name) for name in execute(text(query)).scalars()]  # type: ignore[attr-defined]
