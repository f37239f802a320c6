# SPDX-License-Identifier: GPL-3.0-or-later
"""Periodic work of the running center: enrolled and revoked keys, alarms, days not yet validated.

Runs in threads, with the store's own connections; every error is logged and the work tried again, receiving goes on.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from sqlalchemy.exc import DBAPIError

from collector.base.errors import CollectorError
from collector.center.db.store import CenterStore
from collector.center.operate.alarms import Alarm, apply_alarms, find_alarms, find_flooding
from collector.center.quality.validation import PolicyOf, validate_due
from collector.center.receive.admission import Admission
from collector.center.receive.keys import KeyRing
from collector.center.receive.stream_state import bytes_by_plant
from collector.center.receive.turns import Served
from collector.center.settings import CenterSettings

EVERY_S: Final = 10.0
WATCHED_ROUNDS: Final = 7  # one minute
VALIDATE_EVERY_S: Final = 30.0

logger: Final = logging.getLogger("collector.center.operate.loops.keys_and_alarms_loop")


async def keep_keys_and_alarms(
    store: CenterStore,
    settings: CenterSettings,
    admission: Admission,
    *,
    served: Callable[[], Mapping[str, Served]] = dict,
    every_s: float = EVERY_S,
) -> None:
    """Update keys and alarms every 10 s, until cancelled. `served`: the receiver's counts for each plant."""
    ring = KeyRing(settings)
    # Counts and their times, for as long as a flooding plant is watched.
    seen: deque[tuple[float, Mapping[str, Served]]] = deque(maxlen=WATCHED_ROUNDS)
    while True:
        seen.append((store.clock.monotonic_s(), served()))
        (then_s, before), (now_s, now) = seen[0], seen[-1]
        flooding = list(find_flooding(before, now, now_s - then_s)) if now_s > then_s else []
        await asyncio.to_thread(_survive, lambda: look_once(store, settings, admission, ring, flooding))  # noqa: B023
        await asyncio.sleep(every_s)


def look_once(
    store: CenterStore, settings: CenterSettings, admission: Admission, ring: KeyRing, flooding: Iterable[Alarm] = ()
) -> None:
    """One round of `keep_keys_and_alarms`."""
    if store.read(lambda connection: ring.refresh(connection, admission)):
        logger.info("plant keys read")
    admission.replace_shares(store.read(bytes_by_plant))
    now_ms = store.clock.now_utc_ms()
    plants = [plant.id for plant in settings.plant]
    found = store.read(lambda c: find_alarms(c, settings.alarms, plants, store.directory, now_ms=now_ms))
    found += flooding
    raised, cleared = store.write(lambda c: apply_alarms(c, found, now_ms=now_ms)).result()
    if raised or cleared:
        logger.warning("%d alarms raised, %d cleared; %d stand", raised, cleared, len(found))


async def keep_validating(store: CenterStore, policy_of: PolicyOf, *, every_s: float = VALIDATE_EVERY_S) -> None:
    """Validate the days sealed since the last round, until cancelled."""
    stopping = threading.Event()
    try:
        while True:
            await asyncio.to_thread(_survive, lambda: validate_due(store, policy_of=policy_of, stopped=stopping.is_set))
            await asyncio.sleep(every_s)
    finally:
        stopping.set()


def _survive(job: Callable[[], object]) -> None:
    try:
        job()
    except (CollectorError, OSError, DBAPIError) as error:
        logger.error("%s", error)
