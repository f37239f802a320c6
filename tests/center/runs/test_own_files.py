# SPDX-License-Identifier: GPL-3.0-or-later
"""What is disclosed has files of its own: whatever becomes of the lake, it is there as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.center.db.store import CenterStore
from collector.center.db.verified import Altered
from collector.center.month.books_integrity import check_months
from collector.center.month.transitions import prepare_step
from collector.center.people.access import Actor, Role
from collector.center.runs.keeping.own_files import own_disclosed, own_files
from collector.center.runs.month_state import MonthStage
from collector.center.runs.stored_run import OpenedRun
from tests.center.center_batches import FixedClock
from tests.center.made_month import DAYS, on, step
from tests.center.runs.center_months import JUNE, assert_as_offline, new_store, settled
from tests.center.runs.kept_months import KeptMonth, copy_state

LI = Actor("li", Role.OPERATOR)


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_run_shares_its_day_files_until_it_is_to_be_disclosed(filled_june: Path, tmp_path: Path) -> None:
    with CenterStore.open(copy_state(filled_june, tmp_path / "state"), clock=FixedClock(on(10, month=7))) as store:
        run = settled(store)
        folder = store.directory / "runs" / run.row.folder
        assert {path.stat().st_nlink for path in (folder / "data" / "records").iterdir()} == {2}
        prepare_step(store, JUNE, MonthStage.DISCLOSED, actor=LI, days=DAYS, run_id=run.row.id, reason="for a trial")
        assert {path.stat().st_nlink for path in files_of(folder)} == {1}
        assert {path.stat().st_mode & 0o222 for path in files_of(folder)} == {0}
        for path in files_of(store.directory / "lake"):  # whoever writes into the lake writes into no run
            path.write_bytes(b"")
        assert check_months(store) == []
        assert_as_offline(store, run, tmp_path)


def test_a_run_whose_day_file_was_changed_is_not_disclosed(settled_june: KeptMonth, tmp_path: Path) -> None:
    run = settled_june.run
    with new_store(settled_june.copy_to(tmp_path / "state")) as store:
        [path] = ((store.directory / "lake") / "P1").glob("2026-06-05-*")
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        with pytest.raises(Altered, match="2026-06-05"):
            own_files(store, run.row.id)
        assert not list((store.directory / "runs").rglob("*.tmp"))


def test_a_disclosed_file_that_may_be_written_or_shares_its_bytes_is_found_and_made_its_own_again(
    filled_june: Path, tmp_path: Path
) -> None:
    with CenterStore.open(copy_state(filled_june, tmp_path / "state"), clock=FixedClock(on(10, month=7))) as store:
        run = settled(store)
        step(store, MonthStage.DISCLOSED, run.row.id, at=on(10, month=7), month=JUNE, reason="for a trial")
        assert check_months(store) == []
        [own] = (store.directory / "runs").rglob("P1-2026-06-05-*")
        [shared] = ((store.directory / "lake") / "P1").glob("2026-06-05-*")
        own.unlink()
        own.hardlink_to(shared)
        [linked, writable] = check_months(store)
        assert f"{own}: is disclosed and a second name of another file" in linked
        assert f"{own}: is disclosed and may be written (mode" in writable
        assert own_disclosed(store) == []
        assert (check_months(store), own.stat().st_nlink) == ([], 1)
        own.unlink()
        assert [str(own) in each for each in own_disclosed(store)] == [True]
        rows = own.parents[2] / "rows.msgpack"  # made again, it may not be written either
        own.write_bytes(shared.read_bytes())
        rows.unlink()
        assert OpenedRun(store, run.row).lines
        own_files(store, run.row.id)
        assert check_months(store) == []
