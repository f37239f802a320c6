# SPDX-License-Identifier: GPL-3.0-or-later
"""What the center does by itself: seal the days that have been quiet, let go of what may go and of runs left behind."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from sqlalchemy.exc import DBAPIError

from collector.center.db.store import CenterStore
from collector.center.inputs.stored_rows import remove_strays
from collector.center.lake.retention import drop_old_payloads, drop_superseded_files, drop_unused_results
from collector.center.lake.seal import find_stale_days
from collector.center.lake.sealing_processes import seal_apart
from collector.center.runs.asking.lost_runs import mark_lost
from collector.center.settings import CenterSettings, Lake

logger: Final = logging.getLogger("collector.center.operate.upkeep_loop")


async def keep_up(store: CenterStore, settings: CenterSettings) -> None:
    """Look after the days every `check_every_s`, until cancelled; a database that is away is waited for."""
    while True:
        await asyncio.sleep(settings.lake.check_every_s)
        try:
            await _look_after(store, settings.lake, settings.center.database_url)
        except DBAPIError as error:
            logger.error("not looked after: %s", error.orig)


async def _look_after(store: CenterStore, lake: Lake, database_url: str) -> None:
    quiet_since_ms = store.clock.now_utc_ms() - int(lake.seal_after_s * 1000)
    days = await asyncio.to_thread(
        store.read, lambda connection: find_stale_days(connection, quiet_since_ms=quiet_since_ms)
    )
    await seal_apart(store.directory, database_url, days, processes=lake.seal_processes)
    await asyncio.to_thread(_let_go, store, lake)


def _let_go(store: CenterStore, lake: Lake) -> None:
    mark_lost(store)
    remove_strays(store)
    drop_old_payloads(store, keep_days=lake.keep_payload_days)
    drop_superseded_files(store, keep_days=lake.keep_superseded_days)
    drop_unused_results(store, keep_days=lake.keep_results_days)
