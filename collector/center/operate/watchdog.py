# SPDX-License-Identifier: GPL-3.0-or-later
"""The watchdog signal for systemd: the center's loop runs, and its writer finishes its jobs."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from collector.base.notify import notify
from collector.center.db.damaged import DamagedDatabase
from collector.center.db.store import CenterStore

PERIOD_S: Final = 15.0

logger: Final = logging.getLogger("collector.center.operate.watchdog")


async def say_alive(store: CenterStore, *, period_s: float = PERIOD_S) -> None:
    """Send `WATCHDOG=1` after each finished job of the writer, until cancelled; a hung loop or writer sends nothing.

    An unreachable database is no reason for a restart: the writer then fails, but runs.
    """
    while True:
        try:
            await asyncio.wrap_future(store.write(lambda connection: connection.execute(text("SELECT 1")).close()))
        except (DBAPIError, DamagedDatabase) as error:
            logger.warning("the store does not answer: %s", error)
        notify("WATCHDOG=1")
        await asyncio.sleep(period_s)
