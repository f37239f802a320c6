# SPDX-License-Identifier: GPL-3.0-or-later
"""The center's process: receiver and sealing in one TaskGroup; the database and the files never on the loop.

SIGTERM and SIGINT end it; what was handed to the writer is finished, everything else is as after a crash.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import collector.wire as wire
from collector.center.admission import Admission
from collector.center.lake import enrol, find_stale_days, seal_day
from collector.center.receiver import Receiver
from collector.center.retention import drop_old_payloads
from collector.center.settings import CenterSettings, Lake
from collector.center.store import CenterStore
from collector.clock import Clock, SystemClock

logger = logging.getLogger("collector.center")


async def run_center(settings: CenterSettings, clock: Clock | None = None) -> None:
    """Run the center until SIGTERM or SIGINT.

    Raises:
        ConfigError: a key or secret file can't be used.
        StoreError: the store can't be opened, or another receiver uses it.
        InvariantBroken: a stored batch can't be read back; the supervisor starts the process again.
    """
    admission = Admission.from_settings(settings)
    signer = wire.load_signing_key(Path(settings.center.signing_key_file)) if settings.center.signing_key_file else None
    state = Path(settings.center.state_dir)
    with CenterStore.open(state, clock=clock or SystemClock(), database_url=settings.center.database_url) as store:
        store.claim_receiver()
        plants = {plant.id: (plant.units, plant.gateways) for plant in settings.plant}
        store.write(lambda connection: enrol(connection, plants)).result()
        receiver = Receiver(store, admission, settings, signer)
        logger.info("store %s in %s", store.store_id, state)
        stopping = threading.Event()
        try:
            await _run_until_signal(receiver, store, settings.lake, stopping)
        except ExceptionGroup as group:
            raise _first_of(group) from group
        finally:
            stopping.set()
        logger.info("stopped: %s", receiver.counters)


def _first_of(group: ExceptionGroup[Exception]) -> Exception:
    """What a task died of; its siblings were only cancelled because of it."""
    first = group.exceptions[0]
    return _first_of(first) if isinstance(first, ExceptionGroup) else first


async def _run_until_signal(receiver: Receiver, store: CenterStore, lake: Lake, stopping: threading.Event) -> None:
    stop = asyncio.Event()
    with _signals(stop):
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(receiver.run(), name="receiver"),
                group.create_task(_keep_sealing(store, lake, stopping), name="seal"),
            ]
            await stop.wait()
            stopping.set()
            for task in tasks:
                task.cancel()


@contextlib.contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    names = (signal.SIGTERM, signal.SIGINT)
    for name in names:
        loop.add_signal_handler(name, stop.set)
    try:
        yield
    finally:
        for name in names:
            loop.remove_signal_handler(name)


async def _keep_sealing(store: CenterStore, lake: Lake, stopping: threading.Event) -> None:
    while True:
        await asyncio.sleep(lake.check_every_s)
        await asyncio.to_thread(_upkeep, store, lake, stopping)


def _upkeep(store: CenterStore, lake: Lake, stopping: threading.Event) -> None:
    """Seal the days that have been quiet, then let go of payloads past their time. In a thread, day by day."""
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
