# SPDX-License-Identifier: GPL-3.0-or-later
"""A center that can't commit says so: on /readyz, to the hook, in doctor; and that it can again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, text

from collector.base.errors import StoreError
from collector.center.db.damaged import FullDatabase
from collector.center.db.store import CenterStore
from collector.center.db.tables_people import login_failure
from collector.center.operate.alarms import list_alarms
from collector.center.operate.readiness import CODE, keep_telling_troubles, why_not_ready
from collector.center.settings import Alarms, CenterSettings
from tests.center.center_batches import FixedClock, new_store
from tests.center.receive.enrolled_keys import settings_of
from tests.patience import HANG_S, until


def write_much(connection: Connection) -> None:
    rows = [{"name": "x" * 60, "address": "y" * 60, "at_ms": n} for n in range(2000)]
    connection.execute(insert(login_failure), rows)


def fill_the_disk(store: CenterStore) -> None:
    """Let the database grow no more: what SQLite then says is what it says of a full disk."""

    def job(connection: Connection) -> None:
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
        connection.execute(text(f"PRAGMA max_page_count = {pages}")).close()
        write_much(connection)

    with pytest.raises(FullDatabase, match="full"):
        store.write(job).result()


def make_room(store: CenterStore) -> None:
    store.write(lambda c: c.execute(text("PRAGMA max_page_count = 1000000")).close()).result()
    store.write(write_much).result()


def test_a_writer_that_does_nothing_for_half_a_minute_is_told_while_something_waits(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        assert isinstance(store.clock, FixedClock)
        goes_on = threading.Event()
        first, second = store.write(lambda _: goes_on.wait(HANG_S)), store.write(lambda _: None)
        store.clock.now_ms += 29_000
        assert why_not_ready(store) == []
        store.clock.now_ms += 2_000
        assert why_not_ready(store) == ["nothing was committed for 31 s, and 2 jobs wait"]
        goes_on.set()
        first.result()
        second.result()
        store.clock.now_ms += 3_600_000  # nothing waits
        assert why_not_ready(store) == []


def test_a_commit_that_failed_is_told_until_one_has_written(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        fill_the_disk(store)
        assert why_not_ready(store) == ["the last commit failed: database or disk is full"]
        store.write(lambda c: c.execute(text("SELECT 1")).close()).result()  # as the watchdog does; it proves nothing
        assert why_not_ready(store) == ["the last commit failed: database or disk is full"]
        make_room(store)
        assert why_not_ready(store) == []


def test_a_refusal_of_ours_is_no_failure_of_the_disk(tmp_path: Path) -> None:
    def refuse(_: Connection) -> None:
        raise StoreError("no such thing")

    with new_store(tmp_path) as store:
        with pytest.raises(StoreError, match="no such thing"):
            store.write(refuse).result()
        assert why_not_ready(store) == []


def test_a_database_that_is_no_more_one_is_told(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        for path in tmp_path.glob("center.sqlite*"):
            path.write_bytes(b"no database" * 1000)
        assert "the store does not answer" in why_not_ready(store)[-1]


def test_the_hook_is_told_at_once_and_the_list_when_it_is_over(tmp_path: Path) -> None:
    told: list[Mapping[str, Any]] = []

    def post(_: Alarms, event: Mapping[str, Any]) -> None:
        told.append(event)

    with new_store(tmp_path / "state") as store:
        asyncio.run(tell_both(store, with_hook(settings_of(tmp_path, keys="[]")), told, post))
        [listed] = store.read(lambda c: list_alarms(c, include_cleared=True))
    assert [event["event"] for event in told] == ["raised", "cleared"]
    assert told[0]["text"] == "the last commit failed: database or disk is full"
    assert (listed["code"], listed["subject"]) == (CODE, "center")


def with_hook(settings: CenterSettings) -> CenterSettings:
    hook = settings.alarms.model_copy(update={"webhook_url": "http://127.0.0.1:9/"})
    return settings.model_copy(update={"alarms": hook})


async def tell_both(store: CenterStore, settings: CenterSettings, told: list[Mapping[str, Any]], post: Any) -> None:
    task = asyncio.create_task(keep_telling_troubles(store, settings, post=post, look_every_s=0.01))
    await asyncio.to_thread(fill_the_disk, store)
    await until(lambda: len(told) == 1)
    await asyncio.to_thread(make_room, store)
    await until(lambda: len(told) == 2)
    await until(lambda: bool(store.read(lambda c: list_alarms(c, include_cleared=True))))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
