# SPDX-License-Identifier: GPL-3.0-or-later
"""What may befall a center, one thing at a time: it is not ready and says why, the hook and doctor are told the same,
and when it is over the center is ready again.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from collector.base.errors import ConfigError, StoreError
from collector.center.app import run_center
from collector.center.db.damaged import FullDatabase, UnwritableDatabase
from collector.center.db.store import CenterStore
from collector.center.operate import alarms, doctor, readiness
from collector.center.operate.readiness import keep_telling_troubles, why_not_ready
from collector.center.settings import Alarms, CenterSettings
from tests.center.center_batches import FixedClock, deliver, minutes, new_store, payload_of
from tests.center.db.postgresql_server import plain_url
from tests.center.receive.enrolled_keys import settings_of
from tests.patience import HANG_S, until

NOON: Final = 1_772_337_600_000  # of a day in March 2026, UTC ms


class Usage(NamedTuple):
    """As `shutil.disk_usage` gives it, bytes."""

    total: int
    used: int
    free: int


def commit(store: CenterStore, number: int) -> None:
    deliver(store, [payload_of(number, minutes("U1", NOON + number * 3_600_000, 500))])


def commit_many(store: CenterStore) -> None:
    for number in range(2, 50):
        commit(store, number)


def set_pragma(store: CenterStore, words: str) -> None:
    """Of the writer's own connection."""
    store.write(lambda c: c.execute(text(f"PRAGMA {words}")).close()).result()


@contextmanager
def writer_stuck(store: CenterStore, _: pytest.MonkeyPatch) -> Iterator[None]:
    assert isinstance(store.clock, FixedClock)
    goes_on = threading.Event()
    stuck, waiting = store.write(lambda _: goes_on.wait(HANG_S)), store.write(lambda _: None)
    store.clock.now_ms += 31_000
    yield
    goes_on.set()
    stuck.result()
    waiting.result()


@contextmanager
def disk_full(_: CenterStore, patch: pytest.MonkeyPatch) -> Iterator[None]:
    with patch.context() as full:
        full.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12 - 10**6, 10**6))
        yield


@contextmanager
def commit_fails(store: CenterStore, _: pytest.MonkeyPatch) -> Iterator[None]:
    """A database that may not grow: what SQLite then says is what it says of a full disk."""
    set_pragma(store, "max_page_count = 1")  # never less than there are
    with pytest.raises(FullDatabase, match="full"):
        commit_many(store)
    yield
    set_pragma(store, "max_page_count = 1000000")
    commit(store, 60)


@contextmanager
def state_read_only(store: CenterStore, _: pytest.MonkeyPatch) -> Iterator[None]:
    """What SQLite says where the kernel has made the file system read-only."""
    set_pragma(store, "query_only = ON")
    with pytest.raises(UnwritableDatabase, match="may be read and not written"):
        commit(store, 2)
    yield
    store._engine.dispose()  # with the connection that may only read
    commit(store, 2)


@contextmanager
def database_damaged(store: CenterStore, _: pytest.MonkeyPatch) -> Iterator[None]:
    whole = {path: path.read_bytes() for path in store.directory.glob("center.sqlite*")}
    for path in whole:
        path.write_bytes(b"no database" * 1000)
    yield
    for path, data in whole.items():
        path.write_bytes(data)


@contextmanager
def lake_unreadable(store: CenterStore, _: pytest.MonkeyPatch) -> Iterator[None]:
    """A file where the folder was: from root no right to read can be taken."""
    (store.directory / "lake").rename(aside := (store.directory / "lake").with_name("aside"))
    store.lake.write_bytes(b"")
    yield
    store.lake.unlink()
    aside.rename(store.directory / "lake")


@contextmanager
def folder_gone(store: CenterStore, _: pytest.MonkeyPatch) -> Iterator[None]:
    store.directory.rename(aside := store.directory.with_name("aside"))
    yield
    aside.rename(store.directory)


Befall = Callable[[CenterStore, pytest.MonkeyPatch], AbstractContextManager[None]]
SITUATIONS: Final[Mapping[str, tuple[Befall, str]]] = {
    "the writer is stuck": (writer_stuck, "nothing was committed for 31 s, and 2 jobs wait"),
    "the disk is full": (disk_full, "the disk is full: 1.0 MB free"),
    "a commit fails": (commit_fails, "the last commit failed: database or disk is full"),
    "the state is read-only": (state_read_only, "the last commit failed: attempt to write a readonly database"),
    "the database is damaged": (database_damaged, "the store does not answer"),
    "the lake can't be read": (lake_unreadable, "lake can't be used: Not a directory"),
    "the state folder is gone": (folder_gone, "state can't be used: No such file or directory"),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_what_befalls_a_center_is_told_everywhere_until_it_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, situation: str
) -> None:
    befall, words = SITUATIONS[situation]
    settings = with_hook(settings_of(tmp_path, keys="[]"))
    with new_store(tmp_path / "state", FixedClock(NOON)) as store:
        commit(store, 1)
        (store.directory / "lake").mkdir(exist_ok=True)
        assert why_not_ready(store) == []
        with befall(store, monkeypatch):
            assert words in "\n".join(why_not_ready(store))  # which is what /readyz answers, with 503
            assert words in asyncio.run(told_to_the_hook(store, settings))
            # What the running center answers to doctor, over a socket, is seen in the tests of its server.
            monkeypatch.setattr(doctor, "ask_running_center", lambda _: "\n".join(why_not_ready(store)))
            [running] = doctor._running(settings)
            assert (running.severity, words in running.message) == ("error", True)
        assert why_not_ready(store) == []


