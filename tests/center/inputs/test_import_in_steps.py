# SPDX-License-Identifier: GPL-3.0-or-later
"""An import put in by bites: plants are received meanwhile, readers see all of it or nothing, a kill leaves nothing."""

from __future__ import annotations

import hashlib
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
from collector.center.db.tables_inputs import imported, imported_row
from collector.center.inputs.import_in_steps import remove_unpublished, take_tables
from collector.center.inputs.imports import Imported, import_table, list_imports, rows_in_force
from collector.center.inputs.service import deliver, read_import, take_back
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
BITE = 4  # so nine rows are three bites


class Watched:
    """A store that has something done just before each write: what others do between two bites of an import."""

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


def take(store: CenterStore, text: str, *, replace: bool = False) -> Imported:
    return take_tables(
        store, ["plan"], file_of(text), who="li", replace=replace, services=(), finish=lambda *_: None,
        rows_at_once=BITE,
    )[0]  # fmt: skip


def counted(store: CenterStore, table: Any) -> int:
    return int(store.read(lambda c: c.execute(select(func.count()).select_from(table)).scalar_one()))


@pytest.fixture
def open_store(tmp_path: Path, database_url: str) -> Callable[[], CenterStore]:
    return lambda: CenterStore.open(tmp_path / "state", clock=FixedClock(), database_url=database_url)


@pytest.fixture
def store(open_store: Callable[[], CenterStore]) -> Iterator[CenterStore]:
    with open_store() as opened:
        deliver(opened, "register", file_of(REGISTER, "register.toml"), actor=LI, replace=False, services=())
        yield opened


