# SPDX-License-Identifier: GPL-3.0-or-later
"""Background work of the center: seal days that have been quiet, and remove expired files and lost runs."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from sqlalchemy.exc import DBAPIError

from collector.center.db.damaged import DamagedDatabase
from collector.center.db.storage.lake_place import ObjectStoreFault
from collector.center.db.store import CenterStore
from collector.center.inputs.stored_rows import remove_strays
from collector.center.lake.retention import drop_old_payloads, drop_superseded_files, drop_unused_results
from collector.center.lake.seal import find_stale_days
from collector.center.lake.sealing_processes import SealingProcesses
from collector.center.runs.asking.lost_runs import mark_lost
from collector.center.runs.keeping.expired_runs import expire_runs
from collector.center.runs.keeping.kept_packages import drop_packages
from collector.center.runs.keeping.own_files import own_disclosed
from collector.center.settings import CenterSettings, Lake, RunSettings

logger: Final = logging.getLogger("collector.center.operate.loops.sealing_loop")


async def keep_sealing(store: CenterStore, settings: CenterSettings) -> None:
    """Do the background work every `check_every_s`, until cancelled; waits for a database that is unreachable."""
    url, lake = settings.center.database_url, settings.lake
    sealing = SealingProcesses(store.directory, url, store.lake_url, processes=lake.seal_processes)
    try:
        await asyncio.to_thread(_make_own, store)
        while True:
            await asyncio.sleep(lake.check_every_s)
            try:
                await _look_after(store, lake, settings.runs, sealing)
            except (DBAPIError, DamagedDatabase, ObjectStoreFault, OSError) as error:
                logger.error("not looked after: %s", error)
    finally:
        await sealing.end()


async def _look_after(store: CenterStore, lake: Lake, runs: RunSettings, sealing: SealingProcesses) -> None:
    quiet_since_ms = store.clock.now_utc_ms() - int(lake.seal_after_s * 1000)
    days = await asyncio.to_thread(
        store.read, lambda connection: find_stale_days(connection, quiet_since_ms=quiet_since_ms)
    )
    await sealing.seal(days)
    await asyncio.to_thread(_let_go, store, lake, runs)


def _make_own(store: CenterStore) -> None:
    """Give files of their own to disclosed runs without them: from an older program, or copied by other means."""
    try:
        for words in own_disclosed(store):
            logger.error("%s", words)
    except (DBAPIError, DamagedDatabase, OSError) as error:
        logger.error("files of disclosed runs: %s", error)


def _let_go(store: CenterStore, lake: Lake, runs: RunSettings) -> None:
    mark_lost(store)
    remove_strays(store)
    drop_old_payloads(store, keep_days=lake.keep_payload_days)
    drop_superseded_files(store, keep_days=lake.keep_superseded_days)
    drop_unused_results(store, keep_days=lake.keep_results_days)
    expire_runs(store, keep_days=runs.keep_days)
    drop_packages(store)
