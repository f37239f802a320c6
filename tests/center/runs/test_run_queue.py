# SPDX-License-Identifier: GPL-3.0-or-later
"""A run is there from the moment it is asked for: to every process, after a kill, with its problems; and made once."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from collector.base.errors import ConfigError, Denied, Problem, StoreError
from collector.center.db.store import CenterStore
from collector.center.db.tables_inputs import run
from collector.center.month.books_integrity import check_months
from collector.center.month.transitions import propose_step
from collector.center.operate.backup import create_backup
from collector.center.operate.restore import restore_backup
from collector.center.people import audit
from collector.center.people.access import Actor, Role
from collector.center.runs.asking.lost_runs import runs_asked
from collector.center.runs.asking.run_queue import INTERNAL_FAULT, Asking, RunsInBackground, RunUnderWay, Stopped, ask
from collector.center.runs.month_state import MonthStage, visible_run
from collector.center.runs.run_list import (
    RunFacts,
    RunProgress,
    RunState,
    fail_run,
    finish_run,
    latest_run,
    list_asked,
    list_runs,
    run_by_id,
)
from collector.center.runs.settle_month import ask_to_settle
from tests.center.center_batches import NOON, FixedClock, new_store
from tests.center.made_month import DAYS, LI, MAY, add_run, on
from tests.center.runs.center_months import JUNE, RULES, settled, take
from tests.center.runs.late_changes import PLAN, at, fill, register
from tests.patience import HANG_S, wait_until

TERMINAL = (sys.executable, "-c", "from collector.cli.main import main; main()", "center")
AUDITOR = Actor("wang", Role.AUDITOR)


@pytest.fixture
def store(on_both: None, tmp_path: Path) -> Iterator[CenterStore]:  # noqa: ARG001 - it says which database
    """An empty store on either database, its clock standing still."""
    with new_store(tmp_path / "state") as opened:
        yield opened


def asking(**changes: Any) -> Asking:
    return dataclasses.replace(Asking(MAY, LI, ("rulebook 1",)), **changes)


class Work:
    """Makes a run of nothing, for as long as it is let."""

    def __init__(self, store: CenterStore) -> None:
        self.store = store
        self.begun, self.may_end = threading.Event(), threading.Event()
        self.error: BaseException | None = None

    def __call__(self, under_way: RunUnderWay) -> int:
        (under_way.folder / "half-made").touch()
        under_way.tell("measuring", 2, 7)
        self.begun.set()
        assert self.may_end.wait(HANG_S)
        if self.error is not None:
            raise self.error
        facts = RunFacts("final", "ab" * 32, "{}", "cd" * 32)
        under_way.finish(lambda c, now_ms: finish_run(c, under_way.id, facts, (), now_ms=now_ms))
        return under_way.id


def states(store: CenterStore) -> list[str]:
    return [str(row.state) for row in store.read(list_asked)]


def folders(store: CenterStore) -> list[str]:
    return sorted(path.name for path in (store.directory / "runs").glob("*"))


def locks(store: CenterStore) -> list[str]:
    return sorted(path.name for path in store.directory.glob("run-*.lock") if path.name != "run-asking.lock")


# ---- from the asking on --------------------------------------------------------------------------------------------


def test_a_run_is_listed_before_it_begins_and_told_of_until_it_is_done(store: CenterStore) -> None:
    work = Work(store)
    asked = ask(store, asking(note="first look"), work)
    [row] = store.read(list_asked)
    assert (row.state, row.who, row.kind, row.note, row.asked_ms) == ("queued", "li", "trial", "first look", NOON)
    assert (row.began_ms, row.ended_ms, row.progress, row.folder) == (None, None, None, "")
    assert folders(store) == []
    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(asked.carry_out)
        work.begun.wait(HANG_S)
        store.write(lambda _: None).result()  # what was told before is written now
        [row] = runs_asked(store)
        assert (row.state, row.progress) == ("running", RunProgress("measuring", 2, 7))
        assert folders(store) == [row.folder]
        work.may_end.set()
        assert done.result() == row.id
    [row] = runs_asked(store, MAY)
    assert (row.state, row.status, row.result_hash, row.ended_ms) == ("done", "final", "ab" * 32, NOON)
    assert row.progress is None
    assert folders(store) == [row.folder]
    assert locks(store) == []


def test_who_may_not_settle_leaves_no_row(store: CenterStore) -> None:
    with pytest.raises(Denied):
        ask(store, asking(actor=AUDITOR), Work(store))
    assert store.read(list_asked) == []
    assert locks(store) == []


def test_only_runs_that_are_done_are_read(store: CenterStore, tmp_path: Path) -> None:
    first = add_run(store)
    failing, waiting = Work(store), Work(store)
    failing.error = StoreError("no register yet", subject="x")
    failing.may_end.set()
    with pytest.raises(StoreError, match="no register yet"):
        ask(store, asking(), failing).carry_out()
    asked = ask(store, asking(note="another"), waiting)
    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(asked.carry_out)
        waiting.begun.wait(HANG_S)
        assert states(store) == ["done", "failed", "running"]
        assert [row.id for row in store.read(list_runs)] == [first]
        found = store.read(lambda c: latest_run(c, MAY))
        assert found is not None
        assert found.id == first
        assert store.read(lambda c: visible_run(c, MAY, LI)) == first
        for number, state in ((2, "failed"), (3, "running")):
            with pytest.raises(StoreError, match=f"run {number}: has no statement, it is {state}"):
                store.read(lambda c, n=number: run_by_id(c, n))  # type: ignore[misc]
            with pytest.raises(StoreError, match="there is none with this number"):
                store.write(
                    lambda c, n=number: propose_step(  # type: ignore[misc]
                        c, MAY, MonthStage.DISCLOSED, actor=LI, now_ms=on(10), days=DAYS, run_id=n
                    )
                ).result()
        assert check_months(store) == []
        create_backup(store, tmp_path / "backup")
        assert [p.name for p in (tmp_path / "backup" / "runs").iterdir()] == [store.read(list_runs)[0].folder]
        waiting.may_end.set()
        done.result()
    # Who restores it finds that nobody makes the third run any more.
    restore_backup(tmp_path / "backup", tmp_path / "restored", clock=FixedClock())
    with CenterStore.open(tmp_path / "restored", clock=FixedClock()) as restored:
        assert [str(row.state) for row in runs_asked(restored)] == ["done", "failed", "interrupted"]
        assert check_months(restored) == []


# ---- one queue, and nothing twice ----------------------------------------------------------------------------------


def test_what_is_asked_for_twice_is_made_once(store: CenterStore) -> None:
    work, never = Work(store), Work(store)
    asked = ask(store, asking(), work)
    again = ask(store, asking(actor=Actor("zhao", Role.OPERATOR)), never)
    assert (again.row, again.is_ours) == (asked.row, False)
    with pytest.raises(StoreError, match="run 1: asked for already by li"):
        again.carry_out()
    for other in (asking(note="x"), asking(kind="correction"), asking(base_run_id=1), asking(made_of=("rulebook 2",))):
        assert ask(store, other, never).row.id != asked.row.id
    with ThreadPoolExecutor(2) as thread:
        mine, theirs = thread.submit(asked.ended), thread.submit(again.ended)
        work.begun.wait(HANG_S)
        work.may_end.set()
        assert mine.result() == theirs.result()
    assert ask(store, asking(), never).is_ours  # that one is done; this is another
    assert not never.begun.is_set()


def test_two_who_ask_at_once_get_one_run(store: CenterStore) -> None:
    together = threading.Barrier(8)

    def press() -> Any:
        together.wait()
        return ask(store, asking(), Work(store))

    with ThreadPoolExecutor(8) as threads:
        found = [each.result() for each in [threads.submit(press) for _ in range(8)]]
    assert [each.is_ours for each in found].count(True) == 1
    assert {each.row.id for each in found} == {1}


def test_a_run_under_way_is_no_answer_to_who_imported_since(store: CenterStore) -> None:
    clock = store.clock
    assert isinstance(clock, FixedClock)
    take(store, "register", register())
    clock.now_ms += 60_000
    work = Work(store)
    asked = ask(store, asking(month=JUNE), work)
    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(asked.carry_out)
        work.begun.wait(HANG_S)
        clock.now_ms += 60_000
        assert not ask(store, asking(month=JUNE), work).is_ours
        store.write(lambda c: c.execute(run.update().values(began_ms=NOON))).result()  # as if the import came after
        assert ask(store, asking(month=JUNE), work).is_ours
        work.may_end.set()
        done.result()


def test_a_script_gone_wild_is_refused_and_readers_go_on(store: CenterStore) -> None:
    runs = [ask(store, asking(note=str(n)), Work(store)) for n in range(20)]
    with pytest.raises(StoreError, match="2026-05: 20 runs wait already"):
        ask(store, asking(note="one more"), Work(store))
    assert len(runs_asked(store)) == 20
    for each in runs:
        each.stop()
        with pytest.raises(Stopped):
            each.carry_out()
    assert states(store) == ["interrupted"] * 20
    assert locks(store) == []


def test_runs_are_made_one_after_the_other_in_the_order_of_asking(store: CenterStore) -> None:
    works = [Work(store) for _ in range(3)]
    runs = [ask(store, asking(note=str(n)), work) for n, work in enumerate(works)]
    with ThreadPoolExecutor(3) as threads:
        done = [threads.submit(each.carry_out) for each in reversed(runs)]
        for n, work in enumerate(works):
            assert work.begun.wait(HANG_S)
            assert states(store) == ["done"] * n + ["running"] + ["queued"] * (2 - n)
            work.may_end.set()
        assert [each.result() for each in done] == [3, 2, 1]


def test_a_process_that_stops_ends_the_run_under_way_and_begins_no_other(store: CenterStore) -> None:
    background = RunsInBackground()
    first, second = Work(store), Work(store)
    background.start(lambda: ask(store, asking(), first))
    background.start(lambda: ask(store, asking(note="later"), second))
    first.begun.wait(HANG_S)
    with ThreadPoolExecutor(1) as thread:
        closing = thread.submit(background.close)
        first.may_end.set()
        closing.result()
    assert states(store) == ["done", "interrupted"]
    assert not second.begun.is_set()
    assert locks(store) == []


# ---- failing -------------------------------------------------------------------------------------------------------


def test_a_run_that_fails_keeps_every_problem_and_nothing_else(store: CenterStore) -> None:
    problems = tuple(Problem("plan.csv", row, "unit", f"第 {row} 行: unknown unit 'X{row}'") for row in range(2, 32))
    work = Work(store)
    work.error = ConfigError(problems)
    work.may_end.set()
    asked, another = ask(store, asking(), work), ask(store, asking(), work)
    with pytest.raises(ConfigError):
        asked.carry_out()
    with pytest.raises(StoreError, match=r"run 1: failed: 30 problems\n  plan\.csv:2: unit: 第 2 行"):
        another.ended()
    [row] = runs_asked(store)
    assert (row.state, row.error, row.problems, row.folder) == ("failed", "30 problems", problems, "")
    assert row.why == str(work.error)
    assert folders(store) == []
    [entry] = store.read(audit.list_entries)
    assert (entry["action"], entry["subject"], entry["who"]) == ("run.fail", "run 1", "li")
    assert entry["detail"]["error"] == "30 problems"


def test_a_fault_of_the_program_is_told_without_its_inside(
    store: CenterStore, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work(store)
    work.error = KeyError("secret")
    work.may_end.set()
    with pytest.raises(KeyError):
        ask(store, asking(), work).carry_out()
    [row] = runs_asked(store)
    assert (row.state, row.why, folders(store)) == ("failed", INTERNAL_FAULT, [])
    assert "secret" in caplog.text
    assert locks(store) == []


def test_who_presses_ctrl_c_interrupts_the_run(store: CenterStore) -> None:
    work = Work(store)
    work.error = KeyboardInterrupt()
    work.may_end.set()
    with pytest.raises(KeyboardInterrupt):
        ask(store, asking(), work).carry_out()
    assert (states(store), folders(store)) == (["interrupted"], [])


def test_a_run_that_was_taken_for_lost_does_not_become_done(store: CenterStore) -> None:
    work = Work(store)
    asked = ask(store, asking(), work)
    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(asked.carry_out)
        work.begun.wait(HANG_S)
        store.write(lambda c: fail_run(c, 1, RunState.INTERRUPTED, now_ms=NOON)).result()
        work.may_end.set()
        with pytest.raises(StoreError, match="run 1: is not running any more"):
            done.result()
    assert (states(store), folders(store)) == (["interrupted"], [])


# ---- a process that is killed --------------------------------------------------------------------------------------

_CHILD = """
import sys, time
from pathlib import Path
from collector.base.clock import SystemClock
from collector.center.db.store import CenterStore
from collector.center.people.access import Actor
from collector.center.runs.asking.run_queue import Asking, ask
from collector.model.interval import Month

