# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known outside of the store shows that the end of its chains was cut, or another store put in its place."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from collector.base.errors import StoreError
from collector.center.db.store import CenterStore
from collector.center.operate.anchors import anchor_once, check_anchors, read_anchors
from collector.center.operate.backup import create_backup
from collector.center.operate.integrity import check_store
from collector.center.operate.restore import restore_backup
from collector.center.people import audit
from collector.center.people.access import Actor
from collector.center.settings import CenterSettings
from tests.center.center_batches import FixedClock, new_store
from tests.center.made_month import add_run, on, take_through
from tests.center.receive.enrolled_keys import settings_of

LI = Actor.at_command_line("li")


def note(store: CenterStore, number: int) -> None:
    detail = {"number": number}
    store.write(lambda c: audit.append(c, actor=LI, action="a.b", subject="x", detail=detail, now_ms=number)).result()


def cut_the_end(store: CenterStore, entries: int) -> None:
    """As a person with a database tool could: the last entries of the log, with their links."""
    with sqlite3.connect(store.directory / "center.sqlite", isolation_level=None) as connection:
        (guard,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'audit_no_delete'").fetchone()
        connection.execute("DROP TRIGGER audit_no_delete")
        for table in ("audit", "row_seal"):
            connection.execute(
                f"DELETE FROM {table} WHERE sequence > (SELECT MAX(sequence) FROM {table}) - ?", (entries,)
            )
        connection.execute(guard)
    connection.close()


def with_file(tmp_path: Path) -> tuple[CenterSettings, Path]:
    settings = settings_of(tmp_path, keys="[]")
    path = tmp_path / "other-disk.jsonl"
    center = settings.center.model_copy(update={"anchor_file": str(path)})
    return settings.model_copy(update={"center": center}), path


def no_hook(*_: Any) -> None:
    raise AssertionError


def test_a_cut_end_is_found_by_what_was_written_on_another_disk(tmp_path: Path) -> None:
    settings, path = with_file(tmp_path)
    with new_store(tmp_path / "state") as store:
        last = None
        for number in range(1, 6):
            note(store, number)
            last = anchor_once(store, settings, last, no_hook)
            assert anchor_once(store, settings, last, no_hook) == last  # nothing new, nothing written
        assert len(read_anchors(path)) == 5
        assert check_anchors(store, [path]) == []
        cut_the_end(store, 2)
        assert check_store(store) == []  # inside of the store nothing shows it
        found = check_anchors(store, [path])
        assert len(found) == 4  # both chains, for the two last anchors
        assert re.search(r"there was audit entry 4; the end of the chain is gone", found[0])
        note(store, 99)
        assert "audit entry 4 is another one than then" in check_anchors(store, [path])[0]


def test_a_backup_knows_the_heads_and_so_does_the_store_that_is_made_of_it(tmp_path: Path) -> None:
    clock = FixedClock(on(1))
    with new_store(tmp_path / "state", clock) as store:
        take_through(store, add_run(store))
        create_backup(store, tmp_path / "one")
        note(store, 1)
        create_backup(store, tmp_path / "two")
        assert check_anchors(store, [tmp_path / "one", tmp_path / "two"]) == []
        [anchor] = read_anchors(tmp_path / "two")
        assert anchor["months"]["2026-05"]["state"] == "published"
    restore_backup(tmp_path / "one", tmp_path / "restored", clock=clock)
    with new_store(tmp_path / "restored", clock) as store:
        # The second is of what came after the first: the restored store says how far it goes along.
        assert check_anchors(store, [tmp_path / "one", tmp_path / "two"]) == []
        note(store, 2)
        assert check_anchors(store, [tmp_path / "one"]) == []


def test_another_store_in_its_place_is_found(tmp_path: Path) -> None:
    settings, path = with_file(tmp_path)
    with new_store(tmp_path / "state") as store:
        note(store, 1)
        anchor_once(store, settings, None, no_hook)
    shutil.rmtree(tmp_path / "state")
    with new_store(tmp_path / "state") as store:
        note(store, 1)
        [found] = check_anchors(store, [path])
        assert "which this one never was" in found


def test_a_step_that_was_taken_out_of_a_month_is_found(tmp_path: Path) -> None:
    settings, path = with_file(tmp_path)
    with new_store(tmp_path / "state", FixedClock(on(1))) as store:
        take_through(store, add_run(store))
        anchor_once(store, settings, None, no_hook)
        with sqlite3.connect(store.directory / "center.sqlite", isolation_level=None) as connection:
            connection.execute("DROP TRIGGER month_step_no_update")
            connection.execute("UPDATE month_step SET result_hash = 'x' WHERE state = 'published'")
        connection.close()
        [found] = check_anchors(store, [path])
        assert "2026-05 stood as published with run 1" in found


def test_a_file_without_anchors_is_named(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for text in ("", "x", json.dumps({"store_id": 1}), json.dumps([1])):
        path.write_text(text, "utf-8")
        with pytest.raises(StoreError, match="holds no anchors"):
            read_anchors(path)
        with new_store(tmp_path / "state") as store:  # a finding like others: it hides none of them
            assert [each[: len(f"{path}: holds no anchors")] for each in check_anchors(store, [path, path])] == [
                f"{path}: holds no anchors"
            ] * 2
