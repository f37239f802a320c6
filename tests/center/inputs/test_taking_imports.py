# SPDX-License-Identifier: GPL-3.0-or-later
"""An import beside everything else: plants are received, readers see all of it or nothing, a kill leaves nothing."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from sqlalchemy import Connection, func, select

from collector.base.errors import ConfigError, StoreError
from collector.center.db.store import CenterStore
from collector.center.db.tables_inputs import imported
from collector.center.db.verified import Altered
from collector.center.inputs.imports import (
    Finish,
    Imported,
    list_imports,
    record_import,
    rows_in_force,
    take_tables,
)
from collector.center.inputs.service import deliver, read_import, take_back
from collector.center.inputs.stored_rows import listed_files, remove_strays
from collector.center.operate.backup import create_backup
from collector.center.operate.integrity import check_store
from collector.center.operate.restore import restore_backup
from collector.center.people.access import Actor
from collector.sheets.files import Delivered
from tests.center.center_batches import NOON, FixedClock, minutes, payload_of
from tests.center.center_batches import deliver as receive
from tests.center.inputs.small_tables import PLAN, REGISTER, plan_row, powers
from tests.patience import HANG_S

T = TypeVar("T")
LI = Actor.at_command_line("li")
DAY = PLAN + "".join(plan_row(hour, str(300 + hour)) for hour in range(1, 10))
OTHER = PLAN + "".join(plan_row(hour, str(500 + hour)) for hour in range(1, 10))
DAY_AGO_S = 100_000


class Watched:
    """A store that has something done just before each write: what others do while an import is taken."""

    def __init__(self, store: CenterStore, before: Callable[[int], object]) -> None:
        self._store, self._before, self.writes = store, before, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def write(self, job: Callable[[Connection], T]) -> Future[T]:
        self._before(self.writes)
        self.writes += 1
        return self._store.write(job)


def watched(store: CenterStore, before: Callable[[int], object]) -> CenterStore:
    return cast(CenterStore, Watched(store, before))


def file_of(text: str, name: str = "plan.csv") -> Delivered:
    data = text.encode()
    return Delivered(name, data, hashlib.sha256(data).hexdigest())


def take(store: CenterStore, text: str, *, replace: bool = False, finish: Finish = lambda *_: None) -> Imported:
    return take_tables(store, ["plan"], file_of(text), who="li", replace=replace, rules=None, finish=finish)[0]


def in_force(store: CenterStore) -> list[tuple[str, ...]]:
    return store.read(lambda c: list(rows_in_force(c, store.imported, "plan") or ()))


def files(store: CenterStore) -> list[str]:
    return sorted(path.name for path in store.imported.iterdir())


def counted(store: CenterStore, table: Any) -> int:
    return int(store.read(lambda c: c.execute(select(func.count()).select_from(table)).scalar_one()))


@pytest.fixture
def open_store(tmp_path: Path, database_url: str) -> Callable[[], CenterStore]:
    return lambda: CenterStore.open(tmp_path / "state", clock=FixedClock(), database_url=database_url)


@pytest.fixture
def store(open_store: Callable[[], CenterStore]) -> Iterator[CenterStore]:
    with open_store() as opened:
        deliver(opened, "register", file_of(REGISTER, "register.toml"), actor=LI, replace=False, rules=None)
        yield opened


def test_plants_are_received_meanwhile_and_nobody_sees_half_a_plan(
    store: CenterStore, open_store: Callable[[], CenterStore]
) -> None:
    take(store, DAY)
    with open_store() as other:

        def others_work(number: int) -> None:
            batch = payload_of(number + 1, minutes("U1", NOON + number * 600_000, 3))
            assert receive(other, [batch]).committed == 1
            assert powers(other) == [str(300 + hour) for hour in range(1, 10)]
            assert len(other.read(list_imports)) == 2

        mine = watched(store, others_work)
        assert take(mine, OTHER, replace=True) == Imported(3, 9, 0, 9)
        assert cast(Watched, mine).writes == 1  # all that others wait for
        assert powers(other) == [str(500 + hour) for hour in range(1, 10)]


def test_taking_back_an_import_writes_once_however_much_it_replaced(store: CenterStore) -> None:
    take(store, DAY)
    take(store, OTHER, replace=True)
    mine = watched(store, lambda _: None)
    take_back(mine, 3, actor=LI, reason="wrong", rules=None)
    assert cast(Watched, mine).writes == 1
    assert powers(store) == [str(300 + hour) for hour in range(1, 10)]
    with pytest.raises(StoreError, match="undone already"):
        take_back(store, 3, actor=LI, reason="wrong", rules=None)
    assert take(store, OTHER, replace=True) == Imported(4, 9, 0, 9)
    with pytest.raises(StoreError, match="import 4 replaced rows of it"):
        take_back(store, 2, actor=LI, reason="wrong", rules=None)


def test_the_second_of_two_imports_waits_for_the_first_and_sees_its_rows(
    store: CenterStore, open_store: Callable[[], CenterStore]
) -> None:
    half, go_on = threading.Event(), threading.Event()

    def stop_halfway(_: int) -> None:
        half.set()
        assert go_on.wait(HANG_S)

    with open_store() as other, ThreadPoolExecutor(2) as pool:
        first = pool.submit(take, watched(store, stop_halfway), DAY)
        assert half.wait(HANG_S)
        begun: list[int] = []
        second = pool.submit(take, watched(other, begun.append), OTHER)
        with other.hold("imports", wait=False) as held:
            assert not held
        go_on.set()
        assert first.result() == Imported(2, 9, 0, 0)
        with pytest.raises(ConfigError, match="conflicts with import 2"):
            second.result()
        assert begun == []  # refused before anything was written


@pytest.mark.parametrize("replace", [False, True])
def test_rows_are_compared_anew_when_another_import_was_listed_meanwhile(store: CenterStore, *, replace: bool) -> None:
    """As by a process whose lock was lost with its connection; this one finds that it was overtaken."""
    take(store, DAY)
    twelve = file_of(PLAN + plan_row(12, "312"))

    def overtake(number: int) -> None:
        if number == 0:
            values = store.read(lambda c: c.execute(select(imported).where(imported.c.id == 2)).one())
            store.write(
                lambda c: record_import(
                    c, "plan", twelve, b"", who="wang", now_ms=NOON, counts=(0, 9, 0), rows_sha256=values.rows_sha256,
                    span_ms=(values.first_ms, values.last_ms),
                )
            ).result()  # fmt: skip

    mine = watched(store, overtake)
    if not replace:
        with pytest.raises(ConfigError, match="conflicts with import"):
            take(mine, OTHER)
        assert len(store.read(list_imports)) == 2
        return
    # The rows of both are in force by now, and make way.
    assert take(mine, OTHER, replace=True) == Imported(4, 9, 0, 18)
    assert cast(Watched, mine).writes == 2
    assert powers(store) == [str(500 + hour) for hour in range(1, 10)]


_VICTIM = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[4:]
import collector.center.inputs.imports as imports
from tests.center.inputs.test_taking_imports import FixedClock, OTHER, CenterStore, take, watched

def wait_to_be_killed(*_):
    print("there", flush=True)
    sys.stdin.read()

with CenterStore.open(Path(sys.argv[1]), clock=FixedClock(), database_url=sys.argv[2]) as store:
    if sys.argv[3] == "file":
        take(watched(store, wait_to_be_killed), OTHER, replace=True)
    take(store, OTHER, replace=True, finish=wait_to_be_killed)
"""


