# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells systemd that the center is alive: that its loop turns, and that its writer still finishes what it is given."""

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
    """`WATCHDOG=1` after each job the writer has done, until cancelled; a loop or a writer that hangs says nothing.

    A database that is away is no reason to start again: the writer then fails, and lives.
    """
    while True:
        try:
            await asyncio.wrap_future(store.write(lambda connection: connection.execute(text("SELECT 1")).close()))
        except (DBAPIError, DamagedDatabase) as error:
            logger.warning("the store does not answer: %s", error)
        notify("WATCHDOG=1")
        await asyncio.sleep(period_s)
