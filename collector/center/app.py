# SPDX-License-Identifier: GPL-3.0-or-later
"""The center's process: one TaskGroup of named parts; the database and the files never on the loop.

SIGTERM and SIGINT end it; jobs in the writer's queue are finished, everything else is as after a crash. If a part fails
or returns, the process ends, and systemd restarts it: a center that answers pages but receives nothing, or the reverse,
would look healthy and not be.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any

import collector.wire as wire
from collector.base.clock import Clock, SystemClock
from collector.base.errors import InvariantBroken
from collector.base.notify import notify
from collector.base.text import tr
from collector.center.db.store import CenterStore
from collector.center.lake.seal import enrol
from collector.center.operate.anchors import keep_anchoring
from collector.center.operate.inbox.digest import keep_digesting
from collector.center.operate.loops.keys_and_alarms_loop import keep_keys_and_alarms, keep_validating
from collector.center.operate.loops.sealing_loop import keep_sealing
from collector.center.operate.loops.settling_loop import keep_settling
from collector.center.operate.readiness import keep_telling_troubles
from collector.center.operate.watchdog import say_alive
from collector.center.operate.webhook import keep_telling
from collector.center.receive.admission import Admission
from collector.center.receive.keys import KeyRing, note_configured_keys
from collector.center.receive.receiver import Receiver
from collector.center.runs.asking.lost_runs import mark_lost
from collector.center.runs.data_policy import data_policy_of
from collector.center.runs.rulebooks import rulebook_of, rulebook_path
from collector.center.settings import CenterSettings
from collector.center.web.app import build_app
from collector.center.web.server.serve import serve_web

logger = logging.getLogger("collector.center")


async def run_center(settings: CenterSettings, clock: Clock | None = None) -> None:
    """Run the center until SIGTERM or SIGINT.

    Raises:
        ConfigError: a key or secret file can't be used.
        StoreError: the store can't be opened, or another receiver uses it.
        InvariantBroken: a stored batch can't be read back; the supervisor starts the process again.
    """
    clock = clock or SystemClock()
    admission = Admission.from_settings(settings, clock)
    signer = wire.load_signing_key(Path(settings.center.signing_key_file)) if settings.center.signing_key_file else None
    state = Path(settings.center.state_dir)
    url, lake_url = settings.center.database_url, settings.lake.url
    with CenterStore.open(state, clock=clock, database_url=url, lake_url=lake_url) as store:
        chosen = settings.center.parts
        if "receiver" in chosen:
            store.claim_receiver()
        plants = {plant.id: (plant.units, plant.gateways) for plant in settings.plant}
        store.write(lambda connection: enrol(connection, plants)).result()
        if "settling" in chosen:
            mark_lost(store)
        ring = KeyRing(settings)
        store.write(lambda connection: note_configured_keys(connection, ring.plants, clock.now_utc_ms())).result()
        store.read(lambda connection: ring.refresh(connection, admission))
        receiver = Receiver(store, admission, settings, signer) if "receiver" in chosen else None
        logger.info("store %s in %s; parts: %s", store.store_id, state, ", ".join(chosen))
        # Modules imported by now stay for good: the collector need not scan them in every flood of records.
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
        try:
            await _run_until_signal(_parts(store, settings, receiver, admission))
        except ExceptionGroup as group:
            raise _first_of(group) from group
        logger.info("stopped: %s", receiver.counters if receiver else "")


def _parts(
    store: CenterStore, settings: CenterSettings, receiver: Receiver | None, admission: Admission
) -> Mapping[str, Coroutine[Any, Any, None]]:
    """The parts of the process, by the names of their tasks; each runs until it is cancelled.

    Alarms are looked for and told wherever somebody receives or settles, so that they come while one of the two is
    gone. Every process answers at `center.listen`, one without pages only how it is.
    """
    counters = receiver.counters if receiver else None
    parts = {
        "troubles": keep_telling_troubles(store, settings),
        "watchdog": say_alive(store),
        "web": serve_web(build_app(store, settings, counters), settings),
    }
    if receiver is not None:
        parts["receiver"] = receiver.run()
    if "settling" in settings.center.parts:
        parts |= {
            "sealing": keep_sealing(store, settings),
            "validation": keep_validating(store, data_policy_of(lambda: rulebook_of(rulebook_path(settings)))),
            "settling": keep_settling(store, settings),
            "anchors": keep_anchoring(store, settings),
            "digest": keep_digesting(store, settings),
        }
    if set(settings.center.parts) & {"receiver", "settling"}:
        served = receiver.turns.served if receiver else dict
        parts["keys_and_alarms"] = keep_keys_and_alarms(store, settings, admission, served=served)
        parts["webhook"] = keep_telling(store, settings.alarms, center=settings.center.id)
    return parts


async def _run_until_signal(parts: Mapping[str, Coroutine[Any, Any, None]]) -> None:
    stop = asyncio.Event()
    with _signals(stop):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_never_ends(name, part), name=name) for name, part in parts.items()]
            notify("READY=1")
            await stop.wait()
            notify("STOPPING=1")
            for task in tasks:
                task.cancel()


async def _never_ends(name: str, part: Coroutine[Any, Any, None]) -> None:
    await part
    raise InvariantBroken(tr("came to an end by itself"), subject=name)


def _first_of(group: ExceptionGroup[Exception]) -> Exception:
    """The error that ended a task first; the other tasks were only cancelled because of it."""
    first = group.exceptions[0]
    return _first_of(first) if isinstance(first, ExceptionGroup) else first


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