@pytest.mark.parametrize("killed_with", ["file", "row"])
def test_an_import_killed_halfway_leaves_what_was_there(
    store: CenterStore, tmp_path: Path, database_url: str, killed_with: str
) -> None:
    """Killed with its file written and nothing else, and with its row written and not committed."""
    take(store, DAY)
    before, kept = in_force(store), files(store)
    here = Path(__file__).parent
    arguments = [tmp_path / "state", database_url, killed_with, here, here.parents[2]]
    command = [sys.executable, "-c", _VICTIM, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as victim:
        assert victim.stdout is not None
        assert victim.stdout.readline() == b"there\n"
        for name in set(files(store)) - set(kept):
            os.utime(store.imported / name, (0, 0))
        remove_strays(store)
        assert len(files(store)) == 2  # it lives: nothing is removed
        victim.kill()
        victim.wait()
    assert in_force(store) == before
    assert [row["id"] for row in store.read(list_imports)] == [1, 2]
    with pytest.raises(StoreError, match="none with this number"):
        store.read(lambda c: read_import(c, 3))
    with pytest.raises(StoreError, match="none with this number"):
        take_back(store, 3, actor=LI, reason="x", rules=None)
    with store.hold("imports"):  # the database's server may take a moment to notice that its client is gone
        pass
    remove_strays(store)
    assert files(store) == kept
    assert in_force(store) == before
    assert take(store, OTHER, replace=True).replaced == 9
    assert powers(store) == [str(500 + hour) for hour in range(1, 10)]


def test_a_file_that_nothing_lists_stays_for_a_day(store: CenterStore) -> None:
    """Another machine may be about to list it."""
    take(store, DAY)
    stray = store.imported / ("0" * 64 + ".parquet")
    stray.write_bytes(b"")
    remove_strays(store)
    assert stray.exists()
    long_ago = stray.stat().st_mtime - DAY_AGO_S
    for path in store.imported.iterdir():
        os.utime(path, (long_ago, long_ago))
    take_back(store, 2, actor=LI, reason="x", rules=None)
    remove_strays(store)
    assert [f"{sha256}.parquet" for sha256 in store.read(listed_files)] == files(store)  # undone is not gone


def test_an_import_that_fails_at_the_end_is_not_there(store: CenterStore) -> None:
    def refuse(*_: object) -> None:
        raise StoreError("no", subject="test")

    with pytest.raises(StoreError, match="no"):
        take(store, DAY, finish=refuse)
    assert counted(store, imported) == 1
    assert in_force(store) == []


def test_a_file_of_rows_that_was_changed_or_is_gone_is_refused_and_found(store: CenterStore) -> None:
    take(store, DAY)
    assert check_store(store) == []
    [path] = store.imported.iterdir()
    written = path.read_bytes()
    path.write_bytes(written[:-1] + b"\0")
    for found in ("expected SHA-256", "no file"):
        with pytest.raises(Altered, match=found):
            in_force(store)
        with pytest.raises(Altered, match=found):
            take(store, OTHER, replace=True)
        [said] = check_store(store)
        assert found in said
        path.unlink(missing_ok=True)
    path.write_bytes(written)
    assert check_store(store) == []


def test_a_backup_holds_the_rows_of_imports_and_a_restore_brings_them(store: CenterStore, tmp_path: Path) -> None:
    take(store, DAY)
    take(store, OTHER, replace=True)
    take_back(store, 3, actor=LI, reason="x", rules=None)
    create_backup(store, tmp_path / "backup")
    restore_backup(tmp_path / "backup", tmp_path / "restored", clock=FixedClock())
    with CenterStore.open(tmp_path / "restored", clock=FixedClock()) as restored:
        assert check_store(restored) == []
        assert in_force(restored) == in_force(store)
        assert files(restored) == files(store)
    for path in store.imported.iterdir():
        path.unlink()
    with pytest.raises(StoreError, match="listed and not there"):
        create_backup(store, tmp_path / "another")


def test_of_thousands_of_conflicts_the_first_are_named_and_the_others_counted(store: CenterStore) -> None:
    quarters = "".join(
        f"{unit},{NOON + n * 900_000},{NOON + (n + 1) * 900_000},{{}}\n" for unit in ("U1", "U2") for n in range(2000)
    )
    deliver(store, "plan", file_of(PLAN + quarters.replace("{}", "1")), actor=LI, replace=False, rules=None)
    with pytest.raises(ConfigError) as refused:
        deliver(store, "plan", file_of(PLAN + quarters.replace("{}", "2")), actor=LI, replace=False, rules=None)
    problems = refused.value.problems
    assert [p.row for p in problems] == [*range(2, 22), 0]
    assert problems[-1].message == "… and 3980 more rows that conflict with imported ones"


def test_a_file_is_given_back_as_it_was_delivered(store: CenterStore) -> None:
    take(store, DAY)
    assert store.read(lambda c: read_import(c, 2))[1] == DAY.encode()
    assert store.read(lambda c: read_import(c, 1))[1] == REGISTER.encode()