def with_hook(settings: CenterSettings) -> CenterSettings:
    hook = settings.alarms.model_copy(update={"webhook_url": "http://127.0.0.1:9/"})
    return settings.model_copy(update={"alarms": hook})


async def told_to_the_hook(store: CenterStore, settings: CenterSettings) -> str:
    """The words of the first alarm."""
    told: list[Mapping[str, Any]] = []

    def post(_: Alarms, event: Mapping[str, Any]) -> None:
        told.append(event)

    task = asyncio.create_task(keep_telling_troubles(store, settings, post=post, look_every_s=0.01))
    await until(lambda: bool(told))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (told[0]["code"], told[0]["event"]) == (readiness.CODE, "raised")
    return str(told[0]["text"])


def test_a_postgresql_that_is_away_is_told_and_its_return_too(postgresql_url: str, tmp_path: Path) -> None:
    server, _, name = plain_url(postgresql_url).rpartition("/")

    def may_be_used(answer: str) -> None:
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            connection.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS {answer}'.encode())
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))

    with new_store(tmp_path / "state", database_url=postgresql_url) as store:
        commit(store, 1)
        assert why_not_ready(store) == []
        may_be_used("false")
        with pytest.raises(DBAPIError):
            commit(store, 2)
        found = "\n".join(why_not_ready(store))
        assert "the store does not answer" in found
        assert "the last commit failed" in found
        may_be_used("true")
        commit(store, 2)
        assert why_not_ready(store) == []


def test_a_postgresql_that_hangs_is_told_and_hangs_nobody(postgresql_url: str, tmp_path: Path) -> None:
    with new_store(tmp_path / "state", database_url=postgresql_url) as store:
        assert why_not_ready(store) == []
        stopped = store.read(lambda c: int(c.execute(text("SELECT pg_backend_pid()")).scalar_one()))
        os.kill(stopped, signal.SIGSTOP)
        try:
            for _ in range(2):
                assert why_not_ready(store, answer_s=0.05) == ["the store does not answer within 0.05 s"]
        finally:
            os.kill(stopped, signal.SIGCONT)
        assert why_not_ready(store, answer_s=HANG_S) == []


def test_a_second_center_on_a_store_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, keys="[]")
    center = settings.center.model_copy(update={"state_dir": str(tmp_path / "state")})
    with new_store(tmp_path / "state") as store:
        store.claim_receiver()
        with pytest.raises(StoreError, match="another receiver uses this store"):
            asyncio.run(run_center(settings.model_copy(update={"center": center})))
        commit(store, 1)
        assert why_not_ready(store) == []


def test_a_key_or_certificate_that_cant_be_read_keeps_the_center_from_starting_and_doctor_names_it(
    tmp_path: Path,
) -> None:
    settings = settings_of(tmp_path, keys="[]")
    state = str(tmp_path / "state")
    files = {name: str(tmp_path / f"no-{name}") for name in ("ca_file", "cert_file", "key_file")}
    mqtt = settings.mqtt.model_copy(update=files | {"port": 1})
    with_tls = settings.model_copy(
        update={"center": settings.center.model_copy(update={"state_dir": state}), "mqtt": mqtt}
    )
    with pytest.raises(ConfigError, match=r"mqtt\.ca_file|no-ca_file"):
        asyncio.run(run_center(with_tls))
    signing = settings.center.model_copy(update={"state_dir": state, "signing_key_file": str(tmp_path / "no.pem")})
    with pytest.raises(ConfigError, match=r"no\.pem"):
        asyncio.run(run_center(settings.model_copy(update={"center": signing})))
    with new_store(tmp_path / "state") as store:
        found = doctor.examine(store, with_tls.model_copy(update={"center": signing}))
    named = {each.subject for each in found if each.severity == "error"}
    assert {*files.values(), str(tmp_path / "no.pem")} <= named


def test_doctor_names_a_lake_that_cant_be_read_also_where_no_center_runs(tmp_path: Path) -> None:
    with new_store(tmp_path / "state") as store:
        store.lake.write_bytes(b"")
        [found] = [each for each in doctor.examine(store, None) if each.subject == str(store.lake)]
        assert (found.severity, found.message) == ("error", "can't be read: Not a directory")


def test_doctor_knows_a_remedy_for_every_alarm_and_tells_of_two_machines_under_one_id(tmp_path: Path) -> None:
    assert set(doctor._ALARM_REMEDIES) == set(alarms.CODES) - {readiness.CODE}  # which doctor hears from the center
    settings = settings_of(tmp_path, keys="[]")
    with new_store(tmp_path / "state", FixedClock(NOON)) as store:
        for epoch, sequence, minute in ((1, 1, 0), (2, 1, 2), (1, 2, 4)):
            assert isinstance(store.clock, FixedClock)
            store.clock.now_ms += 60_000
            deliver(store, [payload_of(sequence, minutes("U1", NOON + minute * 60_000, 2), epoch=epoch)])
        [found] = [each for each in doctor.examine(store, settings) if each.subject == "P1/g1"]
    assert found.message.startswith("gateway_twice: two buffers record under this id at once")
    assert "Stop the other" in found.remedy
