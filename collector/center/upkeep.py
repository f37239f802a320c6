# SPDX-License-Identifier: GPL-3.0-or-later
"""What the center does by itself with what it holds: seal the days that have been quiet, let go of what may go."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Final

from collector.center.lake import find_stale_days, seal_day
from collector.center.retention import drop_old_payloads
from collector.center.settings import Lake
from collector.center.store import CenterStore

logger: Final = logging.getLogger("collector.center.upkeep")


async def keep_up(store: CenterStore, lake: Lake) -> None:
    """Look after the days every `check_every_s`, until cancelled."""
    stopping = threading.Event()
    try:
        while True:
            await asyncio.sleep(lake.check_every_s)
            await asyncio.to_thread(_look_after, store, lake, stopping)
    finally:
        stopping.set()


def _look_after(store: CenterStore, lake: Lake, stopping: threading.Event) -> None:
    """One round, in a thread, day by day."""
    quiet_since_ms = store.clock.now_utc_ms() - int(lake.seal_after_s * 1000)
    for day in store.read(lambda connection: find_stale_days(connection, quiet_since_ms=quiet_since_ms)):
        if stopping.is_set():
            return
        try:
            path = seal_day(store, day)
        except OSError as error:
            logger.error("%s %s not sealed: %s", day.plant, day.day, error)
            return
        logger.info("sealed %s", path.name)
    drop_old_payloads(store, keep_days=lake.keep_payload_days)
