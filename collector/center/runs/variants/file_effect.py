# SPDX-License-Identifier: GPL-3.0-or-later
"""The yuan that a file would move if it were imported: a what-if run with its tables over the run shown of a month.

Every kind of table and the register can be tried so. Records can't: a day's records are checked, joined with those of
the gateway and sealed after the import; then the board of the month names the run that lacks them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from sqlalchemy import select

from collector.base.errors import StoreError
from collector.base.text import tr
from collector.center.db.store import CenterStore
from collector.center.db.tables_inputs import has_statement, run
from collector.center.inputs.kinds import RECORDS
from collector.center.people.access import Actor
from collector.center.runs.asking.lost_runs import runs_asked
from collector.center.runs.asking.run_queue import AskedRun
from collector.center.runs.compare import PlantEffect, effect_by_plant
from collector.center.runs.month_state import visible_run
from collector.center.runs.run_list import NEVER_DISCLOSED, WHAT_IF, RunRow, RunState
from collector.center.runs.settle_month import MadeRun
from collector.center.runs.variants.what_if import TableChange, ask_what_if, asking_of
from collector.model.interval import Month
from collector.sheets.files import Delivered

MOST_MONTHS: Final = 12
"""Months that are offered to try a file on."""


@dataclass(frozen=True, slots=True)
class FileEffect:
    """The newest try of a file on the run shown of a month. `plants`: those that change, once the run is done."""

    month: Month
    base_run_id: int
    run: RunRow
    plants: Sequence[PlantEffect]

    @property
    def compensation_yuan(self) -> Decimal:
        """The change of compensation of all plants together."""
        return sum((each.compensation_change_yuan for each in self.plants), Decimal("0.00"))


def changes_of(kinds: Collection[str], delivered: Delivered) -> list[TableChange]:
    """The tables of a file that a what-if run can take."""
    return [TableChange(kind, delivered) for kind in kinds if kind != RECORDS]


def months_to_try(store: CenterStore, touched: Collection[str]) -> list[Month]:
    """Settled months that a file can move, oldest first: from the first that it touches on, for a row may last.

    A file that names no month (a register, the table of start-stop prices) can move any: the last ones.
    """
    where = run.c.kind.not_in(NEVER_DISCLOSED) & has_statement & (run.c.month >= min(touched, default=""))
    query = select(run.c.month).where(where).distinct().order_by(run.c.month)
    months = [Month.parse(row.month) for row in store.read(lambda c: c.execute(query).all())]
    return months[:MOST_MONTHS] if touched else months[-MOST_MONTHS:]


def ask_for_effect(
    store: CenterStore, kinds: Collection[str], delivered: Delivered, month: Month, *, actor: Actor
) -> AskedRun[MadeRun]:
    """Request the try of a file on the run shown of a month; nothing is begun yet.

    Raises:
        Denied: the actor may not settle.
        StoreError: the month has no run, or the file no table that can be tried.
    """
    base = store.read(lambda c: visible_run(c, month, actor))
    if base is None:
        raise StoreError(tr("not settled yet: no run of the month"), subject=str(month))
    if not changes_of(kinds, delivered):
        raise StoreError(tr("what records come to is not known before they are imported"), subject=delivered.name)
    return ask_what_if(store, base, changes=changes_of(kinds, delivered), actor=actor, note=delivered.name)


def effects_of_file(
    store: CenterStore, kinds: Collection[str], delivered: Delivered, months: Collection[Month], *, actor: Actor
) -> list[FileEffect]:
    """The newest try of a file on each month, by the run that is shown of it now.

    A try is recognised by its content: the run it is over, the file's name, kinds and bytes.
    """
    changes = changes_of(kinds, delivered)
    found = []
    for month in months if changes else ():
        base = store.read(lambda c, m=month: visible_run(c, m, actor))  # type: ignore[misc]
        if base is None:
            continue
        job = asking_of(month, base, changes, None, actor=actor, note=delivered.name).job
        query = select(run.c.id).where((run.c.kind == WHAT_IF) & (run.c.job == job)).order_by(run.c.id.desc()).limit(1)
        number = store.read(lambda c, q=query: c.execute(q).scalar())  # type: ignore[misc]
        tried = next((each for each in runs_asked(store, month) if each.id == number), None)
        if tried is not None and tried.state is not RunState.EXPIRED:
            done = tried.state is RunState.DONE
            plants = [each for each in effect_by_plant(store, base, tried.id) if each.changed] if done else []
            found.append(FileEffect(month, base, tried, plants))
    return found
