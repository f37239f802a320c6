# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that other processes of this center asked for and handed over, made here one after the other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import date
from typing import Final

from sqlalchemy.exc import DBAPIError

from collector.base.errors import CollectorError, StoreError
from collector.base.text import tr
from collector.center.db.store import CenterStore
from collector.center.month.review_effect import noting
from collector.center.people.access import Actor
from collector.center.runs.asking.handed_over import Errand, TakenRun, drop_errands, read_errand, take_next
from collector.center.runs.asking.run_queue import AskedRun, Asking, RunUnderWay
from collector.center.runs.rulebooks import rulebook_path
from collector.center.runs.run_list import RUNNING, WHAT_IF
from collector.center.runs.settle_month import SETTLING, MadeRun, settling
from collector.center.runs.variants.running_month import settling_running
from collector.center.runs.variants.what_if import trying_of
from collector.center.settings import CenterSettings
from collector.model.interval import Month

LOOK_EVERY_S: Final = 0.5

logger: Final = logging.getLogger("collector.center.operate.loops.settling_loop")


async def keep_settling(store: CenterStore, settings: CenterSettings, *, look_every_s: float = LOOK_EVERY_S) -> None:
    """Make handed-over runs until cancelled; the run under way is finished first.

    With SQLite nobody hands over: pages and settling are one process.
    """
    if store.has_one_writer:
        await asyncio.Event().wait()
    while True:
        making = asyncio.ensure_future(asyncio.to_thread(_survive, lambda: make_next(store, settings)))
        try:
            await asyncio.shield(making)
        except asyncio.CancelledError:
            await making
            raise
        await asyncio.sleep(look_every_s)


def make_next(store: CenterStore, settings: CenterSettings) -> bool:
    """Make the run whose turn it is where it was handed over; True if there was one.

    Raises:
        CollectorError: the run failed; its row says why.
    """
    drop_errands(store)
    taken = take_next(store)
    if taken is None:
        return False
    _asked(store, settings, taken).carry_out()
    return True


def _asked(store: CenterStore, settings: CenterSettings, taken: TakenRun) -> AskedRun[MadeRun]:
    row, month = taken.row, Month.parse(taken.row.month)
    actor, errand, unread = Actor.at_command_line("center"), None, None
    try:
        actor, errand = read_errand(store, row.id)
    except StoreError as error:
        unread = error

    def work(run: RunUnderWay) -> MadeRun:
        if errand is None:
            assert unread is not None
            raise unread
        return _work_of(store, settings, month, actor, errand)(run)

    asking = Asking(month, actor, (), kind=row.kind, note=row.note, base_run_id=row.base_run_id)
    return AskedRun(store, row, asking, work, taken.claim)


def _work_of(
    store: CenterStore, settings: CenterSettings, month: Month, actor: Actor, errand: Errand
) -> Callable[[RunUnderWay], MadeRun]:
    said = errand.said
    if errand.verb == WHAT_IF:
        review = said.get("review")
        return trying_of(store, said, None if review is None else noting(store, review, actor))
    if errand.verb == RUNNING:
        last = said["last"] and date.fromisoformat(said["last"])
        return settling_running(store, month, rulebook_path(settings), last=last)
    if errand.verb == SETTLING:
        return settling(store, month, rulebook_path(settings))
    raise StoreError(tr("a newer program asked for this run"), subject=errand.verb)


def _survive(job: Callable[[], object]) -> None:
    try:
        job()
    except (CollectorError, OSError, DBAPIError) as error:
        logger.error("%s", error)
