# SPDX-License-Identifier: GPL-3.0-or-later
"""The alarms of the buffer, each logged once when it begins and once when it is over.

Fill: unsent data reach 70 or 90 % of the buffer. Refusal: the center refuses batches with a code for which they are
kept; one alarm a code.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from collector.agent.buffer.capacity import Capacity
from collector.agent.operate.health import alarm_of
from collector.base.errors import StoreError

_LOG = logging.getLogger(__name__)
_PERIOD_S: Final = 60.0
_LEVELS: Final = {"critical": logging.ERROR, "warning": logging.WARNING}


async def watch_buffer(
    measure: Callable[[], Capacity], *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    """Check the buffer every minute, without end. `measure` reads the file and is called in a thread."""
    told = ""
    codes: set[str] = set()
    while True:
        await sleep(_PERIOD_S)
        try:
            capacity = await asyncio.to_thread(measure)
        except StoreError as error:
            _LOG.error("buffer=unreadable %s", error)
            continue
        alarm = alarm_of(capacity.unsent_ratio)
        if alarm != told:
            _LOG.log(
                _LEVELS.get(alarm, logging.INFO), "buffer=%s unsent_ratio=%.2f hours_left=%.1f", alarm or "good",
                capacity.unsent_ratio, capacity.hours_left,
            )  # fmt: skip
        told = alarm
        for code in sorted(capacity.kept.keys() - codes):
            _LOG.error("refused=%s batches=%d kept and offered again", code, capacity.kept[code])
        for code in sorted(codes - capacity.kept.keys()):
            _LOG.info("refused=%s batches=0", code)
        codes = set(capacity.kept)