def work(run):
    (run.folder / "half-made").touch()
    print("begun", flush=True)
    time.sleep(3600)

with CenterStore.open(Path(sys.argv[1]), clock=SystemClock(), database_url=sys.argv[2]) as store:
    asked = ask(store, Asking(Month(2026, 5), Actor.at_command_line("li"), (), note=sys.argv[3]), work)
    print("asked", flush=True)
    asked.carry_out()
"""


@contextlib.contextmanager
def child(state: Path, url: str, note: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _CHILD, str(state), url, note]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "asked\n"
            yield process
        finally:
            process.kill()


def test_runs_of_processes_that_are_killed_are_found_by_another(database_url: str, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with CenterStore.open(state, clock=FixedClock(), database_url=database_url) as store:
        with child(state, database_url, "first") as first:
            assert first.stdout is not None
            assert first.stdout.readline() == "begun\n"
            with child(state, database_url, "second") as second:
                assert [str(row.state) for row in runs_asked(store)] == ["running", "queued"]
                assert len(folders(store)) == 1
                second.kill()
                second.wait()
                assert [str(row.state) for row in runs_asked(store)] == ["running", "interrupted"]
            work = Work(store)
            asked = ask(store, asking(), work)  # waits behind the first
            first.send_signal(signal.SIGKILL)
            first.wait()
        work.may_end.set()
        assert asked.carry_out() == 3
        assert states(store) == ["interrupted", "interrupted", "done"]
        assert folders(store) == [store.read(list_asked)[2].folder]
        assert locks(store) == []


@pytest.mark.crash
def test_a_settlement_killed_at_the_terminal_leaves_a_row_that_says_so_and_nothing_else(tmp_path: Path) -> None:
    from tests.center.runs.center_months import new_store as store_of_month

    state, book = tmp_path / "state", tmp_path / "book"
    shutil.copytree(RULES, book)
    os.mkfifo(book / "zz.toml")  # read once for its hash, and once more when the run has begun: there it waits
    with store_of_month(state) as store:
        fill(store)
        before = settled(store).row
    command = [*TERMINAL, "settle", "2026-06", "--state", str(state), "--rulebook", str(book), "--who", "li"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as settling:
        (book / "zz.toml").write_text("", "utf-8")
        with store_of_month(state) as store:
            wait_until(lambda: states(store)[1:] == ["running"], "the run")
            wait_until(lambda: len(folders(store)) == 2, "its folder")
            settling.kill()
            settling.wait()
    command = [*TERMINAL, "runs", "2026-06", "--state", str(state)]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=HANG_S).stdout.splitlines()
    assert len(told) == 2
    assert told[0].endswith(before.folder)
    assert told[1].startswith("2  2026-06  ")
    assert told[1].endswith("  li  trial  interrupted")
    with store_of_month(state) as store:
        assert folders(store) == [before.folder]
        assert locks(store) == []
        assert settled(store).row.result_hash == before.result_hash


# ---- the month's settlement ----------------------------------------------------------------------------------------


def test_a_settlement_tells_what_is_wrong_with_its_inputs(tmp_path: Path) -> None:
    from tests.center.runs.center_months import new_store as store_of_month

    with store_of_month(tmp_path / "state") as store:
        asked = ask_to_settle(store, JUNE, rulebook=RULES, actor=LI)
        with pytest.raises(StoreError, match="no register yet"):
            asked.carry_out()
        [row] = runs_asked(store)
        assert (row.state, "no register yet" in row.error) == ("failed", True)
        take(store, "register", register())
        take(store, "plan", PLAN + f"U1,{at(3, 6)},{at(3, 12)},333,\n")
        assert settled(store).row.id == 2
        steps = store.read(lambda c: c.execute(select(run.c.doing)).scalars().all())
        assert steps[1] == "writing"
