# SPDX-License-Identifier: GPL-3.0-or-later
"""A month that is still running, settled up to the last day that is sealed for all its units (rules.md section 6).

Such a run is never final, posts nothing and pins nothing: its day files are removed once it is done, so that only
results and hashes stay, and when it expires its row is deleted too (its hashes stay in the audit log).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from collector.base.errors import StoreError
from collector.base.text import tr
from collector.center.db.store import CenterStore
from collector.center.people.access import Actor
from collector.center.runs.asking.handed_over import Errand
from collector.center.runs.asking.run_queue import AskedRun, Asking, RunUnderWay, ask
from collector.center.runs.data_policy import reach_of
from collector.center.runs.input_folder import (
    REGISTER_FILE,
    PinnedFile,
    lay_out_folder,
    pin_month,
    rows_of_month,
    write_csv,
)
from collector.center.runs.run_list import RUNNING, runs_folder
from collector.center.runs.settle_month import DATA, SEALING, MadeRun, make_run
from collector.model.interval import Month, local_day
from collector.model.register import Register
from collector.settlement.rulebook.load import hash_of_files, read_rulebook_files, rulebook_of
from collector.sheets.files import Delivered
from collector.sheets.findings import Findings
from collector.tables.register import load_register

_MONTHS_BACK: Final = 12  # oldest month whose revenue may be used instead
_REVENUE: Final = "revenue"


def ask_to_settle_running(
    store: CenterStore,
    month: Month,
    *,
    rulebook: Path,
    actor: Actor,
    note: str = "",
    executor: str = "",
    last: date | None = None,
) -> AskedRun[MadeRun]:
    """Request a run of the month up to the last day sealed for all its units; nothing is begun yet.

    `last`: at most up to this day, to compare a finished month with a running one.

    Raises:
        Denied: the actor may not settle.
    """

    made_of = [hash_of_files(read_rulebook_files(rulebook)), _today(store).isoformat(), str(last)]
    asking = Asking(month, actor, made_of, kind=RUNNING, note=note)
    errand = Errand(RUNNING, {"last": None if last is None else last.isoformat()})
    return ask(store, asking, settling_running(store, month, rulebook, last=last, executor=executor), errand)


def settling_running(
    store: CenterStore, month: Month, rulebook: Path, *, last: date | None = None, executor: str = ""
) -> Callable[[RunUnderWay], MadeRun]:
    """The work of a run of a month that is still running."""

    def work(under_way: RunUnderWay) -> MadeRun:
        under_way.tell(SEALING)
        files = read_rulebook_files(rulebook)
        reach = store.read(lambda connection: reach_of(connection, month, rulebook_of(files, str(rulebook))))
        pinned = pin_month(store, month, reach, tell=partial(under_way.tell, SEALING))

        def lay_out(data: Path) -> Mapping[str, str]:
            return store.read(lambda connection: _lay_out(connection, store, month, pinned, data))

        def last_day(data: Path) -> date:
            sealed = last_sealed_day(_register(data / REGISTER_FILE), pinned, month, _today(store))
            return sealed if last is None else min(sealed, last)

        made = make_run(store, under_way, lay_out, pinned, files, executor=executor, last_day_of=last_day)
        shutil.rmtree(runs_folder(store.directory) / made.row.folder / DATA / "records")
        return made

    return work


def _today(store: CenterStore) -> date:
    return local_day(store.clock.now_utc_ms())


def _register(path: Path) -> Register:
    findings = Findings()
    loaded = load_register(Delivered(path.name, path.read_bytes(), ""), findings)
    findings.refuse_if_any()
    assert loaded.register is not None  # else it was refused
    return loaded.register


def last_sealed_day(register: Register, pinned: Iterable[PinnedFile], month: Month, today: date) -> date:
    """The last day of the month that is over and sealed for every plant with a registered unit that sends records.

    Raises:
        StoreError: there is none yet.
    """
    last: dict[str, date] = {}
    for file in pinned:
        day = date.fromisoformat(file.day)
        if day in month.days and day < today:
            last[file.plant] = max(day, last.get(file.plant, day))
    first, until = month.first_day, month.next().first_day
    plants = {
        unit.plant
        for unit in register.units
        if (unit.from_day or date.min) < until and (unit.until_day or date.max) > first
    }
    sealed = [last[plant] for plant in sorted(plants) if plant in last]
    if not sealed:
        raise StoreError(tr("no day of it is sealed yet"), subject=str(month))
    return min(sealed)


def _lay_out(
    connection: Connection, store: CenterStore, month: Month, pinned: tuple[PinnedFile, ...], data: Path
) -> dict[str, str]:
    """Write the month's folder; without revenue of the month, with that of the last month that has some."""
    hashes = lay_out_folder(connection, store, month, pinned, data)
    earlier = month
    for _ in range(_MONTHS_BACK):
        rows = rows_of_month(connection, store.imported, _REVENUE, earlier)
        if rows is not None and len(rows):
            if earlier != month:
                name = f"{_REVENUE}.csv"
                hashes[name] = write_csv(data / name, _REVENUE, rows)
            break
        before = earlier.first_day - timedelta(days=1)
        earlier = Month(before.year, before.month)
    return hashes
