# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever people try, in whatever order: two people decide, runs stay in their month, what is published stays.

Actors with every role (one person under two roles too, and at the command line) try steps, approvals and refusals at
random; most is refused. After each try the store is held against what must always be so.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from collector.base.errors import CollectorError
from collector.center.db.store import CenterStore
from collector.center.db.tables_inputs import run
from collector.center.db.tables_month import month_step
from collector.center.db.tables_people import proposal
from collector.center.month.transitions import TRANSITIONS, approve_step, propose_step, refuse_step
from collector.center.papers.bills import bills_of
from collector.center.papers.filings import list_filings, make_filings
from collector.center.people import audit
from collector.center.people.access import Actor, Role
from collector.center.runs.month_state import MonthStage, MonthStep, list_steps
from collector.model.interval import Month
from tests.center.center_batches import FixedClock, new_store
from tests.center.made_month import AUDITOR, DAYS, DEEP_PEAK, FIRST, MAY, SECOND, add_run, on
from tests.size import sized

APRIL = Month(2026, 4)
ACTORS = (
    Actor("li", Role.OPERATOR),
    Actor("zhao", Role.OPERATOR),
    Actor("li", Role.APPROVER),  # the same person, another role
    Actor("wang", Role.APPROVER),
    Actor("wang", Role.OPERATOR),
    Actor("jianguan", Role.REGULATOR),
    Actor("li", Role.REGULATOR),
    Actor("one", Role.PLANT, "P1"),
    Actor("root", Role.ADMINISTRATOR),
    Actor.at_command_line("li"),
    Actor.at_command_line("wang"),
)
RUNS = 5  # 1 and 2 of May, 3 of April, 4 of May as what-if, 5 of May as correction

people = st.sampled_from(ACTORS)
preparers = st.sampled_from([a for a in ACTORS if a.local or a.role is Role.OPERATOR])
# Mostly what the month allows next, by its place in the table: without that a random walk seldom leaves a state.
goals = st.one_of(st.integers(0, 3), st.integers(0, 3), st.sampled_from(list(MonthStage)))
runs = st.sampled_from([None, None, None, 1, 2, 3, 3, 4, 5, 6])
# None: somebody who may approve it.
deciders = st.one_of(st.none(), people)
tries = st.one_of(
    st.tuples(st.just("propose"), preparers, goals, runs, st.booleans()),
    st.tuples(st.just("both"), preparers, goals, runs, deciders),
    st.tuples(st.just("both"), preparers, goals, runs, deciders),
    st.tuples(st.just("propose"), people, goals, runs, st.just(True)),
    st.tuples(st.just("approve"), people, st.integers(0, 1), st.just(True)),
    st.tuples(st.just("refuse"), people, st.integers(0, 1)),
    st.tuples(st.just("file"), people, st.integers(1, RUNS)),
)


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    """A store with the runs, copied for every example."""
    folder = Path(tempfile.mkdtemp(prefix="collector-month-"))
    try:
        with new_store(folder / "state", FixedClock(on(1))) as store:
            add_run(store, FIRST)
            add_run(store, {DEEP_PEAK: "1.00"}, status="provisional")
            add_run(store, FIRST, month=APRIL)
            add_run(store, SECOND, kind="what_if")
            add_run(store, SECOND, kind="correction")
        yield folder
    finally:
        shutil.rmtree(folder)


def attempt(store: CenterStore, what: tuple[Any, ...], at: int) -> None:
    verb, actor = what[:2]
    if verb == "file":
        make_filings(store, what[2], actor=actor)
    elif verb == "propose":
        propose(store, actor, what[2], what[3], at, reason="理由" if what[4] else "")
    elif verb == "both":
        number = propose(store, actor, what[2], what[3], at)
        approve(store, number, what[4] or right_person(store, number), at)
    else:
        waiting = store.read(lambda c: c.execute(select(proposal.c.id).order_by(proposal.c.id.desc())).scalars().all())
        number = waiting[min(what[2], len(waiting) - 1)] if waiting else 1
        if verb == "refuse":
            store.write(lambda c: refuse_step(c, number, actor=actor, now_ms=at, note="x")).result()
        else:
            approve(store, number, actor, at)


def approve(store: CenterStore, number: int, actor: Actor, at: int) -> None:
    store.write(lambda c: approve_step(c, number, actor=actor, now_ms=at, days=DAYS, document="1号")).result()


def right_person(store: CenterStore, number: int) -> Actor:
    """Somebody of the office that decides a proposal, who did not prepare it."""
    found = store.read(lambda c: c.execute(select(proposal).where(proposal.c.id == number)).one())
    offices = {Role.APPROVER} if found.kind == "month_step" else {Role.REGULATOR}
    return next(a for a in ACTORS if a.role in offices and a.name != found.prepared_by)