def test_plants_are_received_between_bites_and_nobody_sees_half_a_plan(
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
        assert cast(Watched, mine).writes == 8  # begun, three bites of what makes way and of the new rows, published
        assert powers(other) == [str(500 + hour) for hour in range(1, 10)]


def test_taking_back_an_import_writes_once_however_much_it_replaced(store: CenterStore) -> None:
    take(store, DAY)
    take(store, OTHER, replace=True)
    mine = watched(store, lambda _: None)
    take_back(mine, 3, actor=LI, reason="wrong")
    assert cast(Watched, mine).writes == 1
    assert powers(store) == [str(300 + hour) for hour in range(1, 10)]
    with pytest.raises(StoreError, match="undone already"):
        take_back(store, 3, actor=LI, reason="wrong")
    assert take(store, OTHER, replace=True) == Imported(4, 9, 0, 9)
    with pytest.raises(StoreError, match="import 4 replaced rows of it"):
        take_back(store, 2, actor=LI, reason="wrong")


def test_the_second_of_two_imports_waits_for_the_first_and_sees_its_rows(
    store: CenterStore, open_store: Callable[[], CenterStore]
) -> None:
    half, go_on = threading.Event(), threading.Event()

    def stop_halfway(number: int) -> None:
        if number == 2:
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
def test_rows_are_compared_anew_when_another_import_was_published_meanwhile(
    store: CenterStore, open_store: Callable[[], CenterStore], *, replace: bool
) -> None:
    """An import in one transaction takes no lock that lasts longer; this one finds that it was overtaken."""
    with open_store() as other:

        def overtake(number: int) -> None:
            if number == 2:
                delivered = file_of(PLAN + plan_row(3, "777") + plan_row(12, "312"))
                other.write(
                    lambda c: import_table(c, "plan", delivered, who="wang", now_ms=NOON, replace=False, services=())
                ).result()

        if not replace:
            with pytest.raises(ConfigError, match="conflicts with import"):
                take(watched(store, overtake), DAY)
            assert powers(store) == ["777", "312"]
        else:
            assert take(watched(store, overtake), DAY, replace=True).replaced == 1
            assert powers(store) == [*(str(300 + hour) for hour in range(1, 10)), "312"]
    assert counted(store, imported_row) == 1 + 2 + (9 if replace else 0)
    assert counted(store, imported) == 2 + replace


_VICTIM = """
import hashlib, sys
from pathlib import Path
sys.path[:0] = sys.argv[4:]
from tests.center.inputs.test_import_in_steps import FixedClock, OTHER, CenterStore, take, watched

def wait_to_be_killed(number):
    if number == int(sys.argv[3]):
        print("there", flush=True)
        sys.stdin.read()

with CenterStore.open(Path(sys.argv[1]), clock=FixedClock(), database_url=sys.argv[2]) as store:
    take(watched(store, wait_to_be_killed), OTHER, replace=True)
"""


@pytest.mark.parametrize("write", [1, 3, 6, 7])
def test_an_import_killed_halfway_leaves_what_was_there_and_is_taken_out(
    store: CenterStore, tmp_path: Path, database_url: str, write: int
) -> None:
    take(store, DAY)
    before = store.read(lambda c: list(rows_in_force(c, "plan") or ()))
    here = Path(__file__).parent
    arguments = [tmp_path / "state", database_url, write, here, here.parent]
    command = [sys.executable, "-c", _VICTIM, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as victim:
        assert victim.stdout is not None
        assert victim.stdout.readline() == b"there\n"
        remove_unpublished(store)
        assert counted(store, imported) == 3  # it lives: nothing is taken out
        victim.kill()
        victim.wait()
    assert store.read(lambda c: list(rows_in_force(c, "plan") or ())) == before
    assert [row["id"] for row in store.read(list_imports)] == [1, 2]
    with pytest.raises(StoreError, match="none with this number"):
        store.read(lambda c: read_import(c, 3))
    with pytest.raises(StoreError, match="none with this number"):
        take_back(store, 3, actor=LI, reason="x")
    with store.hold("imports"):  # the database's server may take a moment to notice that its client is gone
        pass
    remove_unpublished(store)
    assert (counted(store, imported), counted(store, imported_row)) == (2, 10)
    assert store.read(lambda c: list(rows_in_force(c, "plan") or ())) == before
    assert take(store, OTHER, replace=True).replaced == 9
    assert powers(store) == [str(500 + hour) for hour in range(1, 10)]


def test_an_import_after_a_killed_one_takes_out_what_it_left(store: CenterStore) -> None:
    class Killed(BaseException):
        pass

    def die(number: int) -> None:
        if number >= 3:
            raise Killed

    with pytest.raises(Killed):  # cleaning up fails in the same way: all is left as by a kill
        take(watched(store, die), DAY)
    assert counted(store, imported_row) > 1
    assert take(store, OTHER).added == 9
    assert counted(store, imported_row) == 10


def test_an_import_that_fails_at_the_end_is_taken_out_at_once(store: CenterStore) -> None:
    def refuse(*_: object) -> None:
        raise StoreError("no", subject="test")

    with pytest.raises(StoreError, match="no"):
        take_tables(store, ["plan"], file_of(DAY), who="li", replace=False, services=(), finish=refuse, rows_at_once=4)
    assert (counted(store, imported), counted(store, imported_row)) == (1, 1)


def test_of_thousands_of_conflicts_the_first_are_named_and_the_others_counted(store: CenterStore) -> None:
    quarters = "".join(
        f"{unit},{NOON + n * 900_000},{NOON + (n + 1) * 900_000},{{}}\n" for unit in ("U1", "U2") for n in range(2000)
    )
    deliver(store, "plan", file_of(PLAN + quarters.replace("{}", "1")), actor=LI, replace=False, services=())
    with pytest.raises(ConfigError) as refused:
        deliver(store, "plan", file_of(PLAN + quarters.replace("{}", "2")), actor=LI, replace=False, services=())
    problems = refused.value.problems
    assert [p.row for p in problems] == [*range(2, 22), 0]
    assert problems[-1].message == "… and 3980 more rows that conflict with imported ones"


def test_a_file_is_given_back_as_it_was_delivered(store: CenterStore) -> None:
    take(store, DAY)
    assert store.read(lambda c: read_import(c, 2))[1] == DAY.encode()
    assert store.read(lambda c: read_import(c, 1))[1] == REGISTER.encode()
