# SPDX-License-Identifier: GPL-3.0-or-later
"""What the center does to its store, killed at any step and on a full disk: the store is well, and the next try works.

A forked child counts what it does to files and databases (Python's audit events, SQLAlchemy's commits) and kills itself
at one of them, or may not make files grow beyond a size, as on a full disk.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.exc import DBAPIError

from collector.base.errors import CollectorError
from collector.center.db.store import CenterStore
from collector.center.inputs.service import take_back
from collector.center.lake.seal import seal_month_of
from collector.center.month.books_integrity import check_months
from collector.center.month.transitions import prepare_step
from collector.center.operate.backup import create_backup
from collector.center.operate.integrity import check_store
from collector.center.operate.readiness import why_not_ready
from collector.center.operate.repair import JOURNAL, approve_repair, propose_repair
from collector.center.operate.restore import restore_backup
from collector.center.people import audit
from collector.center.people.access import Actor, Role
from collector.center.people.four_eyes import list_proposals
from collector.center.runs.keeping.expired_runs import expire_runs
from collector.center.runs.month_state import MonthStage
from collector.center.runs.run_list import list_runs, record_name
from collector.model.interval import DAY_MS, Month
from tests.center.center_batches import NOON, FixedClock, deliver, minutes, payload_of
from tests.center.made_month import DAYS, on
from tests.center.runs.center_months import JUNE, LI, settled, take
from tests.center.runs.kept_months import copy_state
from tests.center.runs.late_changes import PLAN, plan_rows
from tests.patience import HANG_S
from tests.size import in_turn, sized

OLD_STORE: Final = Path(__file__).parents[1] / "center" / "db" / "data" / "store_1_sqlite.sql"
JUNE_IS_OVER: Final = on(10, month=7)
# In `make soak` an operation is killed at each of its steps; else at the first, the last and some between.
SOAK: Final = "SOAK" in os.environ
SAMPLED: Final = sized(1, 2)
DAY: Final = "2026-06-05"
OPERATOR, APPROVER = Actor("li", Role.OPERATOR), Actor("wang", Role.APPROVER)
SMALL_BYTES: Final = 128 << 20  # the store's copies, and more room than a center calls full
FULL_AT_BYTES: Final = (1, 5_000, 40_000, 200_000) if SOAK else (5_000, 40_000)
FILE_EVENTS: Final = frozenset({"open", "os.rename", "os.remove", "os.mkdir", "os.link", "os.rmdir", "os.truncate"})
EXITED_WELL, REFUSED = 0, 3


def opened(state: Path) -> CenterStore:
    return CenterStore.open(state, clock=FixedClock(NOON), create=False)


def do_import(folder: Path) -> None:
    with opened(folder / "state") as store:
        take(store, "plan", PLAN + "".join(plan_rows("U2", range(1, 9))))


def do_undo(folder: Path) -> None:
    with opened(folder / "state") as store:
        take_back(store, 3, actor=LI, reason="x", rules=None)


def do_seal(folder: Path) -> None:
    with opened(folder / "state") as store:
        deliver(store, [payload_of(1, minutes("U1", NOON, 5), epoch=77)])
        seal_month_of(store, Month(2026, 3))


def do_settle(folder: Path) -> None:
    with opened(folder / "state") as store:
        settled(store)


def do_backup(folder: Path) -> None:
    with opened(folder / "state") as store:
        create_backup(store, folder / "backup")


def do_restore(folder: Path) -> None:
    restore_backup(folder / "made", folder / "restored", clock=FixedClock(NOON))


def do_expire(folder: Path) -> None:
    with CenterStore.open(folder / "state", clock=FixedClock(JUNE_IS_OVER + 40 * DAY_MS), create=False) as store:
        expire_runs(store, keep_days=30)


def do_disclose(folder: Path) -> None:
    with CenterStore.open(folder / "state", clock=FixedClock(JUNE_IS_OVER), create=False) as store:
        prepare_step(store, JUNE, MonthStage.DISCLOSED, actor=OPERATOR, days=DAYS, run_id=1, reason="for a trial")


def do_upgrade(folder: Path) -> None:
    opened(folder / "old").close()


OPERATIONS: Final[dict[str, Callable[[Path], None]]] = {
    "import": do_import,
    "undo": do_undo,
    "seal": do_seal,
    "settle": do_settle,
    "backup": do_backup,
    "restore": do_restore,
    "expire": do_expire,
    "disclose": do_disclose,
    "upgrade": do_upgrade,
}
"""By name. Each can be tried again after a kill, or refuses because it was done."""


def link_records(folder: Path) -> None:
    """Make the records of a run second names of the lake's files again, as they are before its disclosure."""
    for path in (folder / "state" / "lake").glob("*/*"):
        for own in (folder / "state" / "runs").glob(f"*/data/records/{record_name(path.parent.name, path.name)}"):
            own.unlink()
            own.hardlink_to(path)