def propose(
    store: CenterStore, actor: Actor, goal: int | MonthStage, run_id: int | None, at: int, *, reason: str = "理由"
) -> int:
    """A goal by its place in the table takes the run that fits, where none is said, and has its filings made."""
    steps = history(store)
    state, pinned = (steps[-1].state, steps[-1].run_id) if steps else (MonthStage.TRIAL, 0)
    allowed = [t for t in TRANSITIONS if t.before is state]
    if isinstance(goal, MonthStage):
        to, chosen = goal, run_id or pinned or 1
    else:
        step = allowed[goal % len(allowed)]
        another = next(number for number in (1, 5, 2) if number != pinned)
        to, chosen = step.after, run_id or (another if "another_run" in step.needs else pinned)
    if to is MonthStage.FILED and run_id is None:
        make_filings(store, chosen, actor=ACTORS[0])
    return store.write(
        lambda c: propose_step(c, MAY, to, actor=actor, now_ms=at, days=DAYS, run_id=chosen, reason=reason)
    ).result()


def walk(store: CenterStore, count: int) -> None:
    """The first steps of a month that goes straight through, and through a correction."""
    straight = (
        MonthStage.DISCLOSED,
        MonthStage.FILED,
        MonthStage.EFFECTIVE,
        MonthStage.PUBLISHED,
        MonthStage.CORRECTION,
    )
    for place in range(count):
        to = straight[place % len(straight)]
        run_id = (1 if place < len(straight) else 5) if to is MonthStage.DISCLOSED else None
        pinned = history(store)[-1].run_id if place else 1
        if to is MonthStage.FILED:
            make_filings(store, pinned, actor=ACTORS[0])
        at = on(10) + place
        number = propose(store, ACTORS[1], to, run_id, at)
        approve(store, number, right_person(store, number), at)


def history(store: CenterStore) -> list[MonthStep]:
    return store.read(lambda c: list_steps(c, MAY, actor=AUDITOR))


def check(store: CenterStore, before: list[MonthStep], filed: dict[int, str]) -> None:
    steps = history(store)
    assert steps[: len(before)] == before
    assert len(steps) <= len(before) + 1
    assert all(s.prepared_by != s.approved_by for s in steps)
    pairs = list(zip([MonthStage.TRIAL, *(s.state for s in steps)], [s.state for s in steps], strict=False))
    assert set(pairs) <= {(t.before, t.after) for t in TRANSITIONS}
    kinds = store.read(
        lambda c: c.execute(
            select(run.c.month, run.c.kind, run.c.result_hash, month_step.c.result_hash.label("pinned")).join(
                run, run.c.id == month_step.c.run_id
            )
        ).all()
    )
    assert all((row.month, row.result_hash) == (str(MAY), row.pinned) and row.kind != "what_if" for row in kinds)
    for one in steps:
        if one.state in (MonthStage.EFFECTIVE, MonthStage.PUBLISHED):
            assert one.approved_by in ("jianguan", "li", "wang")  # the regulator's role, or the command line
        if one.state is MonthStage.EFFECTIVE:
            assert one.document
    decided = store.read(lambda c: c.execute(select(proposal).where(proposal.c.decision.is_not(None))).all())
    assert all(p.prepared_by != p.decided_by for p in decided)
    now_filed = {f.id: f.sha256 for f in store.read(lambda c: list_filings(c, MAY, actor=AUDITOR))}
    assert filed.items() <= now_filed.items()
    bills = store.read(lambda c: bills_of(c, MAY, actor=AUDITOR))
    assert sum((row.carry.amount_yuan or 0 for row in bills), 0) == 0


@example(0, [("both", ACTORS[1], 0, 3, None)])  # a run of another month
@example(0, [("both", ACTORS[0], 0, 1, ACTORS[2])])  # one person in two offices
@example(2, [("propose", ACTORS[9], 0, 1, True), ("approve", ACTORS[6], 0, True)])  # and at the command line
@settings(max_examples=sized(15, 30))
@given(st.integers(0, 9), st.lists(tries, min_size=1, max_size=8))
def test_no_sequence_of_tries_breaks_what_must_hold(template: Path, already: int, whats: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory(prefix="collector-month-") as folder:
        shutil.copytree(template / "state", Path(folder) / "state")
        with new_store(Path(folder) / "state", FixedClock(on(1))) as store:
            files = {p: p.read_bytes() for p in (store.directory / "runs").rglob("*") if p.is_file()}
            walk(store, already)
            for count, what in enumerate(whats):
                before = history(store)
                filed = {f.id: f.sha256 for f in store.read(lambda c: list_filings(c, MAY, actor=AUDITOR))}
                try:
                    attempt(store, what, on(20) + count)
                except CollectorError:
                    assert history(store) == before
                check(store, before, filed)
            assert {path: path.read_bytes() for path in files} == files
            assert store.read(audit.verify) == []
