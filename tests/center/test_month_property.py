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

import pytest
from center_batches import FixedClock, new_store
from hypothesis import given, settings
from hypothesis import strategies as st
from made_month import AUDITOR, DEEP_PEAK, FIRST, MAY, SECOND, add_run, on
from sqlalchemy import select

from collector.center import audit
from collector.center.access import Actor, Role
from collector.center.import_schema import run
from collector.center.month.bills import bills_of
from collector.center.month.filings import list_filings, make_filings
from collector.center.month.states import TRANSITIONS, approve_step, propose_step, refuse_step
from collector.center.month.steps import State, Step, list_steps
from collector.center.month_schema import month_step
from collector.center.people_schema import proposal
from collector.center.store import CenterStore
from collector.errors import CollectorError
from collector.model.interval import Month

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

tries = st.one_of(
    st.tuples(
        st.just("propose"),
        st.sampled_from(ACTORS),
        st.sampled_from(list(State)),
        st.integers(1, RUNS + 1),
        st.booleans(),
    ),
    st.tuples(st.just("approve"), st.sampled_from(ACTORS), st.integers(0, 1), st.booleans(), st.none()),
    st.tuples(st.just("refuse"), st.sampled_from(ACTORS), st.integers(0, 1), st.none(), st.none()),
    st.tuples(st.just("file"), st.sampled_from(ACTORS), st.integers(1, RUNS), st.none(), st.none()),
    # What would go through if all is well: without these a random walk seldom leaves the first state.
    st.tuples(st.just("advance"), st.integers(0, 3), st.integers(1, RUNS), st.none(), st.none()),
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


def attempt(store: CenterStore, what: tuple[object, ...], at: int) -> None:
    verb, actor, a, b, _ = what
    if verb == "advance":
        advance(store, int(str(actor)), int(str(a)), at)
        return
    assert isinstance(actor, Actor)
    if verb == "propose":
        assert isinstance(a, State)
        reason = "理由" if what[4] else ""
        run_id = int(str(b))
        store.write(lambda c: propose_step(c, MAY, a, actor=actor, now_ms=at, run_id=run_id, reason=reason)).result()
    elif verb == "file":
        make_filings(store, int(str(a)), actor=actor)
    else:
        waiting = store.read(lambda c: c.execute(select(proposal.c.id).order_by(proposal.c.id.desc())).scalars().all())
        number = waiting[min(int(str(a)), len(waiting) - 1)] if waiting else 1
        if verb == "refuse":
            store.write(lambda c: refuse_step(c, number, actor=actor, now_ms=at, note="x")).result()
        else:
            document = "1号" if b else ""
            store.write(lambda c: approve_step(c, number, actor=actor, now_ms=at, document=document)).result()


def walk(store: CenterStore, count: int) -> None:
    """The first steps of a month that goes straight through, and through a correction."""
    straight = (State.DISCLOSED, State.FILED, State.EFFECTIVE, State.PUBLISHED, State.CORRECTION)
    for number in range(count):
        state = history(store)[-1].state if number else State.TRIAL
        names = [t.after for t in TRANSITIONS if t.before is state]
        advance(
            store, names.index(straight[number % len(straight)]), 1 if number < len(straight) else 5, on(10) + number
        )


def advance(store: CenterStore, which: int, run_id: int, at: int) -> None:
    """One allowed step by the right people, if the run fits it."""
    steps = history(store)
    state = steps[-1].state if steps else State.TRIAL
    allowed = [t for t in TRANSITIONS if t.before is state]
    to = allowed[which % len(allowed)]
    pinned = steps[-1].run_id if steps else 0
    chosen = run_id if "another_run" in to.needs else pinned
    if to.after is State.FILED:
        make_filings(store, chosen, actor=ACTORS[0])
    number = store.write(
        lambda c: propose_step(c, MAY, to.after, actor=ACTORS[1], now_ms=at, run_id=chosen, reason="理由")
    ).result()
    approver = ACTORS[3] if to.kind == "month_step" else ACTORS[5]
    store.write(lambda c: approve_step(c, number, actor=approver, now_ms=at, document="1号")).result()


def history(store: CenterStore) -> list[Step]:
    return store.read(lambda c: list_steps(c, MAY, actor=AUDITOR))


def check(store: CenterStore, before: list[Step], filed: dict[int, str], files: dict[Path, bytes]) -> None:
    steps = history(store)
    assert steps[: len(before)] == before
    assert len(steps) <= len(before) + 1
    assert all(s.prepared_by != s.approved_by for s in steps)
    pairs = list(zip([State.TRIAL, *(s.state for s in steps)], [s.state for s in steps], strict=False))
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
        if one.state in (State.EFFECTIVE, State.PUBLISHED):
            assert one.approved_by in ("jianguan", "li", "wang")  # the regulator's role, or the command line
        if one.state is State.EFFECTIVE:
            assert one.document
    decided = store.read(lambda c: c.execute(select(proposal).where(proposal.c.decision.is_not(None))).all())
    assert all(p.prepared_by != p.decided_by for p in decided)
    now_filed = {f.id: f.sha256 for f in store.read(lambda c: list_filings(c, MAY, actor=AUDITOR))}
    assert filed.items() <= now_filed.items()
    bills = store.read(lambda c: bills_of(c, MAY, actor=AUDITOR))
    assert sum((row.carry.amount_yuan or 0 for row in bills), 0) == 0
    assert {path: path.read_bytes() for path in files} == files
    assert store.read(audit.verify) == []


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 9), st.lists(tries, min_size=1, max_size=12))
def test_no_sequence_of_tries_breaks_what_must_hold(
    template: Path, already: int, whats: list[tuple[object, ...]]
) -> None:
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
                check(store, before, filed, files)