BESIDE: Final = {"restore": ("made",), "upgrade": ("old",)}
"""What an operation works on beside the store, or in place of it; `well` would open an old one wherever it lay."""


def copied_for(name: str, once: Path, folder: Path) -> Path:
    """A fresh copy of what an operation works on."""
    copy_of(once, folder, *BESIDE.get(name, ()))
    if name == "disclose":
        link_records(folder)
    return folder


@pytest.fixture(scope="module")
def once(filled_june: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a settled month, a backup of it, and a store of the first release."""
    folder = tmp_path_factory.mktemp("operations")
    with CenterStore.open(copy_state(filled_june, folder / "state"), clock=FixedClock(JUNE_IS_OVER)) as store:
        settled(store)
        create_backup(store, folder / "made")
    (folder / "old").mkdir()
    with sqlite3.connect(folder / "old" / "center.sqlite") as old:
        old.executescript(OLD_STORE.read_text("utf-8"))
    old.close()
    return folder


def child(operation: Callable[[Path], None], folder: Path, *, kill_at: int = 0, most_bytes: int = 0) -> tuple[int, int]:
    """Do it in a forked child; how it ended (minus the signal, or its exit status), and how many steps it took."""
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(readable)
        status = 1
        try:
            count_steps(kill_at, writable)
            if most_bytes:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
            try:
                operation(folder)
                status = EXITED_WELL
            except (CollectorError, DBAPIError, OSError):
                status = REFUSED
        finally:
            os._exit(status)
    os.close(writable)
    with os.fdopen(readable, "rb") as pipe:
        steps = len(pipe.read())
    _, ended = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(ended), steps


def count_steps(kill_at: int, writable: int) -> None:
    """Write a byte for each step; die at one. Once set, an audit hook stays: so this is a child's."""
    count = 0

    def step(*_: Any) -> None:
        nonlocal count
        count += 1
        os.write(writable, b".")
        if count == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def look(name: str, arguments: tuple[Any, ...]) -> None:
        if name in FILE_EVENTS and (name != "open" or (isinstance(arguments[2], int) and arguments[2] & os.O_ACCMODE)):
            step()

    sys.addaudithook(look)
    event.listen(Engine, "commit", step)


def well(folder: Path) -> list[str]:
    """What is wrong with the stores of a folder, once they were opened as after any crash."""
    found = []
    for name in ("state", "restored", "old"):
        half = folder / name / ".restoring"  # such a one is refused, and the next try goes on with it
        if (folder / name).exists() and any((folder / name).iterdir()) and not half.exists():
            with opened(folder / name) as store:
                found += [f"{name}: {each}" for each in check_store(store)]
                found += check_months(store) if name != "old" else []  # of its run the rows alone were kept
    if (folder / "backup").exists():
        restore_backup(folder / "backup", folder / "from-backup", clock=FixedClock(NOON))
    return found


def copy_of(once: Path, folder: Path, *beside: str) -> Path:
    """Copy the store, and what is named beside it."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("state", *beside):
        shutil.copytree(once / name, folder / name, copy_function=partial(shutil.copyfile))
    return folder


@pytest.mark.parametrize("name", OPERATIONS)
def test_killed_at_any_step_the_store_is_well_and_the_next_try_works(once: Path, tmp_path: Path, name: str) -> None:
    operation = OPERATIONS[name]
    whole = copied_for(name, once, tmp_path / "whole")
    ended, steps = child(operation, whole)
    assert (ended, well(whole)) == (EXITED_WELL, [])
    for kill_at in kill_points(name, steps):
        folder = copied_for(name, once, tmp_path / "killed")
        ended, _ = child(operation, folder, kill_at=kill_at)
        assert ended in (-signal.SIGKILL, EXITED_WELL)
        assert well(folder) == [], f"killed at step {kill_at} of {steps}"
        again, _ = child(operation, folder)
        assert again in (EXITED_WELL, REFUSED)
        assert well(copy_without(folder, "from-backup")) == [], f"tried again after step {kill_at} of {steps}"
        assert not leftovers(folder), f"killed at step {kill_at} of {steps}"


def test_what_a_killed_upgrade_was_writing_is_written_over(once: Path, tmp_path: Path) -> None:
    folder = copy_of(once, tmp_path / "killed", "old")
    (folder / "old" / "imported").mkdir(exist_ok=True)
    (folder / "old" / "imported" / ".migration.tmp").write_bytes(b"half a file")
    do_upgrade(folder)
    assert list((folder / "old" / "imported").glob("*.parquet"))
    assert not leftovers(folder)


def kill_points(name: str, steps: int) -> list[int]:
    """At which steps an operation of so many is killed."""
    if SOAK:
        return list(range(1, steps + 1))
    return sorted({1, steps, *random.Random(name).sample(range(1, steps + 1), min(SAMPLED, steps))})


def damage_day(folder: Path) -> None:
    """Turn a bit over in a day file, in the lake and in the run that pins it."""
    lake, runs = (folder / "state" / "lake" / "P1").glob(f"{DAY}-*"), (folder / "state" / "runs").rglob(f"P1-{DAY}-*")
    for path in (*lake, *runs):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)


def do_propose(folder: Path) -> None:
    with opened(folder / "state") as store:
        propose_repair(store, "P1", DAY, source=JOURNAL, reason="a disk was bad", actor=OPERATOR)


def do_approve(folder: Path) -> None:
    with opened(folder / "state") as store:
        [number, *_] = [each.id for each in store.read(lambda c: list_proposals(c, kind="repair"))]
        approve_repair(store, number, actor=APPROVER)


def repairs_done(folder: Path) -> int:
    with opened(folder / "state") as store:
        entries = store.read(lambda c: audit.list_entries(c, subject=f"P1 {DAY}"))
    return sum(each["action"] == "repair.done" for each in entries)


def test_a_repair_killed_at_any_step_is_proposed_once_and_finished_by_who_approved_it(
    once: Path, tmp_path: Path
) -> None:
    damage_day(copy_of(once, tmp_path / "damaged"))
    assert child(do_propose, copy_of(tmp_path / "damaged", tmp_path / "proposed"))[0] == EXITED_WELL
    _, steps = child(do_propose, copy_of(tmp_path / "damaged", tmp_path / "whole"))
    for kill_at in kill_points("propose", steps):
        folder = copy_of(tmp_path / "damaged", tmp_path / "killed")
        child(do_propose, folder, kill_at=kill_at)
        assert child(do_propose, folder)[0] in (EXITED_WELL, REFUSED)
        with opened(folder / "state") as store:
            assert len(store.read(lambda c: list_proposals(c, kind="repair"))) == 1, f"killed at {kill_at} of {steps}"
    ended, steps = child(do_approve, copy_of(tmp_path / "proposed", tmp_path / "whole"))
    assert (ended, well(tmp_path / "whole")) == (EXITED_WELL, [])
    for kill_at in kill_points("approve", steps):
        folder = copy_of(tmp_path / "proposed", tmp_path / "killed")
        child(do_approve, folder, kill_at=kill_at)
        child(do_approve, folder)
        assert (well(folder), repairs_done(folder)) == ([], 1), f"killed at step {kill_at} of {steps}"
        assert not list((folder / "state").rglob("*.tmp"))


def test_a_repair_on_a_full_disk_is_finished_when_there_is_room(once: Path, tmp_path: Path) -> None:
    damage_day(copy_of(once, tmp_path / "damaged"))
    assert child(do_propose, tmp_path / "damaged")[0] == EXITED_WELL
    for most_bytes in FULL_AT_BYTES:
        folder = copy_of(tmp_path / "damaged", tmp_path / "full")
        assert child(do_approve, folder, most_bytes=most_bytes)[0] in (REFUSED, EXITED_WELL)
        child(do_approve, folder)
        assert (well(folder), repairs_done(folder)) == ([], 1), f"at most {most_bytes} bytes"


@contextmanager
def small_file_system(path: Path) -> Iterator[None]:
    """A file system of 128 MB at `path`; without the right to mount the test is skipped."""
    path.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_BYTES}", "tmpfs", str(path)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


@contextmanager
def filled(folder: Path, *, left_bytes: int) -> Iterator[None]:
    """The file system of a folder with so many bytes left, taken by somebody else's file."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        with suppress(OSError):
            while file.write(bytes(1 << 20)):
                pass
        with suppress(OSError):
            while file.write(bytes(4096)):
                pass
        os.ftruncate(file.fileno(), ballast.stat().st_size - left_bytes)
    try:
        yield
    finally:
        ballast.unlink()


def repair_verb(state: Path, *words: str) -> tuple[int, str]:
    """Exit status and standard error of `collector center repair …`, of people who share a user of the system."""
    config = state.parents[2] / "center.toml"
    plant = '[[plant]]\nid = "P1"\nunits = ["U1"]\nunsigned = true\n'
    config.write_text(f'schema = 1\n[center]\nstate_dir = "{state}"\nshared_login = true\n{plant}', "utf-8")
    command = [sys.executable, "-m", "collector.cli.main", "center", "repair", *words, "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG_S)
    return done.returncode, done.stderr.strip()


PROPOSE: Final = ("propose", "P1", DAY, "--reason", "a disk was bad", "--who", "li")


@pytest.mark.parametrize("left_bytes", [0, 16_384, 65_536][: sized(2, 3)])
def test_a_full_file_system_refuses_a_repair_in_a_line_loses_nothing_and_readyz_tells(
    once: Path, tmp_path: Path, left_bytes: int
) -> None:
    """The proposal, then the approval; in between and afterwards there is room."""
    with small_file_system(tmp_path / "small"):
        folder = copy_of(once, tmp_path / "small" / "all")
        state = folder / "state"
        damage_day(folder)
        with opened(state) as store:  # as a running center has it open
            assert why_not_ready(store) == []
            audited = store.read(audit.head)
            for done in (0, 1):
                with filled(tmp_path / "small", left_bytes=left_bytes):
                    code, said = repair_verb(state, *(PROPOSE if not done else ("approve", "1", "--who", "wang")))
                    assert (code == 0) or (code == 1 and said and "\n" not in said and "Traceback" not in said), said
                    assert left_bytes or code == 1
                    assert any("the disk is full" in each for each in why_not_ready(store))
                assert why_not_ready(store) == []
                if not done and code == 1:  # nothing is half there, and it is proposed as if for the first time
                    assert (store.read(list_proposals), store.read(audit.head)) == ([], audited)
                    assert repair_verb(state, *PROPOSE) == (0, "")
                assert [each.id for each in store.read(list_proposals)] == [1]
            if code == 1:
                assert repair_verb(state, "approve", "1", "--who", "wang") == (0, "")
        assert (well(folder), repairs_done(folder), leftovers(folder)) == ([], 1, [])


def copy_without(folder: Path, name: str) -> Path:
    shutil.rmtree(folder / name, ignore_errors=True)
    return folder


def leftovers(folder: Path) -> list[str]:
    """Half-made backups and restores; and runs without a row."""
    found = [path.name for path in folder.iterdir() if path.name.endswith(".part")]
    found += [str(path) for path in folder.glob("*/.restoring")]
    found += [str(path) for path in folder.rglob("*.tmp")]
    with opened(folder / "state") as store:
        listed = {row.folder for row in store.read(list_runs)}
        found += [path.name for path in (store.directory / "runs").iterdir() if path.name not in listed]
    return found


@pytest.mark.parametrize(("name", "most_bytes"), in_turn(list(OPERATIONS), FULL_AT_BYTES))
def test_on_a_full_disk_an_operation_refuses_and_leaves_the_store_well(
    once: Path, tmp_path: Path, name: str, most_bytes: int
) -> None:
    folder = copied_for(name, once, tmp_path / "full")
    ended, _ = child(OPERATIONS[name], folder, most_bytes=most_bytes)
    assert ended in (REFUSED, EXITED_WELL)
    assert well(folder) == []
    assert ended == EXITED_WELL or not (folder / "backup").exists()
    again, _ = child(OPERATIONS[name], folder)
    assert again in (EXITED_WELL, REFUSED)
    assert not leftovers(folder)
